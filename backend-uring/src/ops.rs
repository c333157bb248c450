//! Building submissions, and the `user_data` that identifies their completions.

use core::ffi::c_void;
use core::mem::transmute;
use core::ptr::NonNull;

use rustix::event::epoll::EventFlags;
use rustix::fd::RawFd;
use rustix::io_uring::{
    IoringOp, IoringRecvFlags, IoringSqeFlags, MsgHdr, SendFlags, SocketFlags, io_uring_sqe, io_uring_user_data,
};
use rustix_uring::squeue::Entry;
use rustix_uring::{opcode, types};

use crate::lent::GROUP;
use crate::table::Target;

/// The kind of operation that a completion belongs to; together with a table index it makes up `user_data`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub(crate) enum Kind {
    Recv,
    Send,
    Accept,
    Close,
    /// The poll on the waker's eventfd.
    Wake,
    /// A poll that waits on behalf of a receive, a send or an accept, because the kernel would not let that wait itself.
    WaitRecv,
    WaitSend,
    WaitAccept,
    /// The lasting poll of a poller on one of its sockets; the index is the socket's key.
    Poll,
    /// The result does not matter: a cancel, a no-op.
    Nothing,
}

/// The `user_data` of an operation on the entry `index`.
#[inline]
pub(crate) const fn user_data(kind: Kind, index: u32) -> u64 {
    (kind as u64) << 32 | index as u64
}

/// The inverse of [`user_data`].
#[inline]
pub(crate) const fn parse_user_data(user_data: u64) -> (Kind, u32) {
    let kind = match user_data >> 32 {
        0 => Kind::Recv,
        1 => Kind::Send,
        2 => Kind::Accept,
        3 => Kind::Close,
        4 => Kind::Wake,
        5 => Kind::WaitRecv,
        6 => Kind::WaitSend,
        7 => Kind::WaitAccept,
        8 => Kind::Poll,
        _ => Kind::Nothing,
    };
    (kind, user_data as u32)
}

/// Receives into a given buffer, or into a lent one that the kernel picks when data arrives.
///
/// `wait_first` skips the first attempt, for a socket that is not expected to be readable yet. The builder of
/// rustix_uring has no such flag, so the entry is built by hand.
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
    sqe.user_data = io_uring_user_data::from_u64(user_data(Kind::Recv, index));
    raw(sqe)
}

const _: () = assert!(size_of::<io_uring_sqe>() == size_of::<Entry>());

fn raw(sqe: io_uring_sqe) -> Entry {
    // SAFETY: `Entry` is `repr(C)` with an `io_uring_sqe` as its only field.
    unsafe { transmute::<io_uring_sqe, Entry>(sqe) }
}

/// Sends one slice.
#[inline]
pub(crate) fn send(socket: Target, index: u32, bytes: &[u8]) -> Entry {
    let (start, len) = (bytes.as_ptr(), bytes.len() as u32);
    let send = match socket {
        Target::Descriptor(fd) => opcode::Send::new(types::Fd(fd), start, len),
        Target::Fixed(place) => opcode::Send::new(types::Fixed(place), start, len),
    };
    send.flags(SendFlags::NOSIGNAL).build().user_data(io_uring_user_data::from_u64(user_data(Kind::Send, index)))
}

/// Sends the two slices of `message`.
pub(crate) fn send_both(socket: Target, index: u32, message: NonNull<MsgHdr>) -> Entry {
    let send = match socket {
        Target::Descriptor(fd) => opcode::SendMsg::new(types::Fd(fd), message.as_ptr()),
        Target::Fixed(place) => opcode::SendMsg::new(types::Fixed(place), message.as_ptr()),
    };
    send.flags(SendFlags::NOSIGNAL).build().user_data(io_uring_user_data::from_u64(user_data(Kind::Send, index)))
}

/// Accepts a connection. Some kernels return EAGAIN for a non-blocking listener instead of waiting.
pub(crate) fn accept(listener: RawFd, index: u32) -> Entry {
    opcode::Accept::new(types::Fd(listener), core::ptr::null_mut(), core::ptr::null_mut())
        .flags(SocketFlags::CLOEXEC)
        .build()
        .user_data(io_uring_user_data::from_u64(user_data(Kind::Accept, index)))
}

