//! The protocol, case by case: what the Autobahn test suite asks of a server, in rows of our own. Each row runs whole, byte by
//! byte and in odd pieces, against an echo in fixed memory and (feature `alloc`) an echo in whole messages.

mod support;

use std::task::Poll;

use aurora_http_core::handler::{Handler, Progress, Wire, duplex, handler_fn};
use aurora_http_core::limits::Limits;
use aurora_http_core::sim::with_server;
use aurora_http_core::writer::WriteError;
use aurora_http_websocket::{Next, PIECE_BYTES_MAX, Socket, accept};
use support::{
    BINARY, CLOSE, HANDSHAKE, PING, PONG, Row, Said, TEXT, binary, close, converse, frame, part, raw, row, said,
    take_close, text,
};

const MESSAGE_BYTES_MAX: u32 = 2 << 20;

fn echo_step() -> impl FnMut(&mut Wire<'_, '_>) -> Progress {
    let mut socket = Socket::new(MESSAGE_BYTES_MAX.into());
    let mut turn = move |wire: &mut Wire<'_, '_>| {
        if wire.response().is_woken_by_time() {
            wire.response().wake_after(30_000);
            socket.ping(wire)?;
        }
        let mut bytes = [0; PIECE_BYTES_MAX];
        while socket.has_room(wire)? {
            match socket.read(wire, &mut bytes)? {
                Poll::Ready(Next::Piece(piece)) => {
                    assert!(socket.send(wire, piece, &bytes[..piece.length])?, "there is room");
                }
                Poll::Ready(Next::Pong) => {}
                Poll::Ready(Next::End(_)) => return socket.finish(wire),
                Poll::Pending => break,
            }
        }
        Ok::<_, WriteError>(Progress::More)
    };
    move |wire| turn(wire).unwrap_or(Progress::Done)
}

fn echo() -> impl Handler {
    handler_fn(|request, response| {
        accept(request, response, &["echo"])?;
        response.wake_after(30_000);
        Ok::<_, WriteError>(duplex(echo_step()))
    })
}

#[cfg(feature = "alloc")]
fn echo_of_messages() -> impl Handler {
    use aurora_http_websocket::{Event, Options, websocket};

    let options = Options { message_bytes_max: MESSAGE_BYTES_MAX, ..Options::default() };
    handler_fn(move |request, response| {
        accept(request, response, &["echo"])?;
        Ok::<_, WriteError>(websocket(options, |event, link| match event {
            Event::Text(text) => link.send_text(text),
            Event::Binary(bytes) => link.send_binary(bytes),
            _ => {}
        }))
    })
}

fn pong(bytes: impl AsRef<[u8]>) -> Said {
    (PONG, bytes.as_ref().to_vec())
}

fn lengths_and_pings(rows: &mut Vec<Row>) {
    for length in [0, 1, 125, 126, 127, 128, 511, 512, 513, 65_535, 65_536] {
        let body = "*".repeat(length);
        rows.push(row(format!("1.1 text of {length}"), frame(TEXT, &body), vec![text(&body)], None));
        let body = vec![0xfe; length];
        rows.push(row(format!("1.2 binary of {length}"), frame(BINARY, &body), vec![binary(&body)], None));
    }
    let long = [0xff; 125];
    rows.extend([
        row("2.1 an empty ping", frame(PING, ""), vec![pong("")], None),
        row("2.2 a ping with text", frame(PING, "hello"), vec![pong("hello")], None),
        row("2.3 a ping with bytes", frame(PING, [0, 0xff, 0xfe]), vec![pong([0, 0xff, 0xfe])], None),
        row("2.4 a long ping", frame(PING, long), vec![pong(long)], None),
        row("2.5 too long a ping", frame(PING, [0xfe; 126]), vec![], Some(1002)),
        row("2.7 a pong", [frame(PONG, ""), frame(TEXT, "a")].concat(), vec![text("a")], None),
        row("2.8 a pong with text", frame(PONG, "unsolicited"), vec![], None),
        row("2.9 a pong and a ping", [frame(PONG, "x"), frame(PING, "y")].concat(), vec![pong("y")], None),
    ]);
    let pings: Vec<_> = (0..10).map(|number| format!("payload {number}")).collect();
    let sent = pings.iter().flat_map(|ping| frame(PING, ping)).collect();
    rows.push(row("2.10 ten pings", sent, pings.iter().map(pong).collect(), None));
}

