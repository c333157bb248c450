//! An access log: `cargo run --release --example access_log`, then `curl -i http://127.0.0.1:8080/hello`.
//!
//! `AccessLog` wraps any other handler and writes a line per response, refusal and connection to the `log` facade, so
//! that the program chooses where they go: here, to the standard error.

mod support;

use std::fmt;
use std::io::Write;
use std::ops::ControlFlow;
use std::time::Instant;

use aurora_http::{
    Around, CloseReason, ConnectionId, ConnectionInfo, Peer, Refusal, Request, ResponseWriter, ServerError, WriteError,
    around, handler_fn,
};

/// Writes a line for each response, and for each connection.
struct AccessLog;

/// What the log remembers about a request until its response is complete.
struct Entry {
    began: Instant,
    peer: Option<Peer>,
    /// Method and target.
    line: String,
    /// The status of the response, set by the first call that writes.
    status: u16,
    bytes: usize,
}

impl Entry {
    fn add(&mut self, response: &ResponseWriter<'_>) {
        if self.bytes == 0 || response.status_so_far() >= 400 {
            self.status = response.status_so_far();
        }
        self.bytes += response.written();
    }
}

impl Around for AccessLog {
    type Note = Entry;

    fn before(&mut self, request: &Request<'_>, _: &mut ResponseWriter<'_>) -> ControlFlow<(), Entry> {
        let line = format!("{} {}", request.method().as_str(), request.target_str());
        ControlFlow::Continue(Entry { began: Instant::now(), peer: request.peer(), line, status: 200, bytes: 0 })
    }

    fn wrote(&mut self, entry: &mut Entry, response: &ResponseWriter<'_>) {
        entry.add(response);
    }

    fn finished(&mut self, mut entry: Entry, response: &ResponseWriter<'_>) {
        entry.add(response);
        let Entry { began, peer, line, status, bytes } = entry;
        let (peer, elapsed) = (Shown(peer), began.elapsed().as_micros());
        log::info!(target: "access", "peer={peer} request=\"{line}\" status={status} bytes={bytes} us={elapsed}");
    }

    /// Logs requests that were refused before the handler was called, and responses that were replaced by an error.
    fn refused(&mut self, refusal: &Refusal<'_>, response: &mut ResponseWriter<'_>) {
        let peer = Shown(response.connection().peer());
        let target = String::from_utf8_lossy(refusal.target().unwrap_or(b"-"));
        let (status, cause) = (refusal.status(), refusal.cause());
        log::warn!(target: "access", "peer={peer} refused=\"{}\" status={status} cause={cause:?}", target.escape_debug());
    }

    fn accepted(&mut self, connection: &ConnectionInfo<'_>) -> bool {
        log::debug!(target: "access", "connection={} peer={}", Name(connection.id()), Shown(connection.peer()));
        true
    }

    fn closed(&mut self, id: ConnectionId, reason: CloseReason, requests: u32) {
        log::info!(target: "access", "connection={} closed={reason} requests={requests}", Name(id));
    }
}

/// Displays a peer without spaces.
struct Shown(Option<Peer>);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(Peer::Ip(address)) => address.fmt(f),
            Some(_) => f.write_str("local"),
            None => f.write_str("-"),
        }
    }
}

/// Displays a connection's id without spaces.
struct Name(ConnectionId);

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0.index, self.0.generation)
    }
}

/// Writes each record to the standard error as a line.
struct ToStandardError;

impl log::Log for ToStandardError {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &log::Record<'_>) {
        if self.enabled(record.metadata()) {
            // A single write per line, so that lines of several workers do not mix. Errors are ignored: the reader may
            // be gone.
            let _ = std::io::stderr().write_all(format!("{} {}\n", record.level(), record.args()).as_bytes());
        }
    }

    fn flush(&self) {}
}

/// Answers with the path, or 404.
fn hello(request: &Request<'_>, response: &mut ResponseWriter<'_>) -> Result<(), WriteError> {
    match request.path() {
        b"/missing" => response.fail(404),
        path => response.body(path),
    }
}

fn main() -> Result<(), ServerError> {
    static LOGGER: ToStandardError = ToStandardError;
    if log::set_logger(&LOGGER).is_ok() {
        log::set_max_level(log::LevelFilter::Debug);
    }
    support::server("access_log: a line on the standard error for each response and each connection")
        .serve(|_worker| around(AccessLog, handler_fn(hello)))?;
    Ok(())
}
