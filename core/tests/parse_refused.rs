//! Heads that are refused: each row has the same error however its bytes are split and whatever follows.

mod parse_support;

use aurora_http_core::limits::Limits;
use aurora_http_core::parse::{ChunkError, FieldLineError, FramingError, HeadError, METHOD_BYTES_MAX};
use parse_support::{Verdict, every_split, whole};

/// Asserts that each row is refused with its error, whole and split, alone and followed by a valid request.
fn assert_refused(rows: &[(&[u8], HeadError)]) {
    let limits = Limits::default();
    for (head, error) in rows {
        let name = head.escape_ascii().to_string();
        assert_eq!(every_split(head, &limits), Verdict::Refused(*error), "{name}");
        // S14: a valid request after it makes no difference.
        let followed = [head, &b"GET /good HTTP/1.1\r\nHost: x\r\n\r\n"[..]].concat();
        assert_eq!(every_split(&followed, &limits), Verdict::Refused(*error), "{name}");
    }
}

/// A request line and a Host around `lines`, which are whole lines.
fn with_lines(lines: &[u8]) -> Vec<u8> {
    [b"POST / HTTP/1.1\r\nHost: x\r\n", lines, b"\r\n"].concat()
}

/// Like [`assert_refused`], for field lines after a Host.
fn assert_lines_refused(rows: &[(&[u8], HeadError)]) {
    for (lines, error) in rows {
        assert_refused(&[(&with_lines(lines), *error)]);
    }
}

