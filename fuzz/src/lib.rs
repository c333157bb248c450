//! The check of each fuzz target: a function of raw bytes, used by the fuzzer and by `tests/fuzz_corpus.rs`, which
//! replays the corpus and includes these files as a module.
//!
//! An input consists of options, a byte or two, followed by the bytes to check. That keeps corpus files readable: in
//! `0`, line feed, `GET / HTTP/1.1`… the digit is an option, and the line feed means pieces of eleven bytes.
#![allow(unreachable_pub)] // not reachable when included as a module

pub mod builder;
pub mod chunked;
pub mod connection;
pub mod framing;
pub mod head;
pub mod multipart;
pub mod query;
pub mod response;
pub mod trailers;
pub mod websocket;

#[path = "../../tests/robustness/fuzzed.rs"]
mod fuzzed;
#[path = "../../core/tests/connection/harness.rs"]
mod harness;
#[allow(dead_code)] // the table's tests use the rest of it
#[path = "../../tests/conformance/reply.rs"]
mod reply;

use aurora_http_core::limits::Limits;

/// Splits an input into its options and the rest; `None` if it is too short for the options.
fn options<const COUNT: usize>(input: &[u8]) -> Option<([u8; COUNT], &[u8])> {
    let (options, rest) = input.split_first_chunk()?;
    Some((*options, rest))
}

/// The limits that an option stands for.
fn limits(option: u8) -> Limits {
    if option & 1 == 0 { Limits::default() } else { Limits::small_device() }
}

/// `bytes`, escaped for an error message.
fn text(bytes: &[u8]) -> String {
    bytes[..bytes.len().min(600)].escape_ascii().to_string()
}
