//! Cookies (RFC 6265): reading them from requests, and setting them in responses.

use core::fmt::{self, Write};
use core::str;

use aurora_http_core::format::FixedBytes;
use aurora_http_core::request::Request;
use aurora_http_core::writer::{ResponseWriter, WriteError};

/// The value of the first cookie with this name, compared exactly.
///
/// ```
/// use aurora_http_core::handler::handler_fn;
/// use aurora_http_web::cookie::{self, SetCookie};
///
/// let handler = handler_fn(|request, response| {
///     let visits: u32 = cookie::get(request, "visits").and_then(|count| count.parse().ok()).unwrap_or(0);
///     SetCookie::new("visits", format_args!("{}", visits + 1)).max_age_s(86_400).write(response)?;
///     response.body_fmt(format_args!("visit {}\n", visits + 1))
/// });
/// ```
#[must_use]
pub fn get<'a>(request: &Request<'a>, name: &str) -> Option<&'a str> {
    all(request).find(|(key, _)| *key == name).map(|(_, value)| value)
}

/// Names and values of all cookies, without quotes around the values. Cookies without `=`, or that are not UTF-8, are skipped.
pub fn all<'a>(request: &Request<'a>) -> impl Iterator<Item = (&'a str, &'a str)> {
    let values = request.fields().get_all("Cookie");
    values.flat_map(|value| value.split(|&byte| byte == b';')).filter_map(|pair| {
        let (name, value) = str::from_utf8(pair).ok()?.split_once('=')?;
        let value = value.trim();
        let quoted = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
        Some((name.trim(), quoted.unwrap_or(value)))
    })
}

/// Whether a browser sends a cookie with requests that other sites cause.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SameSite {
    /// Never.
    Strict,
    /// Only when the user follows a link.
    Lax,
    /// Always. Browsers require [`SetCookie::secure`].
    None,
}

/// A cookie to set. By default it has the attributes `Path=/; HttpOnly; SameSite=Lax`.
#[derive(Clone, Copy, Debug)]
#[must_use = "`write` sets the cookie"]
pub struct SetCookie<'c, V> {
    name: &'c str,
    value: V,
    path: Option<&'c str>,
    domain: Option<&'c str>,
    max_age_s: Option<u32>,
    same_site: SameSite,
    is_secure: bool,
    is_http_only: bool,
}

/// Longest cookie with its attributes, in bytes: the limit of browsers.
const COOKIE_BYTES_MAX: usize = 4096;

impl<'c, V: fmt::Display> SetCookie<'c, V> {
    /// A cookie that is kept until the browser is closed.
    pub const fn new(name: &'c str, value: V) -> Self {
        Self {
            name,
            value,
            path: Some("/"),
            domain: None,
            max_age_s: None,
            same_site: SameSite::Lax,
            is_secure: false,
            is_http_only: true,
        }
    }

    /// Limits it to this path and those below it.
    pub const fn path(mut self, path: &'c str) -> Self {
        self.path = Some(path);
        self
    }

    /// Extends it to this domain and its subdomains. By default it is only for the host of the request.
    pub const fn domain(mut self, domain: &'c str) -> Self {
        self.domain = Some(domain);
        self
    }

    /// Sets how long it is kept, in seconds; 0 deletes it.
    pub const fn max_age_s(mut self, seconds: u32) -> Self {
        self.max_age_s = Some(seconds);
        self
    }

    /// Sets whether requests that other sites cause include it.
    pub const fn same_site(mut self, same_site: SameSite) -> Self {
        self.same_site = same_site;
        self
    }

    /// Restricts it to TLS.
    pub const fn secure(mut self) -> Self {
        self.is_secure = true;
        self
    }

    /// Allows scripts to read it.
    pub const fn readable_by_scripts(mut self) -> Self {
        self.is_http_only = false;
        self
    }

    /// Adds the field `Set-Cookie` to the response, whose head must not be complete yet.
    ///
    /// # Errors
    /// - [`WriteError::InvalidName`] if the name is not a token, or lacks the attributes that its prefix requires: `__Secure-`
    ///   requires [`secure`](Self::secure), `__Host-` also the path `/` and no domain.
    /// - [`WriteError::InvalidValue`] if the value contains white space, quotes, commas, semicolons, backslashes or anything but
    ///   printable ASCII (RFC 6265 §4.1.1), if the path or domain contains semicolons or control bytes, and for
    ///   [`SameSite::None`] without [`secure`](Self::secure).
    /// - [`WriteError::TooLarge`] if it is longer than 4096 bytes.
    /// - The errors of [`ResponseWriter::add_field`].
    ///
    /// These errors are not kept: the response can still be written.
    pub fn write(&self, response: &mut ResponseWriter<'_>) -> Result<(), WriteError> {
        let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if self.name.is_empty() || !self.name.bytes().all(is_token) || !self.keeps_promise() {
            return Err(WriteError::InvalidName);
        }
        let is_plain = |text: &str| text.bytes().all(|byte| matches!(byte, 0x20..=0x7e) && byte != b';');
        if ![self.path, self.domain].into_iter().flatten().all(is_plain)
            || self.same_site == SameSite::None && !self.is_secure
        {
            return Err(WriteError::InvalidValue);
        }
        let mut line = FixedBytes::new(response.scratch(COOKIE_BYTES_MAX)?);
        write!(line, "{}=", self.name).map_err(|_| WriteError::TooLarge)?;
        let value_at = line.as_bytes().len();
        write!(line, "{}", self.value).map_err(|_| WriteError::TooLarge)?;
        let is_octet = |byte: &u8| matches!(byte, 0x21 | 0x23..=0x2b | 0x2d..=0x3a | 0x3c..=0x5b | 0x5d..=0x7e);
        if !line.as_bytes()[value_at..].iter().all(is_octet) {
            return Err(WriteError::InvalidValue);
        }
        self.write_attributes(&mut line).map_err(|_| WriteError::TooLarge)?;
        response.add_field("Set-Cookie", line.as_bytes())
    }

    /// Whether it has the attributes that the prefix of its name requires (RFC 6265bis §4.1.3).
    fn keeps_promise(&self) -> bool {
        let begins =
            |prefix: &str| self.name.get(..prefix.len()).is_some_and(|front| front.eq_ignore_ascii_case(prefix));
        let is_host = self.is_secure && self.path == Some("/") && self.domain.is_none();
        (!begins("__Secure-") || self.is_secure) && (!begins("__Host-") || is_host)
    }

    fn write_attributes(&self, line: &mut impl Write) -> fmt::Result {
        if let Some(path) = self.path {
            write!(line, "; Path={path}")?;
        }
        if let Some(domain) = self.domain {
            write!(line, "; Domain={domain}")?;
        }
        if let Some(seconds) = self.max_age_s {
            write!(line, "; Max-Age={seconds}")?;
        }
        if self.is_secure {
            line.write_str("; Secure")?;
        }
        if self.is_http_only {
            line.write_str("; HttpOnly")?;
        }
        line.write_str(match self.same_site {
            SameSite::Strict => "; SameSite=Strict",
            SameSite::Lax => "; SameSite=Lax",
            SameSite::None => "; SameSite=None",
        })
    }
}
