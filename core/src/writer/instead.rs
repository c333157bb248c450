//! Replacing a response that has been begun: by the handler itself, or by the server.

use super::{Facts, Phase, ResponseWriter, Stream, WriteError};
use crate::answer::{Answer, write_answer};
use crate::encode::{Encoder, check_field};
use crate::handler::{Handler, Refusal};

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
        let (before, line) = lines.split_at_mut(self.added.len());
        before.copy_from_slice(self.added);
        Encoder::new(line).field(name, value)?;
        self.added = lines;
        Ok(())
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
        self.static_body = &[];
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
        let is_whole = self.phase == Phase::Done && self.stream == Stream::Done && self.error.is_none();
        if is_whole { Ok(()) } else { self.put_answer(answer) }
    }

    /// Writes the server's own answer, with [added](Self::add_field) fields.
    pub(super) fn put_answer(&mut self, answer: Answer<'_>) -> Result<(), WriteError> {
        self.reset()?;
        let answer = Answer {
            date: self.preamble.date(),
            close: self.facts.has(Facts::CLOSE),
            http10: self.facts.has(Facts::HTTP10),
            head_request: self.facts.has(Facts::HEAD),
            ..answer
        };
        let count = match write_answer(&mut self.out[self.len..], &answer, self.added) {
            Ok(count) => count,
            // There is no room for the added fields.
            Err(_) => match write_answer(&mut self.out[self.len..], &answer, &[]) {
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
