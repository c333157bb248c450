//! What a request asks for.

use aurora_http::{Method, Request};
use base64ct::{Base64, Encoding};

use super::Options;
use super::store::Id;

/// Longest `Upload-Metadata`, in bytes.
const METADATA_BYTES_MAX: usize = 4096;

/// The only version.
pub(super) const VERSION: &str = "1.0.0";

/// A valid request.
#[derive(Debug)]
pub(super) enum Asked {
    Options,
    Create { length: u64, metadata: String },
    Status(Id),
    Append { id: Id, offset: u64 },
    Remove(Id),
}

/// An invalid one, with what is wrong.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Refused {
    Missing,
    /// With the methods that there are.
    Method(&'static str),
    Version,
    MediaType,
    Malformed(&'static str),
    TooLong,
}

impl Asked {
    pub(super) fn of(request: &Request<'_>, options: &Options) -> Result<Self, Refused> {
        let rest = request.path().strip_prefix(options.prefix.as_bytes()).ok_or(Refused::Missing)?;
        let id = match rest {
            b"" | b"/" => None,
            [b'/', id @ ..] => Some(Id::parse(id).ok_or(Refused::Missing)?),
            _ => return Err(Refused::Missing),
        };
        let method = method(request);
        if method == b"OPTIONS" {
            return Ok(Self::Options);
        }
        let version = one(request, "Tus-Resumable");
        let is_ours = version == Ok(Some(VERSION));
        match (method, id) {
            (b"POST", None) if is_ours => create(request, options),
            (b"HEAD", Some(id)) if is_ours => Ok(Self::Status(id)),
            (b"PATCH", Some(id)) if is_ours => append(request, id),
            (b"DELETE", Some(id)) if is_ours => Ok(Self::Remove(id)),
            (b"POST", None) | (b"HEAD" | b"PATCH" | b"DELETE", Some(_)) => Err(Refused::Version),
            (_, None) => Err(Refused::Method("POST, OPTIONS")),
            (_, Some(_)) => Err(Refused::Method("HEAD, PATCH, DELETE, OPTIONS")),
        }
    }
}

/// The method, or what a client that is limited to POST says instead.
fn method<'a>(request: &Request<'a>) -> &'a [u8] {
    let is_post = request.method() == Method::Post;
    let own = request.method().as_str().as_bytes();
    request.fields().get("X-HTTP-Method-Override").filter(|_| is_post).unwrap_or(own)
}

/// A field that occurs at most once.
fn one<'a>(request: &Request<'a>, name: &'static str) -> Result<Option<&'a str>, Refused> {
    let mut values = request.fields().get_all(name);
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => str::from_utf8(value).map(Some).map_err(|_| Refused::Malformed(name)),
        _ => Err(Refused::Malformed(name)),
    }
}

fn number(request: &Request<'_>, name: &'static str) -> Result<u64, Refused> {
    let digits =
        one(request, name)?.filter(|digits| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()));
    digits.and_then(|digits| digits.parse().ok()).ok_or(Refused::Malformed(name))
}

fn create(request: &Request<'_>, options: &Options) -> Result<Asked, Refused> {
    let length = number(request, "Upload-Length")?;
    if length > options.bytes_max {
        return Err(Refused::TooLong);
    }
    let metadata = one(request, "Upload-Metadata")?.unwrap_or_default();
    let is_valid = metadata.len() <= METADATA_BYTES_MAX && pairs(metadata).all(|pair| pair.is_some());
    if !is_valid {
        return Err(Refused::Malformed("Upload-Metadata"));
    }
    Ok(Asked::Create { length, metadata: metadata.to_owned() })
}

fn append(request: &Request<'_>, id: Id) -> Result<Asked, Refused> {
    if one(request, "Content-Type") != Ok(Some("application/offset+octet-stream")) {
        return Err(Refused::MediaType);
    }
    Ok(Asked::Append { id, offset: number(request, "Upload-Offset")? })
}

/// The keys and decoded values of `Upload-Metadata`; `None` for a pair that is malformed.
pub(super) fn pairs(metadata: &str) -> impl Iterator<Item = Option<(&str, Vec<u8>)>> {
    metadata.split(',').filter(move |_| !metadata.trim().is_empty()).map(|pair| {
        let (key, value) = pair.trim().split_once(' ').unwrap_or((pair.trim(), ""));
        let is_key = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_graphic());
        is_key.then(|| Base64::decode_vec(value).ok()).flatten().map(|value| (key, value))
    })
}
