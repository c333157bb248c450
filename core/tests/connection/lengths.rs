//! Content that is longer than 32 bits can count: what is left of its length must not be cut to the width of a pointer.

use aurora_http_core::error::CloseReason;
use aurora_http_core::handler::{Content, Flow, Handler};
use aurora_http_core::request::{BodyLength, Request};
use aurora_http_core::state::State;
use aurora_http_core::writer::ResponseWriter;

use crate::harness::Bench;

/// Content of any length, whose bytes are counted; and responses of any length.
#[derive(Default)]
struct Endless {
    received: u64,
    has_ended: bool,
    length: Option<BodyLength>,
}

impl Handler for Endless {
    type Exchange = ();

    fn request(&mut self, request: &Request<'_>, response: &mut ResponseWriter<'_>) -> Flow<()> {
        self.length = Some(request.body_length());
        if request.path() == b"/produce" {
            let _ = response.stream(Some((1 << 32) + 5));
            let _ = response.write(b"12345");
            return Flow::Produce(());
        }
        response.limit_content(u64::MAX);
        Flow::Receive(())
    }

    fn receive(&mut self, (): (), content: &mut Content<'_>, response: &mut ResponseWriter<'_>) -> Flow<()> {
        self.received += content.bytes().len() as u64;
        self.has_ended = content.ended();
        if !content.ended() {
            return Flow::Receive(());
        }
        let _ = response.body("all");
        Flow::Finish
    }

    /// Five bytes are not what was announced.
    fn produce(&mut self, (): (), _: &mut ResponseWriter<'_>) -> Flow<()> {
        Flow::Finish
    }
}

#[test]
fn content_of_more_than_4_gib_does_not_end_where_its_low_32_bits_do() {
    for extra in [0_u64, 1, 5, 1 << 32, 0xffff_ffff] {
        let length = (1 << 32) + extra;
        for framing in
            [format!("Content-Length: {length}\r\n\r\n"), format!("Transfer-Encoding: chunked\r\n\r\n{length:x}\r\n")]
        {
            let mut bench = Bench::new(Endless::default());
            bench.limits.content_bytes_max = u64::MAX;
            bench.send(format!("POST / HTTP/1.1\r\nHost: x\r\n{framing}").as_bytes());
            for sent in [5_u64, 1_000, 1_000] {
                let before = bench.handler.received;
                bench.send(&vec![b'x'; sent as usize]);
                assert_eq!(bench.handler.received, before + sent, "{framing}");
            }
            assert!(!bench.handler.has_ended, "{framing}");
            assert_eq!((bench.state(), bench.take_output().as_str()), (State::ReadingContent, ""), "{framing}");
            bench.fin();
            assert_eq!(bench.connection.close_reason(), Some(CloseReason::PeerClosedEarly), "{framing}");
        }
    }
}

#[test]
fn content_of_more_than_4_gib_is_too_long_by_all_of_its_bits() {
    for extra in [0_u64, 1, 5] {
        let mut bench = Bench::new(Limited);
        let length = (1 << 32) + extra;
        bench.send(format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n").as_bytes());
        let output = bench.take_output();
        assert!(output.starts_with("HTTP/1.1 413 "), "{length}: {output}");
    }
}

/// Takes a thousand bytes of content.
struct Limited;

impl Handler for Limited {
    type Exchange = ();

    fn request(&mut self, _: &Request<'_>, response: &mut ResponseWriter<'_>) -> Flow<()> {
        response.limit_content(1_000);
        Flow::Receive(())
    }
}

#[test]
fn a_response_of_more_than_4_gib_announces_all_of_it() {
    let mut bench = Bench::new(Endless::default());
    bench.send(b"GET /produce HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(bench.take_output(), "HTTP/1.1 200 OK\r\nContent-Length: 4294967301\r\n\r\n12345");
    assert_eq!(bench.connection.close_reason(), Some(CloseReason::ResponseFailed), "the rest never came");
}
