//! A handler that does anything that the types allow.

use aurora_http_core::defer::DeferToken;
use aurora_http_core::error::CloseReason;
use aurora_http_core::handler::{ConnectionId, Content, Flow, Handler};
use aurora_http_core::request::Request;
use aurora_http_core::writer::ResponseWriter;

use super::rng::Rng;

/// Longer than any buffer in most pools.
static LONG: [u8; 40_000] = [b's'; 40_000];

/// An exchange: which request, how many calls it still gets, and what it owes its announced length.
#[derive(Debug)]
pub(crate) struct Script {
    number: usize,
    calls_left: u8,
    owed: u64,
    /// A streamed body has begun.
    begun: bool,
    switched: bool,
    /// It waits for all of the content before it takes any.
    holds: bool,
}

pub(crate) struct Anything {
    rng: Rng,
    /// Numbers of the requests, in the order of their calls.
    pub(crate) called: Vec<usize>,
    /// Which connection a request came on, by its number.
    pub(crate) on: Vec<(ConnectionId, usize)>,
    /// Connections that are gone.
    pub(crate) gone: Vec<(ConnectionId, CloseReason)>,
    /// Of all deferrals, stale ones too.
    pub(crate) tokens: Vec<DeferToken>,
}

impl Anything {
    pub(crate) const fn new(rng: Rng) -> Self {
        Self { rng, called: Vec::new(), on: Vec::new(), gone: Vec::new(), tokens: Vec::new() }
    }

    fn field(&mut self, number: usize, response: &mut ResponseWriter<'_>) {
        let _ = response.field("X-Number", number.to_string());
        if self.rng.once_in(4) {
            let _ = response.field("X-Long", &LONG[..self.rng.below(6_000)]);
        }
        if self.rng.once_in(20) {
            let _ = response.field("X-Bad", "a\r\nb");
        }
    }

    /// Writes something, in an order that is mostly legal.
    fn write(&mut self, script: &mut Script, response: &mut ResponseWriter<'_>) {
        if self.rng.once_in(6) {
            response.limit_content(self.rng.pick(&[0, 10, 3_000, u64::MAX]));
        }
        if self.rng.once_in(6) {
            let _ = response.scratch(self.rng.pick(&[0, 100, 2_000, 300_000]));
        }
        if self.rng.once_in(12) {
            let _ = response.status(self.rng.pick(&[200, 204, 205, 304, 404, 500, 599, 600, 100]));
        }
        match self.rng.below(12) {
            0 | 1 => {}
            2 => {
                self.field(script.number, response);
                let _ = response.body(&LONG[..self.rng.pick(&[0, 5, 900, 5_000, 40_000])]);
            }
            3 => {
                self.field(script.number, response);
                let _ = response.static_body(&LONG[..self.rng.pick(&[0, 5, 600, 40_000])]);
            }
            4 | 5 => {
                self.field(script.number, response);
                let length = self.rng.pick(&[None, None, Some(0), Some(7), Some(3_000), Some(50_000)]);
                if response.stream(length).is_ok() {
                    script.begun = true;
                    script.owed = length.unwrap_or(self.rng.below(20_000) as u64);
                }
                self.pieces(script, response);
            }
            6 => self.field(script.number, response),
            7 if self.rng.once_in(3) => response.fail(self.rng.pick(&[404, 500, 503, 200, 0])),
            8 if self.rng.once_in(2) => {
                let opened = response.switch_protocols("raw", &[("X-Number", script.number.to_string().as_bytes())]);
                script.switched |= opened.is_ok();
            }
            9 if self.rng.once_in(2) => script.switched |= response.open_tunnel().is_ok(),
            _ => self.pieces(script, response),
        }
    }

    /// Writes pieces of a streamed body.
    fn pieces(&mut self, script: &mut Script, response: &mut ResponseWriter<'_>) {
        for _ in 0..self.rng.below(4) {
            // Mostly as much as was announced.
            let most = if self.rng.once_in(20) { 40_000 } else { script.owed.min(40_000) as usize };
            if most == 0 && !self.rng.once_in(20) {
                return;
            }
            let part = &LONG[..self.rng.below(most + 1)];
            let count = match self.rng.below(3) {
                0 => response.write(part),
                1 => response.write_static(part),
                _ => response.write_with(|room| {
                    let count = part.len().min(room.len());
                    room[..count].copy_from_slice(&part[..count]);
                    count
                }),
            };
            script.owed = script.owed.saturating_sub(count.unwrap_or(0) as u64);
        }
    }

