//! Static files for [aurora-http](https://docs.rs/aurora-http), on Linux, macOS and the BSDs, and [resumable uploads](tus).
//!
//! ```no_run
//! use aurora_http::Server;
//! use aurora_http_files::Files;
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let files = Files::new("public")?.listings(true);
//!     Server::bind("127.0.0.1:8080")?.announce().signals(true).serve(move |worker| files.handler(worker.resumer()))?;
//!     Ok(())
//! }
//! ```
//!
//! # What is answered
//! - GET and HEAD; OPTIONS with 204 and `Allow`, any other method with 405.
//! - `ETag` (strong: time of modification in nanoseconds, and length), `Last-Modified`, and the conditions of a request in the order
//!   of RFC 9110 §13.2.2: 304 and 412.
//! - `Range`: one range (206), several (`multipart/byteranges`, up to 16, or all of the file if they ask for more than that), 416.
//!   `If-Range`.
//! - The folder's `index.html`, or a listing if [enabled](Files::listings); 301 to a folder's name with a slash at its end.
//! - Siblings `.br`, `.zst` and `.gz` if [enabled](Files::precompressed), by `Accept-Encoding`.
//!
//! # What is not served
//! Nothing from outside the folder, however a path is spelled: `..` and `.` as segments are 400 in any spelling, and so is NUL; a
//! slash or a backslash in a segment (`%2f`, `%5c`) and empty segments are 404. On Linux 5.6 and later the kernel resolves the whole
//! path beneath the folder (openat2(2)), so symbolic links inside of it work and those that lead out of it are 404. Where the kernel
//! cannot do that, or a sandbox forbids it, links are not followed at all, and neither are they after
//! [`Files::follow_links(false)`](Files::follow_links). FIFOs, devices and sockets are 404. Names that begin with a dot are 404, except
//! `.well-known`, unless they are [enabled](Files::dot_files).
//!
//! # How files are sent
//! Where the connection [can](aurora_http_core::writer::ResponseWriter::sends_files), the system sends a file that is longer than
//! 32 KiB without copying it (sendfile(2)); otherwise it is read into a buffer of the pool. A file that is found to be shorter
//! than announced ends the connection, so that the client sees that its copy is not complete. As with any server that
//! uses sendfile(2), a file that is changed in place while it is sent reaches the client partly as it was and partly as it is, and
//! when it is cut in place, bytes that are already queued in the socket may arrive as zeros. So replace files by renaming.
//!
//! No worker waits for a disk. On Linux it asks the kernel only for what is in its caches, path and content (`RESOLVE_CACHED`,
//! `RWF_NOWAIT`); the rest is opened and read ahead by a few threads, and the exchange waits for them like a deferred answer. Elsewhere
//! the kernel does not tell, and these threads open every file and read all of it ahead.
//!
//! A file that is in the caches is sent without an allocation, if one range or all of it is asked for. Listings, several ranges and
//! files that are not in the caches allocate.
//!
//! On Linux, sendfile(2) raises SIGPIPE when the client has gone. Rust programs ignore that signal; in a program that does not,
//! such as one whose `main` is in C, files are copied instead.
#![forbid(unsafe_code)]
#![cfg(unix)]

#[cfg(test)]
extern crate self as aurora_http_files;

mod answer;
mod asked;
mod conditions;
mod files;
mod found;
mod handler;
mod listing;
mod media;
mod parts;
mod path;
mod range;
mod root;
#[cfg(test)]
mod slow_disk_tests;
mod source;
mod threads;
mod transfer;
pub mod tus;

pub use files::Files;
pub use handler::ServeFiles;
pub use transfer::{Progress, Transfer};
