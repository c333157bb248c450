//! What is found, as it is stored in JSON.

use serde::{Deserialize, Serialize};

/// Everything that a run has found.
#[derive(Default, Deserialize, Serialize)]
pub struct Report {
    pub machine: Machine,
    pub rounds: usize,
    pub seconds: f64,
    pub modes: Vec<ModeReport>,
}

#[derive(Default, Deserialize, Serialize)]
pub struct Machine {
    pub cpu: String,
    pub cores: usize,
    pub kernel: String,
    pub rustc: String,
    pub load_before: String,
    pub load_after: String,
}

#[derive(Default, Deserialize, Serialize)]
pub struct ModeReport {
    pub name: String,
    pub about: String,
    pub rows: Vec<Row>,
}

/// A server in a mode.
#[derive(Default, Deserialize, Serialize)]
pub struct Row {
    pub server: String,
    /// The median of the rounds that count, or why there is none.
    pub figures: Option<Figures>,
    pub refused: Option<String>,
    /// Whether other programs used the server's cores in every round.
    pub is_disturbed: bool,
    /// System calls per request, from a run of their own.
    pub calls_per_request: Option<f64>,
    /// All rounds, also those that were disturbed.
    pub rounds: Vec<Figures>,
}

/// One round. What a mode does not measure is 0.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
pub struct Figures {
    pub requests_per_second: f64,
    /// CPU time of the server per request, in nanoseconds.
    pub cpu_ns: f64,
    /// That, as a ratio to what the baseline took shortly before.
    #[serde(default)]
    pub ratio: f64,
    pub user_ns: f64,
    pub system_ns: f64,
    pub p50_us: f64,
    pub p99_us: f64,
    pub p999_us: f64,
    /// The highest latency of all but one of a million.
    pub max_us: f64,
    /// GiB in both directions per second of CPU time of the server.
    pub gib_per_cpu_second: f64,
    pub gib_per_second: f64,
    /// Resident memory of the server per idle connection.
    pub bytes_per_connection: f64,
    /// The share of time that the hypervisor took.
    pub steal: f64,
    /// The share of the server's cores that other programs took.
    pub others: f64,
}

type Access = fn(&mut Figures) -> &mut f64;

const FIELDS: [Access; 14] = [
    |figures| &mut figures.requests_per_second,
    |figures| &mut figures.cpu_ns,
    |figures| &mut figures.ratio,
    |figures| &mut figures.user_ns,
    |figures| &mut figures.system_ns,
    |figures| &mut figures.p50_us,
    |figures| &mut figures.p99_us,
    |figures| &mut figures.p999_us,
    |figures| &mut figures.max_us,
    |figures| &mut figures.gib_per_cpu_second,
    |figures| &mut figures.gib_per_second,
    |figures| &mut figures.bytes_per_connection,
    |figures| &mut figures.steal,
    |figures| &mut figures.others,
];

/// The median of each figure; `None` without rounds.
pub fn median(rounds: &[Figures]) -> Option<Figures> {
    let mut result = Figures::default();
    for field in FIELDS {
        let mut values: Vec<f64> = rounds.iter().map(|round| *field(&mut round.clone())).collect();
        values.sort_by(f64::total_cmp);
        let middle = values.len() / 2;
        *field(&mut result) = match values.len() % 2 {
            0 => (values.get(middle.checked_sub(1)?)? + values[middle]) / 2.0,
            _ => values[middle],
        };
    }
    Some(result)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_figure_has_its_own_median() {
        let round = |cpu_ns, p50_us| Figures { cpu_ns, p50_us, ..Figures::default() };
        assert!(median(&[]).is_none());
        let odd = median(&[round(3.0, 1.0), round(1.0, 2.0), round(2.0, 9.0)]).unwrap();
        assert_eq!((odd.cpu_ns, odd.p50_us), (2.0, 2.0));
        let even = median(&[round(3.0, 1.0), round(1.0, 2.0)]).unwrap();
        assert_eq!((even.cpu_ns, even.p50_us), (2.0, 1.5));
    }
}
