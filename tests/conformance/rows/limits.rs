//! Every limit, at it and one past it.

use aurora_http_core::error::CloseReason::{BadRequest, TooLarge};
use aurora_http_core::limits::Limits;

use crate::wire::case::{Case, GET, chunked, chunks, content, head, refused};
use crate::wire::reply::Reply;

pub(crate) fn rows() -> Vec<Case> {
    [heads(), fields(), targets(), collected(), contents(), extensions(), trailers(), small_device()].concat()
}

fn too_large(id: impl Into<String>, input: impl AsRef<[u8]>, status: u16) -> Case {
    refused(id, input, status, TooLarge)
}

/// A head of exactly `length` bytes.
fn head_of(line: &str, length: usize) -> Vec<u8> {
    let bare = head(line, &["A: "]).len();
    let head = head(line, &[&format!("A: {}", "a".repeat(length - bare))]);
    assert_eq!(head.len(), length);
    head
}

fn heads() -> Vec<Case> {
    let mut rows = Vec::new();
    for length in [1_024, 3_686, 4_095, 4_096, 4_097, 16_384, 16_385, 58_983, 65_535, 65_536] {
        rows.push(Case::new(format!("a head of {length} bytes")).get_root(head_of("GET /", length)));
        rows.push(
            Case::new(format!("a head of {length} bytes behind a request"))
                .get_root(GET)
                .get_root(head_of("GET /", length)),
        );
        let case = Case::new(format!("a head of {length} bytes and content"))
            .sends([&head_of("POST /collect", length - 19)[..length - 21], b"Content-Length: 5\r\n\r\nhello"].concat());
        rows.push(case.calls_with("POST", "/collect", "hello").gets(Reply::new(200).body("hello")));
    }
    for length in [65_537, 65_538, 70_000, 100_000] {
        rows.push(too_large(format!("a head of {length} bytes"), head_of("GET /", length), 431));
    }
    rows.push(too_large("64 KiB of a head without an end", &head_of("GET /", 70_000)[..65_536], 431));
    let behind = Case::new("too long a head behind a request").get_root(GET).sends(head_of("GET /", 65_537));
    rows.push(behind.gets(Reply::new(431)).closes(TooLarge));
    let small = |case: Case| {
        case.limits(|limits| {
            limits.head_bytes_max = 1_024;
            limits.target_bytes_max = 256;
        })
    };
    rows.push(small(Case::new("a head of 1024 bytes where that is the limit").get_root(head_of("GET /", 1_024))));
    rows.push(small(too_large("a head of 1025 bytes where 1024 is the limit", head_of("GET /", 1_025), 431)));
    rows
}

