//! Scripts of operations against scripts of malice: every operation completes once, buffers come back, bytes stay in
//! order, and no wake-up is lost. Nothing here depends on the number of turns.

use std::collections::HashSet;
use std::vec::Vec;

use proptest::prelude::*;

use super::fake::Script;
use super::*;

/// A step of a script.
#[derive(Clone, Debug)]
enum Act {
    Recv { handle: u32, lent: bool },
    Send { handle: u32, head: u8, body: u8 },
    Cancel { handle: u32, send: bool },
    Shutdown { handle: u32, how: u8 },
    Close { handle: u32 },
    Provide,
    Reclaim,
    Deliver { handle: u32, count: u8 },
    Finish { handle: u32 },
    Reset { handle: u32 },
    Drain { handle: u32, count: u8 },
    Turn { completions: u8 },
}

const HANDLES: u32 = 3;
const BUFFER_BYTES: usize = 8;
static BODY: [u8; 256] = {
    let mut bytes = [0; 256];
    let mut at = 0;
    while at < 256 {
        bytes[at] = at as u8;
        at += 1;
    }
    bytes
};

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let handle = 0..HANDLES;
    let act = prop_oneof![
        6 => (handle.clone(), any::<bool>()).prop_map(|(handle, lent)| Act::Recv { handle, lent }),
        6 => (handle.clone(), 0..8u8, 0..8u8).prop_map(|(handle, head, body)| Act::Send { handle, head, body }),
        2 => (handle.clone(), any::<bool>()).prop_map(|(handle, send)| Act::Cancel { handle, send }),
        1 => (handle.clone(), 0..3u8).prop_map(|(handle, how)| Act::Shutdown { handle, how }),
        1 => handle.clone().prop_map(|handle| Act::Close { handle }),
        2 => Just(Act::Provide),
        1 => Just(Act::Reclaim),
        6 => (handle.clone(), 1..20u8).prop_map(|(handle, count)| Act::Deliver { handle, count }),
        1 => handle.clone().prop_map(|handle| Act::Finish { handle }),
        1 => handle.clone().prop_map(|handle| Act::Reset { handle }),
        4 => (handle, 1..20u8).prop_map(|(handle, count)| Act::Drain { handle, count }),
        8 => (0..10u8).prop_map(|completions| Act::Turn { completions }),
    ];
    proptest::collection::vec(act, 0..80)
}

/// Tracks where every buffer is, which operations are in flight, and which byte comes next in each direction.
struct Model {
    reactor: Fixture,
    free: Vec<Buf<'static>>,
    in_flight: HashSet<u64>,
    delivered: [u8; HANDLES as usize],
    received: [u8; HANDLES as usize],
    sent: [u8; HANDLES as usize],
    shut: [bool; HANDLES as usize],
}

const BUFFERS: usize = 8;

impl Model {
    fn new(script: Vec<u8>) -> Self {
        let mut fake = Fake::new(HANDLES as usize, 5);
        fake.script = Script::new(script);
        let free = (0..BUFFERS).map(|_| buf(BUFFER_BYTES)).collect();
        let zero = [0; HANDLES as usize];
        let reactor = fixture(fake, HANDLES as usize, 3);
        let shut = [false; HANDLES as usize];
        Self { reactor, free, in_flight: HashSet::new(), delivered: zero, received: zero, sent: zero, shut }
    }

    fn busy(&self, handle: u32, kind: OpKind) -> bool {
        self.in_flight.contains(&token(handle, kind).to_bits())
    }

    fn submit(&mut self, submission: Submission<'static>) {
        assert!(self.in_flight.insert(submission.token.to_bits()));
        self.reactor.submit(submission).unwrap();
    }

