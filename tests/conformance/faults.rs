//! Regression tests over sockets, and tests of behaviour that only sockets show.

use std::time::Duration;

use aurora_http::{Backend, CloseReason, Limits, Running};

use crate::wire::case::{GET, content, head};
use crate::wire::probe::Seen;
use crate::wire::reply::{Framing, Reply};
use crate::wire::socket::{Client, Hosted, backends, eventually};

fn quick(backend: Backend, change: impl FnOnce(&mut Limits)) -> Hosted {
    let mut limits = Limits::default();
    limits.timeouts.rate_min = None;
    change(&mut limits);
    Hosted::new(backend, limits)
}

fn closed_for(running: &Running, reason: CloseReason) -> u64 {
    running.counters().closed.of(reason)
}

fn expect(client: &mut Client, reply: Reply) {
    let response = client.reply(&reply, false).unwrap();
    reply.check(&response).unwrap();
}

/// A request whose exchange is under way: it got its 100 (Continue), but has not sent its content.
fn begin(server: &Hosted, target: &str) -> Client {
    let mut client = server.connect();
    client.send(&head(&format!("POST {target}"), &["Content-Length: 5", "Expect: 100-continue"])).unwrap();
    expect(&mut client, Reply::new(100));
    client
}

/// Regression: the in-flight counter fell before the handler ran, so the limit never applied.
#[test]
fn the_in_flight_limit_applies_and_the_connection_is_kept() {
    backends().into_iter().for_each(the_in_flight_limit_bites_and_the_connection_is_kept_on);
}

fn the_in_flight_limit_bites_and_the_connection_is_kept_on(backend: Backend) {
    let server = quick(backend, |limits| limits.in_flight_max = Some(1));
    let mut first = begin(&server, "/receive");
    let mut second = server.connect();
    for _ in 0..3 {
        second.send(GET).unwrap();
        expect(&mut second, Reply::new(503).field("Retry-After", "1").without("Connection"));
    }
    first.send(b"hello").unwrap();
    expect(&mut first, Reply::new(200).body("5"));
    second.send(GET).unwrap();
    expect(&mut second, Reply::ok());
    first.send(GET).unwrap();
    expect(&mut first, Reply::ok());
    assert_eq!(server.log().take().len(), 3, "no handler ran for what was refused");
}

/// Regression: 413 and 400 closed at once with unread input, so the client saw a reset instead of the answer.
#[test]
fn a_client_that_is_still_sending_can_read_the_whole_answer() {
    backends().into_iter().for_each(a_client_that_is_still_sending_can_read_the_whole_answer_on);
}

fn a_client_that_is_still_sending_can_read_the_whole_answer_on(backend: Backend) {
    let server = Hosted::new(backend, Limits::default());
    let rows: [(Vec<u8>, u16); 6] = [
        (head("POST /receive", &["Content-Length: 10000000"]), 413),
        (head("POST /collect", &["Content-Length: 10000000"]), 413),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\nContent-Length: 1000000\r\n\r\n".to_vec(), 400),
        (b"POST / HTTP/3.0\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n".to_vec(), 505),
        (head("POST /receive", &["Expect: x", "Content-Length: 1000000"]), 417),
        (head("POST /status/403", &["Content-Length: 1000000"]), 403),
    ];
    for (request, status) in rows {
        let mut client = server.connect();
        client.send(&[&request, &content(20_000)[..]].concat()).unwrap();
        expect(&mut client, Reply::new(status).field("Connection", "close").framed(Framing::Length));
        // The answer and its end have arrived; further input does not destroy it by a reset.
        client.send(&content(20_000)).unwrap();
        assert_eq!(client.rest().unwrap(), b"");
        client.send(&content(5_000)).unwrap();
    }
}

/// Regression: 408 was never sent.
#[test]
fn slow_heads_and_slow_content_are_answered_408() {
    backends().into_iter().for_each(slow_heads_and_slow_content_are_answered_408_on);
}

