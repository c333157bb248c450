//! How a connection ends, by the client or by the server, and whether that is allowed.

use aurora_http_core::sim::ClientRecv;
use aurora_http_core::time::Instant;

use super::{Actor, Connection, Current, Surroundings, is_switch, visitor_next};
use crate::exchange::Answer;
use crate::model::expected;
use crate::plan::{Leave, Nature, Plan, Visitor};
use crate::siege::Siege;

/// How long a client that keeps an inactive connection waits for the server to end it.
const PATIENCE_MS: u32 = 400_000;
/// Just below the server's shortest timeout: a connection that ends sooner was ended too early.
const TIMEOUT_MIN_MS: u64 = 9_900;

/// How long a stop waits at least for exchanges under way.
const STOP_MS: u64 = 29_000;

/// Just below the time that a new connection has for its first request during a stop.
const NEWCOMER_MS: u64 = 900;

/// When the server ends an idle connection, and how much earlier or later a client may see that.
const IDLE_MS: u64 = 75_000;
const LATE_MS_MAX: u64 = 500;

impl Actor {
    /// The server has ended the connection, or it was reset.
    pub(super) fn take_end(&mut self, around: &mut Surroundings<'_>, how: ClientRecv) -> Result<(), String> {
        let Some(mut connection) = self.connection.take() else { return Ok(()) };
        let plan = around.plan;
        let visitor = &plan.clients[self.index];
        let now = around.network.now();
        let lost = around.network.client_lost(connection.client);
        around.network.client_close(connection.client);
        self.wakes_at = Some(now);
        if visitor.is_answered_anyhow() {
            self.take_any_end(around, &connection);
            return Ok(());
        }
        let is_lazy = matches!(visitor.nature, Nature::Leaves(..) | Nature::StallsReading(_));
        let breaks = connection
            .awaiting
            .front()
            .is_some_and(|sent| expected(plan, &visitor.exchanges[sent.serial], sent.nth).may_break);
        // The program closes a detached connection at once, even if bytes are in transit.
        let is_given_away = connection.raw_from.is_some() && connection.current.is_none();
        let breaks = breaks || is_given_away;
        connection.may_break |= breaks;
        if let Some(sent) = connection.awaiting.front().filter(|_| breaks) {
            self.answered = visitor_next(plan, self.index, sent.serial);
        }
        // Before a stop, nothing has to end for it.
        let is_pressed = plan.is_short() || around.stopped_at.is_some();
        let is_excused = plan.is_violent() || is_pressed || plan.may_be_late() || is_lazy || breaks;
        let may_lose = is_lazy || breaks || connection.has_switched || may_be_cut(around);
        if lost > 0 && !may_lose {
            return Err(format!("a reset destroyed {lost} bytes, with {:?} unanswered", connection.awaiting));
        }
        let is_cut = connection.current.is_some();
        if let Some(current) = connection.current.take() {
            self.take_cut(around, &connection, &current, how)?;
        } else if how == ClientRecv::Reset && !is_excused && !connection.is_last {
            return Err(format!("a reset, with {:?} unanswered", connection.awaiting));
        }
        let is_whole = connection.reader.is_between() || connection.reader.ends_with_connection();
        let may_break = connection.may_break || matches!(visitor.nature, Nature::StallsSending(_) | Nature::Drips(..));
        if !is_whole && how == ClientRecv::Fin && !is_excused && !may_break {
            return Err("a response is cut off".to_owned());
        }
        match visitor.nature {
            Nature::Idles(_) if connection.idle_since.is_some() => {
                let waited = now.ms_since(connection.idle_since.unwrap_or(now));
                let is_late = waited > IDLE_MS + LATE_MS_MAX;
                // For the server, a client that reads slowly is idle before the client has read everything.
                let is_prompt = visitor.reads.gap_ms_max == 0;
                let is_early = waited + LATE_MS_MAX < IDLE_MS && !connection.is_last && is_prompt;
                if !is_excused && around.paused_ms == 0 && (is_early || is_late) {
                    let left = connection.out.len() - connection.out_at;
                    return Err(format!("ended after {waited} ms idle, with {left} bytes to send"));
                }
                self.is_done = true;
            }
            Nature::Healthy | Nature::HalfCloses | Nature::Idles(_) => {
                let all = self.answered == visitor.exchanges.len();
                let said = connection.is_last || all || connection.may_break;
                let switched = connection.has_switched;
                if !said && !is_cut && !switched && connection.is_unheard(now) && may_hear_newcomers(around) {
                    return Err(format!("a new connection is closed on its first request: {:?}", connection.awaiting));
                }
                if !said && !switched && !is_excused {
                    return Err(format!(
                        "the connection ends without a reason, with {:?} unanswered",
                        connection.awaiting
                    ));
                }
                self.is_done = all;
            }
            Nature::StallsSending(_) | Nature::Drips(..) => {
                // The server must wait for the rest for as long as its timeouts say.
                let waited = now.ms_since(connection.drips_since.unwrap_or(connection.sent_at));
                let is_early = waited + in_last_window_ms(plan, visitor) < TIMEOUT_MIN_MS
                    && connection.is_stalled(visitor)
                    && !connection.is_last
                    && connection.raw_from.is_none();
                if is_early && !is_excused && around.paused_ms == 0 && self.answered < visitor.exchanges.len() {
                    return Err(format!("ended too early, after {waited} ms"));
                }
                let has_to_say = !is_excused && !is_cut && around.paused_ms == 0 && connection.is_stalled(visitor);
                if has_to_say && connection.lacks_an_answer(visitor) {
                    return Err(format!("ended without an error response, with {:?} unanswered", connection.awaiting));
                }
                self.is_done = true;
            }
            Nature::Garbage(_) => {
                if !connection.is_last && !is_excused {
                    return Err("garbage is not answered".to_owned());
                }
                self.is_done = true;
            }
            Nature::StallsReading(_) | Nature::Leaves(..) => self.is_done = true,
        }
        Ok(())
    }

