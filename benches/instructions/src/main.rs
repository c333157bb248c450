//! Counts the instructions of fixed workloads with callgrind, and compares them with `figures.txt` beside this program.
//!
//! `.ci/instructions` runs it with the flags that the figures are for.

#![forbid(unsafe_code)]

#[path = "../../support/clients.rs"]
mod clients;
mod figures;
#[path = "../../support/heads.rs"]
mod heads;
mod parts;
#[path = "../../support/responses.rs"]
mod responses;
mod serving;
mod valgrind;
#[path = "../../support/world.rs"]
mod world;

use std::env;
use std::process::ExitCode;
use std::thread;

use figures::{Figures, Verdict};

const HELP: &str = "\
instructions: counts the instructions of fixed workloads, and fails if a figure has changed by more than 2 %

  instructions [WORD]        the workloads whose name contains WORD
  instructions --accept      and makes the counts the new figures
  instructions --run NAME    only runs a workload: for callgrind, or any other profiler";

/// Something to count: a name, and how to prepare it.
struct Workload {
    name: &'static str,
    /// What one unit is.
    unit: &'static str,
    /// Units per repetition.
    units: u32,
    /// Repetitions that are counted.
    repetitions: u32,
    prepare: fn() -> Repetition,
}

/// One repetition. It fails if the outcome is not the expected one.
type Repetition = Box<dyn FnMut()>;

fn workloads() -> Vec<Workload> {
    let mut all = serving::workloads();
    all.extend(parts::workloads());
    all
}

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match arguments[..] {
        ["--run", name] => run(name),
        ["--accept"] => accept(),
        [] => compare(""),
        [word] if !word.starts_with('-') => compare(word),
        _ => Err(HELP.to_owned()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

/// Runs a workload in a thread of its own: a thread's stack begins at the same place of a page, whatever the environment and the
/// path of this program.
fn run(name: &str) -> Result<(), String> {
    let workload = workloads().into_iter().find(|workload| workload.name == name);
    let workload = workload.ok_or_else(|| format!("there is no workload {name:?}"))?;
    let counted = move || {
        let mut repetition = (workload.prepare)();
        // What happens only once is not counted.
        repetition();
        repetition();
        valgrind::counted(&mut || (0..workload.repetitions).for_each(|_| repetition()));
    };
    thread::spawn(counted).join().map_err(|_| format!("the workload {name:?} has failed"))
}

fn compare(word: &str) -> Result<(), String> {
    let figures = Figures::read()?;
    let all = workloads();
    let names: Vec<&str> = all.iter().map(|workload| workload.name).collect();
    let without = figures.without_workload(&names);
    let mut changed = without.len();
    without.iter().for_each(|name| println!("{name:<34} is in {}, but there is no such workload", figures::PATH));
    println!("{:<34} {:>10} {:>10} {:>8}  per", "workload", "figure", "now", "change");
    for workload in all.iter().filter(|workload| workload.name.contains(word)) {
        let now = valgrind::count(workload)?;
        let (before, verdict) = figures.compare(workload.name, now);
        let before = before.map_or_else(|| "-".to_owned(), |before| format!("{before:.1}"));
        println!("{:<34} {before:>10} {now:>10.1} {verdict:>8}  {}", workload.name, workload.unit);
        changed += usize::from(verdict.is_failure());
    }
    if changed == 0 {
        return Ok(());
    }
    Err(format!(
        "\n{changed} of these differ by more than {} % from {}.\n\
         If that is intended, fewer instructions included, run `.ci/instructions --accept`, and commit the file together\n\
         with the change, with the reason in the message.",
        figures::TOLERANCE_PERCENT,
        figures::PATH,
    ))
}

fn accept() -> Result<(), String> {
    let mut rows = Vec::new();
    for workload in workloads() {
        let now = valgrind::count(&workload)?;
        println!("{:<34} {now:>10.1}  per {}", workload.name, workload.unit);
        rows.push((workload.name, now, workload.unit));
    }
    Figures::write(&rows)
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::New => f.pad("new"),
            Self::Same(percent) => f.pad(&format!("{percent:+.1} %")),
            Self::Changed(percent) => f.pad(&format!("{percent:+.1} %!")),
        }
    }
}
