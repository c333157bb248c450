//! Assigns workers to CPUs.

use super::error::ServerError;

/// Whether each worker stays on one CPU; see [`Server::pin`](super::Server::pin).
///
/// ```
/// use aurora_http::{Pin, Server};
///
/// # fn main() -> Result<(), aurora_http::ServerError> {
/// let each = Server::bind("127.0.0.1:0")?.workers(4).pin(true); // as Pin::Each
/// let some = Server::bind("127.0.0.1:0")?.workers(2).pin([2, 3]); // as Pin::To(vec![2, 3])
/// # assert_eq!((Pin::from(true), Pin::from([2, 3])), (Pin::Each, Pin::To(vec![2, 3])));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum Pin {
    /// The system may move workers between CPUs.
    #[default]
    Off,
    /// One CPU per worker, in ascending order, out of those that the process may use; starting over if there are more
    /// workers.
    Each,
    /// One CPU per worker out of these, given by number; starting over if there are more workers.
    To(Vec<usize>),
}

impl From<bool> for Pin {
    fn from(each: bool) -> Self {
        if each { Self::Each } else { Self::Off }
    }
}

impl From<Vec<usize>> for Pin {
    fn from(cpus: Vec<usize>) -> Self {
        Self::To(cpus)
    }
}

impl<const N: usize> From<[usize; N]> for Pin {
    fn from(cpus: [usize; N]) -> Self {
        Self::To(cpus.into())
    }
}

/// The CPUs to assign; empty when workers are not pinned.
pub(super) fn cpus(pin: &Pin) -> Result<Vec<usize>, ServerError> {
    match pin {
        Pin::Off => Ok(Vec::new()),
        Pin::Each => system::allowed(),
        Pin::To(cpus) => {
            let setting = |advice: String| ServerError::setting("pin", format!("{cpus:?}"), advice);
            let allowed = system::allowed()?;
            if cpus.is_empty() {
                return Err(setting("name at least one CPU".into()));
            }
            match cpus.iter().find(|cpu| !allowed.contains(cpu)) {
                Some(cpu) => Err(setting(format!("the process may not use CPU {cpu}; use some of {allowed:?}"))),
                None => Ok(cpus.clone()),
            }
        }
    }
}

pub(super) use system::pin_thread;

#[cfg(any(target_os = "linux", target_os = "android"))]
mod system {
    use std::io;

    use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

    use crate::hosted::error::ServerError;

    /// The CPUs that this process may use.
    pub(in crate::hosted) fn allowed() -> Result<Vec<usize>, ServerError> {
        let what = "read the CPU affinity";
        let failed = |error: rustix::io::Errno| ServerError::System { what, error: error.into() };
        let set = sched_getaffinity(None).map_err(failed)?;
        Ok((0..CpuSet::MAX_CPU).filter(|cpu| set.is_set(*cpu)).collect())
    }

    /// Keeps the calling thread on one CPU.
    pub(in crate::hosted) fn pin_thread(cpu: usize) -> io::Result<()> {
        let mut set = CpuSet::new();
        set.set(cpu);
        Ok(sched_setaffinity(None, &set)?)
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod system {
    use std::io;

    use crate::hosted::error::ServerError;

    /// Pinning is implemented on Linux only.
    pub(in crate::hosted) fn allowed() -> Result<Vec<usize>, ServerError> {
        let advice = "unsupported: threads can be pinned on Linux only; leave it out";
        Err(ServerError::setting("pin", "on", advice))
    }

    pub(in crate::hosted) fn pin_thread(_cpu: usize) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn only_cpus_that_may_be_used_are_assigned() {
        let allowed = cpus(&true.into()).unwrap();
        assert!(!allowed.is_empty());
        assert_eq!(cpus(&false.into()).unwrap(), [0; 0]);
        assert_eq!(cpus(&[allowed[0], allowed[0]].into()).unwrap(), [allowed[0]; 2]);
        assert!(cpus(&vec![].into()).unwrap_err().to_string().starts_with("pin = []: name at least one CPU"));
        let error = cpus(&[allowed[0], 1023].into()).unwrap_err().to_string();
        assert!(error.contains("the process may not use CPU 1023; use some of ["), "{error}");
    }

    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    #[test]
    fn elsewhere_pinning_is_reported_as_unsupported() {
        for pin in [Pin::Each, Pin::To(vec![0])] {
            assert!(cpus(&pin).unwrap_err().to_string().starts_with("pin = on: unsupported: "));
        }
        assert!(cpus(&Pin::Off).unwrap().is_empty());
    }
}
