//! The chunked coding: what is accepted and what is refused, however it is split.

use aurora_http_core::limits::Limits;
use aurora_http_core::parse::{Chunk, ChunkError, ChunkedDecoder, FieldLineError};
use proptest::collection::vec;
use proptest::prelude::*;

/// The outcome of decoding.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Verdict {
    /// Content so far.
    NeedMore(Vec<u8>),
    /// All content, and the length of the message body in bytes.
    End(Vec<u8>, usize),
    /// The content before the fault, and the error.
    Refused(Vec<u8>, ChunkError),
}

/// Decodes `bytes` as they arrive up to each of `ends` in turn, and then whole; consumes at most `take` bytes of
/// content at a time.
fn decode(bytes: &[u8], ends: impl IntoIterator<Item = usize>, take: usize, limits: &Limits) -> Verdict {
    let mut decoder = ChunkedDecoder::new();
    let mut content = Vec::new();
    let mut at = 0;
    for end in ends.into_iter().chain([bytes.len()]) {
        loop {
            match decoder.poll(&bytes[at..end], limits) {
                Ok(Chunk::Data { skip, len }) => {
                    assert!(len > 0);
                    at += skip;
                    let taken = len.min(take);
                    content.extend_from_slice(&bytes[at..at + taken]);
                    decoder.consume_data(taken);
                    at += taken;
                }
                Ok(Chunk::NeedMore { consumed }) => {
                    assert_eq!(consumed, end - at, "all bytes must be consumed");
                    at = end;
                    break;
                }
                Ok(Chunk::End { consumed }) => {
                    assert!(decoder.is_finished());
                    assert_eq!(decoder.poll(b"5\r\nhello", limits), Ok(Chunk::End { consumed: 0 }));
                    return Verdict::End(content, at + consumed);
                }
                Err(error) => {
                    assert!(!decoder.is_finished());
                    // The error is final: nothing after it is taken for content.
                    assert_eq!(decoder.poll(b"5\r\nhello", limits), Err(error));
                    assert_eq!(decoder.poll(b"", limits), Err(error));
                    return Verdict::Refused(content, error);
                }
            }
        }
    }
    Verdict::NeedMore(content)
}

/// The verdict on all of `bytes`, after asserting that it is the same split in two anywhere, and byte by byte.
fn every_split(bytes: &[u8], limits: &Limits) -> Verdict {
    let expected = decode(bytes, [], usize::MAX, limits);
    for at in 0..=bytes.len() {
        assert_eq!(decode(bytes, [at], usize::MAX, limits), expected, "at {at}: {}", bytes.escape_ascii());
    }
    for take in [1, 3, usize::MAX] {
        assert_eq!(decode(bytes, 0..bytes.len(), take, limits), expected, "{}", bytes.escape_ascii());
        assert_eq!(decode(bytes, [], take, limits), expected, "{}", bytes.escape_ascii());
    }
    expected
}

