//! What the content of a request is.

use aurora_http_core::request::Request;

/// Whether the content is JSON: `application/json`, or a type that ends in `+json` (RFC 6839 §3.1).
pub(crate) fn is_json(request: &Request<'_>) -> bool {
    if request.has_content_type("application/json") {
        return true;
    }
    let value = request.fields().get("Content-Type").unwrap_or_default();
    let essence = value.split(|&byte| byte == b';').next().unwrap_or_default().trim_ascii();
    let ends = |end: &[u8]| essence.len() > end.len() && essence[essence.len() - end.len()..].eq_ignore_ascii_case(end);
    let begins = |front: &[u8]| essence.get(..front.len()).is_some_and(|bytes| bytes.eq_ignore_ascii_case(front));
    begins(b"application/") && ends(b"+json")
}
