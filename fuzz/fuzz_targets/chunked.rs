//! A chunked message body in one piece and byte by byte is the same content, the same end, the same error.
#![no_main]

use aurora_http_core::limits::Limits;
use aurora_http_core::parse::{Chunk, ChunkError, ChunkedDecoder};
use libfuzzer_sys::fuzz_target;

/// Decodes `bytes` in pieces: the content, and where the message ended.
fn decode(bytes: &[u8], piece: usize, limits: &Limits) -> (Vec<u8>, Result<Option<usize>, ChunkError>) {
    let mut decoder = ChunkedDecoder::new();
    let mut content = Vec::new();
    let mut at = 0;
    let mut end = 0;
    while at < bytes.len() {
        end = bytes.len().min(end.max(at) + piece);
        match decoder.poll(&bytes[at..end], limits) {
            Ok(Chunk::NeedMore { consumed }) => at += consumed,
            Ok(Chunk::Data { skip, len }) => {
                content.extend_from_slice(&bytes[at + skip..at + skip + len]);
                decoder.consume_data(len);
                at += skip + len;
            }
            Ok(Chunk::End { consumed }) => return (content, Ok(Some(at + consumed))),
            Err(error) => return (content, Err(error)),
        }
    }
    (content, Ok(None))
}

fuzz_target!(|input: (u8, u8, &[u8])| {
    let (kind, piece, bytes) = input;
    let limits = if kind & 1 == 0 { Limits::default() } else { Limits::small_device() };
    let whole = decode(bytes, usize::MAX / 2, &limits);
    assert_eq!(decode(bytes, 1, &limits), whole);
    assert_eq!(decode(bytes, 1 + usize::from(piece), &limits), whole);
    assert!(whole.0.len() <= bytes.len());
});