#[test]
fn well_formed_bodies() {
    let limits = Limits::default();
    let rows: [(&[u8], &[u8]); 25] = [
        (b"0\r\n\r\n", b""),
        (b"000\r\n\r\n", b""),
        (b"5\r\nhello\r\n0\r\n\r\n", b"hello"),
        (b"5\r\nhello\r\n1\r\n \r\n5\r\nworld\r\n0\r\n\r\n", b"hello world"),
        (b"a\r\n0123456789\r\n0\r\n\r\n", b"0123456789"),
        (b"A\r\n0123456789\r\n0\r\n\r\n", b"0123456789"),
        (b"0000000000000005\r\nhello\r\n0000000000000000\r\n\r\n", b"hello"),
        (b"6\r\n\r\n0\r\n\r\r\n0\r\n\r\n", b"\r\n0\r\n\r"),
        // S7: extensions by grammar.
        (b"5;a\r\nhello\r\n0;b\r\n\r\n", b"hello"),
        (b"5;a=b\r\nhello\r\n0\r\n\r\n", b"hello"),
        (b"5;a=\"b;c\"\r\nhello\r\n0\r\n\r\n", b"hello"),
        (b"5;a=\"\"\r\nhello\r\n0\r\n\r\n", b"hello"),
        (b"5;a=\"\\\"\\\\\\b \t\x80\"\r\nhello\r\n0\r\n\r\n", b"hello"),
        (b"5;a;b=c;d=\"e\";f\r\nhello\r\n0\r\n\r\n", b"hello"),
        (b"5;!#$%&'*+-.^_`|~=!#$%&'*+-.^_`|~\r\nhello\r\n0\r\n\r\n", b"hello"),
        // S6: "bad white space" before `;` and around `=` is allowed.
        (b"5 ;a\r\nhello\r\n0\t; b\r\n\r\n", b"hello"),
        (b"5 \t ; \t a \t = \t b \t ; c\r\nhello\r\n0\r\n\r\n", b"hello"),
        (b"5;a = \"b\" ;c\r\nhello\r\n0\r\n\r\n", b"hello"),
        // Trailer sections, even with forbidden fields (S18), are checked and dropped.
        (b"0\r\nA: b\r\n\r\n", b""),
        (b"5\r\nhello\r\n0\r\nA: b\r\nC:\r\nD: \t e \t\r\n\r\n", b"hello"),
        (b"0\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\nHost: y\r\nAuthorization: z\r\n\r\n", b""),
        (b"0\r\nOpaque: \x80\xff\r\n\r\n", b""),
        (b"0;a=b\r\nA: b\r\n\r\n", b""),
        (b"1;a\r\nx\r\n1;a\r\ny\r\n0;a\r\n\r\n", b"xy"),
        (b"00\r\n\r\n", b""),
    ];
    for (body, content) in rows {
        assert_eq!(every_split(body, &limits), Verdict::End(content.to_vec(), body.len()), "{}", body.escape_ascii());
        // Bytes after it belong to the next message.
        for next in [&b"GET / HTTP/1.1\r\n"[..], b"\r\n", b"0\r\n\r\n"] {
            let bytes = [body, next].concat();
            assert_eq!(every_split(&bytes, &limits), Verdict::End(content.to_vec(), body.len()));
        }
        for end in 0..body.len() {
            assert!(matches!(decode(&body[..end], [], usize::MAX, &limits), Verdict::NeedMore(_)));
        }
    }
}

#[test]
fn s5_s6_s8_chunk_lines() {
    use ChunkError::{DataEnd, LineEnd, Size, SizeTooLong, TrailingBlank};
    let limits = Limits::default();
    let rows: [(&[u8], ChunkError); 40] = [
        (b"-1\r\n", Size),
        (b"+5\r\nhello\r\n", Size),
        (b"0x5\r\nhello\r\n", Size),
        (b"5_0\r\n", Size),
        (b"5,5\r\n", Size),
        (b"g\r\n", Size),
        (b"5h\r\n", Size),
        (b"\xef\xbc\x95\r\n", Size), // a full-width digit
        (b"5\0\r\n", Size),
        (b"5\x0b\r\n", Size),
        (b"\"5\"\r\n", Size),
        (b"00000000000000005\r\nhello\r\n", SizeTooLong),
        (b"10000000000000000\r\n", SizeTooLong),
        (b"fffffffffffffffff\r\n", SizeTooLong),
        (b"00000000000000000\r\n", SizeTooLong),
        (b"\r\n", Size),
        (b"\r\n0\r\n\r\n", Size),
        (b";x\r\n", Size),
        (b" 5\r\nhello\r\n", Size),
        (b"\t5\r\nhello\r\n", Size),
        (b"5 \r\nhello\r\n", TrailingBlank),
        (b"5\t\r\nhello\r\n", TrailingBlank),
        (b"5 5\r\nhello\r\n", Size),
        (b"0 \r\n\r\n", TrailingBlank),
        (b"5\nhello\r\n", LineEnd),
        (b"\n5\r\nhello\r\n", LineEnd),
        (b"5 \nhello\r\n", LineEnd),
        (b"5\rhello\r\n", LineEnd),
        (b"5\r\rhello\r\n", LineEnd),
        (b"0\n\r\n", LineEnd),
        (b"0\r\r\n", LineEnd),
        (b"5;a\nhello\r\n", LineEnd),
        (b"5;a\rhello\r\n", LineEnd),
        (b"5;a=b\nhello\r\n", LineEnd),
        (b"5;a=\"b\nc\"\r\nhello\r\n", LineEnd),
        (b"5\r\nhello0\r\n\r\n", DataEnd),
        (b"5\r\nhello\n0\r\n\r\n", DataEnd),
        (b"5\r\nhello\r0\r\n\r\n", DataEnd),
        (b"5\r\nhello\r\r\n0\r\n\r\n", DataEnd),
        (b"4\r\nhello\r\n0\r\n\r\n", DataEnd),
    ];
    for (body, error) in rows {
        let verdict = every_split(body, &limits);
        assert!(matches!(verdict, Verdict::Refused(_, found) if found == error), "{} {verdict:?}", body.escape_ascii());
        assert_eq!(error.status(), 400);
    }
}

