//! permessage-deflate (RFC 7692), case by case, in whole pieces, byte by byte and in odd pieces. The other side is miniz_oxide, and
//! what is compressed there shares no code with the crate.

mod support;

use std::cell::RefCell;
use std::rc::Rc;

use aurora_http_core::handler::{Handler, handler_fn};
use aurora_http_core::limits::Limits;
use aurora_http_core::sim::{Client, SimServer, with_server};
use aurora_http_core::writer::WriteError;
use aurora_http_websocket::{Budget, Deflate, Ending, Event, Link, Options, websocket_deflate};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};
use proptest::prelude::*;
use support::{
    BINARY, CLOSE, HANDSHAKE, PING, PONG, Said, TEXT, close, converse, frame, part, raw, said_compressed, take_close,
};

const MESSAGE_BYTES_MAX: usize = 1 << 20;
/// The bit of a frame by which a compressed message begins.
const RSV1: u8 = 0x40;
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];
/// The examples of RFC 7692 §7.2.3: `Hello`, and the same again if the first one is known.
const HELLO: [u8; 7] = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
const HELLO_AGAIN: [u8; 5] = [0xf2, 0x00, 0x11, 0x00, 0x00];

/// A handshake with an offer.
fn offering(extension: &str) -> String {
    HANDSHAKE.replace("\r\n\r\n", &format!("\r\nSec-WebSocket-Extensions: {extension}\r\n\r\n"))
}