fn slow_heads_and_slow_content_are_answered_408_on(backend: Backend) {
    let server = quick(backend, |limits| {
        limits.timeouts.head_timeout_ms = Some(50);
        limits.timeouts.content_timeout_ms = Some(50);
    });
    let timed_out = || Reply::new(408).field("Connection", "close");
    let requests: [&[u8]; 4] = [
        b"G",
        &GET[..20],
        &head("POST /receive", &["Content-Length: 9"]),
        &head("POST /collect", &["Content-Length: 9"]),
    ];
    for request in requests {
        let mut client = server.connect();
        client.send(request).unwrap();
        expect(&mut client, timed_out());
        client.expect_end().unwrap();
    }
    let mut behind = server.connect();
    behind.send(&[GET, &GET[..9]].concat()).unwrap();
    expect(&mut behind, Reply::ok());
    expect(&mut behind, timed_out());
    behind.expect_end().unwrap();
    let mut interim = begin(&server, "/receive");
    expect(&mut interim, timed_out());
    interim.expect_end().unwrap();
    let report = server.stop();
    assert_eq!(report.counters.closed.of(CloseReason::HeadTimeout), 3);
    assert_eq!(report.counters.closed.of(CloseReason::ContentTimeout), 3);
}

#[test]
fn silent_clients_are_closed_without_an_answer() {
    backends().into_iter().for_each(silent_clients_are_closed_without_an_answer_on);
}

fn silent_clients_are_closed_without_an_answer_on(backend: Backend) {
    let server = quick(backend, |limits| {
        limits.timeouts.first_byte_timeout_ms = Some(50);
        limits.timeouts.idle_timeout_ms = Some(50);
    });
    let mut silent = server.connect();
    silent.expect_end().unwrap();
    let mut idle = server.connect();
    idle.send(GET).unwrap();
    expect(&mut idle, Reply::ok());
    idle.expect_end().unwrap();
    let report = server.stop();
    assert_eq!(report.counters.closed.of(CloseReason::FirstByteTimeout), 1);
    assert_eq!(report.counters.closed.of(CloseReason::IdleTimeout), 1);
}

#[test]
fn a_client_that_reads_nothing_is_closed() {
    backends().into_iter().for_each(a_client_that_reads_nothing_is_closed_on);
}

fn a_client_that_reads_nothing_is_closed_on(backend: Backend) {
    let server = quick(backend, |limits| limits.timeouts.write_timeout_ms = Some(100));
    let mut clients: Vec<Client> = (0..3).map(|_| server.connect()).collect();
    for client in &mut clients {
        client.send(&head("GET /bytes/1000000000", &[])).unwrap();
    }
    eventually("the writes time out", || closed_for(server.running(), CloseReason::WriteTimeout) == 3);
    eventually("their slots are free", || server.running().counters().active == 0);
}

/// Regression: a graceful stop never closed idle connections, and silently dropped responses under way.
#[test]
fn a_graceful_stop_closes_idle_connections_and_finishes_exchanges() {
    backends().into_iter().for_each(a_graceful_stop_closes_what_is_idle_and_finishes_what_has_begun_on);
}

fn a_graceful_stop_closes_what_is_idle_and_finishes_what_has_begun_on(backend: Backend) {
    let server = Hosted::new(backend, Limits::default());
    let mut new = server.connect();
    let mut idle: Vec<Client> = (0..5).map(|_| server.connect()).collect();
    for client in &mut idle {
        client.send(GET).unwrap();
        expect(client, Reply::ok());
    }
    let mut receiving = begin(&server, "/receive");
    let mut collecting = begin(&server, "/collect");
    let mut streaming = server.connect();
    streaming.send(&head("GET /bytes/20000000", &[])).unwrap();
    eventually("all were accepted", || server.running().counters().active == 9);
    eventually("the response has begun", || server.running().counters().requests == 8);
    server.running().stop();
    for client in &mut idle {
        client.expect_end().unwrap();
    }
    new.expect_end().unwrap();
    receiving.send(b"hello").unwrap();
    expect(&mut receiving, Reply::new(200).body("5").field("Connection", "close"));
    receiving.expect_end().unwrap();
    collecting.send(b"hello").unwrap();
    expect(&mut collecting, Reply::new(200).body("hello").field("Connection", "close"));
    collecting.expect_end().unwrap();
    // Its head had been sent before the stop: only the end of the connection tells.
    expect(&mut streaming, Reply::new(200).body(content(20_000_000)).framed(Framing::Length));
    streaming.expect_end().unwrap();
    let report = server.stop();
    assert_eq!(report.counters.closed.of(CloseReason::Stopped), 9, "{report:?}");
}

