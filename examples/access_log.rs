//! An access log: `cargo run --release --example access_log`, then `curl -i http://127.0.0.1:8080/hello`.
//!
//! `AccessLog` stands around any other handler and writes one line per response and one per connection to the `log`
//! facade, so that the program chooses where they go: here to the standard error.

mod support;

use std::fmt;
use std::io::Write;
use std::time::Instant;

use aurora_http::{
    CloseReason, ConnectionId, ConnectionInfo, Content, Flow, Handler, Peer, Request, ResponseWriter, ServerError,
    WriteError, handler_fn,
};

/// Around `inner`, which answers.
struct AccessLog<H> {
    inner: H,
}

/// What is known of a request when its response is complete.
struct Entry {
    began: Instant,
    peer: Option<Peer>,
    /// Method and target.
    line: String,
    /// Of the response; set by the first call that writes.
    status: u16,
    bytes: usize,
}

impl Entry {
    fn new(request: &Request<'_>) -> Self {
        let line = format!("{} {}", request.method().as_str(), request.target_str());
        Self { began: Instant::now(), peer: request.peer(), line, status: 200, bytes: 0 }
    }

    /// Takes note of one call, and writes the line when it was the last. The state of the inner handler goes along.
    fn settle<E>(mut self, flow: Flow<E>, response: &ResponseWriter<'_>) -> Flow<(Self, E)> {
        if self.bytes == 0 || response.status_so_far() >= 400 {
            self.status = response.status_so_far();
        }
        self.bytes += response.written();
        match flow {
            Flow::Finish => {
                let Self { began, peer, line, status, bytes } = self;
                let (peer, elapsed) = (Shown(peer), began.elapsed().as_micros());
                log::info!(target: "access", "peer={peer} request=\"{line}\" status={status} bytes={bytes} us={elapsed}");
                Flow::Finish
            }
            flow => flow.map(|state| (self, state)),
        }
    }
}

impl<H: Handler> Handler for AccessLog<H> {
    type Exchange = (Entry, H::Exchange);

    fn request(&mut self, request: &Request<'_>, response: &mut ResponseWriter<'_>) -> Flow<Self::Exchange> {
        let entry = Entry::new(request);
        let flow = self.inner.request(request, response);
        entry.settle(flow, response)
    }

    fn collected(
        &mut self,
        (entry, state): Self::Exchange,
        request: &Request<'_>,
        content: &[u8],
        response: &mut ResponseWriter<'_>,
    ) -> Flow<Self::Exchange> {
        let flow = self.inner.collected(state, request, content, response);
        entry.settle(flow, response)
    }

    fn receive(
        &mut self,
        (entry, state): Self::Exchange,
        content: &mut Content<'_>,
        response: &mut ResponseWriter<'_>,
    ) -> Flow<Self::Exchange> {
        let flow = self.inner.receive(state, content, response);
        entry.settle(flow, response)
    }

    fn produce(&mut self, (entry, state): Self::Exchange, response: &mut ResponseWriter<'_>) -> Flow<Self::Exchange> {
        let flow = self.inner.produce(state, response);
        entry.settle(flow, response)
    }

    fn resume(&mut self, (entry, state): Self::Exchange, response: &mut ResponseWriter<'_>) -> Flow<Self::Exchange> {
        let flow = self.inner.resume(state, response);
        entry.settle(flow, response)
    }

    fn vanished(&mut self, (entry, state): Self::Exchange) -> Option<Self::Exchange> {
        Some((entry, self.inner.vanished(state)?))
    }

    fn accepted(&mut self, connection: &ConnectionInfo<'_>) -> bool {
        let accepted = self.inner.accepted(connection);
        let (id, peer) = (Name(connection.id()), Shown(connection.peer()));
        log::debug!(target: "access", "connection={id} peer={peer} accepted={accepted}");
        accepted
    }

    fn closed(&mut self, id: ConnectionId, reason: CloseReason, requests: u32) {
        log::info!(target: "access", "connection={} closed={reason} requests={requests}", Name(id));
        self.inner.closed(id, reason, requests);
    }
}

/// A peer in one word.
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

/// A connection's id in one word.
struct Name(ConnectionId);

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0.index, self.0.generation)
    }
}

/// Writes records to the standard error, a line each.
struct ToStandardError;

impl log::Log for ToStandardError {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &log::Record<'_>) {
        if self.enabled(record.metadata()) {
            // One write for each line: those of several workers do not mix. Nobody may be reading.
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
        .serve(|_worker| AccessLog { inner: handler_fn(hello) })?;
    Ok(())
}