fn reserved(rows: &mut Vec<Row>) {
    for bits in 1..8_u8 {
        let sent = [frame(TEXT, "good"), raw(0x81 | bits << 4, "wrong"), frame(PING, "")].concat();
        rows.push(row(format!("3 reserved bits {bits}"), sent, vec![text("good")], Some(1002)));
        rows.push(row(format!("3 reserved bits {bits} in a close"), raw(0x88 | bits << 4, ""), vec![], Some(1002)));
    }
    for opcode in [3, 4, 5, 6, 7, 11, 12, 13, 14, 15] {
        let sent = [frame(TEXT, "good"), frame(opcode, "wrong"), frame(PING, "")].concat();
        rows.push(row(format!("4 opcode {opcode}"), sent, vec![text("good")], Some(1002)));
    }
    // Not in the suite: what RFC 6455 asks for as well.
    let overlong = [&[0x81, 0x80 | 126, 0, 5, 0, 0, 0, 0][..], b"hello"].concat();
    let overlonger = [&[0x81, 0x80 | 127, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0][..]].concat();
    rows.extend([
        row("a frame without a mask", vec![0x81, 5, b'h', b'e', b'l', b'l', b'o'], vec![], Some(1002)),
        row("a length in too long a form", overlong, vec![], Some(1002)),
        row("a length in the longest form", overlonger, vec![], Some(1002)),
        row("a length with its highest bit", vec![0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0], vec![], Some(1002)),
    ]);
}

fn fragments(rows: &mut Vec<Row>) {
    let two = [part(TEXT, "frag"), frame(0, "ment")].concat();
    let around = |inside: Vec<u8>| [part(TEXT, "frag"), inside, frame(0, "ment")].concat();
    rows.extend([
        row("5.1 a ping in fragments", [part(PING, "a"), frame(0, "b")].concat(), vec![], Some(1002)),
        row("5.2 a pong in fragments", [part(PONG, "a"), frame(0, "b")].concat(), vec![], Some(1002)),
        row("5.3 a text in two fragments", two, vec![text("fragment")], None),
        row("5.6 a ping within a message", around(frame(PING, "p")), vec![pong("p"), text("fragment")], None),
        row("5.9 a continuation of nothing", frame(0, "x"), vec![], Some(1002)),
        row("5.12 an open continuation of nothing", part(0, "x"), vec![], Some(1002)),
        row(
            "5.15 a continuation after the end",
            [part(TEXT, "a"), frame(0, "b"), part(0, "c"), frame(TEXT, "d")].concat(),
            vec![text("ab")],
            Some(1002),
        ),
        row("5.18 a text within a text", [part(TEXT, "a"), frame(TEXT, "b")].concat(), vec![], Some(1002)),
        row("a binary within a text", [part(TEXT, "a"), part(BINARY, "b")].concat(), vec![], Some(1002)),
        row(
            "5.19 five fragments and two pings",
            [
                part(TEXT, "1"),
                part(0, "2"),
                frame(PING, "p"),
                part(0, "3"),
                part(0, "4"),
                frame(PING, "q"),
                frame(0, "5"),
            ]
            .concat(),
            vec![pong("p"), pong("q"), text("12345")],
            None,
        ),
        row("6.1 three empty fragments", [part(TEXT, ""), part(0, ""), frame(0, "")].concat(), vec![text("")], None),
        row(
            "6.1.3 one that is not",
            [part(TEXT, ""), part(0, "middle"), frame(0, "")].concat(),
            vec![text("middle")],
            None,
        ),
    ]);
    let many: Vec<u8> = (0..1_000).flat_map(|at| part(if at == 0 { BINARY } else { 0 }, "0123456")).collect();
    rows.push(row(
        "9 a thousand fragments",
        [many, frame(0, "")].concat(),
        vec![binary("0123456".repeat(1_000))],
        None,
    ));
}

