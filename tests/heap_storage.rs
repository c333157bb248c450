//! Engines that the program drives itself, on storage made in one call.
#![cfg(has_backend)]

#[path = "support/backends.rs"]
mod backends;
#[path = "support/http.rs"]
mod http;

use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::sync::mpsc::{Sender, channel};
use std::thread;

use aurora_http::core::reactor::{IoHandle, Reactor, Wake};
use aurora_http::core::run::run;
use aurora_http::{
    Backend, DeferToken, Flow, Handler, HeapStorage, Limits, Request, ResponseWriter, Server, ServerError, StopFlag,
    buffer_memory,
};
use backends::backends;
use http::{Client, DEADLINE};

/// Defers everything.
struct Later(Sender<DeferToken>);

impl Handler for Later {
    type Exchange = ();

    fn request(&mut self, _request: &Request<'_>, response: &mut ResponseWriter<'_>) -> Flow<()> {
        self.0.send(response.defer().unwrap()).unwrap();
        Flow::Defer(())
    }

    fn resume(&mut self, (): (), response: &mut ResponseWriter<'_>) -> Flow<()> {
        response.body("later").unwrap();
        Flow::Finish
    }
}

/// Serves one client over a reactor of the program's, then again with another engine on the same storage.
fn drive<R: Reactor<'static>, W: Wake + 'static>(
    storage: &mut HeapStorage<()>,
    address: SocketAddr,
    reactor: impl FnOnce() -> (R, IoHandle, [W; 2]),
) {
    let (mut reactor, listener, [waker, stopper]) = reactor();
    storage.wake_by(waker);
    let (resumer, stop) = (storage.resumer(), StopFlag::new());
    let (send, tokens) = channel();
    let mut engine = storage.engine(Later(send)).unwrap();
    engine.listen(listener).unwrap();
    thread::scope(|scope| {
        let (resumer, stop) = (&resumer, &stop);
        scope.spawn(move || {
            let mut client = Client::connect(address);
            client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
            let token = tokens.recv_timeout(DEADLINE).expect("it is deferred");
            assert!(resumer.resume(token), "and that wakes the reactor");
            assert_eq!(client.response("GET").text(), "later");
            stop.abort();
            stopper.wake();
        });
        run(&mut engine, &mut reactor, stop).unwrap();
    });
    assert_eq!(engine.counters().requests, 1);
}

#[test]
fn an_engine_over_a_reactor_of_the_programs_serves_and_defers() {
    for backend in backends() {
        let mut storage = HeapStorage::new(8).unwrap();
        for _ in 0..2 {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap();
            listener.set_nonblocking(true).unwrap();
            let listener = OwnedFd::from(listener);
            match backend {
                #[cfg(has_epoll)]
                Backend::Epoll => {
                    use aurora_http::core::readiness::{Held, Parked, Readiness};
                    use aurora_http::epoll::{Entry, Epoll};
                    let mut table: [Entry; 16] = std::array::from_fn(|_| Entry::new());
                    let mut parked: [_; 16] = std::array::from_fn(|_| Parked::new());
                    let mut held: [_; 16] = std::array::from_fn(|_| Held::new());
                    let mut lent: [_; 8] = std::array::from_fn(|_| None);
                    drive(&mut storage, address, || {
                        let mut epoll = Epoll::new(&mut table).unwrap();
                        let listener = epoll.add_listener(listener).unwrap();
                        let wakers = [epoll.waker().unwrap(), epoll.waker().unwrap()];
                        (Readiness::new(epoll, &mut parked, &mut held, &mut lent), listener, wakers)
                    });
                }
                #[cfg(has_kqueue)]
                Backend::Kqueue => {
                    use aurora_http::core::readiness::{Held, Parked, Readiness};
                    use aurora_http::kqueue::{Entry, Kqueue};
                    let mut table: [Entry; 16] = std::array::from_fn(|_| Entry::new());
                    let mut parked: [_; 16] = std::array::from_fn(|_| Parked::new());
                    let mut held: [_; 16] = std::array::from_fn(|_| Held::new());
                    let mut lent: [_; 8] = std::array::from_fn(|_| None);
                    drive(&mut storage, address, || {
                        let mut kqueue = Kqueue::new(&mut table).unwrap();
                        let listener = kqueue.add_listener(listener).unwrap();
                        let wakers = [kqueue.waker().unwrap(), kqueue.waker().unwrap()];
                        (Readiness::new(kqueue, &mut parked, &mut held, &mut lent), listener, wakers)
                    });
                }
                #[cfg(has_uring)]
                Backend::Uring => {
                    use aurora_http::uring::{Entry, Held, LentPlace, Uring};
                    let mut table: [Entry; 16] = std::array::from_fn(|_| Entry::new());
                    let mut held: [_; 16] = std::array::from_fn(|_| Held::new());
                    let mut lent: [_; 8] = std::array::from_fn(|_| LentPlace::new());
                    drive(&mut storage, address, || {
                        let mut uring = Uring::new(&mut table, &mut held, &mut lent).unwrap();
                        let listener = uring.add_listener(listener).unwrap();
                        let wakers = [uring.waker().unwrap(), uring.waker().unwrap()];
                        (uring, listener, wakers)
                    });
                }
                other => panic!("{other} is not there"),
            }
        }
        let before = buffer_memory();
        drop(storage);
        assert!(buffer_memory().idle > before.idle, "its buffers wait for the next server");
    }
}

#[test]
fn what_cannot_be_is_an_error() {
    let refused = HeapStorage::<()>::new(0).unwrap_err();
    assert!(refused.to_string().starts_with("connections = 0: "), "{refused}");
    let limits = Limits { fields_max: 0, ..Limits::default() };
    let refused = Server::new().limits(limits).engine_storage::<()>().unwrap_err();
    assert!(matches!(refused, ServerError::Setting { .. }), "{refused}");
}

#[test]
fn an_engine_has_room_for_eight_listeners_or_for_as_many_as_the_program_says() {
    let storage = || HeapStorage::new(4).unwrap();
    let nine = (0..9).fold(Server::new(), |server, _| server.listen("127.0.0.1:0").unwrap());
    for (mut storage, room) in [
        (storage(), 8),
        (storage().listeners(0).unwrap(), 0),
        (storage().listeners(20).unwrap(), 20),
        (nine.connections(4).engine_storage().unwrap(), 9),
    ] {
        let mut engine = storage.engine(aurora_http::handler_fn(|_, response| response.body("hello"))).unwrap();
        for io in 0..room {
            engine.listen(IoHandle(io)).unwrap();
        }
        let error = engine.listen(IoHandle(room)).unwrap_err();
        assert_eq!(error.to_string(), "the engine's storage has no place for another listener", "{room}");
    }
}
