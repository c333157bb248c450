//! Arbitrary bytes (S25 of docs/wire.md) cause no panic, lose no buffer, get no malformed answer, and the connection ends.
//!
//! Every run uses the same bounded amount of input; `AURORA_FUZZ_MIB` sets another amount for each kind of input.

#[path = "../core/tests/connection/harness.rs"]
mod harness;
#[allow(dead_code)] // the table's tests use the rest of it
#[path = "conformance/reply.rs"]
mod reply;

#[path = "robustness/fuzzed.rs"]
mod fuzzed;

use fuzzed::Fuzzed;
use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestRng};

/// The default amount of each kind of input.
const MIB: usize = 8;

fn budget() -> usize {
    let wanted = std::env::var("AURORA_FUZZ_MIB").ok().map(|mib| mib.parse().expect("a number of MiB"));
    wanted.unwrap_or(MIB) * 1024 * 1024
}

/// Feeds inputs from `make`, which appends to an empty vector, until the amount is reached.
fn feed(seed: u8, mut make: impl FnMut(&mut TestRng, &mut Vec<u8>)) {
    let mut rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]);
    let mut fuzzed = Fuzzed::new();
    let mut left = budget();
    let mut input = Vec::new();
    while left > 0 {
        input.clear();
        make(&mut rng, &mut input);
        let cuts = cuts(&mut rng, input.len());
        let pause_ms = if rng.random_ratio(1, 50) { rng.random_range(0..20_000) } else { 0 };
        fuzzed.play(&input, &cuts, pause_ms);
        left = left.saturating_sub(input.len().max(1));
    }
}

/// Mostly in one or a few pieces, occasionally in very small ones.
fn cuts(rng: &mut TestRng, length: usize) -> Vec<usize> {
    let piece_max = match rng.random_range(0..10) {
        0 => 3,
        1..5 => 1 + length / 3,
        _ => return Vec::new(),
    };
    let mut cuts = Vec::new();
    let mut at = rng.random_range(1..=piece_max);
    while at < length {
        cuts.push(at);
        at += rng.random_range(1..=piece_max);
    }
    cuts
}

#[test]
fn random_bytes() {
    feed(1, |rng, input| {
        let length = rng.random_range(1..20_000);
        input.resize(length, 0);
        rng.fill_bytes(input);
    });
}

/// After a valid head, so that they are content.
#[test]
fn random_content() {
    let heads = [
        "Content-Length: 5000",
        "Transfer-Encoding: chunked",
        "Content-Length: 70000",
        "Expect: 100-continue\r\nTransfer-Encoding: chunked",
    ];
    let targets = ["/collect", "/receive", "/echo", "/", "/limit", "/bytes"];
    feed(2, |rng, input| {
        let target = targets[rng.random_range(0..targets.len())];
        let head = heads[rng.random_range(0..heads.len())];
        input.extend(format!("POST {target} HTTP/1.1\r\nHost: x\r\n{head}\r\n\r\n").bytes());
        if head.contains("chunked") {
            for _ in 0..rng.random_range(0..20) {
                let length = rng.random_range(0..400);
                input.extend(format!("{length:x}\r\n").bytes());
                input.extend(std::iter::repeat_n(b'c', length));
                input.extend(b"\r\n");
            }
        }
        let from = input.len();
        let length = rng.random_range(0..9_000);
        input.resize(from + length, 0);
        rng.fill_bytes(&mut input[from..]);
    });
}

/// Pieces of HTTP in any order.
#[test]
fn scrambled_words() {
    const WORDS: [&str; 40] = [
        "GET ",
        "POST ",
        "HEAD ",
        "CONNECT ",
        "OPTIONS ",
        "/",
        "/collect",
        "/receive",
        "/echo",
        "/chunks",
        "*",
        "x:1",
        "http://x",
        "?a=b",
        "%2f",
        " HTTP/1.1\r\n",
        " HTTP/1.0\r\n",
        " HTTP/2.0\r\n",
        "Host: x\r\n",
        "Content-Length: 5\r\n",
        "Content-Length: ",
        "Transfer-Encoding: chunked\r\n",
        "Connection: close\r\n",
        "Connection: keep-alive\r\n",
        "Expect: 100-continue\r\n",
        "A: b\r\n",
        ":",
        " ",
        "\t",
        "\r",
        "\n",
        "\r\n",
        "\r\n\r\n",
        "5\r\nhello\r\n",
        "0\r\n\r\n",
        ";a=\"b\"",
        "\0",
        "\u{e9}",
        "5",
        "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    ];
    feed(3, |rng, input| {
        for _ in 0..rng.random_range(1..60) {
            input.extend(WORDS[rng.random_range(0..WORDS.len())].bytes());
        }
    });
}

/// Valid requests with a few mutations.
#[test]
fn mutated_requests() {
    const REQUESTS: [&str; 14] = [
        "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /?q=1 HTTP/1.1\r\nHost: example.com:80\r\nUser-Agent: x\r\nCookie: a=b; c=d\r\nAccept: */*\r\n\r\n",
        "POST /collect HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello",
        "POST /receive HTTP/1.1\r\nHost: x\r\nContent-Length: 12\r\n\r\nhello, world",
        "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello",
        "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5;a=\"b\"\r\nhello\r\n0\r\nT: t\r\n\r\n",
        "POST /collect HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n3;x\r\n...\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello",
        "PUT /collect HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\nhi",
        "HEAD /bytes HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /chunks HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /bytes HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n",
        "GET http://example.com/304 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    ];
    feed(4, |rng, input| {
        for _ in 0..rng.random_range(1..6) {
            input.extend(REQUESTS[rng.random_range(0..REQUESTS.len())].bytes());
        }
        for _ in 0..rng.random_range(0..4) {
            mutate(rng, input);
        }
    });
}

fn mutate(rng: &mut TestRng, input: &mut Vec<u8>) {
    const BYTES: &[u8] = b"\0\t\n\r !\"#%,/0159:;=?@A[\\]_a{|}~\x7f\x80\xff";
    if input.is_empty() {
        return;
    }
    let at = rng.random_range(0..input.len());
    let to = (at + rng.random_range(1..40)).min(input.len());
    let byte = BYTES[rng.random_range(0..BYTES.len())];
    match rng.random_range(0..6) {
        0 => input[at] = byte,
        1 => input.insert(at, byte),
        2 => drop(input.drain(at..to)),
        3 => {
            let piece = input[at..to].to_vec();
            let behind = rng.random_range(0..=input.len());
            input.splice(behind..behind, piece);
        }
        4 => input.truncate(at),
        _ => input.splice(at..at, std::iter::repeat_n(byte, rng.random_range(1..6_000))).for_each(drop),
    }
}