    /// The connection ended during a response.
    fn take_cut(
        &mut self,
        around: &mut Surroundings<'_>,
        connection: &Connection,
        current: &Current,
        how: ClientRecv,
    ) -> Result<(), String> {
        let plan = around.plan;
        let Some(expected) = &current.expected else { return Ok(()) };
        let by_its_end = how == ClientRecv::Fin && connection.reader.ends_with_connection();
        let is_whole = expected.body.length().is_none_or(|length| length == current.at);
        let detached = matches!(plan.clients[self.index].exchanges[current.serial].answer, Answer::Detach { .. });
        if by_its_end && is_whole || detached {
            around.seen.answered += 1;
            self.answered = visitor_next(around.plan, self.index, current.serial);
            self.attempts = 0;
            return Ok(());
        }
        // A system that closes the connections of a program which has ended may do so with a FIN. Another protocol has marks
        // of its own.
        if by_its_end && !plan.loses_the_server() && !connection.has_switched {
            return Err(format!(
                "exchange {}: cut off after {} bytes of {:?}, but it seems complete",
                current.serial, current.at, expected.body
            ));
        }
        if expected.may_break {
            self.answered = visitor_next(around.plan, self.index, current.serial);
            return Ok(());
        }
        let is_lazy = matches!(
            plan.clients[self.index].nature,
            Nature::StallsReading(_) | Nature::StallsSending(_) | Nature::Drips(..) | Nature::Leaves(..)
        );
        if may_be_cut(around) || is_lazy {
            return Ok(());
        }
        Err(format!("exchange {}: cut ({how:?}) after {} bytes of {:?}", current.serial, current.at, expected.body))
    }

    /// Disconnects when it has every answer, or when its nature says so.
    pub(super) fn leave_when_done(&mut self, around: &mut Surroundings<'_>) -> Result<(), String> {
        let visitor = self.visitor(around.plan);
        let Some(connection) = &mut self.connection else { return Ok(()) };
        let now = around.network.now();
        let all_sent = connection.out_at == connection.out.len()
            && connection.holds.is_none()
            && (connection.next == visitor.exchanges.len() || connection.is_mute);
        match visitor.nature {
            Nature::Healthy | Nature::Drips(..)
                if self.answered == visitor.exchanges.len() && connection.current.is_none() =>
            {
                around.network.client_close(connection.client);
                self.connection = None;
                self.is_done = true;
            }
            // The other protocol ends with the client's FIN, after its last byte.
            Nature::Healthy | Nature::HalfCloses | Nature::Idles(_)
                if connection.is_mute && all_sent && !connection.is_finished && connection.idle_since.is_none() =>
            {
                connection.is_finished = true;
                around.network.client_finish(connection.client);
            }
            Nature::HalfCloses if all_sent && !connection.is_finished && !around.plan.is_pressed() => {
                let switches =
                    connection.awaiting.back().is_some_and(|sent| is_switch(visitor.exchanges[sent.serial].answer));
                if !switches {
                    connection.is_finished = true;
                    around.network.client_finish(connection.client);
                }
            }
            Nature::HalfCloses if self.answered == visitor.exchanges.len() && !connection.is_finished => {
                connection.is_finished = true;
                around.network.client_finish(connection.client);
            }
            Nature::Leaves(most, how) if connection.sent >= most || all_sent => self.leave(around, how),
            Nature::Idles(blank)
                if self.answered == visitor.exchanges.len()
                    && connection.current.is_none()
                    && (all_sent || connection.idle_since.is_some()) =>
            {
                let is_new = connection.idle_since.is_none();
                if is_new {
                    (connection.idle_since, connection.is_mute) = (Some(now), true);
                    connection.put(|out| out.extend(&b"\r\n"[..blank]));
                }
                self.lose_patience(around, now)?;
                if is_new {
                    self.wakes_at = Some(now);
                }
            }
            Nature::Leaves(..)
            | Nature::StallsSending(_)
            | Nature::Drips(..)
            | Nature::StallsReading(_)
            | Nature::Garbage(_) => {
                self.lose_patience(around, now)?;
            }
            _ => {}
        }
        Ok(())
    }

