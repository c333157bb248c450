//! What stands around routes, as a client and a log see it.

use std::cell::RefCell;
use std::ops::ControlFlow;
use std::rc::Rc;

use aurora_http::testing::Client;
use aurora_http_core::defer::DeferToken;
use aurora_http_core::handler::{Flow, Handler, Needs, Progress, Respond, deferred, producing};
use aurora_http_core::limits::Limits;
use aurora_http_core::request::{Method, Request};
use aurora_http_core::sim::with_server;
use aurora_http_core::writer::{ResponseWriter, WriteError};
use aurora_http_web::metrics::{Exchanges, Metrics, Text};
use aurora_http_web::middleware::{
    AccessLog, Authenticate, BodyLimit, Cors, ETags, InFlightLimit, RequestId, SecurityFields, TimeLimit, Wrap, after,
    basic_credentials, bearer_token, before, is_same_secret,
};
use aurora_http_web::{Call, Endpoint, Routes};

/// A greeting, an echo, and one that fails.
fn routes() -> Routes<(), impl Endpoint<()>> {
    Routes::new()
        .get("/", |_, _, response| response.body("hello"))
        .post("/echo", |_, call, response| response.body(call.content()))
        .get("/fails", |_, _, response| response.body([0; 70_000]))
}

#[test]
fn the_outermost_sees_a_request_first_and_a_response_last() {
    let seen = Rc::new(RefCell::new(Vec::new()));
    let outer = seen.clone();
    let inner = seen.clone();
    let last = seen.clone();
    let handler = routes()
        .with_state(())
        .wrap(before(move |_, _| {
            inner.borrow_mut().push("inner".to_owned());
            ControlFlow::Continue(())
        }))
        .wrap(after(move |response| last.borrow_mut().push(response.status_so_far().to_string())))
        .wrap(before(move |request, response| {
            outer.borrow_mut().push("outer".to_owned());
            if request.path() != b"/stop" {
                return ControlFlow::Continue(());
            }
            let _ = response.fail(418);
            ControlFlow::Break(())
        }));
    let mut client = Client::new(handler);
    assert_eq!((client.get("/").status(), client.get("/stop").status(), client.get("/no").status()), (200, 418, 404));
    assert_eq!(*seen.borrow(), ["outer", "inner", "200", "outer", "outer", "inner", "404"]);
}

#[test]
fn every_response_has_an_id_and_only_harmless_ones_are_taken_over() {
    let mut client = Client::new(routes().with_state(()).wrap(RequestId::new(0xab)));
    let long = "a".repeat(64);
    let too_long = "a".repeat(65);
    for (sent, expected) in [
        ("", "000000ab00000001"),
        ("client-1.2_3", "client-1.2_3"),
        (&long, &long),
        (&too_long, "000000ab00000002"),
        ("no\"quotes", "000000ab00000003"),
        ("no spaces", "000000ab00000004"),
    ] {
        let response = client.send("GET", "/", &[("X-Request-Id", sent)], b"");
        assert_eq!(response.field("X-Request-Id"), Some(expected));
    }
    // Also where the answer comes in another call, is another one, or is replaced.
    for (method, target) in [("POST", "/echo"), ("GET", "/nothing"), ("PUT", "/echo"), ("GET", "/fails")] {
        let response = client.send(method, target, &[("X-Request-Id", "one")], b"content");
        assert_eq!(response.field("X-Request-Id"), Some("one"), "{method} {target}: {}", response.status());
    }
    let mut client = Client::new(routes().with_state(()).wrap(RequestId::new(1).always_own()));
    let response = client.send("GET", "/", &[("X-Request-Id", "one")], b"");
    assert_eq!(response.field("X-Request-Id"), Some("0000000100000001"));
}

