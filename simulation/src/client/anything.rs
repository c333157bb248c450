//! A client whose requests are answered by a handler that acts at random: responses must be valid HTTP, and belong to it.

use super::{Actor, Connection, Current, Surroundings, visitor_next};
use crate::exchange::{Exchange, Method};
use crate::plan::Nature;
use crate::reader::{BodyEnd, Head};

impl Actor {
    /// Any response is allowed, but only to the request whose turn it is.
    pub(super) fn take_any_head(&mut self, exchange: &Exchange, serial: usize, head: &Head) -> Result<(), String> {
        let name = format!("{}-{serial}", self.index);
        if head.exchange.as_ref().is_some_and(|said| *said != name) {
            return Err(format!("it is the turn of {name}: {head:?}"));
        }
        let Some(connection) = &mut self.connection else { return Ok(()) };
        let is_success = (200..300).contains(&head.status);
        let switches = head.status == 101 || exchange.method == Method::Connect && is_success;
        let end = match exchange.method {
            _ if switches => BodyEnd::Never,
            // A client that is refused before the server knows that the method is HEAD gets a body.
            Method::Head if head.closes && head.exchange.is_none() && matches!(head.status, 408 | 503) => {
                BodyEnd::Never
            }
            Method::Head => BodyEnd::NoBody,
            _ if matches!(head.status, 204 | 304) => BodyEnd::NoBody,
            _ => BodyEnd::AsTheHeadSays,
        };
        connection.is_last = head.closes || switches;
        if switches {
            // The client sends nothing more.
            (connection.has_switched, connection.is_mute) = (true, true);
        }
        connection.current = Some(Current { serial, expected: None, at: 0 });
        connection.reader.expect_body(head, end)
    }

    /// The server has ended the connection; its requests are not repeated.
    pub(super) fn take_any_end(&mut self, around: &mut Surroundings<'_>, connection: &Connection) {
        let asked = connection.awaiting.front().map(|sent| sent.serial);
        if let Some(serial) = connection.current.as_ref().map(|current| current.serial).or(asked) {
            around.seen.anyhow += u64::from(connection.current.is_some());
            self.answered = visitor_next(around.plan, self.index, serial);
            self.attempts = 0;
        }
        let visitor = self.visitor(around.plan);
        let goes_on = matches!(visitor.nature, Nature::Healthy | Nature::HalfCloses | Nature::Idles(_));
        self.is_done = !goes_on || self.answered == visitor.exchanges.len();
    }
}