fn serve(
    deflate: Deflate,
    options: Options,
    on_event: impl FnMut(Event<'_>, &mut Link<'_, '_>) + Clone,
) -> impl Handler {
    handler_fn(move |request, response| {
        let (_, agreed) = deflate.accept(request, response, &["echo"])?;
        Ok::<_, WriteError>(websocket_deflate(options, agreed, on_event.clone()))
    })
}

fn echo(deflate: Deflate) -> impl Handler {
    let options = Options { message_bytes_max: MESSAGE_BYTES_MAX as u32, ..Options::default() };
    serve(deflate, options, |event, link| match event {
        Event::Text(text) => link.send_text(text),
        Event::Binary(bytes) => link.send_binary(bytes),
        _ => {}
    })
}

/// Everything is compressed that becomes shorter.
fn eager() -> Deflate {
    Deflate::new(&Budget::new(1)).bytes_min(0)
}

/// The client's side.
struct Peer {
    compress: Compress,
    decompress: Decompress,
    keeps: bool,
}

impl Peer {
    fn new(keeps: bool) -> Self {
        Self { compress: Compress::new(Compression::default(), false), decompress: Decompress::new(false), keeps }
    }

    /// The payload of a message.
    fn compress(&mut self, message: &[u8]) -> Vec<u8> {
        let mut payload = self.flush(message);
        payload.truncate(payload.len() - TAIL.len());
        if !self.keeps {
            self.compress.reset();
        }
        payload
    }

    /// With its tail.
    fn flush(&mut self, message: &[u8]) -> Vec<u8> {
        let mut payload = Vec::with_capacity(2 * message.len() + 1_000);
        self.compress.compress_vec(message, &mut payload, FlushCompress::Sync).expect("a compressor");
        assert!(payload.ends_with(&TAIL) && payload.len() < payload.capacity());
        payload
    }

    fn decompress(&mut self, payload: &[u8]) -> Vec<u8> {
        let input = [payload, &TAIL].concat();
        let mut message = Vec::with_capacity(1_000);
        let mut rest = &input[..];
        // It is done when all was taken and there was room for more.
        while !rest.is_empty() || message.len() == message.capacity() {
            message.reserve(message.len().max(1));
            let (taken, made) = (self.decompress.total_in(), message.len());
            self.decompress.decompress_vec(rest, &mut message, FlushDecompress::Sync).expect("DEFLATE");
            rest = &rest[(self.decompress.total_in() - taken) as usize..];
            assert!(self.decompress.total_in() > taken || message.len() > made || rest.is_empty(), "it goes on");
        }
        if !self.keeps {
            self.decompress.reset(false);
        }
        message
    }
}

/// One case: what the client sends, what it hears before any close, and the code of the server's close.
struct Row {
    id: String,
    sent: Vec<u8>,
    heard: Vec<Said>,
    close: Option<u16>,
}

fn row(id: impl Into<String>, sent: Vec<u8>, heard: Vec<Said>, close: Option<u16>) -> Row {
    Row { id: id.into(), sent, heard, close }
}

fn text(text: impl AsRef<[u8]>) -> Said {
    (TEXT, text.as_ref().to_vec())
}

fn binary(bytes: impl AsRef<[u8]>) -> Said {
    (BINARY, bytes.as_ref().to_vec())
}

/// A compressed message in one frame.
fn packed(opcode: u8, payload: impl AsRef<[u8]>) -> Vec<u8> {
    raw(0x80 | RSV1 | opcode, payload)
}

/// A compressed message in as many frames as there are payloads.
fn packed_parts(opcode: u8, payloads: &[&[u8]]) -> Vec<u8> {
    let first = |at: usize| if at == 0 { RSV1 | opcode } else { 0 };
    let last = |at: usize| if at + 1 == payloads.len() { 0x80 } else { 0 };
    payloads.iter().enumerate().flat_map(|(at, payload)| raw(first(at) | last(at), payload)).collect()
}

/// The examples of the RFC, and other ways to write a message.
fn messages(rows: &mut Vec<Row>) {
    let hello = || vec![text("Hello")];
    let final_block = [0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
    rows.extend([
        row("7.2.3.1 one frame", packed(TEXT, HELLO), hello(), None),
        row("7.2.3.1 two frames", packed_parts(TEXT, &[&HELLO[..3], &HELLO[3..]]), hello(), None),
        row("7.2.3.3 no compression", packed(TEXT, b"\x00\x05\x00\xfa\xffHello\x00"), hello(), None),
        row("7.2.3.4 a final block", packed(TEXT, [&final_block[..], &[0]].concat()), hello(), None),
        row("a block behind a final one", packed(TEXT, [final_block, HELLO].concat()), vec![text("HelloHello")], None),
        row("7.2.3.5 two blocks", packed(TEXT, b"\xf2\x48\x05\0\0\0\xff\xff\xca\xc9\xc9\x07\0"), hello(), None),
        row("7.2.3.6 an empty message", packed(TEXT, [0]), vec![text("")], None),
        row("an empty message, in a final block", packed(BINARY, [3, 0, 0]), vec![binary("")], None),
        row("empty frames around it", packed_parts(TEXT, &[b"", b"", &HELLO, b""]), hello(), None),
        row("each byte a frame", packed_parts(TEXT, &HELLO.each_ref().map(core::slice::from_ref)), hello(), None),
        row(
            "a ping within it",
            [raw(RSV1 | TEXT, &HELLO[..4]), frame(PING, "p"), frame(0, &HELLO[4..])].concat(),
            vec![(PONG, b"p".to_vec()), text("Hello")],
            None,
        ),
        row(
            "others around it are not compressed",
            [frame(TEXT, "a"), packed(TEXT, HELLO), part(TEXT, "b"), frame(0, "c")].concat(),
            vec![text("a"), text("Hello"), text("bc")],
            None,
        ),
        row("a close behind it", [packed(TEXT, HELLO), close(1000, "")].concat(), hello(), Some(1000)),
    ]);
    let mut peer = Peer::new(false);
    let flushed: Vec<_> = ["each ", "fragment ", "flushed ", ""].map(|part| peer.flush(part.as_bytes())).into();
    let mut payloads: Vec<&[u8]> = flushed.iter().map(Vec::as_slice).collect();
    // Nothing was left to be flushed, so an empty block of its own is the end.
    payloads[3] = &[0];
    rows.push(row("each frame flushed", packed_parts(TEXT, &payloads), vec![text("each fragment flushed ")], None));
    for length in [1, 125, 126, 127, 511, 512, 513, 2_047, 2_048, 2_049, 65_535, 65_536, MESSAGE_BYTES_MAX] {
        for (what, message) in [("equal", vec![b'*'; length]), ("mixed", mixed(length)), ("random", random(length))] {
            let payload = Peer::new(false).compress(&message);
            rows.push(row(format!("12 {length} {what} bytes"), packed(BINARY, &payload), vec![binary(message)], None));
        }
    }
}

/// Text that compresses as text does.
fn mixed(length: usize) -> Vec<u8> {
    (0_u32..)
        .flat_map(|at| format!("{{\"id\":{at},\"name\":\"{}\"}}", at * at % 97).into_bytes())
        .take(length)
        .collect()
}

/// Bytes that do not become shorter.
fn random(length: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let step = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 56) as u8
    };
    std::iter::repeat_with(step).take(length).collect()
}