#[test]
fn careful_fields_are_in_every_response_refusals_included() {
    let mut client = Client::new(routes().with_state(()).wrap(SecurityFields::STRICT_TLS));
    for response in [client.get("/"), client.post("/echo", "x"), client.get("/no"), client.get("/fails")] {
        for name in ["X-Content-Type-Options", "Content-Security-Policy", "Strict-Transport-Security"] {
            let count = response.fields().iter().filter(|(its_name, _)| its_name.eq_ignore_ascii_case(name)).count();
            assert_eq!(count, 1, "{name} in a {}", response.status());
        }
    }
    let answer = client.exchange(b"GET / HTTP/1.1\r\nHost : x\r\n\r\n");
    assert!(String::from_utf8_lossy(&answer).contains("\r\nX-Frame-Options: DENY\r\n"));
}

/// What the server answers itself, also in the place of a handler whose content was too long, has the fields that the request calls
/// for, once each.
#[test]
fn refusals_have_the_id_of_their_request_and_the_fields_for_its_origin() {
    let own = Cors::new(&["https://a.example"]);
    let chunked = format!("Transfer-Encoding: chunked\r\n\r\n493e0\r\n{}", "x".repeat(300_000));
    let long = format!("POST /echo HTTP/1.1\r\nHost: x\r\nOrigin: https://a.example\r\nX-Request-Id: one\r\n{chunked}");
    let malformed = "GET / HTTP/1.1\r\nHost : x\r\n\r\n";
    let failing =
        "GET /fails HTTP/1.1\r\nHost: x\r\nOrigin: https://a.example\r\nX-Request-Id: two\r\nConnection: close\r\n\r\n";
    // The allowed origins, what comes, the status, the id, the allowed origin, and `Vary`.
    let rows = [
        (own, long.as_str(), "413", Some("one"), Some("https://a.example"), Some("Origin")),
        (own, failing, "500", Some("two"), Some("https://a.example"), Some("Origin")),
        (own, malformed, "400", Some("0000000700000001"), None, Some("Origin")),
        (Cors::any_origin(), &long, "413", Some("one"), Some("*"), None),
        (Cors::any_origin(), malformed, "400", Some("0000000700000001"), Some("*"), None),
    ];
    for (cors, request, status, id, origin, vary) in rows {
        let mut client = Client::new(routes().with_state(()).wrap(cors).wrap(RequestId::new(7)));
        let answer = String::from_utf8(client.exchange(request.as_bytes())).unwrap();
        let (head, _) = answer.split_once("\r\n\r\n").unwrap();
        assert_eq!(head.split(' ').nth(1), Some(status), "{head}");
        for (name, expected) in [("X-Request-Id", id), ("Access-Control-Allow-Origin", origin), ("Vary", vary)] {
            let found: Vec<_> = head.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).collect();
            assert_eq!(found, expected.into_iter().collect::<Vec<_>>(), "{name}: {head}");
        }
    }
}

#[test]
fn only_who_is_known_comes_in_and_only_where_it_matters() {
    let guard = Authenticate::new("Basic realm=\"shop\"", |request| {
        let mut scratch = [0; 32];
        basic_credentials(request, &mut scratch)
            .is_some_and(|login| login.user == "me" && is_same_secret(login.password.as_bytes(), b"se:same"))
    });
    let admin = Routes::new().get("/", |_: &mut (), _, response| response.body("in")).behind(guard);
    let tokens = Authenticate::new("Bearer", |request| bearer_token(request) == Some("t0ken"));
    let api = Routes::new().post("/", |_: &mut (), call, response| response.body(call.content())).behind(tokens);
    let mut client = Client::new(routes().mount("/admin", admin).mount("/api", api).with_state(()));
    assert_eq!(client.get("/").status(), 200);
    for (value, status) in [
        ("Basic bWU6c2U6c2FtZQ==", 200),
        ("basic  bWU6c2U6c2FtZQ==", 200),
        ("Basic bWU6c2VzYW1l", 401),
        ("Basic bWU6c2U6c2FtZQ", 401),
        ("Basic ???", 401),
        ("Basic", 401),
        ("Bearer bWU6c2U6c2FtZQ==", 401),
        // Longer than the room for it.
        ("Basic bWU6c2U6c2FtZXNlc2FtZXNlc2FtZXNlc2FtZXNlc2FtZXNlc2FtZQ==", 401),
    ] {
        let response = client.send("GET", "/admin", &[("Authorization", value)], b"");
        let challenge = (status == 401).then_some("Basic realm=\"shop\"");
        assert_eq!((response.status(), response.field("WWW-Authenticate")), (status, challenge), "{value}");
    }
    let twice = [("Authorization", "Basic bWU6c2U6c2FtZQ=="), ("Authorization", "Basic bWU6c2U6c2FtZQ==")];
    assert_eq!(client.send("GET", "/admin", &twice, b"").status(), 401);
    assert_eq!(client.post("/api", "x").status(), 401);
    assert_eq!(client.send("POST", "/api", &[("Authorization", "bearer t0ken")], b"content").text(), "content");
}

