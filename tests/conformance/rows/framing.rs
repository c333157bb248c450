//! How long a message is: S1 to S4.

use aurora_http_core::error::CloseReason::BadRequest;

use crate::wire::case::{Case, bad, head, head10, refused};
use crate::wire::reply::Reply;

pub(crate) fn rows() -> Vec<Case> {
    [both_lengths(), transfer_encodings(), old_version(), content_lengths()].concat()
}

/// The request to be smuggled.
const SMUGGLED: &str = "0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n";

/// S1: both lengths, in any order, on any version.
fn both_lengths() -> Vec<Case> {
    let mut rows = Vec::new();
    for version in ["1.0", "1.1", "1.7"] {
        for fields in [
            "Content-Length: 5\r\nTransfer-Encoding: chunked",
            "Transfer-Encoding: chunked\r\nContent-Length: 5",
            "content-length: 0\r\nTRANSFER-ENCODING: CHUNKED",
            "Content-Length: 5\r\nTransfer-Encoding: identity",
            "Transfer-Encoding: xchunked\r\nX: y\r\nContent-Length: +5",
            "Content-Length: 5\r\nContent-Length: 5\r\nTransfer-Encoding: chunked",
            "Content-Length: 5\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        ] {
            let input = format!("POST / HTTP/{version}\r\nHost: x\r\n{fields}\r\n\r\n{SMUGGLED}");
            rows.push(bad(format!("S1 {version} {fields:?}"), input));
        }
    }
    rows
}

/// S2: exactly one `chunked`.
fn transfer_encodings() -> Vec<Case> {
    let mut rows = Vec::new();
    for value in ["chunked", "Chunked", "CHUNKED", " chunked", "\tchunked \t", "  \t chunked"] {
        let input =
            format!("POST /collect HTTP/1.1\r\nHost: x\r\nTransfer-Encoding:{value}\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
        let case = Case::new(format!("S2 {value:?} is chunked")).sends(input);
        rows.push(case.calls_with("POST", "/collect", "hello").gets(Reply::new(200).body("hello")));
    }
    let malformed = [
        "xchunked",
        "chunkedx",
        "chunked, identity",
        "chunked, chunked",
        "chunked,chunked",
        "gzip, chunked, chunked",
        "chunked;q=1",
        "chunked; q=1",
        "\"chunked\"",
        "",
        " ",
        ",",
        "chunked,",
        ", chunked",
        ",chunked",
        "\u{b}chunked",
        "chunked\u{b}",
        "\u{c}chunked",
        "chunked\0",
        "identity",
        "gzip",
        "chunked, gzip",
        "ch unked",
        "chunked x",
        "chunked\r\n ",
        "\r\n chunked",
        "chunKed\u{17f}",
    ];
    for value in malformed {
        let input = format!("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: {value}\r\n\r\n{SMUGGLED}");
        rows.push(bad(format!("S2 {value:?}"), input));
    }
    for fields in [
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: \r\ntransfer-encoding: chunked",
        "Transfer-Encoding : chunked",
        "Transfer-Encoding\t: chunked",
        " Transfer-Encoding: chunked",
        "X: y\r\n Transfer-Encoding: chunked",
    ] {
        let input = format!("POST / HTTP/1.1\r\nHost: x\r\n{fields}\r\n\r\n{SMUGGLED}");
        rows.push(bad(format!("S2 {fields:?}"), input));
    }
    for value in ["gzip, chunked", "gzip,deflate , chunked", "identity, Chunked", "foo, chunked"] {
        let fields = format!("Transfer-Encoding: {value}");
        rows.push(refused(format!("S2 {value:?} is not implemented"), head("POST /", &[&fields]), 501, BadRequest));
    }
    // Ordinary fields, which do not affect framing.
    for fields in [
        &["Transfer_Encoding: chunked"][..],
        &["Content_Length: 5"],
        &["Transfer_Encoding: chunked", "Content_Length: 5"],
        &["X-Transfer-Encoding: chunked"],
        &["Transfer-Encodin: chunked"],
        &["Content-Lengt: 5", "Content-Lengthh: 5"],
        &["TE: chunked"],
    ] {
        let case = Case::new(format!("S2 {fields:?} frames nothing")).sends(head("POST /collect/describe", fields));
        let described: String = fields.iter().map(|field| field.replace(": ", "=") + "\n").collect();
        let body = format!("POST Origin Http11 host=x\npath=/collect/describe\nHost=x\n{described}");
        rows.push(case.calls_with("POST", "/collect/describe", "").gets(Reply::new(200).body(body)));
    }
    rows
}

/// S3: no Transfer-Encoding on HTTP/1.0.
fn old_version() -> Vec<Case> {
    ["chunked", "gzip, chunked", "identity", ""]
        .into_iter()
        .map(|value| {
            let fields = [format!("Transfer-Encoding: {value}"), "Connection: keep-alive".to_owned()];
            let input = head10("POST /", &[&fields[0], &fields[1]]);
            bad(format!("S3 {value:?}"), [&input, SMUGGLED.as_bytes()].concat())
        })
        .collect()
}

/// S4: digits and nothing else, once.
fn content_lengths() -> Vec<Case> {
    let mut rows = Vec::new();
    let malformed = [
        "+5",
        "-0",
        "-5",
        "0x5",
        "5 5",
        "5,5",
        "5, 5",
        "5;",
        "",
        " ",
        "5\u{b}",
        "\u{c}5",
        "5a",
        "a",
        "5.0",
        "5e0",
        "5_0",
        "\u{665}",
        "18446744073709551616",
        "18446744073709551617",
        "99999999999999999999999999",
        "5\r\n 5",
        "5\0",
        "chunked",
    ];
    for value in malformed {
        let input = format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {value}\r\n\r\nhelloGET /smuggled");
        rows.push(bad(format!("S4 {value:?}"), input));
    }
    for fields in [
        "Content-Length: 5\r\nContent-Length: 5",
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: 5\r\nX: y\r\ncontent-length: 5",
        "Content-Length: 0\r\nContent-Length: 0",
        "Content-Length: \r\nContent-Length: 5",
        "Content-Length : 5",
        "Content-Length 5",
    ] {
        rows.push(bad(format!("S4 {fields:?}"), format!("POST / HTTP/1.1\r\nHost: x\r\n{fields}\r\n\r\nhello")));
        rows.push(bad(format!("S4 1.0 {fields:?}"), format!("POST / HTTP/1.0\r\n{fields}\r\n\r\nhello")));
    }
    for value in ["5", "005", "00000000000000000000000000000000000005", "  5\t", "\t5"] {
        let input = format!("POST /collect HTTP/1.1\r\nHost: x\r\nContent-Length:{value}\r\n\r\nhello");
        let case = Case::new(format!("S4 {value:?} is five")).sends(input);
        rows.push(case.calls_with("POST", "/collect", "hello").gets(Reply::new(200).body("hello")));
    }
    rows
}
