//! A worker whose turns are counted, so that a busy loop is detected without a clock.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use aurora_http::core::reactor::Wake;
use aurora_http::{Content, Counters, Flow, Handler, Request, ResponseWriter, Server, StopFlag, Worker};

use crate::http::{DEADLINE, eventually};

pub(crate) const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// The answer to `/body`.
pub(crate) static BODY: [u8; 20_000] = [b'x'; 20_000];

/// The tests change limits of the process and measure times, so they run one at a time.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A server for so many connections, on one worker.
pub(crate) fn local(connections: usize) -> Server {
    Server::bind("127.0.0.1:0").unwrap().connections(connections).workers(1)
}

/// `/` answers a word, `/body` some kilobytes, `/big` more than any socket holds, `/sink` receives content of any length,
/// `/panic` panics.
pub(crate) struct Paths;

pub(crate) enum Exchange {
    Sink(u64),
    Big(usize),
}

impl Handler for Paths {
    type Exchange = Exchange;

    fn request(&mut self, request: &Request<'_>, response: &mut ResponseWriter<'_>) -> Flow<Exchange> {
        match request.path() {
            b"/sink" => {
                response.limit_content(u64::MAX);
                return Flow::Receive(Exchange::Sink(0));
            }
            b"/big" => {
                let _ = response.stream(Some(64 << 20));
                return self.produce(Exchange::Big(64 << 20), response);
            }
            b"/panic" => panic!("told to"),
            b"/body" => {
                // Sent in place, so that no buffer has to be large.
                let _ = response.stream(Some(BODY.len() as u64)).and_then(|()| response.write_static(&BODY));
            }
            _ => drop(response.body("ok")),
        }
        Flow::Finish
    }

    fn receive(
        &mut self,
        state: Exchange,
        content: &mut Content<'_>,
        response: &mut ResponseWriter<'_>,
    ) -> Flow<Exchange> {
        let Exchange::Sink(before) = state else { return Flow::Finish };
        let count = before + content.bytes().len() as u64;
        if !content.ended() {
            return Flow::Receive(Exchange::Sink(count));
        }
        let _ = response.body(count.to_string());
        Flow::Finish
    }

    fn produce(&mut self, state: Exchange, response: &mut ResponseWriter<'_>) -> Flow<Exchange> {
        let Exchange::Big(left) = state else { return Flow::Finish };
        let sent = response.write_static(&BODY[..left.min(BODY.len())]).unwrap_or(left);
        if sent == left { Flow::Finish } else { Flow::Produce(Exchange::Big(left - sent)) }
    }
}

/// A worker on a thread of its own.
pub(crate) struct Watched {
    pub(crate) address: SocketAddr,
    stop: Arc<StopFlag>,
    wake: Box<dyn Wake>,
    seen: Arc<Seen>,
    thread: JoinHandle<Ended>,
}

#[derive(Default)]
struct Seen {
    turns: AtomicU64,
    counters: Mutex<Counters>,
}

/// The results at the end.
pub(crate) struct Ended {
    pub(crate) counters: Counters,
    buffers_in_use: usize,
}

impl Watched {
    pub(crate) fn start(server: Server) -> Self {
        let (release, held) = mpsc::channel();
        release.send(()).unwrap();
        Self::start_held(server, held)
    }

    /// Listens, but accepts only once it is released.
    pub(crate) fn start_held(server: Server, held: Receiver<()>) -> Self {
        let (stop, seen) = (Arc::new(StopFlag::new()), Arc::new(Seen::default()));
        let (tell, told) = mpsc::channel::<(SocketAddr, Box<dyn Wake>)>();
        let thread = {
            let (stop, seen) = (Arc::clone(&stop), Arc::clone(&seen));
            thread::spawn(move || {
                let mut storage = server.storage().unwrap();
                let mut worker = Worker::new(&mut storage, Paths).unwrap();
                tell.send((worker.local_addr(), Box::new(worker.waker().unwrap()))).unwrap();
                held.recv().unwrap();
                while !worker.engine().is_drained() {
                    worker.turn(&stop).unwrap();
                    seen.turns.fetch_add(1, Ordering::Relaxed);
                    *seen.counters.lock().unwrap() = *worker.counters();
                }
                worker.run(&stop).unwrap(); // takes the lent buffers back
                Ended { counters: *worker.counters(), buffers_in_use: worker.engine().pool().in_use() }
            })
        };
        let (address, wake) = told.recv_timeout(DEADLINE).unwrap();
        Self { address, stop, wake, seen, thread }
    }

    pub(crate) fn turns(&self) -> u64 {
        self.seen.turns.load(Ordering::Relaxed)
    }

    pub(crate) fn counters(&self) -> Counters {
        *self.seen.counters.lock().unwrap()
    }

    pub(crate) fn until(&self, holds: impl Fn(&Counters) -> bool, what: &str) {
        eventually(|| holds(&self.counters()), what);
    }

    /// How many turns the worker takes during a while in which nothing happens.
    pub(crate) fn turns_while_idle(&self) -> u64 {
        // Earlier events may still have consequences: FINs, the end of lingering.
        let mut before = self.turns();
        for _ in 0..20 {
            thread::sleep(Duration::from_millis(50));
            let now = self.turns();
            if now == before {
                break;
            }
            before = now;
        }
        thread::sleep(Duration::from_millis(300));
        self.turns() - before
    }

    /// Stops it, and checks that nothing is left.
    pub(crate) fn finish(self) -> Ended {
        self.stop.abort();
        self.wake.wake();
        let ended = self.thread.join().unwrap();
        assert_eq!((ended.buffers_in_use, ended.counters.active), (0, 0));
        ended
    }
}
