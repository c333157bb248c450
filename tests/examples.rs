//! The examples, run as their users run them.
#![cfg(has_backend)]

#[path = "support/example.rs"]
mod example;
#[path = "support/http.rs"]
mod http;

use std::process::Command;
use std::sync::mpsc;
use std::thread;

use example::{Example, example, example_path};
use http::{Client, DEADLINE, Response};
use rustix::process::Signal;

#[test]
fn hello_answers_and_ends_with_success_on_either_signal() {
    for signal in [Signal::TERM, Signal::INT] {
        let hello = Example::start("hello", &["--workers", "2", "--connections", "100"]);
        let line = format!("listening on {} backend=", hello.address);
        assert!(hello.line.starts_with(&line), "{}", hello.line);
        assert!(hello.line.contains(" workers=2 connections=100 memory="), "{}", hello.line);
        let mut client = Client::connect(hello.address);
        let response = client.get("/");
        assert_eq!((response.status, response.text()), (200, "Hello, World!\n"));
        hello.signal(signal);
        assert!(client.is_ended(), "an idle connection ends at once");
        assert_eq!(hello.wait().code(), Some(0), "{signal:?}");
    }
}

#[test]
fn sigterm_finishes_exchanges_and_a_second_one_does_not() {
    for signals in [1, 2] {
        let server = Example::start("bench_server", &["--workers", "1"]);
        let mut client = Client::connect(server.address);
        client.send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nabc");
        let head = client.head();
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        let mut idle = Client::connect(server.address);
        assert_eq!(idle.get("/").status, 200);
        server.signal(Signal::TERM);
        assert!(idle.is_ended(), "the first signal has arrived");
        if signals == 1 {
            client.send("def");
            assert_eq!(client.rest(), b"abcdef");
        } else {
            server.signal(Signal::TERM);
            assert_eq!(client.rest(), b"abc");
        }
        assert_eq!(server.wait().code(), Some(0));
    }
}

