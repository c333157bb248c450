//! Submissions: what is asked of the kernel, and under which name.

use core::ffi::c_void;
use core::mem::transmute;
use core::ptr::NonNull;

use rustix::fd::RawFd;
use rustix::io_uring::{
    IoringOp, IoringRecvFlags, IoringSqeFlags, MsgHdr, SendFlags, SocketFlags, io_uring_sqe, io_uring_user_data,
};
use rustix_uring::squeue::Entry;
use rustix_uring::{opcode, types};

use crate::lent::GROUP;
use crate::table::Target;

/// What a completion is about; with a place in the table it makes the kernel's `user_data`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub(crate) enum Kind {
    Recv,
    Send,
    Accept,
    Close,
    /// The waker's.
    Wake,
    /// A poll in place of a receive, of a send, of an accept: the kernel did not wait itself.
    WaitRecv,
    WaitSend,
    WaitAccept,
    /// Nobody waits for it: a cancel, a probe.
    Nothing,
}

/// Names an operation of the entry `index`.
#[inline]
pub(crate) const fn name(kind: Kind, index: u32) -> u64 {
    (kind as u64) << 32 | index as u64
}

/// The inverse of [`name`].
#[inline]
pub(crate) const fn named(user_data: u64) -> (Kind, u32) {
    let kind = match user_data >> 32 {
        0 => Kind::Recv,
        1 => Kind::Send,
        2 => Kind::Accept,
        3 => Kind::Close,
        4 => Kind::Wake,
        5 => Kind::WaitRecv,
        6 => Kind::WaitSend,
        7 => Kind::WaitAccept,
        _ => Kind::Nothing,
    };
    (kind, user_data as u32)
}

/// Receives into one buffer, or into a lent one that the kernel picks when bytes are there.
///
/// `wait_first`: nothing is expected to be there yet, so that a first attempt would be in vain. The crate's own builder
/// cannot say that.
#[inline]
pub(crate) fn recv(socket: Target, index: u32, into: Option<&mut [u8]>, wait_first: bool) -> Entry {
    let mut sqe = io_uring_sqe { opcode: IoringOp::Recv, ..io_uring_sqe::default() };
    match socket {
        Target::Descriptor(fd) => sqe.fd = fd,
        Target::Fixed(place) => {
            sqe.fd = place as RawFd;
            sqe.flags = IoringSqeFlags::FIXED_FILE;
        }
    }
    match into {
        Some(spare) => {
            sqe.addr_or_splice_off_in.addr = spare.as_mut_ptr().cast::<c_void>().into();
            sqe.len.len = spare.len() as u32;
        }
        None => {
            sqe.flags |= IoringSqeFlags::BUFFER_SELECT;
            sqe.buf.buf_group = GROUP;
        }
    }
    if wait_first {
        sqe.ioprio.recv_flags = IoringRecvFlags::POLL_FIRST;
    }
    sqe.user_data = io_uring_user_data::from_u64(name(Kind::Recv, index));
    raw(sqe)
}

const _: () = assert!(size_of::<io_uring_sqe>() == size_of::<Entry>());

fn raw(sqe: io_uring_sqe) -> Entry {
    // SAFETY: `Entry` is `repr(C)` with an `io_uring_sqe` as its only field.
    unsafe { transmute::<io_uring_sqe, Entry>(sqe) }
}

/// Sends one piece.
#[inline]
pub(crate) fn send(socket: Target, index: u32, bytes: &[u8]) -> Entry {
    let (start, len) = (bytes.as_ptr(), bytes.len() as u32);
    let send = match socket {
        Target::Descriptor(fd) => opcode::Send::new(types::Fd(fd), start, len),
        Target::Fixed(place) => opcode::Send::new(types::Fixed(place), start, len),
    };
    send.flags(SendFlags::NOSIGNAL).build().user_data(io_uring_user_data::from_u64(name(Kind::Send, index)))
}

/// Sends the two pieces that `message` names.
pub(crate) fn send_both(socket: Target, index: u32, message: NonNull<MsgHdr>) -> Entry {
    let send = match socket {
        Target::Descriptor(fd) => opcode::SendMsg::new(types::Fd(fd), message.as_ptr()),
        Target::Fixed(place) => opcode::SendMsg::new(types::Fixed(place), message.as_ptr()),
    };
    send.flags(SendFlags::NOSIGNAL).build().user_data(io_uring_user_data::from_u64(name(Kind::Send, index)))
}

