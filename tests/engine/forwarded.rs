//! Handlers around another one: each of its methods is called through them as it would be without them.

use std::cell::RefCell;
use std::ops::ControlFlow;
use std::rc::Rc;

use aurora_http_core::error::CloseReason;
use aurora_http_core::forward_handler;
use aurora_http_core::handler::{Around, ConnectionId, ConnectionInfo, Content, Flow, Handler, Needs, Refusal, around};
use aurora_http_core::request::Request;
use aurora_http_core::writer::ResponseWriter;

use crate::world::World;
use crate::{COUNTS, limits};

/// Does what the path says, and notes which method is called.
struct Notes(Rc<RefCell<Vec<&'static str>>>);

impl Notes {
    fn note(&self, method: &'static str) {
        self.0.borrow_mut().push(method);
    }

    fn answer(&self, method: &'static str, response: &mut ResponseWriter<'_>) -> Flow<()> {
        self.note(method);
        let _ = response.body("");
        Flow::Finish
    }
}

impl Handler for Notes {
    const NEEDS: Needs = Needs { deferral: true, stop: true, ..Needs::LEAST };
    type Exchange = ();

    fn request(&mut self, request: &Request<'_>, response: &mut ResponseWriter<'_>) -> Flow<()> {
        self.note("request");
        match request.path() {
            b"/collect" => Flow::Collect(()),
            b"/receive" => Flow::Receive(()),
            b"/produce" => Flow::Produce(()),
            path => {
                response.wake_after(if path == b"/soon" { 10 } else { 1_000_000 });
                Flow::Defer(())
            }
        }
    }

    fn collected(&mut self, (): (), _: &Request<'_>, _: &[u8], response: &mut ResponseWriter<'_>) -> Flow<()> {
        self.answer("collected", response)
    }

    fn receive(&mut self, (): (), _: &mut Content<'_>, response: &mut ResponseWriter<'_>) -> Flow<()> {
        self.answer("receive", response)
    }

    fn produce(&mut self, (): (), response: &mut ResponseWriter<'_>) -> Flow<()> {
        self.answer("produce", response)
    }

    fn resume(&mut self, (): (), response: &mut ResponseWriter<'_>) -> Flow<()> {
        self.answer("resume", response)
    }

    fn stopping(&mut self, flow: Flow<()>, _: &mut ResponseWriter<'_>) -> Flow<()> {
        self.note("stopping");
        flow
    }

    fn half_closed(&mut self, (): ()) -> Option<()> {
        self.note("half_closed");
        Some(())
    }

    fn abandoned(&mut self, (): (), _: CloseReason) {
        self.note("abandoned");
    }

    fn refused(&mut self, _: &Refusal<'_>, _: &mut ResponseWriter<'_>) {
        self.note("refused");
    }

    fn accepted(&mut self, _: &ConnectionInfo<'_>) -> bool {
        self.note("accepted");
        true
    }

    fn closed(&mut self, _: ConnectionId, _: CloseReason, _: u32) {
        self.note("closed");
    }
}

/// Forwards everything.
struct Plain<H>(H);

impl<H: Handler> Handler for Plain<H> {
    const NEEDS: Needs = H::NEEDS;
    type Exchange = H::Exchange;

    forward_handler!(self => self.0);
}

/// Keeps something for each exchange.
struct Stateful<H> {
    inner: H,
}

impl<H: Handler> Stateful<H> {
    fn call_again(
        &mut self,
        (number, state): (u8, H::Exchange),
        response: &mut ResponseWriter<'_>,
        call: impl FnOnce(&mut H, H::Exchange, &mut ResponseWriter<'_>) -> Flow<H::Exchange>,
    ) -> Flow<(u8, H::Exchange)> {
        call(&mut self.inner, state, response).map(|state| (number, state))
    }
}

impl<H: Handler> Handler for Stateful<H> {
    const NEEDS: Needs = H::NEEDS;
    type Exchange = (u8, H::Exchange);

    fn request(&mut self, request: &Request<'_>, response: &mut ResponseWriter<'_>) -> Flow<Self::Exchange> {
        self.inner.request(request, response).map(|state| (7, state))
    }

    fn half_closed(&mut self, (number, state): Self::Exchange) -> Option<Self::Exchange> {
        self.inner.half_closed(state).map(|state| (number, state))
    }

    fn abandoned(&mut self, (number, state): Self::Exchange, reason: CloseReason) {
        assert_eq!(number, 7);
        self.inner.abandoned(state, reason);
    }

    forward_handler!(self => self.inner; through Self::call_again; except request, half_closed, abandoned);
}

/// A wrapper that does nothing.
struct Nothing;

impl Around for Nothing {
    type Note = ();

    fn before(&mut self, _: &Request<'_>, _: &mut ResponseWriter<'_>) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
}

/// What a handler notes of a conversation in which each of its methods is called.
fn noted<H: Handler + 'static>(wrap: impl FnOnce(Notes) -> H) -> Vec<&'static str> {
    assert_eq!(H::NEEDS, Notes::NEEDS);
    let notes = Rc::default();
    let mut world = World::new(4, COUNTS, limits(), wrap(Notes(Rc::clone(&notes))));
    let post = |path: &str| format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx");
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
    let client = world.connect();
    for request in [post("/collect"), post("/receive"), get("/produce"), get("/soon")] {
        world.send(client, request.as_bytes());
        world.pass(50);
        assert!(world.recv(client).0.starts_with("HTTP/1.1 200 "), "{request}");
    }
    world.send(client, b"nonsense\r\n\r\n");
    assert!(world.recv(client).0.starts_with("HTTP/1.1 400 "));
    let waiting = world.connect_and_send(get("/late").as_bytes());
    world.sim.client_finish(waiting);
    world.settle();
    world.stop.drain();
    world.settle();
    world.finish();
    notes.take()
}

#[test]
fn every_method_is_forwarded() {
    let expected = noted(|handler| handler);
    for method in [
        "request",
        "collected",
        "receive",
        "produce",
        "resume",
        "stopping",
        "half_closed",
        "abandoned",
        "refused",
        "accepted",
        "closed",
    ] {
        assert!(expected.contains(&method), "{method} is not called: {expected:?}");
    }
    assert_eq!(noted(|handler| Box::leak(Box::new(handler))), expected, "borrowed");
    assert_eq!(noted(Plain), expected);
    assert_eq!(noted(|inner| Stateful { inner }), expected);
    assert_eq!(noted(|inner| around(Nothing, inner)), expected);
    assert_eq!(noted(|inner| Plain(Stateful { inner: around(Nothing, Plain(inner)) })), expected);
}
