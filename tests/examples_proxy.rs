//! The example `proxy` in front of another example and of servers of the test's own.
#![cfg(has_backend)]

#[path = "support/example.rs"]
mod example;
#[path = "support/http.rs"]
mod http;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;

use example::Example;
use http::{Client, DEADLINE, Response};
use rustix::process::Signal;

/// A body of so many bytes, all different from their neighbours.
fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at % 251) as u8).collect()
}

fn proxy(upstream: SocketAddr) -> Example {
    Example::start_with("proxy", &["--workers", "1"], &[("UPSTREAM", &upstream.to_string())])
}

fn bench() -> Example {
    Example::start("bench_server", &["--workers", "1"])
}

fn ends_well(server: Example) {
    server.signal(Signal::TERM);
    assert_eq!(server.wait().code(), Some(0));
}

/// A server that answers one request with exactly these bytes; tells the request.
fn answers(response: &'static [u8]) -> (SocketAddr, thread::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("an address");
    let address = listener.local_addr().expect("an address");
    let answering = thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        stream.set_read_timeout(Some(DEADLINE)).expect("a timeout");
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).expect("a request");
            request.extend(byte);
        }
        stream.write_all(response).expect("a connection");
        String::from_utf8(request).expect("text")
    });
    (address, answering)
}

fn ask(response: &'static [u8], request: &str) -> (String, Response) {
    let (address, answering) = answers(response);
    let proxy = proxy(address);
    let mut client = Client::connect(proxy.address);
    client.send(request);
    let response = client.response(request.split(' ').next().expect("a method"));
    drop(client);
    ends_well(proxy);
    (answering.join().expect("a request"), response)
}

#[test]
fn proxy_passes_content_and_bodies_on_intact() {
    let (bench, length) = (bench(), 10_000_000);
    let proxy = proxy(bench.address);
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
    ends_well(proxy);
    ends_well(bench);
}

#[test]
fn proxy_passes_each_piece_on_when_it_comes() {
    let bench = bench();
    let proxy = proxy(bench.address);
    let mut client = Client::connect(proxy.address);
    client.send("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    for piece in ["one", "two", "three"] {
        client.send(format!("{:x}\r\n{piece}\r\n", piece.len()));
        if piece == "one" {
            client.head();
        }
        let size = format!("{:05x}\r\n", piece.len());
        let chunk = client.take(size.len() + piece.len() + 2);
        assert_eq!(String::from_utf8_lossy(&chunk), format!("{size}{piece}\r\n"));
    }
    client.send("0\r\n\r\n");
    assert_eq!(client.take(5), b"0\r\n\r\n");
    drop(client);
    ends_well(proxy);
    ends_well(bench);
}

#[test]
fn proxy_writes_the_fields_of_each_connection_anew() {
    let (request, response) = ask(
        b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\nHTTP/1.1 200 OK\r\nConnection: X-Hop, close\r\n\
          Transfer-Encoding: chunked\r\nX-Hop: 1\r\nX-End: 1\r\nVia: 1.1 other\r\n\r\n3;a=b\r\nabc\r\n2\r\nde\r\n0\r\nX-Trailer: 1\r\n\r\n",
        "PATCH /a?b HTTP/1.1\r\nHost: example.org\r\nConnection: keep-alive, X-Mine\r\nX-Mine: 1\r\nTE: trailers\r\nX-Yours: 2\r\n\r\n",
    );
    let lines: Vec<_> = request.lines().collect();
    assert_eq!(lines[..3], ["PATCH /a?b HTTP/1.1", "Host: example.org", "X-Yours: 2"]);
    assert_eq!(lines[3], "Via: 1.1 aurora");
    assert!(lines[4].starts_with("Forwarded: for=\"127.0.0.1:"), "{request}");
    assert_eq!(lines[5..], ["Connection: close", ""]);
    assert_eq!((response.status, response.text()), (200, "abcde"));
    assert_eq!((response.field("X-End"), response.field("X-Hop")), (Some("1"), None));
    assert!(response.head.contains("\r\nVia: 1.1 other\r\n") && response.head.contains("\r\nVia: 1.1 aurora\r\n"));
}

