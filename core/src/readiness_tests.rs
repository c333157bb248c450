use std::boxed::Box;
use std::vec;
use std::vec::Vec;

use super::*;

#[path = "readiness_calls.rs"]
mod calls;
#[path = "readiness_fake.rs"]
mod fake;
#[path = "readiness_held.rs"]
mod held;
#[path = "readiness_model.rs"]
mod model;

use fake::{Calls, Fake};

type Fixture = Readiness<'static, 'static, Fake>;

fn fixture(fake: Fake, handles: usize, lent: usize) -> Fixture {
    fixture_with(fake, handles, handles, lent)
}

fn fixture_with(fake: Fake, handles: usize, held: usize, lent: usize) -> Fixture {
    let parked: Vec<_> = (0..handles).map(|_| Parked::new()).collect();
    let held: Vec<_> = (0..held).map(|_| Held::new()).collect();
    let places: Vec<_> = (0..lent).map(|_| None).collect();
    Readiness::new(fake, parked.leak(), held.leak(), places.leak())
}

fn buf(capacity: usize) -> Buf<'static> {
    Buf::new(vec![0; capacity].leak())
}

fn filled(bytes: &[u8]) -> Buf<'static> {
    let mut buf = buf(bytes.len());
    buf.append(bytes).unwrap();
    buf
}

const GENERATION: u32 = 1;

fn token(slot: u32, kind: OpKind) -> OpToken {
    OpToken::new(slot, GENERATION, kind)
}

fn recv(io: u32, into: Option<Buf<'static>>) -> Submission<'static> {
    Submission { token: token(io, OpKind::Recv), op: Op::Recv { io: IoHandle(io), into } }
}

fn send(io: u32, head: &[u8], body: &'static [u8]) -> Submission<'static> {
    let op = Op::Send { io: IoHandle(io), head: filled(head), body };
    Submission { token: token(io, OpKind::Send), op }
}

fn accept(listener: u32) -> Submission<'static> {
    let op = Op::Accept { listener: IoHandle(listener) };
    Submission { token: token(listener, OpKind::Accept), op }
}

fn close(io: u32) -> Submission<'static> {
    Submission { token: token(io, OpKind::Close), op: Op::Close { io: IoHandle(io) } }
}

/// The next completion, which must be a receive's.
fn received(reactor: &mut Fixture) -> (Result<u32, IoError>, Option<Buf<'static>>) {
    match reactor.next_completion() {
        Some(Completion { outcome: Outcome::Recv { result, buf }, more: false, .. }) => (result, buf),
        other => panic!("not a receive: {other:?}"),
    }
}

/// The next completion, which must be a send's.
fn sent(reactor: &mut Fixture) -> Result<u32, IoError> {
    match reactor.next_completion() {
        Some(Completion { outcome: Outcome::Send { result, .. }, more: false, .. }) => result,
        other => panic!("not a send: {other:?}"),
    }
}

#[test]
fn steady_state_is_one_wait_one_receive_and_one_send_per_request() {
    let mut reactor = fixture(Fake::new(1, 1000), 1, 0);
    reactor.submit(recv(0, Some(buf(16)))).unwrap();
    reactor.wait(None).unwrap();
    assert!(reactor.next_completion().is_none());
    reactor.get_mut().calls = Calls::default();
    for _ in 0..10 {
        reactor.get_mut().deliver(0, *b"request");
        reactor.wait(None).unwrap();
        assert_eq!(reactor.get_ref().timeout, None, "nothing was pending");
        let (result, back) = received(&mut reactor);
        assert_eq!((result, back.unwrap().filled()), (Ok(7), &b"request"[..]));
        reactor.submit(send(0, b"head", b"body")).unwrap();
        assert_eq!(sent(&mut reactor), Ok(8));
        reactor.submit(recv(0, Some(buf(16)))).unwrap();
        assert!(reactor.next_completion().is_none());
    }
    assert_eq!(reactor.get_ref().calls, Calls { wait: 10, recv: 10, send: 10, ..Calls::default() });
}

