//! The system's errors in the words of the core.

use aurora_http_core::reactor::IoError;
use rustix::io::Errno;

/// The system's number in the seam's words.
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
        // What macOS says to a send while it takes the connection down.
        | Errno::PROTOTYPE
        | Errno::HOSTUNREACH
        | Errno::NETUNREACH => IoError::ConnectionReset,
        // Only io_uring says so, of an operation that was cancelled.
        Errno::CANCELED => IoError::Canceled,
        Errno::MFILE | Errno::NFILE => IoError::FileLimit,
        Errno::NOBUFS | Errno::NOMEM => IoError::NoBuffers,
        Errno::BADF | Errno::NOTSOCK | Errno::INVAL | Errno::OPNOTSUPP => IoError::Unsupported,
        other => IoError::Os(other.raw_os_error()),
    }
}

/// What the system says of a stream that it does not look at more closely: macOS finds the call invalid when the
/// connection is gone.
#[cold]
pub(crate) fn stream_error(error: Errno) -> IoError {
    match error {
        Errno::INVAL => IoError::ConnectionReset,
        other => os_error(other),
    }
}

/// Whether an error of accept is one of the connection, which was gone before it was taken, and not of the listener. Linux
/// hands out pending network errors of the new socket as accept's own (accept(2), "Error handling").
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
