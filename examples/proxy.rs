//! A reverse proxy: `cargo run --release --example bench_server -- --addr 127.0.0.1:8081` and `cargo run --release --example
//! proxy -- 127.0.0.1:8081`, then `curl -i http://127.0.0.1:8080/json`.
//!
//! With several upstreams, requests take turns. WebSockets pass through: put it in front of the example `chat`.

#[allow(dead_code)] // it has options of its own
mod support;

use std::error::Error;

use aurora_http_proxy::{Chain, Config, Proxy, ProxyLimits, ProxyProtocol};

const ABOUT: &str = "proxy UPSTREAM...: answers through other servers, each as HOST:PORT or unix:PATH";

const OPTIONS: &str = "\
Options:
  --behind-proxy      add to the X-Forwarded fields of a proxy in front, instead of replacing them
  --replace-host      tell the upstream its own name in Host instead of the client's
  --tunnel HOST:PORT  where clients may have a tunnel to by CONNECT; may be repeated
  --proxy-protocol N  tell upstreams the client's address in a PROXY header of version 1 or 2
  --accept-proxy      every client is a balancer that sends a PROXY header
  --in-flight N       most exchanges at the same time [default: 1024]
  --addr HOST:PORT    where to listen; port 0 lets the system choose [default: 127.0.0.1:8080]
  --workers N         threads that serve [default: one per CPU]
  --backend NAME      auto, epoll, uring or kqueue [default: auto]
  --connections N     most connections per worker [default: 1024]
  --help              print this";

fn main() -> Result<(), Box<dyn Error>> {
    let mut server = support::Asked::default();
    let (mut upstreams, mut tunnels) = (Vec::new(), Vec::new());
    let (mut chain, mut replaces_host, mut version, mut accepts) = (Chain::Replace, false, None, false);
    let mut limits = ProxyLimits { content_bytes_max: u64::MAX, ..ProxyLimits::default() };
    support::read(ABOUT, OPTIONS, |name, value| {
        match name {
            "--behind-proxy" => chain = Chain::Append,
            "--replace-host" => replaces_host = true,
            "--accept-proxy" => accepts = true,
            "--tunnel" => tunnels.push(value.text()?),
            "--proxy-protocol" => {
                version = match value.number()? {
                    1 => Some(ProxyProtocol::V1),
                    2 => Some(ProxyProtocol::V2),
                    other => return Err(format!("--proxy-protocol {other}: give 1 or 2")),
                };
            }
            "--in-flight" => limits.in_flight_max = value.number()?,
            name if !name.starts_with("--") => upstreams.push(name.to_owned()),
            _ => return server.take(name, value),
        }
        Ok(true)
    });
    let mut config = Config::new(&upstreams)?.limits(limits).x_forwarded(chain).tunnels(&tunnels)?;
    if replaces_host {
        config = config.replace_host();
    }
    if let Some(version) = version {
        config = config.proxy_protocol(version);
    }
    let mut server = support::or_exit(server.server("127.0.0.1:8080"));
    if accepts {
        server = server.proxy_headers();
    }
    let proxy = Proxy::new(config, server.resumer())?;
    server.serve(move |_worker| proxy.handler())?;
    Ok(())
}
