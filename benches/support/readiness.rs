//! The steady state of `Readiness` without a system below it: a turn in which every connection receives one request
//! and answers it.

use std::hint::black_box;
use std::time::Duration;

use aurora_http::core::pool::Buf;
use aurora_http::core::reactor::{
    Attempt, IoHandle, NonBlocking, Op, OpKind, OpToken, Outcome, Reactor, Ready, ReadyFn, Seen, Shutdown, Submission,
};
use aurora_http::core::readiness::{Parked, Readiness};
use aurora_http::core::time::Instant;

/// Every wait reports every connection; requests are short, and sends are complete.
struct Busy {
    connections: u32,
}

impl NonBlocking for Busy {
    fn accept(&mut self, _: IoHandle) -> Attempt {
        Attempt::WouldBlock
    }

    fn recv(&mut self, _: IoHandle, _: &mut [u8]) -> Attempt {
        Attempt::Done(black_box(40))
    }

    fn send(&mut self, _: IoHandle, _: [&[u8]; 2]) -> Attempt {
        Attempt::Done(black_box(64))
    }

    fn shutdown(&mut self, _: IoHandle, _: Shutdown) {}

    fn close(&mut self, _: IoHandle) {}

    fn wait(
        &mut self,
        _: Option<Duration>,
        ready: &mut ReadyFn<'_>,
    ) -> Result<Seen, aurora_http::core::reactor::IoError> {
        for index in 0..self.connections {
            ready(IoHandle(index), Ready { readable: true, ..Ready::default() });
        }
        Ok(Seen::All)
    }

    fn now(&self) -> Instant {
        Instant(0)
    }
}

/// `requests` requests on each of `connections` connections.
#[inline(never)]
pub(crate) fn requests(connections: u32, requests: u32) {
    let mut memory: Vec<[u8; 64]> = vec![[0; 64]; connections as usize + 1];
    let mut parked: Vec<Parked<'_>> = (0..connections).map(|_| Parked::new()).collect();
    let mut lent: Vec<_> = memory.iter().map(|_| None).collect();
    let mut reactor = Readiness::new(Busy { connections }, &mut parked, &mut lent);
    for bytes in &mut memory {
        assert!(reactor.provide(Buf::new(bytes)).is_ok());
    }
    for index in 0..connections {
        submit(&mut reactor, index, Op::Recv { io: IoHandle(index), into: None });
    }
    let mut answered = 0;
    for _ in 0..=requests {
        assert_eq!(reactor.wait(None), Ok(Seen::All));
        while let Some(completion) = reactor.next_completion() {
            let index = completion.token.slot();
            let io = IoHandle(index);
            match completion.outcome {
                Outcome::Recv { result: Ok(40), buf: Some(head) } => {
                    submit(&mut reactor, index, Op::Send { io, head, body: b"" });
                }
                Outcome::Send { result: Ok(64), mut head, .. } => {
                    answered += 1;
                    head.clear();
                    assert!(reactor.provide(head).is_ok());
                    submit(&mut reactor, index, Op::Recv { io, into: None });
                }
                other => panic!("{other:?}"),
            }
        }
    }
    assert!(answered >= connections * requests);
}

#[inline(always)]
fn submit<'p>(reactor: &mut impl Reactor<'p>, index: u32, op: Op<'p>) {
    let kind = if matches!(op, Op::Recv { .. }) { OpKind::Recv } else { OpKind::Send };
    let submitted = reactor.submit(Submission { token: OpToken::new(index, 0, kind), op });
    assert!(submitted.is_ok());
}
