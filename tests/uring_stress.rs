//! Connections end while receives and sends are in flight, and buffers are reused at once: no connection ever sees a byte of
//! another.
//!
//! Every connection has a byte value of its own. The client sends it; the server checks that it receives nothing else, and
//! answers from buffers and bodies filled with it. When an operation has completed, its buffer is overwritten and goes
//! to the next connection: if the kernel were still using it, one of the two ends would see a foreign byte.
#![cfg(target_os = "linux")]

use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use aurora_http_core::pool::Buf;
use aurora_http_core::reactor::{Completion, IoHandle, Op, OpKind, OpToken, Outcome, Reactor, Shutdown, Submission};
use aurora_http_uring::{Entry, Held, LentPlace, ListenOptions, Uring, listen, probe};
use rustix::net::sockopt;

const CONNECTIONS: usize = 24;
const BUF_LEN: usize = 4096;
/// Bodies are longer than the socket buffers, so that sends stay in flight.
const BODY_LEN: usize = 1 << 20;
/// The content of a buffer that belongs to no connection.
const NOBODY: u8 = 0xEE;

/// A linear congruential generator: the same steps in every run.
struct Steps(u64);

impl Steps {
    fn pick(&mut self, choices: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % choices
    }
}

/// The server's side of a connection.
struct Connection {
    byte: u8,
    generation: u32,
    recv: bool,
    send: bool,
    closing: bool,
}

struct Bench<'s> {
    uring: Uring<'s>,
    listener: IoHandle,
    address: SocketAddr,
    /// Free, filled with [`NOBODY`].
    buffers: Vec<Buf<'static>>,
    /// One body per byte.
    bodies: Vec<&'static [u8]>,
    connections: HashMap<u32, Connection>,
    clients: Vec<(u8, TcpStream)>,
    next_byte: u8,
    accepted: bool,
    received: u64,
    ended_in_flight: u64,
}

fn token(slot: u32, generation: u32, kind: OpKind) -> OpToken {
    OpToken::new(slot, generation, kind)
}

impl<'s> Bench<'s> {
    fn new(uring: Uring<'s>) -> Self {
        let mut uring = uring;
        let socket = listen("127.0.0.1:0".parse().unwrap(), &ListenOptions::default()).unwrap();
        sockopt::set_socket_send_buffer_size(&socket, 16 * 1024).unwrap();
        let listener = uring.add_listener(socket).unwrap();
        let address = uring.local_addr(listener).unwrap();
        // Few, so that each is reused at once.
        let buffers = (0..12).map(|_| Buf::new(vec![NOBODY; BUF_LEN].leak())).collect();
        let bodies = (0..64u8).map(|byte| &*vec![byte; BODY_LEN].leak()).collect();
        let (connections, clients) = (HashMap::new(), Vec::new());
        Self {
            uring,
            listener,
            address,
            buffers,
            bodies,
            connections,
            clients,
            next_byte: 0,
            accepted: false,
            received: 0,
            ended_in_flight: 0,
        }
    }

    fn submit(&mut self, token: OpToken, op: Op<'static>) {
        self.uring.submit(Submission { token, op }).expect("the queue has room");
    }