#[test]
fn after_a_reported_end_receives_continue_without_an_event() {
    let mut reactor = fixture(Fake::new(1, 0), 1, 0);
    reactor.submit(recv(0, Some(buf(16)))).unwrap();
    reactor.get_mut().deliver(0, *b"last words");
    reactor.get_mut().finish(0);
    reactor.wait(None).unwrap();
    for expected in [10, 0, 0] {
        assert_eq!(received(&mut reactor).0, Ok(expected));
        reactor.submit(recv(0, Some(buf(16)))).unwrap();
        assert!(reactor.next_completion().is_none(), "one receive per turn");
        reactor.wait(None).unwrap();
        assert_eq!(reactor.get_ref().timeout, Some(Duration::ZERO), "the next one is pending");
    }
}

#[test]
fn a_fin_is_received_whichever_flag_reports_it_and_again() {
    let readable = Ready { readable: true, ..Ready::default() };
    let ended = Ready { ended: true, ..Ready::default() };
    for edge in [readable, ended] {
        let mut reactor = fixture(Fake::new(1, 0), 1, 0);
        reactor.submit(recv(0, Some(buf(4)))).unwrap();
        reactor.wait(None).unwrap();
        assert!(reactor.next_completion().is_none());
        reactor.get_mut().finish_reported_as(0, edge);
        reactor.wait(None).unwrap();
        assert_eq!(received(&mut reactor).0, Ok(0), "{edge:?}");
        reactor.submit(recv(0, Some(buf(4)))).unwrap();
        reactor.wait(None).unwrap();
        assert_eq!(received(&mut reactor).0, Ok(0), "{edge:?}");
    }
}

const READ: Ready = Ready { readable: true, writable: false, ended: false };
const READ_EOF: Ready = Ready { ended: true, ..READ };
const WRITE: Ready = Ready { readable: false, writable: true, ended: false };

/// A parked receive and a parked send on handle 0, the receive with room for 4 bytes.
fn parked(mut fake: Fake) -> Fixture {
    fake.sockets[0].room = 0;
    let mut reactor = fixture(fake, 3, 0);
    reactor.submit(recv(0, Some(buf(4)))).unwrap();
    reactor.submit(send(0, b"x", b"")).unwrap();
    reactor.wait(None).unwrap();
    assert!(reactor.next_completion().is_none());
    reactor.get_mut().calls = Calls::default();
    reactor
}

#[test]
fn several_events_of_a_socket_cause_one_attempt_per_direction() {
    for events in [&[WRITE, READ][..], &[READ, WRITE], &[WRITE, READ, WRITE, READ], &[READ_EOF, WRITE, READ]] {
        let mut reactor = parked(Fake::new(1, 0));
        reactor.get_mut().events = events.iter().map(|event| (0, *event)).collect();
        reactor.wait(None).unwrap();
        assert!(reactor.next_completion().is_none(), "{events:?}: no bytes have arrived");
        assert_eq!(reactor.get_ref().calls, Calls { wait: 1, recv: 1, send: 1, ..Calls::default() }, "{events:?}");
    }
}

#[test]
fn the_end_of_writing_fails_sends_and_loses_no_received_byte() {
    let mut reactor = parked(Fake::new(1, 0));
    reactor.get_mut().deliver(0, *b"last words");
    reactor.get_mut().reset(0);
    // The end of writing (kqueue: EV_EOF on its filter) is reported first, and separately.
    reactor.get_mut().sockets[0].hold();
    reactor.get_mut().events = vec![(0, WRITE)];
    reactor.wait(None).unwrap();
    assert_eq!(sent(&mut reactor), Err(IoError::ConnectionReset));
    assert!(reactor.next_completion().is_none(), "the receive waits for its own event");
    reactor.get_mut().events = vec![(0, READ_EOF)];
    for expected in [Ok(4), Ok(4), Ok(2), Err(IoError::ConnectionReset)] {
        reactor.wait(None).unwrap();
        assert_eq!(received(&mut reactor).0, expected);
        reactor.submit(recv(0, Some(buf(4)))).unwrap();
    }
}

