//! Bodies that another thread writes.
#![cfg(has_backend)]

#[path = "support/http.rs"]
mod http;

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use aurora_http::{
    BodySender, ChannelBody, ClientGone, Request, ResponseWriter, Resumer, Running, Server, WriteError, body_channel,
    handler_fn,
};
use http::{Client, DEADLINE, pattern};

const LENGTH: usize = 3_000_000;

/// A server that hands out the sender of each response.
fn server(capacity: usize) -> (Running, Receiver<BodySender>) {
    let (senders, received) = channel();
    let server = Server::bind("127.0.0.1:0").expect("an address").workers(1);
    let resumer = server.resumer();
    let running = server.start(move |_worker| {
        let (senders, resumer) = (senders.clone(), resumer.clone());
        handler_fn(move |request: &Request<'_>, response| answer(request, response, &senders, &resumer, capacity))
    });
    (running.expect("it starts"), received)
}

fn answer(
    request: &Request<'_>,
    response: &mut ResponseWriter<'_>,
    senders: &Sender<BodySender>,
    resumer: &Resumer,
    capacity: usize,
) -> Result<ChannelBody, WriteError> {
    response.field("X-Kind", "channel")?;
    let (body, sender) = body_channel(resumer, capacity);
    senders.send(sender).expect("the test receives it");
    Ok(if request.path() == b"/known" { body.with_length(LENGTH as u64) } else { body })
}

/// A client whose response has begun, and the sender of the body.
fn begun(capacity: usize) -> (Running, Client, BodySender) {
    let (running, senders) = server(capacity);
    let mut client = Client::connect(running.local_addr());
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let sender = senders.recv_timeout(DEADLINE).expect("a sender");
    (running, client, sender)
}

fn ends(running: Running) {
    running.stop();
    running.join().expect("it ends");
}

#[test]
fn all_that_is_sent_arrives_whatever_the_capacity() {
    for capacity in [1, 1_000, 65_536] {
        let length = if capacity == 1 { 3_000 } else { LENGTH };
        let paths: &[&str] = if capacity == 1 { &["/"] } else { &["/", "/known"] };
        let (running, senders) = server(capacity);
        let mut client = Client::connect(running.local_addr());
        for path in paths {
            client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
            let sender = senders.recv_timeout(DEADLINE).expect("a sender");
            let sent = pattern(length);
            let sending = thread::spawn(move || {
                let other = sender.clone();
                for (number, piece) in sent.chunks(777).enumerate() {
                    let sender = if number % 2 == 0 { &sender } else { &other };
                    sender.send(piece).expect("the client receives");
                }
            });
            let response = client.response("GET");
            sending.join().expect("all was sent");
            assert!(response.body == pattern(length), "{path}, {capacity}");
        }
        ends(running);
    }
}

#[test]
fn a_sender_learns_that_its_client_is_gone() {
    let (running, mut client, sender) = begun(1_000);
    sender.send("hello").expect("the client is there");
    client.head();
    drop(client);
    // What is on its way is lost; then it is known.
    while sender.send([b'x'; 100]).is_ok() {}
    assert_eq!(sender.try_send("x"), Err(ClientGone));
    assert!(sender.is_gone());
    ends(running);
}

#[test]
fn a_response_that_is_aborted_is_seen_not_to_be_whole() {
    let (running, mut client, sender) = begun(1_000);
    sender.send("some").expect("the client is there");
    client.head();
    assert_eq!(client.take(11), b"00004\r\nsome");
    sender.abort();
    assert_eq!(client.rest(), b"\r\n", "no last chunk");
    ends(running);
}
