//! The pages of a device: a handler over anything that has a clock, a lamp, a sensor and room for new firmware.
//!
//! | request | answer |
//! |---|---|
//! | `GET /` | a page for browsers |
//! | `GET /status` | what the device knows of itself, in JSON |
//! | `POST /led` | switches the lamp: `on` or `off` |
//! | `PUT /firmware` | takes new firmware in slices, and tells its length and CRC-32 |
//! | `GET /events?count=5` | the sensor, as server-sent events |
//! | `POST /echo` | the content, collected in one buffer |
//! | `POST /stream` | the content, slice by slice |

use core::fmt::Write;

use aurora_http_core::error::CloseReason;
use aurora_http_core::handler::{Content, Flow, Handler, Needs};
use aurora_http_core::request::{Method, Request};
use aurora_http_core::writer::{ResponseWriter, WriteError};

use crate::text::{TENTHS_BYTES_MAX, put, put_hex, put_tenths, put_uint, text_of_tenths};
use crate::upload::Upload;

/// What the pages need of a board.
pub trait Hardware {
    /// Milliseconds since the start.
    fn uptime_ms(&self) -> u64;
    /// Whether the lamp is on.
    fn lamp(&self) -> bool;
    /// Switches the lamp.
    fn set_lamp(&mut self, on: bool);
    /// Tenths of a degree Celsius.
    fn temperature_tenths(&self) -> u16;
    /// Puts a slice of new firmware where it belongs, `at` bytes behind its beginning. Unless overridden it goes nowhere:
    /// none of the boards here has a flash that QEMU lets a program write.
    fn program(&mut self, at: u32, slice: &[u8]) {
        let _ = (at, slice);
    }
}

/// Longest firmware in bytes; 413 beyond it.
pub const FIRMWARE_BYTES_MAX: u64 = 256 * 1024;

/// Between two readings of the sensor.
const READING_MS: u32 = 200;
/// Most readings that one request gets. A browser's `EventSource` asks again by itself, and a serial line does not tell
/// that the client is gone.
const READINGS_MAX: u16 = 60;

const PAGE: &[u8] = include_bytes!("page.html");

/// The handler.
pub struct Pages<B> {
    board: B,
    requests: u32,
    upload: Upload,
}

/// What an exchange has before it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Exchange {
    /// The lamp's new state is to come.
    Lamp,
    /// Content is to come, to be sent back whole.
    Echo,
    /// Content is to come, to be sent back as it does.
    Stream {
        /// The head of the response is written.
        begun: bool,
    },
    /// Firmware is to come.
    Firmware,
    /// So many readings are to be sent.
    Events {
        /// At least one.
        left: u16,
    },
}

type Answer = Result<Flow<Exchange>, WriteError>;

impl<B: Hardware> Pages<B> {
    /// The pages of a board.
    pub const fn new(board: B) -> Self {
        Self { board, requests: 0, upload: Upload::NONE }
    }

    fn answer(&mut self, request: &Request<'_>, response: &mut ResponseWriter<'_>) -> Answer {
        self.requests = self.requests.wrapping_add(1);
        match (request.path(), request.method()) {
            (b"/", Method::Get | Method::Head) => {
                response.field("Content-Type", "text/html")?;
                response.static_body(PAGE)?;
            }
            (b"/status", Method::Get | Method::Head) => self.status(response)?,
            (b"/led", Method::Post) => return Ok(Flow::Collect(Exchange::Lamp)),
            (b"/firmware", Method::Put) => return self.begin_upload(response),
            (b"/events", Method::Get) => return self.begin_events(request, response),
            (b"/echo", Method::Post) => return Ok(Flow::Collect(Exchange::Echo)),
            (b"/stream", Method::Post) => return Ok(Flow::Receive(Exchange::Stream { begun: false })),
            (b"/" | b"/status", _) => not_allowed("GET, HEAD", response)?,
            (b"/events", _) => not_allowed("GET", response)?,
            (b"/led" | b"/echo" | b"/stream", _) => not_allowed("POST", response)?,
            (b"/firmware", _) => not_allowed("PUT", response)?,
            _ => response.fail(404)?,
        }
        Ok(Flow::Finish)
    }

    fn status(&self, response: &mut ResponseWriter<'_>) -> Result<(), WriteError> {
        response.field("Content-Type", "application/json")?;
        response.field("Cache-Control", "no-store")?;
        response.body_with(|body| {
            put(body, "{\"uptime_ms\":")?;
            put_uint(body, self.board.uptime_ms() as u32)?; // begins anew after 49 days
            put(body, ",\"led\":")?;
            put(body, if self.board.lamp() { "true" } else { "false" })?;
            put(body, ",\"temperature\":")?;
            put_tenths(body, self.board.temperature_tenths())?;
            put(body, ",\"requests\":")?;
            put_uint(body, self.requests)?;
            put(body, ",\"firmware\":{\"bytes\":")?;
            put_uint(body, self.upload.bytes)?;
            put(body, ",\"crc32\":")?;
            put_hex(body, self.upload.crc32())?;
            put(body, "}}\n")
        })
    }

