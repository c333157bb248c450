//! One end of a WebSocket: frames in, frames out, without memory of its own for messages.

use core::task::Poll;

use aurora_http_core::handler::{Progress, Wire};
use aurora_http_core::writer::WriteError;

use crate::frame::{CONTROL_BYTES_MAX, HEADER_BYTES_MAX, Header, NoHeader, Opcode, is_close_code, write_header};
use crate::utf8::Utf8;

/// The longest piece that [`Socket::send`] takes at once.
pub const PIECE_BYTES_MAX: usize = 512;

/// What a message consists of.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// UTF-8.
    Text,
    /// Any bytes.
    Binary,
}

/// A part of a message, in the order of the bytes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Piece {
    /// What the message consists of.
    pub kind: Kind,
    /// The message begins with it.
    pub is_first: bool,
    /// The message ends with it. It may be empty then.
    pub is_last: bool,
    /// How many bytes it has.
    pub length: usize,
}

/// What [`Socket::read`] has found.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Next {
    /// A part of a message; its bytes are in the buffer. A piece of text may end within a character, but all pieces of a
    /// message together are UTF-8.
    Piece(Piece),
    /// The answer to a [`ping`](Socket::ping), or one without.
    Pong,
    /// Nothing more will come. What has to be said about it is on its way: return [`Socket::finish`].
    End(Ending),
}

/// Why a WebSocket has ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Ending {
    /// The client closed it, with this code (RFC 6455 §7.4); `None` if it gave none.
    Closed(Option<u16>),
    /// The client broke the protocol; it is told by 1002.
    Protocol,
    /// The client has sent text that is not UTF-8; it is told by 1007.
    NotUtf8,
    /// The client has sent a compressed message that cannot be decompressed; it is told by 1007. Only with the feature `deflate`.
    NotDeflate,
    /// The client has sent a message that is too long; it is told by 1009.
    TooLong,
    /// The client's side of the connection ended without a close frame.
    Vanished,
}

/// The protocol's state: 200 bytes. Everything that is sent or received goes through the connection's own buffers.
///
/// Pings are answered, and a close is answered by a close. Wrong frames end the WebSocket with the code that RFC 6455 has for
/// them. Frames are strict: masked, without reserved bits, in the shortest form.
///
/// ```
/// use std::task::Poll;
///
/// use aurora_http_core::handler::{Progress, Wire, duplex, handler_fn};
/// use aurora_http_core::writer::WriteError;
/// use aurora_http_websocket::{Next, PIECE_BYTES_MAX, Socket, accept};
///
/// /// How often to see whether the client is still there: a connection that is called by nothing cannot wait.
/// const PING_MS: u32 = 30_000;
///
/// /// Sends every message back, in 512 bytes of stack, however long it is.
/// fn echo() -> impl FnMut(&mut Wire<'_, '_>) -> Progress {
///     let mut socket = Socket::new(1 << 30);
///     let mut turn = move |wire: &mut Wire<'_, '_>| {
///         if wire.response().is_woken_by_time() {
///             wire.response().wake_after(PING_MS);
///             socket.ping(wire)?;
///         }
///         let mut bytes = [0; PIECE_BYTES_MAX];
///         // Nothing is read while there is no room to send it back.
///         while socket.has_room(wire)? {
///             match socket.read(wire, &mut bytes)? {
///                 Poll::Ready(Next::Piece(piece)) => _ = socket.send(wire, piece, &bytes[..piece.length])?,
///                 Poll::Ready(Next::Pong) => {}
///                 Poll::Ready(Next::End(_)) => return socket.finish(wire),
///                 Poll::Pending => break,
///             }
///         }
///         Ok(Progress::More)
///     };
///     move |wire| turn(wire).unwrap_or(Progress::Done)
/// }
///
/// let handler = handler_fn(|request, response| {
///     accept(request, response, &[])?;
///     response.wake_after(PING_MS);
///     Ok::<_, WriteError>(duplex(echo()))
/// });
/// ```
#[derive(Clone, Debug)]
pub struct Socket {
    message_bytes_max: u64,
    /// The message that is arriving: its kind, and how long it is so far.
    message: Option<(Kind, u64)>,
    /// No piece of it was returned yet.
    is_first: bool,
    /// Messages may be compressed; and whether the one that has begun last is. What is inside is not checked here then.
    may_compress: bool,
    is_compressed: bool,
    utf8: Utf8,
    /// The frame that is arriving, and how many bytes of its payload were read.
    frame: Option<(Header, u64)>,
    /// The payload of a control frame that has arrived, or of one that is to be sent.
    control: [u8; CONTROL_BYTES_MAX],
    /// A control frame that is to be sent, and its length.
    unsent: Option<(Opcode, u8)>,
    /// Our close frame was sent, or is to be.
    has_closed: bool,
    ending: Option<Ending>,
}

