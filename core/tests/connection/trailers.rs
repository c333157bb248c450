//! Trailer fields for handlers that ask for them.

use aurora_http_core::error::CloseReason;
use aurora_http_core::handler::{Content, Flow, Handler};
use aurora_http_core::pool::{Class, ClassCounts};
use aurora_http_core::request::Request;
use aurora_http_core::state::State;
use aurora_http_core::writer::ResponseWriter;
use proptest::collection::vec;
use proptest::prelude::*;

use crate::harness::{Bench, COUNTS};

/// Records content and trailers; echoes the content on `/echo`.
#[derive(Default)]
struct Notes {
    drops: bool,
    content: Vec<u8>,
    trailers: Option<Vec<(String, Vec<u8>)>>,
    ends: usize,
}

impl Handler for Notes {
    type Exchange = bool;

    fn request(&mut self, request: &Request<'_>, response: &mut ResponseWriter<'_>) -> Flow<bool> {
        assert!(request.fields().get("a").is_none(), "trailers must not be merged into the head");
        if !self.drops {
            response.keep_trailers();
        }
        let echoes = request.path() == b"/echo";
        if echoes {
            let _ = response.stream(None);
        }
        Flow::Receive(echoes)
    }

    fn receive(&mut self, echoes: bool, content: &mut Content<'_>, response: &mut ResponseWriter<'_>) -> Flow<bool> {
        let count = if echoes { response.write(content.bytes()).unwrap() } else { content.bytes().len() };
        let all = count == content.bytes().len();
        self.content.extend_from_slice(&content.bytes()[..count]);
        content.consume(count);
        if !content.ended() || !all {
            assert!(content.trailers().is_none() || !all);
            return Flow::Receive(echoes);
        }
        self.ends += 1;
        let owned = |trailers: aurora_http_core::request::Trailers<'_>| {
            trailers.iter().map(|field| (field.name.to_owned(), field.value.to_vec())).collect()
        };
        self.trailers = content.trailers().map(owned);
        Flow::Finish
    }
}

const POST: &str = "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
const NEXT: &str = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi";

fn kept(bench: &Bench<Notes>) -> Vec<(&str, &[u8])> {
    let trailers = bench.handler.trailers.as_deref().expect("the handler asked for trailers");
    trailers.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect()
}

#[test]
fn a_handler_that_asks_gets_trailers_but_no_forbidden_ones() {
    let body = "3\r\nabc\r\n0\r\nA: 1\r\nHost: evil\r\nContent-Length: 3\r\nAuthorization: b\r\na:  2 \r\n\r\n";
    let all = [POST, body].concat();
    for split in 0..all.len() {
        let mut bench = Bench::new(Notes::default());
        bench.send(&all.as_bytes()[..split]);
        bench.send(&all.as_bytes()[split..]);
        assert_eq!(kept(&bench), [("A", &b"1"[..]), ("a", b"2")], "{split}");
        assert_eq!((bench.handler.content.as_slice(), bench.handler.ends), (&b"abc"[..], 1), "{split}");
        assert_eq!((bench.state(), bench.pool.in_use()), (State::KeepAlive, 0), "{split}");
    }
}

#[test]
fn without_asking_or_without_chunks_there_are_no_trailers() {
    let mut bench = Bench::new(Notes { drops: true, ..Notes::default() });
    bench.send([POST, "0\r\nA: 1\r\n\r\n"].concat().as_bytes());
    assert_eq!((bench.handler.ends, bench.handler.trailers.is_none()), (1, true));
    let mut bench = Bench::new(Notes::default());
    bench.send(NEXT.as_bytes());
    assert_eq!((bench.handler.ends, bench.handler.trailers.is_none()), (1, true));
    bench.send([POST, "0\r\n\r\n"].concat().as_bytes());
    assert_eq!(kept(&bench), [], "asked for, and empty");
}

