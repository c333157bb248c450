//! A handler that does anything the types allow, mostly in a legal order: the responses must be valid HTTP in any case.

use std::fmt::Write as _;

use aurora_http_core::defer::DeferToken;
use aurora_http_core::handler::{Content, Flow};
use aurora_http_core::sim::Dice;
use aurora_http_core::writer::{ResponseWriter, WriteError};

use super::{Files, Puppet, State, name, write_one_way};
use crate::exchange::{Id, PATTERN};

/// The most calls of a handler for one exchange; after them it finishes.
const CALLS_MAX: usize = 12;
/// A long field value, to be cut at random.
static LONG: [u8; 6_000] = [b'l'; 6_000];
/// The most bytes written at once.
const PIECE_MAX: usize = 40_000;
/// After how long a deferred answer is ready; `None`: never.
const AFTER_MS: [Option<u32>; 5] = [None, Some(0), Some(0), Some(5), Some(2_000)];

/// Its state for an exchange.
pub(crate) struct Whim {
    dice: Dice,
    calls_left: usize,
    /// The rest of the length that it announced or intends to write.
    owed: usize,
    /// A streamed body has begun.
    begun: bool,
    pub(super) switched: bool,
    is_named: bool,
    has_long_field: bool,
    /// It takes no content until all has arrived.
    holds: bool,
}

impl Whim {
    pub(super) fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let (calls_left, holds) = (dice.below(CALLS_MAX), dice.once_in(4));
        Self { dice, calls_left, owed: 0, begun: false, switched: false, is_named: false, has_long_field: false, holds }
    }

    /// Whether it continues although the client has sent its FIN.
    pub(super) fn goes_on(&mut self) -> bool {
        self.dice.once_in(2)
    }

    fn fields(&mut self, id: Id, response: &mut ResponseWriter<'_>) {
        if !self.is_named && !self.dice.once_in(8) {
            self.is_named = true;
            name(id, response);
        }
        if !self.has_long_field && self.dice.once_in(4) {
            self.has_long_field = true;
            let _ = response.field("X-Long", &LONG[..self.dice.below(LONG.len())]);
        }
        if self.dice.once_in(20) {
            let _ = response.field("X-Bad", "a\r\nb");
        }
    }

    /// Writes something.
    fn write(&mut self, id: Id, files: &Files, response: &mut ResponseWriter<'_>) {
        if self.dice.once_in(6) {
            response.limit_content(self.dice.pick(&[0, 10, 3_000, u64::MAX]));
        }
        if self.dice.once_in(6) {
            let _ = response.scratch(self.dice.pick(&[0, 100, 2_000, 300_000]));
        }
        if self.dice.once_in(12) {
            let _ = response.status(self.dice.pick(&[200, 204, 205, 304, 404, 500, 599, 600, 100]));
        }
        if self.dice.once_in(8) {
            let _ = response.add_field("X-Added", "a".repeat(self.dice.pick(&[0, 20, 900])));
        }
        match self.dice.below(14) {
            0 | 1 => {}
            12 => {
                let length = self.dice.pick(&[0, 5, 900, 5_000, PIECE_MAX]);
                let _ = response.body_with(|body| {
                    (0..length).step_by(300).try_for_each(|_| write!(body, "{:300}", ""))?;
                    if length == 900 { Err(WriteError::Failed(503)) } else { Ok(()) }
                });
            }
            13 => {
                // A reset also undoes a switch of this call.
                if response.reset().is_ok() {
                    (self.begun, self.switched, self.owed) = (false, false, 0);
                }
            }
            2 => {
                self.fields(id, response);
                let _ = response.body(id.body(0, self.dice.pick(&[0, 5, 900, 5_000, PIECE_MAX])));
            }
            3 => {
                self.fields(id, response);
                let _ = response.static_body(id.body(0, self.dice.pick(&[0, 5, 600, PIECE_MAX])));
            }
            4 | 5 => {
                self.fields(id, response);
                let length = self.dice.pick(&[None, None, Some(0), Some(7), Some(3_000), Some(50_000)]);
                if response.stream(length.map(|length| length as u64)).is_ok() {
                    self.begun = true;
                    self.owed = length.unwrap_or_else(|| self.dice.below(20_000));
                }
                self.pieces(id, files, response);
            }
            6 => self.fields(id, response),
            7 if self.dice.once_in(3) => {
                let _ = response.fail(self.dice.pick(&[404, 500, 503, 200, 0]));
            }
            8 if self.dice.once_in(2) => self.switched |= response.switch_protocols("echo", &[]).is_ok(),
            9 if self.dice.once_in(2) => self.switched |= response.open_tunnel().is_ok(),
            _ => self.pieces(id, files, response),
        }
    }

    /// Writes pieces of a streamed body.
    fn pieces(&mut self, id: Id, files: &Files, response: &mut ResponseWriter<'_>) {
        for _ in 0..self.dice.below(4) {
            // Usually no more than was announced.
            let most = if self.dice.once_in(20) { PIECE_MAX } else { self.owed.min(PIECE_MAX) };
            if most == 0 && !self.dice.once_in(20) {
                return;
            }
            let part = id.body(0, self.dice.below(most + 1));
            let offset = self.dice.pick(&[0, 1_000, PATTERN.len() - 500]);
            let range = files.any(offset, part.len()).filter(|_| self.dice.once_in(4));
            let count = match range {
                Some(range) => response.write_file(range).unwrap_or(0) as usize,
                None => write_one_way(self.dice.below(3), part, response),
            };
            self.owed = self.owed.saturating_sub(count);
        }
    }
}

