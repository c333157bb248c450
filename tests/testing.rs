//! `aurora_http::testing`, the client for tests of handlers.
#![cfg(feature = "testing")]

use aurora_http::testing::Client;
use aurora_http::{Content, Flow, Handler, Request, ResponseWriter};

/// Counts visits, echoes content, produces pieces.
#[derive(Default)]
struct Desk {
    visits: u32,
}

impl Handler for Desk {
    type Exchange = usize;

    fn request(&mut self, request: &Request<'_>, response: &mut ResponseWriter<'_>) -> Flow<usize> {
        self.visits += 1;
        match request.path() {
            b"/visits" => {
                let _ = response.field("X-Visits", self.visits.to_string());
                let _ = response.body("counted");
            }
            b"/echo" => {
                let _ = response.stream(None);
                return Flow::Receive(0);
            }
            b"/pieces" => {
                let _ = response.stream(None);
                return Flow::Produce(0);
            }
            b"/defer" => {
                let _ = response.defer();
                return Flow::Defer(0);
            }
            _ => {
                let _ = response.fail(404);
            }
        }
        Flow::Finish
    }

    fn receive(&mut self, _: usize, content: &mut Content<'_>, response: &mut ResponseWriter<'_>) -> Flow<usize> {
        let count = response.write(content.bytes()).unwrap_or(0);
        content.consume(count);
        if content.ended() && content.bytes().is_empty() { Flow::Finish } else { Flow::Receive(0) }
    }

    fn produce(&mut self, at: usize, response: &mut ResponseWriter<'_>) -> Flow<usize> {
        let _ = response.write(format!("{at},").as_bytes());
        if at == 999 { Flow::Finish } else { Flow::Produce(at + 1) }
    }
}

#[test]
fn responses_have_status_fields_and_content_and_the_handler_keeps_its_state() {
    let mut client = Client::new(Desk::default());
    assert_eq!(client.get("/visits").field("x-visits"), Some("1"));
    let response = client.get("/visits");
    assert_eq!((response.status(), response.field("X-Visits"), response.text()), (200, Some("2"), "counted"));
    assert_eq!((client.get("/nothing").status(), client.handler().visits), (404, 3));
    let head = client.head("/visits");
    assert_eq!((head.status(), head.field("Content-Length"), head.content()), (200, Some("7"), &b""[..]));
}

#[test]
fn content_of_any_length_and_framing_goes_both_ways() {
    let mut client = Client::new(Desk::default());
    for length in [0, 1, 70_000, 900_000] {
        let content = vec![b'e'; length];
        assert_eq!(client.post("/echo", &content).content(), content, "{length}");
    }
    let pieces: String = (0..1_000).map(|at| format!("{at},")).collect();
    assert_eq!(client.get("/pieces").text(), pieces);
    let expects = client.send("PUT", "/echo", &[("Expect", "100-continue")], b"held");
    assert_eq!(expects.text(), "held");
}

#[test]
fn a_malformed_request_is_refused_as_on_a_socket() {
    let mut client = Client::new(Desk::default());
    let answer = client.exchange(b"GET / HTTP/1.1\r\nHost : x\r\n\r\n");
    assert!(answer.starts_with(b"HTTP/1.1 400 "), "{}", String::from_utf8_lossy(&answer));
    assert_eq!(client.handler().visits, 0);
}

#[test]
#[should_panic(expected = "to test later answers, use sim::with_server")]
fn a_deferred_answer_panics() {
    Client::new(Desk::default()).get("/defer");
}