fn fields() -> Vec<Case> {
    let with = |count: usize| {
        // Host is one of them.
        let lines: Vec<String> = (1..count).map(|at| format!("X-{at}: {at}")).collect();
        head("GET /", &lines.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let mut rows = Vec::new();
    for count in [1, 15, 16, 17, 63, 64] {
        rows.push(Case::new(format!("{count} fields")).get_root(with(count)));
    }
    for count in [65, 66, 128, 129, 1_000] {
        rows.push(too_large(format!("{count} fields"), with(count), 431));
    }
    for (max, count) in [(16, 16), (128, 128), (1, 1), (65, 65)] {
        let case = Case::new(format!("{count} fields where {max} are allowed")).get_root(with(count));
        rows.push(case.limits(|limits| limits.fields_max = max));
        let case = too_large(format!("{} fields where {max} are allowed", count + 1), with(count + 1), 431);
        rows.push(case.limits(|limits| limits.fields_max = max));
    }
    rows
}

fn targets() -> Vec<Case> {
    let target = |length: usize| format!("/{}", "t".repeat(length - 1));
    let query = |length: usize| format!("/?{}", "q".repeat(length - 2));
    let absolute = |length: usize| format!("http://x/{}", "t".repeat(length - 9));
    let mut rows = Vec::new();
    for make in [target, query, absolute] as [fn(usize) -> String; 3] {
        let fits = make(8_192);
        let case =
            Case::new(format!("a target of 8192 bytes, {}", &fits[..8])).sends(head(&format!("GET {fits}"), &[]));
        rows.push(case.calls("GET", &fits).gets(Reply::ok()));
        for length in [8_193, 10_000, 60_000] {
            let input = head(&format!("GET {}", make(length)), &[]);
            rows.push(too_large(format!("a target of {length} bytes, {}", &fits[..8]), input, 414));
        }
    }
    rows.push(too_large("a target without an end", format!("GET /{}", "t".repeat(8_192)), 414));
    let short = "a target of 257 bytes where 256 are allowed";
    let case = too_large(short, head(&format!("GET {}", target(257)), &[]), 414);
    rows.push(case.limits(|limits| limits.target_bytes_max = 256));
    rows
}

fn collected() -> Vec<Case> {
    let mut rows = Vec::new();
    let fits = content(256 * 1024);
    let over = content(256 * 1024 + 1);
    let sized = |content: &[u8]| {
        [&head("POST /collect/count", &[&format!("Content-Length: {}", content.len())]), content].concat()
    };
    let coded = |content: &[u8]| chunked("/collect/count", chunks(content, 10_000));
    for (framing, input) in [("length", sized(&fits)), ("chunks", coded(&fits))] {
        let case = Case::new(format!("256 KiB collected by {framing}")).sends(input);
        rows.push(case.calls_with("POST", "/collect/count", &fits).gets(Reply::new(200).body("262144")));
    }
    for (framing, input) in [("length", sized(&over)), ("chunks", coded(&over))] {
        let case = Case::new(format!("256 KiB and a byte to collect by {framing}"));
        // Content beyond the linger limit need not be received: the client has the answer before that.
        let input = if framing == "length" { &input[..40_000] } else { &input };
        rows.push(case.sends(input).calls("POST", "/collect/count").gets(Reply::new(413)).closes(TooLarge));
    }
    rows
}

fn contents() -> Vec<Case> {
    let mut rows = Vec::new();
    let mib = 1024 * 1024;
    for (target, max) in [("/receive", mib), ("/limit/5000", 5_000), ("/limit/2000000", 2_000_000), ("/limit/0", 0)] {
        let fits = content(max);
        let over = content(max + 1);
        let sized = |content: &[u8]| {
            [&head(&format!("POST {target}"), &[&format!("Content-Length: {}", content.len())]), content].concat()
        };
        let reply = || Reply::new(200).body(max.to_string());
        let case = Case::new(format!("{max} bytes to {target}")).sends(sized(&fits));
        rows.push(case.calls_with("POST", target, &fits).gets(reply()));
        let case = Case::new(format!("{max} bytes in chunks to {target}")).sends(chunked(target, chunks(&fits, 9_999)));
        rows.push(case.calls_with("POST", target, &fits).gets(reply()));
        let input = sized(&over);
        let input = &input[..input.len().min(40_000)];
        let case = Case::new(format!("{max} bytes and one to {target}")).sends(input);
        rows.push(case.calls("POST", target).gets(Reply::new(413)).closes(TooLarge));
        let case = Case::new(format!("{max} bytes and one in chunks to {target}"))
            .sends(chunked(target, chunks(&over, 9_999)));
        rows.push(case.calls("POST", target).gets(Reply::new(413)).closes(TooLarge));
    }
    let case = Case::new("413 by the head alone").sends(head("POST /receive", &["Content-Length: 1048577"]));
    rows.push(case.calls("POST", "/receive").gets(Reply::new(413)).closes(TooLarge));
    rows
}

/// The limit applies to a message, over all its chunks.
fn extensions() -> Vec<Case> {
    let mut rows = Vec::new();
    let body = |lengths: &[usize]| {
        let mut body = String::new();
        for length in lengths {
            body += &format!("1;{}\r\nx\r\n", "e".repeat(length - 1));
        }
        body + "0\r\n\r\n"
    };
    for lengths in [&[4_096][..], &[4_000, 96], &[2; 2_048]] {
        let text = "x".repeat(lengths.len());
        let case = Case::new(format!("4096 bytes of extensions in {} chunks", lengths.len()))
            .sends(chunked("/receive", body(lengths)));
        rows.push(case.calls_with("POST", "/receive", text).gets(Reply::new(200).body(lengths.len().to_string())));
    }
    let over_by_one = [vec![2; 2_047], vec![3]].concat();
    for lengths in [&[4_097][..], &[4_096, 2], &[60_000], &over_by_one] {
        let case = Case::new(format!("more than 4096 bytes of extensions in {} chunks", lengths.len()))
            .sends(chunked("/receive", body(lengths)));
        rows.push(case.calls("POST", "/receive").gets(Reply::new(400)).closes(BadRequest));
    }
    let blanks = |count: usize| format!("1{};a\r\nx\r\n0\r\n\r\n", " ".repeat(count - 2));
    let case = Case::new("4096 bytes of white space and an extension").sends(chunked("/receive", blanks(4_096)));
    rows.push(case.calls_with("POST", "/receive", "x").gets(Reply::new(200).body("1")));
    let case = Case::new("4097 bytes of white space and an extension").sends(chunked("/receive", blanks(4_097)));
    rows.push(case.calls("POST", "/receive").gets(Reply::new(400)).closes(BadRequest));
    // The count starts again with the next message.
    let twice = [chunked("/receive", body(&[4_096])), chunked("/receive", body(&[4_096]))].concat();
    let case = Case::new("4096 bytes of extensions twice").sends(twice);
    let case = case.calls_with("POST", "/receive", "x").calls_with("POST", "/receive", "x");
    rows.push(case.gets(Reply::new(200).body("1")).gets(Reply::new(200).body("1")));
    rows
}

fn trailers() -> Vec<Case> {
    let body = |lengths: &[usize]| {
        let mut body = "1\r\nx\r\n0\r\n".to_owned();
        for length in lengths {
            body += &format!("T: {}\r\n", "t".repeat(length - 5));
        }
        body + "\r\n"
    };
    let mut rows = Vec::new();
    for lengths in [&[8_192][..], &[8_000, 192], &[8; 1_024]] {
        let case = Case::new(format!("8192 bytes of trailers in {} lines", lengths.len()))
            .sends(chunked("/receive", body(lengths)));
        rows.push(case.calls_with("POST", "/receive", "x").gets(Reply::new(200).body("1")));
    }
    let over_by_one = [vec![8; 1_023], vec![9]].concat();
    for lengths in [&[8_193][..], &[8_192, 5], &[60_000], &over_by_one] {
        let case = Case::new(format!("more than 8192 bytes of trailers in {} lines", lengths.len()))
            .sends(chunked("/receive", body(lengths)));
        rows.push(case.calls("POST", "/receive").gets(Reply::new(431)).closes(TooLarge));
    }
    rows
}

/// All limits again, with the values for a small device.
fn small_device() -> Vec<Case> {
    let mut rows = Vec::new();
    let mut pair = |what: &str, fits: Case, refused: Case| {
        for (case, place) in [(fits, "at"), (refused, "past")] {
            let case = Case { id: format!("small device, {place} {what}"), ..case };
            rows.push(case.limits(|limits| *limits = Limits::small_device()));
        }
    };
    let case = || Case::new("");
    let post = |target: &str, body: &[u8]| {
        [&head(&format!("POST {target}"), &[&format!("Content-Length: {}", body.len())]), body].concat()
    };
    let whole = |target: &str, input: Vec<u8>, content: &[u8], reply: usize| {
        case().sends(input).calls_with("POST", target, content).gets(Reply::new(200).body(reply.to_string()))
    };
    let broken = |target: &str, input: Vec<u8>, status: u16| {
        let reason = if status == 400 { BadRequest } else { TooLarge };
        case().sends(input).calls("POST", target).gets(Reply::new(status)).closes(reason)
    };
    pair("1 KiB of head", case().get_root(head_of("GET /", 1_024)), too_large("", head_of("GET /", 1_025), 431));
    let with = |count: usize| head("GET /", &vec!["X: y"; count - 1]);
    pair("16 fields", case().get_root(with(16)), too_large("", with(17), 431));
    let line = |length: usize| head(&format!("GET /{}", "t".repeat(length - 1)), &[]);
    let target = format!("/{}", "t".repeat(255));
    pair(
        "256 bytes of target",
        case().sends(line(256)).calls("GET", target).gets(Reply::ok()),
        too_large("", line(257), 414),
    );
    let count = "/collect/count";
    let (fits, over) = (content(1_024), content(1_025));
    pair("1 KiB collected", whole(count, post(count, &fits), &fits, 1_024), broken(count, post(count, &over), 413));
    let coded = |content: &[u8]| chunked(count, chunks(content, 100));
    pair("1 KiB collected in chunks", whole(count, coded(&fits), &fits, 1_024), broken(count, coded(&over), 413));
    let (fits, over) = (content(64 * 1_024), content(64 * 1_024 + 1));
    let sliced = |content: &[u8]| chunked("/receive", chunks(content, 1_000));
    // Content that is refused by its head is not sent completely: more than the linger limit would not be received.
    let refused_early = post("/receive", &over)[..2_000].to_vec();
    pair("64 KiB", whole("/receive", post("/receive", &fits), &fits, 65_536), broken("/receive", refused_early, 413));
    pair("64 KiB in chunks", whole("/receive", sliced(&fits), &fits, 65_536), broken("/receive", sliced(&over), 413));
    let extended = |length: usize| chunked("/receive", format!("1;{}\r\nx\r\n0\r\n\r\n", "e".repeat(length - 1)));
    pair("64 bytes of extensions", whole("/receive", extended(64), b"x", 1), broken("/receive", extended(65), 400));
    let trailed = |length: usize| chunked("/receive", format!("1\r\nx\r\n0\r\nT: {}\r\n\r\n", "t".repeat(length - 5)));
    pair("256 bytes of trailers", whole("/receive", trailed(256), b"x", 1), broken("/receive", trailed(257), 431));
    rows
}
