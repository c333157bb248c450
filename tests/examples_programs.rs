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

fn ends_well(server: Example) {
    server.signal(Signal::TERM);
    assert_eq!(server.wait().code(), Some(0));
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
        ("GET", "/items/1", "", 404, "{\"error\":\"no such item\"}"),
        ("GET", "/items", "", 200, "{\"2\":{\"name\":\"cup\",\"price\":12}}"),
        ("POST", "/items", "{\"name\":1}", 422, "invalid type"),
        ("PATCH", "/items/2", "", 405, "{\"error\":\"method not allowed\"}"),
        ("GET", "/%ff/1", "", 404, "{\"error\":\"no such item\"}"),
    ];
    for (method, target, content, status, expected) in rows {
        let response = ask(&mut client, method, target, "", content);
        assert_eq!(response.status, status, "{method} {target}");
        assert!(response.text().contains(expected), "{method} {target}: {}", response.text());
        let allowed = (status == 405).then_some("GET, HEAD, DELETE");
        assert_eq!(response.field("Allow"), allowed, "{method} {target}");
    }
    drop(client);
    ends_well(server);
}

#[test]
fn upload_writes_files_and_nothing_outside_its_directory() {
    let server = Example::start("upload", &["--workers", "1"]);
    let mut client = Client::connect(server.address);
    let name = format!("aurora-{}.txt", std::process::id());
    let path = std::env::temp_dir().join("aurora-uploads").join(&name);
    let content = "0123456789".repeat(30_000);
    let response = ask(&mut client, "PUT", &format!("/{name}"), "", &content);
    assert_eq!((response.status, response.text()), (201, "300000 bytes\n"));
    assert!(fs::read_to_string(&path).expect("a file") == content);
    fs::remove_file(&path).expect("the file can be removed");
    for target in ["/../x", "/.hidden", "/a%2fb", "/"] {
        let mut client = Client::connect(server.address);
        assert_eq!(ask(&mut client, "PUT", target, "", "x").status, 400, "{target}");
    }
    drop(client);
    ends_well(server);
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
        assert!(event.starts_with(&format!("id: {number}\ndata: event {number}")), "{event}");
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
    ends_well(server);
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
            let is_line = |line: &str| line.rsplit_once(' ').is_some_and(|(_, value)| value.parse::<u64>().is_ok());
            assert!(page.text().lines().all(is_line), "{}", page.text());
            let value = |name: &str| {
                let value = page.text().lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<u64>().ok());
                value.unwrap_or_else(|| panic!("{name} in {}", page.text()))
            };
            value("http_requests_total") >= 10
                && value("http_connections_total") >= 10
                && value("http_sent_bytes_total") > 0
                && value("http_connections_closed_total{reason=\"peer_closed\"}") >= 10
        },
        "all requests are counted",
    );
    ends_well(server);
}

#[test]
fn tested_adds_numbers() {
    let server = Example::start("tested", &["--workers", "1"]);
    let mut client = Client::connect(server.address);
    assert_eq!(ask(&mut client, "POST", "/sum", "", "1 2 39").text(), "42");
    assert_eq!(ask(&mut client, "PUT", "/sum", "", "1").field("Allow"), Some("POST"));
    drop(client);
    ends_well(server);
}

#[test]
fn in_poll_serves_next_to_a_socket_of_its_own() {
    in_loop::greets_with_what_datagrams_say("in_poll", &backends());
}
