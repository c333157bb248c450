//! Which buffers a connection uses, and when.

use aurora_http_core::connection::Deadline;
use aurora_http_core::defer::DeferToken;
use aurora_http_core::handler::{Content, Flow, Handler, handler_fn};
use aurora_http_core::pool::{Class, ClassCounts, ClassSizes};
use aurora_http_core::reactor::IoError;
use aurora_http_core::request::Request;
use aurora_http_core::state::State;
use aurora_http_core::writer::ResponseWriter;

use crate::harness::{Bench, COUNTS};

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";

/// Reads content in slices, or collects it with `/collect`, and then answers with its length.
struct Counts;

impl Handler for Counts {
    type Exchange = usize;

    fn request(&mut self, request: &Request<'_>, _: &mut ResponseWriter<'_>) -> Flow<usize> {
        if request.path() == b"/collect" { Flow::Collect(0) } else { Flow::Receive(0) }
    }

    fn receive(&mut self, before: usize, content: &mut Content<'_>, response: &mut ResponseWriter<'_>) -> Flow<usize> {
        let count = before + content.bytes().len();
        if !content.ended() {
            return Flow::Receive(count);
        }
        let _ = response.body(count.to_string());
        Flow::Finish
    }

    fn collected(
        &mut self,
        _: usize,
        _: &Request<'_>,
        content: &[u8],
        response: &mut ResponseWriter<'_>,
    ) -> Flow<usize> {
        let _ = response.body(content.len().to_string());
        Flow::Finish
    }
}

fn post(path: &str, length: usize) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n")
}

/// The length of a buffer of a class.
const fn bytes(class: Class) -> usize {
    ClassSizes::FROM_1024.of(class)
}

/// Takes buffers of a class until so many are left.
fn leave<H: Handler>(bench: &mut Bench<H>, class: Class, left: usize) {
    while bench.pool.available(class) > left {
        let taken = bench.pool.acquire(class);
        assert!(taken.is_some(), "one is free");
    }
}

#[test]
fn much_content_is_received_into_a_large_buffer_as_long_as_there_are_many() {
    const LARGE: Option<usize> = Some(bytes(Class::Large));
    const MEDIUM: Option<usize> = Some(bytes(Class::Medium));
    // The content still to come, free large and medium buffers of eight each, and the buffer of the next receive.
    let rows = [
        (4_096, 8, 8, None),
        (4_097, 8, 8, LARGE),
        (1_000_000, 3, 8, LARGE),
        (1_000_000, 2, 8, MEDIUM),
        (1_000_000, 0, 3, MEDIUM),
        (1_000_000, 0, 2, None),
    ];
    for (length, large, medium, into) in rows {
        let chunked = "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned();
        for head in [post("/", length), chunked] {
            if head.contains("chunked") && length < 5_000 {
                continue; // its length is unknown
            }
            let mut bench = Bench::with_buffers(Counts, ClassCounts::new([8, 8, 8, 8, 0]));
            leave(&mut bench, Class::Large, large);
            leave(&mut bench, Class::Medium, medium);
            bench.send(head.as_bytes());
            assert_eq!(bench.receives_into(), into, "{length} {large} {medium}");
        }
    }
}

#[test]
fn content_that_waits_for_a_buffer_has_no_deadline_and_takes_a_large_one_as_well() {
    let mut bench = Bench::new(Counts);
    let held = bench.pool.acquire(Class::Large).expect("one of two");
    leave(&mut bench, Class::Large, 0);
    leave(&mut bench, Class::Medium, 0);
    bench.send(post("/", 10_000).as_bytes());
    assert_eq!((bench.receives_into(), bench.connection.deadline()), (None, Some(Deadline::Content)));
    bench.fail_receive(IoError::NoBuffers);
    assert!(bench.connection.is_starved_to_receive());
    assert_eq!(
        bench.connection.deadline(),
        None,
        "its bytes may have arrived; it is the pool that has no room for them"
    );
    assert!(bench.pool.release(held).is_ok());
    bench.fed();
    let large = Some(bytes(Class::Large));
    assert_eq!((bench.receives_into(), bench.connection.deadline()), (large, Some(Deadline::Content)));
}

#[test]
fn the_rest_of_much_content_is_received_into_a_lent_buffer() {
    let mut bench = Bench::new(Counts);
    bench.send(post("/", 10_000).as_bytes());
    for (sent, into) in [(5_903, Some(bytes(Class::Large))), (1, None), (4_000, None)] {
        assert_eq!(bench.send(&vec![b'x'; sent]), sent);
        assert_eq!(bench.receives_into(), into, "after {sent} more");
    }
    bench.send(&[b'x'; 96]);
    assert!(bench.take_output().ends_with("\r\n\r\n10000"));
    assert_eq!(bench.pool.in_use(), 0);
}

