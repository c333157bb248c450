//! Simulates the whole server in memory, seed after seed: `cargo run --release --example simulate -- --help`.

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use aurora_http_simulation::{NEVER, Plan, Tally, Violation, run, shrink};

const HELP: &str = "\
simulate: the whole server, driven by a seed

Clients, handlers, faults and time are random, but the same in every run with the same seed. The first violation ends the
run; it is printed with its seed and the smallest failing plan that was found.

Options:
  --seeds N      the number of seeds [default: 1000]
  --from SEED    the first seed [default: 0]
  --seconds S    stop after this time
  --threads N    the number of threads [default: one per CPU]
  --plan SEED    print the plan of a seed, and run it
  --help         print this";

/// How long to shrink a failing plan.
const SHRINK_TIME: Duration = Duration::from_secs(20);

struct Options {
    seeds: u64,
    from: u64,
    seconds: Option<u64>,
    threads: usize,
    plan: Option<u64>,
}

fn main() -> ExitCode {
    let options = match parse(std::env::args().skip(1)) {
        Ok(Some(options)) => options,
        Ok(None) => {
            println!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("Error: {error}\nTry --help.");
            return ExitCode::from(2);
        }
    };
    if let Some(seed) = options.plan {
        let plan = Plan::new(seed);
        println!("{plan:#?}");
        return match run(&plan) {
            Ok(tally) => {
                println!("{tally:?}");
                ExitCode::SUCCESS
            }
            Err(violation) => report(&plan, &violation),
        };
    }
    play(&options)
}

fn play(options: &Options) -> ExitCode {
    let began = Instant::now();
    let (next, total) = (AtomicU64::new(options.from), Mutex::new((0_u64, Tally::default())));
    let (failed, is_over) = (Mutex::new(None::<Violation>), AtomicBool::new(false));
    thread::scope(|scope| {
        for _ in 0..options.threads {
            scope.spawn(|| {
                let is_late = || options.seconds.is_some_and(|most| began.elapsed().as_secs() >= most);
                while !is_over.load(Ordering::Relaxed) && !is_late() {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed - options.from >= options.seeds {
                        break;
                    }
                    match run(&Plan::new(seed)) {
                        Ok(tally) => {
                            let mut total = total.lock().expect("no thread panics");
                            total.0 += 1;
                            total.1 += tally;
                        }
                        Err(violation) => {
                            is_over.store(true, Ordering::Relaxed);
                            failed.lock().expect("no thread panics").get_or_insert(violation);
                        }
                    }
                }
            });
        }
    });
    let (seeds, tally) = *total.lock().expect("no thread panics");
    let seconds = began.elapsed().as_secs_f64();
    println!(
        "{seeds} seeds in {seconds:.1} s: {} connections, {} exact responses, {} refused, {} of random handlers, {} turns, {} engines",
        tally.seen.connections, tally.seen.answered, tally.seen.refused, tally.seen.anyhow, tally.turns, tally.engines
    );
    let per_core = tally.seen.connections as f64 / seconds / options.threads as f64;
    println!("{per_core:.0} connections per second and thread");
    match failed.into_inner().expect("no thread panics") {
        None => ExitCode::SUCCESS,
        Some(violation) => report(&Plan::new(violation.seed), &violation),
    }
}

fn report(plan: &Plan, violation: &Violation) -> ExitCode {
    println!("VIOLATION: {violation}");
    let (plan, violation) = shrink(plan, violation, SHRINK_TIME);
    println!("The smallest failing plan that was found: {:#?}", Small(&plan));
    println!("Its violation: {violation}");
    println!("To repeat it: cargo run --release --example simulate -- --plan {}", violation.seed);
    ExitCode::FAILURE
}

/// Prints a plan without the clients and exchanges that take no part in it.
struct Small<'a>(&'a Plan);

impl std::fmt::Debug for Small<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut plan = self.0.clone();
        for client in &mut plan.clients {
            client.exchanges.retain(|exchange| !exchange.is_left_out);
        }
        let clients: Vec<_> = plan.clients.iter().enumerate().filter(|(_, client)| client.comes_ms != NEVER).collect();
        f.debug_struct("Plan")
            .field("face", &self.0.world.face)
            .field("looping", &self.0.world.looping)
            .field("slots", &self.0.world.slots)
            .field("counts", &self.0.world.counts)
            .field("window", &self.0.world.window)
            .field("faults", &self.0.world.faults)
            .field("clients", &clients)
            .field("troubles", &self.0.troubles)
            .finish()
    }
}

/// `None` for `--help`.
fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Option<Options>, String> {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let mut options = Options { seeds: 1_000, from: 0, seconds: None, threads, plan: None };
    let mut arguments = arguments.into_iter();
    while let Some(name) = arguments.next() {
        if matches!(name.as_str(), "--help" | "-h") {
            return Ok(None);
        }
        if !matches!(name.as_str(), "--seeds" | "--from" | "--seconds" | "--threads" | "--plan") {
            return Err(format!("unknown option {name}"));
        }
        let value = arguments.next().ok_or_else(|| format!("{name} needs a number"))?;
        let number: u64 = value.parse().map_err(|_| format!("{name} needs a number, not {value}"))?;
        match name.as_str() {
            "--seeds" => options.seeds = number,
            "--from" => options.from = number,
            "--seconds" => options.seconds = Some(number),
            "--plan" => options.plan = Some(number),
            _ => options.threads = (number as usize).max(1),
        }
    }
    Ok(Some(options))
}
