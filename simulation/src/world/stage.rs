//! The clients, and everything else that outlives an engine.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use aurora_http_core::reactor::IoHandle;
use aurora_http_core::sim::{Client, Dice, Network};
use aurora_http_core::time::Instant;

use super::Tally;
use crate::client::{Actor, Surroundings};
use crate::face::Moment;
use crate::handler::Book;
use crate::plan::{Plan, Trouble};

/// One of so many turns takes time, in plans with slow turns.
const BUSY_TURNS: usize = 8;

/// The clients, and everything else that outlives an engine.
pub(super) struct Stage<'a> {
    pub(super) plan: Rc<Plan>,
    pub(super) borrowed: &'a Plan,
    pub(super) dice: Dice,
    pub(super) actors: Vec<Actor>,
    /// When the first client acts again if nothing happens before.
    pub(super) next_act: Option<Instant>,
    /// The buffer that clients receive into.
    pub(super) received: Vec<u8>,
    /// The client of each connection.
    pub(super) by_connection: HashMap<Client, usize>,
    pub(super) troubles: std::collections::VecDeque<(Instant, Trouble)>,
    pub(super) book: Rc<RefCell<Book>>,
    pub(super) states: Rc<Cell<usize>>,
    pub(super) paused_ms: u64,
    /// How long the next turn is suspended after its wait.
    pub(super) late_ms: u32,
    /// The next turn takes no time.
    pub(super) is_idle: bool,
    pub(super) stopped_at: Option<Instant>,
    pub(super) tally: Tally,
}

impl<'a> Stage<'a> {
    pub(super) fn new(plan: &'a Plan) -> Self {
        let start = Instant(plan.world.start_ms);
        let mut dice = Dice::new(plan.seed ^ 0x5eed);
        let actors =
            plan.clients.iter().enumerate().map(|(at, visitor)| Actor::new(at, visitor, dice.fork(), start)).collect();
        Self {
            plan: Rc::new(plan.clone()),
            borrowed: plan,
            dice,
            actors,
            next_act: Some(start),
            received: vec![0; 16_384],
            by_connection: HashMap::new(),
            troubles: plan.troubles.iter().map(|(at, trouble)| (start.plus_ms(*at), *trouble)).collect(),
            book: Rc::default(),
            states: Rc::default(),
            paused_ms: 0,
            late_ms: 0,
            is_idle: false,
            stopped_at: None,
            tally: Tally::default(),
        }
    }

    /// Lets the clients act that are due or have news.
    pub(super) fn act(&mut self, network: &mut Network, listener: Option<IoHandle>) -> Result<(), String> {
        while network.has_news() || self.next_act.is_some_and(|at| at <= network.now()) {
            let now = network.now();
            while let Some(client) = network.next_news() {
                if let Some(at) = self.by_connection.get(&client) {
                    let actor = &mut self.actors[*at];
                    actor.wakes_at = Some(actor.wakes_at.map_or(now, |at| at.min(now)));
                }
            }
            for at in 0..self.actors.len() {
                if self.actors[at].is_done || self.actors[at].wakes_at.is_none_or(|wakes_at| wakes_at > now) {
                    continue;
                }
                let before = self.actors[at].client();
                let mut around = Surroundings {
                    plan: self.borrowed,
                    network,
                    listener,
                    seen: &mut self.tally.seen,
                    received: &mut self.received,
                    paused_ms: self.paused_ms,
                    stopped_at: self.stopped_at,
                };
                self.actors[at].act(&mut around)?;
                let after = self.actors[at].client();
                if before != after {
                    before.map(|client| self.by_connection.remove(&client));
                    after.map(|client| self.by_connection.insert(client, at));
                }
            }
            self.next_act = self.actors.iter().filter(|actor| !actor.is_done).filter_map(|actor| actor.wakes_at).min();
        }
        Ok(())
    }

    pub(super) fn is_over(&self) -> bool {
        self.actors.iter().all(|actor| actor.is_done)
    }

    /// Lets time pass while the server is busy or suspended and clients continue.
    pub(super) fn pass(&mut self, network: &mut Network, listener: Option<IoHandle>, ms: u32) -> Result<(), String> {
        let end = network.now().plus_ms(ms);
        loop {
            self.act(network, listener)?;
            let next = self.next_act.map_or(end, |at| at.min(end));
            network.advance_to(next);
            if next >= end {
                return Ok(());
            }
        }
    }

    /// How long the next turn takes at this moment of it.
    pub(super) fn takes_ms(&mut self, moment: Moment) -> u32 {
        if self.is_idle {
            return 0;
        }
        let late_ms = if moment == Moment::BehindWait { std::mem::take(&mut self.late_ms) } else { 0 };
        self.paused_ms += u64::from(late_ms);
        let work_ms_max = self.borrowed.world.work_ms_max as usize;
        let is_busy = work_ms_max > 0 && self.dice.once_in(BUSY_TURNS);
        late_ms + if is_busy { self.dice.between(1, work_ms_max) as u32 } else { 0 }
    }

    /// When a client acts next, or the next disturbance occurs.
    pub(super) fn next_event(&self) -> Option<Instant> {
        self.next_act.into_iter().chain(self.troubles.front().map(|(at, _)| *at)).min()
    }

    /// The checks at the end.
    pub(super) fn check_end(&self) -> Result<(), String> {
        let book = self.book.borrow();
        for (id, calls) in &book.calls {
            let sent = self.actors[id.client].sent_times[id.serial];
            if *calls > sent {
                return Err(format!("{id:?} was sent {sent} times, and the handler was called {calls} times"));
            }
        }
        if self.states.get() != 0 {
            return Err(format!("{} states of exchanges are left", self.states.get()));
        }
        Ok(())
    }
}
