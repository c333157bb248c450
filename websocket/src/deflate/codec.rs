//! Messages into DEFLATE and out of it (RFC 7692 §7.2), by zlib-rs.

use alloc::vec::Vec;

use zlib_rs::{DeflateConfig, DeflateFlush, Inflate, InflateFlush, Status};

/// The end of what a flush makes: an empty block without compression. It is not sent (RFC 7692 §7.2.1).
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];
/// A final block that is empty, without compression, at the beginning of a byte.
const FINAL: [u8; 5] = [1, 0, 0, 0xff, 0xff];
/// Fast, and most of what can be gained.
const LEVEL: i32 = 4;
/// How much is decompressed at a time.
const STEP: usize = 2048;

/// What a compressor with this window allocates, in bytes: the window twice, a chain of as many positions, output that waits, a
/// table of positions by hash, and the codes.
pub(super) const fn deflater_bytes(window_bits: u8) -> usize {
    (15 << window_bits >> 1) + (128 << 10) + (8 << 10)
}

/// What a decompressor allocates, in bytes, whatever the window of the other side: 32 KiB of what was there last, and the tables of a
/// block.
pub(super) const INFLATER_BYTES: usize = 48 << 10;

/// Compresses messages.
pub(super) struct Deflater {
    state: zlib_rs::Deflate,
    window_bits: u8,
}

impl Deflater {
    pub(super) fn new(window_bits: u8) -> Self {
        let config = DeflateConfig {
            level: LEVEL,
            // Negative for a stream without header and checksum.
            window_bits: -i32::from(window_bits),
            // Half as many codes wait for their block as there are bytes in the window, as in zlib's default.
            mem_level: i32::from(window_bits) - 7,
            ..DeflateConfig::default()
        };
        Self { state: zlib_rs::Deflate::new_with_config(config), window_bits }
    }

    pub(super) const fn window_bits(&self) -> u8 {
        self.window_bits
    }

    /// Forgets all messages.
    pub(super) fn reset(&mut self) {
        self.state.reset();
    }

    /// Whether it knows no message.
    pub(super) fn is_fresh(&self) -> bool {
        self.state.total_in() == 0
    }

    /// Appends a message to `out`; `false`, and `out` is as it was, if it would not become shorter, or is not less than `longer` bytes
    /// longer. Then [`reset`](Self::reset) it: the client will not have what it knows now.
    pub(super) fn compress(&mut self, message: &[u8], longer: usize, out: &mut Vec<u8>) -> bool {
        let begin = out.len();
        // If the space is full there may be more output, so there is a byte more than what is good enough.
        let space = message.len() + longer + TAIL.len();
        out.resize(begin + space, 0);
        let (taken_before, before) = (self.state.total_in(), self.state.total_out());
        let result = self.state.compress(message, &mut out[begin..], DeflateFlush::SyncFlush);
        let length = (self.state.total_out() - before) as usize;
        // A call takes at most 4 GiB.
        let is_all_taken = self.state.total_in() - taken_before == message.len() as u64;
        out.truncate(begin + length);
        if result == Ok(Status::Ok) && is_all_taken && length < space && out[begin..].ends_with(&TAIL) {
            out.truncate(begin + length - TAIL.len());
            return true;
        }
        out.truncate(begin);
        false
    }
}

/// Why there is no message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Failure {
    /// It is not DEFLATE, or not all of it.
    Invalid,
    /// It is longer than it may be.
    TooLong,
}

/// Decompresses messages.
pub(super) struct Inflater {
    state: Inflate,
    /// The message that arrives has had payload.
    has_begun: bool,
    /// A final block is the last thing that has arrived.
    has_ended: bool,
}

impl Inflater {
    pub(super) fn new() -> Self {
        Self { state: Inflate::new(false, 15), has_begun: false, has_ended: false }
    }

    /// Appends what is in `payload` to `message`, which is never longer than `max`.
    pub(super) fn decompress(&mut self, mut payload: &[u8], message: &mut Vec<u8>, max: usize) -> Result<(), Failure> {
        self.has_begun |= !payload.is_empty();
        let mut space = [0; STEP];
        let mut is_full = false;
        while !payload.is_empty() || is_full {
            // A byte more than is allowed shows that it is too long.
            let space = &mut space[..STEP.min((max - message.len()).saturating_add(1))];
            let (total_in, total_out) = (self.state.total_in(), self.state.total_out());
            let status = self.state.decompress(payload, space, InflateFlush::SyncFlush);
            let taken = (self.state.total_in() - total_in) as usize;
            let made = (self.state.total_out() - total_out) as usize;
            append(message, &space[..made], max)?;
            let status = status.map_err(|_| Failure::Invalid)?;
            payload = &payload[taken..];
            is_full = made == space.len();
            self.has_ended = status == Status::StreamEnd;
            if self.has_ended {
                // Other blocks may follow a final one (RFC 7692 §7.2.3.4). They begin anew.
                self.state.reset(false);
                is_full = false;
            } else if taken == 0 && made == 0 && !payload.is_empty() {
                return Err(Failure::Invalid);
            }
        }
        Ok(())
    }

    /// The message is complete. If no context is kept, the next one begins anew.
    pub(super) fn finish(&mut self, message: &mut Vec<u8>, max: usize, is_context_kept: bool) -> Result<(), Failure> {
        // The payload ends within an empty block (RFC 7692 §7.2.1), even that of an empty message.
        if !self.has_begun || self.has_ended {
            return Err(Failure::Invalid);
        }
        let length = message.len();
        self.decompress(&TAIL, message, max)?;
        if !is_context_kept && message.len() == length {
            // Between blocks it is taken for a final one, which ends the stream, and elsewhere it is not.
            self.has_ended = false;
            self.decompress(&FINAL, message, max)?;
            if !self.has_ended {
                return Err(Failure::Invalid);
            }
        }
        // Neither has any content, unless the payload has ended elsewhere.
        if message.len() > length {
            return Err(Failure::Invalid);
        }
        (self.has_begun, self.has_ended) = (false, false);
        Ok(())
    }
}

/// Appends to a message, whose memory grows at most to `max`. What is too long for it is appended as far as it fits.
fn append(message: &mut Vec<u8>, bytes: &[u8], max: usize) -> Result<(), Failure> {
    let left = max - message.len();
    let is_too_long = bytes.len() > left;
    let bytes = &bytes[..bytes.len().min(left)];
    if message.capacity() - message.len() < bytes.len() {
        message.reserve_exact(message.len().max(bytes.len()).min(left));
    }
    message.extend_from_slice(bytes);
    if is_too_long { Err(Failure::TooLong) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// On 32 bits, that is a limit which a program can set.
    #[test]
    fn the_largest_limit_is_no_overflow() {
        let (mut inflater, mut message) = (Inflater::new(), Vec::new());
        let hello = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
        assert_eq!(inflater.decompress(&hello, &mut message, usize::MAX), Ok(()));
        assert_eq!(inflater.finish(&mut message, usize::MAX, false), Ok(()));
        assert_eq!(message, b"Hello");
    }
}
