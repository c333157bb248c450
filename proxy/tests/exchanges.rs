//! Requests and responses that pass through, and those that must not.
#![cfg(unix)]

mod support;

use std::thread;

use aurora_http_proxy::{Chain, Config, ProxyLimits, ProxyProtocol};
use support::http::{eventually, pattern};
use support::{GET, Rig, Upstream, dead, limits, start, start_with};

/// What the upstream is sent for a request, and what the client gets for a response.
fn exchange(request: &str, response: impl AsRef<[u8]>) -> (String, support::http::Response) {
    let (upstream, _rig, mut client) = start();
    client.send(request);
    let mut peer = upstream.accept();
    let head = peer.head();
    peer.send(response);
    drop(peer);
    let response = client.response(request.split(' ').next().expect("a method"));
    (head, response)
}

#[test]
fn a_request_and_its_response_pass_through() {
    let (head, response) = exchange(
        "GET /a?b=c HTTP/1.1\r\nHost: example.org\r\nAccept: */*\r\nConnection: X-Mine\r\nX-Mine: 1\r\nForwarded: for=x\r\n\r\n",
        "HTTP/1.1 203 Fine\r\nConnection: X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nProxy-Status: x\r\nX-End: 1\r\n\
         Set-Cookie: a\r\nSet-Cookie: b\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\nContent-Length: 5\r\n\r\nhello",
    );
    let expected = "GET /a?b=c HTTP/1.1\r\nHost: example.org\r\nAccept: */*\r\nX-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: http\r\n\
        X-Forwarded-Host: example.org\r\nVia: 1.1 aurora\r\n\r\n";
    assert_eq!(head, expected);
    assert_eq!((response.status, response.text()), (203, "hello"));
    let cookies = response.head.lines().filter(|line| line.starts_with("Set-Cookie: ")).count();
    assert_eq!((response.field("X-End"), response.field("Via"), cookies), (Some("1"), Some("1.1 aurora"), 2));
    assert_eq!(response.field("X-Hop").or(response.field("Keep-Alive")).or(response.field("Proxy-Status")), None);
    assert_eq!(response.head.matches("Date: ").count(), 1);
    assert!(!response.head.contains("1970"), "{}", response.head);
}

#[test]
fn the_client_is_told_as_configured() {
    let (upstream, _rig, mut client) = start_with(|config| {
        let config = config.x_forwarded(Chain::Append).forwarded(Chain::Append).replace_host();
        config.via("edge").expect("a name")
    });
    client.send("GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: https\r\nForwarded: for=_x\r\n\r\n");
    let head = upstream.accept().serve("");
    let expected = format!(
        "GET / HTTP/1.1\r\nHost: {}\r\nX-Forwarded-For: 192.0.2.1, 127.0.0.1\r\nX-Forwarded-Proto: https\r\n\
         X-Forwarded-Host: a\r\nForwarded: for=_x, for=127.0.0.1;host=\"a\";proto=http\r\nVia: 1.1 edge\r\n\r\n",
        upstream.name()
    );
    assert_eq!(head, expected);
    assert_eq!(client.response("GET").status, 200);
}

