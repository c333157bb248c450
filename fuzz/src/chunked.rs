//! A chunked message body in one piece, in several and byte by byte gives the same content, the same end, the same error.
//!
//! Options: which limits, and how long a piece is.

use aurora_http_core::limits::Limits;
use aurora_http_core::parse::{Chunk, ChunkError, ChunkedDecoder};

pub fn check(input: &[u8]) {
    let Some(([kind, piece], bytes)) = super::options(input) else { return };
    let limits = super::limits(kind);
    let whole = decode(bytes, usize::MAX / 2, &limits);
    assert_eq!(decode(bytes, 1, &limits), whole);
    assert_eq!(decode(bytes, 1 + usize::from(piece), &limits), whole);
    assert!(whole.0.len() <= bytes.len());
}

/// Decodes `bytes` in pieces; returns the content, and where the message ended.
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