    fn flow(&mut self, mut script: Script, response: &mut ResponseWriter<'_>) -> Flow<Script> {
        if script.calls_left == 0 {
            return Flow::Finish;
        }
        script.calls_left -= 1;
        if script.switched && self.rng.once_in(2) {
            return if self.rng.once_in(4) { Flow::Detach(script) } else { Flow::Upgrade(script) };
        }
        match self.rng.below(24) {
            0..=7 => Flow::Finish,
            8..=10 => Flow::Collect(script),
            11..=14 => Flow::Receive(script),
            15..=18 => Flow::Produce(script),
            19..=21 => {
                if !self.rng.once_in(12)
                    && let Ok(token) = response.defer()
                {
                    self.tokens.push(token);
                }
                Flow::Defer(script)
            }
            22 => Flow::Upgrade(script),
            _ => Flow::Detach(script),
        }
    }

    /// Takes a part of what is there and writes a byte for it, to be given the rest.
    fn take_a_piece(
        &mut self,
        mut script: Script,
        content: &mut Content<'_>,
        response: &mut ResponseWriter<'_>,
    ) -> Flow<Script> {
        script.calls_left -= 1;
        content.consume(1);
        if !script.begun && response.stream(None).is_ok() {
            script.begun = true;
        }
        let _ = response.write(b"s");
        Flow::Receive(script)
    }

    fn act(&mut self, mut script: Script, response: &mut ResponseWriter<'_>) -> Flow<Script> {
        if self.rng.once_in(3) {
            self.pieces(&mut script, response);
        } else {
            self.write(&mut script, response);
        }
        self.flow(script, response)
    }
}

impl Handler for Anything {
    type Exchange = Script;

    fn request(&mut self, request: &Request<'_>, response: &mut ResponseWriter<'_>) -> Flow<Script> {
        let digits: String = request.target_str().chars().filter(char::is_ascii_digit).collect();
        let number = digits.parse().unwrap_or(usize::MAX);
        self.called.push(number);
        self.on.extend(request.connection_id().map(|id| (id, number)));
        if self.rng.once_in(2) {
            response.keep_trailers();
        }
        let calls_left = self.rng.below(12) as u8;
        let holds = self.rng.once_in(4);
        let script = Script { number, calls_left, owed: 0, begun: false, switched: false, holds };
        if holds && request.body_length().has_content() {
            return Flow::Receive(script);
        }
        self.act(script, response)
    }

    fn collected(
        &mut self,
        state: Script,
        request: &Request<'_>,
        content: &[u8],
        response: &mut ResponseWriter<'_>,
    ) -> Flow<Script> {
        assert!(request.target_str().contains(&state.number.to_string()), "its own head");
        assert!(content.iter().all(|byte| *byte == b'c'), "content, and nothing else");
        self.act(state, response)
    }

    fn receive(&mut self, state: Script, content: &mut Content<'_>, response: &mut ResponseWriter<'_>) -> Flow<Script> {
        if !state.switched {
            assert!(content.bytes().iter().all(|byte| *byte == b'c'), "content, and nothing else");
        }
        if let Some(trailers) = content.trailers() {
            assert!(content.ended(), "trailers come with the end");
            assert!(
                trailers.iter().all(|field| (field.name, field.value) == ("A", b"b")),
                "trailers, and nothing else"
            );
        }
        if state.holds && !content.ended() && !state.switched {
            return Flow::Receive(state);
        }
        content.consume(match self.rng.below(4) {
            0 => 0,
            1 => self.rng.below(content.bytes().len() + 1),
            _ => usize::MAX,
        });
        if self.rng.once_in(2) && !content.ended() && state.calls_left > 0 {
            return Flow::Receive(state);
        }
        if self.rng.once_in(2) && !content.bytes().is_empty() && state.calls_left > 0 && !state.switched {
            return self.take_a_piece(state, content, response);
        }
        self.act(state, response)
    }

    fn produce(&mut self, mut state: Script, response: &mut ResponseWriter<'_>) -> Flow<Script> {
        if state.owed > 0 && !self.rng.once_in(10) {
            self.pieces(&mut state, response);
            let count = response.write(b"s").unwrap_or(0);
            state.owed = state.owed.saturating_sub(count as u64);
            return if state.owed == 0 { Flow::Finish } else { Flow::Produce(state) };
        }
        self.act(state, response)
    }

    fn resume(&mut self, state: Script, response: &mut ResponseWriter<'_>) -> Flow<Script> {
        self.act(state, response)
    }

    fn vanished(&mut self, state: Script) -> Option<Script> {
        self.rng.once_in(2).then_some(state)
    }
    fn closed(&mut self, id: ConnectionId, reason: CloseReason, _: u32) {
        self.gone.push((id, reason));
    }
}
