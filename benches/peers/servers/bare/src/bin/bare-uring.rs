//! The bare loop on io_uring: multishot accept and receive, sends without a completion, one system call per batch. See the library
//! beside it. The content of `/upload` and long responses of its own are more than it can do.

use std::net::TcpListener;
use std::os::fd::AsRawFd;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};

use bare::{Output, answer};
use io_uring::types::{BufRingEntry, Fd, Fixed};
use io_uring::{IoUring, cqueue, opcode, squeue};

/// The most connections at a time.
const CONNECTIONS: u32 = 18_500;
/// A power of two.
const BUFFERS: u16 = 4096;
const BUFFER_LEN: usize = 4096;

const ACCEPT: u64 = 0;
const RECV: u64 = 1;
const OTHER: u64 = 2;

fn main() {
    common::serve(worker);
}

/// Memory for receiving, shared with the kernel.
struct Buffers {
    entries: NonNull<BufRingEntry>,
    memory: Vec<u8>,
    tail: u16,
}

/// A page of entries, as the kernel asks for.
#[repr(C, align(4096))]
struct Page([u8; 4096]);

impl Buffers {
    fn new(ring: &IoUring) -> Self {
        let pages = BUFFERS as usize * size_of::<BufRingEntry>() / size_of::<Page>();
        let pages: &'static mut [Page] = (0..pages).map(|_| Page([0; 4096])).collect::<Vec<_>>().leak();
        let entries = NonNull::from(pages).cast::<BufRingEntry>();
        // SAFETY: the entries are never freed.
        unsafe { ring.submitter().register_buf_ring_with_flags(entries.as_ptr() as u64, BUFFERS, 0, 0) }
            .expect("Linux 5.19 or later");
        let mut buffers = Self { entries, memory: vec![0; BUFFERS as usize * BUFFER_LEN], tail: 0 };
        (0..BUFFERS).for_each(|id| buffers.give(id));
        buffers.publish();
        buffers
    }

    fn get(&self, id: u16, len: usize) -> &[u8] {
        let start = id as usize * BUFFER_LEN;
        &self.memory[start..start + len]
    }

    /// Gives a buffer to the kernel, with the next [`publish`](Self::publish).
    fn give(&mut self, id: u16) {
        let index = (self.tail % BUFFERS) as usize;
        // SAFETY: the index is within the ring.
        let mut entry = unsafe { self.entries.add(index) };
        // SAFETY: it is initialised and nobody else has a reference to it: the kernel reads entries only up to the tail.
        let entry = unsafe { entry.as_mut() };
        entry.set_addr(self.memory[id as usize * BUFFER_LEN..].as_ptr() as u64);
        entry.set_len(BUFFER_LEN as u32);
        entry.set_bid(id);
        self.tail = self.tail.wrapping_add(1);
    }

    fn publish(&self) {
        // SAFETY: the ring begins with its first entry.
        let tail = unsafe { BufRingEntry::tail(self.entries.as_ptr()) };
        // SAFETY: it is aligned, lives as long as the ring, and is only read by the kernel.
        let tail = unsafe { AtomicU16::from_ptr(tail.cast_mut()) };
        tail.store(self.tail, Ordering::Release);
    }
}

#[derive(Clone, Default)]
struct Connection {
    /// The beginning of a request.
    input: Vec<u8>,
    /// A response that is being sent.
    output: Vec<u8>,
}

struct Worker {
    ring: IoUring,
    listener: i32,
    connections: Vec<Connection>,
}

fn worker(listener: TcpListener) {
    // io_uring waits for it.
    listener.set_nonblocking(false).expect("a socket");
    let ring = IoUring::builder()
        .setup_single_issuer()
        .setup_defer_taskrun()
        .setup_coop_taskrun()
        .setup_submit_all()
        .setup_cqsize(32_768)
        .build(4096)
        .expect("io_uring is allowed");
    ring.submitter().register_files_sparse(CONNECTIONS).expect("room for the table of files");
    let mut buffers = Buffers::new(&ring);
    let connections = vec![Connection::default(); CONNECTIONS as usize];
    let mut worker = Worker { ring, listener: listener.as_raw_fd(), connections };
    worker.accept();
    let mut completions: Vec<cqueue::Entry> = Vec::with_capacity(32_768);
    loop {
        worker.ring.submit_and_wait(1).expect("a ring that works");
        completions.extend(worker.ring.completion());
        for completion in completions.drain(..) {
            worker.complete(&completion, &mut buffers);
        }
        buffers.publish();
    }
}

