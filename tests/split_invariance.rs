//! The result does not depend on how the bytes are split: the same responses, the same calls of the handler, the same end.
//!
//! Every case of the table defines its result, so it is run again with its input split in every way.

#[path = "conformance/mod.rs"]
mod wire;

use std::time::{Duration, Instant};

use aurora_http_core::error::CloseReason;
use aurora_http_core::state::State;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use wire::bare::{Bare, bytewise};
use wire::case::{Case, End, chunks, content, head};
use wire::harness::Bench;
use wire::probe::{Log, Probe, Seen};
use wire::reply::{self, Response};
use wire::rows;

/// The table, without cases that would only take time.
fn table(input_max: usize) -> Vec<Case> {
    let mut cases = rows::all();
    cases.retain(|case| case.input().len() <= input_max);
    cases.iter_mut().for_each(may_continue);
    cases
}

/// Whether a 100 (Continue) is sent depends on whether content arrives with its head.
fn may_continue(case: &mut Case) {
    case.may_continue = true;
}

fn report(wrong: &[String], played: usize) {
    assert!(wrong.is_empty(), "{} of {played}:\n{}", wrong.len(), wrong[..wrong.len().min(30)].join("\n"));
}

#[test]
fn byte_by_byte() {
    let mut bare = Bare::new();
    let cases = table(80_000);
    let wrong: Vec<String> = cases.iter().filter_map(|case| bare.play(case, &mut bytewise).err()).collect();
    report(&wrong, cases.len());
}

/// Short inputs, split once at every position.
#[test]
fn in_two() {
    let mut bare = Bare::new();
    let mut wrong = Vec::new();
    let mut played = 0;
    // Rows that differ in one byte have the same split points: every fourth of the large families is enough.
    for case in table(400).iter().step_by(4) {
        for at in 1..case.input().len() {
            let mut cut = |bytes: &[u8]| if at < bytes.len() { vec![at] } else { Vec::new() };
            played += 1;
            wrong.extend(bare.play(case, &mut cut).err().map(|wrong| format!("cut at {at}: {wrong}")));
        }
    }
    assert!(played > 20_000, "{played}");
    report(&wrong, played);
}

fn random(seed: u8) -> TestRng {
    TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32])
}

/// Pieces of any length up to `max`.
fn random_cut(bytes: &[u8], rng: &mut TestRng, max: usize) -> Vec<usize> {
    let mut cuts = Vec::new();
    let mut at = rng.random_range(1..=max);
    while at < bytes.len() {
        cuts.push(at);
        at += rng.random_range(1..=max);
    }
    cuts
}

#[test]
fn at_random() {
    let mut bare = Bare::new();
    let mut rng = random(1);
    let mut wrong = Vec::new();
    let cases = table(usize::MAX);
    for max in [3, 40, 5_000] {
        for case in cases.iter().filter(|case| case.input().len() < max * 4_000) {
            wrong.extend(bare.play(case, &mut |bytes| random_cut(bytes, &mut rng, max)).err());
        }
    }
    report(&wrong, cases.len() * 3);
}

#[cfg(has_backend)]
#[test]
fn over_sockets() {
    for backend in wire::socket::backends() {
        over_sockets_on(backend);
    }
}

#[cfg(has_backend)]
fn over_sockets_on(backend: aurora_http::Backend) {
    let server = wire::socket::Hosted::new(backend, aurora_http::Limits::default());
    let mut rng = random(2);
    let mut wrong = Vec::new();
    let mut cases = table(2_000);
    cases.retain(|case| case.limits == aurora_http::Limits::default());
    for case in cases.iter().step_by(9) {
        wrong.extend(server.play(case, &mut bytewise).err());
        wrong.extend(server.play(case, &mut |bytes| random_cut(bytes, &mut rng, 20)).err());
    }
    report(&wrong, cases.len());
}

/// The result of an input: final responses, calls, end.
#[derive(Debug, PartialEq)]
struct Outcome {
    responses: Vec<(u16, Vec<u8>, bool)>,
    seen: Vec<Seen>,
    reason: Option<CloseReason>,
    buffers: usize,
}

/// Runs inputs without a predefined result.
struct Player {
    bench: Bench<Probe>,
    log: Log,
}

impl Player {
    fn new() -> Self {
        let probe = Probe::default();
        let log = probe.log.clone();
        let mut bench = Bench::new(probe);
        bench.fin();
        Self { bench, log }
    }

    fn play(&mut self, input: &[u8], cuts: &[usize]) -> Outcome {
        self.bench.reopen();
        self.log.take();
        let mut from = 0;
        for &to in cuts.iter().chain([&input.len()]) {
            self.bench.send(&input[from..to]);
            from = to;
        }
        self.bench.fin();
        let seen = self.log.take();
        let reason = self.bench.connection.close_reason();
        let output = std::mem::take(&mut self.bench.output);
        let responses = responses(&output, &seen);
        Outcome { responses, seen, reason, buffers: self.bench.pool.in_use() }
    }
}

