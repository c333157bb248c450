//! The example `proxy` in front of other examples, between real clients and servers.
#![cfg(has_backend)]

#[path = "support/example.rs"]
mod example;
#[path = "support/http.rs"]
mod http;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;

use aurora_http::core::proxy_header::ProxyHeader;
use example::Example;
use http::{Client, DEADLINE, pattern};
use tungstenite::Message;

fn proxy(upstreams: &[SocketAddr]) -> Example {
    let upstreams: Vec<String> = upstreams.iter().map(SocketAddr::to_string).collect();
    let arguments = [&upstreams[..], &["--workers".to_owned(), "1".to_owned()]].concat();
    Example::start("proxy", &arguments.iter().map(String::as_str).collect::<Vec<_>>())
}

fn bench() -> Example {
    Example::start("bench_server", &["--workers", "1"])
}

#[test]
fn proxy_passes_content_and_bodies_on_intact() {
    let (bench, length) = (bench(), 10_000_000);
    let proxy = proxy(&[bench.address]);
    let mut client = Client::connect(proxy.address);
    assert_eq!(client.get("/json").text(), "{\"message\":\"Hello, World!\"}");
    assert_eq!(client.get("/missing").status, 404);
    let response = client.request("HEAD", "/bytes/1000");
    assert_eq!((response.status, response.field("Content-Length")), (200, Some("1000")));
    assert_eq!(client.get(&format!("/bytes/{length}")).body.len(), length);
    let content = pattern(length);
    let head = "POST /echo HTTP/1.1\r\nHost: a\r\n";
    let sending = client.send_aside([format!("{head}Content-Length: {length}\r\n\r\n").as_bytes(), &content].concat());
    assert!(client.response("POST").body == content);
    sending.join().expect("all was sent");
    let mut chunked = format!("{head}Transfer-Encoding: chunked\r\n\r\n").into_bytes();
    for chunk in content.chunks(77_777) {
        chunked.extend([format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat());
    }
    chunked.extend(b"0\r\n\r\n");
    let sending = client.send_aside(chunked);
    assert!(client.response("POST").body == content);
    sending.join().expect("all was sent");
    drop(client);
    proxy.ends_well();
    bench.ends_well();
}

/// curl as a balancer: it tells its own address.
#[test]
fn proxy_believes_a_balancer() {
    let upstream = TcpListener::bind("127.0.0.1:0").expect("an address");
    let address = upstream.local_addr().expect("an address").to_string();
    let proxy = Example::start("proxy", &[&address, "--workers", "1", "--accept-proxy", "--proxy-protocol", "2"]);
    let url = format!("http://{}/", proxy.address);
    let curl = Command::new("curl").args(["--silent", "--haproxy-protocol", "--max-time", "20", &url]).spawn();
    let mut curl = match curl {
        Ok(curl) => curl,
        Err(error) => return println!("SKIPPED: curl does not start ({error})"),
    };
    let (mut stream, _) = upstream.accept().expect("a connection");
    stream.set_read_timeout(Some(DEADLINE)).expect("a timeout");
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") || request.len() < 28 {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("a request");
        request.extend(byte);
    }
    let Ok(Some((ProxyHeader::Client { source, .. }, 28))) = ProxyHeader::decode(&request) else {
        panic!("{request:?}")
    };
    // curl says the same as the socket.
    assert!(source.ip().is_loopback() && source.port() != 0, "{source}");
    assert!(String::from_utf8_lossy(&request[28..]).contains("\r\nX-Forwarded-For: 127.0.0.1\r\n"));
    stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").expect("a connection");
    assert!(curl.wait().expect("curl ends").success());
    proxy.ends_well();
}

/// Requests of curl on one connection, with content that waits for a 100, over a proxy whose first upstream is down.
#[test]
fn proxy_serves_curl() {
    let dead = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("an address");
    let bench = bench();
    let proxy = proxy(&[dead, bench.address]);
    let url = |path: &str| format!("http://{}{path}", proxy.address);
    let content = "x".repeat(2_000_000);
    let mut curl = Command::new("curl");
    curl.args([
        "--silent",
        "--show-error",
        "--fail",
        "--max-time",
        "20",
        "--write-out",
        "%{http_code} %{num_connects} ",
    ]);
    curl.args(["--header", "Expect: 100-continue", "--data-binary", "@-", &url("/echo"), "--output", "/dev/null"]);
    curl.args([
        "--next",
        "--silent",
        "--write-out",
        "%{http_code} %{num_connects} ",
        &url("/json"),
        "--output",
        "/dev/null",
    ]);
    curl.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
    let mut curl = match curl.spawn() {
        Ok(curl) => curl,
        Err(error) => return println!("SKIPPED: curl does not start ({error})"),
    };
    let mut stdin = curl.stdin.take().expect("a pipe");
    stdin.write_all(content.as_bytes()).expect("curl reads it");
    drop(stdin);
    let output = curl.wait_with_output().expect("curl ends");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "200 1 200 0 ");
    proxy.ends_well();
    bench.ends_well();
}

#[test]
fn proxy_says_what_is_wrong_behind_it() {
    // Nobody listens there any more.
    let dead = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("an address");
    let proxy = proxy(&[dead]);
    let mut client = Client::connect(proxy.address);
    assert_eq!(client.get("/").status, 502);
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello");
    assert_eq!(client.response("POST").status, 502);
    drop(client);
    proxy.ends_well();
}

#[test]
fn proxy_is_as_fast_as_the_slower_side() {
    let bench = bench();
    let proxy = proxy(&[bench.address]);
    // A client that does not read holds the whole chain up, and no more than its buffers.
    let before = memory_kb(&proxy);
    let mut slow = Client::connect(proxy.address);
    slow.send("GET /bytes/300000000 HTTP/1.1\r\nHost: a\r\n\r\n");
    slow.head();
    let mut other = Client::connect(proxy.address);
    assert_eq!(other.get("/bytes/50000000").body.len(), 50_000_000, "others are served");
    let grown = memory_kb(&proxy).saturating_sub(before);
    assert!(grown < 10_000, "{grown} KiB more");
    // One that goes away ends the chain.
    drop(slow);
    drop(other);
    proxy.ends_well();
    bench.ends_well();
}

/// What the process has in memory.
fn memory_kb(example: &Example) -> u64 {
    let Ok(status) = std::fs::read_to_string(format!("/proc/{}/status", example.pid())) else { return 0 };
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok()).expect("a number")
}

#[test]
fn proxy_passes_websockets_through() {
    let chat = Example::start("chat", &["--workers", "1"]);
    let proxy = proxy(&[chat.address]);
    let join = || {
        let stream = TcpStream::connect(proxy.address).expect("a connection");
        stream.set_read_timeout(Some(DEADLINE)).expect("a timeout");
        tungstenite::client(format!("ws://{}/", proxy.address), stream).expect("a handshake").0
    };
    let (mut one, mut two) = (join(), join());
    for text in ["hello", "are you there?"] {
        one.send(Message::text(text)).expect("it is sent");
        for socket in [&mut one, &mut two] {
            while !socket.read().expect("a message").to_text().expect("text").contains(text) {}
        }
    }
    for mut socket in [one, two] {
        socket.close(None).expect("a close");
        while socket.read().is_ok() {}
    }
    proxy.ends_well();
    chat.ends_well();
}