/// Regression: counters stayed 0 on Linux.
#[test]
fn counters_count() {
    backends().into_iter().for_each(counters_count_on);
}

fn counters_count_on(backend: Backend) {
    let server = Hosted::new(backend, Limits::default());
    let mut kept = server.connect();
    for _ in 0..3 {
        kept.send(GET).unwrap();
        expect(&mut kept, Reply::ok());
    }
    let mut bad = server.connect();
    bad.send(b"bad\r\n\r\n").unwrap();
    expect(&mut bad, Reply::new(400));
    bad.finish();
    bad.expect_end().unwrap();
    let mut failed = server.connect();
    failed.send(&head("GET /fail/500", &["Connection: close"])).unwrap();
    expect(&mut failed, Reply::new(500));
    failed.expect_end().unwrap();
    eventually("two of three are gone", || {
        let counters = server.running().counters();
        (counters.accepted, counters.active) == (3, 1)
    });
    let counters = server.running().counters();
    assert_eq!((counters.accepted, counters.active, counters.requests), (3, 1, 4));
    assert_eq!((counters.refused, counters.failed, counters.accept_errors), (1, 1, 0));
    assert_eq!((closed_for(server.running(), CloseReason::BadRequest), counters.closed.total()), (1, 2));
    assert!(counters.bytes_received >= 3 * GET.len() as u64 && counters.bytes_sent > 4 * 100, "{counters:?}");
    assert_eq!(
        server.log().take(),
        [vec![Seen::new("GET", b"/", None); 3], vec![Seen::new("GET", b"/fail/500", None)]].concat()
    );
}

/// S21: wherever a client disconnects, its slot becomes free again.
#[test]
fn vanished_clients_leave_nothing_behind() {
    backends().into_iter().for_each(vanished_clients_leave_nothing_behind_on);
}

fn vanished_clients_leave_nothing_behind_on(backend: Backend) {
    let server = Hosted::new(backend, Limits::default());
    let requests: [&[u8]; 6] = [
        b"",
        &GET[..10],
        &[&head("POST /receive", &["Content-Length: 100"])[..], b"part"].concat(),
        &[&head("POST /collect", &["Transfer-Encoding: chunked"])[..], b"5\r\nhe"].concat(),
        &[&head("POST /echo", &["Content-Length: 100"])[..], b"part"].concat(),
        &head("GET /bytes/1000000000", &[]),
    ];
    let mut accepted = 0;
    for round in 0..6 {
        for request in requests {
            let mut client = server.connect();
            client.send(request).unwrap();
            accepted += 1;
            match round % 3 {
                0 => client.finish(),
                1 => {
                    // On some systems a connection that is reset before it is accepted never reaches the server.
                    eventually("it is accepted", || server.running().counters().accepted == accepted);
                    client.reset_on_drop();
                }
                _ => {}
            }
        }
    }
    eventually("all are gone", || {
        let counters = server.running().counters();
        (counters.accepted, counters.active) == (36, 0)
    });
    let mut client = server.connect();
    client.send(GET).unwrap();
    expect(&mut client, Reply::ok());
}

/// Every slot is held by a silent client: the longest idle one makes room.
#[test]
fn a_newcomer_evicts_the_longest_idle_connection() {
    backends().into_iter().for_each(a_newcomer_evicts_who_idles_on);
}

fn a_newcomer_evicts_who_idles_on(backend: Backend) {
    let server = Hosted::new(backend, Limits::default());
    let mut idle: Vec<Client> = (0..Hosted::CONNECTIONS).map(|_| server.connect()).collect();
    for client in &mut idle {
        client.send(GET).unwrap();
        expect(client, Reply::ok());
    }
    let mut newcomer = server.connect();
    newcomer.stream().set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    newcomer.send(GET).unwrap();
    expect(&mut newcomer, Reply::ok());
    idle[0].expect_end().unwrap();
    for client in &mut idle[1..] {
        client.send(GET).unwrap();
        expect(client, Reply::ok());
    }
    assert_eq!(closed_for(server.running(), CloseReason::Evicted), 1);
}
