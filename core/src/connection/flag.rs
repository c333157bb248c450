//! Bits of the flags of an exchange: they and its [`State`](crate::state::State) say where a connection is.

/// A receive is in flight.
pub(super) const RECV: u32 = 1;
/// A send is in flight.
pub(super) const SEND: u32 = 1 << 1;
/// The close is in flight.
pub(super) const CLOSE: u32 = 1 << 2;
/// The receive in flight was cancelled, and has not completed yet.
pub(super) const RECV_CANCELED: u32 = 1 << 3;
/// The send in flight was cancelled, and has not completed yet.
pub(super) const SEND_CANCELED: u32 = 1 << 4;
/// The sending direction was shut down.
pub(super) const SHUT: u32 = 1 << 5;
/// No buffer was free: it waits for one.
pub(super) const STARVED: u32 = 1 << 6;
/// The peer's FIN has been received.
pub(super) const FIN_RECEIVED: u32 = 1 << 7;
/// The connection ends after the current response.
pub(super) const LAST: u32 = 1 << 8;
/// A part of the current response has been passed to a send.
pub(super) const BEGUN: u32 = 1 << 9;
/// The handler wants more bytes than have arrived before it consumes any.
pub(super) const HUNGRY: u32 = 1 << 10;
/// The receive in flight uses a lent buffer.
pub(super) const LENT: u32 = 1 << 11;
/// The deadline restarts although its class is the same: a window is complete, or an exchange.
pub(super) const PROGRESS: u32 = 1 << 12;
/// The exchange is counted as under way.
pub(super) const IN_FLIGHT: u32 = 1 << 13;
/// The token of the exchange was resolved.
pub(super) const RESOLVED: u32 = 1 << 14;
/// The connection is to be handed to the program.
pub(super) const DETACHED: u32 = 1 << 15;
/// Input is no longer interpreted: whatever arrives is dropped.
pub(super) const IGNORES_INPUT: u32 = 1 << 16;
/// No buffer was free to drop input into; the next attempt is after the next completed send.
pub(super) const NO_DROP_BUFFER: u32 = 1 << 17;
/// The carriage return of an empty line before the next head was consumed.
pub(super) const BLANK_CR: u32 = 1 << 18;
/// An empty line before the next head was consumed; another one is not allowed.
pub(super) const BLANK_LINE: u32 = 1 << 19;
/// The handler set a time.
pub(super) const TIMED: u32 = 1 << 20;
/// The time that the handler set has come.
pub(super) const DUE: u32 = 1 << 21;
/// A stop has begun, and the handler has yet to be told.
pub(super) const STOPPING: u32 = 1 << 22;
/// The handler has been told of the stop.
pub(super) const TOLD_OF_STOP: u32 = 1 << 23;
/// The send in flight has only the 100 (Continue); the response after it stays in the buffer.
pub(super) const HELD_BACK: u32 = 1 << 24;
/// The output starts with a 100 (Continue), before the current response.
pub(super) const CONTINUE: u32 = 1 << 25;
/// The connection ends between two exchanges, or as its last response says: our FIN means what it seems to mean.
pub(super) const ORDERLY: u32 = 1 << 26;

/// The send in flight has a part of a file.
pub(super) const FILE: u32 = 1 << 26;

/// Reasons to call a handler other than received bytes.
pub(super) const WOKEN: u32 = RESOLVED | DUE | STOPPING;
