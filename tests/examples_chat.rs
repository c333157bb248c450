//! The example `chat`, with several members over sockets, who speak by another library than the example.
#![cfg(has_backend)]

#[path = "support/example.rs"]
mod example;
#[path = "support/http.rs"]
mod http;

use std::net::{Shutdown, SocketAddr, TcpStream};
use std::process::{Command, Output};

use example::Example;
use http::Client;
use rustix::net::sockopt;
use rustix::process::Signal;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::protocol::frame::coding::{Data, OpCode};
use tungstenite::protocol::frame::{Frame, FrameHeader};
use tungstenite::{Error, Message, WebSocket};

/// Somebody in the room from when this returns.
fn join(address: SocketAddr) -> WebSocket<TcpStream> {
    let stream = Client::connect(address).into_stream();
    let (socket, response) = tungstenite::client(format!("ws://{address}/"), stream).expect("a handshake");
    assert_eq!(response.status(), 101);
    socket
}

fn say(member: &mut WebSocket<TcpStream>, text: &str) {
    member.send(Message::text(text)).expect("the server takes it");
}

fn hear(member: &mut WebSocket<TcpStream>) -> String {
    loop {
        match member.read().expect("a message") {
            Message::Text(text) => return text.to_string(),
            Message::Ping(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn chat_passes_every_message_on_to_everybody() {
    let server = Example::start("chat", &["--workers", "2"]);
    let mut members: Vec<_> = (0..8).map(|_| join(server.address)).collect();
    for round in 0..3 {
        for speaker in 0..members.len() {
            let text = format!("{speaker} says {round}");
            say(&mut members[speaker], &text);
            for member in &mut members {
                assert_eq!(hear(member), text);
            }
        }
    }
    // Longer than any buffer of the server's, and in fragments.
    let long = "long ".repeat(13_000);
    say(&mut members[0], &long);
    let mut fragment = Frame::message("in two ", OpCode::Data(Data::Text), false);
    members[1].send(Message::Frame(fragment)).expect("the server takes it");
    fragment = Frame::message("fragments", OpCode::Data(Data::Continue), true);
    members[1].send(Message::Frame(fragment)).expect("the server takes it");
    for member in &mut members {
        let mut heard = [hear(member), hear(member)];
        heard.sort();
        assert!(heard == ["in two fragments", &long]);
    }
    server.signal(Signal::TERM);
    for member in &mut members {
        match member.read() {
            Ok(Message::Close(Some(frame))) => assert_eq!(frame.code, CloseCode::Away),
            other => panic!("{other:?}"),
        }
        assert!(matches!(member.read(), Err(Error::ConnectionClosed)));
    }
    drop(members);
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn chat_goes_on_without_those_who_leave() {
    let server = Example::start("chat", &["--workers", "1"]);
    let mut stays = join(server.address);
    // One closes as it should, one ends its side, one is gone without a word, and one breaks the protocol.
    let mut closes = join(server.address);
    closes.close(None).expect("a connection");
    assert!(matches!(closes.read(), Ok(Message::Close(None))), "it is answered in kind");
    assert!(matches!(closes.read(), Err(Error::ConnectionClosed)));
    let mut ends = join(server.address);
    ends.get_ref().shutdown(Shutdown::Write).expect("a connection");
    assert!(ends.read().is_err(), "the server ends its side, too");
    let vanishes = join(server.address);
    sockopt::set_socket_linger(vanishes.get_ref(), Some(std::time::Duration::ZERO)).expect("an option");
    drop(vanishes);
    let mut breaks = join(server.address);
    let header = FrameHeader { rsv1: true, ..FrameHeader::default() };
    breaks.send(Message::Frame(Frame::from_payload(header, "x".into()))).expect("a connection");
    match breaks.read() {
        Ok(Message::Close(Some(frame))) => assert_eq!(frame.code, CloseCode::Protocol),
        other => panic!("{other:?}"),
    }
    say(&mut stays, "still here");
    assert_eq!(hear(&mut stays), "still here");
    let mut comes = join(server.address);
    say(&mut comes, "hello");
    assert_eq!((hear(&mut stays), hear(&mut comes)), ("hello".to_owned(), "hello".to_owned()));
    stays.send(Message::Ping("sign of life".into())).expect("a connection");
    assert!(matches!(stays.read(), Ok(Message::Pong(payload)) if payload == "sign of life"));
    drop((stays, comes, breaks, ends, closes));
    server.ends_well();
}

#[test]
fn chat_waits_for_nobody_who_does_not_read() {
    let server = Example::start("chat", &["--workers", "1"]);
    let mut deaf = join(server.address);
    sockopt::set_socket_recv_buffer_size(deaf.get_ref(), 65_536).expect("an option");
    let mut speaks = join(server.address);
    let text = "x".repeat(60_000);
    // Far more than a mailbox and the buffers of both systems hold.
    for _ in 0..200 {
        say(&mut speaks, &text);
        assert!(hear(&mut speaks) == text);
    }
    // It is not in the room any more: what was on its way to it comes, and then the end.
    let mut heard = 0;
    while let Ok(Message::Text(_)) = deaf.read() {
        heard += 1;
    }
    assert!(heard < 200, "{heard}");
    say(&mut speaks, "end");
    assert_eq!(hear(&mut speaks), "end");
    drop((speaks, deaf));
    server.ends_well();
}

#[test]
fn chat_is_http_until_a_handshake_succeeds() {
    let server = Example::start("chat", &["--workers", "1"]);
    let mut client = Client::connect(server.address);
    assert!(client.get("/").text().contains("new WebSocket"));
    let upgrade = "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n";
    client.send(format!("{upgrade}\r\n"));
    assert_eq!(client.response("GET").status, 400, "no key");
    let mut client = Client::connect(server.address);
    client.send(format!("{upgrade}Origin: https://elsewhere.example\r\n\r\n"));
    assert_eq!(client.response("GET").status, 403, "a page from elsewhere");
    let mut client = Client::connect(server.address);
    let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    client.send(format!("{upgrade}{key}Sec-WebSocket-Version: 8\r\n\r\n"));
    let refused = client.response("GET");
    assert_eq!((refused.status, refused.field("Sec-WebSocket-Version")), (400, Some("13")));
    // The example of RFC 6455, sections 1.3 and 5.7, with a frame that came along with the request.
    let mut client = Client::connect(server.address);
    let frame = b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58";
    client.send([format!("{upgrade}{key}Sec-WebSocket-Version: 13\r\n\r\n").as_bytes(), frame].concat());
    let head = client.head();
    assert!(head.contains("\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"), "{head}");
    assert_eq!(client.take(7), b"\x81\x05Hello");
    drop(client);
    server.ends_well();
}

/// Compression as another library offers it; tungstenite, above, has none.
#[test]
fn chat_compresses_for_the_websockets_of_python() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/chat_client.py");
    let server = Example::start("chat", &["--workers", "1"]);
    // Debian's packages are for Debian's Python, which need not be the first one in PATH.
    let run = |python| Command::new(python).arg(script).arg(server.address.to_string()).output().ok();
    let is_there = |output: &Output| output.status.code() != Some(77);
    match ["python3", "/usr/bin/python3"].into_iter().filter_map(run).find(is_there) {
        Some(output) => {
            let printed = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success() && printed.ends_with("ok\n"), "{output:?}");
            assert_eq!(printed.matches("agreed: PerMessageDeflate(").count(), 5, "{printed}");
        }
        None => println!("SKIPPED: Python's package websockets is not installed"),
    }
    server.signal(Signal::TERM);
    assert_eq!(server.wait().code(), Some(0));
}
