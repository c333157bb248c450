//! Responses of the protocol.

use std::io::ErrorKind;
use std::time::{Duration, SystemTime};

use aurora_http::{ResponseWriter, WriteError};

use super::Options;
use super::asked::{Refused, VERSION};
use super::store::{Id, Status, StoreError};

const EXTENSIONS: &str = "creation,termination,expiration";

/// Text for a status that says what is wrong.
fn error(status: u16, text: &str, response: &mut ResponseWriter<'_>) -> Result<(), WriteError> {
    response.status(status)?;
    response.field("Content-Type", "text/plain")?;
    response.body_fmt(format_args!("{text}\n"))
}

fn number(name: &str, value: u64, response: &mut ResponseWriter<'_>) -> Result<(), WriteError> {
    response.field(name, value.to_string())
}

fn expires(changed: SystemTime, options: &Options, response: &mut ResponseWriter<'_>) -> Result<(), WriteError> {
    /// The year 10 000, which no date of HTTP can tell.
    const END: Duration = Duration::from_secs(253_402_300_800);
    let is_date = |at: &SystemTime| at.duration_since(SystemTime::UNIX_EPOCH).is_ok_and(|since| since < END);
    match options.expires_s.and_then(|seconds| changed.checked_add(Duration::from_secs(seconds))).filter(is_date) {
        Some(at) => response.field("Upload-Expires", httpdate::fmt_http_date(at)),
        None => Ok(()),
    }
}

pub(super) fn options(options: &Options, response: &mut ResponseWriter<'_>) -> Result<(), WriteError> {
    response.status(204)?;
    response.field("Tus-Version", VERSION)?;
    response.field("Tus-Extension", EXTENSIONS)?;
    number("Tus-Max-Size", options.bytes_max, response)?;
    response.body([])
}

pub(super) fn refused(refused: Refused, response: &mut ResponseWriter<'_>) -> Result<(), WriteError> {
    match refused {
        Refused::Missing => error(404, "there is no such upload", response),
        Refused::Method(allowed) => {
            response.add_field("Allow", allowed)?;
            error(405, "uploads have other methods", response)
        }
        Refused::Version => {
            response.add_field("Tus-Version", VERSION)?;
            error(412, "Tus-Resumable: 1.0.0 is expected", response)
        }
        Refused::MediaType => error(415, "application/offset+octet-stream is expected", response),
        Refused::Malformed(field) => error(400, &format!("{field} is missing or malformed"), response),
        Refused::TooLong => error(413, "the upload is too long", response),
    }
}

pub(super) fn failed(failed: &StoreError, response: &mut ResponseWriter<'_>) -> Result<(), WriteError> {
    match failed {
        StoreError::Missing => refused(Refused::Missing, response),
        StoreError::Busy => error(423, "another request is appending to the upload", response),
        StoreError::Offset => error(409, "the upload has another offset", response),
        StoreError::TooLong => refused(Refused::TooLong, response),
        StoreError::Full => busy(response),
        StoreError::Io(io) if matches!(io.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded) => {
            error(507, "the disk is full", response)
        }
        StoreError::Io(_) => error(500, "the upload cannot be stored", response),
    }
}

pub(super) fn busy(response: &mut ResponseWriter<'_>) -> Result<(), WriteError> {
    response.add_field("Retry-After", "5")?;
    error(503, "there are too many uploads", response)
}

pub(super) fn created(id: Id, options: &Options, response: &mut ResponseWriter<'_>) -> Result<(), WriteError> {
    response.status(201)?;
    response.field("Location", format!("{}/{}", options.prefix, id.as_str()))?;
    expires(SystemTime::now(), options, response)?;
    response.body([])
}

pub(super) fn status(status: &Status, options: &Options, response: &mut ResponseWriter<'_>) -> Result<(), WriteError> {
    number("Upload-Offset", status.offset, response)?;
    number("Upload-Length", status.length, response)?;
    if !status.metadata.is_empty() {
        response.field("Upload-Metadata", &status.metadata)?;
    }
    expires(status.changed, options, response)?;
    response.field("Cache-Control", "no-store")?;
    response.body([])
}

pub(super) fn appended(offset: u64, options: &Options, response: &mut ResponseWriter<'_>) -> Result<(), WriteError> {
    response.status(204)?;
    number("Upload-Offset", offset, response)?;
    expires(SystemTime::now(), options, response)?;
    response.body([])
}

pub(super) fn removed(response: &mut ResponseWriter<'_>) -> Result<(), WriteError> {
    response.status(204)?;
    response.body([])
}
