//! Replacing a response that has been begun: by the handler itself, or by the server.

use super::{Facts, Phase, ResponseWriter, Stream, WriteError};
use crate::answer::{Answer, write_answer};
use crate::encode::{Encoder, check_field};
use crate::handler::{Handler, Refusal};
use crate::part::{copy, part, part_mut, shift};

/// Complete responses, for wrappers that look at them or change them.
impl<'a> ResponseWriter<'a> {
    /// The content of a complete response, if it was written as a whole in this call. `None` if it is not complete, is
    /// streamed, or has no content, such as a response to HEAD.
    #[must_use]
    pub fn whole_content(&self) -> Option<&[u8]> {
        let head_len = self.whole_head_len()?;
        let content = part(self.so_far(), head_len..);
        Some(if self.static_body.is_empty() { content } else { self.static_body })
    }

    /// The value of the first field with this name in the head of a response with [`whole_content`](Self::whole_content).
    /// Names are compared without regard to case.
    #[must_use]
    pub fn whole_field(&self, name: &str) -> Option<&[u8]> {
        let head = part(self.so_far(), ..self.whole_head_len()?);
        head.split(|&byte| byte == b'\n').skip(1).find_map(|line| {
            let (its_name, value) = line.split_at_checked(name.len())?;
            its_name.eq_ignore_ascii_case(name.as_bytes()).then_some(value.strip_prefix(b":")?.trim_ascii())
        })
    }

    /// Adds a field to the head of a response with [`whole_content`](Self::whole_content).
    ///
    /// # Errors
    /// [`WriteError::Order`] if there is no such content, otherwise those of [`amend_begun`](Self::amend_begun). None of them is
    /// kept: the response stays as it is.
    pub fn amend(&mut self, name: &str, value: impl AsRef<[u8]>) -> Result<(), WriteError> {
        self.whole_head_len().ok_or(WriteError::Order)?;
        self.amend_begun(name, value)
    }

    /// Turns a 200 with [`whole_content`](Self::whole_content) into a 304 (Not Modified) with the same fields and no content
    /// (RFC 9110 §15.4.5). Only call it if the request has a condition that the response meets.
    ///
    /// # Errors
    /// [`WriteError::Order`] if there is no such content, or the status is not 200, and errors about room, which are kept.
    pub fn make_not_modified(&mut self) -> Result<(), WriteError> {
        const STATUS_LINE: &[u8] = b"HTTP/1.1 304 Not Modified\r\n";
        let head_len = self.whole_head_len().filter(|_| self.status == 200).ok_or(WriteError::Order)?;
        let (begin, end) = (self.begin, self.begin + head_len);
        let old_len = self.so_far().iter().position(|&byte| byte == b'\n').map_or(0, |end| end + 1);
        // The content, which may have filled the buffer, makes room.
        self.len = end;
        self.ensure(STATUS_LINE.len().saturating_sub(old_len))?;
        shift(self.out, begin + old_len..end, begin + STATUS_LINE.len());
        copy(part_mut(self.out, begin..begin + STATUS_LINE.len()), STATUS_LINE);
        self.len = end - old_len + STATUS_LINE.len();
        (self.status, self.static_body) = (304, &[]);
        Ok(())
    }

    /// The length of the head, including the empty line, in bytes.
    fn whole_head_len(&self) -> Option<usize> {
        let is_whole = self.phase == Phase::Done && self.stream.is_done() && self.error.is_none();
        let has_content = !self.facts.has(Facts::HEAD) && !matches!(self.status, 204 | 205 | 304);
        if !is_whole || !has_content || self.origin.is_none() {
            return None;
        }
        let end = self.so_far().windows(4).position(|bytes| bytes == b"\r\n\r\n")?;
        Some(end + 4)
    }
}

