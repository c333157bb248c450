//! What is epoll's own; the rules of the seam are checked by the root package's contract suite.
#![cfg(target_os = "linux")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use aurora_http_core::reactor::{Attempt, IoError, IoHandle, NonBlocking, Ready, Shutdown, Wake};
use aurora_http_epoll::{Entry, Epoll, ListenOptions, listen};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net::sockopt;
use rustix::time::Timespec;

const LOOPBACK: &str = "127.0.0.1:0";
const SOON: Duration = Duration::from_secs(10);

fn table(length: usize) -> Vec<Entry> {
    (0..length).map(|_| Entry::new()).collect()
}

fn listening(epoll: &mut Epoll<'_>, options: &ListenOptions) -> (IoHandle, SocketAddr) {
    let listener = epoll.add_listener(listen(LOOPBACK.parse().unwrap(), options).unwrap()).unwrap();
    (listener, epoll.local_addr(listener).unwrap())
}

/// Waits until `io` is reported, and says as what.
fn reported(epoll: &mut Epoll<'_>, io: IoHandle) -> Ready {
    let mut flags = None;
    while flags.is_none() {
        let before = epoll.now();
        epoll.wait(Some(SOON), &mut |handle, ready| flags = flags.or((handle == io).then_some(ready))).unwrap();
        assert!(epoll.now().ms_since(before) < SOON.as_millis() as u64, "no event");
    }
    flags.unwrap()
}

fn accepted(epoll: &mut Epoll<'_>, listener: IoHandle) -> IoHandle {
    loop {
        match epoll.accept(listener) {
            Attempt::Done(index) => return IoHandle(index),
            Attempt::WouldBlock => {
                reported(epoll, listener);
            }
            Attempt::Failed(error) => panic!("{error}"),
        }
    }
}

#[test]
fn accepted_sockets_inherit_nodelay_and_are_closed_on_exec() {
    for nodelay in [false, true] {
        let mut table = table(2);
        let mut epoll = Epoll::new(&mut table).unwrap();
        let (listener, address) = listening(&mut epoll, &ListenOptions { nodelay, ..ListenOptions::default() });
        let client = TcpStream::connect(address).unwrap();
        let io = accepted(&mut epoll, listener);
        let socket = epoll.descriptor(io).unwrap();
        assert_eq!(sockopt::tcp_nodelay(socket), Ok(nodelay));
        assert!(rustix::io::fcntl_getfd(socket).unwrap().contains(rustix::io::FdFlags::CLOEXEC));
        assert_eq!(epoll.peer_addr(io), Ok(client.local_addr().unwrap()));
        assert_eq!(epoll.recv(io, &mut [0; 8]), Attempt::WouldBlock);
    }
}

#[test]
fn listen_takes_both_families_and_shares_a_port_only_when_asked() {
    let one = TcpListener::from(listen(LOOPBACK.parse().unwrap(), &ListenOptions::default()).unwrap());
    let error = listen(one.local_addr().unwrap(), &ListenOptions::default()).unwrap_err();
    assert_eq!(error, IoError::Os(Errno::ADDRINUSE.raw_os_error()));

    let shared = ListenOptions { reuse_port: true, ..ListenOptions::default() };
    let one = TcpListener::from(listen(LOOPBACK.parse().unwrap(), &shared).unwrap());
    listen(one.local_addr().unwrap(), &shared).expect("a second listener on the same port");

    let only_v6 = ListenOptions { only_v6: Some(true), ..ListenOptions::default() };
    match listen("[::1]:0".parse().unwrap(), &only_v6) {
        Ok(listener) => {
            assert_eq!(sockopt::ipv6_v6only(&listener), Ok(true));
            assert!(TcpListener::from(listener).local_addr().unwrap().is_ipv6());
        }
        Err(error) => {
            let without_v6 = [Errno::ADDRNOTAVAIL, Errno::AFNOSUPPORT].map(|error| IoError::Os(error.raw_os_error()));
            assert!(without_v6.contains(&error), "{error}");
        }
    }
}

#[test]
fn the_backlog_is_the_one_asked_for() {
    // Within the shorter time a SYN that found no room is not sent again.
    for (backlog, timeout_ms, all_connect) in [(1, 50, false), (64, 5000, true)] {
        let mut table = table(1);
        let mut epoll = Epoll::new(&mut table).unwrap();
        let (_, address) = listening(&mut epoll, &ListenOptions { backlog, ..ListenOptions::default() });
        let timeout = Duration::from_millis(timeout_ms);
        let clients: Vec<_> = (0..8).flat_map(|_| TcpStream::connect_timeout(&address, timeout)).collect();
        assert_eq!(clients.len() == 8, all_connect, "{} connected to a backlog of {backlog}", clients.len());
    }
}

