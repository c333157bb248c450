//! Echoes that compress, and the client's side, whose DEFLATE is miniz_oxide: it shares no code with the crate.

// Every test crate uses its own part of this.
#![allow(dead_code)]

use aurora_http_core::handler::{Handler, handler_fn};
use aurora_http_core::writer::WriteError;
use aurora_http_websocket::{Budget, Deflate, Event, Link, Options, websocket_deflate};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};

use super::support::{HANDSHAKE, raw};

pub(crate) const MESSAGE_BYTES_MAX: usize = 1 << 20;
/// The bit of a frame by which a compressed message begins.
pub(crate) const RSV1: u8 = 0x40;
pub(crate) const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];
/// The examples of RFC 7692 §7.2.3: `Hello`, and the same again if the first one is known.
pub(crate) const HELLO: [u8; 7] = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
pub(crate) const HELLO_AGAIN: [u8; 5] = [0xf2, 0x00, 0x11, 0x00, 0x00];

/// A handshake with an offer.
pub(crate) fn offering(extension: &str) -> String {
    HANDSHAKE.replace("\r\n\r\n", &format!("\r\nSec-WebSocket-Extensions: {extension}\r\n\r\n"))
}

pub(crate) fn serve(
    deflate: Deflate,
    options: Options,
    on_event: impl FnMut(Event<'_>, &mut Link<'_, '_>) + Clone,
) -> impl Handler {
    handler_fn(move |request, response| {
        let (_, agreed) = deflate.accept(request, response, &["echo"])?;
        Ok::<_, WriteError>(websocket_deflate(options, agreed, on_event.clone()))
    })
}

pub(crate) fn echo(deflate: Deflate) -> impl Handler {
    let options = Options { message_bytes_max: MESSAGE_BYTES_MAX as u32, ..Options::default() };
    serve(deflate, options, |event, link| match event {
        Event::Text(text) => link.send_text(text),
        Event::Binary(bytes) => link.send_binary(bytes),
        _ => {}
    })
}

/// Everything is compressed that becomes shorter.
pub(crate) fn eager() -> Deflate {
    Deflate::new(&Budget::new(1)).bytes_min(0)
}

/// The client's side.
pub(crate) struct Peer {
    compress: Compress,
    decompress: Decompress,
    pub(crate) keeps: bool,
}

impl Peer {
    pub(crate) fn new(keeps: bool) -> Self {
        Self { compress: Compress::new(Compression::default(), false), decompress: Decompress::new(false), keeps }
    }

    /// The payload of a message.
    pub(crate) fn compress(&mut self, message: &[u8]) -> Vec<u8> {
        let mut payload = self.flush(message);
        payload.truncate(payload.len() - TAIL.len());
        if !self.keeps {
            self.compress.reset();
        }
        payload
    }

    /// With its tail.
    pub(crate) fn flush(&mut self, message: &[u8]) -> Vec<u8> {
        let mut payload = Vec::with_capacity(2 * message.len() + 1_000);
        self.compress.compress_vec(message, &mut payload, FlushCompress::Sync).expect("a compressor");
        assert!(payload.ends_with(&TAIL) && payload.len() < payload.capacity());
        payload
    }

    pub(crate) fn decompress(&mut self, payload: &[u8]) -> Vec<u8> {
        let input = [payload, &TAIL].concat();
        let mut message = Vec::with_capacity(1_000);
        let mut rest = &input[..];
        // It is done when all was taken and there was room for more.
        while !rest.is_empty() || message.len() == message.capacity() {
            message.reserve(message.len().max(1));
            let (taken, made) = (self.decompress.total_in(), message.len());
            self.decompress.decompress_vec(rest, &mut message, FlushDecompress::Sync).expect("DEFLATE");
            rest = &rest[(self.decompress.total_in() - taken) as usize..];
            assert!(self.decompress.total_in() > taken || message.len() > made || rest.is_empty(), "it goes on");
        }
        if !self.keeps {
            self.decompress.reset(false);
        }
        message
    }
}

/// A compressed message in one frame.
pub(crate) fn packed(opcode: u8, payload: impl AsRef<[u8]>) -> Vec<u8> {
    raw(0x80 | RSV1 | opcode, payload)
}

/// Text that compresses as text does.
pub(crate) fn mixed(length: usize) -> Vec<u8> {
    (0_u32..)
        .flat_map(|at| format!("{{\"id\":{at},\"name\":\"{}\"}}", at * at % 97).into_bytes())
        .take(length)
        .collect()
}

/// Bytes that do not become shorter.
pub(crate) fn random(length: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let step = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 56) as u8
    };
    std::iter::repeat_with(step).take(length).collect()
}