#[test]
fn s1_both_lengths() {
    let both = HeadError::Framing(FramingError::BothLengths);
    assert_lines_refused(&[
        (b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", both),
        (b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", both),
        (b"transfer-encoding: chunked\r\nX: y\r\nCONTENT-LENGTH: 0\r\n", both),
        (b"Transfer-Encoding: identity\r\nContent-Length: x\r\n", both),
        (b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n", both),
        (b"Transfer-Encoding:\r\nContent-Length:\r\n", both),
    ]);
    assert_refused(&[(b"POST / HTTP/1.0\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", both)]);
}

#[test]
fn s2_transfer_encoding_other_than_chunked() {
    let malformed = HeadError::Framing(FramingError::TransferEncoding);
    let repeated = HeadError::Framing(FramingError::TransferEncodingRepeated);
    let unsupported = HeadError::Framing(FramingError::TransferCodingUnsupported);
    assert_lines_refused(&[
        (b"Transfer-Encoding: xchunked\r\n", malformed),
        (b"Transfer-Encoding: chunkedx\r\n", malformed),
        (b"Transfer-Encoding: chunked, identity\r\n", malformed),
        (b"Transfer-Encoding: chunked, chunked\r\n", malformed),
        (b"Transfer-Encoding: gzip, chunked, chunked\r\n", malformed),
        (b"Transfer-Encoding: chunked, gzip\r\n", malformed),
        (b"Transfer-Encoding: chunked;q=1\r\n", malformed),
        (b"Transfer-Encoding: \"chunked\"\r\n", malformed),
        (b"Transfer-Encoding: gzip\r\n", malformed),
        (b"Transfer-Encoding: identity\r\n", malformed),
        (b"Transfer-Encoding: chunked,\r\n", malformed),
        (b"Transfer-Encoding: , chunked\r\n", malformed),
        (b"Transfer-Encoding: gzip, , chunked\r\n", malformed),
        (b"Transfer-Encoding: gzip;q=1, chunked\r\n", malformed),
        (b"Transfer-Encoding: ch unked\r\n", malformed),
        (b"Transfer-Encoding: \xff, chunked\r\n", malformed),
        (b"Transfer-Encoding:\r\n", malformed),
        (b"Transfer-Encoding: \t \r\n", malformed),
        (b"Transfer-Encoding: \x0bchunked\r\n", HeadError::FieldLine(FieldLineError::Value)),
        (b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", repeated),
        (b"Transfer-Encoding: gzip\r\ntransfer-encoding: chunked\r\n", repeated),
        (b"Transfer-Encoding: chunked\r\nTransfer-Encoding:\r\n", repeated),
        (b"Transfer-Encoding: gzip, chunked\r\n", unsupported),
        (b"Transfer-Encoding: GZIP\t,  deflate,Chunked\r\n", unsupported),
    ]);
    assert_eq!(unsupported.status(), 501);
    assert_eq!((malformed.status(), repeated.status()), (400, 400));
}

#[test]
fn s3_transfer_encoding_on_http_1_0() {
    let error = HeadError::Framing(FramingError::TransferEncodingOnHttp10);
    assert_refused(&[
        (b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", error),
        (b"POST / HTTP/1.0\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", error),
        (b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", error),
    ]);
}

#[test]
fn s4_content_length() {
    let malformed = HeadError::Framing(FramingError::ContentLength);
    let repeated = HeadError::Framing(FramingError::ContentLengthRepeated);
    let values: [&[u8]; 16] = [
        b"+5",
        b"-0",
        b"-5",
        b"0x5",
        b"5 5",
        b"5,5",
        b"5, 5",
        b"5;q=1",
        b"5.0",
        b"5_0",
        b"\"5\"",
        b"",
        b"five",
        b"\xd9\xa5", // an Arabic digit
        b"18446744073709551616",
        b"99999999999999999999999999999999999999999",
    ];
    for value in values {
        assert_lines_refused(&[(&[b"Content-Length: ", value, b"\r\n"].concat(), malformed)]);
    }
    assert_lines_refused(&[
        (b"Content-Length: 5\r\nContent-Length: 5\r\n", repeated),
        (b"Content-Length: 5\r\ncontent-length: 6\r\n", repeated),
        (b"Content-Length: 5\r\nX: y\r\nContent-Length:\r\n", repeated),
        (b"Content-Length: 5\r\nContent-Length: 5\r\nContent-Length: 5\r\n", repeated),
    ]);
}

#[test]
fn s9_line_ends_and_blank_lines() {
    use FieldLineError as Line;
    use HeadError::FieldLine;
    assert_refused(&[
        (b"\nGET / HTTP/1.1\r\nHost: x\r\n\r\n", HeadError::BareLf),
        (b"\r\n\nGET / HTTP/1.1\r\nHost: x\r\n\r\n", HeadError::BareLf),
        (b"\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n", HeadError::BlankLines),
        (b"\r\n\r", HeadError::BlankLines),
        (b"\rGET / HTTP/1.1\r\nHost: x\r\n\r\n", HeadError::BareCr),
        (b"\r\rGET / HTTP/1.1\r\nHost: x\r\n\r\n", HeadError::BareCr),
        (b"GET\n / HTTP/1.1\r\nHost: x\r\n\r\n", HeadError::BareLf),
        (b"GET /\n HTTP/1.1\r\nHost: x\r\n\r\n", HeadError::BareLf),
        (b"GET / HTTP/1.1\nHost: x\r\n\r\n", HeadError::BareLf),
        (b"GET / HTTP/1.1\rHost: x\r\n\r\n", HeadError::BareCr),
        (b"GET / HTTP/1.1\r\r\nHost: x\r\n\r\n", HeadError::BareCr),
        (b"GET /\0 HTTP/1.1\r\nHost: x\r\n\r\n", HeadError::Target),
        (b"GET / HTTP/1.1\0\r\nHost: x\r\n\r\n", HeadError::Version),
        (b"\0GET / HTTP/1.1\r\nHost: x\r\n\r\n", HeadError::Method),
        (b"GET / HTTP/1.1\r\nHost: x\n\r\n", FieldLine(Line::BareLf)),
        (b"GET / HTTP/1.1\r\nHost: x\nA: b\r\n\r\n", FieldLine(Line::BareLf)),
        (b"GET / HTTP/1.1\r\nHost: x\r\nA: b\nC: d\r\n\r\n", FieldLine(Line::BareLf)),
        (b"GET / HTTP/1.1\r\nHost: x\r\nA:\nC: d\r\n\r\n", FieldLine(Line::BareLf)),
        (b"GET / HTTP/1.1\r\nHost: x\r\nA: \nC: d\r\n\r\n", FieldLine(Line::BareLf)),
        (b"GET / HTTP/1.1\r\nHost: x\r\n\n", FieldLine(Line::BareLf)),
        (b"GET / HTTP/1.1\r\nHost: x\n\n", FieldLine(Line::BareLf)),
        (b"GET / HTTP/1.1\r\nHost: x\r\nA: b\n\r\n", FieldLine(Line::BareLf)),
        (b"GET / HTTP/1.1\r\nHost: x\r\nA: b\rc\r\n\r\n", FieldLine(Line::BareCr)),
        (b"GET / HTTP/1.1\r\nHost: x\r\nA:\rb\r\n\r\n", FieldLine(Line::BareCr)),
        (b"GET / HTTP/1.1\r\nHost: x\r\nA: b\r\r\n\r\n", FieldLine(Line::BareCr)),
        (b"GET / HTTP/1.1\r\nHost: x\r\n\rA: b\r\n\r\n", FieldLine(Line::BareCr)),
        (b"GET / HTTP/1.1\r\nHost: x\r\nA: b\0\r\n\r\n", FieldLine(Line::Value)),
        (b"GET / HTTP/1.1\r\nHost: x\r\nA\0: b\r\n\r\n", FieldLine(Line::Name)),
        (b"GET / HTTP/1.1\r\nHost: x\r\n\0\r\n\r\n", FieldLine(Line::Name)),
    ]);
}

#[test]
fn s10_field_lines() {
    use FieldLineError as Line;
    let rows: [(&[u8], Line); 21] = [
        (b"A : b\r\n", Line::BlankBeforeColon),
        (b"A\t: b\r\n", Line::BlankBeforeColon),
        (b"A b: c\r\n", Line::BlankBeforeColon),
        (b"Content-Length : 5\r\n", Line::BlankBeforeColon),
        (b" folded\r\n", Line::LeadingBlank),
        (b"\tfolded\r\n", Line::LeadingBlank),
        (b"A: b\r\n c\r\n", Line::LeadingBlank),
        (b"A:\r\n\tb\r\n", Line::LeadingBlank),
        (b" \r\n", Line::LeadingBlank),
        (b"A\r\n", Line::NoColon),
        (b"A\n", Line::NoColon),
        (b": b\r\n", Line::EmptyName),
        (b"A(: b\r\n", Line::Name),
        (b"\"A\": b\r\n", Line::Name),
        (b"A\x80: b\r\n", Line::Name),
        (b"A\x7f: b\r\n", Line::Name),
        (b"A/: b\r\n", Line::Name),
        (b"A: b\x01\r\n", Line::Value),
        (b"A: \x1f\r\n", Line::Value),
        (b"A: b\x7fc\r\n", Line::Value),
        (b"A: \x0cb\r\n", Line::Value),
    ];
    for (lines, error) in rows {
        assert_lines_refused(&[(lines, HeadError::FieldLine(error))]);
    }
    let leading = HeadError::FieldLine(Line::LeadingBlank);
    assert_refused(&[(b"GET / HTTP/1.1\r\n Host: x\r\n\r\n", leading), (b"GET / HTTP/1.1\r\n\tX\r\n\r\n", leading)]);
}

/// Every control byte except HTAB, at every position of a value.
#[test]
fn s10_control_bytes_in_values() {
    let limits = Limits::default();
    for byte in (0..b' ').chain([0x7f]).filter(|&byte| byte != b'\t') {
        for value in [
            &[byte][..],
            &[byte, b'a'],
            &[b'a', byte],
            &[b'a'; 40].map(|_| byte),
            b"0123456789abcdef0123456789abcdef01234",
        ] {
            let mut value = value.to_vec();
            value.push(byte);
            let head = with_lines(&[b"A: ", &value[..], b"\r\n"].concat());
            assert!(matches!(every_split(&head, &limits), Verdict::Refused(_)), "{byte:#04x}");
        }
    }
}

#[test]
fn s16_host() {
    assert_refused(&[
        (b"GET / HTTP/1.1\r\n\r\n", HeadError::HostMissing),
        (b"GET / HTTP/1.1\r\nHosts: x\r\n\r\n", HeadError::HostMissing),
        (b"GET http://a/ HTTP/1.1\r\n\r\n", HeadError::HostMissing),
        (b"CONNECT a:80 HTTP/1.1\r\n\r\n", HeadError::HostMissing),
        (b"GET / HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n", HeadError::HostRepeated),
        (b"GET / HTTP/1.1\r\nHost: x\r\nA: b\r\nhost:\r\n\r\n", HeadError::HostRepeated),
        (b"GET / HTTP/1.0\r\nHost: x\r\nHost: y\r\n\r\n", HeadError::HostRepeated),
        (b"GET / HTTP/1.1\r\nHost:\r\n\r\n", HeadError::Host),
        (b"GET / HTTP/1.1\r\nHost: \t \r\n\r\n", HeadError::Host),
        (b"GET / HTTP/1.0\r\nHost:\r\n\r\n", HeadError::Host),
        (b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", HeadError::Host),
        (b"GET / HTTP/1.1\r\nHost: a,b\r\nHost: c\r\n\r\n", HeadError::HostRepeated),
        (b"GET / HTTP/1.1\r\nHost: user@a\r\n\r\n", HeadError::Host),
        (b"GET / HTTP/1.1\r\nHost: http://a\r\n\r\n", HeadError::Host),
        (b"GET / HTTP/1.1\r\nHost: a/\r\n\r\n", HeadError::Host),
        (b"GET / HTTP/1.1\r\nHost: a:65536\r\n\r\n", HeadError::Host),
        (b"GET / HTTP/1.1\r\nHost: a:80:80\r\n\r\n", HeadError::Host),
        (b"GET / HTTP/1.1\r\nHost: :80\r\n\r\n", HeadError::Host),
        (b"GET / HTTP/1.1\r\nHost: ::1\r\n\r\n", HeadError::Host),
        (b"GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", HeadError::Host),
        (b"GET / HTTP/1.1\r\nHost: [x]\r\n\r\n", HeadError::Host),
        (b"GET / HTTP/1.1\r\nHost: a\xff\r\n\r\n", HeadError::Host),
        (b"GET http://a/ HTTP/1.1\r\nHost: b c\r\n\r\n", HeadError::Host),
        (b"GET http://a/ HTTP/1.0\r\nHost:\r\n\r\n", HeadError::Host),
    ]);
}

#[test]
fn s24_request_line() {
    use HeadError::{Method, Target, Version, VersionUnsupported};
    assert_refused(&[
        (b"GET / HTTP/2.0\r\nHost: x\r\n\r\n", VersionUnsupported),
        (b"GET / HTTP/2.0\r\n", VersionUnsupported),
        (b"GET / HTTP/0.9\r\nHost: x\r\n\r\n", VersionUnsupported),
        (b"GET / HTTP/3.7\r\nHost: x\r\n\r\n", VersionUnsupported),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", VersionUnsupported),
        (b"GET / http/1.1\r\nHost: x\r\n\r\n", Version),
        (b"GET / HTTP/1.10\r\nHost: x\r\n\r\n", Version),
        (b"GET / HTTP/01.1\r\nHost: x\r\n\r\n", Version),
        (b"GET / HTTP/1.\r\nHost: x\r\n\r\n", Version),
        (b"GET / HTTP/1\r\nHost: x\r\n\r\n", Version),
        (b"GET / HTTP/11\r\nHost: x\r\n\r\n", Version),
        (b"GET / HTTP/1,1\r\nHost: x\r\n\r\n", Version),
        (b"GET / HTTP/1.x\r\nHost: x\r\n\r\n", Version),
        (b"GET / HTTP/a.1\r\nHost: x\r\n\r\n", Version),
        (b"GET / HTTPS/1.1\r\nHost: x\r\n\r\n", Version),
        (b"GET / HTTP /1.1\r\nHost: x\r\n\r\n", Version),
        (b"GET / \r\nHost: x\r\n\r\n", Version),
        (b"GET / HTTP/1.1 \r\nHost: x\r\n\r\n", Version),
        (b"GET / HTTP/1.1\t\r\nHost: x\r\n\r\n", Version),
        (b"GET /  HTTP/1.1\r\nHost: x\r\n\r\n", Version),
        (b"GET / a HTTP/1.1\r\nHost: x\r\n\r\n", Version),
        (b"GET /\r\nHost: x\r\n\r\n", Target),
        (b"GET  / HTTP/1.1\r\nHost: x\r\n\r\n", Target),
        (b"GET  HTTP/1.1\r\nHost: x\r\n\r\n", Target),
        (b"GET HTTP/1.1\r\nHost: x\r\n\r\n", Target),
        (b"GET\t/ HTTP/1.1\r\nHost: x\r\n\r\n", Method),
        (b"GET /\tHTTP/1.1\r\nHost: x\r\n\r\n", Target),
        (b"GET /\x0bHTTP/1.1\r\nHost: x\r\n\r\n", Target),
        (b" GET / HTTP/1.1\r\nHost: x\r\n\r\n", Method),
        (b"\tGET / HTTP/1.1\r\nHost: x\r\n\r\n", Method),
        (b"GET\r\nHost: x\r\n\r\n", Method),
        (b"G(T / HTTP/1.1\r\nHost: x\r\n\r\n", Method),
        (b"G\xc3\x84T / HTTP/1.1\r\nHost: x\r\n\r\n", Method),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", Method), // a TLS ClientHello
    ]);
    assert_eq!((VersionUnsupported.status(), Version.status(), Method.status()), (505, 400, 400));
}

#[test]
fn s28_request_targets() {
    use HeadError::{Target, TargetForm};
    let rows: [(&[u8], &[u8], HeadError); 51] = [
        (b"GET", b"*", TargetForm),
        (b"PRI", b"*", TargetForm),
        (b"CONNECT", b"*", TargetForm),
        (b"OPTIONS", b"**", Target),
        (b"CONNECT", b"/", TargetForm),
        (b"CONNECT", b"/a:80", TargetForm),
        (b"CONNECT", b"a", Target),
        (b"CONNECT", b"a:", Target),
        (b"CONNECT", b"a:0", Target),
        (b"CONNECT", b"a:65536", Target),
        (b"CONNECT", b":80", Target),
        (b"CONNECT", b"user@a:80", Target),
        (b"CONNECT", b"a:80/", Target),
        (b"CONNECT", b"a:80?b", Target),
        (b"CONNECT", b"http://a:80/", Target),
        (b"GET", b"a:80", Target),
        (b"GET", b"a", Target),
        (b"GET", b"a/b", Target),
        (b"GET", b"?a=b", Target),
        (b"GET", b"http:/a", Target),
        (b"GET", b"http:a", Target),
        (b"GET", b"http://", Target),
        (b"GET", b"http:///a", Target),
        (b"GET", b"http://?a", Target),
        (b"GET", b"http://:80/", Target),
        (b"GET", b"http://user@a/", Target),
        (b"GET", b"http://user:pass@a/", Target),
        (b"GET", b"http://a:b/", Target),
        (b"GET", b"http://a:99999/", Target),
        (b"GET", b"http://[::1/", Target),
        (b"GET", b"http://a/{", Target),
        (b"GET", b"1http://a/", Target),
        (b"GET", b"ht_tp://a/", Target),
        (b"GET", b"://a/", Target),
        (b"GET", b"mailto:a", Target),
        (b"GET", b"/#", Target),
        (b"GET", b"/a#b", Target),
        (b"GET", b"/?a#b", Target),
        (b"GET", b"http://a/#b", Target),
        (b"GET", b"/\"", Target),
        (b"GET", b"/<", Target),
        (b"GET", b"/>", Target),
        (b"GET", b"/\\", Target),
        (b"GET", b"/^", Target),
        (b"GET", b"/{", Target),
        (b"GET", b"/}", Target),
        (b"GET", b"/`", Target),
        (b"GET", b"/?\"", Target),
        (b"GET", b"/?<", Target),
        (b"GET", b"/?>", Target),
        (b"GET", b"/abcdefgh\\", Target),
    ];
    for (method, target, error) in rows {
        let head = [method, b" ", target, b" HTTP/1.1\r\nHost: x\r\n\r\n"].concat();
        assert_refused(&[(&head, error)]);
    }
}

/// Control bytes and bytes from 0x7F on are not allowed in any part of a target.
#[test]
fn s28_bytes_that_no_target_may_have() {
    let limits = Limits::default();
    for byte in (0..=b' ').chain(0x7f..=0xff) {
        for before in [&b"/"[..], b"/abcdefg", b"/?", b"/?abcdefgh", b"http://a", b"http://a/"] {
            let head = [b"GET ", before, &[byte], b" HTTP/1.1\r\nHost: x\r\n\r\n"].concat();
            assert!(matches!(every_split(&head, &limits), Verdict::Refused(_)), "{byte:#04x} after {before:?}");
        }
    }
}

#[test]
fn s26_unknown_expectations() {
    let rows: [&[u8]; 6] = [
        b"Expect: 200-ok\r\n",
        b"Expect: 100-continue, x\r\n",
        b"Expect: x,\r\n",
        b"Expect: 100-continue, \"100-continue\"\r\n",
        b"expect: 100-continue;a\r\n",
        b"Expect: 100-continue\r\nExpect: x\r\n",
    ];
    for lines in rows {
        assert_lines_refused(&[(lines, HeadError::Expectation)]);
    }
    assert_eq!(HeadError::Expectation.status(), 417);
}

/// Well-formed heads with several semantic faults: Host comes first, then framing, then Expect.
#[test]
fn the_order_of_faults_is_fixed() {
    let limits = Limits::default();
    let rows: [(&[u8], HeadError); 4] = [
        (b"Expect: x\r\nContent-Length: x\r\nHost: a b\r\n", HeadError::Host),
        (b"Expect: x\r\nContent-Length: x\r\nHost: a\r\n", HeadError::Framing(FramingError::ContentLength)),
        (b"Expect: x\r\nContent-Length: 1\r\nHost: a\r\n", HeadError::Expectation),
        // A syntax error comes first, even after them.
        (b"Expect: x\r\nContent-Length: x\r\nHost: a b\r\nA\r\n", HeadError::FieldLine(FieldLineError::NoColon)),
    ];
    for (lines, error) in rows {
        let head = [b"GET / HTTP/1.1\r\n", lines, b"\r\n"].concat();
        assert_eq!(every_split(&head, &limits), Verdict::Refused(error));
    }
}

#[test]
fn methods_up_to_their_limit() {
    let limits = Limits::default();
    let head = |len: usize| [&[b'M'].repeat(len)[..], b" / HTTP/1.1\r\nHost: x\r\n\r\n"].concat();
    assert!(matches!(every_split(&head(METHOD_BYTES_MAX), &limits), Verdict::Complete(_)));
    assert_eq!(every_split(&head(METHOD_BYTES_MAX + 1), &limits), Verdict::Refused(HeadError::MethodTooLong));
    // Refused as soon as the byte arrives.
    assert_eq!(whole(&[b'M'; METHOD_BYTES_MAX], &limits), Verdict::Partial);
    assert_eq!(whole(&[b'M'; METHOD_BYTES_MAX + 1], &limits), Verdict::Refused(HeadError::MethodTooLong));
    assert_eq!(HeadError::MethodTooLong.status(), 501);
}

#[test]
fn targets_up_to_their_limit() {
    let limits = Limits { target_bytes_max: 20, ..Limits::default() };
    for target in [&b"/aaaaaaaaaaaaaaaaaaa"[..], b"/aaa?bbbbbbbbbbbbbbb", b"http://aaaaaaaaa/aaa"] {
        assert_eq!(target.len(), 20);
        let start = [b"GET ", target].concat();
        let end = b" HTTP/1.1\r\nHost: x\r\n\r\n";
        assert!(matches!(every_split(&[&start[..], end].concat(), &limits), Verdict::Complete(_)));
        assert_eq!(whole(&start, &limits), Verdict::Partial);
        // With one more byte, complete or not.
        let longer = [&start[..], b"x"].concat();
        assert_eq!(whole(&longer, &limits), Verdict::Refused(HeadError::TargetTooLong));
        let complete = [&longer[..], end].concat();
        assert_eq!(every_split(&complete, &limits), Verdict::Refused(HeadError::TargetTooLong));
    }
    assert_eq!(HeadError::TargetTooLong.status(), 414);
}

#[test]
fn heads_up_to_their_limit() {
    for head_bytes_max in [64, 1024] {
        let limits = Limits { head_bytes_max, ..Limits::small_device() };
        let head = |len: usize| {
            let start = b"GET / HTTP/1.1\r\nHost: x\r\nA: ";
            let end = b"\r\n\r\n";
            [&start[..], &vec![b'a'; len - start.len() - end.len()], end].concat()
        };
        let limit = head_bytes_max as usize;
        assert!(matches!(every_split(&head(limit), &limits), Verdict::Complete(_)));
        // Bytes after a head are not part of it.
        let followed = [head(limit), b"content".to_vec()].concat();
        assert!(matches!(every_split(&followed, &limits), Verdict::Complete(_)));
        let too_long = Verdict::Refused(HeadError::HeadTooLong);
        assert_eq!(every_split(&head(limit + 1), &limits), too_long);
        assert_eq!(every_split(&head(limit + 2), &limits), too_long);
        // Refused when the limit is reached, not earlier.
        assert_eq!(whole(&head(limit + 1)[..limit - 1], &limits), Verdict::Partial);
        assert_eq!(whole(&head(limit + 1)[..limit], &limits), too_long);
        // The skipped empty line counts.
        assert!(matches!(whole(&[b"\r\n", &head(limit - 2)[..]].concat(), &limits), Verdict::Complete(_)));
        assert_eq!(every_split(&[b"\r\n", &head(limit - 1)[..]].concat(), &limits), too_long);
    }
    assert_eq!(HeadError::HeadTooLong.status(), 431);
}

#[test]
fn fields_up_to_their_limit() {
    let head = |count: usize| {
        let mut head = b"GET / HTTP/1.1\r\nHost: x\r\n".to_vec();
        for index in 1..count {
            head.extend_from_slice(format!("F{index}: v\r\n").as_bytes());
        }
        head.extend_from_slice(b"\r\n");
        head
    };
    // Around each number of slots that is tried, and the capacity that no configuration can exceed.
    for (fields_max, accepted) in [
        (1, 1),
        (2, 2),
        (15, 15),
        (16, 16),
        (17, 17),
        (63, 63),
        (64, 64),
        (65, 65),
        (127, 127),
        (128, 128),
        (129, 128),
        (u16::MAX, 128),
    ] {
        let limits = Limits { fields_max, ..Limits::default() };
        assert!(matches!(whole(&head(accepted), &limits), Verdict::Complete(_)), "{accepted}");
        let refused = Verdict::Refused(HeadError::TooManyFields);
        assert_eq!(whole(&head(accepted + 1), &limits), refused, "{accepted}");
        if accepted <= 17 {
            assert!(matches!(every_split(&head(accepted), &limits), Verdict::Complete(_)));
            assert_eq!(every_split(&head(accepted + 1), &limits), refused);
        }
        // Refused when the line beyond the limit is complete, not earlier.
        let line_end = head(accepted + 1).len() - 2;
        assert_eq!(whole(&head(accepted + 1)[..line_end - 1], &limits), Verdict::Partial);
        assert_eq!(whole(&head(accepted + 1)[..line_end], &limits), refused);
        // Nor if something else is wrong with that line.
        let line_at = head(accepted).len() - 2;
        let folded = [&head(accepted)[..line_at], b" A: b\r\n\r\n"].concat();
        let leading = Verdict::Refused(HeadError::FieldLine(FieldLineError::LeadingBlank));
        assert_eq!(whole(&folded, &limits), leading, "{accepted}");
    }
    let none = Limits { fields_max: 0, ..Limits::default() };
    assert!(matches!(every_split(b"GET / HTTP/1.0\r\n\r\n", &none), Verdict::Complete(_)));
    assert_eq!(HeadError::TooManyFields.status(), 431);
}

/// Each error says in words what is wrong.
#[test]
fn no_two_errors_have_the_same_text() {
    use FieldLineError::{BareCr, BareLf, BlankBeforeColon, EmptyName, LeadingBlank, Name, NoColon, Value};
    let lines = [BareLf, BareCr, LeadingBlank, EmptyName, Name, BlankBeforeColon, NoColon, Value];
    let framing = [
        FramingError::BothLengths,
        FramingError::ContentLength,
        FramingError::ContentLengthRepeated,
        FramingError::TransferEncodingOnHttp10,
        FramingError::TransferEncoding,
        FramingError::TransferEncodingRepeated,
        FramingError::TransferCodingUnsupported,
    ];
    let heads = [
        HeadError::BlankLines,
        HeadError::Method,
        HeadError::MethodTooLong,
        HeadError::Target,
        HeadError::TargetForm,
        HeadError::TargetTooLong,
        HeadError::Version,
        HeadError::VersionUnsupported,
        HeadError::TooManyFields,
        HeadError::HeadTooLong,
        HeadError::HostMissing,
        HeadError::HostRepeated,
        HeadError::Host,
        HeadError::Expectation,
    ];
    let chunks = [
        ChunkError::Size,
        ChunkError::SizeTooLong,
        ChunkError::TrailingBlank,
        ChunkError::Extension,
        ChunkError::ExtensionsTooLong,
        ChunkError::LineEnd,
        ChunkError::DataEnd,
        ChunkError::TrailersTooLong,
    ];
    let mut texts: Vec<_> = heads.iter().map(ToString::to_string).collect();
    texts.extend(lines.iter().map(|error| HeadError::FieldLine(*error).to_string()));
    texts.extend(framing.iter().map(|error| HeadError::Framing(*error).to_string()));
    texts.extend(chunks.iter().map(ToString::to_string));
    texts.extend(lines.iter().map(|error| ChunkError::Trailer(*error).to_string()));
    let count = texts.len();
    assert!(texts.iter().all(|text| text.len() > 5), "{texts:?}");
    texts.sort_unstable();
    texts.dedup();
    assert_eq!(texts.len(), count, "{texts:?}");
    assert_eq!(
        (BareLf.to_string(), framing[0].to_string()),
        (HeadError::BareLf.to_string(), HeadError::from(framing[0]).to_string())
    );
}
