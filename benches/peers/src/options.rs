//! The command line.

use std::path::PathBuf;

use crate::modes::{self, Mode};
use crate::servers::{self, Known};

pub const HELP: &str = "\
Measures Aurora beside other servers: requests per second, CPU time per request, latency, memory.

  cargo run --release --manifest-path benches/peers/Cargo.toml -- [OPTIONS]

  --rounds N           rounds, in which the servers take turns [default: 3]
  --seconds S          seconds of each measurement [default: 1]
  --modes A,B,...      only these modes; `keep-alive` means all whose name begins so
  --servers A,B,...    only these servers; the bare loop on epoll is always added
  --out FOLDER         where results.json and the plots go [default: benches/peers/out]
  --no-calls           do not count system calls, which takes a run of its own
  --no-build           use the servers as they were built before
  --plot FOLDER        only draw the plots again, from the results in this folder
  --list               the modes and servers
  --help               this";

pub struct Options {
    pub rounds: usize,
    pub seconds: f64,
    pub modes: Vec<Mode>,
    pub servers: Vec<Known>,
    pub out: PathBuf,
    pub counts_calls: bool,
    pub builds: bool,
    pub task: Task,
}

#[derive(PartialEq)]
pub enum Task {
    Measure,
    Plot,
    List,
    Help,
}

impl Options {
    /// # Errors
    /// What cannot be understood.
    pub fn read(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self {
            rounds: 3,
            seconds: 1.0,
            modes: modes::all(),
            servers: servers::ALL.to_vec(),
            out: PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/out")),
            counts_calls: true,
            builds: true,
            task: Task::Measure,
        };
        while let Some(argument) = arguments.next() {
            let (name, inline) = match argument.split_once('=') {
                Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
                None => (argument, None),
            };
            let mut value = || inline.clone().or_else(|| arguments.next()).ok_or(format!("{name} needs a value"));
            match name.as_str() {
                "--rounds" => options.rounds = positive(&name, &value()?)?,
                "--seconds" => options.seconds = positive(&name, &value()?)?,
                "--modes" => options.modes = chosen(&value()?, modes::all(), |mode| mode.name)?,
                "--servers" => options.servers = with_baseline(&value()?)?,
                "--out" => options.out = value()?.into(),
                "--no-calls" => options.counts_calls = false,
                "--no-build" => options.builds = false,
                "--plot" => {
                    options.out = value()?.into();
                    options.task = Task::Plot;
                }
                "--list" => options.task = Task::List,
                "--help" | "-h" => options.task = Task::Help,
                _ => return Err(format!("unknown option {name}; try --help")),
            }
        }
        Ok(options)
    }
}

fn positive<N: std::str::FromStr + Default + PartialOrd>(name: &str, text: &str) -> Result<N, String> {
    let number = text.parse().ok().filter(|number: &N| *number > N::default());
    number.ok_or_else(|| format!("{name} {text}: give a number above 0"))
}

/// The ones whose name begins with one of `names`.
fn chosen<T>(names: &str, all: Vec<T>, name_of: impl Fn(&T) -> &'static str) -> Result<Vec<T>, String> {
    let names: Vec<&str> = names.split(',').filter(|name| !name.is_empty()).collect();
    if let Some(unknown) = names.iter().find(|name| !all.iter().any(|each| name_of(each).starts_with(**name))) {
        return Err(format!("nothing is called {unknown}; try --list"));
    }
    // A whole name means only the one that has it.
    let is_chosen = |each: &T| {
        names.iter().any(|name| match all.iter().any(|other| name_of(other) == *name) {
            true => name_of(each) == *name,
            false => name_of(each).starts_with(name),
        })
    };
    let kept: Vec<bool> = all.iter().map(is_chosen).collect();
    Ok(all.into_iter().zip(kept).filter_map(|(each, is_kept)| is_kept.then_some(each)).collect())
}

fn with_baseline(names: &str) -> Result<Vec<Known>, String> {
    chosen(&format!("{names},{}", servers::BASELINE), servers::ALL.to_vec(), |server| server.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(arguments: &str) -> Result<Options, String> {
        Options::read(arguments.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn modes_and_servers_are_chosen_by_name_or_its_beginning() {
        let options = read("--modes keep-alive,workers-2 --servers=aurora,h2o --rounds 2 --seconds 0.5").unwrap();
        let modes: Vec<&str> = options.modes.iter().map(|mode| mode.name).collect();
        assert_eq!(modes, ["keep-alive-1", "keep-alive-64", "keep-alive-512", "workers-2"]);
        let servers: Vec<&str> = options.servers.iter().map(|server| server.name).collect();
        assert_eq!(servers, ["aurora-epoll", "aurora-uring", "bare-epoll", "h2o"]);
        assert_eq!((options.rounds, options.seconds), (2, 0.5));
    }

    #[test]
    fn wrong_options_are_refused_by_name() {
        for (arguments, word) in [
            ("--rounds 0", "--rounds"),
            ("--seconds", "--seconds"),
            ("--modes nothing", "nothing"),
            ("--servers apache", "apache"),
            ("--fast", "--fast"),
        ] {
            let message = read(arguments).err().expect(arguments);
            assert!(message.contains(word), "{message}");
        }
    }
}