#[test]
fn s7_malformed_extensions() {
    use ChunkError::{Extension, TrailingBlank};
    let limits = Limits::default();
    let rows: [(&[u8], ChunkError); 24] = [
        (b";", Extension),
        (b"; ", Extension),
        (b";;", Extension),
        (b";a;", Extension),
        (b";a;;b", Extension),
        (b";a=", Extension),
        (b";a= ", Extension),
        (b";=b", Extension),
        (b";a==b", Extension),
        (b";a=b=c", Extension),
        (b";a=b c", Extension),
        (b";a b", Extension),
        (b";a=\"b", Extension),
        (b";a=\"b\\", Extension),
        (b";a=\"b\"c", Extension),
        (b";a=\"b\"\"c\"", Extension),
        (b";a=b\"c\"", Extension),
        (b";\"a\"", Extension),
        (b";a(b", Extension),
        (b";a=\x80", Extension),
        (b";a=\"\0\"", Extension),
        (b";a ", TrailingBlank),
        (b";a=b\t", TrailingBlank),
        (b";a=\"b\" ", TrailingBlank),
    ];
    for (extension, error) in rows {
        for size in ["5", "0"] {
            let body = [size.as_bytes(), extension, b"\r\nhello\r\n0\r\n\r\n"].concat();
            let verdict = every_split(&body, &limits);
            assert_eq!(verdict, Verdict::Refused(Vec::new(), error), "{}", body.escape_ascii());
        }
    }
}

#[test]
fn s7_extensions_up_to_their_limit() {
    let limits = Limits { chunk_extension_bytes_max: 10, ..Limits::default() };
    let rows: [(&[u8], bool); 8] = [
        (b"1;aaaaaaaaa\r\nx\r\n0\r\n\r\n", true),
        (b"1;aaaaaaaaaa\r\nx\r\n0\r\n\r\n", false),
        (b"1 ; a = \"b\"\r\nx\r\n0\r\n\r\n", true),
        (b"1 ; a =  \"b\"\r\nx\r\n0\r\n\r\n", false),
        // The limit applies to all chunks of a message together.
        (b"1;aaaa\r\nx\r\n1;bbbb\r\ny\r\n0\r\n\r\n", true),
        (b"1;aaaa\r\nx\r\n1;bbbbb\r\ny\r\n0\r\n\r\n", false),
        (b"1;aaaa\r\nx\r\n1;bb\r\ny\r\n0;c\r\n\r\n", true),
        (b"1;aaaa\r\nx\r\n1;bb\r\ny\r\n0;cc\r\n\r\n", false),
    ];
    for (body, accepted) in rows {
        match every_split(body, &limits) {
            Verdict::End(..) => assert!(accepted, "{}", body.escape_ascii()),
            verdict => {
                assert!(matches!(verdict, Verdict::Refused(_, ChunkError::ExtensionsTooLong)), "{verdict:?}");
                assert!(!accepted, "{}", body.escape_ascii());
            }
        }
    }
    assert_eq!(ChunkError::ExtensionsTooLong.status(), 400);
    // White space counts, too, and the largest limit does not wrap around.
    let largest = Limits { chunk_extension_bytes_max: u16::MAX, ..Limits::default() };
    for filler in [&b" "[..], b";a", b"\t"] {
        let body = [&b"1"[..], &filler.repeat(70_000)].concat();
        let verdict = decode(&body, [], usize::MAX, &largest);
        assert_eq!(verdict, Verdict::Refused(Vec::new(), ChunkError::ExtensionsTooLong));
    }
}