pub(crate) fn close(socket: RawFd, index: u32) -> Entry {
    opcode::Close::new(types::Fd(socket)).build().user_data(io_uring_user_data::from_u64(user_data(Kind::Close, index)))
}

/// Removes a fixed file; posts a completion only on failure.
pub(crate) fn unregister_file(index: u32) -> Entry {
    opcode::Close::new(types::Fixed(index))
        .build()
        .flags(rustix_uring::squeue::Flags::SKIP_SUCCESS)
        .user_data(io_uring_user_data::from_u64(user_data(Kind::Nothing, 0)))
}

/// Cancels one operation of the entry `index`; posts a completion only on failure.
pub(crate) fn cancel(kind: Kind, index: u32) -> Entry {
    opcode::AsyncCancel::new(io_uring_user_data::from_u64(user_data(kind, index)))
        .build()
        .flags(rustix_uring::squeue::Flags::SKIP_SUCCESS)
        .user_data(io_uring_user_data::from_u64(user_data(Kind::Nothing, 0)))
}

/// Cancels all accepts of the entry `index`. They share one `user_data`; cancelling them one at a time would find the same
/// one again until it has completed.
pub(crate) fn cancel_accepts(index: u32) -> Entry {
    let accepts = types::CancelBuilder::user_data_u64(user_data(Kind::Accept, index)).all();
    opcode::AsyncCancel2::new(accepts)
        .build()
        .flags(rustix_uring::squeue::Flags::SKIP_SUCCESS)
        .user_data(io_uring_user_data::from_u64(user_data(Kind::Nothing, 0)))
}

/// Completes once `eventfd` is readable.
pub(crate) fn wake(eventfd: RawFd) -> Entry {
    ready(Target::Descriptor(eventfd), Kind::Wake, 0)
}

/// Completes once a socket is ready: writable for `WaitSend`, readable otherwise.
pub(crate) fn ready(socket: Target, kind: Kind, index: u32) -> Entry {
    const POLLIN: u32 = 1;
    const POLLOUT: u32 = 4;
    let events = if kind == Kind::WaitSend { POLLOUT } else { POLLIN };
    let poll = match socket {
        Target::Descriptor(fd) => opcode::PollAdd::new(types::Fd(fd), events),
        Target::Fixed(place) => opcode::PollAdd::new(types::Fixed(place), events),
    };
    poll.build().user_data(io_uring_user_data::from_u64(user_data(kind, index)))
}

/// Completes whenever one of `events` happens, once for each, until it is cancelled (`IORING_POLL_ADD_MULTI`).
pub(crate) fn events(descriptor: RawFd, events: EventFlags, kind: Kind, index: u32) -> Entry {
    opcode::PollAdd::new(types::Fd(descriptor), events.bits())
        .multi(true)
        .build()
        .user_data(io_uring_user_data::from_u64(user_data(kind, index)))
}

/// Does nothing, and completes.
pub(crate) fn nop() -> Entry {
    opcode::Nop::new().build().user_data(io_uring_user_data::from_u64(user_data(Kind::Nothing, 0)))
}

/// The opcodes that the kernel must support, with their names in a [`Refusal`](crate::Refusal).
pub(crate) const NEEDED: [(IoringOp, &str); 8] = [
    (IoringOp::Nop, "IORING_OP_NOP"),
    (IoringOp::Recv, "IORING_OP_RECV"),
    (IoringOp::Send, "IORING_OP_SEND"),
    (IoringOp::Sendmsg, "IORING_OP_SENDMSG"),
    (IoringOp::Accept, "IORING_OP_ACCEPT"),
    (IoringOp::Close, "IORING_OP_CLOSE"),
    (IoringOp::AsyncCancel, "IORING_OP_ASYNC_CANCEL"),
    (IoringOp::PollAdd, "IORING_OP_POLL_ADD"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_data_survives_a_round_trip() {
        let waits = [Kind::WaitRecv, Kind::WaitSend, Kind::WaitAccept, Kind::Poll];
        for kind in
            [Kind::Recv, Kind::Send, Kind::Accept, Kind::Close, Kind::Wake, Kind::Nothing].into_iter().chain(waits)
        {
            for index in [0, 1, u32::MAX] {
                assert_eq!(parse_user_data(user_data(kind, index)), (kind, index));
            }
        }
    }
}
