//! Line ends, field lines and Host: S9, S10, S16, H1, H2.

use crate::wire::case::{Case, GET, bad, head};
use crate::wire::reply::Reply;

pub(crate) fn rows() -> Vec<Case> {
    [line_ends(), names(), values(), shapes(), hosts(), described()].concat()
}

/// S9.
fn line_ends() -> Vec<Case> {
    let mut rows = vec![
        Case::new("S9 one empty line is skipped").get_root([b"\r\n", GET].concat()),
        Case::new("S9 an empty line between two requests is skipped")
            .sends([GET, b"\r\n", GET].concat())
            .calls("GET", "/")
            .calls("GET", "/")
            .gets(Reply::ok())
            .gets(Reply::ok()),
    ];
    let malformed = [
        "\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n",
        "\nGET / HTTP/1.1\r\nHost: x\r\n\r\n",
        "\r\n\nGET / HTTP/1.1\r\nHost: x\r\n\r\n",
        "\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n",
        "\rGET / HTTP/1.1\r\nHost: x\r\n\r\n",
        "\r\rGET / HTTP/1.1\r\nHost: x\r\n\r\n",
        " \r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n",
        "\0GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET / HTTP/1.1\nHost: x\r\n\r\n",
        "GET / HTTP/1.1\rHost: x\r\n\r\n",
        "GET / HTTP/1.1\r\r\nHost: x\r\n\r\n",
        "GET / HTTP/1.1\n\r\nHost: x\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\n\n",
        "GET / HTTP/1.1\r\nHost: x\n\n",
        "GET / HTTP/1.1\nHost: x\n\n",
        "GET / HTTP/1.1\r\nHost: x\r\n\rX",
        "GET / HTTP/1.1\r\nA: b\nHost: x\r\n\r\n",
        "GET / HTTP/1.1\r\nA: b\rHost: x\r\n\r\n",
        "GET / HTTP/1.1\r\nA: b\rc\r\nHost: x\r\n\r\n",
        "GET / HTTP/1.1\r\nA: b\nContent-Length: 5\r\nHost: x\r\n\r\nhello",
        "GET / HTTP/1.1\r\nA\r: b\r\nHost: x\r\n\r\n",
        "GET / HTTP/1.1\r\nA\n: b\r\nHost: x\r\n\r\n",
        "GET / HTTP/1.1\r\nA:\n b\r\nHost: x\r\n\r\n",
        "GET\0 / HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /\0 HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET / HTTP/1.1\0\r\nHost: x\r\n\r\n",
        "GET / HTTP/1.1\r\nHo\0st: x\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\0\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\n\0\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\nA: \0\r\n\r\n",
        "\r\nGET / HTTP/1.1\r\nHost: x\n\r\n",
    ];
    rows.extend(malformed.map(|input| bad(format!("S9 {input:?}"), input)));
    rows
}

/// S10: every byte in a name.
fn names() -> Vec<Case> {
    let mut rows = Vec::new();
    for byte in 0..=u8::MAX {
        let is_token = byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        for name in [vec![b'A', byte, b'B'], vec![byte, b'B'], vec![b'A', byte], vec![byte]] {
            if byte == b':' && name[0] != byte {
                continue; // an ordinary colon
            }
            let input = [b"GET / HTTP/1.1\r\nHost: x\r\n", &name[..], b": y\r\n\r\n"].concat();
            let id = format!("S10 name {}", name.escape_ascii());
            rows.push(if is_token { Case::new(id).get_root(input) } else { bad(id, input) });
        }
    }
    rows
}

/// S10: every byte in a value.
fn values() -> Vec<Case> {
    let mut rows = Vec::new();
    for byte in 0..=u8::MAX {
        let input = [b"GET / HTTP/1.1\r\nHost: x\r\nA: b", &[byte][..], b"c\r\n\r\n"].concat();
        let id = format!("S10 value byte {byte:#04x}");
        let is_content = byte == b'\t' || (byte >= b' ' && byte != 0x7f);
        rows.push(if is_content { Case::new(id).get_root(input) } else { bad(id, input) });
    }
    rows
}

/// S10: lines that are not field lines.
fn shapes() -> Vec<Case> {
    let mut rows = Vec::new();
    for line in
        ["A : b", "A\t: b", "A", "A b", ":", ": b", "A: b\r\n c", "A: b\r\n\tc", "A: b\r\n ", " A: b", "\tA: b", " "]
    {
        let last = format!("GET / HTTP/1.1\r\nHost: x\r\n{line}\r\n\r\n");
        rows.push(bad(format!("S10 last line {line:?}"), last));
        let first = format!("GET / HTTP/1.1\r\n{line}\r\nHost: x\r\n\r\n");
        rows.push(bad(format!("S10 first line {line:?}"), first));
    }
    let values =
        [("", ""), (" ", ""), ("b", "b"), (" \t b \t ", "b"), (" b  c ", "b  c"), (":", ":"), ("\u{e9}", "\\xc3\\xa9")];
    for (sent, seen) in values {
        let case = Case::new(format!("S10 value {sent:?}")).sends(head("GET /describe", &[&format!("A:{sent}")]));
        let body = format!("GET Origin Http11 host=x\npath=/describe\nHost=x\nA={seen}\n");
        rows.push(case.calls("GET", "/describe").gets(Reply::new(200).body(body)));
    }
    rows
}

