//! A client of another server with blocking calls: one request, with content of any length, and its response.

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use aurora_http::Limits;
use aurora_http::core::parse::{Chunk, ChunkedDecoder};
use aurora_http::core::request::{BodyLength, Fields};

/// For each step of the other server.
const TIMEOUT: Duration = Duration::from_secs(10);

/// What the other server answers, up to its body.
pub(crate) struct Reply {
    upstream: BufReader<Upstream>,
    pub(crate) status: u16,
    /// Those that may be passed on.
    pub(crate) fields: Vec<(String, Vec<u8>)>,
    /// Of the body, where it is told.
    pub(crate) length: Option<u64>,
    is_chunked: bool,
}

impl Reply {
    /// Copies the whole body, of which there is none in a response to HEAD.
    pub(crate) fn copy_body(&mut self, to: &mut impl Write) -> io::Result<()> {
        if self.is_chunked {
            return copy_chunks(&mut self.upstream, to);
        }
        io::copy(&mut self.upstream.by_ref().take(self.length.unwrap_or(u64::MAX)), to)?;
        Ok(())
    }
}

/// Sends a request, and receives the head of its final response. The content goes out at the same time as that comes in, for as
/// long as there is a `Reply`.
pub(crate) fn ask<C>(to: SocketAddr, head: &[u8], content: C, framing: BodyLength) -> io::Result<Reply>
where
    C: Read + Send + 'static,
{
    let mut stream = TcpStream::connect_timeout(&to, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    stream.write_all(head)?;
    let sending = (framing != BodyLength::None).then(|| {
        let stream = stream.try_clone()?;
        thread::Builder::new().spawn(move || send_content(content, &stream, framing == BodyLength::Chunked))
    });
    let mut upstream = BufReader::new(Upstream { stream, sending: sending.transpose()? });
    let mut head = read_head(&mut upstream)?;
    while head.starts_with(b"HTTP/1.1 1") {
        head = read_head(&mut upstream)?;
    }
    let mut slots = [httparse::EMPTY_HEADER; 128];
    let mut parsed = httparse::Response::new(&mut slots);
    parsed.parse(&head).map_err(io::Error::other)?;
    let fields = Fields::new(parsed.headers);
    let is_chunked = match fields.get("Transfer-Encoding") {
        None => false,
        Some(coding) if coding.eq_ignore_ascii_case(b"chunked") => true,
        Some(_) => return Err(ErrorKind::Unsupported.into()),
    };
    let length = if is_chunked { None } else { fields.parse("Content-Length").map_err(io::Error::other)? };
    let fields = fields.forwarded().map(|field| (field.name.to_owned(), field.value.to_owned())).collect();
    Ok(Reply { upstream, status: parsed.code.unwrap_or(502), fields, is_chunked, length })
}

fn send_content(mut content: impl Read, mut upstream: &TcpStream, is_chunked: bool) -> io::Result<()> {
    let mut piece = [0; 16_384];
    while let Ok(count) = content.read(&mut piece) {
        let (size, end) = if is_chunked { (format!("{count:x}\r\n"), "\r\n") } else { (String::new(), "") };
        upstream.write_all(&[size.as_bytes(), &piece[..count], end.as_bytes()].concat())?;
        if count == 0 {
            return Ok(());
        }
    }
    upstream.shutdown(Shutdown::Both) // the client is gone
}

/// What comes from the other server, which has its time to answer once all content is sent.
struct Upstream {
    stream: TcpStream,
    sending: Option<JoinHandle<io::Result<()>>>,
}

impl Read for Upstream {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.stream.read(into) {
                Err(error) if is_late(&error) && self.sending.is_some() => {
                    self.sending.take_if(|sending| sending.is_finished());
                }
                result => return result,
            }
        }
    }
}

/// Whether it was a timeout that passed.
pub(crate) fn is_late(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

/// Everything through the next empty line.
fn read_head(upstream: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let (mut head, mut lines) = (Vec::new(), upstream.take(65_536));
    while !head.ends_with(b"\r\n\r\n") {
        if lines.read_until(b'\n', &mut head)? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(head)
}

fn copy_chunks(upstream: &mut impl BufRead, body: &mut impl Write) -> io::Result<()> {
    let (mut decoder, limits) = (ChunkedDecoder::new(), Limits::default());
    loop {
        let bytes = upstream.fill_buf()?;
        let used = match decoder.poll(bytes, &limits).map_err(io::Error::other)? {
            Chunk::Data { skip, len } => {
                body.write_all(&bytes[skip..skip + len])?;
                decoder.consume_data(len);
                skip + len
            }
            Chunk::NeedMore { consumed: 0 } => return Err(ErrorKind::UnexpectedEof.into()),
            Chunk::NeedMore { consumed } => consumed,
            Chunk::End { .. } => return Ok(()),
        };
        upstream.consume(used);
    }
}
