use std::string::ToString;
use std::vec;
use std::vec::Vec;

use proptest::prelude::*;

use super::*;

fn client(source: &str, destination: &str) -> ProxyHeader {
    let address = |text: &str| text.parse().expect("an address");
    ProxyHeader::Client { source: address(source), destination: address(destination) }
}

#[test]
fn lines_say_who_the_client_is() {
    let rows: [(&[u8], ProxyHeader); 5] = [
        (b"PROXY TCP4 192.0.2.1 192.0.2.9 40000 80\r\n", client("192.0.2.1:40000", "192.0.2.9:80")),
        (b"PROXY TCP6 2001:db8::1 ::1 1 65535\r\n", client("[2001:db8::1]:1", "[::1]:65535")),
        (b"PROXY TCP4 0.0.0.0 255.255.255.255 0 0\r\n", client("0.0.0.0:0", "255.255.255.255:0")),
        (b"PROXY UNKNOWN\r\n", ProxyHeader::Local),
        (b"PROXY UNKNOWN whatever else\r\n", ProxyHeader::Local),
    ];
    for (bytes, expected) in rows {
        assert_eq!(ProxyHeader::decode(bytes), Ok(Some((expected, bytes.len()))), "{}", bytes.escape_ascii());
        for end in 0..bytes.len() {
            assert_eq!(ProxyHeader::decode(&bytes[..end]), Ok(None), "{}", bytes[..end].escape_ascii());
        }
    }
}

#[test]
fn malformed_lines_are_refused() {
    let rows: [&[u8]; 19] = [
        b"PROXY TCP4 192.0.2.1 192.0.2.9 40000 80\n",
        b"PROXY TCP4 192.0.2.1 192.0.2.9 40000\r\n",
        b"PROXY TCP4 192.0.2.1 192.0.2.9 40000 80 1\r\n",
        b"PROXY TCP4 192.0.2.1 192.0.2.9 40000 65536\r\n",
        b"PROXY TCP4 192.0.2.1 192.0.2.9 +1 80\r\n",
        b"PROXY TCP4 192.0.2.1 192.0.2.9 01 80\r\n",
        b"PROXY TCP4 192.0.2.1 192.0.2.9  1 80\r\n",
        b"PROXY TCP4  192.0.2.1 192.0.2.9 1 80\r\n",
        b"PROXY TCP4 2001:db8::1 ::1 1 2\r\n",
        b"PROXY TCP6 192.0.2.1 192.0.2.9 1 2\r\n",
        b"PROXY TCP5 192.0.2.1 192.0.2.9 1 2\r\n",
        b"PROXY UDP4 192.0.2.1 192.0.2.9 1 2\r\n",
        b"PROXY UNKNOWNX\r\n",
        b"PROXY \r\n",
        b"PROXY \x80",
        b"proxy UNKNOWN\r\n",
        b"GET / HTTP/1.1\r\n",
        b"PX",
        b"\r\n\r\n\0\r\nQUIX",
    ];
    for bytes in rows {
        assert!(ProxyHeader::decode(bytes).is_err(), "{}", bytes.escape_ascii());
    }
    assert_eq!(ProxyHeader::decode(&[b"PROXY UNKNOWN ", &[b'x'; 100][..]].concat()), Err(ProxyHeaderError::Line));
}

