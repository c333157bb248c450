//! Any bytes into a connection, in pieces: it ends, loses no buffer, and answers nothing malformed.
#![no_main]

use std::cell::RefCell;

use libfuzzer_sys::fuzz_target;

#[path = "../../core/tests/connection/harness.rs"]
mod harness;
#[allow(dead_code)] // the table's tests use the rest of it
#[path = "../../tests/conformance/reply.rs"]
mod reply;

#[path = "../../tests/robustness/fuzzed.rs"]
mod fuzzed;

thread_local! {
    /// Its memory is for ever, so there is one.
    static FUZZED: RefCell<fuzzed::Fuzzed> = RefCell::new(fuzzed::Fuzzed::new());
}

fuzz_target!(|input: (Vec<u16>, u8, &[u8])| {
    let (cuts, pause, bytes) = input;
    let mut cuts: Vec<usize> = cuts.iter().map(|&cut| usize::from(cut) % (bytes.len() + 1)).collect();
    cuts.sort_unstable();
    let pause_ms = if pause < 200 { 0 } else { u64::from(pause) * 100 };
    FUZZED.with_borrow_mut(|fuzzed| fuzzed.play(bytes, &cuts, pause_ms));
});
