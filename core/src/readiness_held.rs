//! The table of what operations hold: who gets a record, what happens when none is free, and what a dropped reactor leaves.

use super::*;

#[test]
fn operations_with_a_buffer_are_returned_until_a_record_is_free() {
    let mut fake = Fake::new(3, 0);
    fake.deliver(2, *b"x");
    let mut reactor = fixture_with(fake, 3, 1, 1);
    reactor.submit(send(0, b"first", b"")).unwrap();
    reactor.submit(recv(0, Some(buf(4)))).expect("both operations of a handle use its record");
    for _ in 0..2 {
        let returned = reactor.submit(send(1, b"head", b"body")).expect_err("no record is free");
        assert_eq!(returned.token, token(1, OpKind::Send));
        let Op::Send { head, body, .. } = returned.op else { panic!("another operation came back") };
        assert_eq!((head.filled(), body), (&b"head"[..], &b"body"[..]));
        let returned = reactor.submit(recv(1, Some(filled(b"earlier")))).expect_err("no record is free");
        assert!(matches!(returned.op, Op::Recv { into: Some(into), .. } if into.filled() == b"earlier"));
    }
    reactor.submit(recv(2, None)).expect("it holds nothing");
    reactor.provide(buf(8)).unwrap();
    reactor.wait(None).unwrap();
    assert_eq!(received(&mut reactor).0, Ok(1));

    reactor.cancel(token(0, OpKind::Send), IoHandle(0));
    assert_eq!(sent(&mut reactor), Err(IoError::Canceled));
    assert!(reactor.submit(send(1, b"head", b"")).is_err(), "the receive still holds its buffer");
    reactor.cancel(token(0, OpKind::Recv), IoHandle(0));
    assert!(received(&mut reactor).1.is_some());
    reactor.submit(send(1, b"head", b"")).expect("the record is free");
    assert!(reactor.submit(send(0, b"head", b"")).is_err(), "and taken again");
}

#[test]
fn without_any_record_operations_with_a_buffer_fail() {
    let mut reactor = fixture_with(Fake::new(1, 100), 1, 0, 0);
    reactor.submit(send(0, b"head", b"")).unwrap();
    reactor.wait(None).unwrap();
    assert_eq!(sent(&mut reactor), Err(IoError::Unsupported));
    reactor.submit(recv(0, Some(buf(4)))).unwrap();
    let (result, back) = received(&mut reactor);
    assert_eq!((result, back.map(|buf| buf.capacity())), (Err(IoError::Unsupported), Some(4)));
}

#[test]
fn a_dropped_reactor_leaves_the_buffers_to_be_taken() {
    let parked = vec![Parked::new(), Parked::new()].leak();
    let held: &mut [Held<'static>] = vec![Held::new(), Held::new()].leak();
    let lent: &mut [Option<Buf<'static>>] = vec![None, None].leak();
    for _ in 0..2 {
        let mut reactor = Readiness::new(Fake::new(2, 0), &mut *parked, &mut *held, &mut *lent);
        reactor.submit(recv(0, Some(buf(16)))).unwrap();
        reactor.submit(send(0, b"head", b"body")).unwrap();
        reactor.submit(recv(1, None)).unwrap();
        reactor.provide(buf(32)).unwrap();
        reactor.wait(None).unwrap();
        drop(reactor);
        let mut buffers: Vec<_> = held.iter_mut().flat_map(Held::take_buffers).collect();
        buffers.extend(lent.iter_mut().filter_map(Option::take));
        let sizes: Vec<_> = buffers.iter().map(Buf::capacity).collect();
        assert_eq!(sizes, [16, 4, 32]);
        assert_eq!(held.iter_mut().flat_map(Held::take_buffers).count(), 0, "they can be taken only once");
    }
}

#[test]
fn buffers_that_were_not_taken_are_not_those_of_the_next_reactor() {
    let parked = vec![Parked::new(), Parked::new()].leak();
    let held: &mut [Held<'static>] = vec![Held::new(), Held::new()].leak();
    let mut reactor = Readiness::new(Fake::new(2, 0), &mut *parked, &mut *held, &mut []);
    for index in 0..2 {
        reactor.submit(recv(index, Some(buf(16)))).unwrap();
    }
    reactor.submit(send(1, b"old", b"")).unwrap();
    // One record is free when the reactor is dropped.
    reactor.cancel(token(0, OpKind::Recv), IoHandle(0));
    assert!(reactor.next_completion().is_some());
    drop(reactor);
    let mut fake = Fake::new(2, 100);
    fake.deliver(0, *b"x");
    let mut reactor = Readiness::new(fake, parked, held, vec![None].leak());
    reactor.provide(buf(8)).unwrap();
    for index in [1, 0] {
        reactor.submit(send(index, b"new", b"")).unwrap();
    }
    reactor.submit(recv(0, None)).unwrap();
    reactor.wait(None).unwrap();
    assert_eq!((sent(&mut reactor), sent(&mut reactor)), (Ok(3), Ok(3)));
    assert_eq!(received(&mut reactor).1.map(|buf| buf.capacity()), Some(8), "the lent one");
    assert!(reactor.get_ref().sockets.iter().all(|socket| socket.outbound == b"new"));
}
