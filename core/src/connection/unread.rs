//! Content that the handler does not read, and what the response then says about the connection.

use super::exchange::{Exchange, Output};
use super::flag;
use crate::encode::connection_field;
use crate::part::part;
use crate::pool::Buf;
use crate::writer::{Facts, Stream};

impl<E> Exchange<'_, E> {
    /// Called when a response is produced. If the handler did not ask for the content, and it is too long to keep the
    /// connection, it is dropped as it arrives, because a client may write all of it before it reads.
    pub(super) fn decline_content(&mut self) {
        let begun = !matches!(self.stream, Stream::Unbegun | Stream::Raw);
        if begun && self.facts.has(Facts::CLOSE_UNREAD) && !self.facts.has(Facts::LIMITED) && !self.body.is_finished() {
            self.set(flag::IGNORES_INPUT);
            self.announce_close();
        }
    }

    /// If a streamed response leaves content unread that is not worth reading, and its head has not been sent yet, adds
    /// to its head that the connection ends (RFC 9112 §9.6). That could not be known when it was written.
    pub(super) fn announce_close(&mut self) {
        let is_told = self.facts.has(Facts::CLOSE) || self.has(flag::BEGUN) || self.stream == Stream::Unbegun;
        if !self.facts.has(Facts::CLOSE_UNREAD)
            || planted!(CloseNotAnnounced)
            || is_told
            || self.body.is_finished()
            || self.body.is_raw()
        {
            return;
        }
        let (at, http10) = (self.response_at as usize, self.facts.has(Facts::HTTP10));
        let (Output::Unsent { head, .. } | Output::File { head, .. }) = &mut self.output else { return };
        self.facts = self.facts.with(Facts::CLOSE, true);
        insert_close(head, at, http10);
    }
}

/// Inserts `Connection: close` into the head that begins at `at`. The writer has left room for it.
#[cold]
fn insert_close(head: &mut Buf<'_>, at: usize, http10: bool) {
    let find =
        |head: &Buf<'_>, what: &[u8]| part(head.filled(), at..).windows(what.len()).position(|part| part == what);
    let granted = connection_field(http10, true, false);
    if !granted.is_empty()
        && let Some(place) = find(head, granted)
    {
        head.cut(at + place, granted.len());
    }
    let line = connection_field(http10, false, false);
    if let Some(place) = find(head, b"\r\n\r\n") {
        let inserted = head.insert(at + place + 2, line);
        debug_assert!(inserted.is_ok(), "the writer must have left room");
    }
}