#[test]
fn trailer_sections() {
    use FieldLineError as Line;
    let limits = Limits::default();
    let rows: [(&[u8], Line); 11] = [
        (b" A: b\r\n\r\n", Line::LeadingBlank),
        (b"A: b\r\n c\r\n\r\n", Line::LeadingBlank),
        (b"A : b\r\n\r\n", Line::BlankBeforeColon),
        (b"A\r\n\r\n", Line::NoColon),
        (b": b\r\n\r\n", Line::EmptyName),
        (b"A(: b\r\n\r\n", Line::Name),
        (b"A: b\0\r\n\r\n", Line::Value),
        (b"A: b\n\r\n", Line::BareLf),
        (b"\n", Line::BareLf),
        (b"A: b\rc\r\n\r\n", Line::BareCr),
        (b"\rA: b\r\n\r\n", Line::BareCr),
    ];
    for (section, error) in rows {
        let body = [b"1\r\nx\r\n0\r\n", section].concat();
        let expected = Verdict::Refused(b"x".to_vec(), ChunkError::Trailer(error));
        assert_eq!(every_split(&body, &limits), expected, "{}", body.escape_ascii());
    }
    assert_eq!(ChunkError::Trailer(Line::Name).status(), 400);
}

#[test]
fn trailer_sections_up_to_their_limit() {
    let limits = Limits { trailer_bytes_max: 20, ..Limits::default() };
    let rows: [(&[u8], bool); 5] = [
        (b"A: 345678901234567\r\n", true),
        (b"A: 3456789012345678\r\n", false),
        (b"A: 45678\r\nB: 56789\r\n", true),
        (b"A: 45678\r\nB: 567890\r\n", false),
        (b"A: 345678901234567\r\nB:\r\n", false),
    ];
    for (section, accepted) in rows {
        let body = [b"0\r\n", section, b"\r\n"].concat();
        match every_split(&body, &limits) {
            Verdict::End(..) => assert!(accepted, "{}", body.escape_ascii()),
            verdict => {
                assert_eq!(verdict, Verdict::Refused(Vec::new(), ChunkError::TrailersTooLong));
                assert!(!accepted, "{}", body.escape_ascii());
            }
        }
    }
    assert_eq!(ChunkError::TrailersTooLong.status(), 431);
    // The largest limit does not wrap around.
    let largest = Limits { trailer_bytes_max: u16::MAX, ..Limits::default() };
    let body = [&b"0\r\nA: "[..], &b"b".repeat(70_000)].concat();
    assert_eq!(decode(&body, [], usize::MAX, &largest), Verdict::Refused(Vec::new(), ChunkError::TrailersTooLong));
}

/// Chunks longer than a 32-bit address space, offered in slices.
#[test]
fn s5_chunks_of_every_size() {
    let limits = Limits::default();
    let slice = [b'x'; 1 << 16];
    for size in [1u64, 0xffff, 1 << 16, u64::from(u32::MAX), 1 << 32, (1 << 32) + 1, u64::MAX] {
        let mut decoder = ChunkedDecoder::new();
        let head = format!("{size:x}\r\n");
        let bytes = [head.as_bytes(), &slice].concat();
        let available = (bytes.len() - head.len()) as u64;
        let len = size.min(available) as usize;
        assert_eq!(decoder.poll(&bytes, &limits), Ok(Chunk::Data { skip: head.len(), len }));
        // Not consumed: offered again.
        assert_eq!(decoder.poll(&slice, &limits), Ok(Chunk::Data { skip: 0, len }));
        decoder.consume_data(len);
        if size > available {
            assert_eq!(decoder.poll(&slice[..1], &limits), Ok(Chunk::Data { skip: 0, len: 1 }));
            assert_eq!(decoder.poll(b"", &limits), Ok(Chunk::NeedMore { consumed: 0 }));
        } else {
            assert_eq!(decoder.poll(b"\r\n0\r\n\r\n", &limits), Ok(Chunk::End { consumed: 7 }));
        }
    }
}

