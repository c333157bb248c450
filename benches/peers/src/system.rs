//! What the kernel says about processes and CPUs.

use std::fs;
use std::ops::Sub;

/// CPU time of a server.
#[derive(Clone, Copy, Debug, Default)]
pub struct CpuTime {
    /// In nanoseconds, from the scheduler.
    pub total_ns: u64,
    /// In ticks, by sampling.
    pub user_ticks: u64,
    pub system_ticks: u64,
}

impl Sub for CpuTime {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self {
            total_ns: self.total_ns.saturating_sub(before.total_ns),
            user_ticks: self.user_ticks.saturating_sub(before.user_ticks),
            system_ticks: self.system_ticks.saturating_sub(before.system_ticks),
        }
    }
}

impl CpuTime {
    /// User time's share, as far as ticks can tell.
    pub fn user_share(&self) -> f64 {
        let ticks = self.user_ticks + self.system_ticks;
        if ticks == 0 { 0.0 } else { self.user_ticks as f64 / ticks as f64 }
    }
}

/// A process and its descendants.
pub fn processes(root: u32) -> Vec<u32> {
    let all = fs::read_dir("/proc").into_iter().flatten().flatten();
    let ids = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let parents: Vec<(u32, u64)> = ids.filter_map(|id| Some((id, stat(id)?[1]))).collect();
    let mut found = vec![root];
    let mut at = 0;
    while at < found.len() {
        let parent = u64::from(found[at]);
        found.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(id, _)| *id));
        at += 1;
    }
    found
}

/// The CPU time that a process and its descendants have used.
pub fn cpu_time(root: u32) -> CpuTime {
    let mut sum = CpuTime::default();
    for id in processes(root) {
        let Some(fields) = stat(id) else { continue };
        sum.user_ticks += fields[11];
        sum.system_ticks += fields[12];
        for task in fs::read_dir(format!("/proc/{id}/task")).into_iter().flatten().flatten() {
            let text = fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
            sum.total_ns += text.split(' ').next().and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
        }
    }
    sum
}

/// Resident memory of a process and its descendants, in bytes.
pub fn resident(root: u32) -> u64 {
    let pages = |id| fs::read_to_string(format!("/proc/{id}/statm")).ok()?.split(' ').nth(1)?.parse::<u64>().ok();
    processes(root).into_iter().filter_map(pages).sum::<u64>() * rustix::param::page_size() as u64
}

/// The fields of `/proc/ID/stat` after the name; what is not a number becomes 0.
fn stat(id: u32) -> Option<Vec<u64>> {
    let text = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    let fields: Vec<u64> =
        text.rsplit_once(')')?.1.split_whitespace().map(|field| field.parse().unwrap_or(0)).collect();
    (fields.len() > 12).then_some(fields)
}

/// What some CPUs have done, in ticks.
#[derive(Clone, Copy, Debug, Default)]
pub struct CpuTicks {
    pub busy: u64,
    pub stolen: u64,
}

impl Sub for CpuTicks {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self { busy: self.busy - before.busy, stolen: self.stolen - before.stolen }
    }
}

/// The sums over these CPUs.
pub fn cpu_ticks(cpus: &[usize]) -> CpuTicks {
    let text = fs::read_to_string("/proc/stat").unwrap_or_default();
    let mut sum = CpuTicks::default();
    for line in text.lines() {
        let mut fields = line.split_whitespace();
        let cpu = fields.next().and_then(|name| name.strip_prefix("cpu")?.parse().ok());
        if !cpu.is_some_and(|cpu: usize| cpus.contains(&cpu)) {
            continue;
        }
        let ticks: Vec<u64> = fields.filter_map(|field| field.parse().ok()).collect();
        // user nice system idle iowait irq softirq steal
        if let [user, nice, system, _, _, irq, softirq, steal, ..] = ticks[..] {
            sum.busy += user + nice + system + irq + softirq;
            sum.stolen += steal;
        }
    }
    sum
}

/// Ticks per second.
pub fn ticks_per_second() -> f64 {
    rustix::param::clock_ticks_per_second() as f64
}

pub fn load_average() -> String {
    fs::read_to_string("/proc/loadavg").unwrap_or_default().trim().to_owned()
}

/// The model of the first CPU.
pub fn cpu_model() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    model.map_or_else(|| "unknown".to_owned(), |(_, model)| model.trim().to_owned())
}

pub fn kernel() -> String {
    fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned()
}
