//! The head of an upstream's response: strict, because what two parsers read differently is how responses are smuggled.

use std::fmt;

use aurora_http::core::parse::{ChunkError, ChunkedDecoder};
use aurora_http::core::request::Fields;

use crate::{FIELDS_MAX, has_short_connection};

/// How the body of a response is delimited (RFC 9112 §6.3).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Framing {
    /// There is none, whatever the fields say.
    None,
    Length(u64),
    Chunked,
    UntilClose,
}

/// A complete head.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head<'a> {
    pub(crate) status: u16,
    pub(crate) fields: Fields<'a>,
    pub(crate) framing: Framing,
    /// What `Content-Length` says, also where there is no body: of a response to HEAD, or a 304.
    pub(crate) announced: Option<u64>,
    pub(crate) is_http10: bool,
    /// The connection can be used again when the response is complete.
    pub(crate) is_persistent: bool,
}

/// What is wrong with a head. All of it is answered with 502.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum HeadError {
    /// Not a status line and fields.
    Syntax(httparse::Error),
    /// A line that does not end with CRLF.
    LineEnd,
    /// Both `Transfer-Encoding` and `Content-Length`, or one of them twice.
    Framing,
    /// A transfer coding other than chunked, or one in a response of HTTP/1.0.
    TransferCoding,
    /// `Content-Length` is not a number.
    Length,
    /// The status is not one.
    Status,
    /// The `Connection` fields are too long.
    Connection,
}

impl fmt::Display for HeadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

/// The length of the head at the front of `bytes`, with its empty line; `None` if it is not complete. The first `seen` bytes
/// were searched before.
pub(crate) fn head_len(bytes: &[u8], seen: usize) -> Option<usize> {
    let from = seen.saturating_sub(3).min(bytes.len());
    let end = bytes[from..].windows(4).position(|window| window == b"\r\n\r\n")?;
    Some(from + end + 4)
}

/// Parses a complete head, of the response to a HEAD if `answers_head`, and passes it to `then`.
pub(crate) fn with_head<T>(bytes: &[u8], answers_head: bool, then: impl FnOnce(Head<'_>) -> T) -> Result<T, HeadError> {
    check_line_ends(bytes)?;
    let mut slots = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut parsed = httparse::Response::new(&mut slots);
    match parsed.parse(bytes).map_err(HeadError::Syntax)? {
        httparse::Status::Complete(length) if length == bytes.len() => {}
        _ => return Err(HeadError::LineEnd),
    }
    let status = parsed.code.filter(|status| (100..=599).contains(status)).ok_or(HeadError::Status)?;
    let is_http10 = parsed.version == Some(0);
    let fields = Fields::new(parsed.headers);
    if !has_short_connection(fields) {
        return Err(HeadError::Connection);
    }
    let (coded, announced) = (transfer_coding(fields, is_http10)?, content_length(fields)?);
    if coded && announced.is_some() {
        return Err(HeadError::Framing);
    }
    let has_no_body = answers_head || matches!(status, 100..=199 | 204 | 304);
    let framing = match announced {
        _ if has_no_body => Framing::None,
        _ if coded => Framing::Chunked,
        Some(length) => Framing::Length(length),
        None => Framing::UntilClose,
    };
    let has_option = |option: &[u8]| {
        let values = fields.get_all("Connection").flat_map(|value| value.split(|&byte| byte == b','));
        values.into_iter().any(|value| value.trim_ascii().eq_ignore_ascii_case(option))
    };
    // A body that must not be there may follow all the same.
    let is_clear =
        !(has_no_body && !answers_head && (coded || announced.is_some_and(|length| length > 0) && status != 304));
    let is_persistent = is_clear
        && framing != Framing::UntilClose
        && !has_option(b"close")
        && (!is_http10 || has_option(b"keep-alive"));
    Ok(then(Head { status, fields, framing, announced, is_http10, is_persistent }))
}

/// Every line ends with CRLF, and no CR is anywhere else.
fn check_line_ends(bytes: &[u8]) -> Result<(), HeadError> {
    let mut before = 0;
    for &byte in bytes {
        if (byte == b'\n') != (before == b'\r') {
            return Err(HeadError::LineEnd);
        }
        before = byte;
    }
    // Not even before the status line.
    if bytes.starts_with(b"\r") { Err(HeadError::LineEnd) } else { Ok(()) }
}

/// Whether the body is chunked.
fn transfer_coding(fields: Fields<'_>, is_http10: bool) -> Result<bool, HeadError> {
    let mut codings = fields.get_all("Transfer-Encoding");
    match (codings.next(), codings.next()) {
        (None, _) => Ok(false),
        (Some(coding), None) if coding.eq_ignore_ascii_case(b"chunked") && !is_http10 => Ok(true),
        (Some(_), None) => Err(HeadError::TransferCoding),
        (Some(_), Some(_)) => Err(HeadError::Framing),
    }
}

fn content_length(fields: Fields<'_>) -> Result<Option<u64>, HeadError> {
    let mut lengths = fields.get_all("Content-Length");
    match (lengths.next(), lengths.next()) {
        (None, _) => Ok(None),
        (Some(_), Some(_)) => Err(HeadError::Framing),
        (Some(length), None) if !length.is_empty() && length.iter().all(u8::is_ascii_digit) => {
            let length = std::str::from_utf8(length).ok().and_then(|digits| digits.parse().ok());
            length.map(Some).ok_or(HeadError::Length)
        }
        (Some(_), None) => Err(HeadError::Length),
    }
}

/// The rest of a body.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Body {
    /// All of it has been found.
    Ended,
    Length(u64),
    Chunked(ChunkedDecoder),
    UntilClose,
}