#[test]
fn pages_of_named_origins_may_read_and_are_told_before_they_ask() {
    let cors = Cors::new(&["https://a.example", "https://b.example:8443"])
        .methods("GET, POST")
        .fields("X-Own")
        .exposed_fields("X-Total")
        .with_credentials();
    let mut client = Client::new(routes().with_state(()).wrap(cors));
    let ours = [("Origin", "https://b.example:8443")];
    for (method, target) in [("GET", "/"), ("POST", "/echo"), ("GET", "/no"), ("OPTIONS", "/")] {
        let response = client.send(method, target, &ours, b"content");
        assert_eq!(response.field("Access-Control-Allow-Origin"), Some("https://b.example:8443"), "{method} {target}");
        assert_eq!(response.field("Access-Control-Allow-Credentials"), Some("true"));
        assert_eq!(response.field("Access-Control-Expose-Headers"), Some("X-Total"));
        assert_eq!(response.field("Vary"), Some("Origin"));
        assert_eq!(response.field("Access-Control-Allow-Methods"), None);
    }
    let preflight = [("Origin", "https://a.example"), ("Access-Control-Request-Method", "PUT")];
    let response = client.send("OPTIONS", "/no", &preflight, b"");
    assert_eq!(response.status(), 204);
    for (name, value) in [
        ("Access-Control-Allow-Origin", "https://a.example"),
        ("Access-Control-Allow-Methods", "GET, POST"),
        ("Access-Control-Allow-Headers", "X-Own"),
        ("Access-Control-Max-Age", "600"),
    ] {
        assert_eq!(response.field(name), Some(value), "{name}");
    }
    for origin in ["https://c.example", "https://a.example.evil", "http://a.example", "null", "https://b.example"] {
        let response = client.send("GET", "/", &[("Origin", origin)], b"");
        let denied = (response.status(), response.field("Access-Control-Allow-Origin"), response.field("Vary"));
        assert_eq!(denied, (200, None, Some("Origin")), "{origin}");
        let preflight = [("Origin", origin), ("Access-Control-Request-Method", "GET")];
        let response = client.send("OPTIONS", "/", &preflight, b"");
        assert_eq!((response.status(), response.field("Access-Control-Allow-Methods")), (204, None));
    }
    let mut client = Client::new(routes().with_state(()).wrap(Cors::any_origin()));
    let response = client.send("GET", "/", &ours, b"");
    assert_eq!((response.field("Access-Control-Allow-Origin"), response.field("Vary")), (Some("*"), None));
}

#[test]
fn content_beyond_the_limit_is_refused_however_it_comes() {
    let part = routes().behind(BodyLimit::new(5));
    let mut client = Client::new(routes().mount("/part", part).with_state(()));
    assert_eq!(client.post("/part/echo", "12345").text(), "12345");
    assert_eq!(client.post("/part/echo", "123456").status(), 413);
    assert_eq!(client.post("/echo", "123456").text(), "123456");
    for (chunks, status) in [("5\r\n12345\r\n0\r\n\r\n", "200"), ("4\r\n1234\r\n2\r\n56\r\n0\r\n\r\n", "413")] {
        let head = "POST /part/echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n";
        let answer = client.exchange([head, chunks].concat().as_bytes());
        assert!(answer.starts_with(format!("HTTP/1.1 {status} ").as_bytes()), "{}", String::from_utf8_lossy(&answer));
    }
}

