//! What a client decodes is what the handler wrote, byte for byte, and what is not to be compressed is not.

use std::io::Read;

use aurora_http::core::handler::Needs;
use aurora_http::core::sim::with_server;
use aurora_http::testing::Client;
use aurora_http::{
    Content, Flow, Handler, Limits, Progress, Request, ResponseWriter, WriteError, handler_fn, producing, receiving,
    whole,
};
use aurora_http_compress::{Budget, Coding, Compress, is_compressible};
use proptest::collection::vec;
use proptest::prelude::*;

/// The content without its coding; all of it must be there, and nothing after it.
fn decode(coding: Option<&str>, content: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::new();
    let mut rest = content;
    match coding {
        None => decoded.extend(content),
        Some("gzip") => {
            flate2::bufread::GzDecoder::new(&mut rest).read_to_end(&mut decoded).expect("gzip");
        }
        Some("br") => {
            let mut decoder = brotli::Decompressor::new(rest, 4096);
            decoder.read_to_end(&mut decoded).expect("brotli");
            rest = &[];
        }
        Some("zstd") => {
            zstd::stream::read::Decoder::with_buffer(&mut rest)
                .unwrap()
                .single_frame()
                .read_to_end(&mut decoded)
                .expect("zstd");
        }
        Some(other) => panic!("{other}"),
    }
    assert!(rest.is_empty() || coding.is_none(), "{} bytes follow", rest.len());
    decoded
}

/// How a handler writes its content.
#[derive(Clone, Copy, Debug)]
enum Manner {
    /// `body`.
    Body,
    /// `whole`: with a length, in several calls.
    Whole,
    /// In pieces of unknown number.
    Chunked,
    /// In pieces, with a length.
    Length,
    /// As content arrives, which is sent back.
    Echo,
}

fn handler(content: Vec<u8>, pieces: Vec<usize>, manner: Manner) -> impl Handler {
    use aurora_http::Either::{Left, Right};
    handler_fn(move |_: &Request<'_>, response: &mut ResponseWriter<'_>| {
        response.field("Content-Type", "text/plain")?;
        response.field("ETag", "\"1\"")?;
        match manner {
            Manner::Body => response.body(&content).map(|()| Left(Left(()))),
            Manner::Whole => Ok(Left(Right(whole(content.clone())))),
            Manner::Chunked | Manner::Length => {
                response.stream(matches!(manner, Manner::Length).then_some(content.len() as u64))?;
                let (content, mut pieces, mut at) = (content.clone(), pieces.clone().into_iter().cycle(), 0);
                Ok::<_, WriteError>(Right(Left(producing(move |response: &mut ResponseWriter<'_>| {
                    let end = (at + pieces.next().unwrap_or(1)).min(content.len());
                    at += response.write(&content[at..end])?;
                    Ok::<_, WriteError>(if at == content.len() { Progress::Done } else { Progress::More })
                }))))
            }
            Manner::Echo => {
                response.stream(None)?;
                Ok(Right(Right(receiving(|content, response: &mut ResponseWriter<'_>| {
                    let count = response.write(content.bytes())?;
                    content.consume(count);
                    Ok::<_, WriteError>(())
                }))))
            }
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 50, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_decoded_is_what_was_written(
        words in vec(prop_oneof![Just("compress ".to_owned()), Just("\0".repeat(300)), "[a-z]{1,9}", ".{1,9}"], 0..2000),
        pieces in vec(1_usize..9000, 1..8),
        manner in prop::sample::select(vec![Manner::Body, Manner::Whole, Manner::Chunked, Manner::Length, Manner::Echo]),
        coding in prop::sample::select(vec!["gzip", "br", "zstd", "identity"]),
    ) {
        let mut content = words.concat().into_bytes();
        if matches!(manner, Manner::Body) {
            content.truncate(60_000);
        }
        let budget = Budget::new(1);
        let mut client = Client::new(Compress::new(handler(content.clone(), pieces, manner)).budget(&budget));
        for _ in 0..2 {
            let sent: &[u8] = if matches!(manner, Manner::Echo) { &content } else { b"" };
            let response = client.send("POST", "/", &[("Accept-Encoding", coding)], sent);
            prop_assert_eq!(response.status(), 200);
            let found = response.field("Content-Encoding");
            prop_assert!(decode(found, response.content()) == content, "{:?} {:?}", manner, found);
            // Beyond the shortest length, the exception is content that does not become shorter.
            let is_known = !matches!(manner, Manner::Chunked | Manner::Echo);
            if coding == "identity" || is_known && content.len() < 1024 {
                prop_assert_eq!(found, None);
            } else if !is_known {
                prop_assert_eq!(found, Some(coding));
            }
            prop_assert_eq!(response.field("ETag"), Some(if found.is_some() { "W/\"1\"" } else { "\"1\"" }));
            prop_assert_eq!(response.field("Vary"), Some("Accept-Encoding"));
            prop_assert_eq!(budget.taken(), 0);
        }
    }
}

static LONG: [u8; 300_000] = [b'l'; 300_000];
static SHORT: [u8; 200_000] = [b's'; 200_000];

/// Answers as its query says, `name=value` for each field.
fn as_asked(request: &Request<'_>, response: &mut ResponseWriter<'_>) -> Result<(), WriteError> {
    let mut scratch = [0; 200];
    let path = request.path_str().to_owned();
    response.status(path[1..].parse().unwrap_or(200))?;
    for (name, value) in request.query().into_iter().flatten() {
        let value = aurora_http::core::request::Query::decode_into(value, &mut scratch).expect("a value");
        response.field(str::from_utf8(name).expect("a name"), value)?;
    }
    match path.as_str() {
        "/long" => response.static_body(&LONG),
        "/static" => response.static_body(&SHORT),
        "/short" => response.body([b's'; 1023]),
        "/noise" => response.body(noise(5000)),
        _ => response.body([b'x'; 1024]),
    }
}

/// Bytes that no encoder makes shorter.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let step = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    std::iter::repeat_with(step).take(length).collect()
}

