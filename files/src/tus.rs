//! Resumable uploads: the [tus protocol](https://tus.io/protocols/resumable-upload), version 1.0.0, into files of a folder.
//!
//! ```no_run
//! use aurora_http::Server;
//! use aurora_http_files::tus::Uploads;
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let uploads = Uploads::new("uploads")?.under("/uploads").on_complete(|upload| {
//!         println!("{}: {} bytes", upload.path().display(), upload.bytes());
//!         Ok(())
//!     });
//!     Server::bind("127.0.0.1:8080")?.announce().signals(true).serve(move |worker| uploads.handler(worker.resumer()))?;
//!     Ok(())
//! }
//! ```
//!
//! # What is answered
//! The core protocol and the extensions `creation`, `termination` and `expiration`:
//! - POST to the prefix creates an upload of `Upload-Length` bytes, with `Upload-Metadata`: 201 with its `Location`.
//! - HEAD tells how much of it has arrived, in `Upload-Offset`.
//! - PATCH appends content of the type `application/offset+octet-stream` at `Upload-Offset`: 204 with the new offset; 409 if it has
//!   another one; 413 beyond its length.
//! - DELETE removes it. OPTIONS tells version, extensions and the longest upload.
//! - 404 for uploads that do not exist or have expired; 412 for another `Tus-Resumable` than `1.0.0`; 423 for an upload to which
//!   another request is appending, or of which the program is being told; 503 when there are too many uploads; 507 when the disk is
//!   full.
//! - `X-HTTP-Method-Override` of a POST replaces its method.
//!
//! `Upload-Defer-Length` is refused (400): an upload has its length from the start.
//!
//! # Pages of other origins
//! Browsers have to be told that they may send and read the protocol's fields:
//!
//! ```
//! use aurora_http::{Handler, Resumer};
//! use aurora_http_files::tus::{self, Uploads};
//! use aurora_http_web::middleware::{Cors, Wrap};
//!
//! fn handler(uploads: &Uploads, resumer: Resumer) -> impl Handler + use<> {
//!     let cors = Cors::new(&["https://example.org"]).methods("POST, HEAD, PATCH, DELETE");
//!     uploads.handler(resumer).wrap(cors.fields(tus::REQUEST_FIELDS).exposed_fields(tus::RESPONSE_FIELDS))
//! }
//! ```
//!
//! # What is on disk
//! For each upload its content, in a file whose length is the offset, and beside it its length and metadata in a small file that
//! is written at once or not at all. When the server stops, at most 64 KiB that have arrived were not written; when its machine
//! does, perhaps more, but no upload that was created, and nothing of one that is complete: a client asks with HEAD and goes on.
//! Before the last PATCH is answered, the file is synchronised with the disk. Uploads are locked (flock(2)) while a request appends
//! to them, also against other processes; a connection that hangs keeps its lock until the server's deadlines end it.
//!
//! Names of uploads are 128 random bits: whoever knows one may read its offset, append to it and delete it. So the folder is created
//! for its owner alone. It should be used for nothing else.
//!
//! # Memory and threads
//! No worker waits for a disk: a few threads do that, and each request that appends has a buffer of 64 KiB, which is written while no
//! more is received. These buffers are allocated.

mod answer;
mod asked;
mod handler;
mod store;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use aurora_http::Resumer;

pub use handler::{Receipt, ReceiveUploads};

use crate::threads::Threads;
use store::Store;

/// The protocol's fields in requests, for `Access-Control-Allow-Headers`.
pub const REQUEST_FIELDS: &str = "Content-Type, Tus-Resumable, Upload-Length, Upload-Metadata, Upload-Offset, X-HTTP-Method-Override, X-Requested-With";

/// The protocol's fields in responses, for `Access-Control-Expose-Headers`.
pub const RESPONSE_FIELDS: &str = "Location, Tus-Extension, Tus-Max-Size, Tus-Resumable, Tus-Version, Upload-Expires, Upload-Length, \
                                   Upload-Metadata, Upload-Offset";

/// A folder for resumable uploads. Make it once, and a [`handler`](Self::handler) of it for each worker.
///
/// See the [module](self) for an example, and for what is answered.
#[derive(Clone, Debug)]
pub struct Uploads {
    store: Arc<Store>,
    threads: Threads,
    /// How many requests append.
    requests: Arc<AtomicUsize>,
    options: Options,
}

/// Called with an upload that is complete.
type Observer = Arc<dyn Fn(&Complete<'_>) -> io::Result<()> + Send + Sync>;

#[derive(Clone)]
struct Options {
    prefix: String,
    bytes_max: u64,
    uploads_max: u64,
    requests_max: usize,
    expires_s: Option<u64>,
    observer: Option<Observer>,
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("prefix", &self.prefix)
            .field("bytes_max", &self.bytes_max)
            .finish_non_exhaustive()
    }
}

impl Uploads {
    /// Uploads into a folder, which is created if it does not exist, with access for its owner only. Uploads that are there go on.
    ///
    /// # Errors
    /// Those of creating and reading it.
    pub fn new(folder: impl Into<PathBuf>) -> io::Result<Self> {
        let options = Options {
            prefix: String::new(),
            bytes_max: 1 << 30,
            uploads_max: 10_000,
            requests_max: 256,
            expires_s: Some(24 * 60 * 60),
            observer: None,
        };
        Ok(Self {
            store: Arc::new(Store::open(folder.into())?),
            threads: Threads::new(),
            requests: Arc::default(),
            options,
        })
    }

    /// The path at which uploads are created: `/uploads` for `/uploads` and `/uploads/…`. The default is `/`.
    #[must_use]
    pub fn under(mut self, prefix: &str) -> Self {
        self.options.prefix = prefix.trim_end_matches('/').to_owned();
        self
    }

    /// The longest upload, in bytes; 1 GiB by default. It replaces the server's limit for content.
    #[must_use]
    pub fn bytes_max(mut self, bytes_max: u64) -> Self {
        self.options.bytes_max = bytes_max;
        self
    }

    /// How many uploads may exist, complete or not; 10 000 by default. Those that other processes create in the same folder meanwhile
    /// do not count.
    #[must_use]
    pub fn uploads_max(mut self, uploads_max: u64) -> Self {
        self.options.uploads_max = uploads_max;
        self
    }

    /// How many requests may append at a time, over all workers; 256 by default. Each has a buffer.
    #[must_use]
    pub fn requests_max(mut self, requests_max: usize) -> Self {
        self.options.requests_max = requests_max;
        self
    }

    /// How long after its last PATCH an upload is removed, in seconds, complete or not; a day by default, and `None` for never.
    /// Expired uploads are removed when others are created.
    #[must_use]
    pub fn expires_s(mut self, seconds: Option<u64>) -> Self {
        self.options.expires_s = seconds;
        self
    }

    /// Calls a function when an upload is complete, before its last PATCH is answered, on a thread that may wait for disks. It may
    /// move the file elsewhere. If it returns an error or panics, the PATCH is answered with 500, and the next PATCH, which needs no
    /// content, or HEAD calls it again. So does the next one after the server stopped in the middle: no client learns that its upload
    /// is complete before the function has returned `Ok`, and the function may see an upload more than once.
    #[must_use]
    pub fn on_complete(mut self, observer: impl Fn(&Complete<'_>) -> io::Result<()> + Send + Sync + 'static) -> Self {
        self.options.observer = Some(Arc::new(observer));
        self
    }

    /// A handler for one worker. It needs the [`Resumer`] of its server, because other threads write to the disk.
    #[must_use]
    pub fn handler(&self, resumer: Resumer) -> ReceiveUploads {
        ReceiveUploads::new(self.clone(), resumer)
    }
}

/// An upload that is complete.
#[derive(Debug)]
pub struct Complete<'a> {
    path: &'a Path,
    bytes: u64,
    metadata: &'a str,
}

impl<'a> Complete<'a> {
    /// The file with its content.
    #[must_use]
    pub const fn path(&self) -> &'a Path {
        self.path
    }

    /// Its length.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The value that the client gave for a key, such as `filename`: whatever it is, and not fit for a path.
    #[must_use]
    pub fn metadata(&self, key: &str) -> Option<Vec<u8>> {
        asked::pairs(self.metadata).flatten().find(|(its_key, _)| *its_key == key).map(|(_, value)| value)
    }
}