/// Waits for a token, which it puts where the test finds it.
fn waiting(tokens: &Rc<RefCell<Vec<DeferToken>>>) -> Routes<(), impl Endpoint<()>> {
    let tokens = tokens.clone();
    Routes::new().get("/wait", move |_: &mut (), _, response| {
        tokens.borrow_mut().push(response.defer()?);
        Ok::<_, WriteError>(deferred(|response| response.body("done")))
    })
}

const WAIT: &[u8] = b"GET /wait HTTP/1.1\r\nHost: a\r\n\r\n";

#[test]
fn who_comes_when_all_places_are_taken_is_told_when_to_come_back() {
    let tokens = Rc::default();
    let limited = waiting(&tokens).behind(InFlightLimit::new(2).retry_after_s("7"));
    with_server(routes().mount("/", limited).with_state(()), Limits::default(), |server| {
        let clients = [server.connect(), server.connect(), server.connect()];
        for client in clients {
            server.send(client, WAIT);
        }
        let answer = String::from_utf8(server.receive(clients[2])).unwrap();
        assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("\r\nRetry-After: 7\r\n"), "{answer}");
        server.send(clients[2], b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert!(server.receive(clients[2]).ends_with(b"hello"));
        // One leaves, and one is answered: both places are free again.
        server.sim().client_reset(clients[0]);
        server.settle();
        assert!(server.resolve(tokens.borrow()[1]));
        assert!(server.receive(clients[1]).ends_with(b"done"));
        for client in [clients[1], clients[2]] {
            server.send(client, WAIT);
            assert!(server.receive(client).is_empty());
        }
        let client = server.connect();
        server.send(client, WAIT);
        assert!(server.receive(client).starts_with(b"HTTP/1.1 503 "));
    });
}

#[test]
fn a_place_is_free_again_after_the_head_of_a_long_response() {
    fn long(_: &mut (), _: &Call<'_>, response: &mut ResponseWriter<'_>) -> Result<impl Respond + use<>, WriteError> {
        response.stream(None)?;
        Ok(producing(|response| response.write(b"on and on").map(|_| Progress::More)))
    }
    let limited = Routes::new().get("/", long).behind(InFlightLimit::new(1));
    let mut behind = Client::new(Routes::new().mount("/", limited).with_state(()));
    let mut wrapped = Client::new(Routes::new().get("/", long).with_state(()).wrap(InFlightLimit::new(1)));
    for _ in 0..3 {
        assert_eq!((behind.head("/").status(), wrapped.head("/").status()), (200, 200));
    }
}

/// Hands its connections to the program.
struct HandsOver;

impl Handler for HandsOver {
    type Exchange = ();

    fn request(&mut self, _: &Request<'_>, response: &mut ResponseWriter<'_>) -> Flow<()> {
        let _ = response.switch_protocols("own", &[]);
        Flow::Detach(())
    }
}

