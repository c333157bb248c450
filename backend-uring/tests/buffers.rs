//! Who owns the buffers in flight when their reactor is dropped, leaked, or unwound by a panic.
#![cfg(target_os = "linux")]

use std::collections::BTreeSet;
use std::io::Write;
use std::mem;
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use aurora_http_core::pool::Buf;
use aurora_http_core::reactor::{IoHandle, Op, OpKind, OpToken, Outcome, Reactor, Submission};
use aurora_http_uring::{Entry, Held, LentPlace, ListenOptions, Uring, listen, probe};

const SOON: Option<Duration> = Some(Duration::from_secs(5));

struct Tables {
    table: Vec<Entry>,
    held: Vec<Held>,
    lent: Vec<LentPlace>,
}

impl Tables {
    fn new() -> Self {
        let table = (0..40).map(|_| Entry::new()).collect();
        let held = (0..4).map(|_| Held::new()).collect();
        Self { table, held, lent: (0..4).map(|_| LentPlace::new()).collect() }
    }

    /// The addresses of the buffers that safe code can take out of them.
    fn taken(&mut self) -> BTreeSet<usize> {
        let in_flight = self.held.iter_mut().flat_map(Held::take_buffers);
        let lent = self.lent.iter_mut().filter_map(LentPlace::take_buffer);
        in_flight.chain(lent).map(|buf| address(&buf)).collect()
    }
}

fn address(buf: &Buf<'_>) -> usize {
    buf.filled().as_ptr().addr()
}

/// A reactor with operations in flight, the clients of its connections, and the addresses of all its buffers.
struct Busy<'s> {
    uring: Uring<'s>,
    clients: Vec<TcpStream>,
    given: BTreeSet<usize>,
}

impl<'s> Busy<'s> {
    /// With a receive into a buffer, one into a lent buffer, a send that does not complete, and more lent buffers.
    fn new(tables: &'s mut Tables) -> Self {
        let uring = Uring::new(&mut tables.table, &mut tables.held, &mut tables.lent).unwrap();
        let mut busy = Self { uring, clients: Vec::new(), given: BTreeSet::new() };
        let options = ListenOptions::default();
        let listener = busy.uring.add_listener(listen("127.0.0.1:0".parse().unwrap(), &options).unwrap()).unwrap();
        for _ in 0..3 {
            let buf = busy.buf(64);
            busy.uring.provide(buf).unwrap();
        }
        let ios: Vec<_> = (0..3).map(|_| busy.connect(listener)).collect();
        let into = busy.buf(64);
        busy.submit(ios[0], OpKind::Recv, Op::Recv { io: ios[0], into: Some(into) });
        busy.submit(ios[1], OpKind::Recv, Op::Recv { io: ios[1], into: None });
        let head = busy.buf(64);
        let body = vec![b'x'; 64 << 20].leak();
        busy.submit(ios[2], OpKind::Send, Op::Send { io: ios[2], head, body });
        busy.uring.wait(Some(Duration::ZERO)).unwrap();
        busy
    }

    fn buf(&mut self, bytes: usize) -> Buf<'static> {
        let buf = Buf::new(vec![0; bytes].leak());
        self.given.insert(address(&buf));
        buf
    }

    fn connect(&mut self, listener: IoHandle) -> IoHandle {
        self.clients.push(TcpStream::connect(self.uring.local_addr(listener).unwrap()).unwrap());
        self.submit(listener, OpKind::Accept, Op::Accept { listener });
        loop {
            self.uring.wait(SOON).unwrap();
            if let Some(Outcome::Accept(result)) = self.uring.next_completion().map(|completion| completion.outcome) {
                return result.unwrap();
            }
        }
    }

    fn submit(&mut self, io: IoHandle, kind: OpKind, op: Op<'static>) {
        self.uring.submit(Submission { token: OpToken::new(io.0, 1, kind), op }).unwrap();
    }
}

fn allowed() -> bool {
    probe().map_err(|refusal| eprintln!("SKIPPED: {refusal}")).is_ok()
}

#[test]
fn a_dropped_reactor_returns_all_buffers() {
    if !allowed() {
        return;
    }
    let mut tables = Tables::new();
    // The tables of a dropped reactor can be used for another one.
    for _ in 0..3 {
        let Busy { uring, clients, given } = Busy::new(&mut tables);
        drop(uring);
        assert_eq!(tables.taken(), given);
        assert_eq!(tables.taken(), BTreeSet::new(), "each buffer is returned once");
        drop(clients);
    }
}