#[test]
fn the_room_before_the_received_bytes_is_used_before_a_larger_buffer() {
    // Requests that are consumed, then a part of a head that fills the buffer, or nearly.
    let long_head = format!("GET / HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n", "v".repeat(4_040));
    let all = [&GET.repeat(20), long_head.as_bytes()].concat();
    for (counts, first) in [(ClassCounts::new([4, 4, 0, 0, 0]), 4_096), (COUNTS, 4_096), (COUNTS, 4_000)] {
        let mut bench = Bench::with_buffers(handler_fn(|_, response| response.body("hello")), counts);
        assert_eq!(bench.send(&all[..first]), first);
        assert_eq!(bench.take_output().matches("hello").count(), 20);
        assert_eq!((bench.pool.in_use(), bench.receives_into()), (1, Some(4_096)));
        bench.send(&all[first..]);
        assert_eq!(bench.take_output().matches("hello").count(), 1, "{counts:?}");
        assert_eq!(bench.pool.in_use(), 0);
    }
}

/// Defers every answer.
struct Defers(Vec<DeferToken>);

impl Handler for Defers {
    type Exchange = ();

    fn request(&mut self, _: &Request<'_>, response: &mut ResponseWriter<'_>) -> Flow<()> {
        self.0.push(response.defer().expect("cells for deferred answers"));
        Flow::Defer(())
    }

    fn resume(&mut self, (): (), response: &mut ResponseWriter<'_>) -> Flow<()> {
        response.body("later").expect("room");
        Flow::Finish
    }
}

#[test]
fn while_an_answer_is_deferred_the_whole_buffer_is_used_for_what_follows() {
    let mut bench = Bench::new(Defers(Vec::new()));
    // The bytes after the request end where the buffer ends.
    let flood = GET.repeat(200);
    assert_eq!(bench.send(&flood[..4_096]), 4_096);
    assert_eq!(bench.send(&flood[4_096..]), GET.len(), "the request that was consumed left room");
    assert!(!bench.is_receiving() && bench.state() == State::Processing);
}

#[test]
fn content_of_a_known_length_is_collected_in_one_buffer_that_has_room_for_it() {
    for (length, class) in [(5_000, Class::Medium), (16_384, Class::Medium), (16_385, Class::Large)] {
        let mut bench = Bench::new(Counts);
        let before = bench.pool.available(class);
        bench.send([&post("/collect", length), "x"].concat().as_bytes());
        assert_eq!(bench.pool.available(class), before - 1, "{length}");
        bench.send(&vec![b'x'; length - 1]);
        assert!(bench.take_output().ends_with(&format!("\r\n\r\n{length}")));
        assert_eq!((bench.state(), bench.pool.in_use()), (State::KeepAlive, 0));
    }
}

#[test]
fn a_head_gets_no_larger_buffer_than_its_limit_allows() {
    for (limit, class) in
        [(4_096, Class::Small), (4_097, Class::Medium), (16_384, Class::Medium), (65_536, Class::Large)]
    {
        let mut bench = Bench::new(Counts);
        bench.limits.head_bytes_max = limit;
        let head = format!("GET / HTTP/1.1\r\nHost: x\r\nX: {}", "v".repeat(limit as usize));
        let sent = head.len().min(limit as usize - 1);
        assert_eq!(bench.send(&head.as_bytes()[..sent]), sent);
        assert_eq!(bench.receives_into(), Some(bytes(class)), "{limit}");
        bench.send(b"v");
        assert!(bench.take_output().starts_with("HTTP/1.1 431 "), "{limit}");
    }
}

#[test]
fn chunks_are_collected_behind_a_head_that_fills_its_buffer() {
    for room in [0, 1, 2, 511, 512, 513] {
        let before = "POST /collect HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nX: ";
        let head = format!("{before}{}\r\n\r\n", "v".repeat(bytes(Class::Small) - room - before.len() - 4));
        let mut bench = Bench::new(Counts);
        for piece in [head.as_bytes(), b"5\r\nabcde\r\n", b"3\r\nfgh", b"\r\n0\r\n\r\n"] {
            assert_eq!(bench.send(piece), piece.len(), "{room}");
        }
        assert!(bench.take_output().ends_with("\r\n\r\n8"), "{room}");
        assert_eq!((bench.state(), bench.pool.in_use()), (State::KeepAlive, 0));
    }
}

