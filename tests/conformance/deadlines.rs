//! The deadlines of WIRE.md in virtual time: exactly when they pass, what ends them, and what does not.

use aurora_http_core::error::CloseReason::{
    self, ContentTimeout, ContentUnread, FirstByteTimeout, HeadTimeout, IdleTimeout, WriteTimeout,
};
use aurora_http_core::limits::Limits;
use aurora_http_core::reactor::Shutdown;
use aurora_http_core::state::State;

use crate::wire::case::{GET, content, head};
use crate::wire::harness::Bench;
use crate::wire::probe::Probe;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

fn bench() -> Bench<Probe> {
    Bench::new(Probe::default())
}

fn limited(change: impl FnOnce(&mut Limits)) -> Bench<Probe> {
    let mut bench = bench();
    bench.fin();
    change(&mut bench.limits);
    bench.reopen();
    bench
}

/// It is still served after `ms`, and ended for `reason` one later.
fn dies_after(bench: &mut Bench<Probe>, ms: u64, reason: CloseReason) {
    bench.elapse(ms - 1);
    assert_eq!(bench.connection.close_reason(), None, "after {} ms", ms - 1);
    bench.elapse(1);
    assert_eq!(bench.connection.close_reason(), Some(reason), "after {ms} ms");
}

fn is_closed(bench: &Bench<Probe>) {
    assert_eq!((bench.state(), bench.pool.in_use()), (State::Closed, 0));
}

/// 408, then a lingering end.
fn is_timed_out(bench: &mut Bench<Probe>) {
    let output = bench.take_output();
    assert!(output.starts_with("HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n"), "{output}");
    assert_eq!((bench.state(), bench.shut), (State::Lingering, Some(Shutdown::Write)));
    bench.elapse(1_000);
    is_closed(bench);
}

#[test]
fn the_first_byte_has_10_s() {
    let mut silent = bench();
    dies_after(&mut silent, 10_000, FirstByteTimeout);
    assert_eq!(silent.take_output(), "");
    is_closed(&silent);

    let mut late = bench();
    late.elapse(9_999);
    late.send(GET);
    assert_eq!(late.take_output(), OK);
}

/// The original's timeout started again at every byte.
#[test]
fn one_byte_each_29_s_does_not_live_on() {
    let mut bench = bench();
    bench.elapse(5_000);
    bench.send(&GET[..1]);
    bench.elapse(29_000);
    bench.send(&GET[1..2]);
    dies_after(&mut bench, 1_000, HeadTimeout);
    is_timed_out(&mut bench);
}

#[test]
fn a_head_has_30_s_from_its_first_byte_however_it_drips() {
    let mut bench = bench();
    bench.elapse(9_000);
    for at in 0..GET.len() - 1 {
        bench.send(&GET[at..=at]);
        bench.elapse(1_000);
    }
    // 26 s have passed.
    bench.elapse(30_000 - 1_000 * (GET.len() as u64 - 1) - 1);
    bench.send(&GET[GET.len() - 1..]);
    assert_eq!(bench.take_output(), OK);
}

#[test]
fn an_empty_line_is_a_first_byte() {
    let mut bench = bench();
    bench.send(b"\r\n");
    dies_after(&mut bench, 30_000, HeadTimeout);
    is_timed_out(&mut bench);
}

#[test]
fn a_connection_idles_for_60_s() {
    let mut bench = bench();
    for _ in 0..3 {
        bench.send(GET);
        assert_eq!(bench.take_output(), OK);
        assert_eq!(bench.state(), State::KeepAlive);
        bench.elapse(59_999);
    }
    bench.send(GET);
    assert_eq!(bench.take_output(), OK);
    dies_after(&mut bench, 60_000, IdleTimeout);
    assert_eq!(bench.take_output(), "");
    is_closed(&bench);
}

/// The original's idle timeout covered the next head as well.
#[test]
fn the_next_head_has_its_own_30_s() {
    let mut bench = bench();
    bench.send(GET);
    bench.take_output();
    bench.elapse(59_000);
    bench.send(&GET[..10]);
    bench.elapse(29_999);
    assert_eq!(bench.state(), State::ReadingHead);
    bench.send(&GET[10..]);
    assert_eq!(bench.take_output(), OK);

    bench.elapse(59_000);
    bench.send(&GET[..10]);
    dies_after(&mut bench, 30_000, HeadTimeout);
    is_timed_out(&mut bench);
}

