//! Only parses a head a number of times, or passes one request and one answer through `Readiness`, to
//! count instructions. The difference between two runs is the cost of the iterations alone:
//!
//! ```text
//! RUSTFLAGS='-C target-cpu=x86-64-v3' cargo bench --bench instructions --no-run
//! for n in 1000 2000; do
//!     valgrind --tool=callgrind --callgrind-out-file=/dev/null <executable> aurora wrk $n
//! done
//! ```
//!
//! Parsers: `aurora`, `httparse`; heads: `bare`, `wrk`, `browser`, `api`. `readiness 64 1000` is a thousand requests on
//! each of 64 connections. Without arguments, everything runs once.

use std::env;
use std::hint::black_box;
use std::process::ExitCode;

use aurora_http::core::limits::Limits;
use aurora_http::core::parse::{HeadScan, with_head};

#[path = "support/heads.rs"]
mod heads;
#[path = "support/readiness.rs"]
mod readiness;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let [parser, name, iterations] = &arguments[..] else {
        for (_, head) in heads::HEADS {
            aurora(head, 1);
            httparse(head, 1);
        }
        readiness::requests(1, 1);
        return ExitCode::SUCCESS;
    };
    if let ("readiness", Ok(connections), Ok(requests)) = (parser.as_str(), name.parse(), iterations.parse()) {
        readiness::requests(connections, requests);
        return ExitCode::SUCCESS;
    }
    let head = heads::HEADS.iter().find(|(known, _)| known == name).map(|(_, head)| *head);
    match (parser.as_str(), head, iterations.parse()) {
        ("aurora", Some(head), Ok(iterations)) => aurora(head, iterations),
        ("httparse", Some(head), Ok(iterations)) => httparse(head, iterations),
        _ => return ExitCode::FAILURE,
    }
    ExitCode::SUCCESS
}

#[inline(never)]
fn aurora(head: &[u8], iterations: u32) {
    let limits = Limits::default();
    for _ in 0..iterations {
        let complete = with_head(black_box(head), &limits, &mut HeadScan::default(), |parsed| {
            matches!(black_box(&parsed), Ok(Some(_)))
        });
        assert!(complete);
    }
}

#[inline(never)]
fn httparse(head: &[u8], iterations: u32) {
    for _ in 0..iterations {
        let mut fields = [httparse::EMPTY_HEADER; 16];
        let mut request = httparse::Request::new(&mut fields);
        let parsed = request.parse(black_box(head));
        black_box(&request);
        assert!(matches!(parsed, Ok(httparse::Status::Complete(_))));
    }
}