#[test]
fn content_that_waits_for_a_larger_buffer_has_a_deadline_since_it_holds_one() {
    let mut bench = Bench::with_buffers(Counts, ClassCounts::new([4, 4, 1, 0, 0]));
    leave(&mut bench, Class::Medium, 0);
    bench.send([&post("/collect", 5_000), "x"].concat().as_bytes());
    assert!(bench.connection.is_starved() && !bench.connection.is_starved_to_receive());
    assert_eq!(bench.connection.deadline(), Some(Deadline::Famine));
    bench.elapse(29_999);
    assert_eq!(bench.take_output(), "");
    bench.elapse(1);
    let output = bench.take_output();
    assert!(output.starts_with("HTTP/1.1 503 ") && output.contains("\r\nRetry-After: "), "{output}");
}

#[test]
fn a_buffer_is_exchanged_for_a_larger_one_when_a_tenth_of_it_is_left() {
    for (sent, class) in [(100, Class::Small), (3_687, Class::Small), (3_688, Class::Medium), (4_000, Class::Medium)] {
        let mut bench = Bench::new(Counts);
        let head = format!("GET / HTTP/1.1\r\nHost: x\r\nX: {}", "v".repeat(4_000));
        assert_eq!(bench.send(&head.as_bytes()[..sent]), sent);
        assert_eq!(bench.receives_into(), Some(bytes(class)), "{sent}");
    }
}

#[test]
fn a_rejected_receive_is_submitted_again_with_what_it_held() {
    let mut bench = Bench::new(Counts);
    for (bytes, into) in [(&b""[..], None), (&GET[..10], Some(bytes(Class::Small)))] {
        bench.send(bytes);
        for _ in 0..3 {
            bench.reject_receive();
            assert_eq!(bench.receives_into(), into);
            assert_eq!(bench.connection.is_receiving_lent(), into.is_none());
            assert_eq!(bench.pool.in_use(), usize::from(into.is_some()));
        }
    }
    bench.send(&GET[10..]);
    assert!(bench.take_output().ends_with("\r\n\r\n0"));
    assert_eq!((bench.state(), bench.pool.in_use()), (State::KeepAlive, 0));
}

#[test]
fn a_long_batch_is_answered_in_sends_of_bounded_size_however_few_buffers_there_are() {
    // As many requests as one receive takes, whose responses do not fit into one send.
    let (count, body) = (bytes(Class::Small) / GET.len(), "b".repeat(200));
    for counts in [COUNTS, ClassCounts::new([4, 4, 0, 0, 0]), ClassCounts::new([0, 4, 0, 0, 0])] {
        let mut bench = Bench::with_buffers(handler_fn(|_, response| response.body(&body)), counts);
        bench.hold_sends = true;
        bench.send(&GET.repeat(count));
        let mut most = 0;
        while bench.is_sending() {
            most = most.max(bench.complete_send(usize::MAX));
        }
        let class = if counts == COUNTS { Class::Medium } else { Class::Small };
        assert!(most <= bytes(class) && most > bytes(class) / 2, "{counts:?}: {most}");
        assert_eq!(bench.take_output().matches("HTTP/1.1 200 ").count(), count, "{counts:?}");
        assert_eq!((bench.state(), bench.pool.in_use(), bench.counters.failed), (State::KeepAlive, 0, 0));
    }
}

#[test]
fn a_head_that_needs_a_larger_buffer_waits_for_one() {
    let mut bench = Bench::with_buffers(Counts, ClassCounts::new([4, 4, 1, 0, 0]));
    let held = bench.pool.acquire(Class::Medium).expect("the only one");
    let head = format!("GET / HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n", "v".repeat(5_000));
    let taken = bench.send(head.as_bytes());
    assert_eq!((taken, bench.connection.is_starved()), (bytes(Class::Small), true));
    assert!(bench.pool.release(held).is_ok());
    bench.fed();
    bench.send(&head.as_bytes()[taken..]);
    assert!(bench.take_output().ends_with("\r\n\r\n0"));
    assert_eq!((bench.state(), bench.pool.in_use()), (State::KeepAlive, 0));
}

/// Streams without end, in pieces.
struct Streams;

impl Handler for Streams {
    type Exchange = ();

    fn request(&mut self, _: &Request<'_>, response: &mut ResponseWriter<'_>) -> Flow<()> {
        response.stream(None).expect("room");
        Flow::Produce(())
    }

    fn produce(&mut self, (): (), response: &mut ResponseWriter<'_>) -> Flow<()> {
        response.write(b"piece").expect("room");
        Flow::Produce(())
    }
}

#[test]
fn a_response_in_pieces_holds_one_buffer_and_what_was_received_after_its_request_another() {
    for (after, buffers) in [("", 1), ("GET", 2)] {
        let mut bench = Bench::new(Streams);
        bench.hold_sends = true;
        bench.send(&[GET, after.as_bytes()].concat());
        for _ in 0..3 {
            assert_eq!((bench.is_sending(), bench.pool.in_use()), (true, buffers), "{after:?}");
            bench.complete_send(usize::MAX);
        }
    }
}
