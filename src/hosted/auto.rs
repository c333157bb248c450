//! Chooses the backend: the one that was configured, or the best one available.

#[cfg(has_uring)]
use std::thread;
use std::time::Instant;

#[cfg(has_uring)]
use aurora_http_uring::{Refusal, Rungs};
#[cfg(has_uring)]
use rustix::process::{Resource, getrlimit};

use super::backend::Backend;
use super::error::ServerError;
#[cfg(has_uring)]
use super::{holders, threads};

/// A backend that is compiled in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Chosen {
    #[cfg(has_epoll)]
    Epoll,
    #[cfg(has_kqueue)]
    Kqueue,
    /// With the optional kernel features that were found.
    #[cfg(has_uring)]
    Uring(Rungs),
}

impl Chosen {
    pub(super) const fn name(self) -> &'static str {
        self.backend().name()
    }

    pub(super) const fn backend(self) -> Backend {
        match self {
            #[cfg(has_epoll)]
            Self::Epoll => Backend::Epoll,
            #[cfg(has_kqueue)]
            Self::Kqueue => Backend::Kqueue,
            #[cfg(has_uring)]
            Self::Uring(_) => Backend::Uring,
        }
    }

    /// What the backend can use on this system, where that varies; a ring that only polls has no fixed files.
    pub(super) fn detail(self, is_polled: bool) -> Option<String> {
        let _ = is_polled;
        match self {
            #[cfg(has_epoll)]
            Self::Epoll => None,
            #[cfg(has_kqueue)]
            Self::Kqueue => None,
            #[cfg(has_uring)]
            Self::Uring(mut rungs) => {
                rungs.fixed_files &= !is_polled;
                Some(rungs.to_string())
            }
        }
    }
}

/// What [`Backend::Auto`] tries, the best first. Backends that do not exist on the target are left out, so that no note
/// mentions them.
const LADDER: &[Backend] =
    if cfg!(target_os = "linux") { &[Backend::Uring, Backend::Epoll, Backend::Kqueue] } else { &[Backend::Kqueue] };

/// The backend to use and, for [`Backend::Auto`], why better ones were passed over.
pub(super) fn choose(wanted: Backend) -> Result<(Chosen, Option<String>), ServerError> {
    if wanted != Backend::Auto {
        return match probe(wanted) {
            Ok(chosen) => Ok((chosen, None)),
            Err(reason) => Err(ServerError::Backend { backend: wanted, reason }),
        };
    }
    climb_down(LADDER, String::new())
}

/// What [`Backend::Auto`] takes instead of `failed`, which was probed successfully but could not be set up; `None` when
/// `error` has another cause.
pub(super) fn choose_after(
    failed: Chosen,
    error: &ServerError,
) -> Option<Result<(Chosen, Option<String>), ServerError>> {
    let ServerError::Backend { reason, .. } = error else { return None };
    let at = LADDER.iter().position(|backend| backend.name() == failed.name())?;
    Some(climb_down(LADDER.get(at + 1..)?, reason.clone()))
}

fn climb_down(ladder: &[Backend], mut reasons: String) -> Result<(Chosen, Option<String>), ServerError> {
    for &backend in ladder {
        match probe(backend) {
            Ok(chosen) => return Ok((chosen, Some(reasons).filter(|reasons| !reasons.is_empty()))),
            Err(reason) => {
                let separator = if reasons.is_empty() { "" } else { "; " };
                reasons = format!("{reasons}{separator}{reason}");
            }
        }
    }
    Err(ServerError::Backend { backend: Backend::Auto, reason: reasons })
}

/// Whether a backend can be used here, or why not.
fn probe(backend: Backend) -> Result<Chosen, String> {
    let reason = match backend {
        #[cfg(has_epoll)]
        Backend::Epoll => return Ok(Chosen::Epoll),
        #[cfg(not(has_epoll))]
        Backend::Epoll if cfg!(target_os = "linux") => "this build has no epoll backend (cargo feature epoll)",
        #[cfg(not(has_epoll))]
        Backend::Epoll => "epoll exists on Linux only",
        #[cfg(has_uring)]
        Backend::Uring => {
            return probe_uring().map(Chosen::Uring).map_err(|refusal| refusal.to_string());
        }
        #[cfg(not(has_uring))]
        Backend::Uring if cfg!(target_os = "linux") => "this build has no io_uring backend (cargo feature uring)",
        #[cfg(not(has_uring))]
        Backend::Uring => "io_uring exists on Linux only",
        #[cfg(has_kqueue)]
        Backend::Kqueue => return Ok(Chosen::Kqueue),
        #[cfg(not(has_kqueue))]
        Backend::Kqueue if cfg!(kqueue_exists) => "this build has no kqueue backend (cargo feature kqueue)",
        #[cfg(not(has_kqueue))]
        Backend::Kqueue => "kqueue exists on macOS and the BSDs only",
        Backend::Auto => "auto is not a backend",
    };
    Err(reason.to_owned())
}

