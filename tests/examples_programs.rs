//! Runs the ordinary programs among the examples as their users do.
#![cfg(has_backend)]

#[path = "support/backends.rs"]
mod backends;
#[path = "support/example.rs"]
mod example;
#[path = "support/http.rs"]
mod http;
#[path = "support/in_loop.rs"]
mod in_loop;

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::Command;

use backends::backends;
use example::Example;
use http::{Client, Response, eventually};
use rustix::process::Signal;

/// Sends a request with content, and receives its response.
fn ask(client: &mut Client, method: &str, target: &str, fields: &str, content: &str) -> Response {
    let length = content.len();
    client.send(format!("{method} {target} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n{fields}\r\n{content}"));
    client.response(method)
}

/// The socket stays open between two processes, as with systemd.
#[test]
fn restarts_under_load_lose_no_request() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/restart.py");
    let arguments = ["--restarts", "4", "--clients", "6", "--requests", "100"];
    let hello = example::example_path("hello");
    match Command::new("python3").arg(script).args(arguments).arg(hello).output() {
        Ok(output) => {
            let printed = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success() && printed.ends_with(" 0 lost\n"), "{output:?}");
            assert!(printed.starts_with("4 restarts, "), "{printed}");
        }
        Err(error) => println!("SKIPPED: python3: {error}"),
    }
}

#[test]
fn json_api_keeps_items_and_reports_errors() {
    let server = Example::start("json_api", &["--workers", "2"]);
    let mut client = Client::connect(server.address);
    let rows = [
        ("GET", "/items", "", 200, "{}"),
        ("POST", "/items", "{\"name\":\"tea\",\"price\":3}", 201, "1"),
        ("POST", "/items", "{\"name\":\"cup\",\"price\":12}", 201, "2"),
        ("GET", "/items/1", "", 200, "{\"name\":\"tea\",\"price\":3}"),
        ("DELETE", "/items/1", "", 204, ""),
        ("GET", "/items/1", "", 404, "\"detail\":\"there is no such item\"}"),
        ("GET", "/items", "", 200, "{\"2\":{\"name\":\"cup\",\"price\":12}}"),
        ("POST", "/items", "{\"name\":1}", 422, "invalid type"),
        ("POST", "/items", "{", 400, "EOF while parsing"),
        ("PATCH", "/items/2", "", 405, "{\"status\":405,\"title\":\"Method Not Allowed\"}"),
        ("GET", "/items/x", "", 404, "a path parameter is invalid"),
        ("GET", "/%ff/1", "", 404, "{\"status\":404,\"title\":\"Not Found\"}"),
    ];
    for (method, target, content, status, expected) in rows {
        let response = ask(&mut client, method, target, "Content-Type: application/json\r\n", content);
        assert_eq!(response.status, status, "{method} {target}");
        assert!(response.text().contains(expected), "{method} {target}: {}", response.text());
        let allowed = (status == 405).then_some("GET, HEAD, DELETE, OPTIONS");
        assert_eq!(response.field("Allow"), allowed, "{method} {target}");
    }
    drop(client);
    server.ends_well();
}

#[test]
fn web_is_a_shop_with_a_form_a_cookie_and_a_door() {
    let (server, log) = Example::start_logged("web", &["--workers", "1"]);
    let mut client = Client::connect(server.address);
    let form = "Content-Type: application/x-www-form-urlencoded\r\n";
    let basic = "Authorization: Basic bWU6c2VzYW1l\r\n";
    let rows = [
        ("GET", "/", "", "", 200, "2 goods; you looked at nothing yet\n"),
        ("GET", "/", "Cookie: last=tea\r\n", "", 200, "2 goods; you looked at tea\n"),
        ("GET", "/goods/1", "", "", 200, "cup for 12\n"),
        ("GET", "/goods/1", "If-None-Match: *\r\n", "", 304, ""),
        ("GET", "/goods/2", "", "", 404, "there is no such thing"),
        ("POST", "/orders", form, "id=0&count=3", 201, "order 1: 3 of tea\n"),
        ("POST", "/orders", form, "count=3", 422, "the form has no id"),
        ("POST", "/orders", "", "id=0", 415, "a form is expected"),
        ("GET", "/admin", "", "", 401, "Unauthorized"),
        ("GET", "/admin", basic, "", 200, "visits of this worker: 2, orders: 1\n"),
    ];
    let mut lines = BufReader::new(log).lines();
    for (method, target, fields, content, status, expected) in rows {
        let response = ask(&mut client, method, target, fields, content);
        assert_eq!(response.status, status, "{method} {target}");
        assert!(response.text().contains(expected), "{method} {target}: {}", response.text());
        assert!(response.field("X-Request-Id").is_some() && response.field("X-Frame-Options") == Some("DENY"));
        let line = lines.next().expect("a line").expect("of text");
        assert!(
            line.starts_with("127.0.0.1 - - [")
                && line.contains(&format!("] \"{method} {target} HTTP/1.1\" {status} ")),
            "{line}"
        );
    }
    let cookie = ask(&mut client, "GET", "/goods/0", "", "").field("Set-Cookie").map(str::to_owned);
    assert_eq!(cookie.as_deref(), Some("last=tea; Path=/; Max-Age=86400; HttpOnly; SameSite=Lax"));
    drop(client);
    server.ends_well();
}

