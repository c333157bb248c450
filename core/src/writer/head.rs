//! The head of a response: status line, fields, and what the server adds.

use super::{Facts, HEAD_END_MAX, Phase, ResponseWriter, WriteError};
use crate::encode::{BodyFraming, BodyKind, Encoder, FieldError, FieldLine, connection_field, response_body};
#[cfg(not(feature = "small"))]
use crate::format::{uint_len, write_digits};
use crate::status;

/// Bytes that suffice for a status line with any registered reason.
const STATUS_LINE_MAX: usize = 64;

/// The head.
impl<'a> ResponseWriter<'a> {
    /// Sets the status, 200 to 599; it is 200 unless set. Interim responses are sent by the core. Some statuses
    /// [require](crate::status::demand) a field: 401, 405, 407, 426.
    ///
    /// # Errors
    /// [`WriteError::Order`] after the first field, [`WriteError::InvalidStatus`] outside 200..=599.
    pub fn status(&mut self, status: u16) -> Result<(), WriteError> {
        self.check()?;
        if self.phase != Phase::Start {
            return self.latch(WriteError::Order);
        }
        if !(200..=599).contains(&status) {
            return self.latch(WriteError::InvalidStatus);
        }
        self.status = status;
        Ok(())
    }

    /// Adds a field. Repeated fields are all sent, in order. A handler may set `Upgrade` only in a 426 (RFC 9110
    /// §15.5.22), for which the connection option is then added.
    ///
    /// # Errors
    /// [`WriteError::InvalidName`] or [`WriteError::InvalidValue`] if it would break the message (RFC 9110 §5.1, §5.5),
    /// [`WriteError::Reserved`] if only the core may set it, [`WriteError::Order`] after the head, and those about
    /// room.
    #[inline]
    pub fn field(&mut self, name: &str, value: impl AsRef<[u8]>) -> Result<(), WriteError> {
        self.put_field(name, value.as_ref())
    }

    /// Adds a field that was checked when it was created, usually at compile time: it is only copied.
    ///
    /// # Errors
    /// [`WriteError::Order`] after the head, and those about room.
    #[cfg_attr(not(feature = "small"), inline)]
    pub fn field_line(&mut self, line: FieldLine<'_>) -> Result<(), WriteError> {
        self.begin_field()?;
        self.ensure(line.len().saturating_add(2))?;
        let mut encoder = Encoder::new(self.spare());
        if encoder.field_line(line).is_err() {
            return self.latch(WriteError::TooLarge);
        }
        self.len += encoder.len();
        Ok(())
    }

    /// Writes the status line before the first field.
    #[cfg_attr(not(feature = "small"), inline)]
    fn begin_field(&mut self) -> Result<(), WriteError> {
        self.check()?;
        match self.phase {
            Phase::Start => self.put_begin(),
            Phase::Fields => Ok(()),
            Phase::Body | Phase::Done => self.latch(WriteError::Order),
        }
    }

    pub(super) fn put_field(&mut self, name: &str, value: &[u8]) -> Result<(), WriteError> {
        self.begin_field()?;
        self.ensure(name.len().saturating_add(value.len()).saturating_add(4))?;
        let mut encoder = Encoder::new(self.spare());
        match encoder.field(name, value) {
            Ok(()) => {
                self.len += encoder.len();
                Ok(())
            }
            Err(FieldError::Reserved) => self.put_reserved(name, value),
            Err(error) => self.latch(error.into()),
        }
    }

    /// Refuses a field that only the core may set, except `Upgrade` in a 426.
    #[cold]
    fn put_reserved(&mut self, name: &str, value: &[u8]) -> Result<(), WriteError> {
        if self.status != 426 || planted!(UpgradeRefused) || !name.eq_ignore_ascii_case("Upgrade") {
            return self.latch(WriteError::Reserved);
        }
        let mut encoder = Encoder::new(self.spare());
        match encoder.upgrade_field(value) {
            Ok(()) => {
                self.len += encoder.len();
                Ok(())
            }
            Err(error) => self.latch(error.into()),
        }
    }

    /// Checks that the head, which is written up to its last field, has the field that its status requires.
    #[cold]
    fn check_demand(&mut self) -> Result<(), WriteError> {
        self.facts = self.facts.with(Facts::NEEDS_FIELD, false);
        let Some(demand) = status::demand(self.status) else { return Ok(()) };
        let is_met = demand.is_met_in(self.so_far());
        if is_met { Ok(()) } else { self.latch(WriteError::FieldMissing) }
    }

