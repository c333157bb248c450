//! Bytes whose end only the end of the connection shows, and that do not all reach the client: the connection is reset, and
//! what was sent before arrives first.

use aurora_http_core::error::CloseReason;
use aurora_http_core::handler::{Flow, Handler, Progress, Wire, duplex, handler_fn};
use aurora_http_core::reactor::Shutdown;
use aurora_http_core::request::Request;
use aurora_http_core::state::State;
use aurora_http_core::writer::{ResponseWriter, WriteError};

use crate::harness::Bench;

const SWITCHES: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: p\r\n\r\n";

/// Switches to another protocol, says hello in it, and goes on as told.
fn says_hello(progress: Progress) -> impl Handler {
    handler_fn(move |_, response| {
        response.switch_protocols("p", &[])?;
        // Something must call it.
        response.wake_after(1_000_000);
        let mut rest = &b"hello"[..];
        Ok::<_, WriteError>(duplex(move |wire: &mut Wire<'_, '_>| {
            let count = wire.write(rest).expect("it is open");
            rest = &rest[count..];
            progress
        }))
    })
}

#[test]
fn what_another_protocol_could_not_send_is_missed() {
    let mut whole = Bench::new(says_hello(Progress::Done));
    whole.send(SWITCHES);
    let head_len = whole.take_output().strip_suffix("hello").expect("all of it").len();
    let timeout = CloseReason::WriteTimeout;
    for (progress, sent, ends, reason) in [
        // The handler has finished, or is still there, and the client does not take everything.
        (Progress::Done, 0, Some(Shutdown::Reset), Some(timeout)),
        (Progress::Done, 3, Some(Shutdown::Reset), Some(timeout)),
        (Progress::More, 3, Some(Shutdown::Reset), Some(timeout)),
        // Everything has been sent.
        (Progress::Done, 5, Some(Shutdown::Write), Some(CloseReason::UpgradeFinished)),
        (Progress::More, 5, None, None),
    ] {
        let mut bench = Bench::new(says_hello(progress));
        bench.hold_sends = true;
        bench.send(SWITCHES);
        let mut left = head_len + sent;
        while left > 0 && bench.is_sending() {
            left -= bench.complete_send(left);
        }
        bench.elapse(100_000);
        assert_eq!((bench.shut, bench.connection.close_reason()), (ends, reason), "{progress:?} {sent}");
        assert_eq!(bench.pool.in_use(), 0);
    }
    // An end from outside, when nothing is left.
    let mut bench = Bench::new(says_hello(Progress::More));
    bench.send(SWITCHES);
    bench.with(|connection, cx| connection.close(cx, CloseReason::Aborted));
    bench.act();
    assert_eq!((bench.state(), bench.shut), (State::Closed, Some(Shutdown::Both)));
}

/// Streams a piece without a length, and fails.
struct Breaks;

impl Handler for Breaks {
    type Exchange = ();

    fn request(&mut self, _: &Request<'_>, response: &mut ResponseWriter<'_>) -> Flow<()> {
        response.stream(None).and_then(|()| response.write(b"piece")).expect("room");
        Flow::Produce(())
    }

    fn produce(&mut self, (): (), response: &mut ResponseWriter<'_>) -> Flow<()> {
        let _ = response.fail(500);
        Flow::Finish
    }
}

/// A connection that lingers because its client has not received everything.
fn lingering() -> Bench<Breaks> {
    let mut bench = Bench::new(Breaks);
    bench.link.unacknowledged = Some(1_000);
    bench.send(b"GET / HTTP/1.0\r\n\r\n");
    assert!(bench.take_output().ends_with("\r\n\r\npiece"));
    assert_eq!((bench.state(), bench.shut), (State::Lingering, None));
    bench
}

#[test]
fn what_was_sent_before_arrives_before_the_reset() {
    for is_half_closed in [false, true] {
        let mut bench = lingering();
        if is_half_closed {
            bench.fin();
        }
        bench.elapse(1_500);
        assert_eq!((bench.state(), bench.shut), (State::Lingering, None), "{is_half_closed}");
        assert_eq!(bench.is_receiving(), !is_half_closed);
        bench.link.unacknowledged = Some(0);
        bench.elapse(1_000);
        assert_eq!((bench.state(), bench.shut), (State::Closed, Some(Shutdown::Reset)), "{is_half_closed}");
        assert_eq!(bench.connection.close_reason(), Some(CloseReason::ResponseFailed));
    }
}

#[test]
fn a_client_that_receives_nothing_more_is_reset_in_the_end() {
    for is_half_closed in [false, true] {
        let mut bench = lingering();
        if is_half_closed {
            bench.fin();
        }
        bench.elapse(15_000);
        assert_eq!((bench.state(), bench.shut), (State::Closed, Some(Shutdown::Reset)), "{is_half_closed}");
        assert_eq!(bench.connection.close_reason(), Some(CloseReason::WriteTimeout));
    }
    // Without a limit, only a receive could tell that the client is gone, and there is none after its FIN.
    let mut bench = lingering();
    (bench.limits.timeouts.write_timeout_ms, bench.limits.timeouts.rate_min) = (None, None);
    bench.fin();
    assert_eq!((bench.state(), bench.shut), (State::Closed, Some(Shutdown::Reset)));
}
