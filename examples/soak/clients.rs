//! The clients: one thread each, with its own role and random generator.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::book::Book;
use crate::dice::Dice;
use crate::request::{Kind, Request};
use crate::wire::Wire;
use crate::{good, hostile, leaving, slow};

/// What a client does with one connection, from start to end.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Role {
    Good,
    Slow,
    Hostile,
    Leaving,
}

/// A small stack is enough for a client.
const STACK_BYTES: usize = 256 * 1024;

pub(crate) struct Client {
    pub(crate) number: u32,
    pub(crate) address: SocketAddr,
    pub(crate) book: Arc<Book>,
    pub(crate) dice: Dice,
    serial: u64,
}

/// How many of this many clients are good: the first ones.
pub(crate) const fn good_of(clients: u32) -> u32 {
    clients.div_ceil(2)
}

/// The first half is good; of the others, two out of four are slow.
fn role_of(number: u32, clients: u32) -> Role {
    if number < good_of(clients) {
        return Role::Good;
    }
    match number % 4 {
        0 => Role::Hostile,
        1 => Role::Leaving,
        _ => Role::Slow,
    }
}

/// Starts the threads.
pub(crate) fn start(address: SocketAddr, book: &Arc<Book>, clients: u32, seed: u64) -> Vec<JoinHandle<()>> {
    let start = |number| {
        let book = Arc::clone(book);
        let mut client = Client { number, address, book, dice: Dice::new(seed, number), serial: 0 };
        let role = role_of(number, clients);
        let thread = thread::Builder::new().name(format!("client {number}")).stack_size(STACK_BYTES);
        thread.spawn(move || client.run(role)).expect("a thread")
    };
    (0..clients).map(start).collect()
}

impl Client {
    fn run(&mut self, role: Role) {
        while !self.book.is_done() {
            let result = match role {
                Role::Good => good::connection(self),
                Role::Slow => slow::connection(self),
                Role::Hostile => hostile::connections(self),
                Role::Leaving => leaving::connection(self),
            };
            if let Err(what) = result {
                self.book.fault(format!("client {} ({role:?}): {what}", self.number));
            }
            let pause = self.dice.below(40);
            thread::sleep(Duration::from_millis(pause));
        }
    }

    pub(crate) fn connect(&mut self) -> Result<Wire, String> {
        Wire::connect(self.address, &self.book, &mut self.dice).map_err(|error| format!("no connection: {error}"))
    }

    pub(crate) fn next_serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    pub(crate) fn random_request(&mut self) -> Request {
        let serial = self.next_serial();
        Request::random(&mut self.dice, self.number, serial)
    }

    pub(crate) fn request(&mut self, kind: Kind, length: u64) -> Request {
        let serial = self.next_serial();
        Request::new(kind, self.number, serial, length)
    }

    /// Waits for a while, or until the soak ends.
    pub(crate) fn rest(&self, time: Duration) {
        let end = Instant::now() + time;
        while !self.book.is_done() && Instant::now() < end {
            thread::sleep(Duration::from_millis(50).min(end.saturating_duration_since(Instant::now())));
        }
    }
}
