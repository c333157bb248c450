//! Messages from other threads to exchanges.
#![cfg(has_backend)]

#[path = "support/http.rs"]
mod http;

use std::sync::Arc;
use std::sync::mpsc::{Receiver, TrySendError, channel};
use std::thread;

use aurora_http::{Broadcast, MailSender, Running, Server, handler_fn, mailbox};
use http::{Client, DEADLINE, eventually};

/// A server that hands out the sender of each response.
fn server(capacity: usize) -> (Running, Receiver<MailSender<String>>) {
    let (senders, received) = channel();
    let server = Server::bind("127.0.0.1:0").expect("an address").workers(1);
    let running = server.start(move |worker| {
        let (senders, resumer) = (senders.clone(), worker.resumer());
        handler_fn(move |_, _| {
            let (lines, sender) = mailbox(&resumer, capacity);
            senders.send(sender).expect("the test receives it");
            lines
        })
    });
    (running.expect("it starts"), received)
}

/// A client whose response has begun, and a sender of its messages.
fn begun(capacity: usize) -> (Running, Client, MailSender<String>) {
    let (running, senders) = server(capacity);
    let mut client = Client::connect(running.local_addr());
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let sender = senders.recv_timeout(DEADLINE).expect("a sender");
    (running, client, sender)
}

/// Sends, as soon as there is room.
fn send(sender: &MailSender<String>, message: &str) {
    eventually(|| sender.send(message.to_owned()).is_ok(), "there is room");
}

#[test]
fn every_message_arrives_in_order_and_the_end_of_the_last_sender_is_the_end() {
    let (running, senders) = server(2);
    let mut client = Client::connect(running.local_addr());
    for round in 0..3 {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        let sender = senders.recv_timeout(DEADLINE).expect("a sender");
        let other = sender.clone();
        let sending = thread::spawn(move || (0..500).for_each(|number| send(&other, &format!("{number}\n"))));
        sending.join().expect("all are sent");
        send(&sender, "last\n");
        drop(sender);
        let expected: String = (0..500).map(|number| format!("{number}\n")).collect();
        assert!(client.response("GET").text() == expected + "last\n", "{round}");
    }
    drop(client);
    running.stop();
    running.join().expect("it ends");
}

#[test]
fn a_message_comes_back_when_there_is_no_room_or_nobody() {
    // Nobody empties this one.
    let resumer = Server::bind("127.0.0.1:0").expect("an address").resumer();
    let (inbox, sender) = mailbox(&resumer, 2);
    assert_eq!(sender.send("a"), Ok(()));
    assert_eq!(sender.send("b"), Ok(()));
    assert_eq!(sender.send("c"), Err(TrySendError::Full("c")));
    assert!(!sender.is_gone());
    drop(inbox);
    assert_eq!(sender.send("d"), Err(TrySendError::Disconnected("d")));
    assert!(sender.is_gone());
    // A client that is gone.
    let (running, mut client, sender) = begun(1);
    send(&sender, "hello\n");
    client.head();
    drop(client);
    eventually(
        || {
            let _ = sender.send("x\n".to_owned());
            sender.is_gone()
        },
        "the end is noticed",
    );
    running.stop();
    running.join().expect("it ends");
}

#[test]
fn long_messages_go_out_as_there_is_room_and_a_stop_ends_the_body_behind_them() {
    let (running, mut client, sender) = begun(3);
    let long = "long ".repeat(1_000_000);
    for _ in 0..3 {
        assert_eq!(sender.send(long.clone()), Ok(()));
    }
    running.stop();
    let body = client.response("GET").body;
    assert!(body == long.repeat(3).as_bytes(), "{} bytes", body.len());
    assert_eq!(sender.send("late".to_owned()), Err(TrySendError::Disconnected("late".to_owned())));
    assert!(client.is_ended());
    drop(client);
    running.join().expect("it ends");
}

#[test]
fn a_broadcast_drops_who_is_full_and_who_is_gone() {
    let room: Arc<Broadcast<u32>> = Arc::default();
    let server = Server::bind("127.0.0.1:0").expect("an address");
    let resumer = server.resumer();
    let [_reads, _full] = [3, 1].map(|capacity| room.join(&resumer, capacity));
    drop(room.join(&resumer, 3));
    assert_eq!(room.send(&1), 2);
    assert_eq!(room.send(&2), 1);
    assert_eq!(room.send(&3), 1);
    assert_eq!(room.send(&4), 0);
}