#[test]
fn events_of_a_closed_handle_do_not_affect_its_successor() {
    let mut reactor = fixture(Fake::new(2, 0), 2, 0);
    reactor.submit(close(1)).unwrap();
    assert!(matches!(reactor.next_completion().unwrap().outcome, Outcome::Close));
    reactor.get_mut().calls = Calls::default();
    reactor.get_mut().events = vec![(1, READ_EOF), (1, WRITE), (7, READ_EOF)];
    reactor.wait(None).unwrap();
    assert!(reactor.next_completion().is_none());
    assert_eq!(reactor.get_ref().calls, Calls { wait: 1, ..Calls::default() });

    reactor.get_mut().knock(0, 1);
    reactor.submit(accept(0)).unwrap();
    assert!(matches!(reactor.next_completion().unwrap().outcome, Outcome::Accept(Ok(IoHandle(1)))));
    reactor.get_mut().deliver(1, *b"x");
    for expected in [Some(1), None] {
        reactor.submit(recv(1, Some(buf(4)))).unwrap();
        reactor.wait(None).unwrap();
        match expected {
            Some(count) => assert_eq!(received(&mut reactor).0, Ok(count)),
            None => assert!(reactor.next_completion().is_none()),
        }
    }
    assert_eq!(reactor.get_ref().calls.recv, 1, "a short receive drained it, and its end was not reported");
}

