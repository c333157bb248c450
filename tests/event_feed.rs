//! Server-sent events: a thousand listeners over sockets, those who come back, and silence in virtual time.
#![cfg(has_backend)]

#[path = "support/http.rs"]
mod http;

use aurora_http::core::sim::with_server;
use aurora_http::{EventFeed, Limits, Running, Server, handler_fn};
use http::{Client, eventually};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

fn serve(feed: &'static EventFeed, connections: usize) -> Running {
    let server = Server::bind("127.0.0.1:0").unwrap().workers(2).connections(connections);
    let start = server.start(move |worker| {
        let resumer = worker.resumer();
        handler_fn(move |request, response| feed.join(request, response, &resumer, 4))
    });
    start.unwrap()
}

fn listen(running: &Running, last: Option<u64>) -> Client {
    let mut client = Client::connect(running.local_addr());
    let last = last.map_or(String::new(), |last| format!("Last-Event-ID: {last}\r\n"));
    client.send(format!("GET /events HTTP/1.1\r\nHost: a\r\n{last}\r\n"));
    let head = client.head();
    assert!(head.starts_with("HTTP/1.1 200 ") && head.contains("\r\nContent-Type: text/event-stream\r\n"), "{head}");
    client
}

/// Reads chunks until they are as long as `text`, which they must be.
fn hear(client: &mut Client, text: &str) {
    let mut heard = String::new();
    while heard.len() < text.len() {
        let line = String::from_utf8(client.take(7)).unwrap();
        let size = usize::from_str_radix(line.trim(), 16).unwrap_or_else(|_| panic!("{line:?} is no chunk size"));
        heard += &String::from_utf8(client.take(size + 2)).unwrap()[..size];
    }
    assert_eq!(heard, text);
}

#[test]
fn a_thousand_listeners_hear_every_event() {
    static FEED: EventFeed = EventFeed::new(10);
    const LISTENERS: usize = 1_000;
    // Both ends of every connection are in this process.
    let limit = getrlimit(Resource::Nofile);
    let wanted = limit.maximum.map_or(4_096, |maximum| maximum.min(4_096));
    if wanted < 2_200 {
        return println!("SKIPPED: this system allows a process {wanted} open files, and 2200 are needed");
    }
    setrlimit(Resource::Nofile, Rlimit { current: Some(limit.current.unwrap_or(wanted).max(wanted)), ..limit })
        .unwrap();
    let running = serve(&FEED, LISTENERS);
    let mut listeners: Vec<_> = (0..LISTENERS).map(|_| listen(&running, None)).collect();
    assert_eq!(FEED.listeners(), LISTENERS);
    for number in 0..3 {
        let sent = FEED.send_as("kind", "two\nlines");
        assert_eq!(sent, number);
        for listener in &mut listeners {
            hear(listener, &format!("id: {number}\nevent: kind\ndata: two\ndata: lines\n\n"));
        }
    }
    drop(listeners);
    // A FIN may be half of one; who is gone answers the next event with a reset.
    let all_gone = || {
        FEED.send("is anybody there?");
        running.counters().active == 0
    };
    eventually(all_gone, "everybody has left");
    FEED.send("nobody hears it");
    assert_eq!(FEED.listeners(), 0);
}

#[test]
fn who_comes_back_gets_what_was_missed_as_far_as_it_is_kept() {
    for (last, missed) in [(Some(3), 4..6), (Some(0), 3..6), (Some(5), 6..6), (Some(99), 3..6), (None, 6..6)] {
        let feed: &'static EventFeed = Box::leak(Box::new(EventFeed::new(3)));
        let running = serve(feed, 8);
        for number in 0..6 {
            feed.send(&number.to_string());
        }
        let mut client = listen(&running, last);
        feed.send("6");
        let expected: String = missed.chain([6]).map(|number| format!("id: {number}\ndata: {number}\n\n")).collect();
        hear(&mut client, &expected);
    }
}

#[test]
fn who_does_not_read_is_cut_off_and_the_others_go_on() {
    static FEED: EventFeed = EventFeed::new(0);
    let running = serve(&FEED, 8);
    let deaf = listen(&running, None);
    rustix::net::sockopt::set_socket_recv_buffer_size(deaf.stream(), 4_096).unwrap();
    let mut reads = listen(&running, None);
    let text = "x".repeat(60_000);
    let mut number = 0;
    // Until the buffers of both systems and the four places are full.
    while FEED.listeners() > 1 {
        assert!(number < 2_000, "it is never cut off");
        assert_eq!(FEED.send(&text), number);
        hear(&mut reads, &format!("id: {number}\ndata: {text}\n\n"));
        number += 1;
    }
    FEED.send("the end");
    hear(&mut reads, &format!("id: {number}\ndata: the end\n\n"));
}

#[test]
fn silence_is_broken_by_comments_and_a_stop_ends_the_response() {
    let feed: &'static EventFeed = Box::leak(Box::new(EventFeed::new(1)));
    let resumer = Server::new().resumer();
    let handler = handler_fn(move |request, response| feed.join(request, response, &resumer, 4));
    with_server(handler, Limits::default(), |server| {
        let client = server.connect();
        server.send(client, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert!(server.receive(client).starts_with(b"HTTP/1.1 200 OK\r\n"));
        // Longer than any timeout of the engine's.
        for _ in 0..20 {
            server.pass_ms(15_001);
            assert_eq!(server.receive(client), b"00003\r\n:\n\n\r\n");
        }
        server.stop().drain();
        assert_eq!(server.receive(client), b"0\r\n\r\n");
    });
}

#[test]
fn head_gets_the_head_and_the_connection_goes_on() {
    let feed: &'static EventFeed = Box::leak(Box::new(EventFeed::new(1)));
    let resumer = Server::new().resumer();
    let handler = handler_fn(move |request, response| feed.join(request, response, &resumer, 4));
    with_server(handler, Limits::default(), |server| {
        let client = server.connect();
        for _ in 0..2 {
            server.send(client, b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
            let head = String::from_utf8(server.receive(client)).unwrap();
            assert!(head.contains("\r\nContent-Type: text/event-stream\r\n") && head.ends_with("\r\n\r\n"), "{head}");
        }
        feed.send("nobody listens");
        assert_eq!(feed.listeners(), 0);
    });
}
