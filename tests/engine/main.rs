//! Many connections at once, on the simulator in virtual time: overload, famine, deferred answers, stopping.

mod adopted;
mod broken;
mod burst;
mod deferred;
mod detached;
mod famine;
mod files;
mod forwarded;
mod late;
mod needs;
mod overload;
mod reused;
mod set_up;
mod stopping;
mod timers;
mod world;

use aurora_http_core::handler::{Handler, handler_fn};
use aurora_http_core::limits::Limits;
use aurora_http_core::pool::ClassCounts;
use aurora_http_core::writer::ResponseWriter;

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";
const HELLO: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
const COUNTS: ClassCounts = ClassCounts::new([8, 8, 2, 1, 1]);

fn hello() -> impl Handler {
    handler_fn(|_, response: &mut ResponseWriter<'_>| response.body("hello"))
}

fn limits() -> Limits {
    Limits { requests_per_connection_max: None, ..Limits::default() }
}
