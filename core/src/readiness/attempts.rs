//! Attempts to receive and to send, which complete an operation or park it.

use super::held::{Records, Tail};
use super::parked::{ENDED, HAD_RECV, HAD_SEND, Lent, Parked, READABLE, RECV, SEND, Served, WRITABLE};
use crate::pool::Buf;
use crate::reactor::{Attempt, Completion, FileRange, IoError, IoHandle, NonBlocking, OpKind, Outcome};

/// Tries the receive of `entry`; `None` parks it.
#[cfg_attr(not(feature = "small"), inline(always))]
pub(super) fn try_recv<'p, T: NonBlocking>(
    io: &mut T,
    held: &mut Records<'_, 'p>,
    lent: &mut Lent<'_, 'p>,
    served: &mut Served,
    index: u32,
    entry: &mut Parked,
) -> Option<Completion<'p>> {
    if planted!(LentTakenEarly)
        && let Some(record) = held.get_or_take(entry)
        && record.into.is_none()
    {
        record.into = lent.pop();
    }
    let (result, buf) = if let Some(record) = held.records.get_mut(entry.held as usize)
        && record.into.is_some()
    {
        let result = attempt_recv(io, index, &mut record.into, &mut entry.flags)?;
        (result, record.take_into(&mut held.free, entry))
    } else if let Some(place) = lent.places.get_mut(lent.count.wrapping_sub(1)) {
        let result = attempt_recv(io, index, place, &mut entry.flags)?;
        lent.count -= 1;
        (result, place.take())
    } else {
        (Err(IoError::NoBuffers), None)
    };
    served.push(entry, index, RECV, HAD_RECV);
    let outcome = Outcome::Recv { result, buf };
    Some(Completion { token: entry.owner.with_kind(OpKind::Recv), outcome, more: false })
}

/// Receives into the spare part of the buffer in `place` and counts the bytes as filled; `None` when it would block.
#[cfg_attr(not(feature = "small"), inline(always))]
fn attempt_recv<T: NonBlocking>(
    io: &mut T,
    index: u32,
    place: &mut Option<Buf<'_>>,
    flags: &mut u16,
) -> Option<Result<u32, IoError>> {
    let spare = place.as_mut().map(Buf::spare).unwrap_or_default();
    let room = spare.len();
    if room == 0 {
        // A call would return 0, which would mean FIN.
        return Some(Err(IoError::Unsupported));
    }
    match io.recv(IoHandle(index), spare) {
        Attempt::Done(count) => {
            let count = count.min(room as u32);
            if let Some(buf) = place {
                buf.advance(count as usize);
            }
            // A short receive has drained it. A FIN does not count as short: it can be received again.
            if count < room as u32 && count != 0 && *flags & ENDED == 0 {
                *flags &= !READABLE;
            }
            Some(Ok(count))
        }
        Attempt::WouldBlock => {
            *flags &= !READABLE;
            None
        }
        Attempt::Failed(error) => Some(Err(error)),
    }
}

/// Tries the send of `entry`; `None` parks it.
#[cfg_attr(not(feature = "small"), inline(always))]
pub(super) fn try_send<'p, T: NonBlocking>(
    io: &mut T,
    held: &mut Records<'_, 'p>,
    served: &mut Served,
    index: u32,
    entry: &mut Parked,
) -> Option<Completion<'p>> {
    let record = held.records.get_mut(entry.held as usize)?;
    let filled = record.head.as_ref()?.filled();
    let (attempt, wanted) = match record.tail {
        Tail::File { file, offset, len } => {
            let range = FileRange { file, offset, len };
            (io.send_file(IoHandle(index), filled, range), filled.len() + len as usize)
        }
        tail => {
            let body = tail.bytes();
            (io.send(IoHandle(index), [filled, body]), filled.len() + body.len())
        }
    };
    let result = match attempt {
        Attempt::Done(count) => {
            // A short send has filled it.
            if (count as usize) < wanted {
                entry.flags &= !WRITABLE;
            }
            Ok(count)
        }
        Attempt::WouldBlock => {
            entry.flags &= !WRITABLE;
            return None;
        }
        Attempt::Failed(error) => Err(error),
    };
    let (head, body) = record.take_head(&mut held.free, entry)?;
    served.push(entry, index, SEND, HAD_SEND);
    let outcome = Outcome::Send { result, head, body };
    Some(Completion { token: entry.owner.with_kind(OpKind::Send), outcome, more: false })
}
