//! A complete response as a value, written by one call.

use core::fmt;

use crate::encode::{self, BodyFraming, BodyKind, Encoder, FieldError, StatusError, connection_field, response_body};
use crate::error::BufferFull;
use crate::format::{HttpDate, uint_len};
use crate::status;

/// A response whose content is known completely: status, fields, content, and the properties of the request that its head
/// depends on.
///
/// The head begins with the fields that the core decides (`Date`, `Connection`, `Content-Length`); the others follow in
/// their order, including repeated ones. A response that cannot have content (RFC 9110 §6.4.1: HEAD, 1xx, 204, 205, 304,
/// 2xx to CONNECT) is written without it.
///
/// ```
/// use aurora_http_core::response::Response;
/// let response = Response::new(200).fields(&[("Content-Type", b"text/plain")]).body(b"Hello!\n");
/// let mut out = [0; 128];
/// let length = response.build_into(&mut out)?;
/// assert_eq!(
///     &out[..length],
///     b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\nContent-Type: text/plain\r\n\r\nHello!\n"
/// );
/// # Ok::<(), aurora_http_core::response::ResponseError>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Response<'a> {
    status: u16,
    reason: Option<&'a [u8]>,
    fields: &'a [(&'a str, &'a [u8])],
    body: Option<&'a [u8]>,
    date: Option<&'a HttpDate>,
    upgrade: Option<&'a [u8]>,
    persistent: bool,
    http10: bool,
    head_request: bool,
    connect_request: bool,
}

impl<'a> Response<'a> {
    /// A response without fields or content to an HTTP/1.1 request, on a connection that persists.
    #[must_use]
    pub const fn new(status: u16) -> Self {
        Self {
            status,
            reason: None,
            fields: &[],
            body: None,
            date: None,
            upgrade: None,
            persistent: true,
            http10: false,
            head_request: false,
            connect_request: false,
        }
    }

    /// A reason phrase instead of the registered one. It may be empty.
    #[must_use]
    pub const fn reason(mut self, reason: &'a [u8]) -> Self {
        self.reason = Some(reason);
        self
    }

    /// Fields by name and value, in the order they are sent. The core's own are refused ([`encode::is_reserved`]).
    #[must_use]
    pub const fn fields(mut self, fields: &'a [(&'a str, &'a [u8])]) -> Self {
        self.fields = fields;
        self
    }

    /// The content. For HEAD only its length is sent; without this call no length is sent for HEAD.
    #[must_use]
    pub const fn body(mut self, body: &'a [u8]) -> Self {
        self.body = Some(body);
        self
    }

    /// The current date. A server without a clock sends no `Date` (RFC 9110 §6.6.1).
    #[must_use]
    pub const fn date(mut self, date: &'a HttpDate) -> Self {
        self.date = Some(date);
        self
    }

    /// The protocols for `Upgrade`: required in 101 and 426 (RFC 9110 §15.2.2, §15.5.22).
    #[must_use]
    pub const fn upgrade(mut self, protocols: &'a [u8]) -> Self {
        self.upgrade = Some(protocols);
        self
    }

    /// Whether the connection stays open after it.
    #[must_use]
    pub const fn persistent(mut self, persistent: bool) -> Self {
        self.persistent = persistent;
        self
    }

    /// Whether the request was HTTP/1.0.
    #[must_use]
    pub const fn http10(mut self, http10: bool) -> Self {
        self.http10 = http10;
        self
    }

    /// Whether the request's method was HEAD.
    #[must_use]
    pub const fn head_request(mut self, head_request: bool) -> Self {
        self.head_request = head_request;
        self
    }

    /// Whether the request's method was CONNECT.
    #[must_use]
    pub const fn connect_request(mut self, connect_request: bool) -> Self {
        self.connect_request = connect_request;
        self
    }

    /// Writes head and content to the front of `out`, and returns the number of bytes written.
    ///
    /// # Errors
    /// [`ResponseError`]; the contents of `out` are then unspecified.
    pub fn build_into(&self, out: &mut [u8]) -> Result<usize, ResponseError> {
        self.check_demand()?;
        let mut encoder = Encoder::new(out);
        match self.reason {
            None => encoder.status_line(self.status)?,
            Some(reason) => encoder.status_line_with_reason(self.status, reason)?,
        }
        if let Some(date) = self.date {
            encoder.date_field(date)?;
        }
        encoder.put(self.connection())?;
        if let Some(protocols) = self.upgrade {
            encoder.upgrade_field(protocols).map_err(|error| match error {
                FieldError::Full => ResponseError::Full,
                _ => ResponseError::InvalidUpgrade,
            })?;
        }
        let framing = self.framing();
        encoder.framing_field(framing)?;
        for (index, &(name, value)) in self.fields.iter().enumerate() {
            encoder.field(name, value).map_err(|error| field_error(index, error))?;
        }
        encoder.end_of_head()?;
        encoder.put(self.content(framing))?;
        Ok(encoder.len())
    }

    /// The number of bytes that [`build_into`](Self::build_into) writes.
    ///
    /// # Errors
    /// The [`ResponseError`] that it would return, except [`ResponseError::Full`].
    pub fn exact_size(&self) -> Result<usize, ResponseError> {
        self.check_demand()?;
        if !status::is_valid(self.status) {
            return Err(ResponseError::InvalidStatus);
        }
        if self.reason.is_some_and(|reason| !encode::is_field_content(reason)) {
            return Err(ResponseError::InvalidReason);
        }
        if self.upgrade.is_some_and(|protocols| !encode::is_upgrade(protocols)) {
            return Err(ResponseError::InvalidUpgrade);
        }
        for (index, &(name, value)) in self.fields.iter().enumerate() {
            encode::check_field(name.as_bytes(), value).map_err(|error| field_error(index, error))?;
        }
        Ok(self.size())
    }

