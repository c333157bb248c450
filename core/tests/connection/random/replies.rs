//! Reads what came back as a strict client would.

/// What a client remembers of a request until its response is there.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Asked {
    pub(crate) is_head: bool,
    pub(crate) is_connect: bool,
    pub(crate) is_http10: bool,
    pub(crate) expects: bool,
}

struct Head {
    status: u16,
    len: usize,
    length: Option<usize>,
    chunked: bool,
    close: bool,
    number: Option<usize>,
}

/// `None` when the output ends inside of it.
fn head(seed: u64, bytes: &[u8]) -> Option<Head> {
    let mut fields = [httparse::EMPTY_HEADER; 32];
    let mut response = httparse::Response::new(&mut fields);
    let parsed = response.parse(bytes).unwrap_or_else(|error| {
        panic!("seed {seed}: {error} in {:?}", String::from_utf8_lossy(&bytes[..bytes.len().min(600)]))
    });
    let httparse::Status::Complete(len) = parsed else { return None };
    let value = |name: &str| {
        let mut found = response.headers.iter().filter(|field| field.name.eq_ignore_ascii_case(name));
        let value = found.next().map(|field| str::from_utf8(field.value).unwrap());
        assert!(found.next().is_none(), "seed {seed}: {name} twice");
        value
    };
    let chunked = value("Transfer-Encoding");
    assert!(chunked.is_none_or(|coding| coding == "chunked"));
    Some(Head {
        status: response.code.unwrap(),
        len,
        length: value("Content-Length").map(|digits| digits.parse().unwrap()),
        chunked: chunked.is_some(),
        close: value("Connection").is_some_and(|options| options.eq_ignore_ascii_case("close")),
        number: value("X-Number").map(|digits| digits.parse().unwrap()),
    })
}

/// The body and its length on the wire; `None` when the output ends inside of it.
fn chunked(seed: u64, bytes: &[u8]) -> Option<(Vec<u8>, usize)> {
    let (mut body, mut at) = (Vec::new(), 0);
    loop {
        let end = bytes[at..].windows(2).position(|pair| pair == b"\r\n")?;
        let digits = str::from_utf8(&bytes[at..at + end]).unwrap();
        let length = usize::from_str_radix(digits, 16).unwrap_or_else(|_| panic!("seed {seed}: chunk size {digits:?}"));
        at += end + 2;
        body.extend_from_slice(bytes.get(at..at + length)?);
        at += length;
        let end = bytes.get(at..at + 2)?;
        assert_eq!(end, b"\r\n", "seed {seed}: the end of a chunk");
        at += 2;
        if length == 0 {
            return Some((body, at));
        }
    }
}

/// Checks all output of one connection: a final response per request, in order from number `first`, each with the
/// framing that its request allows. `called` requests went to the handler; `is_cut` when the connection did not end in
/// good order.
pub(crate) fn check(seed: u64, mut output: &[u8], asked: &[Asked], first: usize, called: usize, is_cut: bool) {
    let mut answered = 0;
    let mut interim = false;
    while !output.is_empty() {
        let Some(head) = head(seed, output) else {
            assert!(is_cut, "seed {seed}: a head breaks off");
            return;
        };
        assert!(answered < asked.len(), "seed {seed}: more responses than requests");
        let known = if answered < called { asked[answered] } else { Asked::default() };
        output = &output[head.len..];
        if head.status == 100 {
            assert!(known.expects && !known.is_http10 && !interim, "seed {seed}: nobody waits for a 100");
            interim = true;
            continue;
        }
        assert!(
            head.number.is_none_or(|number| number == first + answered),
            "seed {seed}: the answer to another request"
        );
        assert!(!head.chunked || head.length.is_none(), "seed {seed}: two framings");
        assert!(!head.chunked || !known.is_http10, "seed {seed}: chunks to HTTP/1.0");
        answered += 1;
        interim = false;
        if head.status == 101 || known.is_connect && head.status < 300 {
            assert!(!head.chunked && head.length.is_none(), "seed {seed}: a tunnel has no framing");
            return; // another protocol from here on
        }
        let bodiless = known.is_head || matches!(head.status, 204 | 304);
        let body = if bodiless {
            Some((Vec::new(), 0))
        } else if head.chunked {
            chunked(seed, output)
        } else if let Some(length) = head.length {
            output.get(..length).map(|body| (body.to_vec(), length))
        } else {
            assert!(head.close, "seed {seed}: a body without an end: {}", head.status);
            Some((output.to_vec(), output.len()))
        };
        let Some((body, len)) = body else {
            assert!(is_cut, "seed {seed}: a body breaks off");
            return;
        };
        assert!(head.status != 205 || len == 0 || head.chunked && body.is_empty(), "seed {seed}: 205 has no content");
        assert!(head.number.is_none() || body.iter().all(|byte| *byte == b's'), "seed {seed}: a foreign body");
        output = &output[len..];
        assert!(!head.close || output.is_empty(), "seed {seed}: more behind the last response");
    }
    assert!(is_cut || answered >= called, "seed {seed}: {answered} answers to {called} requests");
}