    /// One at a time: there is one place for it.
    fn begin_upload(&mut self, response: &mut ResponseWriter<'_>) -> Answer {
        if self.upload.is_active {
            response.fail(409)?;
        }
        self.upload = Upload::begin();
        response.limit_content(FIRMWARE_BYTES_MAX);
        Ok(Flow::Receive(Exchange::Firmware))
    }

    fn begin_events(&self, request: &Request<'_>, response: &mut ResponseWriter<'_>) -> Answer {
        let count = request.query_value("count", &mut [])?.unwrap_or("").parse().unwrap_or(READINGS_MAX);
        response.field("Content-Type", "text/event-stream")?;
        response.field("Cache-Control", "no-store")?;
        response.stream(None)?;
        self.send_reading(count.clamp(1, READINGS_MAX), response)
    }

    fn send_reading(&self, left: u16, response: &mut ResponseWriter<'_>) -> Answer {
        let mut digits = [0; TENTHS_BYTES_MAX];
        for part in ["data: ", text_of_tenths(self.board.temperature_tenths(), &mut digits), "\n\n"] {
            // The buffer is empty whenever it is time, so that a reading fits.
            response.write(part.as_bytes())?;
        }
        // When it has to make room, the client comes back for more.
        if left == 1 || response.is_stopping() {
            return Ok(Flow::Finish);
        }
        response.wake_after(READING_MS);
        Ok(Flow::Defer(Exchange::Events { left: left - 1 }))
    }

    fn take_firmware(&mut self, content: &mut Content<'_>, response: &mut ResponseWriter<'_>) -> Answer {
        self.board.program(self.upload.bytes, content.bytes());
        self.upload.push(content.bytes());
        if !content.ended() {
            return Ok(Flow::Receive(Exchange::Firmware));
        }
        self.upload.is_active = false;
        response.field("Content-Type", "application/json")?;
        response.body_with(|body| {
            put(body, "{\"bytes\":")?;
            put_uint(body, self.upload.bytes)?;
            put(body, ",\"crc32\":")?;
            put_hex(body, self.upload.crc32())?;
            put(body, "}\n")
        })?;
        Ok(Flow::Finish)
    }

    fn set_lamp(&mut self, content: &[u8], response: &mut ResponseWriter<'_>) -> Result<(), WriteError> {
        match content.trim_ascii() {
            b"on" => self.board.set_lamp(true),
            b"off" => self.board.set_lamp(false),
            _ => response.fail(400)?,
        }
        response.body_with(|body| Ok(body.write_str(if self.board.lamp() { "on\n" } else { "off\n" })?))
    }
}

fn not_allowed(methods: &str, response: &mut ResponseWriter<'_>) -> Result<(), WriteError> {
    response.status(405)?;
    response.field("Allow", methods)?;
    response.body([])
}

/// Sends back what there is room for; the rest is offered again.
fn send_back(begun: bool, content: &mut Content<'_>, response: &mut ResponseWriter<'_>) -> Answer {
    if !begun {
        response.stream(None)?;
    }
    let count = response.write(content.bytes())?;
    content.consume(count);
    let is_over = content.ended() && content.bytes().is_empty();
    Ok(if is_over { Flow::Finish } else { Flow::Receive(Exchange::Stream { begun: true }) })
}

/// The writer remembers its first error and answers for it.
fn flow(answer: Answer) -> Flow<Exchange> {
    answer.unwrap_or(Flow::Finish)
}

impl<B: Hardware> Handler for Pages<B> {
    /// Events wait for their time, and a page that somebody has left open makes room for the next client.
    const NEEDS: Needs = Needs { deferral: true, eviction: true, ..Needs::LEAST };
    type Exchange = Exchange;

    fn request(&mut self, request: &Request<'_>, response: &mut ResponseWriter<'_>) -> Flow<Exchange> {
        flow(self.answer(request, response))
    }

    fn collected(
        &mut self,
        state: Exchange,
        _request: &Request<'_>,
        content: &[u8],
        response: &mut ResponseWriter<'_>,
    ) -> Flow<Exchange> {
        // What goes wrong is the writer's to answer.
        let _ = match state {
            Exchange::Lamp => self.set_lamp(content, response),
            _ => response.body(content),
        };
        Flow::Finish
    }

    fn receive(
        &mut self,
        state: Exchange,
        content: &mut Content<'_>,
        response: &mut ResponseWriter<'_>,
    ) -> Flow<Exchange> {
        flow(match state {
            Exchange::Stream { begun } => send_back(begun, content, response),
            _ => self.take_firmware(content, response),
        })
    }

    fn resume(&mut self, state: Exchange, response: &mut ResponseWriter<'_>) -> Flow<Exchange> {
        match state {
            Exchange::Events { left } => flow(self.send_reading(left, response)),
            _ => Flow::Finish,
        }
    }

    fn abandoned(&mut self, state: Exchange, _reason: CloseReason) {
        if state == Exchange::Firmware {
            self.upload = Upload::NONE;
        }
    }
}
