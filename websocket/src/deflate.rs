//! Compression of messages: permessage-deflate (RFC 7692).

mod codec;
mod offer;

use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cell::Cell;
use core::fmt;
use core::sync::atomic::{AtomicUsize, Ordering};

use aurora_http_core::request::Request;
use aurora_http_core::writer::{ResponseWriter, WriteError};

use crate::handshake::answer;
use crate::socket::{Ending, Socket};
use codec::{Deflater, Failure, INFLATER_BYTES, Inflater, deflater_bytes};
use offer::{Terms, WINDOW_BITS_MAX, WINDOW_BITS_MIN, Wish, choose};

/// The longest message that may become longer by compression, if it is the first one of a context.
const FIRST_BYTES_MAX: usize = 1024;

/// How many WebSockets may compress at a time. Clones share it: make one for all workers.
#[derive(Clone, Debug)]
pub struct Budget(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    taken: AtomicUsize,
    max: usize,
}

impl Budget {
    /// At most `websockets_max` of them. Others are accepted too, but without compression.
    #[must_use]
    pub fn new(websockets_max: usize) -> Self {
        Self(Arc::new(Shared { taken: AtomicUsize::new(0), max: websockets_max }))
    }

    /// How many there are.
    #[must_use]
    pub fn taken(&self) -> usize {
        self.0.taken.load(Ordering::Relaxed)
    }

    fn take(&self) -> Option<Permit> {
        let shared = &self.0;
        let is_free = |taken: usize| (taken < shared.max).then_some(taken + 1);
        shared.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, is_free).ok()?;
        Some(Permit(Arc::clone(shared)))
    }
}

/// The right of one WebSocket, until it is dropped.
#[derive(Debug)]
struct Permit(Arc<Shared>);

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Agrees with clients on permessage-deflate, and says how messages are compressed: one for each worker, with a [`Budget`] for
/// all of them.
///
/// ```no_run
/// use aurora_http::{Server, WriteError, handler_fn};
/// use aurora_http_websocket::{Budget, Deflate, Event, Options, websocket_deflate};
///
/// let budget = Budget::new(1_000);
/// Server::bind("127.0.0.1:8080")?.announce().signals(true).serve(move |_worker| {
///     let deflate = Deflate::new(&budget);
///     handler_fn(move |request, response| {
///         let (_, agreed) = deflate.accept(request, response, &[])?;
///         Ok::<_, WriteError>(websocket_deflate(Options::default(), agreed, |event, link| {
///             if let Event::Text(text) = event {
///                 link.send_text(text);
///             }
///         }))
///     })
/// })?;
/// # Ok::<(), aurora_http::ServerError>(())
/// ```
///
/// # Memory
/// Unless contexts are kept, each message is compressed on its own, by one compressor that all WebSockets of a worker use in turn
/// (376 KiB with the largest window), and a WebSocket has a decompressor (at most 48 KiB) only while a compressed message is arriving.
/// An idle one needs no more than without compression. See [`context_takeover`](Self::context_takeover) for the other way, and
/// [`websocket_bytes_max`](Self::websocket_bytes_max) and [`worker_bytes_max`](Self::worker_bytes_max) for the figures.
///
/// A message that arrives may have [`message_bytes_max`](crate::Options::message_bytes_max) bytes when it is decompressed. As soon as there
/// would be one more, the WebSocket ends with 1009, and nothing further is decompressed.
///
/// # Time
/// A byte becomes at most 1032, so what one receive brings, however malicious, is decompressed in milliseconds. Compression takes some
/// 15 ns for each byte, [at most for 256 KiB](Self::bytes_max) in a call.
///
/// # Secrets
/// If a message has both a secret and text that somebody else can choose, then who sees the length of what is sent over TLS, and can make
/// many attempts, can guess the secret: a right guess compresses better (CRIME, 2012). With contexts that are kept, this goes for all messages
/// of a WebSocket together. Use [`accept`](crate::accept) without compression then.
#[derive(Clone, Debug)]
pub struct Deflate {
    settings: Settings,
    budget: Budget,
    pool: Rc<Pool>,
}

