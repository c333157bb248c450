//! A response that breaks off does not destroy the responses before it.

use aurora_http_core::error::CloseReason;
use aurora_http_core::handler::{Flow, Handler};
use aurora_http_core::request::Request;
use aurora_http_core::sim::{ClientRecv, Sim};
use aurora_http_core::writer::ResponseWriter;

use crate::world::World;
use crate::{COUNTS, limits};

static LONG: [u8; 3_000] = [b'l'; 3_000];

/// Answers `/whole` with a long body, breaks off `/short` after 3 of 10 bytes, and stalls in `/stall`.
struct Breaks;

impl Handler for Breaks {
    type Exchange = bool;

    fn request(&mut self, request: &Request<'_>, response: &mut ResponseWriter<'_>) -> Flow<bool> {
        if request.path() == b"/whole" {
            response.static_body(&LONG).unwrap();
            return Flow::Finish;
        }
        response.stream(Some(10)).unwrap();
        response.write(b"abc").unwrap();
        Flow::Produce(request.path() == b"/stall")
    }

    fn produce(&mut self, stalls: bool, _: &mut ResponseWriter<'_>) -> Flow<bool> {
        if stalls { Flow::Produce(true) } else { Flow::Finish }
    }
}

#[test]
fn a_slow_reader_gets_every_response_before_one_that_breaks_off() {
    for (path, reason) in [("/short", CloseReason::ResponseFailed), ("/stall", CloseReason::HandlerStalled)] {
        // The window is two and a half times the long response: all of it is in transit when the next one breaks off.
        let mut world = World::over(Sim::new(8, 8_000), 2, COUNTS, limits(), Breaks);
        let client = world.connect();
        let requests = format!("GET /whole HTTP/1.1\r\nHost: x\r\n\r\nGET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
        assert_eq!(world.sim.client_send(client, requests.as_bytes()), requests.len());
        world.settle();
        // More input arrives, which a close would answer with a reset.
        world.sim.client_send(client, b"GET /more HTTP/1.1\r\n");
        world.settle();
        let mut received = Vec::new();
        let mut part = [0; 100];
        loop {
            match world.sim.client_recv(client, &mut part) {
                ClientRecv::Bytes(count) => received.extend_from_slice(&part[..count]),
                ClientRecv::Nothing => world.settle(),
                ClientRecv::Fin => break,
                ClientRecv::Reset => panic!("{path}: reset behind {} bytes", received.len()),
            }
        }
        assert!(received.windows(LONG.len()).any(|part| part == LONG), "{path}: the long one is whole");
        assert!(received.ends_with(b"\r\n\r\nabc"), "{path}: what has left of the other one");
        world.sim.client_close(client);
        world.settle();
        assert_eq!(world.engine.counters().closed.of(reason), 1);
        world.finish();
    }
}
