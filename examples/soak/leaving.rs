//! Clients that leave in the middle of something: a head, content, a response, a deferred answer, another protocol.

use std::thread;
use std::time::Duration;

use crate::book::Count;
use crate::clients::Client;
use crate::request::{Kind, Request};
use crate::response::{Fault, check};
use crate::wire::{End, Pace, Wire};

pub(crate) fn connection(client: &mut Client) -> Result<(), String> {
    let serial = client.next_serial();
    let mut request = match client.dice.below(6) {
        0 => Request::upgrade(&mut client.dice, client.number, serial),
        1 => Request::new(Kind::Never, client.number, serial, 0),
        2 => Request::new(Kind::InPlace, client.number, serial, 8 << 20),
        _ => Request::random(&mut client.dice, client.number, serial),
    };
    if request.kind == Kind::Later {
        request.wait_ms *= 4;
    }
    let mut wire = client.connect()?;
    wire.begin(&[request]);
    if client.dice.percent(50) {
        // In the middle of sending.
        wire.outgoing.cut(client.dice.length(20_000));
    }
    wire.patience = Duration::from_millis(client.dice.length(500));
    match client.dice.below(3) {
        0 => {
            let _ = wire.send_all();
            let pause = client.dice.length(50);
            thread::sleep(Duration::from_millis(pause));
        }
        1 => read_some(client, &mut wire),
        // Whatever is read before that must still be correct.
        _ => match check(&mut wire, &request) {
            Err(Fault::Wrong(what)) => return Err(what),
            Err(Fault::Unanswered(End::Failed(error)) | Fault::Cut(End::Failed(error), _)) => {
                return Err(error.to_string());
            }
            Ok(_) | Err(_) => {}
        },
    }
    client.book.count(Count::Left);
    match client.dice.below(3) {
        0 => wire.reset_on_close(),
        1 => wire.finish(),
        _ => {}
    }
    Ok(())
}

/// Reads some of the response, so that the close does not always cause a reset.
fn read_some(client: &mut Client, wire: &mut Wire) {
    wire.pace = Pace { read_max: client.dice.between(1, 4000) as usize, ..Pace::FAST };
    for _ in 0..client.dice.length(20) {
        let count = wire.received().len();
        wire.take(count);
        if wire.receive().is_err() {
            return;
        }
    }
}
