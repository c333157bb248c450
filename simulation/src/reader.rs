//! A strict reader of responses by RFC 9112, which trusts nothing that the server sends.

/// What a client has read.
#[derive(Debug)]
pub(crate) enum Piece {
    /// The head of a response.
    Head(Head),
    /// Part of its body, or raw bytes.
    Body(Vec<u8>),
    /// The end of its body.
    End,
}

/// The head of a response.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) status: u16,
    /// It has `Connection: close`.
    pub(crate) closes: bool,
    pub(crate) is_chunked: bool,
    pub(crate) length: Option<usize>,
    /// The field in which a handler names the exchange that it answers.
    pub(crate) exchange: Option<String>,
}

#[derive(Debug, Default)]
pub(crate) struct Reader {
    bytes: Vec<u8>,
    phase: Phase,
}

#[derive(Debug, Default, PartialEq)]
enum Phase {
    #[default]
    Head,
    /// So many bytes of the body are still to come.
    Sized(usize),
    ChunkLine,
    /// So many bytes of a chunk are still to come.
    Chunk(usize),
    ChunkEnd,
    Trailers,
    /// The body ends with the connection.
    UntilEnd,
}

/// How the body of a response ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum BodyEnd {
    /// There is no body.
    NoBody,
    /// As the head says.
    AsTheHeadSays,
    /// Raw bytes follow, which are not HTTP.
    Never,
}

impl Reader {
    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Whether it is between two responses, and has no byte of the next one.
    pub(crate) fn is_between(&self) -> bool {
        self.phase == Phase::Head && self.bytes.is_empty()
    }

    /// Whether the end of the connection ends the current response.
    pub(crate) fn ends_with_connection(&self) -> bool {
        self.phase == Phase::UntilEnd
    }

    /// Sets what follows the head that was read last.
    pub(crate) fn expect_body(&mut self, head: &Head, end: BodyEnd) -> Result<(), String> {
        self.phase = match end {
            BodyEnd::Never => Phase::UntilEnd,
            BodyEnd::NoBody => Phase::Sized(0),
            BodyEnd::AsTheHeadSays if head.is_chunked => Phase::ChunkLine,
            BodyEnd::AsTheHeadSays => match head.length {
                Some(length) => Phase::Sized(length),
                None if head.closes => Phase::UntilEnd,
                None => return Err(format!("a body without an end: {head:?}")),
            },
        };
        Ok(())
    }

    /// The next piece that has arrived completely.
    pub(crate) fn next(&mut self) -> Result<Option<Piece>, String> {
        loop {
            match self.phase {
                Phase::Head => return self.head(),
                Phase::Sized(0) => {
                    self.phase = Phase::Head;
                    return Ok(Some(Piece::End));
                }
                Phase::Sized(left) => {
                    let Some(part) = self.part(left) else { return Ok(None) };
                    self.phase = Phase::Sized(left - part.len());
                    return Ok(Some(Piece::Body(part)));
                }
                Phase::UntilEnd => return Ok(self.part(usize::MAX).map(Piece::Body)),
                Phase::ChunkLine => {
                    let Some(line) = self.line()? else { return Ok(None) };
                    let is_hex = !line.is_empty() && line.bytes().all(|byte| byte.is_ascii_hexdigit());
                    let size = usize::from_str_radix(&line, 16).ok().filter(|_| is_hex);
                    let size = size.ok_or_else(|| format!("the size of a chunk: {line:?}"))?;
                    self.phase = if size == 0 { Phase::Trailers } else { Phase::Chunk(size) };
                }
                Phase::Chunk(left) => {
                    let Some(part) = self.part(left) else { return Ok(None) };
                    let left = left - part.len();
                    self.phase = if left == 0 { Phase::ChunkEnd } else { Phase::Chunk(left) };
                    return Ok(Some(Piece::Body(part)));
                }
                Phase::ChunkEnd => {
                    let Some(line) = self.line()? else { return Ok(None) };
                    if !line.is_empty() {
                        return Err(format!("no end of a chunk: {line:?}"));
                    }
                    self.phase = Phase::ChunkLine;
                }
                Phase::Trailers => {
                    let Some(line) = self.line()? else { return Ok(None) };
                    if line.is_empty() {
                        self.phase = Phase::Sized(0);
                    }
                }
            }
        }
    }

    fn part(&mut self, most: usize) -> Option<Vec<u8>> {
        if self.bytes.is_empty() {
            return None;
        }
        let count = most.min(self.bytes.len());
        if count == self.bytes.len() {
            return Some(std::mem::take(&mut self.bytes));
        }
        let rest = self.bytes.split_off(count);
        Some(std::mem::replace(&mut self.bytes, rest))
    }

    fn line(&mut self) -> Result<Option<String>, String> {
        let Some(end) = self.bytes.windows(2).position(|pair| pair == b"\r\n") else { return Ok(None) };
        let line = self.bytes.drain(..end + 2).take(end).collect();
        String::from_utf8(line).map(Some).map_err(|error| format!("{error} in a line"))
    }

    fn head(&mut self) -> Result<Option<Piece>, String> {
        let Some(end) = self.bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
            let begins = b"HTTP/1.1 ".iter().zip(&self.bytes).all(|(expected, byte)| expected == byte);
            return if begins { Ok(None) } else { Err(format!("no response: {:?}", self.shown())) };
        };
        let bytes: Vec<u8> = self.bytes.drain(..end + 4).take(end).collect();
        let text = String::from_utf8(bytes).map_err(|error| format!("{error} in a head"))?;
        parse(&text).map(|head| Some(Piece::Head(head))).map_err(|what| format!("{what} in {text:?}"))
    }

    fn shown(&self) -> String {
        String::from_utf8_lossy(&self.bytes[..self.bytes.len().min(200)]).into_owned()
    }
}

fn parse(text: &str) -> Result<Head, String> {
    let mut lines = text.split("\r\n");
    let line = lines.next().unwrap_or_default();
    let rest = line.strip_prefix("HTTP/1.1 ").ok_or("no version")?;
    let (status, reason) = rest.split_once(' ').ok_or("no reason")?;
    if status.len() != 3 || reason.bytes().any(|byte| byte.is_ascii_control()) {
        return Err("the status line".to_owned());
    }
    let status = status.parse().map_err(|_| "the status")?;
    let mut head = Head { status, closes: false, is_chunked: false, length: None, exchange: None };
    let mut seen: Vec<String> = Vec::new();
    for line in lines {
        let (name, value) = line.split_once(": ").ok_or_else(|| format!("the line {line:?}"))?;
        let name = name.to_ascii_lowercase();
        if name.is_empty() || name.contains([' ', '\t']) || value.contains(['\r', '\n', '\0']) {
            return Err(format!("the line {line:?}"));
        }
        if seen.contains(&name) {
            return Err(format!("{name} twice"));
        }
        match name.as_str() {
            "connection" => head.closes = value.split(',').any(|option| option.trim().eq_ignore_ascii_case("close")),
            "transfer-encoding" if value == "chunked" => head.is_chunked = true,
            "transfer-encoding" => return Err(format!("the coding {value}")),
            "content-length" => head.length = Some(value.parse().map_err(|_| format!("the length {value}"))?),
            "x-exchange" => head.exchange = Some(value.to_owned()),
            _ => {}
        }
        seen.push(name);
    }
    if head.is_chunked && head.length.is_some() {
        return Err("two framings".to_owned());
    }
    Ok(head)
}
