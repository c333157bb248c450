//! Pages for health checks.

use aurora_http_core::writer::{ResponseWriter, WriteError};

use crate::Call;

/// Answers 200 as long as the server serves: for `/healthz`, which tells a supervisor whether to restart the program.
///
/// # Errors
/// The errors of [`ResponseWriter::body`].
pub fn healthy<S>(_: &mut S, _: &Call<'_>, response: &mut ResponseWriter<'_>) -> Result<(), WriteError> {
    answer(response, "ok\n")
}

/// Answers 200, and 503 once a stop has begun: for `/readyz`, which tells a balancer whether to send requests here. A server that
/// stops accepts no more connections, so a check that opens a new one fails anyway; this is for those that keep theirs.
///
/// # Errors
/// The errors of [`ResponseWriter::body`].
pub fn ready<S>(_: &mut S, _: &Call<'_>, response: &mut ResponseWriter<'_>) -> Result<(), WriteError> {
    if response.is_stopping() {
        response.status(503)?;
        return answer(response, "stopping\n");
    }
    answer(response, "ready\n")
}

fn answer(response: &mut ResponseWriter<'_>, text: &str) -> Result<(), WriteError> {
    response.field("Content-Type", "text/plain")?;
    response.field("Cache-Control", "no-store")?;
    response.body(text)
}
