//! Starting under bad conditions, in child processes: an address whose server was just killed, no threads, no memory, a
//! standard output that is not read. Where no example is suitable, the test starts itself again, in a role.
#![cfg(all(has_backend, target_os = "linux"))]

#[path = "support/backends.rs"]
mod backends;
#[path = "support/example.rs"]
mod example;
#[path = "support/http.rs"]
mod http;
#[path = "support/killed.rs"]
mod killed;

use std::env;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Instant;

use aurora_http::{Backend, Server, ServerError, handler_fn};
use example::{example, example_path};
use http::{Client, DEADLINE, eventually};
use killed::Killed;
use rustix::process::{Resource, Signal, getrlimit};

/// In a child's environment: the role that the test plays there.
const ROLE: &str = "AURORA_TEST_ROLE";
/// In a child's environment: where it listens.
const PLACE: &str = "AURORA_TEST_PLACE";

fn role() -> Option<(String, PathBuf)> {
    let place = env::var_os(PLACE).unwrap_or_default();
    Some((env::var(ROLE).ok()?, place.into()))
}

/// Runs this test in a child, in a role.
fn again(test: &str, role: &str, place: &Path) -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture"]).env(ROLE, role).env(PLACE, place);
    command.stdin(Stdio::null());
    command
}

impl Killed {
    fn ended(mut self) -> ExitStatus {
        let mut status = None;
        eventually(
            || {
                status = self.0.try_wait().unwrap();
                status.is_some()
            },
            "the child ends",
        );
        status.unwrap()
    }
}

/// Empty when there is none.
fn first_line(from: impl Read + Send + 'static) -> String {
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        let mut from = BufReader::new(from);
        let mut line = String::new();
        let _ = tell.send(from.read_line(&mut line).map(|_| line));
        // The rest of its output is discarded, so that the child never blocks on the pipe.
        let _ = std::io::copy(&mut from, &mut std::io::sink());
    });
    told.recv_timeout(DEADLINE).expect("a line, or the end").unwrap()
}

fn place(name: &str) -> PathBuf {
    let place = env::temp_dir().join(format!("aurora-{name}-{}.sock", std::process::id()));
    let _ = fs::remove_file(&place);
    place
}

fn auto_and(backends: Vec<Backend>) -> impl Iterator<Item = Backend> {
    [Backend::Auto].into_iter().chain(backends)
}

fn hello(address: &str, backend: Backend) -> Result<(Killed, String), String> {
    let mut command = example("hello");
    command.args(["--addr", address, "--workers", "2", "--connections", "100", "--backend", backend.name()]);
    let mut child = Killed(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap());
    let line = first_line(child.0.stdout.take().unwrap());
    match line.strip_prefix("listening on ").and_then(|rest| rest.split(' ').next()) {
        Some(address) => Ok((child, address.to_owned())),
        None => Err(complaint(child)),
    }
}

/// What a process that has not started says.
fn complaint(mut child: Killed) -> String {
    let mut said = String::new();
    child.0.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    said
}

#[test]
fn forty_starts_directly_after_a_kill() {
    for backend in auto_and(backends::backends()) {
        let (mut killed, address) = hello("127.0.0.1:0", backend).unwrap();
        for start in 1..=40 {
            // So that a connection is left over as well.
            let mut client = Client::connect(address.parse().unwrap());
            assert_eq!(client.get("/").status, 200);
            killed.signal(Signal::KILL);
            drop(killed);
            let started = hello(&address, backend);
            killed = started.unwrap_or_else(|said| panic!("{backend}, start {start}: {said}")).0;
        }
    }
}

/// `hello` under a limit on locked memory, as a separate user: the limit does not apply to privileged users, and counts the
/// rings of all processes of a user. Returns its start-up line, or its error.
#[cfg(has_uring)]
fn hello_with_locked_memory(kilobytes: u32, backend: Backend) -> Result<Killed, String> {
    let user = 1_000_000 + std::process::id();
    let become_user =
        format!("setpriv --reuid {user} --regid {user} --clear-groups --bounding-set -all --inh-caps -all");
    let arguments = format!("--addr 127.0.0.1:0 --backend {backend} --workers 2 --connections 500");
    let script = format!("ulimit -l {kilobytes} && exec {become_user} \"$0\" {arguments}");
    let mut command = Command::new("sh");
    command.args(["-c", &script]).arg(example_path("hello")).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = Killed(command.spawn().unwrap());
    if first_line(child.0.stdout.take().unwrap()).starts_with("listening on ") {
        return Ok(child);
    }
    Err(complaint(child))
}