#[test]
fn only_what_should_be_compressed_is() {
    let mut client = Client::new(Compress::new(handler_fn(as_asked)));
    let text = "?Content-Type=text/plain";
    // Target, fields, coding, whether it varies.
    let rows: &[(&str, &str, Option<&str>, bool)] = &[
        ("/", "gzip", Some("gzip"), true),
        ("/", "gzip, br, zstd", Some("br"), true),
        ("/", "gzip, zstd", Some("zstd"), true),
        ("/", "gzip, br;q=0.9", Some("gzip"), true),
        ("/", "br;q=0, *", Some("zstd"), true),
        ("/", "*;q=0", None, true),
        ("/", "gzip;q=0.5, identity", None, true),
        ("/", "deflate, compress, x-gzip", None, true),
        ("/", "", None, true),
        ("/404", "gzip", Some("gzip"), true),
        ("/static", "gzip", Some("gzip"), true),
        ("/long", "gzip", None, true),
        ("/short", "gzip", None, true),
        ("/noise", "gzip", None, true),
        ("/206", "gzip", None, true),
        ("/204", "gzip", None, false),
        ("/304", "gzip", None, true),
    ];
    for &(path, accepted, coding, varies) in rows {
        for method in ["GET", "HEAD"] {
            let response = client.send(method, &format!("{path}{text}"), &[("Accept-Encoding", accepted)], b"");
            // Only GET shows that it does not become shorter, or that it is too long.
            let coding = if method == "HEAD" && matches!(path, "/noise" | "/long") { Some("gzip") } else { coding };
            assert_eq!(response.field("Content-Encoding"), coding, "{method} {path} {accepted}");
            assert_eq!(response.field("Vary"), varies.then_some("Accept-Encoding"), "{method} {path}");
            let is_head_of_coded = method == "HEAD" && coding.is_some();
            if varies && path != "/304" {
                assert_eq!(
                    response.field("Content-Length").is_none(),
                    is_head_of_coded,
                    "{method} {path} {:?}",
                    response.fields()
                );
            }
            if method == "GET" && varies {
                let decoded = decode(coding, response.content());
                assert_eq!(
                    decoded.len(),
                    match path {
                        "/304" => 0,
                        "/long" => 300_000,
                        "/static" => 200_000,
                        "/short" => 1023,
                        "/noise" => 5000,
                        _ => 1024,
                    }
                );
            }
        }
    }
    // Fields of the response, and whether they are compatible with compression; then what becomes of Vary.
    let rows: &[(&str, bool, Option<&str>)] = &[
        ("Content-Type=text/html;charset=utf-8", true, Some("Accept-Encoding")),
        ("Content-Type=image/png", false, None),
        ("X=y", false, None),
        ("Content-Type=text/plain&Content-Encoding=br", false, None),
        ("Content-Type=text/plain&Cache-Control=max-age=1,%20no-transform", false, None),
        ("Content-Type=text/plain&Cache-Control=max-age=1", true, Some("Accept-Encoding")),
        ("Content-Type=text/plain&Content-Range=bytes%200-9/10", false, Some("Accept-Encoding")),
        ("Content-Type=text/plain&Content-Digest=sha-256=:AA==:", false, None),
        ("Content-Type=text/plain&Repr-Digest=sha-256=:AA==:", false, None),
        ("Content-Type=text/plain&Vary=Origin,%20accept-encoding", true, Some("Origin, accept-encoding")),
        ("Content-Type=text/plain&Vary=*", true, Some("*")),
        ("Content-Type=text/plain&Accept-Ranges=bytes&ETag=W/%221%22&Z=z", true, Some("Accept-Encoding")),
    ];
    for &(fields, is_compressed, vary) in rows {
        let response = client.send("GET", &format!("/?{fields}"), &[("Accept-Encoding", "gzip")], b"");
        assert_eq!(response.field("Content-Encoding") == Some("gzip"), is_compressed, "{fields}");
        assert_eq!(response.field("Vary"), vary, "{fields}");
        assert_eq!(response.field("Accept-Ranges"), None, "{fields}");
        if fields.contains("ETag") {
            assert_eq!((response.field("ETag"), response.field("Z")), (Some("W/\"1\""), Some("z")));
        }
        assert_eq!(response.content().len() < 1024, is_compressed, "{fields}");
    }
}

