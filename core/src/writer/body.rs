//! The body of a response: copied, in place, in pieces.

use super::{CHUNK_DIGITS, CHUNK_HEAD, CHUNK_TAIL, Facts, IN_PLACE_MIN, Phase, ResponseWriter, Stream, WriteError};
use crate::encode::{BodyFraming, BodyKind};
use crate::format::format_hex_padded;
use crate::handler::Flow;
use crate::part::{copy, part, part_mut};
use crate::reactor::FileRange;

/// The body.
impl<'a> ResponseWriter<'a> {
    /// Completes the response with a copy of `data`.
    ///
    /// # Errors
    /// [`WriteError`]s about room and order.
    #[cfg_attr(not(feature = "small"), inline)]
    pub fn body(&mut self, data: impl AsRef<[u8]>) -> Result<(), WriteError> {
        let data = data.as_ref();
        let follows = self.begin_body(data.len())?;
        if data.len() > self.bytes_max.saturating_sub(self.len - self.begin) && (follows || self.is_omitted()) {
            return self.latch(WriteError::TooLarge);
        }
        if follows { self.put(data) } else { Ok(()) }
    }

    /// Whether a HEAD is answered whose GET would have a body: a body that is too long is an error even though it is
    /// not written.
    #[cold]
    pub(super) fn is_omitted(&self) -> bool {
        self.facts.has(Facts::HEAD) && !matches!(self.status, 204 | 205 | 304)
    }

    /// Completes the response with `data`, which is sent without a copy if it is long.
    ///
    /// # Errors
    /// [`WriteError`]s about room and order.
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

    /// Writes the head for a body of `length` bytes; returns whether the body is to follow.
    #[cfg_attr(not(feature = "small"), inline(always))]
    pub(super) fn begin_body(&mut self, length: usize) -> Result<bool, WriteError> {
        #[cfg(not(feature = "small"))]
        if self.error.is_none() && self.put_plain_end(length) {
            self.phase = Phase::Done;
            self.stream = Stream::Done;
            return Ok(true);
        }
        self.begin_any_body(length)
    }

    #[cfg_attr(not(feature = "small"), inline(never))]
    fn begin_any_body(&mut self, length: usize) -> Result<bool, WriteError> {
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

    /// Decides whether the connection ends after the response: if content stays unread, or if the client would take
    /// what follows a 2xx to CONNECT for its tunnel, which only [`open_tunnel`](Self::open_tunnel) opens.
    #[cold]
    pub(super) fn decide_close(&mut self, unread: bool) {
        if unread || (self.facts.has(Facts::CONNECT) && (200..=299).contains(&self.status)) {
            self.facts = self.facts.with(Facts::CLOSE, true);
        }
    }

    /// Begins a response whose body follows in pieces: `Some(bytes)` if its length is known, `None` for the chunked
    /// coding (or with HTTP/1.0, for a body that the end of the connection delimits).
    ///
    /// # Errors
    /// [`WriteError`]s about room and order.
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

    /// Writes as much of `data` as there is room for, and returns how much that was: 0 if the buffer is full. The rest
    /// belongs in the next [`produce`](crate::handler::Handler::produce) or
    /// [`receive`](crate::handler::Handler::receive) call. [`Flow::Finish`] completes the
    /// body.
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
        copy(part_mut(self.spare(), ..count), part(data, ..count));
        self.wrote(count);
        Ok(count)
    }

