//! Rows of `docs/wire.md` over real sockets that the conformance table cannot express, because its cases send all at once.
#![cfg(has_backend)]

#[path = "support/backends.rs"]
mod backends;
#[path = "support/http.rs"]
mod http;

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use aurora_http::{
    Backend, ClassCounts, CloseReason, Content, Flow, Handler, Limits, RateMin, Request, ResponseWriter, Running,
    Server,
};
use backends::backends;
use http::{Client, DEADLINE, eventually};
use rustix::net::{AddressFamily, SocketType, sockopt};

/// `/receive` receives content, `/trailers` returns its trailers, `/endless` never stops answering, `/large` copies 10 000
/// bytes, `/produced` sends 3 000 000 in pieces, `/switch` receives content and then switches to an echo.
struct Paths;

enum Exchange {
    Receive,
    Trailers,
    Echo,
    Endless,
    /// So many more bytes.
    Produced(usize),
}

/// What `/produced` sends.
const PRODUCED: usize = 3_000_000;

impl Handler for Paths {
    type Exchange = Exchange;

    fn request(&mut self, request: &Request<'_>, response: &mut ResponseWriter<'_>) -> Flow<Exchange> {
        match request.path() {
            b"/receive" => return Flow::Receive(Exchange::Receive),
            b"/trailers" => {
                response.keep_trailers();
                return Flow::Receive(Exchange::Trailers);
            }
            b"/switch" => return Flow::Collect(Exchange::Echo),
            b"/endless" => {
                let _ = response.stream(None);
                return Flow::Produce(Exchange::Endless);
            }
            b"/produced" => {
                let _ = response.stream(Some(PRODUCED as u64));
                return Flow::Produce(Exchange::Produced(PRODUCED));
            }
            b"/large" => drop(response.body([b'x'; 10_000])),
            _ => drop(response.body("ok")),
        }
        Flow::Finish
    }

    fn collected(
        &mut self,
        state: Exchange,
        _: &Request<'_>,
        content: &[u8],
        response: &mut ResponseWriter<'_>,
    ) -> Flow<Exchange> {
        let switched = response.switch_protocols("echo", &[("X-Content", content)]);
        if switched.is_ok() { Flow::Upgrade(state) } else { Flow::Finish }
    }

    fn receive(
        &mut self,
        state: Exchange,
        content: &mut Content<'_>,
        response: &mut ResponseWriter<'_>,
    ) -> Flow<Exchange> {
        let count = match state {
            Exchange::Echo => response.write(content.bytes()).unwrap_or(usize::MAX),
            _ => usize::MAX,
        };
        content.consume(count);
        if let (Exchange::Trailers, Some(trailers)) = (&state, content.trailers()) {
            let all = trailers.iter().map(|field| [field.name.as_bytes(), b"=", field.value, b";"].concat());
            let _ = response.body(all.collect::<Vec<_>>().concat());
        }
        if content.ended() { Flow::Finish } else { Flow::Receive(state) }
    }

    fn produce(&mut self, state: Exchange, response: &mut ResponseWriter<'_>) -> Flow<Exchange> {
        let Exchange::Produced(left) = state else {
            let _ = response.write(&[b'x'; 1_000]);
            return Flow::Produce(state);
        };
        match left.saturating_sub(response.write(&[b'x'; 10_000][..left.min(10_000)]).unwrap_or(left)) {
            0 => Flow::Finish,
            left => Flow::Produce(Exchange::Produced(left)),
        }
    }
}

fn server(backend: Backend) -> Server {
    Server::bind("127.0.0.1:0").unwrap().backend(backend).workers(1).connections(16)
}

/// A server with these limits on each backend, one after the other.
fn limited(change: impl Fn(&mut Limits)) -> impl Iterator<Item = Running> {
    backends().into_iter().map(move |backend| {
        let mut limits = Limits::default();
        change(&mut limits);
        server(backend).limits(limits).start(|_worker| Paths).unwrap()
    })
}

fn closed_for(running: &Running, reason: CloseReason) -> u64 {
    running.counters().closed.of(reason)
}

#[test]
fn content_that_trickles_is_answered_408_whatever_its_progress() {
    for running in limited(|limits| {
        limits.timeouts.rate_min = Some(RateMin { bytes: 1_000, window_ms: 300 });
    }) {
        let mut client = Client::connect(running.local_addr());
        client.send("POST /receive HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n");
        for _ in 0..60 {
            client.send("x");
            thread::sleep(Duration::from_millis(10));
        }
        let response = client.response("POST");
        assert_eq!((response.status, response.field("Connection")), (408, Some("close")));
        assert!(client.is_ended());
        drop(client);
        eventually(|| closed_for(&running, CloseReason::ContentTimeout) == 1, "it is closed for that");
    }
}

