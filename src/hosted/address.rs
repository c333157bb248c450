//! The addresses that a server actually listens on.

use std::ffi::OsStr;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use rustix::net::{AddressFamily, SocketAddrUnix, getsockname};

/// The address of a listener. `Display` gives `127.0.0.1:8080`, `unix:/run/server.sock`, `unix:@abstract`.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum ListenAddr {
    /// An address and a port: the actual one if port 0 was configured.
    Ip(SocketAddr),
    /// The path of a Unix-domain socket; for an abstract one, its name after an `@`; empty where the system does not
    /// tell.
    Unix(PathBuf),
}

impl ListenAddr {
    /// The address of an open socket.
    pub(super) fn of(socket: impl AsFd) -> rustix::io::Result<Self> {
        let address = getsockname(socket)?;
        if address.address_family() != AddressFamily::UNIX {
            return SocketAddr::try_from(address).map(Self::Ip);
        }
        // On macOS a path that was bound without its NUL cannot be read back.
        let Ok(address) = SocketAddrUnix::try_from(address) else { return Ok(Self::Unix(PathBuf::new())) };
        let path = address.path_bytes().map(|path| PathBuf::from(OsStr::from_bytes(path)));
        #[cfg(target_os = "linux")]
        let path = path.or_else(|| Some(format!("@{}", address.abstract_name()?.escape_ascii()).into()));
        Ok(Self::Unix(path.unwrap_or_default()))
    }

    /// The address and port, of an IP listener.
    #[must_use]
    pub const fn ip(&self) -> Option<SocketAddr> {
        match self {
            Self::Ip(address) => Some(*address),
            Self::Unix(_) => None,
        }
    }
}

/// The first IP address and port; all zeros when there are only Unix-domain sockets.
pub(super) fn first_ip(addresses: &[ListenAddr]) -> SocketAddr {
    let none = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
    addresses.iter().find_map(ListenAddr::ip).unwrap_or(none)
}

impl fmt::Display for ListenAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => write!(f, "{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}
