//! The body of a response: copied, in place, in pieces.

use super::{CHUNK_DIGITS, CHUNK_HEAD, CHUNK_TAIL, Facts, IN_PLACE_MIN, Phase, ResponseWriter, Stream, WriteError};
use crate::encode::{BodyFraming, BodyKind};
use crate::format::format_hex_padded;

/// The body.
impl<'a> ResponseWriter<'a> {
    /// Completes the response with a copy of `data`.
    ///
    /// # Errors
    /// What [`WriteError`] says about room and order.
    #[inline]
    pub fn body(&mut self, data: impl AsRef<[u8]>) -> Result<(), WriteError> {
        let data = data.as_ref();
        let follows = self.begin_body(data.len())?;
        if data.len() > self.bytes_max.saturating_sub(self.len - self.begin) && (follows || self.is_omitted()) {
            return self.latch(WriteError::TooLarge);
        }
        if follows { self.put(data) } else { Ok(()) }
    }

    /// What HEAD is answered is what GET would be: a body that is too long is an error although it is not written.
    #[cold]
    pub(super) fn is_omitted(&self) -> bool {
        self.facts.has(Facts::HEAD) && !matches!(self.status, 204 | 205 | 304)
    }

    /// Completes the response with `data`, sent in place when it is long.
    ///
    /// # Errors
    /// What [`WriteError`] says about room and order.
    pub fn static_body(&mut self, data: &'static [u8]) -> Result<(), WriteError> {
        if !self.begin_body(data.len())? {
            return Ok(());
        }
        if data.len() < IN_PLACE_MIN && data.len() <= self.out.len() - self.len {
            return self.put(data);
        }
        self.static_body = data;
        Ok(())
    }

    /// The head for a body of `length` bytes; whether the body is to follow.
    #[inline]
    pub(super) fn begin_body(&mut self, length: usize) -> Result<bool, WriteError> {
        self.check()?;
        if self.phase as u8 >= Phase::Body as u8 {
            return self.latch(WriteError::Order);
        }
        if self.facts.has(Facts::MAY_CLOSE) {
            self.decide_close(self.facts.has(Facts::CLOSE_UNREAD));
        }
        let framing = self.put_head_end(BodyKind::Known(length as u64))?;
        self.phase = Phase::Done;
        self.stream = Stream::Done;
        Ok(matches!(framing, BodyFraming::Length(_)))
    }

    /// Whether the connection ends behind a response that is not the usual one: content stays unread, or the client takes
    /// what follows a 2xx to CONNECT for its tunnel, which only [`open_tunnel`](Self::open_tunnel) opens.
    #[cold]
    pub(super) fn decide_close(&mut self, unread: bool) {
        if unread || (self.facts.has(Facts::CONNECT) && (200..=299).contains(&self.status)) {
            self.facts = self.facts.with(Facts::CLOSE, true);
        }
    }

    /// Begins a response whose body follows in pieces: `Some(bytes)` when its length is known, `None` for chunked (or,
    /// on HTTP/1.0, the end of the connection).
    ///
    /// # Errors
    /// What [`WriteError`] says about room and order.
    pub fn stream(&mut self, length: Option<u64>) -> Result<(), WriteError> {
        self.check()?;
        if self.phase as u8 >= Phase::Body as u8 {
            return self.latch(WriteError::Order);
        }
        if self.facts.has(Facts::MAY_CLOSE) {
            self.decide_close(false); // the content may be read yet
        }
        let framing = self.put_head_end(length.map_or(BodyKind::Unknown, BodyKind::Known))?;
        self.phase = Phase::Body;
        self.stream = match framing {
            BodyFraming::Length(length) => Stream::Length(length),
            BodyFraming::Chunked => Stream::Chunked,
            BodyFraming::CloseDelimited => Stream::CloseDelimited,
            BodyFraming::NoBody { .. } => Stream::Dropped,
        };
        Ok(())
    }

    /// Writes as much of `data` as there is room for and tells how much that was: 0 when the buffer is full, and then
    /// the rest belongs into the next [`produce`](crate::handler::Handler::produce) or
    /// [`receive`](crate::handler::Handler::receive) call. [`Flow::Finish`](crate::handler::Flow::Finish) ends it.
    ///
    /// # Errors
    /// [`WriteError::Order`] before [`stream`](Self::stream), [`WriteError::LengthMismatch`] beyond the announced
    /// length.
    pub fn write(&mut self, data: &[u8]) -> Result<usize, WriteError> {
        self.check_streaming(data.len())?;
        if self.stream == Stream::Dropped {
            return Ok(data.len());
        }
        let count = data.len().min(self.room());
        if count == 0 {
            return Ok(0);
        }
        self.open_chunk();
        self.out[self.len..self.len + count].copy_from_slice(&data[..count]);
        self.wrote(count);
        Ok(count)
    }

