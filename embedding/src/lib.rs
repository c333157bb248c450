//! What the programs in `examples/` have in common: the pages that they serve, and their command line. Each of them puts a
//! server into another loop; `tests/conversation.rs` talks to all of them.
#![cfg(target_os = "linux")]

#[path = "../../examples/support/mod.rs"]
#[allow(dead_code)] // the programs that are no server of the facade need the half of it
mod support;

use std::cell::RefCell;
use std::io;
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use aurora_http::core::adapter::Clock;
use aurora_http::core::time;
use aurora_http::{Content, Flow, Handler, Method, Request, ResponseWriter, Server, StopHandle, WriteError};
use signal_hook::consts::SIGTERM;

/// The pages: `GET /hello` says the greeting, and `POST /echo` gives its content back, of any length, as it arrives.
#[derive(Clone)]
pub struct Site {
    /// What `/hello` says; the program may change it while it serves.
    pub greeting: Rc<RefCell<Vec<u8>>>,
}

impl Default for Site {
    fn default() -> Self {
        Self { greeting: Rc::new(RefCell::new(b"Hello, World!\n".to_vec())) }
    }
}

impl Handler for Site {
    type Exchange = ();

    fn request(&mut self, request: &Request<'_>, response: &mut ResponseWriter<'_>) -> Flow<()> {
        // An error has made the writer answer in place of the response.
        self.answer(request, response).unwrap_or(Flow::Finish)
    }

    fn receive(&mut self, _state: (), content: &mut Content<'_>, response: &mut ResponseWriter<'_>) -> Flow<()> {
        match response.write(content.bytes()) {
            // What has no room in the response yet comes again.
            Ok(count) => content.consume(count),
            Err(_) => return Flow::Finish,
        }
        if content.ended() && content.bytes().is_empty() { Flow::Finish } else { Flow::Receive(()) }
    }
}

impl Site {
    /// A datagram has come: `stop` ends the server, and anything else is the greeting from now on.
    pub fn hear(&self, datagram: &[u8], stop: &StopHandle) {
        match datagram {
            b"stop" => stop.stop(),
            greeting => *self.greeting.borrow_mut() = greeting.to_vec(),
        }
    }

    fn answer(&self, request: &Request<'_>, response: &mut ResponseWriter<'_>) -> Result<Flow<()>, WriteError> {
        let allowed = match (request.path(), request.method()) {
            (b"/hello", Method::Get | Method::Head) => {
                response.field("Content-Type", "text/plain")?;
                response.body(&**self.greeting.borrow())?;
                return Ok(Flow::Finish);
            }
            (b"/echo", Method::Post) => {
                response.limit_content(u64::MAX);
                response.stream(request.content_length())?;
                return Ok(Flow::Receive(()));
            }
            (b"/hello", _) => "GET, HEAD",
            (b"/echo", _) => "POST",
            _ => {
                response.status(404)?;
                return Ok(Flow::Finish);
            }
        };
        response.status(405)?;
        response.field("Allow", allowed)?;
        Ok(Flow::Finish)
    }
}

/// What becomes readable when SIGTERM comes: for loops that have no signals of their own.
///
/// # Errors
/// What the system says.
pub fn terminated() -> io::Result<UnixStream> {
    let (signal, raised) = UnixStream::pair()?;
    signal_hook::low_level::pipe::register(SIGTERM, raised)?;
    signal.set_nonblocking(true)?;
    Ok(signal)
}

/// The clocks of a program on an operating system, for a layer that has none.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    began: Instant,
}

impl SystemClock {
    /// One whose time begins now.
    #[must_use]
    pub fn start() -> Self {
        Self { began: Instant::now() }
    }

    /// The instant of the system's clock that is called `at` here.
    #[must_use]
    pub fn system_instant(&self, at: time::Instant) -> Instant {
        self.began + time::Instant::default().until(at)
    }
}

impl Clock for SystemClock {
    fn now(&mut self) -> time::Instant {
        time::Instant(self.began.elapsed().as_millis() as u64)
    }

    fn unix_time(&mut self) -> Option<u64> {
        Some(SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_secs())
    }
}

/// The server that the command line asks for. Ends the process after `--help`, and when something is wrong.
pub fn server(about: &str) -> Server {
    support::server(about)
}

/// The listener that the command line asks for, of a program that has sockets of its own: `--addr HOST:PORT`. Ends the process
/// after `--help`, and when something is wrong.
///
/// # Errors
/// What the system says about the address.
pub fn listener(about: &str) -> io::Result<TcpListener> {
    let mut asked = support::Asked::default();
    support::read(about, "Options:\n  --addr HOST:PORT    where to listen [default: 127.0.0.1:8080]", |name, value| {
        if name == "--addr" { asked.take(name, value) } else { Ok(false) }
    });
    TcpListener::bind(asked.address.as_deref().unwrap_or("127.0.0.1:8080"))
}