#[test]
fn a_reactor_dropped_by_a_panic_returns_all_buffers() {
    if !allowed() {
        return;
    }
    let mut tables = Tables::new();
    let mut given = BTreeSet::new();
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let Busy { uring: _uring, given: at_work, .. } = Busy::new(&mut tables);
        given = at_work;
        panic!("as in a handler");
    }));
    assert!(panicked.is_err());
    assert_eq!(tables.taken(), given);
    drop(Busy::new(&mut tables));
}

/// The kernel continues the operations in flight, so safe code must not get at their buffers.
#[test]
fn a_leaked_reactor_returns_no_buffers() {
    if !allowed() {
        return;
    }
    let mut tables = Tables::new();
    let Busy { uring, mut clients, given: leaked } = Busy::new(&mut tables);
    mem::forget(uring);
    assert_eq!(tables.taken(), BTreeSet::new());
    for client in &mut clients[..2] {
        client.write_all(b"bytes for a reactor that is not driven").unwrap();
    }
    assert_eq!(tables.taken(), BTreeSet::new());
    // Nor does another reactor on the same tables return them.
    let Busy { uring, given, .. } = Busy::new(&mut tables);
    drop(uring);
    let taken = tables.taken();
    assert_eq!(taken, given);
    assert!(taken.is_disjoint(&leaked));
}

/// Kernel and reactor count positions in the ring with 16 bits.
#[test]
fn lent_buffers_survive_a_wrap_of_the_ring_positions() {
    if !allowed() {
        return;
    }
    let mut tables = Tables::new();
    let mut uring = Uring::new(&mut tables.table, &mut tables.held, &mut tables.lent).unwrap();
    let (mut client, server) = UnixStream::pair().unwrap();
    let io = uring.add_stream(server.into()).unwrap();
    for _ in 0..3 {
        uring.provide(Buf::new(vec![0; 8].leak())).unwrap();
    }
    for round in 0..66_000u32 {
        uring
            .submit(Submission { token: OpToken::new(io.0, 1, OpKind::Recv), op: Op::Recv { io, into: None } })
            .unwrap();
        client.write_all(&round.to_ne_bytes()).unwrap();
        uring.wait(SOON).unwrap();
        let outcome = uring.next_completion().map(|completion| completion.outcome);
        let Some(Outcome::Recv { result: Ok(4), buf: Some(mut buf) }) = outcome else { panic!("{round}: {outcome:?}") };
        assert_eq!(buf.filled(), round.to_ne_bytes());
        buf.clear();
        uring.provide(buf).unwrap();
    }
}

/// A receive has picked a buffer, and its completion was seen but not handed out, when the others are reclaimed.
#[test]
fn a_picked_buffer_is_not_reclaimed_but_handed_out() {
    if !allowed() {
        return;
    }
    let mut tables = Tables::new();
    for hands_out in [true, false] {
        let mut uring = Uring::new(&mut tables.table, &mut tables.held, &mut tables.lent).unwrap();
        let (mut client, server) = UnixStream::pair().unwrap();
        let io = uring.add_stream(server.into()).unwrap();
        let mut given = BTreeSet::new();
        let mut lend = |uring: &mut Uring<'_>| {
            let buf = Buf::new(vec![0; 8].leak());
            given.insert(address(&buf));
            uring.provide(buf).unwrap();
        };
        (0..3).for_each(|_| lend(&mut uring));
        let op = Op::Recv { io, into: None };
        uring.submit(Submission { token: OpToken::new(io.0, 1, OpKind::Recv), op }).unwrap();
        client.write_all(b"bytes").unwrap();
        uring.wait(SOON).unwrap();
        let mut seen: BTreeSet<_> = std::iter::from_fn(|| uring.reclaim()).map(|buf| address(&buf)).collect();
        assert_eq!(seen.len(), 2, "the third is the receive's");
        // The ring is registered again, without the picked one.
        lend(&mut uring);
        if hands_out {
            let outcome = uring.next_completion().map(|completion| completion.outcome);
            let Some(Outcome::Recv { result: Ok(5), buf: Some(buf) }) = outcome else { panic!("{outcome:?}") };
            assert_eq!(buf.filled(), b"bytes");
            seen.insert(address(&buf));
        }
        drop(uring);
        seen.extend(tables.taken());
        assert_eq!(seen, given);
    }
}