#[test]
fn media_types_are_matched_without_parameters_and_case() {
    let rows = [
        ("text/html", true),
        ("TEXT/CSS ; charset=utf-8", true),
        ("application/problem+json", true),
        ("image/svg+XML", true),
        ("application/json", true),
        ("application/jsonx", false),
        ("application/octet-stream", false),
        ("image/png", false),
        ("video/mp4", false),
        ("font/woff2", false),
        ("json", false),
        ("", false),
    ];
    for (media_type, expected) in rows {
        assert_eq!(is_compressible(media_type), expected, "{media_type}");
    }
}

#[test]
fn http_1_0_clients_get_whole_responses_compressed_and_streams_as_they_are() {
    let request = b"GET /?Content-Type=text/plain HTTP/1.0\r\nAccept-Encoding: gzip\r\nConnection: keep-alive\r\n\r\n";
    let answer = Client::new(Compress::new(handler_fn(as_asked))).exchange(request);
    let head = String::from_utf8_lossy(&answer).into_owned();
    assert!(
        head.contains("Content-Encoding: gzip\r\n") && head.contains("Content-Length: ") && head.contains("keep-alive"),
        "{head}"
    );
    let stream = handler(vec![b'x'; 50_000], vec![1000], Manner::Length);
    let answer = Client::new(Compress::new(stream)).exchange(request);
    assert!(answer.ends_with(&[b'x'; 50_000]) && !String::from_utf8_lossy(&answer).contains("Content-Encoding"));
}

/// A handler that does not write what it announced is not made to look as if it had.
#[test]
fn a_stream_with_a_wrong_length_is_cut_off() {
    for (announced, written) in [(10_000, 9_999), (10_000, 10_001), (100_000, 50_000)] {
        let handler = handler_fn(move |_: &Request<'_>, response: &mut ResponseWriter<'_>| {
            response.field("Content-Type", "text/plain")?;
            response.stream(Some(announced))?;
            let mut left = written;
            Ok::<_, WriteError>(producing(move |response: &mut ResponseWriter<'_>| {
                left -= response.write(&b"word ".repeat(2_000)[..left.min(500)])?;
                Ok::<_, WriteError>(if left == 0 { Progress::Done } else { Progress::More })
            }))
        });
        let mut client = Client::new(Compress::new(handler));
        let answer = client.exchange(b"GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n");
        assert!(!answer.ends_with(b"0\r\n\r\n"), "{announced} {written}");
        assert!(!answer.starts_with(b"HTTP/1.1 200 ") || answer.len() > 100, "{announced} {written}");
    }
}

#[test]
fn without_a_permit_or_a_coding_the_response_is_sent_as_it_is() {
    let accept = [("Accept-Encoding", "gzip, br")];
    let target = "/?Content-Type=text/plain";
    let mut none = Client::new(Compress::new(handler_fn(as_asked)).encoders_max(0));
    let response = none.send("GET", target, &accept, b"");
    assert_eq!((response.field("Content-Encoding"), response.field("Vary")), (None, Some("Accept-Encoding")));
    let mut gzip = Client::new(Compress::new(handler_fn(as_asked)).codings(&[Coding::Gzip]).bytes_min(2000));
    assert_eq!(gzip.send("GET", target, &accept, b"").field("Content-Encoding"), None);
    let mut gzip =
        Client::new(Compress::new(handler_fn(as_asked)).codings(&[Coding::Gzip]).types(|kind| kind == "a/b"));
    assert_eq!(gzip.send("GET", target, &accept, b"").field("Vary"), None);
    assert_eq!(gzip.send("GET", "/?Content-Type=a/b", &accept, b"").field("Content-Encoding"), Some("gzip"));
}

