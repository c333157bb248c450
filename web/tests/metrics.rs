//! What metrics say about exchanges of every kind.

use std::cell::Cell;
use std::collections::BTreeMap;

use aurora_http::testing::Client;
use aurora_http_core::counters::Counters;
use aurora_http_core::handler::deferred;
use aurora_http_core::limits::Limits;
use aurora_http_core::pool::{Class, ClassSizes, ClassStats};
use aurora_http_core::sim::with_server;
use aurora_http_core::writer::WriteError;
use aurora_http_web::metrics::{Exchanges, Metrics, Status, Text, healthy, ready};
use aurora_http_web::middleware::Wrap;
use aurora_http_web::{Endpoint, Routes};

thread_local! {
    static NOW_US: Cell<u64> = const { Cell::new(0) };
}

fn now_us() -> u64 {
    NOW_US.get()
}

/// Each page takes as long as its name says, or fails in a way of its own.
fn routes() -> Routes<(), impl Endpoint<()>> {
    Routes::new()
        .get("/takes/:us", |_, call, response| {
            NOW_US.set(NOW_US.get() + call.param::<u64>("us")?);
            response.body("done\n")
        })
        .get("/status/:code", |_, call, response| {
            response.status(call.param("code")?)?;
            response.body("")
        })
        .get("/fails", |_, _, response| response.body([0; 70_000]))
        .post("/echo", |_, call, response| response.body(call.content()))
        .get("/healthz", healthy)
        .get("/readyz", ready)
}

/// The lines of a page: name and labels, and value. Every family has a help and a type before its first line.
fn values(page: &str) -> BTreeMap<String, f64> {
    let mut family = None;
    let mut values = BTreeMap::new();
    for line in page.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            family = help.split_once(' ').map(|(name, _)| name);
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').expect("a type");
            assert!(family == Some(name) && ["counter", "gauge", "histogram"].contains(&kind), "{line}");
        } else {
            let (name, value) = line.rsplit_once(' ').expect("a value");
            assert!(family.is_some_and(|family| name.starts_with(family)), "{line} in {page}");
            let earlier = values.insert(name.to_owned(), value.parse().expect("a number"));
            assert_eq!(earlier, None, "{name} is there twice");
        }
    }
    values
}

fn page(all: &[&Exchanges]) -> BTreeMap<String, f64> {
    let mut page = String::new();
    Text::new(&mut page).exchanges(all).expect("strings have room");
    values(&page)
}

#[test]
fn exchanges_are_counted_by_status_and_duration() {
    let exchanges = Exchanges::new();
    let mut client = Client::new(routes().with_state(()).wrap(Metrics::new(&exchanges, now_us)));
    for (us, status) in [(0, 200), (100, 200), (101, 200), (2_500, 200), (10_000_000, 200), (10_000_001, 200)] {
        assert_eq!(client.get(&format!("/takes/{us}")).status(), status);
    }
    assert_eq!(client.get("/nothing").status(), 404);
    assert_eq!(client.get("/fails").status(), 500);
    assert_eq!(client.post("/echo", vec![b'x'; 300_000]).status(), 413);
    assert!(client.exchange(b"GET /  HTTP/1.1\r\nHost: x\r\n\r\n").starts_with(b"HTTP/1.1 400 "));
    let page = page(&[&exchanges]);
    let value = |name: &str| page.get(name).copied().unwrap_or_else(|| panic!("{name} in {page:?}"));
    for (code, count) in [(200, 6.0), (404, 1.0), (500, 1.0), (413, 1.0), (400, 1.0)] {
        assert_eq!(value(&format!("http_requests_total{{code=\"{code}\"}}")), count, "{code}");
    }
    let bucket = |le: &str| value(&format!("http_request_duration_seconds_bucket{{le=\"{le}\"}}"));
    // Besides the six, 404 and 500 took no time; 413 was the server's answer to an exchange that it ended.
    assert_eq!((bucket("0.0001"), bucket("0.00025"), bucket("0.0025")), (4.0, 5.0, 6.0));
    assert_eq!((bucket("5"), bucket("10"), bucket("+Inf")), (6.0, 7.0, 8.0));
    assert_eq!(value("http_request_duration_seconds_count"), 8.0);
    assert_eq!(value("http_request_duration_seconds_sum"), 20.002_702);
    assert_eq!(value("http_requests_under_way"), 0.0);
}

