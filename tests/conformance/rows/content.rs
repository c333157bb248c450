//! Content, read and unread: S11, S12, S26, H4.

use aurora_http_core::error::CloseReason::{BadRequest, ContentUnread, PeerClosedEarly, TooLarge};

use crate::wire::case::{Case, GET, chunked, chunks, content, head, head10, refused};
use crate::wire::reply::{Framing, Reply};

pub(crate) fn rows() -> Vec<Case> {
    [unread(), any_method(), large(), echoes(), continues()].concat()
}

/// A POST with Content-Length: head and content.
fn post(target: &str, fields: &[&str], content: &[u8]) -> Vec<u8> {
    let length = format!("Content-Length: {}", content.len());
    let fields = [fields, &[&length]].concat();
    [&head(&format!("POST {target}"), &fields), content].concat()
}

/// S11: unread content is dropped, or the connection closes; it is never read as a request.
fn unread() -> Vec<Case> {
    let hidden = head("GET /smuggled", &[]);
    let mut rows = Vec::new();
    for length in [1, hidden.len(), 4_096, 65_536] {
        let unread = hidden.iter().copied().cycle().take(length).collect::<Vec<_>>();
        let case = Case::new(format!("S11 {length} bytes are drained"));
        rows.push(case.sends(post("/", &[], &unread)).calls("POST", "/").gets(Reply::ok()).get_root(GET));
        let case = Case::new(format!("S11 {length} bytes are drained, then a pipelined request"));
        let input = [&post("/", &[], &unread), GET].concat();
        rows.push(case.sends(input).calls("POST", "/").calls("GET", "/").gets(Reply::ok()).gets(Reply::ok()));
    }
    let too_long = hidden.iter().copied().cycle().take(65_537).collect::<Vec<_>>();
    let case = Case::new("S11 65537 bytes are not worth it").sends(post("/", &[], &too_long));
    rows.push(case.calls("POST", "/").gets(Reply::ok()).closes(ContentUnread));
    let case = Case::new("S11 nor is a length that never comes")
        .sends(head("POST /", &["Content-Length: 18446744073709551615"]));
    rows.push(case.calls("POST", "/").gets(Reply::ok()).closes(ContentUnread));
    for body in ["5\r\nhello\r\n0\r\n\r\n", "0\r\n\r\n", "junk", ""] {
        let case = Case::new(format!("S11 {body:?} in chunks is not read")).sends(chunked("/", body));
        rows.push(case.calls("POST", "/").gets(Reply::ok()).closes(ContentUnread));
    }
    // The head was written before it was known that the content would not be read, but announces the close all the same.
    for fields in [
        &["Transfer-Encoding: chunked"][..],
        &["Content-Length: 65537"],
        &["Content-Length: 5", "Expect: 100-continue"],
    ] {
        for target in ["/bytes/5", "/chunks/5"] {
            let case = Case::new(format!("S11 {fields:?}, unread by a streamed {target}"));
            let case = case.sends([head(&format!("POST {target}"), fields), head("GET /smuggled", &[])].concat());
            rows.push(case.calls("POST", target).gets(Reply::new(200).body("abcde")).closes(ContentUnread));
        }
    }
    // Answered in the middle of the content.
    let early = |id: &str, input: Vec<u8>| {
        Case::new(format!("S11 {id}, answered early"))
            .sends(input)
            .calls("POST", "/early")
            .gets(Reply::new(200).body("early"))
    };
    let sized = |length: usize| head("POST /early", &[&format!("Content-Length: {length}")]);
    let long = [&sized(200_000), &content(100)[..], &hidden].concat();
    rows.push(early("a long length", long).closes(ContentUnread));
    let coded = [&chunked("/early", "5\r\nhello\r\n"), &hidden[..]].concat();
    rows.push(early("chunks", coded).closes(ContentUnread));
    rows.push(
        early("what is worth reading", [&sized(1_000), &content(10)[..]].concat()).sends(content(990)).get_root(GET),
    );
    rows.push(early("all of it", [&sized(5), &b"hello"[..], GET].concat()).calls("GET", "/").gets(Reply::ok()));
    // Even if the answer is deferred, the unread content blocks nothing.
    let case = Case::new("S11 streamed while unread").sends(post("/bytes/20000", &[], b"hello"));
    let reply = Reply::new(200).body(content(20_000));
    rows.push(case.calls("POST", "/bytes/20000").gets(reply.framed(Framing::Length)).get_root(GET));
    rows
}

