//! The event loop: short enough that anyone may copy it and put something of his own between the steps.

use core::time::Duration;

use crate::engine::{Control, Engine};
use crate::handler::Handler;
use crate::reactor::{IoError, Reactor};
use crate::stop::StopFlag;

/// Serves until `stop` says otherwise and everything is closed.
///
/// # Errors
/// What made the reactor unusable.
pub fn run<'p, H: Handler>(
    engine: &mut Engine<'_, 'p, H>,
    reactor: &mut (impl Reactor<'p> + ?Sized),
    stop: &StopFlag,
) -> Result<(), IoError> {
    while !engine.is_drained() {
        turn(engine, reactor, stop)?;
        if engine.has_detached() {
            engine.close_detached(reactor.now());
        }
    }
    while let Some(buf) = reactor.reclaim() {
        engine.handle_reclaimed(buf);
    }
    Ok(())
}

/// One pass of the loop. Waits until something happens.
///
/// # Errors
/// What made the reactor unusable.
pub fn turn<'p, H: Handler>(
    engine: &mut Engine<'_, 'p, H>,
    reactor: &mut (impl Reactor<'p> + ?Sized),
    stop: &StopFlag,
) -> Result<(), IoError> {
    turn_within(engine, reactor, stop, None)
}

/// One pass of the loop that waits no longer than `wait_max`: with zero, for programs that have a loop of their own.
///
/// # Errors
/// What made the reactor unusable.
#[inline]
pub fn turn_within<'p, H: Handler>(
    engine: &mut Engine<'_, 'p, H>,
    reactor: &mut (impl Reactor<'p> + ?Sized),
    stop: &StopFlag,
    wait_max: Option<Duration>,
) -> Result<(), IoError> {
    let now = reactor.now();
    engine.begin_turn(now, stop.mode(), reactor.peers());
    issue(engine, reactor);
    let timeout = engine.poll_timeout().map(|at| now.until(at));
    let seen = reactor.wait(timeout.into_iter().chain(wait_max).min())?;
    let now = reactor.now();
    // Behind the wait, which may have been long.
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
    if wait_max == Some(Duration::ZERO) {
        // The program sleeps elsewhere. A stop may have come since this turn began, and the wait has then taken its wake:
        // once the engine knows of it, `poll_timeout` has the program come back at once.
        if !planted!(StopUntold) {
            engine.stop(reactor.now(), stop.mode());
        }
        if !planted!(FlushForgotten) {
            reactor.flush();
        }
    }
    Ok(())
}

/// Hands on what the engine wants: buffers to lend, and operations. What a full reactor refuses waits for the next turn.
#[inline]
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
