//! A connection over byte streams of embedded-io, blocking and not.
#![cfg(all(feature = "embedded-io", feature = "embedded-io-async"))]

use std::convert::Infallible;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use aurora_http_core::adapter::Solo;
use aurora_http_core::error::CloseReason;
use aurora_http_core::handler::{Handler, handler_fn};
use aurora_http_core::limits::Limits;
use aurora_http_core::pool::{BufferPool, Buffers, Class, ClassCounts};
use aurora_http_core::preamble::Preamble;
use aurora_http_core::time::Instant;
use aurora_http_core::writer::ResponseWriter;

/// Bytes to be read, a few at a time, and what was written.
struct Stream {
    input: Vec<u8>,
    at_once: usize,
    output: Vec<u8>,
}

impl embedded_io::ErrorType for Stream {
    type Error = Infallible;
}

impl Stream {
    fn take(&mut self, into: &mut [u8]) -> usize {
        let count = self.input.len().min(into.len()).min(self.at_once);
        into[..count].copy_from_slice(&self.input[..count]);
        self.input.drain(..count);
        count
    }
}

impl embedded_io::Read for Stream {
    fn read(&mut self, into: &mut [u8]) -> Result<usize, Infallible> {
        Ok(self.take(into))
    }
}

impl embedded_io::Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        self.output.extend(&bytes[..bytes.len().min(7)]);
        Ok(bytes.len().min(7))
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

impl embedded_io_async::Read for Stream {
    async fn read(&mut self, into: &mut [u8]) -> Result<usize, Infallible> {
        Ok(self.take(into))
    }
}

impl embedded_io_async::Write for Stream {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        embedded_io::Write::write(self, bytes)
    }

    async fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

fn ready<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("the stream never waits"),
    }
}

fn each(input: &str, check: impl Fn(CloseReason, &str)) {
    for at_once in [1, 3, 1000] {
        for blocking in [true, false] {
            let (mut memory, mut table) = (Buffers::<2, 1024>::new(), [const { None }; 2]);
            let mut pool = BufferPool::new(&mut table, ClassCounts::NONE.with(Class::Tiny, 2)).unwrap();
            pool.add_buffers(&mut memory).unwrap();
            let handler = handler_fn(|_, response: &mut ResponseWriter<'_>| response.body("hello"));
            let preamble = Preamble::new("").unwrap();
            let mut solo = Solo::new(handler, pool, &mut [], &mut [], Limits::small_device(), preamble);
            let mut stream = Stream { input: input.as_bytes().to_vec(), at_once, output: Vec::new() };
            let reason = serve(&mut solo, &mut stream, blocking);
            check(reason, std::str::from_utf8(&stream.output).unwrap());
            assert_eq!((solo.pool().in_use(), solo.counters().closed.total()), (0, 1));
        }
    }
}

fn serve<H: Handler>(solo: &mut Solo<'_, '_, H>, stream: &mut Stream, blocking: bool) -> CloseReason {
    let now = || Instant(0);
    if blocking { solo.serve(stream, now).unwrap() } else { ready(solo.serve_async(stream, now)).unwrap() }
}

const HELLO: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

#[test]
fn requests_are_answered_until_the_stream_ends() {
    let get = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    each(&get.repeat(3), |reason, output| {
        assert_eq!((reason, output), (CloseReason::PeerClosed, &*HELLO.repeat(3)));
    });
}

#[test]
fn what_ends_a_connection_ends_it_here_too() {
    each("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\nGET / HTTP/1.1\r\n", |_, output| {
        assert_eq!(output, HELLO.replace("\r\nC", "\r\nConnection: close\r\nC"));
    });
    each("GET / HTTP/1.1\nHost: x\n\nGET / HTTP/1.1\r\nHost: x\r\n\r\n", |reason, output| {
        assert!(output.starts_with("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n"), "{output}");
        assert_eq!((reason, output.matches("HTTP/1.1 ").count()), (CloseReason::BadRequest, 1));
    });
}
