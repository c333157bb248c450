//! The end behind the last response (RFC 9112 §9.6): our FIN goes out, what the client still sends is dropped, and the
//! socket is closed once the client cannot lose anything by it any more.
//!
//! close(2) on a socket with unread input, or input that arrives behind it, makes the kernel answer with a reset, and a
//! reset destroys what the client has not received or not read yet. So a connection lingers until the client's FIN; until
//! the client takes nothing for too long; or, once it has acknowledged everything, until it has been silent for a while
//! or has gone on sending for far too long.

use super::deadline::{content_rate, write_rate};
use super::exchange::{Exchange, Linger, Output};
use super::window::{Direction, Progress, Windows};
use super::{Connection, Context, flag};
use crate::error::CloseReason;
use crate::handler::Handler;
use crate::state::Event;

impl<'p, E> Connection<'p, E> {
    /// The last response is out.
    pub(super) fn end<H: Handler<Exchange = E>>(&mut self, cx: &mut Context<'_, '_, 'p, H>) {
        let exchange = &mut self.exchange;
        let reason = *exchange.reason.get_or_insert(CloseReason::PeerAsked);
        if exchange.has(flag::ENDED) || planted!(NoLingering) {
            // Nothing more can come, so that closing cannot turn into a reset. The kernel delivers the rest.
            return self.close(cx, reason);
        }
        exchange.go(Event::Linger);
        exchange.set(flag::PROGRESS | flag::DEAF);
        exchange.clear(flag::UNFED);
        exchange.release_output(cx.pool);
        exchange.windows = Windows::default();
        let now = cx.now.0 as u32;
        exchange.output =
            Output::Lingering(Linger { unacknowledged: None, since: now, heard: now, is_acknowledged: false });
        self.drop_inbound(cx);
    }

    /// What arrives behind the last response is dropped.
    pub(super) fn drop_late<H: Handler<Exchange = E>>(&mut self, cx: &mut Context<'_, '_, 'p, H>, count: u32) {
        self.drop_inbound(cx);
        let exchange = &mut self.exchange;
        let Output::Lingering(linger) = &mut exchange.output else { return };
        linger.heard = cx.now.0 as u32;
        if linger.is_acknowledged
            && exchange.windows.count(cx.now, Direction::Content, count, content_rate(cx.limits)) == Progress::TooSlow
        {
            self.end_lingering(cx);
        }
    }

    /// A look at a lingering connection, once a second.
    pub(super) fn look_at_linger<H: Handler<Exchange = E>>(&mut self, cx: &mut Context<'_, '_, 'p, H>) {
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
                    // What the client took before the first look is not known: the rate counts from here.
                    self.exchange.windows = Windows::default();
                    return;
                };
                let taken = before.saturating_sub(left);
                if self.exchange.windows.count(cx.now, Direction::Write, taken, write_rate(cx.limits))
                    == Progress::TooSlow
                {
                    self.exchange.reason = Some(CloseReason::WriteTimeout);
                    return self.end_lingering(cx);
                }
                return;
            }
            // Nobody can tell: it had as long as it might have taken for a write without progress.
            None => timeouts.write_timeout_ms.is_none() || passed(linger.since, timeouts.write_timeout_ms),
        };
        if is_acknowledged {
            (linger.is_acknowledged, linger.since) = (true, now);
        }
    }

    fn end_lingering<H: Handler<Exchange = E>>(&mut self, cx: &mut Context<'_, '_, 'p, H>) {
        let reason = self.exchange.reason.unwrap_or(CloseReason::PeerAsked);
        self.close(cx, reason);
    }
}

impl<E> Exchange<'_, E> {
    /// The direction whose rate counts while the connection lingers.
    pub(super) const fn lingering_direction(&self) -> Direction {
        match &self.output {
            Output::Lingering(linger) if linger.is_acknowledged => Direction::Content,
            _ => Direction::Write,
        }
    }
}
