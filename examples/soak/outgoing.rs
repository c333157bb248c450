//! What a client has to send, made piece by piece: heads and content, cut at random.

use std::io::Write;

use crate::dice::Dice;
use crate::request::{Framing, Request};

/// Most bytes that are made at once.
const MADE_MAX: u64 = 12 * 1024;

pub(crate) struct Outgoing {
    requests: Vec<Request>,
    /// Which of them comes next.
    next: usize,
    /// The one whose content is being sent, and how far that is.
    content: Option<(Request, u64)>,
    made: Vec<u8>,
    sent: usize,
    /// Nothing is sent beyond so many bytes.
    left: u64,
}

impl Outgoing {
    pub(crate) fn new() -> Self {
        let made = Vec::with_capacity(2 * MADE_MAX as usize);
        Self { requests: Vec::with_capacity(16), next: 0, content: None, made, sent: 0, left: u64::MAX }
    }

    /// What was to be sent is forgotten; these are.
    pub(crate) fn begin(&mut self, requests: &[Request]) {
        self.clear();
        self.requests.extend_from_slice(requests);
    }

    /// Any bytes at all.
    pub(crate) fn begin_raw(&mut self, bytes: &[u8]) {
        self.clear();
        self.made.extend_from_slice(bytes);
    }

    pub(crate) fn clear(&mut self) {
        self.requests.clear();
        self.made.clear();
        (self.next, self.content, self.sent, self.left) = (0, None, 0, u64::MAX);
    }

    /// Ends what is sent after so many bytes, in the middle of whatever that is.
    pub(crate) const fn cut(&mut self, after: u64) {
        self.left = after;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.left == 0 || self.sent == self.made.len() && self.content.is_none() && self.next == self.requests.len()
    }

    /// What can be sent next, `max` bytes at most. Empty only when there is nothing any more.
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

    /// Makes heads and content up to some length; what is made at once goes out in one piece, if the system takes it.
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

    /// Makes a piece of content from `at` on, as a chunk if it has chunks, and tells how far it goes.
    fn make_content(&mut self, request: &Request, at: u64, dice: &mut Dice) -> u64 {
        let count = (1 + dice.length(MADE_MAX - 1)).min(request.length - at);
        if count == 0 {
            return at;
        }
        let is_chunk = request.framing == Framing::Chunked;
        if is_chunk {
            let extension = if dice.percent(5) { ";name=value" } else { "" };
            write!(self.made, "{count:x}{extension}\r\n").expect("memory takes everything");
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