#[test]
fn a_section_at_the_limit_is_kept_and_one_byte_more_is_431() {
    for (past, grows) in [(0, true), (1, true), (0, false), (1, false)] {
        // Without a class for the whole section, it cannot be kept.
        let counts =
            if grows { COUNTS } else { COUNTS.with(Class::Medium, 0).with(Class::Large, 0).with(Class::Huge, 0) };
        let mut bench = Bench::with_buffers(Notes::default(), counts);
        let limit = usize::from(bench.limits.trailer_bytes_max);
        let value = "v".repeat(limit - "A: \r\n".len() + past);
        bench.send([POST, "5\r\nabcde\r\n0\r\n"].concat().as_bytes());
        for piece in format!("A: {value}\r\n\r\n").as_bytes().chunks(1000) {
            bench.send(piece);
        }
        bench.send(NEXT.as_bytes());
        let output = bench.take_output();
        if past == 0 && grows {
            assert_eq!(output.matches("HTTP/1.1 200 ").count(), 2, "{output}");
            continue;
        }
        assert!(output.starts_with("HTTP/1.1 431 "), "{past} {grows}: {output}");
        assert_eq!((output.matches("HTTP/1.1").count(), bench.handler.ends), (1, 0));
        bench.fin();
        assert_eq!(bench.connection.close_reason(), Some(CloseReason::TooLarge));
        assert_eq!((bench.state(), bench.pool.in_use()), (State::Closed, 0));
    }
}

#[test]
fn content_before_kept_trailers_has_the_same_limit_as_any_other() {
    for drops in [false, true] {
        for (chunks, refused) in
            [(&["12345678"][..], false), (&["123456789"], true), (&["1234", "5678"], false), (&["1234", "56789"], true)]
        {
            for piece in [1, usize::MAX] {
                let mut bench = Bench::new(Notes { drops, ..Notes::default() });
                bench.limits.content_bytes_max = 8;
                let body: String = chunks.iter().map(|chunk| format!("{:x}\r\n{chunk}\r\n", chunk.len())).collect();
                let request = [POST, &body, "0\r\nA: 1\r\n\r\n"].concat();
                request.as_bytes().chunks(piece.min(request.len())).for_each(|piece| {
                    bench.send(piece);
                });
                let status = if refused { "HTTP/1.1 413 " } else { "HTTP/1.1 200 " };
                let output = bench.take_output();
                assert!(output.starts_with(status), "{drops} {chunks:?} {piece}: {output}");
                assert_eq!(bench.handler.ends, usize::from(!refused), "{drops} {chunks:?} {piece}");
            }
        }
    }
}

#[test]
fn a_section_that_waits_for_a_larger_buffer_continues() {
    let mut bench = Bench::with_buffers(Notes::default(), ClassCounts::new([2, 2, 1, 0, 0]));
    let held = bench.pool.acquire(Class::Medium).unwrap();
    let value = "v".repeat(6000);
    let section = format!("A: {value}\r\n\r\n");
    bench.send([POST, "0\r\n"].concat().as_bytes());
    let taken = bench.send(section.as_bytes());
    assert!(taken < section.len() && bench.connection.is_starved() && !bench.connection.is_starved_to_receive());
    assert!(bench.pool.release(held).is_ok());
    bench.fed();
    bench.send(&section.as_bytes()[taken..]);
    assert_eq!(kept(&bench), [("A", value.as_bytes())]);
    assert_eq!((bench.state(), bench.pool.in_use()), (State::KeepAlive, 0));
}

/// The status of the answer, content, trailers, and whether the next request was served, too.
type Verdict = (String, Vec<u8>, Option<Vec<(String, Vec<u8>)>>, usize);

fn verdict(body: &[u8], path: &str, drops: bool, mut ends: Vec<usize>) -> Verdict {
    let mut bench = Bench::new(Notes { drops, ..Notes::default() });
    bench.limits.trailer_bytes_max = 60;
    let head = POST.replace(" / ", &format!(" {path} "));
    let all = [head.as_bytes(), body, NEXT.as_bytes()].concat();
    ends.push(all.len());
    ends.sort_unstable();
    let mut at = 0;
    for end in ends {
        let end = end.min(all.len());
        bench.send(&all[at..end]);
        at = end;
    }
    let output = bench.take_output();
    bench.fin();
    bench.fin();
    assert_eq!(bench.pool.in_use(), 0);
    let statuses = output.match_indices("HTTP/1.1 ").map(|(at, _)| &output[at + 9..at + 12]).collect();
    (statuses, bench.handler.content, bench.handler.trailers, bench.handler.ends)
}

