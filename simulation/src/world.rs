//! Plays a plan: the clients, the server, the events that disturb it, and the checks.

mod books;
mod memory;
mod stage;

use std::cell::{Cell, RefCell};
use std::ops::AddAssign;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::time::Duration;

use aurora_http_core::defer::{DeferToken, Deferrals};
use aurora_http_core::engine::Engine;
use aurora_http_core::preamble::Preamble;
use aurora_http_core::reactor::{IoHandle, Op, OpKind, OpToken, Reactor, Submission, Wake};
use aurora_http_core::readiness::{Held, Readiness};
use aurora_http_core::run::turn_within;
use aurora_http_core::sim::{Dice, Network, Sim, SimCalls};
use aurora_http_core::stop::{Mode, StopFlag};
use aurora_http_core::time::Instant;

use crate::client::{Actor, Seen};
use crate::face::{Face, Passing, Watched};
use crate::handler::{Book, Files, Owning, Planned, Puppet};
use crate::plan::{Face as FaceKind, Looping, Plan, Trouble};
use memory::{Memory, Parts};
use stage::Stage;

/// More turns than this in a row in which neither time passes nor a byte moves mean that the loop spins.
const TURNS_AT_REST_MAX: u32 = 5_000;
/// One of so many sleeps is checked for missed work; in a siege, every one.
const LOOKS_BEFORE_SLEEP: usize = 4;

/// The virtual time within which a simulation has to end.
const LIFE_MS_MAX: u64 = 40_000_000;

/// How many stale tokens are resolved again with every fresh one.
const STALE_TRIED: usize = 4;

/// The totals of a simulation.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    /// What all clients saw.
    pub seen: Seen,
    /// Calls of the handler.
    pub requests: u64,
    /// Connections that the engine accepted.
    pub accepted: u64,
    /// Turns of the loop.
    pub turns: u64,
    /// Engines that were started.
    pub engines: u64,
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.seen.connections += other.seen.connections;
        self.seen.answered += other.seen.answered;
        self.seen.refused += other.seen.refused;
        self.seen.anyhow += other.seen.anyhow;
        self.seen.bytes += other.seen.bytes;
        self.requests += other.requests;
        self.accepted += other.accepted;
        self.turns += other.turns;
        self.engines += other.engines;
    }
}

/// How the life of an engine ended.
enum Ended {
    /// All clients are done.
    Over,
    /// The process died, or the handler panicked.
    Died,
    /// A graceful stop is complete.
    Stopped,
}

/// Plays a plan.
///
/// # Errors
/// A description of the first violation.
pub(crate) fn play(plan: &Plan) -> Result<Tally, String> {
    let counts = plan.world.counts;
    let mut slab = vec![0; counts.slab_bytes() + 63];
    let mut memory = Memory::new(plan, &mut slab);
    let mut stage = Stage::new(plan);
    let mut network = Network::new(4 * plan.clients.len() + 16, plan.world.window);
    network.advance_to(Instant(plan.world.start_ms));
    network.set_unix_time(784_111_777);
    network.set_faults(plan.world.faults, Dice::new(!plan.seed));
    stage.book.borrow_mut().files = Files::open(plan, &mut network);
    loop {
        stage.tally.engines += 1;
        let (ended, next) = match plan.world.face {
            FaceKind::Completions => live_on_completions(&mut stage, &mut memory, network)?,
            FaceKind::Calls => live_on_calls(&mut stage, &mut memory, network)?,
        };
        network = next;
        network.kill_server();
        memory.check()?;
        if matches!(ended, Ended::Over) {
            break;
        }
    }
    stage.check_end()?;
    Ok(stage.tally)
}

fn live_on_completions<'p>(
    stage: &mut Stage<'_>,
    memory: &mut Memory<'p>,
    network: Network,
) -> Result<(Ended, Network), String> {
    let (parts, ..) = memory.split();
    let (ended, sim) = live(stage, parts, Sim::over(network))?;
    let (network, buffers) = sim.into_parts();
    memory.salvaged.extend(buffers);
    Ok((ended, network))
}

fn live_on_calls<'p>(
    stage: &mut Stage<'_>,
    memory: &mut Memory<'p>,
    network: Network,
) -> Result<(Ended, Network), String> {
    let (parts, parked, held, lent) = memory.split();
    let (ended, readiness) = live(stage, parts, Readiness::new(SimCalls::over(network), parked, held, lent))?;
    let network = readiness.into_inner().into_network();
    memory.salvaged.extend(memory.held.iter_mut().flat_map(Held::take_buffers));
    memory.salvaged.extend(memory.lent.iter_mut().filter_map(Option::take));
    Ok((ended, network))
}

