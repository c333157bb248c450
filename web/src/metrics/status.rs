//! A page for people.

use core::fmt;

use aurora_http_core::counters::Counters;
use aurora_http_core::error::CloseReason;

/// A server's counters as a short page of plain text: `response.body_fmt(format_args!("{}", Status(&counters)))`.
#[derive(Clone, Copy, Debug)]
pub struct Status<'a>(pub &'a Counters);

impl fmt::Display for Status<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counters = self.0;
        writeln!(f, "connections  {} open, {} accepted", counters.active, counters.accepted)?;
        writeln!(f, "requests     {}, {} refused, {} shed", counters.requests, counters.refused, counters.shed)?;
        writeln!(f, "responses    {} failed", counters.failed)?;
        writeln!(f, "bytes        {} received, {} sent", counters.bytes_received, counters.bytes_sent)?;
        writeln!(f, "waits        {} for buffers, {} failed accepts", counters.starved, counters.accept_errors)?;
        for reason in CloseReason::ALL {
            let count = counters.closed.of(reason);
            if count > 0 {
                writeln!(f, "closed       {count} {reason}")?;
            }
        }
        Ok(())
    }
}
