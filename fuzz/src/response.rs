//! A handler that calls the writer in any order, for any kind of request, with another request directly after it: the output
//! consists of complete responses, the one that the handler wrote if it made no mistake, followed by the right one.
//!
//! Options: the request, and the connection's limits. Then the handler's calls, two bytes each: the call and its argument.

use std::cell::RefCell;

use aurora_http_core::defer::DeferToken;
use aurora_http_core::encode::FieldLine;
use aurora_http_core::error::CloseReason;
use aurora_http_core::handler::{Content, Flow, Handler};
use aurora_http_core::request::Request;
use aurora_http_core::state::State;
use aurora_http_core::writer::{ResponseWriter, WriteError};

use super::harness::Bench;
use super::reply::{self, Framing, Response};

const REQUESTS: [&str; 12] = [
    "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "HEAD / HTTP/1.1\r\nHost: x\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello",
    "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1\r\n,\r\n0\r\nA: 1\r\n\r\n",
    "PUT / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nhi",
    "GET / HTTP/1.0\r\n\r\n",
    "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    "CONNECT x:1 HTTP/1.1\r\nHost: x:1\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: raw\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: raw\r\nContent-Length: 2\r\n\r\nhi",
    "HEAD / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
];
const BEHIND: &str = "GET /behind HTTP/1.1\r\nHost: x\r\n\r\n";

const STATUSES: [u16; 16] = [200, 204, 205, 304, 404, 500, 503, 401, 405, 407, 426, 299, 599, 600, 100, 0];
const NAMES: [&str; 8] = ["X-A", "X-B", "Allow", "WWW-Authenticate", "Upgrade", "Content-Length", "", "a b"];
const VALUES: [&[u8]; 4] = [b"1", b"", b"\t\xff,", b"a\r\nb"];
const LENGTHS: [usize; 12] = [0, 1, 5, 100, 511, 512, 900, 3_000, 5_000, 20_000, 40_000, 70_000];
const LINE: FieldLine<'_> = FieldLine::new("X-Line: 1").unwrap();

/// A pattern in which no two nearby positions look the same.
static BYTES: [u8; 70_000] = {
    let mut bytes = [0; 70_000];
    let mut at = 0;
    while at < bytes.len() {
        bytes[at] = b'a' + (at % 23) as u8;
        at += 1;
    }
    bytes
};

/// How the end of the written response is determined.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Kind {
    #[default]
    Unbegun,
    Body,
    Stream(Option<usize>),
    Raw,
}

/// What a handler has written, as far as it may be sent.
#[derive(Debug, Default)]
struct Said {
    status: u16,
    fields: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
    kind: Kind,
    /// A call failed, or requested an error response.
    failed: bool,
    /// The outcome depends on the connection: content may be too long, answers may not come, calls may be misplaced.
    is_uncertain: bool,
    finished: bool,
}

#[derive(Default)]
struct Script {
    calls: Vec<u8>,
    at: usize,
    said: Said,
    tokens: Vec<DeferToken>,
    /// This is the call with the request's head.
    is_first: bool,
    has_token: bool,
    requests: usize,
    behind: usize,
}

impl Script {
    fn next(&mut self) -> Option<(u8, usize)> {
        let call = self.calls.get(self.at..self.at + 2)?;
        self.at += 2;
        Some((call[0], usize::from(call[1])))
    }

    /// Makes calls until one of them ends the turn.
    fn play(&mut self, response: &mut ResponseWriter<'_>) -> Flow<()> {
        loop {
            let Some((call, with)) = self.next() else { return self.finish() };
            match call % 16 {
                15 => return self.end_turn(with, response),
                call => {
                    if self.call(call, with, response).is_err() {
                        self.said.failed = true;
                    }
                }
            }
        }
    }

