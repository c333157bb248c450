//! Connections that leave the engine, and tokens that are resolved from within it.

use std::cell::RefCell;
use std::rc::Rc;

use aurora_http_core::defer::DeferToken;
use aurora_http_core::engine::Detached;
use aurora_http_core::error::CloseReason;
use aurora_http_core::handler::{ConnectionId, Flow, Handler};
use aurora_http_core::limits::Limits;
use aurora_http_core::pool::ClassCounts;
use aurora_http_core::reactor::{IoHandle, Reactor};
use aurora_http_core::request::Request;
use aurora_http_core::run::run_with_timers;
use aurora_http_core::time::Instant;
use aurora_http_core::timers::{TimerEntry, Timers};
use aurora_http_core::writer::ResponseWriter;

use crate::world::World;
use crate::{COUNTS, GET, HELLO, limits};

/// Detaches every connection that asks for it; counts those that end.
#[derive(Clone, Default)]
struct GivesAway {
    closed: Rc<RefCell<Vec<CloseReason>>>,
}

impl Handler for GivesAway {
    type Exchange = u8;

    fn request(&mut self, _request: &Request<'_>, response: &mut ResponseWriter<'_>) -> Flow<u8> {
        match response.switch_protocols("x", &[]) {
            Ok(()) => Flow::Detach(7),
            Err(_) => Flow::Finish,
        }
    }

    fn closed(&mut self, _id: ConnectionId, reason: CloseReason, requests_served: u32) {
        assert_eq!(requests_served, 1);
        self.closed.borrow_mut().push(reason);
    }
}

const UPGRADE: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n";
const SWITCHED: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n";

impl<H: Handler> World<H> {
    fn take(&mut self) -> Option<Detached<'static, H::Exchange>> {
        self.engine.next_detached()
    }

    /// Takes the remains of a detached connection.
    fn close_taken(&mut self, io: IoHandle) {
        use aurora_http_core::reactor::{Op, OpKind, OpToken, Submission};
        // A token of a slot that does not exist, so that the engine ignores the completion.
        let token = OpToken::new(u32::MAX, 0, OpKind::Close);
        self.sim.submit(Submission { token, op: Op::Close { io } }).unwrap();
        self.settle();
    }
}

#[test]
fn a_detached_connection_frees_its_slot_and_buffer_and_is_counted() {
    let handler = GivesAway::default();
    let limits = Limits { in_flight_max: Some(1), ..limits() };
    // Fewer buffers than connections, so that a leak is noticed.
    let mut world = World::new(2, ClassCounts::new([4, 4, 0, 0, 0]), limits, handler.clone());
    for (round, leftover) in ["", "left", "", "over", "a", "b", "c", "d"].into_iter().enumerate() {
        let client = world.connect_and_send(&[UPGRADE, leftover.as_bytes()].concat());
        assert_eq!(world.recv(client), (SWITCHED.to_owned(), false));
        assert!(world.engine.has_detached());
        let taken = world.take().expect("it is ready");
        assert!(!world.engine.has_detached() && world.take().is_none());
        assert_eq!(taken.state, 7);
        let filled = taken.leftover.as_ref().map(|buf| buf.filled().to_vec());
        assert_eq!(filled.as_deref(), (!leftover.is_empty()).then_some(leftover.as_bytes()));
        if let Some(buf) = taken.leftover {
            world.engine.release(buf);
        }
        let counters = world.engine.counters();
        assert_eq!((counters.active, counters.detached, counters.shed), (0, round as u64 + 1, 0));
        assert_eq!((counters.stopped_finished, counters.stopped_idle), (0, 0));
        assert_eq!(counters.closed.of(CloseReason::Detached), round as u64 + 1);
        assert_eq!(handler.closed.borrow().len(), round + 1);
        world.close_taken(taken.io);
    }
    world.finish();
}

