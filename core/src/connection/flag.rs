//! Bits of the flags of an exchange: they and its [`State`](crate::state::State) say where a connection is.

/// Defines the flags one after another, so that no two of them can be the same bit.
macro_rules! flags {
    ($($(#[$doc:meta])+ $name:ident,)+) => {
        /// The number of each flag's bit.
        #[allow(non_camel_case_types, clippy::upper_case_acronyms)]
        enum Bit {
            $($name,)+
        }

        $($(#[$doc])+ pub(super) const $name: u32 = 1 << Bit::$name as u32;)+
    };
}

flags! {
    /// A receive is in flight.
    RECV,
    /// A send is in flight.
    SEND,
    /// The close is in flight.
    CLOSE,
    /// The receive in flight was cancelled, and has not completed yet.
    RECV_CANCELED,
    /// The send in flight was cancelled, and has not completed yet.
    SEND_CANCELED,
    /// The sending direction was shut down.
    SHUT,
    /// No buffer was free: it waits for one.
    STARVED,
    /// The peer's FIN has been received.
    FIN_RECEIVED,
    /// The connection ends after the current response.
    LAST,
    /// A part of the current response has been passed to a send.
    BEGUN,
    /// The handler wants more bytes than have arrived before it consumes any.
    HUNGRY,
    /// The receive in flight uses a lent buffer.
    LENT,
    /// The deadline restarts although its class is the same: a window is complete, or an exchange.
    PROGRESS,
    /// The exchange is counted as under way.
    IN_FLIGHT,
    /// The token of the exchange was resolved.
    RESOLVED,
    /// The connection is to be handed to the program.
    DETACHED,
    /// Input is no longer interpreted: whatever arrives is dropped.
    IGNORES_INPUT,
    /// No buffer was free to drop input into; the next attempt is after the next completed send.
    NO_DROP_BUFFER,
    /// The carriage return of an empty line before the next head was consumed.
    BLANK_CR,
    /// An empty line before the next head was consumed; another one is not allowed.
    BLANK_LINE,
    /// The handler set a time.
    TIMED,
    /// The time that the handler set has come.
    DUE,
    /// A stop has begun, and the handler has yet to be told.
    STOPPING,
    /// The handler has been told of the stop.
    TOLD_OF_STOP,
    /// The send in flight has only the 100 (Continue); the response after it stays in the buffer.
    HELD_BACK,
    /// The output starts with a 100 (Continue), before the current response.
    CONTINUE,
    /// The connection ends between two exchanges, or as its last response says: our FIN means what it seems to mean.
    ORDERLY,
    /// The send in flight has a part of a file.
    FILE,
    /// What is being sent was cut off, and a FIN would seem to complete it: the connection ends with a reset.
    CUT_OFF,
}

/// Reasons to call a handler other than received bytes.
pub(super) const WOKEN: u32 = RESOLVED | DUE | STOPPING;
