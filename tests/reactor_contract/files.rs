//! Parts of files. On a reactor that sends none, each row checks that it says so.

use aurora_http_core::reactor::{FileId, FileRange, IoError, IoHandle, Op, OpKind, OpToken, Reactor};
use aurora_http_core::sim::ClientRecv;

use crate::support::Harness;
use crate::support::rig::{Rig, filled, pattern, token};

fn send_file<H: Harness>(rig: &mut Rig<H>, io: IoHandle, head: &[u8], range: FileRange) -> OpToken {
    let token = token(io, OpKind::Send);
    rig.submit(token, Op::SendFile { io, head: filled(head), range });
    token
}

fn range(file: FileId, offset: usize, len: usize) -> FileRange {
    FileRange { file, offset: offset as u64, len: len as u32 }
}

/// A connection and an open file; `None` where files cannot be sent.
fn begin<H: Harness>(rig: &mut Rig<H>, bytes: &[u8]) -> Option<(H::Client, IoHandle, FileId)> {
    let (client, io) = rig.connected();
    let file = rig.harness.open_file(bytes);
    let sends_files = rig.harness.reactor().peers().sends_files();
    assert_eq!(file.is_some(), sends_files, "a reactor says whether it sends files");
    let Some(file) = file else {
        let file = FileId { index: 0, generation: 0 };
        let token = send_file(rig, io, b"head", range(file, 0, 10));
        let done = rig.until(token);
        assert_eq!((done.result, done.bytes()), (Err(IoError::Unsupported), &b"head"[..]));
        rig.close(io);
        return None;
    };
    Some((client, io, file))
}

pub(crate) fn a_part_of_a_file_follows_the_head<H: Harness>() {
    let mut rig = Rig::<H>::new();
    let bytes = pattern(1000);
    if let Some((mut client, io, file)) = begin(&mut rig, bytes) {
        for (head, offset, len) in [(&b"head"[..], 0, 1000), (b"", 10, 20), (b"head", 999, 1), (b"x", 0, 1000)] {
            let token = send_file(&mut rig, io, head, range(file, offset, len));
            let done = rig.until(token);
            assert_eq!(done.result, Ok((head.len() + len) as u32));
            assert_eq!(done.bytes(), head, "nothing is consumed from it");
            rig.client_expects(&mut client, &[head, &bytes[offset..offset + len]].concat());
        }
        rig.close(io);
    }
    rig.finish();
}

pub(crate) fn a_long_part_leaves_in_order_to_a_slow_reader<H: Harness>() {
    let mut rig = Rig::<H>::new();
    let bytes = pattern(1 << 20);
    if let Some((mut client, io, file)) = begin(&mut rig, bytes) {
        rig.harness.shrink(io);
        let (mut sent, mut short, mut received) = (0, 0, Vec::new());
        let mut token = send_file(&mut rig, io, b"head", range(file, 0, bytes.len()));
        let total = bytes.len() + 4;
        rig.pump(|rig| {
            if let Some(done) = rig.take(token) {
                sent += done.result.unwrap() as usize;
                short += usize::from(sent < total);
                if sent < total {
                    let at = sent.saturating_sub(4);
                    let head = &b"head"[sent.min(4)..];
                    token = send_file(rig, io, head, range(file, at, bytes.len() - at));
                }
            }
            let mut into = [0; 3000];
            if let ClientRecv::Bytes(count) = rig.harness.client_recv(&mut client, &mut into) {
                received.extend_from_slice(&into[..count]);
            }
            (received.len() == total).then_some(())
        });
        assert!(received[4..] == *bytes, "the bytes differ");
        assert!(short > 0, "the socket buffers took every send at once: nothing was tested");
        rig.close(io);
    }
    rig.finish();
}

pub(crate) fn a_file_that_is_too_short_or_closed_fails_the_send<H: Harness>() {
    let mut rig = Rig::<H>::new();
    if let Some((mut client, io, file)) = begin(&mut rig, pattern(1000)) {
        for (offset, len) in [(1000, 1), (5000, 10), (0, 1001)] {
            let token = send_file(&mut rig, io, b"head", range(file, offset, len));
            let done = rig.until(token);
            assert_eq!((done.result, done.bytes()), (Err(IoError::FileUnreadable), &b"head"[..]), "{offset} {len}");
            rig.client_expects(&mut client, b"head");
        }
        rig.client_expects(&mut client, pattern(1000));
        rig.harness.close_file(file);
        let other = rig.harness.open_file(pattern(1000)).expect("a file");
        let token = send_file(&mut rig, io, b"head", range(file, 0, 10));
        assert_eq!(rig.until(token).result, Err(IoError::FileUnreadable), "not a part of {other:?}");
        rig.client_expects(&mut client, b"head");
        rig.close(io);
    }
    rig.finish();
}

pub(crate) fn cancel_ends_the_send_of_a_file<H: Harness>() {
    let mut rig = Rig::<H>::new();
    let bytes = pattern(1 << 20);
    if let Some((_client, io, file)) = begin(&mut rig, bytes) {
        // The body of this send fills the connection.
        let parked = rig.fill(io);
        rig.cancelled(parked, io);
        let token = send_file(&mut rig, io, b"", range(file, 0, bytes.len()));
        let done = rig.cancelled(token, io);
        assert!(matches!(done.result, Err(IoError::Canceled) | Ok(_)), "{:?}", done.result);
        rig.close(io);
    }
    rig.finish();
}
