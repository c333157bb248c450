//! The four forms of a request target (RFC 9112 §3.2).

use super::bytes::{PATH, TARGET, span};
use super::error::HeadError;
use super::host::{self, Port};
use crate::request::{Method, TargetForm};

/// A request target taken apart.
#[derive(Clone, Copy, Debug)]
pub(super) struct Target<'a> {
    pub(super) form: TargetForm,
    pub(super) path: &'a [u8],
    pub(super) query: Option<&'a [u8]>,
    /// Of absolute- and authority-form: it wins over Host (RFC 9112 §3.3).
    pub(super) authority: Option<&'a [u8]>,
}

impl<'a> Target<'a> {
    /// Takes apart what is not in origin-form: `target` is whole, and no byte of it is outside [`TARGET`].
    #[cold]
    #[inline(never)]
    pub(super) fn other_form(method: Method<'_>, target: &'a [u8]) -> Result<Self, HeadError> {
        match (method, target) {
            (Method::Connect, _) => Self::authority_form(target),
            (Method::Options, b"*") => {
                Ok(Self { form: TargetForm::Asterisk, path: target, query: None, authority: None })
            }
            (_, b"*") => Err(HeadError::TargetForm),
            _ => Self::absolute_form(method, target),
        }
    }

    /// `uri-host ":" port`, for CONNECT alone; a port is required and cannot be empty or 0 (RFC 9110 §9.3.6).
    fn authority_form(target: &'a [u8]) -> Result<Self, HeadError> {
        if target == b"*" || target.first() == Some(&b'/') {
            return Err(HeadError::TargetForm);
        }
        match host::authority(target) {
            Some(Port::Number(1..)) => {
                Ok(Self { form: TargetForm::Authority, path: b"", query: None, authority: Some(target) })
            }
            _ => Err(HeadError::Target),
        }
    }

    /// `scheme "://" authority path-abempty [ "?" query ]`. A target without `//` behind its scheme has no authority
    /// that a request could be for.
    fn absolute_form(method: Method<'_>, target: &'a [u8]) -> Result<Self, HeadError> {
        let scheme_len = target.iter().position(|&byte| byte == b':').ok_or(HeadError::Target)?;
        let (scheme, rest) = target.split_at(scheme_len);
        let rest = rest.strip_prefix(b"://").ok_or(HeadError::Target)?;
        if !is_scheme(scheme) {
            return Err(HeadError::Target);
        }
        let authority_len = rest.iter().position(|&byte| matches!(byte, b'/' | b'?')).unwrap_or(rest.len());
        let (authority, rest) = rest.split_at(authority_len);
        if host::authority(authority).is_none() {
            return Err(HeadError::Target);
        }
        let (path, query) = split_query(rest).ok_or(HeadError::Target)?;
        let path: &[u8] = match (path, method, query) {
            // RFC 9112 §3.2.4: without path and query, OPTIONS asks about the server as a whole.
            (b"", Method::Options, None) => b"*",
            // RFC 9110 §4.2.3: an empty path is the path "/".
            (b"", ..) => b"/",
            _ => path,
        };
        Ok(Self { form: TargetForm::Absolute, path, query, authority: Some(authority) })
    }
}

/// `ALPHA *( ALPHA / DIGIT / "+" / "-" / "." )` (RFC 3986 §3.1).
fn is_scheme(bytes: &[u8]) -> bool {
    bytes.first().is_some_and(u8::is_ascii_alphabetic)
        && bytes.iter().all(|&byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'))
}

/// Path and query; `None` when a byte is in neither's set.
fn split_query(bytes: &[u8]) -> Option<(&[u8], Option<&[u8]>)> {
    let (path, rest) = bytes.split_at(span(bytes, PATH));
    match rest {
        [] => Some((path, None)),
        [b'?', query @ ..] if span(query, TARGET) == query.len() => Some((path, Some(query))),
        _ => None,
    }
}
