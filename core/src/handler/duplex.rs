//! Protocols in which both sides speak when they like, as one closure.

use super::exchange::Exchange;
use super::{Content, Flow, Progress, Respond};
use crate::writer::{ResponseWriter, WriteError};

/// Speaks another protocol, behind [`ResponseWriter::switch_protocols`] or [`ResponseWriter::open_tunnel`], in which the
/// server may speak first: a WebSocket, say. `step` is called
///
/// - now, before anything was received;
/// - when bytes have arrived, or the client has ended its side;
/// - when the token of [`ResponseWriter::defer`] was resolved, or the time of [`ResponseWriter::wake_after`] has come;
/// - when what was written has left, if there was no room for more;
/// - when a stop of the server begins, and from then on: [`ResponseWriter::is_stopping`].
///
/// It reads and writes what it can, and returns [`Progress::More`] to be called again or [`Progress::Done`] to close the
/// connection once everything written has left. Each call has to leave a token or a time behind to be called by; use
/// [`upgraded`](super::upgraded) for protocols in which the server only answers.
///
/// While there is no room for what the step writes nothing is received either: a client that does not read is not listened to.
///
/// ```
/// use aurora_http_core::handler::{Progress, Wire, duplex, handler_fn};
/// use aurora_http_core::writer::WriteError;
///
/// // Echoes, and says "tick" each second.
/// let ticker = handler_fn(|_request, response| {
///     response.switch_protocols("ticker", &[])?;
///     response.wake_after(1_000);
///     Ok::<_, WriteError>(duplex(|wire: &mut Wire<'_, '_>| {
///         if wire.response().is_woken_by_time() {
///             let _ = wire.write(b"tick\n");
///             wire.response().wake_after(1_000);
///         }
///         match wire.write(wire.received()) {
///             Ok(count) => wire.consume(count),
///             Err(_) => return Progress::Done,
///         }
///         if wire.ended() { Progress::Done } else { Progress::More }
///     }))
/// });
/// ```
pub const fn duplex<F>(step: F) -> Duplex<F>
where
    F: FnMut(&mut Wire<'_, '_>) -> Progress,
{
    Duplex(step)
}

/// What [`duplex`] makes.
#[derive(Clone, Copy, Debug)]
pub struct Duplex<F>(F);

/// Both directions of a connection, for a step of [`duplex`]. With the feature `std` it implements `io::Read` and
/// `io::Write`, which say [`WouldBlock`](https://doc.rust-lang.org/std/io/enum.ErrorKind.html#variant.WouldBlock) when nothing is
/// there to be read, or there is no room: what libraries for protocols expect of a socket that does not block.
#[derive(Debug)]
pub struct Wire<'a, 'w> {
    input: &'a [u8],
    ended: bool,
    response: &'a mut ResponseWriter<'w>,
    /// A write found no room for all of it.
    is_full: bool,
}

impl<'a, 'w> Wire<'a, 'w> {
    /// What has arrived and was not [consumed](Self::consume).
    #[must_use]
    pub const fn received(&self) -> &'a [u8] {
        self.input
    }

    /// Takes the first `count` of [`received`](Self::received); more than there are is all of them. The rest is offered again
    /// once something written in this call has left, or else together with what arrives next.
    pub fn consume(&mut self, count: usize) {
        self.input = self.input.get(count..).unwrap_or_default();
    }

    /// Nothing follows behind [`received`](Self::received): the client has ended its side. It may still read.
    #[must_use]
    pub const fn ended(&self) -> bool {
        self.ended
    }

    /// Writes as much of `bytes` as there is room for, and tells how much that was. When it was not all, the step is called
    /// again once there is room.
    ///
    /// # Errors
    /// As [`ResponseWriter::write`].
    pub fn write(&mut self, bytes: &[u8]) -> Result<usize, WriteError> {
        let count = self.response.write(bytes)?;
        self.is_full |= count < bytes.len();
        Ok(count)
    }

    /// Whether there is room for `count` bytes. If not, the step is called again once what was written has left; for up to 900
    /// bytes there is room then.
    pub fn has_room(&mut self, count: usize) -> bool {
        let has_room = self.response.room() >= count;
        self.is_full |= !has_room;
        has_room
    }

    /// Writes all of `parts`, one after another, or nothing if there is no room for them; returns which, as
    /// [`has_room`](Self::has_room) does.
    ///
    /// # Errors
    /// As [`ResponseWriter::write`].
    pub fn write_whole(&mut self, parts: &[&[u8]]) -> Result<bool, WriteError> {
        let has_room = self.has_room(parts.iter().map(|part| part.len()).sum());
        if has_room {
            for part in parts {
                self.response.write(part)?;
            }
        }
        Ok(has_room)
    }

    /// For tokens, times and whether a stop has begun.
    pub const fn response(&mut self) -> &mut ResponseWriter<'w> {
        self.response
    }
}

impl<F: FnMut(&mut Wire<'_, '_>) -> Progress> Duplex<F> {
    fn go_on(mut self, content: Option<&mut Content<'_>>, response: &mut ResponseWriter<'_>) -> Flow<Self> {
        let (input, ended) = content.as_ref().map_or((&[][..], false), |content| (content.bytes(), content.ended()));
        let mut wire = Wire { input, ended, response, is_full: false };
        let progress = (self.0)(&mut wire);
        let (left, is_full) = (wire.input.len(), wire.is_full);
        if let Some(content) = content {
            content.consume(input.len() - left);
        }
        match progress {
            Progress::Done => Flow::Finish,
            Progress::More if is_full => Flow::Produce(self),
            Progress::More => Flow::ReceiveOrResume(self),
        }
    }
}

impl<F: FnMut(&mut Wire<'_, '_>) -> Progress> Respond for Duplex<F> {
    type Exchange = Self;

    fn respond(self, response: &mut ResponseWriter<'_>) -> Flow<Self> {
        self.go_on(None, response)
    }
}

impl<F: FnMut(&mut Wire<'_, '_>) -> Progress> Exchange for Duplex<F> {
    fn receive(self, content: &mut Content<'_>, response: &mut ResponseWriter<'_>) -> Flow<Self> {
        self.go_on(Some(content), response)
    }

    fn produce(self, response: &mut ResponseWriter<'_>) -> Flow<Self> {
        self.go_on(None, response)
    }

    fn resume(self, response: &mut ResponseWriter<'_>) -> Flow<Self> {
        self.go_on(None, response)
    }

    fn stopping(flow: Flow<Self>, response: &mut ResponseWriter<'_>) -> Flow<Self> {
        flow.into_state().map_or(Flow::Finish, |state| state.go_on(None, response))
    }
}