#[test]
fn proxy_knows_where_a_body_ends() {
    let get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let (_, response) = ask(b"HTTP/1.0 200 OK\r\n\r\nuntil the end", get);
    assert_eq!(response.text(), "until the end");
    let (_, response) = ask(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfour, and more", get);
    assert_eq!(response.text(), "four");
    let (_, response) = ask(b"HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\n\r\n", get);
    assert_eq!((response.status, response.field("ETag")), (304, Some("\"a\"")));
    // Bodies that are cut are seen to be.
    for cut in [
        &b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfour"[..],
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nfour",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nfour\r\nnonsense\r\n",
    ] {
        let (address, _) = answers(cut);
        let proxy = proxy(address);
        let mut client = Client::connect(proxy.address);
        client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        let (head, body) = (client.head(), client.rest());
        drop(client);
        // As long as nothing of it has left, another answer can take its place.
        let is_refused = head.starts_with("HTTP/1.1 500 ");
        let is_cut = head.contains("\r\nContent-Length: 10\r\n") && body.len() < 10
            || head.contains("chunked") && !body.ends_with(b"0\r\n\r\n");
        assert!(is_refused || is_cut, "{head}{}", body.escape_ascii());
        ends_well(proxy);
    }
}

#[test]
fn proxy_says_what_is_wrong_behind_it() {
    // Nobody listens there any more.
    let dead = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("an address");
    let proxy = proxy(dead);
    let mut client = Client::connect(proxy.address);
    assert_eq!(client.get("/").status, 502);
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello");
    assert_eq!(client.response("POST").status, 502);
    drop(client);
    ends_well(proxy);
    for nonsense in [&b""[..], b"HTTP/1.1 200 OK\r\nA: b", b"nonsense\r\n\r\n"] {
        let (_, response) = ask(nonsense, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(response.status, 502);
    }
    // It takes the request, and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").expect("an address");
    let proxy = self::proxy(silent.local_addr().expect("an address"));
    let mut client = Client::connect(proxy.address);
    assert_eq!(client.get("/").status, 504);
    drop(client);
    ends_well(proxy);
}

#[test]
fn proxy_is_as_fast_as_the_slower_side() {
    let bench = bench();
    let proxy = proxy(bench.address);
    // A client that does not read holds the whole chain up, and no more than its buffers.
    let before = memory_kb(&proxy);
    let mut slow = Client::connect(proxy.address);
    slow.send("GET /bytes/300000000 HTTP/1.1\r\nHost: a\r\n\r\n");
    slow.head();
    let mut other = Client::connect(proxy.address);
    assert_eq!(other.get("/bytes/50000000").body.len(), 50_000_000, "others are served");
    let grown = memory_kb(&proxy).saturating_sub(before);
    assert!(grown < 20_000, "{grown} KiB more");
    // One that goes away ends the chain.
    drop(slow);
    drop(other);
    ends_well(proxy);
    ends_well(bench);
}

/// What the process has in memory.
fn memory_kb(example: &Example) -> u64 {
    let Ok(status) = std::fs::read_to_string(format!("/proc/{}/status", example.pid())) else { return 0 };
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok()).expect("a number")
}

#[test]
fn proxy_gives_up_what_its_client_gave_up() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("an address");
    let proxy = proxy(listener.local_addr().expect("an address"));
    let mut client = Client::connect(proxy.address);
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\npart");
    let (mut stream, _): (TcpStream, _) = listener.accept().expect("a connection");
    stream.set_read_timeout(Some(DEADLINE)).expect("a timeout");
    let mut received = Vec::new();
    while !received.ends_with(b"part") {
        let mut bytes = [0; 1_000];
        let count = stream.read(&mut bytes).expect("a request");
        received.extend(&bytes[..count]);
    }
    drop(client);
    assert!(matches!(stream.read(&mut [0]), Ok(0) | Err(_)), "the end, and not content");
    ends_well(proxy);
}
