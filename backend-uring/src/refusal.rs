//! What is found of io_uring, or why it cannot be used. Names for the other files, and nothing that uses them.

use core::fmt;

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;

/// Which parts of the ladder above its foot were found. `Display` names those that are there, for a start-up line.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Rungs {
    /// Completions are worked on in `wait` and nowhere else (`SINGLE_ISSUER`, `DEFER_TASKRUN`; Linux 6.1).
    pub deferred_work: bool,
    /// The ring is named by its place in the thread's own table, which saves a look-up per turn.
    pub registered_ring: bool,
    /// Connections that stay are named by their place in the ring's own table, which spares the kernel counting
    /// references.
    pub fixed_files: bool,
}

impl Rungs {
    /// The foot of the ladder.
    pub const NONE: Self = Self { deferred_work: false, registered_ring: false, fixed_files: false };
}

impl fmt::Display for Rungs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { deferred_work, registered_ring, fixed_files } = *self;
        let mut separator = "";
        let rungs =
            [(deferred_work, "deferred-work"), (registered_ring, "registered-ring"), (fixed_files, "fixed-files")];
        for (there, name) in rungs {
            if there {
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
    /// The system call does not exist: an old kernel, one built without it, or a seccomp filter that says so.
    Missing,
    /// The administrator switched it off: the value of the sysctl `kernel.io_uring_disabled`, 1 (all but a group) or 2.
    Disabled(u8),
    /// Something else forbids it: a seccomp filter, as container runtimes have, or a security module.
    Forbidden,
    /// The kernel lacks what is named.
    TooOld(&'static str),
    /// The limit of locked memory (RLIMIT_MEMLOCK), or the system's memory, is too small for the queues.
    Memory,
    /// Too many open files. No other backend would get on without descriptors either.
    Files,
    /// It was set up, but a no-op did not come back.
    Mute,
    /// Any other error, by the system's number.
    Os(i32),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str(
                "io_uring is missing: the kernel is too old or was built without it, or a seccomp filter hides it",
            ),
            Self::Disabled(value) => {
                write!(f, "io_uring is switched off (sysctl kernel.io_uring_disabled = {value})")
            }
            Self::Forbidden => f.write_str("io_uring is forbidden: a seccomp filter or a security module refuses it"),
            Self::TooOld(what) => write!(f, "the kernel is too old for io_uring as it is used here: it lacks {what}"),
            Self::Memory => {
                f.write_str("io_uring gets no memory: raise the limit of locked memory (ulimit -l, RLIMIT_MEMLOCK)")
            }
            Self::Files => f.write_str("too many open files"),
            Self::Mute => f.write_str("io_uring does not answer"),
            Self::Os(code) => write!(f, "io_uring fails with system error {code}"),
        }
    }
}

impl core::error::Error for Refusal {}

/// What an error of setting up means.
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

/// The sysctl, where it exists (Linux 6.6) and can be read.
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
    fn errors_of_setting_up_become_reasons() {
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
