//! A connection without an engine and without I/O: bytes in, bytes out, virtual time.

mod boundaries;
mod buffers;
mod cut_off;
mod deferred;
mod demands;
mod detached;
mod disorder;
mod duplex;
mod ends;
mod harness;
mod lengths;
mod needs;
mod recode;
mod replies;
mod slow;
mod states;
mod trailers;
mod upgraded;
mod waiting;
mod whole;
