//! What an exchange wants next.

/// What an exchange wants next.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Flow<E> {
    /// The response is complete. A response that was not begun becomes an empty 200; content that was not read is
    /// dropped when it is short, or else the connection closes behind the response.
    Finish,
    /// Call [`Handler::collected`](super::Handler::collected) once the whole content is there in one buffer; 413 beyond
    /// [`Limits::content_collected_max`](crate::limits::Limits::content_collected_max) or
    /// [`ResponseWriter::limit_content`](crate::writer::ResponseWriter::limit_content). Only from
    /// [`Handler::request`](super::Handler::request), because the head has to stay: 500 from any other call.
    Collect(E),
    /// Call [`Handler::receive`](super::Handler::receive) with the content as it arrives; 413 beyond
    /// [`Limits::content_bytes_max`](crate::limits::Limits::content_bytes_max) or
    /// [`ResponseWriter::limit_content`](crate::writer::ResponseWriter::limit_content).
    Receive(E),
    /// Call [`Handler::produce`](super::Handler::produce) whenever the send buffer is empty.
    ///
    /// Content that was not asked for when the response has begun, and that is longer than
    /// [`Limits::discard_bytes_max`](crate::limits::Limits::discard_bytes_max) or of unknown length, is dropped from then
    /// on, because a client may write all of it before it reads: asking for it later breaks the response off. To read and
    /// write at the same time, ask for the content first.
    Produce(E),
    /// What was written goes out; call [`Handler::resume`](super::Handler::resume) once the token from
    /// [`ResponseWriter::defer`](crate::writer::ResponseWriter::defer) was resolved, or the time of
    /// [`ResponseWriter::wake_after`](crate::writer::ResponseWriter::wake_after) has come. Without such a time, 503 when the
    /// token takes longer than [`Timeouts::defer_timeout_ms`](crate::limits::Timeouts::defer_timeout_ms), which begins anew
    /// with every deferral; 500 when there is neither token nor time.
    Defer(E),
    /// As [`Flow::Receive`], and call [`Handler::resume`](super::Handler::resume) as soon as the token from
    /// [`ResponseWriter::defer`](crate::writer::ResponseWriter::defer) is resolved, or on an upgraded connection the time of
    /// [`ResponseWriter::wake_after`](crate::writer::ResponseWriter::wake_after) comes: for protocols in which both sides
    /// speak when they like, and for content that is taken when there is room for it elsewhere. The token stays valid across
    /// calls of `receive`; what is [held](super::Content::hold) is offered again behind `resume`. When the content has ended,
    /// or what is held leaves no room for more, this means [`Flow::Defer`]. 500 when there is neither token nor time.
    ReceiveOrResume(E),
    /// Behind [`ResponseWriter::switch_protocols`](crate::writer::ResponseWriter::switch_protocols) or
    /// [`ResponseWriter::open_tunnel`](crate::writer::ResponseWriter::open_tunnel): the connection carries raw bytes
    /// from now on, what had already arrived first. [`Handler::receive`](super::Handler::receive) gets them (the client's end is
    /// [`Content::ended`](super::Content::ended)) and writes without framing; [`Flow::Produce`] and [`Flow::Defer`] work as before, and
    /// [`Flow::Finish`] closes.
    Upgrade(E),
    /// As [`Flow::Upgrade`], but the socket and what had already arrived are given to the embedding program, which takes
    /// them by [`Engine::next_detached`](crate::engine::Engine::next_detached); a loop that does not closes the
    /// connection. The client's end may be seen already: the socket tells it again.
    Detach(E),
}

impl<E> Flow<E> {
    /// The state inside; `None` of [`Flow::Finish`].
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

    /// The same flow with another state: for handlers around other handlers.
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
