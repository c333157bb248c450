//! Clients that break TLS, or do not speak it: each is told, ended in time, and costs a bounded amount of memory.
#![cfg(unix)]

mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::any::Any;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use aurora_http::tls::rustls::ClientConnection;
use aurora_http::tls::rustls::pki_types::ServerName;
use aurora_http::tls::{CONNECTION_BYTES_MAX, ClientCertificates, TlsConfig, TlsError};
use aurora_http::{Limits, Running, Timeouts, handler_fn};
use rustix::net::sockopt;
use support::{Authority, Client, DEADLINE, address, serve, tcp};

/// Counts the bytes that are allocated, and the most there ever were.
struct Counting;

static ALLOCATED: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);
/// The tests measure memory, so they run one at a time.
static ALONE: Mutex<()> = Mutex::new(());

// SAFETY: every call is passed on to the system's allocator as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let now = ALLOCATED.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        MOST.fetch_max(now, Ordering::Relaxed);
        // SAFETY: the caller's promise is that of the system's allocator.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        ALLOCATED.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as above; the memory comes from the system's allocator.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

fn hello(first_byte_timeout_ms: u32) -> (Authority, TlsConfig, Running) {
    let authority = Authority::new();
    let made = authority.sign("a");
    let tls = TlsConfig::from_pem(made.chain, made.key).unwrap();
    let timeouts = Timeouts { first_byte_timeout_ms: Some(first_byte_timeout_ms), ..Timeouts::default() };
    let limits = Limits { timeouts, ..Limits::default() };
    let running = serve(&tls, limits, || {
        handler_fn(|request, response| match request.path() {
            b"/long" => response.static_body(&[b'a'; 4 << 20]),
            _ => response.body("hello"),
        })
    });
    (authority, tls, running)
}

/// The first bytes that a client sends.
fn client_hello(authority: &Authority) -> Vec<u8> {
    let config = Arc::new(authority.client());
    let mut connection = ClientConnection::new(config, ServerName::try_from("a").unwrap()).unwrap();
    let mut bytes = Vec::new();
    connection.write_tls(&mut bytes).unwrap();
    bytes
}

/// A ClientHello of this length and nothing but zeros, in records of 16 KiB, the last one perhaps cut off.
fn long_handshake(length: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut content = [0; 16_384];
    content[..4].copy_from_slice(&((length - 4) as u32 | 1 << 24).to_be_bytes());
    for _ in 0..length.div_ceil(content.len()) {
        bytes.extend([22, 3, 1, 0x40, 0]);
        bytes.extend(content);
        content = [0; 16_384];
    }
    bytes
}

/// A ClientHello for `version` only, without extensions, as of before TLS 1.2.
fn old_hello(version: u8) -> Vec<u8> {
    let mut hello = vec![3, version];
    hello.extend([7; 32]); // random
    hello.extend([0, 0, 4, 0, 0x2f, 0, 0x35, 1, 0]); // no session, two cipher suites, no compression
    let mut bytes = vec![22, 3, 1, 0, hello.len() as u8 + 4, 1, 0, 0, hello.len() as u8];
    bytes.extend(hello);
    bytes
}

/// What the server sends until it ends the connection, by FIN or reset.
fn answer(address: SocketAddr, sent: &[u8], then: Option<Shutdown>) -> Vec<u8> {
    let mut stream = tcp(address);
    let _ = stream.write_all(sent); // it may end the connection before it has everything
    if let Some(how) = then {
        let _ = stream.shutdown(how);
    }
    read_all(&mut stream)
}

fn read_all(stream: &mut TcpStream) -> Vec<u8> {
    let mut received = Vec::new();
    match stream.read_to_end(&mut received) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        Err(error) => panic!("{error}"),
    }
    received
}

const FATAL: u8 = 2;
/// The alert is encrypted, after the answer to the first hello.
const ENCRYPTED: u8 = 0;

