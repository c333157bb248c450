//! A kernel that returns EAGAIN for a non-blocking socket instead of waiting: the tests fake that result.

use std::boxed::Box;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;
use std::vec;
use std::vec::Vec;

use aurora_http_core::reactor::{IoHandle, Op, OpToken, Reactor, Submission};

use super::*;
use crate::{Held, LentPlace, ListenOptions, Refusal, listen};

const AGAIN: i32 = -11;

type Tables = (Vec<Entry>, [Held; 2], [LentPlace; 2]);

fn tables() -> Tables {
    let table = (0..40).map(|_| Entry::new()).collect();
    (table, [const { Held::new() }; 2], [const { LentPlace::new() }; 2])
}

/// A reactor with a listener, where io_uring is allowed.
fn listening<'s>((table, held, lent): &'s mut Tables) -> Option<(Uring<'s>, IoHandle)> {
    let mut uring = match Uring::new(table, held, lent) {
        Ok(uring) => uring,
        Err(refusal) => {
            assert!(matches!(refusal, Refusal::Missing | Refusal::Disabled(_) | Refusal::Forbidden), "{refusal}");
            std::eprintln!("SKIPPED: {refusal}");
            return None;
        }
    };
    let listener = listen("127.0.0.1:0".parse().unwrap(), &ListenOptions::default()).unwrap();
    let listener = uring.add_listener(listener).unwrap();
    Some((uring, listener))
}

fn connected<'s>(tables: &'s mut Tables) -> Option<(Uring<'s>, TcpStream, IoHandle)> {
    let (mut uring, listener) = listening(tables)?;
    let client = TcpStream::connect(uring.local_addr(listener).unwrap()).unwrap();
    uring.submit(Submission { token: token(listener, OpKind::Accept), op: Op::Accept { listener } }).unwrap();
    let Some(Outcome::Accept(Ok(io))) = next(&mut uring) else { panic!("no connection") };
    Some((uring, client, io))
}

fn token(io: IoHandle, kind: OpKind) -> OpToken {
    OpToken::new(io.0, 1, kind)
}

/// The next outcome within a few seconds.
fn next(uring: &mut Uring<'_>) -> Option<Outcome<'static>> {
    for _ in 0..10 {
        uring.wait(Some(Duration::from_millis(500))).unwrap();
        if let Some(completion) = uring.next_completion() {
            return Some(completion.outcome);
        }
    }
    None
}

fn buf(bytes: usize) -> Buf<'static> {
    Buf::new(Box::leak(vec![0; bytes].into_boxed_slice()))
}

/// An operation that the kernel has completed with EAGAIN instead of waiting.
fn in_flight(uring: &mut Uring<'_>, io: IoHandle, kind: Kind, buf: Buf<'static>) {
    let entry = &mut uring.table[io.0 as usize];
    entry.owner = token(io, OpKind::Recv);
    entry.flags |= if kind == Kind::Recv { RECV } else { SEND };
    let record = uring.held.get_or_take(entry).expect("a free record");
    if kind == Kind::Recv {
        record.into = Some(buf);
        assert!(uring.hand_out_recv(io.0, AGAIN, false, None).is_none());
    } else {
        record.head = Some(buf);
        assert!(uring.hand_out_send(io.0, AGAIN).is_none());
    }
}

/// An accept that gets EAGAIN, as from a kernel that does not wait by itself.
fn poll_for_accept(uring: &mut Uring<'_>, listener: IoHandle) {
    let entry = &mut uring.table[listener.0 as usize];
    (entry.flags, entry.owner, entry.armed) = (entry.flags | ACCEPT, token(listener, OpKind::Accept), 1);
    uring.armed = 1;
    uring.accepted(listener.0, AGAIN);
}

#[test]
fn an_accept_that_gets_eagain_waits_by_polling() {
    let mut tables = tables();
    let Some((mut uring, listener)) = listening(&mut tables) else { return };
    poll_for_accept(&mut uring, listener);
    assert_eq!((uring.table[listener.0 as usize].waits, uring.armed), (WAIT_ACCEPT, 0));
    uring.wait(Some(Duration::ZERO)).unwrap();
    assert!(uring.next_completion().is_none());
    let _client = TcpStream::connect(uring.local_addr(listener).unwrap()).unwrap();
    assert!(matches!(next(&mut uring), Some(Outcome::Accept(Ok(_)))));
    assert_eq!(uring.table[listener.0 as usize].waits, 0);
}