    fn call(&mut self, call: u8, with: usize, response: &mut ResponseWriter<'_>) -> Result<(), WriteError> {
        let said = &mut self.said;
        let part = &BYTES[..LENGTHS[with % LENGTHS.len()]];
        match call {
            0 => {
                response.status(STATUSES[with % STATUSES.len()])?;
                said.status = STATUSES[with % STATUSES.len()];
            }
            1 => {
                let (name, value) = (NAMES[with % NAMES.len()], VALUES[with / NAMES.len() % VALUES.len()]);
                response.field(name, value)?;
                said.fields.push((name.to_owned(), value.to_vec()));
            }
            2 => {
                response.body(part)?;
                (said.kind, said.body) = (Kind::Body, part.to_vec());
            }
            3 => {
                response.static_body(part)?;
                (said.kind, said.body) = (Kind::Body, part.to_vec());
            }
            4 => {
                response.stream(None)?;
                said.kind = Kind::Stream(None);
            }
            5 => {
                response.stream(Some(part.len() as u64))?;
                said.kind = Kind::Stream(Some(part.len()));
            }
            6 => said.body.extend(&part[..response.write(part)?]),
            7 => said.body.extend(&part[..response.write_static(part)?]),
            8 => {
                let fill = |room: &mut [u8]| {
                    let count = part.len().min(room.len());
                    room[..count].copy_from_slice(&part[..count]);
                    Ok::<_, WriteError>(count)
                };
                said.body.extend(&part[..response.write_with(fill)?]);
            }
            9 => {
                let _ = response.fail(STATUSES[with % STATUSES.len()]);
                said.failed = true;
            }
            10 => {
                response.switch_protocols("raw", &[("X-A", b"1")])?;
                (said.kind, said.status) = (Kind::Raw, 101);
                said.fields.push(("X-A".to_owned(), b"1".to_vec()));
            }
            11 => {
                response.open_tunnel()?;
                said.kind = Kind::Raw;
            }
            12 => {
                let scratch = response.scratch(part.len());
                scratch.into_iter().for_each(|bytes| bytes.fill(b'!'));
            }
            13 => {
                response.limit_content(part.len() as u64);
                response.keep_trailers();
                said.is_uncertain |= part.len() < 10;
            }
            _ => {
                response.field_line(LINE)?;
                said.fields.push(("X-Line".to_owned(), b"1".to_vec()));
            }
        }
        Ok(())
    }

    fn finish(&mut self) -> Flow<()> {
        self.said.finished = true;
        Flow::Finish
    }

    fn end_turn(&mut self, with: usize, response: &mut ResponseWriter<'_>) -> Flow<()> {
        let said = &mut self.said;
        // A head that was begun has to be complete when the turn ends.
        let is_begun = said.kind == Kind::Unbegun && (said.status != 200 || !said.fields.is_empty());
        match with % 8 {
            0 => return self.finish(),
            _ if is_begun => said.failed = true,
            _ => {}
        }
        match with % 8 {
            1 => {
                said.is_uncertain |= !self.is_first || said.kind != Kind::Unbegun;
                Flow::Collect(())
            }
            2 | 3 => Flow::Receive(()),
            4 => Flow::Produce(()),
            5 => {
                let token = response.defer();
                self.has_token |= token.is_ok();
                self.tokens.extend(token);
                Flow::Defer(())
            }
            6 => {
                said.is_uncertain |= !self.has_token;
                Flow::Defer(())
            }
            _ => {
                said.is_uncertain |= said.kind != Kind::Raw;
                Flow::Upgrade(())
            }
        }
    }
}

impl Handler for Script {
    type Exchange = ();

    fn request(&mut self, request: &Request<'_>, response: &mut ResponseWriter<'_>) -> Flow<()> {
        if request.path() == b"/behind" {
            self.behind += 1;
            let _ = response.body("behind");
            return Flow::Finish;
        }
        self.requests += 1;
        self.said.status = 200;
        self.is_first = true;
        self.play(response)
    }

    fn collected(&mut self, (): (), _: &Request<'_>, _: &[u8], response: &mut ResponseWriter<'_>) -> Flow<()> {
        self.is_first = false;
        self.play(response)
    }

