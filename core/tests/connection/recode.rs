//! Responses whose content is replaced by what wraps the handler.

use aurora_http_core::handler::{Progress, handler_fn, producing};
use aurora_http_core::reactor::{FileId, FileRange};
use aurora_http_core::request::Request;
use aurora_http_core::writer::{ResponseWriter, WriteError};

use crate::harness::Bench;

/// The outcome of a GET, or HEAD, that `write` answers, twice in one piece.
fn answers(method: &str, version: &str, write: impl Fn(&mut ResponseWriter<'_>) -> Result<(), WriteError>) -> String {
    let request = format!("{method} / HTTP/{version}\r\nHost: x\r\nConnection: keep-alive\r\n\r\n").repeat(2);
    let mut bench = Bench::new(handler_fn(|_: &Request<'_>, response: &mut ResponseWriter<'_>| write(response)));
    bench.send(request.as_bytes());
    bench.take_output()
}

/// Fields whose fate differs, then a body of one of several kinds.
fn begin(kind: &str, response: &mut ResponseWriter<'_>) -> Result<(), WriteError> {
    static LONG: [u8; 3_000] = [b's'; 3_000];
    response.field("ETag", "\"1\"")?;
    response.field("accept-ranges", "bytes")?;
    response.field("A", "b")?;
    match kind {
        "whole" => response.body("content"),
        "static" => response.static_body(&LONG),
        "length" => response.stream(Some(7)).and_then(|()| response.write(b"cont").map(drop)),
        "chunked" => response.stream(None).and_then(|()| response.write(b"cont").map(drop)),
        _ => response.stream(None),
    }
}

#[test]
fn a_response_that_was_begun_is_seen_as_it_was_written() {
    for (kind, content, length, is_complete) in [
        ("whole", "content".to_owned(), Some(7), true),
        ("static", "s".repeat(3_000), Some(3_000), true),
        ("length", "cont".to_owned(), Some(7), false),
        ("chunked", "cont".to_owned(), None, false),
        ("nothing", String::new(), None, false),
    ] {
        answers("GET", "1.1", |response| {
            assert!(response.begun().is_none(), "{kind}");
            begin(kind, response)?;
            let begun = response.begun().expect("a response");
            assert_eq!((begun.status(), begun.length(), begun.is_complete()), (200, length, is_complete), "{kind}");
            assert_eq!(begun.content(), content.as_bytes(), "{kind}");
            assert!(begun.fields("a").eq([b"b"]) && begun.fields("b").next().is_none());
            response.amend_begun("C", "d")?;
            assert_eq!(response.amend_begun("C", "d\r\nE: f"), Err(WriteError::InvalidValue));
            assert_eq!(response.amend_begun("Content-Length", "1"), Err(WriteError::Reserved));
            let begun = response.begun().expect("a response");
            assert!(begun.fields("C").eq([b"d"]) && begun.content() == content.as_bytes(), "{kind}");
            Ok(())
        });
    }
}

#[test]
fn recoded_content_replaces_what_was_written_of_it() {
    for kind in ["whole", "static", "length", "chunked", "nothing"] {
        let output = answers("GET", "1.1", |response| {
            begin(kind, response)?;
            response.amend_begun("Vary", "x")?;
            response.recode("gzip", Some(3))?;
            assert!(response.begun().is_some_and(|begun| begun.content().is_empty()));
            response.write(b"new").map(drop)
        });
        let head = "HTTP/1.1 200 OK\r\nETag: W/\"1\"\r\nA: b\r\nVary: x\r\nContent-Encoding: gzip\r\n";
        assert_eq!(output, format!("{head}Content-Length: 3\r\n\r\nnew").repeat(2), "{kind}");
        let output = answers("GET", "1.1", |response| {
            begin(kind, response)?;
            response.amend_begun("Vary", "x")?;
            response.recode("gzip", None)?;
            response.write(b"new")?;
            assert_eq!(response.written_content(), b"new");
            response.drop_content();
            assert_eq!(response.written_content(), b"");
            response.write(b"newer").map(drop)
        });
        let chunks = "Transfer-Encoding: chunked\r\n\r\n00005\r\nnewer\r\n0\r\n\r\n";
        assert_eq!(output, format!("{head}{chunks}").repeat(2), "{kind}");
        let output = answers("HEAD", "1.1", |response| {
            begin(kind, response)?;
            response.amend_begun("Vary", "x")?;
            response.recode("gzip", None)?;
            response.write(b"new").map(drop)
        });
        assert_eq!(output, format!("{head}\r\n").repeat(2), "{kind}");
        // The length that was announced in place of the old one is checked like any other.
        let output = answers("GET", "1.1", |response| {
            begin(kind, response)?;
            response.recode("gzip", Some(3))?;
            response.write(b"ne").map(drop)
        });
        assert!(output.starts_with("HTTP/1.1 500 "), "{kind}: {output}");
    }
}

#[test]
fn what_cannot_be_recoded_stays_as_it_is() {
    let output = answers("GET", "1.0", |response| {
        begin("length", response)?;
        assert_eq!(response.recode("gzip", None), Err(WriteError::Order), "there are no chunks");
        response.write(b"ent").map(drop)
    });
    assert!(
        output.ends_with("content") && output.contains("ETag: \"1\"\r\n") && output.contains("accept-ranges"),
        "{output}"
    );
    let output =
        answers("GET", "1.0", |response| begin("whole", response).and_then(|()| response.recode("gzip", Some(0))));
    let head = "HTTP/1.1 200 OK\r\nETag: W/\"1\"\r\nA: b\r\nConnection: keep-alive\r\nContent-Encoding: gzip\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(output, head.repeat(2));
    for status in [204, 304] {
        answers("GET", "1.1", |response| {
            response.status(status)?;
            response.body([])?;
            assert!(response.begun().is_some_and(|begun| begun.is_bare()));
            assert_eq!(response.recode("gzip", None), Err(WriteError::Order));
            Ok(())
        });
    }
    let output = answers("GET", "1.1", |response| {
        begin("length", response)?;
        let file = FileId { index: 0, generation: 0 };
        assert_eq!(response.write_file(FileRange { file, offset: 0, len: 3 }), Ok(3));
        assert_eq!(response.begun().map(|begun| (begun.sends_file(), begun.content())), Some((true, &b"cont"[..])));
        assert_eq!(response.recode("gzip", None), Err(WriteError::Order), "some of it is in a file");
        response.amend_begun("C", "d")
    });
    assert!(output.contains("\r\nContent-Length: 7\r\nC: d\r\n\r\ncont"), "{output}");
    answers("GET", "1.1", |response| {
        assert_eq!(response.recode("gzip", None), Err(WriteError::Order), "nothing has begun");
        begin("whole", response)?;
        assert_eq!(response.recode("g\r\nzip", None), Err(WriteError::InvalidValue));
        assert_eq!(response.begun().map(|begun| begun.content().to_vec()), Some(b"content".to_vec()));
        Ok(())
    });
}

#[test]
fn later_pieces_of_a_recoded_response_are_replaced_as_well() {
    let handler = handler_fn(|_: &Request<'_>, response: &mut ResponseWriter<'_>| {
        response.stream(Some(9))?;
        response.recode("rot13", None)?;
        let mut left = 3;
        Ok::<_, WriteError>(producing(move |response: &mut ResponseWriter<'_>| {
            assert!(response.begun().is_none() || left == 3, "it was begun in another call");
            response.write(b"abc")?;
            let rotated: Vec<u8> = response.written_content().iter().map(|byte| byte + 13).collect();
            response.drop_content();
            response.write(&rotated)?;
            left -= 1;
            Ok::<_, WriteError>(if left == 0 { Progress::Done } else { Progress::More })
        }))
    });
    let mut bench = Bench::new(handler);
    bench.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    let output = bench.take_output();
    assert!(output.ends_with("\r\n\r\n00003\r\nnop\r\n00003\r\nnop\r\n00003\r\nnop\r\n0\r\n\r\n"), "{output}");
}

#[test]
fn a_field_is_added_although_the_content_fills_the_buffer() {
    let output = answers("GET", "1.1", |response| {
        response.stream(Some(1_000_000))?;
        response.make_room(usize::MAX);
        let count = response.write_with(|room| Ok::<_, WriteError>(room.len()))?;
        assert_eq!(response.write(b"x"), Ok(0), "it is full");
        response.amend_begun("A", "b")?;
        assert_eq!(response.begun().map(|begun| begun.content().len()), Some(count));
        response.recode("gzip", Some(0))
    });
    let expected = "HTTP/1.1 200 OK\r\nA: b\r\nContent-Encoding: gzip\r\nContent-Length: 0\r\n\r\n";
    assert!(output.starts_with(expected), "{output}"); // the other one may find no large buffer
}
