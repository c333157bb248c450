//! The bytes that a client sends, made piece by piece: heads and content, cut at random.

use std::io::Write;

use crate::dice::Dice;
use crate::request::{Framing, Request};

/// The most bytes that are made at once.
const MADE_MAX: u64 = 12 * 1024;

pub(crate) struct Outgoing {
    requests: Vec<Request>,
    /// The index of the next request.
    next: usize,
    /// The request whose content is being sent, and the offset.
    content: Option<(Request, u64)>,
    made: Vec<u8>,
    sent: usize,
    /// Nothing is sent beyond this many bytes.
    left: u64,
}

impl Outgoing {
    pub(crate) fn new() -> Self {
        let made = Vec::with_capacity(2 * MADE_MAX as usize);
        Self { requests: Vec::with_capacity(16), next: 0, content: None, made, sent: 0, left: u64::MAX }
    }

    /// Replaces whatever was left to send by these requests.
    pub(crate) fn begin(&mut self, requests: &[Request]) {
        self.clear();
        self.requests.extend_from_slice(requests);
    }

    /// Replaces whatever was left to send by these bytes.
    pub(crate) fn begin_raw(&mut self, bytes: &[u8]) {
        self.clear();
        self.made.extend_from_slice(bytes);
    }

    pub(crate) fn clear(&mut self) {
        self.requests.clear();
        self.made.clear();
        (self.next, self.content, self.sent, self.left) = (0, None, 0, u64::MAX);
    }

    /// Stops sending after this many bytes, wherever that is.
    pub(crate) const fn cut(&mut self, after: u64) {
        self.left = after;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.left == 0 || self.sent == self.made.len() && self.content.is_none() && self.next == self.requests.len()
    }

    /// The next bytes to send, at most `max`. Empty only when nothing is left.
    pub(crate) fn bytes(&mut self, dice: &mut Dice, max: usize) -> &[u8] {
        while self.sent == self.made.len() && !self.is_empty() {
            self.make(dice);
        }
        let max = max.min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let rest = &self.made[self.sent..];
        &rest[..rest.len().min(max)]
    }

    pub(crate) const fn mark_sent(&mut self, count: usize) {
        self.sent += count;
        self.left -= count as u64;
    }

    /// Makes heads and content up to a random length, which are sent at once if the system takes them.
    fn make(&mut self, dice: &mut Dice) {
        self.made.clear();
        self.sent = 0;
        let enough = 1 + dice.length(MADE_MAX) as usize;
        while self.made.len() < enough {
            if let Some((request, at)) = self.content {
                let at = self.make_content(&request, at, dice);
                let is_over = at == request.length;
                self.content = if is_over { None } else { Some((request, at)) };
                if is_over && request.framing == Framing::Chunked {
                    let trailer: &[u8] = if dice.percent(20) { b"0\r\nX-Trailer: a\r\n\r\n" } else { b"0\r\n\r\n" };
                    self.made.extend_from_slice(trailer);
                }
            } else if let Some(request) = self.requests.get(self.next).copied() {
                self.next += 1;
                request.put_head(&mut self.made);
                if request.framing != Framing::None {
                    self.content = Some((request, 0));
                }
            } else {
                return;
            }
        }
    }

    /// Makes a piece of content from offset `at`, as a chunk if the content is chunked, and returns where it ends.
    fn make_content(&mut self, request: &Request, at: u64, dice: &mut Dice) -> u64 {
        let count = (1 + dice.length(MADE_MAX - 1)).min(request.length - at);
        if count == 0 {
            return at;
        }
        let is_chunk = request.framing == Framing::Chunked;
        if is_chunk {
            let extension = if dice.percent(5) { ";name=value" } else { "" };
            write!(self.made, "{count:x}{extension}\r\n").expect("writing to memory cannot fail");
        }
        let begin = self.made.len();
        self.made.resize(begin + count as usize, 0);
        request.content().fill(at, &mut self.made[begin..]);
        if is_chunk {
            self.made.extend_from_slice(b"\r\n");
        }
        at + count
    }
}