#[derive(Clone, Copy, Debug)]
struct Settings {
    wish: Wish,
    bytes_min: usize,
    bytes_max: usize,
}

/// What WebSockets use for one message at a time.
#[derive(Default)]
struct Pool {
    deflater: Cell<Option<Box<Deflater>>>,
    inflater: Cell<Option<Box<Inflater>>>,
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").finish_non_exhaustive()
    }
}

impl Deflate {
    /// Compression for as many WebSockets at a time as `budget` allows.
    #[must_use]
    pub fn new(budget: &Budget) -> Self {
        let wish = Wish { takes_context_over: false, window_bits: WINDOW_BITS_MAX };
        let settings = Settings { wish, bytes_min: 256, bytes_max: 256 * 1024 };
        Self { settings, budget: budget.clone(), pool: Rc::default() }
    }

    /// Sets whether messages may refer to earlier ones in the same direction, if the client agrees to that; `false` by default.
    ///
    /// Short messages that are alike, such as JSON with always the same names, become much shorter so, except for the first one: if it has at
    /// most 1 KiB, it may even become a few bytes longer. A message that does not become shorter is not known to the client's decompressor, so a
    /// new context begins behind it. The price is memory that each WebSocket
    /// has as long as it lasts, [`websocket_bytes_max`](Self::websocket_bytes_max): some hundred times that of the WebSocket itself.
    #[must_use]
    pub const fn context_takeover(mut self, is_allowed: bool) -> Self {
        self.settings.wish.takes_context_over = is_allowed;
        self
    }

    /// Sets the window in which messages are compressed, as an exponent of 2: from 9 for 512 bytes to 15 for 32 KiB, the default. Other
    /// values are taken for the nearest of these. A client that asks for a smaller window gets it.
    ///
    /// It is worth a change if contexts are kept: a compressor needs 376 KiB with 15, 166 KiB with 12 and 140 KiB with 9. Decompressors always
    /// have the largest window, since only some clients would keep to a smaller one.
    #[must_use]
    pub const fn window_bits(mut self, bits: u8) -> Self {
        self.settings.wish.window_bits = match bits {
            ..WINDOW_BITS_MIN => WINDOW_BITS_MIN,
            WINDOW_BITS_MAX.. => WINDOW_BITS_MAX,
            bits => bits,
        };
        self
    }

    /// Sets the shortest message that is compressed, in bytes; 256 by default. Shorter ones are sent as they are, and so is any message that
    /// does not become shorter.
    #[must_use]
    pub const fn bytes_min(mut self, bytes: usize) -> Self {
        self.settings.bytes_min = bytes;
        self
    }

    /// Sets the longest message that is compressed, in bytes; 256 KiB by default. A message is compressed in one call, in which the worker does
    /// nothing else: this takes a few milliseconds.
    #[must_use]
    pub const fn bytes_max(mut self, bytes: usize) -> Self {
        self.settings.bytes_max = bytes;
        self
    }

    /// The most that one WebSocket allocates for compression, in bytes.
    #[must_use]
    pub const fn websocket_bytes_max(&self) -> usize {
        let Wish { takes_context_over, window_bits } = self.settings.wish;
        let kept = if takes_context_over { deflater_bytes(window_bits) } else { 0 };
        INFLATER_BYTES + kept
    }

    /// The most that this and its clones allocate for all of their WebSockets together, besides
    /// [`websocket_bytes_max`](Self::websocket_bytes_max) for each.
    #[must_use]
    pub const fn worker_bytes_max(&self) -> usize {
        INFLATER_BYTES + deflater_bytes(self.settings.wish.window_bits)
    }

