//! Maps errno values to [`IoError`].

use aurora_http_core::reactor::IoError;
use rustix::io::Errno;

/// The [`IoError`] for an errno value.
///
/// ```
/// use aurora_http_core::reactor::IoError;
/// use rustix::io::Errno;
///
/// assert_eq!(aurora_http_sockets::os_error(Errno::PIPE), IoError::ConnectionReset);
/// assert_eq!(aurora_http_sockets::os_error(Errno::ACCESS), IoError::Os(Errno::ACCESS.raw_os_error()));
/// ```
#[cold]
#[must_use]
pub fn os_error(error: Errno) -> IoError {
    match error {
        Errno::CONNRESET
        | Errno::PIPE
        | Errno::CONNABORTED
        | Errno::NOTCONN
        | Errno::TIMEDOUT
        | Errno::NETRESET
        | Errno::SHUTDOWN
        // macOS returns it from a send while it tears the connection down.
        | Errno::PROTOTYPE
        | Errno::HOSTUNREACH
        | Errno::NETUNREACH => IoError::ConnectionReset,
        // Only io_uring returns it, for a cancelled operation.
        Errno::CANCELED => IoError::Canceled,
        Errno::MFILE | Errno::NFILE => IoError::FileLimit,
        Errno::NOBUFS | Errno::NOMEM => IoError::NoBuffers,
        Errno::BADF | Errno::NOTSOCK | Errno::INVAL | Errno::OPNOTSUPP => IoError::Unsupported,
        other => IoError::Os(other.raw_os_error()),
    }
}

/// The [`IoError`] for an errno value of a call on a stream, where macOS returns EINVAL when the connection is gone.
#[cold]
pub(crate) fn stream_error(error: Errno) -> IoError {
    match error {
        Errno::INVAL => IoError::ConnectionReset,
        other => os_error(other),
    }
}

/// Whether an error of accept(2) concerns a connection that failed before it was accepted, and not the listener, so that
/// accepting goes on. Linux returns pending network errors of the new socket from accept (accept(2), "Error handling").
#[must_use]
pub fn passes(error: Errno) -> bool {
    #[cfg(target_os = "linux")]
    let network = matches!(
        error,
        Errno::PERM
            | Errno::NETDOWN
            | Errno::NOPROTOOPT
            | Errno::HOSTDOWN
            | Errno::NONET
            | Errno::HOSTUNREACH
            | Errno::NETUNREACH
    );
    #[cfg(not(target_os = "linux"))]
    let network = false;
    network || matches!(error, Errno::CONNABORTED | Errno::PROTO)
}
