//! The resources of the process: memory, descriptors, threads. Checks that they do not grow.

use std::fs;
use std::time::Duration;

/// The resources of the process at one time; `None` where the system does not provide them.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Sample {
    /// The time since the clients started.
    pub(crate) at: Duration,
    pub(crate) memory_kib: Option<u64>,
    pub(crate) descriptors: Option<u64>,
    pub(crate) threads: Option<u64>,
    /// The kernel's own threads for io_uring, which may come and go.
    pub(crate) kernel_threads: u64,
}

/// How much more memory does not count as growth: this much, or two per cent if that is more.
const MEMORY_TOLERANCE_KIB: u64 = 2048;
/// The same after a warm-up of less than a minute, when some memory that was allocated before is still being touched
/// for the first time. A leak of a hundred bytes per request exceeds this.
const SHORT_TOLERANCE_KIB: u64 = 6144;
const SHORT: Duration = Duration::from_secs(60);
/// The warm-up, which is ignored, is a fifth of the time and at least this long.
const WARM_UP_MIN: Duration = Duration::from_secs(10);
/// After the warm-up, at least this much time must remain; otherwise memory is not judged.
const WATCH_MIN: Duration = Duration::from_secs(10);

impl Sample {
    /// Reads `/proc`, which exists only on Linux.
    pub(crate) fn take(at: Duration) -> Self {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let number = |name| {
            let line = status.lines().find_map(|line: &str| line.strip_prefix(name))?;
            line.split_whitespace().next()?.parse().ok()
        };
        let (threads, kernel_threads) = threads_of().unzip();
        Self {
            at,
            memory_kib: number("VmRSS:"),
            descriptors: descriptors(),
            threads,
            kernel_threads: kernel_threads.unwrap_or(0),
        }
    }

    /// Whether descriptors and threads are as they were.
    pub(crate) fn is_back_to(&self, before: &Self) -> bool {
        (self.descriptors, self.threads) == (before.descriptors, before.threads)
    }
}

fn descriptors() -> Option<u64> {
    // The descriptor that reads the directory does not count.
    Some((fs::read_dir("/proc/self/fd").ok()?.count() as u64).saturating_sub(1))
}

/// The number of the program's threads, and of the kernel's.
fn threads_of() -> Option<(u64, u64)> {
    let (mut threads, mut kernel_threads) = (0, 0);
    for task in fs::read_dir("/proc/self/task").ok()? {
        // A thread that has just ended has no name.
        let Ok(name) = fs::read_to_string(task.ok()?.path().join("comm")) else { continue };
        let counted = if name.starts_with("iou-") { &mut kernel_threads } else { &mut threads };
        *counted += 1;
    }
    Some((threads, kernel_threads))
}

/// The samples of a run, and their evaluation.
pub(crate) struct Watch {
    samples: Vec<Sample>,
}

impl Watch {
    /// Allocates room for all samples at the start, so that watching does not make the process grow.
    pub(crate) fn new(samples: usize) -> Self {
        let mut samples = vec![Sample { at: Duration::MAX, ..Sample::default() }; samples];
        samples.clear();
        Self { samples }
    }

    pub(crate) fn note(&mut self, sample: Sample) {
        if self.samples.len() < self.samples.capacity() {
            self.samples.push(sample);
        }
    }

    /// The most descriptors in any sample.
    pub(crate) fn descriptors_max(&self) -> Option<u64> {
        max(&self.samples, |sample| sample.descriptors)
    }

    /// A line about memory and one about threads; growth is an error.
    pub(crate) fn judge(&self) -> [Result<String, String>; 2] {
        let end = self.samples.last().map_or(Duration::ZERO, |last| last.at);
        let warm_up = (end / 5).max(WARM_UP_MIN);
        let rest = end.saturating_sub(warm_up);
        let between =
            |from, to| self.samples.iter().filter(move |sample| sample.at >= from && sample.at <= to).copied();
        let first: Vec<Sample> = between(warm_up, warm_up + rest / 4).collect();
        let last: Vec<Sample> = between(end - rest / 4, end).collect();
        [memory(&first, &last, warm_up, rest), threads(&self.samples)]
    }
}

fn max(samples: &[Sample], of: impl Fn(&Sample) -> Option<u64>) -> Option<u64> {
    samples.iter().filter_map(of).max()
}

fn memory(first: &[Sample], last: &[Sample], warm_up: Duration, rest: Duration) -> Result<String, String> {
    if rest < WATCH_MIN {
        return Ok("memory: SKIPPED, needs a run of at least 20 s".into());
    }
    let of = |samples| max(samples, |sample| sample.memory_kib);
    let (Some(before), Some(after)) = (of(first), of(last)) else {
        return Ok("memory: SKIPPED, not available on this system".into());
    };
    let least = if warm_up < SHORT { SHORT_TOLERANCE_KIB } else { MEMORY_TOLERANCE_KIB };
    let tolerance = least.max(before / 50);
    let line = format!("memory: {before} KiB at most in the first quarter after the warm-up, {after} KiB in the last");
    if after <= before + tolerance { Ok(line) } else { Err(format!("{line}: more than {tolerance} KiB of growth")) }
}

fn threads(samples: &[Sample]) -> Result<String, String> {
    let counts = || samples.iter().filter_map(|sample| sample.threads);
    let (Some(least), Some(most)) = (counts().min(), counts().max()) else {
        return Ok("threads: SKIPPED, not available on this system".into());
    };
    let kernel = samples.iter().map(|sample| sample.kernel_threads).max().unwrap_or(0);
    let line = format!("threads: {least} to {most}, and at most {kernel} of the kernel's for io_uring");
    if least == most { Ok(line) } else { Err(format!("{line}: the number changed")) }
}
