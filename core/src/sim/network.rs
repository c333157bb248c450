//! The sockets, the clock, and the operations of the server's end.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use super::NONE;
use super::dice::Dice;
use super::faults::Faults;
use super::files::Files;
use super::socket::{Server, Socket};
use crate::reactor::{FileId, FileRange, IoError, IoHandle, Ready, Shutdown};
use crate::time::Instant;

/// Sockets in memory, a virtual clock, and the clients' end of every connection.
///
/// A connection occupies its socket until both ends have closed it.
#[derive(Debug)]
pub struct Network {
    pub(super) sockets: Vec<Socket>,
    /// Sockets that are not in use.
    free: Vec<u32>,
    window: usize,
    now: Instant,
    /// A time of the wall clock in seconds, and the instant at which it was set.
    unix: Option<(u64, Instant)>,
    accept_error: Option<IoError>,
    pub(super) faults: Faults,
    pub(super) dice: Dice,
    /// Sockets on which something changed for the server.
    pub(super) changes: VecDeque<u32>,
    /// The number of changes for the server.
    pub(super) announced: u64,
    /// Sockets on which something changed for the client.
    pub(super) news: VecDeque<u32>,
    received: u64,
    sent: u64,
    turned_away: u64,
    pub(super) files: Files,
}

/// The outcome of receiving or sending.
pub(super) type Moved = Result<usize, IoError>;

/// Set-up, time and counters.
impl Network {
    /// A network of `sockets` sockets, including listeners, with a window of `window` bytes in each direction of a
    /// connection. Its clock is at instant 0, and there are no faults.
    #[must_use]
    pub fn new(sockets: usize, window: usize) -> Self {
        Self {
            sockets: (0..sockets).map(|_| Socket::new(0)).collect(),
            free: (0..sockets as u32).rev().collect(),
            window: window.max(1),
            now: Instant(0),
            unix: None,
            accept_error: None,
            faults: Faults::default(),
            dice: Dice::new(0),
            changes: VecDeque::with_capacity(sockets),
            announced: 0,
            news: VecDeque::with_capacity(sockets),
            received: 0,
            sent: 0,
            turned_away: 0,
            files: Files::default(),
        }
    }

    /// Opens a listening socket; `None` if all sockets are in use.
    pub fn listen(&mut self) -> Option<IoHandle> {
        let index = self.free.pop()?;
        self.sockets[index as usize].server = Server::Listening;
        Some(IoHandle(index))
    }

    /// Sets the faults that happen from now on, and the dice that decide.
    pub fn set_faults(&mut self, faults: Faults, dice: Dice) {
        (self.faults, self.dice) = (faults, dice);
    }

    /// Makes the next accept of a waiting connection fail; the connection continues to wait.
    pub fn fail_next_accept(&mut self, error: IoError) {
        self.accept_error = Some(error);
        for index in 0..self.sockets.len() as u32 {
            self.sockets[index as usize].edge.readable = true;
            self.change(index);
        }
    }

    /// The time of the clock.
    #[must_use]
    pub const fn now(&self) -> Instant {
        self.now
    }

    /// Moves the clock forward.
    pub fn advance_ms(&mut self, milliseconds: u32) {
        self.now = self.now.plus_ms(milliseconds);
    }

    /// Moves the clock forward to an instant, unless that has passed.
    pub fn advance_to(&mut self, at: Instant) {
        self.now = self.now.max(at);
    }

    /// Sets the wall clock, which advances with the monotonic one.
    pub fn set_unix_time(&mut self, seconds: u64) {
        self.unix = Some((seconds, self.now));
    }

    pub(super) fn unix_time(&self) -> Option<u64> {
        let (seconds, since) = self.unix?;
        Some(seconds + self.now.ms_since(since) / 1000)
    }

    /// The number of the server's open sockets, including listeners.
    #[must_use]
    pub fn open_handles(&self) -> usize {
        self.sockets.iter().filter(|socket| socket.is_handle()).count()
    }

    /// Closes all of the server's sockets, as the system does when a process dies.
    pub fn kill_server(&mut self) {
        for index in 0..self.sockets.len() as u32 {
            if self.sockets[index as usize].is_handle() {
                self.close(IoHandle(index));
            }
        }
        while let Some(index) = self.changes.pop_front() {
            self.sockets[index as usize].changed = false;
        }
    }