fn section() -> impl Strategy<Value = Vec<u8>> {
    let line =
        ("[A-Za-z-]{1,6}", "[ \t]{0,2}[!-~]{0,9}[ \t]{0,2}").prop_map(|(name, value)| format!("{name}:{value}\r\n"));
    let broken =
        prop::sample::select(vec!["no colon\r\n", "A : b\r\n", " A: b\r\n", "A: b\n", "A: \x01\r\n", "\n", ":\r\n"]);
    let line = prop_oneof![9 => line, 1 => broken.prop_map(str::to_owned)];
    vec(line, 0..5).prop_map(|lines| [lines.concat().as_bytes(), b"\r\n"].concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_split_gives_the_same_verdict_and_so_does_keeping_trailers(
        chunks in vec("[a-z]{1,9}", 0..4),
        section in section(),
        echoes in any::<bool>(),
        ends in vec(0_usize..300, 0..8),
    ) {
        let mut body = Vec::new();
        for chunk in &chunks {
            body.extend(format!("{:x};x=y\r\n{chunk}\r\n", chunk.len()).bytes());
        }
        body.extend(b"000\r\n");
        body.extend(&section);
        let path = if echoes { "/echo" } else { "/" };
        let mut whole = verdict(&body, path, false, Vec::new());
        let mut split = verdict(&body, path, false, ends.clone());
        let mut dropped = verdict(&body, path, true, ends);
        if echoes && whole.3 == 0 {
            // How much of the echo has been sent at the time of the fault depends on the split.
            for verdict in [&mut whole, &mut split, &mut dropped] {
                verdict.0.clear();
            }
        }
        prop_assert_eq!(&split, &whole);
        prop_assert_eq!((&dropped.0, &dropped.1, dropped.3), (&whole.0, &whole.1, whole.3));
    }
}

/// Asks for trailers, waits for all content, then answers in pieces of two bytes.
struct Holds {
    trailers_seen: usize,
}

impl Handler for Holds {
    /// Whether the response has begun.
    type Exchange = bool;

    fn request(&mut self, _: &Request<'_>, response: &mut ResponseWriter<'_>) -> Flow<bool> {
        response.keep_trailers();
        Flow::Receive(false)
    }

    fn receive(&mut self, begun: bool, content: &mut Content<'_>, response: &mut ResponseWriter<'_>) -> Flow<bool> {
        if !content.ended() {
            content.hold();
            return Flow::Receive(false);
        }
        self.trailers_seen += content.trailers().map_or(0, |trailers| trailers.iter().count());
        if !begun {
            response.stream(None).unwrap();
        }
        let count = response.write(&content.bytes()[..content.bytes().len().min(2)]).unwrap();
        content.consume(count);
        if content.bytes().is_empty() { Flow::Finish } else { Flow::Receive(true) }
    }
}

#[test]
fn held_content_before_trailers_may_be_consumed_in_pieces() {
    for (tail, trailers) in [("0\r\nA: 1\r\n\r\n", 2), ("0\r\n\r\n", 0)] {
        for next in ["", NEXT] {
            for split in 0..=tail.len() {
                let mut bench = Bench::new(Holds { trailers_seen: 0 });
                bench.send([POST, "3\r\nabc\r\n", &tail[..split]].concat().as_bytes());
                bench.send([&tail[split..], next].concat().as_bytes());
                let output = bench.take_output();
                assert!(output.contains("2\r\nab\r\n") && output.contains("1\r\nc\r\n0\r\n\r\n"), "{split} {output}");
                assert_eq!(bench.handler.trailers_seen, trailers, "trailers come with each piece of the end");
                assert_eq!(
                    (bench.connection.requests_served(), bench.pool.in_use()),
                    if next.is_empty() { (1, 0) } else { (2, bench.pool.in_use()) }
                );
            }
        }
    }
}
