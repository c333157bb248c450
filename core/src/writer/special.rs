//! Unusual responses: answers that come later, and responses after which HTTP ends.

use super::{Facts, HEAD_END_MAX, Phase, ResponseWriter, Stream, WriteError};
use crate::defer::DeferToken;
use crate::encode::{BodyKind, Encoder, FieldError, connection_field};

/// Unusual responses.
impl ResponseWriter<'_> {
    /// A token for this exchange: resolve it from any thread or interrupt when the answer is ready, and return
    /// [`Flow::Defer`](crate::handler::Flow::Defer) now. It becomes stale once it was resolved, when the exchange is
    /// over, or when another token is taken.
    ///
    /// # Errors
    /// [`WriteError::Unsupported`] if the engine was set up without cells for deferred answers.
    pub fn defer(&mut self) -> Result<DeferToken, WriteError> {
        self.check()?;
        let Some(token) = self.place.deferrals.defer(self.place.id.index) else {
            return self.latch(WriteError::Unsupported);
        };
        self.facts = self.facts.with(Facts::TOKEN, true);
        Ok(token)
    }

    /// Asks for a call of [`Handler::resume`](crate::handler::Handler::resume) in `ms` milliseconds: return
    /// [`Flow::Defer`](crate::handler::Flow::Defer), or on an upgraded connection
    /// [`Flow::ReceiveOrResume`](crate::handler::Flow::ReceiveOrResume). The time outlasts other calls for the
    /// exchange, until it comes or is set again. While it is set, it replaces the engine's own timeout for the wait
    /// ([`defer_timeout_ms`](crate::limits::Timeouts::defer_timeout_ms),
    /// [`upgraded_timeout_ms`](crate::limits::Timeouts::upgraded_timeout_ms)). It does not interrupt a send.
    ///
    /// At least 1 ms, at most 24 days; never early, and at least up to a millisecond late, because the clock shows whole
    /// ones. If there is a token as well, the first of the two counts: see
    /// [`is_woken_by_time`](Self::is_woken_by_time).
    ///
    /// ```
    /// use aurora_http_core::handler::{deferred, handler_fn};
    ///
    /// // Answers in two seconds.
    /// let handler = handler_fn(|_request, response| {
    ///     response.wake_after(2_000);
    ///     deferred(|response| response.body("at last\n"))
    /// });
    /// ```
    pub const fn wake_after(&mut self, ms: u32) {
        self.wake_after_ms = Some(ms);
    }

    /// Whether [`Handler::resume`](crate::handler::Handler::resume) is called because the time of
    /// [`wake_after`](Self::wake_after) has come, and not because the token was resolved.
    #[must_use]
    pub const fn is_woken_by_time(&self) -> bool {
        self.facts.has(Facts::WOKEN_BY_TIME)
    }

    /// Answers 101 (Switching Protocols) with `protocol`, which must be one that the request's `Upgrade` field
    /// [offers](crate::request::Request::upgrades_to), and with the fields that the protocol requires. Then return
    /// [`Flow::Upgrade`](crate::handler::Flow::Upgrade) or `Detach`.
    ///
    /// The request's content is still HTTP: take all of it first, and switch in the call that is given its end, or
    /// later.
    ///
    /// # Errors
    /// [`WriteError::NotOffered`] if the request does not offer an upgrade (RFC 9110 §7.8),
    /// [`WriteError::ContentUnread`] if some of its content has yet to be taken, and other [`WriteError`]s.
    pub fn switch_protocols(&mut self, protocol: &str, fields: &[(&str, &[u8])]) -> Result<(), WriteError> {
        self.check()?;
        if !self.facts.has(Facts::UPGRADE) {
            return self.latch(WriteError::NotOffered);
        }
        if self.phase != Phase::Start {
            return self.latch(WriteError::Order);
        }
        self.check_content()?;
        self.status = 101;
        self.put_begin()?;
        for (name, value) in fields {
            self.put_field(name, value)?;
        }
        self.ensure(protocol.len().saturating_add(HEAD_END_MAX))?;
        let mut encoder = Encoder::new(self.spare());
        let put = (|| {
            encoder.put(connection_field(false, true, true))?;
            encoder.upgrade_field(protocol.as_bytes())?;
            Ok(encoder.end_of_head()?)
        })();
        if let Err(error) = put {
            return self.latch(FieldError::into(error));
        }
        self.len += encoder.len();
        self.begin_raw();
        Ok(())
    }

    /// Answers CONNECT with 200, or the 2xx that [`status`](Self::status) set. Then return
    /// [`Flow::Upgrade`](crate::handler::Flow::Upgrade) or `Detach`.
    ///
    /// # Errors
    /// [`WriteError::NotOffered`] if the method is not CONNECT, [`WriteError::ContentUnread`] if some of its content
    /// has yet to be taken, and other [`WriteError`]s.
    pub fn open_tunnel(&mut self) -> Result<(), WriteError> {
        self.check()?;
        if !self.facts.has(Facts::CONNECT) {
            return self.latch(WriteError::NotOffered);
        }
        if self.phase as u8 >= Phase::Body as u8 || !(200..=299).contains(&self.status) {
            return self.latch(WriteError::Order);
        }
        self.check_content()?;
        // No Connection field: HTTP ends here, whatever the request said about the connection.
        self.facts = self.facts.with(Facts::CLOSE, false).with(Facts::HTTP10, false);
        self.put_head_end(BodyKind::Unknown)?;
        self.begin_raw();
        Ok(())
    }

    /// Content that is still to come would be taken for bytes of the other protocol.
    fn check_content(&mut self) -> Result<(), WriteError> {
        if self.facts.has(Facts::CONTENT) { self.latch(WriteError::ContentUnread) } else { Ok(()) }
    }

    fn begin_raw(&mut self) {
        self.facts = self.facts.with(Facts::CLOSE, false);
        self.phase = Phase::Body;
        self.stream = Stream::Raw;
    }
}
