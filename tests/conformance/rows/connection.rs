//! Persistence and pipelining: S14, S15, S29, S30.

use aurora_http_core::error::CloseReason::{
    BadRequest, CloseDelimited, PeerAsked, PeerClosed, PeerClosedEarly, RequestLimit,
};

use crate::wire::case::{Case, GET, content, head, head10};
use crate::wire::reply::{Framing, Reply};

pub(crate) fn rows() -> Vec<Case> {
    [good_behind_bad(), pipelines(), close_asked(), old_version(), half_closed(), request_limit()].concat()
}

/// S14: one answer and nothing else; requests before the bad one are served.
fn good_behind_bad() -> Vec<Case> {
    let mut rows = Vec::new();
    for bad in [
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\nA : b\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        "\r\n\r\n",
    ] {
        for before in [0, 1, 3] {
            let input = [&GET.repeat(before), bad.as_bytes(), GET, GET].concat();
            let mut case = Case::new(format!("S14 {before} good ones, {bad:?}, good ones")).sends(input);
            for _ in 0..before {
                case = case.calls("GET", "/").gets(Reply::ok());
            }
            rows.push(case.gets(Reply::new(400)).closes(BadRequest));
        }
    }
    rows
}

/// Responses come in the order of their requests, however long each of them takes.
fn pipelines() -> Vec<Case> {
    let mut rows = vec![Case::new("two requests, one after the other").get_root(GET).get_root(GET)];
    let mut case = Case::new("sixteen in one segment").sends(GET.repeat(16));
    for _ in 0..16 {
        case = case.calls("GET", "/").gets(Reply::ok());
    }
    rows.push(case);
    let mixed = [
        &head("POST /collect", &["Content-Length: 3"]),
        &b"one"[..],
        &head("GET /bytes/9000", &[]),
        &head("HEAD /", &[]),
        &head("POST /echo", &["Transfer-Encoding: chunked"]),
        b"3\r\ntwo\r\n0\r\n\r\n",
        &head("GET /chunks/10", &[]),
        &head("GET /static/4000", &[]),
        &head("POST /", &["Content-Length: 5"]),
        b"drain",
        &head("GET /status/304", &[]),
        &head("GET /large/30000", &[]),
        GET,
    ]
    .concat();
    let case = Case::new("requests of every kind in one segment")
        .sends(mixed)
        .calls_with("POST", "/collect", "one")
        .calls("GET", "/bytes/9000")
        .calls("HEAD", "/")
        .calls_with("POST", "/echo", "two")
        .calls("GET", "/chunks/10")
        .calls("GET", "/static/4000")
        .calls("POST", "/")
        .calls("GET", "/status/304")
        .calls("GET", "/large/30000")
        .calls("GET", "/");
    let replies = [
        Reply::new(200).body("one"),
        Reply::new(200).body(content(9_000)).framed(Framing::Length),
        Reply::ok().head_only().field("Content-Length", "2"),
        Reply::new(200).body("two").framed(Framing::Chunked),
        Reply::new(200).body(content(10)).framed(Framing::Chunked),
        Reply::new(200).body(&crate::wire::probe::STATIC[..4_000]),
        Reply::ok(),
        Reply::new(304).body(""),
        Reply::new(200).body(content(30_000)),
        Reply::ok(),
    ];
    rows.push(replies.into_iter().fold(case, Case::gets));
    rows
}

/// S15: the options are a case-insensitive list over all Connection fields.
fn close_asked() -> Vec<Case> {
    let mut rows = Vec::new();
    for fields in [
        &["Connection: close"][..],
        &["connection: CLOSE"],
        &["Connection: keep-alive, close"],
        &["Connection: close,keep-alive"],
        &["Connection: x ,\tClose , y"],
        &["Connection: ,,close,,"],
        &["Connection: keep-alive", "Connection: close"],
        &["Connection: close", "Connection: keep-alive"],
        &["Connection: x", "A: b", "CONNECTION: y, close"],
    ] {
        let case = Case::new(format!("S15 {fields:?}")).sends(head("GET /", fields)).calls("GET", "/");
        rows.push(case.gets(Reply::ok()).closes(PeerAsked));
        let case = Case::new(format!("S15 {fields:?} and a pipelined request"));
        let case = case.sends([&head("GET /", fields), &head("GET /smuggled", &[])[..]].concat()).calls("GET", "/");
        rows.push(case.gets(Reply::ok()).closes(PeerAsked));
    }
    for fields in [
        &["Connection: keep-alive"][..],
        &["Connection: closed"],
        &["Connection: clos"],
        &["Connection: \"close\""],
        &["Connection: x-close"],
        &["Connection: close x"],
        &["Connection:"],
        &["Proxy-Connection: close"],
        &["Keep-Alive: close"],
    ] {
        rows.push(Case::new(format!("S15 {fields:?} does not close")).get_root(head("GET /", fields)).get_root(GET));
    }
    let large = [&head("POST /collect", &["Content-Length: 5", "Connection: close"]), &b"hello"[..], GET].concat();
    let case = Case::new("S15 content, then a pipelined request").sends(large).calls_with("POST", "/collect", "hello");
    rows.push(case.gets(Reply::new(200).body("hello")).closes(PeerAsked));
    let case =
        Case::new("S15 a streamed response").sends([&head("GET /chunks/20000", &["Connection: close"]), GET].concat());
    let case = case.calls("GET", "/chunks/20000");
    rows.push(case.gets(Reply::new(200).body(content(20_000)).framed(Framing::Chunked)).closes(PeerAsked));
    rows
}

