//! Measures Aurora beside other servers, prints tables, stores the figures as JSON, and draws plots.
//!
//! The servers are programs of the same workspace. Each measurement starts one on a core of its own, checks its answers, and drives
//! it from another core.

#![forbid(unsafe_code)]

mod check;
mod client;
mod cores;
mod figures;
mod histogram;
mod measure;
mod modes;
mod options;
mod plots;
mod report;
mod request;
mod response;
mod servers;
mod system;

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use cores::Cores;
use figures::{Figures, Machine, ModeReport, Report, Row, median};
use measure::Bench;
use modes::{Kind, Mode};
use options::{HELP, Options, Task};
use servers::{BASELINE, Known};

/// A round in which the hypervisor took more than this is not used.
const STEAL_MAX: f64 = 0.05;

/// Rounds in which other programs took more than this of the server's cores are used only if there are no others.
const OTHERS_MAX: f64 = 0.1;
/// How many servers are measured before the baseline is measured again.
const BASELINE_EVERY: usize = 3;

fn main() -> ExitCode {
    let result = Options::read(std::env::args().skip(1)).and_then(|options| match options.task {
        Task::Measure => run(options),
        Task::Plot => read(&options.out).and_then(|report| plots::draw(&report, &options.out)),
        Task::List => {
            list();
            Ok(())
        }
        Task::Help => {
            println!("{HELP}");
            Ok(())
        }
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("Error: {message}");
            ExitCode::FAILURE
        }
    }
}

fn list() {
    println!("Modes:");
    modes::all().iter().for_each(|mode| println!("  {:<18} {}", mode.name, mode.about));
    println!("\nServers:");
    servers::ALL.iter().for_each(|server| println!("  {:<18} {}", server.name, server.about));
}

fn run(options: Options) -> Result<(), String> {
    let cores = Cores::find()?;
    let files = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: files.maximum, ..files }).map_err(|error| error.to_string())?;
    let servers = built(&options);
    // Building uses all cores, measuring does not.
    cores::pin(&[cores.of_client()])?;
    let mut report =
        Report { machine: machine(&cores), rounds: options.rounds, seconds: options.seconds, modes: Vec::new() };
    println!(
        "{}, {} cores, Linux {}; servers on core {}, client on core {}; {} rounds of {} s; load {}",
        report.machine.cpu,
        report.machine.cores,
        report.machine.kernel,
        cores.all[0],
        cores.of_client(),
        options.rounds,
        options.seconds,
        report.machine.load_before,
    );
    let mut run = Run { bench: Bench { cores: &cores, seconds: options.seconds }, checked: HashMap::new() };
    for mode in &options.modes {
        let result = run.mode(mode, &servers, &options);
        report::print(mode, &result);
        report.modes.push(result);
    }
    report.machine.load_after = system::load_average();
    println!("\nload before {}, after {}", report.machine.load_before, report.machine.load_after);
    write(&options.out, &report)?;
    plots::draw(&report, &options.out)?;
    println!("results.json and plots are in {}", options.out.display());
    Ok(())
}

/// Builds the servers, and leaves out those that cannot be built.
fn built(options: &Options) -> Vec<Known> {
    let mut servers = options.servers.clone();
    if options.builds {
        servers.retain(|server| {
            eprintln!("building {}", server.name);
            let built = server.build();
            if let Err(reason) = &built {
                println!("SKIPPED: {}: {reason}", server.name);
            }
            built.is_ok()
        });
    }
    servers
}

fn machine(cores: &Cores) -> Machine {
    let rustc = Command::new("rustc").arg("-V").output().map(|output| output.stdout).unwrap_or_default();
    Machine {
        cpu: system::cpu_model(),
        cores: cores.all.len(),
        kernel: system::kernel(),
        rustc: String::from_utf8_lossy(&rustc).trim().to_owned(),
        load_before: system::load_average(),
        load_after: String::new(),
    }
}

struct Run<'b> {
    bench: Bench<'b>,
    /// What checks have found, by server and request.
    checked: HashMap<(&'static str, String), Result<(), String>>,
}

