//! Measuring one server in one mode, once.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::client::{Client, Outcome, Pace, SILENCE_MAX, Until, connect_idle};
use crate::cores::Cores;
use crate::figures::Figures;
use crate::modes::{Kind, Mode};
use crate::request::Request;
use crate::response::Reader;
use crate::servers::{Known, Server, find};
use crate::system::{cpu_ticks, ticks_per_second};

/// Before anything counts.
const WARM_UP: Duration = Duration::from_millis(200);

/// After connections were opened, until memory counts.
const SETTLE: Duration = Duration::from_millis(500);

/// Servers that have to know how many connections there will be expect at least this many, as Aurora's do by default.
pub const ROOM: usize = 1024;

/// For memory, servers are compared with themselves with so many connections.
const FEW: usize = 64;

const GIB: f64 = (1_u64 << 30) as f64;

/// Where and how long to measure.
pub struct Bench<'b> {
    pub cores: &'b Cores,
    pub seconds: f64,
}

impl Bench<'_> {
    /// Starts the server for a mode.
    pub fn start(&self, known: &Known, mode: &Mode, connections: usize) -> Result<Server, String> {
        let cpus = self.cores.of_server(mode.cores)?;
        Server::start(known, mode.workers, connections, cpus, self.cores.of_client())
    }

    /// One round.
    pub fn round(&self, known: &Known, mode: &Mode) -> Result<Figures, String> {
        let time = Duration::from_secs_f64(self.seconds);
        let room = (mode.kind.connections() + FEW).max(ROOM);
        let server = self.start(known, mode, room)?;
        let connect = |request: &Request, count, slow| {
            Client::connect(server.address, request, count, slow).map_err(|wrong| wrong.0)
        };
        match &mode.kind {
            Kind::Closed { request, connections, slow, idle } => {
                let _idle = open_idle(server.address, *idle)?;
                let mut client = connect(request, *connections, *slow)?;
                client.run(Pace::Closed, Until::Time(WARM_UP)).map_err(|wrong| wrong.0)?;
                self.counted(mode, &server, &mut client, Pace::Closed, Until::Time(time))
            }
            Kind::HalfOfPeak { request, connections } => {
                let mut client = connect(request, *connections, 0)?;
                client.run(Pace::Closed, Until::Time(WARM_UP)).map_err(|wrong| wrong.0)?;
                let peak = client.run(Pace::Closed, Until::Time(time / 2)).map_err(|wrong| wrong.0)?;
                drop(client);
                let rate = peak.requests as f64 / peak.seconds / 2.0;
                let mut client = connect(request, *connections, 0)?;
                client.run(Pace::Rate(rate), Until::Time(WARM_UP)).map_err(|wrong| wrong.0)?;
                self.counted(mode, &server, &mut client, Pace::Rate(rate), Until::Time(time))
            }
            Kind::Transfer { request, count } => {
                let mut client = connect(request, 1, 0)?;
                self.counted(mode, &server, &mut client, Pace::Closed, Until::Requests(*count))
            }
            Kind::Memory { connections } => self.memory(known, mode, server, *connections),
        }
    }

    /// A run of the client, and what it cost.
    fn counted(
        &self,
        mode: &Mode,
        server: &Server,
        client: &mut Client,
        pace: Pace,
        until: Until,
    ) -> Result<Figures, String> {
        let server_cpus = self.cores.of_server(mode.cores)?;
        let cpus: Vec<usize> = server_cpus.iter().copied().chain([self.cores.of_client()]).collect();
        let before = (server.cpu_time(), cpu_ticks(server_cpus), cpu_ticks(&cpus));
        let outcome = client.run(pace, until).map_err(|wrong| wrong.0)?;
        let cpu = server.cpu_time() - before.0;
        let (server_ticks, ticks) = (cpu_ticks(server_cpus) - before.1, cpu_ticks(&cpus) - before.2);
        if outcome.requests == 0 {
            return Err("no response came in time".into());
        }
        let second = ticks_per_second();
        // Threads that have ended are not in the first of these.
        let cpu_seconds = (cpu.total_ns as f64 / 1e9).max((cpu.user_ticks + cpu.system_ticks) as f64 / second * 0.9);
        let others = server_ticks.busy as f64 / second - cpu_seconds;
        let ticks_in_all = outcome.seconds * second * cpus.len() as f64;
        let figures = Figures {
            steal: ticks.stolen as f64 / ticks_in_all,
            others: (others / outcome.seconds / server_cpus.len() as f64).max(0.0),
            ..figures(&outcome, cpu_seconds)
        };
        let user_ns = figures.cpu_ns * cpu.user_share();
        Ok(Figures { user_ns, system_ns: figures.cpu_ns - user_ns, ..figures })
    }

    /// The memory that connections take, compared with the same server with a few: started for them, if it has to know.
    fn memory(&self, known: &Known, mode: &Mode, many: Server, connections: usize) -> Result<Figures, String> {
        let few = self.start(known, mode, FEW)?;
        let resident = |server: &Server, count| {
            let mut idle = open_idle(server.address, count)?;
            sleep(SETTLE);
            let resident = server.resident();
            // They can still be used.
            idle.chunks_mut(BATCH).try_for_each(exchange)?;
            Ok::<_, String>(resident as f64)
        };
        let difference = resident(&many, connections)? - resident(&few, FEW)?;
        Ok(Figures { bytes_per_connection: difference / (connections - FEW) as f64, ..Figures::default() })
    }

    /// System calls per request, counted by strace in a run of their own.
    pub fn calls_per_request(&self, known: &Known, mode: &Mode) -> Option<f64> {
        let Kind::Closed { request, connections, slow: 0, idle: 0 } = &mode.kind else { return None };
        let strace = find("strace")?;
        let server = self.start(known, mode, ROOM).ok()?;
        let mut client = Client::connect(server.address, request, *connections, 0).ok()?;
        client.run(Pace::Closed, Until::Time(WARM_UP)).ok()?;
        let mut command = Command::new(strace);
        let table = std::env::temp_dir().join(format!("aurora-http-peers-{}.strace", std::process::id()));
        command.args(["-f", "-c", "-U", "calls,name", "-o"]).arg(&table);
        let threads = server.processes().into_iter().map(|id| format!("--attach={id}"));
        let mut strace = command.args(threads).stderr(Stdio::piped()).spawn().ok()?;
        // "Process 1 attached"; then there is nothing more to read.
        let mut messages = BufReader::new(strace.stderr.take()?);
        messages.read_line(&mut String::new()).ok()?;
        sleep(Duration::from_millis(50));
        let outcome = client.run(Pace::Closed, Until::Time(Duration::from_millis(500)));
        kill_process(Pid::from_raw(strace.id() as i32)?, Signal::INT).ok()?;
        strace.wait().ok()?;
        let text = fs::read_to_string(&table).ok()?;
        let _ = fs::remove_file(&table);
        let total = text.lines().find_map(|line| line.trim().strip_suffix(" total")?.trim().parse::<u64>().ok())?;
        Some(total as f64 / outcome.ok()?.requests as f64)
    }
}

