//! Cancelling, waiting, waking, fairness, and everything combined.

use std::time::Duration;

use aurora_http_core::reactor::{IoError, IoHandle, OpKind, OpToken, Reactor, Seen, Shutdown, Wake};
use aurora_http_core::sim::ClientRecv;

use crate::support::Harness;
use crate::support::rig::{Rig, buf, filled, pattern, token};

pub(crate) fn cancel_ends_a_receive_in_flight<H: Harness>() {
    let mut rig = Rig::<H>::new();
    let (mut client, io) = rig.connected();
    let token = rig.recv(io, Some(buf(8)));
    rig.turn(Some(Duration::ZERO));
    let done = rig.cancelled(token, io);
    assert_eq!(done.result, Err(IoError::Canceled));
    assert!(done.bytes().is_empty());
    rig.client_send(&mut client, b"later");
    let token = rig.recv(io, Some(buf(8)));
    assert_eq!(rig.until(token).bytes(), b"later");
    rig.close(io);
    rig.finish();
}

pub(crate) fn cancel_ends_a_receive_that_waits_for_a_lent_buffer<H: Harness>() {
    let mut rig = Rig::<H>::new();
    let (_client, io) = rig.connected();
    rig.provide(8);
    let token = rig.recv(io, None);
    rig.turn(Some(Duration::ZERO));
    assert_eq!(rig.cancelled(token, io).result, Err(IoError::Canceled));
    rig.close(io);
    rig.finish();
}

pub(crate) fn cancel_ends_a_send_in_flight<H: Harness>() {
    let mut rig = Rig::<H>::new();
    let (mut client, io) = rig.connected();
    let token = rig.fill(io);
    let done = rig.cancelled(token, io);
    assert_eq!((done.result, done.bytes()), (Err(IoError::Canceled), &b"head"[..]));
    // Bytes in transit arrive, and nothing of the cancelled send.
    rig.shutdown(io, Shutdown::Write);
    let mut into = vec![0; 1 << 16];
    while rig.client_recv(&mut client, &mut into) != ClientRecv::Fin {}
    rig.close(io);
    rig.finish();
}

pub(crate) fn cancel_ends_an_accept_in_flight<H: Harness>() {
    let mut rig = Rig::<H>::new();
    let token = rig.accept(rig.listener);
    rig.turn(Some(Duration::ZERO));
    assert_eq!(rig.cancelled(token, rig.listener).result, Err(IoError::Canceled));
    let (_client, io) = rig.connected();
    rig.close(io);
    rig.finish();
}

pub(crate) fn cancel_does_not_lose_what_was_there_already<H: Harness>() {
    let mut rig = Rig::<H>::new();
    let (mut client, io) = rig.connected();
    rig.client_send(&mut client, b"bytes");
    let recv = rig.recv(io, Some(buf(8)));
    let done = rig.cancelled(recv, io);
    match done.result {
        // The bytes are still in the socket.
        Err(IoError::Canceled) => {
            let token = rig.recv(io, Some(buf(8)));
            assert_eq!(rig.until(token).bytes(), b"bytes");
        }
        result => assert_eq!((result, done.bytes()), (Ok(5), &b"bytes"[..])),
    }
    rig.close(io);
    rig.finish();
}

pub(crate) fn cancelling_what_is_not_in_flight_is_harmless<H: Harness>() {
    let mut rig = Rig::<H>::new();
    let (mut client, io) = rig.connected();
    let done = rig.recv(io, Some(buf(8)));
    rig.client_send(&mut client, b"x");
    rig.until(done);
    rig.cancel(done, io);
    let parked = rig.recv(io, Some(buf(8)));
    rig.turn(Some(Duration::ZERO));
    rig.cancel(OpToken::new(parked.slot(), parked.generation() + 1, OpKind::Recv), io);
    rig.cancel(token(io, OpKind::Send), io);
    rig.cancel(token(io, OpKind::Accept), io);
    rig.cancel(token(io, OpKind::Close), io);
    rig.cancel(parked, IoHandle(u32::MAX));
    rig.cancel(parked, rig.listener);
    rig.turn(Some(Duration::from_millis(5)));
    rig.client_send(&mut client, b"y");
    assert_eq!(rig.until(parked).bytes(), b"y", "the receive was not meant");
    rig.close(io);
    rig.finish();
}

pub(crate) fn submit_completes_nothing_inline<H: Harness>() {
    let mut rig = Rig::<H>::new();
    let (mut client, io) = rig.connected();
    assert!(rig.harness.reactor().next_completion().is_none());
    rig.client_send(&mut client, b"x");
    let recv = rig.recv(io, Some(buf(8)));
    let send = rig.send(io, filled(b"y"), b"");
    assert_eq!(rig.harness.client_recv(&mut client, &mut [0; 8]), ClientRecv::Nothing, "not even the send has begun");
    assert_eq!(rig.until(recv).result, Ok(1));
    assert_eq!(rig.until(send).result, Ok(1));
    rig.close(io);
    rig.finish();
}

