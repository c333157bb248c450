//! The head of the request to the upstream, written anew from the request's parts: nothing of what the client sent is copied
//! before it was parsed, so both servers read the same request.

use std::io::Write;
use std::net::IpAddr;
use std::ops::Range;

use aurora_http::core::request::{BodyLength, TargetForm};
use aurora_http::{Peer, Request, Version};

use crate::config::{Chain, Config};

/// What the head depends on besides the request.
pub(crate) struct Way<'a> {
    pub(crate) config: &'a Config,
    /// One fewer than the request had, if it had any.
    pub(crate) max_forwards: Option<u32>,
    /// The protocol that the client may switch to.
    pub(crate) upgrade: Option<&'a str>,
    /// The connection is not to be kept.
    pub(crate) closes: bool,
}

/// Appends the head to `out`, and returns where in it the value of Host is: an empty one if it is to be the upstream's name.
pub(crate) fn write_head(out: &mut Vec<u8>, request: &Request<'_>, way: &Way<'_>) -> Range<usize> {
    put(out, &[request.method().as_str().as_bytes(), b" "]);
    match request.target_form() {
        // In origin-form (RFC 9112 §3.2.1), whatever it was.
        TargetForm::Absolute => {
            put(out, &[request.path()]);
            if let Some(query) = request.query() {
                put(out, &[b"?", query.as_bytes()]);
            }
        }
        _ => put(out, &[request.target()]),
    }
    put(out, &[b" HTTP/1.1\r\nHost: "]);
    let host_at = out.len();
    let host = request.host().filter(|_| !way.config.replaces_host).unwrap_or_default();
    put(out, &[host]);
    let host_at = host_at..out.len();
    put(out, &[b"\r\n"]);
    for field in request.fields().forwarded() {
        if !is_ours(field.name, way) {
            put(out, &[field.name.as_bytes(), b": ", field.value, b"\r\n"]);
        }
    }
    put_client(out, request, way.config);
    let via = &way.config.via;
    let via = if request.version() == Version::Http10 { &via.http10 } else { &via.http11 };
    put(out, &[b"Via: ", via.as_bytes(), b"\r\n"]);
    if let Some(hops) = way.max_forwards {
        let _ = write!(out, "Max-Forwards: {hops}\r\n");
    }
    match way.upgrade {
        Some(protocol) => put(out, &[b"Connection: Upgrade\r\nUpgrade: ", protocol.as_bytes(), b"\r\n"]),
        None if way.closes => put(out, &[b"Connection: close\r\n"]),
        None => {}
    }
    if request.expects_continue() {
        put(out, &[b"Expect: 100-continue\r\n"]);
    }
    match request.body_length() {
        BodyLength::None => {}
        BodyLength::Length(length) => _ = write!(out, "Content-Length: {length}\r\n"),
        BodyLength::Chunked => put(out, &[b"Transfer-Encoding: chunked\r\n"]),
    }
    put(out, &[b"\r\n"]);
    host_at
}

/// Whether the proxy writes this field itself, or removes it.
fn is_ours(name: &str, way: &Way<'_>) -> bool {
    let is = |other: &str| name.eq_ignore_ascii_case(other);
    let is_x_forwarded = is("X-Forwarded-For") || is("X-Forwarded-Proto") || is("X-Forwarded-Host");
    is("Host")
        || is("Max-Forwards") && way.max_forwards.is_some()
        || is_x_forwarded && way.config.x_forwarded != Chain::Pass
        || is("Forwarded") && way.config.forwarded != Chain::Pass
        || is_for_proxies(name)
}

/// `Proxy-Authorization` and the like are between a client and its proxy.
pub(crate) fn is_for_proxies(name: &str) -> bool {
    name.get(..6).is_some_and(|start| start.eq_ignore_ascii_case("Proxy-"))
}

/// Who the client is, and what it asked.
fn put_client(out: &mut Vec<u8>, request: &Request<'_>, config: &Config) {
    let address = match request.peer() {
        Some(Peer::Ip(address)) => Some(address.ip().to_canonical()),
        _ => None,
    };
    let proto = if request.security().is_some() { "https" } else { "http" };
    match config.x_forwarded {
        Chain::Pass | Chain::Remove => {}
        chain => {
            let kept = |name: &str| request.fields().get(name).filter(|_| chain == Chain::Append);
            put(out, &[b"X-Forwarded-For: "]);
            put_list(out, request, "X-Forwarded-For", chain);
            let _ = match address {
                Some(address) => write!(out, "{address}\r\n"),
                None => write!(out, "unknown\r\n"),
            };
            let proto = kept("X-Forwarded-Proto").unwrap_or(proto.as_bytes());
            put(out, &[b"X-Forwarded-Proto: ", proto, b"\r\n"]);
            if let Some(host) = kept("X-Forwarded-Host").or(request.host()) {
                put(out, &[b"X-Forwarded-Host: ", host, b"\r\n"]);
            }
        }
    }
    match config.forwarded {
        Chain::Pass | Chain::Remove => {}
        chain => {
            put(out, &[b"Forwarded: "]);
            put_list(out, request, "Forwarded", chain);
            let _ = match address {
                Some(IpAddr::V4(address)) => write!(out, "for={address}"),
                Some(IpAddr::V6(address)) => write!(out, "for=\"[{address}]\""),
                None => write!(out, "for=unknown"),
            };
            if let Some(host) = request.host() {
                put(out, &[b";host=\""]);
                for &byte in host {
                    if matches!(byte, b'"' | b'\\') {
                        out.push(b'\\');
                    }
                    out.push(byte);
                }
                put(out, &[b"\""]);
            }
            put(out, &[b";proto=", proto.as_bytes(), b"\r\n"]);
        }
    }
}