fn bits(rows: &mut Vec<Row>) {
    let good = || packed(TEXT, HELLO);
    for opcode in [PING, PONG, CLOSE] {
        let sent = [good(), packed(opcode, "")].concat();
        rows.push(row(format!("the bit on opcode {opcode}"), sent, vec![text("Hello")], Some(1002)));
    }
    for opcode in [3, 7, 11] {
        rows.push(row(format!("opcode {opcode}"), packed(opcode, HELLO), vec![], Some(1002)));
    }
    for other in [0x10, 0x20, 0x30, 0x50, 0x60, 0x70] {
        for opcode in [TEXT, BINARY, PING] {
            let sent = [good(), raw(0x80 | other | opcode, HELLO)].concat();
            rows.push(row(format!("bits {other:x} on opcode {opcode}"), sent, vec![text("Hello")], Some(1002)));
        }
    }
    let continued = |first: u8, second: u8| [raw(first, &HELLO[..3]), raw(second, &HELLO[3..])].concat();
    rows.extend([
        row("the bit on the last frame, too", continued(RSV1 | BINARY, 0x80 | RSV1), vec![], Some(1002)),
        row("the bit on the last frame alone", continued(BINARY, 0x80 | RSV1), vec![], Some(1002)),
        row("the bit on a middle frame", continued(RSV1 | BINARY, RSV1), vec![], Some(1002)),
        row("a message within another", [raw(RSV1 | TEXT, HELLO), good()].concat(), vec![], Some(1002)),
        row("a continuation of nothing", packed(0, HELLO), vec![], Some(1002)),
    ]);
}

fn invalid(rows: &mut Vec<Row>) {
    let long = Peer::new(false).compress(&mixed(5_000));
    let wrong: [(&str, &[u8]); 14] = [
        ("no payload at all", b""),
        ("a reserved kind of block", b"\x07\x00"),
        ("the length of a block and its check", b"\x00\x05\x00\xfa\xfeHello\x00"),
        ("a block that ends early", b"\x00\x09\x00\xf6\xffHello"),
        ("a block that would take the tail for content", b"\x00\x09\x00\xf6\xffHello\x00"),
        ("a reference to what is not there", &HELLO_AGAIN),
        ("the tail was not taken off", b"\xf2\x48\xcd\xc9\xc9\x07\x00\x00\x00\xff\xff"),
        ("half of the tail was not taken off", b"\xf2\x48\xcd\xc9\xc9\x07\x00\x00\x00"),
        ("too much was taken off", &HELLO[..6]),
        ("text that is not compressed", b"Hello, World!"),
        ("a final block alone", b"\xf3\x48\xcd\xc9\xc9\x07\x00"),
        ("cut within the codes of a block", &long[..20]),
        ("cut in the middle", &long[..long.len() / 2]),
        ("another message behind it", &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0xf2, 0x48]),
    ];
    for (what, payload) in wrong {
        for opcode in [TEXT, BINARY] {
            let sent = [frame(TEXT, "good"), packed(opcode, payload), frame(PING, "")].concat();
            rows.push(row(format!("{what}, {opcode}"), sent, vec![text("good")], Some(1007)));
        }
    }
    // A wrong block is found when it arrives, whatever would follow.
    rows.push(row("wrong in a first frame", raw(RSV1 | BINARY, [7]), vec![], Some(1007)));
}