#[test]
fn more_than_was_offered_cannot_be_consumed() {
    let limits = Limits::default();
    let mut decoder = ChunkedDecoder::new();
    decoder.consume_data(5); // no data yet
    assert_eq!(decoder.poll(b"3\r\nabc", &limits), Ok(Chunk::Data { skip: 3, len: 3 }));
    decoder.consume_data(usize::MAX);
    decoder.consume_data(1);
    assert_eq!(decoder.poll(b"\r\n0\r\n\r\n", &limits), Ok(Chunk::End { consumed: 7 }));
}

/// One chunk on the wire, with everything that the grammar allows around it.
#[derive(Clone, Debug)]
struct WireChunk {
    content: Vec<u8>,
    upper_case: bool,
    leading_zeros: usize,
    extension: String,
}

fn wire_chunk() -> impl Strategy<Value = WireChunk> {
    let blank = "[ \t]{0,2}";
    let value = r#"([a-z0-9]{1,5}|"[ !#-\[\]-~]{0,5}(\\[ -~])?")"#;
    let extension = format!("({blank};{blank}[a-zA-Z0-9!#]{{1,5}}({blank}={blank}{value})?){{0,3}}");
    (vec(any::<u8>(), 1..40), any::<bool>(), 0..4usize, proptest::string::string_regex(&extension).unwrap()).prop_map(
        |(content, upper_case, leading_zeros, extension)| WireChunk { content, upper_case, leading_zeros, extension },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn encoded_content_is_decoded(
        chunks in vec(wire_chunk(), 0..6),
        last_extension in "(;[a-z]{1,5}){0,2}",
        trailers in vec("[A-Za-z-]{1,8}:[ -~]{0,10}", 0..3),
        ends in vec(any::<prop::sample::Index>(), 0..10),
        take in 1..50usize,
        next in vec(any::<u8>(), 0..20),
    ) {
        let mut body = Vec::new();
        let mut content = Vec::new();
        for chunk in &chunks {
            let len = chunk.content.len();
            let size = if chunk.upper_case { format!("{len:X}") } else { format!("{len:x}") };
            let zeros = "0".repeat(chunk.leading_zeros);
            body.extend_from_slice(format!("{zeros}{size}{}\r\n", chunk.extension).as_bytes());
            body.extend_from_slice(&chunk.content);
            body.extend_from_slice(b"\r\n");
            content.extend_from_slice(&chunk.content);
        }
        body.extend_from_slice(format!("0{last_extension}\r\n").as_bytes());
        for trailer in &trailers {
            body.extend_from_slice(format!("{trailer}\r\n").as_bytes());
        }
        body.extend_from_slice(b"\r\n");
        let expected = Verdict::End(content, body.len());
        let mut ends: Vec<_> = ends.iter().map(|end| end.index(body.len() + 1)).collect();
        ends.sort_unstable();
        let limits = Limits::default();
        prop_assert_eq!(decode(&body, ends.iter().copied(), take, &limits), expected.clone());
        prop_assert_eq!(decode(&body, 0..body.len(), take, &limits), expected.clone());
        body.extend_from_slice(&next);
        prop_assert_eq!(decode(&body, ends, take, &limits), expected);
    }

    /// S25: any bytes, however they are split.
    #[test]
    fn random_bytes(bytes in vec(prop_oneof![
        3 => prop::sample::select(&b"0123456789abcdefABCDEF\r\n;= \t\"\\:xg"[..]),
        1 => any::<u8>(),
    ], 0..80)) {
        every_split(&bytes, &Limits::small_device());
    }

    /// A well-formed body with one byte changed.
    #[test]
    fn mutations(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut body = b"5;a=\"b\\\"c\" ; d\r\nhello\r\n1F\r\n0123456789abcdef0123456789abcde\r\n\
            0\r\nA: b\r\n\r\n".to_vec();
        let at = at.index(body.len());
        body[at] = byte;
        every_split(&body, &Limits::default());
    }
}
