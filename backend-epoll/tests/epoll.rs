//! Behaviour specific to epoll, and the tests that all pollers share. The contract suite in the root package checks the
//! rules of `Reactor`.
#![cfg(target_os = "linux")]

#[path = "../../tests/support/poller.rs"]
mod poller;

use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use aurora_http_core::reactor::NonBlocking;
use aurora_http_epoll::{Entry, Epoll as Poller, ListenOptions, listen};
use poller::{LOOPBACK, accepted, listening, table};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::time::Timespec;

/// Every system that this is compiled for has it.
fn is_missing() -> bool {
    false
}

#[test]
fn the_backlog_is_the_one_asked_for() {
    // The shorter timeout ends before a SYN that found the backlog full is retransmitted.
    for (backlog, timeout_ms, all_connect) in [(1, 50, false), (64, 5000, true)] {
        let mut table = table(1);
        let mut epoll = Poller::new(&mut table).unwrap();
        let (_, address) = listening(&mut epoll, &ListenOptions { backlog, ..ListenOptions::default() });
        let timeout = Duration::from_millis(timeout_ms);
        let clients: Vec<_> = (0..8).flat_map(|_| TcpStream::connect_timeout(&address, timeout)).collect();
        assert_eq!(clients.len() == 8, all_connect, "{} connected to a backlog of {backlog}", clients.len());
    }
}

#[test]
fn a_closed_listener_reports_no_events_while_a_duplicate_stays_open() {
    let shared = TcpListener::bind(LOOPBACK).unwrap();
    let address = shared.local_addr().unwrap();
    let mut table = table(2);
    let mut epoll = Poller::new(&mut table).unwrap();
    let listener = epoll.add_listener(shared.try_clone().unwrap().into()).unwrap();
    let client = TcpStream::connect(address).unwrap();
    let io = accepted(&mut epoll, listener);
    epoll.close(listener);
    let _waiting = TcpStream::connect(address).unwrap();
    let ready = poll(&mut [PollFd::new(&epoll, PollFlags::IN)], Some(&Timespec::default())).unwrap();
    // The accepted socket may still have an event pending; the listener must not.
    if ready == 1 {
        epoll.wait(Some(Duration::ZERO), &mut |handle, _| assert_eq!(handle, io)).unwrap();
        assert_eq!(poll(&mut [PollFd::new(&epoll, PollFlags::IN)], Some(&Timespec::default())), Ok(0));
        let _another = TcpStream::connect(address).unwrap();
        assert_eq!(poll(&mut [PollFd::new(&epoll, PollFlags::IN)], Some(&Timespec::default())), Ok(0));
    }
    drop(client);
    // The listener's entry is free again, and a stream that takes it is not treated as a listener.
    let stream = TcpStream::connect(address).unwrap();
    let stream = epoll.add_stream(stream.into()).unwrap();
    assert_eq!(stream, listener);
    epoll.close(stream);
    assert_eq!(epoll.detach(stream).map(drop), None);
}

#[test]
fn a_socket_that_cannot_be_registered_is_closed_and_its_entry_stays_free() {
    poller::a_socket_that_cannot_be_registered_is_closed_and_its_entry_stays_free();
}
