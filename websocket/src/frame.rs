//! Frames (RFC 6455 §5.2).

/// The longest payload of a control frame (RFC 6455 §5.5).
pub(crate) const CONTROL_BYTES_MAX: usize = 125;
/// The longest header that a server writes: it masks nothing.
pub(crate) const HEADER_BYTES_MAX: usize = 10;

/// What a frame is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Opcode {
    Continuation,
    Text,
    Binary,
    Close,
    Ping,
    Pong,
}

impl Opcode {
    const fn of(bits: u8) -> Option<Self> {
        Some(match bits {
            0 => Self::Continuation,
            1 => Self::Text,
            2 => Self::Binary,
            8 => Self::Close,
            9 => Self::Ping,
            10 => Self::Pong,
            _ => return None,
        })
    }

    const fn bits(self) -> u8 {
        match self {
            Self::Continuation => 0,
            Self::Text => 1,
            Self::Binary => 2,
            Self::Close => 8,
            Self::Ping => 9,
            Self::Pong => 10,
        }
    }

    pub(crate) const fn is_control(self) -> bool {
        self.bits() >= 8
    }
}

/// The header of a frame that a client has sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Header {
    pub(crate) is_final: bool,
    /// The message that begins with it is compressed (RFC 7692 §6).
    pub(crate) is_compressed: bool,
    pub(crate) opcode: Opcode,
    pub(crate) mask: [u8; 4],
    pub(crate) length: u64,
}

/// Why a header cannot be used.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum NoHeader {
    /// More bytes are needed.
    Incomplete,
    /// It breaks the protocol, whatever follows.
    Wrong,
}

impl Header {
    /// Reads the header at the beginning of `bytes`, and returns its length too. `may_compress` if compression was agreed on.
    pub(crate) fn read(bytes: &[u8], may_compress: bool) -> Result<(Self, usize), NoHeader> {
        let [first, rest @ ..] = bytes else { return Err(NoHeader::Incomplete) };
        let opcode = Opcode::of(first & 0xf).ok_or(NoHeader::Wrong)?;
        // The reserved bits are 0, except for the first one where a compressed message begins.
        let is_compressed = first & 0x40 != 0;
        let may_compress = may_compress && matches!(opcode, Opcode::Text | Opcode::Binary);
        if first & 0x30 != 0 || is_compressed && !may_compress {
            return Err(NoHeader::Wrong);
        }
        let is_final = first & 0x80 != 0;
        let [second, rest @ ..] = rest else {
            return Err(if opcode.is_control() && !is_final { NoHeader::Wrong } else { NoHeader::Incomplete });
        };
        let short = second & 0x7f;
        // A client masks; a control frame is short and in one piece.
        if second & 0x80 == 0 || opcode.is_control() && (!is_final || usize::from(short) > CONTROL_BYTES_MAX) {
            return Err(NoHeader::Wrong);
        }
        let (length, rest, length_len) = match short {
            126 => {
                let (length, rest) = rest.split_first_chunk().ok_or(NoHeader::Incomplete)?;
                (u64::from(u16::from_be_bytes(*length)), rest, 2)
            }
            127 => {
                let (length, rest) = rest.split_first_chunk().ok_or(NoHeader::Incomplete)?;
                (u64::from_be_bytes(*length), rest, 8)
            }
            short => (short.into(), rest, 0),
        };
        // The shortest form is the only one, and the highest bit is 0.
        let least = match length_len {
            2 => 126,
            8 => 65_536,
            _ => 0,
        };
        if length < least || length > u64::MAX >> 1 {
            return Err(NoHeader::Wrong);
        }
        let mask = *rest.first_chunk().ok_or(NoHeader::Incomplete)?;
        Ok((Self { is_final, is_compressed, opcode, mask, length }, 6 + length_len))
    }
}

/// Writes the header of a frame of the server's, and returns its length.
pub(crate) fn write_header(into: &mut [u8; HEADER_BYTES_MAX], opcode: Opcode, is_final: bool, length: u64) -> usize {
    into[0] = opcode.bits() | if is_final { 0x80 } else { 0 };
    match length {
        0..=125 => {
            into[1] = length as u8;
            2
        }
        126..=65_535 => {
            into[1] = 126;
            into[2..4].copy_from_slice(&(length as u16).to_be_bytes());
            4
        }
        _ => {
            into[1] = 127;
            into[2..].copy_from_slice(&length.to_be_bytes());
            10
        }
    }
}

/// Whether a close frame may carry this code (RFC 6455 §7.4): those of the standard that are not reserved, and those for
/// libraries and applications.
pub(crate) const fn is_close_code(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}
