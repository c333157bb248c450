//! Reads responses without keeping their content.

use std::fmt;

/// Longer heads are errors.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// Why something is not the expected response.
#[derive(Clone, Debug, PartialEq)]
pub struct Wrong(pub String);

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The head of a response, as far as it matters.
#[derive(Clone, Debug, PartialEq)]
pub struct Head {
    pub status: u16,
    pub length: Length,
    pub has_date: bool,
    pub has_server: bool,
    pub closes: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Length {
    Known(u64),
    Chunked,
}

impl Head {
    /// Parses a complete head, including the empty line.
    pub fn parse(head: &[u8]) -> Result<Self, Wrong> {
        let text = std::str::from_utf8(head).map_err(|_| Wrong("a head that is not text".into()))?;
        let mut lines = text.split("\r\n");
        let status = lines.next().and_then(|line| line.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok());
        let status = status.ok_or_else(|| Wrong(format!("no status line: {text:?}")))?;
        let mut parsed =
            Self { status, length: Length::Known(u64::MAX), has_date: false, has_server: false, closes: false };
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            let value = value.trim();
            match name.to_ascii_lowercase().as_str() {
                "content-length" => {
                    let length = value.parse().map_err(|_| Wrong(format!("Content-Length: {value}")))?;
                    parsed.length = Length::Known(length);
                }
                "transfer-encoding" if value.eq_ignore_ascii_case("chunked") => parsed.length = Length::Chunked,
                "connection" => parsed.closes = value.eq_ignore_ascii_case("close"),
                "date" => parsed.has_date = true,
                "server" => parsed.has_server = true,
                _ => {}
            }
        }
        if parsed.length == Length::Known(u64::MAX) {
            return Err(Wrong(format!("neither Content-Length nor chunked: {text:?}")));
        }
        Ok(parsed)
    }
}

/// Reads consecutive responses to the same request, all of which must have the same status and length of content.
pub struct Reader {
    expected_length: u64,
    usual: Option<Usual>,
    partial: Vec<u8>,
    state: State,
}

/// What the last head looked like. Only this is compared in the next one, because a client that parses each would be slower than
/// servers.
struct Usual {
    head_len: usize,
    /// The field `Content-Length`, and where it is.
    length: Vec<u8>,
    at: usize,
}

impl Usual {
    fn of(head: &[u8]) -> Option<Self> {
        let name = b"\r\ncontent-length:";
        let at = head.windows(name.len()).position(|window| window.eq_ignore_ascii_case(name))?;
        let end = head[at + 2..].iter().position(|byte| *byte == b'\r')?;
        Some(Self { head_len: head.len(), length: head[at..at + 2 + end].to_vec(), at })
    }

    /// Whether `bytes` begin with such a head.
    fn begins(&self, bytes: &[u8]) -> bool {
        bytes.len() >= self.head_len
            && bytes.starts_with(b"HTTP/1.1 200 ")
            && bytes[self.at..].starts_with(&self.length)
            && bytes[..self.head_len].ends_with(b"\r\n\r\n")
    }
}

enum State {
    Head,
    /// Bytes of content that are left.
    Content(u64),
    /// In front of a chunk's size, with the content so far.
    Size(u64),
    /// Bytes that are left of a chunk and the end of its line; content including it.
    Chunk(u64, u64),
    /// The end of the last chunk.
    Trailer,
}

impl Reader {
    /// For responses with the status 200 and content of this length.
    pub fn new(expected_length: u64) -> Self {
        Self { expected_length, usual: None, partial: Vec::new(), state: State::Head }
    }

