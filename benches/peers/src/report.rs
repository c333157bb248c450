//! Tables of what was found.

use crate::figures::{Figures, ModeReport, Row};
use crate::modes::{Kind, Mode};

/// A column: its title, its width and its value; `None` if a mode does not measure it.
type Column = (&'static str, usize, fn(&Row, &Figures) -> String);

const SERVER: Column = ("server", 0, |_, _| String::new());
const RATE: Column = ("req/s", 9, |_, figures| whole(figures.requests_per_second));
const CPU: Column = ("CPU ns/req", 11, |_, figures| whole(figures.cpu_ns));
const RATIO: Column = ("ratio", 6, |_, figures| match figures.ratio {
    0.0 => "-".to_owned(),
    ratio => format!("{ratio:.2}"),
});
const CPU_MS: Column = ("CPU ms", 9, |_, figures| whole(figures.cpu_ns / 1e6));
const USER_SHARE: Column = ("user", 9, |_, figures| percent(figures.user_ns / figures.cpu_ns));
const USER: Column = ("user", 9, |_, figures| whole(figures.user_ns));
const SYSTEM: Column = ("system", 9, |_, figures| whole(figures.system_ns));
const P50: Column = ("p50 us", 8, |_, figures| whole(figures.p50_us));
const P99: Column = ("p99 us", 8, |_, figures| whole(figures.p99_us));
const P999: Column = ("p99.9 us", 9, |_, figures| whole(figures.p999_us));
const MAX: Column = ("max us", 9, |_, figures| whole(figures.max_us));
const CALLS: Column = ("calls/req", 10, |row, _| match row.calls_per_request {
    Some(calls) => format!("{calls:.2}"),
    None => "-".to_owned(),
});
const PER_CPU_SECOND: Column = ("GiB per CPU s", 14, |_, figures| format!("{:.2}", figures.gib_per_cpu_second));
const PER_SECOND: Column = ("GiB/s", 7, |_, figures| format!("{:.2}", figures.gib_per_second));
const MEMORY: Column = ("bytes per connection", 21, |_, figures| whole(figures.bytes_per_connection));
const STEAL: Column = ("steal", 8, |_, figures| percent(figures.steal));
const OTHERS: Column = ("others", 8, |_, figures| percent(figures.others));

/// The columns of a mode; the first is the server.
fn columns(kind: &Kind) -> &'static [Column] {
    match kind {
        Kind::Closed { request, .. } if request.expected_length > 1 << 12 => {
            &[SERVER, RATE, CPU, RATIO, USER, SYSTEM, PER_CPU_SECOND, P50, P99, P999, CALLS, STEAL, OTHERS]
        }
        Kind::Closed { .. } => &[SERVER, RATE, CPU, RATIO, USER, SYSTEM, P50, P99, P999, CALLS, STEAL, OTHERS],
        Kind::HalfOfPeak { .. } => &[SERVER, RATE, P50, P99, P999, MAX, CPU, RATIO, STEAL, OTHERS],
        Kind::Transfer { .. } => &[SERVER, PER_CPU_SECOND, CPU_MS, RATIO, USER_SHARE, PER_SECOND, STEAL, OTHERS],
        Kind::Memory { .. } => &[SERVER, MEMORY],
    }
}

/// Prints the table of a mode, the cheapest server first.
pub fn print(mode: &Mode, report: &ModeReport) {
    let width = report.rows.iter().map(|row| row.server.len()).max().unwrap_or(0).max(8);
    println!("\n{}: {}", mode.name, mode.about);
    print!("{:<width$}", "server");
    let columns = &columns(&mode.kind)[1..];
    columns.iter().for_each(|(title, width, _)| print!("{title:>width$}"));
    println!();
    let mut rows: Vec<(&Row, &Figures)> =
        report.rows.iter().filter_map(|row| Some((row, row.figures.as_ref()?))).collect();
    rows.sort_by(|(_, one), (_, other)| key(one).total_cmp(&key(other)));
    for (row, figures) in rows {
        print!("{:<width$}", row.server);
        columns.iter().for_each(|(_, width, value)| print!("{:>width$}", value(row, figures)));
        println!("{}", if row.is_disturbed { " ~" } else { "" });
    }
    if report.rows.iter().any(|row| row.is_disturbed && row.figures.is_some()) {
        println!("~ other programs used the server's cores, so that requests per second and latencies say little");
    }
    for row in &report.rows {
        if let Some(reason) = &row.refused {
            println!("{:<width$}  no figure: {reason}", row.server);
        }
    }
}

/// What rows are sorted by: the ratio, where there is one.
pub fn key(figures: &Figures) -> f64 {
    let keys = [figures.bytes_per_connection, figures.ratio, figures.cpu_ns];
    keys.into_iter().find(|key| *key > 0.0).unwrap_or(0.0)
}

fn whole(value: f64) -> String {
    format!("{value:.0}")
}

fn percent(value: f64) -> String {
    format!("{:.1} %", value * 100.0)
}