#[test]
fn broken_handshakes_get_an_alert_and_the_end() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let (authority, tls, running) = hello(10_000);
    let address = address(&running);
    let good = client_hello(&authority);
    let mut two_hellos = good.clone();
    two_hellos.extend(&good);
    // Descriptions of RFC 8446 §6: unexpected_message 10, record_overflow 22, handshake_failure 40, decode_error 50,
    // protocol_version 70.
    let rows: [(&str, Vec<u8>, &[u8]); 9] = [
        ("zeros", vec![0; 600], &[50]),
        ("garbage", (0..2_000_u32).map(|at| ((at * 7919) >> 3) as u8 | 0x80).collect(), &[50, 10]),
        ("an alert", vec![21, 3, 3, 0, 2, FATAL, 40], &[]),
        ("data in front of the handshake", vec![23, 3, 3, 0, 3, 1, 2, 3], &[10, 50]),
        ("an oversized record", [&[22, 3, 3, 0xff, 0xff][..], &[1; 9_000]].concat(), &[22, 50]),
        ("a message of 1 MiB", long_handshake(1 << 20), &[50, 10]),
        ("TLS 1.0", old_hello(1), &[40, 70]),
        ("TLS 1.1", old_hello(2), &[40, 70]),
        ("two hellos", two_hellos, &[ENCRYPTED]),
    ];
    let count = rows.len() as u64;
    for (what, bytes, descriptions) in rows {
        let received = answer(address, &bytes, None);
        match *received {
            // First, because what is encrypted may end like an alert.
            [22, .., _] if descriptions == [ENCRYPTED] => {}
            [.., FATAL, description] if !descriptions.is_empty() => {
                assert!(descriptions.contains(&description), "{what}: {description}");
            }
            [] if descriptions.is_empty() || bytes.len() > 65_536 => {} // a reset may destroy the alert
            _ => panic!("{what}: {received:?}"),
        }
    }
    assert_eq!((tls.counters().completed, tls.counters().failed), (0, count));
    assert_eq!(Client::connect(address, &Arc::new(authority.client()), "a").get("/").0, 200, "others are served");
}

#[test]
fn http_without_tls_is_told_so_in_plain_text() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let (_authority, _tls, running) = hello(10_000);
    for request in
        ["GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), format!("POST / HTTP/1.0\r\n\r\n{}", "a".repeat(9_000))]
    {
        let received = String::from_utf8(answer(address(&running), request.as_bytes(), None)).unwrap();
        let (head, body) = received.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{received}"));
        assert!(head.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{head}");
        assert!(head.contains(&format!("Content-Length: {}", body.len())), "{head}");
        assert!(body.contains("https://"), "{body}");
    }
}

#[test]
fn a_handshake_has_a_deadline_however_slowly_it_goes_on() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let (authority, _tls, running) = hello(400);
    let address = address(&running);
    let good = client_hello(&authority);
    // Nothing; half a hello; all of it, and then nothing.
    for sent in [&[][..], &good[..good.len() / 2], &good[..]] {
        let begun = Instant::now();
        answer(address, sent, None);
        assert!(begun.elapsed() < DEADLINE / 2, "{} bytes", sent.len());
    }
    // A byte now and then moves no deadline.
    let mut slow = tcp(address);
    slow.set_read_timeout(Some(std::time::Duration::from_millis(20))).unwrap();
    let begun = Instant::now();
    let ended = good.iter().any(|byte| {
        let sent = slow.write_all(&[*byte]);
        sent.is_err()
            || matches!(slow.read(&mut [0]), Ok(0) | Err(_)) && slow.peer_addr().is_err()
            || is_ended(&mut slow)
    });
    assert!(ended && begun.elapsed() < DEADLINE / 2, "{:?}", begun.elapsed());
    // A complete handshake without a request ends the same way.
    let mut silent = Client::connect(address, &Arc::new(authority.client()), "a");
    silent.try_handshake().unwrap();
    let mut rest = Vec::new();
    assert!(silent.stream.read_to_end(&mut rest).is_err() || rest.is_empty());
}

fn is_ended(stream: &mut TcpStream) -> bool {
    match stream.read(&mut [0; 64]) {
        Ok(count) => count == 0,
        Err(error) => !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
    }
}

#[test]
fn clients_that_stop_in_the_middle_leave_nothing_behind() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let (authority, tls, running) = hello(10_000);
    let good = client_hello(&authority);
    let before = tls.counters().failed;
    for length in (0..good.len()).step_by(23) {
        answer(address(&running), &good[..length], Some(Shutdown::Write));
    }
    answer(address(&running), &good, Some(Shutdown::Both));
    let begun = Instant::now();
    let expected = before + (0..good.len()).step_by(23).count() as u64 + 1;
    while tls.counters().failed < expected {
        assert!(begun.elapsed() < DEADLINE, "{:?}", tls.counters());
        std::thread::yield_now();
    }
    while running.counters().active != 0 {
        assert!(begun.elapsed() < DEADLINE, "{:?}", running.counters());
        std::thread::yield_now();
    }
}

