//! The text format of Prometheus, version 0.0.4.

use core::borrow::Borrow;
use core::fmt::{self, Display, Write};

use aurora_http_core::counters::Counters;
use aurora_http_core::error::CloseReason;
use aurora_http_core::pool::{Class, ClassStats};

use super::Exchanges;
use super::stats::BOUNDS_US;

/// The value of `Content-Type` for [`Text`].
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Writes metrics in the text format of Prometheus to anything that takes text, such as the body of a response. Names and help are
/// written as they are: names of letters, digits and `_`, help in one line without a backslash.
///
/// ```
/// use aurora_http_web::metrics::Text;
///
/// let mut page = String::new();
/// let mut text = Text::new(&mut page);
/// text.counter("shop_orders_total", "Orders so far.", 42)?;
/// text.gauge("shop_queue_length", "Orders that wait.", 3)?;
/// assert!(page.ends_with("# TYPE shop_queue_length gauge\nshop_queue_length 3\n"));
/// # Ok::<_, std::fmt::Error>(())
/// ```
#[derive(Debug)]
pub struct Text<W> {
    out: W,
}

impl<W: Write> Text<W> {
    /// Writes to `out`.
    pub const fn new(out: W) -> Self {
        Self { out }
    }

    /// A number that only grows. Its name should end in `_total`.
    ///
    /// # Errors
    /// Those of the output.
    pub fn counter(&mut self, name: &str, help: &str, value: impl Display) -> fmt::Result {
        self.head(name, help, "counter")?;
        writeln!(self.out, "{name} {value}")
    }

    /// A number that grows and shrinks.
    ///
    /// # Errors
    /// Those of the output.
    pub fn gauge(&mut self, name: &str, help: &str, value: impl Display) -> fmt::Result {
        self.head(name, help, "gauge")?;
        writeln!(self.out, "{name} {value}")
    }

    /// All counters of a server or worker, with names that begin with `aurora_`.
    ///
    /// # Errors
    /// Those of the output.
    pub fn server(&mut self, counters: &Counters) -> fmt::Result {
        self.gauge("aurora_connections_open", "Connections that hold a slot.", counters.active)?;
        let rows: [(&str, &str, u64); 12] = [
            ("connections_accepted", "Connections accepted.", counters.accepted),
            ("requests", "Requests whose handler was called.", counters.requests),
            ("requests_refused", "Requests refused without calling the handler.", counters.refused),
            ("requests_shed", "Requests answered 503 because too many were under way.", counters.shed),
            ("responses_failed", "Responses replaced because the handler could not complete its own.", counters.failed),
            ("connections_detached", "Connections handed to the program.", counters.detached),
            ("accept_errors", "Accepts that failed.", counters.accept_errors),
            ("buffer_waits", "Times that a connection had to wait for a buffer.", counters.starved),
            ("received_bytes", "Bytes received.", counters.bytes_received),
            ("sent_bytes", "Bytes sent.", counters.bytes_sent),
            ("stopped_idle", "Idle connections that a stop closed at once.", counters.stopped_idle),
            ("stopped_finished", "Connections that finished their exchanges during a stop.", counters.stopped_finished),
        ];
        for (name, help, value) in rows {
            let (out, name) = (&mut self.out, format_args!("aurora_{name}_total"));
            writeln!(out, "# HELP {name} {help}\n# TYPE {name} counter\n{name} {value}")?;
        }
        let name = "aurora_connections_closed_total";
        self.head(name, "Connections that have ended, by reason.", "counter")?;
        for reason in CloseReason::ALL {
            writeln!(self.out, "{name}{{reason=\"{reason}\"}} {}", counters.closed.of(reason))?;
        }
        Ok(())
    }