    /// A free buffer, checked not to have been written to since it came back.
    fn buffer(&mut self) -> Option<Buf<'static>> {
        let mut buf = self.buffers.pop()?;
        assert!(buf.spare().iter().all(|&byte| byte == NOBODY), "a free buffer was written to");
        Some(buf)
    }

    /// Its operation has completed: from now on nothing may write into it.
    fn take_back(&mut self, mut buf: Buf<'static>) {
        buf.clear();
        buf.spare().fill(NOBODY);
        self.buffers.push(buf);
    }

    /// The first byte that the peer receives tells it its byte value.
    fn connect(&mut self) {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_nonblocking(true).unwrap();
        stream.set_nodelay(true).unwrap();
        self.next_byte = (self.next_byte + 1) % 64;
        let byte = self.next_byte;
        let deadline = Instant::now() + Duration::from_secs(10);
        self.clients.push((byte, stream));
        // The next accept is for this client, the only one that connects.
        let accept = token(1000, 0, OpKind::Accept);
        self.submit(accept, Op::Accept { listener: self.listener });
        self.accepted = false;
        while !self.accepted {
            assert!(Instant::now() < deadline, "no connection");
            self.turn(byte);
        }
    }

    fn turn(&mut self, newcomer: u8) {
        self.uring.wait(Some(Duration::from_millis(1))).unwrap();
        while let Some(completion) = self.uring.next_completion() {
            self.complete(completion, newcomer);
        }
    }

    fn complete(&mut self, completion: Completion<'static>, newcomer: u8) {
        let slot = completion.token.slot();
        match completion.outcome {
            Outcome::Accept(result) => {
                let io = result.expect("a connection");
                self.accepted = true;
                let connection = Connection { byte: newcomer, generation: 1, recv: false, send: false, closing: false };
                assert!(self.connections.insert(io.0, connection).is_none(), "a handle is handed out twice");
            }
            Outcome::Recv { result, buf } => {
                let connection = self.connections.get_mut(&slot).expect("a connection");
                connection.recv = false;
                self.ended_in_flight += u64::from(connection.closing);
                let byte = connection.byte;
                if let Some(buf) = buf {
                    assert_eq!(buf.len(), result.unwrap_or(0) as usize);
                    assert!(buf.filled().iter().all(|&other| other == byte), "a foreign byte was received");
                    self.received += buf.len() as u64;
                    self.take_back(buf);
                }
            }
            Outcome::Send { head, body, .. } => {
                let connection = self.connections.get_mut(&slot).expect("a connection");
                connection.send = false;
                self.ended_in_flight += u64::from(connection.closing);
                let byte = connection.byte;
                assert!(
                    head.filled().iter().chain(&body[..1]).all(|&other| other == byte),
                    "the buffer changed while it was being sent"
                );
                self.take_back(head);
            }
            Outcome::Close => assert!(self.connections.remove(&slot).is_some_and(|gone| !gone.recv && !gone.send)),
            other => panic!("{other:?}"),
        }
        self.close_when_joined(slot);
    }

    fn close_when_joined(&mut self, slot: u32) {
        if let Some(connection) = self.connections.get(&slot)
            && connection.closing
            && !connection.recv
            && !connection.send
        {
            let close = token(slot, connection.generation, OpKind::Close);
            self.submit(close, Op::Close { io: IoHandle(slot) });
        }
    }

    fn recv(&mut self, slot: u32, lent: bool) {
        let generation = match self.connections.get(&slot) {
            Some(connection) if !connection.recv && !connection.closing => connection.generation,
            _ => return,
        };
        let into = if lent { None } else { self.buffer() };
        if lent
            && let Some(buf) = self.buffer()
            && let Err(buf) = self.uring.provide(buf)
        {
            self.take_back(buf);
        }
        self.connections.get_mut(&slot).expect("a connection").recv = true;
        self.submit(token(slot, generation, OpKind::Recv), Op::Recv { io: IoHandle(slot), into });
    }

    fn send(&mut self, slot: u32, body: usize) {
        let (byte, generation) = match self.connections.get(&slot) {
            Some(connection) if !connection.send && !connection.closing => (connection.byte, connection.generation),
            _ => return,
        };
        let Some(mut head) = self.buffer() else { return };
        head.spare().fill(byte);
        head.advance(BUF_LEN);
        self.connections.get_mut(&slot).expect("a connection").send = true;
        let body = &self.bodies[usize::from(byte)][..body];
        self.submit(token(slot, generation, OpKind::Send), Op::Send { io: IoHandle(slot), head, body });
    }

    /// Ends a connection together with the operations in flight on it.
    fn end(&mut self, slot: u32, how: u64) {
        let Some(connection) = self.connections.get_mut(&slot).filter(|connection| !connection.closing) else { return };
        connection.closing = true;
        let (recv, send, generation) = (connection.recv, connection.send, connection.generation);
        match how {
            0 => self.uring.shutdown(IoHandle(slot), Shutdown::Both),
            _ => {
                if recv {
                    self.uring.cancel(token(slot, generation, OpKind::Recv), IoHandle(slot));
                }
                if send {
                    self.uring.cancel(token(slot, generation, OpKind::Send), IoHandle(slot));
                }
            }
        }
        self.close_when_joined(slot);
    }

    /// A client sends its byte, or reads and checks for others.
    fn client(&mut self, at: usize, sends: bool) {
        let Some((byte, stream)) = self.clients.get_mut(at) else { return };
        if sends {
            let _ = stream.write(&[*byte; 3000]);
            return;
        }
        let mut bytes = vec![0; 100_000];
        match stream.read(&mut bytes) {
            Ok(0) => drop(self.clients.swap_remove(at)),
            Ok(count) => assert!(bytes[..count].iter().all(|other| other == byte), "a foreign byte was sent"),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => drop(self.clients.swap_remove(at)),
        }
    }

    fn reset_client(&mut self, at: usize) {
        if at < self.clients.len() {
            let (_, stream) = self.clients.swap_remove(at);
            sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
        }
    }

    fn step(&mut self, steps: &mut Steps) {
        let slots: Vec<u32> = self.connections.keys().copied().collect();
        let slot = match slots.len() {
            0 => return self.connect(),
            count => slots[steps.pick(count as u64) as usize],
        };
        let client = steps.pick(self.clients.len().max(1) as u64) as usize;
        match steps.pick(16) {
            0 if slots.len() < CONNECTIONS => self.connect(),
            0..=2 => self.recv(slot, false),
            3..=4 => self.recv(slot, true),
            5..=7 => self.send(slot, 1 + steps.pick(BODY_LEN as u64 - 1) as usize),
            8 => self.end(slot, steps.pick(2)),
            9..=10 => self.client(client, true),
            11..=12 => self.client(client, false),
            13 if steps.pick(4) == 0 => self.reset_client(client),
            _ => self.turn(0),
        }
    }
}

