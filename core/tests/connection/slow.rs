//! Clients that send or read too slowly, and how long a connection lingers.

use aurora_http_core::error::CloseReason;
use aurora_http_core::handler::{Content, Flow, Handler};
use aurora_http_core::limits::RateMin;
use aurora_http_core::request::Request;
use aurora_http_core::state::State;
use aurora_http_core::writer::ResponseWriter;

use crate::harness::Bench;

/// Answers when all content has arrived.
struct Reads;

impl Handler for Reads {
    type Exchange = ();

    fn request(&mut self, request: &Request<'_>, _: &mut ResponseWriter<'_>) -> Flow<()> {
        if request.body_length().has_content() { Flow::Receive(()) } else { Flow::Finish }
    }

    fn receive(&mut self, (): (), content: &mut Content<'_>, response: &mut ResponseWriter<'_>) -> Flow<()> {
        if !content.ended() {
            return Flow::Receive(());
        }
        let _ = response.body("read");
        Flow::Finish
    }
}

const POST: &str = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n";

/// Bytes that complete the content may have been there for long; the next request has its own time.
#[test]
fn content_that_is_complete_is_not_too_slow_and_neither_is_the_next() {
    for (rest, answers, state) in [
        ("9".to_owned(), 1, State::KeepAlive),
        (format!("9{POST}"), 1, State::ReadingContent),
        (format!("9{POST}0123456789"), 2, State::KeepAlive),
    ] {
        let mut bench = Bench::new(Reads);
        bench.limits.timeouts.rate_min = Some(RateMin { bytes: 100, window_ms: 1_000 });
        bench.send([POST, "012345678"].concat().as_bytes());
        bench.now.0 += 5_000;
        bench.send(rest.as_bytes());
        let output = bench.take_output();
        assert_eq!((output.matches("HTTP/1.1 200 ").count(), bench.state()), (answers, state), "{rest:?}: {output}");
        assert_eq!(output.matches("HTTP/1.1 ").count(), answers, "{output}");
    }
    let mut bench = Bench::new(Reads);
    bench.limits.timeouts.rate_min = Some(RateMin { bytes: 100, window_ms: 1_000 });
    bench.send([POST, "01234567"].concat().as_bytes());
    bench.now.0 += 5_000;
    bench.send(b"8");
    assert!(bench.take_output().starts_with("HTTP/1.1 408 "), "one is missing");
    assert_eq!(bench.state(), State::Lingering);
    assert!(!bench.connection.is_closed());
    bench.fin();
    assert_eq!(bench.connection.close_reason(), Some(CloseReason::ContentTimeout));
    assert!(bench.connection.is_closed());
}

/// Answers each piece of content with a piece of its response.
struct Echoes;

impl Handler for Echoes {
    type Exchange = ();

    fn request(&mut self, _: &Request<'_>, response: &mut ResponseWriter<'_>) -> Flow<()> {
        response.stream(None).expect("room");
        Flow::Receive(())
    }

    fn receive(&mut self, (): (), content: &mut Content<'_>, response: &mut ResponseWriter<'_>) -> Flow<()> {
        response.write(content.bytes()).expect("room");
        Flow::Receive(())
    }
}

#[test]
fn output_does_not_make_up_for_slow_content() {
    let mut bench = Bench::new(Echoes);
    bench.limits.timeouts.rate_min = Some(RateMin { bytes: 100, window_ms: 1_000 });
    bench.send([POST, "0123"].concat().as_bytes());
    assert!(bench.take_output().contains("0123"));
    bench.now.0 += 5_000;
    bench.send(b"4");
    assert_eq!((bench.state(), bench.connection.close_reason()), (State::Lingering, Some(CloseReason::ContentTimeout)));
    assert_eq!(bench.pool.in_use(), 0);
}