/// Replacing the response, and fields that outlast it.
impl<'a> ResponseWriter<'a> {
    /// Adds a field to the head that is written in this call, whatever its status will be: also if the response is
    /// [reset](Self::reset), [fails](Self::fail), or is replaced by an error's. For what wraps a handler: request ids,
    /// CORS, security.
    ///
    /// The field is only for the current call of the handler. For answers that the server sends without calling a
    /// handler, use [`Handler::refused`].
    ///
    /// # Errors
    /// Same as [`field`](Self::field); also [`WriteError::PoolExhausted`] if there is no [memory](Self::scratch) for
    /// all added fields. These errors are not kept: a response without the field can still be written.
    pub fn add_field(&mut self, name: &str, value: impl AsRef<[u8]>) -> Result<(), WriteError> {
        let value = value.as_ref();
        if self.phase as u8 >= Phase::Body as u8 {
            return Err(WriteError::Order);
        }
        check_field(name.as_bytes(), value)?;
        let lines = self.scratch(self.added.len().saturating_add(name.len()).saturating_add(value.len()) + 4)?;
        let (before, line) = lines.split_at_mut_checked(self.added.len()).ok_or(WriteError::PoolExhausted)?;
        copy(before, self.added);
        Encoder::new(line).field(name, value)?;
        self.added = lines;
        Ok(())
    }

    /// Whether a field with this name was [added](Self::add_field) in this call; names are compared without regard to case.
    #[must_use]
    pub fn has_added(&self, name: &str) -> bool {
        self.added.split(|&byte| byte == b'\n').any(|line| {
            line.split_at_checked(name.len()).is_some_and(|(its_name, rest)| {
                rest.starts_with(b":") && its_name.eq_ignore_ascii_case(name.as_bytes())
            })
        })
    }

    /// Discards what has been written of this response, its status, and its error: the next call begins another one.
    /// [Added](Self::add_field) fields are kept.
    ///
    /// # Errors
    /// [`WriteError::Order`], which is kept, if the response was begun in an earlier call, because a part of it may
    /// have been sent.
    pub fn reset(&mut self) -> Result<(), WriteError> {
        let Some(facts) = self.origin else { return self.latch(WriteError::Order) };
        self.len = self.begin;
        (self.static_body, self.file) = (&[], None);
        self.chunk = None;
        self.stream = Stream::Unbegun;
        // What the handler asked for apart from the response stays.
        let kept = self.facts.has(Facts::TRAILERS) || facts.has(Facts::TRAILERS);
        let token = self.facts.has(Facts::TOKEN) || facts.has(Facts::TOKEN);
        self.facts = facts.with(Facts::TRAILERS, kept).with(Facts::TOKEN, token);
        (self.status, self.phase, self.error) = (200, Phase::Start, None);
        Ok(())
    }

    /// Answers in place of the handler, with the response that [`Handler::refused`] writes, or else with the server's
    /// own.
    ///
    /// # Errors
    /// [`WriteError::Order`] if the response has begun before this call; an error if there is no room.
    #[cold]
    pub(crate) fn refuse<H: Handler>(
        &mut self,
        handler: &mut H,
        refusal: &Refusal<'_>,
        answer: Answer<'_>,
    ) -> Result<(), WriteError> {
        let close = self.stream == Stream::Raw;
        self.reset()?;
        let close = close || self.facts.has(Facts::CLOSE) || self.facts.has(Facts::CLOSE_UNREAD);
        self.facts = self.facts.with(Facts::CLOSE, close);
        self.origin = Some(self.facts);
        handler.refused(refusal, self);
        let is_unused = matches!(self.phase, Phase::Start) && self.status == 200;
        if !is_unused {
            self.finish();
        }
        let is_whole = self.phase == Phase::Done && self.stream.is_done() && self.error.is_none();
        if is_whole { Ok(()) } else { self.put_answer(answer) }
    }

    /// Writes the server's own answer, with [added](Self::add_field) fields.
    pub(super) fn put_answer(&mut self, answer: Answer<'_>) -> Result<(), WriteError> {
        self.reset()?;
        let date = self.preamble.date();
        let answer = Answer {
            date: date.as_ref(),
            close: self.facts.has(Facts::CLOSE),
            http10: self.facts.has(Facts::HTTP10),
            head_request: self.facts.has(Facts::HEAD),
            ..answer
        };
        let added = self.added;
        let count = match write_answer(self.spare(), &answer, added) {
            Ok(count) => count,
            // There is no room for the added fields.
            Err(_) => match write_answer(self.spare(), &answer, &[]) {
                Ok(count) => count,
                Err(_) => return self.latch(WriteError::TooLarge),
            },
        };
        self.len += count;
        (self.phase, self.stream) = (Phase::Done, Stream::Done);
        Ok(())
    }

    #[cold]
    pub(super) fn put_added(&mut self) -> Result<(), WriteError> {
        self.put(self.added)
    }
}