fn figures(outcome: &Outcome, cpu_seconds: f64) -> Figures {
    let gib = (outcome.received + outcome.sent) as f64 / GIB;
    let latency = |fraction| outcome.latencies.percentile_us(fraction);
    Figures {
        requests_per_second: outcome.requests as f64 / outcome.seconds,
        cpu_ns: cpu_seconds * 1e9 / outcome.requests as f64,
        p50_us: latency(0.5),
        p99_us: latency(0.99),
        p999_us: latency(0.999),
        max_us: latency(0.999_999),
        gib_per_cpu_second: gib / cpu_seconds,
        gib_per_second: gib / outcome.seconds,
        ..Figures::default()
    }
}

/// Opened at the same time: fewer than a server's backlog, and enough that neither side waits for the other.
const BATCH: usize = 128;

/// Opens connections, each of which has one exchange and then idles.
fn open_idle(address: SocketAddr, count: usize) -> Result<Vec<TcpStream>, String> {
    let mut streams = Vec::with_capacity(count);
    while streams.len() < count {
        let first = streams.len();
        let fail = |error: String| format!("idle connection {first} or later: {error}");
        for number in first..count.min(first + BATCH) {
            let stream = connect_idle(address, number).map_err(|wrong| fail(wrong.0))?;
            stream.set_read_timeout(Some(SILENCE_MAX)).map_err(|error| fail(error.to_string()))?;
            streams.push(stream);
        }
        exchange(&mut streams[first..]).map_err(fail)?;
    }
    Ok(streams)
}

/// One exchange on each of these connections.
fn exchange(streams: &mut [TcpStream]) -> Result<(), String> {
    let request = Request::plaintext();
    let bytes = request.to_bytes();
    for stream in &mut *streams {
        stream.write_all(&bytes).map_err(|error| error.to_string())?;
    }
    let mut buffer = [0; 4096];
    for stream in streams {
        let mut reader = Reader::new(request.expected_length);
        loop {
            let count =
                stream.read(&mut buffer).map_err(|error| format!("no response within {SILENCE_MAX:?}: {error}"))?;
            if count == 0 {
                return Err("the server has closed it".into());
            }
            if reader.read(&buffer[..count]).map_err(|wrong| wrong.0)? > 0 {
                break;
            }
        }
    }
    Ok(())
}
