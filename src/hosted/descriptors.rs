//! File descriptors: enough of them, or a clear error.

use aurora_http_core::budget::handles_max;
use aurora_http_sockets::stream_socket;
use rustix::io::{Errno, fcntl_dupfd_cloexec};
use rustix::net::AddressFamily;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::error::ServerError;

/// Of one worker besides its sockets: the poller and the waker, which may be a pipe.
const PER_WORKER: usize = 3;

/// For the rest of the program: standard streams, signal pipes, files.
const SPARE: u64 = 32;

/// Makes sure that the process may open enough files: raises the soft limit to the hard one when it must.
pub(super) fn ensure(workers: usize, connections: usize, listeners: usize) -> Result<(), ServerError> {
    let needed = needed(workers, connections, listeners);
    let limit = match raise(needed) {
        // What a process may have is capped by more than its limit on macOS.
        Ok(()) if cfg!(target_os = "linux") || is_allowed(needed) => return Ok(()),
        Ok(()) => most_allowed(needed),
        Err(limit) => limit,
    };
    Err(ServerError::Descriptors { connections, workers, needed, limit })
}

/// Raises the soft limit to the hard one when it is less than `needed`; the limit that stays when that does not help.
fn raise(needed: u64) -> Result<(), u64> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_none_or(|soft| soft >= needed) {
        return Ok(());
    }
    if let Some(hard) = maximum.filter(|hard| *hard < needed) {
        return Err(hard);
    }
    // All there is, so that the next server has enough too; not every system takes "unlimited".
    let raised = [maximum, Some(needed)].map(|current| Rlimit { current, maximum });
    if raised.into_iter().any(|raised| setrlimit(Resource::Nofile, raised).is_ok()) {
        return Ok(());
    }
    Err(current.unwrap_or(needed))
}

/// Whether the system gives out the highest of so many descriptors. Asked of the system itself, because not every limit
/// can be read.
fn is_allowed(descriptors: u64) -> bool {
    let Ok(highest) = i32::try_from(descriptors.saturating_sub(1)) else { return false };
    let Ok(any) = stream_socket(AddressFamily::UNIX) else { return false };
    // EINVAL is "beyond the limit"; anything else is no answer to that.
    !matches!(fcntl_dupfd_cloexec(&any, highest), Err(Errno::INVAL))
}

/// The most that are allowed, when `beyond` are not.
fn most_allowed(beyond: u64) -> u64 {
    let (mut allowed, mut beyond) = (0, beyond.min(i32::MAX as u64 + 1));
    while beyond - allowed > 1 {
        let middle = allowed + (beyond - allowed) / 2;
        if is_allowed(middle) {
            allowed = middle;
        } else {
            beyond = middle;
        }
    }
    allowed
}

fn needed(workers: usize, connections: usize, listeners: usize) -> u64 {
    // Each listener once more, for the worker that takes the place of one whose handler panicked.
    let per_worker = handles_max(connections, listeners).saturating_add(listeners).saturating_add(PER_WORKER);
    (workers.saturating_mul(per_worker) as u64).saturating_add(SPARE)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One test: `ensure` raises the limit of the whole process.
    #[test]
    fn the_system_is_asked_and_what_no_system_allows_is_an_error_with_numbers() {
        assert!(is_allowed(16));
        assert!(!is_allowed(u64::MAX));
        // The kernel's table grows for the question: not to billions.
        if let Some(limit) = getrlimit(Resource::Nofile).current.filter(|limit| *limit <= 1 << 20) {
            assert!(!is_allowed(limit + 1));
            let most = most_allowed(limit + 1);
            assert!(is_allowed(most) && !is_allowed(most + 1));
            assert!(most == limit || cfg!(not(target_os = "linux")), "{most} of {limit}");
        }

        let error = ensure(usize::MAX, 1024, 1).unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, ServerError::Descriptors { needed: u64::MAX, .. }), "{text}");
        assert!(text.starts_with("connections = 1024 on "), "{text}");
        assert!(text.contains(&format!("ulimit -n {}", u64::MAX)), "{text}");
        assert!(ensure(1, 1, 1).is_ok());
    }

    #[test]
    fn every_worker_needs_its_sockets_its_poller_and_its_waker() {
        // Connection, lobby, listener, that once more, poller, two ends of a waker.
        assert_eq!(needed(1, 1, 1), SPARE + 7);
        assert_eq!(needed(3, 1000, 1), SPARE + 3 * 1006);
        assert_eq!(needed(3, 1000, 4), SPARE + 3 * 1015);
    }
}