impl Puppet<'_> {
    /// The first call for an exchange.
    pub(super) fn begin_anything(
        &self,
        mut state: State,
        whim: Whim,
        has_content: bool,
        response: &mut ResponseWriter<'_>,
    ) -> Flow<State> {
        let whim = state.whim.insert(whim);
        if whim.dice.once_in(2) {
            response.keep_trailers();
        }
        if whim.holds && has_content {
            return Flow::Receive(state);
        }
        self.do_anything(state, response)
    }

    /// Any further call except those with content.
    pub(super) fn do_anything(&self, mut state: State, response: &mut ResponseWriter<'_>) -> Flow<State> {
        let Some(whim) = &mut state.whim else { return Flow::Finish };
        if whim.dice.once_in(3) {
            whim.pieces(state.id, &self.book.borrow().files, response);
        } else {
            whim.write(state.id, &self.book.borrow().files, response);
        }
        self.go_anywhere(state, response)
    }

    pub(super) fn produce_anything(&self, mut state: State, response: &mut ResponseWriter<'_>) -> Flow<State> {
        let Some(whim) = &mut state.whim else { return Flow::Finish };
        if whim.owed == 0 || whim.dice.once_in(10) {
            return self.do_anything(state, response);
        }
        whim.pieces(state.id, &self.book.borrow().files, response);
        whim.owed = whim.owed.saturating_sub(response.write(b"s").unwrap_or(0));
        if whim.owed == 0 { Flow::Finish } else { Flow::Produce(state) }
    }

    /// A call with content, which must be the client's as long as the protocol is HTTP.
    pub(super) fn take_anything(
        &self,
        mut state: State,
        content: &mut Content<'_>,
        response: &mut ResponseWriter<'_>,
    ) -> Flow<State> {
        let Some(whim) = &mut state.whim else { return Flow::Finish };
        if !whim.switched {
            self.see(&state, content.bytes());
            if content.ended() && content.trailers().is_some() && content.bytes().is_empty() {
                self.see_end(&state, content);
            }
        }
        let Some(whim) = &mut state.whim else { return Flow::Finish };
        if whim.holds && !content.ended() && !whim.switched {
            content.hold();
            return Flow::Receive(state);
        }
        let there = content.bytes().len();
        let taken = match whim.dice.below(4) {
            0 => 0,
            1 => whim.dice.below(there + 1),
            _ => there,
        };
        content.consume(taken);
        state.seen += taken;
        if whim.calls_left > 0 && whim.dice.once_in(2) && !content.ended() {
            return Flow::Receive(state);
        }
        if whim.calls_left > 0 && whim.dice.once_in(2) && taken < there && !whim.switched {
            // Takes a part of the content and writes a byte in return, so that the rest is offered again.
            whim.calls_left -= 1;
            whim.begun |= !whim.begun && response.stream(None).is_ok();
            let _ = response.write(b"s");
            return Flow::Receive(state);
        }
        self.do_anything(state, response)
    }

    fn go_anywhere(&self, mut state: State, response: &mut ResponseWriter<'_>) -> Flow<State> {
        let Some(whim) = &mut state.whim else { return Flow::Finish };
        if whim.calls_left == 0 {
            return Flow::Finish;
        }
        whim.calls_left -= 1;
        if whim.switched && whim.dice.once_in(2) {
            return if whim.dice.once_in(4) { Flow::Detach(state) } else { Flow::Upgrade(state) };
        }
        if whim.dice.once_in(16) {
            response.wake_after(whim.dice.pick(&[0, 5, 2_000, 70_000]));
        }
        match whim.dice.below(27) {
            0..=7 => Flow::Finish,
            8..=10 => Flow::Collect(state),
            11..=14 => Flow::Receive(state),
            15..=18 => Flow::Produce(state),
            19..=21 => {
                for _ in 0..whim.dice.pick(&[0, 1, 1, 1, 1, 1, 2]) {
                    let (after_ms, by_itself) = (whim.dice.pick(&AFTER_MS), whim.dice.once_in(6));
                    response.defer().into_iter().for_each(|token| self.answer_later(token, after_ms, by_itself));
                }
                Flow::Defer(state)
            }
            22..=24 => {
                for _ in 0..whim.dice.pick(&[0, 1, 1, 1]) {
                    let after_ms = whim.dice.pick(&AFTER_MS);
                    response.defer().into_iter().for_each(|token| self.answer_later(token, after_ms, false));
                }
                Flow::ReceiveOrResume(state)
            }
            25 => Flow::Upgrade(state),
            _ => Flow::Detach(state),
        }
    }

    fn answer_later(&self, token: DeferToken, after_ms: Option<u32>, by_itself: bool) {
        if by_itself {
            self.deferrals.resolve(token);
            self.book.borrow_mut().stale.push(token);
        } else {
            self.book.borrow_mut().deferred.push((after_ms, token));
        }
    }
}
