//! Once a server serves, its workers never allocate.
//!
//! An allocator counts the allocations of worker threads once the server is ready, during thousands of requests of every
//! kind over real sockets. Then the same runs in a child process whose allocator aborts at the first allocation.
#![cfg(has_backend)]

#[path = "support/allocations.rs"]
mod allocations;
#[path = "support/http.rs"]
mod http;

use std::net::SocketAddr;
use std::process::Command;
use std::sync::{Condvar, Mutex, Once};
use std::task::Poll;
use std::thread;

use allocations::{abort_instead, count_this_thread, counted, start_counting, stop_counting};
use aurora_http::core::request::BodyLength;
use aurora_http::{
    Backend, CloseReason, Content, DeferToken, EventFeed, Flow, Handler, Limits, Method, Progress, Request,
    ResponseWriter, Resumer, Running, Server, Wire, WriteError, duplex, handler_fn,
};
use aurora_http_websocket::{Next, PIECE_BYTES_MAX, Socket};
use http::{Client, eventually};
use tungstenite::Message;

/// A handler that uses every flow, without allocating itself.
struct Flows {
    resumer: Resumer,
}

/// Tokens passed to another thread, with capacity for more than there are connections.
static TOKENS: Mutex<Vec<DeferToken>> = Mutex::new(Vec::new());
static ARRIVED: Condvar = Condvar::new();
static RESUMER: Mutex<Option<Resumer>> = Mutex::new(None);
static RESOLVES: Once = Once::new();

#[derive(Clone, Copy)]
enum Task {
    Count(usize),
    Echo,
    Trailers,
    Produce(u64),
}

static PATTERN: [u8; 16 * 1024] = [b'p'; 16 * 1024];

impl Flows {
    fn answer(request: &Request<'_>, response: &mut ResponseWriter<'_>) -> Result<(), WriteError> {
        match request.path() {
            b"/static" => response.static_body(&PATTERN),
            b"/copied" => response.body(&PATTERN[..]),
            b"/too-large" => response.body([0; 70_000]),
            b"/injected" => response.field("X", "a\r\nb"),
            b"/not-modified" => response.status(304),
            b"/fields" => {
                for value in ["a=1", "b=2", "c=3"] {
                    response.field("Set-Cookie", value)?;
                }
                response.body(request.fields().get("user-agent").unwrap_or(b"-"))
            }
            b"/scratch" => {
                // More than the arena holds: the pool provides the rest.
                for length in [100, 10_000, 10_000, 60_000] {
                    response.scratch(length)?.fill(b's');
                }
                let mut query = [0; 64];
                let value = request.query().and_then(|mut query| query.next()).map_or(&b""[..], |(_, value)| value);
                let value = aurora_http::core::request::Query::decode_into(value, &mut query).unwrap_or(b"malformed");
                response.body(value)
            }
            b"/allocates" => response.body(vec![b'v'; 10]),
            _ => response.body("Hello, World!"),
        }
    }
}

impl Handler for Flows {
    type Exchange = Task;

    fn request(&mut self, request: &Request<'_>, response: &mut ResponseWriter<'_>) -> Flow<Task> {
        match request.path() {
            b"/collect" => return Flow::Collect(Task::Count(0)),
            b"/receive" => return Flow::Receive(Task::Count(0)),
            b"/echo" => {
                let length = match request.body_length() {
                    BodyLength::Length(length) => Some(length),
                    _ => None,
                };
                let _ = response.stream(length);
                return Flow::Receive(Task::Echo);
            }
            b"/bytes" => {
                let _ = response.stream(Some(1 << 20));
                return Flow::Produce(Task::Produce(1 << 20));
            }
            b"/chunks" => {
                let _ = response.stream(None);
                return Flow::Produce(Task::Produce(1 << 20));
            }
            b"/deferred" => {
                let Ok(token) = response.defer() else { return Flow::Finish };
                TOKENS.lock().unwrap().push(token);
                ARRIVED.notify_one();
                return Flow::Defer(Task::Echo);
            }
            b"/same-turn" => {
                let Ok(token) = response.defer() else { return Flow::Finish };
                self.resumer.resume(token);
                return Flow::Defer(Task::Echo);
            }
            b"/upgrade" => {
                let _ = response.switch_protocols("echo", &[]);
                return Flow::Upgrade(Task::Echo);
            }
            b"/detach" => {
                let _ = response.switch_protocols("echo", &[]);
                return Flow::Detach(Task::Echo);
            }
            b"/trailers" => {
                response.keep_trailers();
                return Flow::Receive(Task::Trailers);
            }
            _ => {}
        }
        // The error is remembered, and the server answers in place of the handler.
        let _ = Self::answer(request, response);
        Flow::Finish
    }