#[test]
fn a_listener_that_is_polled_can_be_closed() {
    let mut tables = tables();
    let Some((mut uring, listener)) = listening(&mut tables) else { return };
    poll_for_accept(&mut uring, listener);
    uring.wait(Some(Duration::ZERO)).unwrap();
    uring.cancel(token(listener, OpKind::Accept), listener);
    assert!(matches!(next(&mut uring), Some(Outcome::Accept(Err(IoError::Canceled)))));
    uring.submit(Submission { token: token(listener, OpKind::Close), op: Op::Close { io: listener } }).unwrap();
    assert!(matches!(next(&mut uring), Some(Outcome::Close)));
}

#[test]
fn a_receive_and_a_send_that_get_eagain_wait_by_polling() {
    let mut tables = tables();
    let Some((mut uring, mut client, io)) = connected(&mut tables) else { return };
    in_flight(&mut uring, io, Kind::Recv, buf(16));
    assert_eq!(uring.table[io.0 as usize].waits, WAIT_RECV);
    uring.wait(Some(Duration::ZERO)).unwrap();
    assert!(uring.next_completion().is_none());
    client.write_all(b"request").unwrap();
    let Some(Outcome::Recv { result: Ok(7), buf: Some(received) }) = next(&mut uring) else { panic!("no bytes") };
    assert_eq!(received.filled(), b"request");

    let mut answer = buf(16);
    answer.append(b"answer").unwrap();
    in_flight(&mut uring, io, Kind::Send, answer);
    assert!(matches!(next(&mut uring), Some(Outcome::Send { result: Ok(6), .. })));
    let mut bytes = [0; 6];
    client.read_exact(&mut bytes).unwrap();
    assert_eq!(&bytes, b"answer");
    assert_eq!(uring.table[io.0 as usize].waits, 0);
}

#[test]
fn a_receive_that_waits_by_polling_can_be_cancelled() {
    let mut tables = tables();
    let Some((mut uring, _client, io)) = connected(&mut tables) else { return };
    in_flight(&mut uring, io, Kind::Recv, buf(16));
    uring.wait(Some(Duration::ZERO)).unwrap();
    uring.cancel(token(io, OpKind::Recv), io);
    let outcome = next(&mut uring);
    assert!(matches!(outcome, Some(Outcome::Recv { result: Err(IoError::Canceled), buf: Some(_) })), "{outcome:?}");
    assert_eq!(uring.table[io.0 as usize].waits, 0);
    assert!(uring.detach(io).is_some(), "nothing is in flight");
}

#[test]
fn a_cancelled_operation_is_not_queued_again() {
    let mut tables = tables();
    let Some((mut uring, _client, io)) = connected(&mut tables) else { return };
    let entry = &mut uring.table[io.0 as usize];
    entry.flags |= RECV | CANCEL_RECV;
    uring.held.get_or_take(entry).expect("a free record").into = Some(buf(16));
    let Some(Completion { outcome, .. }) = uring.hand_out_recv(io.0, AGAIN, false, None) else {
        panic!("it was queued again")
    };
    assert!(matches!(outcome, Outcome::Recv { result: Err(IoError::Canceled), buf: Some(_) }));
}

#[test]
fn a_dropped_reactor_returns_the_buffer_of_a_polled_receive() {
    let mut tables = tables();
    let Some((mut uring, _client, io)) = connected(&mut tables) else { return };
    in_flight(&mut uring, io, Kind::Recv, buf(16));
    uring.wait(Some(Duration::ZERO)).unwrap();
    drop(uring);
    let given: Vec<_> = tables.1.iter_mut().flat_map(Held::take_buffers).collect();
    assert_eq!(given.iter().map(Buf::capacity).collect::<Vec<_>>(), [16]);
}
