//! More clients than a server can serve, over real sockets: which get a slot, what faults cost, and that no worker spins.
//! `tests/engine` checks the same rules in virtual time, without a real system.
#![cfg(has_backend)]

#[path = "support/http.rs"]
mod http;
#[path = "overload/watched.rs"]
mod watched;

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use aurora_http::{Class, ClassCounts, CloseReason, Counters, Limits, Overload, Timeouts, WorkerOutcome};
use http::{Client, DEADLINE, eventually};
use rustix::net::sockopt;
#[cfg(target_os = "linux")]
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use watched::{GET, Paths, Watched, alone, local};

/// Measures how long a call takes.
fn time<T>(what: impl FnOnce() -> T) -> (T, Duration) {
    let began = Instant::now();
    (what(), began.elapsed())
}

fn reset(client: Client) {
    let stream = client.into_stream();
    sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
}

#[test]
fn a_healthy_client_is_served_among_partial_heads_on_every_slot() {
    let _alone = alone();
    let server = Watched::start(local(16));
    let mut slow: Vec<_> = (0..16).map(|_| Client::connect(server.address)).collect();
    slow.iter_mut().for_each(|client| client.send("GET /"));
    server.until(|counters| counters.bytes_received == 16 * 5, "all have begun");
    let done = Arc::new(AtomicBool::new(false));
    let dripping = {
        let done = Arc::clone(&done);
        thread::spawn(move || {
            // One byte each every tenth of a second: progress, but no head.
            while !done.load(Ordering::Relaxed) {
                for client in &mut slow {
                    let _ = client.try_send("x");
                }
                thread::sleep(Duration::from_millis(100));
            }
        })
    };
    let (response, took) = time(|| Client::connect(server.address).get("/"));
    assert_eq!(response.text(), "ok");
    assert!(took < Duration::from_secs(1), "{took:?}");
    done.store(true, Ordering::Relaxed);
    dripping.join().unwrap();
    let ended = server.finish();
    assert_eq!(ended.counters.closed.of(CloseReason::Evicted), 1, "the others are left alone");
}

#[test]
fn a_newcomer_is_served_among_busy_connections_on_every_slot() {
    let _alone = alone();
    let limits = Limits { requests_per_connection_max: None, ..Limits::default() };
    let server = Watched::start(local(8).limits(limits));
    let address = server.address;
    let done = Arc::new(AtomicBool::new(false));
    let busy: Vec<_> = (0..8)
        .map(|_| {
            let done = Arc::clone(&done);
            thread::spawn(move || {
                let mut client = Client::connect(address);
                while !done.load(Ordering::Relaxed) {
                    // A client that is told to close does so; between two requests it may be closed without notice. It
                    // reconnects.
                    let response = client.try_get("/");
                    if response.is_none_or(|response| response.field("Connection") == Some("close")) {
                        client = Client::connect(address);
                    }
                }
            })
        })
        .collect();
    server.until(|counters| counters.active == 8 && counters.requests > 100, "all slots are busy");
    for _ in 0..5 {
        let (response, took) = time(|| Client::connect(address).get("/"));
        assert_eq!(response.text(), "ok");
        assert!(took < Duration::from_secs(1), "{took:?}");
    }
    done.store(true, Ordering::Relaxed);
    busy.into_iter().for_each(|client| client.join().unwrap());
    server.finish();
}

#[test]
fn idle_connections_make_room_at_once_the_longest_idle_one_first() {
    let _alone = alone();
    let server = Watched::start(local(4));
    let mut idle: Vec<_> = (0..4).map(|_| Client::connect(server.address)).collect();
    idle.iter_mut().for_each(|client| assert_eq!(client.get("/").status, 200));
    for evicted in 0..2 {
        let mut newcomer = Client::connect(server.address);
        let (response, took) = time(|| newcomer.get("/"));
        assert_eq!(response.text(), "ok");
        assert!(took < Duration::from_millis(500), "{took:?}");
        assert!(idle[evicted].is_ended());
        drop(newcomer);
        server.until(|counters| counters.active == 3, "it has left");
        idle.push(Client::connect(server.address));
        assert_eq!(idle.last_mut().unwrap().get("/").status, 200);
    }
    assert_eq!(server.finish().counters.closed.of(CloseReason::Evicted), 2);
}

