//! A ring as a poller: behaviour specific to it, and the tests that all pollers share.
#![cfg(target_os = "linux")]

#[path = "../../tests/support/poller.rs"]
mod poller;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use aurora_http_core::reactor::{Attempt, IoHandle, NonBlocking, Ready, Seen};
use aurora_http_uring::{ListenOptions, PollerEntry as Entry, UringPoller as Poller, listen, probe};
use poller::{SOON, accepted, listening, reported_until, table, timespec};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

fn is_missing() -> bool {
    probe().inspect_err(|refusal| println!("SKIPPED: {refusal}")).is_err()
}

/// A poll of the ring holds the open file, so closing the descriptor alone would end nothing.
#[test]
fn a_closed_or_detached_socket_ends_with_the_next_flush() {
    if is_missing() {
        return;
    }
    let mut table = table(4);
    let mut uring = Poller::new(&mut table).unwrap();
    let (listener, address) = listening(&mut uring, &ListenOptions::default());
    for is_detached in [false, true] {
        let mut client = TcpStream::connect(address).unwrap();
        client.set_read_timeout(Some(SOON)).unwrap();
        let io = accepted(&mut uring, listener);
        uring.wait(Some(Duration::ZERO), &mut |_, _| {}).unwrap();
        if is_detached {
            drop(uring.detach(io).unwrap());
        } else {
            uring.close(io);
            uring.flush();
        }
        assert_eq!(client.read(&mut [0; 1]).unwrap(), 0, "detached: {is_detached}");
    }
}

/// The listener is closed while clients are connecting: its address is free at once.
#[test]
fn a_closed_listener_refuses_clients_and_frees_its_address() {
    if is_missing() {
        return;
    }
    let mut table = table(2);
    let mut uring = Poller::new(&mut table).unwrap();
    let (listener, address) = listening(&mut uring, &ListenOptions::default());
    uring.wait(Some(Duration::ZERO), &mut |_, _| {}).unwrap();
    uring.close(listener);
    assert!(TcpStream::connect(address).is_err());
    let again = listen(address, &ListenOptions::default()).unwrap();
    uring.add_listener(again).unwrap();
    drop(uring);
    listen(address, &ListenOptions::default()).expect("dropping the poller frees it too");
}

#[test]
fn thousands_of_events_are_all_reported_before_a_wait_has_seen_everything() {
    if is_missing() {
        return;
    }
    // More submissions than the queue holds, and more events than the kernel handles in a call; as far as the limit allows,
    // which other tests need as well.
    let limit = getrlimit(Resource::Nofile);
    let most = limit.maximum.map_or(4096, |maximum| maximum.min(4096));
    setrlimit(Resource::Nofile, Rlimit { current: Some(most), ..limit }).unwrap();
    let count = 1500.min((most as usize - 200) / 2);
    let mut table = table(count);
    let mut uring = Poller::new(&mut table).unwrap();
    let mut peers: Vec<_> = (0..count)
        .map(|at| {
            let (ours, peer) = UnixStream::pair().unwrap();
            assert_eq!(uring.add_stream(ours.into()), Ok(IoHandle(at as u32)));
            peer
        })
        .collect();
    let mut seen = Seen::Part;
    while seen == Seen::Part {
        seen = uring.wait(Some(Duration::ZERO), &mut |_, _| {}).unwrap();
    }
    for round in 1..=3 {
        for peer in &mut peers {
            peer.write_all(b"x").unwrap();
        }
        let mut reported = vec![false; count];
        let mut seen = Seen::Part;
        while seen == Seen::Part {
            let mut each = |io: IoHandle, ready: Ready| {
                reported[io.0 as usize] |= ready.readable;
            };
            seen = uring.wait(Some(Duration::ZERO), &mut each).unwrap();
        }
        assert!(reported.iter().all(|is_reported| *is_reported), "round {round}");
        for io in 0..count as u32 {
            let received = uring.recv(IoHandle(io), &mut [0; 8]);
            assert_eq!(received, Attempt::Done(1), "round {round}, {io}");
        }
    }
}

#[test]
fn a_socket_is_reported_writable_after_a_short_send() {
    if is_missing() {
        return;
    }
    let mut table = table(2);
    let mut uring = Poller::new(&mut table).unwrap();
    let (listener, address) = listening(&mut uring, &ListenOptions::default());
    let mut client = TcpStream::connect(address).unwrap();
    let io = accepted(&mut uring, listener);
    let bytes = vec![7; 1 << 20];
    for _ in 0..3 {
        let mut sent = 0;
        while let Attempt::Done(count) = uring.send(io, [&bytes, b""]) {
            sent += count as usize;
        }
        // What was reported before is of no interest.
        uring.wait(Some(Duration::ZERO), &mut |_, _| {}).unwrap();
        client.read_exact(&mut vec![0; sent]).unwrap();
        let ready = reported_until(&mut uring, io, |ready| ready.writable);
        assert!(!ready.readable && !ready.ended, "{ready:?}");
    }
}

/// Without a flush what was queued waits for the next turn; with one, the other loop's descriptor shows it.
#[test]
fn what_was_registered_after_a_turn_is_shown_to_another_loop() {
    if is_missing() {
        return;
    }
    let mut table = table(4);
    let mut uring = Poller::new(&mut table).unwrap();
    let (_, address) = listening(&mut uring, &ListenOptions::default());
    let readable = |uring: &Poller<'_>| {
        poll(&mut [PollFd::new(uring, PollFlags::IN)], Some(&timespec(Duration::ZERO))).unwrap() == 1
    };
    readable(&uring);
    uring.wait(Some(Duration::ZERO), &mut |_, _| {}).unwrap();
    let client = TcpStream::connect(address).unwrap();
    uring.add_stream(client.into()).unwrap();
    uring.flush();
    assert!(uring.has_more() || readable(&uring), "it is writable");
    let (other, address) = listening(&mut uring, &ListenOptions::default());
    uring.flush();
    let _client = TcpStream::connect(address).unwrap();
    assert!(readable(&uring));
    accepted(&mut uring, other);
}