#[test]
fn late_events_of_a_closed_socket_do_not_reach_its_successor() {
    let mut table = table(2);
    let mut epoll = Epoll::new(&mut table).unwrap();
    let (listener, address) = listening(&mut epoll, &ListenOptions::default());
    let mut first = TcpStream::connect(address).unwrap();
    let io = accepted(&mut epoll, listener);
    // A duplicate keeps the registration alive beyond the close.
    let duplicate = epoll.descriptor(io).unwrap().try_clone_to_owned().unwrap();
    epoll.close(io);
    let _second = TcpStream::connect(address).unwrap();
    let successor = accepted(&mut epoll, listener);
    assert_eq!(successor, io, "the index is used again");
    reported(&mut epoll, successor);

    first.write_all(b"for the dead").unwrap();
    let mut events = 0;
    let readable = [PollFd::new(&duplicate, PollFlags::IN)];
    assert_eq!(poll(&mut readable.clone(), Some(&timespec(SOON))), Ok(1));
    epoll.wait(Some(Duration::ZERO), &mut |_, _| events += 1).unwrap();
    assert_eq!(events, 0);
}

fn timespec(timeout: Duration) -> Timespec {
    Timespec { tv_sec: timeout.as_secs() as i64, tv_nsec: i64::from(timeout.subsec_nanos()) }
}

#[test]
fn detach_gives_an_open_socket_away_and_frees_its_entry() {
    let mut table = table(2);
    let mut epoll = Epoll::new(&mut table).unwrap();
    let (listener, address) = listening(&mut epoll, &ListenOptions::default());
    let mut client = TcpStream::connect(address).unwrap();
    let io = accepted(&mut epoll, listener);
    let mut server = TcpStream::from(epoll.detach(io).unwrap());
    assert!(epoll.detach(io).is_none());
    assert_eq!(epoll.recv(io, &mut [0; 8]), Attempt::Failed(IoError::Unsupported));

    client.write_all(b"hello").unwrap();
    server.set_nonblocking(false).unwrap();
    let mut bytes = [0; 5];
    server.read_exact(&mut bytes).unwrap();
    assert_eq!(&bytes, b"hello");
    let mut events = 0;
    epoll.wait(Some(Duration::ZERO), &mut |handle, _| events += usize::from(handle == io)).unwrap();
    assert_eq!(events, 0);

    let again = epoll.add_stream(server.into()).unwrap();
    assert_eq!(again, io);
    assert!(reported(&mut epoll, again).writable, "a stream that comes in is reported");
}

#[test]
fn its_descriptor_stands_inside_another_loop() {
    let mut table = table(2);
    let mut epoll = Epoll::new(&mut table).unwrap();
    let (_, address) = listening(&mut epoll, &ListenOptions::default());
    let readable = |epoll: &Epoll<'_>, timeout| {
        poll(&mut [PollFd::new(epoll, PollFlags::IN)], Some(&timespec(timeout))).unwrap() == 1
    };
    assert!(!readable(&epoll, Duration::ZERO));
    let _client = TcpStream::connect(address).unwrap();
    assert!(readable(&epoll, SOON));
    epoll.wait(Some(Duration::ZERO), &mut |_, _| {}).unwrap();
    assert!(!readable(&epoll, Duration::ZERO), "the events were taken");
    epoll.waker().unwrap().wake();
    assert!(readable(&epoll, SOON));
}

#[test]
fn a_full_table_leaves_newcomers_in_the_backlog() {
    let mut table = table(2);
    let mut epoll = Epoll::new(&mut table).unwrap();
    let (listener, address) = listening(&mut epoll, &ListenOptions::default());
    let _first = TcpStream::connect(address).unwrap();
    let io = accepted(&mut epoll, listener);
    let mut second = TcpStream::connect(address).unwrap();
    assert_eq!(epoll.accept(listener), Attempt::Failed(IoError::FileLimit));
    assert!(epoll.add_stream(TcpStream::connect(address).unwrap().into()).is_err());
    epoll.close(io);
    let io = accepted(&mut epoll, listener);
    assert_eq!(epoll.send(io, [b"hel", b"lo"]), Attempt::Done(5));
    let mut bytes = [0; 5];
    second.read_exact(&mut bytes).unwrap();
    assert_eq!(&bytes, b"hello");
}

