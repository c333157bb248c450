//! What the other end of a connection has not acknowledged: the emulation asks Linux.
#![allow(unsafe_code)]

use rustix::fd::BorrowedFd;
use rustix::ioctl::{Getter, Opcode, ioctl};

/// `SIOCOUTQ`, which is `TIOCOUTQ` by another name; some architectures number their terminals in their own way.
#[cfg(any(target_arch = "mips", target_arch = "mips32r6", target_arch = "mips64", target_arch = "mips64r6"))]
const SIOCOUTQ: Opcode = 0x7472;
#[cfg(any(target_arch = "powerpc", target_arch = "powerpc64", target_arch = "sparc", target_arch = "sparc64"))]
const SIOCOUTQ: Opcode = 0x4004_7473;
#[cfg(not(any(
    target_arch = "mips",
    target_arch = "mips32r6",
    target_arch = "mips64",
    target_arch = "mips64r6",
    target_arch = "powerpc",
    target_arch = "powerpc64",
    target_arch = "sparc",
    target_arch = "sparc64"
)))]
const SIOCOUTQ: Opcode = 0x5411;

/// Bytes sent and not acknowledged, our FIN among them (tcp(7)); of a Unix-domain socket, the memory that they take until
/// they are read. `None` for a socket that has no such number.
pub(crate) fn unacknowledged(socket: BorrowedFd<'_>) -> Option<u32> {
    // SAFETY: SIOCOUTQ writes one int (tcp(7), unix(7)) where a socket has it, and nothing elsewhere; on a terminal it is
    // the same request with the same type.
    let request = unsafe { Getter::<SIOCOUTQ, i32>::new() };
    // SAFETY: the request is the one described above, and nothing else depends on what it does: it only reads.
    let count = unsafe { ioctl(socket, request) };
    u32::try_from(count.ok()?).ok()
}
