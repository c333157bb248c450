//! Allocates tables, without a panic when there is too little memory.

use std::collections::TryReserveError;

/// There is too little memory.
pub(super) struct TooLittle;

impl From<TryReserveError> for TooLittle {
    fn from(_: TryReserveError) -> Self {
        Self
    }
}

/// A table of `len` entries; an error if there is too little memory.
pub(super) fn table<T>(len: usize, entry: impl FnMut() -> T) -> Result<Vec<T>, TryReserveError> {
    let mut table = Vec::new();
    table.try_reserve_exact(len)?;
    table.resize_with(len, entry);
    Ok(table)
}
