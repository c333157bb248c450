//! Behaviour specific to io_uring, which the contract suite does not cover: full queues, accepted connections that wait to
//! be handed out, sockets that are added and detached.
#![cfg(target_os = "linux")]

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use aurora_http_core::pool::Buf;
use aurora_http_core::reactor::{
    Completion, IoError, IoHandle, Op, OpKind, OpToken, Outcome, Peer, Reactor, Submission,
};
use aurora_http_uring::{Entry, Held, LentPlace, ListenOptions, Uring, listen, probe};

fn uring(sockets: usize, lent: usize) -> Option<Uring<'static>> {
    uring_with(sockets, sockets, lent)
}

fn uring_with(sockets: usize, held: usize, lent: usize) -> Option<Uring<'static>> {
    if let Err(refusal) = probe() {
        eprintln!("SKIPPED: {refusal}");
        return None;
    }
    let table: Vec<_> = (0..sockets).map(|_| Entry::new()).collect();
    let held: Vec<_> = (0..held).map(|_| Held::new()).collect();
    let lent: Vec<_> = (0..lent).map(|_| LentPlace::new()).collect();
    Some(Uring::new(table.leak(), held.leak(), lent.leak()).unwrap())
}

fn buf(bytes: &[u8], spare: usize) -> Buf<'static> {
    let mut buf = Buf::new(vec![0; bytes.len() + spare].leak());
    buf.append(bytes).unwrap();
    buf
}

fn submit(uring: &mut Uring<'_>, io: IoHandle, kind: OpKind, op: Op<'static>) {
    uring.submit(Submission { token: OpToken::new(io.0, 1, kind), op }).expect("a full queue is submitted");
}

