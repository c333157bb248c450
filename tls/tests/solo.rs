//! One connection at a time over a TLS stream of the program's: `Solo` takes any byte stream of embedded-io, as devices without
//! an operating system have them.
#![cfg(unix)]

mod support;

use std::io::{self, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use aurora_http::core::adapter::Solo;
use aurora_http::core::error::CloseReason;
use aurora_http::core::pool::{BufferPool, Buffers, Class, ClassCounts};
use aurora_http::core::preamble::Preamble;
use aurora_http::core::time::Instant;
use aurora_http::tls::rustls::crypto::ring;
use aurora_http::tls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use aurora_http::tls::rustls::{ServerConfig, ServerConnection, StreamOwned};
use aurora_http::{Limits, handler_fn};
use support::{Authority, Client};

/// The session as embedded-io sees it.
struct Encrypted(StreamOwned<ServerConnection, TcpStream>);

impl embedded_io::ErrorType for Encrypted {
    type Error = io::Error;
}

impl embedded_io::Read for Encrypted {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.0.read(into)
    }
}

impl embedded_io::Write for Encrypted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[test]
fn a_stream_with_tls_is_served_from_two_buffers_of_a_kibibyte() {
    let authority = Authority::new();
    let made = authority.sign("a");
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![CertificateDer::from(made.der)], PrivateKeyDer::try_from(made.key_der).unwrap())
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let client = thread::spawn(move || {
        let mut client = Client::connect(address, &Arc::new(authority.client()), "a");
        for _ in 0..3 {
            assert_eq!(client.get("/"), (200, "21.5 C\n".to_owned()));
        }
        client.stream.conn.send_close_notify();
        assert_eq!(client.rest(), (Vec::new(), true));
    });
    let (mut memory, mut table) = (Buffers::<2, 1024>::new(), [const { None }; 2]);
    let mut pool = BufferPool::new(&mut table, ClassCounts::NONE.with(Class::Tiny, 2)).unwrap();
    pool.add_buffers(&mut memory).unwrap();
    let answer = handler_fn(|_, response| response.body("21.5 C\n"));
    let mut solo = Solo::new(answer, pool, &mut [], &mut [], Limits::small_device(), Preamble::new("").unwrap());
    let session = ServerConnection::new(Arc::new(config)).unwrap();
    let mut stream = Encrypted(StreamOwned::new(session, listener.accept().unwrap().0));
    let reason = solo.serve(&mut stream, || Instant(0)).unwrap();
    assert_eq!((reason, solo.counters().requests), (CloseReason::PeerClosed, 3));
    // The end of the stream is the program's, so the announcement of it is too.
    stream.0.conn.send_close_notify();
    stream.0.flush().unwrap();
    drop(stream);
    client.join().unwrap();
}
