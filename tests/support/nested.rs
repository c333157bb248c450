//! What a worker inside another event loop has to do, whichever loop it is. Each test provides its loop.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::RecvTimeoutError;
use std::sync::{Mutex, mpsc};
use std::time::{Duration, Instant};
use std::{process, thread};

use aurora_http::core::reactor::Wake;
use aurora_http::{Backend, Content, Flow, Handler, Request, ResponseWriter, Server, StopFlag, Worker, WorkerStorage};

const LONG: usize = 30_000_000;
const CLIENTS: usize = 900;
/// How long the program does something else.
const PAUSE: Duration = Duration::from_millis(300);
const PATIENCE: Duration = Duration::from_secs(20);

/// Answers `/long` with 30 MB, anything else with the number of bytes of its content.
pub(crate) struct Counts;

pub(crate) enum Exchange {
    Received(usize),
    Left(usize),
}

static BLOCK: [u8; 65_536] = [b'x'; 65_536];

impl Handler for Counts {
    type Exchange = Exchange;

    fn request(&mut self, request: &Request<'_>, response: &mut ResponseWriter<'_>) -> Flow<Exchange> {
        if request.path() == b"/long" {
            response.stream(Some(LONG as u64)).unwrap();
            return Flow::Produce(Exchange::Left(LONG));
        }
        response.limit_content(LONG as u64);
        Flow::Receive(Exchange::Received(0))
    }

    fn receive(
        &mut self,
        exchange: Exchange,
        content: &mut Content<'_>,
        response: &mut ResponseWriter<'_>,
    ) -> Flow<Exchange> {
        let Exchange::Received(before) = exchange else { unreachable!("content of a response") };
        let count = content.bytes().len();
        content.consume(count);
        if !content.ended() {
            return Flow::Receive(Exchange::Received(before + count));
        }
        response.body((before + count).to_string()).unwrap();
        Flow::Finish
    }

    fn produce(&mut self, exchange: Exchange, response: &mut ResponseWriter<'_>) -> Flow<Exchange> {
        let Exchange::Left(left) = exchange else { unreachable!("a response to content") };
        let taken = response.write_static(&BLOCK[..left.min(BLOCK.len())]).unwrap();
        if left == taken { Flow::Finish } else { Flow::Produce(Exchange::Left(left - taken)) }
    }
}

pub(crate) type Waker = Box<dyn Wake>;

/// The communication between the serving thread and the test.
pub(crate) struct Told {
    worker: mpsc::Sender<(SocketAddr, Waker)>,
    /// Ends a pause; only the side that asked for it sends this.
    pauses: Mutex<mpsc::Receiver<mpsc::Receiver<()>>>,
    pub(crate) turns: AtomicU64,
}

impl Told {
    /// The worker has been created, and has not had a turn yet.
    pub(crate) fn ready(&self, worker: &Worker<'_, Counts>) {
        self.worker.send((worker.local_addr(), Box::new(worker.waker().unwrap()))).unwrap();
    }

    /// Called after every turn: the program does something else if the test asks for that.
    pub(crate) fn turned(&self) {
        self.turns.fetch_add(1, Ordering::Relaxed);
        if let Ok(over) = self.pauses.lock().unwrap().try_recv() {
            let _ = over.recv_timeout(PATIENCE);
        }
    }
}

pub(crate) type Serve = fn(&mut WorkerStorage<Exchange>, &StopFlag, &Told);

/// A server in a nested loop, as its clients see it.
struct Nested<'a> {
    address: SocketAddr,
    waker: Waker,
    pause: mpsc::Sender<mpsc::Receiver<()>>,
    told: &'a Told,
}

impl Nested<'_> {
    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream
    }
}

/// Runs a test on every available backend.
fn on_each(backends: &[Backend], serve: Serve, test: fn(&Nested<'_>)) {
    for &backend in backends {
        let (worker, ready) = mpsc::channel();
        let (pause, pauses) = mpsc::channel();
        let (ended, end) = mpsc::channel();
        let told = Told { worker, pauses: Mutex::new(pauses), turns: AtomicU64::new(0) };
        let stop = StopFlag::new();
        thread::scope(|scope| {
            let serving = scope.spawn(|| {
                let server = Server::bind("127.0.0.1:0").unwrap().connections(1000).backlog(1024).workers(1);
                let mut storage = server.backend(backend).storage().unwrap();
                assert_eq!(storage.backend(), backend);
                serve(&mut storage, &stop, &told);
                let _ = ended.send(());
            });
            let (address, waker) = ready.recv_timeout(PATIENCE).expect("a worker");
            let nested = Nested { address, waker, pause, told: &told };
            let result = catch_unwind(AssertUnwindSafe(|| test(&nested)));
            stop.abort();
            nested.waker.wake();
            if end.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) && !serving.is_finished() {
                // The thread cannot be ended from outside, and the scope would wait for it forever.
                eprintln!("on {backend:?}: the loop sleeps over its stop");
                process::abort();
            }
            serving.join().unwrap();
            if let Err(panic) = result {
                eprintln!("on {backend:?}");
                resume_unwind(panic);
            }
        });
    }
}

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";

