//! The tests that pollers (epoll, kqueue, a ring that polls) share. The tests of their crates include this as a module, and define beside it
//! which `Poller` is tested, and whether this system has it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use aurora_http_core::reactor::{Attempt, IoError, IoHandle, NonBlocking, Peer, Ready, Shutdown, Wake};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net::sockopt;
use rustix::time::Timespec;

use super::{Entry, ListenOptions, Poller, listen};

pub(crate) const LOOPBACK: &str = "127.0.0.1:0";
pub(crate) const SOON: Duration = Duration::from_secs(10);

pub(crate) fn table(length: usize) -> Vec<Entry> {
    (0..length).map(|_| Entry::new()).collect()
}

pub(crate) fn listening(poller: &mut Poller<'_>, options: &ListenOptions) -> (IoHandle, SocketAddr) {
    let listener = poller.add_listener(listen(LOOPBACK.parse().unwrap(), options).unwrap()).unwrap();
    (listener, poller.local_addr(listener).unwrap())
}

/// Waits until `io` is reported, and returns as what.
fn reported(poller: &mut Poller<'_>, io: IoHandle) -> Ready {
    reported_until(poller, io, |_| true)
}

/// Waits until the reports of `io` satisfy `enough`, and returns their union: the two directions may be separate
/// events.
pub(crate) fn reported_until(poller: &mut Poller<'_>, io: IoHandle, enough: impl Fn(Ready) -> bool) -> Ready {
    let (mut sum, mut any) = (Ready::default(), false);
    while !any || !enough(sum) {
        let before = poller.now();
        let mut add = |handle, ready: Ready| {
            if handle == io {
                sum.readable |= ready.readable;
                sum.writable |= ready.writable;
                sum.ended |= ready.ended;
                any = true;
            }
        };
        poller.wait(Some(SOON), &mut add).unwrap();
        assert!(poller.now().ms_since(before) < SOON.as_millis() as u64, "no event");
    }
    sum
}

pub(crate) fn accepted(poller: &mut Poller<'_>, listener: IoHandle) -> IoHandle {
    loop {
        match poller.accept(listener) {
            Attempt::Done(index) => return IoHandle(index),
            Attempt::WouldBlock => {
                reported(poller, listener);
            }
            Attempt::Failed(error) => panic!("{error}"),
        }
    }
}