const _: () = assert!(size_of::<Socket>() <= 200);

impl Socket {
    /// A socket behind a handshake. A message of more than `message_bytes_max` bytes ends it.
    #[must_use]
    pub const fn new(message_bytes_max: u64) -> Self {
        Self {
            message_bytes_max,
            message: None,
            is_first: false,
            may_compress: false,
            is_compressed: false,
            utf8: Utf8::new(),
            frame: None,
            control: [0; CONTROL_BYTES_MAX],
            unsent: None,
            has_closed: false,
            ending: None,
        }
    }

    /// Reads the next part of a message into `into`, which must have room for at least one byte. `Pending` when nothing is
    /// there, or when there is no room for an answer that must be sent first; return [`Progress::More`] then.
    ///
    /// # Errors
    /// As [`Wire::write`].
    pub fn read(&mut self, wire: &mut Wire<'_, '_>, into: &mut [u8]) -> Result<Poll<Next>, WriteError> {
        loop {
            if let Some(ending) = self.ending {
                return Ok(Poll::Ready(Next::End(ending)));
            }
            if !self.flush(wire)? {
                return Ok(Poll::Pending);
            }
            let Some((header, arrived)) = self.frame else {
                if self.read_header(wire) {
                    continue;
                }
                return Ok(Poll::Pending);
            };
            let next = if header.opcode.is_control() {
                self.read_control(wire, header)
            } else {
                self.read_data(wire, header, arrived, into)
            };
            match next {
                Some(next) => return Ok(Poll::Ready(next)),
                // A frame is complete, or has failed, or a part of one was dropped behind our close frame.
                None if self.frame.is_none_or(|(_, now)| now > arrived) || self.ending.is_some() => {}
                None => return Ok(self.wait(wire)),
            }
        }
    }

    /// Whether [`send`](Self::send) can send a piece of any length. If not, the step is called again once it can.
    ///
    /// # Errors
    /// As [`Wire::write`].
    pub fn has_room(&mut self, wire: &mut Wire<'_, '_>) -> Result<bool, WriteError> {
        Ok(self.flush(wire)? && wire.has_room(HEADER_BYTES_MAX + PIECE_BYTES_MAX))
    }

    /// Sends a piece as a frame, or nothing if there is no room for all of it: then it returns `false`, and the step is called
    /// again once there is. `piece.length` does not matter. At most [`PIECE_BYTES_MAX`] bytes; more are never sent.
    ///
    /// # Errors
    /// As [`Wire::write`].
    pub fn send(&mut self, wire: &mut Wire<'_, '_>, piece: Piece, bytes: &[u8]) -> Result<bool, WriteError> {
        if self.has_closed || bytes.len() > PIECE_BYTES_MAX || !self.flush(wire)? {
            return Ok(false);
        }
        let opcode = match piece.kind {
            _ if !piece.is_first => Opcode::Continuation,
            Kind::Text => Opcode::Text,
            Kind::Binary => Opcode::Binary,
        };
        put(wire, opcode, piece.is_last, bytes)
    }

    /// Sends a ping without content, to see whether the client is still there. Returns as [`send`](Self::send).
    ///
    /// # Errors
    /// As [`Wire::write`].
    pub fn ping(&mut self, wire: &mut Wire<'_, '_>) -> Result<bool, WriteError> {
        Ok(!self.has_closed && self.flush(wire)? && put(wire, Opcode::Ping, true, &[])?)
    }