/// S12: read as content, whatever the method.
fn any_method() -> Vec<Case> {
    let mut rows = Vec::new();
    for method in ["GET", "HEAD", "DELETE", "OPTIONS", "PUT", "PATCH", "BREW"] {
        let reply = || {
            if method == "HEAD" {
                Reply::new(200).head_only().field("Content-Length", "5")
            } else {
                Reply::new(200).body("hello")
            }
        };
        let line = format!("{method} /collect");
        let sized = [&head(&line, &["Content-Length: 5"]), &b"hello"[..], GET].concat();
        let coded = [&head(&line, &["Transfer-Encoding: chunked"]), &b"5\r\nhello\r\n0\r\n\r\n"[..], GET].concat();
        for input in [sized, coded] {
            let case = Case::new(format!("S12 {method}")).sends(input).calls_with(method, "/collect", "hello");
            rows.push(case.calls("GET", "/").gets(reply()).gets(Reply::ok()));
        }
    }
    rows
}

/// H4: content of any length, collected and in slices.
fn large() -> Vec<Case> {
    let mut rows = Vec::new();
    for length in [0, 1, 4_000, 4_096, 16_384, 70 * 1024, 200_000] {
        let text = content(length);
        for target in ["/receive", "/collect/count"] {
            for (framing, input) in
                [("length", post(target, &[], &text)), ("chunks", chunked(target, chunks(&text, 3_000)))]
            {
                let case = Case::new(format!("H4 {length} bytes by {framing} to {target}")).sends(input);
                rows.push(case.calls_with("POST", target, &text).gets(Reply::new(200).body(length.to_string())));
            }
        }
    }
    for target in ["/receive", "/collect", "/"] {
        for sent in [0, 1, 9] {
            let input = [&head(&format!("POST {target}"), &["Content-Length: 10"]), &content(sent)[..]].concat();
            let case = Case::new(format!("truncated behind {sent} of 10 bytes to {target}"))
                .sends(input)
                .calls("POST", target);
            let case = if target == "/" { case.gets(Reply::ok()) } else { case };
            rows.push(case.waits(PeerClosedEarly));
        }
    }
    rows
}

/// An echo of any size.
fn echoes() -> Vec<Case> {
    let mut rows = Vec::new();
    for length in [0, 1, 5, 1_000, 5_000, 300_000] {
        let text = content(length);
        let case = Case::new(format!("echo of {length} bytes")).sends(post("/echo", &[], &text));
        rows.push(case.calls_with("POST", "/echo", &text).gets(Reply::new(200).body(&text).framed(Framing::Length)));
        let case = Case::new(format!("echo of {length} bytes in chunks")).sends(chunked("/echo", chunks(&text, 777)));
        rows.push(case.calls_with("POST", "/echo", &text).gets(Reply::new(200).body(&text).framed(Framing::Chunked)));
    }
    rows
}

