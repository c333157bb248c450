//! The opening handshake (RFC 6455 §4.2).

use aurora_http_core::request::{Request, Version};
use aurora_http_core::writer::{ResponseWriter, WriteError};
use base64ct::{Base64, Encoding};
use sha1::{Digest, Sha1};

/// What the client's key is hashed with (RFC 6455 §1.3).
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Whether a request asks for a WebSocket, so that [`accept`] can answer it. Other requests for the same path are HTTP's.
#[must_use]
pub fn is_handshake(request: &Request<'_>) -> bool {
    request.upgrades_to("websocket")
}

/// Answers a handshake with 101, and with the first of `protocols` that the client offers
/// ([Sec-WebSocket-Protocol](https://www.rfc-editor.org/rfc/rfc6455#section-11.3.4)), which it returns. From then on the
/// connection is a WebSocket: return [`duplex`](aurora_http_core::handler::duplex) with a [`Socket`](crate::Socket), or
/// `websocket` with the feature `alloc`.
///
/// Any page in a browser can open a WebSocket to any server, with the user's cookies. If that matters, check
/// [`is_same_origin`] first.
///
/// # Errors
/// Return it, and it is answered: 400 for a request that is no handshake (another method than GET, HTTP/1.0, no `Upgrade`, no
/// key, two, or one that is not 16 bytes in base64), and for another version of the protocol, with `Sec-WebSocket-Version: 13` (RFC
/// 6455 §4.4). Otherwise as [`ResponseWriter::switch_protocols`].
pub fn accept<'p>(
    request: &Request<'_>,
    response: &mut ResponseWriter<'_>,
    protocols: &[&'p str],
) -> Result<Option<&'p str>, WriteError> {
    answer(request, response, protocols, None)
}

/// As [`accept`], with a value of `Sec-WebSocket-Extensions` (RFC 6455 §11.3.2).
pub(crate) fn answer<'p>(
    request: &Request<'_>,
    response: &mut ResponseWriter<'_>,
    protocols: &[&'p str],
    extension: Option<&str>,
) -> Result<Option<&'p str>, WriteError> {
    let fields = request.fields();
    let key = only(request, "Sec-WebSocket-Key").filter(|key| is_key(key));
    let is_get = request.method().as_str() == "GET" && request.version() == Version::Http11;
    let (Some(key), true, true) = (key, is_get, is_handshake(request)) else {
        response.fail(400)?;
        return Ok(None);
    };
    if only(request, "Sec-WebSocket-Version") != Some(b"13") {
        response.add_field("Sec-WebSocket-Version", "13")?;
        response.fail(400)?;
    }
    // Tokens, so neither commas nor quotes are part of them.
    let offered = || fields.get_all("Sec-WebSocket-Protocol").flat_map(|value| value.split(|byte| *byte == b','));
    let chosen = protocols.iter().find(|protocol| offered().any(|name| name.trim_ascii() == protocol.as_bytes()));
    let mut encoded = [0; 28];
    let mut answers = [("Sec-WebSocket-Accept", accept_key(key, &mut encoded)); 3];
    let protocol = chosen.map(|protocol| ("Sec-WebSocket-Protocol", protocol.as_bytes()));
    let extension = extension.map(|extension| ("Sec-WebSocket-Extensions", extension.as_bytes()));
    let mut count = 1;
    for field in [protocol, extension].into_iter().flatten() {
        answers[count] = field;
        count += 1;
    }
    response.switch_protocols("websocket", &answers[..count])?;
    Ok(chosen.copied())
}

/// Whether a page asks whose origin is this server, or a program that is no browser and so sends no `Origin`. The scheme is not
/// compared, since a proxy may have ended TLS.
#[must_use]
pub fn is_same_origin(request: &Request<'_>) -> bool {
    let Some(origin) = request.fields().get("Origin") else { return true };
    let Some(at) = origin.windows(3).position(|window| window == b"://") else { return false };
    request.host().is_some_and(|host| origin[at + 3..].eq_ignore_ascii_case(host))
}

/// The value of a field that must not appear twice (RFC 6455 §11.3.1, §11.3.5); `None` if it does, or not at all.
fn only<'r>(request: &Request<'r>, name: &str) -> Option<&'r [u8]> {
    let mut values = request.fields().get_all(name);
    let value = values.next()?;
    values.next().is_none().then_some(value)
}

/// Whether it is 16 bytes in base64.
fn is_key(key: &[u8]) -> bool {
    Base64::decode(key, &mut [0; 18]).is_ok_and(|bytes| bytes.len() == 16)
}

fn accept_key<'e>(key: &[u8], encoded: &'e mut [u8; 28]) -> &'e [u8] {
    let hash = Sha1::new().chain_update(key).chain_update(GUID).finalize();
    Base64::encode(&hash, encoded).map_or(&[], str::as_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_of_the_rfc_has_its_answer() {
        let mut encoded = [0; 28];
        assert_eq!(accept_key(b"dGhlIHNhbXBsZSBub25jZQ==", &mut encoded), b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        let rows: [(&[u8], bool); 6] = [
            (b"dGhlIHNhbXBsZSBub25jZQ==", true),
            (b"dGhlIHNhbXBsZSBub25jZQ", false),
            (b"dGhlIHNhbXBsZSBub25jZSE=", false),
            (b"dGhlIHNhbXBsZSBub25j", false),
            (b"!GhlIHNhbXBsZSBub25jZQ==", false),
            (b"", false),
        ];
        for (key, expected) in rows {
            assert_eq!(is_key(key), expected, "{}", key.escape_ascii());
        }
    }
}
