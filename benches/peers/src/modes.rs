//! What is measured.

use crate::request::Request;

/// One table of the report.
pub struct Mode {
    pub name: &'static str,
    pub about: &'static str,
    pub kind: Kind,
    /// Threads of the server, and the cores that they run on.
    pub workers: usize,
    pub cores: usize,
}

pub enum Kind {
    /// Connections that send the next request as soon as they have the response.
    Closed { request: Request, connections: usize, slow: usize, idle: usize },
    /// Half as many requests per second as a closed loop on as many connections, at a fixed rate.
    HalfOfPeak { request: Request, connections: usize },
    /// A few long transfers.
    Transfer { request: Request, count: u64 },
    /// The memory of connections that do nothing.
    Memory { connections: usize },
}

impl Kind {
    /// What a server must answer correctly.
    pub fn request(&self) -> Request {
        match self {
            Self::Closed { request, .. } | Self::HalfOfPeak { request, .. } | Self::Transfer { request, .. } => {
                request.clone()
            }
            Self::Memory { .. } => Request::plaintext(),
        }
    }

    /// Connections at the same time.
    pub fn connections(&self) -> usize {
        match self {
            Self::Closed { connections, idle, .. } => connections + idle,
            Self::HalfOfPeak { connections, .. } | Self::Memory { connections } => *connections,
            Self::Transfer { .. } => 1,
        }
    }
}

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// All modes, in the order of the report.
pub fn all() -> Vec<Mode> {
    let plaintext = Request::plaintext;
    vec![
        closed("keep-alive-1", "one connection", plaintext(), 1),
        closed("keep-alive-64", "64 connections", plaintext(), 64),
        closed("keep-alive-512", "512 connections", plaintext(), 512),
        closed("pipelined-16", "64 connections, 16 requests at a time", plaintext().pipelined(16), 64),
        closed("browser", "64 connections, 1 KiB of fields per request", Request::of_browser(), 64),
        closed("echo-1k", "64 connections, POST of 1 KiB, echoed", Request::echo(KIB), 64),
        closed("echo-1m", "8 connections, POST of 1 MiB, echoed", Request::echo(MIB), 8),
        closed("bytes-64k", "32 connections, responses of 64 KiB", Request::bytes(64 * KIB), 32),
        closed("bytes-10m", "8 connections, responses of 10 MiB", Request::bytes(10 * MIB), 8),
        closed("close", "32 connections at a time, one request on each", Request::last(), 32),
        with("half-slow", "64 connections, half of which send 8 bytes every 20 ms", plaintext(), 32, 32, 0),
        Mode {
            name: "latency",
            about: "64 connections, at half of the server's own peak",
            kind: Kind::HalfOfPeak { request: plaintext(), connections: 64 },
            workers: 1,
            cores: 1,
        },
        with("beside-10", "64 connections beside 10 idle ones", plaintext(), 64, 0, 10),
        with("beside-1k", "64 connections beside 1 000 idle ones", plaintext(), 64, 0, 1_000),
        with("beside-10k", "64 connections beside 10 000 idle ones", plaintext(), 64, 0, 10_000),
        with("beside-18k", "64 connections beside 18 000 idle ones", plaintext(), 64, 0, 18_000),
        memory("idle-10k", "10 000 idle connections", 10_000),
        memory("idle-18k", "18 000 idle connections", 18_000),
        transfer("download-1g", "a response of 1 GiB", Request::bytes(GIB)),
        transfer("upload-1g", "content of 1 GiB, received and dropped", Request::upload(GIB)),
        Mode { workers: 2, ..closed("workers-2-shared", "64 connections, 2 workers on one core", plaintext(), 64) },
        Mode { workers: 2, cores: 2, ..closed("workers-2", "64 connections, 2 workers on 2 cores", plaintext(), 64) },
    ]
}

fn closed(name: &'static str, about: &'static str, request: Request, connections: usize) -> Mode {
    with(name, about, request, connections, 0, 0)
}

fn with(name: &'static str, about: &'static str, request: Request, fast: usize, slow: usize, idle: usize) -> Mode {
    let kind = Kind::Closed { request, connections: fast + slow, slow, idle };
    Mode { name, about, kind, workers: 1, cores: 1 }
}

fn memory(name: &'static str, about: &'static str, connections: usize) -> Mode {
    Mode { name, about, kind: Kind::Memory { connections }, workers: 1, cores: 1 }
}

fn transfer(name: &'static str, about: &'static str, request: Request) -> Mode {
    Mode { name, about, kind: Kind::Transfer { request, count: 1 }, workers: 1, cores: 1 }
}
