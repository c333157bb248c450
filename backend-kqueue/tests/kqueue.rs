//! What is kqueue's own; the rules of the seam are checked by the root package's contract suite.
//!
//! On Linux this runs over the emulation beside this file, and shows that the crate does its part, not that kqueue does.
#![cfg(any(
    target_vendor = "apple",
    target_os = "freebsd",
    target_os = "netbsd",
    target_os = "openbsd",
    target_os = "linux"
))]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use aurora_http_core::reactor::{Attempt, IoError, IoHandle, NonBlocking, Peer, Ready, Shutdown, Wake};
use aurora_http_kqueue::{Entry, Kqueue, ListenOptions, listen};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net::sockopt;
use rustix::time::Timespec;

const LOOPBACK: &str = "127.0.0.1:0";
const SOON: Duration = Duration::from_secs(10);

fn table(length: usize) -> Vec<Entry> {
    (0..length).map(|_| Entry::new()).collect()
}

fn listening(kqueue: &mut Kqueue<'_>, options: &ListenOptions) -> (IoHandle, SocketAddr) {
    let listener = kqueue.add_listener(listen(LOOPBACK.parse().unwrap(), options).unwrap()).unwrap();
    (listener, kqueue.local_addr(listener).unwrap())
}

/// Waits until `io` is reported, and says as what.
fn reported(kqueue: &mut Kqueue<'_>, io: IoHandle) -> Ready {
    reported_until(kqueue, io, |_| true)
}

/// Waits until the reports of `io` are enough, and says what they were together: both directions are events of their
/// own.
fn reported_until(kqueue: &mut Kqueue<'_>, io: IoHandle, enough: impl Fn(Ready) -> bool) -> Ready {
    let (mut sum, mut any) = (Ready::default(), false);
    while !any || !enough(sum) {
        let before = kqueue.now();
        let mut add = |handle, ready: Ready| {
            if handle == io {
                sum.readable |= ready.readable;
                sum.writable |= ready.writable;
                sum.ended |= ready.ended;
                any = true;
            }
        };
        kqueue.wait(Some(SOON), &mut add).unwrap();
        assert!(kqueue.now().ms_since(before) < SOON.as_millis() as u64, "no event");
    }
    sum
}

fn accepted(kqueue: &mut Kqueue<'_>, listener: IoHandle) -> IoHandle {
    loop {
        match kqueue.accept(listener) {
            Attempt::Done(index) => return IoHandle(index),
            Attempt::WouldBlock => {
                reported(kqueue, listener);
            }
            Attempt::Failed(error) => panic!("{error}"),
        }
    }
}