#[test]
fn refused_newcomers_are_told_when_to_retry_and_others_are_unaffected() {
    let _alone = alone();
    let limits = Limits { overload: Overload::Refuse, ..Limits::default() };
    let server = Watched::start(local(3).limits(limits));
    let mut busy: Vec<_> = (0..2).map(|_| Client::connect(server.address)).collect();
    busy.iter_mut().for_each(|client| client.send("GET / HTTP/1.1\r\n"));
    server.until(|counters| counters.bytes_received == 32, "both are in a head");
    for _ in 0..20 {
        let mut refused = Client::connect(server.address);
        let response = refused.response("GET");
        assert_eq!((response.status, response.field("Connection")), (503, Some("close")));
        assert!(response.field("Retry-After").is_some_and(|value| value.parse::<u32>().is_ok()));
    }
    for client in &mut busy {
        client.send("Host: a\r\n\r\n");
        assert_eq!(client.response("GET").field("Connection"), None);
    }
    let counters = server.finish().counters;
    assert_eq!((counters.closed.of(CloseReason::Shed), counters.closed.of(CloseReason::Evicted)), (20, 0));
}

#[test]
fn bursts_of_disconnects_leak_nothing_and_cost_nothing_afterwards() {
    let _alone = alone();
    let server = Watched::start(local(64));
    let sockets = open_sockets();
    let big = "GET /big HTTP/1.1\r\nHost: a\r\n\r\n";
    let content = "POST /sink HTTP/1.1\r\nHost: a\r\nContent-Length: 10000\r\n\r\nabc";
    type End = fn(Client);
    let ends: [(&str, End); 3] = [
        ("reset", reset),
        ("close", drop),
        ("finish", |client| {
            client.finish();
            drop(client);
        }),
    ];
    let (mut accepted, mut requests) = (0, 0);
    for said in ["", "G", "GET / HTTP/1.1\r\nHost", content, GET, big] {
        for (how, end) in ends {
            // Fewer than there are buffers for answers.
            let clients: Vec<_> = (0..12)
                .map(|_| {
                    let mut client = Client::connect(server.address);
                    client.send(said);
                    client
                })
                .collect();
            accepted += 12;
            if said == big {
                // Much more than the socket buffers hold: output is pending.
                server.until(|counters| counters.requests == requests + 12, "all are asked for");
            }
            clients.into_iter().for_each(end);
            let gone = |counters: &Counters| counters.accepted == accepted && counters.active == 0;
            server.until(gone, &format!("{said:?} {how}"));
            requests = server.counters().requests;
        }
    }
    assert_eq!(open_sockets(), sockets, "every descriptor is given back");
    assert_eq!(server.turns_while_idle(), 0);
    let ended = server.finish();
    assert_eq!(ended.counters.accepted, 6 * 3 * 12);
    assert_eq!(ended.counters.closed.total(), ended.counters.accepted);
}

/// The sockets of this process, where they can be counted. (Pipes and files of its threads come and go.)
fn open_sockets() -> usize {
    if cfg!(not(target_os = "linux")) {
        return 0;
    }
    let links = fs::read_dir("/proc/self/fd").unwrap().flatten();
    links.filter(|link| fs::read_link(link.path()).is_ok_and(|to| to.to_string_lossy().starts_with("socket:"))).count()
}

#[test]
fn waiting_costs_no_turn_whatever_is_waited_for() {
    let _alone = alone();
    let server = Watched::start(local(4));
    let mut clients: Vec<_> = (0..4).map(|_| Client::connect(server.address)).collect();
    for (client, said) in clients.iter_mut().zip([
        "GET / HTTP/1.1\r\n",
        "POST /sink HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc",
        "POST /sink HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
        "GET /big HTTP/1.1\r\nHost: a\r\n\r\n",
    ]) {
        client.send(said);
    }
    server.until(|counters| counters.requests == 3, "all are under way");
    assert_eq!(server.turns_while_idle(), 0);
    drop(clients.remove(0));
    clients.push(Client::connect(server.address));
    clients[3].send("POST /sink HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc");
    server.until(|counters| counters.requests == 4, "the one without a whole head has gone");
    // No connection can be ended for them, and more wait behind the one in the lobby.
    let newcomers: Vec<_> = (0..5).map(|_| Client::connect(server.address)).collect();
    server.until(|counters| counters.accepted == 6, "one is in the lobby");
    assert_eq!(server.turns_while_idle(), 0);
    drop((clients, newcomers));
    server.finish();
}

