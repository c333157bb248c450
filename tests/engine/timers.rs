//! The program's own timers, between the turns of the loop.

use aurora_http_core::reactor::Reactor;
use aurora_http_core::run::run_with_timers;
use aurora_http_core::timers::{TimerEntry, Timers};

use crate::world::World;
use crate::{COUNTS, GET, HELLO, hello, limits};

#[test]
fn timers_of_the_program_fire_between_turns_while_clients_are_served() {
    let mut world = World::new(8, COUNTS, limits(), hello());
    let client = world.sim.connect(world.listener).unwrap();
    assert_eq!(world.sim.client_send(client, GET), GET.len());
    let mut table = [TimerEntry::new(); 4];
    let mut timers = Timers::new(&mut table);
    let began = world.sim.now();
    let tick = timers.create_recurring(began, 250).unwrap();
    let last = timers.create(began, 1_100).unwrap();
    let (mut fired_at, mut served, stop) = (Vec::new(), 0, &world.stop);
    run_with_timers(&mut world.engine, &mut world.sim, stop, &mut timers, |engine, timers, fired| {
        served = engine.counters().requests;
        if fired.id == tick {
            fired_at.push(fired.at.ms_since(began));
            if fired_at.len() == 1 {
                // Due at once: in the next turn.
                timers.create(fired.at, 0).unwrap();
            }
        } else if fired.id == last {
            timers.cancel(tick);
            stop.drain();
        }
    })
    .unwrap();
    assert_eq!((fired_at, served), (vec![250, 500, 750, 1_000], 1));
    assert_eq!(world.recv(client), (HELLO.to_owned(), true), "idle connections end with the stop");
    assert!(timers.is_empty());
    world.sim.client_close(client);
    world.finish();
}