#[test]
fn the_head_behind_a_pipelined_request_has_30_s() {
    let mut bench = bench();
    bench.send(&[GET, b"GET"].concat());
    assert_eq!(bench.take_output(), OK);
    dies_after(&mut bench, 30_000, HeadTimeout);
    is_timed_out(&mut bench);
}

fn post(target: &str, length: usize) -> Vec<u8> {
    head(&format!("POST {target}"), &[&format!("Content-Length: {length}")])
}

#[test]
fn content_that_stands_still_is_too_slow() {
    for target in ["/receive", "/collect/count"] {
        let mut bench = bench();
        bench.send(&post(target, 100_000));
        bench.send(&content(4_999));
        dies_after(&mut bench, 10_000, ContentTimeout);
        is_timed_out(&mut bench);
    }
}

#[test]
fn chunk_framing_alone_is_too_slow_as_well() {
    let mut bench = bench();
    bench.send(&head("POST /receive", &["Transfer-Encoding: chunked"]));
    for _ in 0..9 {
        bench.send(b"1;a=b\r\nx\r\n");
        bench.elapse(1_000);
    }
    dies_after(&mut bench, 1_000, ContentTimeout);
    is_timed_out(&mut bench);
}

#[test]
fn content_needs_5000_bytes_in_each_10_s() {
    let mut bench = bench();
    bench.send(&post("/receive", 1_000_000));
    for _ in 0..20 {
        bench.send(&content(2_500));
        bench.elapse(9_999);
        bench.send(&content(2_500)); // the window is complete and the next one begins
        assert_eq!(bench.state(), State::ReadingContent);
    }
    bench.send(&content(4_999));
    dies_after(&mut bench, 10_000, ContentTimeout);
    is_timed_out(&mut bench);
}

#[test]
fn one_byte_of_content_each_9_s_does_not_live_on() {
    let mut bench = bench();
    bench.send(&post("/receive", 1_000));
    bench.send(b"x");
    bench.elapse(9_000);
    bench.send(b"x");
    dies_after(&mut bench, 1_000, ContentTimeout);
    is_timed_out(&mut bench);
}

#[test]
fn without_a_rate_content_has_30_s_without_progress() {
    let mut bench = limited(|limits| limits.timeouts.rate_min = None);
    bench.send(&post("/receive", 1_000));
    for _ in 0..100 {
        bench.elapse(29_999);
        bench.send(b"x");
    }
    dies_after(&mut bench, 30_000, ContentTimeout);
    is_timed_out(&mut bench);
}

/// Only what the client is waited for counts.
#[test]
fn content_does_not_age_while_the_response_waits_for_the_client() {
    let mut bench = limited(|limits| limits.timeouts.write_timeout_ms = None);
    bench.limits.timeouts.rate_min = None;
    bench.hold_sends = true;
    bench.send(&post("/echo", 1_000));
    bench.send(b"x");
    assert!(bench.is_sending());
    bench.elapse(1_000_000);
    bench.complete_send(usize::MAX);
    assert_eq!(bench.state(), State::ReadingContent);
    dies_after(&mut bench, 30_000, ContentTimeout);
}

/// A response that has left is the only one: dripping what the handler did not want ends the connection without a
/// second one.
#[test]
fn unread_content_that_stands_still_is_not_answered_twice() {
    for sent in [0, 5, 4_999] {
        let mut bench = bench();
        bench.send(&post("/", 20_000));
        assert_eq!(bench.take_output(), OK);
        bench.send(&content(sent));
        bench.elapse(9_999);
        assert_eq!(bench.state(), State::ReadingContent);
        bench.elapse(1);
        assert_eq!(bench.take_output(), "", "a second response to one request");
        assert_eq!(bench.connection.close_reason(), Some(ContentTimeout));
        bench.elapse(1_000);
        is_closed(&bench);
    }
}

fn begin_response(bench: &mut Bench<Probe>, target: &str) {
    bench.hold_sends = true;
    bench.send(&head(&format!("GET {target}"), &[]));
    assert!(bench.is_sending());
}

#[test]
fn a_response_that_nobody_takes_ends_after_a_window() {
    for target in ["/", "/large/60000", "/bytes/1000000", "/static/4000"] {
        let mut bench = bench();
        begin_response(&mut bench, target);
        dies_after(&mut bench, 10_000, WriteTimeout);
        is_closed(&bench);
    }
}

