//! File descriptors: enough of them, or a clear error.

use aurora_http_core::budget::handles_max;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::error::ServerError;

/// Of one worker besides its sockets: the poller and the waker, which may be a pipe.
const PER_WORKER: usize = 3;

/// For the rest of the program: standard streams, signal pipes, files.
const SPARE: u64 = 32;

/// Makes sure that the process may open enough files: raises the soft limit to the hard one when it must.
pub(super) fn ensure(workers: usize, connections: usize, listeners: usize) -> Result<(), ServerError> {
    let needed = needed(workers, connections, listeners);
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_none_or(|soft| soft >= needed) {
        return Ok(());
    }
    let limit = match maximum {
        Some(hard) if hard < needed => hard,
        _ => {
            // All there is, so that the next server has enough too; not every system takes "unlimited".
            let raised = [maximum, Some(needed)].map(|current| Rlimit { current, maximum });
            if raised.into_iter().any(|raised| setrlimit(Resource::Nofile, raised).is_ok()) {
                return Ok(());
            }
            current.unwrap_or(needed)
        }
    };
    Err(ServerError::Descriptors { connections, workers, needed, limit })
}

fn needed(workers: usize, connections: usize, listeners: usize) -> u64 {
    let per_worker = handles_max(connections, listeners).saturating_add(PER_WORKER);
    (workers.saturating_mul(per_worker) as u64).saturating_add(SPARE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_system_allows_is_an_error_with_numbers() {
        let error = ensure(usize::MAX, 1024, 1).unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, ServerError::Descriptors { needed: u64::MAX, .. }), "{text}");
        assert!(text.starts_with("connections = 1024 on "), "{text}");
        assert!(text.contains(&format!("ulimit -n {}", u64::MAX)), "{text}");
        assert!(ensure(1, 1, 1).is_ok());
    }

    #[test]
    fn every_worker_needs_its_sockets_its_poller_and_its_waker() {
        // Connection, lobby, listener, poller, two ends of a waker.
        assert_eq!(needed(1, 1, 1), SPARE + 6);
        assert_eq!(needed(3, 1000, 1), SPARE + 3 * 1005);
        assert_eq!(needed(3, 1000, 4), SPARE + 3 * 1011);
    }
}
