//! Content negotiation (RFC 9110 §12): media types, codings and languages.

use core::str;

use aurora_http_core::request::Request;

/// The greatest weight, in thousandths.
const FULL: u16 = 1000;

/// The media type that the client prefers among the offered ones; of equal ones, the first. The first one if the request has no
/// `Accept`. `None` if the client accepts none of them: answer 406, or ignore the preference.
///
/// ```
/// use aurora_http_core::handler::handler_fn;
/// use aurora_http_web::accept;
///
/// let handler = handler_fn(|request, response| match accept::media_type(request, ["application/json", "text/html"]) {
///     Some("text/html") => response.body("<p>hello"),
///     Some(_) => response.body("\"hello\""),
///     None => response.fail(406),
/// });
/// ```
#[must_use]
pub fn media_type<'o>(request: &Request<'_>, offers: impl IntoIterator<Item = &'o str>) -> Option<&'o str> {
    best(request, "Accept", offers, |offer, range| {
        let (offer_type, offer_params) = halves(offer, b';');
        let (range_type, params) = halves(range, b';');
        // All parameters before the weight must match; each makes the range more specific.
        let params = params.split(';').map(str::trim).take_while(|param| !is_weight(param));
        let mut matched = 0;
        for param in params.filter(|param| !param.is_empty()) {
            let is_there = offer_params.split(';').any(|offered| offered.trim().eq_ignore_ascii_case(param));
            if !is_there {
                return None;
            }
            matched += 1;
        }
        let ((kind, subtype), (range_kind, range_subtype)) = (halves(offer_type, b'/'), halves(range_type, b'/'));
        match (range_kind, range_subtype) {
            ("*", "*") => Some(0),
            (range, "*") if range.eq_ignore_ascii_case(kind) => Some(1),
            (range, sub) if range.eq_ignore_ascii_case(kind) && sub.eq_ignore_ascii_case(subtype) => Some(2 + matched),
            _ => None,
        }
    })
}

/// The content coding, such as `br` or `gzip`, that the client prefers among the offered ones. `None` to send the content as it
/// is: if the request has no `Accept-Encoding`, accepts none of the codings, or prefers `identity`.
#[must_use]
pub fn encoding<'o>(request: &Request<'_>, offers: impl IntoIterator<Item = &'o str>) -> Option<&'o str> {
    request.fields().get("Accept-Encoding")?;
    let identity = ["identity"];
    let plain = weight_of(request, "Accept-Encoding", identity[0], token_fits).filter(|&(_, how)| how > 0);
    let least = plain.map_or(0, |(weight, _)| weight);
    best(request, "Accept-Encoding", offers, token_fits).filter(|offer| {
        weight_of(request, "Accept-Encoding", offer, token_fits).is_some_and(|(weight, _)| weight >= least)
    })
}

/// The language, such as `en` or `de-CH`, that the client prefers among the offered ones. The first one if the request has no
/// `Accept-Language`; `None` if the client accepts none of them. A range matches all languages that it is a prefix of (RFC 4647
/// §3.3.1).
#[must_use]
pub fn language<'o>(request: &Request<'_>, offers: impl IntoIterator<Item = &'o str>) -> Option<&'o str> {
    best(request, "Accept-Language", offers, |offer, range| {
        let range = halves(range, b';').0;
        if range == "*" {
            return Some(0);
        }
        let front = offer.get(..range.len())?;
        let is_whole = offer.len() == range.len() || offer.as_bytes()[range.len()] == b'-';
        (is_whole && front.eq_ignore_ascii_case(range)).then_some(range.len())
    })
}

fn token_fits(offer: &str, range: &str) -> Option<usize> {
    match halves(range, b';').0 {
        "*" => Some(0),
        range => range.eq_ignore_ascii_case(offer).then_some(1),
    }
}

/// The offer with the greatest weight.
fn best<'o>(
    request: &Request<'_>,
    field: &'static str,
    offers: impl IntoIterator<Item = &'o str>,
    fits: impl Fn(&str, &str) -> Option<usize>,
) -> Option<&'o str> {
    let says_nothing = request.fields().get(field).is_none_or(<[u8]>::is_empty);
    let mut best = None;
    for offer in offers {
        let weight = match weight_of(request, field, offer, &fits) {
            _ if says_nothing => FULL,
            Some((weight, _)) => weight,
            None => 0,
        };
        if weight > best.map_or(0, |(weight, _)| weight) {
            best = Some((weight, offer));
        }
    }
    best.map(|(_, offer)| offer)
}

/// The weight of the most specific range that matches an offer, and how specific that is.
fn weight_of(
    request: &Request<'_>,
    field: &'static str,
    offer: &str,
    fits: impl Fn(&str, &str) -> Option<usize>,
) -> Option<(u16, usize)> {
    let mut found: Option<(u16, usize)> = None;
    for value in request.fields().get_all(field) {
        for range in elements(str::from_utf8(value).unwrap_or_default()) {
            let Some(how) = fits(offer, range) else { continue };
            if found.is_none_or(|(_, best)| how > best) {
                found = Some((weight(range), how));
            }
        }
    }
    found
}

/// The elements of a list, whose quoted strings may contain commas.
fn elements(mut list: &str) -> impl Iterator<Item = &str> {
    core::iter::from_fn(move || {
        if list.is_empty() {
            return None;
        }
        let (mut is_quoted, mut is_escaped) = (false, false);
        let end = list.bytes().position(|byte| {
            let ends = byte == b',' && !is_quoted;
            is_quoted ^= byte == b'"' && !is_escaped;
            is_escaped = byte == b'\\' && is_quoted && !is_escaped;
            ends
        });
        let (element, rest) = list.split_at(end.unwrap_or(list.len()));
        list = rest.get(1..).unwrap_or_default();
        Some(element.trim())
    })
    .filter(|element| !element.is_empty())
}

/// The weight of a range in thousandths (RFC 9110 §12.4.2); 0 if it is malformed.
fn weight(range: &str) -> u16 {
    let Some(param) = range.split(';').skip(1).map(str::trim).find(|param| is_weight(param)) else { return FULL };
    let digits = param[2..].trim().as_bytes();
    match digits {
        [whole @ (b'0' | b'1')] => u16::from(whole - b'0') * FULL,
        [whole @ (b'0' | b'1'), b'.', parts @ ..] if parts.len() <= 3 && parts.iter().all(u8::is_ascii_digit) => {
            let parts = parts.iter().chain(b"000").take(3).fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0'));
            (u16::from(whole - b'0') * FULL + parts).min(FULL)
        }
        _ => 0,
    }
}

fn is_weight(param: &str) -> bool {
    param.get(..2).is_some_and(|name| name.eq_ignore_ascii_case("q="))
}

/// The parts before and after a separator, without surrounding white space.
fn halves(text: &str, separator: u8) -> (&str, &str) {
    match text.split_once(char::from(separator)) {
        Some((front, back)) => (front.trim(), back.trim()),
        None => (text.trim(), ""),
    }
}
