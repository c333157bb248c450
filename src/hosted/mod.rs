//! Servers on operating systems: configuration, threads, listeners, memory. No protocol code.
// Without a backend there is no `Chosen`, and what depends on one can never run.
#![cfg_attr(not(has_backend), allow(unused, unreachable_code))]

mod announce;
mod auto;
mod config;
mod descriptors;
mod error;
mod listen;
mod report;
mod running;
mod server;
mod shared;
mod signals;
mod stash;
mod storage;
mod worker;

pub use announce::Announcement;
pub use auto::Backend;
pub use error::ServerError;
pub use report::{Report, WorkerOutcome, WorkerReport};
pub use running::{Running, StopHandle, WorkerContext};
pub use server::Server;
pub use stash::{BufferMemory, buffer_memory};
pub use storage::WorkerStorage;
pub use worker::Worker;
