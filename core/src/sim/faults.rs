//! What may go wrong, and how often.

/// Chances in 1000, drawn from the network's dice; 0 for what never happens, which is how a network begins.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Faults {
    /// A receive gets less than there is.
    pub short_recv: u16,
    /// A send passes on less than there is room for.
    pub short_send: u16,
    /// A call that could be carried out says that it would block; an event follows.
    pub would_block: u16,
    /// A completion, or an event, is held back for a while.
    pub delay: u16,
    /// The longest such delay in milliseconds.
    pub delay_ms_max: u16,
    /// A completion overtakes others, on other connections.
    pub reorder: u16,
    /// An event comes though nothing has happened.
    pub spurious_event: u16,
    /// An accept fails for want of descriptors (EMFILE).
    pub file_limit: u16,
    /// An accept fails because the connection is gone (ECONNABORTED).
    pub accept_reset: u16,
    /// A receive or a send fails for want of memory (ENOBUFS).
    pub no_buffers: u16,
    /// A submission is handed back: the queue is full.
    pub full_queue: u16,
    /// A wait is interrupted, or sees a part only.
    pub partial_wait: u16,
    /// A cancelled operation that could complete does so all the same.
    pub lost_cancel: u16,
}
