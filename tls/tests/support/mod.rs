//! A client that speaks TLS through rustls, and certificates for both sides.

// Every test crate uses its own part of this.
#![allow(dead_code)]

use std::cell::Cell;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use aurora_http::tls::TlsConfig;
use aurora_http::tls::rustls::client::Resumption;
use aurora_http::tls::rustls::crypto::ring;
use aurora_http::tls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use aurora_http::tls::rustls::version::{TLS12, TLS13};
use aurora_http::tls::rustls::{
    ClientConfig, ClientConnection, HandshakeKind, RootCertStore, StreamOwned, SupportedProtocolVersion,
};
use aurora_http::{Backend, Handler, Limits, Running, Server};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

/// A step of a test that takes this long hangs.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

pub(crate) const VERSIONS: [&SupportedProtocolVersion; 2] = [&TLS12, &TLS13];

/// An authority that signs certificates.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key, in PEM and DER.
#[derive(Clone)]
pub(crate) struct Made {
    pub(crate) chain: String,
    pub(crate) key: String,
    pub(crate) der: Vec<u8>,
    pub(crate) key_der: Vec<u8>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    pub(crate) fn sign(&self, name: &str) -> Made {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new([name.to_owned()]).unwrap();
        let signed = params.signed_by(&key, &self.0).unwrap();
        Made { chain: signed.pem(), key: key.serialize_pem(), der: signed.der().to_vec(), key_der: key.serialize_der() }
    }

    /// A client that trusts this authority.
    pub(crate) fn client(&self) -> ClientConfig {
        self.client_of(&VERSIONS, None)
    }

    pub(crate) fn client_of(&self, versions: &[&'static SupportedProtocolVersion], own: Option<&Made>) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder.with_protocol_versions(versions).unwrap().with_root_certificates(roots);
        let mut config = match own {
            None => builder.with_no_client_auth(),
            Some(own) => {
                let key = PrivateKeyDer::try_from(own.key_der.clone()).unwrap();
                builder.with_client_auth_cert(vec![CertificateDer::from(own.der.clone())], key).unwrap()
            }
        };
        config.resumption = Resumption::disabled();
        config
    }
}

thread_local! {
    static BACKEND: Cell<Backend> = const { Cell::new(Backend::Auto) };
}

/// Runs a test on each backend of this build that the system allows: [`serve`] and [`server`] take it.
pub(crate) fn on_every_backend(test: impl Fn()) {
    for backend in [Backend::Epoll, Backend::Kqueue, Backend::Uring] {
        match Server::bind("127.0.0.1:0").unwrap().connections(1).backend(backend).storage::<()>() {
            Ok(_) => {
                eprintln!("on {backend}");
                BACKEND.set(backend);
                test();
            }
            Err(error) => println!("SKIPPED: {error}"),
        }
    }
}

/// A server on a port of the system's choice, on the backend of the test, to be configured further.
pub(crate) fn server(tls: &TlsConfig) -> Server {
    Server::bind("127.0.0.1:0").unwrap().backend(BACKEND.get()).tls(tls.clone())
}

/// A server on a port of the system's choice.
pub(crate) fn serve<H: Handler>(
    tls: &TlsConfig,
    limits: Limits,
    factory: impl Fn() -> H + Send + Sync + 'static,
) -> Running {
    server(tls).workers(2).connections(64).limits(limits).start(move |_worker| factory()).unwrap()
}

pub(crate) fn address(running: &Running) -> SocketAddr {
    running.announcement().address
}

pub(crate) fn tcp(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(&address, DEADLINE).expect("a connection");
    stream.set_read_timeout(Some(DEADLINE)).expect("a timeout");
    stream.set_write_timeout(Some(DEADLINE)).expect("a timeout");
    stream.set_nodelay(true).expect("no delay");
    stream
}

/// One encrypted connection.
pub(crate) struct Client {
    pub(crate) stream: StreamOwned<ClientConnection, TcpStream>,
}

impl Client {
    pub(crate) fn connect(address: SocketAddr, config: &Arc<ClientConfig>, name: &str) -> Self {
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let connection = ClientConnection::new(Arc::clone(config), name).unwrap();
        Self { stream: StreamOwned::new(connection, tcp(address)) }
    }

    /// Completes the handshake.
    pub(crate) fn try_handshake(&mut self) -> io::Result<()> {
        while self.stream.conn.is_handshaking() {
            self.stream.conn.complete_io(&mut self.stream.sock)?;
        }
        Ok(())
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).expect("the server takes it");
        self.stream.flush().expect("the server takes it");
    }

    /// Everything up to the end, and whether the end was announced.
    pub(crate) fn rest(&mut self) -> (Vec<u8>, bool) {
        let mut received = Vec::new();
        let outcome = self.stream.read_to_end(&mut received);
        match outcome {
            Ok(_) => (received, true),
            // A response that is cut off ends with a reset.
            Err(error) if matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset) => {
                (received, false)
            }
            Err(error) => panic!("{error}, after {} bytes", received.len()),
        }
    }

    /// Reads exactly so many bytes.
    pub(crate) fn take(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.stream.read_exact(&mut bytes).expect("the bytes");
        bytes
    }

    /// The head of the next response.
    pub(crate) fn head(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.extend(self.take(1));
        }
        String::from_utf8(head).expect("text")
    }

    /// Sends a GET, and returns status and body.
    pub(crate) fn get(&mut self, path: &str) -> (u16, String) {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
        let head = self.head();
        let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).expect("a length");
        let body = self.take(length.parse().expect("a number"));
        (head[9..12].parse().expect("a status"), String::from_utf8(body).expect("text"))
    }

    pub(crate) fn is_resumed(&self) -> bool {
        self.stream.conn.handshake_kind() == Some(HandshakeKind::Resumed)
    }

    /// The certificate that the server has shown.
    pub(crate) fn certificate(&self) -> Vec<u8> {
        self.stream.conn.peer_certificates().expect("a certificate")[0].to_vec()
    }
}
