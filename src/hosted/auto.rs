//! Which backend serves: asked for by name, or the best one that is there.

use std::fmt;
use std::str::FromStr;

use super::error::ServerError;

/// What performs the I/O.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Backend {
    /// The best one that this build has and this system allows; [`Announcement::note`](super::Announcement::note) says
    /// why the better ones were passed over.
    #[default]
    Auto,
    /// epoll, on Linux.
    Epoll,
    /// io_uring, on Linux. Planned: this version answers with an error.
    Uring,
    /// kqueue, on macOS and FreeBSD.
    Kqueue,
}

impl Backend {
    /// Its name on command lines and in the start-up line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Epoll => "epoll",
            Self::Uring => "uring",
            Self::Kqueue => "kqueue",
        }
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Backend {
    type Err = ServerError;

    fn from_str(name: &str) -> Result<Self, ServerError> {
        [Self::Auto, Self::Epoll, Self::Uring, Self::Kqueue]
            .into_iter()
            .find(|backend| backend.name() == name)
            .ok_or_else(|| ServerError::setting("backend", name, "use auto, epoll, uring or kqueue"))
    }
}

/// A backend that this build has.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Chosen {
    #[cfg(has_epoll)]
    Epoll,
    #[cfg(has_kqueue)]
    Kqueue,
}

impl Chosen {
    pub(super) const fn name(self) -> &'static str {
        match self {
            #[cfg(has_epoll)]
            Self::Epoll => "epoll",
            #[cfg(has_kqueue)]
            Self::Kqueue => "kqueue",
        }
    }
}

/// What [`Backend::Auto`] tries, the best first. What can never be there is not worth a word.
const LADDER: &[Backend] =
    if cfg!(target_os = "linux") { &[Backend::Uring, Backend::Epoll, Backend::Kqueue] } else { &[Backend::Kqueue] };

/// The backend to use and, for [`Backend::Auto`], why no better one.
pub(super) fn choose(wanted: Backend) -> Result<(Chosen, Option<String>), ServerError> {
    if wanted != Backend::Auto {
        return match probe(wanted) {
            Ok(chosen) => Ok((chosen, None)),
            Err(reason) => Err(ServerError::Backend { backend: wanted, reason: reason.into() }),
        };
    }
    let mut reasons = String::new();
    for &backend in LADDER {
        match probe(backend) {
            Ok(chosen) => return Ok((chosen, Some(reasons).filter(|reasons| !reasons.is_empty()))),
            Err(reason) => {
                let separator = if reasons.is_empty() { "" } else { "; " };
                reasons = format!("{reasons}{separator}{reason}");
            }
        }
    }
    Err(ServerError::Backend { backend: wanted, reason: reasons })
}

/// Whether a backend can be used here, or why not.
fn probe(backend: Backend) -> Result<Chosen, &'static str> {
    match backend {
        #[cfg(has_epoll)]
        Backend::Epoll => Ok(Chosen::Epoll),
        #[cfg(not(has_epoll))]
        Backend::Epoll if cfg!(target_os = "linux") => Err("this build has no epoll backend (cargo feature epoll)"),
        #[cfg(not(has_epoll))]
        Backend::Epoll => Err("epoll exists on Linux only"),
        Backend::Uring => Err("this build has no io_uring backend"),
        #[cfg(has_kqueue)]
        Backend::Kqueue => Ok(Chosen::Kqueue),
        #[cfg(not(has_kqueue))]
        Backend::Kqueue if cfg!(any(target_vendor = "apple", target_os = "freebsd")) => {
            Err("this build has no kqueue backend (cargo feature kqueue)")
        }
        #[cfg(not(has_kqueue))]
        Backend::Kqueue => Err("the kqueue backend is for macOS and FreeBSD"),
        Backend::Auto => Err("auto is no backend"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for name in ["auto", "epoll", "uring", "kqueue"] {
            assert_eq!(name.parse::<Backend>().unwrap().to_string(), name);
        }
        let error = "iocp".parse::<Backend>().unwrap_err();
        assert_eq!(error.to_string(), "backend = iocp: use auto, epoll, uring or kqueue");
    }

    #[test]
    fn what_is_not_built_in_is_an_error_and_never_another_backend() {
        let error = choose(Backend::Uring).unwrap_err().to_string();
        assert!(error.starts_with("backend = uring: this build has no io_uring backend"), "{error}");
        #[cfg(not(has_kqueue))]
        assert!(choose(Backend::Kqueue).unwrap_err().to_string().starts_with("backend = kqueue: "));
        #[cfg(not(has_epoll))]
        assert!(choose(Backend::Epoll).unwrap_err().to_string().starts_with("backend = epoll: "));
    }

    #[cfg(has_epoll)]
    #[test]
    fn auto_says_what_it_passed_over() {
        let (chosen, note) = choose(Backend::Auto).unwrap();
        assert_eq!((chosen, note.as_deref()), (Chosen::Epoll, Some("this build has no io_uring backend")));
        assert_eq!(choose(Backend::Epoll).unwrap(), (Chosen::Epoll, None));
    }

    #[cfg(has_kqueue)]
    #[test]
    fn kqueue_is_taken_by_name_and_where_there_is_nothing_better() {
        assert_eq!(choose(Backend::Kqueue).unwrap(), (Chosen::Kqueue, None));
        if cfg!(not(target_os = "linux")) {
            assert_eq!(choose(Backend::Auto).unwrap(), (Chosen::Kqueue, None), "and nothing was passed over");
        }
    }
}
