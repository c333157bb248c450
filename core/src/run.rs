//! The event loop: short enough to be copied, with something of your own between its steps.

use core::time::Duration;

use crate::engine::{Control, Engine};
use crate::handler::Handler;
use crate::reactor::{IoError, Reactor};
use crate::stop::{Mode, StopFlag};
use crate::timers::{Fired, Timers};

/// Serves until `stop` is set and everything is closed.
///
/// # Errors
/// The error that made the reactor unusable.
pub fn run<'p, H: Handler>(
    engine: &mut Engine<'_, 'p, H>,
    reactor: &mut (impl Reactor<'p> + ?Sized),
    stop: &StopFlag,
) -> Result<(), IoError> {
    run_with_timers(engine, reactor, stop, &mut Timers::new(&mut []), |_, _, _| ())
}

/// Like [`run`], and calls `fire` between turns for each of the program's timers that is due. `fire` may create and cancel
/// timers, and reach the handler through the engine.
///
/// ```
/// use aurora_http_core::engine::Engine;
/// use aurora_http_core::handler::Handler;
/// use aurora_http_core::reactor::{IoError, Reactor};
/// use aurora_http_core::run::run_with_timers;
/// use aurora_http_core::stop::StopFlag;
/// use aurora_http_core::timers::{TimerEntry, Timers};
///
/// /// Serves, and blinks twice a second.
/// fn serve<'p, H: Handler>(
///     engine: &mut Engine<'_, 'p, H>,
///     reactor: &mut impl Reactor<'p>,
///     mut blink: impl FnMut(),
/// ) -> Result<(), IoError> {
///     let mut table = [TimerEntry::new(); 1];
///     let mut timers = Timers::new(&mut table);
///     let _ = timers.create_recurring(reactor.now(), 500);
///     run_with_timers(engine, reactor, &StopFlag::new(), &mut timers, |_engine, _timers, _fired| blink())
/// }
/// ```
///
/// # Errors
/// The error that made the reactor unusable.
pub fn run_with_timers<'s, 'p, H: Handler>(
    engine: &mut Engine<'s, 'p, H>,
    reactor: &mut (impl Reactor<'p> + ?Sized),
    stop: &StopFlag,
    timers: &mut Timers<'_>,
    mut fire: impl FnMut(&mut Engine<'s, 'p, H>, &mut Timers<'_>, Fired),
) -> Result<(), IoError> {
    while !engine.is_drained() {
        let now = reactor.now();
        if timers.poll_timeout().is_some_and(|at| at <= now) {
            // The program's work may take a long time.
            reactor.flush();
            timers.fire(now, |timers, fired| fire(engine, timers, fired));
        }
        pass(engine, reactor, stop, timers.poll_timeout().map(|at| now.until(at)))?;
        if engine.has_detached() {
            engine.close_detached(reactor.now());
        }
    }
    while let Some(buf) = reactor.reclaim() {
        engine.handle_reclaimed(buf);
    }
    Ok(())
}

/// One turn of the loop. Waits until something happens. A program that never stops calls [`turn_forever`].
///
/// # Errors
/// The error that made the reactor unusable.
pub fn turn<'p, H: Handler>(
    engine: &mut Engine<'_, 'p, H>,
    reactor: &mut (impl Reactor<'p> + ?Sized),
    stop: &StopFlag,
) -> Result<(), IoError> {
    pass(engine, reactor, stop, None)
}

/// Like [`turn`], in a program that never stops.
///
/// # Errors
/// The error that made the reactor unusable.
pub fn turn_forever<'p, H: Handler>(
    engine: &mut Engine<'_, 'p, H>,
    reactor: &mut (impl Reactor<'p> + ?Sized),
) -> Result<(), IoError> {
    pass_in(engine, reactor, Mode::Run, None)
}

/// One turn of the loop that waits at most `wait_max`: for programs that do something else before the next turn. With zero it
/// does not wait, which suits a loop of your own.
///
/// # Errors
/// The error that made the reactor unusable.
#[cfg_attr(not(feature = "small"), inline)]
pub fn turn_within<'p, H: Handler>(
    engine: &mut Engine<'_, 'p, H>,
    reactor: &mut (impl Reactor<'p> + ?Sized),
    stop: &StopFlag,
    wait_max: Option<Duration>,
) -> Result<(), IoError> {
    pass(engine, reactor, stop, wait_max)?;
    if wait_max.is_some() {
        leave(engine, reactor, stop);
    }
    Ok(())
}

/// Ends a series of [`pass`]es, before the program does something else or sleeps elsewhere.
pub fn leave<'p, H: Handler>(
    engine: &mut Engine<'_, 'p, H>,
    reactor: &mut (impl Reactor<'p> + ?Sized),
    stop: &StopFlag,
) {
    // A stop may have been requested since the pass began, and its wait has then consumed the wake. Once the engine knows
    // of it, `poll_timeout` makes the program come back at once.
    if !planted!(StopUntold) {
        engine.stop(reactor.now(), stop.mode());
    }
    if !planted!(FlushForgotten) {
        reactor.flush();
    }
}

/// Like [`turn_within`], for callers that make the next pass at once: submitted operations may stay queued until that. Other
/// callers [leave] the loop first.
///
/// # Errors
/// The error that made the reactor unusable.
#[cfg_attr(not(feature = "small"), inline)]
pub fn pass<'p, H: Handler>(
    engine: &mut Engine<'_, 'p, H>,
    reactor: &mut (impl Reactor<'p> + ?Sized),
    stop: &StopFlag,
    wait_max: Option<Duration>,
) -> Result<(), IoError> {
    pass_in(engine, reactor, stop.mode(), wait_max)
}

/// A [`pass`] with what the program says about a stop.
#[cfg_attr(not(feature = "small"), inline(always))]
fn pass_in<'p, H: Handler>(
    engine: &mut Engine<'_, 'p, H>,
    reactor: &mut (impl Reactor<'p> + ?Sized),
    mode: Mode,
    wait_max: Option<Duration>,
) -> Result<(), IoError> {
    let now = reactor.now();
    engine.begin_turn(now, mode, reactor.peers());
    issue(engine, reactor);
    let timeout = engine.poll_timeout().map(|at| now.until(at));
    let seen = reactor.wait(timeout.into_iter().chain(wait_max).min())?;
    let now = reactor.now();
    // After the wait, which may have taken a long time.
    if engine.needs_date(now) {
        engine.set_unix_time(now, reactor.unix_time());
    }
    while let Some(completion) = reactor.next_completion() {
        if let Some(submission) = engine.handle_completion(now, completion, reactor.peers())
            && let Err(submission) = reactor.submit(submission)
        {
            engine.handle_rejected(submission);
        }
        issue(engine, reactor);
    }
    if engine.end_turn(now, seen, reactor.peers()) {
        issue(engine, reactor);
    }
    Ok(())
}

/// Lends buffers to the reactor and submits the engine's operations. Those that a full reactor rejects wait for the next
/// turn.
#[cfg_attr(not(feature = "small"), inline)]
fn issue<'p, H: Handler>(engine: &mut Engine<'_, 'p, H>, reactor: &mut (impl Reactor<'p> + ?Sized)) {
    while let Some(buf) = engine.next_provision() {
        if let Err(buf) = reactor.provide(buf) {
            engine.handle_unprovided(buf);
            break;
        }
    }
    while let Some(control) = engine.next_control() {
        match control {
            Control::Submit(submission) => {
                if let Err(submission) = reactor.submit(submission) {
                    engine.handle_rejected(submission);
                    break;
                }
            }
            Control::Shutdown { io, how } => reactor.shutdown(io, how),
            Control::Cancel { token, io } => reactor.cancel(token, io),
        }
    }
}
