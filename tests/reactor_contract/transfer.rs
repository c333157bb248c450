//! Accepting connections and transferring bytes.

use aurora_http_core::pool::Buf;
use aurora_http_core::reactor::{IoError, IoHandle, Reactor};
use aurora_http_core::sim::ClientRecv;

use crate::support::Harness;
use crate::support::rig::{Rig, buf, filled, pattern};

pub(crate) fn accept_hands_out_connections_one_by_one<H: Harness>() {
    let mut rig = Rig::<H>::new();
    let mut clients: Vec<_> = (0..3).map(|_| rig.harness.connect(rig.listener)).collect();
    let mut handles = Vec::new();
    for client in &mut clients {
        let token = rig.accept(rig.listener);
        let io = IoHandle(rig.until(token).result.unwrap());
        assert!(!handles.contains(&io), "handed out twice");
        let greeting = rig.send(io, filled(&[handles.len() as u8]), b"");
        assert_eq!(rig.until(greeting).result, Ok(1));
        rig.client_expects(client, &[handles.len() as u8]);
        handles.push(io);
    }
    for io in handles {
        rig.close(io);
    }
    rig.finish();
}

pub(crate) fn a_receive_appends_to_its_own_buffer<H: Harness>() {
    let mut rig = Rig::<H>::new();
    let (mut client, io) = rig.connected();
    let mut into = buf(16);
    into.append(b"GET ").unwrap();
    let token = rig.recv(io, Some(into));
    rig.client_send(&mut client, b"/index");
    let done = rig.until(token);
    assert_eq!((done.result, done.bytes()), (Ok(6), &b"GET /index"[..]));
    rig.close(io);
    rig.finish();
}

pub(crate) fn a_receive_takes_a_lent_buffer<H: Harness>() {
    let mut rig = Rig::<H>::new();
    let (mut client, io) = rig.connected();
    rig.provide(8);
    let token = rig.recv(io, None);
    rig.client_send(&mut client, b"abc");
    let done = rig.until(token);
    assert_eq!((done.result, done.bytes()), (Ok(3), &b"abc"[..]));
    rig.close(io);
    rig.finish();
}

pub(crate) fn without_a_lent_buffer_a_receive_says_so<H: Harness>() {
    let mut rig = Rig::<H>::new();
    let (mut client, io) = rig.connected();
    let token = rig.recv(io, None);
    rig.client_send(&mut client, b"abc");
    let done = rig.until(token);
    assert_eq!(done.result, Err(IoError::NoBuffers));
    assert!(done.buf.is_none());
    rig.provide(8);
    let token = rig.recv(io, None);
    assert_eq!(rig.until(token).bytes(), b"abc", "nothing was lost");
    rig.close(io);
    rig.finish();
}

pub(crate) fn idle_receives_hold_no_lent_buffer<H: Harness>() {
    let mut rig = Rig::<H>::new();
    let (_idle, idle_io) = rig.connected();
    let (mut client, io) = rig.connected();
    let idle_token = rig.recv(idle_io, None);
    let token = rig.recv(io, None);
    rig.provide(8);
    rig.turn(Some(core::time::Duration::from_millis(5)));
    rig.client_send(&mut client, b"abc");
    assert_eq!(rig.until(token).bytes(), b"abc", "the one buffer went to the one that has bytes");
    assert_eq!(rig.cancelled(idle_token, idle_io).result, Err(IoError::Canceled));
    rig.close(io);
    rig.close(idle_io);
    rig.finish();
}

pub(crate) fn lent_buffers_are_taken_up_to_the_capacity_and_given_back<H: Harness>() {
    let mut harness = H::new(2, 3);
    let mut lent = 0;
    let refused = loop {
        match harness.reactor().provide(buf(8)) {
            Ok(()) => lent += 1,
            Err(back) => break back,
        }
        assert!(lent < 1000, "no end to what it takes");
    };
    assert_eq!(refused.capacity(), 8);
    assert!(lent >= 3);
    let mut back: Vec<Buf<'static>> = Vec::new();
    while let Some(buf) = harness.reactor().reclaim() {
        back.push(buf);
    }
    assert_eq!(back.len(), lent);
    let mut memory: Vec<_> = back.iter_mut().map(|buf| buf.spare().as_ptr()).collect();
    memory.sort_unstable();
    memory.dedup();
    assert_eq!(memory.len(), lent, "each one came back once");
    assert!(harness.reactor().provide(buf(0)).is_err(), "nothing can be received into it");
}

pub(crate) fn a_send_puts_the_body_behind_the_head<H: Harness>() {
    let mut rig = Rig::<H>::new();
    let (mut client, io) = rig.connected();
    for (head, body) in [(&b"head"[..], &b"body"[..]), (b"head", b""), (b"", b"body")] {
        let token = rig.send(io, filled(head), body);
        let done = rig.until(token);
        assert_eq!(done.result, Ok((head.len() + body.len()) as u32));
        assert_eq!(done.bytes(), head, "nothing is consumed from it");
        rig.client_expects(&mut client, &[head, body].concat());
    }
    let mut consumed = filled(b"sent before");
    consumed.consume(5);
    let token = rig.send(io, consumed, b"");
    assert_eq!(rig.until(token).result, Ok(6));
    rig.client_expects(&mut client, b"before");
    rig.close(io);
    rig.finish();
}