    /// The exact size plus a tenth: enough for choosing a buffer, without checking the response.
    #[must_use]
    pub fn estimate_size(&self) -> usize {
        let size = self.size();
        size.saturating_add(size.div_ceil(10))
    }

    /// Head and content in a vector, for tests and small devices.
    ///
    /// # Errors
    /// Like those of [`build_into`](Self::build_into), with `N` bytes of room.
    pub fn build<const N: usize>(&self) -> Result<heapless::Vec<u8, N>, ResponseError> {
        let mut out = heapless::Vec::from_array([0; N]);
        let length = self.build_into(&mut out)?;
        out.truncate(length);
        Ok(out)
    }

    fn size(&self) -> usize {
        let reason_len = self.reason.map_or_else(|| status::reason(self.status).len(), <[u8]>::len);
        let upgrade_len = self.upgrade.map_or(0, |protocols| encode::UPGRADE.len() + protocols.len() + 2);
        let framing = self.framing();
        let content_length_len = match framing {
            BodyFraming::Length(length) | BodyFraming::NoBody { content_length: Some(length) } => {
                encode::CONTENT_LENGTH.len() + uint_len(length) + 2
            }
            // Neither is used for content whose length is known.
            BodyFraming::Chunked | BodyFraming::CloseDelimited => 0,
            BodyFraming::NoBody { content_length: None } => 0,
        };
        let fixed = [
            encode::STATUS_LINE_BYTES,
            reason_len,
            self.date.map_or(0, |_| encode::DATE_LINE_BYTES),
            self.connection().len(),
            upgrade_len,
            content_length_len,
            "\r\n".len(),
            self.content(framing).len(),
        ];
        let fields = self.fields.iter().flat_map(|(name, value)| [name.len(), value.len(), encode::FIELD_LINE_EXTRA]);
        fixed.into_iter().chain(fields).fold(0, usize::saturating_add)
    }

    /// Checks that the field required by the status is there, and that HTTP/1.0 gets no interim response.
    fn check_demand(&self) -> Result<(), ResponseError> {
        if self.http10 && (100..=199).contains(&self.status) {
            return Err(ResponseError::InvalidStatus);
        }
        let Some(demand) = status::demand(self.status) else { return Ok(()) };
        let upgrade = self.upgrade.map(|protocols| ("Upgrade", protocols));
        let mut fields = self.fields.iter().copied().chain(upgrade);
        if fields.any(|(name, value)| demand.is_met_by(name.as_bytes(), value)) {
            return Ok(());
        }
        Err(ResponseError::FieldMissing { name: demand.name })
    }

    #[inline]
    fn framing(&self) -> BodyFraming {
        let kind = self.body.map_or(BodyKind::None, |body| BodyKind::Known(body.len() as u64));
        response_body(self.head_request, self.connect_request, self.status, self.http10, kind)
    }

    /// The content that goes on the wire.
    #[cfg_attr(not(feature = "small"), inline)]
    fn content(&self, framing: BodyFraming) -> &'a [u8] {
        match self.body {
            Some(body) if framing.has_body() => body,
            _ => b"",
        }
    }

    #[inline]
    fn connection(&self) -> &'static [u8] {
        connection_field(self.http10, self.persistent, self.upgrade.is_some())
    }
}

/// Why a response was not built.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ResponseError {
    /// It does not fit.
    Full,
    /// The status is outside 100 to 999, or 1xx for an HTTP/1.0 request (RFC 9110 §15.2).
    InvalidStatus,
    /// The reason contains CR, LF, NUL or another control byte.
    InvalidReason,
    /// `Upgrade` is empty or contains a control byte.
    InvalidUpgrade,
    /// The status [requires](status::demand) a field that is missing or empty.
    FieldMissing {
        /// Its name.
        name: &'static str,
    },
    /// A field is refused.
    Field {
        /// Its index among the fields, from 0.
        index: usize,
        /// Why; never [`FieldError::Full`].
        error: FieldError,
    },
}

fn field_error(index: usize, error: FieldError) -> ResponseError {
    match error {
        FieldError::Full => ResponseError::Full,
        _ => ResponseError::Field { index, error },
    }
}

impl From<BufferFull> for ResponseError {
    #[inline]
    fn from(_: BufferFull) -> Self {
        Self::Full
    }
}

impl From<StatusError> for ResponseError {
    #[cfg_attr(not(feature = "small"), inline)]
    fn from(error: StatusError) -> Self {
        match error {
            StatusError::Full => Self::Full,
            StatusError::InvalidStatus => Self::InvalidStatus,
            StatusError::InvalidReason => Self::InvalidReason,
        }
    }
}

impl fmt::Display for ResponseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => f.write_str("the response does not fit into the buffer"),
            Self::InvalidStatus => f.write_str("the status cannot be sent for this request"),
            Self::InvalidReason => StatusError::InvalidReason.fmt(f),
            Self::InvalidUpgrade => f.write_str("the upgrade protocols are invalid"),
            Self::FieldMissing { name } => write!(f, "the status demands {name}"),
            Self::Field { index, error } => write!(f, "field {index}: {error}"),
        }
    }
}

impl core::error::Error for ResponseError {}

#[cfg(test)]
#[path = "response_tests.rs"]
mod tests;
