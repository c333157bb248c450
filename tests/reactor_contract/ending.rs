//! How connections end, and operations on invalid handles.

use aurora_http_core::reactor::{IoError, IoHandle, Op, OpKind, Outcome, Reactor, Shutdown, Submission};
use aurora_http_core::sim::ClientRecv;

use crate::support::Harness;
use crate::support::rig::{Rig, buf, filled, token};

pub(crate) fn fin_comes_after_the_bytes_and_stays<H: Harness>() {
    let mut rig = Rig::<H>::new();
    let (mut client, io) = rig.connected();
    rig.client_send(&mut client, b"0123456789");
    rig.harness.client_finish(&mut client);
    for expected in [4, 4, 2, 0, 0] {
        let token = rig.recv(io, Some(buf(4)));
        let done = rig.until(token);
        assert_eq!((done.result, done.bytes().len()), (Ok(expected), expected as usize));
    }
    rig.provide(4);
    let token = rig.recv(io, None);
    let done = rig.until(token);
    assert_eq!(done.result, Ok(0));
    assert!(done.is_empty());
    rig.close(io);
    rig.finish();
}

pub(crate) fn fin_leaves_the_other_direction_open<H: Harness>() {
    let mut rig = Rig::<H>::new();
    let (mut client, io) = rig.connected();
    let recv = rig.recv(io, Some(buf(4)));
    rig.harness.client_finish(&mut client);
    assert_eq!(rig.until(recv).result, Ok(0), "an idle receive learns of it");
    let send = rig.send(io, filled(b"response"), b"");
    assert_eq!(rig.until(send).result, Ok(8));
    rig.client_expects(&mut client, b"response");
    rig.close(io);
    rig.finish();
}

pub(crate) fn a_reset_fails_the_receive_and_gives_the_buffer_back<H: Harness>() {
    let mut rig = Rig::<H>::new();
    for lent in [false, true] {
        let (client, io) = rig.connected();
        let into = if lent {
            rig.provide(4);
            None
        } else {
            Some(buf(4))
        };
        let token = rig.recv(io, into);
        rig.harness.client_reset(client);
        let done = rig.until(token);
        assert_eq!(done.result, Err(IoError::ConnectionReset));
        assert!(done.is_empty());
        rig.close(io);
    }
    rig.finish();
}

pub(crate) fn a_reset_fails_sends<H: Harness>() {
    let mut rig = Rig::<H>::new();
    let (client, io) = rig.connected();
    let parked = rig.fill(io);
    rig.harness.client_reset(client);
    assert_eq!(rig.until(parked).result, Err(IoError::ConnectionReset), "the receive in flight");
    let token = rig.send(io, filled(b"x"), b"y");
    let done = rig.until(token);
    assert_eq!((done.result, done.bytes()), (Err(IoError::ConnectionReset), &b"x"[..]));
    rig.close(io);
    rig.finish();
}

pub(crate) fn shutdown_write_shows_the_client_a_fin_behind_what_was_sent<H: Harness>() {
    let mut rig = Rig::<H>::new();
    let (mut client, io) = rig.connected();
    let recv = rig.recv(io, Some(buf(8)));
    let token = rig.send(io, filled(b"last words"), b"");
    rig.until(token);
    rig.shutdown(io, Shutdown::Write);
    rig.client_expects(&mut client, b"last words");
    assert_eq!(rig.client_recv(&mut client, &mut [0; 8]), ClientRecv::Fin);
    rig.client_send(&mut client, b"thanks");
    assert_eq!(rig.until(recv).bytes(), b"thanks", "the other direction stays open");
    let token = rig.send(io, filled(b"too late"), b"");
    assert_eq!(rig.until(token).result, Err(IoError::ConnectionReset));
    rig.close(io);
    rig.finish();
}

pub(crate) fn shutdown_read_ends_a_receive_in_flight<H: Harness>() {
    let mut rig = Rig::<H>::new();
    let (mut client, io) = rig.connected();
    let recv = rig.recv(io, Some(buf(8)));
    rig.turn(Some(core::time::Duration::ZERO));
    rig.shutdown(io, Shutdown::Read);
    assert_eq!(rig.until(recv).result, Ok(0));
    let token = rig.send(io, filled(b"still here"), b"");
    assert_eq!(rig.until(token).result, Ok(10));
    rig.client_expects(&mut client, b"still here");
    rig.close(io);
    rig.finish();
}

pub(crate) fn shutdown_both_ends_everything_in_flight<H: Harness>() {
    let mut rig = Rig::<H>::new();
    let (_client, io) = rig.connected();
    let send = rig.fill(io);
    let recv = rig.recv(io, Some(buf(8)));
    rig.turn(Some(core::time::Duration::ZERO));
    rig.shutdown(io, Shutdown::Both);
    assert_eq!(rig.until(recv).result, Ok(0));
    assert_eq!(rig.until(send).result, Err(IoError::ConnectionReset));
    rig.close(io);
    rig.finish();
}

pub(crate) fn shutdown_both_ends_writing_when_reading_has_ended_already<H: Harness>() {
    let mut rig = Rig::<H>::new();
    let (mut client, io) = rig.connected();
    rig.harness.client_finish(&mut client);
    let token = rig.recv(io, Some(buf(8)));
    assert_eq!(rig.until(token).result, Ok(0));
    rig.shutdown(io, Shutdown::Both);
    assert_eq!(rig.client_recv(&mut client, &mut [0; 8]), ClientRecv::Fin);
    let token = rig.send(io, filled(b"x"), b"");
    assert_eq!(rig.until(token).result, Err(IoError::ConnectionReset));
    rig.close(io);
    rig.finish();
}