    fn act(&mut self, act: &Act) {
        match *act {
            Act::Recv { handle, lent } if !self.busy(handle, OpKind::Recv) => {
                let into = if lent { None } else { self.free.pop() };
                self.submit(recv(handle, into));
            }
            Act::Send { handle, head, body } if !self.busy(handle, OpKind::Send) => {
                let Some(mut buf) = self.free.pop() else { return };
                let first = self.sent[handle as usize];
                (0..head).for_each(|offset| buf.append(&[first.wrapping_add(offset)]).unwrap());
                let from = usize::from(first.wrapping_add(head)).min(255 - usize::from(body));
                let body = &BODY[from..from + usize::from(body)];
                let body = if body.first().is_none_or(|&byte| byte == first.wrapping_add(head)) { body } else { &[] };
                let op = Op::Send { io: IoHandle(handle), head: buf, body };
                self.submit(Submission { token: token(handle, OpKind::Send), op });
            }
            Act::Cancel { handle, send } => {
                let kind = if send { OpKind::Send } else { OpKind::Recv };
                self.reactor.cancel(token(handle, kind), IoHandle(handle));
            }
            Act::Shutdown { handle, how } => {
                let how = [Shutdown::Read, Shutdown::Write, Shutdown::Both][usize::from(how)];
                self.reactor.shutdown(IoHandle(handle), how);
                self.shut[handle as usize] = true;
            }
            Act::Close { handle } if !self.busy(handle, OpKind::Recv) && !self.busy(handle, OpKind::Send) => {
                self.submit(close(handle));
                self.turn(usize::MAX);
            }
            Act::Provide => {
                if let Some(buf) = self.free.pop()
                    && let Err(buf) = self.reactor.provide(buf)
                {
                    self.free.push(buf);
                }
            }
            Act::Reclaim => self.free.extend(self.reactor.reclaim()),
            Act::Deliver { handle, count } => {
                let socket = &self.reactor.get_ref().sockets[handle as usize];
                if socket.open && !socket.fin && !socket.broken {
                    let first = self.delivered[handle as usize];
                    self.delivered[handle as usize] = first.wrapping_add(count);
                    self.reactor.get_mut().deliver(handle as usize, (0..count).map(|at| first.wrapping_add(at)));
                }
            }
            Act::Finish { handle } => self.reactor.get_mut().finish(handle as usize),
            Act::Reset { handle } => self.reactor.get_mut().reset(handle as usize),
            Act::Drain { handle, count } => self.reactor.get_mut().make_room(handle as usize, usize::from(count)),
            Act::Turn { completions } => self.turn(usize::from(completions)),
            _ => {}
        }
    }

    fn turn(&mut self, most: usize) {
        let has_work = self.reactor.has_work();
        self.reactor.wait(None).unwrap();
        // Work that no event will announce must not be slept over, neither here nor in a program's own loop.
        assert_eq!(self.reactor.get_ref().timeout, has_work.then_some(Duration::ZERO));
        for _ in 0..most {
            let Some(completion) = self.reactor.next_completion() else { return };
            self.complete(completion);
        }
    }

    fn complete(&mut self, completion: Completion<'static>) {
        assert!(!completion.more);
        assert!(self.in_flight.remove(&completion.token.to_bits()), "twice: {completion:?}");
        let handle = completion.token.slot() as usize;
        match completion.outcome {
            Outcome::Recv { result, buf } => {
                let Some(mut buf) = buf else {
                    assert!(matches!(result, Err(IoError::NoBuffers | IoError::Canceled)), "{result:?}");
                    return;
                };
                let count = result.unwrap_or(0);
                assert_eq!(buf.len(), count as usize);
                for &byte in buf.filled() {
                    assert_eq!(byte, self.received[handle], "handle {handle}");
                    self.received[handle] = byte.wrapping_add(1);
                }
                if result == Ok(0) {
                    let socket = &self.reactor.get_ref().sockets[handle];
                    assert!(socket.fin && socket.inbound.is_empty(), "bytes were left unread");
                }
                buf.clear();
                self.free.push(buf);
            }
            Outcome::Send { result, mut head, .. } => {
                self.sent[handle] = self.sent[handle].wrapping_add(result.unwrap_or(0) as u8);
                head.clear();
                self.free.push(head);
            }
            Outcome::Close => {
                self.received[handle] = self.delivered[handle];
                self.sent[handle] = 0;
            }
            other @ Outcome::Accept(_) => panic!("{other:?}"),
        }
        self.check_sent(handle);
    }

