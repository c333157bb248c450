//! The requests that clients send, and the responses that they expect.

use std::fmt;
use std::io;

/// What the servers' `/plaintext` answers.
const HELLO: &[u8] = b"Hello, World!";

/// Content is sent in pieces of this length.
const PIECE: usize = 1 << 20;

/// One request, or several pipelined ones, and what has to come back for each.
#[derive(Clone, Debug)]
pub struct Request {
    head: String,
    content_length: u64,
    pub pipelined: u32,
    pub closes: bool,
    pub expected_length: u64,
    response: Response,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Response {
    Hello,
    /// The content of the request.
    Content,
    /// As many letters `x` as expected.
    Letters,
    /// The length of the content.
    Count,
}

impl Request {
    fn get(path: &str, fields: &str, expected_length: u64, response: Response) -> Self {
        let head = format!("GET {path} HTTP/1.1\r\nHost: server:8080\r\n{fields}\r\n");
        Self { head, content_length: 0, pipelined: 1, closes: false, expected_length, response }
    }

    fn post(path: &str, content_length: u64, expected_length: u64, response: Response) -> Self {
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: server:8080\r\nContent-Type: application/octet-stream\r\n\
             Content-Length: {content_length}\r\n\r\n"
        );
        Self { head, content_length, pipelined: 1, closes: false, expected_length, response }
    }

    /// As the benchmarks of TechEmpower send it.
    pub fn plaintext() -> Self {
        let accept =
            "Accept: text/plain,text/html;q=0.9,application/xhtml+xml;q=0.9,application/xml;q=0.8,*/*;q=0.7\r\n";
        let fields = format!("{accept}Connection: keep-alive\r\n");
        Self::get("/plaintext", &fields, HELLO.len() as u64, Response::Hello)
    }

    /// Several at once.
    pub fn pipelined(mut self, count: u32) -> Self {
        self.pipelined = count;
        self
    }

    /// With 1 KiB of fields, as browsers send them.
    pub fn of_browser() -> Self {
        let cookie = format!(
            "sid={}; _ga=GA1.2.1234567890.1700000000; theme=dark; csrftoken={}",
            "0123456789abcdef".repeat(16),
            "Zx9".repeat(32)
        );
        let fields = format!(
            "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36\r\n\
             Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8\r\n\
             Accept-Encoding: gzip, deflate, br, zstd\r\nAccept-Language: en-GB,en-US;q=0.9,en;q=0.8\r\n\
             Sec-Fetch-Site: none\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\n\
             Cookie: {cookie}\r\nConnection: keep-alive\r\n"
        );
        Self::get("/plaintext", &fields, HELLO.len() as u64, Response::Hello)
    }

    /// The last one of its connection.
    pub fn last() -> Self {
        let request = Self::get("/plaintext", "Connection: close\r\n", HELLO.len() as u64, Response::Hello);
        Self { closes: true, ..request }
    }

    pub fn echo(bytes: u64) -> Self {
        Self::post("/echo", bytes, bytes, Response::Content)
    }

    pub fn bytes(count: u64) -> Self {
        Self::get(&format!("/bytes/{count}"), "", count, Response::Letters)
    }

    pub fn upload(bytes: u64) -> Self {
        Self::post("/upload", bytes, bytes.to_string().len() as u64, Response::Count)
    }

    /// All its bytes, if they are few.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.head.as_bytes().to_vec();
        bytes.extend((0..self.content_length).map(content_byte));
        bytes.repeat(self.pipelined as usize)
    }

    pub fn head(&self) -> &[u8] {
        self.head.as_bytes()
    }

    pub fn content_length(&self) -> u64 {
        self.content_length
    }

    /// Passes all its bytes to `write`, piece by piece.
    pub fn write(&self, write: &mut impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        if self.content_length <= PIECE as u64 {
            return write(&self.to_bytes());
        }
        write(self.head.as_bytes())?;
        let piece: Vec<u8> = (0..PIECE as u64).map(content_byte).collect();
        let mut left = self.content_length;
        while left > 0 {
            let count = left.min(PIECE as u64);
            write(&piece[..count as usize])?;
            left -= count;
        }
        Ok(())
    }

    /// The content of each response.
    pub fn expected(&self) -> Box<dyn Iterator<Item = u8>> {
        match self.response {
            Response::Hello => Box::new(HELLO.iter().copied()),
            Response::Content => Box::new((0..self.content_length).map(content_byte)),
            Response::Letters => Box::new(std::iter::repeat_n(b'x', self.expected_length as usize)),
            Response::Count => Box::new(self.content_length.to_string().into_bytes().into_iter()),
        }
    }
}

/// Content that is wrong when a piece of it is missing or twice there. It repeats after each piece.
fn content_byte(at: u64) -> u8 {
    (at % PIECE as u64 % 251) as u8
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = self.head.split(" HTTP").next().unwrap_or_default();
        f.write_str(line)?;
        if self.content_length > 0 {
            write!(f, " with {} bytes", self.content_length)?;
        }
        if self.pipelined > 1 {
            write!(f, ", {} pipelined", self.pipelined)?;
        }
        if self.closes {
            f.write_str(", the last one")?;
        }
        Ok(())
    }
}
