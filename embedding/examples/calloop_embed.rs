//! A worker in calloop, the loop of Wayland programs. SIGTERM ends the program once what is under way is finished.

use std::error::Error;
use std::os::fd::AsFd;

use aurora_embedding::Site;
use aurora_http::Worker;
use calloop::generic::Generic;
use calloop::signals::{Signal, Signals};
use calloop::{EventLoop, Interest, Mode, PostAction};

fn main() -> Result<(), Box<dyn Error>> {
    let server = aurora_embedding::server("calloop_embed: a server in a loop of calloop");
    let stop = server.stop_handle();
    let mut storage = server.storage()?;
    let mut worker = Worker::new(&mut storage, Site::default())?;
    let mut event_loop = EventLoop::<()>::try_new()?;
    // The loop owns what it watches; to the kernel, a duplicate is the same. All it does is to end the wait.
    let watched = Generic::new(worker.as_fd().try_clone_to_owned()?, Interest::READ, Mode::Level);
    event_loop.handle().insert_source(watched, |_, _, ()| Ok(PostAction::Continue))?;
    let stops = stop.clone();
    event_loop.handle().insert_source(Signals::new(&[Signal::SIGTERM])?, move |_, (), ()| stops.stop())?;
    println!("listening on {}", worker.local_addr());
    while !worker.poll(stop.flag())? {
        event_loop.dispatch(worker.timeout(), &mut ())?;
    }
    Ok(())
}