fn unicode(rows: &mut Vec<Row>) {
    let kosme = "Hello-µ@ßöäüàá-UTF-8!!";
    let (begin, end) = kosme.as_bytes().split_at(7); // within the µ
    rows.extend([
        row("6.2.1 a valid text", frame(TEXT, kosme), vec![text(kosme)], None),
        row("6.2.2 cut within a character", [part(TEXT, begin), frame(0, end)].concat(), vec![text(kosme)], None),
        row("6.2.3 each byte a fragment", byte_by_byte(kosme), vec![text(kosme)], None),
        row("6.3.1 a surrogate", frame(TEXT, b"a\xed\xa0\x80edited"), vec![], Some(1007)),
        // The first wrong byte is enough, though more of the frame would follow.
        row(
            "6.4.1 wrong in the second fragment",
            [part(TEXT, "ok"), part(0, b"\xf4\x90\x80\x80")].concat(),
            vec![],
            Some(1007),
        ),
        row("6.6 a character without its end", frame(TEXT, b"\xce\xba\xe1\xbd"), vec![], Some(1007)),
        row(
            "6.21 noncharacters are characters",
            frame(TEXT, "\u{ffff}\u{1fffe}"),
            vec![text("\u{ffff}\u{1fffe}")],
            None,
        ),
        row(
            "not UTF-8, but binary",
            frame(BINARY, b"\xff\xfe\xed\xa0\x80"),
            vec![binary(b"\xff\xfe\xed\xa0\x80")],
            None,
        ),
    ]);
    for wrong in
        [&b"\xc0\xaf"[..], b"\xe0\x80\xaf", b"\xf0\x80\x80\xaf", b"\xfe", b"\x80", b"\xf5\x80\x80\x80", b"\xc1\xbf"]
    {
        rows.push(row(format!("6.8 {}", wrong.escape_ascii()), frame(TEXT, wrong), vec![], Some(1007)));
    }
}

fn byte_by_byte(text: &str) -> Vec<u8> {
    let parts = text.bytes().enumerate().flat_map(|(at, byte)| part(if at == 0 { TEXT } else { 0 }, [byte]));
    parts.chain(frame(0, "")).collect()
}

fn closes(rows: &mut Vec<Row>) {
    rows.extend([
        row("7.1.1 a text, then a close", [frame(TEXT, "a"), close(1000, "")].concat(), vec![text("a")], Some(1000)),
        row("7.1.2 two closes", [close(1000, ""), close(1000, "")].concat(), vec![], Some(1000)),
        row("7.1.3 a ping after the close", [close(1000, ""), frame(PING, "x")].concat(), vec![], Some(1000)),
        row("7.1.4 a text after the close", [close(1000, ""), frame(TEXT, "x")].concat(), vec![], Some(1000)),
        row(
            "7.1.5 a close within a message",
            [part(TEXT, "a"), close(1000, ""), frame(0, "b")].concat(),
            vec![],
            Some(1000),
        ),
        row("7.3.1 a close without a code", frame(CLOSE, ""), vec![], Some(0)),
        row("7.3.2 half a code", frame(CLOSE, "a"), vec![], Some(1002)),
        row("7.3.4 a code and a reason", close(1000, "Hello World!"), vec![], Some(1000)),
        row("7.3.5 the longest reason", close(1000, "*".repeat(123)), vec![], Some(1000)),
        row("7.3.6 too long a reason", close(1000, "*".repeat(124)), vec![], Some(1002)),
        row("7.5.1 a reason that is not UTF-8", close(1000, b"\xce\xba\xed\xa0\x80"), vec![], Some(1007)),
    ]);
    for code in [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999] {
        rows.push(row(format!("7.7 code {code}"), close(code, ""), vec![], Some(code)));
    }
    for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535] {
        rows.push(row(format!("7.9 code {code}"), close(code, ""), vec![], Some(1002)));
    }
}

fn sizes(rows: &mut Vec<Row>) {
    let million: Vec<u8> = (0..1_000_000_u32).map(|at| ((at * 31) >> 3) as u8).collect();
    rows.push(row("9.2 a megabyte", frame(BINARY, &million), vec![binary(&million)], None));
    let limit = vec![7; MESSAGE_BYTES_MAX as usize];
    rows.push(row("as long as is allowed", frame(BINARY, &limit), vec![binary(&limit)], None));
    // The header is enough to refuse it.
    let header = [&[0x82, 0xff][..], &(u64::from(MESSAGE_BYTES_MAX) + 1).to_be_bytes(), &[0; 4]].concat();
    rows.push(row("a byte longer", header, vec![], Some(1009)));
    let parts = [part(BINARY, &limit[1..]), frame(0, "ab")].concat();
    rows.push(row("longer by its second fragment", parts, vec![], Some(1009)));
}

