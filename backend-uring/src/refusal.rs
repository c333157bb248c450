//! Which features of io_uring were found, or why it cannot be used. Uses none of the other files.

use core::fmt;

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;

/// Which optional kernel features are in use, beyond what Linux 5.19 has. `Display` lists them, for a start-up line.
///
/// ```
/// use aurora_http_uring::Rungs;
///
/// assert_eq!(Rungs::NONE.to_string(), "basic");
/// ```
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Rungs {
    /// The kernel processes completions only inside `wait` (`SINGLE_ISSUER`, `DEFER_TASKRUN`; Linux 6.1).
    pub deferred_work: bool,
    /// System calls name the ring by a registered index (`IORING_REGISTER_RING_FDS`), which saves a descriptor lookup per
    /// turn.
    pub registered_ring: bool,
    /// Sockets of persistent connections are registered as fixed files, which saves the kernel counting references.
    pub fixed_files: bool,
}

impl Rungs {
    /// No optional feature.
    pub const NONE: Self = Self { deferred_work: false, registered_ring: false, fixed_files: false };
}

impl fmt::Display for Rungs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { deferred_work, registered_ring, fixed_files } = *self;
        let mut separator = "";
        let rungs =
            [(deferred_work, "deferred-work"), (registered_ring, "registered-ring"), (fixed_files, "fixed-files")];
        for (found, name) in rungs {
            if found {
                write!(f, "{separator}{name}")?;
                separator = "+";
            }
        }
        if separator.is_empty() { f.write_str("basic") } else { Ok(()) }
    }
}

/// Why io_uring cannot be used.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Refusal {
    /// The system call does not exist (ENOSYS): the kernel is too old or was built without it, or a seccomp filter hides it.
    Missing,
    /// The administrator disabled it: the value of the sysctl `kernel.io_uring_disabled`, 1 (for all but one group) or 2
    /// (for everyone).
    Disabled(u8),
    /// A seccomp filter, such as a container runtime's, or a security module forbids it.
    Forbidden,
    /// The kernel lacks the feature named here.
    TooOld(&'static str),
    /// The limit on locked memory (RLIMIT_MEMLOCK), or the system's memory, is too small for the queues.
    Memory,
    /// Too many open files. Other backends need descriptors as well, so they would fail too.
    Files,
    /// The ring was set up, but a no-op did not complete within a second.
    NoAnswer,
    /// Any other errno value.
    Os(i32),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str(
                "io_uring is missing: the kernel is too old or was built without it, or a seccomp filter hides it",
            ),
            Self::Disabled(value) => {
                write!(f, "io_uring is disabled (sysctl kernel.io_uring_disabled = {value})")
            }
            Self::Forbidden => f.write_str("io_uring is forbidden: a seccomp filter or a security module refuses it"),
            Self::TooOld(what) => write!(f, "the kernel's io_uring is too old: it lacks {what}"),
            Self::Memory => f.write_str(
                "io_uring cannot allocate its queues: raise the limit on locked memory (ulimit -l, RLIMIT_MEMLOCK)",
            ),
            Self::Files => f.write_str("too many open files"),
            Self::NoAnswer => f.write_str("io_uring does not complete a no-op"),
            Self::Os(code) => write!(f, "io_uring fails with system error {code}"),
        }
    }
}

impl core::error::Error for Refusal {}

/// The reason behind an error of setting up.
#[cold]
pub(crate) fn refusal(error: Errno) -> Refusal {
    match error {
        Errno::NOSYS => Refusal::Missing,
        Errno::PERM | Errno::ACCESS => match disabled() {
            Some(value @ 1..) => Refusal::Disabled(value),
            _ => Refusal::Forbidden,
        },
        Errno::INVAL => Refusal::TooOld("the queues of Linux 5.19"),
        Errno::NOMEM => Refusal::Memory,
        Errno::MFILE | Errno::NFILE => Refusal::Files,
        other => Refusal::Os(other.raw_os_error()),
    }
}

/// The value of the sysctl, if it exists (since Linux 6.6) and can be read.
fn disabled() -> Option<u8> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let file = openat(CWD, c"/proc/sys/kernel/io_uring_disabled", flags, Mode::empty()).ok()?;
    let mut digit = [0];
    rustix::io::read(&file, &mut digit).ok()?;
    digit[0].checked_sub(b'0').filter(|value| *value <= 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn setup_errors_map_to_refusals() {
        for (error, expected) in [
            (Errno::NOSYS, Refusal::Missing),
            (Errno::INVAL, Refusal::TooOld("the queues of Linux 5.19")),
            (Errno::NOMEM, Refusal::Memory),
            (Errno::MFILE, Refusal::Files),
            (Errno::NFILE, Refusal::Files),
            (Errno::IO, Refusal::Os(5)),
        ] {
            assert_eq!(refusal(error), expected);
        }
        assert!(matches!(refusal(Errno::PERM), Refusal::Forbidden | Refusal::Disabled(1 | 2)));
    }
}