    /// The numbers of bytes that the server has received and sent so far.
    #[must_use]
    pub const fn transferred(&self) -> (u64, u64) {
        (self.received, self.sent)
    }

    /// The number of connections that were in a backlog when its listener was closed.
    #[must_use]
    pub const fn turned_away(&self) -> u64 {
        self.turned_away
    }

    /// The number of bytes that have arrived on a connection and have not been received by the server.
    #[must_use]
    pub fn unread(&self, io: IoHandle) -> usize {
        self.handle(io).map_or(0, |socket| socket.to_server.filled())
    }

    /// The number of changes so far that the server is told about, as an edge-triggered descriptor would count them.
    #[must_use]
    pub const fn announced(&self) -> u64 {
        self.announced
    }
}

/// The server's end.
impl Network {
    /// The socket of a handle of the server.
    pub(super) fn handle(&self, io: IoHandle) -> Option<&Socket> {
        self.sockets.get(io.0 as usize).filter(|socket| socket.is_handle())
    }

    pub(super) fn handle_mut(&mut self, io: IoHandle) -> Option<&mut Socket> {
        self.sockets.get_mut(io.0 as usize).filter(|socket| socket.is_handle())
    }

    pub(super) fn can_accept(&self, io: IoHandle) -> bool {
        self.handle(io).is_some_and(|socket| socket.first_waiting != NONE)
    }

    pub(super) fn can_send(&self, io: IoHandle) -> bool {
        self.handle(io).is_some_and(|socket| socket.can_send(self.window))
    }

    /// Accepts the connection that has been waiting the longest; only while [`can_accept`](Self::can_accept).
    pub(super) fn accept(&mut self, listener: IoHandle) -> Result<IoHandle, IoError> {
        let faults = self.faults;
        let chance = if self.dice.per_mille(faults.file_limit) {
            Some(IoError::FileLimit)
        } else {
            self.dice.per_mille(faults.accept_reset).then_some(IoError::ConnectionReset)
        };
        if let Some(error) = self.accept_error.take().or(chance) {
            return Err(error);
        }
        let waiting = self.sockets[listener.0 as usize].first_waiting;
        let connection = &mut self.sockets[waiting as usize];
        connection.server = Server::Open;
        self.sockets[listener.0 as usize].first_waiting = connection.next_waiting;
        Ok(IoHandle(waiting))
    }

    /// Receives at most `most` bytes: 0 for the client's FIN.
    pub(super) fn recv(&mut self, io: IoHandle, into: &mut [u8], most: usize) -> Moved {
        if self.dice.per_mille(self.faults.no_buffers) {
            return Err(IoError::NoBuffers);
        }
        let most = self.shorten(self.faults.short_recv, most.min(into.len()));
        let socket = self.handle_mut(io).ok_or(IoError::Unsupported)?;
        let count = socket.to_server.read(into, most);
        let is_broken = count == 0 && socket.reset;
        if count > 0 {
            self.received += count as u64;
            // The client has room to send again.
            self.tell(io.0);
        }
        if is_broken { Err(IoError::ConnectionReset) } else { Ok(count) }
    }

    /// Sends at most `most` bytes of the parts, in order.
    pub(super) fn send(&mut self, io: IoHandle, parts: [&[u8]; 2], most: usize) -> Moved {
        if self.dice.per_mille(self.faults.no_buffers) {
            return Err(IoError::NoBuffers);
        }
        let all = parts[0].len() + parts[1].len();
        let most = self.shorten(self.faults.short_send, most.min(all));
        let window = self.window;
        let socket = self.handle_mut(io).ok_or(IoError::Unsupported)?;
        if socket.reset || socket.server_fin {
            return Err(IoError::ConnectionReset);
        }
        let count = if socket.client_gone {
            // The first bytes are sent, and answered with a reset.
            socket.break_up();
            most
        } else {
            let first = socket.to_client.write(window, parts[0], most);
            let rest = if first == parts[0].len() { socket.to_client.write(window, parts[1], most - first) } else { 0 };
            first + rest
        };
        self.sent += count as u64;
        self.tell(io.0);
        Ok(count)
    }