#[test]
fn statuses_without_a_counter_of_their_own_are_counted_together() {
    let exchanges = Exchanges::new();
    let mut client = Client::new(routes().with_state(()).wrap(Metrics::new(&exchanges, now_us)));
    for code in (200..=230).filter(|code| ![204, 205].contains(code)) {
        assert_eq!(client.get(&format!("/status/{code}")).status(), code);
    }
    let page = page(&[&exchanges]);
    assert_eq!(page["http_requests_total{code=\"200\"}"], 1.0);
    assert_eq!(page["http_requests_total{code=\"other\"}"], 5.0);
}

#[test]
fn the_numbers_of_all_workers_are_added_up() {
    let all = [Exchanges::new(), Exchanges::new(), Exchanges::new()];
    for (own, paths) in all.iter().zip([&["/status/200", "/status/404"][..], &["/status/404"], &["/status/201"]]) {
        let mut client = Client::new(routes().with_state(()).wrap(Metrics::new(own, now_us)));
        for path in paths {
            client.get(path);
        }
    }
    let page = page(&all.each_ref());
    for (code, count) in [(200, 1.0), (404, 2.0), (201, 1.0)] {
        assert_eq!(page[&format!("http_requests_total{{code=\"{code}\"}}")], count);
    }
    assert_eq!(page["http_request_duration_seconds_count"], 4.0);
}

#[test]
fn an_exchange_is_under_way_until_it_ends_or_its_handler_does() {
    let exchanges = Exchanges::new();
    let under_way =
        || (page(&[&exchanges])["http_requests_under_way"], page(&[&exchanges])["http_requests_abandoned_total"]);
    let handler = Routes::new()
        .get("/", |_, _, response| {
            let _ = response.defer()?; // nobody resolves it
            Ok::<_, WriteError>(deferred(|response| response.body("late\n")))
        })
        .with_state(())
        .wrap(Metrics::new(&exchanges, now_us));
    with_server(handler, Limits::default(), |server| {
        let (leaves, waits) = (server.connect(), server.connect());
        for client in [leaves, waits] {
            server.send(client, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        }
        assert_eq!(under_way(), (2.0, 0.0));
        server.sim().client_reset(leaves);
        server.settle();
        assert_eq!(under_way(), (1.0, 1.0));
    });
    // It ended with its handler.
    assert_eq!(under_way().0, 0.0);
}

#[test]
fn the_pages_for_health_checks_say_that_all_is_well() {
    let mut client = Client::new(routes().with_state(()));
    let response = client.get("/healthz");
    assert_eq!((response.status(), response.text(), response.field("Cache-Control")), (200, "ok\n", Some("no-store")));
    assert_eq!(client.get("/readyz").text(), "ready\n");
}

#[test]
fn every_counter_of_the_server_has_a_line() {
    let plain = std::array::from_fn(|at| at as u64 + 1);
    let counters = Counters::from_arrays(plain, std::array::from_fn(|at| at as u64 + 100));
    let mut page = String::new();
    Text::new(&mut page).server(&counters).expect("strings have room");
    let values = values(&page);
    for count in plain.into_iter().chain(100..100 + counters.closed.to_array().len() as u64) {
        assert!(values.values().any(|value| *value == count as f64), "{count} in {page}");
    }
    let status = Status(&counters).to_string();
    assert!(status.starts_with("connections  2 open, 1 accepted\n"), "{status}");
}

#[test]
fn buffers_are_listed_by_size() {
    let mut page = String::new();
    let stats = |class: Class| {
        let bytes = ClassSizes::FROM_512.of(class);
        ClassStats { bytes, in_use: 1, high_water: bytes as u32, refused: 3 }
    };
    Text::new(&mut page).buffers(stats).expect("strings have room");
    let values = values(&page);
    assert_eq!(values["aurora_buffers_high_water{bytes=\"2048\"}"], 2048.0);
    assert_eq!(values["aurora_buffers_refused_total{bytes=\"512\"}"], 3.0);
}
