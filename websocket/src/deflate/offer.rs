//! What a client offers in `Sec-WebSocket-Extensions`, and what becomes of it (RFC 6455 §9.1, RFC 7692 §5 and §7.1).

use alloc::string::String;
use core::fmt::Write;

/// The largest window of DEFLATE, as an exponent of 2. Where nothing is said, it is this one.
pub(super) const WINDOW_BITS_MAX: u8 = 15;
/// The smallest window that the compressor has. The standard also knows 8.
pub(super) const WINDOW_BITS_MIN: u8 = 9;

/// What the server is ready to agree to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wish {
    pub(super) takes_context_over: bool,
    pub(super) window_bits: u8,
}

/// What was agreed on. The parameters that say how far back a side refers at most are about that side's own compressor.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Terms {
    /// Whether messages of that side may refer to its earlier ones.
    pub(super) server_takes_over: bool,
    pub(super) client_takes_over: bool,
    /// The window of the server's compressor.
    pub(super) server_bits: u8,
    /// The client has asked for a window of the server's.
    states_server_bits: bool,
    /// The window that the client has said to have. It needs no more of our memory than another one, so it may have any.
    client_bits: Option<u8>,
}

impl Terms {
    /// The value of `Sec-WebSocket-Extensions` in the response.
    pub(super) fn response(&self) -> String {
        let mut text = String::from("permessage-deflate");
        if !self.server_takes_over {
            text.push_str("; server_no_context_takeover");
        }
        if !self.client_takes_over {
            text.push_str("; client_no_context_takeover");
        }
        if self.states_server_bits {
            let _ = write!(text, "; server_max_window_bits={}", self.server_bits);
        }
        if let Some(bits) = self.client_bits {
            let _ = write!(text, "; client_max_window_bits={bits}");
        }
        text
    }
}

/// The value does not follow the grammar, so that nothing in it can be relied on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Malformed;

/// Agrees to the first offer, over all fields, that can be accepted: the client prefers those that come first. Offers of other
/// extensions, and those that break a rule of this one, are declined by leaving them out of the response.
pub(super) fn choose<'f>(fields: impl Iterator<Item = &'f [u8]>, wish: Wish) -> Result<Option<Terms>, Malformed> {
    let mut chosen = None;
    for field in fields {
        let mut scanner = Scanner(field);
        loop {
            scanner.skip_space();
            if scanner.0.is_empty() {
                break;
            }
            // A list may have empty elements.
            if scanner.eat(b',') {
                continue;
            }
            let offer = scanner.offer()?;
            if !scanner.0.is_empty() && !scanner.eat(b',') {
                return Err(Malformed);
            }
            chosen = chosen.or_else(|| offer?.agree(wish));
        }
    }
    Ok(chosen)
}

/// An offer of permessage-deflate that has broken no rule so far.
#[derive(Clone, Copy, Debug, Default)]
struct Offer {
    server_no_context_takeover: bool,
    client_no_context_takeover: bool,
    server_max_window_bits: Option<u8>,
    client_max_window_bits: Option<Option<u8>>,
}

impl Offer {
    /// The offer with one more parameter; `None` if it must be declined: an unknown parameter, one that comes twice, or one
    /// with a value that it must not have (RFC 7692 §7.1).
    fn with(mut self, name: &[u8], value: Option<&[u8]>) -> Option<Self> {
        let is_new = match name {
            b"server_no_context_takeover" if value.is_none() => {
                !core::mem::replace(&mut self.server_no_context_takeover, true)
            }
            b"client_no_context_takeover" if value.is_none() => {
                !core::mem::replace(&mut self.client_no_context_takeover, true)
            }
            b"server_max_window_bits" => self.server_max_window_bits.replace(window_bits(value?)?).is_none(),
            b"client_max_window_bits" => {
                let bits = match value {
                    None => None,
                    Some(value) => Some(window_bits(value)?),
                };
                self.client_max_window_bits.replace(bits).is_none()
            }
            _ => false,
        };
        is_new.then_some(self)
    }