#[test]
fn accepted_sockets_inherit_nodelay_and_are_closed_on_exec() {
    if super::is_missing() {
        return;
    }
    for nodelay in [false, true] {
        let mut table = table(2);
        let mut poller = Poller::new(&mut table).unwrap();
        let (listener, address) = listening(&mut poller, &ListenOptions { nodelay, ..ListenOptions::default() });
        let client = TcpStream::connect(address).unwrap();
        let io = accepted(&mut poller, listener);
        let socket = poller.descriptor(io).unwrap();
        assert_eq!(sockopt::tcp_nodelay(socket), Ok(nodelay));
        assert!(rustix::io::fcntl_getfd(socket).unwrap().contains(rustix::io::FdFlags::CLOEXEC));
        assert_eq!(poller.peer_addr(io), Ok(client.local_addr().unwrap()));
        assert_eq!(poller.peer(io), Some(Peer::Ip(client.local_addr().unwrap())));
        assert_eq!(poller.recv(io, &mut [0; 8]), Attempt::WouldBlock);
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
fn late_events_of_a_closed_socket_do_not_reach_its_successor() {
    if super::is_missing() {
        return;
    }
    let mut table = table(2);
    let mut poller = Poller::new(&mut table).unwrap();
    let (listener, address) = listening(&mut poller, &ListenOptions::default());
    let mut first = TcpStream::connect(address).unwrap();
    let io = accepted(&mut poller, listener);
    // A duplicate keeps the socket open beyond the close, and with epoll its registration as well.
    let duplicate = poller.descriptor(io).unwrap().try_clone_to_owned().unwrap();
    poller.close(io);
    let _second = TcpStream::connect(address).unwrap();
    let successor = accepted(&mut poller, listener);
    assert_eq!(successor, io, "the index is used again");
    // Takes its own events, if there are any.
    poller.wait(Some(Duration::ZERO), &mut |_, _| {}).unwrap();

    first.write_all(b"for the dead").unwrap();
    let mut events = 0;
    let readable = [PollFd::new(&duplicate, PollFlags::IN)];
    assert_eq!(poll(&mut readable.clone(), Some(&timespec(SOON))), Ok(1));
    poller.wait(Some(Duration::ZERO), &mut |_, _| events += 1).unwrap();
    assert_eq!(events, 0);
}

pub(crate) fn timespec(timeout: Duration) -> Timespec {
    Timespec { tv_sec: timeout.as_secs() as _, tv_nsec: timeout.subsec_nanos() as _ }
}

#[test]
fn detach_returns_an_open_socket_and_frees_its_entry() {
    if super::is_missing() {
        return;
    }
    let mut table = table(2);
    let mut poller = Poller::new(&mut table).unwrap();
    let (listener, address) = listening(&mut poller, &ListenOptions::default());
    let mut client = TcpStream::connect(address).unwrap();
    let io = accepted(&mut poller, listener);
    let mut server = TcpStream::from(poller.detach(io).unwrap());
    assert!(poller.detach(io).is_none());
    assert_eq!(poller.recv(io, &mut [0; 8]), Attempt::Failed(IoError::Unsupported));

    client.write_all(b"hello").unwrap();
    server.set_nonblocking(false).unwrap();
    let mut bytes = [0; 5];
    server.read_exact(&mut bytes).unwrap();
    assert_eq!(&bytes, b"hello");
    let mut events = 0;
    poller.wait(Some(Duration::ZERO), &mut |handle, _| events += usize::from(handle == io)).unwrap();
    assert_eq!(events, 0);

    let again = poller.add_stream(server.into()).unwrap();
    assert_eq!(again, io);
    assert!(reported(&mut poller, again).writable, "a stream that comes in is reported");
}

#[test]
fn its_descriptor_works_inside_another_loop() {
    if super::is_missing() {
        return;
    }
    let mut table = table(2);
    let mut poller = Poller::new(&mut table).unwrap();
    let (_, address) = listening(&mut poller, &ListenOptions::default());
    let readable = |poller: &Poller<'_>, timeout| {
        poll(&mut [PollFd::new(poller, PollFlags::IN)], Some(&timespec(timeout))).unwrap() == 1
    };
    let turn = |poller: &mut Poller<'_>| loop {
        poller.wait(Some(Duration::ZERO), &mut |_, _| {}).unwrap();
        poller.flush();
        if !poller.has_more() {
            return;
        }
    };
    // A ring makes its descriptor when it is asked for, and that is readable once.
    readable(&poller, Duration::ZERO);
    turn(&mut poller);
    assert!(!readable(&poller, Duration::ZERO));
    for _ in 0..3 {
        let _client = TcpStream::connect(address).unwrap();
        assert!(readable(&poller, SOON));
        turn(&mut poller);
        assert!(!readable(&poller, Duration::ZERO), "the events were taken");
        poller.waker().unwrap().wake();
        assert!(readable(&poller, SOON));
        turn(&mut poller);
        assert!(!readable(&poller, Duration::ZERO), "the wake was taken");
    }
}

#[test]
fn a_full_table_leaves_newcomers_in_the_backlog() {
    if super::is_missing() {
        return;
    }
    let mut table = table(2);
    let mut poller = Poller::new(&mut table).unwrap();
    let (listener, address) = listening(&mut poller, &ListenOptions::default());
    let _first = TcpStream::connect(address).unwrap();
    let io = accepted(&mut poller, listener);
    let mut second = TcpStream::connect(address).unwrap();
    assert_eq!(poller.accept(listener), Attempt::Failed(IoError::FileLimit));
    assert!(poller.add_stream(TcpStream::connect(address).unwrap().into()).is_err());
    poller.close(io);
    let io = accepted(&mut poller, listener);
    assert_eq!(poller.send(io, [b"hel", b"lo"]), Attempt::Done(5));
    let mut bytes = [0; 5];
    second.read_exact(&mut bytes).unwrap();
    assert_eq!(&bytes, b"hello");
}

