//! Tables in memory that may be refused.

use std::collections::TryReserveError;

/// Entries of a table; an error when there is no memory for them.
pub(super) fn table<T>(len: usize, entry: impl FnMut() -> T) -> Result<Vec<T>, TryReserveError> {
    let mut table = Vec::new();
    table.try_reserve_exact(len)?;
    table.resize_with(len, entry);
    Ok(table)
}
