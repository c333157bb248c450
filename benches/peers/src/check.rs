//! Whether a server answers correctly. What is not checked is not measured.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use crate::request::Request;
use crate::response::{Head, Length};

const PATIENCE: Duration = Duration::from_secs(20);

/// Sends the request as often as it is pipelined, and compares every byte of every response.
///
/// # Errors
/// What was wrong.
pub fn check(address: SocketAddr, request: &Request) -> Result<(), String> {
    let io_error = |error: std::io::Error| format!("{request}: {error}");
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE).map_err(io_error)?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(io_error)?;
    stream.set_write_timeout(Some(PATIENCE)).map_err(io_error)?;
    // A long content has to be sent while the response is received.
    let mut sender = stream.try_clone().map_err(io_error)?;
    let wrong = |what: String| format!("{request}: {what}");
    std::thread::scope(|scope| {
        let sending = scope.spawn(move || {
            request.write(&mut |bytes| sender.write_all(bytes))?;
            sender.flush()
        });
        let received = responses(&mut stream, request);
        if received.is_err() {
            // Nobody waits for the rest of a long content; that the connection is gone already is no error.
            let _ = stream.shutdown(Shutdown::Both);
        }
        received.map_err(wrong)?;
        sending.join().map_err(|_| wrong("the sender failed".into()))?.map_err(io_error)
    })
}

fn responses(stream: &mut TcpStream, request: &Request) -> Result<(), String> {
    let mut input = Input { stream, bytes: Vec::new(), at: 0 };
    for _ in 0..request.pipelined {
        response(&mut input, request)?;
    }
    if request.closes && input.next()?.is_some() {
        return Err("bytes after the last response".into());
    }
    Ok(())
}

fn response(input: &mut Input<'_>, request: &Request) -> Result<(), String> {
    let head = Head::parse(&input.until(b"\r\n\r\n")?).map_err(|wrong| wrong.0)?;
    if head.status != 200 {
        return Err(format!("status {}", head.status));
    }
    for (has, name) in
        [(head.has_date, "Date"), (head.has_server, "Server"), (head.closes == request.closes, "Connection")]
    {
        if !has {
            return Err(format!("the field {name} is missing or wrong"));
        }
    }
    let mut content = request.expected();
    match head.length {
        Length::Known(length) => {
            if length != request.expected_length {
                return Err(format!("{length} bytes of content"));
            }
            input.compare(length, &mut content)?;
        }
        Length::Chunked => loop {
            let line = input.until(b"\r\n")?;
            let size = std::str::from_utf8(&line).ok().and_then(|line| u64::from_str_radix(line.trim(), 16).ok());
            let size = size.ok_or("a chunk without size")?;
            input.compare(size, &mut content)?;
            input.until(b"\r\n")?;
            if size == 0 {
                break;
            }
        },
    }
    match content.next() {
        None => Ok(()),
        Some(_) => Err("the content is too short".into()),
    }
}

struct Input<'s> {
    stream: &'s mut TcpStream,
    bytes: Vec<u8>,
    at: usize,
}

impl Input<'_> {
    /// Reads more when all is consumed. `false` at the end.
    fn fill(&mut self) -> Result<bool, String> {
        if self.at < self.bytes.len() {
            return Ok(true);
        }
        self.bytes.resize(1 << 16, 0);
        self.at = 0;
        let count = match self.stream.read(&mut self.bytes) {
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::ConnectionReset => 0,
            Err(error) => return Err(format!("no response: {error}")),
        };
        self.bytes.truncate(count);
        Ok(count > 0)
    }

    fn next(&mut self) -> Result<Option<u8>, String> {
        if !self.fill()? {
            return Ok(None);
        }
        self.at += 1;
        Ok(Some(self.bytes[self.at - 1]))
    }

    fn until(&mut self, end: &[u8]) -> Result<Vec<u8>, String> {
        let mut line = Vec::new();
        while !line.ends_with(end) {
            line.push(self.next()?.ok_or("the connection was closed")?);
        }
        Ok(line)
    }

    /// Compares the next `count` bytes with those that are expected.
    fn compare(&mut self, mut count: u64, expected: &mut impl Iterator<Item = u8>) -> Result<(), String> {
        while count > 0 {
            if !self.fill()? {
                return Err("the connection was closed within the content".into());
            }
            let len = count.min((self.bytes.len() - self.at) as u64) as usize;
            let piece = &self.bytes[self.at..self.at + len];
            if !expected.by_ref().take(len).eq(piece.iter().copied()) {
                return Err("the content is wrong".into());
            }
            self.at += len;
            count -= len as u64;
        }
        Ok(())
    }
}
