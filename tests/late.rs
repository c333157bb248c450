//! A worker that does not run for longer than its deadlines, because a handler blocks or the process was stopped: input that
//! had arrived in time by then still counts as in time.
#![cfg(all(has_backend, target_os = "linux"))]

#[path = "support/backends.rs"]
mod backends;
#[path = "support/http.rs"]
mod http;
#[path = "support/killed.rs"]
mod killed;

use std::env;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::{Duration, Instant};

use aurora_http::{Backend, Content, Flow, Handler, Limits, Request, ResponseWriter, Server};
use backends::backends;
use http::{Client, DEADLINE, eventually};
use killed::Killed;
use rustix::process::Signal;

/// The timeouts for first bytes, heads, content and the next request.
const TIMEOUT: Duration = Duration::from_millis(300);
/// Input that took longer than this from its first byte to its last may have been late.
const IN_TIME: Duration = Duration::from_millis(200);
/// For how long the worker does not run.
const BLOCKED: Duration = Duration::from_millis(600);
/// A round in which the machine was too slow for the clients proves nothing and is repeated.
const ROUNDS_MAX: usize = 20;

/// In a child's environment: the backend that it serves on.
const ROLE: &str = "AURORA_TEST_ROLE";

/// `/receive` receives content; `/block` blocks its worker, and signals when it begins to.
struct Blocks(Option<Sender<()>>);

impl Handler for Blocks {
    type Exchange = usize;

    fn request(&mut self, request: &Request<'_>, response: &mut ResponseWriter<'_>) -> Flow<usize> {
        match request.path() {
            b"/receive" => return Flow::Receive(0),
            b"/block" => {
                self.0.as_ref().unwrap().send(()).unwrap();
                // Not a synchronisation: blocking is what the handler does wrong.
                thread::sleep(BLOCKED);
            }
            _ => {}
        }
        let _ = response.body("ok");
        Flow::Finish
    }

    fn receive(&mut self, before: usize, content: &mut Content<'_>, response: &mut ResponseWriter<'_>) -> Flow<usize> {
        let received = before + content.bytes().len();
        if !content.ended() {
            return Flow::Receive(received);
        }
        let _ = response.body(format!("{received} bytes"));
        Flow::Finish
    }
}

fn server(backend: Backend) -> Server {
    let mut limits = Limits::default();
    let timeout_ms = Some(TIMEOUT.as_millis() as u32);
    limits.timeouts.first_byte_timeout_ms = timeout_ms;
    limits.timeouts.head_timeout_ms = timeout_ms;
    limits.timeouts.content_timeout_ms = timeout_ms;
    limits.timeouts.idle_timeout_ms = timeout_ms;
    limits.timeouts.rate_min = None;
    Server::bind("127.0.0.1:0").unwrap().backend(backend).workers(1).connections(16).limits(limits)
}

/// A request that is being sent while its worker stops running.
struct Row {
    what: &'static str,
    /// What was sent before that.
    before: String,
    /// What is sent in the meantime.
    meanwhile: Vec<String>,
    /// Answers to both together.
    answers: Vec<&'static str>,
}

fn rows() -> Vec<Row> {
    let head = "POST /receive HTTP/1.1\r\nHost: a\r\n";
    let row = |what, before: &str, meanwhile: &[&str], answers: &[&'static str]| Row {
        what,
        before: before.to_owned(),
        meanwhile: meanwhile.iter().map(|piece| (*piece).to_owned()).collect(),
        answers: answers.to_vec(),
    };
    let (get, many) = ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(10_000));
    vec![
        row("the first byte", "", &["GET / HTTP/1.1\r\n", "Host: a\r\n\r\n"], &["ok"]),
        row("a head", "GET / HT", &["TP/1.1\r\nHo", "st: a\r\n", "\r\n"], &["ok"]),
        // More than one receive takes.
        row("a long head", "GET / HTTP/1.1\r\nA: ", &[&many, &many, "\r\nHost: a\r\n\r\n"], &["ok"]),
        row("the next request", get, &["GET / HTTP/1.1\r\n", "Host: a\r\n\r\n"], &["ok", "ok"]),
        row("content", &format!("{head}Content-Length: 5\r\n\r\nhe"), &["l", "lo"], &["5 bytes"]),
        row("long content", &format!("{head}Content-Length: 20001\r\n\r\nx"), &[&many, &many], &["20001 bytes"]),
        row(
            "chunks",
            &format!("{head}Transfer-Encoding: chunked\r\n\r\n5\r\nhe"),
            &["llo\r\n", "0\r\n\r\n"],
            &["5 bytes"],
        ),
    ]
}