    /// Lets `fill` write directly into the send buffer: it gets all room that there is, filled with zeros, and returns
    /// how much it used. If it fails, nothing is written.
    ///
    /// # Errors
    /// Those of [`write`](Self::write) and of `fill`.
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
        let spare = part_mut(self.spare(), ..room);
        // The room may contain bytes of another response, which must not leak.
        spare.fill(0);
        let filled = fill(spare).map(|count| count.min(room));
        let count = *filled.as_ref().unwrap_or(&0);
        if count == 0 {
            (self.chunk, self.len) = chunk_before; // an empty chunk would end the body
        }
        self.wrote(count);
        filled
    }

    /// Tries to make room for `bytes` bytes of body at once, in a larger buffer of the pool, and returns how much room there is:
    /// less if no such buffer is free, or if the response would exceed
    /// [`Limits::response_bytes_max`](crate::limits::Limits::response_bytes_max). Without it, a body of known length is sent
    /// in pieces of 16 KiB, and what is written in the first call has the room that the buffer of the head has left.
    pub fn make_room(&mut self, bytes: usize) -> usize {
        let room = self.room();
        let is_streaming = self.phase == Phase::Body && self.error.is_none() && self.stream != Stream::Dropped;
        let bytes = bytes.min(self.bytes_max.saturating_sub(self.len - self.begin));
        if room < bytes && is_streaming && self.ends_in_buffer() {
            let framing = if self.stream == Stream::Chunked { CHUNK_HEAD + CHUNK_TAIL } else { 0 };
            // Without a larger buffer, the room stays as it is.
            let _ = self.move_to_larger(self.len + bytes + framing);
        }
        self.room()
    }

    /// Writes `data` without copying it where that is possible (not with the chunked coding, and once per call);
    /// returns how much was taken. Each call is one send, so pieces of 1 MiB cost the kernel less than pieces of 64 KiB: half as
    /// much over the loopback, where the last 53 bytes of 64 KiB are a segment of their own.
    ///
    /// # Errors
    /// Same as [`write`](Self::write).
    pub fn write_static(&mut self, data: &'static [u8]) -> Result<usize, WriteError> {
        let in_place = match self.stream {
            Stream::Length(_) | Stream::CloseDelimited => data.len() >= IN_PLACE_MIN && self.ends_in_buffer(),
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

    /// Whether this connection can send parts of files with [`write_file`](Self::write_file), and no wrapper
    /// [needs](Self::keep_in_memory) them in memory in this call.
    #[must_use]
    pub fn sends_files(&self) -> bool {
        !self.keeps_files && !self.facts.has(Facts::NO_FILES) && self.place.peers.sends_files()
    }

    /// Has the system send a part of a file, without copying it into a buffer; once per call, after everything that is
    /// written in it. Returns how many bytes were taken: 0 if the connection does not
    /// [send files](Self::sends_files), with the chunked coding, after a 100 (Continue), or a second time in one call. Then
    /// read the file and [write](Self::write_with) it. A part is one operation, for which the other connections of the worker may
    /// have to wait: 1 MiB is a good length.
    ///
    /// The file must stay open until its bytes have been sent: keep it in the state of
    /// [`Flow::Produce`] and finish in the next
    /// [`produce`](crate::handler::Handler::produce) call. If it has become shorter by then, or cannot be read, the
    /// connection ends in the middle of the response, so that the client notices.
    ///
    /// # Errors
    /// Same as [`write`](Self::write).
    pub fn write_file(&mut self, range: FileRange) -> Result<u32, WriteError> {
        self.check_streaming(range.len as usize)?;
        let len = range.len.min(FileRange::BYTES_MAX);
        match self.stream {
            Stream::Dropped => return Ok(range.len),
            Stream::Length(_) | Stream::CloseDelimited => {}
            _ => return Ok(0),
        }
        if len == 0 || !self.ends_in_buffer() || self.facts.has(Facts::INTERIM) || !self.sends_files() {
            return Ok(0);
        }
        self.file = Some(FileRange { len, ..range });
        self.count_down(len as usize);
        Ok(len)
    }

    /// Discards what has been written of this response, and answers with a short text for `status` instead. If a part
    /// of the response has been sent, the connection is cut off. It always returns an error, so that it can be the
    /// value of a `match` arm next to other methods.
    ///
    /// 500 replaces a status that is not an error, or that [requires](crate::status::demand) a field which was not
    /// [added](Self::add_field) before: `Allow` for 405, `WWW-Authenticate` for 401, `Proxy-Authenticate` for 407. Write a
    /// 426 with [`status`](Self::status), [`field`](Self::field) and a body.
    ///
    /// # Errors
    /// Always: [`WriteError::Failed`], or an earlier error.
    pub fn fail(&mut self, status: u16) -> Result<(), WriteError> {
        self.latch(WriteError::Failed(status))
    }

    /// Records the error that a handler returned, unless there was an earlier one.
    #[cold]
    pub(crate) fn fail_with(&mut self, error: WriteError) {
        self.error.get_or_insert(error);
    }

    /// Whether the exchange is over after a call that returned this: when the handler has finished it, and when it would go on
    /// with a body of which nothing is sent, as with HEAD.
    #[inline]
    pub(crate) fn is_over<E>(&self, flow: &Flow<E>) -> bool {
        match flow {
            Flow::Finish => true,
            Flow::Produce(_) | Flow::Defer(_) => self.stream == Stream::Dropped && self.error.is_none(),
            _ => false,
        }
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

    /// How many bytes of body fit: none after a part that is sent in place.
    pub(crate) fn room(&self) -> usize {
        if !self.ends_in_buffer() {
            return 0;
        }
        let spare = self.out.len() - self.len;
        match (self.stream, self.chunk) {
            (Stream::Chunked, None) => spare.saturating_sub(CHUNK_HEAD + CHUNK_TAIL),
            (Stream::Chunked, Some(_)) => spare.saturating_sub(CHUNK_TAIL),
            _ => spare,
        }
    }

    /// Whether nothing that was written in this call is sent in place, after the buffer.
    #[inline]
    const fn ends_in_buffer(&self) -> bool {
        self.static_body.is_empty() && self.file.is_none()
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
        let digits = format_hex_padded(data as u64, CHUNK_DIGITS, part_mut(self.out, at..at + CHUNK_DIGITS));
        debug_assert!(digits.is_ok(), "five digits suffice for the largest class");
        copy(part_mut(self.out, at + CHUNK_DIGITS..at + CHUNK_HEAD), b"\r\n");
        copy(part_mut(self.spare(), ..2), b"\r\n");
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
