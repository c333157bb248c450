//! A worker with TLS inside another event loop, which waits only for its descriptor and its timeout.
#![cfg(unix)]

mod support;

use std::os::fd::AsFd;
use std::sync::Arc;
use std::thread;

use aurora_http::core::reactor::Wake;
use aurora_http::tls::TlsConfig;
use aurora_http::{StopFlag, Worker, handler_fn};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use support::{Authority, Client, on_every_backend, server};

static LONG: [u8; 400_000] = [b'x'; 400_000];

/// A lost wake leaves a client without its answer: its read then ends with an error, long before any deadline of the server.
#[test]
fn handshakes_requests_and_long_responses_need_no_more_than_its_descriptor() {
    on_every_backend(|| {
        let authority = Authority::new();
        let made = authority.sign("a");
        let tls = TlsConfig::from_pem(&made.chain, &made.key).unwrap();
        let mut storage = server(&tls).connections(16).storage().unwrap();
        let mut worker =
            Worker::new(
                &mut storage,
                handler_fn(|request, response| {
                    if request.path() == b"/long" { response.static_body(&LONG) } else { response.body("short") }
                }),
            )
            .unwrap();
        let (address, waker, stop) = (worker.local_addr(), worker.waker().unwrap(), StopFlag::new());
        let config = Arc::new(authority.client());
        thread::scope(|scope| {
            scope.spawn(|| {
                let clients = (0..8).map(|_| {
                    scope.spawn(|| {
                        for _ in 0..5 {
                            let mut client = Client::connect(address, &config, "a");
                            for path in ["/", "/long", "/"] {
                                let expected = if path == "/" { 5 } else { LONG.len() };
                                let (status, body) = client.get(path);
                                assert_eq!((status, body.len()), (200, expected));
                            }
                            client.stream.conn.send_close_notify();
                            assert_eq!(client.rest(), (Vec::new(), true));
                        }
                    })
                });
                let ended: Vec<_> = clients.collect::<Vec<_>>().into_iter().map(|client| client.join()).collect();
                stop.drain();
                waker.wake();
                assert!(ended.iter().all(Result::is_ok));
            });
            while !worker.poll(&stop).unwrap() {
                let timeout = worker.timeout().map(|timeout| Timespec::try_from(timeout).unwrap());
                poll(&mut [PollFd::new(&worker.as_fd(), PollFlags::IN)], timeout.as_ref()).unwrap();
            }
        });
        assert_eq!(worker.counters().requests, 8 * 5 * 3);
    });
}
