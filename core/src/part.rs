//! Parts of byte slices whose bounds hold by construction, where the compiler cannot see that they do. Indexing would leave
//! a panic in the program, so this does not index: if a bound did not hold after all, a debug build stops, and any other
//! build goes on with an empty part.

#[cfg(feature = "small")]
use core::cell::Cell;
use core::ops::Range;
use core::slice::SliceIndex;

use crate::error::BufferFull;

/// `bytes[range]`.
#[cfg_attr(not(feature = "small"), inline(always))]
pub(crate) fn part<R: SliceIndex<[u8], Output = [u8]>>(bytes: &[u8], range: R) -> &[u8] {
    let part = bytes.get(range);
    debug_assert!(part.is_some(), "the bounds must hold by construction");
    part.unwrap_or_default()
}

/// `bytes[range]`, mutably.
#[cfg_attr(not(feature = "small"), inline(always))]
pub(crate) fn part_mut<R: SliceIndex<[u8], Output = [u8]>>(bytes: &mut [u8], range: R) -> &mut [u8] {
    let part = bytes.get_mut(range);
    debug_assert!(part.is_some(), "the bounds must hold by construction");
    part.unwrap_or_default()
}

/// Splits room that is at least as long as `at`.
#[inline(always)]
pub(crate) fn split(room: &mut [u8], at: usize) -> Result<(&mut [u8], &mut [u8]), BufferFull> {
    room.split_at_mut_checked(at).ok_or(BufferFull)
}

/// Copies `from` to `to`, which is as long.
#[cfg_attr(not(feature = "small"), inline(always))]
pub(crate) fn copy(to: &mut [u8], from: &[u8]) {
    debug_assert_eq!(to.len(), from.len(), "the lengths must be equal by construction");
    if to.len() == from.len() {
        to.copy_from_slice(from);
    }
}

/// Moves the bytes of `range` to where `to` is; the two may overlap. Not inlined, so that the checks of `copy_within` are
/// compiled together with those here, which make them superfluous.
#[inline(never)]
pub(crate) fn shift(bytes: &mut [u8], range: Range<usize>, to: usize) {
    let count = range.end.saturating_sub(range.start);
    // What is read and written, as one part: the bytes move from one of its ends to the other.
    if to < range.start {
        let both = part_mut(bytes, to..range.end);
        if let Some(gap) = both.len().checked_sub(count) {
            to_front(both, gap);
        }
    } else {
        let both = part_mut(bytes, range.start..to + count);
        if let Some(gap) = both.len().checked_sub(count) {
            to_back(both, gap);
        }
    }
}

/// Moves all bytes but the first `gap` to the front.
#[cfg(not(feature = "small"))]
fn to_front(bytes: &mut [u8], gap: usize) {
    bytes.copy_within(gap.., 0);
}

/// Moves all bytes but the last `gap` to the back.
#[cfg(not(feature = "small"))]
fn to_back(bytes: &mut [u8], gap: usize) {
    bytes.copy_within(..bytes.len() - gap, gap);
}

/// One byte after the other. Nothing else needs `memmove`, which takes 700 bytes on a microcontroller without an
/// implementation in ROM.
#[cfg(feature = "small")]
fn to_front(bytes: &mut [u8], gap: usize) {
    let bytes = Cell::from_mut(bytes).as_slice_of_cells();
    for (to, from) in bytes.iter().zip(bytes.iter().skip(gap)) {
        to.set(from.get());
    }
}

/// One byte after the other, from the last one.
#[cfg(feature = "small")]
fn to_back(bytes: &mut [u8], gap: usize) {
    let bytes = Cell::from_mut(bytes).as_slice_of_cells();
    for (to, from) in bytes.iter().rev().zip(bytes.iter().rev().skip(gap)) {
        to.set(from.get());
    }
}

/// `number * numerator / denominator`, where the numerator is at most the denominator, which is not 0.
#[cfg(not(feature = "small"))]
pub(crate) fn scale(number: u32, numerator: u32, denominator: u32) -> u32 {
    (u64::from(number) * u64::from(numerator) / u64::from(denominator.max(1))) as u32
}

/// The same, bit by bit: a division of 64-bit numbers takes half a kilobyte on a processor that has no instruction for it.
#[cfg(feature = "small")]
pub(crate) fn scale(number: u32, numerator: u32, denominator: u32) -> u32 {
    let mut rest = u64::from(number) * u64::from(numerator);
    let mut quotient = 0;
    for bit in (0..u32::BITS).rev() {
        if let Some(less) = rest.checked_sub(u64::from(denominator) << bit) {
            rest = less;
            quotient |= 1 << bit;
        }
    }
    quotient
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::{scale, shift};

    proptest! {
        #[test]
        fn shifted_bytes_are_those_of_the_range(
            bytes in prop::collection::vec(any::<u8>(), 1..40),
            picks in prop::array::uniform3(any::<prop::sample::Index>()),
        ) {
            let [start, end, to] = picks.map(|pick| pick.index(bytes.len() + 1));
            let (start, end) = (start.min(end), start.max(end));
            prop_assume!(to + (end - start) <= bytes.len());
            let mut shifted = bytes.clone();
            shift(&mut shifted, start..end, to);
            let mut expected: Vec<u8> = bytes.clone();
            expected.splice(to..to + (end - start), bytes[start..end].iter().copied());
            prop_assert_eq!(shifted, expected);
        }

        #[test]
        fn a_scaled_number_is_a_quotient(number: u32, pair in prop::array::uniform2(1_u32..)) {
            let (numerator, denominator) = (pair[0].min(pair[1]), pair[0].max(pair[1]));
            let quotient = u64::from(number) * u64::from(numerator) / u64::from(denominator);
            prop_assert_eq!(u64::from(scale(number, numerator, denominator)), quotient);
        }
    }
}
