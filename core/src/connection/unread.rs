//! Content that nobody asks for, and what the response says about the end of the connection then.

use super::exchange::{Exchange, Output};
use super::flag;
use crate::encode::connection_field;
use crate::pool::Buf;
use crate::writer::{Facts, Stream};

impl<E> Exchange<'_, E> {
    /// A response is produced, and nobody has asked for the content, which is too long to keep the connection for: it is
    /// dropped as it comes, because a client may write all of it before it reads.
    pub(super) fn decline_content(&mut self) {
        let begun = !matches!(self.stream, Stream::Unbegun | Stream::Raw);
        if begun && self.facts.has(Facts::CLOSE_UNREAD) && !self.facts.has(Facts::LIMITED) && !self.body.is_finished() {
            self.set(flag::DEAF);
            self.announce_close();
        }
    }

    /// A streamed response whose head has not left leaves content unread that is not worth reading: its head says that the
    /// connection ends (RFC 9112 §9.6), which could not be known when it was written.
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
        let Output::Unsent { head, .. } = &mut self.output else { return };
        self.facts = self.facts.with(Facts::CLOSE, true);
        insert_close(head, at, http10);
    }
}

/// Puts `Connection: close` into the head that begins at `at`, for which the writer has left room.
#[cold]
fn insert_close(head: &mut Buf<'_>, at: usize, http10: bool) {
    let find = |head: &Buf<'_>, what: &[u8]| head.filled()[at..].windows(what.len()).position(|part| part == what);
    let granted = connection_field(http10, true, false);
    if !granted.is_empty()
        && let Some(place) = find(head, granted)
    {
        head.cut(at + place, granted.len());
    }
    let line = connection_field(http10, false, false);
    let (len, Some(place)) = (head.len(), find(head, b"\r\n\r\n")) else { return };
    let place = at + place + 2;
    if head.append(line).is_ok() {
        head.filled_mut().copy_within(place..len, place + line.len());
        head.filled_mut()[place..place + line.len()].copy_from_slice(line);
    }
}
