//! A connection without an engine and without I/O: bytes in, bytes out, virtual time.

mod harness;
mod states;
