//! Parts of byte slices whose bounds hold by construction, where the compiler cannot see that they do. Indexing would leave
//! a panic in the program, so this does not index: if a bound did not hold after all, a debug build stops, and any other
//! build goes on with an empty part.

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
            both.copy_within(gap.., 0);
        }
    } else {
        let both = part_mut(bytes, range.start..to + count);
        if let Some(gap) = both.len().checked_sub(count) {
            both.copy_within(..count, gap);
        }
    }
}