    fn receive(&mut self, (): (), content: &mut Content<'_>, response: &mut ResponseWriter<'_>) -> Flow<()> {
        self.is_first = false;
        // Takes all of it, or a byte.
        let some = self.calls.get(self.at + 1).is_some_and(|with| with & 64 != 0);
        content.consume(if some { 1 } else { usize::MAX });
        self.play(response)
    }

    fn produce(&mut self, (): (), response: &mut ResponseWriter<'_>) -> Flow<()> {
        self.is_first = false;
        self.play(response)
    }

    fn resume(&mut self, (): (), response: &mut ResponseWriter<'_>) -> Flow<()> {
        (self.is_first, self.has_token) = (false, false);
        self.play(response)
    }
}

thread_local! {
    /// Its memory is never freed, so there is only one.
    static BENCH: RefCell<Bench<Script>> = RefCell::new({
        let mut bench = Bench::new(Script::default());
        bench.fin();
        bench
    });
}

pub fn check(input: &[u8]) {
    let Some(([which, limits], calls)) = super::options(input) else { return };
    let request = REQUESTS[usize::from(which) % REQUESTS.len()];
    BENCH.with_borrow_mut(|bench| {
        bench.limits.response_bytes_max = [65_536, 1_024, 6_000][usize::from(limits) % 3];
        bench.send_max = if limits & 8 == 0 { usize::MAX } else { 3_000 };
        bench.reopen();
        bench.handler = Script { calls: calls.to_vec(), ..Script::default() };
        let input = [request, BEHIND].concat();
        let piece = if limits & 16 == 0 { input.len() } else { 7 };
        for piece in input.as_bytes().chunks(piece) {
            bench.send(piece);
            resolve(bench);
        }
        bench.fin();
        resolve(bench);
        bench.elapse(1_000_000);
        bench.fin();
        assert_eq!(
            (bench.state(), bench.pool.in_use(), bench.in_flight),
            (State::Closed, 0, 0),
            "{:?}",
            bench.connection
        );
        Outcome::of(bench, request).check();
    });
}

fn resolve(bench: &mut Bench<Script>) {
    while let Some(token) = bench.handler.tokens.pop() {
        if bench.deferrals.resolve(token) {
            bench.resolved();
        }
    }
}

/// The result.
struct Outcome<'b> {
    said: &'b Said,
    request: &'b str,
    output: &'b [u8],
    reason: CloseReason,
    behind: usize,
}

impl<'b> Outcome<'b> {
    fn of(bench: &'b Bench<Script>, request: &'b str) -> Self {
        assert_eq!(bench.handler.requests, 1);
        let reason = bench.connection.close_reason().expect("a reason");
        Self { said: &bench.handler.said, request, output: &bench.output, reason, behind: bench.handler.behind }
    }

    fn is_head(&self) -> bool {
        self.request.starts_with("HEAD")
    }

    fn is_connect(&self) -> bool {
        self.request.starts_with("CONNECT")
    }

    fn is_http10(&self) -> bool {
        self.request.contains("HTTP/1.0")
    }

    /// The response at `at`, and its end.
    fn read(&self, at: usize, head_only: bool) -> Option<(Response, usize)> {
        let read = reply::read(&self.output[at..], head_only, true);
        let read = read.unwrap_or_else(|wrong| panic!("{wrong} in {self:?}"));
        read.map(|(response, length)| (response, at + length))
    }

    /// As [`read`](Self::read), for a response to the first request.
    fn read_first(&self, at: usize) -> Option<(Response, usize)> {
        let is_tunnel = self.is_connect() && self.output[at..].starts_with(b"HTTP/1.1 2");
        self.read(at, self.is_head() || is_tunnel)
    }