/// Other threads, which resolve the deferred answers of the current engine.
struct Others<'s> {
    deferrals: Deferrals<'s>,
    book: Rc<RefCell<Book>>,
    /// The tokens to be resolved, and when.
    due: RefCell<Vec<(Instant, DeferToken)>>,
}

impl Others<'_> {
    /// Takes over the tokens of answers that handlers have deferred.
    fn collect(&self, now: Instant) {
        let mut book = self.book.borrow_mut();
        let mut due = self.due.borrow_mut();
        for (after_ms, token) in book.deferred.drain(..) {
            due.extend(after_ms.map(|ms| (now.plus_ms(ms), token)));
        }
    }

    /// Resolves the tokens that are due; returns whether the worker has to be woken.
    fn resolve(&self, now: Instant) -> bool {
        let mut due = self.due.borrow_mut();
        let mut any = false;
        let mut at = 0;
        while let Some((time, token)) = due.get(at).copied() {
            if time > now {
                at += 1;
                continue;
            }
            due.swap_remove(at);
            any |= self.deferrals.resolve(token);
            let mut book = self.book.borrow_mut();
            book.stale.push(token);
            if book.stale.iter().rev().take(STALE_TRIED).any(|token| self.deferrals.resolve(*token)) {
                book.fault.get_or_insert("a stale token resolved another deferral".to_owned());
            }
        }
        any
    }

    fn next_due(&self) -> Option<Instant> {
        self.due.borrow().iter().map(|(at, _)| *at).min()
    }
}

/// Runs an engine on its reactor, from its start to its end.
fn live<'p, F: Face<'p>>(stage: &mut Stage<'_>, parts: Parts<'_, 'p>, face: F) -> Result<(Ended, F), String> {
    let Parts { counts, storage, pool, deferrals } = parts;
    let clock = Rc::new(Cell::new(Instant(stage.plan.world.start_ms)));
    let puppet = Owning(Puppet {
        plan: Rc::clone(&stage.plan),
        book: Rc::clone(&stage.book),
        states: Rc::clone(&stage.states),
        clock: Rc::clone(&clock),
        deferrals,
    });
    {
        let mut book = stage.book.borrow_mut();
        book.deferred.clear();
        book.stale.clear();
        (book.requests, book.accepted, book.closed) = (0, 0, 0);
        book.told.clear();
        book.is_over = false;
    }
    let limits = stage.plan.world.limits;
    let engine = Engine::new(storage, pool, puppet, limits, Preamble::new("sim").expect("a name"))
        .map_err(|error| format!("cannot create an engine with {counts:?}: {error}"))?;
    let others = Others { deferrals, book: Rc::clone(&stage.book), due: RefCell::default() };
    let stop = StopFlag::new();
    let stop_in_wait = Cell::new(false);
    let waker = face.waker();
    let mut breaks_in = stage.dice.fork();
    let before_wait = |now| {
        // Another thread acts between the loop's last check and the wait: the wake comes before the sleep.
        others.collect(now);
        if breaks_in.once_in(2) && others.resolve(now) {
            waker.wake();
        }
        if stop_in_wait.take() {
            stop.drain();
            waker.wake();
        }
        others.next_due()
    };
    let mut reactor = Watched::new(face, clock, before_wait);
    let (bytes_before, turned_away_before) =
        (reactor.inner.network().transferred(), reactor.inner.network().turned_away());
    let mut life = Life {
        engine,
        reactor,
        listener: None,
        bytes_before,
        turned_away_before,
        told_at: None,
        stops_since: None,
        detached: Vec::new(),
    };
    let ended = life.live(stage, &others, &stop, &stop_in_wait);
    let Life { engine, reactor, .. } = life;
    stage.book.borrow_mut().is_over = true;
    drop(engine);
    let Watched { inner, .. } = reactor;
    Ok((ended?, inner))
}

struct Life<'a, 's, 'p, F> {
    engine: Engine<'s, 'p, Owning<'s>>,
    reactor: Watched<'a, F>,
    listener: Option<IoHandle>,
    bytes_before: (u64, u64),
    turned_away_before: u64,
    /// When it was told to stop, before a turn that may take long.
    told_at: Option<Instant>,
    /// When it was first seen to be stopping.
    stops_since: Option<Instant>,
    /// Detached connections that the program has not closed.
    detached: Vec<IoHandle>,
}

