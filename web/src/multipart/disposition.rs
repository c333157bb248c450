//! Values with parameters: `form-data; name="a"`, and the media type with the boundary.

use super::{BOUNDARY_BYTES_MAX, MultipartError};

/// The front of a value, and the parameters that follow it.
pub(super) struct Parameters<'v> {
    rest: &'v str,
}

/// A parameter, or that there is something else.
pub(super) type Parameter<'v> = Result<(&'v str, &'v str), Malformed>;

/// The value is not a list of parameters.
#[derive(Clone, Copy, Debug)]
pub(super) struct Malformed;

impl<'v> Parameters<'v> {
    /// Splits `value` at its first semicolon.
    pub(super) fn of(value: &'v str) -> (&'v str, Self) {
        let (front, rest) = value.split_at(value.find(';').unwrap_or(value.len()));
        (trim(front), Self { rest })
    }
}

/// Names and values, without quotation marks. Ends after the first one that is malformed.
impl<'v> Iterator for Parameters<'v> {
    type Item = Parameter<'v>;

    fn next(&mut self) -> Option<Parameter<'v>> {
        let rest = core::mem::take(&mut self.rest);
        if trim(rest).is_empty() {
            return None;
        }
        Some(parameter(trim(rest)).map(|(name, value, rest)| {
            self.rest = rest;
            (name, value)
        }))
    }
}

/// `; name=value` at the front of `text`, and what follows it.
fn parameter(text: &str) -> Result<(&str, &str, &str), Malformed> {
    let (name, rest) = text.strip_prefix(';').and_then(|text| text.split_once('=')).ok_or(Malformed)?;
    let name = name.trim_start_matches([' ', '\t']);
    if !is_token(name) {
        return Err(Malformed);
    }
    let (value, rest) = match rest.strip_prefix('"') {
        Some(quoted) => {
            let end = quoted_len(quoted).ok_or(Malformed)?;
            (quoted.get(..end).ok_or(Malformed)?, quoted.get(end + 1..).ok_or(Malformed)?)
        }
        None => {
            let (value, rest) = rest.split_at(rest.find(';').unwrap_or(rest.len()));
            let value = value.trim_end_matches([' ', '\t']);
            // A token, or a boundary that some senders forget to quote.
            let is_plain = !value.is_empty() && value.split(['(', ')', ',', '/', ':', '=', '?']).all(is_token_or_empty);
            if !is_plain {
                return Err(Malformed);
            }
            (value, rest)
        }
    };
    let rest = trim(rest);
    if rest.is_empty() || rest.starts_with(';') { Ok((name, value, rest)) } else { Err(Malformed) }
}

/// The length up to the quotation mark at the end.
fn quoted_len(text: &str) -> Option<usize> {
    let mut bytes = text.bytes().enumerate().peekable();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'"' => return Some(at),
            // The only pairs: see `Text`.
            b'\\' => {
                let _ = bytes.next_if(|(_, next)| matches!(next, b'"' | b'\\'));
            }
            _ => {}
        }
    }
    None
}

/// Without the white space that fields allow around a value (RFC 9110 §5.6.3).
pub(super) fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}

/// RFC 9110 §5.6.2.
pub(super) fn is_token(text: &str) -> bool {
    !text.is_empty() && is_token_or_empty(text)
}

fn is_token_or_empty(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

/// The boundary in a `Content-Type` of `multipart/form-data`.
pub(super) fn boundary(content_type: &[u8]) -> Result<&[u8], MultipartError> {
    let text = str::from_utf8(content_type).map_err(|_| MultipartError::MediaType)?;
    let (media_type, parameters) = Parameters::of(text);
    if !media_type.eq_ignore_ascii_case("multipart/form-data") {
        return Err(MultipartError::MediaType);
    }
    let mut found = None;
    for parameter in parameters {
        let (name, value) = parameter.map_err(|_| MultipartError::Boundary)?;
        if name.eq_ignore_ascii_case("boundary") && found.replace(value).is_some() {
            return Err(MultipartError::Boundary);
        }
    }
    found.map(str::as_bytes).ok_or(MultipartError::Boundary)
}

/// RFC 2046 §5.1.1.
pub(super) fn is_boundary(bytes: &[u8]) -> bool {
    (1..=BOUNDARY_BYTES_MAX).contains(&bytes.len())
        && bytes.last() != Some(&b' ')
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"'()+_,-./:=? ".contains(byte))
}