/// Takes a connection. A kernel that does not wait for readiness, because the socket does not block, says EAGAIN.
pub(crate) fn accept(listener: RawFd, index: u32) -> Entry {
    opcode::Accept::new(types::Fd(listener), core::ptr::null_mut(), core::ptr::null_mut())
        .flags(SocketFlags::CLOEXEC)
        .build()
        .user_data(io_uring_user_data::from_u64(name(Kind::Accept, index)))
}

pub(crate) fn close(socket: RawFd, index: u32) -> Entry {
    opcode::Close::new(types::Fd(socket)).build().user_data(io_uring_user_data::from_u64(name(Kind::Close, index)))
}

/// Takes a socket out of the ring's own table; says nothing when it worked.
pub(crate) fn forget(index: u32) -> Entry {
    opcode::Close::new(types::Fixed(index))
        .build()
        .flags(rustix_uring::squeue::Flags::SKIP_SUCCESS)
        .user_data(io_uring_user_data::from_u64(name(Kind::Nothing, 0)))
}

/// Asks for the end of one operation of the entry `index`; says nothing when it worked.
pub(crate) fn cancel(kind: Kind, index: u32) -> Entry {
    opcode::AsyncCancel::new(io_uring_user_data::from_u64(name(kind, index)))
        .build()
        .flags(rustix_uring::squeue::Flags::SKIP_SUCCESS)
        .user_data(io_uring_user_data::from_u64(name(Kind::Nothing, 0)))
}

/// Asks for the end of all accepts of the entry `index`: they have one name, and cancelling one at a time would find the
/// same one again until it is gone.
pub(crate) fn cancel_accepts(index: u32) -> Entry {
    let accepts = types::CancelBuilder::user_data_u64(name(Kind::Accept, index)).all();
    opcode::AsyncCancel2::new(accepts)
        .build()
        .flags(rustix_uring::squeue::Flags::SKIP_SUCCESS)
        .user_data(io_uring_user_data::from_u64(name(Kind::Nothing, 0)))
}

/// Tells once when `eventfd` can be read.
pub(crate) fn wake(eventfd: RawFd) -> Entry {
    ready(Target::Descriptor(eventfd), Kind::Wake, 0)
}

/// Tells once when a socket is ready: to be written to for `WaitSend`, else to be read from.
pub(crate) fn ready(socket: Target, kind: Kind, index: u32) -> Entry {
    const POLLIN: u32 = 1;
    const POLLOUT: u32 = 4;
    let events = if kind == Kind::WaitSend { POLLOUT } else { POLLIN };
    let poll = match socket {
        Target::Descriptor(fd) => opcode::PollAdd::new(types::Fd(fd), events),
        Target::Fixed(place) => opcode::PollAdd::new(types::Fixed(place), events),
    };
    poll.build().user_data(io_uring_user_data::from_u64(name(kind, index)))
}

/// Does nothing, and tells.
pub(crate) fn nop() -> Entry {
    opcode::Nop::new().build().user_data(io_uring_user_data::from_u64(name(Kind::Nothing, 0)))
}

/// What every operation above needs of the kernel.
pub(crate) const NEEDED: [(IoringOp, &str); 8] = [
    (IoringOp::Nop, "its no-op"),
    (IoringOp::Recv, "receives"),
    (IoringOp::Send, "sends"),
    (IoringOp::Sendmsg, "sends in two parts"),
    (IoringOp::Accept, "accepts"),
    (IoringOp::Close, "closing"),
    (IoringOp::AsyncCancel, "cancelling"),
    (IoringOp::PollAdd, "polls"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        let waits = [Kind::WaitRecv, Kind::WaitSend, Kind::WaitAccept];
        for kind in
            [Kind::Recv, Kind::Send, Kind::Accept, Kind::Close, Kind::Wake, Kind::Nothing].into_iter().chain(waits)
        {
            for index in [0, 1, u32::MAX] {
                assert_eq!(named(name(kind, index)), (kind, index));
            }
        }
    }
}
