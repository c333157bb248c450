//! The fields that determine framing, persistence and the like: recognised by length first, then by comparing whole
//! words with letters in lower case.

use super::FIELDS_CAPACITY;
use super::error::HeadError;
use super::framing::{self, BodyLength, Occurrence};
use super::host;
use crate::request::{Slots, Version};

/// Bits of [`Known::flags`]: what the known fields of a head say.
pub(crate) mod flag {
    /// Connection lists `close`.
    pub(crate) const CLOSE: u8 = 1;
    /// Connection lists `keep-alive`.
    pub(crate) const KEEP_ALIVE: u8 = 1 << 1;
    /// Connection lists `upgrade`.
    pub(crate) const UPGRADE_LISTED: u8 = 1 << 2;
    /// An Upgrade field names a protocol.
    pub(crate) const UPGRADE: u8 = 1 << 3;
    /// Expect lists `100-continue`.
    pub(crate) const EXPECT_CONTINUE: u8 = 1 << 4;
    /// Expect lists something else.
    pub(crate) const EXPECT_OTHER: u8 = 1 << 5;
}

/// Where a field is that may occur only once: an index into the fields, or one of two marks that are no index.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Place(u8);

impl Place {
    const NOWHERE: Self = Self(u8::MAX);
    const REPEATED: Self = Self(u8::MAX - 1);

    #[inline(always)]
    fn add(&mut self, index: usize) {
        *self = if *self == Self::NOWHERE { Self(index as u8) } else { Self::REPEATED };
    }

    #[cfg_attr(not(feature = "small"), inline(always))]
    fn look_up(self, fields: Slots<'_>) -> Occurrence<'_> {
        match fields.value_at(self.0 as usize) {
            Some(value) => Occurrence::Once(value),
            None if self == Self::NOWHERE => Occurrence::Never,
            None => Occurrence::Repeated,
        }
    }
}

const _: () = assert!(FIELDS_CAPACITY < Place::REPEATED.0 as usize);

/// The known fields of one head.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    host: Place,
    content_length: Place,
    transfer_encoding: Place,
    pub(super) flags: u8,
}

impl Known {
    #[inline(always)]
    pub(super) const fn new() -> Self {
        Self { host: Place::NOWHERE, content_length: Place::NOWHERE, transfer_encoding: Place::NOWHERE, flags: 0 }
    }

    /// Index of Host if there is exactly one; otherwise out of range.
    #[inline(always)]
    pub(super) const fn host_index(&self) -> u8 {
        self.host.0
    }

    /// Records the field at `index`. Its name is a token, so setting bit 5 maps letters to lower case, and maps no
    /// other token byte to a letter or a hyphen.
    #[cfg_attr(not(feature = "small"), inline(always))]
    pub(super) fn add(&mut self, index: usize, name: &[u8], value: &[u8]) {
        match name.len() {
            4 if fold4(name, 0) == word4(b"host") => self.host.add(index),
            6 if fold4(name, 0) == word4(b"expe") && fold4(name, 2) == word4(b"pect") => self.add_expect(value),
            7 if fold4(name, 0) == word4(b"upgr") && fold4(name, 3) == word4(b"rade") => self.add_upgrade(value),
            10 if fold8(name, 0) == word8(b"connecti") && fold8(name, 2) == word8(b"nnection") => {
                self.add_connection(value);
            }
            14 if fold8(name, 0) == word8(b"content-") && fold8(name, 6) == word8(b"t-length") => {
                self.content_length.add(index);
            }
            17 if fold8(name, 0) == word8(b"transfer")
                && fold8(name, 8) == word8(b"-encodin")
                && fold8(name, 9) == word8(b"encoding") =>
            {
                self.transfer_encoding.add(index);
            }
            _ => {}
        }
    }

    /// A field value has no control characters except tabs, and of those bytes that setting bit 5 maps to a letter or a
    /// hyphen, all others are letters or control characters.
    #[cfg_attr(not(feature = "small"), inline)]
    fn add_connection(&mut self, value: &[u8]) {
        match value.len() {
            10 if fold8(value, 0) == word8(b"keep-ali") && fold8(value, 2) == word8(b"ep-alive") => {
                self.flags |= flag::KEEP_ALIVE;
            }
            5 if fold4(value, 0) == word4(b"clos") && fold4(value, 1) == word4(b"lose") => self.flags |= flag::CLOSE,
            _ => self.add_connection_list(value),
        }
    }

    #[cold]
    fn add_connection_list(&mut self, value: &[u8]) {
        for option in members(value) {
            let rows: [(&[u8], u8); 3] =
                [(b"close", flag::CLOSE), (b"keep-alive", flag::KEEP_ALIVE), (b"upgrade", flag::UPGRADE_LISTED)];
            for (name, bit) in rows {
                if option.eq_ignore_ascii_case(name) {
                    self.flags |= bit;
                }
            }
        }
    }

