//! The core of aurora-http: a strict HTTP/1.1 engine that never allocates, never reads a clock, never makes a system
//! call and contains no `unsafe`. It *asks* for I/O operations and is *told* their outcome.
#![no_std]
#![forbid(unsafe_code)]

/// Whether a fault is planted: see [`planted`]. Always `false` in other builds.
#[cfg(planted)]
macro_rules! planted {
    ($fault:ident) => {
        $crate::planted::is_planted($crate::planted::Fault::$fault)
    };
}
#[cfg(not(planted))]
macro_rules! planted {
    ($fault:ident) => {
        false
    };
}

#[cfg(feature = "sim")]
extern crate alloc;
#[cfg(any(test, feature = "std"))]
extern crate std;

#[cfg(any(feature = "embedded-io", feature = "embedded-io-async"))]
pub mod adapter;
pub mod answer;
pub mod budget;
pub mod connection;
pub mod counters;
pub mod deadlines;
pub mod defer;
pub mod encode;
pub mod engine;
pub mod error;
mod fifo;
pub mod format;
pub mod handler;
pub mod limits;
pub mod parse;
pub mod peer;
#[cfg(planted)]
pub mod planted;
pub mod pool;
pub mod preamble;
pub mod reactor;
pub mod readiness;
pub mod request;
pub mod response;
pub mod run;
#[cfg(feature = "sim")]
pub mod sim;
pub mod state;
pub mod status;
pub mod stop;
pub mod time;
pub mod timers;
pub mod writer;