/// Probes on a separate thread if one can be started: tearing a ring down may interrupt a system call of the thread
/// that used it.
#[cfg(has_uring)]
fn probe_uring() -> Result<Rungs, Refusal> {
    let begun = Instant::now();
    loop {
        let probed = match threads::start("aurora-probe".into(), None, aurora_http_uring::probe) {
            Ok(thread) => thread.join().unwrap_or(Err(Refusal::NoAnswer)),
            Err(_) => aurora_http_uring::probe(),
        };
        match probed {
            Err(Refusal::Memory) if may_have_memory_soon(begun) => thread::sleep(holders::PAUSE),
            probed => return probed,
        }
    }
}

/// Whether memory that the kernel refused for a ring may become available in a moment: the kernel frees a closed ring,
/// or one whose process was killed, with a delay, and counts it as locked memory until then.
#[cfg(has_uring)]
fn may_have_memory_soon(since: Instant) -> bool {
    // If the limit is too low for even one ring, waiting cannot help.
    let least = aurora_http_uring::Uring::queue_bytes(1, 1) as u64;
    let limit = getrlimit(Resource::Memlock).current;
    since.elapsed() < holders::PATIENCE && limit.is_none_or(|limit| limit >= least)
}

/// Whether another attempt to make a worker may succeed in a moment.
pub(super) fn may_pass(error: &ServerError, since: Instant) -> bool {
    #[cfg(has_uring)]
    if let ServerError::Backend { backend: Backend::Uring, reason } = error {
        return *reason == Refusal::Memory.to_string() && may_have_memory_soon(since);
    }
    let _ = (error, since);
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_parsed_as_they_are_printed() {
        for name in ["auto", "epoll", "uring", "kqueue"] {
            assert_eq!(name.parse::<Backend>().unwrap().to_string(), name);
        }
        let error = "iocp".parse::<Backend>().unwrap_err();
        assert_eq!(error.to_string(), "backend = iocp: use auto, epoll, uring or kqueue");
    }

    #[test]
    fn a_backend_that_is_not_compiled_in_is_an_error_and_is_not_replaced() {
        #[cfg(not(has_uring))]
        assert!(choose(Backend::Uring).unwrap_err().to_string().starts_with("backend = uring: "));
        #[cfg(not(has_kqueue))]
        assert!(choose(Backend::Kqueue).unwrap_err().to_string().starts_with("backend = kqueue: "));
        #[cfg(not(has_epoll))]
        assert!(choose(Backend::Epoll).unwrap_err().to_string().starts_with("backend = epoll: "));
    }

    #[cfg(all(has_epoll, not(has_uring)))]
    #[test]
    fn auto_reports_the_backend_that_it_passed_over() {
        let (chosen, note) = choose(Backend::Auto).unwrap();
        let expected = "this build has no io_uring backend (cargo feature uring)";
        assert_eq!((chosen, note.as_deref()), (Chosen::Epoll, Some(expected)));
        assert_eq!(choose(Backend::Epoll).unwrap(), (Chosen::Epoll, None));
    }

    #[cfg(all(has_epoll, has_uring))]
    #[test]
    fn auto_falls_back_to_the_next_backend_and_reports_why() {
        let (chosen, note) = choose(Backend::Auto).unwrap();
        match aurora_http_uring::probe() {
            Ok(rungs) => assert_eq!((chosen, note), (Chosen::Uring(rungs), None)),
            Err(refusal) => assert_eq!((chosen, note), (Chosen::Epoll, Some(refusal.to_string()))),
        }
        let uring = Chosen::Uring(Rungs::default());
        let refused = ServerError::Backend { backend: Backend::Uring, reason: "it rains".into() };
        let (chosen, note) = choose_after(uring, &refused).unwrap().unwrap();
        assert_eq!((chosen, note.as_deref()), (Chosen::Epoll, Some("it rains")));
        let other = ServerError::setting("workers", 0, "none");
        assert!(choose_after(uring, &other).is_none(), "an invalid setting is no reason to try another backend");
    }

    #[cfg(has_kqueue)]
    #[test]
    fn kqueue_is_chosen_by_name_and_where_it_is_the_best() {
        assert_eq!(choose(Backend::Kqueue).unwrap(), (Chosen::Kqueue, None));
        if cfg!(not(target_os = "linux")) {
            assert_eq!(choose(Backend::Auto).unwrap(), (Chosen::Kqueue, None), "no backend was passed over");
        }
    }
}
