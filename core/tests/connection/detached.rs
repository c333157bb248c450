//! Connections that are handed to the program while a receive is in flight.

use aurora_http_core::defer::DeferToken;
use aurora_http_core::error::CloseReason;
use aurora_http_core::handler::{Flow, Handler};
use aurora_http_core::reactor::IoError;
use aurora_http_core::request::Request;
use aurora_http_core::state::State;
use aurora_http_core::writer::ResponseWriter;

use crate::harness::Bench;

/// Switches protocols and detaches when its token is resolved; until then a receive is in flight.
#[derive(Default)]
struct Later(Option<DeferToken>);

impl Handler for Later {
    type Exchange = u8;

    fn request(&mut self, _: &Request<'_>, response: &mut ResponseWriter<'_>) -> Flow<u8> {
        self.0 = response.defer().ok();
        Flow::Defer(7)
    }

    fn resume(&mut self, state: u8, response: &mut ResponseWriter<'_>) -> Flow<u8> {
        response.switch_protocols("x", &[]).expect("it was offered");
        Flow::Detach(state)
    }
}

const UPGRADE: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n";

fn detaches() -> Bench<Later> {
    let mut bench = Bench::new(Later::default());
    bench.send(UPGRADE);
    assert!(bench.is_receiving());
    bench.hold_cancels = true;
    assert!(bench.deferrals.resolve(bench.handler.0.expect("cells for deferred answers")));
    bench.resolved();
    assert!(bench.take_output().starts_with("HTTP/1.1 101 "));
    bench
}

#[test]
fn a_connection_is_not_handed_over_before_its_receive_has_ended() {
    for error in [IoError::Canceled, IoError::NoBuffers] {
        let mut bench = detaches();
        assert!(bench.is_receiving() && !bench.connection.is_detached());
        assert!(bench.connection.take_detached().is_none());
        bench.fail_receive(error);
        assert!(bench.connection.is_detached() && !bench.connection.is_starved(), "{error:?}");
        assert_eq!((bench.state(), bench.connection.deadline()), (State::Switched, None));
        let (state, leftover) = bench.connection.take_detached().expect("nothing is in flight");
        assert_eq!((state, leftover.is_none()), (7, true));
    }
}

#[test]
fn bytes_that_the_receive_still_returns_are_handed_over_too() {
    let mut bench = detaches();
    assert_eq!(bench.send(b"raw"), 3);
    let (_, leftover) = bench.connection.take_detached().expect("nothing is in flight");
    assert_eq!(leftover.as_ref().map(|buf| buf.filled()), Some(&b"raw"[..]));
}

#[test]
fn a_connection_that_breaks_meanwhile_is_closed() {
    let mut bench = detaches();
    bench.fail_receive(IoError::ConnectionReset);
    assert_eq!((bench.state(), bench.connection.close_reason()), (State::Closed, Some(CloseReason::PeerReset)));
    assert!(!bench.connection.is_detached() && bench.connection.take_detached().is_none());
}
