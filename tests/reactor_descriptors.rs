//! Counts the descriptors of the backends' reactors. A single test, so that it has its process to itself: descriptors and
//! their limit belong to the whole process.
#![cfg(any(target_os = "linux", target_vendor = "apple"))]

use std::fs::File;
use std::net::TcpStream;
use std::time::Duration;

use aurora_http_core::pool::Buf;
use aurora_http_core::reactor::{Completion, IoError, IoHandle, Op, OpKind, OpToken, Outcome, Reactor, Submission};
use aurora_http_core::readiness::{Held, Parked};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

fn open_descriptors() -> usize {
    let directory = if cfg!(target_os = "linux") { "/proc/self/fd" } else { "/dev/fd" };
    std::fs::read_dir(directory).unwrap().count()
}

fn complete(reactor: &mut impl Reactor<'static>, kind: OpKind, io: IoHandle) -> Outcome<'static> {
    let op = match kind {
        OpKind::Accept => Op::Accept { listener: io },
        OpKind::Recv => Op::Recv { io, into: Some(Buf::new(vec![0; 8].leak())) },
        OpKind::Send => Op::Send { io, head: Buf::new(&mut []), body: b"x" },
        OpKind::Close => Op::Close { io },
    };
    reactor.submit(Submission { token: OpToken::new(io.0, 0, kind), op }).unwrap();
    for _ in 0..10 {
        reactor.wait(Some(Duration::from_secs(1))).unwrap();
        if let Some(Completion { outcome, .. }) = reactor.next_completion() {
            return outcome;
        }
    }
    panic!("{kind:?} does not complete");
}

fn accept(reactor: &mut impl Reactor<'static>, listener: IoHandle) -> Result<IoHandle, IoError> {
    match complete(reactor, OpKind::Accept, listener) {
        Outcome::Accept(result) => result,
        other => panic!("{other:?}"),
    }
}

#[test]
fn descriptors_are_closed_exactly_once_and_running_out_of_them_is_survived() {
    #[cfg(target_os = "linux")]
    epoll::count(2, "the epoll instance and the waker's eventfd");
    #[cfg(target_os = "linux")]
    kqueue::count(5, "emulated: three epoll instances and both ends of a pipe");
    #[cfg(not(target_os = "linux"))]
    kqueue::count(1, "the kqueue, which is the waker too");
}

/// The backends have the same API.
macro_rules! backend {
    ($module:ident, $backend:ident, $Poller:ident) => {
        mod $module {
            use super::*;

            pub(crate) fn count(own: usize, whose: &str) {
                let mut table: Vec<_> = (0..16).map(|_| $backend::Entry::new()).collect();
                let mut parked: Vec<_> = (0..16).map(|_| Parked::new()).collect();
                let (mut held, mut lent) = ([const { Held::new() }; 1], [const { None }; 1]);
                for _ in 0..3 {
                    let before = open_descriptors();
                    let poller = $backend::$Poller::new(&mut table).unwrap();
                    let mut reactor = $backend::Reactor::new(poller, &mut parked, &mut held, &mut lent);
                    assert_eq!(open_descriptors(), before + own, "{whose}");
                    let socket =
                        $backend::listen("127.0.0.1:0".parse().unwrap(), &$backend::ListenOptions::default()).unwrap();
                    let listener = reactor.get_mut().add_listener(socket).unwrap();
                    closed_once(&mut reactor, listener);
                    out_of_descriptors(&mut reactor, listener);
                    drop(reactor);
                    assert_eq!(open_descriptors(), before, "dropping closes what is open");
                }
            }

            fn closed_once(reactor: &mut $backend::Reactor<'_, 'static>, listener: IoHandle) {
                let address = reactor.get_ref().local_addr(listener).unwrap();
                let before = open_descriptors();
                for round in 0..50 {
                    let client = TcpStream::connect(address).unwrap();
                    let io = accept(reactor, listener).unwrap();
                    assert_eq!(open_descriptors(), before + 2);
                    if round % 2 == 0 {
                        complete(reactor, OpKind::Send, io);
                    }
                    assert!(matches!(complete(reactor, OpKind::Close, io), Outcome::Close));
                    assert_eq!(open_descriptors(), before + 1);
                    // The number is free now: its next owner must not lose it to a second close.
                    let bystander = File::open("/dev/null").unwrap();
                    assert!(matches!(complete(reactor, OpKind::Close, io), Outcome::Close));
                    assert!(bystander.metadata().is_ok(), "a second close hit another descriptor");
                    drop((client, bystander));
                    assert_eq!(open_descriptors(), before);
                }
            }

            fn out_of_descriptors(reactor: &mut $backend::Reactor<'_, 'static>, listener: IoHandle) {
                let address = reactor.get_ref().local_addr(listener).unwrap();
                // One for macOS, which takes a connection before it allocates the descriptor, and drops it without one.
                let clients = [(); 2].map(|()| TcpStream::connect(address).unwrap());
                let limit = getrlimit(Resource::Nofile);
                let low = Rlimit { current: Some(64), ..limit };
                setrlimit(Resource::Nofile, low).unwrap();
                let mut fillers = Vec::new();
                while let Ok(file) = File::open("/dev/null") {
                    fillers.push(file);
                }
                let mut other = [const { $backend::Entry::new() }; 1];
                assert_eq!($backend::$Poller::new(&mut other).err(), Some(IoError::FileLimit));
                for _ in 0..3 {
                    assert_eq!(
                        accept(reactor, listener),
                        Err(IoError::FileLimit),
                        "and no spin: each accept tries once"
                    );
                }
                fillers.pop();
                let io = accept(reactor, listener).expect("a connection has waited");
                fillers.clear();
                setrlimit(Resource::Nofile, limit).unwrap();
                complete(reactor, OpKind::Close, io);
                drop(clients);
            }
        }
    };
}

#[cfg(target_os = "linux")]
backend!(epoll, aurora_http_epoll, Epoll);
backend!(kqueue, aurora_http_kqueue, Kqueue);
