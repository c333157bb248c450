//! The chunked coding: S5 to S8, S18.

use aurora_http_core::error::CloseReason::{self, BadRequest, PeerClosedEarly};

use crate::wire::case::{Case, chunked, chunks, content, head};
use crate::wire::reply::Reply;

pub(crate) fn rows() -> Vec<Case> {
    [good(), sizes(), extensions(), line_ends(), trailers(), unfinished()].concat()
}

/// The head is valid, so the handler is called; the content is not, so the handler never gets all of it.
fn broken(id: String, body: impl AsRef<[u8]>, status: u16, reason: CloseReason) -> Case {
    let case = Case::new(id).sends([&chunked("/receive", body), &head("GET /smuggled", &[])[..]].concat());
    case.calls("POST", "/receive").gets(Reply::new(status)).closes(reason)
}

fn whole(id: impl Into<String>, body: impl AsRef<[u8]>, expected: &[u8]) -> Case {
    let case = Case::new(id).sends(chunked("/collect", body));
    case.calls_with("POST", "/collect", expected).gets(Reply::new(200).body(expected))
}

fn good() -> Vec<Case> {
    let mut rows = vec![
        whole("chunks", "5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n", b"hello world"),
        whole("no content", "0\r\n\r\n", b""),
        whole("a last chunk of many zeros", "1\r\nx\r\n0000000000000000\r\n\r\n", b"x"),
        whole(
            "leading zeros, both cases",
            "0000000000000001\r\nx\r\n00A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n",
            b"x01234567890123456789",
        ),
        whole("content like a last chunk", "7\r\n0\r\n\r\nGE\r\n0\r\n\r\n", b"0\r\n\r\nGE"),
    ];
    for size in [1, 7, 1_000, 4_096, 20_000] {
        let text = content(20_000);
        let case = Case::new(format!("chunks of {size}")).sends(chunked("/receive", chunks(&text, size)));
        rows.push(case.calls_with("POST", "/receive", &text).gets(Reply::new(200).body("20000")));
    }
    rows
}

/// S5 and S6.
fn sizes() -> Vec<Case> {
    let mut rows = Vec::new();
    for size in [
        "10000000000000000",
        "00000000000000005",
        "fffffffffffffffff",
        "-1",
        "+5",
        "0x5",
        "5_0",
        "5g",
        "g",
        "5.",
        "5,5",
        "5 5",
        "\u{665}",
    ] {
        rows.push(broken(format!("S5 {size:?}"), format!("{size}\r\nhello\r\n0\r\n\r\n"), 400, BadRequest));
    }
    // Sizes that fit in 64 bits are valid, but exceed the limit.
    for size in
        ["ffffffffffffffff", "fffffffffffffffe", "8000000000000000", "7fffffffffffffff", "100000000", "ffffffff"]
    {
        let case = Case::new(format!("S5 {size} is a number")).sends(chunked("/receive", format!("{size}\r\nhello")));
        rows.push(case.calls("POST", "/receive").waits(PeerClosedEarly));
    }
    for size in ["", ";x", " ", "\t", " 5", "\t5", "5 ", "5\t", "5  \t ", "0 ", "0\t"] {
        rows.push(broken(format!("S6 {size:?}"), format!("{size}\r\nhello\r\n0\r\n\r\n"), 400, BadRequest));
    }
    for size in ["5 ;a", "5\t;a", "5 \t ; a", "5;a =b", "5;a= b", "5; a \t=\t b", "5 ; a = \"b\" ; c"] {
        let body = format!("{size}\r\nhello\r\n0\r\n\r\n");
        rows.push(whole(format!("S6 {size:?} has white space by the grammar"), body, b"hello"));
    }
    rows
}

