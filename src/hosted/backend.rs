//! The backends by name.

use std::fmt;
use std::str::FromStr;

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
    /// io_uring, on Linux 5.19 and later where it is allowed.
    Uring,
    /// kqueue, on macOS and the BSDs.
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

/// No backend has this name.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct UnknownBackend(String);

impl fmt::Display for UnknownBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "backend = {}: use auto, epoll, uring or kqueue", self.0)
    }
}

impl std::error::Error for UnknownBackend {}

impl FromStr for Backend {
    type Err = UnknownBackend;

    fn from_str(name: &str) -> Result<Self, UnknownBackend> {
        [Self::Auto, Self::Epoll, Self::Uring, Self::Kqueue]
            .into_iter()
            .find(|backend| backend.name() == name)
            .ok_or_else(|| UnknownBackend(name.to_owned()))
    }
}
