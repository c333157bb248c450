//! Path and query of a target, and percent-decoding, compared with a simpler model: never a panic, the pairs are those
//! of the model, and they can be joined again.
//!
//! Option: how much room there is to decode into. Then the target without its first `/`.

use aurora_http_core::limits::Limits;
use aurora_http_core::parse::{HeadScan, with_head};
use aurora_http_core::request::{Query, QueryError, decode_path_into};

pub fn check(input: &[u8]) {
    let Some(([room], raw)) = super::options(input) else { return };
    check_decoding(raw, usize::from(room));
    let head = [b"GET /", raw, b" HTTP/1.1\r\nHost: x\r\n\r\n"].concat();
    with_head(&head, &Limits::default(), &mut HeadScan::default(), |parsed| {
        let Ok(Some(request)) = parsed else { return };
        // White space in `raw` may have ended the target early.
        let target = request.target();
        assert!(head[b"GET ".len()..].starts_with(target));
        let Some(query) = request.query() else {
            assert!(request.path() == target && !target.contains(&b'?'));
            return;
        };
        assert_eq!([request.path(), b"?", query.as_bytes()].concat(), target);
        assert!(!request.path().contains(&b'?'));
        check_pairs(query);
    });
}

/// The pairs, split with the standard library.
fn check_pairs(query: Query<'_>) {
    let raw = query.as_bytes();
    let pieces = raw.split(|&byte| byte == b'&').filter(|piece| !piece.is_empty());
    let expected: Vec<(&[u8], &[u8])> = pieces
        .map(|piece| {
            let mut halves = piece.splitn(2, |&byte| byte == b'=');
            (halves.next().unwrap_or_default(), halves.next().unwrap_or_default())
        })
        .collect();
    assert_eq!(query.clone().collect::<Vec<_>>(), expected);
    let mut rest = query.clone();
    for (key, value) in &expected {
        // Joined again, except for the separators.
        let left = rest.as_bytes();
        let pair = if value.is_empty() { key.to_vec() } else { [*key, b"=", *value].concat() };
        let start = left.iter().position(|&byte| byte != b'&').expect("a pair is left");
        assert!(left[start..].starts_with(&pair), "{}", super::text(left));
        assert!(raw.ends_with(left));
        assert_eq!(rest.next(), Some((*key, *value)));
        if let Ok(key) = str::from_utf8(key) {
            let first = expected.iter().find(|(other, _)| *other == key.as_bytes()).map(|(_, value)| *value);
            assert_eq!(query.get(key), first);
        }
        for part in [key, value] {
            check_decoding(part, part.len());
        }
    }
    assert_eq!(rest.next(), None);
}

/// Both decodings into so much room, and into enough room.
fn check_decoding(raw: &[u8], room: usize) {
    for room in [room, raw.len()] {
        let mut out = vec![0xee; room + 1];
        assert_eq!(Query::decode_into(raw, &mut out[..room]).map(<[u8]>::to_vec), decoded(raw, room, b' '));
        assert_eq!(decode_path_into(raw, &mut out[..room]).map(<[u8]>::to_vec), decoded(raw, room, b'+'));
        assert_eq!(out[room], 0xee);
    }
}

/// The model: from front to back, until a byte does not fit or an escape is invalid.
fn decoded(raw: &[u8], room: usize, plus: u8) -> Result<Vec<u8>, QueryError> {
    let digit = |byte: Option<&u8>| {
        let byte = byte?.to_ascii_lowercase();
        b"0123456789abcdef".iter().position(|&digit| digit == byte)
    };
    let mut out = Vec::new();
    let mut bytes = raw.iter().enumerate();
    while let Some((at, &byte)) = bytes.next() {
        let byte = match byte {
            b'%' => {
                let (high, low) = (digit(raw.get(at + 1)), digit(raw.get(at + 2)));
                let (Some(high), Some(low)) = (high, low) else { return Err(QueryError::MalformedEscape { at }) };
                bytes.nth(1);
                (high * 16 + low) as u8
            }
            b'+' => plus,
            byte => byte,
        };
        if out.len() == room {
            return Err(QueryError::BufferFull);
        }
        out.push(byte);
    }
    Ok(out)
}
