//! H3: queries, and percent-decoding.

use aurora_http_core::limits::Limits;
use aurora_http_core::parse::{HeadScan, with_head};
use aurora_http_core::request::{InvalidField, Query, QueryError, decode_path_into};
use proptest::prelude::*;

/// The raw pairs of the query in `target`; `None` without a query.
fn pairs(target: &str) -> Option<Vec<(String, String)>> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let head = format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n");
    with_head(head.as_bytes(), &Limits::default(), &mut HeadScan::default(), |parsed| {
        let query = parsed.unwrap().unwrap().query()?;
        Some(query.map(|(key, value)| (text(key), text(value))).collect())
    })
}

#[test]
fn pairs_of_a_query() {
    assert_eq!(pairs("/"), None);
    let rows: [(&str, &[(&str, &str)]); 14] = [
        ("", &[]),
        ("a", &[("a", "")]),
        ("a=", &[("a", "")]),
        ("a=b", &[("a", "b")]),
        ("=b", &[("", "b")]),
        ("=", &[("", "")]),
        ("a=b=c==", &[("a", "b=c==")]),
        ("a=b&c=d", &[("a", "b"), ("c", "d")]),
        ("a=1&a=2&a", &[("a", "1"), ("a", "2"), ("a", "")]),
        ("&&a=b&&&c&", &[("a", "b"), ("c", "")]),
        ("&", &[]),
        ("a?b=c?d", &[("a?b", "c?d")]),
        ("q=a+b%20c%26d%3D", &[("q", "a+b%20c%26d%3D")]),
        ("a[]=1&{x}=|y|", &[("a[]", "1"), ("{x}", "|y|")]),
    ];
    for (query, expected) in rows {
        let expected = expected.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        assert_eq!(pairs(&format!("/a?{query}")), Some(expected), "{query}");
    }
}

#[test]
fn a_hundred_parameters() {
    let query: Vec<_> = (0..100).map(|index| format!("key{index}=value{index}")).collect();
    let found = pairs(&format!("/?{}", query.join("&"))).unwrap();
    assert_eq!(found.len(), 100);
    for (index, (key, value)) in found.iter().enumerate() {
        assert_eq!((key, value), (&format!("key{index}"), &format!("value{index}")));
    }
}

#[test]
fn lookup_by_raw_key() {
    let head = b"GET /?a=1&b=2&a=3&c HTTP/1.1\r\nHost: x\r\n\r\n";
    with_head(head, &Limits::default(), &mut HeadScan::default(), |parsed| {
        let mut query = parsed.unwrap().unwrap().query().unwrap();
        assert_eq!(
            (query.get("a"), query.get("b"), query.get("c")),
            (Some(&b"1"[..]), Some(&b"2"[..]), Some(&b""[..]))
        );
        assert_eq!((query.get("A"), query.get("d")), (None, None));
        assert_eq!(query.as_bytes(), b"a=1&b=2&a=3&c");
        // Iterating consumes the pairs.
        assert_eq!(query.next(), Some((&b"a"[..], &b"1"[..])));
        assert_eq!(query.as_bytes(), b"b=2&a=3&c");
        assert_eq!(query.get("a"), Some(&b"3"[..]));
    });
}

