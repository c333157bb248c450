//! The stack under an engine, with clients on the same wire.

mod network;

use aurora_http_core::reactor::{Attempt, IoError, IoHandle, NonBlocking, Peer, Seen, Shutdown};
use aurora_http_smoltcp::{HANDSHAKE_MS, LEAVE_MS};
use network::{GET, SLOTS, SOCKETS, connect, socket, take, with_server, with_stack};
use smoltcp::socket::tcp::State;
use std::time::Duration;

#[test]
fn a_connection_is_kept_and_closed_when_it_idles() {
    with_server(|server, _| {
        let client = server.connect(0);
        server.turn_until(|server| server.socket(client).may_send());
        for _ in 0..3 {
            server.socket(client).send_slice(GET).expect("an open connection");
            let mut answer = String::new();
            server.turn_until(|server| {
                answer.push_str(&server.take(client));
                answer.ends_with("\r\n\r\nhello\n")
            });
            assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        }
        let idle_ms = server.turn_until(|server| server.socket(client).state() == State::CloseWait);
        // Turns take 10 ms here.
        assert!((1_980..=2_020).contains(&idle_ms), "{idle_ms}");
        server.socket(client).close();
        server.turn_until(|server| server.count(State::Listen) == SOCKETS);
    });
}

#[test]
fn in_a_loop_of_the_programs_own_a_response_leaves_in_its_turn() {
    with_server(|server, ends| {
        let client = server.connect(0);
        server.turn_until(|server| server.socket(client).may_send());
        server.socket(client).send_slice(GET).expect("an open connection");
        while server.turn_at_once() == 0 {}
        assert!(!ends.is_silent(), "the response is on its way");
        assert!(server.stack().poll_timeout().is_some(), "and would be sent again if it were lost");
    });
}

#[test]
fn a_burst_of_newcomers_is_served_and_nobody_is_reset() {
    with_server(|server, _| {
        let clients: Vec<_> = (0..3 * SOCKETS as u16).map(|number| server.connect(number)).collect();
        let mut answers = vec![String::new(); clients.len()];
        let mut asked = vec![false; clients.len()];
        server.turn_until(|server| {
            for ((client, answer), asked) in clients.iter().zip(&mut answers).zip(&mut asked) {
                assert!(*asked || server.socket(*client).state() != State::Closed, "a newcomer was reset");
                if server.socket(*client).may_send() && !*asked {
                    server.socket(*client).send_slice(GET).expect("an open connection");
                    *asked = true;
                }
                answer.push_str(&server.take(*client));
                if answer.ends_with("hello\n") {
                    server.socket(*client).close();
                }
            }
            answers.iter().all(|answer| answer.ends_with("hello\n"))
        });
        assert!(server.stack().newcomers_dropped() > 0, "more came than there are sockets");
    });
}

#[test]
fn a_handshake_that_is_not_completed_keeps_no_socket() {
    with_server(|server, ends| {
        // None of those to the last client.
        ends.lose(|segment| segment.syn() && segment.ack() && segment.dst_port() != 50_100);
        let vanishing: Vec<_> = (0..SOCKETS as u16).map(|number| server.connect(number)).collect();
        server.turn_until(|server| server.count(State::SynReceived) == SOCKETS);
        for client in vanishing {
            server.stack().sockets_mut().remove(client);
        }
        let client = server.connect(100);
        server.turn_for(u64::from(HANDSHAKE_MS) - 500);
        assert_eq!(server.count(State::SynReceived), SOCKETS, "they have their time");
        server.turn_until(|server| server.socket(client).may_send());
    });
}

#[test]
fn a_client_that_does_not_close_loses_its_socket() {
    with_server(|server, _| {
        let client = server.connect(0);
        server.turn_until(|server| server.socket(client).may_send());
        server.socket(client).send_slice(GET).expect("an open connection");
        server.turn_until(|server| server.socket(client).state() == State::CloseWait);
        let leave_ms = server.turn_until(|server| server.socket(client).state() == State::Closed);
        assert!(leave_ms >= u64::from(LEAVE_MS), "{leave_ms}");
        server.turn_until(|server| server.count(State::Listen) == SOCKETS);
    });
}

#[test]
fn sockets_of_clients_that_do_not_close_go_to_newcomers_that_need_them() {
    with_server(|server, _| {
        for number in 0..3 * SOCKETS as u16 {
            let client = server.connect(number);
            let waited_ms = server.turn_until(|server| server.socket(client).may_send());
            assert!(waited_ms < 1_000, "client {number} had to try again");
            server.socket(client).send_slice(b"GET / HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n").expect("open");
            server.turn_until(|server| server.socket(client).state() == State::CloseWait);
            // It lingers now, and then its socket is TCP's.
            server.turn_for(1_100);
        }
        assert_eq!(server.stack().newcomers_dropped(), 0);
    });
}