    /// Closes the WebSocket, with a code (RFC 6455 §7.4: 1000 for an ordinary end, 1001 when the server stops, 3000 to 4999 for
    /// the program's own) and a reason of which at most 123 bytes are sent. A code that must not be sent becomes 1000. Go on
    /// reading until [`Next::End`]: the client answers with a close frame of its own.
    ///
    /// # Errors
    /// As [`Wire::write`].
    pub fn close(&mut self, wire: &mut Wire<'_, '_>, code: u16, reason: &str) -> Result<(), WriteError> {
        if !self.has_closed {
            let reason = &reason[..reason.floor_char_boundary(CONTROL_BYTES_MAX - 2)];
            self.control[..2].copy_from_slice(&if is_close_code(code) { code } else { 1000 }.to_be_bytes());
            self.control[2..2 + reason.len()].copy_from_slice(reason.as_bytes());
            self.answer(Opcode::Close, 2 + reason.len());
        }
        self.flush(wire).map(drop)
    }

    /// Whether a close frame was sent, or is to be.
    #[must_use]
    pub const fn is_closing(&self) -> bool {
        self.has_closed
    }

    /// What to return after [`Next::End`]: the connection ends when the last frame has left.
    ///
    /// # Errors
    /// As [`Wire::write`].
    pub fn finish(&mut self, wire: &mut Wire<'_, '_>) -> Result<Progress, WriteError> {
        wire.consume(usize::MAX);
        Ok(if self.flush(wire)? { Progress::Done } else { Progress::More })
    }

    /// Sends what must be sent first; `false` if there is no room for it.
    fn flush(&mut self, wire: &mut Wire<'_, '_>) -> Result<bool, WriteError> {
        let Some((opcode, length)) = self.unsent else { return Ok(true) };
        let is_sent = put(wire, opcode, true, &self.control[..usize::from(length)])?;
        if is_sent {
            self.unsent = None;
        }
        Ok(is_sent)
    }

    /// Has `control` sent.
    fn answer(&mut self, opcode: Opcode, length: usize) {
        self.unsent = Some((opcode, length as u8));
        self.has_closed |= opcode == Opcode::Close;
    }

    /// Nothing more has arrived.
    fn wait(&mut self, wire: &Wire<'_, '_>) -> Poll<Next> {
        if !wire.ended() {
            return Poll::Pending;
        }
        self.ending = Some(Ending::Vanished);
        Poll::Ready(Next::End(Ending::Vanished))
    }

    /// Allows messages to be compressed. Their pieces are passed on as they are: who decompresses them checks their length and
    /// their text.
    #[cfg(feature = "deflate")]
    pub(crate) const fn allow_compressed(&mut self) {
        self.may_compress = true;
    }

    /// Whether the message of the last piece is compressed.
    #[cfg(feature = "deflate")]
    pub(crate) const fn is_compressed(&self) -> bool {
        self.is_compressed
    }

    /// Whether the text of a message may go on with `bytes`, or end with them.
    pub(crate) fn checks_text(&mut self, bytes: &[u8], is_last: bool) -> bool {
        self.utf8.takes(bytes) && (!is_last || self.utf8.is_complete())
    }

    /// The WebSocket ends, and the client is told why.
    pub(crate) fn fail(&mut self, ending: Ending, code: u16) {
        self.ending = Some(ending);
        self.frame = None;
        if !self.has_closed {
            self.control[..2].copy_from_slice(&code.to_be_bytes());
            self.answer(Opcode::Close, 2);
        }
    }

    /// Whether there is a header, or an end.
    fn read_header(&mut self, wire: &mut Wire<'_, '_>) -> bool {
        let (header, length) = match Header::read(wire.received(), self.may_compress) {
            Ok(read) => read,
            Err(NoHeader::Incomplete) => return matches!(self.wait(wire), Poll::Ready(_)),
            Err(NoHeader::Wrong) => {
                self.fail(Ending::Protocol, 1002);
                return true;
            }
        };
        let so_far = match (header.opcode, self.message) {
            (Opcode::Continuation, Some((kind, length))) => Some((kind, length)),
            (Opcode::Text, None) => Some((Kind::Text, 0)),
            (Opcode::Binary, None) => Some((Kind::Binary, 0)),
            (opcode, _) if opcode.is_control() => None,
            // A continuation of nothing, or a new message within another one.
            _ => {
                self.fail(Ending::Protocol, 1002);
                return true;
            }
        };
        if let Some((kind, length)) = so_far {
            let length = length.saturating_add(header.length);
            if self.message.is_none() {
                (self.is_first, self.is_compressed, self.utf8) = (true, header.is_compressed, Utf8::new());
            }
            // How long a compressed message is turns out when it is decompressed.
            if length > self.message_bytes_max && !self.is_compressed {
                self.fail(Ending::TooLong, 1009);
                return true;
            }
            self.message = Some((kind, length));
        }
        wire.consume(length);
        self.frame = Some((header, 0));
        true
    }

