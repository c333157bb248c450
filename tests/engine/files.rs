//! Parts of files in responses: framing, truncation, slow clients, ends in the middle, and faults.

use aurora_http_core::error::CloseReason;
use aurora_http_core::handler::{Content, Flow, Handler};
use aurora_http_core::limits::Limits;
use aurora_http_core::reactor::{FileId, FileRange};
use aurora_http_core::request::Request;
use aurora_http_core::sim::{Client, ClientRecv, Dice, Faults, Sim};
use aurora_http_core::writer::{ResponseWriter, WriteError};

use crate::world::World;
use crate::{COUNTS, GET, limits};

/// Longer than the window of a client.
const LEN: usize = 20_000;
/// Bytes per call of the handler.
const PIECE: u64 = 7_000;

fn content() -> Vec<u8> {
    (0..LEN).map(|at| b'a' + (at % 25) as u8).collect()
}

/// Sends a file in pieces.
struct Serve {
    file: Option<FileId>,
    abandoned: Vec<CloseReason>,
}

impl Serve {
    fn send(&self, at: u64, response: &mut ResponseWriter<'_>) -> Result<Flow<u64>, WriteError> {
        let rest = LEN as u64 - at;
        let Some(file) = self.file.filter(|_| rest > 0) else { return Ok(Flow::Finish) };
        let len = rest.min(PIECE) as u32;
        let taken = response.write_file(FileRange { file, offset: at, len })?;
        assert_eq!(taken, len);
        if rest > PIECE {
            // Nothing fits after it: this takes no bytes, or the client would see them.
            let _ = response.write(b"!");
        }
        Ok(Flow::Produce(at + u64::from(taken)))
    }
}

impl Handler for Serve {
    type Exchange = u64;

    fn request(&mut self, request: &Request<'_>, response: &mut ResponseWriter<'_>) -> Flow<u64> {
        if request.path() == b"/before" {
            let _ = response.body("before");
            return Flow::Finish;
        }
        let begun = match request.path() {
            b"/wants-content" => {
                let _ = response.stream(Some(LEN as u64));
                let _ = self.send(0, response);
                return Flow::Receive(0);
            }
            b"/fails" => response.stream(Some(LEN as u64)).and_then(|()| {
                self.send(0, response)?;
                response.fail(503)
            }),
            b"/too-much" => response.stream(Some(10)),
            _ => response.stream(Some(LEN as u64)),
        };
        if begun.is_err() {
            return Flow::Finish;
        }
        self.send(0, response).unwrap_or(Flow::Finish)
    }

    fn receive(&mut self, _: u64, _: &mut Content<'_>, _: &mut ResponseWriter<'_>) -> Flow<u64> {
        unreachable!("a part of a file precedes no content")
    }

    fn produce(&mut self, at: u64, response: &mut ResponseWriter<'_>) -> Flow<u64> {
        self.send(at, response).unwrap_or(Flow::Finish)
    }

    fn abandoned(&mut self, _: u64, reason: CloseReason) {
        self.abandoned.push(reason);
    }
}

fn world(limits: Limits) -> World<Serve> {
    let mut sim = Sim::new(64, 4_096);
    let file = Some(sim.open_file(content()));
    World::over(sim, 8, COUNTS, limits, Serve { file, abandoned: Vec::new() })
}

fn file_of(world: &mut World<Serve>) -> FileId {
    world.engine.handler_mut().file.expect("a file")
}

/// The response without its head.
fn body(output: &str) -> &str {
    output.split_once("\r\n\r\n").expect("a head").1
}

#[test]
fn a_file_is_sent_as_announced() {
    let text = String::from_utf8(content()).unwrap();
    for (request, ends) in [
        ("GET / HTTP/1.1\r\nHost: x\r\n\r\n", false),
        ("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", true),
        ("GET / HTTP/1.0\r\n\r\n", true),
        ("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", false),
        ("GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc", false),
    ] {
        let mut world = world(limits());
        let client = world.connect_and_send(request.as_bytes());
        let (output, ended) = world.recv(client);
        assert!(output.contains("Content-Length: 20000\r\n"), "{request:?}: {output:.100}");
        assert_eq!((body(&output) == text, ended), (true, ends), "{request:?}");
        assert!(world.engine.handler_mut().abandoned.is_empty());
        world.finish();
    }
}

