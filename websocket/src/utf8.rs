//! Text that arrives in pieces, which may cut characters.

/// Checks UTF-8 (RFC 3629) byte by byte, and so reports a wrong byte at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Utf8 {
    /// How many bytes of the current character are missing.
    missing: u8,
    /// The range of the next one.
    low: u8,
    high: u8,
}

impl Utf8 {
    pub(crate) const fn new() -> Self {
        Self { missing: 0, low: 0x80, high: 0xbf }
    }

    /// Whether `bytes` can go on from here.
    pub(crate) fn takes(&mut self, bytes: &[u8]) -> bool {
        bytes.iter().all(|byte| self.takes_byte(*byte))
    }

    /// Whether no character is incomplete.
    pub(crate) const fn is_complete(&self) -> bool {
        self.missing == 0
    }

    fn takes_byte(&mut self, byte: u8) -> bool {
        if self.missing > 0 {
            let fits = (self.low..=self.high).contains(&byte);
            *self = Self { missing: self.missing - 1, ..Self::new() };
            return fits;
        }
        // No overlong forms, no surrogates, nothing above U+10FFFF: the second byte has a narrower range then.
        (self.missing, self.low, self.high) = match byte {
            0..=0x7f => (0, 0x80, 0xbf),
            0xc2..=0xdf => (1, 0x80, 0xbf),
            0xe0 => (2, 0xa0, 0xbf),
            0xed => (2, 0x80, 0x9f),
            0xe1..=0xef => (2, 0x80, 0xbf),
            0xf0 => (3, 0x90, 0xbf),
            0xf4 => (3, 0x80, 0x8f),
            0xf1..=0xf3 => (3, 0x80, 0xbf),
            _ => return false,
        };
        true
    }
}

#[cfg(test)]
mod tests {
    use std::vec;
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn it_agrees_with_the_standard_library_on_all_short_sequences() {
        // Every sequence of three bytes at the borders of any range, and every sequence of two bytes.
        let borders =
            [0, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc1, 0xc2, 0xdf, 0xe0, 0xe1, 0xec, 0xed, 0xee];
        let borders: Vec<u8> = borders.into_iter().chain([0xef, 0xf0, 0xf1, 0xf3, 0xf4, 0xf5, 0xff]).collect();
        let mut sequences: Vec<Vec<u8>> = (0..=0xffff_u16).map(|two| two.to_be_bytes().into()).collect();
        for a in &borders {
            for b in &borders {
                for c in &borders {
                    sequences.extend([vec![*a, *b, *c], vec![*a, *b, *c, 0x80], vec![*a, *b, *c, 0xbf]]);
                }
            }
        }
        for bytes in sequences {
            agree(&bytes);
        }
    }

    fn agree(bytes: &[u8]) {
        let mut utf8 = Utf8::new();
        let valid = utf8.takes(bytes) && utf8.is_complete();
        assert_eq!(valid, std::str::from_utf8(bytes).is_ok(), "{}", bytes.escape_ascii());
        let mut utf8 = Utf8::new();
        // Wrong bytes are found where the standard library finds them.
        let begins = std::str::from_utf8(bytes).map_or_else(|error| error.error_len().is_none(), |_| true);
        assert_eq!(utf8.takes(bytes), begins, "{}", bytes.escape_ascii());
    }

    proptest! {
        #[test]
        fn it_agrees_on_any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..12), text in ".{0,8}") {
            agree(&bytes);
            agree(text.as_bytes());
            agree(&[text.as_bytes(), &bytes].concat());
        }
    }
}