#[test]
fn sigterm_under_load_cuts_no_response() {
    let server = Example::start("bench_server", &["--workers", "2"]);
    let address = server.address;
    let (tell, told) = mpsc::channel();
    let load = || {
        let tell = tell.clone();
        thread::spawn(move || {
            let mut client = Client::connect(address);
            let mut complete = 0;
            while client.try_send("GET /bytes/300000 HTTP/1.1\r\nHost: a\r\n\r\n") && !client.is_ended() {
                // A response that has begun and is cut ends the thread with a panic.
                let response = client.response("GET");
                assert_eq!((response.status, response.body.len()), (200, 300_000));
                complete += 1;
                let _ = tell.send(());
            }
            complete
        })
    };
    let threads: Vec<_> = (0..16).map(|_| load()).collect();
    for _ in 0..200 {
        told.recv_timeout(DEADLINE).unwrap();
    }
    server.signal(Signal::TERM);
    let complete: usize = threads.into_iter().map(|thread| thread.join().expect("no response is cut")).sum();
    assert!(complete >= 200);
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn every_endpoint_of_the_bench_server_answers() {
    let server = Example::start("bench_server", &["--workers", "1"]);
    let text = Some("text/plain");
    let octets = Some("application/octet-stream");
    let plain = "Hello, World!";
    let json = r#"{"message":"Hello, World!"}"#;
    let digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-\n";
    // Method, path, status, some fields, body.
    type Row<'a> = (&'a str, &'a str, u16, &'a [(&'a str, Option<&'a str>)], &'a str);
    let rows: [Row<'_>; 20] = [
        ("GET", "/", 200, &[("Content-Type", text), ("Content-Length", Some("13"))], plain),
        ("GET", "/plaintext", 200, &[("Content-Type", text), ("Server", Some("aurora"))], plain),
        ("GET", "/plaintext?a=b", 200, &[], plain),
        ("HEAD", "/plaintext", 200, &[("Content-Type", text), ("Content-Length", Some("13"))], ""),
        ("GET", "/json", 200, &[("Content-Type", Some("application/json")), ("Content-Length", Some("27"))], json),
        ("HEAD", "/json", 200, &[("Content-Length", Some("27"))], ""),
        ("GET", "/bytes/64", 200, &[("Content-Type", octets), ("Content-Length", Some("64"))], digits),
        ("GET", "/bytes/0", 200, &[("Content-Length", Some("0"))], ""),
        ("HEAD", "/bytes/1073741824", 200, &[("Content-Length", Some("1073741824"))], ""),
        ("POST", "/echo", 200, &[("Content-Type", octets), ("Content-Length", None)], ""),
        ("GET", "/bytes/1073741825", 404, &[], "Not Found\n"),
        ("GET", "/bytes/", 404, &[], "Not Found\n"),
        ("GET", "/bytes/+1", 404, &[], "Not Found\n"),
        ("GET", "/nowhere", 404, &[("Content-Type", text)], "Not Found\n"),
        ("DELETE", "/nowhere", 404, &[], "Not Found\n"),
        ("POST", "/", 405, &[("Allow", Some("GET, HEAD"))], "Method Not Allowed\n"),
        ("GET", "/echo", 405, &[("Allow", Some("POST"))], "Method Not Allowed\n"),
        ("OPTIONS", "/bytes/1", 405, &[("Allow", Some("GET, HEAD"))], "Method Not Allowed\n"),
        ("BREW", "/", 501, &[("Allow", None)], "Not Implemented\n"),
        ("get", "/nowhere", 501, &[], "Not Implemented\n"),
    ];
    let mut client = Client::connect(server.address);
    for (method, path, status, fields, body) in rows {
        let response = if method == "POST" && path == "/echo" {
            // The content is chunked, so that the echo cannot announce its length.
            client.send("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
            client.response(method)
        } else {
            client.request(method, path)
        };
        assert_eq!((response.status, response.text()), (status, body), "{method} {path}");
        for &(name, value) in fields {
            assert_eq!(response.field(name), value, "{method} {path}: {name}");
        }
        assert!(response.field("Date").is_some_and(|date| date.ends_with(" GMT")), "{method} {path}");
    }
}

#[test]
fn echo_returns_what_it_gets() {
    let server = Example::start("bench_server", &["--workers", "1"]);
    let content: Vec<u8> = (0..1024 * 1024_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let mut client = Client::connect(server.address);
    for length in [0, 1, 5000, content.len()] {
        let content = &content[..length];
        let whole = echo(&mut client, format!("Content-Length: {length}"), content.to_vec());
        assert_eq!(whole.field("Content-Length"), Some(length.to_string().as_str()));
        assert!(whole.body == content, "{length} bytes with a length");
        for size in [1, 1000, 100_000] {
            if length / size > 10_000 {
                continue; // with chunks of one byte, the longest would need 6 MiB of framing
            }
            let mut chunks = Vec::new();
            for chunk in content.chunks(size) {
                chunks.extend(format!("{:x}\r\n", chunk.len()).bytes());
                chunks.extend(chunk);
                chunks.extend(b"\r\n");
            }
            chunks.extend(b"0\r\n\r\n");
            let chunked = echo(&mut client, "Transfer-Encoding: chunked".into(), chunks);
            assert_eq!(chunked.field("Transfer-Encoding"), Some("chunked"));
            assert!(chunked.body == content, "{length} bytes in chunks of {size}");
        }
    }
}

fn echo(client: &mut Client, framing: String, body: Vec<u8>) -> Response {
    let head = format!("POST /echo HTTP/1.1\r\nHost: localhost\r\n{framing}\r\n\r\n");
    let sending = client.send_aside([head.into_bytes(), body].concat());
    let response = client.response("POST");
    sending.join().unwrap();
    assert_eq!(response.status, 200);
    response
}

#[test]
fn bytes_has_exactly_the_bytes_asked_for() {
    let server = Example::start("bench_server", &["--workers", "1"]);
    let mut client = Client::connect(server.address);
    for count in [1, 511, 512, 65_535, 65_536, 65_537, 131_072, 3_000_000] {
        let response = client.get(&format!("/bytes/{count}"));
        assert_eq!((response.status, response.body.len()), (200, count));
        let wrong = response.body.iter().enumerate().find(|&(at, byte)| *byte != response.body[at % 64]);
        assert_eq!(wrong, None);
    }
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let server = Example::start("bench_server", &["--workers", "1"]);
    let mut client = Client::connect(server.address);
    let heads: String = (0..200).map(|n| format!("GET /bytes/{n} HTTP/1.1\r\nHost: a\r\n\r\n")).collect();
    let sending = client.send_aside(heads.into_bytes());
    for count in 0..200 {
        assert_eq!(client.response("GET").body.len(), count);
    }
    sending.join().unwrap();
}

#[test]
fn invalid_options_end_with_a_message_and_a_failure_status() {
    let running = Example::start("hello", &["--workers", "1"]);
    let address = running.address.to_string();
    let taken = ["--addr", &address];
    let mut rows: Vec<(&[&str], &str)> = vec![
        (&taken, "the port is in use; stop the program that listens there, or choose another port"),
        (&["--addr", "nonsense"], "cannot listen on \"nonsense\": "),
        (&["--addr=203.0.113.1:80"], "; use an address of this machine"),
        (&["--backend", "iocp"], "backend = iocp: use auto, epoll, uring or kqueue"),
        (&["--workers", "0"], "workers = 0: a server needs at least 1"),
        (&["--workers", "two"], "--workers two: invalid digit found in string; give a number, such as --workers 4"),
        (&["--connections", "0"], "connections = 0: use 1 to 8388608 per worker"),
        (&["--connections"], "--connections needs a value"),
        (&["--nonsense"], "unknown option --nonsense"),
        (&["127.0.0.1:0"], "unknown option 127.0.0.1:0"),
    ];
    // An available backend would serve, and never end.
    if cfg!(not(has_kqueue)) {
        rows.push((&["--backend=kqueue"], "backend = kqueue: kqueue exists on macOS and the BSDs only; choose"));
    }
    if cfg!(all(target_os = "linux", not(has_uring))) {
        rows.push((&["--backend", "uring"], "backend = uring: this build has no io_uring backend"));
    } else if cfg!(not(has_uring)) {
        rows.push((&["--backend", "uring"], "backend = uring: io_uring exists on Linux only"));
    }
    if cfg!(not(has_epoll)) {
        rows.push((&["--backend", "epoll"], "backend = epoll: "));
    }
    for name in ["hello", "bench_server"] {
        for &(arguments, expected) in &rows {
            let output = example(name).args(arguments).output().unwrap();
            let error = String::from_utf8(output.stderr).unwrap();
            assert!(error.contains(expected), "{arguments:?}: {error}");
            assert!(!output.status.success() && output.stdout.is_empty(), "{arguments:?}: {}", output.status);
        }
    }
}

#[test]
fn too_few_descriptors_are_an_error_that_says_how_many_are_needed() {
    let limited = |soft: u32, hard: u32, arguments: &str| {
        let script = format!("ulimit -Sn {soft} && ulimit -Hn {hard} && exec \"$0\" {arguments}");
        Command::new("sh").args(["-c", &script]).arg(example_path("hello")).output().unwrap()
    };
    let output = limited(64, 64, "--addr 127.0.0.1:0 --workers 2 --connections 100");
    let error = String::from_utf8(output.stderr).unwrap();
    // 100 connections, listener (twice), lobby, poller and waker (a pipe on some systems) of each worker, and 32 to spare.
    let expected = "connections = 100 on 2 worker(s) need 244 file descriptors, and the limit is 64: raise it (ulimit \
                    -n 244), or configure fewer connections or workers";
    assert!(error.contains(expected), "{error}");
    assert_eq!(output.status.code(), Some(1));
    // The soft limit is raised to the hard one, so the start gets as far as the address.
    let output = limited(64, 244, "--addr 203.0.113.1:0 --workers 2 --connections 100");
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains("cannot listen on 203.0.113.1:0"), "{error}");
}

#[test]
fn help_is_printed_and_is_not_an_error() {
    for name in ["hello", "bench_server"] {
        let output = example(name).arg("--help").output().unwrap();
        let help = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && help.contains("--backend NAME"), "{help}");
    }
}
