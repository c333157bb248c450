//! Clients that send or read too slowly, and how long a connection lingers.

use aurora_http_core::error::CloseReason;
use aurora_http_core::handler::{Content, Flow, Handler};
use aurora_http_core::limits::RateMin;
use aurora_http_core::request::Request;
use aurora_http_core::state::State;
use aurora_http_core::writer::ResponseWriter;

use crate::harness::Bench;

/// Answers when all content has arrived.
struct Reads;

impl Handler for Reads {
    type Exchange = ();

    fn request(&mut self, request: &Request<'_>, _: &mut ResponseWriter<'_>) -> Flow<()> {
        if request.body_length().has_content() { Flow::Receive(()) } else { Flow::Finish }
    }

    fn receive(&mut self, (): (), content: &mut Content<'_>, response: &mut ResponseWriter<'_>) -> Flow<()> {
        if !content.ended() {
            return Flow::Receive(());
        }
        let _ = response.body("read");
        Flow::Finish
    }
}

const POST: &str = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n";

/// Bytes that complete the content may have been there for long; the next request has its own time.
#[test]
fn content_that_is_complete_is_not_too_slow_and_neither_is_the_next() {
    for (rest, answers, state) in [
        ("9".to_owned(), 1, State::KeepAlive),
        (format!("9{POST}"), 1, State::ReadingContent),
        (format!("9{POST}0123456789"), 2, State::KeepAlive),
    ] {
        let mut bench = Bench::new(Reads);
        bench.limits.timeouts.rate_min = Some(RateMin { bytes: 100, window_ms: 1_000 });
        bench.send([POST, "012345678"].concat().as_bytes());
        bench.now.0 += 5_000;
        bench.send(rest.as_bytes());
        let output = bench.take_output();
        assert_eq!((output.matches("HTTP/1.1 200 ").count(), bench.state()), (answers, state), "{rest:?}: {output}");
        assert_eq!(output.matches("HTTP/1.1 ").count(), answers, "{output}");
    }
    let mut bench = Bench::new(Reads);
    bench.limits.timeouts.rate_min = Some(RateMin { bytes: 100, window_ms: 1_000 });
    bench.send([POST, "01234567"].concat().as_bytes());
    bench.now.0 += 5_000;
    bench.send(b"8");
    assert!(bench.take_output().starts_with("HTTP/1.1 408 "), "one is missing");
    assert_eq!(bench.state(), State::Lingering);
    assert!(!bench.connection.is_closed());
    bench.fin();
    assert_eq!(bench.connection.close_reason(), Some(CloseReason::ContentTimeout));
    assert!(bench.connection.is_closed());
}
