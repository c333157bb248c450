//! The phases of a connection and the legal transitions between them, in one table. Where a connection is within a
//! phase depends on its flags (operations in flight, properties of the response), the rest of its message body, the
//! response under way and its output: see [`connection`](crate::connection) and ARCHITECTURE.md.
//!
//! ```text
//!            bytes                head complete            content wanted
//!    New ───────────▶ ReadingHead ─────────────▶ Processing ────────────▶ ReadingContent
//!                      │ ▲     ▲                   │  ▲   ◀──────────────────   │
//!                 idle │ │bytes│ next request      │  │      content arrived    │
//!                      │ │     ├───────────────────┤  │ drained                 │ respond
//!                      ▼ │     │                   ▼  │                         ▼
//!                   KeepAlive  └──────────────── Writing ◀──────────────────────┘
//!                                                  │ │ └── switch ──▶ Switched
//!                                           linger │ │ close              │ (and back to Processing for a call)
//!                                                  ▼ ▼                    ▼
//!                                           Lingering ── close ──────▶ Closing ── closed ──▶ Closed
//! ```
//! The picture shows the usual ways; the rows of the table are all of them. `Close` is legal in every phase before
//! `Closing`.

#[cfg(all(feature = "sim", target_has_atomic = "64"))]
pub mod reached;

/// The phase of a connection.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[repr(u8)]
pub enum State {
    /// Accepted; no byte has arrived.
    New,
    /// A part of a head may have arrived.
    ReadingHead,
    /// The handler asked for content, or unread content is being dropped.
    ReadingContent,
    /// The handler is being called, has deferred its answer, or waits for a buffer for the answer.
    Processing,
    /// A response or a part of one is to be sent or being sent.
    Writing,
    /// Idle between two requests; no buffer is held.
    KeepAlive,
    /// Our FIN follows the last response; input is dropped (RFC 9112 §9.6).
    Lingering,
    /// The connection speaks another protocol after 101 or CONNECT.
    Switched,
    /// Waiting until no operation is in flight, then for the close itself.
    Closing,
    /// The handle has been closed.
    Closed,
}

impl State {
    /// The number of states.
    pub const COUNT: usize = 10;

    /// All states, in the order of their numbers.
    pub const ALL: [Self; Self::COUNT] = [
        Self::New,
        Self::ReadingHead,
        Self::ReadingContent,
        Self::Processing,
        Self::Writing,
        Self::KeepAlive,
        Self::Lingering,
        Self::Switched,
        Self::Closing,
        Self::Closed,
    ];
}

/// What moves a connection from one state to the next.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub enum Event {
    /// Bytes of a head may have arrived.
    Bytes,
    /// The head is complete, and room for an answer is reserved.
    HeadComplete,
    /// Content has to be read first.
    NeedContent,
    /// The handler is called again.
    CallHandler,
    /// Output has to be sent first.
    Respond,
    /// Everything is answered, and no input is left.
    Idle,
    /// The last response has been sent; the peer may still be sending.
    Linger,
    /// Another protocol takes over.
    Switch,
    /// The connection ends at once.
    Close,
    /// The close has completed.
    Closed,
}

impl Event {
    /// The number of events.
    pub const COUNT: usize = 10;

    /// All events, in the order of their numbers.
    pub const ALL: [Self; Self::COUNT] = [
        Self::Bytes,
        Self::HeadComplete,
        Self::NeedContent,
        Self::CallHandler,
        Self::Respond,
        Self::Idle,
        Self::Linger,
        Self::Switch,
        Self::Close,
        Self::Closed,
    ];
}

/// Row: state; column: event; value: the next state, `None` where the event is illegal.
const TABLE: [[Option<State>; Event::COUNT]; State::COUNT] = {
    use State::{
        Closed, Closing, KeepAlive, Lingering, New, Processing, ReadingContent, ReadingHead, Switched, Writing,
    };
    let mut table = [[None; Event::COUNT]; State::COUNT];
    // (from, event, to)
    let rows = [
        (New, Event::Bytes, ReadingHead),
        (New, Event::Respond, Writing), // refused with 503
        (KeepAlive, Event::Bytes, ReadingHead),
        (ReadingHead, Event::HeadComplete, Processing),
        (ReadingHead, Event::Respond, Writing), // refused, timed out, or earlier responses go first
        (ReadingHead, Event::Idle, KeepAlive),
        (Processing, Event::CallHandler, Processing), // resumed after Defer
        (Processing, Event::NeedContent, ReadingContent),
        (Processing, Event::Respond, Writing),
        (Processing, Event::Bytes, ReadingHead), // the next pipelined request; responses are collected
        (ReadingContent, Event::CallHandler, Processing),
        (ReadingContent, Event::Respond, Writing),
        (ReadingContent, Event::Bytes, ReadingHead), // unread content has been dropped
        (Writing, Event::CallHandler, Processing),
        (Writing, Event::NeedContent, ReadingContent),
        (Writing, Event::Bytes, ReadingHead),
        (Writing, Event::Linger, Lingering),
        (KeepAlive, Event::Linger, Lingering), // a stop, while the client is still receiving
        (Writing, Event::Switch, Switched),
        (Processing, Event::Switch, Switched), // nothing was written: waits for more raw bytes
        (Switched, Event::CallHandler, Processing),
        (Closing, Event::Closed, Closed),
    ];
    let mut at = 0;
    while at < rows.len() {
        let (from, event, to) = rows[at];
        table[from as usize][event as usize] = Some(to);
        at += 1;
    }
    // Every state before closing can close.
    let mut state = 0;
    while state < Closing as usize {
        table[state][Event::Close as usize] = Some(Closing);
        state += 1;
    }
    table
};

impl State {
    /// The state after `event`; `None` when the transition is illegal.
    #[inline]
    #[must_use]
    pub const fn after(self, event: Event) -> Option<Self> {
        TABLE[self as usize][event as usize]
    }

    /// Whether the connection is ending: input is no longer looked at.
    #[inline]
    #[must_use]
    pub const fn is_ending(self) -> bool {
        matches!(self, Self::Lingering | Self::Closing | Self::Closed)
    }
}

#[cfg(test)]
mod tests {
    use super::{Event, State};
    use std::vec::Vec;

    #[test]
    fn closing_is_reachable_from_everywhere_and_only_closed_follows() {
        for state in State::ALL {
            let may_close = state.after(Event::Close) == Some(State::Closing);
            assert_eq!(may_close, !matches!(state, State::Closing | State::Closed), "{state:?}");
        }
        assert_eq!(State::Closing.after(Event::Closed), Some(State::Closed));
        assert_eq!(State::Writing.after(Event::Closed), None);
    }

    #[test]
    fn every_state_is_reachable_from_new() {
        let mut reached = Vec::from([State::New]);
        let mut at = 0;
        while at < reached.len() {
            for event in Event::ALL {
                if let Some(next) = reached[at].after(event)
                    && !reached.contains(&next)
                {
                    reached.push(next);
                }
            }
            at += 1;
        }
        assert_eq!(reached.len(), State::COUNT);
    }

    #[test]
    fn a_response_is_never_skipped() {
        // After a handler's call, idle and lingering can be reached only through Writing.
        for state in [State::Processing, State::ReadingContent, State::Switched] {
            for event in [Event::Idle, Event::Linger] {
                assert_eq!(state.after(event), None, "{state:?} {event:?}");
            }
        }
    }
}
