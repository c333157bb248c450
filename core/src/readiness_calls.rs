//! Which calls are made, and that there are no others: each is a system call on most backends.

use super::*;

/// A parked receive and a parked send on handle 0, after a turn that had no events.
fn waiting() -> Fixture {
    let mut reactor = parked(Fake::new(1, 0));
    reactor.wait(None).unwrap();
    assert!(reactor.next_completion().is_none());
    reactor.get_mut().calls = Calls::default();
    reactor
}

#[test]
fn an_event_causes_an_attempt_of_its_direction_only() {
    let ended = Ready { ended: true, ..Ready::default() };
    let both = Ready { readable: true, writable: true, ended: false };
    for (event, recv, send) in [(READ, 1, 0), (WRITE, 0, 1), (ended, 1, 0), (both, 1, 1), (Ready::default(), 0, 0)] {
        let mut reactor = waiting();
        reactor.get_mut().events = vec![(0, event)];
        reactor.wait(None).unwrap();
        assert!(reactor.next_completion().is_none(), "{event:?}");
        assert_eq!(reactor.get_ref().calls, Calls { wait: 1, recv, send, ..Calls::default() }, "{event:?}");
        assert!(!reactor.has_work(), "{event:?}");
    }
}

#[test]
fn what_cannot_be_tried_does_not_keep_the_loop_awake() {
    type Act = fn(&mut Fixture);
    let rows: [(&str, Act); 4] = [
        ("a shutdown of sending beside a parked receive", |reactor| reactor.shutdown(IoHandle(0), Shutdown::Write)),
        ("a shutdown of a handle without operations", |reactor| reactor.shutdown(IoHandle(1), Shutdown::Both)),
        ("a cancel of what is not in flight", |reactor| reactor.cancel(token(0, OpKind::Send), IoHandle(0))),
        ("a cancel of a handle without operations", |reactor| reactor.cancel(token(1, OpKind::Recv), IoHandle(1))),
    ];
    for (what, act) in rows {
        let mut reactor = fixture(Fake::new(2, 0), 2, 0);
        reactor.submit(recv(0, Some(buf(4)))).unwrap();
        reactor.wait(None).unwrap();
        assert!(reactor.next_completion().is_none());
        act(&mut reactor);
        assert!(!reactor.has_work(), "{what}");
        reactor.wait(None).unwrap();
        assert_eq!(reactor.get_ref().timeout, None, "{what}");
        assert!(reactor.next_completion().is_none(), "{what}");
        assert_eq!(reactor.get_ref().calls.recv, 1, "{what}");
    }
}

#[test]
fn a_send_on_a_listener_fails_and_its_accept_goes_on() {
    let mut reactor = fixture(Fake::new(2, 0), 4, 0);
    reactor.submit(accept(0)).unwrap();
    reactor.wait(None).unwrap();
    assert!(reactor.next_completion().is_none(), "no connection has arrived");
    reactor.get_mut().sockets[0].write_ended = true;
    reactor.submit(send(0, b"x", b"")).unwrap();
    assert_eq!(sent(&mut reactor), Err(IoError::ConnectionReset));
    assert!(reactor.next_completion().is_none());
    reactor.get_mut().sockets[0].write_ended = false;
    reactor.get_mut().sockets[0].room = 0;
    reactor.wait(None).unwrap();
    reactor.submit(send(0, b"x", b"")).unwrap();
    assert!(reactor.next_completion().is_none(), "the send waits");
    assert_eq!(reactor.get_ref().calls, Calls { wait: 2, accept: 1, send: 2, ..Calls::default() });
    reactor.get_mut().knock(0, 1);
    reactor.wait(None).unwrap();
    let accepted = reactor.next_completion().expect("the accept is still in flight");
    assert_eq!(reactor.get_ref().calls, Calls { wait: 3, accept: 2, send: 2, ..Calls::default() });
    assert!(matches!(accepted.outcome, Outcome::Accept(Ok(_))), "{accepted:?}");
}

#[test]
fn peers_and_flushes_are_those_of_the_underlying_stack() {
    let mut reactor = fixture(Fake::new(1, 100), 1, 0);
    reactor.submit(send(0, b"head", b"")).unwrap();
    reactor.wait(None).unwrap();
    assert_eq!(sent(&mut reactor), Ok(4));
    reactor.flush();
    assert_eq!(reactor.get_ref().calls, Calls { wait: 1, send: 1, flush: 1, ..Calls::default() });
    let peers = reactor.peers();
    assert_eq!((peers.peer(IoHandle(0)), peers.peer(IoHandle(7))), (Some(Peer::Unix), None));
    assert_eq!((peers.unacknowledged(IoHandle(0)), peers.unacknowledged(IoHandle(7))), (Some(4), None));
}

#[test]
fn a_handle_that_is_used_again_in_the_same_turn_keeps_its_place_among_those_served() {
    let mut reactor = fixture(Fake::new(2, 1000), 2, 0);
    reactor.get_mut().deliver(1, *b"old");
    reactor.submit(recv(1, Some(buf(16)))).unwrap();
    reactor.wait(None).unwrap();
    assert_eq!(received(&mut reactor).0, Ok(3));
    reactor.submit(close(1)).unwrap();
    assert!(matches!(reactor.next_completion().unwrap().outcome, Outcome::Close));
    reactor.get_mut().knock(0, 1);
    reactor.submit(accept(0)).unwrap();
    let accepted = reactor.next_completion().expect("a connection has arrived");
    assert!(matches!(accepted.outcome, Outcome::Accept(Ok(IoHandle(1)))), "{accepted:?}");
    reactor.submit(send(1, b"new", b"")).unwrap();
    assert_eq!(sent(&mut reactor), Ok(3));
    reactor.get_mut().deliver(1, *b"new");
    reactor.submit(recv(1, Some(buf(16)))).unwrap();
    assert!(reactor.next_completion().is_none(), "the handle has had its receive");
    reactor.wait(None).unwrap();
    assert_eq!(received(&mut reactor).0, Ok(3));
}

#[test]
fn operations_on_a_drained_or_full_handle_wait_for_an_event() {
    let mut reactor = fixture(Fake::new(1, 2), 1, 0);
    reactor.get_mut().deliver(0, *b"x");
    reactor.submit(recv(0, Some(buf(4)))).unwrap();
    reactor.submit(send(0, b"abc", b"")).unwrap();
    reactor.wait(None).unwrap();
    assert_eq!(sent(&mut reactor), Ok(2));
    assert_eq!(received(&mut reactor).0, Ok(1));
    assert!(reactor.next_completion().is_none());
    reactor.wait(None).unwrap();
    reactor.submit(recv(0, Some(buf(4)))).unwrap();
    reactor.submit(send(0, b"c", b"")).unwrap();
    assert!(!reactor.has_work());
    reactor.wait(None).unwrap();
    assert_eq!(reactor.get_ref().timeout, None);
    assert!(reactor.next_completion().is_none());
    assert_eq!(reactor.get_ref().calls, Calls { wait: 3, recv: 1, send: 1, ..Calls::default() });
}

#[test]
fn a_stack_with_more_to_report_keeps_the_loop_awake() {
    for (sees_part, has_more) in [(false, false), (true, false), (false, true), (true, true)] {
        let mut reactor = fixture(Fake { sees_part, has_more, ..Fake::new(1, 0) }, 1, 0);
        let seen = reactor.wait(None).unwrap();
        assert_eq!(seen, if sees_part { Seen::Part } else { Seen::All });
        assert_eq!(reactor.has_work(), sees_part || has_more, "{sees_part} {has_more}");
    }
}
