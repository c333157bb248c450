//! What an exchange keeps between two calls.

use std::fmt;
use std::time::{Duration, Instant};

use crate::asked::{Kept, Target};
use crate::files::Observer;
use crate::found::Found;
use crate::parts::Parts;
use crate::source::Source;
use crate::threads::Pending;

/// The exchange of a [`ServeFiles`](crate::ServeFiles). It owns the open file, which is closed with it.
#[derive(Debug)]
pub struct Transfer {
    pub(crate) body: Body,
    /// Bytes that another thread reads ahead.
    pub(crate) ahead: Option<Pending<()>>,
    pub(crate) watch: Option<Box<Watch>>,
}

#[derive(Debug)]
pub(crate) enum Body {
    /// A file, or one range of it.
    File(Source),
    Parts(Box<Parts>),
    Page {
        bytes: Vec<u8>,
        written: usize,
    },
    /// Another thread opens the file.
    Opening(Box<Opening>),
}

const _: () = assert!(size_of::<Transfer>() <= 64);

/// A request whose file another thread opens.
#[derive(Debug)]
pub(crate) struct Opening {
    pub(crate) pending: Pending<Found>,
    pub(crate) asked: Kept,
    pub(crate) is_head: bool,
    pub(crate) path: Vec<u8>,
    pub(crate) query: Option<Vec<u8>>,
}

impl Opening {
    pub(crate) fn target(&self) -> Target<'_> {
        Target { is_head: self.is_head, path: &self.path, query: self.query.as_deref() }
    }
}

impl Transfer {
    pub(crate) const fn new(body: Body) -> Self {
        Self { body, ahead: None, watch: None }
    }

    /// The file whose next bytes are not in the cache.
    pub(crate) const fn source(&mut self) -> Option<&mut Source> {
        match &mut self.body {
            Body::File(source) => Some(source),
            Body::Parts(parts) => Some(parts.source()),
            Body::Page { .. } | Body::Opening(_) => None,
        }
    }
}

/// How far a long response is: see [`Files::on_progress`](crate::Files::on_progress).
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Progress<'a> {
    /// The path of the request, as it was sent.
    pub path: &'a str,
    /// The bytes of content that have been passed to the connection; at the end all of `total`, or the response was cut off.
    pub sent: u64,
    /// The length of the content.
    pub total: u64,
    /// Since the response began.
    pub elapsed: Duration,
    /// This is the last report of this response.
    pub is_over: bool,
}

impl Progress<'_> {
    /// Whether everything has been sent. What the client has received is another matter: the last bytes may still be in the buffers
    /// of the system.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.sent == self.total
    }
}

/// There are no more reports than one in this time.
const REPORT_EVERY: Duration = Duration::from_secs(1);

/// Reports the progress of one response; its end when it is dropped.
pub(crate) struct Watch {
    observer: Observer,
    path: String,
    /// The position in the file at which the response began.
    from: u64,
    sent: u64,
    total: u64,
    reported: u64,
    begun: Instant,
    last: Instant,
}

impl Watch {
    pub(crate) fn new(observer: Observer, path: &[u8], from: u64, total: u64) -> Self {
        let path = String::from_utf8_lossy(path).into_owned();
        let begun = Instant::now();
        let watch = Self { observer, path, from, sent: 0, total, reported: 0, begun, last: begun };
        watch.report(false);
        watch
    }

    /// The file has been sent up to this position.
    pub(crate) fn reach(&mut self, position: u64) {
        self.sent = position.saturating_sub(self.from).min(self.total);
        let is_tenth = self.sent - self.reported >= (self.total / 10).max(1) && self.sent < self.total;
        if is_tenth && self.last.elapsed() >= REPORT_EVERY {
            (self.reported, self.last) = (self.sent, Instant::now());
            self.report(false);
        }
    }

    fn report(&self, is_over: bool) {
        let (sent, total, elapsed) = (self.sent, self.total, self.begun.elapsed());
        (self.observer)(&Progress { path: &self.path, sent, total, elapsed, is_over });
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.report(true);
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("path", &self.path).field("sent", &self.sent).finish_non_exhaustive()
    }
}
