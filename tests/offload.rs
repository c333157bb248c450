//! Exchanges that another thread carries out.
#![cfg(has_backend)]

#[path = "support/http.rs"]
mod http;

use std::io::{ErrorKind, Read, Write};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use aurora_http::{ContentReader, Limits, Responder, Running, Server, handler_fn, offload};
use http::{Client, DEADLINE, pattern};

type Parts = (ContentReader, Responder);

/// A server that hands out what is there to carry out each exchange.
fn server(capacity: usize) -> (Running, Receiver<Parts>) {
    let (exchanges, received) = channel();
    let limits = Limits { content_bytes_max: 10_000_000, ..Limits::default() };
    let server = Server::bind("127.0.0.1:0").expect("an address").workers(1).limits(limits);
    let running = server.start(move |worker| {
        let (exchanges, resumer) = (exchanges.clone(), worker.resumer());
        handler_fn(move |_, _| {
            let (exchange, content, responder) = offload(&resumer, capacity);
            exchanges.send((content, responder)).expect("the test receives it");
            exchange
        })
    });
    (running.expect("it starts"), received)
}

fn next(exchanges: &Receiver<Parts>) -> Parts {
    exchanges.recv_timeout(DEADLINE).expect("an exchange")
}

fn ends(running: Running) {
    running.stop();
    running.join().expect("it ends");
}

fn post(length: usize) -> String {
    format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n")
}

#[test]
fn content_and_body_pass_whatever_the_capacity() {
    for (capacity, length) in [(1, 3_000), (1_000, 1_000_000), (65_536, 3_000_000), (65_536, 0)] {
        let (running, exchanges) = server(capacity);
        let mut client = Client::connect(running.local_addr());
        for framing in [None, Some(length as u64)] {
            let sending = client.send_aside([post(length).as_bytes(), &pattern(length)].concat());
            let (mut content, responder) = next(&exchanges);
            let echoing = thread::spawn(move || {
                let mut body = responder.respond(move |response| response.stream(framing));
                std::io::copy(&mut content, &mut body).expect("both are there")
            });
            assert!(client.response("POST").body == pattern(length), "{capacity}, {length}, {framing:?}");
            assert_eq!(echoing.join().expect("a thread"), length as u64);
            sending.join().expect("all was sent");
        }
        drop(client);
        ends(running);
    }
}

#[test]
fn a_response_may_be_whole_wrong_or_missing() {
    let (running, exchanges) = server(1_000);
    let mut client = Client::connect(running.local_addr());
    client.send(post(3) + "abc");
    let (mut content, responder) = next(&exchanges);
    let mut read = String::new();
    content.read_to_string(&mut read).expect("all content");
    drop(responder.respond(move |response| response.body(read + "!")));
    assert_eq!(client.response("POST").text(), "abc!");
    client.send(post(0));
    drop(next(&exchanges).1.respond(|response| response.fail(404)));
    assert_eq!(client.response("POST").status, 404);
    client.send(post(0));
    drop(next(&exchanges));
    assert_eq!(client.response("POST").status, 500, "nobody answers");
    // An answer before all content has come, which nobody reads.
    client.send(post(1_000_000));
    let (content, responder) = next(&exchanges);
    drop(content);
    client.send(vec![b'x'; 1_000_000]);
    drop(responder.respond(|response| response.body("enough")));
    assert_eq!(client.response("POST").text(), "enough");
    drop(client);
    ends(running);
}

#[test]
fn both_directions_end_with_the_exchange() {
    let (running, exchanges) = server(1_000);
    let mut client = Client::connect(running.local_addr());
    client.send(post(100) + "part");
    let (mut content, responder) = next(&exchanges);
    let mut bytes = [0; 100];
    content.read_exact(&mut bytes[..4]).expect("what was sent");
    drop(client);
    assert_eq!(content.read(&mut bytes).expect_err("no more comes").kind(), ErrorKind::ConnectionAborted);
    let mut body = responder.respond(|_| unreachable!("nobody calls it"));
    assert!(body.is_gone());
    assert_eq!(body.write(b"x").expect_err("nobody receives it").kind(), ErrorKind::BrokenPipe);
    ends(running);
}