/// S29.
fn old_version() -> Vec<Case> {
    const KEEP: &str = "Connection: keep-alive";
    let kept = |reply: Reply| reply.field("Connection", "keep-alive");
    let mut rows = vec![
        Case::new("S29 closes unless asked")
            .sends(head10("GET /", &[]))
            .calls("GET", "/")
            .gets(Reply::ok())
            .closes(PeerAsked),
        Case::new("S29 and what is pipelined is not served")
            .sends([head10("GET /", &[]), head10("GET /smuggled", &[KEEP])].concat())
            .calls("GET", "/")
            .gets(Reply::ok())
            .closes(PeerAsked),
        Case::new("S29 close wins")
            .sends(head10("GET /", &["Connection: keep-alive, close"]))
            .calls("GET", "/")
            .gets(Reply::ok())
            .closes(PeerAsked),
        Case::new("S29 kept when asked")
            .sends([head10("GET /", &[KEEP]), head10("GET /", &["connection: Keep-Alive"])].concat())
            .calls("GET", "/")
            .calls("GET", "/")
            .gets(kept(Reply::ok()))
            .gets(kept(Reply::ok())),
        Case::new("S29 a known length keeps the connection")
            .sends(head10("GET /bytes/5", &[KEEP]))
            .calls("GET", "/bytes/5")
            .gets(kept(Reply::new(200).body("abcde").framed(Framing::Length))),
        Case::new("S29 an unknown length ends with the connection")
            .sends(head10("GET /chunks/5", &[KEEP]))
            .calls("GET", "/chunks/5")
            .gets(Reply::new(200).body("abcde").framed(Framing::Close).without("Transfer-Encoding"))
            .closes(CloseDelimited),
        Case::new("S29 an unknown length on a connection that closes anyway")
            .sends(head10("GET /chunks/5", &[]))
            .calls("GET", "/chunks/5")
            .gets(Reply::new(200).body("abcde").framed(Framing::Close).without("Transfer-Encoding"))
            .closes(PeerAsked),
        Case::new("S29 HEAD of an unknown length keeps it")
            .sends(head10("HEAD /chunks/5", &[KEEP]))
            .calls("HEAD", "/chunks/5")
            .gets(kept(Reply::new(200).head_only().without("Transfer-Encoding"))),
        Case::new("S29 content by its length")
            .sends([&head10("POST /collect", &["Content-Length: 5", KEEP]), &b"hello"[..]].concat())
            .calls_with("POST", "/collect", "hello")
            .gets(kept(Reply::new(200).body("hello"))),
        Case::new("S29 then 1.1 on the same connection")
            .sends([&head10("GET /", &[KEEP]), GET].concat())
            .calls("GET", "/")
            .calls("GET", "/")
            .gets(kept(Reply::ok()))
            .gets(Reply::ok().without("Connection")),
    ];
    let case =
        Case::new("S29 Upgrade is ignored").sends(head10("GET /", &["Upgrade: x", "Connection: upgrade, keep-alive"]));
    rows.push(case.calls("GET", "/").gets(kept(Reply::ok())));
    rows
}

/// S30, and FIN elsewhere.
fn half_closed() -> Vec<Case> {
    vec![
        Case::new("S30 behind a request").sends(GET).fin().calls("GET", "/").gets(Reply::ok()).closes(PeerClosed),
        Case::new("S30 behind pipelined requests")
            .sends(GET.repeat(3))
            .fin()
            .calls("GET", "/")
            .calls("GET", "/")
            .calls("GET", "/")
            .gets(Reply::ok())
            .gets(Reply::ok())
            .gets(Reply::ok())
            .closes(PeerClosed),
        Case::new("S30 while a response is streamed")
            .sends(head("GET /bytes/20000", &[]))
            .fin()
            .calls("GET", "/bytes/20000")
            .gets(Reply::new(200).body(content(20_000)))
            .closes(PeerClosed),
        Case::new("S30 behind content")
            .sends([&head("POST /echo", &["Content-Length: 5"]), &b"hello"[..]].concat())
            .fin()
            .calls_with("POST", "/echo", "hello")
            .gets(Reply::new(200).body("hello"))
            .closes(PeerClosed),
        Case::new("FIN before anything").fin().closes(PeerClosed),
        Case::new("FIN behind an empty line").sends("\r\n").waits(PeerClosed),
        Case::new("FIN in a head").sends(&GET[..GET.len() - 2]).waits(PeerClosedEarly),
        Case::new("FIN in the head behind a served request").get_root(GET).sends("GET /").waits(PeerClosedEarly),
        Case::new("FIN in the head behind a pipelined request").get_root([GET, b"G"].concat()).waits(PeerClosedEarly),
    ]
}

/// The response to the last allowed request announces the close.
fn request_limit() -> Vec<Case> {
    let mut rows = Vec::new();
    for (max, sent) in [(100, 101), (100, 150), (1, 2)] {
        let mut case = Case::new(format!("{sent} requests where {max} are allowed"))
            .limits(|limits| limits.requests_per_connection_max = Some(max));
        case = case.sends(GET.repeat(sent));
        for _ in 0..max {
            case = case.calls("GET", "/").gets(Reply::ok());
        }
        rows.push(case.closes(RequestLimit));
    }
    let mut case = Case::new("250 requests without a limit")
        .limits(|limits| limits.requests_per_connection_max = None)
        .sends(GET.repeat(250));
    for _ in 0..250 {
        case = case.calls("GET", "/").gets(Reply::ok());
    }
    rows.push(case);
    let one_after_the_other = Case::new("a thousand requests, one after the other");
    rows.push((0..1_000).fold(one_after_the_other, |case, _| case.get_root(GET)).closes(RequestLimit));
    rows
}