/// The elements that the request has, before ours.
fn put_list(out: &mut Vec<u8>, request: &Request<'_>, name: &str, chain: Chain) {
    if chain == Chain::Append {
        for value in request.fields().get_all(name).filter(|value| !value.is_empty()) {
            put(out, &[value, b", "]);
        }
    }
}

fn put(out: &mut Vec<u8>, parts: &[&[u8]]) {
    for part in parts {
        out.extend_from_slice(part);
    }
}

#[cfg(test)]
mod tests {
    use aurora_http::Limits;
    use aurora_http::core::parse::{HeadError, HeadScan, with_head};
    use proptest::prelude::*;

    use super::*;

    fn config() -> Config {
        Config::new(["127.0.0.1:1"]).expect("an upstream").x_forwarded(Chain::Remove)
    }

    fn parsed<T>(head: &[u8], then: impl FnOnce(Request<'_>) -> T) -> Result<Option<T>, HeadError> {
        with_head(head, &Limits::default(), &mut HeadScan::default(), |parsed| Ok(parsed?.map(then)))
    }

    fn written(request: &[u8], config: &Config, max_forwards: Option<u32>, upgrade: Option<&str>) -> Option<String> {
        parsed(request, |request| {
            let mut out = Vec::new();
            let way = Way { config, max_forwards, upgrade, closes: false };
            let host = write_head(&mut out, &request, &way);
            assert_eq!(&out[host], request.host().filter(|_| !config.replaces_host).unwrap_or_default());
            String::from_utf8(out).expect("text")
        })
        .ok()
        .flatten()
    }

    #[test]
    fn a_request_is_written_anew() {
        let rows = [
            ("GET /a?b HTTP/1.1\r\nHost: a\r\n\r\n", "GET /a?b HTTP/1.1\r\nHost: a\r\nVia: 1.1 aurora\r\n\r\n"),
            // The authority of the target counts, and the field with another one is gone.
            (
                "GET http://b:80/a?b HTTP/1.1\r\nHost: b:80\r\n\r\n",
                "GET /a?b HTTP/1.1\r\nHost: b:80\r\nVia: 1.1 aurora\r\n\r\n",
            ),
            ("GET http://b HTTP/1.1\r\nHost: b\r\n\r\n", "GET / HTTP/1.1\r\nHost: b\r\nVia: 1.1 aurora\r\n\r\n"),
            (
                "OPTIONS http://b HTTP/1.1\r\nHost: b\r\n\r\n",
                "OPTIONS * HTTP/1.1\r\nHost: b\r\nVia: 1.1 aurora\r\n\r\n",
            ),
            ("GET http://b?x HTTP/1.1\r\nHost: b\r\n\r\n", "GET /?x HTTP/1.1\r\nHost: b\r\nVia: 1.1 aurora\r\n\r\n"),
            ("GET http://b/? HTTP/1.1\r\nHost: b\r\n\r\n", "GET /? HTTP/1.1\r\nHost: b\r\nVia: 1.1 aurora\r\n\r\n"),
            (
                "OPTIONS http://b?x HTTP/1.1\r\nHost: b\r\n\r\n",
                "OPTIONS /?x HTTP/1.1\r\nHost: b\r\nVia: 1.1 aurora\r\n\r\n",
            ),
            ("OPTIONS * HTTP/1.1\r\nHost: b\r\n\r\n", "OPTIONS * HTTP/1.1\r\nHost: b\r\nVia: 1.1 aurora\r\n\r\n"),
            // One without a host gets the upstream's.
            ("GET / HTTP/1.0\r\n\r\n", "GET / HTTP/1.1\r\nHost: \r\nVia: 1.0 aurora\r\n\r\n"),
            (
                "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nVia: 1.1 x\r\n\r\n",
                "POST / HTTP/1.1\r\nHost: a\r\nVia: 1.1 x\r\nVia: 1.1 aurora\r\nContent-Length: 0\r\n\r\n",
            ),
            (
                "POST / HTTP/1.1\r\nHost: a\r\ntransfer-encoding: Chunked\r\nExpect: 100-continue\r\n\r\n",
                "POST / HTTP/1.1\r\nHost: a\r\nVia: 1.1 aurora\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n",
            ),
            // Fields between two neighbours, named or not.
            (
                "GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, X-Mine\r\nX-Mine: 1\r\nTE: trailers\r\nTrailer: x\r\n\
                 Keep-Alive: 1\r\nProxy-Connection: x\r\nProxy-Authorization: x\r\nUpgrade: h2c\r\nX-Yours: 2\r\n\r\n",
                "GET / HTTP/1.1\r\nHost: a\r\nX-Yours: 2\r\nVia: 1.1 aurora\r\n\r\n",
            ),
            // What frames and directs the request does not depend on what the client names there.
            (
                "POST / HTTP/1.1\r\nHost: a\r\nConnection: Host, Content-Length, Cookie, Via\r\nCookie: x\r\nContent-Length: 3\r\n\r\n",
                "POST / HTTP/1.1\r\nHost: a\r\nVia: 1.1 aurora\r\nContent-Length: 3\r\n\r\n",
            ),
            // What a client claims about itself.
            (
                "GET / HTTP/1.1\r\nHost: a\r\nForwarded: for=x\r\nX-Forwarded-For: x\r\nx-forwarded-proto: https\r\n\
                 X-Forwarded-Host: x\r\n\r\n",
                "GET / HTTP/1.1\r\nHost: a\r\nVia: 1.1 aurora\r\n\r\n",
            ),
        ];
        for (request, expected) in rows {
            let found = written(request.as_bytes(), &config(), None, None);
            assert_eq!(found.as_deref(), Some(expected), "{request}");
        }
    }

    #[test]
    fn the_chain_of_proxies_is_replaced_extended_or_passed() {
        let request = b"GET / HTTP/1.1\r\nHost: a\r\nForwarded: for=x\r\nX-Forwarded-For: 1.2.3.4\r\nX-Forwarded-For: 5.6.7.8\r\n\
            X-Forwarded-Proto: https\r\n\r\n";
        let rows = [
            (
                Chain::Replace,
                "X-Forwarded-For: unknown\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: a\r\n\
                 Forwarded: for=unknown;host=\"a\";proto=http\r\n",
            ),
            (
                Chain::Append,
                "X-Forwarded-For: 1.2.3.4, 5.6.7.8, unknown\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: a\r\n\
                 Forwarded: for=x, for=unknown;host=\"a\";proto=http\r\n",
            ),
            (Chain::Remove, ""),
            (
                Chain::Pass,
                "Forwarded: for=x\r\nX-Forwarded-For: 1.2.3.4\r\nX-Forwarded-For: 5.6.7.8\r\nX-Forwarded-Proto: https\r\n",
            ),
        ];
        for (chain, expected) in rows {
            let found = written(request, &config().x_forwarded(chain).forwarded(chain), None, None);
            let expected = format!("GET / HTTP/1.1\r\nHost: a\r\n{expected}Via: 1.1 aurora\r\n\r\n");
            assert_eq!(found, Some(expected), "{chain:?}");
        }
    }

    #[test]
    fn hops_upgrades_and_hosts_are_the_proxys() {
        let request = b"OPTIONS / HTTP/1.1\r\nHost: a\r\nMax-Forwards: 7\r\nConnection: upgrade\r\nUpgrade: websocket, h2c\r\n\r\n";
        let found = written(request, &config().replace_host(), Some(6), Some("websocket"));
        let expected = "OPTIONS / HTTP/1.1\r\nHost: \r\nVia: 1.1 aurora\r\nMax-Forwards: 6\r\nConnection: Upgrade\r\n\
            Upgrade: websocket\r\n\r\n";
        assert_eq!(found.as_deref(), Some(expected));
    }

    proptest! {
        /// Whatever request the server accepts, it accepts what is written of it, and reads the same in both.
        #[test]
        fn what_is_written_is_read_the_same(
            target in "(/[!-~]{0,20})|(http://[a-z]{1,5}(:[0-9]{1,4})?(/[a-z]{0,5})?)",
            fields in prop::collection::vec(("[A-Za-z-]{1,12}", "[ -~]{0,20}"), 0..6),
            framing in prop::sample::select(vec!["", "Content-Length: 17\r\n", "Transfer-Encoding: chunked\r\n"]),
        ) {
            let fields: String = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
            let request = format!("POST {target} HTTP/1.1\r\nHost: a\r\n{fields}{framing}\r\n");
            let Some(found) = written(request.as_bytes(), &config().x_forwarded(Chain::Append), None, None) else {
                return Ok(());
            };
            let facts = |head: &str| {
                parsed(head.as_bytes(), |request| {
                    let query = request.query().map(|query| query.as_bytes().to_vec());
                    let host = request.host().map(<[u8]>::to_vec);
                    (request.method().as_str().to_owned(), request.path().to_vec(), query, host, request.body_length())
                }).map_err(|error| format!("{error:?}: {head}"))
            };
            let ours = facts(&found);
            prop_assert!(matches!(&ours, Ok(Some(_))), "{:?}", ours);
            prop_assert_eq!(facts(&request), ours);
        }
    }
}