impl Run<'_> {
    /// Measures all servers in a mode, in rounds: what disturbs a round disturbs all of them.
    fn mode(&mut self, mode: &Mode, servers: &[Known], options: &Options) -> ModeReport {
        let row = |server: &Known| Row { server: server.name.to_owned(), ..Row::default() };
        let mut rows: Vec<Row> = servers.iter().map(row).collect();
        for round in 0..options.rounds {
            eprint!("\r{} round {} of {}   ", mode.name, round + 1, options.rounds);
            // Every other round in reverse, so that no server always follows the same one.
            let mut order: Vec<usize> = (0..servers.len()).collect();
            if round % 2 == 1 {
                order.reverse();
            }
            self.round_of_all(mode, servers, &order, &mut rows);
        }
        eprint!("\r{:60}\r", "");
        for (row, server) in rows.iter_mut().zip(servers) {
            if row.refused.is_none() {
                conclude(row);
            }
            if row.figures.is_some() && options.counts_calls {
                row.calls_per_request = self.bench.calls_per_request(server, mode);
            }
        }
        ModeReport { name: mode.name.to_owned(), about: mode.about.to_owned(), rows }
    }

    /// One round of each server. The speed of a machine changes within minutes, so the baseline is measured again and again.
    fn round_of_all(&mut self, mode: &Mode, servers: &[Known], order: &[usize], rows: &mut [Row]) {
        let baseline = servers.iter().find(|server| server.name == BASELINE);
        let baseline = baseline.filter(|_| !matches!(mode.kind, Kind::Memory { .. }));
        let mut base_ns = None;
        for (count, &at) in order.iter().enumerate() {
            if count % BASELINE_EVERY == 0 {
                let base = baseline.and_then(|server| self.round(server, mode).ok());
                base_ns = base.map(|figures| figures.cpu_ns);
            }
            if rows[at].refused.is_some() {
                continue;
            }
            match self.round(&servers[at], mode) {
                Ok(figures) => {
                    let ratio = base_ns.map_or(0.0, |base_ns| figures.cpu_ns / base_ns);
                    rows[at].rounds.push(Figures { ratio, ..figures });
                }
                Err(reason) => rows[at].refused = Some(reason),
            }
        }
    }

    /// One round, if the server's answers are right.
    fn round(&mut self, server: &Known, mode: &Mode) -> Result<Figures, String> {
        let request = mode.kind.request();
        let bench = &self.bench;
        let key = (server.name, request.to_string());
        let check = || {
            let running = bench.start(server, mode, measure::ROOM)?;
            check::check(running.address, &request)
        };
        self.checked.entry(key).or_insert_with(check).clone()?;
        bench.round(server, mode)
    }
}

/// The median of the rounds that were not disturbed.
fn conclude(row: &mut Row) {
    let unstolen: Vec<Figures> = row.rounds.iter().filter(|round| round.steal <= STEAL_MAX).copied().collect();
    let calm: Vec<Figures> = unstolen.iter().filter(|round| round.others <= OTHERS_MAX).copied().collect();
    row.is_disturbed = calm.is_empty();
    row.figures = median(if row.is_disturbed { &unstolen } else { &calm });
    if row.figures.is_none() {
        let least = row.rounds.iter().map(|round| round.steal).fold(f64::INFINITY, f64::min);
        row.refused = Some(format!("the hypervisor took at least {:.0} % of every round", least * 100.0));
    }
}

fn write(folder: &Path, report: &Report) -> Result<(), String> {
    let fail = |error: &dyn std::fmt::Display| format!("{}: {error}", folder.display());
    fs::create_dir_all(folder).map_err(|error| fail(&error))?;
    let text = serde_json::to_string_pretty(report).map_err(|error| fail(&error))?;
    fs::write(folder.join("results.json"), text + "\n").map_err(|error| fail(&error))
}

fn read(folder: &Path) -> Result<Report, String> {
    let path = folder.join("results.json");
    let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    serde_json::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))
}
