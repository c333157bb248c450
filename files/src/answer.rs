//! The head of a response, and what is to follow it.

use std::fmt::{self, Write};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use aurora_http::{ResponseWriter, WriteError};
use aurora_http_core::format::{FixedBytes, HttpDate};
use aurora_http_sockets::OpenFile;

use crate::asked::{Asked, Field, Target};
use crate::conditions::{Validators, Verdict, allows_ranges, verdict};
use crate::files::Options;
use crate::found::{Coding, Found, FoundFile};
use crate::media::MediaType;
use crate::parts::Parts;
use crate::range::{Span, Wanted, wanted};
use crate::root::Facts;
use crate::source::Source;
use crate::transfer::{Body, Transfer, Watch};

/// Writes the head of the response to what was found. Returns what is to follow it; `None` if the response is complete.
pub(crate) fn answer<A: Asked + ?Sized>(
    found: Found,
    asked: &A,
    target: &Target<'_>,
    options: &Options,
    response: &mut ResponseWriter<'_>,
) -> Result<Option<Transfer>, WriteError> {
    match found {
        Found::File(found) => answer_file(found, asked, target, options, response),
        Found::Folder => {
            let query = target.query.map(|query| [b"?", query].concat()).unwrap_or_default();
            response.status(301)?;
            response.field("Location", [target.path, b"/", &query].concat())?;
            response.body([]).map(|()| None)
        }
        Found::Listing(bytes) => {
            response.field("Content-Type", "text/html; charset=utf-8")?;
            response.field("Cache-Control", "no-cache")?;
            response.field("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")?;
            response.stream(Some(bytes.len() as u64))?;
            Ok(Some(Transfer::new(Body::Page { bytes, written: 0 })))
        }
        Found::Missing => response.fail(404).map(|()| None),
        Found::Forbidden => response.fail(403).map(|()| None),
        Found::Broken => response.fail(500).map(|()| None),
        Found::Busy => {
            response.add_field("Retry-After", "1")?;
            response.fail(503).map(|()| None)
        }
    }
}

/// What the heads of all responses about a file say.
struct Described<'o> {
    facts: Facts,
    media: MediaType,
    coding: Option<Coding>,
    tag: Tag,
    /// Seconds since 1970-01-01.
    now_s: u64,
    options: &'o Options,
}

fn answer_file<A: Asked + ?Sized>(
    found: FoundFile,
    asked: &A,
    target: &Target<'_>,
    options: &Options,
    response: &mut ResponseWriter<'_>,
) -> Result<Option<Transfer>, WriteError> {
    let FoundFile { file, facts, media, coding } = found;
    let now_s = now_s();
    let described = Described { facts, media, coding, tag: tag(facts, coding), now_s, options };
    let modified_s = facts.modified_since_1970_s();
    let validators = Validators { tag: described.tag.as_bytes(), modified_s, now_s };
    match verdict(asked, validators) {
        Verdict::Proceed => {}
        Verdict::NotModified => {
            response.status(304)?;
            described.put_validators(response)?;
            return response.body([]).map(|()| None);
        }
        Verdict::Failed => return response.fail(412).map(|()| None),
    }
    // Ranges are defined for GET alone (RFC 9110 §14.2).
    let has_ranges = !target.is_head && asked.has(Field::Range) && allows_ranges(asked, validators);
    let wanted = if has_ranges { ranges(asked, facts.len) } else { Wanted::Whole };
    if wanted == Wanted::Unsatisfiable {
        response.status(416)?;
        described.put_range(format_args!("*"), response)?;
        described.put_validators(response)?;
        return response.body("416 Range Not Satisfiable\n").map(|()| None);
    }
    if target.is_head {
        described.begin(facts.len, response)?;
        return Ok(None);
    }
    let Ok(file) = OpenFile::new(file) else {
        response.add_field("Retry-After", "1")?;
        return response.fail(503).map(|()| None);
    };
    described.begin_transfer(file, wanted, target, response).map(Some)
}