    /// The buffers of a pool: `stats` returns those of a class, such as [`BufferPool::stats`], or `ServerCounters::buffers` for all
    /// workers of a server.
    ///
    /// [`BufferPool::stats`]: aurora_http_core::pool::BufferPool::stats
    ///
    /// # Errors
    /// Those of the output.
    pub fn buffers(&mut self, stats: impl Fn(Class) -> ClassStats) -> fmt::Result {
        let mut family = |name: &str, help, kind, value: fn(ClassStats) -> u64| {
            self.head(name, help, kind)?;
            for class in Class::ALL {
                let stats = stats(class);
                writeln!(self.out, "{name}{{bytes=\"{}\"}} {}", stats.bytes, value(stats))?;
            }
            Ok(())
        };
        family("aurora_buffers_in_use", "Buffers in use.", "gauge", |stats| stats.in_use.into())?;
        family("aurora_buffers_high_water", "The most buffers in use at once.", "gauge", |stats| {
            stats.high_water.into()
        })?;
        family("aurora_buffers_refused_total", "Requests for a buffer when none was free.", "counter", |stats| {
            stats.refused
        })
    }

    /// The exchanges of all workers: `http_requests_total` by status, `http_requests_under_way`,
    /// `http_requests_abandoned_total`, and the histogram `http_request_duration_seconds`, of requests whose handler has finished. A
    /// request that the server answers in place of a handler that waits, with 413 say, counts as abandoned and by its status.
    ///
    /// # Errors
    /// Those of the output.
    pub fn exchanges<E: Borrow<Exchanges>>(&mut self, all: &[E]) -> fmt::Result {
        let sum = |value: fn(&Exchanges) -> u64| all.iter().map(|one| value(one.borrow())).fold(0, u64::wrapping_add);
        self.statuses(all)?;
        self.gauge("http_requests_under_way", "Requests that are being answered.", sum(Exchanges::under_way))?;
        self.counter(
            "http_requests_abandoned_total",
            "Exchanges that ended before their handler had finished the response.",
            sum(Exchanges::abandoned),
        )?;
        let name = "http_request_duration_seconds";
        self.head(name, "From the head of the request to the end of the response.", "histogram")?;
        let mut below = 0u64;
        for at in 0..=BOUNDS_US.len() {
            below = all.iter().map(|one| one.borrow().in_bucket(at)).fold(below, u64::wrapping_add);
            match BOUNDS_US.get(at) {
                Some(bound) => writeln!(self.out, "{name}_bucket{{le=\"{}\"}} {below}", Seconds(u64::from(*bound)))?,
                None => writeln!(self.out, "{name}_bucket{{le=\"+Inf\"}} {below}")?,
            }
        }
        writeln!(self.out, "{name}_sum {}\n{name}_count {below}", Seconds(sum(Exchanges::duration_sum_us)))
    }

    /// Every status that any of the workers has counted.
    fn statuses<E: Borrow<Exchanges>>(&mut self, all: &[E]) -> fmt::Result {
        let name = "http_requests_total";
        self.head(name, "Requests answered, by status.", "counter")?;
        for (worker, own) in all.iter().enumerate() {
            for (status, _) in own.borrow().statuses() {
                let of_status = |one: &E| one.borrow().statuses().find(|(of, _)| *of == status);
                if all[..worker].iter().any(|earlier| of_status(earlier).is_some()) {
                    continue; // it has been written
                }
                let total: u64 = all[worker..].iter().filter_map(of_status).map(|(_, count)| count).sum();
                writeln!(self.out, "{name}{{code=\"{status}\"}} {total}")?;
            }
        }
        let other: u64 = all.iter().map(|one| one.borrow().other_statuses()).sum();
        if other > 0 { writeln!(self.out, "{name}{{code=\"other\"}} {other}") } else { Ok(()) }
    }

    fn head(&mut self, name: &str, help: &str, kind: &str) -> fmt::Result {
        writeln!(self.out, "# HELP {name} {help}\n# TYPE {name} {kind}")
    }
}

/// Microseconds, written as seconds.
struct Seconds(u64);

impl Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, mut fraction, mut digits) = (self.0 / 1_000_000, self.0 % 1_000_000, 6);
        if fraction == 0 {
            return write!(f, "{whole}");
        }
        while fraction.is_multiple_of(10) {
            (fraction, digits) = (fraction / 10, digits - 1);
        }
        write!(f, "{whole}.{fraction:0digits$}")
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    #[test]
    fn seconds_have_no_superfluous_zeros() {
        let rows =
            [(0, "0"), (1, "0.000001"), (100, "0.0001"), (2_500, "0.0025"), (1_000_000, "1"), (2_500_000, "2.5")];
        for (us, text) in rows {
            assert_eq!(Seconds(us).to_string(), text);
        }
    }
}