/// It has to be like the response that the client has, which is compressed if its tag is weak.
#[test]
fn not_modified_is_like_the_response_that_the_client_has() {
    let mut client = Client::new(Compress::new(handler_fn(as_asked)));
    // Status, type, what the client accepts, the tags that it has; then the tag, whether ranges are accepted, and whether it varies.
    let rows = [
        ("/200", "text/plain", "gzip", "", "W/\"1\"", false, true),
        ("/304", "text/plain", "gzip", "W/\"1\"", "W/\"1\"", false, true),
        ("/304", "text/plain", "gzip", "\"0\", W/\"1\"", "W/\"1\"", false, true),
        ("/304", "", "gzip", "W/\"1\"", "W/\"1\"", false, true),
        ("/304", "", "gzip", "\"1\"", "\"1\"", true, true),
        ("/304", "text/plain", "gzip;q=0", "W/\"1\"", "\"1\"", true, true),
        ("/304", "image/png", "gzip", "W/\"1\"", "\"1\"", true, false),
        ("/short", "text/plain", "gzip", "", "\"1\"", true, true),
        ("/304", "text/plain", "gzip", "\"1\"", "\"1\"", true, true),
    ];
    for (path, kind, accepted, tags, tag, ranges, varies) in rows {
        for tag_of_handler in ["%221%22", "W/%221%22"] {
            let kind = if kind.is_empty() { String::new() } else { format!("&Content-Type={kind}") };
            let target = format!("{path}?ETag={tag_of_handler}&Accept-Ranges=bytes{kind}");
            let mut fields = vec![("Accept-Encoding", accepted)];
            if !tags.is_empty() {
                fields.push(("If-None-Match", tags));
            }
            let response = client.send("GET", &target, &fields, b"");
            let tag = if tag_of_handler.starts_with('W') { "W/\"1\"" } else { tag };
            assert_eq!(response.field("ETag"), Some(tag), "{target} {accepted} {tags}");
            assert_eq!(response.field("Accept-Ranges"), ranges.then_some("bytes"), "{target} {accepted} {tags}");
            assert_eq!(response.field("Vary"), varies.then_some("Accept-Encoding"), "{target} {accepted} {tags}");
        }
    }
}

/// How a handler asks for content.
#[derive(Clone, Copy, Debug)]
enum Asks {
    Receive,
    Collect,
}

/// Writes much, and only then asks for content, whose length it writes at the end.
struct WritesFirst {
    beginning: Vec<u8>,
    is_static: bool,
    asks: Asks,
}

impl Handler for WritesFirst {
    type Exchange = usize;

    fn request(&mut self, _: &Request<'_>, response: &mut ResponseWriter<'_>) -> Flow<usize> {
        response.field("Content-Type", "text/plain").unwrap();
        if self.is_static {
            response.stream(Some(SHORT.len() as u64 + 7)).unwrap();
            response.write_static(&SHORT).unwrap();
        } else {
            response.stream(None).unwrap();
            response.make_room(usize::MAX);
            response.write(&self.beginning).unwrap();
        }
        response.limit_content(u64::MAX);
        match self.asks {
            Asks::Receive => Flow::Receive(0),
            Asks::Collect => Flow::Collect(0),
        }
    }

    fn receive(&mut self, before: usize, content: &mut Content<'_>, response: &mut ResponseWriter<'_>) -> Flow<usize> {
        let received = before + content.bytes().len();
        if !content.ended() {
            return Flow::Receive(received);
        }
        response.write(format!("{received:7}").as_bytes()).unwrap();
        Flow::Finish
    }

    fn collected(
        &mut self,
        _: usize,
        _: &Request<'_>,
        content: &[u8],
        response: &mut ResponseWriter<'_>,
    ) -> Flow<usize> {
        response.write(format!("{:7}", content.len()).as_bytes()).unwrap();
        Flow::Finish
    }
}

