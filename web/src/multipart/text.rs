//! Names in quotation marks.

use core::fmt::{self, Write};

/// Longest file name, in bytes: the limit of most file systems.
const FILE_NAME_BYTES_MAX: usize = 255;

/// A name as it was sent, which is decoded when it is compared, displayed or copied.
///
/// Senders disagree on how to write a quotation mark within quotation marks, and all of these are understood: `%22` (browsers and
/// curl), as well as `%0D` and `%0A` for line ends, in capitals as browsers write them; `\"` and `\\` (most libraries). Any other
/// `%` or `\` stands for itself, since browsers send them as they are.
///
/// ```
/// # use aurora_http_web::multipart::{Event, Multipart};
/// # let mut form = Multipart::new(b"x").unwrap();
/// # let content = b"--x\r\nContent-Disposition: form-data; name=\"a\"; filename=\"100% of C:\\\\a %22b%22.txt\"\r\n\r\n\r\n--x--";
/// # let Ok((_, Some(Event::Part(part)))) = form.step(content, true) else { panic!() };
/// let name = part.file_name().unwrap();
/// assert_eq!(name.to_string(), r#"100% of C:\a "b".txt"#);
/// assert_eq!(name.file_name(&mut [0; 255]), Some(r#"a "b".txt"#));
/// ```
#[derive(Clone, Copy, Eq, PartialEq)]
pub struct Text<'c>(&'c str);

impl<'c> Text<'c> {
    pub(super) const fn new(raw: &'c str) -> Self {
        Self(raw)
    }

    /// As it was sent, without the quotation marks around it.
    #[must_use]
    pub const fn raw(&self) -> &'c str {
        self.0
    }

    /// The decoded characters.
    pub fn chars(&self) -> impl Iterator<Item = char> + use<'c> {
        let mut rest = self.0;
        core::iter::from_fn(move || {
            const ESCAPES: [(&str, char); 5] =
                [("%22", '"'), ("%0D", '\r'), ("%0A", '\n'), ("\\\"", '"'), ("\\\\", '\\')];
            let escape = ESCAPES.iter().find_map(|(escape, char)| Some((*char, rest.strip_prefix(escape)?)));
            let (char, after) = escape.or_else(|| {
                let mut chars = rest.chars();
                chars.next().map(|char| (char, chars.as_str()))
            })?;
            rest = after;
            Some(char)
        })
    }

    /// Whether this is the value of `filename*` (RFC 8187): `utf-8''` and the text, in which `%` and two digits stand for a byte.
    pub(super) fn is_extended_as(&self, value: &str) -> bool {
        let mut parts = value.splitn(3, '\'');
        let (Some(charset), Some(_language), Some(text)) = (parts.next(), parts.next(), parts.next()) else {
            return false;
        };
        let mut bytes = self.chars().flat_map(|char| {
            let mut bytes = [0; 4];
            let len = char.encode_utf8(&mut bytes).len();
            bytes.into_iter().take(len)
        });
        let mut rest = text.bytes();
        let digit = |rest: &mut core::str::Bytes<'_>| char::from(rest.next()?).to_digit(16);
        while let Some(byte) = rest.next() {
            let decoded = match byte {
                b'%' => {
                    digit(&mut rest).zip(digit(&mut rest)).and_then(|(high, low)| u8::try_from(high * 16 + low).ok())
                }
                byte => Some(byte),
            };
            if decoded.is_none() || bytes.next() != decoded {
                return false;
            }
        }
        charset.eq_ignore_ascii_case("utf-8") && bytes.next().is_none()
    }

    /// The decoded text in `scratch`; `None` if it does not fit. The length of [`raw`](Self::raw) is always enough.
    #[must_use]
    pub fn decode_into<'s>(&self, scratch: &'s mut [u8]) -> Option<&'s str> {
        let mut len = 0;
        for char in self.chars() {
            let end = len + char.len_utf8();
            char.encode_utf8(scratch.get_mut(len..end)?);
            len = end;
        }
        str::from_utf8(scratch.get(..len)?).ok()
    }

    /// The decoded text as the name of a file: what follows the last `/` or `\`, because some senders send the path on the client's
    /// machine (RFC 7578 §4.2). `None` if that is not fit to be a name: if it is empty, `.` or `..`, contains a control character, or
    /// is longer than 255 bytes or than `scratch`.
    ///
    /// A file with that name may exist, the name may begin with a dot, and the client chose it: it does not tell the type.
    #[must_use]
    pub fn file_name<'s>(&self, scratch: &'s mut [u8]) -> Option<&'s str> {
        let last = self.chars().enumerate().filter(|(_, char)| matches!(char, '/' | '\\')).last();
        let mut len = 0;
        for char in self.chars().skip(last.map_or(0, |(at, _)| at + 1)) {
            let end = len + char.len_utf8();
            if char.is_control() || end > FILE_NAME_BYTES_MAX {
                return None;
            }
            char.encode_utf8(scratch.get_mut(len..end)?);
            len = end;
        }
        let name = str::from_utf8(scratch.get(..len)?).ok()?;
        (!matches!(name, "" | "." | "..")).then_some(name)
    }
}

/// Compares the decoded text.
impl PartialEq<str> for Text<'_> {
    fn eq(&self, other: &str) -> bool {
        self.chars().eq(other.chars())
    }
}

/// Compares the decoded text.
impl PartialEq<&str> for Text<'_> {
    fn eq(&self, other: &&str) -> bool {
        self == *other
    }
}

/// The decoded text.
impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.chars().try_for_each(|char| f.write_char(char))
    }
}

impl fmt::Debug for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        self.chars().flat_map(char::escape_debug).try_for_each(|char| f.write_char(char))?;
        f.write_char('"')
    }
}
