//! Other protocols behind 101 and CONNECT.

use aurora_http_core::error::CloseReason;
use aurora_http_core::handler::{Content, Flow, Handler};
use aurora_http_core::request::{Method, Request};
use aurora_http_core::state::State;
use aurora_http_core::writer::ResponseWriter;

use crate::harness::Bench;

/// Answers each line in capitals, until one is empty.
struct Lines;

impl Handler for Lines {
    type Exchange = ();

    fn request(&mut self, request: &Request<'_>, response: &mut ResponseWriter<'_>) -> Flow<()> {
        let switched = if request.method() == Method::Connect {
            response.open_tunnel()
        } else {
            response.switch_protocols("lines", &[("X-Lines", b"yes")])
        };
        if request.path() == b"/detach" {
            return Flow::Detach(());
        }
        if switched.is_ok() { Flow::Upgrade(()) } else { Flow::Finish }
    }

    fn receive(&mut self, (): (), content: &mut Content<'_>, response: &mut ResponseWriter<'_>) -> Flow<()> {
        while let Some(end) = content.bytes().iter().position(|byte| *byte == b'\n') {
            if end == 0 {
                return Flow::Finish;
            }
            let line = content.bytes()[..=end].to_ascii_uppercase();
            if response.write(&line).unwrap() < line.len() {
                panic!("lines are short");
            }
            content.consume(end + 1);
        }
        Flow::Receive(())
    }
}

const UPGRADE: &str = "GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: lines\r\n\r\n";
const SWITCHED: &str =
    "HTTP/1.1 101 Switching Protocols\r\nX-Lines: yes\r\nConnection: upgrade\r\nUpgrade: lines\r\n\r\n";

#[test]
fn leftovers_come_first_and_lines_may_be_split_anywhere() {
    for split in 0..12 {
        let mut bench = Bench::new(Lines);
        let lines = b"abc\ndefg\nhi";
        bench.send(&[UPGRADE.as_bytes(), &lines[..split]].concat());
        bench.send(&lines[split..]);
        assert_eq!(bench.take_output(), format!("{SWITCHED}ABC\nDEFG\n"), "{split}");
        assert_eq!(bench.state(), State::Switched);
        bench.send(b"\n\n");
        assert_eq!(bench.take_output(), "HI\n");
        assert_eq!(bench.state(), State::Lingering);
        bench.fin();
        assert_eq!(bench.connection.close_reason(), Some(CloseReason::UpgradeFinished));
        assert_eq!(bench.pool.in_use(), 0);
    }
}

#[test]
fn connect_opens_a_tunnel_without_framing_fields() {
    let mut bench = Bench::new(Lines);
    bench.send(b"CONNECT x:1 HTTP/1.1\r\nHost: x:1\r\nConnection: close\r\n\r\nab\n");
    assert_eq!(bench.take_output(), "HTTP/1.1 200 OK\r\n\r\nAB\n");
    bench.fin();
    assert_eq!(bench.state(), State::Closed);
    assert_eq!(bench.pool.in_use(), 0);
}

#[test]
fn what_was_not_offered_is_not_switched_to() {
    let mut bench = Bench::new(Lines);
    for request in [
        "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: lines\r\n\r\n",
        "GET / HTTP/1.0\r\nConnection: upgrade, keep-alive\r\nUpgrade: lines\r\n\r\n",
    ] {
        bench.send(request.as_bytes());
        assert!(bench.take_output().starts_with("HTTP/1.1 500 "), "{request}");
    }
}

#[test]
fn an_upgraded_connection_may_not_idle_for_ever() {
    let mut bench = Bench::new(Lines);
    bench.send(UPGRADE.as_bytes());
    bench.pass(60_000);
    assert_eq!((bench.state(), bench.pool.in_use()), (State::Closed, 0));
}

#[test]
fn a_detached_connection_waits_to_be_taken() {
    let mut bench = Bench::new(Lines);
    bench.send(&UPGRADE.replace(" / ", " /detach ").replace("\r\n\r\n", "\r\n\r\nleft").into_bytes());
    assert_eq!(bench.take_output(), SWITCHED);
    assert!(bench.connection.is_detached() && !bench.is_receiving());
    assert_eq!(bench.pool.in_use(), 1, "the leftover bytes");
}
