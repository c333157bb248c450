//! CPU time, which other programs disturb less than the time that passes.

use std::time::Duration;

/// The CPU time that this thread has used.
#[cfg(all(unix, not(target_os = "netbsd")))]
pub(crate) fn time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// The time since the first call, where rustix knows no clock for the CPU time of a thread.
#[cfg(any(not(unix), target_os = "netbsd"))]
pub(crate) fn time() -> Duration {
    static START: std::sync::LazyLock<std::time::Instant> = std::sync::LazyLock::new(std::time::Instant::now);
    START.elapsed()
}
