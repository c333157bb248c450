//! Anything may happen to an exchange at any point: clients that send in pieces, end or vanish, answers that come early,
//! late or never, other protocols, connections given away, a stop, an abort. Whatever it was, nothing is left over.

use std::cell::RefCell;
use std::rc::Rc;

use aurora_http_core::defer::DeferToken;
use aurora_http_core::engine::Detached;
use aurora_http_core::error::CloseReason;
use aurora_http_core::handler::{ConnectionId, ConnectionInfo, Content, Flow, Handler};
use aurora_http_core::limits::Limits;
use aurora_http_core::pool::ClassCounts;
use aurora_http_core::reactor::Reactor;
use aurora_http_core::request::Request;
use aurora_http_core::writer::ResponseWriter;
use proptest::collection::vec;
use proptest::prelude::*;

use crate::limits;
use crate::world::World;

/// What handlers and the test know of each other.
#[derive(Default)]
struct Book {
    tokens: Vec<DeferToken>,
    /// States of exchanges that exist now.
    states: usize,
    accepted: usize,
    closed: usize,
    /// What the handler does next; the last one is repeated.
    script: Vec<Step>,
    calls: usize,
    /// A client that ended its side still gets its answer.
    keeps: bool,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Finish,
    Write,
    Stream,
    Fail,
    Defer,
    DeferTwice,
    Receive,
    Collect,
    Produce,
    Switch,
    Detach,
    Stall,
}

/// Follows the script, whichever call it is; what does not fit there is answered by the engine.
#[derive(Clone)]
struct Anything {
    book: Rc<RefCell<Book>>,
}

/// Counted while it exists.
struct State(Rc<RefCell<Book>>);

impl Drop for State {
    fn drop(&mut self) {
        self.0.borrow_mut().states -= 1;
    }
}

impl Anything {
    fn state(&self) -> State {
        self.book.borrow_mut().states += 1;
        State(Rc::clone(&self.book))
    }

    fn next(&self) -> Step {
        let mut book = self.book.borrow_mut();
        book.calls += 1;
        if book.calls > CALLS_MAX {
            return Step::Finish;
        }
        if book.script.len() > 1 { book.script.remove(0) } else { book.script.first().copied().unwrap_or(Step::Finish) }
    }

    fn step(&self, content: Option<&mut Content<'_>>, response: &mut ResponseWriter<'_>) -> Flow<State> {
        let step = self.next();
        if let Some(content) = content
            && !matches!(step, Step::Stall)
        {
            content.consume(usize::MAX);
        }
        match step {
            Step::Finish => return Flow::Finish,
            Step::Write => {
                let _ = response.body("written");
                return Flow::Finish;
            }
            Step::Fail => {
                response.fail(503);
                return Flow::Finish;
            }
            Step::Stream => {
                let _ = response.stream(None);
                let _ = response.write(b"streamed");
            }
            Step::Switch => {
                let _ = response.switch_protocols("x", &[]).or_else(|_| response.open_tunnel());
            }
            Step::Detach => {
                let _ = response.switch_protocols("x", &[]);
            }
            Step::Produce => {
                let _ = response.write(b"piece");
            }
            Step::Defer | Step::DeferTwice => {
                for _ in 0..if matches!(step, Step::Defer) { 1 } else { 2 } {
                    if let Ok(token) = response.defer() {
                        self.book.borrow_mut().tokens.push(token);
                    }
                }
            }
            Step::Receive | Step::Collect | Step::Stall => {}
        }
        let state = self.state();
        match step {
            Step::Stream | Step::Produce => Flow::Produce(state),
            Step::Defer | Step::DeferTwice => Flow::Defer(state),
            Step::Collect => Flow::Collect(state),
            Step::Switch => Flow::Upgrade(state),
            Step::Detach => Flow::Detach(state),
            _ => Flow::Receive(state),
        }
    }
}

impl Handler for Anything {
    type Exchange = State;

    fn request(&mut self, _request: &Request<'_>, response: &mut ResponseWriter<'_>) -> Flow<State> {
        response.keep_trailers();
        self.step(None, response)
    }

    fn collected(&mut self, _: State, _: &Request<'_>, _: &[u8], response: &mut ResponseWriter<'_>) -> Flow<State> {
        self.step(None, response)
    }

    fn receive(&mut self, _: State, content: &mut Content<'_>, response: &mut ResponseWriter<'_>) -> Flow<State> {
        self.step(Some(content), response)
    }

    fn produce(&mut self, _: State, response: &mut ResponseWriter<'_>) -> Flow<State> {
        self.step(None, response)
    }

    fn resume(&mut self, _: State, response: &mut ResponseWriter<'_>) -> Flow<State> {
        self.step(None, response)
    }

    fn vanished(&mut self, state: State) -> Option<State> {
        let keeps = self.book.borrow().keeps;
        keeps.then_some(state)
    }

    fn accepted(&mut self, _: &ConnectionInfo<'_>) -> bool {
        self.book.borrow_mut().accepted += 1;
        true
    }

    fn closed(&mut self, _: ConnectionId, _: CloseReason, _: u32) {
        self.book.borrow_mut().closed += 1;
    }
}

#[derive(Clone, Debug)]
enum Event {
    /// A client sends the next of its bytes.
    Send(usize, usize),
    Finish(usize),
    Reset(usize),
    /// A client takes what has arrived.
    Read(usize),
    Resolve(prop::sample::Index),
    Turn,
    Pass(u32),
    Take,
    Stop,
}

