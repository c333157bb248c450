//! Slow clients: within the limits they are served like any other; beyond them they get an error or are disconnected.
//!
//! When the server has to make room, it ends incomplete heads first, so those may end at any time.

use std::time::Duration;

use crate::book::Count;
use crate::clients::Client;
use crate::request::{Kind, Request};
use crate::response::{Fault, check, describe};
use crate::wire::{End, Pace, Wire};

/// The receive buffer of a client that reads slowly, in bytes.
const LITTLE: usize = 8 * 1024;

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

pub(crate) fn connection(client: &mut Client) -> Result<(), String> {
    match client.dice.below(8) {
        0 => drip_head(client),
        1 | 2 => drip_content(client),
        3 | 4 => read_slowly(client),
        5 => never_complete_head(client),
        6 => stand_still(client),
        _ if client.dice.percent(50) => read_nothing(client),
        _ => wait_for_nothing(client),
    }
}

/// A complete head, a few bytes at a time.
fn drip_head(client: &mut Client) -> Result<(), String> {
    let length = client.dice.length(5000);
    let request = client.request(Kind::Whole, length);
    let pace = Pace { send_max: client.dice.between(2, 8) as usize, send_pause: ms(15), ..Pace::FAST };
    within(client, &request, pace)
}

/// Content, a few bytes at a time.
fn drip_content(client: &mut Client) -> Result<(), String> {
    let length = client.dice.between(2000, 20_000);
    let kind = client.dice.pick(&[Kind::Echo, Kind::Collect, Kind::Ignore]);
    let request = client.request(kind, length);
    let pace = Pace { send_max: client.dice.between(200, 400) as usize, send_pause: ms(20), ..Pace::FAST };
    within(client, &request, pace)
}

/// A long response, through a small window.
fn read_slowly(client: &mut Client) -> Result<(), String> {
    let length = client.dice.between(50_000, 400_000);
    let kind = client.dice.pick(&[Kind::Length, Kind::Chunked, Kind::InPlace]);
    let request = client.request(kind, length);
    let pace = Pace { read_max: client.dice.between(2000, 8000) as usize, read_pause: ms(10), ..Pace::FAST };
    within(client, &request, pace)
}

/// Checks an exchange within every limit: it must be answered in full, unless the server makes room while the head is
/// still incomplete.
fn within(client: &mut Client, request: &Request, pace: Pace) -> Result<(), String> {
    let mut wire = client.connect()?;
    wire.hold(LITTLE);
    wire.pace = pace;
    wire.begin(std::slice::from_ref(request));
    match check(&mut wire, request) {
        Ok(_) => client.book.count(Count::Slow),
        Err(Fault::Unanswered(End::Closed | End::Reset)) if !client.book.has_begun(client.number, request.serial) => {
            client.book.count(Count::TooSlow);
        }
        Err(fault) => return Err(format!("within the limits: {}: {fault}", describe(request))),
    }
    Ok(())
}

/// A head that takes longer than allowed.
fn never_complete_head(client: &mut Client) -> Result<(), String> {
    let request = client.request(Kind::Whole, 10);
    let mut wire = client.connect()?;
    wire.begin(std::slice::from_ref(&request));
    wire.outgoing.cut(client.dice.between(1, 60));
    wire.pace = Pace { send_max: 1, send_pause: ms(150), ..Pace::FAST };
    beyond(client, &mut wire, &request)
}

/// Content that stops coming.
fn stand_still(client: &mut Client) -> Result<(), String> {
    let kind = client.dice.pick(&[Kind::Echo, Kind::Collect]);
    let request = client.request(kind, 20_000);
    let mut wire = client.connect()?;
    wire.begin(std::slice::from_ref(&request));
    wire.outgoing.cut(client.dice.between(300, 15_000));
    beyond(client, &mut wire, &request)
}

/// Checks an exchange beyond the limits: it must be answered 408 or 503, or cut off.
fn beyond(client: &mut Client, wire: &mut Wire, request: &Request) -> Result<(), String> {
    match check(wire, request) {
        Err(
            Fault::Unanswered(End::Closed | End::Reset) | Fault::Cut(End::Closed | End::Reset, _) | Fault::Refused(_),
        ) => {
            client.book.count(Count::TooSlow);
        }
        Ok(_) => return Err(format!("beyond the limits, but answered: {}", describe(request))),
        Err(fault) => return Err(format!("beyond the limits: {}: {fault}", describe(request))),
    }
    Ok(())
}

/// A response that is not read must be cut. The part that the kernel had already taken may still arrive, and must be
/// right.
fn read_nothing(client: &mut Client) -> Result<(), String> {
    let request = client.request(Kind::InPlace, 64 << 20);
    let mut wire = client.connect()?;
    wire.begin(std::slice::from_ref(&request));
    wire.send_all().map_err(|end| format!("a request was not taken: {end:?}"))?;
    client.rest(WRITE_TIMEOUT + ms(2500));
    if client.book.is_done() {
        return Ok(());
    }
    beyond(client, &mut wire, &request)
}

/// A deferred answer that is never resolved must become 503.
fn wait_for_nothing(client: &mut Client) -> Result<(), String> {
    let request = client.request(Kind::Never, 0);
    let mut wire = client.connect()?;
    wire.begin(std::slice::from_ref(&request));
    match check(&mut wire, &request) {
        Ok(false) => client.book.count(Count::TooSlow),
        Ok(true) => return Err(format!("kept after a timeout: {}", describe(&request))),
        Err(fault) => return Err(format!("{}: {fault}", describe(&request))),
    }
    Ok(())
}

/// The server's timeout for a response that is not read.
pub(crate) const WRITE_TIMEOUT: Duration = Duration::from_secs(4);
