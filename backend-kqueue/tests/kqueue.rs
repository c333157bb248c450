//! Behaviour specific to kqueue, and the tests that all pollers share. The contract suite in the root package checks the
//! rules of `Reactor`.
//!
//! On Linux this runs over the emulation beside this file: it tests this crate, not the kernel's kqueue.
#![cfg(any(
    target_vendor = "apple",
    target_os = "freebsd",
    target_os = "netbsd",
    target_os = "openbsd",
    target_os = "linux"
))]

#[path = "../../tests/support/poller.rs"]
mod poller;

use std::io::Read;
use std::net::TcpStream;
use std::time::Duration;

use aurora_http_core::reactor::{Attempt, NonBlocking};
use aurora_http_kqueue::{Entry, Kqueue as Poller, ListenOptions, listen};
use poller::{accepted, listening, reported_until, table};

/// Every system that this is compiled for has it.
fn is_missing() -> bool {
    false
}

#[test]
fn a_socket_is_reported_writable_only_after_a_short_send() {
    let mut table = table(2);
    let mut kqueue = Poller::new(&mut table).unwrap();
    let (listener, address) = listening(&mut kqueue, &ListenOptions::default());
    let mut client = TcpStream::connect(address).unwrap();
    let io = accepted(&mut kqueue, listener);
    assert_eq!(kqueue.send(io, [b"x", b""]), Attempt::Done(1));
    client.read_exact(&mut [0; 1]).unwrap();
    let mut events = 0;
    kqueue.wait(Some(Duration::ZERO), &mut |handle, _| events += usize::from(handle == io)).unwrap();
    assert_eq!(events, 0, "a complete send registers no event");

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

#[cfg(target_os = "linux")]
#[test]
fn a_socket_that_cannot_be_registered_is_closed_and_its_entry_stays_free() {
    poller::a_socket_that_cannot_be_registered_is_closed_and_its_entry_stays_free();
}
