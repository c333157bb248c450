use std::string::String;
use std::vec::Vec;
use std::{format, vec};

use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use super::*;

/// Deterministic: the same cases in every run.
fn config() -> ProptestConfig {
    ProptestConfig { rng_seed: RngSeed::Fixed(9112), failure_persistence: None, ..ProptestConfig::default() }
}

/// The bytes that `write` writes, after checking that with any less room it fails with `full` and writes nothing.
fn put_all<E: Copy + PartialEq + fmt::Debug>(full: E, write: impl Fn(&mut Encoder<'_>) -> Result<(), E>) -> Vec<u8> {
    let mut out = [0xaa; 512];
    let mut encoder = Encoder::new(&mut out);
    assert_eq!(write(&mut encoder), Ok(()));
    let (length, spare_len) = (encoder.len(), encoder.spare_len());
    assert_eq!(length + spare_len, out.len());
    assert!(out[length..].iter().all(|&byte| byte == 0xaa), "wrote past its end");
    for short in 0..length {
        let mut out = vec![0xaa; short];
        let mut encoder = Encoder::new(&mut out);
        assert_eq!(write(&mut encoder), Err(full), "{short} of {length} bytes");
        assert!(encoder.is_empty());
        assert!(out.iter().all(|&byte| byte == 0xaa), "wrote into {short} of {length} bytes");
    }
    out[..length].to_vec()
}

#[test]
fn each_part_is_written_whole_or_not_at_all() {
    let date = HttpDate::from_unix_seconds(0).unwrap();
    let line = FieldLine::new("Server: a").unwrap();
    assert_eq!(put_all(StatusError::Full, |e| e.status_line(200)), b"HTTP/1.1 200 OK\r\n");
    assert_eq!(put_all(StatusError::Full, |e| e.status_line(404)), b"HTTP/1.1 404 Not Found\r\n");
    assert_eq!(put_all(StatusError::Full, |e| e.status_line(299)), b"HTTP/1.1 299 \r\n");
    assert_eq!(
        put_all(StatusError::Full, |e| e.status_line_with_reason(200, b"Fine\tby \xfcs")),
        b"HTTP/1.1 200 Fine\tby \xfcs\r\n"
    );
    assert_eq!(put_all(FieldError::Full, |e| e.field("A", b"")), b"A: \r\n");
    assert_eq!(put_all(FieldError::Full, |e| e.field("Vary", b"Accept, Origin")), b"Vary: Accept, Origin\r\n");
    assert_eq!(put_all(BufferFull, |e| e.field_line(line)), b"Server: a\r\n");
    assert_eq!(put_all(BufferFull, |e| e.uint_field(b"Age: ", 0)), b"Age: 0\r\n");
    assert_eq!(put_all(BufferFull, |e| e.uint_field(b"Age: ", u64::MAX)), b"Age: 18446744073709551615\r\n");
    assert_eq!(put_all(BufferFull, |e| e.date_field(&date)), b"Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n");
    assert_eq!(put_all(FieldError::Full, |e| e.upgrade_field(b"websocket")), b"Upgrade: websocket\r\n");
    assert_eq!(put_all(BufferFull, |e| e.end_of_head()), b"\r\n");
}

#[test]
fn parts_follow_each_other_and_a_failed_one_leaves_no_trace() {
    let mut out = [0; 20];
    let mut encoder = Encoder::new(&mut out);
    encoder.status_line(200).unwrap();
    assert_eq!((encoder.len(), encoder.spare_len()), (17, 3));
    assert_eq!(encoder.put(b"four"), Err(BufferFull));
    assert_eq!(encoder.field("A", b""), Err(FieldError::Full));
    encoder.end_of_head().unwrap();
    encoder.put(b"!").unwrap();
    assert_eq!(encoder.put(b"?"), Err(BufferFull));
    assert_eq!(&out, b"HTTP/1.1 200 OK\r\n\r\n!");
}

#[test]
fn fields_that_would_change_the_message_are_refused() {
    use FieldError::{InvalidName, InvalidValue, Reserved};
    for (name, value, error) in [
        ("", "x", InvalidName),
        ("A:", "x", InvalidName),
        ("A ", "x", InvalidName),
        (" A", "x", InvalidName),
        ("A\r\nB", "x", InvalidName),
        ("A\nB", "x", InvalidName),
        ("A\0", "x", InvalidName),
        ("Ä", "x", InvalidName),
        ("A", "x\r\nSet-Cookie: y", InvalidValue),
        ("A", "x\r\n\r\n<html>", InvalidValue),
        ("A", "x\nB: y", InvalidValue),
        ("A", "x\rB: y", InvalidValue),
        ("A", "\r", InvalidValue),
        ("A", "\n", InvalidValue),
        ("A", "\0", InvalidValue),
        ("A", "0123456789\0", InvalidValue),
        ("A", "\x7f", InvalidValue),
        ("A", "\x0b", InvalidValue),
        ("Content-Length", "0", Reserved),
        ("CONTENT-LENGTH", "0", Reserved),
        ("transfer-encoding", "chunked", Reserved),
        ("Connection", "close", Reserved),
        ("keep-alive", "timeout=5", Reserved),
        ("Proxy-Connection", "close", Reserved),
        ("Upgrade", "h2c", Reserved),
        ("trailer", "Expires", Reserved),
        ("Date", "today", Reserved),
    ] {
        let mut out = [0; 128];
        let mut encoder = Encoder::new(&mut out);
        assert_eq!(encoder.field(name, value.as_bytes()), Err(error), "{name:?}: {value:?}");
        assert!(encoder.is_empty());
        assert_eq!(FieldLine::new(&format!("{name}: {value}")), None, "{name:?}: {value:?}");
    }
}

#[test]
fn names_near_the_reserved_ones_are_free() {
    for name in ["Content_Length", "Content-Lengths", "Transfer_Encoding", "Data", "Update", "X-Upgrade", "Connectiom"]
    {
        assert_eq!(Encoder::new(&mut [0; 64]).field(name, b"x"), Ok(()), "{name}");
    }
}

#[test]
fn statuses_and_reasons_that_would_break_the_line_are_refused() {
    for status in [0, 99, 1000, u16::MAX] {
        let mut out = [0; 64];
        let mut encoder = Encoder::new(&mut out);
        assert_eq!(encoder.status_line(status), Err(StatusError::InvalidStatus), "{status}");
        assert_eq!(encoder.status_line_with_reason(status, b"x"), Err(StatusError::InvalidStatus), "{status}");
        assert!(encoder.is_empty());
    }
    for reason in ["x\r\nA: b", "\n", "\r", "\0", "a long reason\x1f", "\x7f"] {
        let error = Encoder::new(&mut [0; 64]).status_line_with_reason(200, reason.as_bytes());
        assert_eq!(error, Err(StatusError::InvalidReason), "{reason:?}");
    }
    for protocols in ["", "x\r\nA: b", "\n"] {
        let error = Encoder::new(&mut [0; 64]).upgrade_field(protocols.as_bytes());
        assert_eq!(error, Err(FieldError::InvalidValue), "{protocols:?}");
    }
}

#[test]
fn a_field_line_needs_a_colon_and_a_space() {
    for line in ["", "A", "A:", "A:b", ": b", "A : b", " A: b", "Date: x", "A: b\r\n", "A: b\r\nB: c"] {
        assert_eq!(FieldLine::new(line), None, "{line:?}");
    }
    for line in ["A: ", "A: b", "A: b: c", "A: \tb"] {
        let put = put_all(BufferFull, |e| e.field_line(FieldLine::new(line).unwrap()));
        assert_eq!(put, format!("{line}\r\n").as_bytes());
    }
}

/// Every byte on its own, and at every position of a longer text, so that both the word-wise and the byte-wise checks
/// see it.
#[test]
fn every_byte_of_names_and_values() {
    for byte in 0..=u8::MAX {
        let in_token = byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        let in_value = byte == b'\t' || (byte >= b' ' && byte != 0x7f);
        for length in 1..20 {
            for place in 0..length {
                let mut text = [b'a'; 20];
                text[place] = byte;
                assert_eq!(is_token(&text[..length]), in_token, "{byte:#x} at {place} of {length}");
                assert_eq!(is_field_content(&text[..length]), in_value, "{byte:#x} at {place} of {length}");
            }
        }
    }
    assert!(!is_token(b""));
    assert!(is_field_content(b""));
}

/// Every row of the framing table.
#[test]
fn framing_by_method_status_version_and_length() {
    use BodyFraming::{Chunked, CloseDelimited, Length, NoBody};
    use BodyKind::{Known, None as Unsaid, Unknown};
    const NOTHING: BodyFraming = NoBody { content_length: None };
    const fn told(length: u64) -> BodyFraming {
        NoBody { content_length: Some(length) }
    }
    const KINDS: [BodyKind; 4] = [Unsaid, Known(0), Known(u64::MAX), Unknown];
    // Statuses; HEAD; CONNECT; HTTP/1.0; framing for each of KINDS.
    type Row = (&'static [u16], bool, bool, bool, [BodyFraming; 4]);
    let other: &[u16] = &[200, 201, 203, 206, 299, 300, 303, 305, 400, 404, 426, 500, 599, 600, 999];
    let error: &[u16] = &[300, 400, 407, 502, 999];
    let rows: &[Row] = &[
        // GET and other methods.
        (other, false, false, false, [Length(0), Length(0), Length(u64::MAX), Chunked]),
        (other, false, false, true, [Length(0), Length(0), Length(u64::MAX), CloseDelimited]),
        // HEAD.
        (other, true, false, false, [NOTHING, told(0), told(u64::MAX), NOTHING]),
        (other, true, false, true, [NOTHING, told(0), told(u64::MAX), NOTHING]),
        // A refused CONNECT is like GET, a successful one is a tunnel.
        (error, false, true, false, [Length(0), Length(0), Length(u64::MAX), Chunked]),
        (error, false, true, true, [Length(0), Length(0), Length(u64::MAX), CloseDelimited]),
        (&[200, 204, 205, 299], false, true, false, [NOTHING; 4]),
        (&[200, 204, 205, 299], false, true, true, [NOTHING; 4]),
        // Never any content, whatever the request.
        (&[100, 101, 102, 103, 199, 204, 304], false, false, false, [NOTHING; 4]),
        (&[100, 101, 102, 103, 199, 204, 304], false, false, true, [NOTHING; 4]),
        (&[100, 101, 102, 103, 199, 204, 304], true, false, false, [NOTHING; 4]),
        (&[100, 101, 102, 103, 199, 204, 304], true, false, true, [NOTHING; 4]),
        (&[100, 101, 199, 304], false, true, false, [NOTHING; 4]),
        (&[205], false, false, false, [told(0); 4]),
        (&[205], false, false, true, [told(0); 4]),
        (&[205], true, false, false, [told(0); 4]),
        (&[205], true, false, true, [told(0); 4]),
    ];
    for &(statuses, head, connect, http10, expected) in rows {
        for &status in statuses {
            for (kind, framing) in KINDS.into_iter().zip(expected) {
                let found = response_body(head, connect, status, http10, kind);
                assert_eq!(found, framing, "{status} {kind:?} HEAD {head} CONNECT {connect} 1.0 {http10}");
            }
        }
    }
}

#[test]
fn framing_is_told_in_one_field_or_none() {
    for (framing, line, has_body, closes) in [
        (BodyFraming::NoBody { content_length: None }, "", false, false),
        (BodyFraming::NoBody { content_length: Some(12) }, "Content-Length: 12\r\n", false, false),
        (BodyFraming::Length(0), "Content-Length: 0\r\n", true, false),
        (BodyFraming::Length(345), "Content-Length: 345\r\n", true, false),
        (BodyFraming::Chunked, "Transfer-Encoding: chunked\r\n", true, false),
        (BodyFraming::CloseDelimited, "", true, true),
    ] {
        assert_eq!(put_all(BufferFull, |e| e.framing_field(framing)), line.as_bytes());
        assert_eq!((framing.has_body(), framing.closes()), (has_body, closes), "{framing:?}");
    }
}

#[test]
fn connection_options() {
    for (http10, persistent, upgrade, line) in [
        (false, true, false, ""),
        (false, false, false, "Connection: close\r\n"),
        (true, true, false, "Connection: keep-alive\r\n"),
        (true, false, false, "Connection: close\r\n"),
        (false, true, true, "Connection: upgrade\r\n"),
        (false, false, true, "Connection: close, upgrade\r\n"),
        (true, true, true, "Connection: keep-alive, upgrade\r\n"),
        (true, false, true, "Connection: close, upgrade\r\n"),
    ] {
        assert_eq!(connection_field(http10, persistent, upgrade), line.as_bytes());
    }
}

#[test]
fn the_room_kept_for_the_core_s_fields_is_exactly_enough() {
    let date = HttpDate::from_unix_seconds(0).unwrap();
    let mut longest = 0;
    for flags in 0..8 {
        for framing in [BodyFraming::Chunked, BodyFraming::Length(u64::MAX), BodyFraming::CloseDelimited] {
            let mut out = [0; OWN_FIELDS_BYTES_MAX];
            let mut encoder = Encoder::new(&mut out);
            encoder.date_field(&date).unwrap();
            encoder.put(connection_field(flags & 1 != 0, flags & 2 != 0, flags & 4 != 0)).unwrap();
            encoder.framing_field(framing).unwrap();
            encoder.end_of_head().unwrap();
            longest = longest.max(encoder.len());
        }
    }
    assert_eq!(longest, OWN_FIELDS_BYTES_MAX);
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn bytes_of_any_length_are_copied(bytes in prop::collection::vec(any::<u8>(), 0..80), before in 0..9_usize) {
        let mut out = [0xaa; 96];
        let mut encoder = Encoder::new(&mut out);
        encoder.put(&[0xaa; 9][..before]).unwrap();
        encoder.put(&bytes).unwrap();
        let end = before + bytes.len();
        prop_assert_eq!(&out[before..end], &bytes[..]);
        prop_assert!(out[..before].iter().chain(&out[end..]).all(|&byte| byte == 0xaa));
    }

    /// Any name and value either cause an error or become exactly one line.
    #[test]
    fn a_field_is_one_line(
        name in "[A-Za-z\\-:\r\n\0 ]{0,6}",
        value in prop::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), b' '..=b'~', any::<u8>()], 0..24),
    ) {
        let mut out = [0; 64];
        let mut encoder = Encoder::new(&mut out);
        let result = encoder.field(&name, &value);
        let length = encoder.len();
        if result.is_ok() {
            let line = [name.as_bytes(), b": ", &value, b"\r\n"].concat();
            prop_assert_eq!(&out[..length], &line[..]);
            prop_assert_eq!(line.iter().position(|&byte| byte == b'\n'), Some(length - 1));
            prop_assert_eq!(line.iter().position(|&byte| byte == b'\r'), Some(length - 2));
            prop_assert_eq!(line.iter().position(|&byte| byte == b':'), Some(name.len()));
        } else {
            prop_assert_eq!(length, 0);
        }
        // `FieldLine` applies the same rules.
        if let Ok(text) = String::from_utf8(value) {
            prop_assert_eq!(FieldLine::new(&format!("{name}: {text}")).is_some(), result.is_ok());
        }
    }
}
