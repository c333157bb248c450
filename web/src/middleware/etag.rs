//! Entity tags.

use core::fmt::Write;

use aurora_http_core::format::FixedBytes;
use aurora_http_core::forward_handler;
use aurora_http_core::handler::{Flow, Handler, Needs};
use aurora_http_core::request::{Method, Request};
use aurora_http_core::writer::ResponseWriter;

/// Adds an `ETag` to responses with status 200 to GET, and answers 304 without the content if the client already has it
/// (`If-None-Match`, RFC 9110 §13.1.2). The handler still creates the content, but it is not sent.
///
/// This applies to content that is written as a whole in the first call of the handler, up to 16 KiB by default. If a handler
/// sets its own `ETag`, such as a version number, it is used whatever the length. Otherwise the tag is the FNV-1a hash of the
/// content, which is not collision-resistant against an attacker who chooses the content.
///
/// ```
/// use aurora_http_web::Routes;
/// use aurora_http_web::middleware::ETags;
///
/// let handler = ETags::new(Routes::new().get("/", |_, _, response| response.body("hello\n")).with_state(()));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct ETags<H> {
    bytes_max: usize,
    inner: H,
}

impl<H: Handler> ETags<H> {
    /// Wraps a handler.
    pub const fn new(inner: H) -> Self {
        Self { bytes_max: 16 * 1024, inner }
    }

    /// Sets the longest content that gets a tag, in bytes. Hashing takes about a nanosecond per byte.
    #[must_use]
    pub fn bytes_max(self, bytes_max: usize) -> Self {
        Self { bytes_max, ..self }
    }

    fn tag(&self, request: &Request<'_>, response: &mut ResponseWriter<'_>) {
        if response.status_so_far() != 200 {
            return;
        }
        let Some(content) = response.whole_content() else { return };
        let is_known = match response.whole_field("ETag") {
            Some(own) => has_tag(request, own),
            None if content.len() > self.bytes_max => return,
            None => {
                let mut tag = FixedBytes::new([0; TAG_BYTES]);
                let written = write!(tag, "\"{:016x}\"", hash(content));
                // If there is no room for the tag, the response stays as it is, or has failed.
                if written.is_err() || response.amend("ETag", tag.as_bytes()).is_err() {
                    return;
                }
                has_tag(request, tag.as_bytes())
            }
        };
        if is_known {
            let _ = response.make_not_modified();
        }
    }
}

/// A hash in quotes.
const TAG_BYTES: usize = 18;

/// FNV-1a, 64 bits.
fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

/// Whether `If-None-Match` lists this tag, by weak comparison (RFC 9110 §8.8.3.2).
fn has_tag(request: &Request<'_>, tag: &[u8]) -> bool {
    let tag = tag.strip_prefix(b"W/").unwrap_or(tag);
    request.fields().get_all("If-None-Match").any(|list| {
        // Every other piece is between quotes. `*` matches any tag.
        let mut pieces = list.split(|&byte| byte == b'"');
        let is_any = list == b"*";
        let _before = pieces.next();
        let opaque = tag.strip_prefix(b"\"").and_then(|tag| tag.strip_suffix(b"\""));
        is_any || pieces.step_by(2).any(|piece| Some(piece) == opaque)
    })
}

impl<H: Handler> Handler for ETags<H> {
    const NEEDS: Needs = H::NEEDS;
    type Exchange = H::Exchange;

    fn request(&mut self, request: &Request<'_>, response: &mut ResponseWriter<'_>) -> Flow<H::Exchange> {
        let flow = self.inner.request(request, response);
        if matches!(flow, Flow::Finish) && request.method() == Method::Get {
            self.tag(request, response);
        }
        flow
    }

    forward_handler!(self => self.inner; except request);
}

#[cfg(test)]
mod tests {
    use super::hash;

    #[test]
    fn the_hash_is_fnv_1a() {
        // Test vectors of its authors.
        for (text, expected) in
            [("", 0xcbf2_9ce4_8422_2325), ("a", 0xaf63_dc4c_8601_ec8c), ("foobar", 0x8594_4171_f739_67e8)]
        {
            assert_eq!(hash(text.as_bytes()), expected, "{text}");
        }
    }
}