    fn check_sent(&self, handle: usize) {
        let outbound = &self.reactor.get_ref().sockets[handle].outbound;
        assert!(outbound.iter().copied().eq((0..=255).cycle().take(outbound.len())), "{outbound:?}");
    }

    /// Turns until nothing can move; then no operation may be parked that could complete.
    fn settle(&mut self) {
        for _ in 0..1000 {
            self.turn(usize::MAX);
            if self.reactor.get_ref().stuck {
                break;
            }
        }
        assert!(self.reactor.get_ref().stuck, "the turns never end");
        assert!(!self.reactor.has_work());
        for handle in 0..HANDLES {
            let socket = &self.reactor.get_ref().sockets[handle as usize];
            let parked_recv = self.busy(handle, OpKind::Recv);
            assert!(!(parked_recv && (socket.readable() || !socket.open)), "lost wake-up: receive on {handle}");
            let parked_send = self.busy(handle, OpKind::Send);
            assert!(
                !(parked_send && (socket.room > 0 || socket.broken || socket.write_ended)),
                "lost wake-up: send on {handle}"
            );
        }
    }

    fn finish(mut self) {
        self.settle();
        for handle in 0..HANDLES {
            self.reactor.cancel(token(handle, OpKind::Recv), IoHandle(handle));
            self.reactor.cancel(token(handle, OpKind::Send), IoHandle(handle));
        }
        self.turn(usize::MAX);
        assert!(self.in_flight.is_empty(), "{:?}", self.in_flight);
        while let Some(buf) = self.reactor.reclaim() {
            self.free.push(buf);
        }
        assert_eq!(self.free.len(), BUFFERS);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn every_operation_completes_once_whatever_the_stack_does(
        acts in acts(),
        script in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        let mut model = Model::new(script);
        for act in &acts {
            model.act(act);
        }
        model.finish();
    }

    #[test]
    fn bytes_pass_in_order_however_they_are_cut(
        script in proptest::collection::vec(any::<u8>(), 0..400),
        count in 1..200usize,
        lent in any::<bool>(),
    ) {
        let bytes: Vec<u8> = (0..count).map(|at| at as u8).collect();
        let mut fake = Fake::new(1, usize::MAX);
        fake.script = Script::new(script);
        fake.deliver(0, bytes.iter().copied());
        fake.finish(0);
        let mut reactor = fixture(fake, 1, 1);
        let mut received = Vec::new();
        let mut next = Some(buf(5));
        let mut echoing = None;
        for _ in 0..5000 {
            if let Some(buf) = next.take() {
                let into = if lent { reactor.provide(buf).unwrap(); None } else { Some(buf) };
                reactor.submit(recv(0, into)).unwrap();
            }
            if let Some(head) = echoing.take() {
                let op = Op::Send { io: IoHandle(0), head, body: &[] };
                reactor.submit(Submission { token: token(0, OpKind::Send), op }).unwrap();
            }
            reactor.wait(None).unwrap();
            match reactor.next_completion().map(|completion| completion.outcome) {
                Some(Outcome::Recv { result: Ok(0), .. }) => break,
                Some(Outcome::Recv { result: Ok(_), buf: Some(buf) }) => {
                    received.extend_from_slice(buf.filled());
                    echoing = Some(buf);
                }
                Some(Outcome::Send { result: Ok(count), mut head, .. }) => {
                    head.consume(count as usize);
                    let place = if head.is_empty() { &mut next } else { &mut echoing };
                    *place = Some(head);
                }
                None => {}
                other => panic!("{other:?}"),
            }
        }
        prop_assert_eq!(&received, &bytes);
        prop_assert_eq!(&reactor.get_ref().sockets[0].outbound, &bytes);
    }
}