fn texts(rows: &mut Vec<Row>) {
    let pack = |bytes: &[u8]| Peer::new(false).compress(bytes);
    let kosme = "Hello-µ@ßöäüàá-UTF-8!! 🎉".repeat(300);
    let payload = pack(kosme.as_bytes());
    rows.push(row("characters that pieces cut", packed(TEXT, &payload), vec![text(&kosme)], None));
    let frames: Vec<&[u8]> = payload.chunks(2).collect();
    rows.push(row("in many frames", packed_parts(TEXT, &frames), vec![text(&kosme)], None));
    for wrong in [&b"\xff"[..], b"ok\xed\xa0\x80", b"\xce\xba\xe1\xbd", b"a\x80", b"\xf4\x90\x80\x80"] {
        let id = wrong.escape_ascii();
        rows.push(row(format!("text {id}"), packed(TEXT, pack(wrong)), vec![], Some(1007)));
        rows.push(row(format!("binary {id}"), packed(BINARY, pack(wrong)), vec![binary(wrong)], None));
    }
}

fn limits(rows: &mut Vec<Row>) {
    let one_more = Peer::new(false).compress(&vec![b'x'; MESSAGE_BYTES_MAX + 1]);
    let (begin, end) = one_more.split_at(600);
    rows.extend([
        row("a byte too many", packed(BINARY, &one_more), vec![], Some(1009)),
        row("in frames that are short", packed_parts(TEXT, &[begin, end, b""]), vec![], Some(1009)),
    ]);
    let random = Peer::new(false).compress(&random(MESSAGE_BYTES_MAX + 1));
    rows.push(row("too long before and after", packed(BINARY, random), vec![], Some(1009)));
    // Empty blocks without end are no message that is too long, as empty frames are not.
    let empty = [[0, 0, 0, 0xff, 0xff].repeat(500_000), vec![0]].concat();
    rows.push(row("long, and nothing in it", packed(TEXT, empty), vec![text("")], None));
}

fn check(row: &Row, deflate: Deflate, keeps: bool, lengths: &[usize]) {
    let (head, received, ended) = converse(echo(deflate), &offering("permessage-deflate"), &row.sent, lengths);
    assert!(head.contains("\r\nSec-WebSocket-Extensions: permessage-deflate"), "{head}");
    let (id, mut peer) = (&row.id, Peer::new(keeps));
    let mut heard = said_compressed(&received, &mut |payload| peer.decompress(payload));
    let closed = take_close(&mut heard);
    assert_eq!((closed, ended), (row.close, row.close.is_some()), "{id}, in pieces of {lengths:?}");
    assert!(heard == row.heard, "{id}, in pieces of {lengths:?}: {} messages", heard.len());
}

#[test]
fn every_case_however_it_is_cut() {
    let mut rows = Vec::new();
    for add in [messages, bits, invalid, texts, limits] {
        add(&mut rows);
    }
    assert!(rows.len() > 110, "{}", rows.len());
    for row in &rows {
        let cuts: &[&[usize]] =
            if row.sent.len() < 2_000 { &[&[usize::MAX], &[1], &[2, 3, 7, 1]] } else { &[&[30_000], &[4_093, 1]] };
        for lengths in cuts {
            check(row, eager(), false, lengths);
        }
    }
}

