//! Whole messages: in virtual time, and with tungstenite as the client.

mod support;

use std::cell::RefCell;
use std::io::{self, Read, Write};
use std::rc::Rc;

use aurora_http_core::handler::{Handler, handler_fn};
use aurora_http_core::limits::Limits;
use aurora_http_core::sim::{Client, SimServer, with_server};
use aurora_http_core::writer::WriteError;
use aurora_http_websocket::{Ending, Event, Link, Options, accept, websocket};
use proptest::prelude::*;
use support::{BINARY, CLOSE, HANDSHAKE, PING, PONG, TEXT, close, frame, part, said};
use tungstenite::protocol::frame::Frame;
use tungstenite::protocol::frame::coding::{Data, OpCode};
use tungstenite::protocol::{Role, WebSocketContext};
use tungstenite::{Bytes, Message};

fn serve(options: Options, on_event: impl FnMut(Event<'_>, &mut Link<'_, '_>) + Clone) -> impl Handler {
    handler_fn(move |request, response| {
        accept(request, response, &[])?;
        Ok::<_, WriteError>(websocket(options, on_event.clone()))
    })
}

fn echo(event: Event<'_>, link: &mut Link<'_, '_>) {
    match event {
        Event::Text(text) => link.send_text(text),
        Event::Binary(bytes) => link.send_binary(bytes),
        _ => {}
    }
}

/// A client behind its handshake.
fn join<H: Handler>(server: &mut SimServer<'_, '_, H>) -> Client {
    let client = server.connect();
    server.send(client, HANDSHAKE.as_bytes());
    assert!(server.receive(client).starts_with(b"HTTP/1.1 101 "));
    client
}

#[test]
fn silent_clients_are_pinged_and_let_go_if_they_stay_silent() {
    let options = Options { ping_ms: 1_000, ..Options::default() };
    with_server(serve(options, echo), Limits::default(), |server| {
        let client = join(server);
        for _ in 0..3 {
            server.pass_ms(1_001);
            assert_eq!(said(&server.receive(client)), [(PING, vec![])]);
            server.send(client, &frame(PONG, ""));
        }
        server.pass_ms(1_001);
        assert_eq!(said(&server.receive(client)), [(PING, vec![])]);
        assert!(!server.has_ended(client));
        server.pass_ms(1_001);
        assert!(server.has_ended(client), "it has not answered");
    });
}

#[test]
fn a_close_of_the_servers_waits_for_its_answer_but_not_forever() {
    let bye = |event: Event<'_>, link: &mut Link<'_, '_>| {
        if let Event::Text(text) = event {
            link.send_text("the last");
            link.close(4_000, text);
            link.send_text("too late");
        }
    };
    for answers in [true, false] {
        with_server(serve(Options::default(), bye), Limits::default(), |server| {
            let client = join(server);
            server.send(client, &[frame(TEXT, "bye"), frame(TEXT, "dropped")].concat());
            let reason = [&4_000_u16.to_be_bytes()[..], b"bye"].concat();
            assert_eq!(said(&server.receive(client)), [(TEXT, b"the last".to_vec()), (CLOSE, reason)]);
            assert!(!server.has_ended(client), "the client's turn");
            if answers {
                server.send(client, &close(4_000, ""));
            } else {
                server.send(client, &frame(PING, "no answer any more"));
                server.pass_ms(5_001);
            }
            assert_eq!(server.receive(client), b"");
            assert!(server.has_ended(client), "{answers}");
        });
    }
}

/// Behind our close frame the client may still send what it was sending: it is dropped, up to the client's close frame.
#[test]
fn a_long_message_does_not_hide_the_answer_to_a_close() {
    let rows = [
        ("whole", frame(BINARY, [7; 3_000])),
        ("in fragments", [part(BINARY, [7; 700]), part(0, [7; 900]), frame(0, [7; 600])].concat()),
    ];
    for (what, message) in rows {
        for finishes in [false, true] {
            let endings = Rc::new(RefCell::new(Vec::new()));
            let note = Rc::clone(&endings);
            let bye = move |event: Event<'_>, link: &mut Link<'_, '_>| match event {
                Event::Text(_) => link.close(1000, ""),
                Event::Ended(ending) => note.borrow_mut().push(ending),
                _ => {}
            };
            with_server(serve(Options::default(), bye), Limits::default(), |server| {
                let client = join(server);
                server.send(client, &frame(TEXT, "bye"));
                server.sim().client_send(client, &[message.clone(), close(1000, "")].concat());
                if finishes {
                    server.sim().client_finish(client);
                }
                let heard = said(&server.receive(client));
                assert_eq!(heard, [(CLOSE, 1_000_u16.to_be_bytes().to_vec())], "{what}, FIN {finishes}");
                assert!(server.has_ended(client), "{what}, FIN {finishes}");
            });
            assert_eq!(*endings.borrow(), [Ending::Closed(Some(1000))], "{what}, FIN {finishes}");
        }
    }
}

/// A close frame of ours must not be mixed with one of the client's that is still arriving.
#[test]
fn two_closes_that_cross_do_not_mix() {
    let endings = Rc::new(RefCell::new(Vec::new()));
    let note = Rc::clone(&endings);
    let listen = move |event: Event<'_>, _: &mut Link<'_, '_>| {
        if let Event::Ended(ending) = event {
            note.borrow_mut().push(ending);
        }
    };
    with_server(serve(Options::default(), listen), Limits::default(), |server| {
        let client = join(server);
        // Its reason is cut within a character.
        let closes = close(4_321, "Auf Wiedersehen, schöne Grüße");
        let (begin, end) = closes.split_at(6 + 2 + 21);
        server.send(client, begin);
        server.stop().drain();
        assert_eq!(said(&server.receive(client)), [(CLOSE, 1_001_u16.to_be_bytes().to_vec())]);
        server.send(client, end);
        assert!(server.has_ended(client));
    });
    assert_eq!(*endings.borrow(), [Ending::Closed(Some(4_321))]);
}

