//! Request lines, versions and targets: S24, S28.

use aurora_http_core::error::CloseReason::{BadRequest, TunnelRefused};

use crate::wire::case::{Case, GET, bad, head, refused};
use crate::wire::reply::Reply;

pub(crate) fn rows() -> Vec<Case> {
    [lines(), versions(), forms(), target_bytes()].concat()
}

/// S24: exactly `method SP target SP HTTP/d.d CRLF`.
fn lines() -> Vec<Case> {
    let malformed = [
        "GET  / HTTP/1.1",
        "GET /  HTTP/1.1",
        "GET\t/ HTTP/1.1",
        "GET /\tHTTP/1.1",
        " GET / HTTP/1.1",
        "\tGET / HTTP/1.1",
        "GET / HTTP/1.1 ",
        "GET / HTTP/1.1\t",
        "GET / HTTP/1.1 x",
        "GET / x HTTP/1.1",
        "GET /",
        "GET / ",
        "GET",
        "GET ",
        "GET  HTTP/1.1",
        "GET HTTP/1.1",
        " / HTTP/1.1",
        "/ HTTP/1.1",
        "GET/ HTTP/1.1",
        "GET /HTTP/1.1",
        "GET / http/1.1",
        "GET / Http/1.1",
        "GET / HTTP/1.10",
        "GET / HTTP/01.1",
        "GET / HTTP/1.01",
        "GET / HTTP/1",
        "GET / HTTP/1.",
        "GET / HTTP/.1",
        "GET / HTTP/11",
        "GET / HTTP/1,1",
        "GET / HTTP/a.b",
        "GET / HTTP/1.a",
        "GET / HTTP/+1.1",
        "GET / HTTP /1.1",
        "GET / HTTP/ 1.1",
        "GET / XTTP/1.1",
        "GET / HTTPS/1.1",
        "GET / HTTP/1.1\u{b}",
        "GET / HTTP/-1.1",
        "GET / \u{ff28}TTP/1.1",
        "G(T / HTTP/1.1",
        "G\u{e9}T / HTTP/1.1",
        "\"GET\" / HTTP/1.1",
        "GET: / HTTP/1.1",
        "{} / HTTP/1.1",
    ];
    malformed.into_iter().map(|line| bad(format!("S24 {line:?}"), format!("{line}\r\nHost: x\r\n\r\n"))).collect()
}

fn versions() -> Vec<Case> {
    let mut rows = Vec::new();
    for minor in 1..=9 {
        let input = format!("GET /describe HTTP/1.{minor}\r\nHost: x\r\n\r\n");
        let body = "GET Origin Http11 host=x\npath=/describe\nHost=x\n";
        let case = Case::new(format!("S24 HTTP/1.{minor} is served as 1.1")).sends(input);
        rows.push(case.calls("GET", "/describe").gets(Reply::new(200).body(body).without("Connection")));
    }
    for version in ["0.9", "0.0", "2.0", "2.1", "3.0", "9.9"] {
        let input = format!("GET / HTTP/{version}\r\nHost: x\r\n\r\n");
        rows.push(refused(format!("S24 HTTP/{version}"), input, 505, BadRequest));
    }
    rows.push(refused(
        "S24 the preface of HTTP/2",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0",
        505,
        BadRequest,
    ));
    let methods = ["M".repeat(32), "M".repeat(33), "M".repeat(10_000)];
    rows.push(
        Case::new("S24 a method of 32 bytes")
            .sends(head(&format!("{} /", methods[0]), &[]))
            .calls(&methods[0], "/")
            .gets(Reply::ok()),
    );
    for method in &methods[1..] {
        let id = format!("S24 a method of {} bytes", method.len());
        rows.push(refused(id, head(&format!("{method} /"), &[]), 501, BadRequest));
    }
    rows
}

