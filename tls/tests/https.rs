//! What a client sees of a server with TLS, over sockets.
#![cfg(unix)]

mod support;

use std::fs;
use std::io::{Read, Write};
use std::sync::Arc;
use std::thread;

use aurora_http::tls::rustls::client::Resumption;
use aurora_http::tls::{ClientCertificates, TlsConfig, TlsCounters};
use aurora_http::{Flow, Handler, Limits, Request, ResponseWriter, Server, Timeouts, handler_fn};
use support::{Authority, Client, Made, VERSIONS, address, on_every_backend, serve, server};

fn config(made: &Made) -> TlsConfig {
    TlsConfig::from_pem(&made.chain, &made.key).unwrap()
}

/// Answers with what it knows of the connection.
fn about(request: &Request<'_>, response: &mut ResponseWriter<'_>) -> Result<(), aurora_http::WriteError> {
    let security = request.security().expect("an encrypted connection");
    let certificate = security.certificate.map_or(0, <[u8]>::len);
    response.body(format!("{} {:?} {certificate}", security.protocol, security.server_name.unwrap_or_default()))
}

#[test]
fn both_versions_are_served_with_alpn_and_keep_alive() {
    on_every_backend(|| {
        let authority = Authority::new();
        let tls = config(&authority.sign("a.example"));
        let running = serve(&tls, Limits::default(), || handler_fn(about));
        assert!(
            running.announcement().to_string().contains(" tls=up to 112.0KiB/connection"),
            "the start-up line says it"
        );
        for version in VERSIONS {
            let mut config = authority.client_of(&[version], None);
            config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
            let mut client = Client::connect(address(&running), &Arc::new(config), "a.example");
            for _ in 0..3 {
                let name = if version.version == VERSIONS[0].version { "TLSv1.2" } else { "TLSv1.3" };
                assert_eq!(client.get("/"), (200, format!("{name} \"a.example\" 0")));
            }
            assert_eq!(client.stream.conn.alpn_protocol(), Some(&b"http/1.1"[..]));
        }
        let mut config = authority.client();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let mut client = Client::connect(address(&running), &Arc::new(config), "a.example");
        let error = client.try_handshake().unwrap_err().to_string();
        assert!(error.contains("NoApplicationProtocol"), "{error}");
        assert_eq!((tls.counters().completed, tls.counters().failed), (2, 1));
    });
}

#[test]
fn the_certificate_is_that_of_the_name_that_the_client_asks_for() {
    on_every_backend(|| {
        let authority = Authority::new();
        let [one, two] = ["one.example", "*.two.example"].map(|name| authority.sign(name));
        let tls =
            TlsConfig::builder().certificate(&one.chain, &one.key).certificate(&two.chain, &two.key).build().unwrap();
        let running = serve(&tls, Limits::default(), || handler_fn(about));
        let client = Arc::new(authority.client());
        for (name, made) in [("one.example", &one), ("a.two.example", &two)] {
            let mut client = Client::connect(address(&running), &client, name);
            assert_eq!(client.get("/").0, 200);
            assert!(client.certificate() == made.der, "{name}");
        }
        // Any other name gets the first certificate, and the client decides.
        let error =
            Client::connect(address(&running), &client, "three.example").try_handshake().unwrap_err().to_string();
        assert!(error.contains("not valid for name"), "{error}");
    });
}

