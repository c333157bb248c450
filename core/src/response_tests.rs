use std::string::{String, ToString};
use std::vec::Vec;
use std::{format, vec};

use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use super::*;

/// Deterministic: the same cases in every run.
fn config() -> ProptestConfig {
    ProptestConfig { rng_seed: RngSeed::Fixed(9112), failure_persistence: None, ..ProptestConfig::default() }
}

const DATE: HttpDate = HttpDate::from_unix_seconds(784_111_777).unwrap();

fn text(response: &Response<'_>) -> String {
    let out = response.build::<512>().unwrap();
    assert_eq!(response.exact_size(), Ok(out.len()));
    String::from_utf8(out.to_vec()).unwrap()
}

#[test]
fn a_complete_response() {
    let response = Response::new(200)
        .date(&DATE)
        .fields(&[("Set-Cookie", b"a=1"), ("Content-Type", b"text/plain"), ("Set-Cookie", b"b=2")])
        .body(b"Hello, World!\n");
    assert_eq!(
        text(&response),
        "HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Length: 14\r\nSet-Cookie: a=1\r\n\
         Content-Type: text/plain\r\nSet-Cookie: b=2\r\n\r\nHello, World!\n"
    );
}

#[test]
fn content_that_is_not_allowed_is_left_out() {
    let head = "HTTP/1.1 200 OK\r\n";
    for (response, expected) in [
        (Response::new(200), format!("{head}Content-Length: 0\r\n\r\n")),
        (Response::new(200).body(b"abc").head_request(true), format!("{head}Content-Length: 3\r\n\r\n")),
        (Response::new(200).head_request(true), format!("{head}\r\n")),
        (Response::new(200).body(b"abc").connect_request(true), format!("{head}\r\n")),
        (Response::new(204).body(b"abc"), "HTTP/1.1 204 No Content\r\n\r\n".to_string()),
        (Response::new(205).body(b"abc"), "HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n".to_string()),
        (Response::new(304).body(b"abc"), "HTTP/1.1 304 Not Modified\r\n\r\n".to_string()),
        (Response::new(103).body(b"abc"), "HTTP/1.1 103 Early Hints\r\n\r\n".to_string()),
        (
            Response::new(101).upgrade(b"websocket").body(b"abc"),
            "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n".to_string(),
        ),
    ] {
        assert_eq!(text(&response), expected);
    }
}

#[test]
fn the_connection_line_follows_version_and_persistence() {
    for (http10, persistent, line) in [
        (false, true, ""),
        (false, false, "Connection: close\r\n"),
        (true, true, "Connection: keep-alive\r\n"),
        (true, false, "Connection: close\r\n"),
    ] {
        let response = Response::new(404).http10(http10).persistent(persistent).body(b"no");
        assert_eq!(text(&response), format!("HTTP/1.1 404 Not Found\r\n{line}Content-Length: 2\r\n\r\nno"));
    }
}

#[test]
fn invalid_parts_are_refused_with_their_error() {
    let field = |index, error| ResponseError::Field { index, error };
    let missing = |name| ResponseError::FieldMissing { name };
    for (response, error) in [
        (Response::new(99), ResponseError::InvalidStatus),
        (Response::new(1000), ResponseError::InvalidStatus),
        (Response::new(1000).reason(b"x"), ResponseError::InvalidStatus),
        (Response::new(100).http10(true), ResponseError::InvalidStatus),
        (Response::new(199).http10(true), ResponseError::InvalidStatus),
        (Response::new(200).reason(b"OK\r\nA: b"), ResponseError::InvalidReason),
        (Response::new(101), missing("Upgrade")),
        (Response::new(101).upgrade(b""), missing("Upgrade")),
        (Response::new(426), missing("Upgrade")),
        (Response::new(426).fields(&[("Upgrade", b"")]), missing("Upgrade")),
        (Response::new(426).fields(&[("Upgrade", b"a")]), field(0, FieldError::Reserved)),
        (Response::new(401), missing("WWW-Authenticate")),
        (Response::new(401).fields(&[("Www-Authenticate", b" ")]), missing("WWW-Authenticate")),
        (Response::new(405).fields(&[("Allows", b"GET")]), missing("Allow")),
        (Response::new(407).fields(&[("WWW-Authenticate", b"Basic")]), missing("Proxy-Authenticate")),
        (Response::new(200).upgrade(b""), ResponseError::InvalidUpgrade),
        (Response::new(101).upgrade(b"a\nb"), ResponseError::InvalidUpgrade),
        (Response::new(200).fields(&[("A", b"b"), ("", b"b")]), field(1, FieldError::InvalidName)),
        (Response::new(200).fields(&[("A", b"b\r\n")]), field(0, FieldError::InvalidValue)),
        (Response::new(200).fields(&[("content-length", b"3")]), field(0, FieldError::Reserved)),
    ] {
        assert_eq!(response.exact_size(), Err(error));
        assert_eq!(response.build_into(&mut [0; 512]), Err(error));
    }
}

#[test]
fn an_estimate_has_a_tenth_to_spare() {
    for length in [0, 9, 1000] {
        let body = vec![0; length];
        let response = Response::new(200).body(&body);
        let exact = response.exact_size().unwrap();
        assert_eq!(response.estimate_size(), exact + exact.div_ceil(10));
    }
}

/// The parts of a response, all of them valid.
#[derive(Clone, Debug)]
struct Parts {
    status: u16,
    reason: Option<String>,
    fields: Vec<(String, Vec<u8>)>,
    body: Option<Vec<u8>>,
    date: Option<u64>,
    upgrade: bool,
    flags: [bool; 4],
}