#[test]
fn the_ends_of_a_connection_are_reported_as_such() {
    if super::is_missing() {
        return;
    }
    let mut table = table(2);
    let mut poller = Poller::new(&mut table).unwrap();
    let (listener, address) = listening(&mut poller, &ListenOptions::default());
    for reset in [false, true] {
        let client = TcpStream::connect(address).unwrap();
        let io = accepted(&mut poller, listener);
        if reset {
            sockopt::set_socket_linger(&client, Some(Duration::ZERO)).unwrap();
            drop(client);
        } else {
            client.shutdown(std::net::Shutdown::Write).unwrap();
        }
        let ready = reported_until(&mut poller, io, |ready| ready.ended);
        assert!(ready.readable, "{ready:?}");
        let expected = if reset { Attempt::Failed(IoError::ConnectionReset) } else { Attempt::Done(0) };
        assert_eq!(poller.recv(io, &mut [0; 8]), expected);
        poller.shutdown(io, Shutdown::Both);
        assert_eq!(poller.send(io, [b"x", b""]), Attempt::Failed(IoError::ConnectionReset));
        poller.close(io);
        poller.close(io);
    }
}

#[test]
fn bytes_before_the_end_are_reported_with_it_and_received_first() {
    if super::is_missing() {
        return;
    }
    let mut table = table(2);
    let mut poller = Poller::new(&mut table).unwrap();
    let (listener, address) = listening(&mut poller, &ListenOptions::default());
    let mut client = TcpStream::connect(address).unwrap();
    let io = accepted(&mut poller, listener);
    client.write_all(b"last words").unwrap();
    client.shutdown(std::net::Shutdown::Write).unwrap();
    let ready = reported_until(&mut poller, io, |ready| ready.ended);
    assert!(ready.readable, "{ready:?}");
    let mut bytes = [0; 8];
    for expected in [&b"last wor"[..], b"ds", b"", b""] {
        assert_eq!(poller.recv(io, &mut bytes), Attempt::Done(expected.len() as u32));
        assert!(bytes.starts_with(expected));
    }
    assert_eq!(poller.send(io, [b"heard", b""]), Attempt::Done(5), "the other direction is open");
    let mut bytes = [0; 5];
    client.read_exact(&mut bytes).unwrap();
    assert_eq!(&bytes, b"heard");
}

#[test]
fn our_own_shutdown_is_not_the_end_of_reading() {
    if super::is_missing() {
        return;
    }
    let mut table = table(2);
    let mut poller = Poller::new(&mut table).unwrap();
    let (listener, address) = listening(&mut poller, &ListenOptions::default());
    let mut client = TcpStream::connect(address).unwrap();
    let io = accepted(&mut poller, listener);
    poller.shutdown(io, Shutdown::Write);
    assert_eq!(client.read(&mut [0; 1]).unwrap(), 0);
    client.write_all(b"more").unwrap();
    let ready = reported_until(&mut poller, io, |ready| ready.readable);
    assert!(!ready.ended, "{ready:?}");
    assert_eq!(poller.recv(io, &mut [0; 8]), Attempt::Done(4));
    assert_eq!(poller.recv(io, &mut [0; 8]), Attempt::WouldBlock);
    assert_eq!(poller.send(io, [b"x", b""]), Attempt::Failed(IoError::ConnectionReset), "no SIGPIPE");
}

#[test]
fn both_directions_can_be_shut_down_when_one_has_ended_before() {
    if super::is_missing() {
        return;
    }
    let mut table = table(2);
    let mut poller = Poller::new(&mut table).unwrap();
    let (listener, address) = listening(&mut poller, &ListenOptions::default());
    let mut client = TcpStream::connect(address).unwrap();
    let io = accepted(&mut poller, listener);
    client.shutdown(std::net::Shutdown::Write).unwrap();
    reported_until(&mut poller, io, |ready| ready.ended);
    assert_eq!(poller.recv(io, &mut [0; 8]), Attempt::Done(0));
    poller.shutdown(io, Shutdown::Both);
    assert_eq!(poller.send(io, [b"x", b""]), Attempt::Failed(IoError::ConnectionReset));
    assert_eq!(client.read(&mut [0; 1]).unwrap(), 0, "the client sees our FIN");
}

