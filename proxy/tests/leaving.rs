//! Clients and upstreams that leave after every byte. One test, since it counts the descriptors of the process.
#![cfg(unix)]

mod support;

use std::io::Write;
use std::net::Shutdown;

use support::http::eventually;
use support::{Rig, Upstream};

const POST: &str = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
const RESPONSES: [&str; 3] = [
    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
];

/// `None` where the system does not tell.
fn descriptors() -> Option<usize> {
    std::fs::read_dir("/proc/self/fd").ok().map(Iterator::count)
}

#[test]
fn whoever_leaves_whenever_nothing_is_left_behind() {
    let before = descriptors();
    let upstream = Upstream::new();
    let rig = Rig::new(upstream.config().tunnels([upstream.name()]).expect("a target"));
    RESPONSES.iter().for_each(|response| upstream_leaves(&rig, &upstream, response));
    client_leaves(&rig, &upstream);
    client_leaves_during_the_response(&rig, &upstream);
    tunnels_end(&rig, &upstream);
    assert!(upstream.is_left_alone());
    drop((rig, upstream));
    eventually(|| descriptors() == before, "all descriptors are closed");
}

/// Only a complete response looks complete.
fn upstream_leaves(rig: &Rig, upstream: &Upstream, response: &str) {
    for count in 0..=response.len() {
        let mut client = rig.client();
        client.send(POST);
        let mut peer = upstream.accept();
        peer.through("0\r\n\r\n");
        peer.send(&response[..count]);
        drop(peer);
        client.finish();
        let received = String::from_utf8(client.rest()).expect("text");
        let status =
            received.strip_prefix("HTTP/1.1 100 Continue\r\n\r\n").unwrap_or(&received).get(9..12).unwrap_or("none");
        if count == response.len() {
            assert!(["200", "204"].contains(&status), "{received}");
            assert!(
                response.contains(" 204 ")
                    || received.ends_with("hello")
                    || received.ends_with("\r\nhello\r\n0\r\n\r\n")
            );
        } else {
            let is_cut = status == "200" && !received.ends_with("hello") && !received.ends_with("0\r\n\r\n");
            assert!(status == "502" || is_cut, "{count}: {received}");
        }
    }
    eventually(|| rig.proxy.counters().in_flight == 0 && rig.proxy.counters().kept == 0, "all has ended");
}

fn client_leaves(rig: &Rig, upstream: &Upstream) {
    let head_len = POST.find("5\r\n").expect("content");
    for count in 0..POST.len() {
        for how in [Shutdown::Both, Shutdown::Write] {
            let mut client = rig.client();
            client.send(&POST[..count]);
            if count < head_len {
                let _ = client.stream().shutdown(how);
                continue;
            }
            let mut peer = upstream.accept_request();
            let _ = client.stream().shutdown(how);
            assert!(!String::from_utf8_lossy(&peer.rest()).ends_with("0\r\n\r\n"), "{count}");
        }
    }
    eventually(|| rig.proxy.counters().in_flight == 0 && rig.proxy.counters().kept == 0, "all has ended");
}

fn client_leaves_during_the_response(rig: &Rig, upstream: &Upstream) {
    let response = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello";
    for count in 0..response.len() {
        let mut client = rig.client();
        client.send(POST);
        let mut peer = upstream.accept();
        peer.through("0\r\n\r\n");
        peer.send(&response[..count]);
        drop(client);
        // Before the head, that is a client that sends no more, but may still receive.
        let _ = peer.stream.write_all(&response.as_bytes()[count..]);
        assert!(peer.is_ended(), "{count}");
    }
    eventually(|| rig.proxy.counters().in_flight == 0 && rig.proxy.counters().kept == 0, "all has ended");
}

/// Either side closes while bytes of the other are under way.
fn tunnels_end(rig: &Rig, upstream: &Upstream) {
    let name = upstream.name();
    for count in 0..20 {
        let mut client = rig.client();
        client.send(format!("CONNECT {name} HTTP/1.1\r\nHost: {name}\r\n\r\n"));
        assert!(client.head().starts_with("HTTP/1.1 200 "));
        let mut peer = upstream.accept();
        client.send("x".repeat(count * 10_000));
        peer.send("x".repeat(count * 10_000));
        if count % 2 == 0 {
            drop(client);
            let _ = std::io::copy(&mut peer.stream, &mut std::io::sink());
        } else {
            drop(peer);
            let _ = std::io::copy(&mut client.stream(), &mut std::io::sink());
        }
    }
    eventually(|| rig.proxy.counters().in_flight == 0, "all has ended");
}
