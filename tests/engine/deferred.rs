//! Deferred answers and the limit on exchanges under way.

use std::cell::RefCell;
use std::rc::Rc;

use aurora_http_core::defer::DeferToken;
use aurora_http_core::error::CloseReason;
use aurora_http_core::handler::{Flow, Handler};
use aurora_http_core::limits::Limits;
use aurora_http_core::request::Request;
use aurora_http_core::sim::ClientRecv;
use aurora_http_core::writer::ResponseWriter;

use crate::world::World;
use crate::{COUNTS, GET, HELLO, limits};

#[derive(Clone, Default)]
struct Later {
    tokens: Rc<RefCell<Vec<DeferToken>>>,
    vanished: Rc<RefCell<usize>>,
}

impl Handler for Later {
    type Exchange = ();

    fn request(&mut self, _request: &Request<'_>, response: &mut ResponseWriter<'_>) -> Flow<()> {
        self.tokens.borrow_mut().push(response.defer().unwrap());
        Flow::Defer(())
    }

    fn resume(&mut self, (): (), response: &mut ResponseWriter<'_>) -> Flow<()> {
        let _ = response.body("hello");
        Flow::Finish
    }

    fn half_closed(&mut self, (): ()) -> Option<()> {
        *self.vanished.borrow_mut() += 1;
        None
    }

    fn abandoned(&mut self, (): (), _: CloseReason) {
        *self.vanished.borrow_mut() += 1;
    }
}

#[test]
fn answers_come_in_any_order_and_stale_tokens_do_nothing() {
    let later = Later::default();
    let mut world = World::new(8, COUNTS, limits(), later.clone());
    let clients: Vec<_> = (0..5).map(|_| world.connect_and_send(GET)).collect();
    let tokens = later.tokens.borrow().clone();
    assert_eq!(tokens.len(), 5);
    for at in [3, 0, 4] {
        assert!(world.resolve(tokens[at]));
        assert_eq!(world.recv(clients[at]), (HELLO.to_owned(), false));
        assert!(!world.resolve(tokens[at]));
    }
    // Two at once, and one whose client has disconnected.
    world.sim.client_reset(clients[1]);
    world.settle();
    assert_eq!(*later.vanished.borrow(), 1);
    assert!(!world.resolve(tokens[1]));
    // Its slot serves another client, to which the old token does not apply.
    let newcomer = world.connect_and_send(GET);
    assert!(!world.resolve(tokens[1]));
    assert_eq!(world.recv(newcomer).0, "");
    assert!(world.resolve(tokens[2]));
    assert!(world.resolve(later.tokens.borrow()[5]));
    assert_eq!(world.recv(clients[2]).0, HELLO);
    assert_eq!(world.recv(newcomer).0, HELLO);
    world.finish();
}

#[test]
fn beyond_in_flight_max_the_answer_is_503_and_the_connection_is_kept() {
    let later = Later::default();
    let mut world = World::new(8, COUNTS, Limits { in_flight_max: Some(2), ..limits() }, later.clone());
    let clients: Vec<_> = (0..3).map(|_| world.connect_and_send(GET)).collect();
    assert_eq!(later.tokens.borrow().len(), 2, "the third was never asked");
    let (output, ended) = world.recv(clients[2]);
    assert!(output.starts_with("HTTP/1.1 503 ") && output.contains("\r\nRetry-After: ") && !ended, "{output}");
    assert_eq!(world.engine.counters().shed, 1);
    let token = later.tokens.borrow()[0];
    assert!(world.resolve(token));
    assert_eq!(world.recv(clients[0]).0, HELLO);
    world.send(clients[2], GET);
    assert_eq!(later.tokens.borrow().len(), 3, "one has finished: there is room");
    world.finish();
}

/// Takes its token at once, and defers only once its content has arrived.
struct TokenFirst(Rc<RefCell<Vec<DeferToken>>>);

impl Handler for TokenFirst {
    type Exchange = ();

    fn request(&mut self, _request: &Request<'_>, response: &mut ResponseWriter<'_>) -> Flow<()> {
        self.0.borrow_mut().push(response.defer().unwrap());
        Flow::Receive(())
    }

    fn receive(
        &mut self,
        (): (),
        content: &mut aurora_http_core::handler::Content<'_>,
        _response: &mut ResponseWriter<'_>,
    ) -> Flow<()> {
        if content.ended() { Flow::Defer(()) } else { Flow::Receive(()) }
    }

    fn resume(&mut self, (): (), response: &mut ResponseWriter<'_>) -> Flow<()> {
        let _ = response.body("hello");
        Flow::Finish
    }
}

#[test]
fn an_answer_resolved_before_it_is_deferred_is_not_lost() {
    let tokens = Rc::default();
    let mut world = World::new(4, COUNTS, limits(), TokenFirst(Rc::clone(&tokens)));
    let client = world.connect_and_send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\na");
    assert!(world.resolve(tokens.borrow()[0]));
    assert_eq!(world.recv(client).0, "");
    world.send(client, b"b");
    assert_eq!(world.recv(client), (HELLO.to_owned(), false));
    world.finish();
}