/// S16.
fn hosts() -> Vec<Case> {
    let mut rows = vec![
        bad("S16 none", "GET / HTTP/1.1\r\n\r\n"),
        bad("S16 none on 1.5", "GET / HTTP/1.5\r\n\r\n"),
        bad("S16 none in absolute-form", "GET http://x/ HTTP/1.1\r\n\r\n"),
        bad("S16 malformed in absolute-form", "GET http://x/ HTTP/1.1\r\nHost: a b\r\n\r\n"),
        bad("S16 two in absolute-form", "GET http://x/ HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n"),
    ];
    for version in ["1.0", "1.1"] {
        for hosts in ["Host: x\r\nHost: x", "Host: x\r\nA: b\r\nhOST: y", "Host: x\r\nHost:"] {
            rows.push(bad(format!("S16 {version} {hosts:?}"), format!("GET / HTTP/{version}\r\n{hosts}\r\n\r\n")));
        }
        for host in [
            "", " ", "a b", "a;b c", "a/b", "a@b", "http://a", "a:b", "a:80:80", "a:-1", "a:65536", "a:999999", ":80",
            "[::1", "::1", "[::1]x", "[::1]:x", "[g::1]", "[]", "[::1]]", "a?", "a#", "a\\b", "a\"", "a<", "%", "%2",
            "%zz", "\u{e9}", "a\tb",
        ] {
            rows.push(bad(format!("S16 {version} {host:?}"), format!("GET / HTTP/{version}\r\nHost: {host}\r\n\r\n")));
        }
    }
    for host in [
        "x",
        "example.com",
        "EXAMPLE.com:80",
        "x:",
        "x:0080",
        "127.0.0.1",
        "127.0.0.1:65535",
        "[::1]",
        "[::1]:8080",
        "[2001:db8::7]",
        "[::ffff:1.2.3.4]",
        "a_b",
        "a-b.c~d",
        "%41",
        "a!$&'()*+,;=b",
        "xn--bcher-kva.example",
        "1",
        "x.",
    ] {
        for version in ["1.0", "1.1"] {
            let line = if version == "1.0" { "Connection: keep-alive\r\n" } else { "" };
            let input = format!("GET /describe HTTP/{version}\r\n{line}Host: {host}\r\n\r\n");
            let case = Case::new(format!("S16 {version} {host:?}")).sends(input).calls("GET", "/describe");
            let described = if line.is_empty() { "" } else { "Connection=keep-alive\n" };
            let name = if version == "1.0" { "Http10" } else { "Http11" };
            let body = format!("GET Origin {name} host={host}\npath=/describe\n{described}Host={host}\n");
            rows.push(case.gets(Reply::new(200).body(body.replace('\'', "\\'"))));
        }
    }
    let missing = Case::new("S16 none on 1.0").sends("GET /describe HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    let body = "GET Origin Http10 host=-\npath=/describe\nConnection=keep-alive\n";
    rows.push(missing.calls("GET", "/describe").gets(Reply::new(200).body(body)));
    rows
}

/// H1, H2: everything reaches the handler as it was sent, byte for byte.
fn described() -> Vec<Case> {
    let browser = [
        "User-Agent: Mozilla/5.0 (X11; Linux x86_64)",
        "Cookie: a=1",
        "Accept: */*",
        "cookie: b=\"2\"; c=3",
        "X-Empty:",
        "COOKIE:   spaced   ",
    ];
    let expected = "GET Origin Http11 host=x\npath=/describe\nquery=a=1&b=%20&a=2&=&c==&&\nHost=x\n\
                    User-Agent=Mozilla/5.0 (X11; Linux x86_64)\nCookie=a=1\nAccept=*/*\ncookie=b=\\\"2\\\"; c=3\n\
                    X-Empty=\nCOOKIE=spaced\n";
    let target = "/describe?a=1&b=%20&a=2&=&c==&&";
    let mut rows = vec![
        Case::new("H1 H2 H3 a browser's request")
            .sends(head(&format!("GET {target}"), &browser))
            .calls("GET", target)
            .gets(Reply::new(200).body(expected)),
    ];
    for method in
        ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "get", "PROPFIND", "M-SEARCH", "!#$%&'*+-.^_`|~"]
    {
        let case = Case::new(format!("H1 {method}")).sends(head(&format!("{method} /describe"), &[]));
        let body = format!("{method} Origin Http11 host=x\npath=/describe\nHost=x\n");
        rows.push(case.calls(method, "/describe").gets(Reply::new(200).body(body)));
    }
    rows
}
