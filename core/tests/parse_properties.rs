//! The parser under random input: no panic, any split the same, and the lexer, httparse and the line scanner agree.

mod parse_support;

use aurora_http_core::limits::Limits;
use aurora_http_core::parse::{EMPTY_FIELD, HeadError, HeadScan, parse_head};
use parse_support::{Verdict, describe, every_split, pieces, whole};
use proptest::collection::vec;
use proptest::prelude::*;

/// Valid heads of many kinds, to be mutated.
const HEADS: [&[u8]; 14] = [
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    b"\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /a/b?c=d HTTP/1.1\r\nHost: example.com:8080\r\nAccept: */*\r\nCookie: a=b\r\nCookie: c=d\r\n\r\n",
    b"POST /a HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 10\r\nConnection: close\r\n\r\n",
    b"POST /a HTTP/1.1\r\nHost: [::1]:80\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
    b"CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET http://a:80/b?c HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    b"PROPFIND /a HTTP/1.5\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"GET /%41 HTTP/1.1\r\nHost: x\r\nEmpty:\r\nBlank: \t \r\nOpaque: \x80\xff\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nA-Rather-Long-Name: with a value of several words, which are many bytes\r\n\r\n",
    b"GET / HTTP/1.1\r\nx_1: \tof sixteen bytes and a tab\t \r\nSec-Fetch-Dest:document\r\nHost: \xff~~x.example\r\n\r\n",
];

/// Any byte, but more often one that is significant to the parser.
fn byte() -> impl Strategy<Value = u8> {
    prop_oneof![
        2 => prop::sample::select(&b"\r\n\t :,;/?#*%[]@\"{}\\^|`<>\0\x7f\x80\xff.=-_"[..]),
        1 => prop::sample::select(&b"GETHOSThost019"[..]),
        1 => any::<u8>(),
    ]
}

/// A change to a head.
#[derive(Clone, Debug)]
enum Mutation {
    Replace(u8),
    Insert(u8),
    Remove,
    Double,
    Truncate,
}

fn mutation() -> impl Strategy<Value = (prop::sample::Index, Mutation)> {
    let kind = prop_oneof![
        6 => byte().prop_map(Mutation::Replace),
        6 => byte().prop_map(Mutation::Insert),
        3 => Just(Mutation::Remove),
        2 => Just(Mutation::Double),
        1 => Just(Mutation::Truncate),
    ];
    (any::<prop::sample::Index>(), kind)
}

fn mutate(head: &mut Vec<u8>, at: prop::sample::Index, mutation: &Mutation) {
    if head.is_empty() {
        return;
    }
    let at = at.index(head.len());
    match mutation {
        Mutation::Replace(byte) => head[at] = *byte,
        Mutation::Insert(byte) => head.insert(at, *byte),
        Mutation::Remove => drop(head.remove(at)),
        Mutation::Double => head.insert(at, head[at]),
        Mutation::Truncate => head.truncate(at),
    }
}

/// The verdict of the line scanner: a first piece of one byte prevents the one-shot parse.
fn by_lines(bytes: &[u8], limits: &Limits) -> Verdict {
    pieces(bytes, [1.min(bytes.len())], limits)
}

/// The verdict of [`parse_head`], whose first attempt is httparse's and not the lexer's.
fn by_httparse(bytes: &[u8], limits: &Limits) -> Verdict {
    let mut slots = [EMPTY_FIELD; 64];
    match parse_head(bytes, &mut slots, limits, &mut HeadScan::default()) {
        Ok(Some(request)) => Verdict::Complete(describe(&request)),
        Ok(None) => Verdict::Partial,
        Err(error) => Verdict::Refused(error),
    }
}

/// A byte that is not allowed everywhere, at every place of names and values of every length, before other lines and at the
/// end of what has arrived.
#[test]
fn lexer_httparse_and_line_scanner_agree_wherever_a_byte_is() {
    let limits = Limits::default();
    for (name_len, value_len) in (1..34).flat_map(|len| [(len, 3), (3, len)]) {
        for byte in *b"\r\n\t \x1f\x7f\xff:-_@{" {
            for at in 0..name_len + value_len {
                let mut line = [vec![b'n'; name_len], b": ".to_vec(), vec![b'v'; value_len], b"\r\n".to_vec()].concat();
                let at = if at < name_len { at } else { at + 2 };
                line[at] = byte;
                for after in [&b"\r\n"[..], b"Accept: */*\r\n\r\nGET / HTTP/1.1\r\n"] {
                    let head = [&b"GET / HTTP/1.1\r\nHost: x\r\n"[..], &line, after].concat();
                    let expected = by_httparse(&head, &limits);
                    assert_eq!(whole(&head, &limits), expected, "{}", head.escape_ascii());
                    assert_eq!(by_lines(&head, &limits), expected, "{}", head.escape_ascii());
                }
            }
        }
    }
}

