//! One handler for all rows: the path selects what it does.

use aurora_http_core::error::CloseReason;
use aurora_http_core::handler::{ConnectionId, ConnectionInfo, Content, Flow, Handler};
use aurora_http_core::request::Request;
use aurora_http_core::writer::ResponseWriter;

pub(crate) static LONG: [u8; 3000] = [b'x'; 3000];

const LINES: u32 = u32::MAX;
const STALLS: u32 = u32::MAX - 1;

#[derive(Default)]
pub(crate) struct Paths {
    pub(crate) refuses: bool,
    pub(crate) open: Vec<ConnectionId>,
    pub(crate) ends: [u64; CloseReason::COUNT],
    /// The last end: of which connection, why, and after how many requests.
    pub(crate) last: Option<(ConnectionId, CloseReason, u32)>,
}

impl Handler for Paths {
    /// Bytes received, pieces produced, or the like.
    type Exchange = u32;

    fn request(&mut self, request: &Request<'_>, response: &mut ResponseWriter<'_>) -> Flow<u32> {
        match request.path() {
            b"/collect" => Flow::Collect(0),
            b"/receive" => Flow::Receive(0),
            b"/produce" => {
                response.stream(None).unwrap();
                Flow::Produce(0)
            }
            b"/defer" => {
                let _ = response.defer();
                Flow::Defer(0)
            }
            b"/nap" => {
                response.wake_after(3_000);
                Flow::Defer(0)
            }
            b"/upgrade" => {
                response.switch_protocols("lines", &[]).unwrap();
                Flow::Upgrade(LINES)
            }
            b"/detach" => {
                response.switch_protocols("lines", &[]).unwrap();
                Flow::Detach(7)
            }
            b"/panic" => {
                let _ = response.body(LONG); // in a loan, if there are any
                panic!("a panic in a handler");
            }
            b"/static" => {
                response.static_body(&LONG).unwrap();
                Flow::Finish
            }
            b"/full" => {
                assert!(response.body(LONG).is_err(), "with two buffers and no loan it cannot fit");
                Flow::Finish
            }
            b"/stall" => Flow::Produce(STALLS),
            _ => {
                response.body("hello").unwrap();
                Flow::Finish
            }
        }
    }

    fn collected(&mut self, _: u32, _: &Request<'_>, content: &[u8], response: &mut ResponseWriter<'_>) -> Flow<u32> {
        response.body(content).unwrap();
        Flow::Finish
    }

    /// Counts content; answers raw lines in capitals, until one is empty.
    fn receive(&mut self, count: u32, content: &mut Content<'_>, response: &mut ResponseWriter<'_>) -> Flow<u32> {
        if count == LINES {
            while let Some(end) = content.bytes().iter().position(|byte| *byte == b'\n') {
                if end == 0 {
                    return Flow::Finish;
                }
                let line = content.bytes()[..=end].to_ascii_uppercase();
                assert_eq!(response.write(&line), Ok(line.len()));
                content.consume(end + 1);
            }
            content.hold();
            return Flow::Receive(LINES);
        }
        let here = content.bytes().len();
        content.consume(here);
        let count = count + here as u32;
        if !content.ended() {
            return Flow::Receive(count);
        }
        response.body(count.to_string()).unwrap();
        Flow::Finish
    }

    fn produce(&mut self, pieces: u32, response: &mut ResponseWriter<'_>) -> Flow<u32> {
        if pieces == STALLS {
            return Flow::Produce(STALLS);
        }
        response.write(b"piece").unwrap();
        if pieces == 2 { Flow::Finish } else { Flow::Produce(pieces + 1) }
    }

    fn resume(&mut self, _: u32, response: &mut ResponseWriter<'_>) -> Flow<u32> {
        assert!(response.is_woken_by_time());
        response.body("rested").unwrap();
        Flow::Finish
    }

    /// An upgraded connection's line of its own.
    fn stopping(&mut self, flow: Flow<u32>, response: &mut ResponseWriter<'_>) -> Flow<u32> {
        if matches!(flow, Flow::Receive(LINES) | Flow::Upgrade(LINES)) {
            response.write(b"stopping\n").unwrap();
        }
        flow
    }

    fn accepted(&mut self, connection: &ConnectionInfo<'_>) -> bool {
        assert_ne!(self.last.map(|(id, ..)| id), Some(connection.id()), "each connection has its own id");
        self.open.push(connection.id());
        !self.refuses
    }

    fn closed(&mut self, id: ConnectionId, reason: CloseReason, requests_served: u32) {
        assert_eq!(self.open.pop(), Some(id));
        self.ends[reason as usize] += 1;
        self.last = Some((id, reason, requests_served));
    }
}
