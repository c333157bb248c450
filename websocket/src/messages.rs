//! Whole messages, for programs with an allocator.

use alloc::string::String;
use alloc::vec::Vec;
use core::task::Poll;

use aurora_http_core::handler::{Duplex, Progress, Wire, duplex};
use aurora_http_core::writer::{ResponseWriter, WriteError};

#[cfg(feature = "deflate")]
use crate::deflate::Agreed;
use crate::frame::{HEADER_BYTES_MAX, Opcode, write_header};
use crate::socket::{Ending, Kind, Next, PIECE_BYTES_MAX, Piece, Socket};

/// The limits of a [`websocket`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Options {
    /// The longest message that a client may send, in bytes; 64 KiB by default. A longer one ends the WebSocket with 1009. Compressed ones
    /// are measured as they are when decompressed.
    pub message_bytes_max: u32,
    /// Clients are pinged this often, and must have sent something in between, such as the answer. 30 s by default.
    pub ping_ms: u32,
    /// How long the client may take to answer a close. 5 s by default.
    pub close_ms: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self { message_bytes_max: 1 << 16, ping_ms: 30_000, close_ms: 5_000 }
    }
}

/// What happens on a [`websocket`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Event<'m> {
    /// The client has sent a text.
    Text(&'m str),
    /// The client has sent bytes.
    Binary(&'m [u8]),
    /// Everything has been sent, so there is room for another message: the time to look into a mailbox. Comes first of all, again
    /// as long as messages are sent, and whenever the token of the exchange was resolved.
    Ready,
    /// The WebSocket has ended. Comes once, last of all; not if the connection is lost.
    Ended(Ending),
}

/// Speaks a WebSocket in whole messages, behind [`accept`](crate::accept): `on_event` is called with everything that happens, and
/// answers through [`Link`]. When the server stops, clients are told (1001).
///
/// ```
/// use aurora_http_core::handler::handler_fn;
/// use aurora_http_core::writer::WriteError;
/// use aurora_http_websocket::{Event, Options, accept, websocket};
///
/// let shouts = handler_fn(|request, response| {
///     accept(request, response, &[])?;
///     Ok::<_, WriteError>(websocket(Options::default(), |event, link| match event {
///         Event::Text("bye") => link.close(1000, "good bye"),
///         Event::Text(text) => link.send_text(&text.to_uppercase()),
///         _ => {}
///     }))
/// });
/// ```
pub fn websocket<F>(options: Options, on_event: F) -> Duplex<impl FnMut(&mut Wire<'_, '_>) -> Progress>
where
    F: FnMut(Event<'_>, &mut Link<'_, '_>),
{
    speak(State::new(options), on_event)
}

/// As [`websocket`], behind [`Deflate::accept`](crate::Deflate::accept): compresses and decompresses messages as agreed on there.
#[cfg(feature = "deflate")]
pub fn websocket_deflate<F>(
    options: Options,
    agreed: Option<Agreed>,
    on_event: F,
) -> Duplex<impl FnMut(&mut Wire<'_, '_>) -> Progress>
where
    F: FnMut(Event<'_>, &mut Link<'_, '_>),
{
    let mut state = State::new(options);
    if agreed.is_some() {
        state.socket.allow_compressed();
    }
    state.agreed = agreed;
    speak(state, on_event)
}

fn speak<F>(mut state: State, mut on_event: F) -> Duplex<impl FnMut(&mut Wire<'_, '_>) -> Progress>
where
    F: FnMut(Event<'_>, &mut Link<'_, '_>),
{
    duplex(move |wire: &mut Wire<'_, '_>| state.step(wire, &mut on_event).unwrap_or(Progress::Done))
}

/// The way to answer.
#[derive(Debug)]
pub struct Link<'l, 'w> {
    response: &'l mut ResponseWriter<'w>,
    /// Frames that are still to be sent.
    out: &'l mut Vec<u8>,
    close: &'l mut Option<(u16, String)>,
    #[cfg(feature = "deflate")]
    agreed: Option<&'l mut Agreed>,
}

impl<'w> Link<'_, 'w> {
    /// Sends a text. Nothing is sent after [`close`](Self::close).
    pub fn send_text(&mut self, text: &str) {
        self.put(Opcode::Text, text.as_bytes());
    }

    /// Sends bytes.
    pub fn send_binary(&mut self, bytes: &[u8]) {
        self.put(Opcode::Binary, bytes);
    }

    /// Closes the WebSocket behind what was sent, with a code and a reason: see [`Socket::close`].
    pub fn close(&mut self, code: u16, reason: &str) {
        self.close.get_or_insert_with(|| (code, reason.into()));
    }

    /// For the token of the exchange, which mailboxes take; its time is used for pings.
    pub const fn response(&mut self) -> &mut ResponseWriter<'w> {
        self.response
    }

    fn put(&mut self, opcode: Opcode, payload: &[u8]) {
        if self.close.is_some() || self.put_compressed(opcode, payload) {
            return;
        }
        let mut header = [0; HEADER_BYTES_MAX];
        let length = write_header(&mut header, opcode, true, payload.len() as u64);
        self.out.extend_from_slice(&header[..length]);
        self.out.extend_from_slice(payload);
    }

    /// Whether the message is on its way.
    #[cfg(feature = "deflate")]
    fn put_compressed(&mut self, opcode: Opcode, payload: &[u8]) -> bool {
        let Some(agreed) = &mut self.agreed else { return false };
        // The header tells how long the payload has become, so it comes later.
        let begin = self.out.len();
        self.out.extend_from_slice(&[0; HEADER_BYTES_MAX]);
        let behind = begin + HEADER_BYTES_MAX;
        if !agreed.compress(payload, self.out) {
            self.out.truncate(begin);
            return false;
        }
        let mut header = [0; HEADER_BYTES_MAX];
        let length = write_header(&mut header, opcode, true, (self.out.len() - behind) as u64);
        // The bit that says so (RFC 7692 §6).
        header[0] |= 0x40;
        self.out[behind - length..behind].copy_from_slice(&header[..length]);
        self.out.drain(begin..behind - length);
        true
    }

    #[cfg(not(feature = "deflate"))]
    const fn put_compressed(&self, _: Opcode, _: &[u8]) -> bool {
        false
    }
}

struct State {
    options: Options,
    socket: Socket,
    #[cfg(feature = "deflate")]
    agreed: Option<Agreed>,
    /// The message that is arriving.
    message: Vec<u8>,
    /// Frames of the program's, of which `sent` bytes have been sent.
    out: Vec<u8>,
    sent: usize,
    close: Option<(u16, String)>,
    /// Something has arrived since the last ping.
    is_alive: bool,
    owes_ping: bool,
    /// The first step has been made.
    has_begun: bool,
    has_ended: bool,
}

impl State {
    fn new(options: Options) -> Self {
        Self {
            options,
            socket: Socket::new(options.message_bytes_max.into()),
            #[cfg(feature = "deflate")]
            agreed: None,
            message: Vec::new(),
            out: Vec::new(),
            sent: 0,
            close: None,
            is_alive: true,
            owes_ping: false,
            has_begun: false,
            has_ended: false,
        }
    }

    fn step<F>(&mut self, wire: &mut Wire<'_, '_>, on_event: &mut F) -> Result<Progress, WriteError>
    where
        F: FnMut(Event<'_>, &mut Link<'_, '_>),
    {
        self.is_alive |= !wire.received().is_empty();
        if !core::mem::replace(&mut self.has_begun, true) {
            wire.response().wake_after(self.options.ping_ms);
        } else if wire.response().is_woken_by_time() {
            if self.socket.is_closing() || !core::mem::take(&mut self.is_alive) {
                return Ok(Progress::Done);
            }
            self.owes_ping = true;
            wire.response().wake_after(self.options.ping_ms);
        }
        if wire.response().is_stopping() {
            self.close.get_or_insert_with(|| (1001, String::new()));
        }
        let mut bytes = [0; PIECE_BYTES_MAX];
        loop {
            if self.has_ended {
                return self.socket.finish(wire);
            }
            if !self.send(wire, on_event)? {
                return Ok(Progress::More);
            }
            match self.socket.read(wire, &mut bytes)? {
                Poll::Pending => return Ok(Progress::More),
                Poll::Ready(Next::Pong) => {}
                Poll::Ready(Next::End(ending)) => {
                    self.has_ended = true;
                    self.tell(Event::Ended(ending), wire, on_event);
                }
                Poll::Ready(Next::Piece(piece)) => {
                    if self.take(&bytes[..piece.length], piece) && piece.is_last {
                        self.deliver(piece.kind, wire, on_event);
                    }
                }
            }
        }
    }

    /// Sends what there is to send, and asks for more as long as there is; `false` if there is no room for it.
    fn send<F>(&mut self, wire: &mut Wire<'_, '_>, on_event: &mut F) -> Result<bool, WriteError>
    where
        F: FnMut(Event<'_>, &mut Link<'_, '_>),
    {
        loop {
            self.sent += wire.write(&self.out[self.sent..])?;
            if self.sent < self.out.len() {
                return Ok(false);
            }
            self.sent = 0;
            empty(&mut self.out);
            if self.socket.is_closing() {
                return Ok(true);
            }
            if let Some((code, reason)) = &self.close {
                wire.response().wake_after(self.options.close_ms);
                self.socket.close(wire, *code, reason)?;
                return Ok(true);
            }
            if self.owes_ping && !self.socket.ping(wire)? {
                return Ok(false);
            }
            self.owes_ping = false;
            self.tell(Event::Ready, wire, on_event);
            if self.out.is_empty() && self.close.is_none() {
                return Ok(true);
            }
        }
    }

    /// Takes a piece of a message; `false` if the WebSocket ends by it.
    #[cfg_attr(not(feature = "deflate"), allow(unused_variables))]
    fn take(&mut self, bytes: &[u8], piece: Piece) -> bool {
        #[cfg(feature = "deflate")]
        if self.socket.is_compressed() {
            return self.take_compressed(bytes, piece);
        }
        self.message.extend_from_slice(bytes);
        true
    }

    #[cfg(feature = "deflate")]
    fn take_compressed(&mut self, bytes: &[u8], piece: Piece) -> bool {
        let Self { socket, agreed: Some(agreed), message, options, .. } = self else { return false };
        let length = message.len();
        let max = usize::try_from(options.message_bytes_max).unwrap_or(usize::MAX);
        let result = agreed.decompress(bytes, piece.is_last, message, max);
        // First what was decompressed before a failure, so that it does not matter in what pieces the payload arrives.
        let is_last = piece.is_last && result.is_ok();
        if piece.kind == Kind::Text && !socket.checks_text(&message[length..], is_last) {
            socket.fail(Ending::NotUtf8, 1007);
            return false;
        }
        if let Err(broken) = result {
            broken.fail(socket);
            return false;
        }
        true
    }

    fn deliver<F>(&mut self, kind: Kind, wire: &mut Wire<'_, '_>, on_event: &mut F)
    where
        F: FnMut(Event<'_>, &mut Link<'_, '_>),
    {
        let mut message = core::mem::take(&mut self.message);
        match (kind, core::str::from_utf8(&message)) {
            (Kind::Text, Ok(text)) => self.tell(Event::Text(text), wire, on_event),
            // The socket passes on no other text.
            (Kind::Text, Err(_)) => {}
            (Kind::Binary, _) => self.tell(Event::Binary(&message), wire, on_event),
        }
        empty(&mut message);
        self.message = message;
    }

    fn tell<F>(&mut self, event: Event<'_>, wire: &mut Wire<'_, '_>, on_event: &mut F)
    where
        F: FnMut(Event<'_>, &mut Link<'_, '_>),
    {
        let mut link = Link {
            response: wire.response(),
            out: &mut self.out,
            close: &mut self.close,
            #[cfg(feature = "deflate")]
            agreed: self.agreed.as_mut(),
        };
        on_event(event, &mut link);
    }
}

/// Empties a buffer, and frees it if it has become large: most WebSockets are idle most of the time.
fn empty(bytes: &mut Vec<u8>) {
    if bytes.capacity() > 4_096 {
        *bytes = Vec::new();
    } else {
        bytes.clear();
    }
}
