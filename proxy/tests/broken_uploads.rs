//! Upstreams that stop taking a request. They are Unix-domain sockets, where that is seen at once, and without the end of what the
//! upstream sends.
#![cfg(unix)]

mod support;

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;

use aurora_http_proxy::{Config, ProxyLimits};
use support::http::{DEADLINE, eventually};
use support::{GET, Rig, limits};

struct Upstream {
    path: PathBuf,
    listener: UnixListener,
}

impl Upstream {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("aurora-proxy-{name}-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let listener = UnixListener::bind(&path).expect("a socket");
        Self { path, listener }
    }

    fn rig(&self, limits: ProxyLimits) -> Rig {
        Rig::new(Config::new([format!("unix:{}", self.path.display())]).expect("an upstream").limits(limits))
    }

    fn accept(&self) -> UnixStream {
        let (stream, _) = self.listener.accept().expect("a connection");
        stream.set_read_timeout(Some(DEADLINE)).expect("a timeout");
        stream
    }

    /// The next connection, after the head of its first request.
    fn accept_request(&self) -> UnixStream {
        let mut stream = self.accept();
        through(&mut stream, b"\r\n\r\n");
        stream
    }

    /// Answers a request, so that its connection is kept, and takes nothing more from it.
    fn deaf_after_one(&self, rig: &Rig, client: &mut support::http::Client) -> UnixStream {
        client.send(GET);
        let mut stream = self.accept_request();
        answer(&mut stream);
        assert_eq!(client.response("GET").status, 200);
        assert_eq!(rig.proxy.counters().kept, 1);
        stream.shutdown(Shutdown::Read).expect("a connection");
        stream
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

fn through(stream: &mut UnixStream, end: &[u8]) -> Vec<u8> {
    let (mut bytes, mut byte) = (Vec::new(), [0]);
    while !bytes.ends_with(end) {
        stream.read_exact(&mut byte).expect("a request");
        bytes.extend(byte);
    }
    bytes
}

fn answer(stream: &mut UnixStream) {
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").expect("a connection");
}

/// A request is sent again as a whole or not at all.
#[test]
fn a_request_that_is_sent_again_has_its_content() {
    for (name, request, content) in [
        ("length", "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", &b"hello"[..]),
        (
            "chunks",
            "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
            b"5\r\nhello\r\n0\r\n\r\n",
        ),
    ] {
        let upstream = Upstream::new(name);
        let rig = upstream.rig(limits());
        let mut client = rig.client();
        let deaf = upstream.deaf_after_one(&rig, &mut client);
        client.send(request);
        eventually(|| rig.proxy.counters().reused == 1, "it is tried on the kept connection");
        drop(deaf);
        let mut stream = upstream.accept_request();
        assert_eq!(through(&mut stream, content), content);
        answer(&mut stream);
        assert_eq!(client.response("PUT").status, 200);
        assert_eq!(rig.proxy.counters().retried, 1);
    }
}

/// The client has been asked for its content, and sends it after the request was sent again.
#[test]
fn content_that_comes_late_goes_to_the_new_connection() {
    for expects in ["", "Expect: 100-continue\r\n"] {
        let upstream = Upstream::new(&format!("late{}", expects.len()));
        let rig = upstream.rig(ProxyLimits { continue_timeout_ms: 20, ..limits() });
        let mut client = rig.client();
        client.send(GET);
        let mut kept = upstream.accept_request();
        answer(&mut kept);
        assert_eq!(client.response("GET").status, 200);
        client.send(format!("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n{expects}\r\n"));
        through(&mut kept, b"\r\n\r\n");
        if !expects.is_empty() {
            assert!(client.head().starts_with("HTTP/1.1 100 "));
        }
        drop(kept);
        let mut stream = upstream.accept_request();
        client.send("hello");
        assert_eq!(through(&mut stream, b"hello"), b"hello");
        answer(&mut stream);
        assert_eq!(client.response("PUT").status, 200);
        assert_eq!((rig.proxy.counters().retried, rig.proxy.counters().kept), (1, 1));
    }
}

/// One that takes nothing more and says nothing.
#[test]
fn an_upload_that_was_broken_off_waits_no_longer_than_others() {
    let upstream = Upstream::new("silent");
    let rig = upstream.rig(ProxyLimits { transfer_timeout_ms: 50, ..limits() });
    let post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n";
    // Not even the head.
    let mut client = rig.client();
    let deaf = upstream.deaf_after_one(&rig, &mut client);
    client.send(format!("{post}hello"));
    assert_eq!(client.response("POST").status, 504);
    drop((client, deaf));
    // The head, but not the content.
    let mut client = rig.client();
    client.send(post);
    let deaf = upstream.accept_request();
    deaf.shutdown(Shutdown::Read).expect("a connection");
    client.send("hello");
    assert_eq!(client.response("POST").status, 504);
    assert_eq!(rig.proxy.counters().timed_out, 2);
    // It may still have an answer.
    client.send(post);
    let mut deaf = upstream.accept_request();
    deaf.shutdown(Shutdown::Read).expect("a connection");
    client.send("hello");
    answer(&mut deaf);
    assert_eq!(client.response("POST").status, 200);
    assert_eq!(rig.proxy.counters().kept, 0);
}