#[test]
fn accepted_sockets_inherit_nodelay_and_are_closed_on_exec() {
    for nodelay in [false, true] {
        let mut table = table(2);
        let mut kqueue = Kqueue::new(&mut table).unwrap();
        let (listener, address) = listening(&mut kqueue, &ListenOptions { nodelay, ..ListenOptions::default() });
        let client = TcpStream::connect(address).unwrap();
        let io = accepted(&mut kqueue, listener);
        let socket = kqueue.descriptor(io).unwrap();
        assert_eq!(sockopt::tcp_nodelay(socket), Ok(nodelay));
        assert!(rustix::io::fcntl_getfd(socket).unwrap().contains(rustix::io::FdFlags::CLOEXEC));
        assert_eq!(kqueue.peer_addr(io), Ok(client.local_addr().unwrap()));
        assert_eq!(kqueue.peer(io), Some(Peer::Ip(client.local_addr().unwrap())));
        assert_eq!(kqueue.recv(io, &mut [0; 8]), Attempt::WouldBlock);
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
    let mut table = table(2);
    let mut kqueue = Kqueue::new(&mut table).unwrap();
    let (listener, address) = listening(&mut kqueue, &ListenOptions::default());
    let mut first = TcpStream::connect(address).unwrap();
    let io = accepted(&mut kqueue, listener);
    // A duplicate keeps the socket open beyond the close, and in the emulation its registration too.
    let duplicate = kqueue.descriptor(io).unwrap().try_clone_to_owned().unwrap();
    kqueue.close(io);
    let _second = TcpStream::connect(address).unwrap();
    let successor = accepted(&mut kqueue, listener);
    assert_eq!(successor, io, "the index is used again");

    first.write_all(b"for the dead").unwrap();
    let mut events = 0;
    let readable = [PollFd::new(&duplicate, PollFlags::IN)];
    assert_eq!(poll(&mut readable.clone(), Some(&timespec(SOON))), Ok(1));
    kqueue.wait(Some(Duration::ZERO), &mut |_, _| events += 1).unwrap();
    assert_eq!(events, 0);
}

fn timespec(timeout: Duration) -> Timespec {
    Timespec { tv_sec: timeout.as_secs() as _, tv_nsec: timeout.subsec_nanos() as _ }
}

#[test]
fn detach_gives_an_open_socket_away_and_frees_its_entry() {
    let mut table = table(2);
    let mut kqueue = Kqueue::new(&mut table).unwrap();
    let (listener, address) = listening(&mut kqueue, &ListenOptions::default());
    let mut client = TcpStream::connect(address).unwrap();
    let io = accepted(&mut kqueue, listener);
    let mut server = TcpStream::from(kqueue.detach(io).unwrap());
    assert!(kqueue.detach(io).is_none());
    assert_eq!(kqueue.recv(io, &mut [0; 8]), Attempt::Failed(IoError::Unsupported));

    client.write_all(b"hello").unwrap();
    server.set_nonblocking(false).unwrap();
    let mut bytes = [0; 5];
    server.read_exact(&mut bytes).unwrap();
    assert_eq!(&bytes, b"hello");
    let mut events = 0;
    kqueue.wait(Some(Duration::ZERO), &mut |handle, _| events += usize::from(handle == io)).unwrap();
    assert_eq!(events, 0);

    let again = kqueue.add_stream(server.into()).unwrap();
    assert_eq!(again, io);
    assert!(reported(&mut kqueue, again).writable, "a stream that comes in is reported");
}

#[test]
fn its_descriptor_stands_inside_another_loop() {
    let mut table = table(2);
    let mut kqueue = Kqueue::new(&mut table).unwrap();
    let (_, address) = listening(&mut kqueue, &ListenOptions::default());
    let readable = |kqueue: &Kqueue<'_>, timeout| {
        poll(&mut [PollFd::new(kqueue, PollFlags::IN)], Some(&timespec(timeout))).unwrap() == 1
    };
    assert!(!readable(&kqueue, Duration::ZERO));
    let _client = TcpStream::connect(address).unwrap();
    assert!(readable(&kqueue, SOON));
    kqueue.wait(Some(Duration::ZERO), &mut |_, _| {}).unwrap();
    assert!(!readable(&kqueue, Duration::ZERO), "the events were taken");
    kqueue.waker().unwrap().wake();
    assert!(readable(&kqueue, SOON));
}

#[test]
fn a_full_table_leaves_newcomers_in_the_backlog() {
    let mut table = table(2);
    let mut kqueue = Kqueue::new(&mut table).unwrap();
    let (listener, address) = listening(&mut kqueue, &ListenOptions::default());
    let _first = TcpStream::connect(address).unwrap();
    let io = accepted(&mut kqueue, listener);
    let mut second = TcpStream::connect(address).unwrap();
    assert_eq!(kqueue.accept(listener), Attempt::Failed(IoError::FileLimit));
    assert!(kqueue.add_stream(TcpStream::connect(address).unwrap().into()).is_err());
    kqueue.close(io);
    let io = accepted(&mut kqueue, listener);
    assert_eq!(kqueue.send(io, [b"hel", b"lo"]), Attempt::Done(5));
    let mut bytes = [0; 5];
    second.read_exact(&mut bytes).unwrap();
    assert_eq!(&bytes, b"hello");
}

#[test]
fn the_ends_of_a_connection_are_reported_as_such() {
    let mut table = table(2);
    let mut kqueue = Kqueue::new(&mut table).unwrap();
    let (listener, address) = listening(&mut kqueue, &ListenOptions::default());
    for reset in [false, true] {
        let client = TcpStream::connect(address).unwrap();
        let io = accepted(&mut kqueue, listener);
        if reset {
            sockopt::set_socket_linger(&client, Some(Duration::ZERO)).unwrap();
            drop(client);
        } else {
            client.shutdown(std::net::Shutdown::Write).unwrap();
        }
        let ready = reported_until(&mut kqueue, io, |ready| ready.ended);
        assert!(ready.readable, "{ready:?}");
        let expected = if reset { Attempt::Failed(IoError::ConnectionReset) } else { Attempt::Done(0) };
        assert_eq!(kqueue.recv(io, &mut [0; 8]), expected);
        kqueue.shutdown(io, Shutdown::Both);
        assert_eq!(kqueue.send(io, [b"x", b""]), Attempt::Failed(IoError::ConnectionReset));
        kqueue.close(io);
        kqueue.close(io);
    }
}