    fn collected(
        &mut self,
        _: Task,
        request: &Request<'_>,
        content: &[u8],
        response: &mut ResponseWriter<'_>,
    ) -> Flow<Task> {
        let _ = if request.method() == Method::Put { response.status(204) } else { response.body(content) };
        Flow::Finish
    }

    fn receive(&mut self, task: Task, content: &mut Content<'_>, response: &mut ResponseWriter<'_>) -> Flow<Task> {
        let bytes = content.bytes();
        let (count, task) = match task {
            Task::Count(before) => (bytes.len(), Task::Count(before + bytes.len())),
            Task::Trailers => (bytes.len(), task),
            _ => (response.write(bytes).unwrap_or(bytes.len()), task),
        };
        content.consume(count);
        if !content.ended() || count < bytes.len() {
            return Flow::Receive(task);
        }
        if let Task::Trailers = task {
            let _ = response.body(content.trailers().and_then(|trailers| trailers.get("checksum")).unwrap_or(b"-"));
        }
        if let Task::Count(total) = task {
            let mut digits = [0; 20];
            let length = aurora_http::core::format::format_uint(total as u64, &mut digits).unwrap_or(0);
            let _ = response.body(&digits[..length]);
        }
        Flow::Finish
    }

    fn resume(&mut self, _: Task, response: &mut ResponseWriter<'_>) -> Flow<Task> {
        let _ = response.body("later");
        Flow::Finish
    }

    fn produce(&mut self, task: Task, response: &mut ResponseWriter<'_>) -> Flow<Task> {
        let Task::Produce(left) = task else { return Flow::Finish };
        let piece = PATTERN.len().min(left as usize);
        match response.write(&PATTERN[..piece]) {
            Ok(count) if (count as u64) < left => Flow::Produce(Task::Produce(left - count as u64)),
            _ => Flow::Finish,
        }
    }
}

/// Two workers, ready to serve; from here on they must not allocate.
fn serve(backend: Backend) -> Running {
    let mut limits = Limits { requests_per_connection_max: None, ..Limits::default() };
    // Long enough for clients on a busy machine to be in time, short enough for the test to wait for it.
    limits.timeouts.idle_timeout_ms = Some(4_000);
    limits.timeouts.head_timeout_ms = Some(4_000);
    let server = Server::bind("127.0.0.1:0").unwrap().workers(2).connections(32).limits(limits);
    let server = server.server_name("no-alloc").backend(backend);
    TOKENS.lock().unwrap().reserve(100);
    *RESUMER.lock().unwrap() = Some(server.resumer());
    let running = server.start(move |worker| {
        count_this_thread(true);
        Flows { resumer: worker.resumer() }
    });
    let running = running.unwrap();
    RESOLVES.call_once(|| drop(thread::spawn(resolve)));
    start_counting();
    running
}

/// Resolves tokens of the current server as they arrive.
fn resolve() {
    let mut tokens = TOKENS.lock().unwrap();
    loop {
        tokens = match tokens.pop() {
            Some(token) => {
                drop(tokens);
                RESUMER.lock().unwrap().as_ref().map(|resumer| resumer.resume(token));
                TOKENS.lock().unwrap()
            }
            None => ARRIVED.wait(tokens).unwrap(),
        };
    }
}

fn post(target: &str, content: &[u8]) -> Vec<u8> {
    let head = format!("POST {target} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", content.len());
    [head.as_bytes(), content].concat()
}

fn chunked(target: &str, content: &[u8]) -> Vec<u8> {
    let mut request = format!("POST {target} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n").into_bytes();
    for chunk in content.chunks(1_000) {
        request.extend(format!("{:x};a=\"b\"\r\n", chunk.len()).bytes());
        request.extend(chunk);
        request.extend(b"\r\n");
    }
    request.extend(b"0\r\nTrailer: t\r\n\r\n");
    request
}

/// Sends thousands of requests of every kind; returns how many of them reach a handler.
fn load(address: SocketAddr) -> u64 {
    kept(address)
        + pipelined(address)
        + content(address)
        + refused(address)
        + connections(address)
        + deferred(address)
        + switched(address)
}