/// S7.
fn extensions() -> Vec<Case> {
    let mut rows = Vec::new();
    let good = [
        ";a",
        ";a=b",
        ";a=\"b;c\"",
        ";a;b;c",
        ";a=b;c=d",
        ";a=\"\"",
        ";a=\"\\\"\"",
        ";a=\"\\\\\";b",
        ";a=\"\t \u{e9}\"",
        ";!#$%&'*+-.^_`|~=1",
    ];
    for extension in good {
        let body = format!("5{extension}\r\nhello\r\n0{extension}\r\n\r\n");
        rows.push(whole(format!("S7 {extension:?} is skipped"), body, b"hello"));
    }
    let malformed = [
        ";",
        ";;a",
        ";a;",
        ";a=",
        ";=b",
        ";a==b",
        ";a=b=c",
        ";a=\"b",
        ";a=\"b\\\"",
        ";a=b\"c\"",
        ";a=\"b\"c",
        ";a b",
        ";a=b c",
        ";a ",
        ";a=b ",
        ";a=\"b\" ",
        "; ",
        ";a,b",
        ";a=\u{7f}",
        ";a=\"\u{1}\"",
        ";\u{e9}",
        ";a=\u{e9}",
        ";a=\"\\\u{7f}\"",
    ];
    for extension in malformed {
        for size in ["5", "0"] {
            let body = format!("{size}{extension}\r\nhello\r\n0\r\n\r\n");
            rows.push(broken(format!("S7 {size}{extension:?}"), body, 400, BadRequest));
        }
    }
    rows
}

/// S8.
fn line_ends() -> Vec<Case> {
    let malformed = [
        "5\nhello\r\n0\r\n\r\n",
        "5\rhello\r\n0\r\n\r\n",
        "5\r\rhello\r\n0\r\n\r\n",
        "5;a\nhello\r\n0\r\n\r\n",
        "5;a\rhello\r\n0\r\n\r\n",
        "5;a=\"\n\"\r\nhello\r\n0\r\n\r\n",
        "5;a=\"\r\n\"\r\nhello\r\n0\r\n\r\n",
        "5;a=b\nhello\r\n0\r\n\r\n",
        "5\r\nhello\n0\r\n\r\n",
        "5\r\nhello\r0\r\n\r\n",
        "5\r\nhello0\r\n\r\n",
        "5\r\nhelloX\r\n0\r\n\r\n",
        "5\r\nhelloXX0\r\n\r\n",
        "5\r\nhello\r\n\r\n0\r\n\r\n",
        "5\r\nhello\r\r\n0\r\n\r\n",
        "0\n\r\n",
        "0\r\n\n",
        "0\r\n\rX",
        "0\r\r\n\r\n",
    ];
    malformed.into_iter().map(|body| broken(format!("S8 {body:?}"), body, 400, BadRequest)).collect()
}

/// S18: trailers are parsed by the rules for field lines and never become fields.
fn trailers() -> Vec<Case> {
    let mut rows = Vec::new();
    for trailer in [
        "X: y",
        "Content-Length: 100",
        "Transfer-Encoding: chunked",
        "Host: evil",
        "Authorization: Basic eA==",
        "Connection: close",
        "Content-Type: text/html\r\nCookie: a=b",
        "Expect: 200-ok",
    ] {
        let body = format!("2\r\nhi\r\n0\r\n{trailer}\r\n\r\n");
        let case = Case::new(format!("S18 {trailer:?} is no field")).sends(chunked("/collect/describe", body));
        let described = "POST Origin Http11 host=x\npath=/collect/describe\nHost=x\nTransfer-Encoding=chunked\nhi";
        rows.push(case.calls_with("POST", "/collect/describe", "hi").gets(Reply::new(200).body(described)));
    }
    for trailer in ["X : y", " X: y", "X", ": y", "X: y\n", "X: \0", "X: y\r\n z", "X: a\rb", "X(: y", "\u{e9}: y"] {
        let body = format!("2\r\nhi\r\n0\r\n{trailer}\r\n\r\n");
        rows.push(broken(format!("S18 {trailer:?}"), body, 400, BadRequest));
    }
    rows
}

/// The end of the connection does not end the content.
fn unfinished() -> Vec<Case> {
    let bodies = [
        "",
        "5",
        "5\r",
        "5\r\n",
        "5\r\nhel",
        "5\r\nhello",
        "5\r\nhello\r",
        "5\r\nhello\r\n",
        "0",
        "0\r\n",
        "0\r\n\r",
        "0\r\nX: y\r\n",
    ];
    let mut rows = Vec::new();
    for body in bodies {
        for target in ["/receive", "/collect"] {
            let case = Case::new(format!("truncated behind {body:?} {target}")).sends(chunked(target, body));
            rows.push(case.calls("POST", target).waits(PeerClosedEarly));
        }
    }
    rows
}
