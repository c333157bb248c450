//! Fixed-capacity memory: move-only buffers in size classes, a slot table with generations, an arena for one call.
//!
//! Nothing here allocates. The program provides every table and every byte, exhaustion is reported as a value, and
//! operations on hot paths take the same few instructions however full the pool is.

mod arena;
mod buf;
mod buffer;
mod cache;
mod class;
mod loans;
mod object;

pub use arena::{Align, Arena, ArenaFull, Scope};
pub use buf::Buf;
pub use buffer::{BUFFER_ALIGNMENT, BufferPool, Buffers, ClassStats, PoolError};
pub use cache::CacheAligned;
pub use class::{Class, ClassCounts, ClassSizes};
pub use loans::{LOANS_MAX, Lend, Loans, NoLoans, return_loans};
pub use object::{Entry, Handle, ObjectPool, Slots};