    fn leave(&mut self, around: &mut Surroundings<'_>, how: Leave) {
        let Some(connection) = &mut self.connection else { return };
        let now = around.network.now();
        match how {
            Leave::Reset => around.network.client_reset(connection.client),
            Leave::Finish if !connection.is_finished => {
                connection.is_finished = true;
                around.network.client_finish(connection.client);
                connection.sent_at = now;
                self.wakes_at = Some(now.plus_ms(40_000));
                return;
            }
            Leave::Finish if now.ms_since(connection.sent_at) < 40_000 => {
                self.wakes_at = Some(connection.sent_at.plus_ms(40_000));
                return;
            }
            Leave::Close | Leave::Finish => around.network.client_close(connection.client),
        }
        self.connection = None;
        self.is_done = true;
    }

    /// The server has to end a connection without progress.
    fn lose_patience(&mut self, around: &mut Surroundings<'_>, now: Instant) -> Result<(), String> {
        let visitor = self.visitor(around.plan);
        let Some(connection) = &mut self.connection else { return Ok(()) };
        // Trickled bytes are not progress; an answer is.
        let moved_at = connection.drips_since.map_or(connection.sent_at, |since| since.max(connection.answered_at));
        let end = moved_at.plus_ms(PATIENCE_MS);
        if now < end {
            self.wakes_at = Some(end);
            return Ok(());
        }
        // A client that does not read does not see the end.
        let is_blind = matches!(visitor.nature, Nature::StallsReading(_) | Nature::Leaves(_, Leave::Finish));
        // Without a minimum rate any byte of content is progress; a byte of another protocol always is.
        let may_drip = around.plan.world.limits.timeouts.rate_min.is_none()
            || connection.has_switched
            || connection.raw_from.is_some();
        let is_progress = connection.drips_since.is_some() && may_drip;
        // Clients that trickle bytes may keep this one out of a slot all the time.
        let is_kept_out = around.plan.is_short_of_slots() && around.plan.drips();
        if !is_blind && !is_progress && !is_kept_out && around.paused_ms == 0 {
            return Err(format!("not ended in {PATIENCE_MS} ms"));
        }
        around.network.client_close(connection.client);
        self.connection = None;
        self.is_done = true;
        Ok(())
    }
}

/// How long before its last byte the window in which a client fails the minimum rate may have begun: it sent less in it than
/// the rate demands, and paused once more before it began to trickle.
fn in_last_window_ms(plan: &Plan, visitor: &Visitor) -> u64 {
    let rate_min = plan.world.limits.timeouts.rate_min;
    let at_once = visitor.sends.bytes_max.min(plan.world.window);
    let steps = rate_min.map_or(0, |rate| rate.bytes as usize / at_once + 2);
    steps as u64 * u64::from(visitor.sends.gap_ms_max)
}

/// Whether a response may be cut off although its client behaves well.
fn may_be_cut(around: &Surroundings<'_>) -> bool {
    let plan = around.plan;
    // A stop waits for exchanges under way.
    let stopped = around.stopped_at.is_some_and(|at| around.network.now().ms_since(at) >= STOP_MS);
    let is_spared = plan.siege.is_some_and(Siege::cuts_nobody);
    plan.is_violent() || plan.is_short() && !is_spared || stopped || plan.may_be_late()
}

/// Whether a new connection that sends a request without delay is answered, also during a stop.
fn may_hear_newcomers(around: &Surroundings<'_>) -> bool {
    around.plan.is_in_time() && !around.plan.is_short() && around.paused_ms == 0 && !may_be_cut(around)
}

impl Connection {
    /// Whether its first request was sent soon after it connected, or there has been little time for that, and it is not
    /// answered.
    fn is_unheard(&self, now: Instant) -> bool {
        let sent_at = match self.awaiting.front() {
            Some(first) if first.from == 0 => first.began_at,
            Some(_) => return false,
            None if self.sent == 0 => None,
            None => return false,
        };
        sent_at.unwrap_or(now).ms_since(self.answered_at) < NEWCOMER_MS
    }

    /// Whether a request has begun, must be answered in any case, and was not.
    fn lacks_an_answer(&self, visitor: &Visitor) -> bool {
        let front = self.awaiting.front().filter(|front| self.sent > front.from && !self.is_last);
        front.is_some_and(|front| {
            let answer = visitor.exchanges[front.serial].answer;
            // A response that has begun can only be cut off.
            let begins =
                matches!(answer, Answer::Echo | Answer::Begin { .. } | Answer::Produce { .. } | Answer::File { .. });
            !begins && !is_switch(answer)
        })
    }
}
