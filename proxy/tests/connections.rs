//! Upstream connections: kept, ended, refused, slow.
#![cfg(unix)]

mod support;

use std::io::{Read, Write};
use std::thread;

use aurora_http_proxy::{Config, ProxyLimits};
use support::http::eventually;
use support::{GET, Rig, Upstream, dead, limits, start, start_with};

const POST: &str = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";

#[test]
fn connections_are_kept_for_other_clients() {
    let upstream = Upstream::new();
    let rig = Rig::new(upstream.config());
    let mut peer = None;
    for _ in 0..3 {
        let mut client = rig.client();
        client.send(GET);
        peer.get_or_insert_with(|| upstream.accept()).serve("hello");
        assert_eq!(client.response("GET").text(), "hello");
    }
    let counters = rig.proxy.counters();
    assert_eq!((counters.connected, counters.reused, counters.forwarded), (1, 2, 3));
    assert!(upstream.is_left_alone());
}

/// Responses after which a connection cannot be used again.
#[test]
fn connections_that_are_not_in_order_are_closed() {
    for response in [
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello",
        "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello, and more",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n",
        "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello",
    ] {
        let (upstream, rig, mut client) = start();
        client.send(GET);
        let mut peer = upstream.accept_request();
        peer.send(response);
        client.response("GET");
        assert!(peer.is_ended(), "{response}");
        assert_eq!(rig.proxy.counters().kept, 0);
    }
}

/// Bytes behind a response that are still in the socket when its last byte is taken: the response was received in pieces that its
/// length, or our buffer, has measured out.
#[test]
fn what_follows_a_response_is_nobodys_response() {
    let respond = |head: &str, body_len: usize, more: &str| {
        format!("HTTP/1.1 200 OK\r\nContent-Length: {body_len}\r\n{head}\r\n{}{more}", "x".repeat(body_len))
    };
    let more = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nbad";
    let mut rows = vec![respond("", 10_000, more), respond("", 50_000, more)];
    // With all lengths around those of a receive.
    let head_len = respond("", 4_000, "").len() - 4_000;
    rows.extend((4_090..4_100).map(|len| respond("", len - head_len, more)));
    for response in rows {
        let (upstream, rig, mut client) = start();
        client.send(GET);
        let mut peer = upstream.accept_request();
        peer.send(&response);
        assert_eq!(client.response("GET").status, 200);
        assert!(peer.is_ended(), "{}", response.len());
        upstream.serve_new(&mut client, "good");
        assert_eq!(rig.proxy.counters().retried, 0);
    }
}

/// An upstream that says nothing of the end of its connection, but sends it along with the response.
#[test]
fn a_connection_that_ends_with_its_response_is_not_kept() {
    let upstream = Upstream::new();
    let rig = Rig::new(upstream.config());
    for length in [5, 10_000] {
        let mut client = rig.client();
        client.send(GET);
        let mut peer = upstream.accept_request();
        // Without a body yet, so that its end is seen together with the body.
        peer.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n"));
        client.head();
        peer.send("x".repeat(length));
        peer.finish();
        client.take(length);
        assert!(peer.is_ended(), "{length}");
        eventually(|| rig.proxy.counters().kept == 0, "it is not kept");
    }
    assert_eq!(rig.proxy.counters().retried, 0);
}

/// Bytes that come when nobody has asked are nobody's response.
#[test]
fn a_kept_connection_that_speaks_up_is_closed() {
    let (upstream, rig, mut client) = start();
    let mut peer = upstream.serve_new(&mut client, "hello");
    assert_eq!(rig.proxy.counters().kept, 1);
    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nbad");
    assert!(peer.is_ended());
    upstream.serve_new(&mut client, "good");
}

