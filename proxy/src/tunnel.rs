//! Bytes of another protocol, in both directions.

use std::io;

use aurora_http::{Content, ResponseWriter, WriteError};

use crate::transfer::{Step, Transfer};

/// Passes on what is there and there is room for.
pub(crate) fn step(
    transfer: &mut Transfer,
    content: Option<&mut Content<'_>>,
    response: &mut ResponseWriter<'_>,
) -> Step {
    if let Some(content) = content {
        match to_upstream(transfer, content) {
            Ok(()) => {}
            // What it has sent before may still be there.
            Err(_) => transfer.is_finished = true,
        }
    }
    loop {
        if !transfer.unused().is_empty() {
            match response.write(transfer.unused()) {
                Ok(0) => return Step::Full,
                Ok(count) => transfer.used += count,
                Err(_) => return Step::Done,
            }
            continue;
        }
        match to_client(transfer, response) {
            Ok(Some(0)) | Err(_) => return Step::Done,
            Ok(Some(_)) => transfer.moved(),
            Ok(None) if transfer.is_busy => return Step::Full,
            Ok(None) => return Step::Wait,
        }
    }
}

fn to_upstream(transfer: &mut Transfer, content: &mut Content<'_>) -> io::Result<()> {
    if transfer.is_finished {
        return Ok(());
    }
    while !content.bytes().is_empty() {
        let count = transfer.write(content.bytes())?;
        content.consume(count);
        if count == 0 {
            return Ok(());
        }
    }
    if content.ended() && !transfer.is_finished {
        transfer.is_finished = true;
        if let Some(link) = &transfer.link {
            link.finish();
        }
    }
    Ok(())
}

/// Receives straight into the send buffer: `None` when nothing is there, or there is no room, which `is_busy` tells; 0 at the
/// end.
fn to_client(transfer: &mut Transfer, response: &mut ResponseWriter<'_>) -> Result<Option<usize>, Broken> {
    let Some(link) = &mut transfer.link else { return Err(Broken) };
    let (mut received, mut is_full) = (None, true);
    response.write_with(|room: &mut [u8]| -> Result<usize, Broken> {
        is_full = false;
        received = link.read(room).map_err(|_| Broken)?;
        Ok(received.unwrap_or(0))
    })?;
    transfer.is_busy = is_full;
    Ok(received)
}

/// The connection has ended, or the client's has.
struct Broken;

impl From<WriteError> for Broken {
    fn from(_: WriteError) -> Self {
        Self
    }
}