/// Reads an answer with a short body.
fn answer(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    let mut bytes = [0; 4096];
    while !text.contains("\r\n\r\n") || text.ends_with("\r\n\r\n") {
        let count = match stream.read(&mut bytes) {
            Ok(count) => count,
            // The kernel's teardown of another test's ring may interrupt this call.
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => panic!("{error} behind {text:?}"),
        };
        assert_ne!(count, 0, "closed behind {text:?}");
        text.push_str(str::from_utf8(&bytes[..count]).unwrap());
    }
    text
}

pub(crate) fn a_request_is_answered(backends: &[Backend], serve: Serve) {
    on_each(backends, serve, |nested| {
        let mut stream = nested.connect();
        for _ in 0..3 {
            stream.write_all(GET).unwrap();
            assert!(answer(&mut stream).ends_with("\r\n\r\n0"));
        }
    });
}

pub(crate) fn much_comes_in(backends: &[Backend], serve: Serve) {
    on_each(backends, serve, |nested| {
        let mut stream = nested.connect();
        write!(stream, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {LONG}\r\n\r\n").unwrap();
        for left in (1..=LONG).rev().step_by(BLOCK.len()) {
            stream.write_all(&BLOCK[..left.min(BLOCK.len())]).unwrap();
        }
        assert!(answer(&mut stream).ends_with(&format!("\r\n\r\n{LONG}")));
    });
}

pub(crate) fn much_goes_out(backends: &[Backend], serve: Serve) {
    on_each(backends, serve, |nested| {
        let mut stream = nested.connect();
        stream.write_all(b"GET /long HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let mut bytes = Vec::new();
        let read = stream.read_to_end(&mut bytes);
        assert!(read.is_ok() && bytes.len() > LONG, "{read:?} {}", bytes.len());
        assert!(bytes.ends_with(&[b'x'; 100]));
    });
}

/// More events than one wait takes, and more connections than one turn accepts, all pending when the program returns.
pub(crate) fn a_burst_is_answered(backends: &[Backend], serve: Serve) {
    on_each(backends, serve, |nested| {
        // The loop pauses once it has taken the request for that, which it does after a turn.
        let (over, pausing) = mpsc::channel();
        nested.pause.send(pausing).unwrap();
        nested.waker.wake();
        let began = Instant::now();
        let mut streams: Vec<_> = (0..CLIENTS).map(|_| nested.connect()).collect();
        for stream in &mut streams {
            stream.write_all(GET).unwrap();
        }
        thread::sleep(PAUSE.saturating_sub(began.elapsed()));
        over.send(()).unwrap();
        for (index, stream) in streams.iter_mut().enumerate() {
            let text = answer(stream);
            assert!(text.ends_with("\r\n\r\n0"), "{index}: {text}");
        }
        // All at once again, on connections that exist already.
        let (over, pausing) = mpsc::channel();
        nested.pause.send(pausing).unwrap();
        nested.waker.wake();
        for stream in &mut streams {
            stream.write_all(GET).unwrap();
        }
        over.send(()).unwrap();
        for (index, stream) in streams.iter_mut().enumerate() {
            let text = answer(stream);
            assert!(text.ends_with("\r\n\r\n0"), "{index}: {text}");
        }
    });
}

/// The loop does not spin: neither before anything has happened, nor after a request, nor after a wake.
pub(crate) fn it_sleeps_while_there_is_nothing_to_do(backends: &[Backend], serve: Serve) {
    on_each(backends, serve, |nested| {
        let mut stream = nested.connect();
        stream.write_all(GET).unwrap();
        answer(&mut stream);
        nested.waker.wake();
        thread::sleep(PAUSE);
        let before = nested.told.turns.load(Ordering::Relaxed);
        thread::sleep(PAUSE);
        let turns = nested.told.turns.load(Ordering::Relaxed) - before;
        // An occasional turn updates the date.
        assert!(turns <= 3, "{turns} turns without a reason");
        nested.waker.wake();
        let began = Instant::now();
        while nested.told.turns.load(Ordering::Relaxed) == before + turns {
            assert!(began.elapsed() < PATIENCE, "it was not woken");
            thread::yield_now();
        }
    });
}
