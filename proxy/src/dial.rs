//! Connections for an exchange: kept ones, new ones, and those to the next upstream.

use std::io::{self, ErrorKind};

use aurora_http::ResponseWriter;

use crate::link::{Link, Socket};
use crate::proxy::{Shared, count};
use crate::transfer::{Phase, Step, Transfer, Upload};
use crate::upstream::{Choice, Upstreams};

/// Waits for the connection to be established.
pub(crate) fn connect(shared: &Shared, transfer: &mut Transfer, response: &mut ResponseWriter<'_>) -> Step {
    let (Some(link), Some(choice)) = (&mut transfer.link, transfer.choice) else { return Step::Failed(502) };
    match link.is_connected() {
        Ok(false) => return Step::Wait,
        Ok(true) => {}
        Err(_) => {
            transfer.rewind(&shared.hub);
            return match open_next(shared, transfer) {
                Ok(()) => Step::Again,
                Err(status) => Step::Failed(status),
            };
        }
    }
    count(&shared.counts.connected);
    upstreams(shared, transfer).connected(choice);
    transfer.moved();
    if !transfer.is_connect {
        transfer.phase = Phase::Head;
        return Step::Again;
    }
    if response.open_tunnel().is_err() {
        return Step::Done;
    }
    transfer.phase = Phase::Tunnel;
    Step::Again
}

const fn upstreams<'a>(shared: &'a Shared, transfer: &Transfer) -> &'a Upstreams {
    if transfer.is_connect { &shared.tunnels } else { &shared.upstreams }
}

/// Takes a kept connection to the next upstream in turn, or makes one. The error is the status of the answer.
pub(crate) fn find_link(shared: &Shared, transfer: &mut Transfer) -> Result<(), u16> {
    let choice = upstreams(shared, transfer).choose(transfer.tried).ok_or(502_u16)?;
    let is_careful = !transfer.is_idempotent || transfer.upload != Upload::Done;
    let kept = if transfer.is_connect { None } else { shared.hub.take(choice.upstream, is_careful) };
    let Some(link) = kept else { return open(shared, transfer, choice) };
    count(&shared.counts.reused);
    set_choice(shared, transfer, choice);
    transfer.link = Some(link);
    transfer.phase = Phase::Head;
    Ok(())
}

/// Begins to connect, to the chosen address or one after it. The error is the status of the answer.
fn open(shared: &Shared, transfer: &mut Transfer, choice: Choice) -> Result<(), u16> {
    set_choice(shared, transfer, choice);
    let address = upstreams(shared, transfer).address(choice);
    match Socket::connect(address).and_then(|socket| shared.hub.add(socket)) {
        Ok(link) => {
            transfer.link = Some(link);
            transfer.moved();
            Ok(())
        }
        Err(error) if is_exhausted(&error) => Err(503),
        Err(_) => open_next(shared, transfer),
    }
}

/// Begins to connect to another address, after one that cannot be connected to.
pub(crate) fn open_next(shared: &Shared, transfer: &mut Transfer) -> Result<(), u16> {
    let upstreams = upstreams(shared, transfer);
    let Some(choice) = transfer.choice else { return Err(502) };
    let next = upstreams.next_address(choice).or_else(|| {
        upstreams.leave_out(choice.upstream);
        transfer.tried |= 1 << choice.upstream;
        upstreams.choose(transfer.tried)
    });
    open(shared, transfer, next.ok_or(502_u16)?)
}

/// Notes where the request goes, in its Host as well.
fn set_choice(shared: &Shared, transfer: &mut Transfer, choice: Choice) {
    transfer.choice = Some(choice);
    if transfer.is_host_ours {
        let (name, at) = (&shared.upstreams.all[choice.upstream].name, transfer.host_at.clone());
        drop(transfer.output.splice(at.clone(), name.bytes()));
        transfer.host_at = at.start..at.start + name.len();
    }
}

/// The process or the system has no descriptor left, or the proxy no slot.
fn is_exhausted(error: &io::Error) -> bool {
    const ENFILE: i32 = 23;
    const EMFILE: i32 = 24;
    error.kind() == ErrorKind::QuotaExceeded || matches!(error.raw_os_error(), Some(ENFILE | EMFILE))
}

/// Connects anew after a connection has ended without a response: to another upstream if there is one, since this one may be about
/// to end as a whole, or to the same if it only was a kept connection that had ended and no other is known to work.
pub(crate) fn reopen(shared: &Shared, transfer: &mut Transfer) -> Step {
    let Some(before) = transfer.choice else { return Step::Failed(502) };
    let was_kept = transfer.link.as_ref().is_some_and(Link::is_reused);
    let upstreams = upstreams(shared, transfer);
    let other = upstreams.choose(transfer.tried | 1 << before.upstream);
    let other = other.filter(|other| !was_kept || !upstreams.is_left_out(other.upstream));
    let Some(choice) = other.or(was_kept.then_some(before)) else { return Step::Failed(502) };
    transfer.is_retried = true;
    count(&shared.counts.retried);
    transfer.rewind(&shared.hub);
    match open(shared, transfer, choice) {
        Ok(()) => Step::Again,
        Err(status) => Step::Failed(status),
    }
}