/// Where contexts are kept, whatever one message has left behind is there for the next one.
#[test]
fn contexts_are_kept_if_both_sides_agree() {
    let mut peer = Peer::new(true);
    let said: Vec<_> = (0..40_u32).map(|at| mixed(at as usize * 97)).collect();
    let compressed = said.iter().flat_map(|message| packed(BINARY, peer.compress(message))).collect();
    let heard: Vec<_> = said.iter().map(binary).collect();
    let hello_twice = vec![text("Hello"), text("Hello")];
    let rows = [
        row("many messages", compressed, heard, None),
        row("7.2.3.2 a known message", [packed(TEXT, HELLO), packed(TEXT, HELLO_AGAIN)].concat(), hello_twice, None),
        row(
            "not across messages that are not compressed",
            [packed(TEXT, HELLO), frame(TEXT, "x"), packed(TEXT, HELLO_AGAIN)].concat(),
            vec![text("Hello"), text("x"), text("Hello")],
            None,
        ),
        row("before there is one", packed(TEXT, HELLO_AGAIN), vec![], Some(1007)),
        row(
            "nothing of it after a final block",
            [packed(TEXT, b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00"), packed(TEXT, HELLO_AGAIN)].concat(),
            vec![text("Hello")],
            Some(1007),
        ),
        row("no payload at all", [packed(TEXT, HELLO), packed(TEXT, "")].concat(), vec![text("Hello")], Some(1007)),
    ];
    for row in rows {
        for lengths in [&[usize::MAX][..], &[1], &[2, 3, 7, 1]] {
            check(&row, eager().context_takeover(true), true, lengths);
        }
    }
}

/// What is offered, and what the response says about it.
#[test]
fn the_response_says_what_was_agreed_on() {
    const FRESH: &str = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
    let field = |offer: &str| {
        let (head, _, _) = converse(echo(eager()), offer, b"", &[1]);
        let status = head[9..12].to_owned();
        let field = head.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Extensions: ")).map(str::to_owned);
        (status, field)
    };
    let two_fields = offering("foo").replace("\r\n\r\n", "\r\nsec-websocket-extensions: permessage-deflate\r\n\r\n");
    let with_protocol = offering("permessage-deflate").replace("\r\n\r\n", "\r\nSec-WebSocket-Protocol: echo\r\n\r\n");
    let rows = [
        (HANDSHAKE.to_owned(), "101", None),
        (offering("permessage-deflate"), "101", Some(FRESH.to_owned())),
        // Chromium, Firefox, Safari.
        (offering("permessage-deflate; client_max_window_bits"), "101", Some(FRESH.to_owned())),
        (
            offering("permessage-deflate; server_max_window_bits=\"10\"; client_max_window_bits=9"),
            "101",
            Some(format!("{FRESH}; server_max_window_bits=10; client_max_window_bits=9")),
        ),
        (offering("permessage-deflate; server_max_window_bits=20"), "101", None),
        (offering("permessage-deflate; nonsense, permessage-deflate"), "101", Some(FRESH.to_owned())),
        (offering("x-webkit-deflate-frame"), "101", None),
        (two_fields, "101", Some(FRESH.to_owned())),
        (with_protocol, "101", Some(FRESH.to_owned())),
        (offering("permessage-deflate; client_max_window_bits=\"9"), "400", None),
        (offering("permessage-deflate").replace("GET ", "PUT "), "400", None),
    ];
    for (offer, status, expected) in rows {
        assert_eq!(field(&offer), (status.to_owned(), expected), "{offer}");
    }
}

/// Without the extension the bit has no meaning.
#[test]
fn nothing_is_compressed_unless_it_was_agreed_on() {
    for offer in [HANDSHAKE.to_owned(), offering("permessage-deflate; nonsense")] {
        let long = mixed(5_000);
        let sent = [frame(BINARY, &long), packed(TEXT, HELLO)].concat();
        let (_, received, ended) = converse(echo(eager()), &offer, &sent, &[usize::MAX]);
        let mut heard = support::said(&received);
        assert_eq!((take_close(&mut heard), ended), (Some(1002), true));
        assert!(heard == [binary(long)]);
    }
}

/// A client behind its handshake, and whether it may compress.
fn join<H: Handler>(server: &mut SimServer<'_, '_, H>) -> (Client, bool) {
    let client = server.connect();
    server.send(client, offering("permessage-deflate").as_bytes());
    let head = String::from_utf8(server.receive(client)).unwrap();
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    (client, head.contains("Extensions"))
}

#[test]
fn only_as_many_compress_as_the_budget_allows() {
    let budget = Budget::new(2);
    let deflate = Deflate::new(&budget);
    with_server(echo(deflate), Limits::default(), |server| {
        let [one, two, three] = [(); 3].map(|()| join(server));
        assert_eq!((one.1, two.1, three.1, budget.taken()), (true, true, false, 2));
        // A handshake that fails takes nothing.
        let client = server.connect();
        server.send(client, offering("permessage-deflate").replace(": 13", ": 12").as_bytes());
        assert!(server.receive(client).starts_with(b"HTTP/1.1 400 "));
        // One that was accepted without is one that does not compress.
        server.send(three.0, &packed(TEXT, HELLO));
        assert_eq!(server.receive(three.0)[2..4], 1002_u16.to_be_bytes());
        // One leaves as it should, one is gone without a word.
        server.send(one.0, &close(1000, ""));
        assert_eq!(server.receive(one.0)[2..4], 1000_u16.to_be_bytes());
        assert_eq!((server.has_ended(one.0), budget.taken()), (true, 1));
        server.sim().client_reset(two.0);
        server.settle();
        assert_eq!(budget.taken(), 0);
        assert_eq!([(); 3].map(|()| join(server).1), [true, true, false]);
    });
    assert_eq!(budget.taken(), 0);
}

/// What an echo says to each message, as it is on the wire: whether it is compressed, and the length of its payload.
fn on_the_wire(deflate: Deflate, offer: &str, messages: &[Vec<u8>]) -> Vec<(bool, usize)> {
    let keeps = !offer.contains("server_no_context_takeover");
    let sent: Vec<u8> = messages.iter().flat_map(|message| frame(BINARY, message)).collect();
    let (_, received, _) = converse(echo(deflate), &offering(offer), &sent, &[usize::MAX]);
    let (mut peer, mut all, mut rest) = (Peer::new(keeps), Vec::new(), &received[..]);
    while let [first, second, tail @ ..] = rest {
        let (length, tail) = match second {
            126 => (usize::from(u16::from_be_bytes([tail[0], tail[1]])), &tail[2..]),
            127 => (u64::from_be_bytes(tail[..8].try_into().unwrap()) as usize, &tail[8..]),
            length => (usize::from(*length), tail),
        };
        let frame_len = rest.len() - tail.len() + length;
        let heard = said_compressed(&rest[..frame_len], &mut |payload| peer.decompress(payload));
        assert!(heard == [binary(&messages[all.len()])], "message {}", all.len());
        all.push((first & RSV1 != 0, length));
        rest = &rest[frame_len..];
    }
    assert_eq!(all.len(), messages.len());
    all
}

#[test]
fn messages_are_compressed_if_that_makes_them_shorter() {
    let deflate = || Deflate::new(&Budget::new(1));
    let lengths = [0, 1, 255, 256, 257, 5_000, 262_144, 262_145];
    let expected = [false, false, false, true, true, true, true, false];
    for takes_over in [false, true] {
        let compressed = on_the_wire(deflate().context_takeover(takes_over), "permessage-deflate", &lengths.map(mixed));
        assert_eq!(compressed.iter().map(|(is, _)| *is).collect::<Vec<_>>(), expected, "{takes_over}");
        // Random bytes are not, and what comes behind them is.
        let messages = [mixed(5_000), random(5_000), random(1_100), mixed(5_000)];
        let compressed = on_the_wire(deflate().context_takeover(takes_over), "permessage-deflate", &messages);
        assert_eq!(compressed.iter().map(|(is, _)| *is).collect::<Vec<_>>(), [true, false, false, true]);
        assert_eq!(compressed[1].1, 5_000);
    }
    let eager = on_the_wire(eager().bytes_max(100), "permessage-deflate", &[0, 1, 100, 101].map(|n| vec![b'a'; n]));
    assert_eq!(eager.iter().map(|(is, _)| *is).collect::<Vec<_>>(), [false, false, true, false]);
}

/// Short messages that are alike: what the first one has said the others need not say again, unless the client does not want that.
#[test]
fn a_context_that_is_kept_makes_messages_shorter() {
    let messages: Vec<_> =
        (0..5).map(|at| format!("{{\"kind\":\"tick\",\"symbol\":\"AURORA\",\"price\":{at}}}").into()).collect();
    let lengths = |keeps: bool, offer: &str| -> Vec<usize> {
        let deflate = eager().context_takeover(keeps);
        on_the_wire(deflate, offer, &messages).iter().map(|(_, length)| *length).collect()
    };
    let kept = lengths(true, "permessage-deflate");
    let fresh = lengths(true, "permessage-deflate; server_no_context_takeover");
    // The first one has become longer: the price of all others.
    assert!((43..48).contains(&kept[0]) && kept[1..].iter().all(|length| *length < 15), "{kept:?}");
    assert_eq!(fresh, [43; 5]);
    assert_eq!(lengths(false, "permessage-deflate; server_no_context_takeover"), fresh);
}

/// No message refers to anything that a client with a window of this size has forgotten.
#[test]
fn the_window_that_a_client_asks_for_is_kept() {
    // 700 bytes that come again and again, which can be seen only in more than 512.
    let message = random(700).repeat(20);
    for (bits, is_shorter) in [(9, false), (10, true), (15, true)] {
        let asked = format!("permessage-deflate; server_max_window_bits={bits}");
        let rows = [
            (eager(), &*asked),
            (eager().context_takeover(true), &*asked),
            (eager().window_bits(bits), "permessage-deflate"),
            (eager().window_bits(bits).context_takeover(true), "permessage-deflate; server_max_window_bits=15"),
        ];
        for (deflate, offer) in rows {
            assert_eq!(
                on_the_wire(deflate, offer, core::slice::from_ref(&message))[0].0,
                is_shorter,
                "{bits}: {offer}"
            );
        }
    }
}

#[test]
fn the_end_says_what_was_wrong() {
    let pack = |bytes: &[u8]| Peer::new(false).compress(bytes);
    let rows = [
        (packed(TEXT, [7]), Ending::NotDeflate),
        (packed(TEXT, pack(b"\xff")), Ending::NotUtf8),
        (packed(TEXT, pack(&[b'a'; 17])), Ending::TooLong),
        (packed(PING, ""), Ending::Protocol),
        ([packed(TEXT, pack(&[b'a'; 16])), close(1000, "")].concat(), Ending::Closed(Some(1000))),
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
        let handler = serve(eager(), options, listen);
        converse(handler, &offering("permessage-deflate"), &sent, &[usize::MAX]);
        assert_eq!(*endings.borrow(), [expected]);
    }
}

/// A message as a client sends it: what, whether compressed, and where its payload is cut into frames.
type Sent = (bool, String, bool, Vec<u8>);

fn any_message() -> impl Strategy<Value = Sent> {
    let text = prop_oneof![".{0,300}", "[ab]{0,3000}", "(tick|tock|µ){0,400}"];
    (any::<bool>(), text, any::<bool>(), proptest::collection::vec(any::<u8>(), 0..5))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Messages of any kind, compressed or not, in any fragments, cut anywhere, come back as they were.
    #[test]
    fn what_was_sent_comes_back(
        messages in proptest::collection::vec(any_message(), 1..8),
        offer in "permessage-deflate(; server_no_context_takeover)?(; client_no_context_takeover)?(; server_max_window_bits=(9|12|15))?",
        keeps in any::<bool>(),
        lengths in proptest::collection::vec(1..700_usize, 1..4),
    ) {
        let mut peer = Peer::new(keeps && !offer.contains("client_no_context_takeover"));
        let (mut sent, mut expected) = (Vec::new(), Vec::new());
        for (is_text, text, is_compressed, cuts) in messages {
            let opcode = if is_text { TEXT } else { BINARY };
            let payload = if is_compressed { peer.compress(text.as_bytes()) } else { text.clone().into_bytes() };
            let mut cuts: Vec<_> = cuts.iter().map(|cut| usize::from(*cut) * (payload.len() + 1) / 256).collect();
            cuts.extend([0, payload.len()]);
            cuts.sort_unstable();
            let frames: Vec<&[u8]> = cuts.windows(2).map(|cut| &payload[cut[0]..cut[1]]).collect();
            let mut bytes = packed_parts(opcode, &frames);
            if !is_compressed {
                bytes[0] &= !RSV1;
            }
            sent.extend(bytes);
            expected.push((opcode, text.into_bytes()));
        }
        let deflate = eager().context_takeover(keeps);
        let (_, received, ended) = converse(echo(deflate), &offering(&offer), &sent, &lengths);
        peer.keeps = true;
        let heard = said_compressed(&received, &mut |payload| peer.decompress(payload));
        prop_assert!(!ended && heard == expected);
    }
}