pub(crate) fn wait_returns_at_once_when_something_is_pending<H: Harness>() {
    let mut rig = Rig::<H>::new();
    let (mut client, io) = rig.connected();
    rig.client_send(&mut client, b"x");
    let recv = rig.recv(io, Some(buf(8)));
    at_once(&mut rig, recv, "bytes");
    let recv = rig.recv(io, Some(buf(8)));
    rig.turn(Some(Duration::ZERO));
    let send = rig.send(io, filled(b"x"), b"");
    at_once(&mut rig, send, "room to send");
    rig.cancel(recv, io);
    at_once(&mut rig, recv, "a cancelled operation");
    let invalid = rig.recv(IoHandle(u32::MAX), Some(buf(8)));
    at_once(&mut rig, invalid, "a refused operation");
    rig.close(io);
    rig.finish();
}

/// Checks that `token` completes long before the timeout of the waits.
fn at_once<H: Harness>(rig: &mut Rig<H>, token: OpToken, row: &str) {
    let before = rig.harness.reactor().now();
    while rig.take(token).is_none() {
        rig.turn(Some(Duration::from_secs(60)));
        assert!(rig.harness.reactor().now().ms_since(before) < 30_000, "{row}");
    }
}

/// A deadline expires after such a wait. There are more connections than some kernels process in one call.
pub(crate) fn what_can_complete_does_before_a_wait_has_seen_everything<H: Harness>() {
    let mut rig = Rig::<H>::new();
    let (clients, ios): (Vec<_>, Vec<_>) = (0..22).map(|_| rig.connected()).unzip();
    let receives: Vec<_> = ios.iter().map(|&io| rig.recv(io, Some(buf(8)))).collect();
    for _ in 0..3 {
        rig.turn(Some(Duration::ZERO));
    }
    assert!(receives.iter().all(|&receive| rig.busy(receive)));
    for &io in &ios {
        rig.shutdown(io, Shutdown::Read);
    }
    let sends: Vec<_> = ios.iter().map(|&io| rig.send(io, filled(b"head"), b"body")).collect();
    let mut waits = 0;
    rig.turn(Some(Duration::ZERO));
    while rig.seen == Seen::Part {
        rig.turn(Some(Duration::ZERO));
        waits += 1;
        assert!(waits < 100, "there is an end to what may keep a deadline from expiring");
    }
    for (&receive, &send) in receives.iter().zip(&sends) {
        assert_eq!(rig.take(receive).expect("reading has ended").result, Ok(0));
        assert_eq!(rig.take(send).expect("there is room").result, Ok(8));
    }
    for io in ios {
        rig.close(io);
    }
    drop(clients);
    rig.finish();
}

pub(crate) fn wait_lasts_at_least_its_timeout<H: Harness>() {
    let mut rig = Rig::<H>::new();
    let (_client, io) = rig.connected();
    let recv = rig.recv(io, Some(buf(8)));
    rig.turn(Some(Duration::ZERO));
    // Takes pending events, such as the report of the new connection.
    rig.turn(Some(Duration::from_millis(1)));
    for timeout_ms in [0, 1, 2, 30] {
        let before = rig.harness.reactor().now();
        assert_eq!(rig.turn(Some(Duration::from_millis(timeout_ms))), 0);
        assert!(rig.harness.reactor().now().ms_since(before) >= timeout_ms, "{timeout_ms} ms");
    }
    let before = rig.harness.reactor().now();
    rig.turn(Some(Duration::from_micros(9_001)));
    assert!(rig.harness.reactor().now().ms_since(before) >= 9, "rounded up");
    assert!(rig.harness.reactor().now().ms_since(before) < 5_000, "and not by much");
    rig.cancelled(recv, io);
    rig.close(io);
    rig.finish();
}

pub(crate) fn a_wake_ends_a_wait_before_or_while_it_blocks<H: Harness>() {
    let mut rig = Rig::<H>::new();
    let waker = rig.harness.waker();
    waker.wake();
    assert_eq!(rig.turn(None), 0, "before");
    for _ in 0..20 {
        let waker = waker.clone();
        let thread = std::thread::spawn(move || waker.wake());
        assert_eq!(rig.turn(None), 0, "from another thread");
        thread.join().unwrap();
    }
    let (_client, io) = rig.connected();
    rig.close(io);
    drop(rig);
    waker.wake();
}

pub(crate) fn wakes_coalesce<H: Harness>() {
    let mut rig = Rig::<H>::new();
    let waker = rig.harness.waker();
    for _ in 0..3 {
        (0..100).for_each(|_| waker.wake());
        assert_eq!(rig.turn(None), 0);
        let before = rig.harness.reactor().now();
        assert_eq!(rig.turn(Some(Duration::from_millis(10))), 0);
        assert!(rig.harness.reactor().now().ms_since(before) >= 10, "a hundred wakes are one");
    }
    rig.finish();
}

