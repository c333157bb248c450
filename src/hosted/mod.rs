//! Servers on an operating system: configuration, threads, listeners, memory. No protocol code.
// Without a backend `Chosen` has no variants, and the code that needs one is unreachable.
#![cfg_attr(not(has_backend), allow(unused, unreachable_code))]

mod address;
mod announce;
mod any;
mod auto;
mod backend;
mod channel;
mod config;
mod crew;
mod descriptors;
mod error;
mod gate;
mod handles;
mod heap;
mod holders;
mod inherit;
mod listen;
mod mailbox;
mod offload;
mod placement;
mod printer;
mod report;
mod resumer;
mod running;
mod secure;
mod server;
mod shared;
mod sockets;
mod source;
mod stash;
mod storage;
mod table;
mod tally;
mod threads;
mod unix;
mod worker;

pub use address::ListenAddr;
pub use announce::Announcement;
pub use any::{AnyReactor, AnyWaker};
pub use backend::{Backend, UnknownBackend};
pub use channel::{BodySender, ChannelBody, ClientGone, body_channel};
pub use error::ServerError;
pub use handles::{ServerCounters, StopHandle};
pub use heap::HeapStorage;
pub use mailbox::{Broadcast, MailSender, Mailbox, MailboxBody, mailbox};
pub use offload::{ContentReader, Offloaded, Responder, offload};
pub use placement::Pin;
pub use report::{Report, StopReport, WorkerOutcome, WorkerReport};
pub use resumer::Resumer;
pub use running::{Running, WorkerContext};
pub use server::{DetachingServer, Server};
pub use sockets::SocketReactor;
pub use stash::{BufferMemory, buffer_memory};
pub use storage::WorkerStorage;
pub use worker::Worker;
