//! Another protocol after 101 (Switching Protocols): `cargo run --release --example upgrade_echo`, then
//!
//! ```sh
//! printf 'GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: lines\r\n\r\nhello\nquit\n' | nc 127.0.0.1 8080
//! ```
//!
//! Each line is echoed in capitals, until the line `quit`. Any other request gets an ordinary response.

mod support;

use aurora_http::{Content, Flow, Handler, Request, ResponseWriter, ServerError, WriteError};

/// The name of the protocol.
const PROTOCOL: &str = "lines";

struct Lines;

impl Handler for Lines {
    /// The number of lines echoed so far.
    type Exchange = u64;

    fn request(&mut self, request: &Request<'_>, response: &mut ResponseWriter<'_>) -> Flow<u64> {
        if !request.upgrades_to(PROTOCOL) {
            let _ = response.body("ask for an upgrade to lines\n");
            return Flow::Finish;
        }
        match response.switch_protocols(PROTOCOL, &[]) {
            Ok(()) => Flow::Upgrade(0),
            Err(_) => Flow::Finish, // the engine answers the error: 413 for a request with content
        }
    }

    /// From here on, the content is raw bytes: first those that had arrived after the request, then those that follow.
    fn receive(&mut self, mut lines: u64, content: &mut Content<'_>, response: &mut ResponseWriter<'_>) -> Flow<u64> {
        while let Some(end) = content.bytes().iter().position(|byte| *byte == b'\n') {
            let line = &content.bytes()[..end];
            if line == b"quit" {
                let goodbye = format!("goodbye after {lines} lines\n");
                return match response.write_with(|out| Ok::<_, WriteError>(put(out, goodbye.as_bytes()))) {
                    // There is no room: hold `quit`, so that it is offered again.
                    Ok(0) => {
                        content.hold();
                        Flow::Receive(lines)
                    }
                    _ => Flow::Finish,
                };
            }
            let written = response.write_with(|out| {
                let count = put(out, &content.bytes()[..=end]);
                out[..count].make_ascii_uppercase();
                Ok::<_, WriteError>(count)
            });
            match written {
                Ok(0) => break, // the rest is offered again once this has been sent
                Ok(_) => content.consume(end + 1),
                Err(_) => return Flow::Finish,
            }
            lines += 1;
        }
        content.hold();
        Flow::Receive(lines)
    }
}

/// Copies all of `line`, or nothing if there is too little room. Returns the number of bytes copied.
fn put(out: &mut [u8], line: &[u8]) -> usize {
    let Some(room) = out.get_mut(..line.len()) else { return 0 };
    room.copy_from_slice(line);
    line.len()
}

fn main() -> Result<(), ServerError> {
    support::server("upgrade_echo: a line protocol after an upgrade to `lines`").serve(|_worker| Lines)?;
    Ok(())
}

#[cfg(all(test, feature = "testing"))]
mod tests {
    use aurora_http::Limits;
    use aurora_http::core::sim::with_server;

    use super::Lines;

    const UPGRADE: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: lines\r\n\r\n";

    #[test]
    fn lines_are_echoed_in_capitals_until_quit() {
        with_server(Lines, Limits::default(), |server| {
            let client = server.connect();
            server.send(client, &[UPGRADE, b"hello\nwor"].concat());
            let received = String::from_utf8(server.receive(client)).unwrap();
            assert!(received.starts_with("HTTP/1.1 101 ") && received.ends_with("\r\n\r\nHELLO\n"), "{received}");
            server.send(client, b"ld\nquit\nignored\n");
            assert_eq!(server.receive(client), b"WORLD\ngoodbye after 2 lines\n");
            assert!(server.has_ended(client));
        });
    }

    #[test]
    fn a_line_may_be_late_but_not_too_late() {
        with_server(Lines, Limits::default(), |server| {
            let client = server.connect();
            server.send(client, UPGRADE);
            server.receive(client);
            server.pass_ms(30_000);
            server.send(client, b"late\n");
            assert_eq!(server.receive(client), b"LATE\n");
            server.pass_ms(75_000);
            assert!(server.has_ended(client));
        });
    }
}