#[test]
fn no_client_makes_a_connection_allocate_more_than_the_start_up_line_says() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let (authority, _tls, running) = hello(10_000);
    let address = address(&running);
    const CONNECTIONS: usize = 16;
    let allocated = || ALLOCATED.load(Ordering::Relaxed);
    // Opens connections, waits until they hold `least` bytes each, and returns how many they hold, and held at most.
    let measure = |what: &str, least: usize, open: &mut dyn FnMut() -> Box<dyn Any>| {
        drop(open()); // what is allocated once
        let begun = Instant::now();
        while running.counters().active != 0 {
            assert!(begun.elapsed() < DEADLINE, "{what}: the first one stays open");
        }
        let before = allocated();
        MOST.store(before, Ordering::Relaxed);
        let open: Vec<_> = (0..CONNECTIONS).map(|_| open()).collect();
        while allocated() < before + CONNECTIONS * least {
            let each = allocated().saturating_sub(before) / CONNECTIONS;
            assert!(begun.elapsed() < DEADLINE, "{what}: {each} bytes instead of {least}");
        }
        let each = allocated().saturating_sub(before) / CONNECTIONS;
        let most = MOST.load(Ordering::Relaxed).saturating_sub(before) / CONNECTIONS;
        println!("{what}: {each} bytes for each connection, at most {most}");
        assert!(most <= CONNECTION_BYTES_MAX, "{what}: {most} bytes for each connection");
        drop(open);
    };
    // As much of a handshake message as is accepted, without its end.
    let long = long_handshake(65_000);
    measure("a long handshake message", 60_000, &mut || {
        let mut stream = tcp(address);
        stream.write_all(&long[..64_000]).unwrap();
        Box::new(stream)
    });
    // These count the client's half of the session too.
    let config = Arc::new(authority.client());
    measure("an idle connection", 8_000, &mut || {
        let mut client = Client::connect(address, &config, "a");
        assert_eq!(client.get("/").0, 200);
        Box::new(client)
    });
    measure("a response that is not read", 24_000, &mut || {
        let mut client = Client::connect(address, &config, "a");
        // Some systems would otherwise keep all of the response for it.
        sockopt::set_socket_recv_buffer_size(&client.stream.sock, 32 * 1024).unwrap();
        client.send("GET /long HTTP/1.1\r\nHost: a\r\n\r\n".repeat(4));
        Box::new(client)
    });
}

#[test]
fn what_is_wrong_with_a_certificate_is_said() {
    let [one, two] = [Authority::new().sign("a"), Authority::new().sign("a")];
    let error = |built: Result<TlsConfig, TlsError>| built.unwrap_err().to_string();
    let rows = [
        (error(TlsConfig::builder().build()), "there is no certificate"),
        (error(TlsConfig::from_pem("", &one.key)), "certificate 1, certificates: there is no CERTIFICATE section"),
        (error(TlsConfig::from_pem(&one.key, &one.key)), "certificate 1, certificates: there is no CERTIFICATE"),
        (
            error(TlsConfig::from_pem("-----BEGIN CERTIFICATE-----\nAA\n", &one.key)),
            "certificate 1, certificates: not valid PEM",
        ),
        (error(TlsConfig::from_pem(&one.chain, &one.chain)), "certificate 1, private key: no usable PRIVATE KEY"),
        (error(TlsConfig::from_pem(&one.chain, &two.key)), "certificate 1 with certificate 1: "),
        (error(TlsConfig::from_files("missing.pem", "missing.key")), "missing.pem: "),
        (
            error(
                TlsConfig::builder()
                    .certificate(&one.chain, &one.key)
                    .client_certificates("x", ClientCertificates::Required)
                    .build(),
            ),
            "the authorities of client certificates, certificates: there is no CERTIFICATE section",
        ),
    ];
    for (error, expected) in rows {
        assert!(error.starts_with(expected), "{error}\n{expected}");
    }
}