const CLIENTS: usize = 4;
/// From then on handlers finish: a script that produces or defers for ever would never end.
const CALLS_MAX: usize = 200;

fn event() -> impl Strategy<Value = Event> {
    let client = 0..CLIENTS;
    prop_oneof![
        8 => (client.clone(), 1_usize..200).prop_map(|(client, count)| Event::Send(client, count)),
        1 => client.clone().prop_map(Event::Finish),
        1 => client.clone().prop_map(Event::Reset),
        3 => client.prop_map(Event::Read),
        6 => any::<prop::sample::Index>().prop_map(Event::Resolve),
        8 => Just(Event::Turn),
        1 => (1_u32..70_000).prop_map(Event::Pass),
        2 => Just(Event::Take),
        1 => Just(Event::Stop),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    use Step::{Collect, Defer, DeferTwice, Detach, Fail, Finish, Produce, Receive, Stall, Stream, Switch, Write};
    prop::sample::select(vec![
        Finish, Write, Stream, Fail, Defer, Defer, Defer, DeferTwice, Receive, Receive, Collect, Produce, Switch,
        Switch, Detach, Stall,
    ])
}

fn bytes() -> impl Strategy<Value = String> {
    let part = prop::sample::select(vec![
        "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
        "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n123456789",
        "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nA: b\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\nhi",
        "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        "raw bytes\n",
    ]);
    vec(part, 1..6).prop_map(|parts| parts.concat())
}

fn take_all(world: &mut World<Anything>) {
    use aurora_http_core::reactor::{Op, OpKind, OpToken, Submission};
    while let Some(Detached { io, leftover, state }) = world.engine.next_detached() {
        drop(state);
        if let Some(buf) = leftover {
            world.engine.release(buf);
        }
        let token = OpToken::new(u32::MAX, 0, OpKind::Close);
        world.sim.submit(Submission { token, op: Op::Close { io } }).unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_nothing_is_left_over_and_nothing_hangs(
        script in vec(step(), 1..30),
        inputs in vec(bytes(), CLIENTS),
        events in vec(event(), 0..80),
        keeps in any::<bool>(),
        poor in any::<bool>(),
        connections in 1_usize..5,
    ) {
        let book = Rc::new(RefCell::new(Book { script, keeps, ..Book::default() }));
        let counts = if poor { ClassCounts::new([2, 2, 0, 0, 0]) } else { ClassCounts::new([8, 8, 2, 1, 1]) };
        let limits = Limits { in_flight_max: Some(64), ..limits() };
        let mut world = World::new(connections, counts, limits, Anything { book: Rc::clone(&book) });
        let mut clients: Vec<_> = inputs.into_iter().map(|bytes| (Some(world.connect()), bytes.into_bytes())).collect();
        for event in events {
            match event {
                Event::Send(at, count) => {
                    let (Some(client), bytes) = &mut clients[at] else { continue };
                    let count = count.min(bytes.len());
                    let sent = world.sim.client_send(*client, &bytes[..count]);
                    bytes.drain(..sent);
                }
                Event::Finish(at) => {
                    if let (Some(client), bytes) = &mut clients[at] {
                        world.sim.client_finish(*client);
                        bytes.clear();
                    }
                }
                Event::Reset(at) => {
                    if let Some(client) = clients[at].0.take() {
                        world.sim.client_reset(client);
                    }
                }
                Event::Read(at) => {
                    if let (Some(client), _) = &clients[at] {
                        world.sim.client_recv(*client, &mut [0; 512]);
                    }
                }
                Event::Resolve(index) => {
                    let tokens = book.borrow().tokens.clone();
                    if !tokens.is_empty() {
                        world.resolve(*index.get(&tokens));
                    }
                }
                Event::Turn => world.turn(),
                Event::Pass(ms) => {
                    world.sim.advance_ms(ms);
                    world.turn();
                }
                Event::Take => take_all(&mut world),
                Event::Stop => world.stop.drain(),
            }
        }
        // Clients say the rest and end, handlers finish, every answer comes. Then everything ends by itself, without the help
        // of an abort.
        book.borrow_mut().calls = CALLS_MAX;
        for (client, bytes) in &clients {
            if let Some(client) = client {
                world.sim.client_send(*client, bytes);
                world.sim.client_finish(*client);
            }
        }
        for _ in 0..40 {
            let tokens = std::mem::take(&mut book.borrow_mut().tokens);
            for token in tokens {
                world.resolve(token);
            }
            for (client, _) in &clients {
                if let Some(client) = client {
                    while matches!(
                        world.sim.client_recv(*client, &mut [0; 4096]),
                        aurora_http_core::sim::ClientRecv::Bytes(_)
                    ) {}
                }
            }
            for _ in 0..10 {
                world.turn();
                take_all(&mut world);
            }
            world.sim.advance_ms(5_000);
        }
        prop_assert_eq!(world.engine.counters().active, 0, "something hangs: {:?}", world.engine);
        let book = book.borrow();
        prop_assert_eq!(book.states, 0);
        // Whoever came when nobody was to be served any more was not asked about.
        prop_assert!(book.accepted <= book.closed);
        prop_assert_eq!(book.closed as u64, world.engine.counters().closed.total());
        drop(book);
        world.finish();
    }
}