#[test]
fn one_byte_of_response_each_29_s_is_no_progress() {
    let mut bench = bench();
    begin_response(&mut bench, "/bytes/1000000");
    bench.complete_send(1);
    bench.elapse(9_000);
    bench.complete_send(1);
    dies_after(&mut bench, 1_000, WriteTimeout);
    is_closed(&bench);
}

#[test]
fn a_response_needs_5000_bytes_in_each_10_s() {
    let mut bench = bench();
    begin_response(&mut bench, "/bytes/1000000");
    for _ in 0..20 {
        let mut taken = 0;
        while taken < 2_500 {
            taken += bench.complete_send(2_500 - taken);
        }
        bench.elapse(9_999);
        let mut taken = 0;
        while taken < 2_500 {
            taken += bench.complete_send(2_500 - taken);
        }
        assert_eq!(bench.state(), State::Writing);
    }
    dies_after(&mut bench, 10_000, WriteTimeout);
    is_closed(&bench);
}

#[test]
fn without_a_rate_a_response_has_30_s_without_progress() {
    let mut bench = limited(|limits| limits.timeouts.rate_min = None);
    begin_response(&mut bench, "/bytes/1000000");
    for _ in 0..100 {
        bench.elapse(29_999);
        bench.complete_send(1);
    }
    dies_after(&mut bench, 30_000, WriteTimeout);
    is_closed(&bench);
}

#[test]
fn pipelined_responses_that_are_taken_each_have_their_time() {
    let mut bench = bench();
    bench.hold_sends = true;
    for _ in 0..10 {
        bench.send(GET);
        bench.elapse(9_999);
        bench.complete_send(usize::MAX);
    }
    assert_eq!(bench.state(), State::KeepAlive);
}

#[test]
fn lingering_lasts_1_s_or_64_kib() {
    let refuse = |bench: &mut Bench<Probe>| {
        bench.send(b"GET / HTTP/1.1\r\n\r\n");
        assert_eq!((bench.state(), bench.shut), (State::Lingering, Some(Shutdown::Write)));
    };
    let mut bench = bench();
    refuse(&mut bench);
    for _ in 0..9 {
        bench.elapse(100);
        bench.send(b"dripping on does not prolong it");
    }
    bench.elapse(99);
    assert_eq!(bench.state(), State::Lingering);
    bench.elapse(1);
    is_closed(&bench);

    bench.reopen();
    refuse(&mut bench);
    assert_eq!(bench.send(&content(65_536)), 65_536);
    assert_eq!(bench.state(), State::Lingering);
    bench.send(b"x");
    is_closed(&bench);
}

#[test]
fn lingering_behind_unread_content_counts_what_comes() {
    let mut bench = bench();
    bench.send(&post("/", 1_000_000));
    assert_eq!((bench.state(), bench.connection.close_reason()), (State::Lingering, Some(ContentUnread)));
    let taken = bench.send(&content(200_000));
    assert!((65_536..=65_536 + 4_096).contains(&taken), "{taken}");
    is_closed(&bench);
}

#[test]
fn each_deadline_can_be_switched_off() {
    let year_ms = 365 * 86_400_000;
    let off = |limits: &mut Limits| {
        limits.timeouts.first_byte_timeout_ms = None;
        limits.timeouts.head_timeout_ms = None;
        limits.timeouts.content_timeout_ms = None;
        limits.timeouts.write_timeout_ms = None;
        limits.timeouts.rate_min = None;
        limits.timeouts.idle_timeout_ms = None;
        limits.timeouts.linger_timeout_ms = None;
    };
    let mut bench = limited(off);
    bench.elapse(year_ms);
    bench.send(&GET[..5]);
    bench.elapse(year_ms);
    bench.send(&GET[5..]);
    assert_eq!(bench.take_output(), OK);
    bench.elapse(year_ms);
    bench.send(&post("/receive", 2));
    bench.elapse(year_ms);
    bench.hold_sends = true;
    bench.send(b"hi");
    bench.elapse(year_ms);
    bench.complete_send(usize::MAX);
    bench.hold_sends = false;
    assert!(bench.take_output().ends_with("\r\n\r\n2"));
    bench.send(b"bad\r\n\r\n");
    assert_eq!(bench.state(), State::Lingering);
    bench.elapse(year_ms);
    assert_eq!(bench.state(), State::Lingering);
    bench.fin();
    is_closed(&bench);
}