#[test]
fn options_come_from_the_environment_and_from_the_command_line_which_wins() {
    let variables = [("AURORA_WORKERS", "3"), ("AURORA_CONNECTIONS", "70"), ("AURORA_BACKEND", "auto")];
    let server = Example::start_with("hello", &["--connections", "80"], &variables);
    assert!(server.line.contains(" workers=3 connections=80 "), "{}", server.line);
    server.ends_well();
    let failed = example::example("hello").env("AURORA_WORKERS", "many").output().expect("it starts");
    let message = String::from_utf8_lossy(&failed.stderr);
    assert!(message.contains("AURORA_WORKERS: --workers many: "), "{message}");
    assert_eq!(failed.status.code(), Some(2));
}

#[test]
fn upload_writes_files_and_nothing_outside_its_directory() {
    let (server, log) = Example::start_logged("upload", &["--workers", "1"]);
    let mut client = Client::connect(server.address);
    let name = format!("aurora-{}.txt", std::process::id());
    let folder = std::env::temp_dir().join("aurora-upload");
    let path = folder.join(&name);
    let content = "0123456789".repeat(30_000);
    let response = ask(&mut client, "PUT", &format!("/{name}"), "", &content);
    assert_eq!((response.status, response.text()), (201, "300000 bytes\n"));
    assert!(fs::read_to_string(&path).expect("a file") == content);
    let told = BufReader::new(log).lines().next().expect("a line").expect("of text");
    assert_eq!(told, format!("{name}: 300000 bytes"));
    // Two at a time do not mix, and the one that ends last counts. What is broken off leaves nothing behind.
    let unfinished = || {
        fs::read_dir(&folder)
            .expect("a folder")
            .flatten()
            .filter(|file| file.file_name().to_string_lossy().starts_with(".tmp"))
    };
    let before = unfinished().count();
    let [mut first, mut second, mut third] = [(), (), ()].map(|()| Client::connect(server.address));
    for (client, begin) in [(&mut first, "AAAAA"), (&mut second, "BBB"), (&mut third, "C")] {
        client.send(format!("PUT /{name} HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n{begin}"));
    }
    eventually(|| unfinished().count() == before + 3, "they have begun");
    first.send("AAAAA");
    assert_eq!(first.response("PUT").status, 201);
    assert_eq!(fs::read_to_string(&path).expect("a file"), "AAAAAAAAAA");
    second.send("BBBBBBB");
    assert_eq!(second.response("PUT").status, 201);
    assert_eq!(fs::read_to_string(&path).expect("a file"), "BBBBBBBBBB");
    drop(third);
    eventually(|| unfinished().count() == before, "it is removed");
    fs::remove_file(&path).expect("the file can be removed");
    let long = format!("/{}", "x".repeat(201));
    for target in ["/../x", "/.hidden", "/a%2fb", "/", &long] {
        let mut client = Client::connect(server.address);
        assert_eq!(ask(&mut client, "PUT", target, "", "x").status, 400, "{target}");
    }
    let part = ask(&mut client, "PUT", &format!("/{name}"), "Content-Range: bytes 0-0/9\r\n", "x");
    assert_eq!(part.status, 400);
    assert!(!path.exists());
    drop((client, first, second));
    server.ends_well();
}

