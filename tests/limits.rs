//! Limits and deadlines over real sockets, where the table's cases, which say everything at once, cannot show them.
#![cfg(has_backend)]

#[path = "support/http.rs"]
mod http;

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::Duration;

use aurora_http::{
    ClassCounts, CloseReason, Content, Flow, Handler, Limits, RateMin, Request, ResponseWriter, Running, Server,
};
use http::{Client, DEADLINE, eventually};

/// `/receive` takes content, `/endless` never stops answering, `/large` copies 10 000 bytes, `/switch` takes content and
/// then switches to an echo.
struct Paths;

impl Handler for Paths {
    type Exchange = ();

    fn request(&mut self, request: &Request<'_>, response: &mut ResponseWriter<'_>) -> Flow<()> {
        match request.path() {
            b"/receive" => return Flow::Receive(()),
            b"/switch" => return Flow::Collect(()),
            b"/endless" => {
                let _ = response.stream(None);
                return Flow::Produce(());
            }
            b"/large" => drop(response.body([b'x'; 10_000])),
            _ => drop(response.body("ok")),
        }
        Flow::Finish
    }

    fn collected(&mut self, (): (), _: &Request<'_>, content: &[u8], response: &mut ResponseWriter<'_>) -> Flow<()> {
        let switched = response.switch_protocols("echo", &[("X-Content", content)]);
        if switched.is_ok() { Flow::Upgrade(()) } else { Flow::Finish }
    }

    /// An echo; of HTTP's content, the end of it.
    fn receive(&mut self, (): (), content: &mut Content<'_>, response: &mut ResponseWriter<'_>) -> Flow<()> {
        if content.ended() {
            content.consume(usize::MAX);
            let _ = response.body("received");
            return Flow::Finish;
        }
        let count = response.write(content.bytes()).unwrap_or(usize::MAX);
        content.consume(count);
        Flow::Receive(())
    }

    fn produce(&mut self, (): (), response: &mut ResponseWriter<'_>) -> Flow<()> {
        let _ = response.write(&[b'x'; 1_000]);
        Flow::Produce(())
    }
}

fn server() -> Server {
    Server::bind("127.0.0.1:0").unwrap().workers(1).connections(16)
}

fn limited(change: impl FnOnce(&mut Limits)) -> Running {
    let mut limits = Limits::default();
    change(&mut limits);
    server().limits(limits).start(|_worker| Paths).unwrap()
}

fn closed_for(running: &Running, reason: CloseReason) -> u64 {
    running.counters().closed.of(reason)
}

#[test]
fn content_that_drips_is_answered_408_whatever_its_progress() {
    let running = limited(|limits| {
        limits.timeouts.rate_min = Some(RateMin { bytes: 1_000, window_ms: 300 });
        // What drips in behind the answer ends nothing before it is read.
        limits.timeouts.linger_timeout_ms = None;
    });
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

#[test]
fn a_response_that_is_taken_too_slowly_is_cut_whatever_its_progress() {
    let rate_min = Some(RateMin { bytes: u32::MAX, window_ms: 300 });
    let running = limited(|limits| limits.timeouts.rate_min = rate_min);
    // It is read as fast as it comes: gigabytes in a third of a second are too much to ask.
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

#[test]
fn lingering_ends_by_its_time() {
    let running = limited(|limits| limits.timeouts.linger_timeout_ms = Some(100));
    let mut client = Client::connect(running.local_addr());
    client.send("bad\r\n\r\n");
    assert_eq!(client.response("GET").status, 400);
    assert!(client.is_ended(), "its end comes with the answer");
    // The client stays, and the connection is gone all the same.
    eventually(|| closed_for(&running, CloseReason::BadRequest) == 1, "it is closed");
    drop(client);
}

#[test]
fn lingering_ends_by_its_bytes() {
    let running = limited(|limits| {
        limits.timeouts.linger_timeout_ms = None;
        limits.linger_bytes_max = 1_000;
    });
    let mut client = Client::connect(running.local_addr());
    client.send("bad\r\n\r\n");
    assert_eq!(client.response("GET").status, 400);
    assert!(client.is_ended());
    let received = |count| eventually(|| running.counters().bytes_received == count, "it is received");
    received(7);
    client.send([b'x'; 1_000]);
    received(1_007);
    assert_eq!(running.counters().active, 1);
    client.send("x");
    eventually(|| running.counters().active == 0, "it is closed");
}

#[test]
fn a_head_of_64_kib_in_single_bytes_is_served() {
    let running = limited(|limits| limits.timeouts.head_timeout_ms = None);
    let begin = "GET / HTTP/1.1\r\nHost: a\r\nA: ";
    let head = format!("{begin}{}\r\n\r\n", "v".repeat(65_536 - begin.len() - 4));
    assert_eq!(head.len(), 65_536);
    let mut client = Client::connect(running.local_addr());
    head.as_bytes().chunks(1).for_each(|byte| client.send(byte));
    assert_eq!(client.response("GET").text(), "ok");
}

/// What can be sent is sent; then everything has an end, and the next client is served.
#[test]
fn any_bytes_at_all_end_and_the_server_serves_on() {
    let running = limited(|_| {});
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
    let report = running.join();
    assert_eq!((report.counters.accepted, report.failed_workers()), (301, 0));
}

/// RFC 9110 §7.8.
#[test]
fn the_interim_response_precedes_the_switch() {
    let running = limited(|_| {});
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

#[test]
fn an_upgraded_connection_may_not_idle_for_ever() {
    let running = limited(|limits| limits.timeouts.upgraded_timeout_ms = Some(100));
    let mut client = Client::connect(running.local_addr());
    client.send("GET /switch HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n");
    assert!(client.head().starts_with("HTTP/1.1 101 "));
    assert!(client.is_ended());
    eventually(|| closed_for(&running, CloseReason::IdleTimeout) == 1, "it is closed for that");
}

#[test]
fn a_response_for_which_no_buffer_is_free_is_503_and_the_connection_stays() {
    let (head_bytes_max, content_collected_max, response_bytes_max) = (4_096, 16_384, 16_384);
    let limits = Limits { head_bytes_max, target_bytes_max: 1_024, content_collected_max, ..Limits::default() };
    let limits = Limits { response_bytes_max, ..limits };
    // One buffer of 16 KiB, which the content of another client takes.
    let server = server().limits(limits).buffers(ClassCounts::new([8, 8, 1, 0, 0]));
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