/// Linux does not allow registering a regular file with epoll.
#[cfg(target_os = "linux")]
#[allow(dead_code)]
pub(crate) fn a_socket_that_cannot_be_registered_is_closed_and_its_entry_stays_free() {
    let mut table = table(2);
    let mut poller = Poller::new(&mut table).unwrap();
    let file = std::fs::File::open("/proc/self/exe").unwrap();
    assert!(matches!(poller.add_stream(file.into()), Err(IoError::Os(_))));
    let mut events = 0;
    poller.wait(Some(Duration::ZERO), &mut |_, _| events += 1).unwrap();
    assert_eq!(events, 0);
    let (listener, address) = listening(&mut poller, &ListenOptions::default());
    assert_eq!(listener, IoHandle(0), "the entry is free");
    let _client = TcpStream::connect(address).unwrap();
    accepted(&mut poller, listener);
}

#[test]
fn duplicates_of_a_listener_serve_several_pollers() {
    if super::is_missing() {
        return;
    }
    let socket = listen(LOOPBACK.parse().unwrap(), &ListenOptions::default()).unwrap();
    let mut tables = [table(8), table(8), table(8)];
    let mut pollers = tables.each_mut().map(|table| {
        let mut poller = Poller::new(table).unwrap();
        let listener = poller.add_listener(socket.try_clone().unwrap()).unwrap();
        (poller, listener)
    });
    drop(socket);
    let address = pollers[0].0.local_addr(pollers[0].1).unwrap();
    for round in 0..3 {
        let clients = [(); 2].map(|()| TcpStream::connect(address).unwrap());
        // All pollers are notified; the first takes both connections, and the others find none.
        for (poller, listener) in &mut pollers {
            reported(poller, *listener);
        }
        pollers.rotate_left(round);
        let [(first, listener), others @ ..] = &mut pollers;
        for _ in &clients {
            accepted(first, *listener);
        }
        for (poller, listener) in others {
            assert_eq!(poller.accept(*listener), Attempt::WouldBlock);
        }
        drop(clients);
    }
}

#[test]
fn dropping_it_closes_its_sockets_and_the_storage_can_be_reused() {
    if super::is_missing() {
        return;
    }
    let mut table = table(2);
    for round in 0..3 {
        let mut poller = Poller::new(&mut table).unwrap();
        let (listener, address) = listening(&mut poller, &ListenOptions::default());
        let mut client = TcpStream::connect(address).unwrap();
        accepted(&mut poller, listener);
        let waker = poller.waker().unwrap();
        drop(poller);
        assert_eq!(client.read(&mut [0; 1]).unwrap(), 0, "round {round}");
        waker.wake();
    }
}

#[test]
fn entries_can_be_reused_forever() {
    if super::is_missing() {
        return;
    }
    let mut table = table(2);
    let mut poller = Poller::new(&mut table).unwrap();
    let (listener, address) = listening(&mut poller, &ListenOptions::default());
    for round in 0..600u32 {
        let mut client = TcpStream::connect(address).unwrap();
        let io = accepted(&mut poller, listener);
        client.write_all(&round.to_ne_bytes()).unwrap();
        let mut bytes = [0; 4];
        while poller.recv(io, &mut bytes) == Attempt::WouldBlock {
            reported(&mut poller, io);
        }
        assert_eq!(u32::from_ne_bytes(bytes), round);
        poller.close(io);
    }
}

#[test]
fn wakes_end_one_wait_each_time_and_coalesce() {
    if super::is_missing() {
        return;
    }
    let mut table = table(1);
    let mut poller = Poller::new(&mut table).unwrap();
    let waker = poller.waker().unwrap();
    for _ in 0..3 {
        for _ in 0..10 {
            waker.wake();
        }
        poller.wait(None, &mut |_, _| panic!("a wake is no handle's event")).unwrap();
        let before = poller.now();
        poller.wait(Some(Duration::from_millis(20)), &mut |_, _| {}).unwrap();
        assert!(poller.now().ms_since(before) >= 20, "ten wakes counted as one");
    }
    // More than a pipe holds, for systems where wakes go through one.
    for _ in 0..100_000 {
        waker.wake();
    }
    poller.wait(None, &mut |_, _| {}).unwrap();
    let before = poller.now();
    poller.wait(Some(Duration::from_millis(20)), &mut |_, _| {}).unwrap();
    assert!(poller.now().ms_since(before) >= 20, "all of them were heard");
    let second = waker.try_clone().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || second.wake());
        poller.wait(None, &mut |_, _| {}).unwrap();
    });
}