/// S28: the forms of targets by method.
fn forms() -> Vec<Case> {
    let mut rows = Vec::new();
    // method, target, form, host, path, query
    let good = [
        ("GET", "http://example.com/describe", "Absolute", "example.com", "/describe", None),
        ("GET", "HTTP://example.com:8080/describe?q", "Absolute", "example.com:8080", "/describe", Some("q")),
        ("GET", "https://[::1]/describe", "Absolute", "[::1]", "/describe", None),
        ("POST", "http://example.com/describe?", "Absolute", "example.com", "/describe", Some("")),
        ("GET", "/describe?", "Origin", "x", "/describe", Some("")),
        ("GET", "/describe/../%2e%2e//a;b=c", "Origin", "x", "/describe/../%2e%2e//a;b=c", None),
        ("GET", "/describe/?/?a?b", "Origin", "x", "/describe/", Some("/?a?b")),
        ("OPTIONS", "/describe", "Origin", "x", "/describe", None),
        ("OPTIONS", "http://example.com/describe", "Absolute", "example.com", "/describe", None),
    ];
    for (method, target, form, host, path, query) in good {
        let case = Case::new(format!("S28 {method} {target}")).sends(head(&format!("{method} {target}"), &[]));
        let query = query.map(|query| format!("query={query}\n")).unwrap_or_default();
        let body = format!("{method} {form} Http11 host={host}\npath={path}\n{query}Host=x\n");
        // The probe describes only paths below /describe.
        let reply = if path == "/describe" || path.starts_with("/describe/") {
            Reply::new(200).body(body)
        } else {
            Reply::ok()
        };
        rows.push(case.calls(method, target).gets(reply));
    }
    for (method, target) in [
        ("OPTIONS", "*"),
        ("OPTIONS", "http://example.com"),
        ("GET", "http://example.com"),
        ("GET", "http://example.com?q"),
    ] {
        let case = Case::new(format!("S28 {method} {target}")).sends(head(&format!("{method} {target}"), &[]));
        rows.push(case.calls(method, target).gets(Reply::ok()));
    }
    // The client treats bytes after a 2xx as its tunnel, but the handler opened none: the connection ends.
    for target in ["example.com:443", "127.0.0.1:1", "[::1]:65535"] {
        let case =
            Case::new(format!("S28 CONNECT {target}")).sends([&head(&format!("CONNECT {target}"), &[]), GET].concat());
        let reply = Reply::ok().head_only().without("Content-Length").without("Transfer-Encoding");
        rows.push(case.calls("CONNECT", target).gets(reply).closes(TunnelRefused));
        // Bytes after a refused tunnel must not be read as a request either (RFC 9931): the client may not have waited.
        let case = Case::new(format!("S28 CONNECT {target} refused"))
            .sends([&head(&format!("CONNECT {target}"), &["X-Answer: 403"]), GET].concat());
        rows.push(case.calls("CONNECT", target).gets(Reply::new(403)).closes(TunnelRefused));
    }
    for (method, target) in [
        ("GET", "*"),
        ("POST", "*"),
        ("HEAD", "*"),
        ("options", "*"),
        ("OPTIONS", "*/"),
        ("OPTIONS", "**"),
        ("GET", "example.com:443"),
        ("GET", "example.com"),
        ("OPTIONS", "example.com:443"),
        ("CONNECT", "/"),
        ("CONNECT", "*"),
        ("CONNECT", "example.com"),
        ("CONNECT", "example.com:"),
        ("CONNECT", "example.com:0"),
        ("CONNECT", "example.com:65536"),
        ("CONNECT", "example.com:443/"),
        ("CONNECT", "user@example.com:443"),
        ("CONNECT", "http://example.com:443"),
        ("CONNECT", ":443"),
        ("CONNECT", "[::1]"),
        ("GET", "http://"),
        ("GET", "http:///"),
        ("GET", "http://?q"),
        ("GET", "http:/x"),
        ("GET", "http:x"),
        ("GET", "://x/"),
        ("GET", "1http://x/"),
        ("GET", "ht_tp://x/"),
        ("GET", "http://user@example.com/"),
        ("GET", "http://user:pass@example.com/"),
        ("GET", "http://a b/"),
        ("GET", "http://x:y/"),
        ("GET", "http://x:80:80/"),
        ("GET", "http://[::1/"),
        ("GET", "http://x/#f"),
        ("GET", "http://x#f"),
        ("GET", "http://x\\y/"),
        ("GET", "?q"),
        ("GET", "a/b"),
        ("GET", "\\"),
        ("GET", "/#"),
        ("GET", "/a#b"),
        ("GET", "/?a#b"),
        ("GET", "#"),
    ] {
        rows.push(bad(format!("S28 {method} {target:?}"), head(&format!("{method} {target}"), &[])));
    }
    rows
}

/// S28: every byte in a path and in a query.
fn target_bytes() -> Vec<Case> {
    let mut rows = Vec::new();
    for byte in 0..=u8::MAX {
        let visible = byte.is_ascii_graphic() && byte != b'#';
        let in_path = visible && !b"\"<>\\^{}`".contains(&byte) && byte != b'?';
        let in_query = visible && !b"\"<>".contains(&byte);
        for (place, before, is_allowed) in [("path", "/a", in_path || byte == b'?'), ("query", "/a?b", in_query)] {
            let target = [before.as_bytes(), &[byte], b"c"].concat();
            let input = [b"GET ", &target[..], b" HTTP/1.1\r\nHost: x\r\n\r\n"].concat();
            let id = format!("S28 {byte:#04x} in a {place}");
            rows.push(if is_allowed {
                Case::new(id).sends(input).calls("GET", &target).gets(Reply::ok())
            } else {
                bad(id, input)
            });
        }
    }
    rows
}