#[test]
fn newcomers_are_accepted_in_the_order_in_which_they_came() {
    with_stack(|mut stack, _| {
        let listener = stack.listener();
        assert_eq!(stack.accept(listener), Attempt::WouldBlock);
        let first = connect(&mut stack, 0);
        wait(&mut stack, 5);
        let _second = connect(&mut stack, 1);
        wait(&mut stack, 5);
        // The first one's socket is free again, and is the first in the table.
        socket(&mut stack, first).abort();
        wait(&mut stack, 5);
        let _third = connect(&mut stack, 2);
        wait(&mut stack, 5);
        let ports: Vec<u16> = (0..2)
            .map(|_| {
                let Attempt::Done(handle) = stack.accept(listener) else { panic!("somebody waits") };
                let Some(Peer::Ip(address)) = stack.peer(IoHandle(handle)) else { panic!("a client has an address") };
                address.port()
            })
            .collect();
        assert_eq!(ports, [50_001, 50_002]);
        assert_eq!(stack.accept(listener), Attempt::WouldBlock);
    });
}

#[test]
fn what_would_block_is_reported_once_it_does_not() {
    with_stack(|mut stack, _| {
        let listener = stack.listener();
        assert_eq!(stack.accept(listener), Attempt::WouldBlock);
        let client = connect(&mut stack, 0);
        assert_eq!(wait(&mut stack, 100), [(listener, true, false, false)]);
        let Attempt::Done(handle) = stack.accept(listener) else { panic!("it was announced") };
        let io = IoHandle(handle);

        let mut bytes = [0; 8];
        assert_eq!(stack.recv(io, &mut bytes), Attempt::WouldBlock);
        socket(&mut stack, client).send_slice(b"four").expect("an open connection");
        assert_eq!(wait(&mut stack, 100), [(io, true, false, false)]);
        assert_eq!(wait(&mut stack, 100), [], "once is enough");
        assert_eq!(stack.recv(io, &mut bytes), Attempt::Done(4));

        // More than the socket's buffer holds, and the client's.
        assert_eq!(stack.send(io, [&[b'x'; 1_000], &[b'y'; 1_000]]), Attempt::Done(1_024));
        assert_eq!(stack.unacknowledged(io), Some(1_024));
        assert_eq!(wait(&mut stack, 100), [(io, false, true, false)]);
        assert_eq!(stack.unacknowledged(io), Some(0));
        assert_eq!(take(&mut stack, client).len(), 1_024);

        socket(&mut stack, client).close();
        assert_eq!(wait(&mut stack, 100), [(io, true, false, true)]);
        assert_eq!(stack.recv(io, &mut bytes), Attempt::Done(0));
        assert_eq!(stack.recv(io, &mut bytes), Attempt::Done(0), "the end stays");
        stack.close(io);
        assert_eq!(stack.recv(io, &mut bytes), Attempt::Failed(IoError::Unsupported));
        assert_eq!(stack.peer(io), None);
    });
}

#[test]
fn a_reset_is_an_error_and_a_shutdown_an_end() {
    with_stack(|mut stack, _| {
        let listener = stack.listener();
        let clients: Vec<_> = (0..SLOTS as u16).map(|number| connect(&mut stack, number)).collect();
        wait(&mut stack, 100);
        let accepted: Vec<_> = clients.iter().map(|_| stack.accept(listener)).collect();
        let [Attempt::Done(reset), Attempt::Done(shut)] = accepted[..] else { panic!("{accepted:?}") };
        let mut bytes = [0; 8];
        assert_eq!(stack.recv(IoHandle(reset), &mut bytes), Attempt::WouldBlock);
        socket(&mut stack, clients[0]).abort();
        assert_eq!(wait(&mut stack, 100), [(IoHandle(reset), true, false, true)]);
        assert_eq!(stack.recv(IoHandle(reset), &mut bytes), Attempt::Failed(IoError::ConnectionReset));
        assert_eq!(stack.send(IoHandle(reset), [b"x", b""]), Attempt::Failed(IoError::ConnectionReset));

        stack.shutdown(IoHandle(shut), Shutdown::Both);
        assert_eq!(stack.recv(IoHandle(shut), &mut bytes), Attempt::Done(0));
        wait(&mut stack, 100);
        assert_eq!(socket(&mut stack, clients[1]).state(), State::CloseWait);
    });
}

#[test]
fn a_listener_that_was_closed_refuses() {
    with_stack(|mut stack, _| {
        let listener = stack.listener();
        let waiting = connect(&mut stack, 0);
        wait(&mut stack, 100);
        stack.close(listener);
        let late = connect(&mut stack, 1);
        wait(&mut stack, 100);
        assert_eq!(stack.accept(listener), Attempt::Failed(IoError::Unsupported));
        for client in [waiting, late] {
            assert_eq!(socket(&mut stack, client).state(), State::Closed);
        }
    });
}

/// Waits, for so long at most; what was reported: readable, writable, ended.
fn wait(stack: &mut network::TestStack<'_>, timeout_ms: u64) -> Vec<(IoHandle, bool, bool, bool)> {
    let mut reported = Vec::new();
    let seen = stack.wait(Some(Duration::from_millis(timeout_ms)), &mut |io, ready| {
        reported.push((io, ready.readable, ready.writable, ready.ended));
    });
    assert_eq!(seen, Ok(Seen::All));
    reported
}
