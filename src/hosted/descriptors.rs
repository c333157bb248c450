//! Makes sure that there are enough file descriptors, or reports a clear error.

use aurora_http_core::budget::handles_max;
use aurora_http_sockets::stream_socket;
use rustix::io::{Errno, fcntl_dupfd_cloexec};
use rustix::net::AddressFamily;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::error::ServerError;

/// What a worker needs besides its sockets: the poller, and the waker, which may be a pipe.
const PER_WORKER: usize = 3;

/// What the rest of the program needs: standard streams, signal pipes, files.
const SPARE: u64 = 32;

/// Makes sure that the process may open enough files: raises the soft limit to the hard one if it is too low.
pub(super) fn ensure(workers: usize, connections: usize, listeners: usize) -> Result<(), ServerError> {
    let needed = needed(workers, connections, listeners);
    let limit = match raise(needed) {
        // On macOS, more than this limit caps the descriptors of a process.
        Ok(()) if cfg!(target_os = "linux") || is_allowed(needed) => return Ok(()),
        Ok(()) => most_allowed(needed),
        Err(limit) => limit,
    };
    Err(ServerError::Descriptors { connections, workers, needed, limit })
}

/// Raises the soft limit to the hard one if it is less than `needed`. If that is not enough, the error is the limit in
/// force.
fn raise(needed: u64) -> Result<(), u64> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_none_or(|soft| soft >= needed) {
        return Ok(());
    }
    if let Some(hard) = maximum.filter(|hard| *hard < needed) {
        return Err(hard);
    }
    // To the maximum, so that the next server has enough too; not every system accepts "unlimited".
    let raised = [maximum, Some(needed)].map(|current| Rlimit { current, maximum });
    if raised.into_iter().any(|raised| setrlimit(Resource::Nofile, raised).is_ok()) {
        return Ok(());
    }
    Err(current.unwrap_or(needed))
}

/// Whether the system hands out the highest of this many descriptors. This tries it, because not every limit can be
/// read.
fn is_allowed(descriptors: u64) -> bool {
    let Ok(highest) = i32::try_from(descriptors.saturating_sub(1)) else { return false };
    let Ok(any) = stream_socket(AddressFamily::UNIX) else { return false };
    // EINVAL means "beyond the limit"; any other error says nothing about the limit.
    !matches!(fcntl_dupfd_cloexec(&any, highest), Err(Errno::INVAL))
}

/// The most descriptors that are allowed, given that `beyond` are not.
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
    // Each listener twice: a duplicate is kept for the replacement of a worker whose handler panicked.
    let per_worker = handles_max(connections, listeners).saturating_add(listeners).saturating_add(PER_WORKER);
    (workers.saturating_mul(per_worker) as u64).saturating_add(SPARE)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A single test, because `ensure` raises the limit of the whole process.
    #[test]
    fn limits_are_probed_and_too_many_descriptors_are_an_error_with_numbers() {
        assert!(is_allowed(16));
        assert!(!is_allowed(u64::MAX));
        // Probing makes the kernel's table grow, so not with a limit of billions.
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
    fn every_worker_needs_descriptors_for_sockets_poller_and_waker() {
        // Connection, lobby, listener and its duplicate, poller, two ends of a waker.
        assert_eq!(needed(1, 1, 1), SPARE + 7);
        assert_eq!(needed(3, 1000, 1), SPARE + 3 * 1006);
        assert_eq!(needed(3, 1000, 4), SPARE + 3 * 1015);
    }
}