/// While compressed output waited for the client, the content would be taken for unwanted.
#[test]
fn content_that_is_asked_for_arrives_behind_a_long_beginning() {
    let text = vec![b'a'; 300_000];
    for asks in [Asks::Receive, Asks::Collect] {
        for (beginning, is_static, is_compressed) in [
            (noise(50_000), false, true),
            (noise(300_000), false, false),
            (text.clone(), false, true),
            (text.clone(), true, false),
        ] {
            let content = vec![b'x'; if matches!(asks, Asks::Collect) { 30_000 } else { 3 << 20 }];
            let expected = if is_static { &SHORT[..50_000] } else { &beginning[..50_000] };
            let handler = WritesFirst { beginning: beginning.clone(), is_static, asks };
            let mut client = Client::new(Compress::new(handler));
            let response = client.send("POST", "/", &[("Accept-Encoding", "gzip")], &content);
            let coding = response.field("Content-Encoding");
            let row = format!("{asks:?} {is_static} {is_compressed}");
            assert_eq!(coding, is_compressed.then_some("gzip"), "{row}");
            let decoded = decode(coding, response.content());
            assert!(decoded.starts_with(expected), "{row}");
            assert!(decoded.ends_with(format!("{:7}", content.len()).as_bytes()), "{row}: {}", decoded.len());
        }
    }
}

/// A stream that waits for something else is not filled with empty blocks.
#[test]
fn waiting_without_anything_new_sends_nothing() {
    for coding in ["gzip", "br", "zstd"] {
        let handler = handler_fn(|_: &Request<'_>, response: &mut ResponseWriter<'_>| {
            response.field("Content-Type", "text/plain")?;
            response.stream(None)?;
            response.write(b"hello")?;
            Ok::<_, WriteError>(receiving(|_content, _response: &mut ResponseWriter<'_>| Ok::<_, WriteError>(())))
        });
        let mut request =
            format!("POST / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: {coding}\r\nTransfer-Encoding: chunked\r\n\r\n");
        request += &"1\r\nx\r\n".repeat(100);
        request += "0\r\n\r\n";
        let answer = Client::new(Compress::new(handler)).exchange(request.as_bytes());
        assert!(answer.ends_with(b"0\r\n\r\n") && answer.len() < 300, "{coding}: {}", answer.escape_ascii());
    }
}

/// Fills the buffer, waits for an hour, and ends then or when the server stops.
struct Waits;

impl Handler for Waits {
    const NEEDS: Needs = Needs { deferral: true, stop: true, ..Needs::LEAST };
    type Exchange = ();

    fn request(&mut self, _: &Request<'_>, response: &mut ResponseWriter<'_>) -> Flow<()> {
        let mut written = 0;
        let fill = |room: &mut [u8]| {
            room.copy_from_slice(&noise(room.len()));
            written = room.len();
            Ok::<_, WriteError>(room.len())
        };
        response.field("Content-Type", "text/plain").unwrap();
        response.stream(None).unwrap();
        response.make_room(usize::MAX);
        response.write_with(fill).unwrap();
        assert!(written > 60_000, "{written}");
        response.wake_after(3_600_000);
        Flow::Defer(())
    }

    fn resume(&mut self, (): (), response: &mut ResponseWriter<'_>) -> Flow<()> {
        self.stopping(Flow::Defer(()), response)
    }

    fn stopping(&mut self, _: Flow<()>, response: &mut ResponseWriter<'_>) -> Flow<()> {
        response.write(b"bye").unwrap();
        Flow::Finish
    }
}

#[test]
fn it_needs_what_its_handler_needs() {
    assert_eq!(<Compress<Waits> as Handler>::NEEDS, Waits::NEEDS);
}

#[test]
fn a_handler_hears_of_its_time_and_of_a_stop_after_its_output_waited_for_the_client() {
    for (accepted, stops) in [("identity", true), ("gzip", true), ("identity", false), ("gzip", false)] {
        with_server(Compress::new(Waits), Limits::default(), |server| {
            let client = server.connect();
            let request = format!("GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: {accepted}\r\n\r\n");
            server.send(client, request.as_bytes());
            if stops {
                server.stop().drain();
                server.settle();
            }
            let mut received = server.receive(client);
            if !stops {
                assert!(!received.ends_with(b"\r\n0\r\n\r\n"), "{accepted}");
                server.pass_ms(3_600_001);
                received.extend(server.receive(client));
            }
            assert!(received.ends_with(b"\r\n0\r\n\r\n") && received.len() > 60_000, "{accepted}: {}", received.len());
        });
    }
}
