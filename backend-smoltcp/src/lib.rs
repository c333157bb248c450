//! TCP by [`smoltcp`] under the engine: for devices without an operating system.
//!
//! [`Stack`] is a [`NonBlocking`](aurora_http_core::reactor::NonBlocking), of which
//! [`Readiness`](aurora_http_core::readiness::Readiness) makes a reactor. It listens on one port with all sockets that are not in
//! use, and does what a kernel does with a backlog:
//!
//! - Newcomers wait in sockets until the engine accepts them, the one that came first first.
//! - When no socket listens, a SYN is dropped, so that its client tries again. `smoltcp` by itself would answer with a reset.
//! - A socket whose connection the engine has closed listens again as soon as TCP allows, and earlier when no other one does and
//!   its client has acknowledged everything.
//! - A handshake that is not completed within [`HANDSHAKE_MS`] is forgotten.
//!
//! The program has the device, the interface with its addresses, and [`Platform`]: a clock, and how to sleep. Sockets of its
//! own (DHCP, DNS, UDP) go into the same set: [`Stack::sockets_mut`]. The repository's `examples/bare-metal-net` is a whole
//! program.
//!
//! ```
//! use aurora_http_core::defer::Deferrals;
//! use aurora_http_core::engine::{Engine, Listener, Records, Slot, SlotNode, Storage};
//! use aurora_http_core::handler::handler_fn;
//! use aurora_http_core::limits::Limits;
//! use aurora_http_core::pool::{BufferPool, Buffers, Class, ClassCounts, Slots};
//! use aurora_http_core::preamble::Preamble;
//! use aurora_http_core::readiness::{Held, Parked, Readiness};
//! use aurora_http_core::run::run;
//! use aurora_http_core::stop::StopFlag;
//! use aurora_http_core::writer::ResponseWriter;
//! use aurora_http_smoltcp::{Memory, Platform, Stack};
//! use smoltcp::iface::{Interface, SocketStorage};
//! use smoltcp::phy::Device;
//!
//! type Sockets = Memory<8, 1024>;
//!
//! /// Serves four connections at a time on port 80, until `stop`.
//! fn serve<D: Device, P: Platform>(device: D, interface: Interface, platform: P, stop: &StopFlag) -> Option<()> {
//!     let (mut places, mut memory) = ([const { SocketStorage::EMPTY }; 8], Sockets::new());
//!     let stack = Stack::new(device, interface, &mut places, &mut memory, 80, platform).ok()?;
//!
//!     let (mut bytes, mut table) = (Buffers::<9, 1024>::new(), [const { None }; 9]);
//!     let mut pool = BufferPool::new(&mut table, ClassCounts::NONE.with(Class::Tiny, 9)).ok()?;
//!     pool.add_buffers(&mut bytes).ok()?;
//!     let (mut slots, mut nodes) = (Slots::<Slot<'_, _>, 4>::new(), [SlotNode::new(); 4]);
//!     let mut records = Records::<'_, _, 4>::new();
//!     let (slots, records) = (slots.entries(), records.records());
//!     let (nodes, listeners, deferrals) = (&mut nodes, &mut [Listener::new()], Deferrals::NONE);
//!     let storage = Storage { slots, records, nodes, listeners, loans: &mut [], deferrals, scratch: &mut [] };
//!     let answer = handler_fn(|_, response: &mut ResponseWriter<'_>| response.body("21.5 C\n"));
//!     let mut engine = Engine::new(storage, pool, answer, Limits::small_device(), Preamble::new("device").ok()?).ok()?;
//!     engine.listen(stack.listener()).ok()?;
//!
//!     let (mut parked, mut held) = ([const { Parked::new() }; Sockets::HANDLES], [const { Held::new() }; 4]);
//!     let mut lent = [const { None }; 4];
//!     let mut reactor = Readiness::new(stack, &mut parked, &mut held, &mut lent);
//!     run(&mut engine, &mut reactor, stop).ok()
//! }
//! ```
//!
//! # Memory
//! [`Memory`] has two buffers and a seat for each socket. A socket that listens for newcomers while all slots of the engine are
//! taken is a place in the backlog, and one that is on its way through TCP's last states is neither: twice as many sockets as
//! slots serve well.
#![no_std]
#![forbid(unsafe_code)]

mod gate;
mod memory;
mod seat;
mod stack;

pub use memory::Memory;
pub use stack::{Platform, Stack, TooFewSockets};

/// How long a client has to complete the handshake, in milliseconds.
pub const HANDSHAKE_MS: u32 = 3_000;

/// How long the client of a connection that the engine has closed has to acknowledge it and to close its own side, in
/// milliseconds; then it is reset.
pub const LEAVE_MS: u32 = 5_000;
