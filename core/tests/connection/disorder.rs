//! Handlers that return the wrong thing, requests that are wrong at a bad moment, buffers that do not exist.

use aurora_http_core::handler::{Content, Flow, Handler, handler_fn};
use aurora_http_core::request::Request;
use aurora_http_core::writer::ResponseWriter;

use crate::harness::Bench;

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";
const CHUNKED: &[u8] = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
const MALFORMED: &[u8] = b"GET / HTTP/1.1\r\nHost : x\r\n\r\n";
static LONG: [u8; 20_000] = [b's'; 20_000];

type First = fn(&Request<'_>, &mut ResponseWriter<'_>) -> Flow<()>;
type Next = fn(&[u8], bool, &mut ResponseWriter<'_>) -> (usize, Flow<()>);

/// The first call, and all later ones: content if there is any, whether it has ended; how much of it is consumed.
struct Steps(First, Next);

impl Handler for Steps {
    type Exchange = ();

    fn request(&mut self, request: &Request<'_>, response: &mut ResponseWriter<'_>) -> Flow<()> {
        (self.0)(request, response)
    }

    fn collected(&mut self, (): (), _: &Request<'_>, content: &[u8], response: &mut ResponseWriter<'_>) -> Flow<()> {
        (self.1)(content, true, response).1
    }

    fn receive(&mut self, (): (), content: &mut Content<'_>, response: &mut ResponseWriter<'_>) -> Flow<()> {
        let (consumed, flow) = (self.1)(content.bytes(), content.ended(), response);
        content.consume(consumed);
        flow
    }

    fn produce(&mut self, (): (), response: &mut ResponseWriter<'_>) -> Flow<()> {
        (self.1)(&[], true, response).1
    }

    fn resume(&mut self, (): (), response: &mut ResponseWriter<'_>) -> Flow<()> {
        (self.1)(&[], true, response).1
    }
}

fn answers(content: &[u8], _: bool, response: &mut ResponseWriter<'_>) -> (usize, Flow<()>) {
    let _ = response.body(content);
    (content.len(), Flow::Finish)
}

#[test]
fn a_head_that_was_begun_and_left_is_an_error_and_not_two_heads() {
    let later: [First; 4] = [
        |_, response| {
            let _ = response.field("X-A", "b");
            Flow::Receive(())
        },
        |_, response| {
            let _ = response.field("X-A", "b");
            Flow::Collect(())
        },
        |_, response| {
            let _ = response.field("X-A", "b");
            Flow::Produce(())
        },
        |_, response| {
            let _ = (response.field("X-A", "b"), response.defer());
            Flow::Defer(())
        },
    ];
    for first in later {
        let mut bench = Bench::new(Steps(first, answers));
        bench.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nab");
        let output = bench.take_output();
        assert!(output.starts_with("HTTP/1.1 500 "), "{output}");
        assert_eq!(output.matches("HTTP/1.1").count(), 1, "{output}");
    }
}

#[test]
fn a_handler_that_waits_for_more_behind_its_head_is_not_asked_again_before_there_is_more() {
    let mut bench = Bench::new(Steps(
        |_, response| {
            let _ = response.stream(Some(4));
            Flow::Receive(())
        },
        |content, ended, response| {
            if content.len() < 4 {
                assert!(!ended);
                return (0, Flow::Receive(()));
            }
            let _ = response.write(content);
            (4, Flow::Finish)
        },
    ));
    bench.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nab");
    bench.send(b"cd");
    assert_eq!(bench.take_output(), "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabcd");
}
