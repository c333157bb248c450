//! Which CPU runs what.

use std::fs;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// The CPUs of server and client.
#[derive(Clone, Debug)]
pub struct Cores {
    /// All CPUs that this process may use, one per core.
    pub all: Vec<usize>,
}

impl Cores {
    /// One CPU for each core that this process may use: two threads of a core would share it.
    pub fn find() -> Result<Self, String> {
        let allowed = sched_getaffinity(None).map_err(|error| format!("sched_getaffinity: {error}"))?;
        let mut all: Vec<usize> = Vec::new();
        let mut taken = Vec::new();
        for cpu in (0..CpuSet::MAX_CPU).filter(|cpu| allowed.is_set(*cpu)) {
            let path = format!("/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list");
            let core = fs::read_to_string(path).unwrap_or_else(|_| cpu.to_string());
            if !taken.contains(&core) {
                taken.push(core);
                all.push(cpu);
            }
        }
        Ok(Self { all })
    }

    /// The CPUs of a server with this many workers that are to run at the same time.
    ///
    /// # Errors
    /// If none would be left for the client.
    pub fn of_server(&self, cores: usize) -> Result<&[usize], String> {
        let count = self.all.len();
        if count <= cores {
            return Err(format!("{cores} cores for the server and one for the client: there are only {count}"));
        }
        Ok(&self.all[..cores])
    }

    /// The client's CPU.
    pub fn of_client(&self) -> usize {
        *self.all.last().expect("this program runs somewhere")
    }
}

/// Restricts this thread, and what it starts from now on, to these CPUs.
pub fn pin(cpus: &[usize]) -> Result<(), String> {
    let mut set = CpuSet::new();
    cpus.iter().for_each(|cpu| set.set(*cpu));
    sched_setaffinity(None, &set).map_err(|error| format!("sched_setaffinity to {cpus:?}: {error}"))
}