/// The final responses in `output`; each request determines how its response ends.
fn responses(output: &[u8], seen: &[Seen]) -> Vec<(u16, Vec<u8>, bool)> {
    let mut rest = output;
    let mut found: Vec<Response> = Vec::new();
    while !rest.is_empty() {
        let head_only = seen.get(found.len()).is_some_and(|seen| seen.method == "HEAD");
        let read = reply::read(rest, head_only, true).expect("a well-formed response");
        let Some((response, length)) = read else { break }; // cut off
        rest = &rest[length..];
        if response.status != 100 {
            found.push(response);
        }
    }
    found.into_iter().map(|response| (response.status, response.body.clone(), response.closes())).collect()
}

/// Pipelines of good pieces, bad pieces, and misplaced pieces.
fn pipeline() -> impl Strategy<Value = Vec<u8>> {
    let content_pieces = prop_oneof![
        Just(b"hello".to_vec()),
        Just(chunks(b"hello, world", 5)),
        Just(b"5;a=\"b\"\r\nhello\r\n0\r\nT: t\r\n\r\n".to_vec()),
        Just(b"5\r\nhelloX\r\n".to_vec()),
        (0..3_000_usize).prop_map(content),
    ];
    let method = prop::sample::select(vec!["GET", "HEAD", "POST", "PUT", "G(T", "get"]);
    let targets =
        ["/", "/collect", "/receive", "/collect/describe", "/status/304", "/bytes/3000", "/fields", "/\u{1}", "*"];
    let target = prop::sample::select(targets.to_vec());
    let fields = prop::sample::subsequence(
        vec![
            "Content-Length: 5",
            "Transfer-Encoding: chunked",
            "Connection: close",
            "Expect: 100-continue",
            "A: b\r\n c",
            "Cookie: a=b",
            "Host: y",
            "X:",
        ],
        0..=3,
    );
    let request =
        (method, target, fields).prop_map(|(method, target, fields)| head(&format!("{method} {target}"), &fields));
    let piece = prop_oneof![4 => request, 2 => content_pieces, 1 => Just(b"\r\n".to_vec()), 1 => prop::collection::vec(any::<u8>(), 0..9)];
    prop::collection::vec(piece, 1..7).prop_map(|pieces| pieces.concat())
}

#[test]
fn generated_pipelines() {
    let config = Config { cases: 400, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, random(3));
    let player = std::cell::RefCell::new(Player::new());
    let inputs = (pipeline(), any::<[u8; 32]>());
    let ran = runner.run(&inputs, |(input, seed)| {
        let mut player = player.borrow_mut();
        let whole = player.play(&input, &[]);
        prop_assert_eq!(whole.buffers, 0);
        prop_assert_eq!(&player.play(&input, &bytewise(&input)), &whole);
        let mut rng = TestRng::from_seed(RngAlgorithm::ChaCha, &seed);
        for max in [2, 7, 60, 1_000] {
            let cuts = random_cut(&input, &mut rng, max);
            prop_assert_eq!(&player.play(&input, &cuts), &whole, "cut at {:?}", cuts);
        }
        Ok(())
    });
    ran.unwrap();
}

/// Every byte is examined a bounded number of times (S22 of docs/wire.md). Scanning 64 KiB from the start for each byte would
/// examine two thousand million bytes, which takes minutes; this takes a fraction of a second.
#[test]
fn a_head_in_single_bytes_is_bounded_work() {
    let mut player = Player::new();
    let fields: Vec<String> = (0..60).map(|at| format!("X-{at}: {}", "v".repeat(1_050))).collect();
    let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
    for input in [
        head("GET /", &[&format!("A: {}", "v".repeat(65_000))]),
        head("GET /", &fields),
        head(&format!("GET /{}", "t".repeat(8_000)), &[&format!("A: {}", "v".repeat(57_000))]),
        [head("POST /receive", &["Transfer-Encoding: chunked"]), chunks(&content(20_000), 1)].concat(),
        [&head("POST /receive", &["Transfer-Encoding: chunked"])[..], b"1", &b" ".repeat(4_000), b";a\r\n"].concat(),
    ] {
        let start = Instant::now();
        let outcome = player.play(&input, &bytewise(&input));
        assert!(start.elapsed() < Duration::from_secs(5), "{:?} for {} bytes", start.elapsed(), input.len());
        assert_eq!(outcome.seen.len(), 1, "{outcome:?}");
    }
}

/// Any input that is cut off by a FIN ends the connection and leaks no buffer.
#[test]
fn every_truncation_ends_cleanly() {
    let mut player = Player::new();
    let mut played = 0;
    for case in table(600) {
        let input = case.input();
        // All positions of a short input; of a longer one, every third is enough.
        for length in (0..=input.len()).step_by(1 + input.len() / 200) {
            let outcome = player.play(&input[..length], &[]);
            let wrong = format!("{} cut off behind {length}: {outcome:?}", case.id);
            assert!(outcome.buffers == 0 && outcome.reason.is_some(), "{wrong}");
            assert_eq!(player.bench.state(), State::Closed, "{wrong}");
            if matches!(case.end, End::Open) {
                assert!(outcome.seen.len() <= case.seen.len(), "{wrong}");
            }
            played += 1;
        }
    }
    assert!(played > 100_000, "{played}");
}