impl Described<'_> {
    /// Writes the head before a file, or a part of it.
    fn begin_transfer(
        &self,
        file: OpenFile,
        wanted: Wanted,
        target: &Target<'_>,
        response: &mut ResponseWriter<'_>,
    ) -> Result<Transfer, WriteError> {
        let (file_len, kernel) = (self.facts.len, self.options.kernel);
        let mut span = Span { from: 0, to: file_len };
        match wanted {
            Wanted::Several { spans, count } => {
                let parts = Parts::new(file, &spans[..count], self.media.as_bytes(), file_len, kernel);
                response.status(206)?;
                response.field("Content-Type", parts.media_type())?;
                self.put_coding(response)?;
                self.put_validators(response)?;
                response.stream(Some(parts.len()))?;
                return Ok(Transfer::new(Body::Parts(Box::new(parts))));
            }
            Wanted::One(one) => {
                span = one;
                response.status(206)?;
                self.put_range(format_args!("{}-{}", span.from, span.to - 1), response)?;
            }
            Wanted::Whole | Wanted::Unsatisfiable => {}
        }
        self.begin(span.len(), response)?;
        let mut transfer = Transfer::new(Body::File(Source::new(file, span, kernel)));
        if let Some((bytes_min, observer)) = &self.options.observer
            && span.len() >= *bytes_min
        {
            let watch = Watch::new(Arc::clone(observer), target.path, span.from, span.len());
            transfer.watch = Some(Box::new(watch));
        }
        Ok(transfer)
    }

    /// Writes the rest of the head of a response with the file's type.
    fn begin(&self, len: u64, response: &mut ResponseWriter<'_>) -> Result<(), WriteError> {
        response.field("Content-Type", self.media.as_bytes())?;
        self.put_coding(response)?;
        self.put_validators(response)?;
        response.stream(Some(len))
    }

    fn put_coding(&self, response: &mut ResponseWriter<'_>) -> Result<(), WriteError> {
        match self.coding {
            Some(coding) => response.field("Content-Encoding", coding.token()),
            None => Ok(()),
        }
    }

    fn put_range(&self, range: fmt::Arguments<'_>, response: &mut ResponseWriter<'_>) -> Result<(), WriteError> {
        let mut value = FixedBytes::new([0; 80]);
        // Three numbers of 20 digits and 8 more characters at most.
        let _ = write!(value, "bytes {range}/{}", self.facts.len);
        response.field("Content-Range", value.as_bytes())
    }

    /// The fields that a 304 has as well (RFC 9110 §15.4.5).
    fn put_validators(&self, response: &mut ResponseWriter<'_>) -> Result<(), WriteError> {
        response.field("Accept-Ranges", "bytes")?;
        response.field("ETag", self.tag.as_bytes())?;
        // No time in the future is sent (RFC 9110 §8.8.2.1).
        if let Some(date) = HttpDate::from_unix_seconds(self.facts.modified_since_1970_s().min(self.now_s)) {
            response.field("Last-Modified", date.as_bytes())?;
        }
        if self.options.precompressed {
            response.field("Vary", "Accept-Encoding")?;
        }
        match &self.options.cache_control {
            Some(value) => response.field("Cache-Control", value),
            None => Ok(()),
        }
    }
}

type Tag = FixedBytes<[u8; 64]>;

/// A strong tag: another one whenever the file is written, as far as the time of that tells.
fn tag(facts: Facts, coding: Option<Coding>) -> Tag {
    let mut tag = FixedBytes::new([0; 64]);
    let (dash, coding) = coding.map_or(("", ""), |coding| ("-", coding.token()));
    // 16, 8 and 16 digits, and less than 10 more characters.
    let _ = write!(tag, "\"{:x}.{:x}-{:x}{dash}{coding}\"", facts.modified_s, facts.modified_ns, facts.len);
    tag
}

/// What the `Range` field asks for; more than one such field is none.
fn ranges<A: Asked + ?Sized>(asked: &A, len: u64) -> Wanted {
    let (mut found, mut count) = (Wanted::Whole, 0);
    asked.any(Field::Range, &mut |value| {
        found = wanted(value, len);
        count += 1;
        false
    });
    if count == 1 { found } else { Wanted::Whole }
}

fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