impl Body {
    pub(crate) const fn new(framing: Framing) -> Self {
        match framing {
            Framing::None | Framing::Length(0) => Self::Ended,
            Framing::Length(length) => Self::Length(length),
            Framing::Chunked => Self::Chunked(ChunkedDecoder::new()),
            Framing::UntilClose => Self::UntilClose,
        }
    }

    pub(crate) const fn has_ended(&self) -> bool {
        matches!(self, Self::Ended)
    }

    /// Moves the content in `bytes` to their front: how much it is, and how many bytes are behind the body's end.
    pub(crate) fn decode(&mut self, bytes: &mut [u8]) -> Result<Decoded, ChunkError> {
        let whole = |content| Ok(Decoded { content, surplus: 0 });
        match self {
            Self::Ended => Ok(Decoded { content: 0, surplus: bytes.len() }),
            Self::UntilClose => whole(bytes.len()),
            Self::Length(left) => {
                let content = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                *left -= content as u64;
                if *left == 0 {
                    *self = Self::Ended;
                }
                Ok(Decoded { content, surplus: bytes.len() - content })
            }
            Self::Chunked(decoder) => {
                let (content, surplus) = decode_chunks(decoder, bytes)?;
                if let Some(surplus) = surplus {
                    *self = Self::Ended;
                    return Ok(Decoded { content, surplus });
                }
                whole(content)
            }
        }
    }

    /// The upstream has ended the connection: whether the body is complete.
    pub(crate) fn end(&mut self) -> bool {
        if matches!(self, Self::UntilClose) {
            *self = Self::Ended;
        }
        self.has_ended()
    }
}

/// What [`Body::decode`] found.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Decoded {
    pub(crate) content: usize,
    pub(crate) surplus: usize,
}

