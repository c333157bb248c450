//! A connection without an engine and without I/O: bytes in, bytes out, virtual time.

mod deferred;
mod demands;
mod disorder;
mod duplex;
mod harness;
mod replies;
mod states;
mod trailers;
mod upgraded;
mod waiting;
mod whole;