fn steps_in_this_build() -> usize {
    std::env::var("AURORA_STRESS_STEPS").ok().and_then(|steps| steps.parse().ok()).unwrap_or(3_000)
}

#[test]
fn no_foreign_byte_is_ever_seen() {
    if let Err(refusal) = probe() {
        return eprintln!("not on io_uring: {refusal}");
    }
    for seed in 0..3 {
        let mut table: Vec<_> = (0..CONNECTIONS + 2).map(|_| Entry::new()).collect();
        // As many as buffers, which is the bound that a server has.
        let mut held: Vec<_> = (0..12).map(|_| Held::new()).collect();
        let mut lent: Vec<_> = (0..8).map(|_| LentPlace::new()).collect();
        let mut bench = Bench::new(Uring::new(&mut table, &mut held, &mut lent).unwrap());
        let mut steps = Steps(seed);
        for _ in 0..steps_in_this_build() {
            bench.step(&mut steps);
        }
        assert!(bench.received > 10_000 && bench.ended_in_flight > 20, "too few operations: nothing was tested");
        drop(std::mem::take(&mut bench.clients));
        for slot in bench.connections.keys().copied().collect::<Vec<_>>() {
            bench.end(slot, 1);
        }
        let deadline = Instant::now() + Duration::from_secs(10);
        while !bench.connections.is_empty() {
            assert!(Instant::now() < deadline, "connections are left");
            bench.turn(0);
        }
        while let Some(buf) = bench.uring.reclaim() {
            bench.take_back(buf);
        }
        assert_eq!(bench.buffers.len(), 12, "buffers are missing");
        while bench.buffer().is_some() {}
    }
}

/// Operations in flight do not outlive a dropped reactor, or else their buffers are never returned.
#[test]
fn dropping_ends_operations_in_flight_before_their_buffers_are_returned() {
    if let Err(refusal) = probe() {
        return eprintln!("not on io_uring: {refusal}");
    }
    let mut table: Vec<_> = (0..CONNECTIONS + 2).map(|_| Entry::new()).collect();
    let mut held: Vec<_> = (0..12).map(|_| Held::new()).collect();
    let mut lent: Vec<_> = (0..8).map(|_| LentPlace::new()).collect();
    for _ in 0..5 {
        let mut bench = Bench::new(Uring::new(&mut table, &mut held, &mut lent).unwrap());
        for _ in 0..8 {
            bench.connect();
        }
        let slots: Vec<u32> = bench.connections.keys().copied().collect();
        for (at, slot) in slots.iter().enumerate() {
            bench.recv(*slot, at % 2 == 0);
            if at < 4 {
                bench.send(*slot, BODY_LEN);
            }
        }
        // Some are submitted, some are only queued.
        bench.turn(0);
        bench.end(slots[0], 1);
        let begun = Instant::now();
        let Bench { uring, mut clients, .. } = bench;
        drop(uring);
        assert!(begun.elapsed() < Duration::from_millis(900), "the drop waited for an operation that cannot end");
        for (byte, stream) in &mut clients {
            let _ = stream.write(&[*byte; 100]);
            let mut bytes = Vec::new();
            stream.set_nonblocking(false).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            match stream.read_to_end(&mut bytes) {
                Ok(_) => {}
                Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset, "every socket is closed"),
            }
            assert!(bytes.iter().all(|other| other == byte));
        }
    }
}