    /// Sends at most `most` bytes of `head` and of a part of a file. If the file ends first, or is not open, that is an
    /// error, as of a system that finds out while it sends.
    pub(super) fn send_file(&mut self, io: IoHandle, head: &[u8], range: FileRange, most: usize) -> Moved {
        let files = core::mem::take(&mut self.files);
        let bytes = files.read(range).unwrap_or_default();
        let sent = self.send(io, [head, bytes], most);
        let ends = bytes.len() < range.len as usize && sent == Ok(head.len() + bytes.len());
        self.files = files;
        if ends {
            // The server is not told how much has been sent.
            self.sent -= sent.unwrap_or(0) as u64;
            return Err(IoError::FileUnreadable);
        }
        sent
    }

    /// By chance, fewer than `most` bytes.
    fn shorten(&mut self, chance: u16, most: usize) -> usize {
        if most > 1 && self.dice.per_mille(chance) { self.dice.between(1, most - 1) } else { most }
    }

    pub(super) fn shutdown(&mut self, io: IoHandle, how: Shutdown) {
        let Some(socket) = self.handle_mut(io) else { return };
        socket.resets |= how == Shutdown::Reset;
        socket.server_fin |= matches!(how, Shutdown::Write | Shutdown::Both);
        socket.read_ended |= matches!(how, Shutdown::Read | Shutdown::Both);
        self.tell(io.0);
    }

    pub(super) fn close(&mut self, io: IoHandle) {
        if self.handle(io).is_none() {
            return;
        }
        let mut waiting = core::mem::replace(&mut self.sockets[io.0 as usize].first_waiting, NONE);
        while waiting != NONE {
            let connection = &mut self.sockets[waiting as usize];
            let next = connection.next_waiting;
            self.turned_away += 1;
            connection.break_up();
            connection.close_server();
            self.tell(waiting);
            self.release_if_over(waiting);
            waiting = next;
        }
        self.sockets[io.0 as usize].close_server();
        self.tell(io.0);
        self.release_if_over(io.0);
    }

    /// The bytes in the pipe to the client; `None` if the connection is closed.
    pub(super) fn unacknowledged(&self, io: IoHandle) -> Option<u32> {
        let socket = self.handle(io).filter(|socket| socket.server == Server::Open)?;
        u32::try_from(socket.to_client.filled()).ok()
    }

    /// The next socket on which something changed, with the flags of its event.
    pub(super) fn take_change(&mut self) -> Option<(IoHandle, Ready)> {
        let index = self.changes.pop_front()?;
        let socket = &mut self.sockets[index as usize];
        socket.changed = false;
        Some((IoHandle(index), core::mem::take(&mut socket.edge)))
    }
}

/// Both ends.
impl Network {
    pub(super) fn window(&self) -> usize {
        self.window
    }

    pub(super) fn take_free(&mut self) -> Option<u32> {
        self.free.pop()
    }

    /// Records a change for the server.
    pub(super) fn change(&mut self, index: u32) {
        self.announced += 1;
        let socket = &mut self.sockets[index as usize];
        if !socket.changed {
            socket.changed = true;
            self.changes.push_back(index);
        }
    }

    /// Records a change for the client.
    pub(super) fn tell(&mut self, index: u32) {
        let socket = &mut self.sockets[index as usize];
        if !socket.has_news {
            socket.has_news = true;
            self.news.push_back(index);
        }
    }

    pub(super) fn release_if_over(&mut self, index: u32) {
        let socket = &mut self.sockets[index as usize];
        if socket.is_over() {
            socket.release();
            self.free.push(index);
        }
    }
}

/// Files. A reactor over a network sends files once there has been one.
impl Network {
    /// Opens a file with this content.
    pub fn open_file(&mut self, bytes: Vec<u8>) -> FileId {
        self.files.open(bytes)
    }

    /// The content of an open file, to be changed as another program might.
    pub fn file_mut(&mut self, file: FileId) -> Option<&mut Vec<u8>> {
        self.files.content(file)
    }

    /// Closes a file: nothing of it is sent from now on, and its place is used again.
    pub fn close_file(&mut self, file: FileId) {
        self.files.close(file);
    }

    pub(super) fn has_files(&self) -> bool {
        !self.files.is_empty()
    }
}