/// The bytes of content, and once the body has ended, how many bytes are behind it.
fn decode_chunks(decoder: &mut ChunkedDecoder, bytes: &mut [u8]) -> Result<(usize, Option<usize>), ChunkError> {
    use aurora_http::Limits;
    use aurora_http::core::parse::Chunk;

    let limits = Limits::default();
    let (mut content, mut at) = (0, 0);
    loop {
        match decoder.poll(&bytes[at..], &limits)? {
            Chunk::Data { skip, len } => {
                bytes.copy_within(at + skip..at + skip + len, content);
                decoder.consume_data(len);
                content += len;
                at += skip + len;
            }
            Chunk::NeedMore { .. } => return Ok((content, None)),
            Chunk::End { consumed } => return Ok((content, Some(bytes.len() - at - consumed))),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn facts(head: &[u8], answers_head: bool) -> Result<(u16, Framing, bool), HeadError> {
        with_head(head, answers_head, |head| (head.status, head.framing, head.is_persistent))
    }

    #[test]
    fn a_head_says_how_its_body_ends() {
        let rows: [(&[u8], u16, Framing, bool); 15] = [
            (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", 200, Framing::Length(5), true),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200, Framing::Length(0), true),
            (b"HTTP/1.1 200\r\nTransfer-Encoding: chunked\r\n\r\n", 200, Framing::Chunked, true),
            (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n", 200, Framing::Chunked, true),
            (b"HTTP/1.1 200 OK\r\n\r\n", 200, Framing::UntilClose, false),
            (b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n", 200, Framing::Length(5), false),
            (b"HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 5\r\n\r\n", 200, Framing::Length(5), true),
            (b"HTTP/1.1 200 OK\r\nConnection: a, Close\r\nContent-Length: 5\r\n\r\n", 200, Framing::Length(5), false),
            (b"HTTP/1.1 204 No Content\r\n\r\n", 204, Framing::None, true),
            (b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", 204, Framing::None, true),
            (b"HTTP/1.1 204 No Content\r\nContent-Length: 3\r\n\r\n", 204, Framing::None, false),
            (b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n", 204, Framing::None, false),
            (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", 304, Framing::None, true),
            (b"HTTP/1.1 100 Continue\r\n\r\n", 100, Framing::None, true),
            (b"HTTP/1.1 599 \r\nContent-Length: 1\r\n\r\n", 599, Framing::Length(1), true),
        ];
        for (head, status, framing, is_persistent) in rows {
            assert_eq!(facts(head, false), Ok((status, framing, is_persistent)), "{}", head.escape_ascii());
        }
        let head = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
        assert_eq!(facts(head, true), Ok((200, Framing::None, true)));
        assert_eq!(with_head(head, true, |head| head.announced), Ok(Some(5)));
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        let long = [&b"HTTP/1.1 200 OK\r\n"[..], &b"a: b\r\n".repeat(FIELDS_MAX + 1), b"\r\n"].concat();
        let rows: [&[u8]; 25] = [
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 0x5\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\n",
            b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length : 5\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nA: b\r\n Content-Length: 5\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nA: b\n\r\n\r\n",
            b"HTTP/1.1 200 OK\nA: b\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nA: b\rc\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nA: b\0c\r\n\r\n",
            b"\r\nHTTP/1.1 200 OK\r\n\r\n",
            b"HTTP/2.0 200 OK\r\n\r\n",
            b"HTTP/1.1 20 OK\r\n\r\n",
            b"HTTP/1.1 099 OK\r\n\r\n",
            b"HTTP/1.1 600 OK\r\n\r\n",
            b"GET / HTTP/1.1\r\n\r\n",
            b"nonsense\r\n\r\n",
            &long,
        ];
        for head in rows {
            assert!(facts(head, false).is_err(), "{}", head.escape_ascii());
        }
    }

    #[test]
    fn the_end_of_a_head_is_found_across_pieces() {
        let head = b"HTTP/1.1 200 OK\r\nA: b\r\n\r\nbody";
        for seen in 0..head.len() - 4 {
            assert_eq!(head_len(head, seen.min(25)), Some(25), "{seen}");
            assert_eq!(head_len(&head[..seen.min(24)], 0), None);
        }
    }

    proptest! {
        /// Whatever arrives, it is refused or understood; and the pieces in which a body arrives do not matter.
        #[test]
        fn no_bytes_are_too_much(bytes in prop::collection::vec(any::<u8>(), 0..200), cut in 0_usize..200) {
            let _ = facts(&bytes, false);
            let _ = facts(&[b"HTTP/1.1 200 OK\r\n", &bytes[..], b"\r\n\r\n"].concat(), false);
            let cut = cut.min(bytes.len());
            for framing in [Framing::Length(100), Framing::Chunked, Framing::UntilClose] {
                let (mut whole, mut body) = (bytes.clone(), Body::new(framing));
                let at_once = body.decode(&mut whole).map(|found| whole[..found.content].to_vec());
                let (mut first, mut second, mut body) = (bytes[..cut].to_vec(), bytes[cut..].to_vec(), Body::new(framing));
                let in_two = body.decode(&mut first).and_then(|found| {
                    let rest = body.decode(&mut second)?;
                    Ok([&first[..found.content], &second[..rest.content]].concat())
                });
                prop_assert_eq!(at_once, in_two);
            }
        }

        #[test]
        fn chunks_become_content(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..50), 0..8), surplus in 0_usize..5) {
            let mut bytes = Vec::new();
            for piece in &pieces {
                bytes.extend([format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat());
            }
            bytes.extend(b"0\r\n\r\n");
            bytes.resize(bytes.len() + surplus, b'x');
            let mut body = Body::new(Framing::Chunked);
            let found = body.decode(&mut bytes).expect("well formed");
            prop_assert_eq!(&bytes[..found.content], &pieces.concat()[..]);
            prop_assert!(found.surplus == surplus && body.has_ended());
        }
    }
}