#[test]
fn each_framing_of_a_body_arrives() {
    let rows = [
        ("GET", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "hello"),
        ("GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", ""),
        (
            "GET",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b\r\nhel\r\n2\r\nlo\r\n0\r\nX: 1\r\n\r\n",
            "hello",
        ),
        ("GET", "HTTP/1.1 200 OK\r\n\r\nuntil the end", "until the end"),
        ("GET", "HTTP/1.0 200 OK\r\n\r\nuntil the end", "until the end"),
        ("GET", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfour, and more", "four"),
        (
            "GET",
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
            "x",
        ),
        ("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", ""),
        ("HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", ""),
        ("GET", "HTTP/1.1 204 No Content\r\n\r\n", ""),
        ("GET", "HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\nContent-Length: 7\r\n\r\n", ""),
        ("GET", "HTTP/1.1 205 Reset Content\r\nContent-Length: 3\r\n\r\nabc", ""),
    ];
    for (method, response, expected) in rows {
        let (_, found) = exchange(&format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n"), response);
        assert_eq!(found.text(), expected, "{response}");
        assert!(response.contains(&format!(" {} ", found.status)), "{response}");
        if method == "HEAD" && response.contains("1000") {
            assert_eq!(found.field("Content-Length"), Some("1000"));
        }
    }
}

#[test]
fn long_heads_pass_in_both_directions() {
    let long = "x".repeat(25_000);
    let (head, response) = exchange(
        &format!("GET / HTTP/1.1\r\nHost: a\r\nX-Long: {long}\r\n\r\n"),
        format!("HTTP/1.1 200 OK\r\nX-Long: {long}\r\nContent-Length: 5\r\n\r\nhello"),
    );
    assert!(head.contains(&format!("\r\nX-Long: {long}\r\n")));
    assert_eq!((response.field("X-Long"), response.text()), (Some(&*long), "hello"));
}

/// Each name in it is compared with each field, so a long list costs its sender little and us much.
#[test]
fn connection_fields_are_short() {
    let (upstream, _rig, mut client) = start();
    let fields = |len: usize| format!("Connection: {}\r\nConnection: {}\r\n", "a,".repeat(50), "b".repeat(len - 100));
    client.send(format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", fields(1_025)));
    assert_eq!(client.response("GET").status, 431);
    assert!(upstream.is_left_alone());
    let (_, found) = exchange(GET, format!("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n{}\r\n", fields(1_025)));
    assert_eq!(found.status, 502);
    let request = format!("GET / HTTP/1.1\r\nHost: a\r\nA: 1\r\n{}\r\n", fields(1_024));
    let (head, found) = exchange(&request, format!("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n{}\r\n", fields(1_024)));
    assert!(found.status == 200 && !head.contains("\r\nA: 1\r\n"), "{head}");
}

#[test]
fn what_is_not_a_response_is_502() {
    let too_long = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(40_000));
    let too_many = format!("{}HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(2_000));
    let rows: [&[u8]; 15] = [
        b"",
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: b",
        b"HTTP/1.1 200 OK\r\nA: b\r\n folded\r\n\r\n",
        b"HTTP/1.1 200 OK\nContent-Length: 1\n\nx",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
        b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/2.0 200 OK\r\n\r\n",
        too_long.as_bytes(),
        too_many.as_bytes(),
    ];
    for response in rows {
        let (upstream, rig, mut client) = start();
        client.send(GET);
        let mut peer = upstream.accept_request();
        peer.send(response);
        drop(peer);
        assert_eq!(client.response("GET").status, 502, "{}", response[..response.len().min(200)].escape_ascii());
        let counters = rig.proxy.counters();
        assert_eq!(
            (counters.failed, counters.cut_off),
            (1, 0),
            "{}",
            response[..response.len().min(200)].escape_ascii()
        );
    }
}

/// RFC 9110 demands these fields, and some servers leave them out.
#[test]
fn a_missing_challenge_does_not_turn_into_another_error() {
    let (_, response) = exchange(GET, "HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno");
    assert_eq!((response.status, response.field("WWW-Authenticate")), (401, Some("Unspecified")));
    let (_, response) =
        exchange(GET, "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic\r\nContent-Length: 2\r\n\r\nno");
    assert_eq!((response.status, response.field("WWW-Authenticate")), (401, Some("Basic")));
    let (_, response) = exchange(GET, "HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0\r\n\r\n");
    assert_eq!((response.status, response.field("Allow")), (405, Some("")));
    let (_, response) = exchange(GET, "HTTP/1.1 426 Upgrade Required\r\nUpgrade: TLS/1.0\r\nContent-Length: 0\r\n\r\n");
    assert_eq!((response.status, response.field("Upgrade")), (426, Some("TLS/1.0")));
}

/// A client never takes a part for the whole.
#[test]
fn a_response_that_is_cut_off_is_seen_to_be() {
    let long = "x".repeat(100_000);
    let rows = [
        format!("HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n{long}"),
        format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n30d40\r\n{long}"),
        format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n186a0\r\n{long}\r\n"),
        format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n186a0\r\n{long}nonsense"),
    ];
    for response in rows {
        let (upstream, rig, mut client) = start();
        client.send(GET);
        let mut peer = upstream.accept_request();
        peer.send(&response);
        // So much has left that nothing else can take its place.
        let head = client.head();
        let begun = client.take(1).len();
        drop(peer);
        let rest = client.rest();
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        let is_short = head.contains("\r\nContent-Length: 200000\r\n") && begun + rest.len() < 200_000;
        assert!(is_short || head.contains("chunked") && !rest.ends_with(b"0\r\n\r\n"), "{head}");
        drop(client);
        assert_eq!(rig.proxy.counters().cut_off, 1);
    }
}

/// Upstreams that end a body with the connection: a reset is not an end.
#[test]
fn a_reset_does_not_complete_a_response() {
    let (upstream, _rig, mut client) = start();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello");
    let mut peer = upstream.accept_request();
    peer.send("HTTP/1.1 200 OK\r\n\r\nsome");
    client.head();
    assert_eq!(client.take(13), b"00004\r\nsome\r\n");
    // What was not read makes the end a reset.
    eventually(|| peer.stream.peek(&mut [0; 5]).expect("a connection") == 5, "the content is there");
    drop(peer);
    assert_eq!(client.rest(), b"", "and not the last chunk");
}

#[test]
fn content_and_bodies_of_any_length_pass_through_intact() {
    let length = 3_000_000;
    for is_chunked in [false, true] {
        let (upstream, _rig, mut client) = start();
        let content = pattern(length);
        let mut request = b"POST / HTTP/1.1\r\nHost: a\r\n".to_vec();
        if is_chunked {
            request.extend(b"Transfer-Encoding: chunked\r\n\r\n");
            for chunk in content.chunks(77_777) {
                request.extend([format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat());
            }
            request.extend(b"0\r\n\r\n");
        } else {
            request.extend([format!("Content-Length: {length}\r\n\r\n").as_bytes(), &content].concat());
        }
        let sending = client.send_aside(request);
        let mut peer = upstream.accept();
        let head = peer.head();
        // The upstream sends everything back while it receives.
        let echoing = thread::spawn(move || {
            if is_chunked {
                assert!(head.contains("\r\nTransfer-Encoding: chunked\r\n"), "{head}");
                peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
                loop {
                    let line = peer.through("\r\n");
                    let size = usize::from_str_radix(line.trim_end(), 16).expect("a size");
                    let chunk = peer.take(size + 2);
                    peer.send([line.as_bytes(), &chunk].concat());
                    if size == 0 {
                        return;
                    }
                }
            }
            assert!(head.contains(&format!("\r\nContent-Length: {length}\r\n")), "{head}");
            peer.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n"));
            for _ in 0..length / 10_000 {
                let piece = peer.take(10_000);
                peer.send(piece);
            }
        });
        let response = client.response("POST");
        assert!(response.body == content, "{} of {length}", response.body.len());
        sending.join().expect("all was sent");
        echoing.join().expect("all was echoed");
    }
}

#[test]
fn each_piece_is_passed_on_when_it_comes() {
    let (upstream, _rig, mut client) = start();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    let mut peer = upstream.accept_request();
    peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    client.head();
    for piece in ["one", "two", "three"] {
        client.send(format!("{:x}\r\n{piece}\r\n", piece.len()));
        assert_eq!(peer.through(piece), format!("{:x}\r\n{piece}", piece.len()));
        peer.take(2);
        peer.send(format!("{:x}\r\n{piece}\r\n", piece.len()));
        let chunk = format!("{:05x}\r\n{piece}\r\n", piece.len());
        assert_eq!(String::from_utf8_lossy(&client.take(chunk.len())), chunk);
    }
    client.send("0\r\n\r\n");
    assert_eq!(peer.through("\r\n\r\n"), "0\r\n\r\n");
    peer.send("0\r\n\r\n");
    assert_eq!(client.take(5), b"0\r\n\r\n");
}

#[test]
fn a_client_that_waits_for_continue_is_told_by_the_upstream() {
    let post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n";
    let (upstream, _rig, mut client) = start();
    client.send(post);
    let mut peer = upstream.accept();
    assert!(peer.head().contains("\r\nExpect: 100-continue\r\n"));
    peer.send("HTTP/1.1 100 Continue\r\n\r\n");
    assert!(client.head().starts_with("HTTP/1.1 100 "));
    client.send("hello");
    assert_eq!(peer.take(5), b"hello");
    peer.answer("thanks");
    assert_eq!(client.response("POST").text(), "thanks");
    // Even if the response begins at the same time.
    client.send(post);
    peer.head();
    peer.send("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
    assert!(client.head().starts_with("HTTP/1.1 100 "));
    client.send("hello");
    assert_eq!(peer.take(5), b"hello");
    peer.send("HELLO");
    assert_eq!(client.response("POST").text(), "HELLO");
    // One that is refused is not asked for its content.
    client.send(post);
    peer.head();
    peer.send("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno");
    let response = client.response("POST");
    assert_eq!((response.status, response.text()), (403, "no"));
    // An upstream that knows nothing of it gets the content after a while.
    let rig = Rig::new(upstream.config().limits(ProxyLimits { continue_timeout_ms: 20, ..limits() }));
    let mut client = rig.client();
    client.send(post);
    let mut peer = upstream.accept_request();
    assert!(client.head().starts_with("HTTP/1.1 100 "));
    client.send("hello");
    assert_eq!(peer.take(5), b"hello");
    peer.answer("thanks");
    assert_eq!(client.response("POST").text(), "thanks");
}

#[test]
fn an_answer_before_the_content_arrives() {
    let (upstream, _rig, mut client) = start();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n");
    let sending = client.stream().try_clone().expect("another handle");
    let sender = thread::spawn(move || {
        use std::io::Write;
        let _ = (&sending).write_all(&pattern(10_000_000));
    });
    let mut peer = upstream.accept_request();
    peer.take(1_000);
    peer.send("HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 3\r\n\r\nno!");
    let response = client.response("POST");
    assert_eq!((response.status, response.text()), (413, "no!"));
    drop((client, peer));
    sender.join().expect("a thread");
}

#[test]
fn too_much_content_is_413() {
    let (upstream, rig, mut client) =
        start_with(|config| config.limits(ProxyLimits { content_bytes_max: 1_000, ..limits() }));
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1001\r\n\r\n");
    assert_eq!(client.response("POST").status, 413);
    drop(client);
    let mut client = rig.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    client.send(format!("400\r\n{}\r\n", "x".repeat(1_024)));
    assert_eq!(client.response("POST").status, 413);
    let mut peer = upstream.accept_request();
    assert!(!String::from_utf8_lossy(&peer.rest()).contains("0\r\n\r\n"), "it must not look complete");
}

#[test]
fn what_its_client_gave_up_is_given_up() {
    let (upstream, _rig, mut client) = start();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\npart");
    let mut peer = upstream.accept_request();
    assert_eq!(peer.take(4), b"part");
    drop(client);
    assert!(peer.is_ended(), "the end, and not content");
}

#[test]
fn hops_are_counted() {
    let (upstream, rig, mut client) = start();
    for (method, hops, status) in [("OPTIONS", "0", 204), ("TRACE", "0", 501), ("OPTIONS", "x", 400)] {
        client.send(format!("{method} / HTTP/1.1\r\nHost: a\r\nMax-Forwards: {hops}\r\n\r\n"));
        assert_eq!(client.response(method).status, status, "{method} {hops}");
        client = rig.client();
    }
    for (method, passed_on) in [("OPTIONS", "4"), ("TRACE", "4"), ("GET", "5")] {
        client.send(format!("{method} / HTTP/1.1\r\nHost: a\r\nMax-Forwards: 5\r\n\r\n"));
        let head = upstream.accept().serve("");
        assert!(head.contains(&format!("\r\nMax-Forwards: {passed_on}\r\n")), "{head}");
        assert_eq!(client.response(method).status, 200);
    }
}

#[test]
fn http_1_0_is_served_without_chunks() {
    let (upstream, _rig, mut client) = start();
    client.send("GET / HTTP/1.0\r\n\r\n");
    let mut peer = upstream.accept();
    let head = peer.head();
    assert!(head.starts_with(&format!("GET / HTTP/1.1\r\nHost: {}\r\n", upstream.name())), "{head}");
    assert!(head.contains("\r\nVia: 1.0 aurora\r\n"), "{head}");
    peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
    assert_eq!(client.response("GET").text(), "hello");
}

/// Whatever a request contains, exactly one request arrives at the upstream.
#[test]
fn nothing_is_smuggled() {
    let upstream = Upstream::new();
    let rig = Rig::new(upstream.config());
    let refused = [
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n z\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n",
        "GET http://b/ HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    ];
    for request in refused {
        let mut client = rig.client();
        client.send(request);
        assert_eq!(client.response("POST").status / 100, 4, "{request}");
    }
    assert!(upstream.is_left_alone());
    // A body that looks like a request stays a body, in whichever chunks it comes.
    let inner = "GET /admin HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut client = rig.client();
    client.send(format!(
        "POST / HTTP/1.1\r\nHost: a\r\ntransfer-encoding: chunked\r\n\r\n{:X};x=y\r\n{inner}\r\n0\r\nX-Trailer: 1\r\n\r\n",
        inner.len()
    ));
    let mut peer = upstream.accept_request();
    let framed = format!("{:x}\r\n{inner}\r\n0\r\n\r\n", inner.len());
    let mut received = String::new();
    while received.len() < framed.len() {
        received += &String::from_utf8(peer.take(1)).expect("text");
    }
    assert_eq!(received, framed);
    peer.answer("");
    assert_eq!(client.response("POST").status, 200);
}

#[test]
fn the_upstream_is_told_whom_a_connection_is_for() {
    for version in [ProxyProtocol::V1, ProxyProtocol::V2] {
        let upstream = Upstream::new();
        let rig = Rig::new(upstream.config().proxy_protocol(version));
        for _ in 0..2 {
            let mut client = rig.client();
            let port = client.stream().local_addr().expect("an address").port();
            client.send(GET);
            let mut peer = upstream.accept();
            match version {
                ProxyProtocol::V1 => {
                    assert_eq!(peer.through("\r\n"), format!("PROXY TCP4 127.0.0.1 0.0.0.0 {port} 0\r\n"));
                }
                ProxyProtocol::V2 => {
                    let [high, low] = port.to_be_bytes();
                    let header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x7f\0\0\x01\0\0\0\0";
                    assert_eq!(peer.take(28), [&header[..], &[high, low, 0, 0]].concat());
                }
            }
            assert!(peer.serve("hello").starts_with("GET / HTTP/1.1\r\n"));
            assert_eq!(client.response("GET").text(), "hello");
            assert!(peer.is_ended(), "it is of no use to another client");
        }
        assert_eq!(rig.proxy.counters().connected, 2);
    }
}

#[test]
fn a_slow_client_holds_its_upstream_up_and_nobody_else() {
    let (upstream, rig, mut slow) = start();
    slow.send(GET);
    let mut peer = upstream.accept_request();
    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n");
    slow.head();
    // Until the chain is full: the socket buffers, and one of ours.
    peer.stream.set_nonblocking(true).expect("a connection");
    let piece = pattern(65_536);
    let (mut sent, mut refused) = (0_usize, 0);
    while refused < 1_000 {
        use std::io::Write;
        match peer.stream.write(&piece) {
            Ok(count) => (sent, refused) = (sent + count, 0),
            Err(_) => {
                refused += 1;
                thread::yield_now();
            }
        }
        assert!(sent < 100_000_000, "it is collected somewhere");
    }
    let mut other = rig.client();
    other.send(GET);
    upstream.accept().serve("hello");
    assert_eq!(other.response("GET").text(), "hello");
    drop((slow, other));
    peer.stream.set_nonblocking(false).expect("a connection");
    eventually(|| rig.proxy.counters().in_flight == 0, "the chain has ended");
}

#[test]
fn wrong_configurations_are_errors() {
    use aurora_http::Server;
    use aurora_http_proxy::{ConfigError, Proxy, UPSTREAMS_MAX};

    assert!(matches!(Config::new([""; 0]), Err(ConfigError::Count(0))));
    assert!(matches!(Config::new(vec!["127.0.0.1:1"; UPSTREAMS_MAX + 1]), Err(ConfigError::Count(65))));
    let config = Config::new([dead()]).expect("an upstream");
    assert!(matches!(config.clone().via("a b"), Err(ConfigError::Via(_))));
    assert!(matches!(config.clone().upgrades(["a\r\nb"]), Err(ConfigError::Upgrade(_))));
    assert!(matches!(config.clone().tunnels(["nonsense"]), Err(ConfigError::Upstream { .. })));
    // Nobody could ask for it.
    assert!(matches!(config.clone().tunnels(["unix:/run/program"]), Err(ConfigError::Upstream { .. })));
    assert!(config.clone().tunnels(vec!["127.0.0.1:1"; UPSTREAMS_MAX]).is_ok());
    let error = config.clone().tunnels(vec!["127.0.0.1:1"; UPSTREAMS_MAX + 1]).expect_err("too many");
    assert!(matches!(error, ConfigError::Tunnels(65)), "{error}");
    let server = Server::bind("127.0.0.1:0").expect("an address");
    for wrong in [
        ProxyLimits { in_flight_max: 0, ..limits() },
        ProxyLimits { kept_max: usize::MAX, ..limits() },
        ProxyLimits { head_bytes_max: 0, ..limits() },
        ProxyLimits { connect_timeout_ms: 0, ..limits() },
    ] {
        let error = Proxy::new(config.clone().limits(wrong), server.resumer()).expect_err("it is wrong");
        assert!(matches!(error, ConfigError::Limit(_)), "{error}");
    }
}

/// Not more than the head of what the client sent is needed to begin.
#[test]
fn requests_on_one_connection_follow_each_other() {
    let (upstream, rig, mut client) = start();
    client.send(format!("{GET}{GET}{GET}"));
    let mut peer = upstream.accept();
    for text in ["one", "two", "three"] {
        peer.serve(text);
        assert_eq!(client.response("GET").text(), text);
    }
    assert_eq!((rig.proxy.counters().connected, rig.proxy.counters().reused), (1, 2));
}