#[test]
fn certificates_of_clients_are_verified_and_shown_to_the_handler() {
    on_every_backend(|| {
        let (authority, clients) = (Authority::new(), Authority::new());
        let (made, known, unknown) = (authority.sign("a"), clients.sign("c"), Authority::new().sign("c"));
        for which in [ClientCertificates::Optional, ClientCertificates::Required] {
            let tls =
                TlsConfig::builder().certificate(&made.chain, &made.key).client_certificates(clients.pem(), which);
            let tls = tls.build().unwrap();
            let running = serve(&tls, Limits::default(), || handler_fn(about));
            for version in VERSIONS {
                let connect = |own| {
                    let config = Arc::new(authority.client_of(&[version], own));
                    let mut client = Client::connect(address(&running), &config, "a");
                    // With TLS 1.3 the client learns of a refusal only after its own handshake.
                    let request = b"GET / HTTP/1.0\r\n\r\n";
                    let outcome = client.stream.write_all(request).map(|()| {
                        let mut answer = String::new();
                        client.stream.read_to_string(&mut answer).map(|_| answer)
                    });
                    outcome.and_then(|answer| answer).ok()
                };
                let shown = connect(Some(&known)).expect("an answer");
                assert!(
                    shown.ends_with(&format!("\"\" {}", known.der.len()))
                        || shown.ends_with(&format!("\"a\" {}", known.der.len())),
                    "{shown}"
                );
                assert_eq!(connect(Some(&unknown)), None, "{which:?}");
                assert_eq!(connect(None).is_some(), which == ClientCertificates::Optional, "{which:?}");
            }
        }
    });
}