/// A limit of open files, which is lifted on drop.
#[cfg(target_os = "linux")]
struct FileLimit(Rlimit);

#[cfg(target_os = "linux")]
impl FileLimit {
    /// Allows so many more to be opened.
    fn spare(count: u64) -> Self {
        let before = getrlimit(Resource::Nofile);
        let numbers = fs::read_dir("/proc/self/fd").unwrap().flatten();
        // The directory itself is open while it is read, and free afterwards.
        let open: std::collections::BTreeSet<u64> =
            numbers.map(|fd| fd.file_name().to_string_lossy().parse().unwrap()).collect();
        let free = (0..).filter(|number| !open.contains(number));
        let current = free.take(count as usize).last();
        setrlimit(Resource::Nofile, Rlimit { current, ..before }).unwrap();
        Self(before)
    }
}

#[cfg(target_os = "linux")]
impl Drop for FileLimit {
    fn drop(&mut self) {
        setrlimit(Resource::Nofile, self.0).unwrap();
    }
}

/// Not for macOS, where a connection is lost when no descriptor is left for it.
#[cfg(target_os = "linux")]
#[test]
fn too_many_open_files_pause_accepting_without_a_spin() {
    let _alone = alone();
    let (release, held) = mpsc::channel();
    let server = Watched::start_held(local(64), held);
    let mut clients: Vec<_> = (0..40).map(|_| Client::connect(server.address)).collect();
    clients.iter_mut().for_each(|client| client.send(GET));
    let limit = FileLimit::spare(5);
    release.send(()).unwrap();
    server.until(|counters| counters.accept_errors > 0, "the limit is reached");
    let (before, accepted) = (server.turns(), server.counters().accepted);
    assert!((5..40).contains(&accepted), "{accepted} are accepted");
    let ((), took) = time(|| thread::sleep(Duration::from_millis(500)));
    let (turns, tries) = (server.turns() - before, took.as_millis() as u64 / 100);
    // Each is a turn that fails and a turn that ends the pause.
    assert!((2..=2 * tries + 4).contains(&turns), "{turns} turns in {took:?}");
    assert_eq!(server.counters().accepted, accepted);
    // Accepted connections are served in the meantime; one that closes makes room at once.
    let mut served = 0;
    for client in &mut clients[..accepted as usize] {
        assert_eq!(client.response("GET").text(), "ok");
        served += 1;
    }
    drop(clients.remove(0));
    server.until(|counters| counters.accepted > accepted, "somebody gets the place");
    drop(limit);
    for client in &mut clients[served - 1..] {
        assert_eq!(client.response("GET").text(), "ok");
    }
    let ended = server.finish();
    assert_eq!((ended.counters.accepted, ended.counters.requests), (40, 40));
}

#[test]
fn connections_that_hold_every_receive_buffer_and_need_answers_do_not_deadlock() {
    let _alone = alone();
    // One class both for receiving and for answers: four buffers for sixteen connections.
    let limits =
        Limits { head_bytes_max: 1024, target_bytes_max: 256, content_collected_max: 1024, ..Limits::default() };
    let limits = Limits { response_bytes_max: 1024, ..limits };
    let server = Watched::start(local(16).limits(limits).buffers(ClassCounts::NONE.with(Class::Tiny, 4)));
    let mut clients: Vec<_> = (0..16).map(|_| Client::connect(server.address)).collect();
    for round in 0..3 {
        clients.iter_mut().for_each(|client| client.send(&GET[..10]));
        server.until(|counters| counters.starved > round, "buffers are short");
        clients.iter_mut().for_each(|client| client.send(&GET[10..]));
        for client in &mut clients {
            assert_eq!(client.response("GET").text(), "ok");
        }
    }
    assert_eq!(server.turns_while_idle(), 0);
    let ended = server.finish();
    assert_eq!((ended.counters.requests, ended.counters.closed.of(CloseReason::Shed)), (48, 0));
}

