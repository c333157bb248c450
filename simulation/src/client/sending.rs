//! What a client sends, and when.

use super::{Actor, Current, Sent, Surroundings, is_switch, next_time};
use crate::exchange::{Answer, Framing, GARBAGE, Id};
use crate::model::Body;
use crate::plan::{Nature, Pace, Plan};
use crate::reader::BodyEnd;

/// The most bytes that a client sends after its last request, and the pause between them.
const RAMBLES_MAX: usize = 40;
const RAMBLE_GAP_MS_MAX: usize = 8_000;

/// The length of an empty line.
const BLANK_LINE: usize = 2;

impl Actor {
    pub(super) fn send(&mut self, around: &mut Surroundings<'_>) {
        let visitor = self.visitor(around.plan);
        loop {
            self.fill(around.plan);
            let Some(connection) = &mut self.connection else { return };
            let now = around.network.now();
            if connection.sends_at > now || connection.is_finished {
                return;
            }
            let (limit, pace) = match visitor.nature {
                Nature::StallsSending(most) | Nature::Leaves(most, _) => (most, visitor.sends),
                Nature::Drips(first, _) if connection.sent < first => (first, visitor.sends),
                Nature::Drips(_, gap_ms) => {
                    connection.drips_since.get_or_insert(now);
                    (usize::MAX, Pace { bytes_max: 1, gap_ms_max: gap_ms })
                }
                _ => (usize::MAX, visitor.sends),
            };
            let left = (connection.out.len() - connection.out_at).min(limit - connection.sent.min(limit));
            let most = left.min(pace.bytes_max);
            if most == 0 {
                return;
            }
            let bytes = &connection.out[connection.out_at..connection.out_at + most];
            let count = around.network.client_send(connection.client, bytes);
            connection.out_at += count;
            connection.sent += count;
            connection.note_sent(now);
            if count == 0 {
                return;
            }
            connection.sent_at = now;
            connection.sends_at = match connection.drips_since {
                Some(_) => now.plus_ms(pace.gap_ms_max),
                None => next_time(&mut self.dice, now, pace),
            };
        }
    }

    /// Queues the next requests, unless it has to wait for answers first.
    fn fill(&mut self, plan: &Plan) {
        let visitor = &plan.clients[self.index];
        let Some(connection) = &mut self.connection else { return };
        if connection.out_at == connection.out.len() {
            connection.out.clear();
            connection.out_at = 0;
        }
        if let Nature::Garbage(kind) = visitor.nature {
            if !connection.is_mute {
                connection.is_mute = true;
                connection.put(|out| out.extend(GARBAGE[kind as usize]));
            }
            return;
        }
        let switched = connection
            .current
            .as_ref()
            .is_some_and(|current| current.expected.as_ref().is_some_and(|expected| expected.end == BodyEnd::Never));
        if switched && !connection.is_mute {
            connection.is_mute = true;
            if let Some(Current { serial, expected: Some(expected), .. }) = &connection.current
                && let Body::Raw(length) = expected.body
            {
                let id = Id { client: self.index, serial: *serial };
                connection.put(|out| out.extend(id.raw(0, length)));
            }
            return;
        }
        while !connection.is_mute
            && connection.holds.is_none()
            && connection.out.is_empty()
            && !connection.is_last
            && connection.awaiting.len() < visitor.depth
            && let Some(exchange) = visitor.exchanges.get(connection.next)
        {
            if exchange.is_left_out {
                connection.next += 1;
                continue;
            }
            // A request that may switch the protocol is neither preceded nor followed by others.
            let waits_alone = is_switch(exchange.answer);
            if waits_alone && !connection.awaiting.is_empty() {
                return;
            }
            if connection.awaiting.back().is_some_and(|sent| is_switch(visitor.exchanges[sent.serial].answer)) {
                return;
            }
            connection.count += 1;
            let id = Id { client: self.index, serial: connection.next };
            let from = connection.queued + if exchange.blank_line { BLANK_LINE } else { 0 };
            connection.put(|out| exchange.write_head(id, out));
            // After another request, it might not see the 100 for a long time.
            let waits = visitor.manner.waits && connection.awaiting.is_empty();
            if exchange.expects && exchange.framing != Framing::Length(0) && waits {
                connection.holds = Some(connection.next);
            } else {
                connection.put(|out| exchange.write_content(id, out));
            }
            if let Answer::Detach { length } = exchange.answer {
                connection.raw_from = Some(connection.queued);
                connection.put(|out| out.extend(id.raw(0, length)));
            }
            self.sent_times[connection.next] += 1;
            let to = if connection.holds.is_some() { usize::MAX } else { connection.queued };
            connection.awaiting.push_back(Sent {
                serial: connection.next,
                nth: connection.count,
                from,
                to,
                began_at: None,
                whole_at: None,
            });
            connection.next += 1;
        }
    }

    /// Some clients send more although the server has said that it will close.
    pub(super) fn ramble(&mut self, around: &mut Surroundings<'_>) {
        let visitor = &around.plan.clients[self.index];
        let Some(connection) = &mut self.connection else { return };
        let has_said_all = connection.out_at == connection.out.len() && connection.holds.is_none();
        let may =
            visitor.manner.rambles && visitor.nature == Nature::Healthy && !connection.has_switched && has_said_all;
        if !may || !connection.is_last || connection.is_finished || connection.rambled == RAMBLES_MAX {
            return;
        }
        let now = around.network.now();
        if connection.rambles_at <= now {
            around.network.client_send(connection.client, b"x");
            connection.rambled += 1;
            connection.rambles_at = now.plus_ms(self.dice.below(RAMBLE_GAP_MS_MAX) as u32);
        }
        let at = connection.rambles_at.max(now.plus_ms(1));
        self.wakes_at = Some(self.wakes_at.map_or(at, |wakes| wakes.min(at)));
    }
}
