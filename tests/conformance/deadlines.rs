//! The deadlines of docs/wire.md in virtual time: exactly when they expire, what resets them, and what does not.

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

/// Checks that the connection is still served after `ms`, and ended for `reason` one millisecond later.
fn dies_after(bench: &mut Bench<Probe>, ms: u64, reason: CloseReason) {
    bench.elapse(ms - 1);
    assert_eq!(bench.connection.close_reason(), None, "after {} ms", ms - 1);
    bench.elapse(1);
    assert_eq!(bench.connection.close_reason(), Some(reason), "after {ms} ms");
}

fn is_closed(bench: &Bench<Probe>) {
    assert_eq!((bench.state(), bench.pool.in_use()), (State::Closed, 0));
}

/// Checks for 408, then lingering.
fn is_timed_out(bench: &mut Bench<Probe>) {
    let output = bench.take_output();
    assert!(output.starts_with("HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n"), "{output}");
    assert_eq!((bench.state(), bench.shut), (State::Lingering, Some(Shutdown::Write)));
    bench.fin();
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

/// Regression: the timeout started again at every byte.
#[test]
fn one_byte_every_29_s_is_too_slow() {
    let mut bench = bench();
    bench.elapse(5_000);
    bench.send(&GET[..1]);
    bench.elapse(29_000);
    bench.send(&GET[1..2]);
    dies_after(&mut bench, 1_000, HeadTimeout);
    is_timed_out(&mut bench);
}

#[test]
fn a_head_has_30_s_from_its_first_byte_however_slowly_it_arrives() {
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

/// An extra CRLF, as some clients send after a POST (RFC 9112 §2.2), at once or in two pieces: the connection is as idle
/// as before, holds no buffer and gets no answer.
#[test]
fn an_empty_line_is_not_part_of_a_head() {
    for pieces in [&[&b"\r\n"[..]][..], &[b"\r", b"\n"], &[b"\r"]] {
        let mut bench = bench();
        for piece in pieces {
            bench.send(piece);
        }
        assert_eq!((bench.state(), bench.pool.in_use()), (State::New, 0));
        dies_after(&mut bench, 10_000, FirstByteTimeout);
        assert_eq!(bench.take_output(), "");
        is_closed(&bench);

        bench.reopen();
        bench.send(GET);
        assert_eq!(bench.take_output(), OK);
        bench.elapse(70_000);
        for piece in pieces {
            bench.send(piece);
        }
        assert_eq!((bench.state(), bench.pool.in_use()), (State::KeepAlive, 0));
        dies_after(&mut bench, 5_000, IdleTimeout);
        assert_eq!(bench.take_output(), "");
        is_closed(&bench);

        bench.reopen();
        bench.send(&post("/receive", 2));
        bench.send(b"hi");
        for piece in pieces {
            bench.send(piece);
        }
        assert!(bench.take_output().ends_with("\r\n\r\n2"));
        assert_eq!((bench.state(), bench.pool.in_use()), (State::KeepAlive, 0));
        bench.with(|connection, cx| connection.stop(cx, CloseReason::Stopped));
        bench.act();
        assert_eq!(bench.state(), State::Closed, "a stop does not wait for it");
    }
}

#[test]
fn one_empty_line_before_a_head_is_skipped_and_no_more_however_they_arrive() {
    for split in 1..4 {
        let mut bench = bench();
        for piece in [&b"\r\n\r\n"[..split], &[&b"\r\n\r\n"[split..], GET].concat()] {
            bench.send(piece);
        }
        assert!(bench.take_output().starts_with("HTTP/1.1 400 "), "{split}");

        let mut bench = limited(|_| {});
        for piece in [&b"\r\n"[..split.min(2)], &[&b"\r\n"[split.min(2)..], GET, b"\r\n", GET].concat()] {
            bench.send(piece);
        }
        assert_eq!(bench.take_output(), [OK, OK].concat(), "{split}");
        bench.send(b"\r");
        bench.send(b"G");
        assert!(bench.take_output().starts_with("HTTP/1.1 400 "), "a bare CR");
    }
}

#[test]
fn a_connection_idles_for_75_s() {
    let mut bench = bench();
    for _ in 0..3 {
        bench.send(GET);
        assert_eq!(bench.take_output(), OK);
        assert_eq!(bench.state(), State::KeepAlive);
        bench.elapse(74_999);
    }
    bench.send(GET);
    assert_eq!(bench.take_output(), OK);
    dies_after(&mut bench, 75_000, IdleTimeout);
    assert_eq!(bench.take_output(), "");
    is_closed(&bench);
}

/// Regression: the idle timeout covered the next head as well.
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
fn the_head_after_a_pipelined_request_has_30_s() {
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
fn content_without_progress_is_too_slow() {
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
fn one_byte_of_content_every_9_s_is_too_slow() {
    let mut bench = bench();
    bench.send(&post("/receive", 1_000));
    bench.send(b"x");
    bench.elapse(9_000);
    bench.send(b"x");
    dies_after(&mut bench, 1_000, ContentTimeout);
    is_timed_out(&mut bench);
}

/// The handler echoes each byte; exactly the time in which the server waits for the client counts.
#[test]
fn content_that_trickles_into_an_echo_is_too_slow() {
    for begun in [0, 1] {
        let mut bench = bench();
        bench.send(&post("/echo", 1_000));
        bench.send(&content(begun));
        for _ in 0..9 {
            bench.elapse(1_000);
            bench.send(b"x");
            assert_eq!(bench.state(), State::ReadingContent);
        }
        bench.elapse(1_000);
        bench.send(b"x");
        assert_eq!((bench.state(), bench.connection.close_reason()), (State::Lingering, Some(ContentTimeout)));
    }
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

/// Only time in which the server waits for the client counts.
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

/// Once the response has been sent, trickling content that the handler did not want ends the connection without a
/// second one.
#[test]
fn stalled_unread_content_is_not_answered_twice() {
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
        bench.fin();
        is_closed(&bench);
    }
}

fn begin_response(bench: &mut Bench<Probe>, target: &str) {
    bench.hold_sends = true;
    bench.send(&head(&format!("GET {target}"), &[]));
    assert!(bench.is_sending());
}

#[test]
fn an_unread_response_ends_after_a_window() {
    for target in ["/", "/large/60000", "/bytes/1000000", "/static/4000"] {
        let mut bench = bench();
        begin_response(&mut bench, target);
        dies_after(&mut bench, 10_000, WriteTimeout);
        is_closed(&bench);
    }
}

#[test]
fn one_byte_of_response_every_29_s_is_too_slow() {
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
fn each_pipelined_response_has_its_own_time() {
    let mut bench = bench();
    bench.hold_sends = true;
    for _ in 0..10 {
        bench.send(GET);
        bench.elapse(9_999);
        bench.complete_send(usize::MAX);
    }
    assert_eq!(bench.state(), State::KeepAlive);
}

fn refused(change: fn(&mut Limits)) -> Bench<Probe> {
    let mut bench = limited(change);
    bench.send(b"GET / HTTP/1.1\r\n\r\n");
    assert_eq!((bench.state(), bench.shut), (State::Lingering, Some(Shutdown::Write)));
    assert_eq!(bench.pool.in_use(), 0, "lingering holds no buffer");
    bench
}

#[test]
fn a_silent_client_that_has_everything_is_closed_after_5_s() {
    let mut bench = refused(|_| {});
    // The first check, after a second, finds that it has everything.
    bench.elapse(5_999);
    assert_eq!(bench.state(), State::Lingering);
    bench.elapse(1);
    is_closed(&bench);
}

#[test]
fn lingering_goes_on_while_the_client_sends_for_300_s_at_most() {
    let mut bench = refused(|_| {});
    let mut lasted_s = 0;
    while bench.state() == State::Lingering {
        assert_eq!(bench.send(&content(1_000)), 1_000);
        bench.elapse(1_000);
        lasted_s += 1;
    }
    assert_eq!(lasted_s, 301);
    is_closed(&bench);
}

#[test]
fn lingering_after_a_megabyte_of_unread_content_receives_all_of_it() {
    let mut bench = bench();
    bench.send(&post("/", 1_000_000));
    assert_eq!((bench.state(), bench.connection.close_reason()), (State::Lingering, Some(ContentUnread)));
    assert_eq!(bench.send(&content(1_000_000)), 1_000_000);
    assert_eq!((bench.state(), bench.pool.in_use()), (State::Lingering, 0));
    bench.fin();
    is_closed(&bench);
}

#[test]
fn a_client_that_only_trickles_while_lingering_is_closed() {
    let mut bench = refused(|_| {});
    bench.elapse(1_000);
    let mut lasted_s = 0;
    while bench.state() == State::Lingering {
        bench.send(b"drip");
        bench.elapse(1_000);
        lasted_s += 1;
    }
    assert_eq!(lasted_s, 11, "5000 B in each 10 s are wanted");
}

#[test]
fn a_slow_reader_is_not_closed_before_it_has_everything() {
    let mut bench = refused(|_| {});
    let mut left = 3_000_000;
    while left > 0 {
        bench.link.unacknowledged = Some(left);
        bench.elapse(1_000);
        assert_eq!(bench.state(), State::Lingering, "{left} bytes are on their way");
        left = left.saturating_sub(10_000);
    }
    bench.link.unacknowledged = Some(0);
    bench.elapse(5_000);
    assert_eq!(bench.state(), State::Lingering);
    bench.elapse(1_000);
    is_closed(&bench);
}

#[test]
fn a_stalled_reader_is_closed_while_lingering_as_while_writing() {
    let mut bench = refused(|_| {});
    bench.link.unacknowledged = Some(3_000_000);
    bench.elapse(10_999);
    assert_eq!(bench.state(), State::Lingering);
    bench.elapse(1);
    is_closed(&bench);
    assert_eq!(bench.connection.close_reason(), Some(WriteTimeout));
}

#[test]
fn without_acknowledgement_counts_lingering_waits_for_the_write_timeout() {
    let mut bench = refused(|_| {});
    bench.link.unacknowledged = None;
    bench.elapse(34_999);
    assert_eq!(bench.state(), State::Lingering);
    bench.elapse(1);
    is_closed(&bench);
}

#[test]
fn deadlines_can_be_disabled() {
    let year_ms = 365 * 86_400_000;
    let off = |limits: &mut Limits| {
        limits.timeouts.first_byte_timeout_ms = None;
        limits.timeouts.head_timeout_ms = None;
        limits.timeouts.content_timeout_ms = None;
        limits.timeouts.write_timeout_ms = None;
        limits.timeouts.rate_min = None;
        limits.timeouts.idle_timeout_ms = None;
        limits.timeouts.linger_timeout_ms = None;
        limits.timeouts.linger_total_timeout_ms = None;
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