/// The clients of all rows, whose worker at `address` does not run during `unseen`, which gets the rest that they send.
/// Returns whether they were in time.
fn round(address: SocketAddr, name: &str, unseen: impl FnOnce(&mut dyn FnMut())) -> bool {
    let rows = rows();
    let begun = Instant::now();
    let mut clients: Vec<Client> = rows.iter().map(|_| Client::connect(address)).collect();
    for (client, row) in clients.iter_mut().zip(&rows) {
        client.send(&row.before);
    }
    // The one whose request was answered idles from here on.
    for (client, row) in clients.iter_mut().zip(&rows) {
        row.answers.iter().skip(1).for_each(|answer| assert_eq!(client.response("GET").text(), *answer));
    }
    let mut taken = None;
    unseen(&mut || {
        let pieces = rows.iter().map(|row| row.meanwhile.len()).max().unwrap();
        for at in 0..pieces {
            for (client, row) in clients.iter_mut().zip(&rows) {
                // A client that was too late may find its connection closed.
                row.meanwhile.get(at).map(|piece| client.try_send(piece));
            }
        }
        taken = Some(begun.elapsed());
    });
    if taken.is_none_or(|taken| taken > IN_TIME) {
        return false;
    }
    for (client, row) in clients.iter_mut().zip(&rows) {
        let response = client.try_response().unwrap_or_else(|| panic!("{name}, {}: closed", row.what));
        assert_eq!((response.status, response.text()), (200, row.answers[0]), "{name}, {}", row.what);
    }
    true
}

#[test]
fn input_during_a_handler_that_blocks_past_the_deadlines_is_in_time() {
    for backend in backends() {
        let (tell, told) = mpsc::channel();
        let running = server(backend).start(move |_worker| Blocks(Some(tell.clone()))).unwrap();
        let address = running.local_addr();
        let is_proven = (0..ROUNDS_MAX).any(|_| {
            round(address, backend.name(), |send_meanwhile| {
                let mut blocking = Client::connect(address);
                blocking.send("GET /block HTTP/1.1\r\nHost: a\r\n\r\n");
                told.recv_timeout(DEADLINE).unwrap();
                send_meanwhile();
                assert_eq!(blocking.response("GET").text(), "ok");
            })
        });
        assert!(is_proven, "{backend}: no round of {ROUNDS_MAX} was in time");
    }
}

impl Killed {
    /// Whether the process has stopped: none of its threads runs.
    fn is_stopped(&self) -> bool {
        let mut tasks = fs::read_dir(format!("/proc/{}/task", self.0.id())).unwrap().flatten();
        tasks.all(|task| {
            let stat = fs::read_to_string(task.path().join("stat")).unwrap_or_default();
            stat.rsplit_once(')').is_some_and(|(_, state)| state.trim_start().starts_with('T'))
        })
    }
}

/// Serves in a child, which says on its standard error where.
fn child(test: &str, backend: Backend) -> (Killed, SocketAddr) {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture"]).env(ROLE, backend.name());
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = Killed(command.spawn().unwrap());
    let mut line = String::new();
    BufReader::new(child.0.stderr.take().unwrap()).read_line(&mut line).unwrap();
    (child, line.trim_end().parse().unwrap_or_else(|_| panic!("no address: {line}")))
}

#[test]
fn input_while_the_process_is_stopped_past_the_deadlines_is_in_time() {
    const NAME: &str = "input_while_the_process_is_stopped_past_the_deadlines_is_in_time";
    if let Ok(backend) = env::var(ROLE) {
        let server = server(backend.parse().unwrap()).on_start(|announcement| eprintln!("{}", announcement.address));
        server.serve(|_worker| Blocks(None)).unwrap();
        return;
    }
    for backend in backends() {
        let (child, address) = child(NAME, backend);
        let is_proven = (0..ROUNDS_MAX).any(|_| {
            round(address, backend.name(), |send_meanwhile| {
                child.signal(Signal::STOP);
                eventually(|| child.is_stopped(), "it stops");
                send_meanwhile();
                // Not a synchronisation: this is how long it is stopped.
                thread::sleep(BLOCKED);
                child.signal(Signal::CONT);
            })
        });
        assert!(is_proven, "{backend}: no round of {ROUNDS_MAX} was in time");
    }
}