pub(crate) fn a_close_after_a_reset_was_asked_for_is_no_fin<H: Harness>() {
    let mut rig = Rig::<H>::new();
    for is_receiving in [false, true] {
        let (mut client, io) = rig.connected();
        let token = rig.send(io, filled(b"a part"), b"");
        rig.until(token);
        let recv = is_receiving.then(|| rig.recv(io, Some(buf(8))));
        rig.shutdown(io, Shutdown::Reset);
        if let Some(recv) = recv {
            let done = rig.cancelled(recv, io);
            assert_eq!(done.result, Err(IoError::Canceled), "the shutdown alone ends no operation");
        }
        rig.close(io);
        let mut ended = rig.client_recv(&mut client, &mut [0; 8]);
        if let ClientRecv::Bytes(_) = ended {
            // What was sent may arrive or be lost.
            ended = rig.client_recv(&mut client, &mut [0; 8]);
        }
        assert_eq!(ended, ClientRecv::Reset);
    }
    rig.finish();
}

pub(crate) fn close_ends_the_connection_once<H: Harness>() {
    let mut rig = Rig::<H>::new();
    let (mut client, io) = rig.connected();
    rig.close(io);
    assert_eq!(rig.client_recv(&mut client, &mut [0; 8]), ClientRecv::Fin);
    let (mut other, other_io) = rig.connected();
    if io != other_io {
        rig.close(io);
    }
    let token = rig.send(other_io, filled(b"alive"), b"");
    rig.until(token);
    rig.client_expects(&mut other, b"alive");
    rig.close(other_io);
    rig.finish();
}

pub(crate) fn closing_a_listener_ends_it<H: Harness>() {
    let mut rig = Rig::<H>::new();
    let listener = rig.harness.listen();
    rig.close(listener);
    let token = rig.accept(listener);
    assert!(rig.until(token).result.is_err());
    let (_client, io) = rig.connected();
    rig.close(io);
    rig.finish();
}

pub(crate) fn a_stale_handle_completes_with_errors<H: Harness>() {
    let mut rig = Rig::<H>::new();
    let (mut client, io) = rig.connected();
    // A receive drains the socket first, so that it is not known to be readable.
    rig.client_send(&mut client, b"x");
    let token = rig.recv(io, Some(buf(8)));
    rig.until(token);
    rig.close(io);
    expect_errors(&mut rig, io);
    rig.finish();
}

pub(crate) fn an_invalid_handle_completes_with_errors<H: Harness>() {
    let mut rig = Rig::<H>::new();
    for index in [23, 24, 1 << 24, u32::MAX - 1, u32::MAX] {
        expect_errors(&mut rig, IoHandle(index));
    }
    rig.finish();
}

/// Every operation on `io` fails and returns its buffers, without side effects.
fn expect_errors<H: Harness>(rig: &mut Rig<H>, io: IoHandle) {
    let token = rig.recv(io, Some(buf(8)));
    assert_eq!(rig.until(token).result, Err(IoError::Unsupported), "{io:?}");
    let token = rig.send(io, filled(b"x"), b"y");
    assert_eq!(rig.until(token).result, Err(IoError::Unsupported), "{io:?}");
    let token = rig.accept(io);
    assert_eq!(rig.until(token).result, Err(IoError::Unsupported), "{io:?}");
    rig.shutdown(io, Shutdown::Both);
    rig.cancel(token, io);
    rig.close(io);
    let (mut client, other) = rig.connected();
    let token = rig.send(other, filled(b"alive"), b"");
    rig.until(token);
    rig.client_expects(&mut client, b"alive");
    rig.close(other);
    rig.harness.client_close(client);
}

pub(crate) fn the_wrong_kind_of_handle_completes_with_errors<H: Harness>() {
    let mut rig = Rig::<H>::new();
    let (mut client, io) = rig.connected();
    let token = rig.accept(io);
    assert!(rig.until(token).result.is_err());
    let listener = rig.harness.listen();
    let token = rig.recv(listener, Some(buf(8)));
    assert!(rig.until(token).result.is_err());
    let token = rig.send(listener, filled(b"x"), b"");
    assert!(rig.until(token).result.is_err());
    let token = rig.send(io, filled(b"alive"), b"");
    rig.until(token);
    rig.client_expects(&mut client, b"alive");
    rig.close(io);
    rig.finish();
}

pub(crate) fn a_second_operation_of_a_kind_is_refused<H: Harness>() {
    let mut rig = Rig::<H>::new();
    let (_client, io) = rig.connected();
    let first = rig.recv(io, Some(buf(8)));
    rig.turn(Some(core::time::Duration::ZERO));
    // Bypasses the rig, which identifies operations by their tokens.
    let second = Op::Recv { io, into: Some(buf(16)) };
    rig.harness.reactor().submit(Submission { token: token(io, OpKind::Recv), op: second }).unwrap();
    rig.harness.reactor().wait(None).unwrap();
    let refused = rig.harness.reactor().next_completion().expect("an answer");
    match refused.outcome {
        Outcome::Recv { result: Err(IoError::Unsupported), buf: Some(buf) } => assert_eq!(buf.capacity(), 16),
        other => panic!("{other:?}"),
    }
    assert_eq!(rig.cancelled(first, io).result, Err(IoError::Canceled), "the first one is not touched");
    rig.close(io);
    rig.finish();
}

pub(crate) fn a_buffer_without_room_is_refused<H: Harness>() {
    let mut rig = Rig::<H>::new();
    let (mut client, io) = rig.connected();
    rig.client_send(&mut client, b"x");
    let token = rig.recv(io, Some(filled(b"full")));
    let done = rig.until(token);
    assert_eq!((done.result, done.bytes()), (Err(IoError::Unsupported), &b"full"[..]), "0 bytes would mean FIN");
    rig.close(io);
    rig.finish();
}
