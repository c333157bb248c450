//! The command line.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::time::Duration;

use aurora_http::Backend;

use crate::handler::Wrong;
use crate::support::{self, Asked};

const ABOUT: &str = "\
soak: a server with good, slow, hostile and leaving clients, for a given time

Every response to a good client is compared byte by byte with the expected one; memory, descriptors and threads are
watched. The exit status is 0 if nothing was lost, mixed up or leaked, and 1 otherwise.";

const OPTIONS: &str = "\
Options:
  --minutes M         how long, with fractions [default: 1]
  --seconds S         the same in seconds
  --backend NAME      auto, epoll, uring or kqueue [default: auto]
  --workers N         threads that serve [default: 2]
  --connections N     most connections per worker [default: 128]
  --clients N         client threads, half of them good [default: 64]
  --seed N            determines the clients' choices [default: random, and printed]
  --addr HOST:PORT    where to listen [default: 127.0.0.1:0]
  --wrong WHAT        makes the server do something wrong now and then, to see that it is found: byte, mixed, lost,
                      memory, descriptor
  --verbose           prints a line every ten seconds
  --help              print this";

pub(crate) struct Options {
    pub(crate) time: Duration,
    pub(crate) clients: u32,
    pub(crate) seed: u64,
    pub(crate) verbose: bool,
    pub(crate) wrong: Option<Wrong>,
    /// The server's options.
    pub(crate) server: Asked,
}

impl Options {
    /// Ends the process after `--help`, and on an error.
    pub(crate) fn read() -> Self {
        let mut options = Self {
            time: Duration::from_secs(60),
            clients: 64,
            seed: RandomState::new().build_hasher().finish() >> 32,
            verbose: false,
            wrong: None,
            server: Asked { workers: Some(2), connections: Some(128), ..Asked::default() },
        };
        support::read(ABOUT, OPTIONS, |name, value| {
            match name {
                "--minutes" => options.time = time(name, value.number::<f64>()? * 60.0)?,
                "--seconds" => options.time = time(name, value.number()?)?,
                "--clients" => options.clients = value.number()?,
                "--seed" => options.seed = value.number()?,
                "--verbose" => options.verbose = true,
                "--wrong" => options.wrong = Some(wrong(&value.text()?)?),
                _ => return options.server.take(name, value),
            }
            Ok(true)
        });
        support::or_exit(if options.clients == 0 { Err("--clients 0: use at least 1".to_owned()) } else { Ok(()) });
        options
    }

    /// The command that repeats this run.
    pub(crate) fn repeat(&self) -> String {
        let Self { time, clients, seed, server, .. } = self;
        let backend = server.backend.unwrap_or(Backend::Auto).name();
        let (workers, connections) = (server.workers.unwrap_or(0), server.connections.unwrap_or(0));
        format!(
            "cargo run --release --example soak -- --seconds {} --backend {backend} --workers {workers} \
             --connections {connections} --clients {clients} --seed {seed}",
            time.as_secs_f64()
        )
    }
}

fn time(name: &str, seconds: f64) -> Result<Duration, String> {
    match Duration::try_from_secs_f64(seconds) {
        Ok(time) if !time.is_zero() => Ok(time),
        _ => Err(format!("{name}: give a time, such as {name} 1.5")),
    }
}

fn wrong(name: &str) -> Result<Wrong, String> {
    let found = Wrong::NAMES.into_iter().find(|(known, _)| *known == name);
    found.map(|(_, wrong)| wrong).ok_or_else(|| format!("--wrong {name}: use byte, mixed, lost, memory or descriptor"))
}