    /// Lets `fill` write into the buffer itself: it gets the room there is, all zeros, and returns how much of it it used.
    /// Nothing is written when it fails.
    ///
    /// # Errors
    /// As [`write`](Self::write), and what `fill` returns.
    pub fn write_with<E: From<WriteError>>(
        &mut self,
        fill: impl FnOnce(&mut [u8]) -> Result<usize, E>,
    ) -> Result<usize, E> {
        self.check_streaming(0)?;
        if self.stream == Stream::Dropped {
            return Ok(0);
        }
        let room = match self.stream {
            Stream::Length(left) => self.room().min(usize::try_from(left).unwrap_or(usize::MAX)),
            _ => self.room(),
        };
        if room == 0 {
            return Ok(0);
        }
        let chunk_before = (self.chunk, self.len);
        self.open_chunk();
        let spare = &mut self.out[self.len..self.len + room];
        // What another response left here is nobody's business.
        spare.fill(0);
        let filled = fill(spare).map(|count| count.min(room));
        let count = *filled.as_ref().unwrap_or(&0);
        if count == 0 {
            (self.chunk, self.len) = chunk_before; // an empty chunk would end the body
        }
        self.wrote(count);
        filled
    }

    /// Writes `data` without copying it where that is possible (a known length, nothing written in place yet in this
    /// call); tells how much was taken.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn write_static(&mut self, data: &'static [u8]) -> Result<usize, WriteError> {
        let in_place = match self.stream {
            Stream::Length(_) | Stream::CloseDelimited => data.len() >= IN_PLACE_MIN && self.static_body.is_empty(),
            _ => false,
        };
        if !in_place {
            return self.write(data);
        }
        self.check_streaming(data.len())?;
        self.static_body = data;
        self.count_down(data.len());
        Ok(data.len())
    }

    /// Throws away what was written of this response and answers with a short text for `status` instead. Breaks the
    /// connection off when a part of the response has left already. The error is there to be returned, like that of the
    /// other methods, so that arms of a `match` mix.
    ///
    /// 500 in place of a status that is no error, or that [demands](crate::status::demand) a field which was not
    /// [added](Self::add_field) before: `Allow` for 405, `WWW-Authenticate` for 401, `Proxy-Authenticate` for 407. Write a 426
    /// by [`status`](Self::status), [`field`](Self::field) and a body.
    ///
    /// # Errors
    /// Always: [`WriteError::Failed`], or an earlier error.
    pub fn fail(&mut self, status: u16) -> Result<(), WriteError> {
        self.latch(WriteError::Failed(status))
    }

    /// As the error's own answer, unless an earlier one was latched: what a handler returned.
    #[cold]
    pub(crate) fn fail_with(&mut self, error: WriteError) {
        self.error.get_or_insert(error);
    }

    pub(super) fn check_streaming(&mut self, length: usize) -> Result<(), WriteError> {
        self.check()?;
        if self.phase != Phase::Body {
            return self.latch(WriteError::Order);
        }
        match self.stream {
            Stream::Length(left) if length as u64 > left => self.latch(WriteError::LengthMismatch),
            _ => Ok(()),
        }
    }

    /// Bytes of body that fit; nothing fits behind what is sent in place.
    pub(super) fn room(&self) -> usize {
        if !self.static_body.is_empty() {
            return 0;
        }
        let spare = self.out.len() - self.len;
        match (self.stream, self.chunk) {
            (Stream::Chunked, None) => spare.saturating_sub(CHUNK_HEAD + CHUNK_TAIL),
            (Stream::Chunked, Some(_)) => spare.saturating_sub(CHUNK_TAIL),
            _ => spare,
        }
    }

    pub(super) fn open_chunk(&mut self) {
        if self.stream == Stream::Chunked && self.chunk.is_none() {
            self.chunk = Some(self.len);
            self.len += CHUNK_HEAD;
        }
    }

    pub(super) fn close_chunk(&mut self) {
        let Some(at) = self.chunk.take() else { return };
        let data = self.len - at - CHUNK_HEAD;
        let digits = format_hex_padded(data as u64, CHUNK_DIGITS, &mut self.out[at..at + CHUNK_DIGITS]);
        debug_assert!(digits.is_ok(), "the largest class has five digits");
        self.out[at + CHUNK_DIGITS..at + CHUNK_HEAD].copy_from_slice(b"\r\n");
        self.out[self.len..self.len + 2].copy_from_slice(b"\r\n");
        self.len += 2;
    }

    pub(super) fn wrote(&mut self, count: usize) {
        self.len += count;
        self.count_down(count);
    }

    pub(super) fn count_down(&mut self, count: usize) {
        if let Stream::Length(left) = &mut self.stream {
            *left -= count as u64;
        }
    }
}