/// The rings of a killed process count as its user's locked memory until the kernel has freed them, with a delay.
#[test]
#[cfg(has_uring)]
fn thirty_starts_directly_after_a_kill_with_little_locked_memory() {
    // In KiB: enough for one such server, but not for two.
    const ENOUGH: u32 = 400;
    if !backends::backends().contains(&Backend::Uring) {
        return eprintln!("SKIPPED: io_uring is not allowed here");
    }
    if !rustix::process::geteuid().is_root() {
        return eprintln!("SKIPPED: only root may become a user of whom nothing else runs");
    }
    if let Err(said) = hello_with_locked_memory(ENOUGH, Backend::Epoll) {
        return eprintln!("SKIPPED: no other user can run it, or there is no setpriv: {said}");
    }
    if hello_with_locked_memory(0, Backend::Uring).is_ok() {
        return eprintln!("SKIPPED: this kernel does not count rings as locked memory");
    }
    for start in 1..=30 {
        let child = hello_with_locked_memory(ENOUGH, Backend::Uring);
        let child = child.unwrap_or_else(|said| panic!("start {start}: {said}"));
        child.signal(Signal::KILL);
    }
}

/// Answers on a Unix-domain socket.
fn serve_unix(backend: Backend, place: &Path) {
    let server = Server::bind_unix(place).workers(2).connections(64).backend(backend).signals(true);
    server
        .on_start(|_| {
            eprintln!("ready");
        })
        .serve(|_worker| handler_fn(|_request, response| response.body("Hello")))
        .unwrap();
}

#[test]
fn twenty_starts_directly_after_a_kill_on_a_unix_socket() {
    const NAME: &str = "twenty_starts_directly_after_a_kill_on_a_unix_socket";
    if let Some((role, place)) = role() {
        return serve_unix(role.parse().unwrap(), &place);
    }
    for backend in auto_and(backends::backends()) {
        let place = place(NAME);
        for start in 1..=20 {
            let mut command = again(NAME, backend.name(), &place);
            let mut child = Killed(command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap());
            let line = first_line(child.0.stderr.take().unwrap());
            assert_eq!(line, "ready\n", "{backend}, start {start}");
            let mut stream = UnixStream::connect(&place).unwrap();
            stream.set_read_timeout(Some(DEADLINE)).unwrap();
            stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            child.signal(Signal::KILL);
        }
        fs::remove_file(&place).unwrap();
    }
}

#[test]
fn a_living_listener_is_distinguished_from_a_dead_one_at_once() {
    // It accepts nothing, but that makes no difference.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let begun = Instant::now();
    let server = Server::bind(address).unwrap().connections(64).workers(1);
    let error = server.start(|_worker| handler_fn(|_request, response| response.body("Hello"))).unwrap_err();
    assert!(matches!(error, ServerError::PortInUse(used) if used == address), "{error}");
    assert!(begun.elapsed() < patience(), "{:?}", begun.elapsed());
}

/// Less time than a server retries an address that no living process seems to hold.
fn patience() -> std::time::Duration {
    std::time::Duration::from_millis(1500)
}

#[test]
fn a_process_that_cannot_start_threads_says_so() {
    for backend in auto_and(backends::backends()) {
        // No system can provide such a stack.
        let mut command = example("hello");
        command.args(["--addr", "127.0.0.1:0", "--backend", backend.name()]).env("RUST_MIN_STACK", "70000000000000");
        let output = command.output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains("cannot start a thread: "), "{backend}: {said}");
        assert_eq!(output.status.code(), Some(1), "{backend}: {said}");
    }
}

/// Whether a process may have so many descriptors.
fn may_open(descriptors: u64) -> bool {
    getrlimit(Resource::Nofile).maximum.is_none_or(|most| most >= descriptors)
}

#[test]
fn a_process_without_enough_memory_says_what_to_lower() {
    // For 9 000 connections on each of two workers, plus the workers' own descriptors.
    let descriptors = 18_100;
    let says_memory = may_open(descriptors);
    if !says_memory {
        eprintln!("SKIPPED: no process may open {descriptors} descriptors here, which is found first");
    }
    for backend in auto_and(backends::backends()) {
        // From far too little to nearly the 96 MiB that they need.
        for kilobytes in [20_000, 40_000, 60_000, 80_000, 97_000] {
            let arguments = format!("--addr 127.0.0.1:0 --workers 2 --connections 9000 --backend {backend}");
            let script =
                format!("ulimit -n {descriptors} 2>/dev/null; ulimit -v {kilobytes} && exec \"$0\" {arguments}");
            let output = Command::new("sh").args(["-c", &script]).arg(example_path("hello")).output().unwrap();
            let said = String::from_utf8(output.stderr).unwrap();
            let is_said = if says_memory {
                said.contains("connections = 9000 on 2 worker(s) need ")
                    && said.contains(" of memory, which the system refuses: configure fewer connections")
            } else {
                said.contains("file descriptors, and the limit is")
            };
            assert!(is_said, "{backend}, {kilobytes}: {said}");
            assert_eq!(output.status.code(), Some(1), "{backend}, {kilobytes}: {said}");
        }
    }
}

/// In KiB; with less, a program may not be loaded, or have no memory for its arguments.
const LOADED: u32 = 7_000;

