//! Handlers that return what they said they do not need.

use std::ops::ControlFlow;

use aurora_http_core::error::CloseReason;
use aurora_http_core::forward_handler;
use aurora_http_core::handler::{Around, Content, Flow, Handler, Needs, around};
use aurora_http_core::request::Request;
use aurora_http_core::state::State;
use aurora_http_core::writer::ResponseWriter;

use crate::harness::Bench;

/// Does what the path says, and keeps count of the states that are abandoned.
#[derive(Default)]
struct Careless {
    abandoned: Vec<CloseReason>,
}

impl Handler for Careless {
    const NEEDS: Needs = Needs::LEAST;
    type Exchange = ();

    fn request(&mut self, request: &Request<'_>, response: &mut ResponseWriter<'_>) -> Flow<()> {
        match request.path() {
            b"/token" => {
                let _ = response.defer();
                Flow::Defer(())
            }
            b"/time" => {
                response.wake_after(10);
                Flow::Defer(())
            }
            b"/both" => {
                let _ = response.defer();
                Flow::ReceiveOrResume(())
            }
            b"/upgrade" => {
                let _ = response.switch_protocols("raw", &[]);
                Flow::Upgrade(())
            }
            b"/detach" => {
                let _ = response.switch_protocols("raw", &[]);
                Flow::Detach(())
            }
            b"/no-101" => Flow::Upgrade(()),
            b"/trailers" => {
                response.keep_trailers();
                Flow::Receive(())
            }
            b"/files" => {
                let _ = response.body(if response.sends_files() { "yes" } else { "no" });
                Flow::Finish
            }
            _ => {
                let _ = response.open_tunnel();
                Flow::Upgrade(())
            }
        }
    }

    fn receive(&mut self, (): (), content: &mut Content<'_>, response: &mut ResponseWriter<'_>) -> Flow<()> {
        if !content.ended() {
            return Flow::Receive(());
        }
        let _ = response.body(if content.trailers().is_some() { "trailers" } else { "none" });
        Flow::Finish
    }

    fn abandoned(&mut self, (): (), reason: CloseReason) {
        self.abandoned.push(reason);
    }
}

#[test]
fn a_flow_that_is_said_not_to_be_needed_is_answered_with_500() {
    let upgrade = "GET /PATH HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: raw\r\n\r\n";
    let connect = "CONNECT x:1 HTTP/1.1\r\nHost: x:1\r\n\r\n";
    let post = "POST /PATH HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx";
    for (path, request) in [
        ("token", "GET /PATH HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("time", "GET /PATH HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("token", post),
        ("both", post),
        ("upgrade", upgrade),
        ("detach", upgrade),
        ("no-101", upgrade),
        ("tunnel", connect),
    ] {
        let mut bench = Bench::new(Careless::default());
        bench.send(request.replace("PATH", path).as_bytes());
        let output = bench.take_output();
        assert!(output.starts_with("HTTP/1.1 500 Internal Server Error\r\n"), "{path}: {output}");
        assert_eq!(output.matches("HTTP/1.1 ").count(), 1, "{path}: {output}");
        assert_eq!(bench.handler.abandoned.len(), 1, "{path}: the state is given back");
        assert_eq!((bench.counters.failed, bench.pool.in_use()), (1, 0), "{path}");
        if bench.state() == State::KeepAlive {
            // The connection goes on.
            bench.send(b"GET /files HTTP/1.1\r\nHost: x\r\n\r\n");
            assert!(bench.take_output().ends_with("\r\n\r\nno"), "{path}");
        }
    }
}

/// A wrapper that does nothing.
struct Nothing;

impl Around for Nothing {
    type Note = ();

    fn before(&mut self, _: &Request<'_>, _: &mut ResponseWriter<'_>) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
}

/// Says what it needs in place of the handler.
struct Deferring<H>(H);

impl<H: Handler> Handler for Deferring<H> {
    const NEEDS: Needs = H::NEEDS.and(Needs { deferral: true, ..Needs::LEAST });
    type Exchange = H::Exchange;

    forward_handler!(self => self.0);
}

#[test]
fn wrappers_need_what_their_handler_needs_and_what_they_add() {
    fn status<H: Handler>(handler: H, path: &str) -> String {
        let mut bench = Bench::new(handler);
        bench.send(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes());
        bench.take_output().get(9..12).unwrap_or("none").to_owned()
    }
    assert_eq!(status(&mut Careless::default(), "/time"), "500");
    assert_eq!(status(around(Nothing, Careless::default()), "/time"), "500");
    assert_eq!(status(Deferring(around(Nothing, Careless::default())), "/time"), "none", "it waits");
    assert_eq!(status(Deferring(Careless::default()), "/no-101"), "500");
}

#[test]
fn trailers_that_are_not_needed_are_checked_and_dropped() {
    for (trailer, answer) in [("", "none"), ("X-A: b\r\n", "none"), ("X A: b\r\n", "Bad Request\n")] {
        let mut bench = Bench::new(Careless::default());
        let head = "POST /trailers HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
        bench.send(format!("{head}1\r\nx\r\n0\r\n{trailer}\r\n").as_bytes());
        let output = bench.take_output();
        assert!(output.ends_with(&format!("\r\n\r\n{answer}")), "{trailer:?}: {output}");
    }
}
