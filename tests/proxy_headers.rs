//! Servers behind a balancer that tells who the client is, by the PROXY protocol.
#![cfg(all(unix, has_backend))]

#[path = "support/backends.rs"]
mod backends;
#[path = "support/http.rs"]
mod http;

use aurora_http::core::proxy_header::ProxyHeader;
use aurora_http::{Backend, Limits, Running, Server, Timeouts, handler_fn};
use http::Client;

/// A server that tells who its client is.
fn server(backend: Backend, limits: Limits) -> Running {
    let server = Server::bind("127.0.0.1:0").expect("an address").workers(1).limits(limits);
    let running = server.backend(backend).proxy_headers().start(|_worker| {
        handler_fn(|request, response| response.body(request.peer().map_or("?".to_owned(), |peer| format!("{peer:?}"))))
    });
    running.expect("it starts")
}

fn ends(running: Running) {
    running.stop();
    running.join().expect("it ends");
}

fn headers() -> [Vec<u8>; 2] {
    let address = |text: &str| text.parse().expect("an address");
    let header = ProxyHeader::Client { source: address("192.0.2.7:40000"), destination: address("192.0.2.9:80") };
    let mut out = [0; ProxyHeader::ENCODED_BYTES_MAX];
    let first = header.encode_v1(&mut out).expect("room");
    let first = out[..first].to_vec();
    let second = header.encode_v2(&mut out).expect("room");
    [first, out[..second].to_vec()]
}

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";

#[test]
fn the_peer_is_whom_the_header_tells() {
    for backend in backends::backends() {
        let running = server(backend, Limits::default());
        for header in headers() {
            let mut client = Client::connect(running.local_addr());
            client.send([&header, GET].concat());
            assert_eq!(client.response("GET").text(), "Ip(192.0.2.7:40000)");
            // It holds for the whole connection.
            assert_eq!(client.get("/").text(), "Ip(192.0.2.7:40000)");
            // In whichever pieces it comes.
            let mut client = Client::connect(running.local_addr());
            for byte in [&header, GET].concat() {
                client.send([byte]);
            }
            assert_eq!(client.response("GET").text(), "Ip(192.0.2.7:40000)");
        }
        // A health check of the balancer's is the balancer's.
        let mut client = Client::connect(running.local_addr());
        let own = format!("Ip({})", client.stream().local_addr().expect("an address"));
        client.send([&b"PROXY UNKNOWN\r\n"[..], GET].concat());
        assert_eq!(client.response("GET").text(), own);
        // The next connection in the same place is another client's.
        drop(client);
        let mut client = Client::connect(running.local_addr());
        client.send([&headers()[1], GET].concat());
        assert_eq!(client.response("GET").text(), "Ip(192.0.2.7:40000)");
        drop(client);
        ends(running);
    }
}

#[test]
fn connections_without_a_header_are_closed() {
    for backend in backends::backends() {
        let running = server(backend, Limits::default());
        let long = [&b"PROXY TCP4 "[..], &[b'1'; 200]].concat();
        for wrong in [GET, b"PROXY TCP4 nonsense\r\n", b"\r\n\r\n\0\r\nQUIT\n\x11\x11\0\0", &long] {
            let mut client = Client::connect(running.local_addr());
            client.send([wrong, GET].concat());
            assert!(client.is_ended(), "{}", wrong.escape_ascii());
        }
        assert_eq!(running.counters().requests, 0);
        // A part of one has its time.
        let timeouts = Timeouts { first_byte_timeout_ms: Some(50), ..Timeouts::default() };
        let hasty = server(backend, Limits { timeouts, ..Limits::default() });
        for part in [&b"PROXY TCP4 "[..], b""] {
            let mut client = Client::connect(hasty.local_addr());
            client.send(part);
            assert!(client.is_ended());
        }
        ends(hasty);
        ends(running);
    }
}

#[cfg(has_uring)]
#[test]
fn a_worker_on_a_ring_that_receives_refuses_headers() {
    let server = Server::bind("127.0.0.1:0").expect("an address").connections(4).proxy_headers();
    let mut storage = server.storage().expect("memory");
    let error = aurora_http::Worker::uring(&mut storage, handler_fn(|_request, _response| ())).expect_err("no headers");
    assert!(error.to_string().contains("use Worker::new"), "{error}");
}