fn parts() -> impl Strategy<Value = Parts> {
    // Values as recipients see them: without white space around them.
    let value = prop::collection::vec(prop_oneof![b' '..=b'~', 0x80..=0xff_u8, Just(b'\t')], 0..40);
    let field = ("[!#$%&'*+.^_`|~0-9A-Za-z-]{1,20}", value.prop_map(|value| value.trim_ascii().to_vec()))
        .prop_filter("reserved", |(name, _)| !encode::is_reserved(name.as_bytes()));
    (
        prop_oneof![200..=599_u16, 100..=999_u16, Just(200), Just(204), Just(304), 401..=407_u16, Just(426)],
        prop::option::of("[ -~]{0,20}"),
        prop::collection::vec(field, 0..12),
        prop::option::of(prop::collection::vec(any::<u8>(), 0..300)),
        prop::option::of(0..=HttpDate::UNIX_SECONDS_MAX),
        any::<bool>(),
        any::<[bool; 4]>(),
    )
        .prop_map(|(status, reason, mut fields, body, date, upgrade, mut flags)| {
            // A 1xx is for 1.1 only, and some statuses require a field.
            flags[1] &= status >= 200;
            let upgrade = upgrade || matches!(status, 101 | 426);
            match status {
                401 => fields.push(("www-authenticate".to_string(), b"Basic".to_vec())),
                405 => fields.push(("allow".to_string(), Vec::new())),
                407 => fields.push(("Proxy-Authenticate".to_string(), b"Basic".to_vec())),
                _ => {}
            }
            Parts { status, reason, fields, body, date, upgrade, flags }
        })
}

fn with_response<T>(parts: &Parts, test: impl FnOnce(&Response<'_>) -> T) -> T {
    let fields: Vec<(&str, &[u8])> = parts.fields.iter().map(|(name, value)| (name.as_str(), &value[..])).collect();
    let date = parts.date.and_then(HttpDate::from_unix_seconds);
    let [persistent, http10, head, connect] = parts.flags;
    let mut response = Response::new(parts.status).fields(&fields);
    response = response.persistent(persistent).http10(http10).head_request(head).connect_request(connect);
    response.date = date.as_ref();
    response.body = parts.body.as_deref();
    response.reason = parts.reason.as_deref().map(str::as_bytes);
    response.upgrade = parts.upgrade.then_some(b"websocket");
    test(&response)
}

/// The lines that the core adds, derived from the rules instead of its tables.
fn own_fields(parts: &Parts) -> Vec<(String, Vec<u8>)> {
    let [persistent, http10, head, connect] = parts.flags;
    let mut own = Vec::new();
    if let Some(date) = parts.date.and_then(HttpDate::from_unix_seconds) {
        own.push(("Date".to_string(), date.as_bytes().to_vec()));
    }
    let mut options = Vec::new();
    if !persistent {
        options.push("close");
    } else if http10 {
        options.push("keep-alive");
    }
    if parts.upgrade {
        options.push("upgrade");
    }
    if !options.is_empty() {
        own.push(("Connection".to_string(), options.join(", ").into_bytes()));
    }
    if parts.upgrade {
        own.push(("Upgrade".to_string(), b"websocket".to_vec()));
    }
    let tunnel = connect && parts.status / 100 == 2;
    let length = match parts.status {
        _ if tunnel => None,
        100..=199 | 204 | 304 => None,
        205 => Some(0),
        _ if head => parts.body.as_ref().map(Vec::len),
        _ => Some(parts.body.as_ref().map_or(0, Vec::len)),
    };
    if let Some(length) = length {
        own.push(("Content-Length".to_string(), length.to_string().into_bytes()));
    }
    own
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_parser_reads_what_was_built(parts in parts()) {
        let out = with_response(&parts, |response| response.build::<2048>().unwrap());
        let mut fields = [httparse::EMPTY_HEADER; 32];
        let mut parsed = httparse::Response::new(&mut fields);
        let head_len = parsed.parse(&out).unwrap().unwrap();
        prop_assert_eq!(parsed.version, Some(1));
        prop_assert_eq!(parsed.code, Some(parts.status));
        let reason = parts.reason.clone().unwrap_or_else(|| status::reason(parts.status).to_string());
        // The parser drops white space before a reason, and a whole reason if it has a byte that the parser does not
        // know.
        prop_assert_eq!(parsed.reason.map(str::trim), Some(reason.trim()));

        let mut expected = own_fields(&parts);
        expected.extend(parts.fields.iter().cloned());
        let found: Vec<_> = parsed.headers.iter().map(|f| (f.name.to_string(), f.value.to_vec())).collect();
        prop_assert_eq!(found, expected);

        let [_, _, head, connect] = parts.flags;
        let without = head || (connect && parts.status / 100 == 2) || matches!(parts.status, 100..=199 | 204 | 205 | 304);
        let body = parts.body.clone().filter(|_| !without).unwrap_or_default();
        prop_assert_eq!(&out[head_len..], &body[..]);
    }

    #[test]
    fn the_exact_size_is_enough_and_one_byte_less_is_not(parts in parts()) {
        with_response(&parts, |response| {
            let exact = response.exact_size().unwrap();
            let mut out = vec![0xaa; exact + 1];
            assert_eq!(response.build_into(&mut out[..exact]), Ok(exact));
            assert_eq!(out[exact], 0xaa);
            assert_eq!(response.build_into(&mut out), Ok(exact));
            assert_eq!(response.build_into(&mut out[..exact - 1]), Err(ResponseError::Full));
            assert!(response.estimate_size() > exact);
        });
    }
}
