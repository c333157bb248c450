//! The faults of a network, and how often they happen.

/// Chances in 1000, drawn from the network's dice. 0, the default, means never.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Faults {
    /// A receive returns fewer bytes than have arrived.
    pub short_recv: u16,
    /// A send takes fewer bytes than there is room for.
    pub short_send: u16,
    /// A call that could be carried out would block; an event follows.
    pub would_block: u16,
    /// A completion or an event is delayed.
    pub delay: u16,
    /// The longest such delay in milliseconds.
    pub delay_ms_max: u16,
    /// A completion overtakes others, on other connections.
    pub reorder: u16,
    /// An event is reported although nothing has happened.
    pub spurious_event: u16,
    /// An accept fails for lack of descriptors (EMFILE).
    pub file_limit: u16,
    /// An accept fails because the connection is gone (ECONNABORTED).
    pub accept_reset: u16,
    /// A receive or a send fails for lack of memory (ENOBUFS).
    pub no_buffers: u16,
    /// A submission is rejected because the queue is full.
    pub full_queue: u16,
    /// A wait is interrupted, or sees only a part.
    pub partial_wait: u16,
    /// A cancelled operation that could complete does so nevertheless.
    pub lost_cancel: u16,
}