    fn check(&self) {
        let mut first = self.read_first(0);
        if let Some((interim, at)) = first.as_ref().filter(|(response, _)| response.status == 100) {
            assert!(self.request.contains("Expect") && interim.fields.is_empty(), "{self:?}");
            first = self.read_first(*at);
        }
        let Some((response, end)) = first else {
            assert!(!self.reason.is_orderly() && self.behind == 0, "{self:?}");
            return;
        };
        let rest = &self.output[end..];
        self.check_first(&response);
        if self.said.kind == Kind::Raw && response.status == self.said.status {
            let is_cut = self.said.failed || self.said.is_uncertain || !self.reason.is_orderly();
            assert!(self.behind == 0 && self.said.body.starts_with(rest), "what is behind is no request: {self:?}");
            assert!(is_cut || rest == self.said.body, "{self:?}");
            return;
        }
        if rest.is_empty() {
            assert!(self.behind == 0, "{self:?}");
            let is_last = response.closes() || response.framing == Framing::Close;
            // The connection was announced to be kept, and could not be.
            let is_cut = !self.reason.is_orderly() || self.reason == CloseReason::ContentUnread;
            assert!(is_last || is_cut, "the request behind has no answer: {self:?}");
            return;
        }
        assert!(!response.closes() && self.behind == 1, "more behind the last response: {self:?}");
        let (behind, end) = self.read(end, false).unwrap_or_else(|| panic!("cut behind: {self:?}"));
        assert_eq!((behind.status, behind.body.as_slice(), end), (200, &b"behind"[..], self.output.len()), "{self:?}");
    }

    /// The response to the first request is the one that the handler wrote, or an error if that cannot be sent.
    fn check_first(&self, response: &Response) {
        let said = self.said;
        assert!(!self.is_http10() || response.framing != Framing::Chunked, "{self:?}");
        let is_bodiless =
            self.is_head() || self.is_connect() && said.status < 300 || matches!(said.status, 101 | 204 | 205 | 304);
        let is_short = matches!(said.kind, Kind::Stream(Some(length)) if length != said.body.len()) && !is_bodiless;
        let is_broken = self.reason == CloseReason::ResponseFailed || self.reason == CloseReason::HandlerStalled;
        if said.failed || is_short {
            assert!(response.status >= 400 || is_broken || said.is_uncertain, "{self:?}");
            return;
        }
        // If the connection has to begin the response, a required field or room may be missing; and content that was offered
        // and left unread precedes the other protocol.
        let is_replaced = match said.kind {
            Kind::Unbegun => response.status >= 500,
            Kind::Raw => response.status == 413 && self.request.contains("Length"),
            Kind::Body | Kind::Stream(_) => false,
        };
        if said.is_uncertain || !said.finished || is_replaced || is_broken {
            return;
        }
        assert_eq!(response.status, said.status, "{self:?}");
        let own = ["Connection", "Content-Length", "Transfer-Encoding", "Upgrade"];
        let fields = response.fields.iter().filter(|(name, _)| !own.contains(&name.as_str()));
        let fields: Vec<(&str, &str)> = fields.map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let latin = |value: &[u8]| value.iter().copied().map(char::from).collect::<String>();
        let wanted: Vec<(&str, String)> = said
            .fields
            .iter()
            .filter(|(name, _)| name != "Upgrade")
            .map(|(name, value)| (name.as_str(), latin(value)))
            .collect();
        assert!(wanted.iter().map(|(name, value)| (*name, value.as_str())).eq(fields), "{self:?}");
        if said.kind != Kind::Raw {
            assert!(response.body == if is_bodiless { &b""[..] } else { &said.body }, "{self:?}");
        }
        let framing = match said.kind {
            // A 205 has a length of zero.
            _ if said.status == 205 && !self.is_connect() => Framing::Length,
            _ if is_bodiless => Framing::HeadOnly,
            Kind::Stream(None) if self.is_http10() => Framing::Close,
            Kind::Stream(None) => Framing::Chunked,
            _ => Framing::Length,
        };
        assert!(response.framing == framing || self.is_head(), "{self:?}");
    }
}

impl std::fmt::Debug for Outcome<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Said { status, fields, body, kind, failed, is_uncertain, finished } = self.said;
        let body_len = body.len();
        writeln!(f, "{:?} {:?} behind {}", self.request, self.reason, self.behind)?;
        writeln!(f, "said {status} {kind:?} {fields:?} {body_len} failed={failed} {is_uncertain} finished={finished}")?;
        write!(f, "sent {} bytes: {}", self.output.len(), super::text(self.output))
    }
}
