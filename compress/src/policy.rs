//! Which responses are compressed, and how many at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use aurora_http_core::writer::Begun;

/// Whether content of a media type usually becomes much shorter: text of all kinds, JSON, XML and what is made of them, scripts,
/// WebAssembly, and a few uncompressed formats of fonts and images.
#[must_use]
pub fn is_compressible(media_type: &str) -> bool {
    let essence = media_type.split(';').next().unwrap_or_default().trim();
    let is = |prefix: &str| essence.get(..prefix.len()).is_some_and(|front| front.eq_ignore_ascii_case(prefix));
    let ends = |suffix: &str| {
        essence
            .len()
            .checked_sub(suffix.len())
            .and_then(|at| essence.get(at..))
            .is_some_and(|end| end.eq_ignore_ascii_case(suffix))
    };
    const OTHERS: [&str; 15] = [
        "application/json",
        "application/javascript",
        "application/x-javascript",
        "application/ecmascript",
        "application/xml",
        "application/wasm",
        "application/rtf",
        "application/x-ndjson",
        "application/toml",
        "application/yaml",
        "application/vnd.ms-fontobject",
        "font/ttf",
        "font/otf",
        "image/bmp",
        "image/x-icon",
    ];
    is("text/")
        || ends("+json")
        || ends("+xml")
        || ends("+text")
        || OTHERS.iter().any(|other| essence.eq_ignore_ascii_case(other))
}

/// How many encoders may exist at a time. Clones share it: make one for all workers.
#[derive(Clone, Debug)]
pub struct Budget(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    taken: AtomicUsize,
    max: usize,
}

impl Budget {
    /// At most `encoders_max` encoders.
    #[must_use]
    pub fn new(encoders_max: usize) -> Self {
        Self(Arc::new(Shared { taken: AtomicUsize::new(0), max: encoders_max }))
    }

    /// How many exist.
    #[must_use]
    pub fn taken(&self) -> usize {
        self.0.taken.load(Ordering::Relaxed)
    }

    pub(crate) fn take(&self) -> Option<Permit> {
        let shared = &self.0;
        let is_free = |taken: usize| (taken < shared.max).then_some(taken + 1);
        shared.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, is_free).ok()?;
        Some(Permit(Arc::clone(shared)))
    }
}

/// The right to one encoder, until it is dropped.
#[derive(Debug)]
pub(crate) struct Permit(Arc<Shared>);

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Whether responses with these fields are compressed if the client accepts that. A part of such a response, or that it has not
/// changed, varies with it (RFC 9110 §15.3.7, §15.4.5); the latter usually does not tell its type, so it may be any.
pub(crate) fn varies(begun: &Begun<'_>, types: fn(&str) -> bool) -> bool {
    const BARRED: [&str; 5] = ["Content-Encoding", "Content-Digest", "Repr-Digest", "Digest", "Content-MD5"];
    let media_type = begun.fields("Content-Type").next().and_then(|value| str::from_utf8(value).ok());
    let mut barred = BARRED.iter().flat_map(|name| begun.fields(name));
    !matches!(begun.status(), 204 | 205)
        && barred.next().is_none()
        && media_type.map_or(begun.status() == 304, types)
        && !lists(begun, "Cache-Control", "no-transform")
}

/// Whether this one has all of the content, in memory.
pub(crate) fn is_eligible(begun: &Begun<'_>) -> bool {
    let is_part = begun.status() == 206 || begun.fields("Content-Range").next().is_some();
    !begun.is_bare() && !is_part && !begun.sends_file()
}

/// Whether a field's list has an element.
pub(crate) fn lists(begun: &Begun<'_>, field: &str, element: &str) -> bool {
    let mut elements = begun.fields(field).flat_map(|value| value.split(|&byte| byte == b','));
    elements.any(|its| its.trim_ascii().eq_ignore_ascii_case(element.as_bytes()))
}
