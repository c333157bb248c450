//! How much work a head costs, counted in bytes examined.

use std::vec::Vec;

use super::super::scan::SCANNED;
use super::*;

/// Bytes examined when `head` arrives in pieces of `piece` bytes.
fn scanned(head: &[u8], piece: usize, limits: &Limits) -> usize {
    SCANNED.set(0);
    let mut scan = HeadScan::default();
    let ends = (piece..head.len()).step_by(piece).chain([head.len()]);
    let mut is_complete = false;
    for end in ends {
        is_complete = with_head(&head[..end], limits, &mut scan, |parsed| parsed.unwrap().is_some());
    }
    assert!(is_complete);
    SCANNED.get()
}

/// A head of exactly `len` bytes, with a long target and as many fields as fit.
fn head_of(len: usize, fields: usize) -> Vec<u8> {
    let mut head = b"GET /".to_vec();
    head.extend([b'a'; 8000]);
    head.extend(b" HTTP/1.1\r\nHost: x\r\n");
    let each = (len - head.len() - 2) / fields;
    for index in 0..fields {
        let line_len = if index + 1 == fields { len - head.len() - 2 } else { each };
        head.extend(b"Field: ");
        head.extend(std::iter::repeat_n(b'v', line_len - b"Field: \r\n".len()));
        head.extend(b"\r\n");
    }
    head.extend(b"\r\n");
    assert_eq!(head.len(), len);
    head
}

/// S22: a head of 64 KiB, in pieces of one byte or of any other size, costs a small multiple of its length.
#[test]
fn work_is_linear_however_a_head_is_split() {
    let limits = Limits { fields_max: 128, ..Limits::default() };
    for fields in [1, 10, 60, 127] {
        for len in [16 * 1024, 64 * 1024] {
            let head = head_of(len, fields);
            for piece in [1, 2, 3, 100, 1460, 4096, len / 2 + 1, len - 1] {
                let scanned = scanned(&head, piece, &limits);
                // The scanner reads every byte once and the request line twice. The one-shot parse is tried on the
                // first piece and at the end, in up to three sizes of storage.
                let first = piece * 3;
                assert!(scanned <= 2 * len + 9000 + first, "{scanned} for {len} bytes by {piece}, {fields} fields");
            }
        }
    }
}

/// A head that arrives whole is lexed once for each size of storage that is tried, and never scanned.
#[test]
fn a_whole_head_is_lexed_once_per_size_of_storage() {
    let limits = Limits { fields_max: 128, ..Limits::default() };
    for (fields, attempts) in [(1, 1), (15, 1), (16, 2), (63, 2), (64, 3), (127, 3)] {
        let head = head_of(16 * 1024, fields);
        assert_eq!(scanned(&head, head.len(), &limits), attempts * head.len(), "{fields} fields");
    }
}

/// In a refused head, the bytes after the fault are examined at most once.
#[test]
fn work_on_a_refused_head_is_bounded() {
    let limits = Limits::default();
    let mut head = head_of(64 * 1024, 10);
    head[3] = b'\t';
    SCANNED.set(0);
    let refused = with_head(&head, &limits, &mut HeadScan::default(), |parsed| parsed.is_err());
    assert!(refused);
    assert!(SCANNED.get() <= head.len() + 10, "{}", SCANNED.get());
}
