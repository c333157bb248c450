//! The four forms of a request target (RFC 9112 §3.2).

use super::bytes::{PATH, span};
use super::error::HeadError;
use super::host::{self, Port};
use crate::part::part;
use crate::request::{MethodKind, TargetForm};

/// The form of a request target, and where its path is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Target {
    pub(super) form: TargetForm,
    /// Where the path starts; the authority of absolute- and authority-form ends here.
    pub(super) path_at: usize,
    /// Unless the target ends with the path, `?` follows it, and then the query.
    pub(super) path_len: usize,
}

impl Target {
    /// Parses a target that is not in origin-form. `target` is complete, and all its bytes are allowed in a target.
    #[cold]
    #[inline(never)]
    pub(super) fn other_form(method: MethodKind, target: &[u8]) -> Result<Self, HeadError> {
        match (method, target) {
            (MethodKind::Connect, [b'/' | b'*', ..]) => Err(HeadError::TargetForm),
            (MethodKind::Connect, _) => Self::authority_form(target),
            (MethodKind::Options, b"*") => Ok(Self { form: TargetForm::Asterisk, path_at: 0, path_len: 1 }),
            (_, b"*") => Err(HeadError::TargetForm),
            _ => Self::absolute_form(target),
        }
    }

    /// `uri-host ":" port`, for CONNECT only; the port is required and cannot be empty or 0 (RFC 9110 §9.3.6).
    fn authority_form(target: &[u8]) -> Result<Self, HeadError> {
        match host::authority(target) {
            Some(Port::Number(1..)) => Ok(Self { form: TargetForm::Authority, path_at: target.len(), path_len: 0 }),
            _ => Err(HeadError::Target),
        }
    }

    /// `scheme "://" authority path-abempty [ "?" query ]`. A target without `//` after its scheme has no authority, so
    /// no server could be meant by it.
    fn absolute_form(target: &[u8]) -> Result<Self, HeadError> {
        let scheme_len = target.iter().position(|&byte| byte == b':').ok_or(HeadError::Target)?;
        let (scheme, rest) = (part(target, ..scheme_len), part(target, scheme_len..));
        let rest = rest.strip_prefix(b"://").ok_or(HeadError::Target)?;
        let authority_len = rest.iter().position(|&byte| matches!(byte, b'/' | b'?')).unwrap_or(rest.len());
        let (authority, rest) = (part(rest, ..authority_len), part(rest, authority_len..));
        let path_len = span(rest, PATH);
        let path_ends = matches!(rest.get(path_len), None | Some(b'?'));
        if !is_scheme(scheme) || !host::is_authority(authority) || !path_ends {
            return Err(HeadError::Target);
        }
        Ok(Self { form: TargetForm::Absolute, path_at: target.len() - rest.len(), path_len })
    }
}

/// `ALPHA *( ALPHA / DIGIT / "+" / "-" / "." )` (RFC 3986 §3.1).
fn is_scheme(bytes: &[u8]) -> bool {
    bytes.first().is_some_and(u8::is_ascii_alphabetic)
        && bytes.iter().all(|&byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'))
}
