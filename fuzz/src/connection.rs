//! Any bytes into a connection, in pieces and with pauses: it ends, loses no buffer, and answers nothing malformed.
//!
//! Options: the low four bits of the first byte are the number of cuts, the second byte is the pause at each of them. Then
//! a byte for each cut, how long the piece in front of it is.

use std::cell::RefCell;

use super::fuzzed::Fuzzed;

thread_local! {
    /// Its memory is for ever, so there is one.
    static FUZZED: RefCell<Fuzzed> = RefCell::new(Fuzzed::new());
}

pub fn check(input: &[u8]) {
    let Some(([count, pause], rest)) = super::options(input) else { return };
    let Some((lengths, bytes)) = rest.split_at_checked(usize::from(count & 15)) else { return };
    let mut at = 0;
    let cuts: Vec<usize> = lengths.iter().map(|&length| advance(&mut at, length, bytes.len())).collect();
    // Mostly none, then from 20 s on: what matters of it is which deadlines pass.
    let pause_ms = if pause < 200 { 0 } else { u64::from(pause) * 100 };
    FUZZED.with_borrow_mut(|fuzzed| fuzzed.play(bytes, &cuts, pause_ms));
}

/// Where a piece ends that begins at `at`: short ones to the byte, long ones roughly.
fn advance(at: &mut usize, length: u8, end: usize) -> usize {
    let length = usize::from(length);
    *at = end.min(*at + if length < 128 { length } else { (length - 127) * 64 });
    *at
}