    /// Any member besides `100-continue` counts as something else, even if quoting would make it part of another
    /// member.
    #[cold]
    fn add_expect(&mut self, value: &[u8]) {
        for expectation in members(value) {
            let known = expectation.eq_ignore_ascii_case(b"100-continue");
            self.flags |= if known { flag::EXPECT_CONTINUE } else { flag::EXPECT_OTHER };
        }
    }

    #[cold]
    fn add_upgrade(&mut self, value: &[u8]) {
        if members(value).next().is_some() {
            self.flags |= flag::UPGRADE;
        }
    }

    /// Checks Host, which may be missing only on HTTP/1.0.
    ///
    /// # Errors
    /// Missing on HTTP/1.1; repeated or malformed on any version.
    #[cfg_attr(not(feature = "small"), inline(always))]
    pub(super) fn check_host(&self, fields: Slots<'_>, version: Version) -> Result<(), HeadError> {
        match self.host.look_up(fields) {
            Occurrence::Once(value) if host::is_authority(value) => Ok(()),
            Occurrence::Once(_) => Err(HeadError::Host),
            Occurrence::Repeated => Err(HeadError::HostRepeated),
            Occurrence::Never if version == Version::Http10 => Ok(()),
            Occurrence::Never => Err(HeadError::HostMissing),
        }
    }

    /// How the content is delimited.
    ///
    /// # Errors
    /// See the table in [`framing`].
    #[cfg_attr(not(feature = "small"), inline(always))]
    pub(super) fn body_length(&self, fields: Slots<'_>, version: Version) -> Result<BodyLength, HeadError> {
        if self.transfer_encoding == Place::NOWHERE && self.content_length == Place::NOWHERE {
            return Ok(BodyLength::None); // the table's first row, and nearly every request
        }
        let (transfer_encoding, content_length) =
            (self.transfer_encoding.look_up(fields), self.content_length.look_up(fields));
        Ok(framing::body_length(transfer_encoding, content_length, version)?)
    }

    /// Refuses expectations other than `100-continue`. HTTP/1.0 has no Expect: it is ignored there (RFC 9110 §10.1.1).
    #[cfg_attr(not(feature = "small"), inline(always))]
    pub(super) fn check_expectation(&self, version: Version) -> Result<(), HeadError> {
        if self.flags & flag::EXPECT_OTHER != 0 && version == Version::Http11 {
            return Err(HeadError::Expectation);
        }
        Ok(())
    }
}

/// The members of a list (RFC 9110 §5.6.1) without white space around them; empty ones are skipped. A comma in a quoted
/// string separates as well, so this is only for lists whose relevant members are tokens.
fn members(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii).filter(|member| !member.is_empty())
}

/// Four bytes starting at `at` as a word, letters in lower case. The caller has compared the length, so the bounds
/// check is optimised away.
#[inline(always)]
fn fold4(name: &[u8], at: usize) -> u32 {
    name[at..].first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes) | 0x2020_2020)
}

/// Eight bytes starting at `at` as a word, letters in lower case.
#[inline(always)]
fn fold8(name: &[u8], at: usize) -> u64 {
    name[at..].first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes) | 0x2020_2020_2020_2020)
}

const fn word4(bytes: &[u8; 4]) -> u32 {
    u32::from_le_bytes(*bytes)
}

const fn word8(bytes: &[u8; 8]) -> u64 {
    u64::from_le_bytes(*bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_recognised(name: &[u8]) -> bool {
        let mut known = Known::new();
        known.add(0, name, b"close");
        let places = [known.host, known.content_length, known.transfer_encoding];
        known.flags != 0 || places.iter().any(|place| *place != Place::NOWHERE)
    }

    /// Each name is recognised in any case; names that differ in one byte are not.
    #[test]
    fn only_the_exact_names_are_recognised() {
        let names: [&[u8]; 6] =
            [b"host", b"expect", b"upgrade", b"connection", b"content-length", b"transfer-encoding"];
        for name in names {
            assert!(is_recognised(name), "{:?}", name.escape_ascii());
            assert!(is_recognised(&name.to_ascii_uppercase()));
            for at in 0..name.len() {
                for byte in (0..=255).filter(|&byte| super::super::bytes::is(byte, super::super::bytes::TOKEN)) {
                    let mut other = name.to_vec();
                    other[at] = byte;
                    let same = other.eq_ignore_ascii_case(name);
                    assert_eq!(is_recognised(&other), same, "{:?}", other.escape_ascii());
                }
            }
        }
        for name in [&b"content_length"[..], b"transfer_encoding", b"content-type", b"cookie", b"x", b"te"] {
            assert!(!is_recognised(name), "{:?}", name.escape_ascii());
        }
    }
}