#[test]
fn a_busy_handle_has_one_receive_and_one_send_per_turn() {
    let mut reactor = fixture(Fake::new(2, 1000), 2, 0);
    reactor.get_mut().deliver(0, [7; 100]);
    reactor.get_mut().deliver(1, [7; 100]);
    reactor.submit(recv(0, Some(buf(4)))).unwrap();
    reactor.submit(recv(1, Some(buf(4)))).unwrap();
    for turn in 0..5 {
        reactor.wait(None).unwrap();
        let mut completions = [0; 2];
        while let Some(completion) = reactor.next_completion() {
            let slot = completion.token.slot();
            completions[slot as usize] += 1;
            match completion.outcome {
                Outcome::Recv { .. } => {
                    reactor.submit(recv(slot, Some(buf(4)))).unwrap();
                    reactor.submit(send(slot, b"x", b"")).unwrap();
                }
                Outcome::Send { .. } => {}
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(completions, [2, 2], "turn {turn}: a receive, and the send submitted after it");
    }
}

#[test]
fn a_short_send_parks_until_a_writable_event() {
    let mut reactor = fixture(Fake::new(1, 6), 1, 0);
    reactor.submit(send(0, b"head", b"body")).unwrap();
    reactor.wait(None).unwrap();
    assert_eq!(sent(&mut reactor), Ok(6));
    reactor.submit(send(0, b"dy", b"")).unwrap();
    reactor.wait(None).unwrap();
    assert!(reactor.next_completion().is_none());
    assert_eq!(reactor.get_ref().calls.send, 1, "no attempt without an event");
    reactor.get_mut().make_room(0, 10);
    reactor.wait(None).unwrap();
    assert_eq!(sent(&mut reactor), Ok(2));
    assert_eq!(reactor.get_ref().sockets[0].outbound, b"headbody");
}

#[test]
fn a_lent_buffer_is_taken_only_when_bytes_have_arrived() {
    let mut reactor = fixture(Fake::new(2, 0), 2, 1);
    reactor.submit(recv(0, None)).unwrap();
    reactor.get_mut().deliver(0, *b"x");
    reactor.wait(None).unwrap();
    let (result, back) = received(&mut reactor);
    assert_eq!(result, Err(IoError::NoBuffers));
    assert!(back.is_none());
    reactor.submit(recv(0, None)).unwrap();
    assert!(reactor.next_completion().is_none(), "one completion per turn: resubmitting must not spin");

    reactor.provide(buf(8)).unwrap();
    assert!(reactor.provide(buf(8)).is_err(), "the storage has one place");
    reactor.submit(recv(1, None)).unwrap();
    reactor.wait(None).unwrap();
    let (result, back) = received(&mut reactor);
    assert_eq!((result, back.unwrap().filled()), (Ok(1), &b"x"[..]));
    assert!(reactor.next_completion().is_none());
    assert!(reactor.reclaim().is_none());

    reactor.provide(buf(8)).unwrap();
    reactor.wait(None).unwrap();
    assert!(reactor.next_completion().is_none());
    assert!(reactor.reclaim().is_some(), "a parked receive holds no lent buffer");
    assert!(reactor.provide(buf(0)).is_err(), "a buffer without room is refused");
}

#[test]
fn a_turn_ends_despite_a_flood_of_connections() {
    let mut reactor = fixture(Fake::new(1, 0), 200, 0);
    reactor.get_mut().knock(0, 100);
    reactor.submit(accept(0)).unwrap();
    for expected in [ACCEPTS_PER_TURN, 100 - ACCEPTS_PER_TURN] {
        reactor.wait(None).unwrap();
        let mut accepted = 0;
        while let Some(completion) = reactor.next_completion() {
            assert!(matches!(completion.outcome, Outcome::Accept(Ok(_))), "{completion:?}");
            accepted += 1;
            reactor.submit(accept(0)).unwrap();
        }
        assert_eq!(accepted, expected);
    }
}

#[test]
fn a_connection_beyond_the_table_is_closed_and_reported() {
    let mut reactor = fixture(Fake::new(1, 0), 2, 0);
    reactor.get_mut().knock(0, 3);
    reactor.submit(accept(0)).unwrap();
    reactor.wait(None).unwrap();
    let first = reactor.next_completion().unwrap();
    assert!(matches!(first.outcome, Outcome::Accept(Ok(IoHandle(1)))), "{first:?}");
    reactor.submit(accept(0)).unwrap();
    let second = reactor.next_completion().unwrap();
    assert!(matches!(second.outcome, Outcome::Accept(Err(IoError::FileLimit))), "{second:?}");
    assert!(!reactor.get_ref().sockets[2].open);
}

#[test]
fn a_failed_accept_completes_and_the_next_one_tries_again() {
    let mut reactor = fixture(Fake::new(1, 0), 4, 0);
    reactor.get_mut().knock(0, 1);
    reactor.get_mut().accept_error = Some(IoError::FileLimit);
    reactor.submit(accept(0)).unwrap();
    reactor.wait(None).unwrap();
    let failed = reactor.next_completion().unwrap();
    assert!(matches!(failed.outcome, Outcome::Accept(Err(IoError::FileLimit))) && !failed.more, "{failed:?}");
    assert!(reactor.next_completion().is_none());
    reactor.submit(accept(0)).unwrap();
    let accepted = reactor.next_completion().unwrap();
    assert!(matches!(accepted.outcome, Outcome::Accept(Ok(_))), "{accepted:?}");
}

#[test]
fn shutdown_retries_parked_operations_without_an_event() {
    for (how, recv_ends, send_ends) in
        [(Shutdown::Read, true, false), (Shutdown::Write, false, true), (Shutdown::Both, true, true)]
    {
        let mut reactor = fixture(Fake::new(1, 0), 1, 0);
        reactor.submit(recv(0, Some(buf(4)))).unwrap();
        reactor.submit(send(0, b"x", b"")).unwrap();
        reactor.wait(None).unwrap();
        assert!(reactor.next_completion().is_none());
        reactor.shutdown(IoHandle(0), how);
        reactor.wait(None).unwrap();
        assert_eq!(reactor.get_ref().timeout, Some(Duration::ZERO));
        if send_ends {
            assert_eq!(sent(&mut reactor), Err(IoError::ConnectionReset), "{how:?}");
        }
        if recv_ends {
            let (result, back) = received(&mut reactor);
            assert_eq!(result, Ok(0), "{how:?}");
            assert!(back.unwrap().is_empty());
        }
        assert!(reactor.next_completion().is_none(), "{how:?}");
    }
}

#[test]
fn cancel_ends_only_what_the_token_names() {
    let mut reactor = fixture(Fake::new(1, 0), 1, 0);
    reactor.submit(recv(0, Some(buf(4)))).unwrap();
    reactor.submit(send(0, b"x", b"y")).unwrap();
    reactor.wait(None).unwrap();
    assert!(reactor.next_completion().is_none());
    reactor.cancel(OpToken::new(0, GENERATION + 1, OpKind::Recv), IoHandle(0));
    reactor.cancel(token(0, OpKind::Accept), IoHandle(0));
    reactor.cancel(token(0, OpKind::Close), IoHandle(0));
    reactor.cancel(token(0, OpKind::Recv), IoHandle(7));
    assert!(reactor.next_completion().is_none());
    reactor.cancel(token(0, OpKind::Send), IoHandle(0));
    assert_eq!(sent(&mut reactor), Err(IoError::Canceled));
    reactor.cancel(token(0, OpKind::Send), IoHandle(0));
    assert!(reactor.next_completion().is_none(), "it has completed");
    reactor.cancel(token(0, OpKind::Recv), IoHandle(0));
    let (result, back) = received(&mut reactor);
    assert_eq!(result, Err(IoError::Canceled));
    assert!(back.is_some());
}

#[test]
fn violations_of_the_contract_fail_and_return_their_buffers() {
    let mut reactor = fixture(Fake::new(1, 0), 1, 0);
    reactor.submit(recv(0, Some(buf(4)))).unwrap();
    let rows: [(&str, Submission<'static>); 6] = [
        ("a second receive", recv(0, Some(buf(4)))),
        ("another owner", Submission { token: OpToken::new(9, 1, OpKind::Send), ..send(0, b"x", b"") }),
        ("no such handle: recv", recv(1, Some(buf(4)))),
        ("no such handle: send", send(u32::MAX, b"x", b"")),
        ("no such handle: accept", accept(1)),
        ("no such handle: close", close(1)),
    ];
    for (row, submission) in rows {
        let token = submission.token;
        reactor.submit(submission).unwrap();
        let full = reactor.submit(recv(5, None)).expect_err("there is room for one refusal");
        assert_eq!(full.token.slot(), 5);
        reactor.wait(None).unwrap();
        assert_eq!(reactor.get_ref().timeout, Some(Duration::ZERO), "{row}");
        let completion = reactor.next_completion().expect(row);
        assert_eq!(completion.token, token, "{row}");
        match completion.outcome {
            Outcome::Accept(result) => assert_eq!(result, Err(IoError::Unsupported), "{row}"),
            Outcome::Recv { result, buf } => {
                assert_eq!(result, Err(IoError::Unsupported), "{row}");
                assert!(buf.is_some(), "{row}");
            }
            Outcome::Send { result, head, .. } => {
                assert_eq!((result, head.filled()), (Err(IoError::Unsupported), &b"x"[..]), "{row}");
            }
            Outcome::Close => assert_eq!(row, "no such handle: close"),
        }
        assert!(reactor.next_completion().is_none(), "{row}");
    }
    reactor.cancel(token(0, OpKind::Recv), IoHandle(0));
    assert_eq!(received(&mut reactor).0, Err(IoError::Canceled));

    let mut full = buf(2);
    full.append(b"ab").unwrap();
    reactor.get_mut().deliver(0, *b"c");
    reactor.submit(recv(0, Some(full))).unwrap();
    reactor.wait(None).unwrap();
    assert_eq!(received(&mut reactor).0, Err(IoError::Unsupported), "0 bytes would mean FIN");
}

#[test]
fn closing_too_early_returns_the_buffers_first() {
    let mut reactor = fixture(Fake::new(1, 0), 1, 0);
    reactor.submit(recv(0, Some(buf(4)))).unwrap();
    reactor.submit(send(0, b"x", b"")).unwrap();
    reactor.submit(close(0)).unwrap();
    assert_eq!(received(&mut reactor).0, Err(IoError::Canceled));
    assert_eq!(sent(&mut reactor), Err(IoError::Canceled));
    let closed = reactor.next_completion().unwrap();
    assert!(matches!(closed.outcome, Outcome::Close), "{closed:?}");
    assert_eq!(reactor.get_ref().calls, Calls { close: 1, ..Calls::default() });
}

#[test]
fn the_reactor_is_object_safe() {
    let mut reactor: Box<dyn Reactor<'static>> = Box::new(fixture(Fake::new(1, 0), 1, 0));
    assert_eq!(reactor.now(), Instant(0));
    assert_eq!(reactor.unix_time(), Some(1_000), "that of the stack");
    reactor.wait(Some(Duration::ZERO)).unwrap();
}

#[test]
fn an_event_after_65536_turns_is_not_lost() {
    let mut reactor = fixture(Fake::new(1, 1000), 1, 0);
    reactor.submit(recv(0, Some(buf(16)))).unwrap();
    reactor.wait(None).unwrap();
    assert!(reactor.next_completion().is_none());
    reactor.get_mut().deliver(0, *b"request");
    reactor.wait(None).unwrap();
    assert_eq!(received(&mut reactor).0, Ok(7));
    reactor.submit(recv(0, Some(buf(16)))).unwrap();
    assert!(reactor.next_completion().is_none());
    // Other connections keep the loop turning.
    for _ in 0..65_535 {
        reactor.wait(Some(Duration::ZERO)).unwrap();
        assert!(reactor.next_completion().is_none());
    }
    reactor.get_mut().deliver(0, *b"request");
    reactor.wait(None).unwrap();
    assert_eq!(received(&mut reactor).0, Ok(7));
}

#[test]
fn room_after_65536_turns_is_noticed() {
    let mut reactor = fixture(Fake::new(1, 4), 1, 0);
    reactor.submit(send(0, b"headbody", b"")).unwrap();
    reactor.wait(None).unwrap();
    assert_eq!(sent(&mut reactor), Ok(4));
    reactor.submit(send(0, b"body", b"")).unwrap();
    assert!(reactor.next_completion().is_none());
    for _ in 0..65_535 {
        reactor.wait(Some(Duration::ZERO)).unwrap();
        assert!(reactor.next_completion().is_none());
    }
    reactor.get_mut().make_room(0, 100);
    reactor.wait(None).unwrap();
    assert_eq!(sent(&mut reactor), Ok(4));
}

#[test]
fn work_that_no_event_will_announce_is_reported() {
    let mut reactor = fixture(Fake::new(2, 1000), 2, 0);
    reactor.submit(recv(0, Some(buf(4)))).unwrap();
    assert!(reactor.has_work(), "it may have bytes");
    reactor.get_mut().deliver(0, *b"requests");
    reactor.wait(None).unwrap();
    assert_eq!(received(&mut reactor).0, Ok(4));
    assert!(reactor.next_completion().is_none());
    assert!(!reactor.has_work(), "no operation waits for the rest");
    reactor.submit(recv(0, Some(buf(4)))).unwrap();
    assert!(reactor.next_completion().is_none(), "it had its share");
    assert!(reactor.has_work(), "it can be tried in the next turn");
    reactor.wait(None).unwrap();
    assert_eq!(reactor.get_ref().timeout, Some(Duration::ZERO));
    assert_eq!(received(&mut reactor).0, Ok(4));
    reactor.submit(recv(0, Some(buf(4)))).unwrap();
    reactor.wait(None).unwrap();
    assert!(reactor.next_completion().is_none(), "the call would block");
    assert!(!reactor.has_work(), "an event will follow");
    let stray = Submission { token: token(9, OpKind::Recv), op: Op::Recv { io: IoHandle(9), into: None } };
    reactor.submit(stray).unwrap();
    assert!(reactor.has_work(), "a refused operation is pending");
}
