//! What each fuzz target checks: a function of raw bytes, the same for the fuzzer and for `tests/fuzz_corpus.rs`, which
//! replays the corpus and has these files as a module of its own.
//!
//! An input is its options, a byte or two, and what is to be looked at behind them. That keeps corpus files readable: in
//! `0`, line feed, `GET / HTTP/1.1`… the digit is an option, and the line feed says that pieces have eleven bytes.
#![allow(unreachable_pub)] // nobody sees it from outside when it is a module

pub mod builder;
pub mod chunked;
pub mod connection;
pub mod framing;
pub mod head;
pub mod query;
pub mod response;
pub mod trailers;

#[path = "../../tests/robustness/fuzzed.rs"]
mod fuzzed;
#[path = "../../core/tests/connection/harness.rs"]
mod harness;
#[allow(dead_code)] // the table's tests use the rest of it
#[path = "../../tests/conformance/reply.rs"]
mod reply;

use aurora_http_core::limits::Limits;

/// The options in front of an input, and the rest; `None` when it is too short to have them.
fn options<const COUNT: usize>(input: &[u8]) -> Option<([u8; COUNT], &[u8])> {
    let (options, rest) = input.split_first_chunk()?;
    Some((*options, rest))
}

/// The limits that an option stands for.
fn limits(option: u8) -> Limits {
    if option & 1 == 0 { Limits::default() } else { Limits::small_device() }
}

/// `bytes` for a message.
fn text(bytes: &[u8]) -> String {
    bytes[..bytes.len().min(600)].escape_ascii().to_string()
}