/// Timeout and minimum rate are one rule: so many bytes in each window, which is no longer than the timeout.
#[test]
fn content_has_as_much_time_as_timeout_and_rate_say_together() {
    let rate = |bytes, window_ms| Some(RateMin { bytes, window_ms });
    let rows = [
        (Some(5_000), rate(5_000, 10_000), 2_500, 5_000),
        (Some(9_999), rate(5_000, 10_000), 4_999, 9_999),
        (Some(10_000), rate(5_000, 10_000), 5_000, 10_000),
        (Some(20_000), rate(5_000, 10_000), 5_000, 10_000),
        (None, rate(5_000, 10_000), 5_000, 10_000),
        (Some(5_000), None, 1, 5_000),
        (Some(100), rate(1, 10_000), 1, 100),
    ];
    for (content_timeout_ms, rate_min, bytes, window_ms) in rows {
        for enough in [true, false] {
            let mut bench = Bench::new(Reads);
            bench.limits.timeouts.content_timeout_ms = content_timeout_ms;
            bench.limits.timeouts.rate_min = rate_min;
            bench.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n");
            bench.elapse(window_ms - 1);
            bench.send(&vec![b'x'; if enough { bytes } else { bytes - 1 }]);
            bench.elapse(1);
            let state = if enough { State::ReadingContent } else { State::Lingering };
            assert_eq!(bench.state(), state, "{content_timeout_ms:?} {rate_min:?}");
            if enough {
                bench.elapse(window_ms - 2);
                assert_eq!(bench.state(), State::ReadingContent, "the next window is just as long");
                bench.elapse(1);
                assert_eq!(bench.state(), State::Lingering, "{content_timeout_ms:?} {rate_min:?}");
            }
            assert!(bench.take_output().starts_with("HTTP/1.1 408 "));
        }
    }
}

/// What the client does in each second of lingering, which the number counts.
type Each = fn(&mut Bench<Reads>, u32);

#[test]
fn a_connection_lingers_until_closing_can_destroy_nothing_that_the_client_would_read() {
    let rows: [(&str, Each, Option<u32>, u32, CloseReason); 10] = [
        ("is silent", |_, _| (), Some(0), 6, CloseReason::PeerAsked),
        ("sends once more", |bench, at| send(bench, usize::from(at == 4)), Some(0), 9, CloseReason::PeerAsked),
        ("sends fast enough", |bench, _| send(bench, 500), Some(0), 301, CloseReason::PeerAsked),
        ("sends too slowly", |bench, _| send(bench, 400), Some(0), 12, CloseReason::PeerAsked),
        ("reads nothing", |_, _| (), Some(30_000), 11, CloseReason::WriteTimeout),
        ("reads too slowly", |bench, _| reads(bench, 499), Some(30_000), 11, CloseReason::WriteTimeout),
        ("reads and then is silent", |bench, _| reads(bench, 500), Some(30_000), 65, CloseReason::PeerAsked),
        ("cannot be asked", |_, _| (), None, 35, CloseReason::PeerAsked),
        ("cannot be asked, and sends", |bench, _| send(bench, 10), None, 41, CloseReason::PeerAsked),
        (
            "closes",
            |bench, at| {
                if at == 3 {
                    bench.fin();
                }
            },
            Some(30_000),
            3,
            CloseReason::PeerAsked,
        ),
    ];
    for (what, each, unacknowledged, seconds, reason) in rows {
        let mut bench = lingers();
        bench.link.unacknowledged = unacknowledged;
        for second in 1..=seconds {
            assert_eq!(bench.state(), State::Lingering, "{what}: after {} s", second - 1);
            bench.elapse(999);
            each(&mut bench, second);
            bench.elapse(1);
        }
        assert_eq!((bench.state(), bench.connection.close_reason()), (State::Closed, Some(reason)), "{what}");
        assert_eq!(bench.pool.in_use(), 0, "{what}");
    }
}

#[test]
fn lingering_without_timeouts_is_shorter_or_longer() {
    // The client is silent, or on systems that do not tell what it has acknowledged.
    for (unacknowledged, seconds) in [(Some(0), 301), (None, 301)] {
        let mut bench = lingers();
        bench.link.unacknowledged = unacknowledged;
        (bench.limits.timeouts.linger_timeout_ms, bench.limits.timeouts.write_timeout_ms) = (None, None);
        for _ in 0..seconds {
            assert_eq!(bench.state(), State::Lingering);
            bench.elapse(1_000);
        }
        assert_eq!(bench.state(), State::Closed);
    }
}

#[test]
fn a_connection_that_lingers_because_of_a_stop_hears_its_client_as_well() {
    for (sends, seconds) in [(false, 6), (true, 9)] {
        let mut bench = Bench::new(Reads);
        bench.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        bench.link.unacknowledged = Some(1);
        bench.with(|connection, cx| connection.stop(cx, CloseReason::Stopped));
        bench.act();
        bench.link.unacknowledged = Some(0);
        for second in 1..=seconds {
            assert_eq!(bench.state(), State::Lingering, "{sends} {second}");
            bench.elapse(999);
            send(&mut bench, usize::from(sends && second == 4));
            bench.elapse(1);
        }
        assert_eq!((bench.state(), bench.connection.close_reason()), (State::Closed, Some(CloseReason::Stopped)));
    }
}