#[test]
fn bytes_before_the_end_are_reported_with_it_and_received_first() {
    let mut table = table(2);
    let mut kqueue = Kqueue::new(&mut table).unwrap();
    let (listener, address) = listening(&mut kqueue, &ListenOptions::default());
    let mut client = TcpStream::connect(address).unwrap();
    let io = accepted(&mut kqueue, listener);
    client.write_all(b"last words").unwrap();
    client.shutdown(std::net::Shutdown::Write).unwrap();
    let ready = reported_until(&mut kqueue, io, |ready| ready.ended);
    assert!(ready.readable, "{ready:?}");
    let mut bytes = [0; 8];
    for expected in [&b"last wor"[..], b"ds", b"", b""] {
        assert_eq!(kqueue.recv(io, &mut bytes), Attempt::Done(expected.len() as u32));
        assert!(bytes.starts_with(expected));
    }
    assert_eq!(kqueue.send(io, [b"heard", b""]), Attempt::Done(5), "the other direction is open");
    let mut bytes = [0; 5];
    client.read_exact(&mut bytes).unwrap();
    assert_eq!(&bytes, b"heard");
}

#[test]
fn our_own_end_of_writing_is_not_the_end_of_reading() {
    let mut table = table(2);
    let mut kqueue = Kqueue::new(&mut table).unwrap();
    let (listener, address) = listening(&mut kqueue, &ListenOptions::default());
    let mut client = TcpStream::connect(address).unwrap();
    let io = accepted(&mut kqueue, listener);
    kqueue.shutdown(io, Shutdown::Write);
    assert_eq!(client.read(&mut [0; 1]).unwrap(), 0);
    client.write_all(b"more").unwrap();
    let ready = reported_until(&mut kqueue, io, |ready| ready.readable);
    assert!(!ready.ended, "{ready:?}");
    assert_eq!(kqueue.recv(io, &mut [0; 8]), Attempt::Done(4));
    assert_eq!(kqueue.recv(io, &mut [0; 8]), Attempt::WouldBlock);
    assert_eq!(kqueue.send(io, [b"x", b""]), Attempt::Failed(IoError::ConnectionReset), "no SIGPIPE");
}

#[test]
fn room_to_send_is_reported_once_after_a_send_that_found_none() {
    let mut table = table(2);
    let mut kqueue = Kqueue::new(&mut table).unwrap();
    let (listener, address) = listening(&mut kqueue, &ListenOptions::default());
    let mut client = TcpStream::connect(address).unwrap();
    let io = accepted(&mut kqueue, listener);
    assert_eq!(kqueue.send(io, [b"x", b""]), Attempt::Done(1));
    client.read_exact(&mut [0; 1]).unwrap();
    let mut events = 0;
    kqueue.wait(Some(Duration::ZERO), &mut |handle, _| events += usize::from(handle == io)).unwrap();
    assert_eq!(events, 0, "what went through needs no event");

    let bytes = vec![7; 1 << 20];
    for answer in ["short", "none"] {
        let mut sent = 0;
        loop {
            match kqueue.send(io, [&bytes, b""]) {
                Attempt::Done(count) => {
                    sent += count as usize;
                    if answer == "short" && (count as usize) < bytes.len() {
                        break;
                    }
                }
                Attempt::WouldBlock => break,
                Attempt::Failed(error) => panic!("{error}"),
            }
        }
        let mut received = vec![0; sent];
        client.read_exact(&mut received).unwrap();
        let ready = reported_until(&mut kqueue, io, |ready| ready.writable);
        assert!(!ready.readable && !ready.ended, "{answer}: {ready:?}");
        assert_eq!(kqueue.send(io, [b"x", b""]), Attempt::Done(1), "{answer}");
        client.read_exact(&mut [0; 1]).unwrap();
    }
}

#[test]
fn everything_ends_in_both_directions_when_one_has_ended_before() {
    let mut table = table(2);
    let mut kqueue = Kqueue::new(&mut table).unwrap();
    let (listener, address) = listening(&mut kqueue, &ListenOptions::default());
    let mut client = TcpStream::connect(address).unwrap();
    let io = accepted(&mut kqueue, listener);
    client.shutdown(std::net::Shutdown::Write).unwrap();
    reported_until(&mut kqueue, io, |ready| ready.ended);
    assert_eq!(kqueue.recv(io, &mut [0; 8]), Attempt::Done(0));
    kqueue.shutdown(io, Shutdown::Both);
    assert_eq!(kqueue.send(io, [b"x", b""]), Attempt::Failed(IoError::ConnectionReset));
    assert_eq!(client.read(&mut [0; 1]).unwrap(), 0, "it hears of our end");
}

