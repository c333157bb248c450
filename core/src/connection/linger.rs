//! The end of a connection after its last response (RFC 9112 §9.6): our FIN goes out, input is dropped, and the socket
//! is closed once closing can no longer destroy anything that the client has yet to read.
//!
//! After close(2), the kernel answers unread or further input with a reset, and a reset destroys what the client has
//! not received or not read yet. So a connection lingers until the client's FIN; until the client reads nothing for too
//! long; or, once it has acknowledged everything, until it has been silent for a while or has continued to send for far
//! too long.
//!
//! If the last response was cut off and a FIN would seem to complete it, there is none: the connection is reset as soon as the
//! client has acknowledged everything that was sent, or at once where that is unknown. The client's FIN changes nothing then.

use super::deadline::{content_rate, write_rate};
use super::exchange::{Exchange, Linger, Output};
use super::window::{Direction, Progress};
use super::{Connection, Context, flag};
use crate::error::CloseReason;
use crate::handler::Handler;
use crate::state::Event;

impl<'p, E> Connection<'p, E> {
    /// The last response has been sent.
    pub(super) fn end<H: Handler<Exchange = E>>(&mut self, cx: &mut Context<'_, '_, 'p, H>) {
        let exchange = &mut self.exchange;
        let reason = *exchange.reason.get_or_insert(CloseReason::PeerAsked);
        if exchange.has(flag::CUT_OFF) {
            if !exchange.is_missed(cx) {
                return self.close(cx, reason);
            }
        } else if exchange.has(flag::FIN_RECEIVED) || planted!(NoLingering) {
            // Nothing more can arrive, so closing cannot cause a reset. The kernel delivers the rest.
            exchange.set(flag::ORDERLY);
            return self.close(cx, reason);
        }
        exchange.go(Event::Linger);
        exchange.set(flag::PROGRESS | flag::IGNORES_INPUT);
        exchange.clear(flag::NO_DROP_BUFFER);
        exchange.release_output(cx.pool);
        exchange.reset_windows();
        let now = cx.now.0 as u32;
        exchange.output =
            Output::Lingering(Linger { unacknowledged: None, since: now, heard: now, is_acknowledged: false });
        self.drop_inbound(cx);
    }

    /// Drops input that arrived after the last response.
    pub(super) fn drop_late<H: Handler<Exchange = E>>(&mut self, cx: &mut Context<'_, '_, 'p, H>, count: u32) {
        self.drop_inbound(cx);
        let exchange = &mut self.exchange;
        let Output::Lingering(linger) = &mut exchange.output else { return };
        linger.heard = cx.now.0 as u32;
        if linger.is_acknowledged
            && exchange.count(cx.now, Direction::Content, count, content_rate(cx.limits)) == Progress::TooSlow
        {
            self.end_lingering(cx);
        }
    }

    /// Checks a lingering connection, once a second.
    pub(super) fn check_lingering<H: Handler<Exchange = E>>(&mut self, cx: &mut Context<'_, '_, 'p, H>) {
        let Output::Lingering(linger) = &mut self.exchange.output else { return self.end_lingering(cx) };
        let now = cx.now.0 as u32;
        let timeouts = &cx.limits.timeouts;
        let passed = |since: u32, timeout_ms: Option<u32>| timeout_ms.is_some_and(|ms| now.wrapping_sub(since) >= ms);
        if linger.is_acknowledged {
            let is_silent =
                passed(linger.since, timeouts.linger_timeout_ms) && passed(linger.heard, timeouts.linger_timeout_ms);
            if is_silent || passed(linger.since, timeouts.linger_total_timeout_ms) {
                self.end_lingering(cx);
            }
            return;
        }
        let is_acknowledged = match cx.place.peers.unacknowledged(cx.place.io) {
            Some(0) => true,
            Some(_) if planted!(UnacknowledgedIgnored) => true,
            Some(left) => {
                let Some(before) = linger.unacknowledged.replace(left) else {
                    // How much the client received before the first check is unknown: the rate counts from here.
                    self.exchange.reset_windows();
                    return;
                };
                let taken = before.saturating_sub(left);
                if self.exchange.count(cx.now, Direction::Write, taken, write_rate(cx.limits)) == Progress::TooSlow {
                    self.exchange.reason = Some(CloseReason::WriteTimeout);
                    return self.end_lingering(cx);
                }
                return;
            }
            // Unknown on this system: it is assumed to have everything after the time that a write may take without
            // progress.
            None => timeouts.write_timeout_ms.is_none() || passed(linger.since, timeouts.write_timeout_ms),
        };
        if is_acknowledged {
            (linger.is_acknowledged, linger.since) = (true, now);
            if self.exchange.has(flag::CUT_OFF) {
                self.end_lingering(cx);
            }
        }
    }

    fn end_lingering<H: Handler<Exchange = E>>(&mut self, cx: &mut Context<'_, '_, 'p, H>) {
        let reason = self.exchange.reason.unwrap_or(CloseReason::PeerAsked);
        self.close(cx, reason);
    }
}

impl<'p, E> Exchange<'p, E> {
    /// Whether a reset would destroy what the client of a response that was cut off has yet to receive. After the client's FIN
    /// there is no receive that could tell that it is gone, so then this needs a limit for clients that receive too slowly.
    pub(super) fn is_missed<H: Handler<Exchange = E>>(&self, cx: &Context<'_, '_, 'p, H>) -> bool {
        let is_limited = !self.has(flag::FIN_RECEIVED) || write_rate(cx.limits).is_some();
        is_limited && cx.place.peers.unacknowledged(cx.place.io).is_some_and(|left| left > 0)
    }

    /// The direction whose rate is measured while the connection lingers.
    pub(super) const fn lingering_direction(&self) -> Direction {
        match &self.output {
            Output::Lingering(linger) if linger.is_acknowledged => Direction::Content,
            _ => Direction::Write,
        }
    }
}
