//! The contents of bodies: every request of every client has distinct bytes, so that a byte of another exchange is
//! noticed wherever it turns up.

use crate::dice::mix;

/// Bytes that distinguish an exchange from all others.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Body {
    /// Computed from a key.
    Pattern(u64),
    /// [`PIECE_LEN`] bytes of [`BLOCK`] from this offset, repeated, for bodies that are sent without copying. There are
    /// only as many of these as the block has offsets.
    Block(usize),
}

/// The source of bodies that are sent without copying, piece by piece.
pub(crate) const PIECE_LEN: usize = 64 * 1024;

pub(crate) static BLOCK: [u8; 2 * PIECE_LEN] = {
    let mut block = [0; 2 * PIECE_LEN];
    let mut at = 0;
    while at < block.len() {
        block[at] = byte(0, at as u64);
        at += 1;
    }
    block
};

/// The byte of a pattern at offset `at`.
const fn byte(key: u64, at: u64) -> u8 {
    (word(key, at >> 3) >> (8 * (at & 7))) as u8
}

const fn word(key: u64, index: u64) -> u64 {
    mix(key ^ index.wrapping_mul(0xD6E8_FEB8_6659_FD93))
}

/// Identifies an exchange by a single number.
const fn key(client: u32, serial: u64) -> u64 {
    mix(mix(client as u64) ^ serial)
}

impl Body {
    pub(crate) const fn pattern(client: u32, serial: u64) -> Self {
        Self::Pattern(key(client, serial))
    }

    pub(crate) const fn block(client: u32, serial: u64) -> Self {
        Self::Block(key(client, serial) as usize % PIECE_LEN)
    }

    /// Fills `out` with the body's bytes from offset `at`.
    pub(crate) fn fill(self, at: u64, out: &mut [u8]) {
        match self {
            Self::Pattern(key) => {
                let mut at = at;
                let mut out = out;
                while !out.is_empty() {
                    let bytes = word(key, at >> 3).to_le_bytes();
                    let bytes = &bytes[(at & 7) as usize..];
                    let count = bytes.len().min(out.len());
                    out[..count].copy_from_slice(&bytes[..count]);
                    (at, out) = (at + count as u64, &mut out[count..]);
                }
            }
            Self::Block(_) => {
                for (offset, byte) in out.iter_mut().enumerate() {
                    *byte = self.piece(at + offset as u64, 1)[0];
                }
            }
        }
    }

    /// The bytes to send at offset `at` without copying: up to `left`, and not beyond the piece.
    pub(crate) fn piece(self, at: u64, left: u64) -> &'static [u8] {
        let Self::Block(start) = self else { return &[] };
        let at = (at % PIECE_LEN as u64) as usize;
        let count = usize::try_from(left).unwrap_or(PIECE_LEN).min(PIECE_LEN - at);
        &BLOCK[start + at..start + at + count]
    }

    /// The first offset at which `bytes`, found at offset `at`, differ from this body.
    pub(crate) fn differs(self, at: u64, bytes: &[u8]) -> Option<u64> {
        let mut expected = [0; 512];
        let mut at = at;
        for bytes in bytes.chunks(expected.len()) {
            let expected = &mut expected[..bytes.len()];
            self.fill(at, expected);
            if expected != bytes {
                let offset = expected.iter().zip(bytes).position(|(expected, byte)| expected != byte)?;
                return Some(at + offset as u64);
            }
            at += bytes.len() as u64;
        }
        None
    }
}
