//! The body of a response, from the upstream's socket into the send buffer.

use std::io;

use aurora_http::{ResponseWriter, WriteError};

use crate::response::Body;
use crate::transfer::{Step, Transfer};

/// The largest piece that is received at once.
const PIECE: usize = 65_536;

/// Passes the body on, as much as is there and there is room for.
pub(crate) fn pass_back(transfer: &mut Transfer, response: &mut ResponseWriter<'_>) -> Step {
    let Some(mut body) = transfer.body.take() else { return Step::Failed(502) };
    let step = pass_back_body(transfer, &mut body, response);
    transfer.body = Some(body);
    step
}

fn pass_back_body(transfer: &mut Transfer, body: &mut Body, response: &mut ResponseWriter<'_>) -> Step {
    // What came along with the head, decoded in place.
    while transfer.used < transfer.input.len() && !body.has_ended() {
        // Only as much as can be written: what was decoded cannot be decoded again.
        let room = response.make_room(transfer.unused().len());
        if room == 0 {
            return Step::Full;
        }
        let from = transfer.used;
        let end = transfer.input.len().min(from + room);
        let piece = &mut transfer.input[from..end];
        let Ok(found) = body.decode(piece) else { return Step::Failed(502) };
        if response.write(&piece[..found.content]).is_err() {
            return Step::Done;
        }
        transfer.used = end - found.surplus;
    }
    while !body.has_ended() {
        if transfer.is_busy {
            response.make_room(match body {
                Body::Length(left) => usize::try_from(*left).map_or(PIECE, |left| left.min(PIECE)),
                _ => PIECE,
            });
        }
        match receive_body(transfer, body, response) {
            Ok(Received::Nothing) => return Step::Wait,
            Ok(Received::NoRoom) => {
                transfer.is_busy = true;
                return Step::Full;
            }
            Ok(Received::Some) => transfer.moved(),
            Ok(Received::End) if body.end() => transfer.is_persistent = false,
            Ok(Received::End) | Err(Trouble::Upstream) => return Step::Failed(502),
            Err(Trouble::Writer) => return Step::Done,
        }
    }
    Step::Done
}

enum Received {
    Nothing,
    Some,
    /// The upstream's FIN.
    End,
    /// In the send buffer.
    NoRoom,
}

enum Trouble {
    /// The connection is broken, or the body malformed.
    Upstream,
    /// The writer has the error.
    Writer,
}

impl From<WriteError> for Trouble {
    fn from(_: WriteError) -> Self {
        Self::Writer
    }
}

impl From<io::Error> for Trouble {
    fn from(_: io::Error) -> Self {
        Self::Upstream
    }
}

/// Receives a piece of the body straight into the send buffer, and takes the framing out of it there.
fn receive_body(
    transfer: &mut Transfer,
    body: &mut Body,
    response: &mut ResponseWriter<'_>,
) -> Result<Received, Trouble> {
    let (Some(link), is_persistent) = (&mut transfer.link, &mut transfer.is_persistent) else {
        return Err(Trouble::Upstream);
    };
    let mut received = Received::NoRoom;
    response.write_with(|room: &mut [u8]| -> Result<usize, Trouble> {
        let count = match link.read(room)? {
            None => {
                received = Received::Nothing;
                return Ok(0);
            }
            Some(0) => {
                received = Received::End;
                return Ok(0);
            }
            Some(count) => count,
        };
        received = Received::Some;
        let found = body.decode(&mut room[..count]).map_err(|_| Trouble::Upstream)?;
        // Bytes that nobody has asked for: the next response would be read from them.
        *is_persistent &= found.surplus == 0;
        Ok(found.content)
    })?;
    Ok(received)
}
