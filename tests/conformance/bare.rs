//! Runs a case on a bare connection, in virtual time.

use aurora_http_core::reactor::Shutdown;
use aurora_http_core::state::State;

use super::case::{Case, End, Step, head};
use super::harness::Bench;
use super::probe::{Log, Probe, Seen};
use super::reply::{self, Reply, Response};

/// One connection after the other on the same memory.
pub(crate) struct Bare {
    pub(crate) bench: Bench<Probe>,
    log: Log,
}

/// A request to check that a connection still serves.
pub(crate) const SENTINEL: &str = "GET /sentinel";

impl Bare {
    pub(crate) fn new() -> Self {
        let probe = Probe::default();
        let log = probe.log.clone();
        let mut bench = Bench::new(probe);
        bench.fin();
        Self { bench, log }
    }

    /// Runs `case`; `cut` splits what the client sends into the pieces that arrive.
    pub(crate) fn play(&mut self, case: &Case, cut: &mut dyn FnMut(&[u8]) -> Vec<usize>) -> Result<(), String> {
        let played = self.play_steps(case, cut).map_err(|wrong| format!("{}: {wrong}", case.id));
        if played.is_err() {
            // A failed case must not affect the next one.
            *self = Self::new();
        }
        played
    }

    fn play_steps(&mut self, case: &Case, cut: &mut dyn FnMut(&[u8]) -> Vec<usize>) -> Result<(), String> {
        self.bench.limits = case.limits;
        self.bench.reopen();
        self.log.take();
        let mut replies = 0;
        for step in &case.steps {
            match step {
                Step::Send(bytes) => self.send(bytes, cut),
                Step::Fin => self.bench.fin(),
                Step::Get(expected) => {
                    replies += 1;
                    let response = self.next_reply(expected, case.may_continue)?;
                    expected.check(&response).map_err(|wrong| format!("reply {replies}: {wrong}"))?;
                    check_closing(case, replies, &response)?;
                }
            }
        }
        check_seen(&self.log.take(), &case.seen)?;
        match case.end {
            End::Open => self.check_open()?,
            End::Closes(reason) | End::Ends(reason) => {
                self.check_closes()?;
                check_reason(self.bench.connection.close_reason(), Some(reason))?;
            }
            End::Breaks(reason) => {
                check_broken(&std::mem::take(&mut self.bench.output))?;
                self.check_closes()?;
                check_reason(self.bench.connection.close_reason(), Some(reason))?;
            }
            End::Waits(reason) => {
                self.check_silent("while it waits")?;
                if self.bench.state().is_ending() {
                    return Err(format!("{:?} instead of waiting", self.bench.connection));
                }
                self.bench.fin();
                self.check_silent("behind the FIN")?;
                check_reason(self.bench.connection.close_reason(), Some(reason))?;
            }
        }
        check_seen(&self.log.take(), &[])?;
        if self.bench.state() != State::Closed || self.bench.pool.in_use() != 0 {
            return Err(format!("{:?} with {} buffers at the end", self.bench.connection, self.bench.pool.in_use()));
        }
        Ok(())
    }

    fn send(&mut self, bytes: &[u8], cut: &mut dyn FnMut(&[u8]) -> Vec<usize>) {
        let mut from = 0;
        for to in cut(bytes).into_iter().chain([bytes.len()]) {
            self.bench.send(&bytes[from..to]);
            from = to;
        }
    }

    fn next_reply(&mut self, expected: &Reply, may_continue: bool) -> Result<Response, String> {
        loop {
            let ended = self.bench.shut.is_some() || self.bench.state() == State::Closed;
            let output = &mut self.bench.output;
            let text = |bytes: &[u8]| bytes[..bytes.len().min(300)].escape_ascii().to_string();
            let read = reply::read(output, expected.head_only, ended);
            let read = read.map_err(|wrong| format!("{wrong} in {}", text(output)))?;
            let missing = || format!("no {} in {:?}", expected.status, text(output));
            let (response, length) = read.ok_or_else(missing)?;
            output.drain(..length);
            if !(may_continue && response.status == 100 && expected.status != 100) {
                return Ok(response);
            }
        }
    }

    fn check_silent(&mut self, when: &str) -> Result<(), String> {
        let output = std::mem::take(&mut self.bench.output);
        if output.is_empty() { Ok(()) } else { Err(format!("{when}: {}", output.escape_ascii())) }
    }

    /// Checks that another request is served; then the client disconnects.
    fn check_open(&mut self) -> Result<(), String> {
        self.check_silent("behind the last reply")?;
        self.bench.send(&head(SENTINEL, &[]));
        let response = self.next_reply(&Reply::ok(), false).map_err(|wrong| format!("sentinel: {wrong}"))?;
        Reply::ok().check(&response).map_err(|wrong| format!("sentinel: {wrong}"))?;
        check_seen(&self.log.take(), &[Seen::new("GET", b"/sentinel", None)])?;
        self.bench.fin();
        self.check_silent("behind the FIN")
    }

    /// Checks that further input is ignored.
    fn check_closes(&mut self) -> Result<(), String> {
        self.check_silent("behind the last reply")?;
        let state = self.bench.state();
        if !matches!(state, State::Lingering | State::Closed) {
            return Err(format!("{:?} instead of an end", self.bench.connection));
        }
        if state == State::Lingering && self.bench.shut != Some(Shutdown::Write) {
            return Err("lingers without a FIN".to_owned());
        }
        self.bench.send(&head("GET /late", &[]));
        self.check_silent("behind the end")?;
        self.bench.fin();
        self.check_silent("behind the FIN")
    }
}

/// Checks that the last reply says that the connection closes, and the others do not.
pub(crate) fn check_closing(case: &Case, number: usize, response: &Response) -> Result<(), String> {
    let finals = case.steps.iter().filter(|step| matches!(step, Step::Get(_))).count();
    let asked_by_fin = case.steps.iter().any(|step| matches!(step, Step::Fin));
    let closes = number == finals && matches!(case.end, End::Closes(_)) && !asked_by_fin;
    let connection = response.values("Connection");
    let right = if closes { connection == ["close"] } else { matches!(connection[..], [] | ["keep-alive"]) };
    if right { Ok(()) } else { Err(format!("reply {number}: Connection {connection:?}, closes: {closes}")) }
}

/// Checks that a response has begun and is incomplete.
pub(crate) fn check_broken(output: &[u8]) -> Result<(), String> {
    let begun = output.starts_with(b"HTTP/1.1 200 OK\r\n") && output.windows(4).any(|four| four == b"\r\n\r\n");
    let whole = reply::read(output, false, true)?;
    if begun && whole.is_none() { Ok(()) } else { Err(format!("not broken off: {}", output.escape_ascii())) }
}

pub(crate) fn check_seen(seen: &[Seen], expected: &[Seen]) -> Result<(), String> {
    if seen == expected { Ok(()) } else { Err(format!("the handler saw {seen:?} instead of {expected:?}")) }
}

fn check_reason<R: PartialEq + std::fmt::Debug>(reason: R, expected: R) -> Result<(), String> {
    if reason == expected { Ok(()) } else { Err(format!("closed for {reason:?} instead of {expected:?}")) }
}

/// All at once.
pub(crate) fn whole(_: &[u8]) -> Vec<usize> {
    Vec::new()
}

/// Byte by byte.
pub(crate) fn bytewise(bytes: &[u8]) -> Vec<usize> {
    (1..bytes.len()).collect()
}