impl<'p, F: Face<'p>> Life<'_, '_, 'p, F> {
    fn live(
        &mut self,
        stage: &mut Stage<'_>,
        others: &Others<'_>,
        stop: &StopFlag,
        stop_in_wait: &Cell<bool>,
    ) -> Result<Ended, String> {
        let listener = self.reactor.inner.network().listen().ok_or("no socket is left for the listener")?;
        self.engine.listen(listener).map_err(|error| error.to_string())?;
        self.listener = Some(listener);
        let (mut rests, mut last) = (0, (self.reactor.now(), (0, 0)));
        loop {
            let now = self.reactor.now();
            let at = (now, self.reactor.inner.network().transferred());
            if at != last {
                (rests, last) = (0, at);
            }
            let is_stopping = stop.mode() != Mode::Run;
            if is_stopping {
                self.stops_since.get_or_insert(now);
            }
            if let Some(ended) = self.take_trouble(stage, stop_in_wait, now)? {
                return Ok(ended);
            }
            let listener = self.listener.filter(|_| !is_stopping);
            stage.act(self.reactor.inner.network(), listener)?;
            if stage.is_over() && !is_stopping {
                self.told_at.get_or_insert(now);
                stop.drain();
            }
            let next = stage.next_event().into_iter().chain(others.next_due()).min();
            if let Some(ended) = self.turn(stage, stop, next)? {
                return Ok(ended);
            }
            others.collect(self.reactor.now());
            rests += 1;
            if rests > TURNS_AT_REST_MAX {
                return Err(format!("the loop spins at {:?}: {:?}", self.reactor.now(), self.engine));
            }
            if self.reactor.now().ms_since(Instant(stage.plan.world.start_ms)) > LIFE_MS_MAX {
                return Err(format!("the simulation does not end: {:?}", self.engine));
            }
            if self.engine.is_drained() && self.detached.is_empty() && self.reactor.in_flight() == 0 {
                self.check_drained(stage)?;
                return Ok(if stage.is_over() { Ended::Over } else { Ended::Stopped });
            }
            if let Some(ended) = self.sleep(stage, others, stop, next)? {
                return Ok(ended);
            }
        }
    }

    /// One turn, and the checks after it.
    fn turn(&mut self, stage: &mut Stage<'_>, stop: &StopFlag, next: Option<Instant>) -> Result<Option<Ended>, String> {
        let wait_max = match stage.plan.world.looping {
            // The reactor did not accept a close, which is submitted again.
            Looping::Own if !self.detached.is_empty() => Some(Duration::ZERO),
            Looping::Own => next.map(|at| self.reactor.now().until(at)),
            Looping::Level | Looping::Edge => Some(Duration::ZERO),
        };
        let (engine, listener) = (&mut self.engine, self.listener);
        let mut passed = Ok(());
        let meanwhile = |reactor: &mut Watched<'_, F>, moment| {
            let ms = stage.takes_ms(moment);
            if ms > 0 && passed.is_ok() {
                let listener = listener.filter(|_| stop.mode() == Mode::Run);
                passed = stage.pass(reactor.inner.network(), listener, ms);
            }
        };
        let mut reactor = Passing { inner: &mut self.reactor, meanwhile };
        let turned = catch_unwind(AssertUnwindSafe(|| turn_within(engine, &mut reactor, stop, wait_max)));
        passed?;
        stage.tally.turns += 1;
        match turned {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(format!("the reactor fails: {error}")),
            Err(payload) if payload.is::<Planned>() => {
                stage.tally.requests += stage.book.borrow().requests;
                return Ok(Some(Ended::Died));
            }
            Err(payload) => resume_unwind(payload),
        }
        while let Some(detached) = self.engine.next_detached() {
            self.check_leftover(stage, &detached)?;
            drop(detached.state.take());
            detached.leftover.into_iter().for_each(|buf| self.engine.release(buf));
            self.detached.push(detached.io);
        }
        // The program closes detached connections as soon as the reactor accepts that.
        let reactor = &mut self.reactor;
        let given = self.detached.len();
        self.detached.retain(|io| {
            let token = OpToken::new(u32::MAX - io.0, 0, OpKind::Close);
            reactor.submit(Submission { token, op: Op::Close { io: *io } }).is_err()
        });
        if self.detached.len() < given {
            reactor.flush();
        }
        self.check_turn(stage)?;
        Ok(None)
    }

    /// Inside another event loop: sleeps until the descriptor is readable or the timeout expires.
    fn sleep(
        &mut self,
        stage: &mut Stage<'_>,
        others: &Others<'_>,
        stop: &StopFlag,
        next: Option<Instant>,
    ) -> Result<Option<Ended>, String> {
        let looping = stage.plan.world.looping;
        if looping == Looping::Own || self.reactor.has_work() || !self.detached.is_empty() {
            return self.check_not_stuck(stage, next).map(|()| None);
        }
        // What clients do now can wake the loop only through the descriptor.
        let listener = self.listener.filter(|_| self.stops_since.is_none());
        stage.act(self.reactor.inner.network(), listener)?;
        if stage.is_over() && self.stops_since.is_none() {
            return Ok(None);
        }
        let next = stage.next_event().into_iter().chain(others.next_due()).min();
        let now = self.reactor.now();
        let timeout = self.engine.poll_timeout();
        let is_told = self.reactor.inner.is_readable();
        let due = self.reactor.inner.next_due();
        let until = [timeout, next, due, others.next_due()].into_iter().flatten().min();
        if is_told {
            return Ok(None);
        }
        if until.is_some_and(|at| at <= now) {
            self.wake_up(others, now);
            return Ok(None);
        }
        let kept = if stage.plan.lines_may_stand() { 0 } else { self.engine.buffers_withheld() };
        if kept > 0 {
            return Err(format!("{kept} free buffers are withheld from waiting connections: {:?}", self.engine));
        }
        if !stage.plan.lines_may_stand()
            && (stage.plan.siege.is_some() || stage.dice.once_in(LOOKS_BEFORE_SLEEP))
            && let Some(ended) = self.look_before_sleep(stage, stop, next)?
        {
            return Ok(Some(ended));
        }
        let Some(until) = until else { return self.hangs(stage).map(|()| None) };
        self.wake_up(others, until);
        Ok(None)
    }

    fn wake_up(&mut self, others: &Others<'_>, at: Instant) {
        self.reactor.inner.network().advance_to(at);
        if others.resolve(at) {
            self.reactor.inner.waker().wake();
        }
    }

    /// Checks that a sleeping program misses nothing: an extra turn must find nothing to do.
    fn look_before_sleep(
        &mut self,
        stage: &mut Stage<'_>,
        stop: &StopFlag,
        next: Option<Instant>,
    ) -> Result<Option<Ended>, String> {
        let before = self.footprint();
        stage.is_idle = true;
        let ended = self.turn(stage, stop, next)?;
        stage.is_idle = false;
        let after = self.footprint();
        if ended.is_none() && before != after {
            return Err(format!(
                "a program would have slept although there was something to do: {before:?}, then {after:?}"
            ));
        }
        Ok(ended)
    }

    /// A summary of everything that a turn with work changes.
    fn footprint(&mut self) -> (String, (u64, u64), usize) {
        let network = self.reactor.inner.network();
        // The engine's output includes its counters, and whether it is stopping.
        (format!("{:?}", self.engine), network.transferred(), network.open_handles())
    }

    fn check_not_stuck(&mut self, stage: &Stage<'_>, next: Option<Instant>) -> Result<(), String> {
        if stage.plan.world.looping == Looping::Own {
            // The wait of a loop of its own flushes.
            self.reactor.flush();
        }
        let nothing = next.is_none()
            && self.detached.is_empty()
            && self.engine.poll_timeout().is_none()
            && !self.reactor.has_work();
        let has_news = self.reactor.inner.network().has_news();
        if nothing && !has_news && !self.reactor.inner.is_readable() && self.reactor.inner.next_due().is_none() {
            return self.hangs(stage);
        }
        Ok(())
    }

    fn hangs(&self, stage: &Stage<'_>) -> Result<(), String> {
        let waiting: Vec<_> = stage.actors.iter().filter(|actor| !actor.is_done).map(Actor::describe).collect();
        Err(format!("the server hangs while {waiting:?} wait: {:?}", self.engine))
    }

    /// Applies the events that are due.
    fn take_trouble(
        &mut self,
        stage: &mut Stage<'_>,
        stop_in_wait: &Cell<bool>,
        now: Instant,
    ) -> Result<Option<Ended>, String> {
        while let Some((at, trouble)) = stage.troubles.front().copied() {
            if at > now {
                break;
            }
            stage.troubles.pop_front();
            match trouble {
                Trouble::Pause(ms) => self.pause(stage, ms)?,
                Trouble::Late(ms) => stage.late_ms = ms,
                Trouble::Restart => {
                    stage.tally.requests += stage.book.borrow().requests;
                    return Ok(Some(Ended::Died));
                }
                Trouble::Stop => {
                    // A second stop changes nothing; and what the first one cut off, a client may see after the next.
                    let told_at = *self.told_at.get_or_insert(now);
                    stage.stopped_at.get_or_insert(told_at);
                    stop_in_wait.set(true);
                }
            }
        }
        Ok(None)
    }

    /// The process is suspended while clients continue.
    fn pause(&mut self, stage: &mut Stage<'_>, ms: u32) -> Result<(), String> {
        stage.paused_ms += u64::from(ms);
        let listener = self.listener.filter(|_| self.stops_since.is_none());
        stage.pass(self.reactor.inner.network(), listener, ms)
    }
}
