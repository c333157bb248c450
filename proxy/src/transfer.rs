//! The upstream's side of one exchange: its connection, what is to be sent, what was received and not yet used.

use std::io;
use std::ops::Range;
use std::time::Instant;

use aurora_http::Content;

use crate::hub::Hub;
use crate::link::Link;
use crate::response::Body;
use crate::upstream::Choice;

/// What is received at once into `input`.
const RECEIVE: usize = 4096;
/// The most content in one chunk.
const CHUNK_MAX: usize = 16_384;

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Phase {
    #[default]
    Connecting,
    /// The request goes out; its response has not begun.
    Head,
    /// The response has begun.
    Body,
    /// Bytes of another protocol in both directions.
    Tunnel,
}

/// The content of the request.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Upload {
    /// All of it was passed on, or there is none.
    #[default]
    Done,
    Length,
    Chunked,
    /// The upstream takes no more: the rest is dropped.
    Broken,
}

/// What follows a step.
pub(crate) enum Step {
    /// Another one.
    Again,
    /// Nothing until the upstream's socket is ready, or content arrives.
    Wait,
    /// The server has to be asked for the content first: once a response has begun, it would be too late.
    Ask,
    /// Room in the send buffer is needed.
    Full,
    /// The response is complete.
    Done,
    /// It cannot be completed: the answer is this status, if nothing has left.
    Failed(u16),
}

#[derive(Default)]
pub(crate) struct Transfer {
    pub(crate) link: Option<Link>,
    pub(crate) choice: Option<Choice>,
    pub(crate) phase: Phase,
    /// Upstreams that were tried for this request, as bits.
    pub(crate) tried: u64,
    /// The head of the request, then chunks of content.
    pub(crate) output: Vec<u8>,
    pub(crate) sent: usize,
    /// Where the value of Host is in `output`.
    pub(crate) host_at: Range<usize>,
    /// What was received; the first `used` bytes have been used.
    pub(crate) input: Vec<u8>,
    pub(crate) used: usize,
    /// How many of the unused bytes were searched for the end of a head.
    pub(crate) searched: usize,
    /// Bytes of interim responses.
    pub(crate) interim: usize,
    pub(crate) upload: Upload,
    /// What `upload` was before anything was sent.
    pub(crate) whole_upload: Upload,
    /// Of the response.
    pub(crate) body: Option<Body>,
    /// When something last went forward. The head of a response does so only as a whole, or it could come for ever.
    pub(crate) since: Option<Instant>,
    /// The value of Host is the upstream's name: the request has none, or is not to tell it.
    pub(crate) is_host_ours: bool,
    pub(crate) is_head: bool,
    pub(crate) is_connect: bool,
    pub(crate) is_idempotent: bool,
    pub(crate) is_retried: bool,
    /// The client waits for a 100 (Continue).
    pub(crate) expects_continue: bool,
    /// The server was asked for the content.
    pub(crate) has_asked: bool,
    /// Some of the content was passed on, or dropped.
    pub(crate) has_content: bool,
    /// The client has sent the last of the content, after the upstream had stopped taking it.
    pub(crate) is_all_taken: bool,
    /// The connection can be used again after the response.
    pub(crate) is_persistent: bool,
    /// The protocol that the client may switch to, as its place in the configuration.
    pub(crate) upgrade: Option<usize>,
    /// Our FIN was sent.
    pub(crate) is_finished: bool,
    /// The room that the last piece of the body found was used up.
    pub(crate) is_busy: bool,
}

impl Transfer {
    /// Prepares for another exchange, with the memory of this one; returns its connection.
    pub(crate) fn clear(&mut self) -> Option<Link> {
        let link = self.link.take();
        let (mut output, mut input) = (std::mem::take(&mut self.output), std::mem::take(&mut self.input));
        output.clear();
        input.clear();
        *self = Self { output, input, ..Self::default() };
        link
    }

    /// Closes the connection, to use another one for the same request.
    pub(crate) fn rewind(&mut self, hub: &Hub) {
        if let Some(link) = self.link.take() {
            hub.close(link);
        }
        self.sent = 0;
        self.upload = self.whole_upload;
        self.input.clear();
        (self.used, self.searched, self.interim) = (0, 0, 0);
        self.phase = Phase::Connecting;
    }

    pub(crate) fn moved(&mut self) {
        self.since = Some(Instant::now());
    }

    pub(crate) const fn is_flushed(&self) -> bool {
        self.sent == self.output.len()
    }

    /// What was received and not yet used.
    pub(crate) fn unused(&self) -> &[u8] {
        &self.input[self.used..]
    }

