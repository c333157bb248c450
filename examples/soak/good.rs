//! Clients that do everything right: they must get every response, complete, in order, and for their own request.
//!
//! The server may close an idle connection at any time (RFC 9112 §9.3.1, §9.5). A request that crossed such a close is
//! sent again, but only if no handler was called for it, which the server's side of this program records. Anything else
//! is a lost response.

use std::thread;
use std::time::Duration;

use crate::book::Count;
use crate::clients::Client;
use crate::request::{Kind, Request};
use crate::response::{Fault, check, describe};
use crate::wire::{End, Wire};

/// The most requests in one batch.
const BATCH_MAX: u64 = 8;
/// How often one request may cross the close of an idle connection.
const TRIES_MAX: u32 = 8;

/// Sends batches of requests, on one connection for as long as the server keeps it.
pub(crate) fn connection(client: &mut Client) -> Result<(), String> {
    let mut wire = None;
    let mut batch = Vec::with_capacity(BATCH_MAX as usize);
    for _ in 0..client.dice.between(1, 20) {
        make_batch(client, &mut batch);
        let ends = batch.last().is_some_and(|last| last.close || last.kind == Kind::Upgrade);
        exchange(client, &mut wire, &batch)?;
        if ends || client.book.is_done() {
            break;
        }
        let pause = client.dice.length(100);
        thread::sleep(Duration::from_millis(pause));
    }
    Ok(())
}

/// Makes up to eight requests, to be sent without waiting; the last one may end the connection.
fn make_batch(client: &mut Client, batch: &mut Vec<Request>) {
    batch.clear();
    for _ in 0..client.dice.between(1, BATCH_MAX) {
        let request = client.random_request();
        batch.push(request);
        if request.leaves_content() {
            break; // it ends the connection
        }
    }
    match client.dice.below(20) {
        0 | 1 => {
            if let Some(last) = batch.last_mut() {
                last.make_last(&mut client.dice);
            }
        }
        2 => {
            let serial = client.next_serial();
            batch.push(Request::upgrade(&mut client.dice, client.number, serial));
        }
        _ => {}
    }
}

/// Sends a batch and reads its responses, over as many connections as the server makes necessary.
fn exchange(client: &mut Client, wire: &mut Option<Wire>, batch: &[Request]) -> Result<(), String> {
    let mut tries = 0;
    let mut rest = batch;
    while !rest.is_empty() {
        let mut connected = match wire.take() {
            Some(wire) => wire,
            None => client.connect()?,
        };
        connected.begin(rest);
        let (answered, result) = answers(&mut connected, rest);
        client.book.add(Count::Good, answered as u64);
        client.book.at_least(Count::WaitMs, connected.longest().as_millis() as u64);
        rest = &rest[answered..];
        let lost = |what: &str| rest.first().map_or(String::new(), |request| format!("{what}: {}", describe(request)));
        let is_begun = rest.first().is_some_and(|request| client.book.has_begun(client.number, request.serial));
        match result {
            Ok(true) => {
                // A request whose content is ignored is answered before all of the content has been sent.
                let all =
                    connected.send_all().map_err(|end| format!("the content was not taken completely: {end:?}"))?;
                *wire = all.then_some(connected);
                continue;
            }
            Ok(false) => {
                end(&mut connected, batch[batch.len() - rest.len() - 1])?;
                client.book.add(Count::Moved, rest.len() as u64);
            }
            Err(Fault::Unanswered(end @ (End::Closed | End::Reset))) if !is_begun && tries < TRIES_MAX => {
                tries += 1;
                client.book.count(Count::Again);
                let _ = end;
            }
            Err(fault) => {
                let begun = if is_begun { "its handler was called" } else { "its handler was not called" };
                return Err(format!("{} ({begun}, sent {} times before): {fault}", lost("lost"), tries));
            }
        }
        if is_begun {
            return Err(lost("handled after a response that closes"));
        }
    }
    Ok(())
}

/// Reads responses in order. Returns how many there were, and whether the connection is kept.
fn answers(wire: &mut Wire, requests: &[Request]) -> (usize, Result<bool, Fault>) {
    for (answered, request) in requests.iter().enumerate() {
        match check(wire, request) {
            Ok(true) => {}
            Ok(false) => return (answered + 1, Ok(false)),
            Err(fault) => return (answered, Err(fault)),
        }
    }
    (requests.len(), Ok(true))
}

/// Checks that only the end of the connection follows the last response.
fn end(wire: &mut Wire, last: Request) -> Result<(), String> {
    wire.outgoing.clear();
    wire.finish();
    match wire.expect_end() {
        Ok(_) => Ok(()),
        Err(what) => Err(format!("after the last response, to {}: {what}", describe(&last))),
    }
}