#[test]
fn the_ends_of_a_connection_are_reported_as_such() {
    let mut table = table(2);
    let mut epoll = Epoll::new(&mut table).unwrap();
    let (listener, address) = listening(&mut epoll, &ListenOptions::default());
    for reset in [false, true] {
        let client = TcpStream::connect(address).unwrap();
        let io = accepted(&mut epoll, listener);
        assert!(!reported(&mut epoll, io).ended);
        if reset {
            sockopt::set_socket_linger(&client, Some(Duration::ZERO)).unwrap();
            drop(client);
        } else {
            client.shutdown(std::net::Shutdown::Write).unwrap();
        }
        let ready = reported(&mut epoll, io);
        assert!(ready.readable && ready.ended, "{ready:?}");
        let expected = if reset { Attempt::Failed(IoError::ConnectionReset) } else { Attempt::Done(0) };
        assert_eq!(epoll.recv(io, &mut [0; 8]), expected);
        epoll.shutdown(io, Shutdown::Both);
        assert_eq!(epoll.send(io, [b"x", b""]), Attempt::Failed(IoError::ConnectionReset));
        epoll.close(io);
        epoll.close(io);
    }
}

#[test]
fn dropping_it_closes_its_sockets_and_the_storage_serves_again() {
    let mut table = table(2);
    for round in 0..3 {
        let mut epoll = Epoll::new(&mut table).unwrap();
        let (listener, address) = listening(&mut epoll, &ListenOptions::default());
        let mut client = TcpStream::connect(address).unwrap();
        accepted(&mut epoll, listener);
        let waker = epoll.waker().unwrap();
        drop(epoll);
        assert_eq!(client.read(&mut [0; 1]).unwrap(), 0, "round {round}");
        waker.wake();
    }
}

#[test]
fn entries_are_used_again_without_end() {
    let mut table = table(2);
    let mut epoll = Epoll::new(&mut table).unwrap();
    let (listener, address) = listening(&mut epoll, &ListenOptions::default());
    for round in 0..600u32 {
        let mut client = TcpStream::connect(address).unwrap();
        let io = accepted(&mut epoll, listener);
        client.write_all(&round.to_ne_bytes()).unwrap();
        let mut bytes = [0; 4];
        while epoll.recv(io, &mut bytes) == Attempt::WouldBlock {
            reported(&mut epoll, io);
        }
        assert_eq!(u32::from_ne_bytes(bytes), round);
        epoll.close(io);
    }
}

#[test]
fn wakes_end_one_wait_each_time_and_coalesce() {
    let mut table = table(1);
    let mut epoll = Epoll::new(&mut table).unwrap();
    let waker = epoll.waker().unwrap();
    for _ in 0..3 {
        for _ in 0..10 {
            waker.wake();
        }
        epoll.wait(None, &mut |_, _| panic!("a wake is no handle's event")).unwrap();
        let before = epoll.now();
        epoll.wait(Some(Duration::from_millis(20)), &mut |_, _| {}).unwrap();
        assert!(epoll.now().ms_since(before) >= 20, "ten wakes counted as one");
    }
    let second = waker.try_clone().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || second.wake());
        epoll.wait(None, &mut |_, _| {}).unwrap();
    });
}

#[test]
fn a_listener_that_was_closed_wakes_nobody_though_others_still_hold_it() {
    let shared = TcpListener::bind(LOOPBACK).unwrap();
    let address = shared.local_addr().unwrap();
    let mut table = table(2);
    let mut epoll = Epoll::new(&mut table).unwrap();
    let listener = epoll.add_listener(shared.try_clone().unwrap().into()).unwrap();
    let client = TcpStream::connect(address).unwrap();
    let io = accepted(&mut epoll, listener);
    epoll.close(listener);
    let _waiting = TcpStream::connect(address).unwrap();
    let ready = poll(&mut [PollFd::new(&epoll, PollFlags::IN)], Some(&Timespec::default())).unwrap();
    // The accepted socket may have something to report; the listener must not.
    if ready == 1 {
        epoll.wait(Some(Duration::ZERO), &mut |handle, _| assert_eq!(handle, io)).unwrap();
        assert_eq!(poll(&mut [PollFd::new(&epoll, PollFlags::IN)], Some(&Timespec::default())), Ok(0));
        let _another = TcpStream::connect(address).unwrap();
        assert_eq!(poll(&mut [PollFd::new(&epoll, PollFlags::IN)], Some(&Timespec::default())), Ok(0));
    }
    drop(client);
    // Its place is free, and is no listener's any more.
    let stream = TcpStream::connect(address).unwrap();
    let stream = epoll.add_stream(stream.into()).unwrap();
    assert_eq!(stream, listener);
    epoll.close(stream);
    assert_eq!(epoll.detach(stream).map(drop), None);
}