pub(crate) fn a_megabyte_arrives_in_order<H: Harness>() {
    let mut rig = Rig::<H>::new();
    let (mut client, io) = rig.connected();
    let bytes = pattern(1 << 20);
    let (mut given, mut received) = (0, Vec::new());
    let mut token = rig.recv(io, Some(buf(4096)));
    rig.pump(|rig| {
        given += rig.harness.client_send(&mut client, &bytes[given..]);
        if let Some(done) = rig.take(token) {
            assert_eq!(done.result.unwrap() as usize, done.bytes().len());
            received.extend_from_slice(done.bytes());
            let mut again = done.buf.unwrap();
            again.clear();
            if received.len() == bytes.len() {
                return Some(());
            }
            token = rig.recv(io, Some(again));
        }
        None
    });
    assert!(received == bytes, "the bytes differ");
    rig.close(io);
    rig.finish();
}

pub(crate) fn a_megabyte_leaves_in_order_to_a_slow_reader<H: Harness>() {
    let mut rig = Rig::<H>::new();
    let (mut client, io) = rig.connected();
    rig.harness.shrink(io);
    let bytes = pattern(1 << 20);
    let mut sent = 0;
    let mut short = 0;
    let mut received = Vec::new();
    let mut token = rig.send(io, filled(&bytes[..100]), &bytes[100..]);
    rig.pump(|rig| {
        if let Some(done) = rig.take(token) {
            sent += done.result.unwrap() as usize;
            short += usize::from(sent < bytes.len());
            if sent < bytes.len() {
                let head = sent.max(100).min(sent + 1);
                token = rig.send(io, filled(&bytes[sent..head]), &bytes[head..]);
            }
        }
        let mut into = [0; 3000];
        if let ClientRecv::Bytes(count) = rig.harness.client_recv(&mut client, &mut into) {
            received.extend_from_slice(&into[..count]);
        }
        (received.len() == bytes.len()).then_some(())
    });
    assert!(received == bytes, "the bytes differ");
    assert!(short > 0, "the buffers on the way took everything at once: nothing was tested");
    rig.close(io);
    rig.finish();
}

pub(crate) fn a_client_of_one_byte_at_a_time_is_understood<H: Harness>() {
    let mut rig = Rig::<H>::new();
    let (mut client, io) = rig.connected();
    let mut into = buf(64);
    for (at, byte) in b"GET / HTTP/1.1\r\n\r\n".iter().enumerate() {
        let token = rig.recv(io, Some(into));
        rig.client_send(&mut client, &[*byte]);
        let done = rig.until(token);
        assert_eq!((done.result, done.bytes().len()), (Ok(1), at + 1));
        into = done.buf.unwrap();
    }
    assert_eq!(into.filled(), b"GET / HTTP/1.1\r\n\r\n");
    rig.close(io);
    rig.finish();
}

pub(crate) fn both_directions_work_at_once<H: Harness>() {
    let mut rig = Rig::<H>::new();
    let (mut client, io) = rig.connected();
    let send = rig.fill(io);
    let recv = rig.recv(io, Some(buf(8)));
    rig.client_send(&mut client, b"stop");
    assert_eq!(rig.until(recv).bytes(), b"stop", "a send that waits does not hold the receive up");
    let mut into = vec![0; 1 << 16];
    let done = rig.pump(|rig| {
        rig.harness.client_recv(&mut client, &mut into);
        rig.take(send)
    });
    assert!(done.result.unwrap() > 0);
    rig.close(io);
    rig.finish();
}

pub(crate) fn a_handle_used_again_knows_nothing_of_its_past<H: Harness>() {
    let mut rig = Rig::<H>::new();
    for round in 0..40u8 {
        let (mut client, io) = rig.connected();
        rig.client_send(&mut client, &[round; 3]);
        let token = rig.recv(io, Some(buf(2)));
        assert_eq!(rig.until(token).bytes(), [round; 2]);
        match round % 4 {
            0 => rig.harness.client_finish(&mut client),
            1 => drop(rig.fill(io)),
            _ => {}
        }
        if round % 4 == 1 {
            rig.cancelled(crate::support::rig::token(io, aurora_http_core::reactor::OpKind::Send), io);
        }
        rig.close(io);
        rig.harness.client_close(client);
    }
    rig.finish();
}

pub(crate) fn what_a_client_has_not_read_is_unacknowledged_until_it_has<H: Harness>() {
    let mut rig = Rig::<H>::new();
    let (mut client, io) = rig.connected();
    assert!(matches!(unacknowledged(&mut rig, io), Some(0) | None));
    let parked = rig.fill(io);
    let full = unacknowledged(&mut rig, io);
    // A system that reports it does so for every connection.
    let Some(full) = full else {
        if cfg!(not(target_os = "openbsd")) {
            panic!("this system tells");
        }
        return;
    };
    assert!(full > 0, "nobody has read what was sent");
    rig.cancelled(parked, io);
    let mut into = vec![0; 1 << 16];
    rig.pump(|rig| {
        rig.harness.client_recv(&mut client, &mut into);
        (unacknowledged(rig, io) == Some(0)).then_some(())
    });
    assert_eq!(unacknowledged(&mut rig, IoHandle(u32::MAX)), None);
    rig.close(io);
    assert_eq!(unacknowledged(&mut rig, io), None, "it is closed");
    rig.finish();
}

fn unacknowledged<H: Harness>(rig: &mut Rig<H>, io: IoHandle) -> Option<u32> {
    rig.harness.reactor().peers().unacknowledged(io)
}