    /// As [`accept`](crate::accept), and agrees to the first offer of permessage-deflate that it can accept, if there is one and the budget
    /// allows it: give what is [`Agreed`] to [`websocket_deflate`](crate::websocket_deflate). With `None` the WebSocket was accepted without compression.
    ///
    /// Offers with unknown, repeated or invalid parameters are declined (RFC 7692 §7.1), and so is a `server_max_window_bits` of 8, a window
    /// that the compressor does not have.
    ///
    /// # Errors
    /// As [`accept`](crate::accept), and 400 if `Sec-WebSocket-Extensions` does not follow its grammar (RFC 6455 §9.1).
    pub fn accept<'p>(
        &self,
        request: &Request<'_>,
        response: &mut ResponseWriter<'_>,
        protocols: &[&'p str],
    ) -> Result<(Option<&'p str>, Option<Agreed>), WriteError> {
        let fields = request.fields().get_all("Sec-WebSocket-Extensions");
        let Ok(terms) = choose(fields, self.settings.wish) else {
            response.fail(400)?;
            return Ok((None, None));
        };
        let agreed = terms.and_then(|terms| self.agree(terms));
        let extension = agreed.as_ref().map(|agreed| agreed.terms.response());
        let protocol = answer(request, response, protocols, extension.as_deref())?;
        Ok((protocol, agreed))
    }

    fn agree(&self, terms: Terms) -> Option<Agreed> {
        let permit = self.budget.take()?;
        let (settings, pool) = (self.settings, Rc::clone(&self.pool));
        Some(Agreed { terms, settings, pool, deflater: None, inflater: None, _permit: permit })
    }
}

/// The agreement with one client on permessage-deflate. It counts for the [`Budget`] until it is dropped.
pub struct Agreed {
    terms: Terms,
    settings: Settings,
    pool: Rc<Pool>,
    /// If it knows earlier messages.
    deflater: Option<Box<Deflater>>,
    /// If it knows earlier messages, or a part of one.
    inflater: Option<Box<Inflater>>,
    _permit: Permit,
}

impl Agreed {
    /// Appends a message of the server's to `out`, compressed; `false`, and nothing is appended, if it is to be sent as it is.
    pub(crate) fn compress(&mut self, message: &[u8], out: &mut Vec<u8>) -> bool {
        let Settings { bytes_min, bytes_max, .. } = self.settings;
        if message.is_empty() || !(bytes_min..=bytes_max).contains(&message.len()) {
            return false;
        }
        let Terms { server_bits, server_takes_over, .. } = self.terms;
        let kept = self.deflater.take().or_else(|| self.pool.deflater.take());
        let fitting = kept.filter(|deflater| deflater.window_bits() == server_bits);
        let mut deflater = fitting.unwrap_or_else(|| Box::new(Deflater::new(server_bits)));
        // What a short message costs is gained by those that refer to it.
        let is_first = server_takes_over && deflater.is_fresh() && message.len() <= FIRST_BYTES_MAX;
        let is_done = deflater.compress(message, if is_first { 8 } else { 0 }, out);
        if !is_done || !server_takes_over {
            deflater.reset();
        }
        if server_takes_over {
            self.deflater = Some(deflater);
        } else {
            self.pool.deflater.set(Some(deflater));
        }
        is_done
    }

    /// Appends what is in a piece of a compressed message to `message`, which is never longer than `max`.
    pub(crate) fn decompress(
        &mut self,
        payload: &[u8],
        is_last: bool,
        message: &mut Vec<u8>,
        max: usize,
    ) -> Result<(), Broken> {
        let is_context_kept = self.terms.client_takes_over;
        let pool = &self.pool;
        let inflater =
            self.inflater.get_or_insert_with(|| pool.inflater.take().unwrap_or_else(|| Box::new(Inflater::new())));
        inflater.decompress(payload, message, max)?;
        if is_last {
            inflater.finish(message, max, is_context_kept)?;
            if !is_context_kept {
                pool.inflater.set(self.inflater.take());
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Agreed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Agreed").field("terms", &self.terms).finish_non_exhaustive()
    }
}

/// Why a WebSocket ends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Broken(Failure);

impl From<Failure> for Broken {
    fn from(failure: Failure) -> Self {
        Self(failure)
    }
}

impl Broken {
    /// Ends it.
    pub(crate) fn fail(self, socket: &mut Socket) {
        match self.0 {
            Failure::TooLong => socket.fail(Ending::TooLong, 1009),
            // The frames were right, and what is in them is not: as with text that is not UTF-8 (RFC 6455 §7.4.1).
            Failure::Invalid => socket.fail(Ending::NotDeflate, 1007),
        }
    }
}
