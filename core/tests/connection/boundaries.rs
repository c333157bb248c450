//! Limits to the byte.

use aurora_http_core::handler::{Content, Flow, Handler};
use aurora_http_core::request::Request;
use aurora_http_core::state::State;
use aurora_http_core::writer::ResponseWriter;

use crate::harness::Bench;

/// Answers early: at once, when the first content arrives, or in pieces without asking for the content.
struct Early;

impl Handler for Early {
    type Exchange = ();

    fn request(&mut self, request: &Request<'_>, response: &mut ResponseWriter<'_>) -> Flow<()> {
        match request.path() {
            b"/at-once" => Flow::Finish,
            b"/pieces" => {
                response.stream(Some(5)).expect("room");
                Flow::Produce(())
            }
            _ => Flow::Receive(()),
        }
    }

    fn produce(&mut self, (): (), response: &mut ResponseWriter<'_>) -> Flow<()> {
        response.write(b"hello").expect("room");
        Flow::Finish
    }

    fn receive(&mut self, (): (), content: &mut Content<'_>, _: &mut ResponseWriter<'_>) -> Flow<()> {
        content.consume(usize::MAX);
        Flow::Finish
    }
}

#[test]
fn content_that_is_left_unread_ends_the_connection_when_it_is_longer_than_the_limit() {
    const LIMIT: usize = 100;
    // How much of the content is read, and how much is left.
    for (path, read) in [("/at-once", 0), ("/pieces", 0), ("/receive", 10)] {
        for (left, closes) in [(LIMIT, false), (LIMIT + 1, true)] {
            let mut bench = Bench::new(Early);
            bench.limits.discard_bytes_max = LIMIT as u32;
            let length = read + left;
            let head = format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n");
            bench.send(&[head.as_bytes(), &vec![b'x'; read]].concat());
            let output = bench.take_output();
            assert_eq!(output.contains("\r\nConnection: close\r\n"), closes, "{path} {left}: {output}");
            bench.send(&vec![b'x'; left]);
            let state = if closes { State::Lingering } else { State::KeepAlive };
            assert_eq!((bench.state(), bench.pool.in_use()), (state, 0), "{path} {left}");
        }
    }
}
