//! No bytes can be read in two ways: compares the framing of messages with an oracle that is independent of the parser, and
//! runs every refused row of the table between good requests.

#[path = "conformance/mod.rs"]
mod wire;

use aurora_http_core::error::CloseReason::{BadRequest, PeerClosed, PeerClosedEarly};
use proptest::prelude::*;
use wire::bare::{Bare, bytewise, whole};
use wire::case::{Case, End, GET, Step};
use wire::reply::Reply;
use wire::rows;

/// A chunked message body, followed by a request.
const BODY: &str = "5\r\nhello\r\n0\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n";

/// The interpretation of a message, by RFC 9110 and RFC 9112 alone.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Verdict {
    Length(usize),
    Chunked,
    /// The status with which it is refused.
    Refused(u16),
}

/// One field line: the name with everything before the colon, the value with everything around it.
type Line = (&'static str, &'static str);

fn verdict(version: &str, lines: &[Line]) -> Verdict {
    let is_name =
        |name: &str| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    let is_value = |value: &str| value.bytes().all(|byte| byte == b'\t' || (byte >= b' ' && byte != 0x7f));
    if !lines.iter().all(|(name, value)| is_name(name) && is_value(value)) {
        return Verdict::Refused(400);
    }
    let named = |wanted: &str| -> Vec<&str> {
        let lines = lines.iter().filter(|(name, _)| name.eq_ignore_ascii_case(wanted));
        lines.map(|(_, value)| value.trim_matches([' ', '\t'])).collect()
    };
    match (&named("Transfer-Encoding")[..], &named("Content-Length")[..]) {
        ([], []) => Verdict::Length(0),
        ([], [digits]) if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            digits.parse::<u64>().map_or(Verdict::Refused(400), |length| Verdict::Length(length as usize))
        }
        ([coding], []) if version != "1.0" => match coding.to_ascii_lowercase().as_str() {
            "chunked" => Verdict::Chunked,
            "gzip, chunked" => Verdict::Refused(501),
            _ => Verdict::Refused(400),
        },
        _ => Verdict::Refused(400),
    }
}

/// A request with these lines, followed by `BODY`, and the expected result.
fn case(version: &str, lines: &[Line]) -> Case {
    let mut input = format!("POST /collect HTTP/{version}\r\nHost: x\r\n");
    if version == "1.0" {
        input += "Connection: keep-alive\r\n";
    }
    for (name, value) in lines {
        input += &format!("{name}:{value}\r\n");
    }
    input += "\r\n";
    input += BODY;
    let case = Case::new(format!("{version} {lines:?}")).sends(input);
    match verdict(version, lines) {
        Verdict::Refused(status) => case.gets(Reply::new(status)).closes(BadRequest),
        Verdict::Chunked => {
            let case = case.calls_with("POST", "/collect", "hello").gets(Reply::new(200).body("hello"));
            case.calls("GET", "/").gets(Reply::ok())
        }
        Verdict::Length(length) if length <= BODY.len() => {
            // The rest of the chunked body is not a request line, wherever the content ends.
            let content = &BODY[..length];
            let case = case.calls_with("POST", "/collect", content).gets(Reply::new(200).body(content));
            match &BODY[length..] {
                "" => case,
                GOOD => case.calls("GET", "/").gets(Reply::ok()),
                _ => case.gets(Reply::new(400)).closes(BadRequest),
            }
        }
        Verdict::Length(length) if length <= 256 * 1024 => case.calls("POST", "/collect").waits(PeerClosedEarly),
        Verdict::Length(_) => {
            let case = case.calls("POST", "/collect").gets(Reply::new(413));
            case.closes(aurora_http_core::error::CloseReason::TooLarge)
        }
    }
}

/// The request at the end of `BODY`.
const GOOD: &str = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";

const NAMES: [&str; 12] = [
    "Content-Length",
    "content-length",
    "Transfer-Encoding",
    "TRANSFER-ENCODING",
    "Content-Length ",
    "Transfer-Encoding ",
    " Transfer-Encoding",
    "Content_Length",
    "Transfer_Encoding",
    "Transfer-Encoding\u{b}",
    "X",
    "Trailer",
];

const VALUES: [&str; 22] = [
    " 5",
    "15",
    " 0",
    " 005\t",
    " +5",
    " 5, 5",
    " 5 5",
    " 0x5",
    " 41",
    " 300000",
    " 18446744073709551616",
    "",
    " chunked",
    "chunked \t",
    " Chunked",
    " chunked, chunked",
    " gzip, chunked",
    " identity",
    " xchunked",
    " \u{b}chunked",
    " chunked\0",
    " chunked;q=1",
];