#[test]
fn a_head_request_gets_nothing_of_the_file() {
    let mut world = world(limits());
    let client = world.connect_and_send(b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\nHEAD / HTTP/1.1\r\nHost: x\r\n\r\n");
    let (output, ended) = world.recv(client);
    assert_eq!(output, "HTTP/1.1 200 OK\r\nContent-Length: 20000\r\n\r\n".repeat(2));
    assert!(!ended);
    world.finish();
}

#[test]
fn pipelined_responses_do_not_mix() {
    let mut world = world(limits());
    let client = world.connect_and_send(&GET.repeat(5));
    let (output, _) = world.recv(client);
    let one = format!("HTTP/1.1 200 OK\r\nContent-Length: 20000\r\n\r\n{}", String::from_utf8(content()).unwrap());
    assert!(output == one.repeat(5), "{} bytes", output.len());
    world.finish();
}

#[test]
fn a_file_that_shrinks_is_cut_off_and_never_padded() {
    let mut world = world(limits());
    let client = world.connect_and_send(GET);
    let file = file_of(&mut world);
    world.sim.file_mut(file).unwrap().truncate(10_000);
    let (output, ended) = world.recv(client);
    assert_eq!((body(&output).as_bytes(), ended), (&content()[..10_000], true), "a FIN after what there was");
    assert_eq!(world.engine.handler_mut().abandoned, [CloseReason::ResponseFailed]);
    assert_eq!(world.engine.counters().failed, 1);
    world.sim.client_close(client);
    world.settle();
    assert_eq!(world.engine.counters().closed.of(CloseReason::ResponseFailed), 1);
    world.finish();
}

/// They are in the same send, and the content of the request that gets the file is too long to be read.
#[test]
fn responses_before_a_file_that_cannot_be_read_are_not_lost() {
    for (is_closed, connection) in [(false, "keep-alive"), (false, "close"), (true, "close")] {
        let mut world = world(limits());
        let file = file_of(&mut world);
        if is_closed {
            world.sim.close_file(file);
        } else {
            world.sim.file_mut(file).unwrap().clear();
        }
        let mut input = b"GET /before HTTP/1.1\r\nHost: x\r\n\r\n".to_vec();
        let head = format!("POST / HTTP/1.1\r\nHost: x\r\nConnection: {connection}\r\nContent-Length: 1000000\r\n\r\n");
        input.extend_from_slice(head.as_bytes());
        input.resize(1_500, b'x');
        let client = world.connect_and_send(&input);
        let (output, ended) = world.recv(client);
        assert!(output.contains("\r\n\r\nbefore") && ended, "{output:.300}");
        assert_eq!(world.sim.client_recv(client, &mut [0]), ClientRecv::Fin);
        world.sim.client_close(client);
        world.finish();
    }
}

#[test]
fn nothing_of_another_file_is_sent_after_a_close() {
    let mut world = world(limits());
    let client = world.connect_and_send(GET);
    let file = file_of(&mut world);
    world.sim.close_file(file);
    let other = world.sim.open_file(vec![b'!'; LEN]);
    assert_eq!(other.index, file.index, "the place is used again");
    let (output, ended) = world.recv(client);
    assert!(!output.contains('!') && ended, "{output:.100}");
    world.finish();
}

#[test]
fn a_client_that_stops_reading_is_given_up() {
    let mut world = world(limits());
    let _client = world.connect_and_send(GET);
    let timeout = limits().timeouts.rate_min.expect("a limit").window_ms;
    world.pass(timeout - 100);
    assert!(world.engine.handler_mut().abandoned.is_empty());
    world.pass(200);
    assert_eq!(world.engine.handler_mut().abandoned, [CloseReason::WriteTimeout]);
    world.settle();
    assert_eq!(world.engine.counters().active, 0);
    world.finish();
}

#[test]
fn a_client_that_trickles_is_given_up() {
    let mut world = world(limits());
    let client = world.connect_and_send(GET);
    let mut read = 0;
    while world.engine.handler_mut().abandoned.is_empty() {
        assert!(read < 10_000, "a byte each time is enough for ever");
        world.pass(500);
        read += usize::from(matches!(world.sim.client_recv(client, &mut [0]), ClientRecv::Bytes(_)));
    }
    assert_eq!(world.engine.handler_mut().abandoned, [CloseReason::WriteTimeout]);
    world.finish();
}

#[test]
fn an_end_in_the_middle_is_told_once() {
    for (name, end) in [
        ("reset", (|world, client| world.sim.client_reset(client)) as fn(&mut World<Serve>, Client)),
        ("close", |world, client| world.sim.client_close(client)),
        ("abort", |world, _| world.stop.abort()),
    ] {
        let mut world = world(limits());
        let client = world.connect_and_send(GET);
        end(&mut world, client);
        world.settle();
        assert_eq!(world.engine.handler_mut().abandoned.len(), 1, "{name}");
        assert_eq!(world.engine.counters().active, 0, "{name}");
        world.finish();
    }
}

#[test]
fn a_stop_waits_for_the_rest() {
    let mut world = world(limits());
    let client = world.connect_and_send(GET);
    world.stop.drain();
    let (output, ended) = world.recv(client);
    assert_eq!((body(&output).as_bytes(), ended), (&content()[..], true));
    world.finish();
}

#[test]
fn a_response_with_a_file_can_be_replaced() {
    for (path, status) in [("/fails", "503"), ("/wants-content", "500"), ("/too-much", "500")] {
        let mut world = world(limits());
        let request = format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n");
        let client = world.connect_and_send(request.as_bytes());
        let (output, _) = world.recv(client);
        assert!(output.starts_with(&format!("HTTP/1.1 {status} ")), "{path}: {output:.100}");
        assert!(!output.contains("abcde"), "{path}: {output}");
        world.finish();
    }
}

#[test]
fn a_full_queue_loses_nothing() {
    let mut world = world(limits());
    world.sim.options_mut().send_bytes_max = 1_000;
    let clients: Vec<_> = (0..4).map(|_| world.connect()).collect();
    world.sim.options_mut().submissions_per_turn_max = 2;
    for client in &clients {
        assert_eq!(world.sim.client_send(*client, GET), GET.len());
    }
    for client in clients {
        let (output, _) = world.recv(client);
        assert!(body(&output).as_bytes() == content(), "{} bytes", output.len());
    }
    world.finish();
}

#[test]
fn faults_do_not_change_what_arrives() {
    for seed in 0..200 {
        let mut world = world(limits());
        let faults = Faults {
            short_send: 300,
            delay: 200,
            delay_ms_max: 3,
            reorder: 200,
            full_queue: 200,
            partial_wait: 100,
            ..Faults::default()
        };
        let clients: Vec<_> = (0..3).map(|_| world.connect()).collect();
        world.settle();
        world.sim.set_faults(faults, Dice::new(seed));
        let mut received = vec![Vec::new(); clients.len()];
        for client in &clients {
            assert_eq!(world.sim.client_send(*client, GET), GET.len());
        }
        let mut into = [0; 4096];
        for _ in 0..2_000 {
            world.sim.advance_ms(1);
            world.turn();
            for (client, received) in clients.iter().zip(&mut received) {
                if let ClientRecv::Bytes(count) = world.sim.client_recv(*client, &mut into) {
                    received.extend_from_slice(&into[..count]);
                }
            }
        }
        for received in received {
            assert!(
                body(str::from_utf8(&received).unwrap()).as_bytes() == content(),
                "seed {seed}: {}",
                received.len()
            );
        }
        world.sim.set_faults(Faults::default(), Dice::new(0));
        world.finish();
    }
}
