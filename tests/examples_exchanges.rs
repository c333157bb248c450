//! Runs the examples of deferred answers, upgrades and logging as their users do.
#![cfg(has_backend)]

#[path = "support/example.rs"]
mod example;
#[path = "support/http.rs"]
mod http;

use std::io::{BufRead, BufReader};
use std::time::{Duration, Instant};

use example::Example;
use http::Client;
use rustix::process::Signal;

#[test]
fn deferred_answers_at_the_requested_time_in_any_order() {
    let server = Example::start("deferred", &["--workers", "2"]);
    let began = Instant::now();
    let mut slow = Client::connect(server.address);
    slow.send("GET /later?ms=200 HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut quick = Client::connect(server.address);
    for _ in 0..20 {
        assert_eq!(quick.get("/now").text(), "after 0 ms\n");
    }
    let response = quick.get("/later?ms=20");
    assert_eq!((response.status, response.text()), (200, "after 20 ms\n"));
    assert!(began.elapsed() >= Duration::from_millis(20));
    assert_eq!(slow.response("GET").text(), "after 200 ms\n");
    assert!(began.elapsed() >= Duration::from_millis(200));
    for (path, status) in [("/later", 400), ("/later?ms=x", 400), ("/later?ms=99999999", 400), ("/", 404)] {
        assert_eq!(quick.get(path).status, status, "{path}");
    }
    // An answer that was deferred before the signal is still sent.
    slow.send("GET /later?ms=1000 HTTP/1.1\r\nHost: a\r\n\r\nGET /now HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(quick.get("/later?ms=50").status, 200, "by now the other request has arrived");
    server.signal(Signal::TERM);
    assert!(quick.is_ended());
    let response = slow.response("GET");
    assert_eq!((response.text(), response.field("Connection")), ("after 1000 ms\n", Some("close")));
    assert!(slow.is_ended());
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn upgrade_echo_speaks_http_until_101_and_lines_after_it() {
    let server = Example::start("upgrade_echo", &["--workers", "1"]);
    let mut client = Client::connect(server.address);
    assert_eq!(client.get("/").text(), "ask for an upgrade to lines\n");
    let other = "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: h2c, websocket\r\n\r\n";
    client.send(other);
    assert_eq!(client.response("GET").status, 200, "an unknown protocol");
    let content = "Content-Length: 2\r\n\r\nhi";
    client.send(format!("POST / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: lines\r\n{content}"));
    assert_eq!(client.response("POST").status, 413, "content before the upgrade");
    client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: other, Lines\r\n\r\nhello\nwor");
    let head = client.head();
    assert!(head.starts_with("HTTP/1.1 101 ") && head.contains("lines"), "{head}");
    assert_eq!(client.take(6), b"HELLO\n", "bytes that came with the request are the first line");
    client.send("ld\n");
    assert_eq!(client.take(6), b"WORLD\n");
    let many = "a line\n".repeat(10_000);
    let sending = client.send_aside(many.clone().into_bytes());
    assert_eq!(client.take(many.len()), many.to_uppercase().as_bytes());
    sending.join().unwrap();
    client.send("quit\nnever seen\n");
    assert_eq!(client.rest(), b"goodbye after 10002 lines\n");
    // A connection that ends in the middle of a line, and one that is cut by the end of the server.
    let mut half = Client::connect(server.address);
    half.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: lines\r\n\r\nhalf");
    half.head();
    half.finish();
    assert!(half.is_ended());
    server.ends_well();
}

#[test]
fn access_log_has_a_line_for_each_response_and_each_connection() {
    let (server, log) = Example::start_logged("access_log", &["--workers", "1"]);
    let mut lines = BufReader::new(log).lines().map(|line| line.expect("a line of text"));
    let mut client = Client::connect(server.address);
    let peer = client.stream().local_addr().unwrap();
    assert_eq!(client.get("/hello?a=b").text(), "/hello");
    assert_eq!(client.get("/missing").status, 404);
    client.send("GET /end HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let response = client.response("GET");
    assert!(client.is_ended());
    let expected = [
        format!("DEBUG connection=0.0 peer={peer}"),
        format!("INFO peer={peer} request=\"GET /hello?a=b\" status=200 bytes="),
        format!("INFO peer={peer} request=\"GET /missing\" status=404 bytes=0 us="),
        format!("WARN peer={peer} refused=\"/missing\" status=404 cause=Handler(Failed(404))"),
        format!("INFO peer={peer} request=\"GET /end\" status=200 bytes={} us=", response.head.len() + 4),
        "INFO connection=0.0 closed=peer_asked requests=3".to_owned(),
    ];
    for expected in &expected {
        let line = lines.next().expect("a line");
        assert!(line.starts_with(expected), "{line}\n{expected}");
    }
    let mut idle = Client::connect(server.address);
    assert_eq!(idle.request("HEAD", "/idle").status, 200);
    server.signal(Signal::TERM);
    assert!(idle.is_ended());
    assert_eq!(server.wait().code(), Some(0));
    let rest: Vec<_> = lines.collect();
    assert!(rest.iter().any(|line| line.contains("request=\"HEAD /idle\" status=200 ")), "{rest:?}");
    assert_eq!(rest.last().map(String::as_str), Some("INFO connection=0.1 closed=stopped requests=1"), "{rest:?}");
}
