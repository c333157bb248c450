//! permessage-deflate (RFC 7692): what is agreed on, how many may compress, and which messages of the server are compressed.

#[path = "support/compressed.rs"]
mod compressed;
mod support;

use std::cell::RefCell;
use std::rc::Rc;

use aurora_http_core::handler::Handler;
use aurora_http_core::limits::Limits;
use aurora_http_core::sim::{Client, SimServer, with_server};
use aurora_http_websocket::{Budget, Deflate, Ending, Event, Link, Options};
use compressed::{HELLO, Peer, RSV1, eager, echo, mixed, offering, packed, random, serve};
use support::{BINARY, HANDSHAKE, PING, TEXT, binary, close, converse, frame, raw, said_compressed, take_close};

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
    join_with(server, "permessage-deflate")
}

fn join_with<H: Handler>(server: &mut SimServer<'_, '_, H>, offer: &str) -> (Client, bool) {
    let client = server.connect();
    server.send(client, offering(offer).as_bytes());
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
    // Some of these become as long as they were.
    let messages: Vec<_> = (1..200).map(mixed).collect();
    let compressed = on_the_wire(eager(), "permessage-deflate", &messages);
    assert!(compressed.iter().zip(&messages).all(|((is, length), message)| !is || *length < message.len()));
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
        // The first of two faults, however many of the bytes arrive at once.
        (packed(TEXT, pack(b"\xffaaaaaaaaaaaaaaaa")), Ending::NotUtf8),
        (packed(TEXT, pack(b"aaaaaaaaaaaaaaaa\xff")), Ending::TooLong),
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

/// They use one compressor, and decompressors of messages that have begun are theirs.
#[test]
fn websockets_of_a_worker_do_not_mix() {
    let deflate = Deflate::new(&Budget::new(10)).bytes_min(0);
    with_server(echo(deflate), Limits::default(), |server| {
        let offers = ["", "; server_max_window_bits=9", "; server_max_window_bits=12", "; client_max_window_bits"];
        let clients: Vec<_> =
            offers.iter().map(|offer| join_with(server, &format!("permessage-deflate{offer}")).0).collect();
        let messages: Vec<_> = (0..clients.len()).map(|at| mixed(3_000 * (at + 1))).collect();
        // 700 bytes that come again and again, which can be seen only in more than 512.
        let message = random(700).repeat(5);
        for (client, offer) in clients.iter().zip(offers) {
            server.send(*client, &frame(BINARY, &message));
            let is_shorter = server.receive(*client).len() < message.len() / 2;
            assert_eq!(is_shorter, !offer.ends_with("=9"), "{offer}");
        }
        for _ in 0..3 {
            let payloads: Vec<_> = messages.iter().map(|message| Peer::new(false).compress(message)).collect();
            for (client, payload) in clients.iter().zip(&payloads) {
                server.send(*client, &raw(RSV1 | BINARY, &payload[..payload.len() / 3]));
            }
            for (client, payload) in clients.iter().zip(&payloads).rev() {
                server.send(*client, &raw(0x80, &payload[payload.len() / 3..]));
            }
            for (client, message) in clients.iter().zip(&messages) {
                let received = server.receive(*client);
                assert!(received.len() < message.len() / 2, "it was compressed");
                let heard = said_compressed(&received, &mut |payload| Peer::new(false).decompress(payload));
                assert!(heard == [binary(message)]);
            }
        }
    });
}