/// From a limit at which not even one thread can start to one that also allows for the workers' malloc arenas.
#[test]
fn at_any_memory_limit_a_server_starts_or_says_why_not() {
    for backend in auto_and(backends::backends()) {
        let mut told = [0, 0];
        for kilobytes in (4_000..90_000).step_by(500) {
            let arguments = format!("--addr 127.0.0.1:0 --workers 2 --connections 2000 --backend {backend}");
            let script = format!("ulimit -v {kilobytes} && exec \"$0\" {arguments}");
            let mut command = Command::new("sh");
            command.args(["-c", &script]).arg(example_path("hello")).stdout(Stdio::piped()).stderr(Stdio::piped());
            let mut child = Killed(command.spawn().unwrap());
            let line = first_line(child.0.stdout.take().unwrap());
            if line.starts_with("listening on ") {
                told[1] += 1;
                child.signal(Signal::TERM);
                assert_eq!(child.ended().code(), Some(0), "{backend}, {kilobytes}");
                continue;
            }
            let mut said = String::new();
            child.0.stderr.take().unwrap().read_to_string(&mut said).unwrap();
            // Below that, the program itself may not be loaded, or have no memory for its arguments.
            if !said.starts_with("Error: ") && kilobytes < LOADED {
                continue;
            }
            let code = child.ended().code();
            assert_eq!(code, Some(1), "{backend}, {kilobytes}: {said}");
            assert!(said.starts_with("Error: ") && !said.contains("panicked"), "{backend}, {kilobytes}: {said}");
            told[0] += 1;
        }
        assert!(told[0] > 0 && told[1] > 0, "{backend}: {told:?}");
    }
}

/// Serves with a full pipe as standard output, and exits without further output.
fn serve_unheard(place: &Path) -> ! {
    let (unread, full) = rustix::pipe::pipe().unwrap();
    rustix::io::ioctl_fionbio(&full, true).unwrap();
    while rustix::io::write(&full, &[b'x'; 4096]).is_ok() {}
    while rustix::io::write(&full, b"x").is_ok() {}
    rustix::io::ioctl_fionbio(&full, false).unwrap();
    rustix::stdio::dup2_stdout(&full).unwrap();
    let server = Server::bind_unix(place).workers(2).connections(64).announce().signals(true);
    let served = server.serve(|_worker| handler_fn(|_request, response| response.body("Hello")));
    drop(unread);
    std::process::exit(if served.is_ok() { 0 } else { 1 })
}

#[test]
fn an_unread_standard_output_does_not_block_the_server() {
    const NAME: &str = "an_unread_standard_output_does_not_block_the_server";
    if let Some((_, place)) = role() {
        serve_unheard(&place);
    }
    let place = place(NAME);
    let child = Killed(again(NAME, "serve", &place).stdout(Stdio::null()).spawn().unwrap());
    let mut stream = None;
    eventually(
        || {
            stream = UnixStream::connect(&place).ok();
            stream.is_some()
        },
        "it listens",
    );
    let mut stream = stream.unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    assert!(response.ends_with("Hello"), "{response}");
    drop(stream);
    child.signal(Signal::TERM);
    assert_eq!(child.ended().code(), Some(0));
}

/// The first signal begins a graceful stop, which an incomplete head delays for longer than any test waits; the second cuts.
/// (Two different signals, because the system may merge two equal ones.)
#[test]
fn two_signals_at_once_end_it() {
    for backend in auto_and(backends::backends()) {
        for signals in [[Signal::TERM, Signal::INT], [Signal::INT, Signal::TERM]].repeat(5) {
            let (child, address) = hello("127.0.0.1:0", backend).unwrap();
            let mut client = Client::connect(address.parse().unwrap());
            assert_eq!(client.get("/").status, 200);
            client.send("GET / HTTP/1.1\r\nHost: ");
            signals.into_iter().for_each(|signal| child.signal(signal));
            assert_eq!(child.ended().code(), Some(0), "{backend}");
            assert!(client.is_ended());
        }
    }
}

/// Signals on drop, whatever the reason: nothing should wait forever because an assertion failed.
struct Done<'a>(&'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// While servers start and fail to start, other threads execute programs.
#[test]
fn no_program_inherits_a_socket() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = (taken.local_addr().unwrap(), taken);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let ending = Done(&done);
        let starts = scope.spawn(|| {
            let place = place("inherits");
            let mut starts = 0;
            while !done.load(Ordering::Relaxed) {
                for backend in backends::backends() {
                    let server = Server::bind("127.0.0.1:0").unwrap().listen_unix(&place).backend(backend);
                    let server = server.listen(taken.0).unwrap().workers(2).connections(8);
                    let refused = server.start(|_worker| handler_fn(|_request, response| response.body("Hello")));
                    assert!(matches!(refused, Err(ServerError::PortInUse(_))));
                    let server = Server::bind_unix(&place).backend(backend).workers(2).connections(8);
                    drop(server.start(|_worker| handler_fn(|_request, response| response.body("Hello"))).unwrap());
                    starts += 1;
                }
            }
            starts
        });
        for _ in 0..300 {
            let output = Command::new("ls").args(["-l", "/proc/self/fd"]).output().unwrap();
            let listed = String::from_utf8(output.stdout).unwrap();
            let inherited: Vec<_> =
                listed.lines().filter(|line| line.contains("socket:") || line.contains("anon_inode")).collect();
            assert!(inherited.is_empty(), "{inherited:?}");
        }
        drop(ending);
        assert!(starts.join().unwrap() > 0);
    });
}