#[test]
fn binary_headers_say_who_the_client_is() {
    let header = |version_and_command, family, rest: &[u8]| {
        let len = u16::try_from(rest.len()).expect("a length").to_be_bytes();
        [&V2_START[..], &[version_and_command, family], &len, rest].concat()
    };
    let four = [192, 0, 2, 1, 192, 0, 2, 9, 0x9c, 0x40, 0, 80];
    let expected = client("192.0.2.1:40000", "192.0.2.9:80");
    let mut with_values = four.to_vec();
    with_values.extend([4, 0, 3, 1, 2, 3]);
    let rows = [
        (header(0x21, 0x11, &four), Ok(expected)),
        (header(0x21, 0x11, &with_values), Ok(expected)),
        (header(0x20, 0x11, &four), Ok(ProxyHeader::Local)),
        (header(0x20, 0, &[]), Ok(ProxyHeader::Local)),
        (header(0x21, 0x31, &[0; 216]), Ok(ProxyHeader::Local)),
        (header(0x21, 0, &[1, 2]), Ok(ProxyHeader::Local)),
        (header(0x21, 0x11, &four[..11]), Err(ProxyHeaderError::Binary)),
        (header(0x21, 0x21, &four), Err(ProxyHeaderError::Binary)),
        (header(0x22, 0x11, &four), Err(ProxyHeaderError::Binary)),
        (header(0x11, 0x11, &four), Err(ProxyHeaderError::Binary)),
        (header(0x21, 0x11, &vec![0; 2_000]), Err(ProxyHeaderError::TooLong)),
    ];
    for (bytes, expected) in rows {
        let found = ProxyHeader::decode(&bytes).map(|found| found.expect("complete"));
        assert_eq!(found, expected.map(|header| (header, bytes.len())), "{bytes:?}");
        if expected.is_ok() {
            assert!((0..bytes.len()).all(|end| ProxyHeader::decode(&bytes[..end]) == Ok(None)));
        }
    }
}

fn written(header: &ProxyHeader) -> [Vec<u8>; 2] {
    let mut out = [0; ProxyHeader::ENCODED_BYTES_MAX];
    let first = header.encode_v1(&mut out).expect("room");
    let first = out[..first].to_vec();
    let second = header.encode_v2(&mut out).expect("room");
    [first, out[..second].to_vec()]
}

#[test]
fn what_is_written_is_as_specified() {
    let [line, binary] = written(&client("192.0.2.1:40000", "192.0.2.9:80"));
    assert_eq!(line, b"PROXY TCP4 192.0.2.1 192.0.2.9 40000 80\r\n");
    assert_eq!(binary, b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x01\xc0\0\x02\x09\x9c\x40\0\x50");
    assert_eq!(
        written(&ProxyHeader::Local),
        [b"PROXY UNKNOWN\r\n".to_vec(), b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0".to_vec()]
    );
    // The two families are not mixed.
    let [line, _] = written(&client("192.0.2.1:1", "[::1]:2"));
    assert_eq!(line, b"PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n");
    assert_eq!(ProxyHeader::Local.encode_v1(&mut [0; 5]), Err(BufferFull));
    assert!(!ProxyHeaderError::Missing.to_string().is_empty());
}

proptest! {
    #[test]
    fn what_is_written_is_read(source: SocketAddr, destination: SocketAddr, behind: Vec<u8>) {
        // The header has no room for scopes and flow labels.
        let plain = |address: SocketAddr| SocketAddr::from((address.ip(), address.port()));
        let header = ProxyHeader::Client { source: plain(source), destination: plain(destination) };
        for bytes in written(&header) {
            let found = ProxyHeader::decode(&[&bytes[..], &behind].concat());
            let Ok(Some((ProxyHeader::Client { source: from, destination: to }, len))) = found else {
                return Err(TestCaseError::fail("unreadable"));
            };
            prop_assert_eq!(len, bytes.len());
            prop_assert_eq!(from.ip().to_canonical(), source.ip().to_canonical());
            prop_assert_eq!((to.ip().to_canonical(), from.port(), to.port()), (destination.ip().to_canonical(), source.port(), destination.port()));
        }
    }

    #[test]
    fn no_bytes_are_too_much(bytes: Vec<u8>) {
        for start in [&b""[..], V1_START, V2_START, b"PROXY TCP4 ", b"\r\n\r\n\0\r\nQUIT\n\x21\x21\0"] {
            let _ = ProxyHeader::decode(&[start, &bytes].concat());
        }
    }
}