fn lingers() -> Bench<Reads> {
    let mut bench = Bench::new(Reads);
    bench.send(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert_eq!(bench.state(), State::Lingering);
    bench
}

fn send(bench: &mut Bench<Reads>, count: usize) {
    if count > 0 {
        bench.send(&vec![b'x'; count]);
    }
}

fn reads(bench: &mut Bench<Reads>, count: u32) {
    bench.link.unacknowledged = bench.link.unacknowledged.map(|left| left.saturating_sub(count));
}

/// Takes raw bytes.
struct Raw;

impl Handler for Raw {
    type Exchange = ();

    fn request(&mut self, request: &Request<'_>, response: &mut ResponseWriter<'_>) -> Flow<()> {
        assert!(!request.body_length().has_content());
        response.switch_protocols("x", &[]).expect("it was offered");
        Flow::Upgrade(())
    }

    fn receive(&mut self, (): (), content: &mut Content<'_>, _: &mut ResponseWriter<'_>) -> Flow<()> {
        content.consume(usize::MAX);
        Flow::Receive(())
    }
}

#[test]
fn raw_bytes_renew_the_time_of_an_upgraded_connection() {
    for fields in ["", "Content-Length: 0\r\n"] {
        let mut bench = Bench::new(Raw);
        let head = format!("GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: x\r\n{fields}\r\n");
        bench.send(head.as_bytes());
        for _ in 0..3 {
            bench.elapse(59_999);
            assert_eq!(bench.state(), State::Switched);
            bench.send(b"x");
        }
        bench.elapse(59_999);
        assert_eq!(bench.state(), State::Switched);
        bench.elapse(1);
        assert_eq!((bench.state(), bench.connection.close_reason()), (State::Closed, Some(CloseReason::IdleTimeout)));
    }
}

/// Answers with a long static body.
struct Long;

impl Handler for Long {
    type Exchange = ();

    fn request(&mut self, _: &Request<'_>, response: &mut ResponseWriter<'_>) -> Flow<()> {
        response.static_body(&[b's'; 100_000]).expect("room");
        Flow::Finish
    }
}

#[test]
fn a_client_has_to_read_as_fast_as_it_has_to_send() {
    for (bytes, enough) in [(5_000, true), (4_999, false)] {
        let mut bench = Bench::new(Long);
        bench.hold_sends = true;
        bench.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        bench.elapse(9_999);
        assert_eq!(bench.complete_send(bytes), bytes);
        bench.elapse(1);
        assert_eq!(bench.is_sending(), enough, "{bytes}");
        if !enough {
            assert_eq!(bench.connection.close_reason(), Some(CloseReason::WriteTimeout));
            continue;
        }
        bench.elapse(9_998);
        assert!(bench.is_sending(), "the next window is just as long");
        bench.elapse(1);
        assert_eq!((bench.state(), bench.connection.close_reason()), (State::Closed, Some(CloseReason::WriteTimeout)));
    }
}

/// Answers with 4 KiB.
struct Page;

impl Handler for Page {
    type Exchange = ();

    fn request(&mut self, _: &Request<'_>, response: &mut ResponseWriter<'_>) -> Flow<()> {
        let _ = response.body([b'x'; 4_096]);
        Flow::Finish
    }
}

#[test]
fn a_response_must_be_read_at_the_minimum_rate() {
    // In each second: the time for the next 100 bytes begins when 100 have been read.
    for (bytes, is_enough) in [(100, true), (50, false)] {
        let mut bench = Bench::new(Page);
        bench.limits.timeouts.rate_min = Some(RateMin { bytes: 100, window_ms: 1_500 });
        bench.hold_sends = true;
        bench.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        for _ in 0..20 {
            bench.elapse(999);
            if bench.is_sending() {
                bench.complete_send(bytes);
            }
        }
        let reason = (!is_enough).then_some(CloseReason::WriteTimeout);
        assert_eq!(bench.connection.close_reason(), reason, "{bytes} bytes");
    }
}

/// Streams pieces of 50 bytes, one in five seconds.
struct Ticks;

impl Handler for Ticks {
    type Exchange = ();

    fn request(&mut self, _: &Request<'_>, response: &mut ResponseWriter<'_>) -> Flow<()> {
        response.stream(None).expect("room");
        self.resume((), response)
    }

    fn resume(&mut self, (): (), response: &mut ResponseWriter<'_>) -> Flow<()> {
        response.write(&[b't'; 50]).expect("room");
        response.wake_after(5_000);
        Flow::Defer(())
    }
}

#[test]
fn only_the_time_of_sending_counts_in_a_response_with_pauses() {
    // Less than a second for each piece, so that none is too slow on its own.
    for (piece_ms, is_enough) in [(300, true), (450, false)] {
        let mut bench = Bench::new(Ticks);
        bench.limits.timeouts.rate_min = Some(RateMin { bytes: 150, window_ms: 1_000 });
        bench.hold_sends = true;
        bench.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        for _ in 0..12 {
            bench.elapse(piece_ms / 2);
            if bench.is_sending() {
                bench.complete_send(20);
            }
            bench.elapse(piece_ms / 2);
            if bench.is_sending() {
                bench.complete_send(usize::MAX);
            }
            bench.elapse(5_000 - piece_ms);
        }
        let reason = (!is_enough).then_some(CloseReason::WriteTimeout);
        assert_eq!(bench.connection.close_reason(), reason, "{piece_ms} ms for each piece");
    }
}

/// Waits for content and a token at once, and begins its response when the token is resolved.
struct Begins {
    has_begun: bool,
}

impl Handler for Begins {
    type Exchange = ();

    fn request(&mut self, request: &Request<'_>, response: &mut ResponseWriter<'_>) -> Flow<()> {
        response.defer().expect("a cell");
        if request.body_length().has_content() { Flow::ReceiveOrResume(()) } else { Flow::Defer(()) }
    }

    fn receive(&mut self, (): (), content: &mut Content<'_>, _: &mut ResponseWriter<'_>) -> Flow<()> {
        if content.ended() {
            Flow::Finish
        } else if self.has_begun {
            Flow::Receive(())
        } else {
            Flow::ReceiveOrResume(())
        }
    }

    fn resume(&mut self, (): (), response: &mut ResponseWriter<'_>) -> Flow<()> {
        self.has_begun = true;
        response.stream(None).expect("room");
        response.write(b"begun").expect("room");
        Flow::Receive(())
    }
}

const LONG_POST: &str = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n";

/// The receive in flight when a handler is woken may bring bytes while its output is being sent.
#[test]
fn content_that_arrives_during_a_send_has_arrived_in_time() {
    for (meanwhile, is_enough) in [(90, true), (80, false)] {
        let mut bench = Bench::new(Begins { has_begun: false });
        bench.limits.timeouts.rate_min = Some(RateMin { bytes: 100, window_ms: 1_000 });
        bench.hold_sends = true;
        bench.send(LONG_POST.as_bytes());
        bench.elapse(900);
        bench.send(&[b'c'; 5]);
        bench.resolved();
        assert_eq!(bench.state(), State::Writing);
        assert_eq!(bench.send(&vec![b'c'; meanwhile]), meanwhile, "the receive is still in flight");
        bench.complete_send(usize::MAX);
        bench.elapse(100);
        bench.send(&[b'c'; 5]);
        assert_eq!(bench.state() == State::ReadingContent, is_enough, "{meanwhile} bytes: {:?}", bench.state());
    }
}

/// What arrives behind a request belongs to the next one, whose content has a window of its own.
#[test]
fn bytes_of_the_next_head_do_not_count_as_content() {
    let mut bench = Bench::new(Answers);
    bench.limits.timeouts.rate_min = Some(RateMin { bytes: 100, window_ms: 1_000 });
    bench.hold_sends = true;
    bench.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    assert!(bench.is_receiving(), "it is told if the client goes away");
    bench.resolved();
    assert_eq!(bench.state(), State::Writing);
    bench.send(LONG_POST.as_bytes());
    bench.complete_send(usize::MAX);
    assert_eq!(bench.state(), State::ReadingContent);
    bench.elapse(999);
    bench.send(&[b'c'; 90]);
    assert_eq!(bench.state(), State::ReadingContent);
    bench.elapse(1);
    bench.send(&[b'c'; 1]);
    assert_eq!(bench.state(), State::Writing, "it is refused with 408");
}

/// Answers when its token is resolved, or reads content.
struct Answers;

impl Handler for Answers {
    type Exchange = ();

    fn request(&mut self, request: &Request<'_>, response: &mut ResponseWriter<'_>) -> Flow<()> {
        if request.body_length().has_content() {
            return Flow::Receive(());
        }
        response.defer().expect("a cell");
        Flow::Defer(())
    }

    fn receive(&mut self, (): (), content: &mut Content<'_>, _: &mut ResponseWriter<'_>) -> Flow<()> {
        if content.ended() { Flow::Finish } else { Flow::Receive(()) }
    }

    fn resume(&mut self, (): (), response: &mut ResponseWriter<'_>) -> Flow<()> {
        response.body("answer").expect("room");
        Flow::Finish
    }
}