#[test]
fn a_response_that_is_read_too_slowly_is_cut_whatever_its_progress() {
    let rate_min = Some(RateMin { bytes: u32::MAX, window_ms: 300 });
    for running in limited(|limits| limits.timeouts.rate_min = rate_min) {
        // It is read as fast as it arrives, so it must not take gigabytes to be too slow.
        let mut stream = TcpStream::connect(running.local_addr()).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.write_all(b"GET /endless HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        let mut bytes = [0; 64 * 1024];
        let mut taken = 0;
        while let Ok(count @ 1..) = stream.read(&mut bytes) {
            taken += count;
        }
        assert!(taken > 0);
        eventually(|| closed_for(&running, CloseReason::WriteTimeout) == 1, "it is closed for that");
    }
}

#[test]
fn lingering_ends_by_its_timeout() {
    for running in limited(|limits| limits.timeouts.linger_timeout_ms = Some(100)) {
        let mut client = Client::connect(running.local_addr());
        client.send("bad\r\n\r\n");
        assert_eq!(client.response("GET").status, 400);
        assert!(client.is_ended(), "its end comes with the answer");
        // The client keeps its end open, and the server closes the connection all the same.
        eventually(|| closed_for(&running, CloseReason::BadRequest) == 1, "it is closed");
        drop(client);
    }
}

/// As common clients do: write the whole request, then read the answer. The handler ignores the content.
#[test]
fn a_client_that_writes_everything_before_it_reads_gets_its_answer() {
    for running in limited(|_| {}) {
        for path in ["/", "/large", "/produced"] {
            let mut client = Client::connect(running.local_addr());
            let length = 8_000_000;
            client.send(format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n"));
            for _ in 0..length / 8_000 {
                client.send([b'x'; 8_000]);
            }
            let response = client.response("POST");
            assert_eq!(response.status, 200, "{path}");
            assert!(client.is_ended());
        }
        eventually(|| running.counters().active == 0, "they are closed");
        assert_eq!(closed_for(&running, CloseReason::ContentUnread), 3);
    }
}

/// Opens a connection whose windows are as small as the system allows.
fn slow(address: SocketAddr) -> TcpStream {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = rustix::net::socket(family, SocketType::STREAM, None).unwrap();
    sockopt::set_socket_recv_buffer_size(&socket, 4_096).unwrap();
    rustix::net::connect(&socket, &address).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream
}

/// Reads to the end in small pieces.
fn read_slowly(stream: &mut TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    let mut piece = [0; 50_000];
    while let count @ 1.. = stream.read(&mut piece).unwrap() {
        all.extend_from_slice(&piece[..count]);
        // Not a synchronisation: the reader is slow.
        thread::sleep(Duration::from_micros(500));
    }
    all
}

/// A response that has begun reaches the client completely, whatever else the client sends and however slowly it reads.
#[test]
fn every_byte_of_the_last_response_reaches_a_slow_reader_whatever_it_sends() {
    let unread = "POST PATH HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\n";
    // What is sent at once, and what is sent when the response has begun to arrive. The short response is completely in the
    // system's buffers by then, so a server that closes at once would have its response destroyed by the client's bytes.
    let rows = [
        ("GET PATH HTTP/1.0\r\n\r\n", 0, "\r\n"),
        ("GET PATH HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 0, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("GET PATH HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 100_000, ""),
        (unread, 200_000, ""),
    ];
    for running in limited(|_| {}) {
        for (path, length) in [("/large", 10_000), ("/produced", PRODUCED)] {
            for (head, behind, later) in rows {
                let mut stream = slow(running.local_addr());
                let request = [head.replace("PATH", path).into_bytes(), vec![b'x'; behind]].concat();
                stream.write_all(&request).unwrap();
                let mut first = [0];
                stream.read_exact(&mut first).unwrap();
                stream.write_all(later.as_bytes()).unwrap();
                let all = read_slowly(&mut stream);
                let at = all.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap() + 4;
                assert_eq!(all.len() - at, length, "{path}, {head:?}, {later:?}");
            }
        }
    }
}

/// As many requests as a connection may send, and more, in one go: the excess is more than the system buffers for a
/// connection that is not read, and more than a server processes in one turn.
#[test]
fn all_answers_of_a_connection_reach_a_slow_reader_whatever_else_it_sends() {
    // How many requests are allowed, how many are sent, and the padding of each.
    for (asked_max, asked, padding) in [(1_000, 2_500, 300), (100, 250, 600)] {
        for running in limited(|limits| limits.requests_per_connection_max = Some(asked_max)) {
            let request = format!("GET /large HTTP/1.1\r\nHost: a\r\nPadding: {}\r\n\r\n", "p".repeat(padding));
            assert!((asked - asked_max as usize) * request.len() > 64 * 1024);
            let mut stream = slow(running.local_addr());
            let mut writer = stream.try_clone().unwrap();
            let writing = thread::spawn(move || writer.write_all(request.repeat(asked).as_bytes()));
            let all = read_slowly(&mut stream);
            writing.join().unwrap().unwrap();
            let answers = all.windows(9).filter(|bytes| bytes == b"HTTP/1.1 ").count();
            let content = all.iter().filter(|byte| **byte == b'x').count();
            assert_eq!((answers, content), (asked_max as usize, asked_max as usize * 10_000));
        }
    }
}

#[test]
fn a_head_of_64_kib_in_single_bytes_is_served() {
    for running in limited(|limits| limits.timeouts.head_timeout_ms = None) {
        let begin = "GET / HTTP/1.1\r\nHost: a\r\nA: ";
        let head = format!("{begin}{}\r\n\r\n", "v".repeat(65_536 - begin.len() - 4));
        assert_eq!(head.len(), 65_536);
        let mut client = Client::connect(running.local_addr());
        head.as_bytes().chunks(1).for_each(|byte| client.send(byte));
        assert_eq!(client.response("GET").text(), "ok");
    }
}

/// Sends as much as possible; then checks that the connection ends and the next client is served.
#[test]
fn arbitrary_bytes_end_the_connection_and_the_server_continues() {
    for running in limited(|_| {}) {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut random = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        let fronts = [
            "",
            "GET / HTTP/1.1\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nA: ",
            "POST /receive HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
            "POST /receive HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n",
        ];
        for front in fronts.repeat(50) {
            let length = random() % 4_000;
            let bytes: Vec<u8> = front.bytes().chain((0..length).map(|_| random() as u8)).collect();
            let mut stream = TcpStream::connect(running.local_addr()).unwrap();
            stream.set_read_timeout(Some(DEADLINE)).unwrap();
            let _ = stream.write_all(&bytes).and_then(|()| stream.shutdown(Shutdown::Write));
            let mut answers = Vec::new();
            match stream.read_to_end(&mut answers) {
                Ok(_) => {}
                Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{}", bytes.escape_ascii()),
            }
            assert!(answers.is_empty() || answers.starts_with(b"HTTP/1.1 "), "{}", answers.escape_ascii());
        }
        assert_eq!(Client::connect(running.local_addr()).get("/").text(), "ok");
        eventually(|| running.counters().active == 0, "all are gone");
        running.stop();
        let report = running.join().unwrap();
        assert_eq!((report.counters.accepted, report.failed_workers()), (301, 0));
    }
}

#[test]
fn only_handlers_that_ask_get_trailers_and_never_forbidden_ones() {
    for running in limited(|_| {}) {
        let mut client = Client::connect(running.local_addr());
        for (path, told) in [("/trailers", "Digest=x;digest=y;"), ("/receive", "")] {
            let head = format!("POST {path} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
            let trailers = "Digest: x\r\nHost: b\r\nContent-Length: 9\r\ndigest: y\r\nAuthorization: c";
            client.send(format!("{head}2\r\nhi\r\n0\r\n{trailers}\r\n\r\n"));
            assert_eq!(client.response("POST").text(), told, "{path}");
        }
    }
}

/// RFC 9110 §7.8.
#[test]
fn the_interim_response_precedes_the_switch() {
    for running in limited(|_| {}) {
        let mut client = Client::connect(running.local_addr());
        let fields = "Connection: upgrade\r\nUpgrade: echo\r\nExpect: 100-continue\r\nContent-Length: 5";
        client.send(format!("POST /switch HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n"));
        assert_eq!(client.head(), "HTTP/1.1 100 Continue\r\n\r\n");
        client.send("hello, echo");
        let head = client.head();
        assert!(head.starts_with("HTTP/1.1 101 ") && head.contains("\r\nX-Content: hello\r\n"), "{head}");
        client.finish();
        assert_eq!(client.rest(), b", echo");
    }
}

#[test]
fn an_upgraded_connection_may_not_idle_forever() {
    for running in limited(|limits| limits.timeouts.upgraded_timeout_ms = Some(100)) {
        let mut client = Client::connect(running.local_addr());
        client.send("GET /switch HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n");
        assert!(client.head().starts_with("HTTP/1.1 101 "));
        assert!(client.is_ended());
        eventually(|| closed_for(&running, CloseReason::IdleTimeout) == 1, "it is closed for that");
    }
}

#[test]
fn a_response_without_a_free_buffer_is_503_and_the_connection_is_kept() {
    let (head_bytes_max, content_collected_max, response_bytes_max) = (4_096, 16_384, 16_384);
    let limits = Limits { head_bytes_max, target_bytes_max: 1_024, content_collected_max, ..Limits::default() };
    let limits = Limits { response_bytes_max, ..limits };
    for backend in backends() {
        // One buffer of 16 KiB, which another client's content occupies.
        let server = server(backend).limits(limits).buffers(ClassCounts::new([8, 8, 1, 0, 0]));
        let running = server.start(|_worker| Paths).unwrap();
        let mut other = Client::connect(running.local_addr());
        other.send("POST /switch HTTP/1.1\r\nHost: a\r\nContent-Length: 10000\r\nExpect: 100-continue\r\n\r\n");
        assert!(other.head().starts_with("HTTP/1.1 100 "));
        let mut client = Client::connect(running.local_addr());
        for _ in 0..3 {
            let response = client.get("/large");
            assert_eq!((response.status, response.field("Connection")), (503, None));
            assert!(response.field("Retry-After").is_some_and(|seconds| seconds.parse::<u32>().is_ok()));
            assert_eq!(client.get("/").text(), "ok");
        }
        drop(other);
        eventually(|| running.counters().active == 1, "the other one is gone");
        assert_eq!(client.get("/large").body.len(), 10_000);
        assert_eq!(running.counters().failed, 3);
    }
}