    /// Writes the status line, `Date` and `Server`.
    #[cfg_attr(not(feature = "small"), inline(always))]
    pub(super) fn put_begin(&mut self) -> Result<(), WriteError> {
        self.phase = Phase::Fields;
        #[cfg(not(feature = "small"))]
        if self.status == 200
            && let preamble = self.preamble
            && let Some(len) = preamble.put_ok(self.spare())
        {
            self.len += len;
            return Ok(());
        }
        self.put_any_begin()
    }

    #[cfg_attr(not(feature = "small"), inline(never))]
    fn put_any_begin(&mut self) -> Result<(), WriteError> {
        let preamble = self.preamble;
        if self.status == 200 {
            return self.put(preamble.ok());
        }
        if status::demand(self.status).is_some() {
            self.facts = self.facts.with(Facts::NEEDS_FIELD, true);
        }
        self.ensure(STATUS_LINE_MAX)?;
        let status = self.status;
        let mut encoder = Encoder::new(self.spare());
        if encoder.status_line(status).is_err() {
            return self.latch(WriteError::TooLarge);
        }
        self.len += encoder.len();
        self.put(preamble.fields())
    }

    /// Writes `Connection`, the framing field and the empty line.
    #[cfg_attr(not(feature = "small"), inline)]
    pub(super) fn put_head_end(&mut self, kind: BodyKind) -> Result<BodyFraming, WriteError> {
        if self.phase == Phase::Start {
            self.put_begin()?;
        }
        if !self.added.is_empty() {
            self.put_added()?;
        }
        if self.facts.has(Facts::NEEDS_FIELD) {
            self.check_demand()?;
        }
        let facts = self.facts;
        let http10 = facts.has(Facts::HTTP10);
        let framing = response_body(facts.has(Facts::HEAD), facts.has(Facts::CONNECT), self.status, http10, kind);
        if framing == BodyFraming::CloseDelimited {
            self.facts = facts.with(Facts::CLOSE, true);
        }
        self.ensure(HEAD_END_MAX)?;
        let (close, upgrade) = (self.facts.has(Facts::CLOSE), self.status == 426);
        let mut encoder = Encoder::new(self.spare());
        let put = (|| {
            if close || http10 || upgrade {
                encoder.put(connection_field(http10, !close, upgrade))?;
            }
            encoder.framing_field(framing)?;
            encoder.end_of_head()
        })();
        if put.is_err() {
            return self.latch(WriteError::TooLarge);
        }
        self.len += encoder.len();
        Ok(framing)
    }

    /// Ends the head of a 200 that needs nothing but its `Content-Length`, if that has at most three digits; otherwise returns
    /// `false`, and writes nothing.
    #[cfg(not(feature = "small"))]
    #[inline(always)]
    pub(super) fn put_plain_end(&mut self, length: usize) -> bool {
        const DIGITS_AT: usize = CONTENT_LENGTH.len();
        if self.phase != Phase::Fields
            || self.facts != Facts::default()
            || self.status != 200
            || !self.added.is_empty()
            || length > 999
        {
            return false;
        }
        let Some(room) = self.spare().first_chunk_mut::<{ DIGITS_AT + 3 + HEAD_END.len() }>() else { return false };
        let digits_len = uint_len(length as u64);
        let (field, digits) = room.split_at_mut(DIGITS_AT);
        field.copy_from_slice(&CONTENT_LENGTH);
        let Some((digits, end)) = digits.split_at_mut_checked(digits_len) else { return false };
        let Some(end) = end.first_chunk_mut() else { return false };
        write_digits(length as u64, digits);
        *end = HEAD_END;
        self.len += DIGITS_AT + digits_len + HEAD_END.len();
        true
    }
}

/// The field that [`Encoder::framing_field`] writes for a body of known length.
#[cfg(not(feature = "small"))]
const CONTENT_LENGTH: [u8; 16] = *b"Content-Length: ";

/// The end of the last field line, and the empty line.
#[cfg(not(feature = "small"))]
const HEAD_END: [u8; 4] = *b"\r\n\r\n";
