//! WebSockets and other protocols through the proxy, and tunnels.
#![cfg(unix)]

mod support;

use std::net::TcpStream;
use std::thread;

use aurora_http_proxy::ProxyLimits;
use support::http::{Client, eventually, pattern};
use support::{GET, Rig, Upstream, limits, start, start_with};

const UPGRADE: &str = "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Key: x\r\n\r\n";

fn switched(client: &mut Client, upstream: &Upstream) -> support::Peer {
    client.send(UPGRADE);
    let mut peer = upstream.accept();
    let head = peer.head();
    assert!(head.contains("\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"), "{head}");
    assert!(head.contains("\r\nSec-WebSocket-Key: x\r\n"), "{head}");
    peer.send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: y\r\n\r\nfirst");
    let head = client.head();
    assert!(head.starts_with("HTTP/1.1 101 ") && head.contains("\r\nSec-WebSocket-Accept: y\r\n"), "{head}");
    assert_eq!(client.take(5), b"first", "what came along with the head");
    peer
}

#[test]
fn both_sides_speak_when_they_like() {
    let (upstream, _rig, mut client) = start();
    let mut peer = switched(&mut client, &upstream);
    for _ in 0..3 {
        client.send("ping");
        assert_eq!(peer.take(4), b"ping");
        peer.send("pong");
        assert_eq!(client.take(4), b"pong");
    }
    peer.send("unasked");
    assert_eq!(client.take(7), b"unasked");
    // The client's end is passed on; what the upstream still sends arrives.
    client.finish();
    assert!(peer.is_ended());
    peer.send("last words");
    assert_eq!(client.take(10), b"last words");
    drop(peer);
    assert!(client.is_ended());
}

#[test]
fn long_streams_pass_in_both_directions_at_once() {
    let (upstream, _rig, mut client) = start();
    let mut peer = switched(&mut client, &upstream);
    let content = pattern(5_000_000);
    let sending = client.send_aside(content.clone());
    let expected = content.clone();
    let echoing = thread::spawn(move || {
        let mut received = Vec::new();
        while received.len() < expected.len() {
            let piece = peer.take((expected.len() - received.len()).min(50_000));
            peer.send(&piece);
            received.extend(piece);
        }
        assert!(received == expected);
        peer
    });
    assert!(client.take(content.len()) == content);
    sending.join().expect("all was sent");
    drop(echoing.join().expect("all was echoed"));
    assert!(client.is_ended(), "the upstream's end is passed on");
}

#[test]
fn an_upgrade_that_is_declined_is_a_response() {
    let (upstream, _rig, mut client) = start();
    client.send(UPGRADE);
    let mut peer = upstream.accept();
    peer.serve("plain");
    assert_eq!(client.response("GET").text(), "plain");
    // HTTP goes on.
    client.send(GET);
    peer.serve("more");
    assert_eq!(client.response("GET").text(), "more");
}

/// Requests in another version of HTTP would escape all rules.
#[test]
fn protocols_that_are_not_allowed_are_not_offered() {
    let (upstream, _rig, mut client) = start();
    client.send(
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\n\r\n",
    );
    let mut peer = upstream.accept();
    let head = peer.serve("plain");
    assert!(!head.to_ascii_lowercase().contains("upgrade") && !head.contains("HTTP2-Settings"), "{head}");
    assert_eq!(client.response("GET").text(), "plain");
}

#[test]
fn silence_ends_a_tunnel() {
    let (upstream, rig, mut client) =
        start_with(|config| config.limits(ProxyLimits { tunnel_timeout_ms: 100, ..limits() }));
    let mut peer = switched(&mut client, &upstream);
    assert!(client.is_ended() && peer.is_ended());
    assert_eq!(rig.proxy.counters().cut_off, 1);
}

#[test]
fn a_tunnel_leads_only_where_it_is_allowed() {
    let (upstream, target) = (Upstream::new(), Upstream::new());
    let connect = |name: &str| format!("CONNECT {name} HTTP/1.1\r\nHost: {name}\r\n\r\n");
    let rig = Rig::new(upstream.config());
    let mut client = rig.client();
    client.send(connect(&target.name()));
    assert_eq!(client.response("CONNECT").status, 403);

    let rig = Rig::new(upstream.config().tunnels([target.name()]).expect("a target"));
    let mut client = rig.client();
    client.send(connect(&upstream.name()));
    assert_eq!(client.response("CONNECT").status, 403);
    drop(client);
    // Bytes that the client sends at once are the target's.
    let mut client = rig.client();
    client.send(connect(&target.name()) + "early");
    assert!(client.head().starts_with("HTTP/1.1 200 "));
    let mut peer = target.accept();
    assert_eq!(peer.take(5), b"early");
    peer.send("hello");
    assert_eq!(client.take(5), b"hello");
    client.finish();
    assert!(peer.is_ended());
    peer.send("bye");
    peer.finish();
    assert_eq!(client.rest(), b"bye");
    drop(client);
    assert!(upstream.is_left_alone());
    eventually(|| rig.proxy.counters().in_flight == 0, "the tunnel is over");
}

#[test]
fn a_websocket_passes_through() {
    use tungstenite::Message;

    let upstream = Upstream::new();
    let rig = Rig::new(upstream.config());
    let address = rig.address;
    let talking = thread::spawn(move || {
        let stream = TcpStream::connect(address).expect("a connection");
        stream.set_read_timeout(Some(support::http::DEADLINE)).expect("a timeout");
        let (mut socket, response) = tungstenite::client(format!("ws://{address}/chat"), stream).expect("a handshake");
        assert_eq!(response.status(), 101);
        for length in [0, 5, 126, 70_000, 1_000_000] {
            let message = Message::binary(pattern(length));
            socket.send(message.clone()).expect("it is sent");
            assert_eq!(socket.read().expect("an echo"), message);
        }
        socket.close(None).expect("a close");
        while socket.read().is_ok() {}
    });
    let mut socket = tungstenite::accept(upstream.accept().stream).expect("a handshake");
    while let Ok(message) = socket.read() {
        if message.is_binary() {
            socket.send(message).expect("it is sent");
        }
    }
    drop(socket);
    talking.join().expect("all was echoed");
}
