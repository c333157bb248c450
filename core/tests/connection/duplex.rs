//! Another protocol as one closure that reads and writes whenever something happens.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use aurora_http_core::defer::DeferToken;
use aurora_http_core::error::CloseReason;
use aurora_http_core::handler::{Handler, Progress, Wire, duplex, handler_fn};
use aurora_http_core::writer::WriteError;

use crate::harness::Bench;

const UPGRADE: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: p\r\n\r\n";

/// A connection that has switched to the protocol of `step`, with the bytes behind the request.
fn switched(step: impl FnMut(&mut Wire<'_, '_>) -> Progress, behind: &[u8]) -> (Bench<impl Handler>, String) {
    let mut step = Some(step);
    let mut bench = Bench::new(handler_fn(move |_, response| {
        response.switch_protocols("p", &[])?;
        Ok::<_, WriteError>(duplex(step.take().expect("one request")))
    }));
    bench.send(&[UPGRADE, behind].concat());
    let output = bench.take_output();
    let (head, rest) = output.split_once("\r\n\r\n").expect("a head");
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    let rest = rest.to_owned();
    (bench, rest)
}

/// What `step` was called for, in order, and the token that it left.
#[derive(Default)]
struct Calls {
    seen: RefCell<Vec<&'static str>>,
    token: Cell<Option<DeferToken>>,
}

impl Calls {
    fn take(&self) -> Vec<&'static str> {
        self.seen.take()
    }
}

/// Echoes complete lines.
fn lines(calls: Rc<Calls>) -> impl FnMut(&mut Wire<'_, '_>) -> Progress {
    move |wire| {
        let lines = wire.received().iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        calls.token.set(wire.response().defer().ok());
        calls.seen.borrow_mut().push(match () {
            () if wire.response().is_stopping() => "stopping",
            () if wire.response().is_woken_by_time() => "time",
            () if wire.ended() => "end",
            () if lines > 0 => "lines",
            () if wire.received().is_empty() => "nothing",
            () => "part",
        });
        wire.response().wake_after(5_000);
        assert_eq!(wire.write(&wire.received()[..lines]), Ok(lines));
        wire.consume(lines);
        if wire.ended() || wire.response().is_stopping() { Progress::Done } else { Progress::More }
    }
}

#[test]
fn a_step_is_called_for_whatever_happens() {
    let calls = Rc::new(Calls::default());
    let (mut bench, said) = switched(lines(Rc::clone(&calls)), b"one\ntw");
    assert_eq!(said, "one\n");
    assert_eq!(calls.take(), ["nothing", "lines", "part"], "what was not taken is offered again");
    bench.send(b"o");
    assert_eq!(calls.take(), ["part"]);
    bench.pass(5_000);
    assert_eq!(calls.take(), ["time", "part"]);
    assert!(bench.deferrals.resolve(calls.token.get().unwrap()));
    bench.resolved();
    assert_eq!(calls.take(), ["nothing", "part"], "there is no other cause than the token");
    bench.send(b"\n");
    assert_eq!((bench.take_output().as_str(), calls.take()), ("two\n", vec!["lines"]));
    bench.fin();
    assert_eq!(calls.take(), ["end"]);
    assert_eq!(bench.connection.close_reason(), Some(CloseReason::UpgradeFinished));

    let (mut bench, _) = switched(lines(Rc::clone(&calls)), b"");
    bench.last = Some(CloseReason::Stopped);
    bench.stopping();
    assert_eq!(calls.take(), ["nothing", "stopping"]);
    bench.fin();
    assert_eq!(bench.connection.close_reason(), Some(CloseReason::UpgradeFinished));
}

#[test]
fn while_there_is_no_room_nothing_is_received() {
    // Each byte that arrives has a million sent.
    let mut left = 0;
    let step = move |wire: &mut Wire<'_, '_>| {
        wire.response().wake_after(60_000);
        if left == 0 && !wire.received().is_empty() {
            left = 1_000_000;
            wire.consume(1);
        }
        while left > 0 {
            match wire.write(&vec![b'x'; left.min(1_000)]) {
                Ok(0) => break,
                Ok(count) => left -= count,
                Err(_) => return Progress::Done,
            }
        }
        Progress::More
    };
    let (mut bench, said) = switched(step, b"");
    assert_eq!(said, "");
    bench.hold_sends = true;
    bench.send(b"abc");
    assert!(bench.is_sending());
    let mut sent = 0;
    while bench.is_sending() {
        assert!(!bench.is_receiving(), "after {sent} bytes");
        sent += bench.complete_send(usize::MAX);
    }
    assert_eq!(sent, 3_000_000, "what had arrived is offered whenever something has left");
    assert!(bench.is_receiving());
}

#[cfg(feature = "std")]
#[test]
fn a_step_reads_and_writes_as_from_a_socket() {
    use std::io::{ErrorKind, Read as _, Write as _};
    let step = |wire: &mut Wire<'_, '_>| {
        wire.response().wake_after(60_000);
        let mut bytes = [0; 4];
        loop {
            match wire.read(&mut bytes) {
                Ok(0) => return Progress::Done,
                Ok(count) => wire.write_all(&bytes[..count]).expect("there is room"),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::WouldBlock);
                    return Progress::More;
                }
            }
        }
    };
    let (mut bench, said) = switched(step, b"what came along");
    assert_eq!(said, "what came along");
    bench.send(b"and more");
    assert_eq!(bench.take_output(), "and more");
    bench.fin();
    assert_eq!(bench.connection.close_reason(), Some(CloseReason::UpgradeFinished));
}
