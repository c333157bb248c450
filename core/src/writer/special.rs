//! Answers that are not the usual kind: those that come later, and those behind which HTTP ends.

use super::{Facts, HEAD_END_MAX, Phase, ResponseWriter, Stream, WriteError};
use crate::defer::DeferToken;
use crate::encode::{BodyKind, Encoder, FieldError, connection_field};

/// Answers that are not the usual kind.
impl ResponseWriter<'_> {
    /// A token for the answer to this exchange: resolve it from anywhere, and return
    /// [`Flow::Defer`](crate::handler::Flow::Defer). It is stale once the answer came, the exchange is over, or another
    /// token was taken.
    ///
    /// # Errors
    /// [`WriteError::Unsupported`] when the engine was set up without cells for deferred answers.
    pub fn defer(&mut self) -> Result<DeferToken, WriteError> {
        self.check()?;
        let Some(token) = self.place.deferrals.defer(self.place.id.index) else {
            return self.latch(WriteError::Unsupported);
        };
        self.facts = self.facts.with(Facts::TOKEN, true);
        Ok(token)
    }

    /// Has the handler called again in `ms` milliseconds, by [`Handler::resume`](crate::handler::Handler::resume): return
    /// [`Flow::Defer`](crate::handler::Flow::Defer), or on an upgraded connection
    /// [`Flow::ReceiveOrResume`](crate::handler::Flow::ReceiveOrResume). The time stays set over other calls of the exchange
    /// until it comes or is set anew, and it stands in place of the engine's own timeout for what is waited for
    /// ([`defer_timeout_ms`](crate::limits::Timeouts::defer_timeout_ms),
    /// [`upgraded_timeout_ms`](crate::limits::Timeouts::upgraded_timeout_ms)). It does not interrupt a send.
    ///
    /// 1 ms at least, 24 days at most. With a token as well, whichever is first counts:
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

    /// Whether this call of [`Handler::resume`](crate::handler::Handler::resume) comes because the time of
    /// [`wake_after`](Self::wake_after) has come, and not because the token was resolved.
    #[must_use]
    pub const fn is_woken_by_time(&self) -> bool {
        self.facts.has(Facts::TIME)
    }

    /// Answers 101 (Switching Protocols) to `protocol`, one that the request's `Upgrade` field
    /// [offers](crate::request::Request::upgrades_to), with the fields that the protocol asks for. Return
    /// [`Flow::Upgrade`](crate::handler::Flow::Upgrade) or `Detach` then.
    ///
    /// The request's content is HTTP still: take all of it first, and switch in the call that brings its end, or later.
    ///
    /// # Errors
    /// [`WriteError::NotOffered`] when the request does not ask for an upgrade (RFC 9110 §7.8),
    /// [`WriteError::ContentUnread`] when some of its content is to come, else what [`WriteError`] says.
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
        let mut encoder = Encoder::new(&mut self.out[self.len..]);
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

    /// Answers 200, or the 2xx that [`status`](Self::status) set, to CONNECT. Return
    /// [`Flow::Upgrade`](crate::handler::Flow::Upgrade) or `Detach` then.
    ///
    /// # Errors
    /// [`WriteError::NotOffered`] when the method is not CONNECT, [`WriteError::ContentUnread`] when it has content and
    /// some of it is to come, else what [`WriteError`] says.
    pub fn open_tunnel(&mut self) -> Result<(), WriteError> {
        self.check()?;
        if !self.facts.has(Facts::CONNECT) {
            return self.latch(WriteError::NotOffered);
        }
        if self.phase as u8 >= Phase::Body as u8 || !(200..=299).contains(&self.status) {
            return self.latch(WriteError::Order);
        }
        self.check_content()?;
        // No Connection field: HTTP ends here, whatever was asked of the connection.
        self.facts = self.facts.with(Facts::CLOSE, false).with(Facts::HTTP10, false);
        self.put_head_end(BodyKind::Unknown)?;
        self.begin_raw();
        Ok(())
    }

    /// Content that is still to come as HTTP would be taken for the other protocol's.
    fn check_content(&mut self) -> Result<(), WriteError> {
        if self.facts.has(Facts::CONTENT) { self.latch(WriteError::ContentUnread) } else { Ok(()) }
    }

    fn begin_raw(&mut self) {
        self.facts = self.facts.with(Facts::CLOSE, false);
        self.phase = Phase::Body;
        self.stream = Stream::Raw;
    }
}
