//! The bare loop on epoll: wait, receive, send a prepared response. See the library beside it.

use std::net::TcpListener;
use std::os::fd::{AsFd, OwnedFd};

use bare::{Answer, Output, answer};
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, Shutdown, SocketFlags, accept_with, recv, send, shutdown};

/// Identifies the listener.
const LISTENER: u64 = u64::MAX;

fn main() {
    common::serve(worker);
}

struct Connection {
    socket: OwnedFd,
    /// The beginning of a request.
    input: Vec<u8>,
    /// What could not be sent at once, and how much of it was sent.
    unsent: Vec<u8>,
    sent: usize,
    /// Bytes to send after that.
    bytes_left: u64,
    /// Content that is still to be received and dropped, before the response in `unsent`.
    upload_left: u64,
}

fn worker(listener: TcpListener) {
    let epoll = epoll::create(CreateFlags::CLOEXEC).expect("an epoll");
    epoll::add(&epoll, &listener, EventData::new_u64(LISTENER), EventFlags::IN).expect("a listener");
    let mut connections: Vec<Option<Connection>> = Vec::new();
    let mut free = Vec::new();
    let mut scratch = Vec::new();
    let mut buffer = vec![0; 1 << 16];
    let mut events = Vec::with_capacity(1024);
    loop {
        events.clear();
        match epoll::wait(&epoll, spare_capacity(&mut events), None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => panic!("epoll_wait: {error}"),
        }
        for event in &events {
            let index = event.data.u64();
            if index == LISTENER {
                while let Ok(socket) = accept_with(&listener, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK) {
                    let index = free.pop().unwrap_or_else(|| {
                        connections.push(None);
                        connections.len() - 1
                    });
                    epoll::add(&epoll, &socket, EventData::new_u64(index as u64), EventFlags::IN).expect("a socket");
                    connections[index] = Some(Connection::new(socket));
                }
                continue;
            }
            let slot = &mut connections[index as usize];
            let Some(connection) = slot else { continue };
            let was_blocked = connection.is_blocked();
            if connection.turn(&mut buffer, &mut scratch) == Turn::Ended {
                *slot = None;
                free.push(index as usize);
            } else if connection.is_blocked() != was_blocked {
                let flags = if was_blocked { EventFlags::IN } else { EventFlags::OUT };
                let _ = epoll::modify(&epoll, connection.socket.as_fd(), EventData::new_u64(index), flags);
            }
        }
    }
}

#[derive(PartialEq)]
enum Turn {
    Continues,
    Ended,
}

impl Connection {
    fn new(socket: OwnedFd) -> Self {
        Self { socket, input: Vec::new(), unsent: Vec::new(), sent: 0, bytes_left: 0, upload_left: 0 }
    }

    /// Whether it waits until more can be sent.
    fn is_blocked(&self) -> bool {
        self.upload_left == 0 && (self.sent < self.unsent.len() || self.bytes_left > 0)
    }

    /// Receives and sends once.
    fn turn(&mut self, buffer: &mut [u8], scratch: &mut Vec<u8>) -> Turn {
        if self.is_blocked() {
            return self.send_rest();
        }
        let count = match recv(&self.socket, &mut *buffer, RecvFlags::empty()) {
            Ok((0, _)) => return Turn::Ended,
            Ok((_, count)) => count,
            Err(Errno::AGAIN) => return Turn::Continues,
            Err(_) => return Turn::Ended,
        };
        if self.upload_left > 0 {
            self.upload_left = self.upload_left.saturating_sub(count as u64);
            return if self.upload_left == 0 { self.send_rest() } else { Turn::Continues };
        }
        if self.input.is_empty() {
            let answer = answer(&buffer[..count], scratch);
            let consumed = answer.as_ref().map_or(0, |answer| answer.consumed);
            self.input.extend(&buffer[consumed..count]);
            return self.act(answer, scratch);
        }
        self.input.extend(&buffer[..count]);
        let answer = answer(&self.input, scratch);
        self.input.drain(..answer.as_ref().map_or(0, |answer| answer.consumed));
        self.act(answer, scratch)
    }

    fn act(&mut self, answer: Option<Answer>, scratch: &[u8]) -> Turn {
        let Some(answer) = answer else { return Turn::Continues };
        let bytes = match answer.output {
            Output::Prepared(bytes) => bytes,
            Output::Scratch => scratch,
            Output::Bytes(count) => {
                self.bytes_left = count;
                scratch
            }
            Output::AfterUpload(left) => {
                self.upload_left = left;
                self.unsent = scratch.to_vec();
                self.sent = 0;
                return if left == 0 { self.send_rest() } else { Turn::Continues };
            }
        };
        let sent = match send(&self.socket, bytes, SendFlags::NOSIGNAL) {
            Ok(count) => count,
            Err(Errno::AGAIN) => 0,
            Err(_) => return Turn::Ended,
        };
        if sent < bytes.len() {
            self.unsent = bytes[sent..].to_vec();
            self.sent = 0;
        }
        if self.bytes_left > 0 && sent == bytes.len() {
            return self.send_rest();
        }
        if answer.closes {
            let _ = shutdown(&self.socket, Shutdown::Both);
            return Turn::Ended;
        }
        Turn::Continues
    }

    fn send_rest(&mut self) -> Turn {
        loop {
            let is_head = self.sent < self.unsent.len();
            let bytes = match is_head {
                true => &self.unsent[self.sent..],
                false => common::bytes(&format!("/bytes/{}", self.bytes_left.min(1 << 20))).unwrap_or_default(),
            };
            if bytes.is_empty() {
                self.unsent = Vec::new();
                self.sent = 0;
                return Turn::Continues;
            }
            match send(&self.socket, bytes, SendFlags::NOSIGNAL) {
                Ok(count) if is_head => self.sent += count,
                Ok(count) => self.bytes_left -= count as u64,
                Err(Errno::AGAIN) => return Turn::Continues,
                Err(_) => return Turn::Ended,
            }
        }
    }
}
