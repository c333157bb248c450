//! The names of the backends.

use std::fmt;
use std::str::FromStr;

/// The system interface that performs the I/O, for [`Server::backend`](super::Server::backend).
///
/// A command line's or a configuration file's text becomes one by [`parse`](str::parse):
///
/// ```
/// use aurora_http::{Backend, Server};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let name = "uring"; // from the command line, say
/// let server = Server::bind("127.0.0.1:0")?.backend(name.parse()?);
/// assert_eq!("auto".parse(), Ok(Backend::Auto));
/// assert!("iocp".parse::<Backend>().is_err());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Backend {
    /// The best backend that is compiled in and that the system allows;
    /// [`Announcement::note`](super::Announcement::note) says why better ones were passed over.
    #[default]
    Auto,
    /// epoll, on Linux.
    Epoll,
    /// io_uring, on Linux 5.19 and later, where the system allows it.
    Uring,
    /// kqueue, on macOS and the BSDs.
    Kqueue,
}

impl Backend {
    /// The name, as [`FromStr`] parses it and the start-up line shows it.
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

/// The error of parsing a [`Backend`]: no backend has this name.
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