/// S26.
fn continues() -> Vec<Case> {
    const EXPECT: &str = "Expect: 100-continue";
    let mut rows = Vec::new();
    for target in ["/collect", "/receive"] {
        let reply = || Reply::new(200).body(if target == "/collect" { "hello" } else { "5" });
        for expect in [
            EXPECT,
            "expect: 100-Continue",
            "Expect: 100-continue,",
            "Expect: ,100-continue",
            "Expect: 100-continue, 100-continue",
            "Expect: 100-continue\r\nExpect: 100-continue",
        ] {
            let case = Case::new(format!("S26 {expect} and content is wanted: {target}"));
            let line = format!("POST {target}");
            let case = case.sends(head(&line, &["Content-Length: 5", expect])).gets(Reply::new(100).body(""));
            rows.push(case.sends("hello").calls_with("POST", target, "hello").gets(reply()).get_root(GET));
        }
        let case = Case::new(format!("S26 in chunks: {target}"));
        let line = format!("POST {target}");
        let case = case.sends(head(&line, &["Transfer-Encoding: chunked", EXPECT])).gets(Reply::new(100).body(""));
        rows.push(case.sends("5\r\nhello\r\n0\r\n\r\n").calls_with("POST", target, "hello").gets(reply()));
        let case = Case::new(format!("S26 content is there already: {target}")).may_continue();
        let input = [&head(&line, &["Content-Length: 5", EXPECT]), &b"hello"[..]].concat();
        rows.push(case.sends(input).calls_with("POST", target, "hello").gets(reply()));
        for expect in ["Expect:", "Expect: ,"] {
            let case = Case::new(format!("S26 {expect} expects nothing: {target}"));
            let input = [&head(&line, &["Content-Length: 5", expect]), &b"hello"[..]].concat();
            rows.push(case.sends(input).calls_with("POST", target, "hello").gets(reply()).get_root(GET));
        }
        let case = Case::new(format!("S26 no content to wait for: {target}"));
        let reply = Reply::new(200).body(if target == "/collect" { "" } else { "0" });
        rows.push(case.sends(head(&line, &["Content-Length: 0", EXPECT])).calls_with("POST", target, "").gets(reply));
    }
    let case = Case::new("S26 behind a gathered response")
        .sends([GET, &head("POST /collect", &["Content-Length: 2", EXPECT])].concat());
    let case = case.calls("GET", "/").gets(Reply::ok()).gets(Reply::new(100).body(""));
    rows.push(case.sends("hi").calls_with("POST", "/collect", "hi").gets(Reply::new(200).body("hi")));

    for length in ["Content-Length: 5", "Transfer-Encoding: chunked"] {
        let case =
            Case::new(format!("S26 the handler refuses: {length}")).sends(head("POST /status/403", &[length, EXPECT]));
        rows.push(case.calls("POST", "/status/403").gets(Reply::new(403).body("body")).closes(ContentUnread));
    }
    let refuses = [&head("POST /status/403", &["Content-Length: 5", EXPECT]), &b"hello"[..], GET].concat();
    let case = Case::new("S26 the handler refuses what is there").sends(refuses).calls("POST", "/status/403");
    rows.push(case.gets(Reply::new(403).body("body")).closes(ContentUnread));
    let case = Case::new("S26 too large to collect").sends(head("POST /collect", &["Content-Length: 262145", EXPECT]));
    rows.push(case.calls("POST", "/collect").gets(Reply::new(413)).closes(TooLarge));
    let case = Case::new("S26 too large to receive").sends(head("POST /receive", &["Content-Length: 1048577", EXPECT]));
    rows.push(case.calls("POST", "/receive").gets(Reply::new(413)).closes(TooLarge));

    for expect in ["Expect: 200-ok", "Expect: 100-continue, x", "Expect: 100-continue;q=1", "Expect: x", "Expect: 100"]
    {
        for length in ["Content-Length: 5", "X: no content"] {
            rows.push(refused(
                format!("S26 {expect}, {length}"),
                head("POST /collect", &[expect, length]),
                417,
                BadRequest,
            ));
        }
    }
    for expect in [EXPECT, "Expect: 200-ok"] {
        let input = head10("POST /collect", &["Content-Length: 5", "Connection: keep-alive", expect]);
        let case = Case::new(format!("S26 HTTP/1.0 has no {expect}")).sends(input).sends("hello");
        rows.push(case.calls_with("POST", "/collect", "hello").gets(Reply::new(200).body("hello")));
    }
    rows
}
