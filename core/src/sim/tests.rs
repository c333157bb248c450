//! What the contract suite does not cover: the virtual clock, the options, and behaviour like TCP's.

use std::vec;
use std::vec::Vec;

use super::*;
use crate::pool::Buf;
use crate::reactor::{IoError, IoHandle, Op, OpKind, OpToken, Outcome, Reactor, Submission, Wake};

fn token(slot: u32, kind: OpKind) -> OpToken {
    OpToken::new(slot, 1, kind)
}

fn submit(sim: &mut Sim<'static>, kind: OpKind, io: IoHandle) {
    let op = match kind {
        OpKind::Accept => Op::Accept { listener: io },
        OpKind::Recv => Op::Recv { io, into: Some(Buf::new(vec![0; 64].leak())) },
        OpKind::Send => {
            let mut head = Buf::new(vec![0; 8].leak());
            head.append(b"abcd").unwrap();
            Op::Send { io, head, body: b"efgh" }
        }
        OpKind::Close => Op::Close { io },
    };
    sim.submit(Submission { token: token(io.0, kind), op }).unwrap();
}

/// The outcome of the only completion of the next turn.
fn turn(sim: &mut Sim<'static>) -> Outcome<'static> {
    sim.wait(None).unwrap();
    let completion = sim.next_completion().expect("a completion");
    assert!(sim.next_completion().is_none());
    completion.outcome
}

fn connected(sim: &mut Sim<'static>) -> (Client, IoHandle) {
    let listener = sim.listen().unwrap();
    let client = sim.connect(listener).unwrap();
    submit(sim, OpKind::Accept, listener);
    let Outcome::Accept(Ok(io)) = turn(sim) else { panic!("not accepted") };
    (client, io)
}

#[test]
fn the_clock_moves_only_when_nothing_can_happen() {
    let mut sim = Sim::new(4, 8);
    sim.set_unix_time(1_000);
    let (client, io) = connected(&mut sim);
    assert_eq!(sim.now(), Instant(0));
    submit(&mut sim, OpKind::Recv, io);
    sim.wait(Some(Duration::from_micros(1_500))).unwrap();
    assert_eq!(sim.now(), Instant(2), "rounded up");
    assert!(sim.next_completion().is_none());
    sim.wait(None).unwrap();
    sim.advance_ms(2_998);
    assert_eq!((sim.now(), sim.unix_time()), (Instant(3_000), Some(1_003)));
    sim.client_send(client, b"x");
    sim.wait(Some(Duration::from_secs(9))).unwrap();
    assert_eq!(sim.now(), Instant(3_000));
    assert!(matches!(sim.next_completion().unwrap().outcome, Outcome::Recv { result: Ok(1), .. }));
}

#[test]
fn a_wake_ends_one_wait_without_moving_the_clock() {
    let mut sim = Sim::new(4, 8);
    let waker = sim.waker();
    std::thread::scope(|scope| {
        scope.spawn(move || waker.wake());
    });
    for expected in [0, 5, 10] {
        sim.wait(Some(Duration::from_millis(5))).unwrap();
        assert_eq!(sim.now(), Instant(expected));
    }
}

#[test]
fn delayed_operations_complete_in_virtual_time() {
    let mut sim = Sim::new(4, 8);
    let (client, io) = connected(&mut sim);
    sim.options_mut().delay_ms = 30;
    submit(&mut sim, OpKind::Recv, io);
    sim.client_send(client, b"x");
    sim.wait(Some(Duration::from_millis(10))).unwrap();
    assert!(sim.next_completion().is_none());
    assert_eq!(sim.now(), Instant(10));
    assert!(matches!(turn(&mut sim), Outcome::Recv { result: Ok(1), .. }));
    assert_eq!(sim.now(), Instant(30), "without a timeout, the clock moves to the next due operation");

    submit(&mut sim, OpKind::Send, io);
    sim.cancel(token(io.0, OpKind::Send), io);
    assert!(matches!(turn(&mut sim), Outcome::Send { result: Err(IoError::Canceled), .. }));
    assert_eq!(sim.now(), Instant(30), "cancelling does not wait");
}

#[test]
fn transfers_are_limited_by_the_options() {
    let mut sim = Sim::new(4, 8);
    let (client, io) = connected(&mut sim);
    *sim.options_mut() = SimOptions { recv_bytes_max: 1, send_bytes_max: 3, ..SimOptions::default() };
    assert_eq!(sim.client_send(client, b"0123456789"), 8, "the pipe holds eight");
    submit(&mut sim, OpKind::Recv, io);
    assert!(matches!(turn(&mut sim), Outcome::Recv { result: Ok(1), .. }));
    submit(&mut sim, OpKind::Send, io);
    assert!(matches!(turn(&mut sim), Outcome::Send { result: Ok(3), .. }));
    sim.options_mut().send_bytes_max = 6;
    submit(&mut sim, OpKind::Send, io);
    assert!(matches!(turn(&mut sim), Outcome::Send { result: Ok(5), .. }), "as much as the pipe has room for");
    let mut bytes = [0; 16];
    assert_eq!(sim.client_recv(client, &mut bytes), ClientRecv::Bytes(8));
    assert_eq!(&bytes[..8], b"abcabcde");
}

#[test]
fn the_submission_queue_can_be_full_until_the_next_turn() {
    let mut sim = Sim::new(4, 8);
    sim.options_mut().submissions_per_turn_max = 1;
    let listener = sim.listen().unwrap();
    submit(&mut sim, OpKind::Accept, listener);
    let close = Submission { token: token(0, OpKind::Close), op: Op::Close { io: listener } };
    let close = sim.submit(close).expect_err("one per turn");
    sim.wait(None).unwrap();
    sim.submit(close).unwrap();
    sim.wait(None).unwrap();
    assert!(matches!(sim.next_completion().unwrap().outcome, Outcome::Accept(Err(IoError::Canceled))));
    assert!(matches!(sim.next_completion().unwrap().outcome, Outcome::Close));
    assert_eq!(sim.open_handles(), 0);
}

#[test]
fn a_failing_accept_leaves_the_connection_waiting() {
    let mut sim = Sim::new(4, 8);
    let listener = sim.listen().unwrap();
    let clients: Vec<_> = (0..3).map(|_| sim.connect(listener).unwrap()).collect();
    assert!(sim.connect(listener).is_none(), "all sockets are in use");
    sim.fail_next_accept(IoError::FileLimit);
    submit(&mut sim, OpKind::Accept, listener);
    assert!(matches!(turn(&mut sim), Outcome::Accept(Err(IoError::FileLimit))));
    for (at, &client) in clients.iter().enumerate() {
        sim.client_send(client, &[at as u8]);
        submit(&mut sim, OpKind::Accept, listener);
        let Outcome::Accept(Ok(io)) = turn(&mut sim) else { panic!("not accepted") };
        submit(&mut sim, OpKind::Recv, io);
        let Outcome::Recv { buf: Some(buf), .. } = turn(&mut sim) else { panic!("not received") };
        assert_eq!(buf.filled(), [at as u8], "the oldest first");
    }
}

/// What a client that had not read the answer receives after the server's close.
#[test]
fn closing_with_unread_input_destroys_the_answer() {
    for (row, before, after, expected) in [
        ("clean", &b""[..], &b""[..], [ClientRecv::Bytes(8), ClientRecv::Fin]),
        ("unread input", b"more", b"", [ClientRecv::Reset; 2]),
        ("input after the close", b"", b"more", [ClientRecv::Reset; 2]),
    ] {
        let mut sim = Sim::new(4, 8);
        let (client, io) = connected(&mut sim);
        submit(&mut sim, OpKind::Send, io);
        turn(&mut sim);
        sim.client_send(client, before);
        submit(&mut sim, OpKind::Close, io);
        assert!(matches!(turn(&mut sim), Outcome::Close));
        assert_eq!(sim.client_send(client, after), 0, "{row}");
        for expected in expected {
            assert_eq!(sim.client_recv(client, &mut [0; 16]), expected, "{row}");
        }
    }
}

#[test]
fn a_socket_is_free_again_when_both_ends_have_closed_it() {
    let mut sim = Sim::new(4, 8);
    let listener = sim.listen().unwrap();
    for round in 0..20 {
        let client = sim.connect(listener).expect("a free socket");
        submit(&mut sim, OpKind::Accept, listener);
        let Outcome::Accept(Ok(io)) = turn(&mut sim) else { panic!("not accepted") };
        match round % 3 {
            0 => sim.client_close(client),
            1 => sim.client_reset(client),
            _ => sim.client_finish(client),
        }
        submit(&mut sim, OpKind::Close, io);
        turn(&mut sim);
        sim.client_close(client);
        assert_eq!(sim.client_recv(client, &mut [0; 1]), ClientRecv::Reset, "stale");
        assert_eq!((sim.open_handles(), sim.refusals()), (1, 0));
    }
}

#[test]
fn the_second_send_to_a_closed_client_fails() {
    let mut sim = Sim::new(4, 8);
    let (client, io) = connected(&mut sim);
    sim.client_send(client, b"x");
    sim.client_close(client);
    submit(&mut sim, OpKind::Send, io);
    assert!(matches!(turn(&mut sim), Outcome::Send { result: Ok(8), .. }));
    submit(&mut sim, OpKind::Send, io);
    assert!(matches!(turn(&mut sim), Outcome::Send { result: Err(IoError::ConnectionReset), .. }));
    submit(&mut sim, OpKind::Recv, io);
    assert!(matches!(turn(&mut sim), Outcome::Recv { result: Ok(1), .. }), "bytes before the reset");
    submit(&mut sim, OpKind::Recv, io);
    assert!(matches!(turn(&mut sim), Outcome::Recv { result: Err(IoError::ConnectionReset), .. }));
}

#[test]
fn closing_a_listener_resets_waiting_connections() {
    let mut sim = Sim::new(4, 8);
    let listener = sim.listen().unwrap();
    let client = sim.connect(listener).unwrap();
    submit(&mut sim, OpKind::Close, listener);
    turn(&mut sim);
    assert_eq!(sim.client_recv(client, &mut [0; 1]), ClientRecv::Reset);
    assert!(sim.connect(listener).is_none());
}