/// Answers from another thread and within the same turn, and clients that do not wait for them.
fn deferred(address: SocketAddr) -> u64 {
    let mut requests = 0;
    for target in ["/deferred", "/same-turn"].repeat(20) {
        // New connections each time, which are never idle before their last answer.
        let mut clients: Vec<Client> = (0..8).map(|_| Client::connect(address)).collect();
        for client in &mut clients {
            client.send(format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n").repeat(3));
        }
        for client in &mut clients {
            for _ in 0..3 {
                assert_eq!(client.response("GET").text(), "later");
                requests += 1;
            }
        }
    }
    for _ in 0..16 {
        // Whether or not it was answered, the connection ends without further output.
        Client::connect(address).send("GET /deferred HTTP/1.1\r\nHost: x\r\n\r\n");
        requests += 1;
    }
    requests
}

/// Other protocols, detached connections, trailer fields.
fn switched(address: SocketAddr) -> u64 {
    for _ in 0..30 {
        for (target, raw) in [("/upgrade", "raw"), ("/detach", "")] {
            let mut client = Client::connect(address);
            client
                .send(format!("GET {target} HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n{raw}"));
            assert!(client.head().starts_with("HTTP/1.1 101 "));
            client.finish();
            assert_eq!(client.rest(), raw.as_bytes());
        }
    }
    let mut client = Client::connect(address);
    for length in [0, 1, 5_000, 60_000].repeat(10) {
        let content = chunked("/trailers", &vec![b't'; length]);
        let without_end = content.len() - 2;
        client.send([&content[..without_end], b"Checksum: c\r\n\r\n"].concat());
        assert_eq!(client.response("POST").text(), "c");
    }
    60 + 40
}

fn kept(address: SocketAddr) -> u64 {
    let targets = [
        "/",
        "/static",
        "/copied",
        "/too-large",
        "/injected",
        "/not-modified",
        "/fields",
        "/scratch?a=%41",
        "/bytes",
        "/chunks",
    ];
    let mut client = Client::connect(address);
    let mut requests = 0;
    for target in targets {
        for _ in 0..if matches!(target, "/bytes" | "/chunks") { 10 } else { 200 } {
            let expected = match target {
                "/too-large" | "/injected" => 500,
                "/not-modified" => 304,
                _ => 200,
            };
            let response = client.get(target);
            assert_eq!(response.status, expected, "{target}");
            if expected == 200 && target.ends_with('s') && target != "/fields" {
                assert_eq!(response.body.len(), 1 << 20);
            }
            assert_eq!(client.request("HEAD", target).status, expected);
            requests += 2;
        }
    }
    requests
}

fn pipelined(address: SocketAddr) -> u64 {
    let mut client = Client::connect(address);
    for _ in 0..100 {
        client.send("GET /fields HTTP/1.1\r\nHost: x\r\nUser-Agent: pipe\r\n\r\n".repeat(16));
        for _ in 0..16 {
            assert_eq!(client.response("GET").text(), "pipe");
        }
    }
    1_600
}

fn content(address: SocketAddr) -> u64 {
    let mut client = Client::connect(address);
    let mut requests = 0;
    for length in [0, 1, 5_000, 60_000] {
        let content = vec![b'c'; length];
        for target in ["/collect", "/receive", "/echo", "/unread"] {
            for _ in 0..50 {
                for request in [post(target, &content), chunked(target, &content)] {
                    if target == "/unread" && request.windows(7).any(|seven| seven == b"chunked") {
                        continue; // ends the connection: see below
                    }
                    let sending = client.send_aside(request);
                    let response = client.response("POST");
                    sending.join().unwrap();
                    assert_eq!(response.status, 200);
                    match target {
                        "/collect" | "/echo" => assert_eq!(response.body, content),
                        "/receive" => assert_eq!(response.text(), length.to_string()),
                        _ => assert_eq!(response.text(), "Hello, World!"),
                    }
                    requests += 1;
                }
            }
        }
    }
    for _ in 0..50 {
        client.send("PUT /collect HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
        assert!(client.head().starts_with("HTTP/1.1 100 "));
        client.send("hi");
        assert_eq!(client.response("PUT").status, 204);
        requests += 1;
    }
    requests
}

/// Requests that end their connections.
fn refused(address: SocketAddr) -> u64 {
    let heads = [
        ("bad\r\n\r\n".to_owned(), 400),
        ("GET / HTTP/1.1\r\n\r\n".to_owned(), 400),
        ("GET / HTTP/2.0\r\nHost: x\r\n\r\n".to_owned(), 505),
        ("GET / HTTP/1.1\r\nHost: x\r\nExpect: y\r\n\r\n".to_owned(), 417),
        ("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n".to_owned(), 501),
        (format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "t".repeat(9_000)), 414),
        (format!("GET / HTTP/1.1\r\nHost: x\r\n{}\r\n", "X: y\r\n".repeat(70)), 431),
        (format!("GET / HTTP/1.1\r\nHost: x\r\nA: {}\r\n\r\n", "a".repeat(70_000)), 431),
    ];
    for (head, status) in &heads {
        for _ in 0..30 {
            let mut client = Client::connect(address);
            client.send(head);
            assert_eq!(client.response("GET").status, *status);
            assert!(client.is_ended());
        }
    }
    let ends = [
        ("POST /collect HTTP/1.1\r\nHost: x\r\nContent-Length: 300000\r\n\r\n", 413),
        ("POST /receive HTTP/1.1\r\nHost: x\r\nContent-Length: 3000000\r\n\r\n", 413),
        ("POST /receive HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", 400),
        ("POST /unread HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 200),
    ];
    for (head, status) in ends {
        for _ in 0..30 {
            let mut client = Client::connect(address);
            client.send(head);
            assert_eq!(client.response("POST").status, status);
            assert!(client.is_ended());
        }
    }
    30 * ends.len() as u64
}

fn connections(address: SocketAddr) -> u64 {
    for round in 0..400 {
        let mut client = Client::connect(address);
        match round % 4 {
            0 => client.send("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"),
            1 => client.send("GET / HTTP/1.0\r\n\r\n"),
            _ => {
                client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
                client.finish();
            }
        }
        assert_eq!(client.response("GET").text(), "Hello, World!");
        assert!(client.is_ended());
        // Disconnects inside a head, and inside content.
        Client::connect(address).send("GET / HT");
        Client::connect(address).send("POST /receive HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhe");
    }
    // One is closed for being idle, the other answered 408 for being slow.
    let mut idle: Vec<Client> = (0..5).map(|_| Client::connect(address)).collect();
    for client in &mut idle {
        assert_eq!(client.get("/").status, 200);
    }
    let mut slow = Client::connect(address);
    slow.send("GET /");
    assert_eq!(slow.response("GET").status, 408);
    for client in &mut idle {
        assert!(client.is_ended());
    }
    400 + 400 + 5
}

#[test]
fn no_worker_allocates_while_serving() {
    let _alone = ONE_AT_A_TIME.lock();
    ARRIVED.notify_all(); // on systems where its first use allocates
    if std::env::var_os(ABORT).is_some() {
        abort_instead();
    }
    let all =
        [(Backend::Epoll, cfg!(has_epoll)), (Backend::Kqueue, cfg!(has_kqueue)), (Backend::Uring, cfg!(has_uring))];
    for (backend, _) in all.into_iter().filter(|(_, is_built)| *is_built) {
        nothing_is_allocated_on(backend);
    }
}

fn nothing_is_allocated_on(backend: Backend) {
    #[cfg(has_uring)]
    if let (Backend::Uring, Err(refusal)) = (backend, aurora_http::uring::probe()) {
        return eprintln!("not on io_uring: {refusal}");
    }
    let running = serve(backend);
    let requests = load(running.local_addr());
    assert_eq!(counted(), 0, "allocations in {requests} requests");
    assert!(requests > 7_000, "{requests}");
    eventually(|| running.counters().active == 0, "every connection is closed");
    let counters = running.counters();
    assert_eq!(counters.requests, requests, "{counters:?}");
    assert_eq!(counters.closed.of(CloseReason::IdleTimeout), 5, "{counters:?}");
    assert_eq!(counted(), 0, "allocations while connections ended");
    // The count works: an allocation in a handler is counted.
    if std::env::var_os(ALLOCATES).is_some() || std::env::var_os(ABORT).is_none() {
        assert_eq!(Client::connect(running.local_addr()).get("/allocates").status, 200);
        assert_eq!(counted(), 1);
    }
    stop_counting();
}

/// Sends every message of a WebSocket back.
fn echo_messages() -> impl Handler {
    handler_fn(|request, response| {
        aurora_http_websocket::accept(request, response, &[])?;
        response.wake_after(30_000);
        let mut socket = Socket::new(1 << 20);
        let mut turn = move |wire: &mut Wire<'_, '_>| {
            let mut bytes = [0; PIECE_BYTES_MAX];
            while socket.has_room(wire)? {
                match socket.read(wire, &mut bytes)? {
                    Poll::Ready(Next::Piece(piece)) => _ = socket.send(wire, piece, &bytes[..piece.length])?,
                    Poll::Ready(Next::End(_)) => return socket.finish(wire),
                    Poll::Ready(Next::Pong) => {}
                    Poll::Pending => break,
                }
            }
            Ok::<_, WriteError>(Progress::More)
        };
        Ok::<_, WriteError>(duplex(move |wire| turn(wire).unwrap_or(Progress::Done)))
    })
}

#[test]
fn no_worker_allocates_for_the_messages_of_a_websocket() {
    let _alone = ONE_AT_A_TIME.lock();
    let server = Server::bind("127.0.0.1:0").unwrap().workers(2).connections(32);
    let running = server.start(|_| (count_this_thread(true), echo_messages()).1).unwrap();
    start_counting();
    for length in [0, 10, 1_000, 70_000].repeat(10) {
        let stream = Client::connect(running.local_addr()).into_stream();
        let (mut socket, _) = tungstenite::client(format!("ws://{}/", running.local_addr()), stream).unwrap();
        for message in [Message::text("t".repeat(length)), Message::binary(vec![0xff; length])] {
            socket.send(Message::Ping("p".into())).unwrap();
            socket.send(message.clone()).unwrap();
            assert!(socket.read().unwrap().is_pong() && socket.read().unwrap() == message);
        }
        socket.close(None).unwrap();
        assert!(socket.read().unwrap().is_close() && socket.read().is_err());
    }
    eventually(|| running.counters().active == 0, "every connection is closed");
    assert_eq!(stop_counting(), 0);
}

/// An event is made once, whoever listens, and passing it on takes nothing.
#[test]
fn events_are_allocated_once_for_all_who_listen() {
    static FEED: EventFeed = EventFeed::new(8);
    const LISTENERS: usize = 20;
    let _alone = ONE_AT_A_TIME.lock();
    let server = Server::bind("127.0.0.1:0").unwrap().workers(2).connections(32);
    let start = server.start(|worker| {
        count_this_thread(true);
        let resumer = worker.resumer();
        handler_fn(move |request, response| FEED.join(request, response, &resumer, 4))
    });
    let running = start.unwrap();
    let mut listeners: Vec<Client> = Vec::new();
    let events = |listeners: &mut [Client]| {
        for _ in 0..50 {
            let number = FEED.send("it rains");
            let event = format!("id: {number}\ndata: it rains\n\n");
            for listener in &mut *listeners {
                let chunk = listener.take(7 + event.len() + 2);
                assert!(String::from_utf8_lossy(&chunk).contains(&event));
            }
        }
    };
    while listeners.len() < LISTENERS {
        let mut listener = Client::connect(running.local_addr());
        listener.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        assert!(listener.head().starts_with("HTTP/1.1 200 "));
        listeners.push(listener);
    }
    // The mailboxes have places from then on.
    events(&mut listeners);
    start_counting();
    events(&mut listeners);
    assert_eq!(stop_counting(), 0, "by workers");
    let count_of = |feed: &EventFeed| {
        start_counting();
        count_this_thread(true);
        feed.send("it rains");
        count_this_thread(false);
        stop_counting()
    };
    let nobody = EventFeed::new(8);
    nobody.send("the first takes the memory for those that are kept");
    assert_eq!(count_of(&FEED), count_of(&nobody), "for {LISTENERS} who listen and for nobody");
}

/// In a child's environment: its allocator aborts.
const ABORT: &str = "AURORA_TEST_ALLOCATION_ABORTS";
/// In a child's environment: its handler allocates.
const ALLOCATES: &str = "AURORA_TEST_HANDLER_ALLOCATES";

/// Only one test at a time: where close-on-exec takes a call of its own, a child that is started during the other test may
/// inherit one of its sockets and keep it open.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

#[test]
fn no_worker_allocates_under_an_allocator_that_aborts() {
    let _alone = ONE_AT_A_TIME.lock();
    let child = |variables: &[&str]| {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "no_worker_allocates_while_serving", "--nocapture"]);
        command.envs(variables.iter().map(|name| (name, "1"))).output().unwrap()
    };
    let output = child(&[ABORT]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let output = child(&[ABORT, ALLOCATES]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("an allocation of"), "{said}");
}