#[test]
fn one_newcomer_costs_one_connection() {
    let later = Later::default();
    let mut world = World::new(8, COUNTS, limits(), later.clone());
    let clients: Vec<_> = (0..8).map(|_| world.connect_and_send(GET)).collect();
    let newcomer = world.connect_and_send(GET);
    for token in later.tokens.borrow().clone() {
        assert!(world.resolve(token));
    }
    let outputs: Vec<_> = clients.iter().map(|client| world.recv(*client).0).collect();
    let closed = outputs.iter().filter(|output| output.contains("Connection: close")).count();
    assert_eq!(closed, 1, "{outputs:?}");
    // The connection that was told to close lingers, and makes room without its client's help.
    world.pass(50);
    assert_eq!(later.tokens.borrow().len(), 9);
    let token = later.tokens.borrow()[8];
    assert!(world.resolve(token));
    assert_eq!(world.recv(newcomer), (HELLO.to_owned(), false));
    assert_eq!(world.engine.counters().closed.of(CloseReason::Evicted), 1);
    world.finish();
}

/// Announces the close, and never ends its response.
#[derive(Clone, Default)]
struct Streams {
    tokens: Rc<RefCell<Vec<DeferToken>>>,
}

impl Handler for Streams {
    type Exchange = bool;

    fn request(&mut self, request: &Request<'_>, response: &mut ResponseWriter<'_>) -> Flow<bool> {
        self.tokens.borrow_mut().push(response.defer().unwrap());
        Flow::Defer(request.path() == b"/endless")
    }

    fn resume(&mut self, is_endless: bool, response: &mut ResponseWriter<'_>) -> Flow<bool> {
        if !is_endless {
            let _ = response.body("hello");
            return Flow::Finish;
        }
        response.stream(None).unwrap();
        self.produce(true, response)
    }

    fn produce(&mut self, _: bool, response: &mut ResponseWriter<'_>) -> Flow<bool> {
        response.write(&[b'x'; 500]).unwrap();
        Flow::Produce(true)
    }
}

#[test]
fn a_promised_slot_that_stays_busy_does_not_block_newcomers_forever() {
    let streams = Streams::default();
    let mut world = World::new(3, COUNTS, limits(), streams.clone());
    let endless = world.connect_and_send(b"GET /endless HTTP/1.1\r\nHost: x\r\n\r\n");
    let others: Vec<_> = (0..2).map(|_| world.connect_and_send(GET)).collect();
    let newcomer = world.connect_and_send(GET);
    let tokens = streams.tokens.borrow().clone();
    assert!(world.resolve(tokens[0]));
    let taken = |world: &mut World<Streams>| {
        let mut bytes = [0; 4_096];
        while matches!(world.sim.client_recv(endless, &mut bytes), ClientRecv::Bytes(_)) {}
    };
    for _ in 0..20 {
        world.pass(50);
        taken(&mut world);
    }
    // It was told to close, but never finishes: the next connection that finishes is told to close, but not both others.
    assert!(world.resolve(tokens[1]));
    assert!(world.recv(others[0]).0.contains("Connection: close"));
    world.pass(50);
    assert_eq!(streams.tokens.borrow().len(), 4, "the newcomer has its slot");
    assert!(world.resolve(tokens[2]));
    assert!(!world.recv(others[1]).0.contains("Connection: close"));
    let token = streams.tokens.borrow()[3];
    assert!(world.resolve(token));
    assert_eq!(world.recv(newcomer).0, HELLO);
    world.finish();
}

/// Takes a token and answers at once; defers without one for `/none`, and with one for `/later`.
#[derive(Default)]
struct Forgets {
    tokens: Rc<RefCell<Vec<DeferToken>>>,
}

impl Handler for Forgets {
    type Exchange = ();

    fn request(&mut self, request: &Request<'_>, response: &mut ResponseWriter<'_>) -> Flow<()> {
        if request.path() == b"/none" {
            return Flow::Defer(());
        }
        self.tokens.borrow_mut().push(response.defer().unwrap());
        if request.path() == b"/later" {
            return Flow::Defer(());
        }
        let _ = response.body("hello");
        Flow::Finish
    }

    fn resume(&mut self, (): (), response: &mut ResponseWriter<'_>) -> Flow<()> {
        let _ = response.body("resumed by another exchange's token");
        Flow::Finish
    }
}

#[test]
fn a_token_of_an_exchange_that_is_over_is_stale() {
    let tokens = Rc::default();
    let mut world = World::new(2, COUNTS, limits(), Forgets { tokens: Rc::clone(&tokens) });
    let client = world.connect_and_send(GET);
    assert_eq!(world.recv(client).0, HELLO);
    assert!(!world.resolve(tokens.borrow()[0]), "its exchange is over");
    world.send(client, b"GET /none HTTP/1.1\r\nHost: x\r\n\r\n");
    let (output, _) = world.recv(client);
    assert!(output.starts_with("HTTP/1.1 500 "), "no token was taken: {output:?}");
    // Nor does the old token apply to the slot's next exchange while that is deferred.
    world.send(client, b"GET /later HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(world.recv(client), (String::new(), false));
    assert!(!world.resolve(tokens.borrow()[0]));
    assert!(world.resolve(tokens.borrow()[1]));
    assert!(world.recv(client).0.ends_with("token"));
    world.finish();
}
