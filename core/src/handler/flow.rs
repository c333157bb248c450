//! What an exchange needs next.

/// What an exchange needs next. [`Handler`](super::Handler) has an example.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Flow<E> {
    /// The response is complete. If it was not begun, it becomes an empty 200. Content that was not read is dropped if
    /// it is short; otherwise the connection is closed after the response.
    Finish,
    /// Call [`Handler::collected`](super::Handler::collected) when the whole content is in one buffer; content beyond
    /// [`Limits::content_collected_max`](crate::limits::Limits::content_collected_max) or
    /// [`ResponseWriter::limit_content`](crate::writer::ResponseWriter::limit_content) is answered with 413. Only from
    /// [`Handler::request`](super::Handler::request), because the head has to be kept: any other call is answered with
    /// 500.
    Collect(E),
    /// Call [`Handler::receive`](super::Handler::receive) with the content as it arrives; content beyond
    /// [`Limits::content_bytes_max`](crate::limits::Limits::content_bytes_max) or
    /// [`ResponseWriter::limit_content`](crate::writer::ResponseWriter::limit_content) is answered with 413.
    Receive(E),
    /// Call [`Handler::produce`](super::Handler::produce) whenever the send buffer is empty.
    ///
    /// If the handler begins a response without having asked for the content, and the content is longer than
    /// [`Limits::discard_bytes_max`](crate::limits::Limits::discard_bytes_max) or of unknown length, it is dropped from
    /// then on, because a client may write all of it before it reads; asking for it later cuts the response off. To
    /// read and write at the same time, ask for the content first.
    ///
    /// If nothing of the body is sent, as with HEAD, this is the same as [`Flow::Finish`] once the body was begun.
    Produce(E),
    /// Send what was written, and call [`Handler::resume`](super::Handler::resume) when the token from
    /// [`ResponseWriter::defer`](crate::writer::ResponseWriter::defer) has been resolved, or the time of
    /// [`ResponseWriter::wake_after`](crate::writer::ResponseWriter::wake_after) has come. Without such a time, 503 if
    /// the token takes longer than [`Timeouts::defer_timeout_ms`](crate::limits::Timeouts::defer_timeout_ms), which
    /// restarts with every deferral. 500 if there is neither a token nor a time. With HEAD, and of content that was not asked for, as
    /// [`Flow::Produce`].
    Defer(E),
    /// Like [`Flow::Receive`], but also call [`Handler::resume`](super::Handler::resume) as soon as the token from
    /// [`ResponseWriter::defer`](crate::writer::ResponseWriter::defer) is resolved, or on an upgraded connection when
    /// the time of [`ResponseWriter::wake_after`](crate::writer::ResponseWriter::wake_after) comes. For protocols in
    /// which both sides speak at any time, and for content that is consumed when there is room for it elsewhere. The
    /// token stays valid across calls of `receive`; [held](super::Content::hold) content is offered again after
    /// `resume`. If the content has ended, or held content leaves no room for more, this is the same as
    /// [`Flow::Defer`]. 500 if there is neither a token nor a time.
    ReceiveOrResume(E),
    /// After [`ResponseWriter::switch_protocols`](crate::writer::ResponseWriter::switch_protocols) or
    /// [`ResponseWriter::open_tunnel`](crate::writer::ResponseWriter::open_tunnel): the connection carries raw bytes
    /// from now on, beginning with those that have already arrived. [`Handler::receive`](super::Handler::receive) is
    /// called with them (the client's FIN is [`Content::ended`](super::Content::ended)) and writes without framing.
    /// [`Flow::Produce`] and [`Flow::Defer`] work as before, and [`Flow::Finish`] closes the connection.
    Upgrade(E),
    /// Like [`Flow::Upgrade`], but the socket and the bytes that have already arrived are handed to the program, which
    /// takes them with [`Engine::next_detached`](crate::engine::Engine::next_detached); a loop that does not do this
    /// closes the connection. The client's FIN may have been received already; receiving from the socket reports it
    /// again.
    Detach(E),
}

impl<E> Flow<E> {
    /// The state; `None` for [`Flow::Finish`].
    pub fn into_state(self) -> Option<E> {
        match self {
            Self::Finish => None,
            Self::Collect(state)
            | Self::Receive(state)
            | Self::Produce(state)
            | Self::Defer(state)
            | Self::ReceiveOrResume(state)
            | Self::Upgrade(state)
            | Self::Detach(state) => Some(state),
        }
    }

    /// The flow without its state, and the state; `None` for [`Flow::Finish`]. [`map`](Self::map) puts another state in.
    pub fn split(self) -> (Flow<()>, Option<E>) {
        let mut state = None;
        (self.map(|inner| state = Some(inner)), state)
    }

    /// The same flow with another state: for handlers that wrap others.
    pub fn map<T>(self, f: impl FnOnce(E) -> T) -> Flow<T> {
        match self {
            Self::Finish => Flow::Finish,
            Self::Collect(state) => Flow::Collect(f(state)),
            Self::Receive(state) => Flow::Receive(f(state)),
            Self::Produce(state) => Flow::Produce(f(state)),
            Self::Defer(state) => Flow::Defer(f(state)),
            Self::ReceiveOrResume(state) => Flow::ReceiveOrResume(f(state)),
            Self::Upgrade(state) => Flow::Upgrade(f(state)),
            Self::Detach(state) => Flow::Detach(f(state)),
        }
    }
}