#[test]
fn kept_connections_are_bounded_in_number_and_time() {
    let upstream = Upstream::new();
    let rig = Rig::new(upstream.config().limits(ProxyLimits { kept_max: 2, kept_timeout_ms: 100, ..limits() }));
    let mut clients: Vec<_> = (0..3).map(|_| rig.client()).collect();
    let mut peers = Vec::new();
    for client in &mut clients {
        client.send(GET);
        peers.push(upstream.accept_request());
    }
    for (client, peer) in clients.iter_mut().zip(&mut peers) {
        peer.answer("hello");
        client.response("GET");
    }
    // The oldest makes room, and the others have their time.
    assert!(peers.iter_mut().all(support::Peer::is_ended));
    eventually(|| rig.proxy.counters().kept == 0, "all are closed");
}

/// An upstream that ends a kept connection just when the next request comes.
#[test]
fn a_stale_connection_is_replaced_once() {
    let (upstream, rig, mut client) = start();
    let mut peer = upstream.serve_new(&mut client, "hello");
    client.send(GET);
    // It has taken the request.
    peer.head();
    drop(peer);
    let mut peer = upstream.accept();
    peer.serve("again");
    assert_eq!(client.response("GET").text(), "again");
    assert_eq!(rig.proxy.counters().retried, 1);
    // A second time in one exchange is an error.
    client.send(GET);
    peer.head();
    drop(peer);
    drop(upstream.accept_request());
    assert_eq!(client.response("GET").status, 502);
}

/// One that ends a kept connection may be about to end as a whole.
#[test]
fn a_stale_connection_is_replaced_by_one_to_another_upstream() {
    let (one, two) = (Upstream::new(), Upstream::new());
    let rig = Rig::new(Config::new([one.name(), two.name()]).expect("upstreams").replace_host());
    let mut client = rig.client();
    let mut peer = one.serve_new(&mut client, "one");
    two.serve_new(&mut client, "two");
    client.send(GET);
    assert!(peer.head().contains(&format!("\r\nHost: {}\r\n", one.name())));
    drop(peer);
    let head = two.accept().serve("again");
    assert!(head.contains(&format!("\r\nHost: {}\r\n", two.name())), "{head}");
    assert_eq!(client.response("GET").text(), "again");
    assert!(one.is_left_alone());
    // A new connection that ends as well is no reason to fail, as long as there is another upstream.
    client.send(GET);
    drop(one.accept_request());
    two.accept().serve("two");
    assert_eq!(client.response("GET").text(), "two");
}