    /// Reads from the frame of a message; `None` if there is nothing to return.
    fn read_data(&mut self, wire: &mut Wire<'_, '_>, header: Header, arrived: u64, into: &mut [u8]) -> Option<Next> {
        let (kind, _) = self.message?;
        let length = unmask(wire, header, arrived, into);
        let arrived = arrived + length as u64;
        let is_over = arrived == header.length;
        self.frame = if is_over { None } else { Some((header, arrived)) };
        let is_last = is_over && header.is_final;
        if kind == Kind::Text && !self.is_compressed && !self.checks_text(&into[..length], is_last) {
            self.fail(Ending::NotUtf8, 1007);
            return None;
        }
        if is_last {
            self.message = None;
        }
        if length == 0 && !is_last {
            return None;
        }
        let is_first = core::mem::replace(&mut self.is_first, false);
        // After our close frame nothing can be answered any more.
        (!self.has_closed).then_some(Next::Piece(Piece { kind, is_first, is_last, length }))
    }

    /// Reads a control frame once all of it has arrived; `None` if there is nothing to return.
    fn read_control(&mut self, wire: &mut Wire<'_, '_>, header: Header) -> Option<Next> {
        // At most 125 bytes. Until they are there, `control` may be needed for a frame of ours.
        let end = header.length as usize;
        if wire.received().len() < end {
            return None;
        }
        unmask(wire, header, 0, &mut self.control[..end]);
        self.frame = None;
        match header.opcode {
            Opcode::Pong => return Some(Next::Pong),
            Opcode::Ping if !self.has_closed => self.answer(Opcode::Pong, end),
            Opcode::Close => self.end(end),
            _ => {}
        }
        None
    }

    /// The client's close frame is in `control`.
    fn end(&mut self, length: usize) {
        let code = match &self.control[..length] {
            [] => None,
            [high, low, reason @ ..] => {
                let code = u16::from_be_bytes([*high, *low]);
                if !is_close_code(code) {
                    return self.fail(Ending::Protocol, 1002);
                }
                if core::str::from_utf8(reason).is_err() {
                    return self.fail(Ending::NotUtf8, 1007);
                }
                Some(code)
            }
            [_] => return self.fail(Ending::Protocol, 1002),
        };
        self.ending = Some(Ending::Closed(code));
        if !self.has_closed {
            // The code alone: the reason is the client's.
            self.answer(Opcode::Close, length.min(2));
        }
    }
}

/// Writes a frame, or nothing if there is no room for it.
fn put(wire: &mut Wire<'_, '_>, opcode: Opcode, is_final: bool, payload: &[u8]) -> Result<bool, WriteError> {
    let mut header = [0; HEADER_BYTES_MAX];
    let length = write_header(&mut header, opcode, is_final, payload.len() as u64);
    wire.write_whole(&[&header[..length], payload])
}

/// Moves payload into `into`, as much as there is and as fits, and returns how much.
fn unmask(wire: &mut Wire<'_, '_>, header: Header, arrived: u64, into: &mut [u8]) -> usize {
    let left = usize::try_from(header.length - arrived).unwrap_or(usize::MAX);
    let received = wire.received();
    let count = received.len().min(into.len()).min(left);
    let mut mask = header.mask;
    mask.rotate_left((arrived % 4) as usize);
    for (to, from) in into.chunks_mut(4).zip(received[..count].chunks(4)) {
        for ((to, from), mask) in to.iter_mut().zip(from).zip(mask) {
            *to = from ^ mask;
        }
    }
    wire.consume(count);
    count
}