#[test]
fn partial_heads_that_hold_every_buffer_lose_one() {
    let _alone = alone();
    let server = Watched::start(local(16).buffers(ClassCounts::new([4, 2, 1, 1, 1])));
    let mut slow: Vec<_> = (0..2).map(|_| Client::connect(server.address)).collect();
    slow.iter_mut().for_each(|client| client.send(&GET[..10]));
    server.until(|counters| counters.bytes_received == 20, "both hold one");
    let (response, took) = time(|| Client::connect(server.address).get("/"));
    assert_eq!(response.text(), "ok");
    assert!(took < Duration::from_secs(3), "{took:?}");
    assert_eq!(server.finish().counters.closed.of(CloseReason::Shed), 1);
}

#[test]
fn a_panic_in_a_handler_ends_the_connections_of_its_worker_and_no_others() {
    let _alone = alone();
    let running = local(64).workers(2).restarts_per_minute(0).start(|_worker| Paths).unwrap();
    let mut clients: Vec<_> = (0..40).map(|_| Client::connect(running.local_addr())).collect();
    clients.iter_mut().for_each(|client| assert_eq!(client.get("/").status, 200));
    let of = |worker| running.worker_counters(worker).unwrap().active;
    eventually(|| of(0) + of(1) == 40, "all are counted");
    let shares = [of(0), of(1)];
    // A listener that both share guarantees no share to either.
    assert!(cfg!(not(has_epoll)) || shares.iter().all(|share| *share > 0), "{shares:?}");
    let mut fatal = Client::connect(running.local_addr());
    fatal.send("GET /panic HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(fatal.is_ended());
    eventually(|| running.workers_alive() == 1, "one worker is left");
    let alive = clients.iter_mut().filter_map(|client| client.try_get("/")).count() as u64;
    assert!(shares.contains(&alive), "{alive} of {shares:?}");
    running.stop();
    let report = running.join().unwrap();
    let panicked = |outcome: &WorkerOutcome| matches!(outcome, WorkerOutcome::Panicked(said) if said == "told to");
    assert_eq!(report.workers.iter().filter(|worker| panicked(&worker.outcome)).count(), 1);
    assert_eq!((report.failed_workers(), report.stop.unwrap().idle_closed), (1, alive));
}

#[test]
fn a_firehose_does_not_starve_another_client() {
    let _alone = alone();
    let limits = Limits { requests_per_connection_max: None, ..Limits::default() };
    let server = Watched::start(local(16).limits(limits));
    let done = Arc::new(AtomicBool::new(false));
    let hoses: Vec<_> = (0..3)
        .map(|_| {
            let (mut client, done) = (Client::connect(server.address), Arc::clone(&done));
            thread::spawn(move || {
                client.send("POST /sink HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
                let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
                while !done.load(Ordering::Relaxed) {
                    client.send(&chunk);
                }
                client.send("0\r\n\r\n");
                client.response("POST").text().parse::<u64>().unwrap()
            })
        })
        .collect();
    server.until(|counters| counters.bytes_received > 10 << 20, "they are open");
    let mut client = Client::connect(server.address);
    let (_, took) = time(|| {
        for _ in 0..100 {
            assert_eq!(client.get("/").text(), "ok");
        }
    });
    // Up to one receive of 64 KiB before each of them, not megabytes.
    assert!(took < Duration::from_secs(2), "100 requests took {took:?}");
    done.store(true, Ordering::Relaxed);
    let poured: u64 = hoses.into_iter().map(|hose| hose.join().unwrap()).sum();
    assert!(poured > 10 << 20);
    server.finish();
}

#[test]
fn connections_that_died_before_the_accept_do_not_delay_others() {
    let _alone = alone();
    let (release, held) = mpsc::channel();
    let server = Watched::start_held(local(64), held);
    for _ in 0..30 {
        reset(Client::connect(server.address));
    }
    let mut client = Client::connect(server.address);
    release.send(()).unwrap();
    assert_eq!(client.get("/").text(), "ok");
    drop(client);
    server.until(|counters| counters.active == 0, "all have left");
    assert_eq!(server.turns_while_idle(), 0);
    // Linux and macOS accept them all the same.
    let counters = server.finish().counters;
    assert_eq!(counters.accepted + counters.accept_errors, 31);
    assert!(counters.accept_errors == 0 || cfg!(not(target_os = "linux")));
}

#[test]
fn a_stop_under_load_cuts_no_response_and_reports_what_it_did() {
    let _alone = alone();
    let running = local(512).workers(2).start(|_worker| Paths).unwrap();
    let address = running.local_addr();
    let (tell, told) = mpsc::channel();
    let threads: Vec<_> = (0..16)
        .map(|_| {
            let (tell, clients) = (tell.clone(), (0..16).map(|_| Client::connect(address)).collect());
            thread::spawn(move || load(clients, &tell))
        })
        .collect();
    let mut under_way: Vec<_> = (0..8).map(|_| Client::connect(address)).collect();
    let request = "POST /sink HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 10\r\n\r\n";
    for client in &mut under_way {
        client.send(request);
        assert!(client.head().starts_with("HTTP/1.1 100 "));
    }
    for _ in 0..500 {
        told.recv_timeout(DEADLINE).unwrap();
    }
    let began = Instant::now();
    running.stop();
    eventually(|| std::net::TcpStream::connect(address).is_err(), "every worker knows");
    for client in &mut under_way {
        client.send("0123456789");
        let response = client.response("POST");
        assert_eq!((response.text(), response.field("Connection")), ("10", Some("close")));
    }
    drop(under_way);
    let report = running.join().unwrap();
    let took = began.elapsed();
    let complete: u64 = threads.into_iter().map(|thread| thread.join().expect("no response is cut")).sum();
    let stop = report.stop.unwrap();
    assert!(stop.took <= took && took < Duration::from_secs(5), "{stop:?} {took:?}");
    assert_eq!((stop.aborted, report.failed_workers()), (0, 0), "{report}");
    let open = 8 + 256..=report.counters.accepted;
    assert!(open.contains(&(stop.finished + stop.idle_closed)), "{report}");
    assert!(stop.finished >= 8, "{report}");
    assert_eq!(report.counters.requests, 8 + complete, "each answer has arrived: {report}");
    assert_eq!(report.counters.closed.total(), report.counters.accepted);
}

/// Keeps the connections busy until they are ended; the number of complete responses.
fn load(mut clients: Vec<Client>, tell: &mpsc::Sender<()>) -> u64 {
    let mut complete = 0;
    while !clients.is_empty() {
        clients.retain_mut(|client| client.try_send("GET /body HTTP/1.1\r\nHost: a\r\n\r\n"));
        // A response that is cut off ends the thread with a panic.
        clients.retain_mut(|client| {
            let Some(response) = client.try_response() else { return false };
            assert_eq!((response.status, response.body.len()), (200, watched::BODY.len()));
            complete += 1;
            let _ = tell.send(());
            true
        });
    }
    complete
}

#[test]
fn unfinished_exchanges_are_aborted_at_the_deadline_and_reported() {
    let _alone = alone();
    let timeouts = Timeouts { stop_timeout_ms: Some(300), ..Timeouts::default() };
    let running = local(64).limits(Limits { timeouts, ..Limits::default() }).start(|_worker| Paths).unwrap();
    let mut stuck: Vec<_> = (0..3).map(|_| Client::connect(running.local_addr())).collect();
    stuck[0].send("GET / HTTP/1.1\r\n");
    stuck[1].send("POST /sink HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc");
    stuck[2].send("GET /big HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let mut idle: Vec<_> = (0..4).map(|_| Client::connect(running.local_addr())).collect();
    idle.iter_mut().for_each(|client| assert_eq!(client.get("/").status, 200));
    eventually(|| running.counters().requests == 6, "all are under way");
    running.stop();
    idle.iter_mut().for_each(|client| assert!(client.is_ended()));
    let report = running.join().unwrap();
    let stop = report.stop.unwrap();
    assert_eq!((stop.finished, stop.idle_closed, stop.aborted), (0, 4, 3), "{report}");
    // The server's clock counts whole milliseconds, so 300 of them may be up to one less on a finer clock.
    assert!((299..1_500).contains(&stop.took.as_millis()), "{report}");
    assert!(report.to_string().contains(" finished=0 idle=4 aborted=3 closed: stopped=4 aborted=3"), "{report}");
}