#[test]
fn events_come_one_after_another_to_everybody_who_listens() {
    let server = Example::start("events", &["--workers", "1"]);
    assert!(Client::connect(server.address).get("/").text().contains("EventSource"));
    let mut listeners: Vec<_> = (0..3)
        .map(|_| {
            let mut client = Client::connect(server.address);
            client.send("GET /events HTTP/1.1\r\nHost: a\r\n\r\n");
            let head = client.head();
            assert!(head.contains("\r\nContent-Type: text/event-stream\r\n"), "{head}");
            client
        })
        .collect();
    // Who leaves takes nobody along.
    drop(listeners.pop());
    for client in &mut listeners {
        let first = String::from_utf8(client.take(7 + "id: 0\ndata: event 0\n\n".len())).expect("text");
        let (_, event) = first.split_once("\r\n").expect("a chunk");
        let number = event.strip_prefix("id: ").and_then(|rest| rest.split('\n').next()).expect("a number");
        assert!(event.contains("\ndata: event "), "{event}");
        // Who comes back gets what was missed.
        let mut again = Client::connect(server.address);
        again.send(format!("GET /events HTTP/1.1\r\nHost: a\r\nLast-Event-ID: {number}\r\n\r\n"));
        let head = again.head();
        let expected = format!("id: {}\n", number.parse::<u64>().expect("a number") + 1);
        let next = String::from_utf8(again.take(7 + expected.len())).expect("text");
        assert!(next.ends_with(&expected), "{head}{next}");
    }
    // Endless responses keep no server from stopping, and end as they should.
    server.signal(Signal::TERM);
    for client in &mut listeners {
        assert!(client.rest().ends_with(b"\r\n0\r\n\r\n"));
    }
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn middleware_wraps_every_answer() {
    let server = Example::start("middleware", &["--workers", "1"]);
    let mut client = Client::connect(server.address);
    let cors = Some("https://example.org");
    let refused = client.get("/");
    assert_eq!((refused.status, refused.field("X-Request-Id")), (401, Some("1")));
    assert_eq!(refused.field("Access-Control-Allow-Origin"), cors);
    let welcome = ask(&mut client, "GET", "/", "Authorization: Basic bWU6c2VzYW1l\r\n", "");
    assert_eq!((welcome.status, welcome.text()), (200, "come in\n"));
    assert_eq!((welcome.field("X-Request-Id"), welcome.field("Access-Control-Allow-Origin")), (Some("2"), cors));
    let asked = ask(&mut client, "OPTIONS", "/", "Access-Control-Request-Method: POST\r\n", "");
    assert_eq!((asked.status, asked.field("Access-Control-Allow-Methods")), (204, Some("GET, POST")));
    drop(client);
    server.ends_well();
}

#[test]
fn metrics_shows_the_counters_of_all_workers() {
    let server = Example::start("metrics", &["--workers", "2"]);
    for _ in 0..10 {
        assert_eq!(Client::connect(server.address).get("/").text(), "hello\n");
    }
    eventually(
        || {
            let page = Client::connect(server.address).get("/metrics");
            assert_eq!(page.field("Content-Type"), Some("text/plain; version=0.0.4; charset=utf-8"));
            let value = |name: &str| {
                let value = page
                    .text()
                    .lines()
                    .find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse::<f64>().ok());
                value.unwrap_or_else(|| panic!("{name} in {}", page.text()))
            };
            value("http_requests_total{code=\"200\"}") >= 10.0
                && value("http_request_duration_seconds_count") >= 10.0
                && value("aurora_connections_accepted_total") >= 10.0
                && value("aurora_sent_bytes_total") > 0.0
                && value("aurora_buffers_high_water{bytes=\"4096\"}") >= 1.0
                && value("aurora_connections_closed_total{reason=\"peer_closed\"}") >= 10.0
        },
        "all requests are counted",
    );
    let mut client = Client::connect(server.address);
    assert_eq!((client.get("/healthz").status, client.get("/readyz").text()), (200, "ready\n"));
    assert!(client.get("/status").text().starts_with("connections  "));
    drop(client);
    server.ends_well();
}

#[test]
fn tested_adds_numbers() {
    let server = Example::start("tested", &["--workers", "1"]);
    let mut client = Client::connect(server.address);
    assert_eq!(ask(&mut client, "POST", "/sum", "", "1 2 39").text(), "42");
    assert_eq!(ask(&mut client, "PUT", "/sum", "", "1").field("Allow"), Some("POST"));
    drop(client);
    server.ends_well();
}

#[test]
fn in_poll_serves_next_to_a_socket_of_its_own() {
    in_loop::greets_with_what_datagrams_say("in_poll", &backends());
}
