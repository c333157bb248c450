//! Fixed-capacity memory: move-only buffers in size classes, a slot table with generations, an arena.

pub mod arena;
pub mod buffer;
pub mod object;

pub use buffer::Buf;