/// Each byte of each head is replaced by every other byte, doubled, and removed.
#[test]
fn one_shot_and_line_scanner_agree_on_every_single_mutation() {
    let limits = Limits::default();
    for head in HEADS {
        for at in 0..head.len() {
            let mut mutated = head.to_vec();
            for byte in 0..=255 {
                mutated[at] = byte;
                assert_eq!(whole(&mutated, &limits), by_lines(&mutated, &limits), "{}", mutated.escape_ascii());
            }
            for byte in *b"\r\n\t :\0a" {
                let mut mutated = head.to_vec();
                mutated.insert(at, byte);
                assert_eq!(whole(&mutated, &limits), by_lines(&mutated, &limits), "{}", mutated.escape_ascii());
            }
            let mut mutated = head.to_vec();
            mutated.remove(at);
            assert_eq!(whole(&mutated, &limits), by_lines(&mutated, &limits), "{}", mutated.escape_ascii());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn one_shot_and_line_scanner_agree_on_mutations(
        head in prop::sample::select(&HEADS[..]),
        mutations in vec(mutation(), 1..4),
        fields_max in 0u16..6,
        target_bytes_max in 0u32..20,
        head_bytes_max in 0u32..120,
    ) {
        let mut bytes = head.to_vec();
        for (at, mutation) in &mutations {
            mutate(&mut bytes, *at, mutation);
        }
        let default = Limits::default();
        prop_assert_eq!(whole(&bytes, &default), by_lines(&bytes, &default));
        prop_assert_eq!(whole(&bytes, &default), by_httparse(&bytes, &default));
        let tight = Limits { fields_max, target_bytes_max, head_bytes_max, ..default };
        prop_assert_eq!(whole(&bytes, &tight), by_lines(&bytes, &tight));
        prop_assert_eq!(whole(&bytes, &tight), by_httparse(&bytes, &tight));
    }

    #[test]
    fn every_split_of_a_mutation_gives_the_same_verdict(
        head in prop::sample::select(&HEADS[..]),
        mutations in vec(mutation(), 1..3),
        ends in vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let limits = Limits::small_device();
        let mut bytes = head.to_vec();
        for (at, mutation) in &mutations {
            mutate(&mut bytes, *at, mutation);
        }
        let mut ends: Vec<_> = ends.iter().map(|end| end.index(bytes.len() + 1)).collect();
        ends.sort_unstable();
        prop_assert_eq!(pieces(&bytes, ends, &limits), whole(&bytes, &limits));
    }

    /// S25: any bytes.
    #[test]
    fn random_bytes(bytes in vec(byte(), 0..200)) {
        every_split(&bytes, &Limits::small_device());
    }

    /// Random bytes after a valid beginning reach further into the parser.
    #[test]
    fn random_lines(lines in vec(byte(), 0..100)) {
        let bytes = [&b"GET / HTTP/1.1\r\nHost: x\r\n"[..], &lines].concat();
        every_split(&bytes, &Limits::small_device());
    }

    #[test]
    fn random_targets(target in vec(byte(), 0..40)) {
        for method in [&b"GET "[..], b"CONNECT ", b"OPTIONS "] {
            let bytes = [method, &target, b" HTTP/1.1\r\nHost: x\r\n\r\n"].concat();
            every_split(&bytes, &Limits::small_device());
        }
    }

    /// The parts of an accepted head are those that were sent: it can be written again from them.
    #[test]
    fn a_random_head_is_parsed_as_it_was_written(
        method in "[A-Za-z!#$%&'*+.^_`|~-]{1,32}",
        path in "(/[A-Za-z0-9._~!$&'()*+,;=:@%|\\[\\]-]{0,20}){1,4}",
        query in prop::option::of("[A-Za-z0-9/?{}|^`\\\\=&+%-]{0,30}"),
        fields in vec(("F[A-Za-z0-9!#$%&'*+.^_`|~-]{0,20}", "([!-~\u{80}-\u{ff}]([ \t!-~]{0,40}[!-~])?)?"), 0..20),
    ) {
        prop_assume!(method != "CONNECT");
        let target = query.as_ref().map_or(path.clone(), |query| format!("{path}?{query}"));
        let mut head = format!("{method} {target} HTTP/1.1\r\n").into_bytes();
        for (name, value) in &fields {
            head.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
        head.extend_from_slice(b"Host: x\r\n\r\n");
        let limits = Limits::default();
        aurora_http_core::parse::with_head(&head, &limits, &mut Default::default(), |parsed| {
            let request = parsed.unwrap().unwrap();
            assert_eq!(request.method().as_str(), method);
            assert_eq!(request.path(), path.as_bytes());
            assert_eq!(request.query().map(|query| query.as_bytes()), query.as_ref().map(|query| query.as_bytes()));
            assert_eq!(request.fields().len(), fields.len() + 1);
            for (field, (name, value)) in request.fields().iter().zip(&fields) {
                assert_eq!((field.name, field.value), (&name[..], value.as_bytes()));
            }
        });
        prop_assert_eq!(by_lines(&head, &limits), whole(&head, &limits));
        prop_assert_eq!(by_httparse(&head, &limits), whole(&head, &limits));
    }
}

/// A fault is reported as soon as its byte arrives; until then the head is incomplete.
#[test]
fn a_fault_is_reported_at_its_byte() {
    let limits = Limits::default();
    let rows: [(&[u8], HeadError); 6] = [
        (b"GET / HTTP/1.1\n", HeadError::BareLf),
        (b"GET /<", HeadError::Target),
        (b"(", HeadError::Method),
        (b"GET / HTTP/2.0\r\n", HeadError::VersionUnsupported),
        (b"GET / HTTP/1.1\r\n ", HeadError::FieldLine(aurora_http_core::parse::FieldLineError::LeadingBlank)),
        (b"GET / HTTP/1.1\r\n\r\n", HeadError::HostMissing),
    ];
    for (bytes, error) in rows {
        assert_eq!(every_split(bytes, &limits), Verdict::Refused(error));
        for end in 0..bytes.len() {
            assert_eq!(whole(&bytes[..end], &limits), Verdict::Partial, "{end} of {}", bytes.escape_ascii());
        }
    }
}
