//! Heads that are accepted, and the properties of their requests.

mod parse_support;

use aurora_http_core::limits::Limits;
use aurora_http_core::parse::{BodyLength, EMPTY_FIELD, HeadScan, parse_head, with_head};
use aurora_http_core::request::{Method, Request, TargetForm, Version};
use parse_support::{Verdict, every_split, pieces, whole};

/// Parses a complete head, after asserting that no split changes the verdict, and that every prefix is incomplete.
fn accepted<R>(head: &[u8], f: impl FnOnce(Request<'_>) -> R) -> R {
    let limits = Limits::default();
    assert!(matches!(every_split(head, &limits), Verdict::Complete(_)), "{}", head.escape_ascii());
    for end in 0..head.len() {
        assert_eq!(whole(&head[..end], &limits), Verdict::Partial, "{end} of {}", head.escape_ascii());
    }
    with_head(head, &limits, &mut HeadScan::default(), |parsed| f(parsed.unwrap().unwrap()))
}

/// Like [`accepted`], for lines after a request line and a Host.
fn accepted_lines<R>(version: &str, lines: &[u8], f: impl FnOnce(Request<'_>) -> R) -> R {
    accepted(&[b"POST / ", version.as_bytes(), b"\r\nHost: x\r\n", lines, b"\r\n"].concat(), f)
}

#[test]
fn h1_every_method() {
    let rows = [
        ("GET", Method::Get),
        ("HEAD", Method::Head),
        ("POST", Method::Post),
        ("PUT", Method::Put),
        ("DELETE", Method::Delete),
        ("OPTIONS", Method::Options),
        ("TRACE", Method::Trace),
        ("PATCH", Method::Patch),
        ("get", Method::Extension("get")),
        ("GETS", Method::Extension("GETS")),
        ("G", Method::Extension("G")),
        ("PROPFIND", Method::Extension("PROPFIND")),
        ("!#$%&'*+-.^_`|~09", Method::Extension("!#$%&'*+-.^_`|~09")),
        ("connect", Method::Extension("connect")),
        ("PRI", Method::Extension("PRI")),
    ];
    for (token, method) in rows {
        accepted(format!("{token} / HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes(), |request| {
            assert_eq!(request.method(), method);
            assert_eq!(request.method().as_str(), token);
            assert_eq!(request.target(), b"/");
        });
    }
    accepted(b"CONNECT a:443 HTTP/1.1\r\nHost: x\r\n\r\n", |request| assert_eq!(request.method(), Method::Connect));
}

#[test]
fn s28_forms_of_targets() {
    use TargetForm::{Absolute, Asterisk, Authority, Origin};
    type Row = (&'static str, &'static str, TargetForm, &'static str, Option<&'static str>, &'static str);
    let rows: [Row; 32] = [
        ("GET", "/", Origin, "/", None, "field"),
        ("GET", "//", Origin, "//", None, "field"),
        ("GET", "//a/b", Origin, "//a/b", None, "field"),
        ("GET", "/a/b/c.html", Origin, "/a/b/c.html", None, "field"),
        ("GET", "/?", Origin, "/", Some(""), "field"),
        ("GET", "/??", Origin, "/", Some("?"), "field"),
        ("GET", "/a?b=c&d", Origin, "/a", Some("b=c&d"), "field"),
        ("GET", "/a?/b?c", Origin, "/a", Some("/b?c"), "field"),
        ("GET", "/a:80/@b", Origin, "/a:80/@b", None, "field"),
        ("GET", "/http://a/", Origin, "/http://a/", None, "field"),
        // Browsers send these unescaped.
        ("GET", "/[a]|", Origin, "/[a]|", None, "field"),
        ("GET", "/?[]{}|^\\`", Origin, "/", Some("[]{}|^\\`"), "field"),
        ("GET", "/-._~!$&'()*+,;=:@%41", Origin, "/-._~!$&'()*+,;=:@%41", None, "field"),
        // Escapes are not decoded.
        ("GET", "/%zz%", Origin, "/%zz%", None, "field"),
        ("OPTIONS", "/", Origin, "/", None, "field"),
        ("OPTIONS", "*", Asterisk, "*", None, "field"),
        ("GET", "http://a", Absolute, "/", None, "a"),
        ("GET", "http://a/", Absolute, "/", None, "a"),
        ("GET", "http://a?", Absolute, "/", Some(""), "a"),
        ("GET", "http://a?b=c", Absolute, "/", Some("b=c"), "a"),
        ("GET", "http://a:80/b?c", Absolute, "/b", Some("c"), "a:80"),
        ("GET", "HTTPS://A:/b", Absolute, "/b", None, "A:"),
        ("GET", "http://[::1]:8080/b", Absolute, "/b", None, "[::1]:8080"),
        ("GET", "ws+x-1.2://a/b/", Absolute, "/b/", None, "a"),
        ("GET", "http://a//b", Absolute, "//b", None, "a"),
        ("GET", "http://a/b://c", Absolute, "/b://c", None, "a"),
        ("OPTIONS", "http://a", Absolute, "*", None, "a"),
        ("OPTIONS", "http://a?", Absolute, "/", Some(""), "a"),
        ("OPTIONS", "http://a/", Absolute, "/", None, "a"),
        ("CONNECT", "a:1", Authority, "", None, "a:1"),
        ("CONNECT", "[::1]:65535", Authority, "", None, "[::1]:65535"),
        ("CONNECT", "192.0.2.1:443", Authority, "", None, "192.0.2.1:443"),
    ];
    for (method, target, form, path, query, host) in rows {
        for version in ["HTTP/1.1", "HTTP/1.0"] {
            accepted(format!("{method} {target} {version}\r\nHost: field\r\n\r\n").as_bytes(), |request| {
                assert_eq!(request.target_form(), form, "{target}");
                assert_eq!((request.target(), request.target_str()), (target.as_bytes(), target));
                assert_eq!(request.path(), path.as_bytes(), "{target}");
                assert_eq!(request.query().map(|query| query.as_bytes()), query.map(str::as_bytes), "{target}");
                assert_eq!(request.host(), Some(host.as_bytes()), "{target}");
            });
        }
    }
}

/// Lengths around that of a word, and around multiples of four look-ups.
#[test]
fn targets_of_every_length() {
    let limits = Limits::default();
    for len in 0..70 {
        let path = format!("/{}", "p".repeat(len));
        for target in
            [path.clone(), format!("{path}?"), format!("{path}?{}", "q".repeat(len)), format!("/?{}", "q".repeat(len))]
        {
            let head = format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n");
            with_head(head.as_bytes(), &limits, &mut HeadScan::default(), |parsed| {
                let request = parsed.unwrap().unwrap();
                assert_eq!(request.target_str(), target);
                let (path, query) =
                    target.split_once('?').map_or((&target[..], None), |(path, query)| (path, Some(query)));
                assert_eq!(request.path(), path.as_bytes());
                assert_eq!(request.query().map(|query| query.as_bytes()), query.map(str::as_bytes));
            });
        }
    }
}

#[test]
fn s24_versions() {
    let rows = [
        ("HTTP/1.0", Version::Http10),
        ("HTTP/1.1", Version::Http11),
        ("HTTP/1.2", Version::Http11),
        ("HTTP/1.5", Version::Http11),
        ("HTTP/1.9", Version::Http11),
    ];
    for (token, version) in rows {
        accepted_lines(token, b"", |request| assert_eq!(request.version(), version));
    }
}

#[test]
fn s9_one_empty_line_is_skipped() {
    let head = b"\r\nGET /a?b HTTP/1.1\r\nHost: x\r\n\r\n";
    accepted(head, |request| {
        assert_eq!(request.head_len(), head.len());
        assert_eq!((request.method(), request.target(), request.path()), (Method::Get, &b"/a?b"[..], &b"/a"[..]));
    });
    accepted(b"\r\nMKCOL /a HTTP/1.1\r\nHost: x\r\n\r\n", |request| {
        assert_eq!((request.method(), request.path()), (Method::Extension("MKCOL"), &b"/a"[..]));
    });
}

#[test]
fn the_head_ends_where_the_content_starts() {
    let limits = Limits::default();
    let head = b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n";
    for content in [&b"hello"[..], b"\r\n\r\n\r\n", b"\0\xff", b"GET / HTTP/1.1\r\n\r\n"] {
        let bytes = [head, content].concat();
        assert_eq!(every_split(&bytes, &limits), whole(head, &limits));
        let len = with_head(&bytes, &limits, &mut HeadScan::default(), |parsed| parsed.unwrap().unwrap().head_len());
        assert_eq!(len, head.len());
    }
}

#[test]
fn s4_s12_lengths_of_content() {
    let rows: [(&[u8], BodyLength); 12] = [
        (b"", BodyLength::None),
        (b"Content-Length: 0\r\n", BodyLength::Length(0)),
        (b"Content-Length: 5\r\n", BodyLength::Length(5)),
        (b"CONTENT-LENGTH:\t5 \t\r\n", BodyLength::Length(5)),
        (b"Content-Length: 0000000000000000000000000000005\r\n", BodyLength::Length(5)),
        (b"Content-Length: 4294967296\r\n", BodyLength::Length(1 << 32)),
        (b"Content-Length: 18446744073709551615\r\n", BodyLength::Length(u64::MAX)),
        (b"Transfer-Encoding: chunked\r\n", BodyLength::Chunked),
        (b"transfer-ENCODING: \t CHUNKed\t\r\n", BodyLength::Chunked),
        // S2: other fields.
        (b"Content_Length: 5\r\n", BodyLength::None),
        (b"Transfer_Encoding: chunked\r\nContent-Length: 5\r\n", BodyLength::Length(5)),
        (b"TE: trailers\r\nContent-Type: text/plain\r\n", BodyLength::None),
    ];
    // S12: whatever the method.
    for method in ["GET", "HEAD", "POST", "DELETE", "TRACE", "X"] {
        for (lines, length) in rows {
            let head = [method.as_bytes(), b" / HTTP/1.1\r\nHost: x\r\n", lines, b"\r\n"].concat();
            accepted(&head, |request| {
                assert_eq!(request.body_length(), length, "{}", lines.escape_ascii());
                assert_eq!(request.is_chunked(), length == BodyLength::Chunked);
                let expected = if let BodyLength::Length(length) = length { Some(length) } else { None };
                assert_eq!(request.content_length(), expected);
            });
        }
    }
    accepted_lines("HTTP/1.0", b"Content-Length: 5\r\n", |request| {
        assert_eq!(request.body_length(), BodyLength::Length(5));
    });
}

#[test]
fn s15_s29_persistence() {
    let rows: [(&[u8], bool, bool); 13] = [
        (b"", true, false),
        (b"Connection: close\r\n", false, false),
        (b"Connection: CLOSE\r\n", false, false),
        (b"Connection: keep-alive\r\n", true, true),
        (b"Connection: Keep-Alive\r\n", true, true),
        (b"Connection: keep-alive, close\r\n", false, false),
        (b"Connection: x,close\t,y\r\n", false, false),
        (b"Connection: keep-alive\r\nX: y\r\nConnection: close\r\n", false, false),
        (b"Connection: close\r\nConnection: keep-alive\r\n", false, false),
        (b"Connection: , ,keep-alive,\r\n", true, true),
        (b"Connection: closed\r\n", true, false),
        (b"Connection:\r\n", true, false),
        (b"Proxy-Connection: close\r\n", true, false),
    ];
    for (lines, on_http11, on_http10) in rows {
        let name = lines.escape_ascii().to_string();
        accepted_lines("HTTP/1.1", lines, |request| assert_eq!(request.persistent(), on_http11, "{name}"));
        accepted_lines("HTTP/1.7", lines, |request| assert_eq!(request.persistent(), on_http11, "{name}"));
        accepted_lines("HTTP/1.0", lines, |request| assert_eq!(request.persistent(), on_http10, "{name}"));
    }
}

#[test]
fn s26_expectations() {
    let rows: [(&str, &[u8], bool); 15] = [
        ("HTTP/1.1", b"Expect: 100-continue\r\nContent-Length: 1\r\n", true),
        ("HTTP/1.1", b"expect:\t100-Continue \r\nTransfer-Encoding: chunked\r\n", true),
        ("HTTP/1.1", b"Expect: 100-continue\r\nExpect: 100-continue\r\nContent-Length: 1\r\n", true),
        // A list (RFC 9110 §10.1.1), whose empty members are ignored (§5.6.1).
        ("HTTP/1.1", b"Expect: 100-continue,\r\nContent-Length: 1\r\n", true),
        ("HTTP/1.1", b"Expect: ,100-continue\r\nContent-Length: 1\r\n", true),
        ("HTTP/1.1", b"Expect: 100-continue\t, 100-CONTINUE\r\nContent-Length: 1\r\n", true),
        ("HTTP/1.1", b"Expect:\r\nExpect: 100-continue\r\nContent-Length: 1\r\n", true),
        ("HTTP/1.1", b"Expect:\r\nContent-Length: 1\r\n", false),
        ("HTTP/1.1", b"Expect: , ,\t,\r\nContent-Length: 1\r\n", false),
        ("HTTP/1.1", b"Expect: 100-continue\r\n", false),
        ("HTTP/1.1", b"Expect: 100-continue\r\nContent-Length: 0\r\n", false),
        ("HTTP/1.1", b"Content-Length: 1\r\n", false),
        // HTTP/1.0 has no Expect: any value is ignored.
        ("HTTP/1.0", b"Expect: 100-continue\r\nContent-Length: 1\r\n", false),
        ("HTTP/1.0", b"Expect: x\r\nContent-Length: 1\r\n", false),
        ("HTTP/1.0", b"Expect:\r\n", false),
    ];
    for (version, lines, expects) in rows {
        accepted_lines(version, lines, |request| {
            assert_eq!(request.expects_continue(), expects, "{}", lines.escape_ascii());
        });
    }
}

#[test]
fn upgrades_and_connection_options() {
    type Row = (&'static str, &'static [u8], Option<&'static [&'static str]>);
    let rows: [Row; 10] = [
        ("HTTP/1.1", b"Connection: Upgrade\r\nUpgrade: websocket\r\n", Some(&["websocket"])),
        ("HTTP/1.1", b"upgrade: a/1, b\r\nconnection: x, upgrade\r\nUpgrade: ,c\r\n", Some(&["a/1", "b", "c"])),
        ("HTTP/1.1", b"Connection: keep-alive\r\nConnection: UPGRADE\r\nUpgrade: h2c\r\n", Some(&["h2c"])),
        ("HTTP/1.1", b"Upgrade: websocket\r\n", None),
        ("HTTP/1.1", b"Connection: keep-alive\r\nUpgrade: websocket\r\n", None),
        ("HTTP/1.1", b"Connection: upgrade\r\n", None),
        ("HTTP/1.1", b"Connection: upgrade\r\nUpgrade:\r\n", None),
        ("HTTP/1.1", b"Connection: upgrade\r\nUpgrade: , ,\r\n", None),
        ("HTTP/1.1", b"Connection: upgraded\r\nUpgrade: websocket\r\n", None),
        ("HTTP/1.0", b"Connection: upgrade\r\nUpgrade: websocket\r\n", None),
    ];
    for (version, lines, protocols) in rows {
        accepted_lines(version, lines, |request| {
            let found: Option<Vec<_>> = request.upgrade().map(|list| list.collect());
            let expected: Option<Vec<_>> = protocols.map(|list| list.iter().map(|name| name.as_bytes()).collect());
            assert_eq!(found, expected, "{}", lines.escape_ascii());
            assert_eq!(request.wants_upgrade(), protocols.is_some());
            let offers = |name: &str| request.upgrades_to(name);
            for name in protocols.unwrap_or_default() {
                assert!(offers(name) && offers(&name.to_uppercase()), "{name}");
                assert!(!offers(&name[1..]) && !offers(&format!("{name} ")), "{name}");
            }
            assert!(!offers("") && (protocols.is_some() || !offers("websocket")));
        });
    }
    accepted_lines("HTTP/1.1", b"Connection: a , b,\r\nX: y\r\nconnection:\r\nCONNECTION: c\r\n", |request| {
        let options: Vec<_> = request.connection_options().collect();
        assert_eq!(options, [b"a", b"b", b"c"]);
    });
}

#[test]
fn s16_hosts() {
    for host in ["x", "example.com:", "127.0.0.1:8080", "[::1]:80", "a%20b", "xn--caf-dma.example:65535"] {
        accepted(format!("GET / HTTP/1.1\r\nhOsT: \t{host}\t \r\n\r\n").as_bytes(), |request| {
            assert_eq!(request.host(), Some(host.as_bytes()));
        });
    }
    accepted(b"GET / HTTP/1.0\r\nA: b\r\n\r\n", |request| assert_eq!(request.host(), None));
    accepted(b"GET / HTTP/1.0\r\nHost: x\r\n\r\n", |request| assert_eq!(request.host(), Some(&b"x"[..])));
    accepted(b"GET http://a/ HTTP/1.0\r\n\r\n", |request| assert_eq!(request.host(), Some(&b"a"[..])));
}

#[test]
fn h2_fields() {
    let lines = b"Cookie: a=1\r\nEmpty:\r\nBlank: \t \r\ncookie: b=2\r\n\
        Opaque: \x80caf\xe9\xff\r\nCOOKIE:c=3\t\r\n\
        Inner: a \t b\r\n!#$%&'*+-.^_`|~1: y\r\n";
    accepted_lines("HTTP/1.1", lines, |request| {
        let fields = request.fields();
        assert_eq!(fields.len(), 9);
        assert!(!fields.is_empty());
        assert_eq!(fields.get("COOKIE"), Some(&b"a=1"[..]));
        assert_eq!(fields.get_all("cookie").collect::<Vec<_>>(), [b"a=1", b"b=2", b"c=3"]);
        assert_eq!(fields.get("empty"), Some(&b""[..]));
        assert_eq!(fields.get("blank"), Some(&b""[..]));
        assert_eq!(fields.get("opaque"), Some(&b"\x80caf\xe9\xff"[..]));
        assert_eq!(fields.get("inner"), Some(&b"a \t b"[..]));
        assert_eq!(fields.get("!#$%&'*+-.^_`|~1"), Some(&b"y"[..]));
        assert_eq!(fields.get("cooki"), None);
        assert_eq!(fields.get_all("none").count(), 0);
        let names: Vec<_> = fields.iter().map(|field| field.name).collect();
        let expected = ["Host", "Cookie", "Empty", "Blank", "cookie", "Opaque", "COOKIE", "Inner", "!#$%&'*+-.^_`|~1"];
        assert_eq!(names, expected);
    });
}

#[test]
fn debug_output_keeps_secrets_out() {
    accepted_lines("HTTP/1.1", b"Authorization: Bearer hunter2\r\n", |request| {
        let text = format!("{request:?}");
        assert!(text.contains("POST") && text.contains("\"/\""), "{text}");
        assert!(!text.contains("hunter2"), "{text}");
    });
}

/// Every slice points into the bytes that were passed in.
#[test]
fn h1_nothing_is_copied() {
    let limits = Limits::default();
    let heads: [&[u8]; 3] = [
        b"\r\nMKCOL /a/b?c=d&e HTTP/1.1\r\nHost: x:80\r\nA: b\r\nConnection: upgrade\r\nUpgrade: p, q\r\n\r\n",
        b"GET http://a:1/b?c=d HTTP/1.1\r\nHost: x\r\nA: b\r\n\r\n",
        b"CONNECT a:1 HTTP/1.1\r\nHost: x\r\n\r\n",
    ];
    for head in heads {
        let range = head.as_ptr_range();
        let inside = |view: &[u8]| {
            let view_range = view.as_ptr_range();
            let lies_in_head = range.start <= view_range.start && view_range.end <= range.end;
            assert!(view.is_empty() || lies_in_head, "{}", view.escape_ascii());
        };
        for first in [0, 1] {
            let mut scan = HeadScan::default();
            let _ = with_head(&head[..first], &limits, &mut scan, |parsed| parsed.is_ok());
            let mut slots = [EMPTY_FIELD; 8];
            let request = parse_head(head, &mut slots, &limits, &mut scan).unwrap().unwrap();
            inside(request.target());
            inside(request.target_str().as_bytes());
            inside(request.path());
            inside(request.host().unwrap());
            if let Method::Extension(token) = request.method() {
                inside(token.as_bytes());
            }
            for (key, value) in request.query().into_iter().flatten() {
                inside(key);
                inside(value);
            }
            for field in request.fields() {
                inside(field.name.as_bytes());
                inside(field.value);
            }
            request.upgrade().into_iter().flatten().for_each(inside);
        }
    }
}

/// `parse_head` with the caller's storage accepts as many fields as there are slots.
#[test]
fn slots_that_the_caller_provides() {
    let limits = Limits::default();
    let head = b"GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n\r\n";
    for (count, accepted) in [(0, false), (1, false), (2, true), (3, true), (200, true)] {
        for first in [0, 1, head.len() - 1] {
            let mut scan = HeadScan::default();
            let _ = parse_head(&head[..first], &mut vec![EMPTY_FIELD; count], &limits, &mut scan).is_ok();
            let mut slots = vec![EMPTY_FIELD; count];
            let parsed = parse_head(head, &mut slots, &limits, &mut scan);
            assert_eq!(parsed.is_ok(), accepted, "{count} slots");
        }
    }
}

/// A complete head can be parsed again, from the start or with the scan that found it complete.
#[test]
fn a_complete_head_can_be_parsed_again() {
    let limits = Limits::default();
    let head = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n";
    for first in [0, 1, 10] {
        let mut scan = HeadScan::default();
        let _ = parse_support::step(&head[..first], &limits, &mut scan);
        let once = parse_support::step(head, &limits, &mut scan);
        assert!(matches!(once, Verdict::Complete(_)));
        assert_eq!(parse_support::step(head, &limits, &mut scan), once);
        assert_eq!(parse_support::step(&[head, &b"more"[..]].concat(), &limits, &mut scan), once);
    }
}

/// Heads in pieces that need the larger arrays.
#[test]
fn many_fields_in_pieces() {
    let limits = Limits { fields_max: 128, ..Limits::default() };
    for count in [16, 17, 64, 65, 128] {
        let mut head = b"GET / HTTP/1.1\r\nHost: x\r\n".to_vec();
        for index in 1..count {
            head.extend_from_slice(format!("F{index}: {index}\r\n").as_bytes());
        }
        head.extend_from_slice(b"\r\n");
        let expected = whole(&head, &limits);
        assert!(matches!(expected, Verdict::Complete(_)), "{count}");
        for piece in [1, 7, 100, 1000] {
            assert_eq!(pieces(&head, (0..head.len()).step_by(piece), &limits), expected, "{count} by {piece}");
        }
    }
}