#[test]
fn a_connection_that_is_handed_over_is_neither_in_progress_nor_forgotten() {
    let (lines, exchanges) = (Rc::new(RefCell::new(Vec::new())), Exchanges::new());
    let log = Rc::clone(&lines);
    let log = AccessLog::new(|| 0, move |entry| log.borrow_mut().push((entry.status, entry.broken_off)));
    let handler = HandsOver.wrap(InFlightLimit::new(1)).wrap(Metrics::new(&exchanges, || 0)).wrap(log);
    with_server(handler, Limits::default(), |server| {
        for _ in 0..3 {
            let client = server.connect();
            server.send(client, b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: own\r\n\r\n");
            let answer = String::from_utf8(server.receive(client)).unwrap();
            assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
        }
    });
    assert_eq!(*lines.borrow(), [(101, None); 3]);
    let mut page = String::new();
    Text::new(&mut page).exchanges(&[&exchanges]).unwrap();
    for line in ["http_requests_total{code=\"101\"} 3", "http_requests_under_way 0", "http_requests_abandoned_total 0"]
    {
        assert!(page.contains(&format!("\n{line}\n")), "{line} in {page}");
    }
}

/// Needs nothing, and says so.
struct Small;

impl Handler for Small {
    const NEEDS: Needs = Needs::LEAST;
    type Exchange = ();

    fn request(&mut self, _: &Request<'_>, _: &mut ResponseWriter<'_>) -> Flow<()> {
        Flow::Defer(())
    }
}

#[test]
fn middleware_needs_what_its_handler_needs_and_a_time_limit_deferral() {
    fn needs<H: Handler>(_: &H) -> Needs {
        H::NEEDS
    }
    let deferral = Needs { deferral: true, ..Needs::LEAST };
    assert_eq!(needs(&Small.wrap(RequestId::new(1)).wrap(BodyLimit::new(1))), Needs::LEAST);
    assert_eq!(needs(&ETags::new(Small)), Needs::LEAST);
    assert_eq!(needs(&TimeLimit::new(10, Small)), deferral);
    assert_eq!(needs(&ETags::new(TimeLimit::new(10, Small)).wrap(InFlightLimit::new(1))), deferral);
    assert_eq!(needs(&TimeLimit::new(10, routes().with_state(()))), Needs::ALL);
    // The limit works although its handler says that it needs no deferral.
    assert_eq!(Client::new(Small).get("/").status(), 500);
    with_server(TimeLimit::new(10, Small), Limits::default(), |server| {
        let client = server.connect();
        server.send(client, WAIT);
        server.pass_ms(20);
        assert!(server.receive(client).starts_with(b"HTTP/1.1 503 "));
    });
}

#[test]
fn an_answer_that_takes_too_long_is_given_up() {
    let tokens = Rc::default();
    let handler = TimeLimit::new(2_000, waiting(&tokens).mount("/", routes()).with_state(()));
    with_server(handler, Limits::default(), |server| {
        let client = server.connect();
        server.send(client, WAIT);
        server.pass_ms(1_990);
        assert!(server.receive(client).is_empty());
        server.pass_ms(20);
        assert!(server.receive(client).starts_with(b"HTTP/1.1 503 "));
        assert!(!server.resolve(tokens.borrow()[0]), "nobody waits for it any more");
        // In time, and what does not wait.
        server.send(client, WAIT);
        server.pass_ms(1_900);
        assert!(server.resolve(tokens.borrow()[1]));
        assert!(server.receive(client).ends_with(b"done"));
        server.send(client, b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n");
        server.pass_ms(2_500);
        server.send(client, b"slow");
        assert!(server.receive(client).ends_with(b"slow"));
    });
}

thread_local! {
    static LINES: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

fn logged<H: Handler>(handler: H) -> impl Handler {
    let sink = |entry: &aurora_http_web::middleware::Entry<'_>| {
        let reason = entry.broken_off.map(|reason| format!(" {reason}")).unwrap_or_default();
        let id = entry.id.unwrap_or_default();
        LINES.with_borrow_mut(|lines| lines.push(format!("{}{reason} {id}", entry.combined())));
    };
    let log: AccessLog<_, 64> = AccessLog::with_text(|| 971_186_136_000, sink).with_ids(RequestId::new(1));
    handler.wrap(log)
}

fn taken_lines() -> Vec<String> {
    LINES.with_borrow_mut(std::mem::take)
}

#[test]
fn the_log_has_one_line_for_each_request_whatever_becomes_of_it() {
    let mut client = Client::new(logged(routes().with_state(())));
    let fields = [("Referer", "http://r/"), ("User-Agent", "a\"gent\t\u{e9}")];
    let written = |response: &str| {
        let [line] = &taken_lines()[..] else { panic!("one line for {response}") };
        line.strip_prefix("- - - [10/Oct/2000:13:55:36 +0000] ").expect("a date").to_owned()
    };
    client.send("GET", "/?a=b", &fields, b"");
    let line = written("a GET");
    let (front, back) = line.split_once(" 200 ").expect("a status");
    assert_eq!(front, "\"GET /?a=b HTTP/1.1\"");
    let (bytes, back) = back.split_once(' ').expect("a number of bytes");
    assert!(bytes.parse::<u32>().is_ok_and(|bytes| bytes > 5), "{line}");
    assert_eq!(back, "\"http://r/\" \"a\\x22gent\\x09\\xc3\\xa9\" 0000000100000001");
    client.post("/echo", vec![b'x'; 10_000]);
    assert!(written("content").starts_with("\"POST /echo HTTP/1.1\" 200 10"));
    for (target, expected) in [
        ("/no", "\"GET /no HTTP/1.1\" 404 - \"-\" \"-\" 0000000100000003"),
        ("/fails", "\"GET /fails HTTP/1.1\" 500 - \"-\" \"-\" 0000000100000004"),
    ] {
        client.get(target);
        assert_eq!(written(target), expected);
    }
    // What does not fit is cut.
    client.get(&"/0123456789".repeat(10));
    assert!(
        written("a long one")
            .starts_with("\"GET /0123456789/0123456789/0123456789/0123456789/0123456789/01234567 HTTP")
    );
    // No request, or none that can be read.
    for (bytes, expected) in [
        (&b"GET / HTTP/1.1\r\nHost : x\r\n\r\n"[..], "\"/\" 400 - \"-\" \"-\" "),
        (b"\x16\x03\x01\r\n\r\n", "\"-\" 400 - \"-\" \"-\" "),
    ] {
        client.exchange(bytes);
        assert_eq!(written("no request"), expected);
    }
    // Content that is too long is refused while the exchange waits for it.
    client.exchange(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 9999999\r\n\r\n");
    assert_eq!(written("too much"), "\"POST /echo HTTP/1.1\" 413 - \"-\" \"-\" too_large 0000000100000006");
}

#[test]
fn the_log_tells_of_clients_that_leave_and_methods_of_any_name() {
    let tokens = Rc::default();
    let brew = aurora_http_web::handler(aurora_http_core::handler::handler_fn(|_, response| response.body("tea")));
    let routes = waiting(&tokens).on(Method::Extension("BREW-A-LONG-TIME"), "/", brew);
    with_server(logged(routes.with_state(())), Limits::default(), |server| {
        let client = server.connect();
        server.send(client, WAIT);
        server.sim().client_reset(client);
        server.settle();
        let client = server.connect();
        server.send(client, b"BREW-A-LONG-TIME / HTTP/1.0\r\n\r\n");
        server.receive(client);
    });
    let lines = taken_lines();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].ends_with("\"GET /wait HTTP/1.1\" 0 - \"-\" \"-\" peer_reset 0000000100000001"), "{}", lines[0]);
    assert!(lines[1].contains("\"BREW-A-LONG-TIME / HTTP/1.0\" 200 "), "{}", lines[1]);
}

#[test]
fn a_client_that_leaves_and_one_that_is_refused_in_the_same_turn_are_told_apart() {
    let tokens = Rc::default();
    with_server(logged(waiting(&tokens).with_state(())), Limits::default(), |server| {
        let leaving: Vec<_> = (0..8).map(|_| server.connect()).collect();
        let refused: Vec<_> = (0..8).map(|_| server.connect()).collect();
        for client in &leaving {
            server.send(*client, WAIT);
        }
        for (leaving, refused) in leaving.iter().zip(&refused) {
            server.sim().client_reset(*leaving);
            server.sim().client_send(*refused, b"GET /bad HTTP/1.1\r\nHost : x\r\n\r\n");
        }
        server.settle();
    });
    let lines = taken_lines();
    let count = |part: &str| lines.iter().filter(|line| line.contains(part)).count();
    assert_eq!((lines.len(), count("\"GET /wait HTTP/1.1\" 0 "), count("\"/bad\" 400 ")), (16, 8, 8), "{lines:#?}");
}

#[test]
fn a_stop_reaches_handlers_through_what_stands_around_them() {
    struct Farewell;
    impl Endpoint<()> for Farewell {
        type Exchange = ();

        fn call(&mut self, (): &mut (), _: &Call<'_>, response: &mut ResponseWriter<'_>) -> Flow<()> {
            response.wake_after(60_000);
            Flow::Defer(())
        }

        fn stopping(&mut self, _: Flow<()>, (): &mut (), response: &mut ResponseWriter<'_>) -> Flow<()> {
            let _ = response.body("farewell");
            Flow::Finish
        }
    }
    let part = Routes::new().on(Method::Get, "/", Farewell).behind(InFlightLimit::new(1));
    let handler = routes().mount("/wait", part).with_state(()).wrap(RequestId::new(1));
    with_server(handler, Limits::default(), |server| {
        let client = server.connect();
        server.send(client, WAIT);
        server.stop().drain();
        let answer = String::from_utf8(server.receive(client)).unwrap();
        assert!(answer.ends_with("farewell") && answer.contains("X-Request-Id: 0000000100000001"), "{answer}");
    });
}

#[test]
fn content_that_the_client_has_is_not_sent_again() {
    static LONG: [u8; 5_000] = [b'l'; 5_000];
    let routes = routes()
        .get("/own", |_, _, response| {
            response.field("Vary", "Accept")?;
            response.field("etag", "W/\"v1\"")?;
            response.body([b'o'; 20_000])
        })
        .get("/static", |_, _, response| response.static_body(&LONG))
        .get("/long", |_, _, response| response.body([b'x'; 16_385]))
        .get("/full", |_, _, response| response.body([b'x'; 16_384]))
        .get("/other", |_, _, response| {
            response.status(203)?;
            response.body("other")
        })
        .get("/pieces", |_, _, response| {
            response.stream(None)?;
            response.write(b"pieces").map(|_| ())
        });
    let handler = ETags::new(routes.with_state(())).wrap(RequestId::new(1));
    let mut client = Client::new(handler);
    let rows = [
        ("/", Some("\"a430d84680aabd0b\""), 5),
        ("/own", Some("W/\"v1\""), 20_000),
        ("/static", None, 5_000),
        ("/full", None, 16_384),
    ];
    for (target, expected, length) in rows {
        let response = client.get(target);
        let tag = response.field("ETag").expect("a tag").to_owned();
        assert!(expected.is_none_or(|expected| tag == expected), "{target}: {tag}");
        assert_eq!((response.status(), response.content().len()), (200, length), "{target}");
        assert_eq!(client.get(target).field("ETag"), Some(&*tag), "{target}: the same each time");
        let strong = tag.trim_start_matches("W/");
        let (list, weak) = (format!("\"a\", W/\"b,c\" ,{strong}"), format!("W/{strong}"));
        for sent in [&tag, strong, &weak, &list, "*"] {
            let again = client.send("GET", target, &[("If-None-Match", sent)], b"");
            assert_eq!((again.status(), again.content().len()), (304, 0), "{target} {sent}");
            assert_eq!(again.field("ETag"), Some(&*tag));
            assert_eq!(again.field("Vary"), response.field("Vary"));
            assert!(again.field("X-Request-Id").is_some());
        }
        for sent in ["\"a\"", "", "a430d84680aabd0b", "\"", "v1"] {
            assert_eq!(client.send("GET", target, &[("If-None-Match", sent)], b"").status(), 200, "{target} {sent}");
        }
    }
    for target in ["/long", "/other", "/pieces", "/no"] {
        let response = client.send("GET", target, &[("If-None-Match", "*")], b"");
        assert_ne!(response.status(), 304, "{target}");
        assert_eq!(response.field("ETag"), None, "{target}");
    }
    assert_eq!(client.send("POST", "/echo", &[("If-None-Match", "*")], b"x").text(), "x");
    // Responses that are gathered in one buffer stay apart.
    with_server(ETags::new(self::routes().with_state(())), Limits::default(), |server| {
        let client = server.connect();
        let known = "GET / HTTP/1.1\r\nHost: a\r\nIf-None-Match: *\r\n\r\n";
        let other = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        server.send(client, [known, other, known].concat().as_bytes());
        let answers = String::from_utf8(server.receive(client)).unwrap();
        let statuses: Vec<_> = answers.match_indices("HTTP/1.1 ").map(|(at, _)| &answers[at + 9..at + 12]).collect();
        assert_eq!((statuses, answers.matches("hello").count()), (vec!["304", "200", "304"], 1), "{answers}");
    });
}
