//! Where a server listens, over real sockets: several addresses, Unix-domain sockets, sockets opened by others.
#![cfg(has_backend)]

#[path = "support/backends.rs"]
mod backends;
#[path = "support/http.rs"]
mod http;

use std::env;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use aurora_http::core::reactor::Peer;
use aurora_http::{
    Backend, Counters, ListenAddr, Request, ResponseWriter, Running, Server, ServerError, StopFlag, StopHandle, Worker,
    WorkerContext, WriteError, handler_fn,
};
use http::{Client, DEADLINE, eventually};
use rustix::net::sockopt;

/// A path for a socket; any file there is removed on drop.
struct Place(PathBuf);

impl Place {
    fn new() -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let place = Self(env::temp_dir().join(format!("aurora-{}-{number}.sock", std::process::id())));
        let _ = fs::remove_file(&place.0);
        place
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn who(request: &Request<'_>, response: &mut ResponseWriter<'_>) -> Result<(), WriteError> {
    match request.peer() {
        Some(Peer::Ip(address)) => response.body(format!("ip {}", address.ip())),
        Some(Peer::Unix) => response.body("unix"),
        _ => response.body("nobody"),
    }
}

fn start(server: Server, workers: usize) -> Running {
    server.workers(workers).connections(64).start(|_worker| handler_fn(who)).unwrap()
}

fn error_of(server: Server) -> ServerError {
    server.workers(2).connections(64).start(|_worker| handler_fn(who)).unwrap_err()
}

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

/// The body of an answer over a Unix-domain socket.
fn get_unix(path: &Path) -> String {
    let mut stream = UnixStream::connect(path).expect("a listener");
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.write_all(GET).unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    response.split_once("\r\n\r\n").expect("a head").1.to_owned()
}

fn get(address: SocketAddr) -> String {
    Client::connect(address).get("/").text().to_owned()
}

#[test]
fn one_server_listens_in_several_places() {
    let place = Place::new();
    let server = Server::bind("127.0.0.1:0").unwrap().listen("127.0.0.1:0").unwrap().listen_unix(&place.0);
    let running = start(server, 2);
    let [ListenAddr::Ip(first), ListenAddr::Ip(second), ListenAddr::Unix(path)] = running.listeners() else {
        panic!("{:?}", running.listeners());
    };
    assert_eq!((running.local_addr(), path), (*first, &place.0));
    let backend = running.announcement().backend;
    let line = format!("listening on {first},{second},unix:{} backend={backend} workers=2 ", path.display());
    assert!(running.announcement().to_string().starts_with(&line), "{}", running.announcement());
    // Often enough that either worker gets a connection on each.
    for _ in 0..16 {
        assert_eq!(get(*first), "ip 127.0.0.1");
        assert_eq!(get(*second), "ip 127.0.0.1");
        assert_eq!(get_unix(path), "unix");
    }
    let both = |running: &Running| (0..2).all(|worker| running.worker_counters(worker).unwrap().requests > 0);
    eventually(
        || {
            get(*first);
            both(&running)
        },
        "both workers serve",
    );
    running.stop();
    assert_eq!(running.join().unwrap().failed_workers(), 0);
    let error = error_of(Server::new()).to_string();
    assert_eq!(error, "listeners = 0: nobody could connect; use at least 1");
}

/// A server on `backend` with as many listeners on loopback.
fn start_on(backend: Backend, listeners: usize, connections: usize) -> (Running, Vec<SocketAddr>) {
    let server = (0..listeners).fold(Server::new(), |server, _| server.listen("127.0.0.1:0").unwrap());
    let server = server.backend(backend).workers(1).connections(connections);
    let running = server.start(|_worker| handler_fn(who)).unwrap();
    let addresses = running.listeners().iter().filter_map(ListenAddr::ip).collect();
    (running, addresses)
}

#[test]
fn every_listener_is_accepted_from_however_many_there_are() {
    for backend in backends::backends() {
        // With few connections, too: not even two accepts for each listener can be in flight ahead of time.
        for (listeners, connections) in [(1, 1), (2, 4), (9, 64), (9, 4), (40, 64), (150, 2)] {
            let (running, addresses) = start_on(backend, listeners, connections);
            assert_eq!(addresses.len(), listeners);
            let named = running.announcement().to_string();
            assert!(addresses.iter().all(|address| named.contains(&address.to_string())), "{named}");
            // The last one first: nothing that arrives elsewhere may be what makes it work.
            for address in addresses.iter().rev().chain(&addresses) {
                assert_eq!(get(*address), "ip 127.0.0.1", "{backend}: {listeners} listeners");
            }
            assert_eq!(running.counters().accept_errors, 0, "{backend}: {listeners} listeners");
            running.stop();
            assert_eq!(running.join().unwrap().failed_workers(), 0);
        }
    }
}

#[test]
fn all_connections_can_come_from_one_listener() {
    const CONNECTIONS: usize = 24;
    for backend in backends::backends() {
        let (running, addresses) = start_on(backend, 3, CONNECTIONS);
        for address in addresses {
            // Together, so that no slot is left for those that other listeners have asked for ahead of time.
            let mut clients: Vec<_> = (0..CONNECTIONS).map(|_| Client::connect(address)).collect();
            for client in &mut clients {
                assert_eq!(client.get("/").text(), "ip 127.0.0.1", "{backend}");
            }
            drop(clients);
            eventually(|| running.counters().active == 0, "all of them have left");
        }
        assert_eq!(running.counters().accept_errors, 0, "{backend}");
        running.stop();
        assert_eq!(running.join().unwrap().failed_workers(), 0);
    }
}

#[test]
fn if_one_address_is_taken_none_is_bound() {
    let (taken, place) = (TcpListener::bind("127.0.0.1:0").unwrap(), Place::new());
    let taken = taken.local_addr().map(|address| (address, taken)).unwrap();
    let error = error_of(Server::bind_unix(&place.0).listen(taken.0).unwrap());
    assert!(matches!(error, ServerError::PortInUse(address) if address == taken.0), "{error}");
    assert!(!place.0.exists(), "the socket that was made first is gone again");
}

#[test]
fn a_unix_socket_exists_while_it_is_served_and_is_removed_afterwards() {
    let place = Place::new();
    for workers in [1, 3] {
        let running = start(Server::bind_unix(&place.0), workers);
        assert_eq!(running.local_addr(), "0.0.0.0:0".parse().unwrap(), "there is no IP address");
        for _ in 0..8 {
            assert_eq!(get_unix(&place.0), "unix");
        }
        // An unfinished exchange delays the stop, and the path is free already.
        let mut busy = UnixStream::connect(&place.0).unwrap();
        busy.write_all(b"GET / HTTP/1.1\r\n").unwrap();
        let arrived = (8 * GET.len() + 16) as u64;
        let alone = |counters: Counters| counters.bytes_received == arrived && counters.active == 1;
        eventually(|| alone(running.counters()), "its bytes have arrived, and the answered client has disconnected");
        running.stop();
        assert!(!place.0.exists());
        busy.write_all(b"Host: a\r\n\r\n").unwrap();
        let mut response = String::new();
        busy.read_to_string(&mut response).unwrap();
        assert!(response.starts_with("HTTP/1.1 200 ") && response.ends_with("unix"), "{response}");
        drop(busy);
        // Idle, if its worker noticed the stop only after the request.
        assert_eq!(
            running.join().unwrap().stop.map(|stop| (stop.finished + stop.idle_closed, stop.aborted)),
            Some((1, 0))
        );
    }
}

#[test]
fn the_socket_of_a_killed_server_is_replaced_and_nothing_else() {
    let place = Place::new();
    drop(UnixListener::bind(&place.0).unwrap());
    assert!(place.0.exists());
    let running = start(Server::bind_unix(&place.0), 2);
    assert_eq!(get_unix(&place.0), "unix");

    let error = error_of(Server::bind_unix(&place.0));
    assert!(matches!(&error, ServerError::SocketInUse(path) if *path == place.0), "{error}");
    let words = format!("cannot listen on unix:{}: another program is listening there; stop", place.0.display());
    assert!(error.to_string().starts_with(&words), "{error}");
    assert_eq!(get_unix(&place.0), "unix", "the other server's socket still serves");

    // Another server's socket at the same path is not removed.
    fs::remove_file(&place.0).unwrap();
    let other = UnixListener::bind(&place.0).unwrap();
    running.stop();
    assert_eq!(running.join().unwrap().failed_workers(), 0);
    assert!(place.0.exists());
    drop(other);

    let file = Place::new();
    fs::write(&file.0, "precious").unwrap();
    let error = error_of(Server::bind_unix(&file.0)).to_string();
    assert!(error.contains("the path is taken by something other than a socket"), "{error}");
    assert_eq!(fs::read_to_string(&file.0).unwrap(), "precious");
    let nowhere = file.0.join("a");
    let error = error_of(Server::bind_unix(&nowhere));
    assert!(matches!(&error, ServerError::SocketFile { path, .. } if *path == nowhere), "{error}");
    let long = Path::new("/tmp").join("a".repeat(200));
    assert!(matches!(error_of(Server::bind_unix(long)), ServerError::SocketFile { .. }));
}

#[test]
fn workers_share_a_listener_that_the_program_opened() {
    let place = Place::new();
    let (tcp, unix) = (TcpListener::bind("127.0.0.1:0").unwrap(), UnixListener::bind(&place.0).unwrap());
    let address = tcp.local_addr().unwrap();
    let kept = tcp.try_clone().unwrap();
    let running = start(Server::new().with_listener(tcp).with_listener(unix), 3);
    assert_eq!(running.listeners(), [ListenAddr::Ip(address), ListenAddr::Unix(place.0.clone())]);
    for _ in 0..16 {
        assert_eq!((get(address), get_unix(&place.0)), ("ip 127.0.0.1".into(), "unix".into()));
    }
    assert!(sockopt::tcp_nodelay(&kept).unwrap());
    running.stop();
    assert_eq!(running.join().unwrap().counters.requests, 32);
    // The program still owns it: a client that connects now waits for the next server.
    let mut waiting = Client::connect(address);
    waiting.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let running = start(Server::new().with_listener(kept), 2);
    assert_eq!(waiting.response("GET").text(), "ip 127.0.0.1");
    assert!(place.0.exists(), "not ours to remove");
    drop(running);
}

/// While a stop waits for an exchange.
#[test]
fn clients_during_a_stop_are_refused_at_once_whoever_opened_the_listener() {
    for backend in backends::backends() {
        let given = TcpListener::bind("127.0.0.1:0").unwrap();
        for server in [Server::bind("127.0.0.1:0").unwrap(), Server::new().with_listener(given)] {
            let running = start(server.backend(backend), 2);
            let mut busy = Client::connect(running.local_addr());
            busy.send("GET / HTTP/1.1\r\n");
            eventually(|| running.counters().bytes_received == 16, "it has arrived");
            running.stop();
            let refused = || match std::net::TcpStream::connect_timeout(&running.local_addr(), DEADLINE) {
                Err(error) => error.kind() == std::io::ErrorKind::ConnectionRefused,
                // It connected before the worker had closed the listener.
                Ok(_) => false,
            };
            eventually(refused, "the listener is closed");
            assert!(running.workers_alive() > 0, "{backend}: the stop is not over");
            busy.send("Host: a\r\n\r\n");
            assert_eq!(busy.response("GET").text(), "ip 127.0.0.1");
            drop(busy);
            let stop = running.join().unwrap().stop.unwrap();
            assert_eq!(stop.aborted, 0, "{backend}");
        }
    }
}

/// Two processes as far as the system can tell: the second one takes over while both listen.
#[test]
fn a_server_takes_over_the_address_of_another_one() {
    for (backend, workers) in backends::backends().into_iter().flat_map(|backend| [(backend, 1), (backend, 2)]) {
        let bind = |address| Server::bind(address).unwrap().backend(backend);
        let first = start(bind(SocketAddr::from(([127, 0, 0, 1], 0))).reuse_port(true), workers);
        let address = first.local_addr();
        assert!(matches!(error_of(bind(address)), ServerError::PortInUse(_)), "only for those that ask for it");
        let second = start(bind(address).reuse_port(true), workers);
        for _ in 0..20 {
            assert_eq!(get(address), "ip 127.0.0.1");
        }
        first.stop();
        assert_eq!(first.join().unwrap().stop.unwrap().aborted, 0);
        for _ in 0..20 {
            assert_eq!(get(address), "ip 127.0.0.1");
        }
        second.stop();
        second.join().unwrap();
    }
}

/// Starts a server on a port that is free in both address families. A port cannot be reserved, so another process may take it
/// in between; then another port is tried.
fn on_a_free_port(start_on: impl Fn(u16) -> Result<Running, ServerError>) -> (Running, u16) {
    for _ in 0..50 {
        let free = start(Server::bind("[::]:0").unwrap().only_v6(false), 1);
        let port = free.local_addr().port();
        drop(free);
        match start_on(port) {
            Err(ServerError::PortInUse(_)) => {}
            started => return (started.unwrap(), port),
        }
    }
    panic!("no port is free in both families");
}

#[test]
fn all_addresses_of_both_families_go_together_on_one_port() {
    for backend in backends::backends() {
        for workers in [1, 2] {
            for ips in [["0.0.0.0", "[::]"], ["[::]", "0.0.0.0"]] {
                let (running, port) = on_a_free_port(|port| {
                    let place = |ip| format!("{ip}:{port}");
                    let server = Server::bind(place(ips[0])).unwrap().listen(place(ips[1])).unwrap();
                    let server = server.backend(backend).workers(workers).connections(64);
                    server.start(|_worker| handler_fn(who))
                });
                for ip in ["127.0.0.1", "::1"] {
                    let address = SocketAddr::new(ip.parse().unwrap(), port);
                    assert_eq!(get(address), format!("ip {ip}"), "{backend}, {workers} workers on {ips:?}");
                }
                assert_eq!(running.listeners().len(), 2);
                running.stop();
                assert_eq!(running.join().unwrap().failed_workers(), 0);
            }
        }
    }
    // On its own the option is respected.
    let running = start(Server::bind("[::]:0").unwrap().only_v6(false), 2);
    let mapped = SocketAddr::new("127.0.0.1".parse().unwrap(), running.local_addr().port());
    assert_eq!(get(mapped), "ip ::ffff:127.0.0.1");
    let running = start(Server::bind("[::]:0").unwrap().only_v6(true), 2);
    let address = SocketAddr::new("127.0.0.1".parse().unwrap(), running.local_addr().port());
    assert!(std::net::TcpStream::connect_timeout(&address, DEADLINE).is_err());
}

/// A listener that accepts nothing and whose backlog is full. (On other systems a full backlog refuses connections.)
#[cfg(target_os = "linux")]
#[test]
fn the_socket_of_a_stuck_server_is_in_use() {
    let place = Place::new();
    let stuck = UnixListener::bind(&place.0).unwrap();
    rustix::net::listen(&stuck, 1).unwrap();
    let mut waiting = Vec::new();
    loop {
        let socket =
            rustix::net::socket(rustix::net::AddressFamily::UNIX, rustix::net::SocketType::STREAM, None).unwrap();
        rustix::io::ioctl_fionbio(&socket, true).unwrap();
        let address = rustix::net::SocketAddrUnix::new(&place.0).unwrap();
        match rustix::net::connect(&socket, &address) {
            Ok(()) => waiting.push(socket),
            Err(error) => break assert_eq!(error, rustix::io::Errno::AGAIN),
        }
    }
    let (tell, told) = std::sync::mpsc::channel();
    let server = Server::bind_unix(&place.0);
    std::thread::spawn(move || tell.send(error_of(server).to_string()));
    let error = told.recv_timeout(DEADLINE).expect("it does not wait for a place in the backlog");
    assert!(error.contains("another program is listening there; stop"), "{error}");
    assert!(place.0.exists());
}

#[test]
fn a_descriptor_that_cannot_accept_is_refused() {
    let bound = rustix::net::socket(rustix::net::AddressFamily::INET, rustix::net::SocketType::STREAM, None).unwrap();
    let mut rows: Vec<(OwnedFd, &str)> = vec![
        (UdpSocket::bind("127.0.0.1:0").unwrap().into(), "it is not a stream socket"),
        (UnixDatagram::unbound().unwrap().into(), "it is not a stream socket"),
        (fs::File::open("/dev/null").unwrap().into(), "it is not a socket"),
    ];
    // macOS does not report it.
    if cfg!(not(target_vendor = "apple")) {
        rows.push((bound, "it does not listen"));
    }
    for (descriptor, reason) in rows {
        let error = error_of(Server::new().with_listener(descriptor)).to_string();
        assert!(error.starts_with(&format!("cannot take over a listener: {reason}")), "{error}");
    }
}

#[test]
fn a_worker_on_its_own_listens_in_several_places_too() {
    let place = Place::new();
    {
        let server = Server::bind("127.0.0.1:0").unwrap().listen_unix(&place.0).connections(64);
        let mut storage = server.storage().unwrap();
        let mut worker = Worker::new(&mut storage, handler_fn(who)).unwrap();
        assert_eq!(worker.listeners(), [ListenAddr::Ip(worker.local_addr()), ListenAddr::Unix(place.0.clone())]);
        let stop = StopFlag::new();
        let (address, path) = (worker.local_addr(), place.0.clone());
        let clients = std::thread::spawn(move || (get(address), get_unix(&path)));
        while !clients.is_finished() {
            worker.poll(&stop).unwrap();
        }
        assert_eq!(clients.join().unwrap(), ("ip 127.0.0.1".into(), "unix".into()));
    }
    assert!(!place.0.exists());
}

/// In a child's environment: the role that the test plays there.
const ROLE: &str = "AURORA_TEST_ROLE";

/// Serves until it is told to stop.
fn serve_inherited() {
    fn stopper(stop: StopHandle) -> impl aurora_http::Handler {
        handler_fn(move |request, response| {
            if request.path() == b"/stop" {
                stop.stop();
            }
            who(request, response)
        })
    }
    let server = Server::inherit().unwrap().workers(2).connections(64);
    let again = Server::inherit().unwrap_err().to_string();
    assert!(again.starts_with("cannot take over a listener: LISTEN_FDS names no socket"), "{again}");
    server.serve(|worker: &WorkerContext| stopper(worker.stop_handle())).unwrap();
}

/// Runs this test in a child that inherits two listeners as descriptors 3 and 4, as from a service manager: the shell
/// moves them there and then executes the child, so it knows the child's process id.
fn child(role: &str, first: OwnedFd, second: OwnedFd, pid: &str) -> std::process::Child {
    let script = format!("exec 3<&0 4<&1 </dev/null 1>&2; LISTEN_FDS=2 LISTEN_PID={pid} exec \"$0\" \"$@\"");
    Command::new("sh")
        .args(["-c", &script])
        .arg(env::current_exe().unwrap())
        .args(["--exact", "inherited_listeners_are_served", "--nocapture"])
        .env(ROLE, role)
        .stdin(Stdio::from(first))
        .stdout(Stdio::from(second))
        .spawn()
        .unwrap()
}

#[test]
fn inherited_listeners_are_served() {
    match env::var(ROLE).as_deref() {
        Ok("serve") => return serve_inherited(),
        Ok("not mine") | Ok("no listener") => {
            let error = Server::inherit().unwrap_err().to_string();
            let (no_socket, no_listener) = ("LISTEN_FDS names no socket", "take over listener 1 of LISTEN_FDS: ");
            return assert!(error.contains(no_socket) || error.contains(no_listener), "{error}");
        }
        _ => {}
    }
    let place = Place::new();
    let (tcp, unix) = (TcpListener::bind("127.0.0.1:0").unwrap(), UnixListener::bind(&place.0).unwrap());
    let address = tcp.local_addr().unwrap();
    // The manager keeps its descriptors: no client is refused between two children.
    for _ in 0..2 {
        let mut early = Client::connect(address);
        early.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        let mut serving = child("serve", tcp.try_clone().unwrap().into(), unix.try_clone().unwrap().into(), "$$");
        assert_eq!(early.response("GET").text(), "ip 127.0.0.1");
        for _ in 0..4 {
            assert_eq!((get(address), get_unix(&place.0)), ("ip 127.0.0.1".into(), "unix".into()));
        }
        assert_eq!(Client::connect(address).get("/stop").status, 200);
        assert!(serving.wait().unwrap().success());
        assert!(place.0.exists(), "the manager's to remove");
    }
    let other = || UdpSocket::bind("127.0.0.1:0").unwrap().into();
    for (role, second, pid) in [("not mine", unix.try_clone().unwrap().into(), "1"), ("no listener", other(), "$$")] {
        let status = child(role, tcp.try_clone().unwrap().into(), second, pid).wait().unwrap();
        assert!(status.success(), "{role}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn pinned_workers_stay_on_their_cpus() {
    use rustix::thread::{CpuSet, sched_getaffinity};
    fn cpus() -> Vec<usize> {
        let set = sched_getaffinity(None).unwrap();
        (0..CpuSet::MAX_CPU).filter(|cpu| set.is_set(*cpu)).collect()
    }
    let allowed = cpus();
    let dealt = |number: usize| vec![allowed[number % allowed.len()]];
    let last = allowed[allowed.len() - 1];
    let local = || Server::bind("127.0.0.1:0").unwrap().connections(64).workers(3);
    for (server, expected) in [
        (local(), [allowed.clone(), allowed.clone(), allowed.clone()]),
        (local().pin(false), [allowed.clone(), allowed.clone(), allowed.clone()]),
        (local().pin(true), [dealt(0), dealt(1), dealt(2)]),
        (local().pin([last]), [vec![last], vec![last], vec![last]]),
    ] {
        let masks = std::sync::Arc::new(std::sync::Mutex::new([const { Vec::new() }; 3]));
        let seen = masks.clone();
        let running = server.start(move |worker| {
            seen.lock().unwrap()[worker.id()] = cpus();
            handler_fn(who)
        });
        drop(running.unwrap());
        assert_eq!(*masks.lock().unwrap(), expected);
    }
    assert_eq!(cpus(), allowed, "other threads are not pinned");
    let error = local().pin([1023]).start(|_worker| handler_fn(who)).unwrap_err().to_string();
    assert!(error.starts_with("pin = [1023]: the process may not use CPU 1023"), "{error}");
}
