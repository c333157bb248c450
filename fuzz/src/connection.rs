//! Arbitrary bytes into a connection, in pieces and with pauses: it ends, leaks no buffer, and sends no malformed answer.
//!
//! Options: the low four bits of the first byte are the number of cuts, the second byte is the pause at each of them. Then
//! a byte for each cut: the length of the piece before it.

use std::cell::RefCell;

use super::fuzzed::Fuzzed;

thread_local! {
    /// Its memory is never freed, so there is only one.
    static FUZZED: RefCell<Fuzzed> = RefCell::new(Fuzzed::new());
}

pub fn check(input: &[u8]) {
    let Some(([count, pause], rest)) = super::options(input) else { return };
    let Some((lengths, bytes)) = rest.split_at_checked(usize::from(count & 15)) else { return };
    let mut at = 0;
    let cuts: Vec<usize> = lengths.iter().map(|&length| advance(&mut at, length, bytes.len())).collect();
    // Usually none, otherwise 20 s or more: it only matters which deadlines expire.
    let pause_ms = if pause < 200 { 0 } else { u64::from(pause) * 100 };
    FUZZED.with_borrow_mut(|fuzzed| fuzzed.play(bytes, &cuts, pause_ms));
}

/// The end of a piece that begins at `at`: exact for short pieces, coarse for long ones.
fn advance(at: &mut usize, length: u8, end: usize) -> usize {
    let length = usize::from(length);
    *at = end.min(*at + if length < 128 { length } else { (length - 127) * 64 });
    *at
}
