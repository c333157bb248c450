//! What the example programs that have a server in a loop of their own do, whatever loop that is.

use std::net::{SocketAddr, UdpSocket};

use aurora_http::Backend;

use crate::example::Example;
use crate::http::{Client, eventually};

/// Greets with what the program's own socket has received, on the same connection, and ends when that says so.
pub(crate) fn greets_with_what_datagrams_say(name: &str, backends: &[Backend]) {
    for backend in backends {
        let program = Example::start(name, &["--backend", backend.name()]);
        let datagrams: SocketAddr = program.line.trim_end().rsplit(' ').next().unwrap().parse().expect("an address");
        let own = UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut client = Client::connect(program.address);
        client.get("/hello");
        for greeting in ["good morning\n", "good night\n"] {
            own.send_to(greeting.as_bytes(), datagrams).unwrap();
            eventually(|| Client::connect(program.address).get("/hello").text() == greeting, "the greeting");
        }
        own.send_to(b"stop", datagrams).unwrap();
        assert!(client.is_ended(), "{name} on {backend}");
        drop(client);
        assert_eq!(program.wait().code(), Some(0), "{name} on {backend}");
    }
}