    /// Sends `output`, as much as there is room for.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        let Some(link) = &mut self.link else { return Ok(()) };
        while self.sent < self.output.len() {
            let count = link.write(&self.output[self.sent..])?;
            if count == 0 {
                break;
            }
            self.sent += count;
            self.since = Some(Instant::now());
        }
        Ok(())
    }

    /// Receives into `input`: `None` when nothing is there, 0 at the end.
    pub(crate) fn receive(&mut self) -> io::Result<Option<usize>> {
        let Some(link) = &mut self.link else { return Ok(None) };
        if self.used == self.input.len() {
            self.input.clear();
            self.used = 0;
        }
        let len = self.input.len();
        self.input.resize(len + RECEIVE, 0);
        let received = link.read(&mut self.input[len..]);
        self.input.truncate(len + received.as_ref().map_or(0, |count| count.unwrap_or(0)));
        received
    }

    /// Passes content on, as much as there is room for, and holds the rest.
    pub(crate) fn pass_on(&mut self, content: &mut Content<'_>) -> io::Result<()> {
        match self.upload {
            // There is none.
            Upload::Done => return Ok(()),
            Upload::Broken => {
                self.drop_content(content);
                return Ok(());
            }
            _ if !self.is_flushed() || self.link.is_none() => {
                content.hold();
                return Ok(());
            }
            _ => {}
        }
        if !self.has_content {
            // The head was sent, and cannot be sent again without what follows now.
            self.has_content = true;
            self.output.clear();
            self.sent = 0;
        }
        if self.upload == Upload::Chunked {
            return self.pass_on_chunks(content);
        }
        while !content.bytes().is_empty() {
            let count = self.write(content.bytes())?;
            content.consume(count);
            if count == 0 {
                return Ok(());
            }
        }
        if content.ended() {
            self.upload = Upload::Done;
        }
        Ok(())
    }

    fn pass_on_chunks(&mut self, content: &mut Content<'_>) -> io::Result<()> {
        while self.is_flushed() {
            let bytes = content.bytes();
            let count = bytes.len().min(CHUNK_MAX);
            let is_last = content.ended() && count == bytes.len();
            if count == 0 && !is_last {
                return Ok(());
            }
            self.output.clear();
            self.sent = 0;
            if count > 0 {
                self.output.extend_from_slice(format_size(count, &mut [0; 18]));
                self.output.extend_from_slice(&bytes[..count]);
                self.output.extend_from_slice(b"\r\n");
                content.consume(count);
            }
            if is_last {
                self.output.extend_from_slice(b"0\r\n\r\n");
                self.upload = Upload::Done;
            }
            self.flush()?;
            if is_last {
                return Ok(());
            }
        }
        if !content.bytes().is_empty() || content.ended() {
            content.hold();
        }
        Ok(())
    }

    /// Takes content that the upstream does not. The request cannot be sent again after that.
    pub(crate) fn drop_content(&mut self, content: &mut Content<'_>) {
        content.consume(content.bytes().len());
        self.has_content = true;
        self.is_all_taken |= content.ended();
    }

    /// Sends as much of `bytes` as there is room for.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(link) = &mut self.link else { return Ok(0) };
        let count = link.write(bytes)?;
        if count > 0 {
            self.since = Some(Instant::now());
        }
        Ok(count)
    }

    /// The upstream takes no more of the request.
    pub(crate) fn give_up_upload(&mut self) {
        if self.upload != Upload::Done || !self.is_flushed() {
            self.upload = Upload::Broken;
            self.is_persistent = false;
        }
        if self.has_content {
            self.output.clear();
            self.sent = 0;
        }
    }

    /// Whether the next piece of content would be taken, as far as is known.
    pub(crate) fn wants_content(&self) -> bool {
        let is_declined = self.phase == Phase::Body && !self.has_asked;
        match self.upload {
            Upload::Done => false,
            _ if is_declined || self.expects_continue => false,
            // So that the client comes to read the response. If the server has not been asked for the content yet, the
            // request may still be sent again, with all of it.
            Upload::Broken => self.has_asked && !self.is_all_taken,
            Upload::Length | Upload::Chunked => {
                self.is_flushed() && self.link.as_ref().is_some_and(Link::can_write) && self.phase != Phase::Connecting
            }
        }
    }
}

/// The line before a chunk.
fn format_size(size: usize, line: &mut [u8; 18]) -> &[u8] {
    let mut at = line.len() - 2;
    line[at..].copy_from_slice(b"\r\n");
    let mut rest = size;
    loop {
        at -= 1;
        line[at] = b"0123456789abcdef"[rest % 16];
        rest /= 16;
        if rest == 0 {
            return &line[at..];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_of_chunks_are_hexadecimal() {
        for size in [0, 1, 15, 16, 255, 16_384, usize::MAX] {
            assert_eq!(format_size(size, &mut [0; 18]), format!("{size:x}\r\n").as_bytes());
        }
    }
}