/// Runs turns until `count` completions have arrived.
fn completions(uring: &mut Uring<'_>, count: usize) -> Vec<Completion<'static>> {
    let deadline = Instant::now() + Duration::from_secs(10);
    let mut done = Vec::new();
    while done.len() < count {
        assert!(Instant::now() < deadline, "{} of {count}", done.len());
        uring.wait(Some(Duration::from_millis(100))).unwrap();
        done.extend(std::iter::from_fn(|| uring.next_completion()));
    }
    assert_eq!(done.len(), count);
    done
}

fn listening(uring: &mut Uring<'_>) -> (IoHandle, SocketAddr) {
    let socket = listen((Ipv4Addr::LOCALHOST, 0).into(), &ListenOptions::default()).unwrap();
    let listener = uring.add_listener(socket).unwrap();
    (listener, uring.local_addr(listener).unwrap())
}

#[test]
fn more_operations_than_the_queue_holds_are_submitted_early() {
    const CONNECTIONS: usize = 400;
    let Some(mut uring) = uring(CONNECTIONS, 1) else { return };
    let (mine, theirs): (Vec<_>, Vec<_>) = (0..CONNECTIONS).map(|_| UnixStream::pair().unwrap()).unzip();
    let handles: Vec<_> = mine.into_iter().map(|stream| uring.add_stream(stream.into()).unwrap()).collect();
    for io in &handles {
        // Sends in two parts have a smaller limit per submit than other operations.
        submit(&mut uring, *io, OpKind::Send, Op::Send { io: *io, head: buf(b"head ", 0), body: b"body" });
        submit(&mut uring, *io, OpKind::Recv, Op::Recv { io: *io, into: Some(buf(b"", 8)) });
        for kind in [OpKind::Recv, OpKind::Send] {
            uring.cancel(OpToken::new(io.0, 1, kind), *io);
        }
    }
    let mut sent = 0;
    for completion in completions(&mut uring, 2 * CONNECTIONS) {
        match completion.outcome {
            Outcome::Recv { result, buf } => {
                assert_eq!(result, Err(IoError::Canceled));
                assert_eq!(buf.unwrap().capacity(), 8);
            }
            // The cancel may have come too late.
            Outcome::Send { result: Ok(9) | Err(IoError::Canceled), head, .. } => {
                assert_eq!(head.filled(), b"head ");
                sent += usize::from(result_is_ok(&theirs[completion.token.slot() as usize]));
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(sent > 0, "all were cancelled: no send was checked");
}

/// Whether what a peer has received is a whole message.
fn result_is_ok(mut peer: &UnixStream) -> bool {
    peer.set_nonblocking(true).unwrap();
    let mut bytes = [0; 20];
    match peer.read(&mut bytes) {
        Ok(count) => {
            assert_eq!(&bytes[..count], b"head body");
            true
        }
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::WouldBlock);
            false
        }
    }
}

#[test]
fn a_flood_of_connections_takes_fewer_turns_than_connections() {
    let Some(mut uring) = uring(64, 1) else { return };
    let (listener, address) = listening(&mut uring);
    let clients: Vec<_> = (0..15).map(|_| TcpStream::connect(address).unwrap()).collect();
    let mut peers = Vec::new();
    let mut turns = 0;
    submit(&mut uring, listener, OpKind::Accept, Op::Accept { listener });
    while peers.len() < clients.len() {
        turns += 1;
        assert!(turns < 10, "{} connections", peers.len());
        uring.wait(Some(Duration::from_secs(1))).unwrap();
        while let Some(completion) = uring.next_completion() {
            let Outcome::Accept(Ok(io)) = completion.outcome else { panic!("{completion:?}") };
            peers.push(uring.peers().peer(io));
            submit(&mut uring, listener, OpKind::Accept, Op::Accept { listener });
        }
    }
    let expected: Vec<_> = clients.iter().map(|client| Some(Peer::Ip(client.local_addr().unwrap()))).collect();
    for peer in expected {
        assert!(peers.contains(&peer), "{peer:?}");
    }
}

#[test]
fn connections_beyond_the_table_wait_in_the_backlog() {
    // Room for the listener and two connections.
    let Some(mut uring) = uring(3, 1) else { return };
    let (listener, address) = listening(&mut uring);
    let clients: Vec<_> = (0..4).map(|_| TcpStream::connect(address).unwrap()).collect();
    let mut handles = Vec::new();
    for _ in 0..2 {
        submit(&mut uring, listener, OpKind::Accept, Op::Accept { listener });
        match completions(&mut uring, 1).pop().unwrap().outcome {
            Outcome::Accept(Ok(io)) => handles.push(io),
            other => panic!("{other:?}"),
        }
    }
    submit(&mut uring, listener, OpKind::Accept, Op::Accept { listener });
    let refused = completions(&mut uring, 1).pop().unwrap().outcome;
    assert!(matches!(refused, Outcome::Accept(Err(IoError::FileLimit))), "{refused:?}");
    submit(&mut uring, handles[0], OpKind::Close, Op::Close { io: handles[0] });
    completions(&mut uring, 1);
    submit(&mut uring, listener, OpKind::Accept, Op::Accept { listener });
    let outcome = completions(&mut uring, 1).pop().unwrap().outcome;
    assert!(matches!(outcome, Outcome::Accept(Ok(_))), "{outcome:?}");
    drop(clients);
}

#[test]
fn closing_a_listener_ends_its_accepts_and_what_they_took() {
    let Some(mut uring) = uring(32, 1) else { return };
    let (listener, address) = listening(&mut uring);
    submit(&mut uring, listener, OpKind::Accept, Op::Accept { listener });
    uring.cancel(OpToken::new(listener.0, 1, OpKind::Accept), listener);
    let outcome = completions(&mut uring, 1).pop().unwrap().outcome;
    assert!(matches!(outcome, Outcome::Accept(Err(IoError::Canceled))), "{outcome:?}");
    // The kernel accepts them all the same, though the engine does not ask for them.
    let mut clients: Vec<_> = (0..3).map(|_| TcpStream::connect(address).unwrap()).collect();
    uring.wait(Some(Duration::from_millis(20))).unwrap();
    assert!(uring.next_completion().is_none());
    submit(&mut uring, listener, OpKind::Close, Op::Close { io: listener });
    let outcome = completions(&mut uring, 1).pop().unwrap().outcome;
    assert!(matches!(outcome, Outcome::Close), "{outcome:?}");
    for client in &mut clients {
        client.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        match client.read(&mut [0; 8]) {
            Ok(count) => assert_eq!(count, 0),
            Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
        }
    }
    assert_eq!(TcpStream::connect(address).unwrap_err().kind(), ErrorKind::ConnectionRefused);
}

#[test]
fn a_detached_socket_lives_on_and_its_handle_is_free() {
    let Some(mut uring) = uring(1, 1) else { return };
    let (mine, mut theirs) = UnixStream::pair().unwrap();
    let io = uring.add_stream(mine.into()).unwrap();
    assert_eq!(uring.peers().peer(io), Some(Peer::Unix));
    submit(&mut uring, io, OpKind::Recv, Op::Recv { io, into: Some(buf(b"", 8)) });
    assert!(uring.detach(io).is_none(), "a receive is in flight");
    uring.cancel(OpToken::new(io.0, 1, OpKind::Recv), io);
    completions(&mut uring, 1);
    let mut mine = UnixStream::from(uring.detach(io).unwrap());
    assert!(uring.detach(io).is_none(), "it was detached already");
    assert_eq!(uring.peers().peer(io), None);
    mine.write_all(b"still here").unwrap();
    let mut bytes = [0; 10];
    theirs.read_exact(&mut bytes).unwrap();
    assert_eq!(&bytes, b"still here");
    let (other, _theirs) = UnixStream::pair().unwrap();
    assert_eq!(uring.add_stream(other.into()), Ok(io));
}

#[test]
fn buffers_are_reclaimed_while_receives_wait_and_completions_are_kept() {
    let Some(mut uring) = uring(4, 4) else { return };
    let (mine, theirs): (Vec<_>, Vec<_>) = (0..3).map(|_| UnixStream::pair().unwrap()).unzip();
    let handles: Vec<_> = mine.into_iter().map(|stream| uring.add_stream(stream.into()).unwrap()).collect();
    for _ in 0..4 {
        uring.provide(buf(b"", 64)).unwrap();
    }
    for io in &handles {
        submit(&mut uring, *io, OpKind::Recv, Op::Recv { io: *io, into: None });
    }
    uring.wait(Some(Duration::ZERO)).unwrap();
    assert!(uring.next_completion().is_none());
    (&theirs[0]).write_all(b"early").unwrap();
    // The receive completes, but its completion is not handed out yet.
    uring.wait(Some(Duration::from_secs(10))).unwrap();
    let reclaimed: Vec<_> = std::iter::from_fn(|| uring.reclaim()).collect();
    assert_eq!(reclaimed.len(), 3, "a receive has picked one");
    assert!(reclaimed.iter().all(Buf::is_empty));
    match completions(&mut uring, 1).pop().unwrap().outcome {
        Outcome::Recv { result: Ok(5), buf: Some(buf) } => assert_eq!(buf.filled(), b"early"),
        other => panic!("{other:?}"),
    }
    (&theirs[1]).write_all(b"famine").unwrap();
    let outcome = completions(&mut uring, 1).pop().unwrap().outcome;
    assert!(matches!(outcome, Outcome::Recv { result: Err(IoError::NoBuffers), buf: None }), "{outcome:?}");
    // Lend another one.
    uring.provide(buf(b"", 64)).unwrap();
    (&theirs[2]).write_all(b"late").unwrap();
    match completions(&mut uring, 1).pop().unwrap().outcome {
        Outcome::Recv { result: Ok(4), buf: Some(buf) } => assert_eq!(buf.filled(), b"late"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn operations_with_a_buffer_are_returned_until_a_record_is_free() {
    let Some(mut uring) = uring_with(4, 1, 1) else { return };
    let pairs: Vec<_> = (0..2).map(|_| UnixStream::pair().unwrap()).collect();
    let mut clients = Vec::new();
    let ios: Vec<_> = pairs
        .into_iter()
        .map(|(client, server)| {
            clients.push(client);
            uring.add_stream(server.into()).unwrap()
        })
        .collect();
    let recv = |io: IoHandle, into| {
        let op = Op::Recv { io, into: Some(into) };
        Submission { token: OpToken::new(io.0, 1, OpKind::Recv), op }
    };
    uring.submit(recv(ios[0], buf(b"", 8))).unwrap();
    submit(&mut uring, ios[0], OpKind::Send, Op::Send { io: ios[0], head: buf(b"head", 0), body: b"body" });
    assert!(matches!(completions(&mut uring, 1)[0].outcome, Outcome::Send { result: Ok(8), .. }));
    let returned = uring.submit(recv(ios[1], buf(b"earlier", 8))).expect_err("no record is free");
    assert!(matches!(&returned.op, Op::Recv { into: Some(into), .. } if into.filled() == b"earlier"));
    clients[0].write_all(b"x").unwrap();
    assert!(matches!(completions(&mut uring, 1)[0].outcome, Outcome::Recv { result: Ok(1), .. }));
    uring.submit(returned).expect("the record is free");
    clients[1].write_all(b"x").unwrap();
    let done = completions(&mut uring, 1);
    assert!(matches!(&done[0].outcome, Outcome::Recv { buf: Some(buf), .. } if buf.filled() == b"earlierx"));

    let Some(mut uring) = uring_with(2, 0, 1) else { return };
    let io = uring.add_stream(UnixStream::pair().unwrap().1.into()).unwrap();
    uring.submit(recv(io, buf(b"earlier", 8))).unwrap();
    let done = completions(&mut uring, 1);
    let Outcome::Recv { result: Err(IoError::Unsupported), buf: Some(buf) } = &done[0].outcome else {
        panic!("{done:?}")
    };
    assert_eq!(buf.filled(), b"earlier");
}
