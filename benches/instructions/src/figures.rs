//! The file with the figures that counts are compared with.

use std::fmt::Write;
use std::fs;
use std::process::Command;

/// A larger change fails.
pub(crate) const TOLERANCE_PERCENT: f64 = 2.0;

/// A change of so few instructions does not, in a workload of a few dozen.
const TOLERANCE_INSTRUCTIONS: f64 = 1.0;

/// Relative to the root of the repository.
pub(crate) const PATH: &str = "benches/instructions/figures.txt";

/// Where it was when this program was compiled.
const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/figures.txt");

const HEADER: &str = "\
# Instructions per unit, counted by callgrind. `.ci/instructions` compares them, `.ci/instructions --accept` rewrites them.
";

/// The figures in the file.
pub(crate) struct Figures {
    rows: Vec<(String, f64)>,
}

/// What a comparison has found.
pub(crate) enum Verdict {
    /// There was no figure.
    New,
    /// The change in percent is within the tolerance.
    Same(f64),
    /// It is not.
    Changed(f64),
}

impl Verdict {
    pub(crate) fn is_failure(&self) -> bool {
        !matches!(self, Self::Same(_))
    }
}

impl Figures {
    pub(crate) fn read() -> Result<Self, String> {
        let text = fs::read_to_string(FILE).map_err(|error| format!("{PATH}: {error}"))?;
        let mut rows = Vec::new();
        for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            rows.push(row(line).ok_or_else(|| format!("{PATH}: {line:?} is not a name, two spaces and a number"))?);
        }
        Ok(Self { rows })
    }

    pub(crate) fn compare(&self, name: &str, now: f64) -> (Option<f64>, Verdict) {
        let Some(&(_, before)) = self.rows.iter().find(|(known, _)| known == name) else {
            return (None, Verdict::New);
        };
        let percent = (now - before) / before * 100.0;
        let is_same = percent.abs() <= TOLERANCE_PERCENT || (now - before).abs() <= TOLERANCE_INSTRUCTIONS;
        (Some(before), if is_same { Verdict::Same(percent) } else { Verdict::Changed(percent) })
    }

    /// Figures of workloads that do not exist.
    pub(crate) fn without_workload(&self, names: &[&str]) -> Vec<&str> {
        self.rows.iter().map(|(name, _)| name.as_str()).filter(|name| !names.contains(name)).collect()
    }

    pub(crate) fn write(rows: &[(&str, f64, &str)]) -> Result<(), String> {
        let mut text = HEADER.to_owned();
        let _ = writeln!(text, "# {}", compiler()?);
        for (name, count, unit) in rows {
            let _ = writeln!(text, "{name:<34} {count:>10.1}  per {unit}");
        }
        fs::write(FILE, text).map_err(|error| format!("{PATH}: {error}"))
    }
}

/// `name  number  per unit`; names contain single spaces.
fn row(line: &str) -> Option<(String, f64)> {
    let (name, rest) = line.split_once("  ")?;
    Some((name.to_owned(), rest.split_whitespace().next()?.parse().ok()?))
}

/// The version of the compiler, which the figures depend on.
fn compiler() -> Result<String, String> {
    let output = Command::new("rustc").arg("-V").output().map_err(|error| format!("rustc -V: {error}"))?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