#[test]
fn a_connection_that_is_detached_during_a_stop_counts_as_finished() {
    let mut world = World::new(2, COUNTS, limits(), GivesAway::default());
    let client = world.connect_and_send(&UPGRADE[..10]);
    world.stop.drain();
    world.send(client, &UPGRADE[10..]);
    assert_eq!(world.recv(client).0, SWITCHED);
    let taken = world.take().expect("it is ready");
    let counters = world.engine.counters();
    assert_eq!((counters.stopped_finished, counters.stopped_idle), (1, 0));
    world.close_taken(taken.io);
    assert!(world.engine.is_drained());
    world.finish();
}

#[test]
fn a_connection_that_waits_to_be_detached_is_closed_with_the_engine() {
    let handler = GivesAway::default();
    let mut world = World::new(4, COUNTS, limits(), handler.clone());
    let client = world.connect_and_send(UPGRADE);
    assert_eq!(world.recv(client).0, SWITCHED);
    assert!(world.engine.has_detached());
    world.finish();
    assert_eq!(*handler.closed.borrow(), [CloseReason::Aborted]);
}

#[test]
fn a_loop_that_takes_no_connections_closes_those_that_are_detached() {
    let handler = GivesAway::default();
    let mut world = World::new(4, COUNTS, limits(), handler.clone());
    let client = world.connect();
    assert_eq!(world.sim.client_send(client, UPGRADE), UPGRADE.len());
    let mut table = [TimerEntry::new(); 1];
    let mut timers = Timers::new(&mut table);
    timers.create(world.sim.now(), 100).expect("room for one");
    let stop = &world.stop;
    run_with_timers(&mut world.engine, &mut world.sim, stop, &mut timers, |engine, _, _| {
        assert!(!engine.has_detached());
        assert_eq!((engine.counters().active, engine.counters().closed.of(CloseReason::UpgradeFinished)), (0, 1));
        stop.drain();
    })
    .expect("a reactor in working order");
    assert_eq!(world.recv(client), (SWITCHED.to_owned(), true));
    assert_eq!(*handler.closed.borrow(), [CloseReason::UpgradeFinished]);
    world.finish();
}

/// Resolves its own tokens at once, a few times in a row.
#[derive(Clone, Default)]
struct AtOnce {
    resolver: Rc<RefCell<Option<aurora_http_core::defer::Deferrals<'static>>>>,
}

impl AtOnce {
    fn defer(&self, response: &mut ResponseWriter<'_>) -> DeferToken {
        let token = response.defer().unwrap();
        assert!(self.resolver.borrow().unwrap().resolve(token));
        token
    }
}

impl Handler for AtOnce {
    type Exchange = u32;

    fn request(&mut self, _request: &Request<'_>, response: &mut ResponseWriter<'_>) -> Flow<u32> {
        self.defer(response);
        Flow::Defer(3)
    }

    fn resume(&mut self, left: u32, response: &mut ResponseWriter<'_>) -> Flow<u32> {
        if left > 0 {
            self.defer(response);
            return Flow::Defer(left - 1);
        }
        let _ = response.body("hello");
        Flow::Finish
    }
}

#[test]
fn a_token_resolved_by_its_own_handler_keeps_the_loop_awake() {
    let handler = AtOnce::default();
    let mut world = World::new(4, COUNTS, limits(), handler.clone());
    *handler.resolver.borrow_mut() = Some(world.deferrals);
    let client = world.connect();
    assert_eq!(world.sim.client_send(client, GET), GET.len());
    // `settle` stops when the loop would sleep; until then there is always something to do.
    let mut turns = 0;
    loop {
        world.turn();
        turns += 1;
        if turns > 4 && world.engine.poll_timeout() != Some(Instant(0)) {
            break;
        }
        assert!(turns < 100, "it never sleeps");
    }
    world.turn(); // the send
    let mut bytes = [0; 200];
    let got = world.sim.client_recv(client, &mut bytes);
    assert_eq!(got, aurora_http_core::sim::ClientRecv::Bytes(HELLO.len()));
    world.finish();
}
