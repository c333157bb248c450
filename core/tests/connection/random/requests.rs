//! What a client may say: mostly requests.

use super::replies::Asked;
use super::rng::Rng;

const MALFORMED: [&str; 5] = [
    "GET / HTTP/1.1\r\nHost : x\r\n\r\n",
    "GET  / HTTP/1.1\r\nHost: x\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: +1\r\n\r\nc",
    "GET / HTTP/2.0\r\nHost: x\r\n\r\n",
    "\0\0\0\0",
];

/// Some pipelined requests, numbered from `first` in their targets; their content is made of `c`.
pub(crate) fn some(rng: &mut Rng, first: usize) -> (Vec<u8>, Vec<Asked>) {
    let (mut bytes, mut asked) = (Vec::new(), Vec::new());
    for number in first..first + rng.below(8) {
        if rng.once_in(25) {
            bytes.extend(rng.pick(&MALFORMED).bytes());
            asked.push(Asked::default());
            break;
        }
        if rng.once_in(8) {
            bytes.extend(b"\r\n"); // one may be skipped
        }
        asked.push(one(rng, number, &mut bytes));
    }
    if rng.once_in(10) {
        bytes.extend(rng.pick(&["\r\n", "\r"]).bytes());
        return (bytes, asked);
    }
    if rng.once_in(10) {
        bytes.extend(b"GET /half HTT");
        asked.push(Asked::default());
    }
    (bytes, asked)
}

fn one(rng: &mut Rng, number: usize, bytes: &mut Vec<u8>) -> Asked {
    let method = rng.pick(&["GET", "GET", "HEAD", "POST", "POST", "POST", "CONNECT"]);
    let is_http10 = rng.once_in(8);
    let version = if is_http10 { "1.0" } else { "1.1" };
    let target = if method == "CONNECT" { format!("x:{number}") } else { format!("/{number}") };
    let mut head =
        format!("{method} {target} HTTP/{version}\r\nHost: {}\r\n", if method == "CONNECT" { &target } else { "x" });
    let expects = rng.once_in(5);
    if expects {
        head += "Expect: 100-continue\r\n";
    }
    match rng.below(12) {
        0 => head += "Connection: close\r\n",
        1 | 2 => head += "Connection: keep-alive\r\n",
        3 | 4 => head += "Connection: upgrade\r\nUpgrade: raw\r\n",
        5 => head += &format!("Cookie: {}\r\n", "x".repeat(rng.below(5_000))),
        _ => {}
    }
    let length = rng.pick(&[0, 1, 10, 90, 1_000, 5_000, 20_000, 300_000]);
    match rng.below(3) {
        0 if method == "POST" && !is_http10 => {
            bytes.extend(head.bytes().chain(*b"Transfer-Encoding: chunked\r\n\r\n"));
            chunks(rng, length.min(20_000), bytes);
        }
        _ if method == "POST" => {
            bytes.extend(head.bytes().chain(format!("Content-Length: {length}\r\n\r\n").bytes()));
            bytes.extend(std::iter::repeat_n(b'c', length));
        }
        _ => bytes.extend(head.bytes().chain(*b"\r\n")),
    }
    Asked { is_head: method == "HEAD", is_connect: method == "CONNECT", is_http10, expects }
}

fn chunks(rng: &mut Rng, length: usize, bytes: &mut Vec<u8>) {
    let mut left = length;
    while left > 0 {
        let most = rng.pick(&[3, 100, 9_000]);
        let count = (1 + rng.below(most)).min(left);
        let extension = rng.pick(&["", "", ";a=b"]);
        bytes.extend(format!("{count:x}{extension}\r\n").bytes());
        bytes.extend(std::iter::repeat_n(b'c', count));
        // Rarely, something else where its end should be.
        bytes.extend(if rng.once_in(200) { b"xx" } else { b"\r\n" });
        left -= count;
    }
    bytes.extend(rng.pick(&["0\r\n\r\n", "0\r\n\r\n", "0\r\nA: b\r\n\r\n"]).bytes());
}