fn check(row: &Row, handler: impl Handler, lengths: &[usize]) {
    let (head, received, ended) = converse(handler, HANDSHAKE, &row.sent, lengths);
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    assert!(head.contains("\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"), "{head}");
    let (id, mut heard) = (&row.id, said(&received));
    let closed = take_close(&mut heard);
    assert_eq!((closed, ended), (row.close, row.close.is_some()), "{id}, in pieces of {lengths:?}");
    assert!(heard == row.heard, "{id}, in pieces of {lengths:?}: {} messages", heard.len());
}

#[test]
fn every_case_however_it_is_cut() {
    let mut rows = Vec::new();
    for add in [lengths_and_pings, reserved, fragments, unicode, closes, sizes] {
        add(&mut rows);
    }
    assert!(rows.len() > 110, "{}", rows.len());
    for row in &rows {
        for lengths in row.cuts() {
            check(row, echo(), lengths);
            #[cfg(feature = "alloc")]
            check(row, echo_of_messages(), lengths);
        }
    }
}

#[test]
fn handshakes_are_checked() {
    let change = |from: &str, to: &str| HANDSHAKE.replace(from, to);
    let rows = [
        ("as it should be", HANDSHAKE.to_owned(), "101", ""),
        ("another version", change(": 13", ": 8"), "400", "Sec-WebSocket-Version: 13\r\n"),
        ("no version", change("Sec-WebSocket-Version: 13\r\n", ""), "400", "Sec-WebSocket-Version: 13\r\n"),
        ("a short key", change("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZQ=="), "400", ""),
        ("no key", change("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", ""), "400", ""),
        (
            "two keys",
            HANDSHAKE.replace("\r\n\r\n", "\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"),
            "400",
            "",
        ),
        (
            "two versions",
            change(": 13\r\n", ": 13\r\nSec-WebSocket-Version: 8\r\n"),
            "400",
            "Sec-WebSocket-Version: 13\r\n",
        ),
        ("another protocol", change("Upgrade: websocket", "Upgrade: other"), "400", ""),
        ("no upgrade", change("Connection: Upgrade\r\nUpgrade: websocket\r\n", ""), "400", ""),
        ("a POST", change("GET /", "POST /"), "400", ""),
        ("HTTP/1.0", change("HTTP/1.1", "HTTP/1.0"), "400", ""),
        ("in capitals", change("websocket", "WebSocket"), "101", ""),
        (
            "protocols, of which one is known",
            change("\r\n\r\n", "\r\nSec-WebSocket-Protocol: chat, echo\r\n\r\n"),
            "101",
            "Sec-WebSocket-Protocol: echo\r\n",
        ),
        (
            "an extension is not agreed to",
            change("\r\n\r\n", "\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n"),
            "101",
            "",
        ),
    ];
    for (what, sent, status, field) in rows {
        with_server(echo(), Limits::default(), |server| {
            let client = server.connect();
            server.send(client, sent.as_bytes());
            let head = String::from_utf8(server.receive(client)).unwrap();
            assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{what}: {head}");
            assert!(head.contains(field) && !head.contains("Extensions"), "{what}: {head}");
            assert_eq!(head.contains("Sec-WebSocket-Protocol"), field.contains("Protocol"), "{what}: {head}");
        });
    }
}

#[test]
fn origins_are_compared_with_the_host() {
    let rows = [
        ("", true),
        ("Origin: http://a\r\n", true),
        ("Origin: https://A\r\n", true),
        ("Origin: http://b\r\n", false),
        ("Origin: http://a:81\r\n", false),
        ("Origin: null\r\n", false),
        ("Origin: http://a.b\r\n", false),
    ];
    for (origin, expected) in rows {
        let handler = handler_fn(|request, response| {
            response.body(if aurora_http_websocket::is_same_origin(request) { "same" } else { "other" })
        });
        with_server(handler, Limits::default(), |server| {
            let client = server.connect();
            server.send(client, format!("GET / HTTP/1.1\r\nHost: a\r\n{origin}\r\n").as_bytes());
            let answer = String::from_utf8(server.receive(client)).unwrap();
            assert_eq!(answer.ends_with("same"), expected, "{origin}");
        });
    }
}