#[test]
fn a_stop_is_announced() {
    with_server(serve(Options::default(), echo), Limits::default(), |server| {
        let client = join(server);
        server.stop().drain();
        assert_eq!(said(&server.receive(client)), [(CLOSE, 1_001_u16.to_be_bytes().to_vec())]);
        server.send(client, &close(1_001, ""));
        assert!(server.has_ended(client));
    });
}

#[test]
fn ready_comes_first_and_as_long_as_messages_are_sent() {
    // Counts down, one message for each time that there is room, and each longer than any buffer.
    let left = Rc::new(RefCell::new(20));
    let count_down = move |event: Event<'_>, link: &mut Link<'_, '_>| {
        if event == Event::Ready && *left.borrow() > 0 {
            *left.borrow_mut() -= 1;
            link.send_text(&left.borrow().to_string().repeat(20_000));
        }
    };
    with_server(serve(Options::default(), count_down), Limits::default(), |server| {
        let client = server.connect();
        server.send(client, HANDSHAKE.as_bytes());
        let received = server.receive(client);
        let head_len = received.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
        let heard = said(&received[head_len..]);
        let expected: Vec<_> = (0..20).rev().map(|at| (TEXT, at.to_string().repeat(20_000).into_bytes())).collect();
        assert!(heard == expected, "{} messages", heard.len());
    });
}

#[test]
fn the_end_is_told_once() {
    let rows: [(Vec<u8>, Option<Ending>); 6] = [
        (close(1000, "done"), Some(Ending::Closed(Some(1000)))),
        (frame(CLOSE, ""), Some(Ending::Closed(None))),
        (frame(3, ""), Some(Ending::Protocol)),
        (frame(TEXT, [0xff]), Some(Ending::NotUtf8)),
        (frame(TEXT, "a".repeat(20)), Some(Ending::TooLong)),
        (vec![], Some(Ending::Vanished)),
    ];
    for (sent, expected) in rows {
        let endings = Rc::new(RefCell::new(Vec::new()));
        let note = Rc::clone(&endings);
        let listen = move |event: Event<'_>, _: &mut Link<'_, '_>| {
            if let Event::Ended(ending) = event {
                note.borrow_mut().push(ending);
            }
        };
        let options = Options { message_bytes_max: 16, ..Options::default() };
        with_server(serve(options, listen), Limits::default(), |server| {
            let client = join(server);
            server.send(client, &sent);
            if sent.is_empty() {
                server.sim().client_finish(client);
            }
            server.settle();
            assert!(server.has_ended(client) || !server.receive(client).is_empty(), "{expected:?}");
        });
        assert_eq!(*endings.borrow(), Vec::from_iter(expected));
    }
}

/// Bytes in memory, as the socket of tungstenite.
#[derive(Default)]
struct Memory {
    input: Vec<u8>,
    output: Vec<u8>,
}

impl Read for Memory {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.input.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let count = self.input.len().min(into.len());
        into[..count].copy_from_slice(&self.input[..count]);
        self.input.drain(..count);
        Ok(count)
    }
}

impl Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.output.extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Messages of any kind, in any fragments, cut anywhere, come back as they were.
    #[test]
    fn tungstenite_hears_what_it_has_said(
        messages in proptest::collection::vec((any::<bool>(), ".{0,300}", 1..5_usize, any::<bool>()), 1..8),
        cut in 1..700_usize,
    ) {
        let (mut memory, mut tungstenite) = (Memory::default(), WebSocketContext::new(Role::Client, None));
        let mut expected = Vec::new();
        for (is_text, text, count, pings) in messages {
            let (data, message) =
                if is_text { (Data::Text, Message::text(text.clone())) } else { (Data::Binary, Message::binary(text.clone())) };
            let bytes = text.as_bytes();
            let length = bytes.len().div_ceil(count).max(1);
            let parts: Vec<_> = if bytes.is_empty() { vec![bytes] } else { bytes.chunks(length).collect() };
            for (at, part) in parts.iter().enumerate() {
                let opcode = OpCode::Data(if at == 0 { data } else { Data::Continue });
                let frame = Frame::message(Bytes::copy_from_slice(part), opcode, at + 1 == parts.len());
                tungstenite.write(&mut memory, Message::Frame(frame)).unwrap();
                if pings {
                    tungstenite.write(&mut memory, Message::Ping("are you there?".into())).unwrap();
                    expected.push(Message::Pong("are you there?".into()));
                }
            }
            if pings {
                // The last ping came behind the message.
                let pong = expected.pop().unwrap();
                expected.extend([message, pong]);
            } else {
                expected.push(message);
            }
        }
        tungstenite.flush(&mut memory).unwrap();
        let sent = std::mem::take(&mut memory.output);
        with_server(serve(Options::default(), echo), Limits::default(), |server| {
            let client = join(server);
            for piece in sent.chunks(cut) {
                server.send(client, piece);
                memory.input.extend(server.receive(client));
            }
        });
        let mut heard = Vec::new();
        while let Ok(message) = tungstenite.read(&mut memory) {
            heard.push(message);
        }
        prop_assert_eq!(heard, expected);
    }
}