pub(crate) fn a_busy_connection_has_one_receive_and_one_send_per_turn<H: Harness>() {
    let mut rig = Rig::<H>::new();
    let mut connections: Vec<_> = (0..2).map(|_| rig.connected()).collect();
    for (client, io) in &mut connections {
        rig.client_send(client, pattern(200));
        rig.recv(*io, Some(buf(4)));
    }
    let mut received = [0; 2];
    for _ in 0..40 {
        rig.harness.reactor().wait(Some(Duration::from_millis(1))).unwrap();
        let mut seen = Vec::new();
        while let Some(completion) = rig.harness.reactor().next_completion() {
            let io = IoHandle(completion.token.slot());
            assert!(!seen.contains(&completion.token), "twice in one turn");
            seen.push(completion.token);
            rig.enter(completion);
            let at = connections.iter().position(|(_, other)| *other == io).unwrap();
            if let Some(done) = rig.take(token(io, OpKind::Recv)) {
                received[at] += done.result.unwrap();
                rig.recv(io, Some(buf(4)));
            } else {
                rig.take(token(io, OpKind::Send)).unwrap();
            }
            if !rig.busy(token(io, OpKind::Send)) {
                rig.send(io, filled(b"x"), b"");
            }
        }
    }
    assert!(received.iter().all(|&bytes| bytes >= 40), "both are served: {received:?}");
    for (_, io) in connections {
        for kind in [OpKind::Recv, OpKind::Send] {
            if rig.busy(token(io, kind)) {
                rig.cancelled(token(io, kind), io);
            }
        }
        rig.close(io);
    }
    rig.finish();
}

pub(crate) fn reactors_in_one_process_do_not_meet<H: Harness>() {
    let echo = |rig: &mut Rig<H>, byte: u8| {
        let (mut client, io) = rig.connected();
        for round in 0..20u8 {
            rig.client_send(&mut client, &[byte, round]);
            let token = rig.recv(io, Some(buf(2)));
            let done = rig.until(token);
            assert_eq!(done.bytes(), [byte, round]);
            let token = rig.send(io, done.buf.unwrap(), b"");
            rig.until(token);
            rig.client_expects(&mut client, &[byte, round]);
        }
        rig.close(io);
    };
    std::thread::scope(|scope| {
        for thread in 0..3u8 {
            scope.spawn(move || {
                let (mut one, mut two) = (Rig::<H>::new(), Rig::<H>::new());
                echo(&mut one, thread);
                echo(&mut two, thread + 100);
                one.finish();
                echo(&mut two, thread + 200);
                two.finish();
            });
        }
    });
}

/// A linear congruential generator: the same steps in every run.
struct Steps(u64);

impl Steps {
    fn pick(&mut self, choices: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % choices
    }
}

pub(crate) fn anything_in_any_order_completes_once<H: Harness>() {
    for seed in 0..6 {
        let mut steps = Steps(seed);
        let mut rig = Rig::<H>::with_lent(8);
        let mut connections: Vec<_> = (0..4).map(|_| rig.connected()).collect();
        for _ in 0..300 {
            let at = steps.pick(connections.len() as u64) as usize;
            let (client, io) = &mut connections[at];
            let io = *io;
            let (recv, send) = (token(io, OpKind::Recv), token(io, OpKind::Send));
            match steps.pick(12) {
                0 | 1 if !rig.busy(recv) => {
                    let own = (steps.pick(2) == 0).then(|| buf(1 + steps.pick(64) as usize));
                    rig.recv(io, own);
                }
                2 | 3 if !rig.busy(send) => {
                    rig.send(io, filled(b"head"), pattern(steps.pick(20_000) as usize));
                }
                4 => rig.cancel(if steps.pick(2) == 0 { recv } else { send }, io),
                5 => drop(rig.harness.client_send(client, pattern(100))),
                6 => drop(rig.harness.client_recv(client, &mut [0; 5000])),
                7 if rig.lent() < 8 => rig.provide(16),
                8 if steps.pick(10) == 0 => rig.shutdown(io, [Shutdown::Read, Shutdown::Write][at % 2]),
                9 if steps.pick(4) == 0 => {
                    let (client, io) = connections.swap_remove(at);
                    match steps.pick(2) {
                        0 => rig.harness.client_close(client),
                        _ => rig.harness.client_reset(client),
                    }
                    end(&mut rig, io);
                    connections.push(rig.connected());
                }
                _ => drop(rig.turn(Some(Duration::ZERO))),
            }
            rig.forget_done();
        }
        for (_, io) in connections {
            end(&mut rig, io);
        }
        rig.finish();
    }
}

/// The three steps of closing: cancel operations in flight, wait for them, close.
fn end<H: Harness>(rig: &mut Rig<H>, io: IoHandle) {
    rig.shutdown(io, Shutdown::Both);
    for token in [token(io, OpKind::Recv), token(io, OpKind::Send)] {
        rig.forget_done();
        if rig.busy(token) {
            rig.cancelled(token, io);
        }
    }
    rig.close(io);
}