    /// Reads all of `bytes`, and returns the number of responses that end in them.
    pub fn read(&mut self, mut bytes: &[u8]) -> Result<u32, Wrong> {
        let mut responses = 0;
        while !bytes.is_empty() {
            match self.state {
                State::Head
                    if let Some(usual) = &self.usual
                        && self.partial.is_empty()
                        && usual.begins(bytes) =>
                {
                    bytes = &bytes[usual.head_len..];
                    self.state = State::Content(self.expected_length);
                }
                State::Head => {
                    let Some(head) = self.line(&mut bytes, b"\r\n\r\n")? else { break };
                    self.start(&head)?;
                }
                State::Content(left) => {
                    let count = left.min(bytes.len() as u64);
                    bytes = &bytes[count as usize..];
                    self.state = State::Content(left - count);
                }
                State::Size(before) => {
                    let Some(line) = self.line(&mut bytes, b"\r\n")? else { break };
                    let size =
                        std::str::from_utf8(&line).ok().and_then(|line| u64::from_str_radix(line.trim(), 16).ok());
                    let size = size.ok_or_else(|| Wrong(format!("a chunk of size {line:?}")))?;
                    self.state = if size == 0 { State::Trailer } else { State::Chunk(size + 2, before + size) };
                    if size == 0 && before != self.expected_length {
                        return Err(Wrong(format!("{before} bytes of content")));
                    }
                }
                State::Chunk(left, content) => {
                    let count = left.min(bytes.len() as u64);
                    bytes = &bytes[count as usize..];
                    self.state = if count == left { State::Size(content) } else { State::Chunk(left - count, content) };
                }
                State::Trailer => {
                    let Some(line) = self.line(&mut bytes, b"\r\n")? else { break };
                    if line == b"\r\n" {
                        self.state = State::Content(0);
                    }
                }
            }
            if let State::Content(0) = self.state {
                self.state = State::Head;
                responses += 1;
            }
        }
        Ok(responses)
    }

    /// Takes bytes up to and including `end`, with what was there before; `None` if it has not come.
    fn line(&mut self, bytes: &mut &[u8], end: &[u8]) -> Result<Option<Vec<u8>>, Wrong> {
        // The end may have begun in what was there before.
        let from = self.partial.len().saturating_sub(end.len() - 1);
        let before = self.partial.len();
        self.partial.extend_from_slice(&bytes[..bytes.len().min(HEAD_BYTES_MAX)]);
        let Some(at) = self.partial[from..].windows(end.len()).position(|window| window == end) else {
            if self.partial.len() > HEAD_BYTES_MAX {
                return Err(Wrong("a head without end".into()));
            }
            *bytes = &[];
            return Ok(None);
        };
        let len = from + at + end.len();
        self.partial.truncate(len);
        *bytes = &bytes[len - before..];
        Ok(Some(std::mem::take(&mut self.partial)))
    }

    fn start(&mut self, head: &[u8]) -> Result<(), Wrong> {
        let parsed = Head::parse(head)?;
        if parsed.status != 200 {
            return Err(Wrong(format!("status {}", parsed.status)));
        }
        self.state = match parsed.length {
            Length::Known(length) if length == self.expected_length => {
                self.usual = Usual::of(head);
                State::Content(length)
            }
            Length::Known(length) => return Err(Wrong(format!("{length} bytes of content"))),
            Length::Chunked => State::Size(0),
        };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nDate: x\r\n\r\nhello";
    const CHUNKED: &[u8] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n";

    #[test]
    fn responses_are_counted_however_they_are_split() {
        let all = [KNOWN, KNOWN, CHUNKED, KNOWN, CHUNKED].concat();
        for size in 1..all.len() {
            let mut reader = Reader::new(5);
            let counts = all.chunks(size).map(|piece| reader.read(piece).unwrap());
            assert_eq!(counts.sum::<u32>(), 5, "in pieces of {size}");
        }
    }

    #[test]
    fn other_responses_are_wrong() {
        let wrong: [&[u8]; 6] = [
            b"HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n",
            b"HTTP/1.1 200 OK\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
            b"hello\r\n\r\n",
        ];
        for response in wrong {
            let mut reader = Reader::new(5);
            assert_eq!(reader.read(KNOWN), Ok(1));
            assert!(reader.read(response).is_err(), "{:?}", response.escape_ascii().to_string());
        }
    }
}