impl Worker {
    fn push(&mut self, entry: &squeue::Entry) {
        loop {
            // SAFETY: what the operation points to is static, or lives in `connections` until the operation has ended: a client
            // sends nothing before it has the whole response.
            if unsafe { self.ring.submission().push(entry) }.is_ok() {
                return;
            }
            self.ring.submit().expect("a ring that works");
        }
    }

    fn accept(&mut self) {
        let entry = opcode::AcceptMulti::new(Fd(self.listener)).allocate_file_index(true).build();
        self.push(&entry.user_data(ACCEPT << 32));
    }

    fn recv(&mut self, index: u32) {
        let entry = opcode::RecvMulti::new(Fixed(index), 0).build();
        self.push(&entry.user_data(RECV << 32 | u64::from(index)));
    }

    fn send(&mut self, index: u32, bytes: &[u8]) {
        let flags = libc::MSG_NOSIGNAL | libc::MSG_WAITALL;
        let entry = opcode::Send::new(Fixed(index), bytes.as_ptr(), bytes.len() as u32).flags(flags).build();
        self.push(&entry.flags(squeue::Flags::SKIP_SUCCESS).user_data(OTHER << 32));
    }

    fn complete(&mut self, completion: &cqueue::Entry, buffers: &mut Buffers) {
        let (kind, index) = (completion.user_data() >> 32, completion.user_data() as u32);
        let is_over = !cqueue::more(completion.flags());
        match kind {
            ACCEPT => {
                if let Ok(index) = u32::try_from(completion.result()) {
                    self.recv(index);
                }
                if is_over {
                    self.accept();
                }
            }
            RECV if completion.result() > 0 => {
                let id = cqueue::buffer_select(completion.flags()).expect("a receive takes a buffer");
                self.received(index, buffers.get(id, completion.result() as usize));
                buffers.give(id);
                if is_over {
                    self.recv(index);
                }
            }
            RECV if completion.result() == -libc::ENOBUFS => self.recv(index),
            RECV => {
                self.connections[index as usize].input.clear();
                let entry = opcode::Close::new(Fixed(index)).build();
                self.push(&entry.flags(squeue::Flags::SKIP_SUCCESS).user_data(OTHER << 32));
            }
            _ => {}
        }
    }

    fn received(&mut self, index: u32, bytes: &[u8]) {
        let connection = &mut self.connections[index as usize];
        let answer = if connection.input.is_empty() {
            let answer = answer(bytes, &mut connection.output);
            connection.input.extend(&bytes[answer.as_ref().map_or(0, |answer| answer.consumed)..]);
            answer
        } else {
            connection.input.extend(bytes);
            let answer = answer(&connection.input, &mut connection.output);
            connection.input.drain(..answer.as_ref().map_or(0, |answer| answer.consumed));
            answer
        };
        let Some(answer) = answer else { return };
        match answer.output {
            Output::Prepared(bytes) => self.send(index, bytes),
            Output::Scratch => {
                let output = std::mem::take(&mut self.connections[index as usize].output);
                self.send(index, &output);
                self.connections[index as usize].output = output;
            }
            Output::Bytes(_) | Output::AfterUpload(_) => {
                self.send(index, b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
            }
        }
        if answer.closes {
            // The client's FIN then ends the receive, and that closes the connection.
            let entry = opcode::Shutdown::new(Fixed(index), libc::SHUT_WR).build();
            self.push(&entry.flags(squeue::Flags::SKIP_SUCCESS).user_data(OTHER << 32));
        }
    }
}
