//! Checks that the simulation finds known faults: plants one after another, and plays seeds until one fails.
//!
//! `RUSTFLAGS="--cfg planted" cargo run --release -p aurora-http-simulation --example planted -- --help`

#[cfg(not(planted))]
fn main() -> std::process::ExitCode {
    eprintln!("Error: no fault can be planted in this build: set RUSTFLAGS=\"--cfg planted\"");
    std::process::ExitCode::from(2)
}

#[cfg(planted)]
fn main() -> std::process::ExitCode {
    planted::main()
}

#[cfg(planted)]
mod planted {
    use std::env;
    use std::io::{BufRead, BufReader};
    use std::ops::Range;
    use std::process::{Command, ExitCode, Stdio};
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc::{RecvTimeoutError, channel};
    use std::thread;
    use std::time::Duration;

    use aurora_http_core::planted::{Fault, plant};
    use aurora_http_simulation::{Plan, run};

    const HELP: &str = "\
planted: whether the simulation finds faults that were planted

Options:
  --seeds N     how many seeds a fault may survive [default: 3000]
  --from SEED   the first of them [default: 0]
  --threads N   [default: one per CPU]
  --fault NAME  look for one alone, and say what gave it away
  --help        print this";

    /// A seed that takes longer than this hangs because of the fault.
    const SEED_TIME: Duration = Duration::from_secs(60);

    pub(super) fn main() -> ExitCode {
        let (mut count, mut from, mut only) = (3_000, 0, None);
        let mut threads = thread::available_parallelism().map_or(1, usize::from);
        let mut arguments = env::args().skip(1);
        while let Some(argument) = arguments.next() {
            let value = arguments.next();
            let number = value.as_deref().and_then(|value| value.parse().ok());
            match (argument.as_str(), number, value) {
                ("--seeds", Some(number), _) => count = number as u64,
                ("--from", Some(number), _) => from = number as u64,
                ("--threads", Some(number), _) => threads = number,
                ("--fault", _, Some(name)) => only = Some(name),
                ("--help", ..) => {
                    println!("{HELP}");
                    return ExitCode::SUCCESS;
                }
                _ => {
                    eprintln!(
                        "Error: {argument} is not an option, or lacks its value
Try --help."
                    );
                    return ExitCode::from(2);
                }
            }
        }
        let seeds = from..from.saturating_add(count);
        match only {
            None => look_for_all(&seeds, threads),
            Some(name) => match Fault::ALL.iter().find(|fault| format!("{fault:?}") == name) {
                Some(fault) => look_for(*fault, seeds),
                None => {
                    let names: Vec<_> = Fault::ALL.iter().map(|fault| format!("{fault:?}")).collect();
                    eprintln!("Error: there is no fault {name}: use one of {}", names.join(", "));
                    ExitCode::from(2)
                }
            },
        }
    }

    /// Prints each seed before it is played, and the violation of the first that fails.
    fn look_for(fault: Fault, seeds: Range<u64>) -> ExitCode {
        plant(fault);
        for seed in seeds {
            println!("{seed}");
            if let Err(violation) = run(&Plan::new(seed)) {
                println!("found: {}", violation.what.replace('\n', " "));
                return ExitCode::FAILURE;
            }
        }
        ExitCode::SUCCESS
    }

    fn look_for_all(seeds: &Range<u64>, threads: usize) -> ExitCode {
        let (next, survivors) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
        thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    while let Some(fault) = Fault::ALL.get(next.fetch_add(1, Ordering::Relaxed)) {
                        match look_from_outside(*fault, seeds) {
                            Some(found) => println!("{fault:?}: {found}"),
                            None => {
                                println!("{fault:?}: SURVIVES seeds {seeds:?}");
                                survivors.lock().expect("no thread panics").push(*fault);
                            }
                        }
                    }
                });
            }
        });
        let survivors = survivors.into_inner().expect("no thread panics");
        println!("{} of {} planted faults are found", Fault::ALL.len() - survivors.len(), Fault::ALL.len());
        for fault in &survivors {
            println!("not found: {fault:?}: {}", fault.describe().trim());
        }
        if survivors.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }

    /// Plays seeds in a child process, which a fault may crash or hang. Returns what revealed the fault.
    fn look_from_outside(fault: Fault, seeds: &Range<u64>) -> Option<String> {
        let program = env::current_exe().expect("a program knows where it is");
        let mut command = Command::new(program);
        command.args(["--fault", &format!("{fault:?}"), "--from", &seeds.start.to_string()]);
        command.args(["--seeds", &(seeds.end - seeds.start).to_string()]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("a process starts");
        let out = child.stdout.take().expect("it is a pipe");
        let (tell, lines) = channel();
        thread::spawn(move || BufReader::new(out).lines().map_while(Result::ok).try_for_each(|line| tell.send(line)));
        let mut seed = String::new();
        let mut found = loop {
            match lines.recv_timeout(SEED_TIME) {
                Ok(line) if line.starts_with("found: ") => break Some(format!("seed {seed}: {line}")),
                Ok(line) => seed = line,
                Err(RecvTimeoutError::Timeout) => break Some(format!("seed {seed}: does not end")),
                Err(RecvTimeoutError::Disconnected) => break None,
            }
        };
        if found.is_some() {
            // It may have ended already.
            let _ = child.kill();
        }
        let status = child.wait().expect("a child ends");
        if found.is_none() && !status.success() {
            found = Some(format!("seed {seed}: {status}"));
        }
        found.map(|what| what.chars().take(160).collect())
    }
}