/// A connection that had ended while it was kept says nothing against its upstream, unlike one that could not be made.
#[test]
fn a_stale_connection_is_not_replaced_by_one_to_an_upstream_that_is_left_out() {
    use std::os::unix::net::UnixListener;

    let path = std::env::temp_dir().join(format!("aurora-proxy-out-{}", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let upstream = Upstream::new();
    let config = Config::new([upstream.name(), format!("unix:{}", path.display())]).expect("upstreams");
    let rig = Rig::new(config.limits(ProxyLimits { out_ms: 1_000_000, ..limits() }));
    let mut client = rig.client();
    // The second request finds out that the other upstream cannot be connected to.
    let mut peers = [(); 2].map(|()| upstream.serve_new(&mut client, "hello"));
    let listener = UnixListener::bind(&path).expect("a socket");
    listener.set_nonblocking(true).expect("a socket");
    client.send(GET);
    peers[1].head();
    drop(peers);
    upstream.accept().serve("again");
    assert_eq!(client.response("GET").text(), "again");
    assert!(listener.accept().is_err());
    drop(client);
    std::fs::remove_file(&path).expect("a file");
}

/// Whenever the upstream ends a connection, the next request does not suffer.
#[test]
fn connections_that_end_at_any_moment_are_replaced() {
    let (upstream, rig, mut client) = start();
    for round in 0..100 {
        client.send(GET);
        let mut peer = upstream.accept();
        peer.serve("hello");
        if round % 2 == 0 {
            drop(peer);
            assert_eq!(client.response("GET").text(), "hello");
        } else {
            assert_eq!(client.response("GET").text(), "hello");
            drop(peer);
        }
    }
    assert_eq!(rig.proxy.counters().failed, 0);
}

/// What may have had an effect is not sent again.
#[test]
fn requests_that_are_not_idempotent_are_not_sent_twice() {
    for (request, content) in [
        (POST, "hello"),
        ("POST / HTTP/1.1\r\nHost: a\r\n\r\n", ""),
        ("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", "hello"),
    ] {
        let (upstream, rig, mut client) = start();
        let mut peer = upstream.serve_new(&mut client, "hello");
        client.send(request);
        peer.head();
        assert_eq!(peer.take(content.len()), content.as_bytes());
        drop(peer);
        assert_eq!(client.response("POST").status, 502, "{request}");
        assert!(upstream.is_left_alone());
        assert_eq!((rig.proxy.counters().retried, rig.proxy.counters().reused), (0, 1));
    }
}

/// Before a request that cannot be sent again, the connection is looked at once more.
#[test]
fn a_connection_that_has_ended_is_not_used_for_content() {
    let (upstream, _rig, mut client) = start();
    for _ in 0..20 {
        let peer = upstream.serve_new(&mut client, "hello");
        peer.finish();
        client.send(POST);
        let mut peer = upstream.accept_request();
        assert_eq!(peer.take(5), b"hello");
        peer.send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 4\r\n\r\ntook");
        assert_eq!(client.response("POST").text(), "took");
    }
}

#[test]
fn upstreams_take_turns_and_a_dead_one_is_left_out() {
    let (one, two) = (Upstream::new(), Upstream::new());
    let rig = Rig::new(Config::new([one.name(), dead(), two.name()]).expect("upstreams"));
    let serve = |upstream: Upstream, text: &'static str| {
        thread::spawn(move || {
            for _ in 0..3 {
                let mut peer = upstream.accept_request();
                peer.send(format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 3\r\n\r\n{text}"));
            }
        })
    };
    let (one, two) = (serve(one, "one"), serve(two, "two"));
    let mut client = rig.client();
    let mut texts = Vec::new();
    for number in 0..6 {
        // Nothing has been sent when connecting fails, so content does not matter.
        client.send(if number % 2 == 0 { GET } else { POST });
        texts.push(client.response("GET").text().to_owned());
    }
    assert_eq!(texts.iter().filter(|text| *text == "one").count(), 3, "{texts:?}");
    one.join().expect("three requests");
    two.join().expect("three requests");
}

#[test]
fn without_an_upstream_the_answer_is_502() {
    let rig = Rig::new(Config::new([dead(), dead()]).expect("upstreams"));
    let mut client = rig.client();
    client.send(GET);
    assert_eq!(client.response("GET").status, 502);
    client.send(POST);
    assert_eq!(client.response("POST").status, 502);
    assert_eq!(rig.proxy.counters().failed, 2);
}

#[test]
fn upstreams_that_are_too_slow_are_504_or_cut_off() {
    let fast = ProxyLimits { response_timeout_ms: 50, transfer_timeout_ms: 50, ..limits() };
    let (upstream, rig, mut client) = start_with(|config| config.limits(fast));
    // No response, half a head, and content that is not taken.
    client.send(GET);
    let mut peer = upstream.accept_request();
    assert_eq!(client.response("GET").status, 504);
    assert!(peer.is_ended());
    client.send(GET);
    let mut peer = upstream.accept_request();
    peer.send("HTTP/1.1 200 OK\r\n");
    assert_eq!(client.response("GET").status, 504);
    let upload = client.stream().try_clone().expect("another handle");
    let uploading = thread::spawn(move || {
        let _ = (&upload).write_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n");
        let _ = (&upload).write_all(&vec![0; 100_000_000]);
    });
    let peer_that_does_not_read = upstream.accept();
    assert_eq!(client.response("POST").status, 504);
    drop(client);
    uploading.join().expect("a thread");
    drop(peer_that_does_not_read);
    assert_eq!(rig.proxy.counters().timed_out, 3);
    // A body that stops.
    let rig = Rig::new(upstream.config().limits(ProxyLimits { transfer_timeout_ms: 50, ..limits() }));
    let mut client = rig.client();
    client.send(GET);
    let mut peer = upstream.accept_request();
    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfour");
    let head = client.head();
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert_eq!(client.rest(), b"four");
    let counters = rig.proxy.counters();
    assert_eq!((counters.timed_out, counters.cut_off), (0, 1));
}

/// One that sends something now and then, so that it is never silent for long.
#[test]
fn a_head_in_many_pieces_has_no_more_time_than_another() {
    for piece in ["X: y\r\n", "\r\nHTTP/1.1 103 Early Hints\r\n"] {
        let (upstream, _rig, mut client) =
            start_with(|config| config.limits(ProxyLimits { response_timeout_ms: 100, ..limits() }));
        client.send(GET);
        let mut peer = upstream.accept_request();
        let talking = thread::spawn(move || {
            let _ = peer.stream.write_all(b"HTTP/1.1 103 Early Hints\r\n");
            for _ in 0..500 {
                if peer.stream.write_all(piece.as_bytes()).is_err() {
                    return;
                }
                thread::sleep(std::time::Duration::from_millis(10));
            }
        });
        assert_eq!(client.response("GET").status, 504);
        talking.join().expect("it ends");
    }
}

/// A listener with a full backlog does not answer at all.
#[test]
fn connecting_that_takes_too_long_is_504() {
    use std::net::{TcpListener, TcpStream};

    let listener = TcpListener::bind("127.0.0.1:0").expect("an address");
    let address = listener.local_addr().expect("an address");
    // As many connections as it takes until one is not established.
    let mut waiting = Vec::new();
    loop {
        match TcpStream::connect_timeout(&address, std::time::Duration::from_millis(100)) {
            Ok(stream) => waiting.push(stream),
            Err(_) => break,
        }
        if waiting.len() > 5_000 {
            println!("SKIPPED: this system's backlog has no end");
            return;
        }
    }
    let config = Config::new([address.to_string()]).expect("an upstream");
    let rig = Rig::new(config.limits(ProxyLimits { connect_timeout_ms: 50, ..limits() }));
    let mut client = rig.client();
    client.send(GET);
    assert_eq!(client.response("GET").status, 504);
    drop(client);
    // A second upstream gets the request instead.
    let upstream = Upstream::new();
    let config = Config::new([address.to_string(), upstream.name()]).expect("upstreams");
    let second = Rig::new(config.limits(ProxyLimits { connect_timeout_ms: 500, ..limits() }));
    let mut client = second.client();
    upstream.serve_new(&mut client, "hello");
}

#[test]
fn beyond_the_limit_the_answer_is_503() {
    let (upstream, rig, mut first) = start_with(|config| config.limits(ProxyLimits { in_flight_max: 1, ..limits() }));
    first.send(GET);
    let mut peer = upstream.accept_request();
    let mut second = rig.client();
    second.send(GET);
    assert_eq!(second.response("GET").status, 503);
    peer.answer("hello");
    assert_eq!(first.response("GET").text(), "hello");
    eventually(|| rig.proxy.counters().in_flight == 0, "the exchange is over");
    second.send(GET);
    peer.serve("now");
    assert_eq!(second.response("GET").text(), "now");
    assert_eq!(rig.proxy.counters().refused, 1);
}

#[test]
fn an_upstream_can_be_a_unix_domain_socket() {
    use std::os::unix::net::UnixListener;

    let path = std::env::temp_dir().join(format!("aurora-proxy-{}", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path).expect("a socket");
    let rig = Rig::new(Config::new([format!("unix:{}", path.display())]).expect("an upstream"));
    let mut client = rig.client();
    client.send(GET);
    let (mut stream, _) = listener.accept().expect("a connection");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("a request");
        head.extend(byte);
    }
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello").expect("a connection");
    assert_eq!(client.response("GET").text(), "hello");
    assert_eq!(rig.proxy.counters().kept, 1);
    drop(client);
    std::fs::remove_file(&path).expect("a file");
}