#[test]
fn decoding() {
    let malformed = |at| Err(QueryError::MalformedEscape { at });
    type Decoded<'a> = Result<&'a [u8], QueryError>;
    let rows: [(&[u8], Decoded<'_>, Decoded<'_>); 16] = [
        (b"", Ok(b""), Ok(b"")),
        (b"abc", Ok(b"abc"), Ok(b"abc")),
        (b"a+b", Ok(b"a b"), Ok(b"a+b")),
        (b"%2B+%20", Ok(b"+  "), Ok(b"++ ")),
        (b"%41%4a%4A", Ok(b"AJJ"), Ok(b"AJJ")),
        (b"%00%ff%FF", Ok(b"\0\xff\xff"), Ok(b"\0\xff\xff")),
        (b"%C3%A9", Ok("é".as_bytes()), Ok("é".as_bytes())),
        // Once, not twice.
        (b"%2541", Ok(b"%41"), Ok(b"%41")),
        (b"%2e%2e%2f", Ok(b"../"), Ok(b"../")),
        (b"%", malformed(0), malformed(0)),
        (b"a%4", malformed(1), malformed(1)),
        (b"ab%zz", malformed(2), malformed(2)),
        (b"%4g", malformed(0), malformed(0)),
        (b"%41%%41", malformed(3), malformed(3)),
        (b"%+1", malformed(0), malformed(0)),
        (b"% 1", malformed(0), malformed(0)),
    ];
    for (raw, of_query, of_path) in rows {
        let name = raw.escape_ascii().to_string();
        let mut out = [0xaa; 16];
        assert_eq!(Query::decode_into(raw, &mut out[..raw.len()]), of_query, "{name}");
        assert_eq!(decode_path_into(raw, &mut out[..raw.len()]), of_path, "{name}");
        // With one byte less than the result needs, it fails.
        if let Ok(decoded @ [_, ..]) = of_query {
            let mut out = vec![0; decoded.len() - 1];
            assert_eq!(Query::decode_into(raw, &mut out), Err(QueryError::BufferFull), "{name}");
            let mut out = vec![0; decoded.len()];
            assert_eq!(Query::decode_into(raw, &mut out), Ok(decoded), "{name}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Any bytes, each escaped or not, are decoded to themselves.
    #[test]
    fn escaped_bytes_are_decoded(bytes in prop::collection::vec((any::<u8>(), any::<bool>()), 0..40)) {
        let mut raw = Vec::new();
        for (byte, escaped) in &bytes {
            if *escaped || !byte.is_ascii_alphanumeric() {
                raw.extend_from_slice(format!("%{byte:02x}").as_bytes());
            } else {
                raw.push(*byte);
            }
        }
        let expected: Vec<u8> = bytes.iter().map(|(byte, _)| *byte).collect();
        let mut out = vec![0; raw.len()];
        prop_assert_eq!(Query::decode_into(&raw, &mut out), Ok(&expected[..]));
        let mut out = vec![0; raw.len()];
        prop_assert_eq!(decode_path_into(&raw, &mut out), Ok(&expected[..]));
    }
}

/// The decoded pairs of the query in `target`, with so many bytes of scratch.
fn decoded(target: &str, scratch: usize) -> Vec<Result<(String, String), QueryError>> {
    let head = format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n");
    with_head(head.as_bytes(), &Limits::default(), &mut HeadScan::default(), |parsed| {
        let request = parsed.unwrap().unwrap();
        let mut scratch = vec![0; scratch];
        let pairs = request.query_pairs(&mut scratch);
        pairs.map(|pair| pair.map(|(key, value)| (key.to_owned(), value.to_owned()))).collect()
    })
}

#[test]
fn pairs_are_decoded_to_text() {
    let pair = |key: &str, value: &str| Ok((key.to_owned(), value.to_owned()));
    assert_eq!(decoded("/", 0), []);
    assert_eq!(decoded("/?a=b&c", 0), [pair("a", "b"), pair("c", "")], "nothing to decode takes no room");
    let first_alone = [pair("q", "a b c&"), Err(QueryError::BufferFull)];
    assert_eq!(decoded("/?q=a+b%20c%26&%C3%A9=%E2%82%AC", 10), first_alone);
    let all = [pair("q", "a b c&"), pair("\u{e9}", "\u{20ac}")];
    assert_eq!(decoded("/?q=a+b%20c%26&%C3%A9=%E2%82%AC", 64), all);
    let broken = [Err(QueryError::MalformedEscape { at: 1 }), Err(QueryError::NotText), pair("z", "1")];
    assert_eq!(decoded("/?a=x%2&b=%ff&z=1", 64), broken);
}

#[test]
fn a_value_is_found_by_its_decoded_key() {
    let head = b"GET /a%20b?na%6De=J%C3%B6&bad=%zz&last=1 HTTP/1.1\r\nHost: x\r\nX-Page: 12\r\nX-No: -\r\n\
        Content-Type: Application/JSON ; charset=utf-8\r\n\r\n";
    with_head(head, &Limits::default(), &mut HeadScan::default(), |parsed| {
        let request = parsed.unwrap().unwrap();
        let mut scratch = [0; 64];
        assert_eq!(request.query_value("name", &mut scratch), Ok(Some("J\u{f6}")));
        assert_eq!(request.query_value("last", &mut scratch), Err(QueryError::MalformedEscape { at: 0 }));
        assert_eq!(request.path_str(), "/a%20b");
        assert_eq!(request.fields().parse("x-page"), Ok(Some(12)));
        assert_eq!(request.fields().parse::<u8>("X-Other"), Ok(None));
        assert_eq!(request.fields().parse::<u8>("X-No"), Err(InvalidField { name: "X-No" }));
        assert_eq!(request.fields().get_str("HOST"), Some("x"));
        assert!(request.has_content_type("application/json") && !request.has_content_type("application"));
    });
}