/// Linux refuses to wait for a file.
#[cfg(target_os = "linux")]
#[test]
fn what_cannot_be_registered_is_closed_and_leaves_its_entry_free() {
    let mut table = table(2);
    let mut kqueue = Kqueue::new(&mut table).unwrap();
    let file = std::fs::File::open("/proc/self/exe").unwrap();
    assert!(matches!(kqueue.add_stream(file.into()), Err(IoError::Os(_))));
    let mut events = 0;
    kqueue.wait(Some(Duration::ZERO), &mut |_, _| events += 1).unwrap();
    assert_eq!(events, 0);
    let (listener, address) = listening(&mut kqueue, &ListenOptions::default());
    assert_eq!(listener, IoHandle(0), "the entry is free");
    let _client = TcpStream::connect(address).unwrap();
    accepted(&mut kqueue, listener);
}

#[test]
fn duplicates_of_a_listener_serve_several_queues() {
    let socket = listen(LOOPBACK.parse().unwrap(), &ListenOptions::default()).unwrap();
    let mut tables = [table(8), table(8), table(8)];
    let mut queues = tables.each_mut().map(|table| {
        let mut kqueue = Kqueue::new(table).unwrap();
        let listener = kqueue.add_listener(socket.try_clone().unwrap()).unwrap();
        (kqueue, listener)
    });
    drop(socket);
    let address = queues[0].0.local_addr(queues[0].1).unwrap();
    for round in 0..3 {
        let clients = [(); 2].map(|()| TcpStream::connect(address).unwrap());
        // Every queue hears of it; whoever comes first takes both, and the others find nothing.
        for (kqueue, listener) in &mut queues {
            reported(kqueue, *listener);
        }
        queues.rotate_left(round);
        let [(first, listener), others @ ..] = &mut queues;
        for _ in &clients {
            accepted(first, *listener);
        }
        for (kqueue, listener) in others {
            assert_eq!(kqueue.accept(*listener), Attempt::WouldBlock);
        }
        drop(clients);
    }
}

#[test]
fn dropping_it_closes_its_sockets_and_the_storage_serves_again() {
    let mut table = table(2);
    for round in 0..3 {
        let mut kqueue = Kqueue::new(&mut table).unwrap();
        let (listener, address) = listening(&mut kqueue, &ListenOptions::default());
        let mut client = TcpStream::connect(address).unwrap();
        accepted(&mut kqueue, listener);
        let waker = kqueue.waker().unwrap();
        drop(kqueue);
        assert_eq!(client.read(&mut [0; 1]).unwrap(), 0, "round {round}");
        waker.wake();
    }
}

#[test]
fn entries_are_used_again_without_end() {
    let mut table = table(2);
    let mut kqueue = Kqueue::new(&mut table).unwrap();
    let (listener, address) = listening(&mut kqueue, &ListenOptions::default());
    for round in 0..600u32 {
        let mut client = TcpStream::connect(address).unwrap();
        let io = accepted(&mut kqueue, listener);
        client.write_all(&round.to_ne_bytes()).unwrap();
        let mut bytes = [0; 4];
        while kqueue.recv(io, &mut bytes) == Attempt::WouldBlock {
            reported(&mut kqueue, io);
        }
        assert_eq!(u32::from_ne_bytes(bytes), round);
        kqueue.close(io);
    }
}

#[test]
fn wakes_end_one_wait_each_time_and_coalesce() {
    let mut table = table(1);
    let mut kqueue = Kqueue::new(&mut table).unwrap();
    let waker = kqueue.waker().unwrap();
    for _ in 0..3 {
        for _ in 0..10 {
            waker.wake();
        }
        kqueue.wait(None, &mut |_, _| panic!("a wake is no handle's event")).unwrap();
        let before = kqueue.now();
        kqueue.wait(Some(Duration::from_millis(20)), &mut |_, _| {}).unwrap();
        assert!(kqueue.now().ms_since(before) >= 20, "ten wakes counted as one");
    }
    // More than a pipe holds, where wakes go through one.
    for _ in 0..100_000 {
        waker.wake();
    }
    kqueue.wait(None, &mut |_, _| {}).unwrap();
    let before = kqueue.now();
    kqueue.wait(Some(Duration::from_millis(20)), &mut |_, _| {}).unwrap();
    assert!(kqueue.now().ms_since(before) >= 20, "all of them were heard");
    let second = waker.try_clone().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || second.wake());
        kqueue.wait(None, &mut |_, _| {}).unwrap();
    });
}
