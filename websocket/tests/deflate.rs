//! permessage-deflate (RFC 7692), case by case, in whole pieces, byte by byte and in odd pieces.

#[path = "support/compressed.rs"]
mod compressed;
mod support;

use aurora_http_websocket::Deflate;
use compressed::{HELLO, HELLO_AGAIN, MESSAGE_BYTES_MAX, Peer, RSV1, eager, echo, mixed, offering, packed, random};
use proptest::prelude::*;
use support::{
    BINARY, CLOSE, PING, PONG, Row, TEXT, binary, close, converse, frame, part, raw, row, said_compressed, take_close,
    text,
};

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
        row("the empty block at the end is a final one", packed(TEXT, b"\x00\x05\x00\xfa\xffHello\x01"), hello(), None),
        row("an empty message, in a final block without compression", packed(TEXT, [1]), vec![text("")], None),
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
        row("a close within it", [raw(RSV1 | TEXT, &HELLO[..4]), close(1000, "")].concat(), vec![], Some(1000)),
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
    // Contexts are not kept, so this refers to nothing.
    let known = [packed(TEXT, HELLO), packed(TEXT, HELLO_AGAIN)].concat();
    rows.push(row("a reference to an earlier message", known, vec![text("Hello")], Some(1007)));
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
        for lengths in row.cuts() {
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
        row(
            "a final block at the end",
            [packed(TEXT, b"\x00\x05\x00\xfa\xffHello\x01"), packed(TEXT, HELLO), packed(TEXT, HELLO_AGAIN)].concat(),
            vec![text("Hello"), text("Hello"), text("Hello")],
            None,
        ),
        row(
            "a block that would take the tail for content",
            [packed(TEXT, HELLO), packed(TEXT, b"\x00\x09\x00\xf6\xffHello\x00")].concat(),
            vec![text("Hello")],
            Some(1007),
        ),
        row(
            "a final block alone",
            [packed(TEXT, HELLO), packed(TEXT, b"\xf3\x48\xcd\xc9\xc9\x07\x00")].concat(),
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
