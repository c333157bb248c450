//! Prints the start-up line to the standard output.

use std::io::{self, Write};
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;

use super::announce::Announcement;
use super::error::ServerError;
use super::threads;

/// How long a server that has already ended waits for its start-up line to be printed.
pub(super) const PRINTING: Duration = Duration::from_millis(100);

/// A small stack is enough to print a line.
const PRINTER_STACK_BYTES: usize = 128 << 10;

/// Prints the start-up line on a separate thread, which reports when it is done: the reader of the standard output may
/// be gone or stuck, and neither may keep the server from serving or stopping. It is made before the workers, when a
/// failure can still be returned.
pub(super) struct Printer {
    line: Sender<String>,
    printed: Receiver<()>,
}

impl Printer {
    pub(super) fn new() -> Result<Self, ServerError> {
        let (line, lines) = mpsc::channel::<String>();
        let (tell, printed) = mpsc::channel();
        let spawned = threads::start("aurora-print".into(), Some(PRINTER_STACK_BYTES), move || {
            if let Ok(line) = lines.recv() {
                let mut out = io::stdout().lock();
                let _ = writeln!(out, "{line}").and_then(|()| out.flush());
                let _ = tell.send(());
            }
        });
        spawned.map_err(|error| ServerError::System { what: "start a thread", error })?;
        Ok(Self { line, printed })
    }

    pub(super) fn print(self, announcement: &Announcement) -> Receiver<()> {
        let _ = self.line.send(announcement.to_string());
        self.printed
    }
}