#[test]
fn a_reload_acts_on_new_connections_and_a_bad_one_on_none() {
    on_every_backend(|| {
        let authority = Authority::new();
        let [old, new] = [authority.sign("a.example"), authority.sign("a.example")];
        let folder = std::env::temp_dir().join(format!("aurora-tls-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let [chain, key] = ["chain.pem", "key.pem"].map(|name| folder.join(name));
        let put = |made: &Made| {
            fs::write(&chain, &made.chain).unwrap();
            fs::write(&key, &made.key).unwrap();
        };
        put(&old);
        let tls = TlsConfig::from_files(&chain, &key).unwrap();
        let running = serve(&tls, Limits::default(), || handler_fn(about));
        let mut config = authority.client();
        config.resumption = Resumption::in_memory_sessions(8);
        let config = Arc::new(config);
        let connect = || {
            let mut client = Client::connect(address(&running), &config, "a.example");
            assert_eq!(client.get("/").0, 200);
            client
        };
        let mut first = connect();
        assert!(first.certificate() == old.der);
        fs::write(&key, &new.key).unwrap();
        let error = tls.reload().unwrap_err().to_string();
        assert!(error.contains("key.pem") && error.contains("chain.pem"), "{error}");
        assert!(connect().is_resumed(), "nothing has changed");
        put(&new);
        tls.reload().unwrap();
        let second = connect();
        assert!(!second.is_resumed() && second.certificate() == new.der);
        assert_eq!(first.get("/").0, 200, "connections of before go on");
        fs::remove_dir_all(&folder).unwrap();
    });
}

#[test]
fn debug_output_shows_no_key() {
    let made = Authority::new().sign("a");
    let builder = TlsConfig::builder().certificate(&made.chain, &made.key);
    let key = format!("{:?}", &made.key.as_bytes()[..50]);
    for shown in [format!("{builder:?}"), format!("{:?}", builder.build().unwrap())] {
        assert!(!shown.contains(key.trim_matches(['[', ']'])) && !shown.contains("PRIVATE KEY"), "{shown}");
    }
}

/// Whoever may connect no more after a reload cannot do so with a session of before either.
#[test]
fn a_resumed_session_has_its_certificate_and_ends_with_the_authorities() {
    on_every_backend(|| {
        let (authority, clients, others) = (Authority::new(), Authority::new(), Authority::new());
        let (made, known) = (authority.sign("a"), clients.sign("c"));
        let path = std::env::temp_dir().join(format!("aurora-tls-authorities-{}.pem", std::process::id()));
        for version in VERSIONS {
            fs::write(&path, clients.pem()).unwrap();
            let builder = TlsConfig::builder().certificate(&made.chain, &made.key);
            let tls = builder.client_certificates_file(&path, ClientCertificates::Required).build().unwrap();
            let running = serve(&tls, Limits::default(), || handler_fn(about));
            let mut config = authority.client_of(&[version], Some(&known));
            config.resumption = Resumption::in_memory_sessions(8);
            let config = Arc::new(config);
            for is_resumed in [false, true] {
                let mut client = Client::connect(address(&running), &config, "a");
                let (status, text) = client.get("/");
                assert_eq!((status, client.is_resumed()), (200, is_resumed));
                assert!(text.ends_with(&format!(" {}", known.der.len())), "{text}, resumed {is_resumed}");
            }
            fs::write(&path, others.pem()).unwrap();
            tls.reload().unwrap();
            let mut refused = Client::connect(address(&running), &config, "a");
            let request = refused.stream.write_all(b"GET / HTTP/1.0\r\n\r\n");
            let answered = request.and_then(|()| refused.stream.read_to_end(&mut Vec::new()));
            assert!(answered.is_err() && tls.counters().failed == 1, "{version:?}");
        }
        fs::remove_file(&path).unwrap();
    });
}

#[test]
fn sessions_are_resumed_by_any_worker() {
    on_every_backend(|| {
        let authority = Authority::new();
        let tls = config(&authority.sign("a"));
        let running = serve(&tls, Limits::default(), || handler_fn(about));
        for version in VERSIONS {
            let mut config = authority.client_of(&[version], None);
            config.resumption = Resumption::in_memory_sessions(8);
            let config = Arc::new(config);
            let resumed = (0..8).map(|_| {
                let mut client = Client::connect(address(&running), &config, "a");
                assert_eq!(client.get("/").0, 200);
                client.is_resumed()
            });
            assert_eq!(resumed.collect::<Vec<_>>(), [false, true, true, true, true, true, true, true]);
        }
        let TlsCounters { completed, resumed, failed, .. } = tls.counters();
        assert_eq!((completed, resumed, failed), (16, 14, 0));
    });
}

/// Sends three bytes of a response without a length, and then fails, or ends it.
struct Streams;

impl Handler for Streams {
    type Exchange = bool;

    fn request(&mut self, request: &Request<'_>, response: &mut ResponseWriter<'_>) -> Flow<bool> {
        let fails = request.path() == b"/fails";
        match response.stream(None).and_then(|()| response.write(b"abc").map(drop)) {
            Ok(()) => Flow::Produce(fails),
            Err(_) => Flow::Finish,
        }
    }

    fn produce(&mut self, fails: bool, response: &mut ResponseWriter<'_>) -> Flow<bool> {
        if fails {
            let _ = response.fail(500);
        }
        Flow::Finish
    }
}

#[test]
fn every_orderly_end_is_announced_and_a_cut_off_response_is_not() {
    on_every_backend(|| {
        let authority = Authority::new();
        let client = Arc::new(authority.client());
        let timeouts = Timeouts { idle_timeout_ms: Some(200), ..Timeouts::default() };
        let limits = Limits { timeouts, ..Limits::default() };
        let running = serve(&config(&authority.sign("a")), limits, || Streams);
        // With HTTP/1.0 only the end of the connection ends the response.
        let rows = [
            ("the end of a response", "GET / HTTP/1.0\r\n\r\n", true),
            ("a response that is cut off", "GET /fails HTTP/1.0\r\n\r\n", false),
            // Here the last chunk is missing, which says enough.
            ("the same in chunks", "GET /fails HTTP/1.1\r\nHost: a\r\n\r\n", true),
            ("Connection: close", "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", true),
            ("the idle timeout", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", true),
            ("a malformed request", "GET\r\n\r\n", true),
        ];
        for (what, request, is_announced) in rows {
            let mut client = Client::connect(address(&running), &client, "a");
            client.send(request);
            let (received, announced) = client.rest();
            assert_eq!(announced, is_announced, "{what}: {:?}", String::from_utf8_lossy(&received));
        }
        // The client ends first: with its close_notify it gets the response, and ours.
        let mut first = Client::connect(address(&running), &client, "a");
        first.send("GET / HTTP/1.0\r\n\r\n");
        first.stream.conn.send_close_notify();
        let (received, announced) = first.rest();
        assert!(received.ends_with(b"abc") && announced, "{received:?}");
        // A stop.
        let running = serve(&config(&authority.sign("a")), Limits::default(), || Streams);
        let mut idle = Client::connect(address(&running), &client, "a");
        idle.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        let head = idle.head();
        assert_eq!(idle.take(17), b"00003\r\nabc\r\n0\r\n\r\n", "{head}");
        running.stop();
        assert_eq!(idle.rest(), (Vec::new(), true));
    });
}

/// Echoes content of any length, piece by piece.
fn echo() -> impl Handler {
    aurora_http::collect_fn(|_request, content, response: &mut ResponseWriter<'_>| response.body(content))
}

#[test]
fn long_bodies_pass_in_both_directions_however_slowly_the_client_reads() {
    on_every_backend(|| {
        let authority = Authority::new();
        let body: Vec<u8> = (0..3_000_000_u32).map(|at| (at ^ (at >> 8)) as u8).collect();
        let whole: &'static [u8] = body.clone().leak();
        let tls = config(&authority.sign("a"));
        for version in VERSIONS {
            let server = server(&tls).workers(1).connections(8);
            let download =
                server.start(move |_| handler_fn(move |_request, response| response.static_body(whole))).unwrap();
            let client = Arc::new(authority.client_of(&[version], None));
            // Pipelined, and the answers are left lying for a while.
            let mut client = Client::connect(address(&download), &client, "a");
            client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(3));
            for _ in 0..3 {
                thread::yield_now();
                let head = client.head();
                assert!(head.contains("Content-Length: 3000000"), "{head}");
                assert!(client.take(whole.len()) == whole);
            }
        }
        let upload = serve(&tls, Limits::default(), echo);
        let mut client = Client::connect(address(&upload), &Arc::new(authority.client()), "a");
        for length in [0, 1, 16_384, 16_385, 60_000] {
            client.send(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n"));
            client.send(&body[..length]);
            assert!(client.head().contains(&format!("Content-Length: {length}")));
            assert!(client.take(length) == body[..length], "{length}");
        }
    });
}

#[test]
fn what_tls_cannot_run_on_is_refused_by_name() {
    let tls = config(&Authority::new().sign("a"));
    let server = || Server::bind("127.0.0.1:0").unwrap().tls(tls.clone());
    let handler = |_: &_| handler_fn(about);
    let error = server().on_detached(|_, _, _| ()).start(handler).unwrap_err().to_string();
    assert!(error.starts_with("on_detached = a closure, with TLS: a detached socket"), "{error}");
    #[cfg(target_os = "linux")]
    {
        let mut storage = server().storage().unwrap();
        let error = aurora_http::Worker::epoll(&mut storage, handler_fn(about)).unwrap_err().to_string();
        assert!(error.contains("use Worker::new"), "{error}");
        if let Err(refusal) = aurora_http::uring::probe() {
            println!("SKIPPED: {refusal}");
        } else {
            let error = aurora_http::Worker::uring(&mut storage, handler_fn(about)).unwrap_err().to_string();
            assert!(error.contains("use Worker::new"), "{error}");
        }
        let mut storage = server().storage().unwrap();
        aurora_http::Worker::new(&mut storage, handler_fn(about)).unwrap();
    }
}

#[test]
fn a_proxy_header_comes_before_the_handshake() {
    on_every_backend(|| {
        let authority = Authority::new();
        let server = server(&config(&authority.sign("a.example"))).workers(1).proxy_headers();
        let running = server
            .start(|_worker| {
                handler_fn(|request, response| response.body(format!("{:?}", request.peer().expect("a peer"))))
            })
            .unwrap();
        let mut client = Client::connect(running.local_addr(), &Arc::new(authority.client()), "a.example");
        client.stream.sock.write_all(b"PROXY TCP4 192.0.2.7 192.0.2.9 40000 443\r\n").unwrap();
        for _ in 0..2 {
            assert_eq!(client.get("/"), (200, "Ip(192.0.2.7:40000)".to_owned()));
        }
        drop(client);
        let mut client = Client::connect(running.local_addr(), &Arc::new(authority.client()), "a.example");
        client.try_handshake().unwrap_err();
        drop(client);
        running.stop();
        running.join().unwrap();
    });
}