fn play(cases: &[Case]) {
    let mut bare = Bare::new();
    let wrong: Vec<String> = cases.iter().filter_map(|case| bare.play(case, &mut whole).err()).collect();
    assert!(wrong.is_empty(), "{} of {} cases:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

#[test]
fn one_framing_line() {
    let mut cases = vec![case("1.1", &[]), case("1.0", &[])];
    for version in ["1.0", "1.1", "1.9"] {
        for name in NAMES {
            cases.extend(VALUES.map(|value| case(version, &[(name, value)])));
        }
    }
    play(&cases);
}

#[test]
fn two_framing_lines_in_any_order() {
    let mut cases = Vec::new();
    let values = [" 5", " 0", " +5", "", " chunked", " gzip, chunked", " identity", " \u{b}chunked"];
    for version in ["1.0", "1.1"] {
        for first in NAMES {
            for second in NAMES {
                for first_value in values {
                    cases.extend(values.map(|value| case(version, &[(first, first_value), (second, value)])));
                }
            }
        }
    }
    play(&cases);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_framing_lines(
        version in prop::sample::select(vec!["1.0", "1.1"]),
        lines in prop::collection::vec((prop::sample::select(NAMES.to_vec()), prop::sample::select(VALUES.to_vec())), 0..5),
    ) {
        let case = case(version, &lines);
        let mut bare = Bare::new();
        prop_assert_eq!(bare.play(&case, &mut whole), Ok(()));
        prop_assert_eq!(bare.play(&case, &mut bytewise), Ok(()));
    }
}

/// The cases of the table that end the connection, followed by more bytes in the same segment.
#[test]
fn bytes_after_a_refused_request_are_ignored() {
    let mut cases = Vec::new();
    for case in rows::all() {
        if !matches!(case.end, End::Closes(reason) if reason != PeerClosed) || case.input().len() > 40_000 {
            continue;
        }
        for behind in
            [GET, b"0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n", b"\0\xff\r\n\r\n\r\n", &[b'a'; 20_000]]
        {
            let mut case = case.clone();
            case.id += &format!(" and {} bytes behind it", behind.len());
            if let Some(Step::Send(bytes)) = case.steps.iter_mut().rfind(|step| matches!(step, Step::Send(_))) {
                bytes.extend_from_slice(behind);
            }
            cases.push(case);
        }
    }
    assert!(cases.len() > 1_000);
    play(&cases);
}

/// Every case of the table directly after other requests.
#[test]
fn earlier_requests_change_nothing() {
    let before = [GET, b"POST /collect HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi"].concat();
    let mut cases = Vec::new();
    for mut case in rows::all() {
        let closes_early = case.limits.requests_per_connection_max != Some(1_000) || case.seen.len() > 990;
        let refuses_them = case.limits.fields_max < 2;
        let Some(Step::Send(bytes)) = case.steps.first_mut() else { continue };
        if closes_early || refuses_them {
            continue;
        }
        bytes.splice(..0, before.iter().copied());
        case.id += " behind two good requests";
        case.steps.splice(1..1, [Step::Get(Reply::ok()), Step::Get(Reply::new(200).body("hi"))]);
        let earlier = Case::new("").calls("GET", "/").calls_with("POST", "/collect", "hi").seen;
        case.seen.splice(..0, earlier);
        cases.push(case);
    }
    assert!(cases.len() > 2_000);
    play(&cases);
}

#[cfg(has_backend)]
#[test]
fn over_sockets() {
    for backend in wire::socket::backends() {
        over_sockets_on(backend);
    }
}

#[cfg(has_backend)]
fn over_sockets_on(backend: aurora_http::Backend) {
    let server = wire::socket::Hosted::new(backend, aurora_http::Limits::default());
    let mut cases = Vec::new();
    for (at, name) in NAMES.into_iter().enumerate() {
        for (other, value) in VALUES.into_iter().enumerate() {
            cases.push(case("1.1", &[(name, value)]));
            cases.push(case("1.1", &[(name, value), (NAMES[(at + other) % NAMES.len()], VALUES[at])]));
        }
    }
    let wrong: Vec<String> = cases.iter().filter_map(|case| server.play(case, &mut whole).err()).collect();
    assert!(wrong.is_empty(), "{} of {} cases:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}