    fn agree(self, wish: Wish) -> Option<Terms> {
        let server_bits = wish.window_bits.min(self.server_max_window_bits.unwrap_or(WINDOW_BITS_MAX));
        (server_bits >= WINDOW_BITS_MIN).then_some(Terms {
            server_takes_over: wish.takes_context_over && !self.server_no_context_takeover,
            client_takes_over: wish.takes_context_over && !self.client_no_context_takeover,
            server_bits,
            states_server_bits: self.server_max_window_bits.is_some(),
            client_bits: self.client_max_window_bits.flatten(),
        })
    }
}

/// A number from 8 to 15, without leading zeros. `value` may have the escapes of a quoted string.
fn window_bits(value: &[u8]) -> Option<u8> {
    let mut digits = unescaped(value);
    match (digits.next(), digits.next(), digits.next()) {
        (Some(digit @ b'8'..=b'9'), None, _) => Some(digit - b'0'),
        (Some(b'1'), Some(digit @ b'0'..=b'5'), None) => Some(10 + digit - b'0'),
        _ => None,
    }
}

/// The rest of a field's value.
struct Scanner<'f>(&'f [u8]);

impl<'f> Scanner<'f> {
    /// An extension with its parameters; `None` inside if it is another one, or must be declined.
    fn offer(&mut self) -> Result<Option<Offer>, Malformed> {
        let mut offer = (self.token()? == b"permessage-deflate").then(Offer::default);
        self.skip_space();
        while self.eat(b';') {
            self.skip_space();
            let name = self.token()?;
            self.skip_space();
            let value = if self.eat(b'=') { Some(self.value()?) } else { None };
            self.skip_space();
            offer = offer.and_then(|offer| offer.with(name, value));
        }
        Ok(offer)
    }

    fn value(&mut self) -> Result<&'f [u8], Malformed> {
        self.skip_space();
        if !self.eat(b'"') {
            return self.token();
        }
        let mut is_escaped = false;
        let is_end = |byte: &u8| {
            let is_end = *byte == b'"' && !is_escaped;
            is_escaped = *byte == b'\\' && !is_escaped;
            is_end
        };
        let end = self.0.iter().position(is_end).ok_or(Malformed)?;
        let value = &self.0[..end];
        self.0 = &self.0[end + 1..];
        // Quoted or not, the value is a token.
        let is_token = unescaped(value).next().is_some() && unescaped(value).all(is_token_byte);
        if is_token { Ok(value) } else { Err(Malformed) }
    }

    fn token(&mut self) -> Result<&'f [u8], Malformed> {
        let end = self.0.iter().position(|byte| !is_token_byte(*byte)).unwrap_or(self.0.len());
        let (token, rest) = self.0.split_at(end);
        self.0 = rest;
        if token.is_empty() { Err(Malformed) } else { Ok(token) }
    }

    fn skip_space(&mut self) {
        while self.eat(b' ') || self.eat(b'\t') {}
    }

    fn eat(&mut self, byte: u8) -> bool {
        let rest = self.0.strip_prefix(&[byte]);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }
}

/// The bytes that a value stands for, without the backslashes of a quoted string; a token has none.
fn unescaped(value: &[u8]) -> impl Iterator<Item = u8> + '_ {
    let mut bytes = value.iter().copied();
    core::iter::from_fn(move || match bytes.next() {
        Some(b'\\') => bytes.next(),
        byte => byte,
    })
}

const fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^'..=b'`' | b'|' | b'~')
}

#[cfg(test)]
mod tests {
    use std::borrow::ToOwned;
    use std::string::String;
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    /// The default, and one that keeps contexts in a window of 4 KiB.
    const FRESH: Wish = Wish { takes_context_over: false, window_bits: 15 };
    const KEEPING: Wish = Wish { takes_context_over: true, window_bits: 12 };

    fn answer(fields: &[&str], wish: Wish) -> Result<Option<String>, Malformed> {
        let chosen = choose(fields.iter().map(|field| field.as_bytes()), wish)?;
        Ok(chosen.map(|terms| terms.response().strip_prefix("permessage-deflate").expect("its name").to_owned()))
    }

    #[test]
    fn offers_are_agreed_to_or_declined_by_the_rules_of_the_rfc() {
        const NONE: &str = "; server_no_context_takeover; client_no_context_takeover";
        // What is offered behind the name, and the parameters of the response for both wishes.
        let rows: [(&str, Option<&str>, Option<&str>); 37] = [
            ("", Some(""), Some("")),
            (" ;server_no_context_takeover", Some(""), Some("; server_no_context_takeover")),
            ("; client_no_context_takeover", Some(""), Some("; client_no_context_takeover")),
            ("; client_no_context_takeover; server_no_context_takeover", Some(""), Some(NONE)),
            ("; server_max_window_bits=15", Some("; server_max_window_bits=15"), Some("; server_max_window_bits=12")),
            ("; server_max_window_bits=10", Some("; server_max_window_bits=10"), Some("; server_max_window_bits=10")),
            ("; server_max_window_bits=9", Some("; server_max_window_bits=9"), Some("; server_max_window_bits=9")),
            ("; client_max_window_bits", Some(""), Some("")),
            ("; client_max_window_bits=15", Some("; client_max_window_bits=15"), Some("; client_max_window_bits=15")),
            ("; client_max_window_bits=8", Some("; client_max_window_bits=8"), Some("; client_max_window_bits=8")),
            (
                "; client_max_window_bits=\"10\"",
                Some("; client_max_window_bits=10"),
                Some("; client_max_window_bits=10"),
            ),
            (
                "; server_max_window_bits = \"1\\0\"",
                Some("; server_max_window_bits=10"),
                Some("; server_max_window_bits=10"),
            ),
            (
                "\t;\tclient_max_window_bits ; server_max_window_bits=11\t",
                Some("; server_max_window_bits=11"),
                Some("; server_max_window_bits=11"),
            ),
            // The compressor has no window of 256 bytes.
            ("; server_max_window_bits=8", None, None),
            ("; server_max_window_bits", None, None),
            ("; server_max_window_bits=7", None, None),
            ("; server_max_window_bits=16", None, None),
            ("; server_max_window_bits=010", None, None),
            ("; server_max_window_bits=100", None, None),
            ("; server_max_window_bits=1", None, None),
            ("; server_max_window_bits=ten", None, None),
            ("; server_max_window_bits=+9", None, None),
            ("; server_max_window_bits=\"16\"", None, None),
            ("; client_max_window_bits=7", None, None),
            ("; client_max_window_bits=16", None, None),
            ("; client_max_window_bits=08", None, None),
            ("; client_max_window_bits=-9", None, None),
            ("; client_no_context_takeover=1", None, None),
            ("; server_no_context_takeover=true", None, None),
            ("; server_no_context_takeover=\"true\"", None, None),
            ("; server_no_context_takeover; server_no_context_takeover", None, None),
            ("; client_no_context_takeover; client_no_context_takeover", None, None),
            ("; server_max_window_bits=10; server_max_window_bits=10", None, None),
            ("; client_max_window_bits; client_max_window_bits=10", None, None),
            ("; client_max_window_bits; client_max_window_bits", None, None),
            ("; unknown", None, None),
            ("; Server_No_Context_Takeover", None, None),
        ];
        for (offer, fresh, keeping) in rows {
            let field = &[&*alloc::format!("permessage-deflate{offer}")];
            let fresh = fresh.map(|rest| alloc::format!("{NONE}{rest}"));
            assert_eq!(answer(field, FRESH), Ok(fresh), "{offer}");
            assert_eq!(answer(field, KEEPING), Ok(keeping.map(str::to_owned)), "{offer}");
        }
    }

    #[test]
    fn the_first_offer_that_can_be_accepted_is() {
        let rows: [(&[&str], Option<&str>); 12] = [
            (&[], None),
            (&[""], None),
            (&[" , ,"], None),
            (&["x-webkit-deflate-frame"], None),
            (&["permessage-bzip2; server_max_window_bits=10"], None),
            (
                &["permessage-deflate; server_max_window_bits=10, permessage-deflate"],
                Some("; server_max_window_bits=10"),
            ),
            (&["permessage-deflate; server_max_window_bits=8, permessage-deflate"], Some("")),
            (&["permessage-deflate; unknown=\"a\", permessage-deflate; client_max_window_bits"], Some("")),
            (
                &["foo; a=b; c; d=\"e\" ,, permessage-deflate; server_max_window_bits=9,"],
                Some("; server_max_window_bits=9"),
            ),
            (&["foo", "permessage-deflate; server_max_window_bits=14"], Some("; server_max_window_bits=12")),
            (
                &["permessage-deflate; a, permessage-deflate; client_max_window_bits=9", "permessage-deflate"],
                Some("; client_max_window_bits=9"),
            ),
            (&["permessage-deflates", "permessage", "Permessage-Deflate"], None),
        ];
        for (fields, expected) in rows {
            assert_eq!(answer(fields, KEEPING), Ok(expected.map(str::to_owned)), "{fields:?}");
        }
    }

    #[test]
    fn what_follows_no_grammar_is_malformed() {
        let rows = [
            "permessage-deflate;",
            "permessage-deflate; ; client_max_window_bits",
            "permessage-deflate client_max_window_bits",
            "permessage-deflate; client_max_window_bits=",
            "permessage-deflate; client_max_window_bits=, foo",
            "permessage-deflate; client_max_window_bits=\"\"",
            "permessage-deflate; client_max_window_bits=\"10",
            "permessage-deflate; client_max_window_bits=\"10\\\"",
            "permessage-deflate; client_max_window_bits=\"1 0\"",
            "permessage-deflate; client_max_window_bits=10 11",
            "permessage-deflate; =10",
            "permessage-deflate, foo=bar",
            "permessage-deflate, \"foo\"",
            "permessage-deflate, foo; a=b=c",
            "permessage-deflate, f\u{f6}\u{f6}",
            "=",
        ];
        for row in rows {
            assert_eq!(answer(&[row], FRESH), Err(Malformed), "{row}");
        }
    }

    /// The same offer in any order, with any space and any quotes.
    fn written(parts: &[(String, u8)], spaces: &[u8]) -> String {
        let mut spaces = spaces.iter().cycle();
        let mut space = || [" ", "", "\t", "  "][usize::from(spaces.next().copied().unwrap_or(0) % 4)];
        let mut text = alloc::format!("permessage-deflate{}", space());
        for (name, value) in parts {
            let _ = write!(text, ";{}{name}{}", space(), space());
            let quote = if space().is_empty() { "\"" } else { "" };
            if *value > 0 {
                let _ = write!(text, "={}{quote}{value}{quote}{}", space(), space());
            }
        }
        text
    }

    proptest! {
        #[test]
        fn nothing_panics_and_what_is_agreed_to_keeps_the_rules(
            fields in proptest::collection::vec(
                "(permessage-deflate|foo|[;,= \"\\\\]|client_max_window_bits|server_max_window_bits|(client|server)_no_context_takeover|[0-9]{1,2}){0,9}",
                0..3,
            ),
            keeps in any::<bool>(),
            bits in 9..=15_u8,
        ) {
            let wish = Wish { takes_context_over: keeps, window_bits: bits };
            if let Ok(Some(terms)) = choose(fields.iter().map(|field| field.as_bytes()), wish) {
                prop_assert!((9..=bits).contains(&terms.server_bits));
                prop_assert!(keeps || !terms.server_takes_over && !terms.client_takes_over);
                // What is answered is an offer that would be answered likewise.
                prop_assert_eq!(choose([terms.response().as_bytes()].into_iter(), wish), Ok(Some(terms)));
            }
        }

        #[test]
        fn space_order_and_quotes_do_not_matter(
            server_bits in proptest::option::of(9..=15_u8),
            client_bits in proptest::option::of(prop_oneof![Just(0), 8..=15_u8]),
            flags in any::<[bool; 2]>(),
            order in Just((0..4).collect::<Vec<usize>>()).prop_shuffle(),
            spaces in proptest::collection::vec(any::<u8>(), 1..20),
        ) {
            let parts = [
                server_bits.map(|bits| ("server_max_window_bits".to_owned(), bits)),
                client_bits.map(|bits| ("client_max_window_bits".to_owned(), bits)),
                flags[0].then(|| ("server_no_context_takeover".to_owned(), 0)),
                flags[1].then(|| ("client_no_context_takeover".to_owned(), 0)),
            ];
            let parts: Vec<_> = order.iter().filter_map(|at| parts[*at].clone()).collect();
            let terms = choose([written(&parts, &spaces).as_bytes()].into_iter(), KEEPING);
            let expected = Terms {
                server_takes_over: !flags[0],
                client_takes_over: !flags[1],
                server_bits: server_bits.unwrap_or(15).min(12),
                states_server_bits: server_bits.is_some(),
                client_bits: client_bits.filter(|bits| *bits > 0),
            };
            prop_assert_eq!(terms, Ok(Some(expected)));
        }
    }
}
