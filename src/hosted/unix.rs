//! Unix-domain sockets in the file system: creates them, replaces those that nothing listens on any more, removes them.

use std::fs::{self, Metadata};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use aurora_http_sockets::stream_socket;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix};

use super::error::ServerError;
use super::holders;

/// A socket's file. Dropping this removes it, unless another file has taken its place.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl SocketFile {
    fn is_at(&self, found: &Metadata) -> bool {
        (found.dev(), found.ino()) == (self.device, self.inode)
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if fs::symlink_metadata(&self.path).is_ok_and(|found| self.is_at(&found)) {
            // If it cannot be removed, the next server replaces it.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Listens on `path`. An existing socket that nothing listens on is replaced: a killed server has left it behind.
/// Anything else at that path is kept, and is an error. (If two servers start within the same microseconds on the same
/// stale socket, one may take it from the other.)
pub(super) fn listen(path: &Path, backlog: u32) -> Result<(OwnedFd, SocketFile), ServerError> {
    let failed = |error: io::Error| ServerError::SocketFile { path: path.to_owned(), error };
    let begun = Instant::now();
    let socket = loop {
        match open(path, backlog) {
            Ok(socket) => break socket,
            Err(Errno::ADDRINUSE) => {}
            Err(error) => return Err(failed(error.into())),
        }
        let is_patient = begun.elapsed() < holders::PATIENCE;
        match probe(path)? {
            Occupant::None if is_patient => {}
            // The remains of a killed process may go on taking connections for a while.
            Occupant::Listener if is_patient && !holders::holds_path(path) => thread::sleep(holders::PAUSE),
            _ => return Err(ServerError::SocketInUse(path.to_owned())),
        }
    };
    let made = fs::symlink_metadata(path).map_err(failed)?;
    Ok((socket, SocketFile { path: path.to_owned(), device: made.dev(), inode: made.ino() }))
}

fn open(path: &Path, backlog: u32) -> Result<OwnedFd, Errno> {
    let address = SocketAddrUnix::new(path)?;
    let socket = stream_socket(AddressFamily::UNIX)?;
    rustix::net::bind(&socket, &address)?;
    let listening = rustix::net::listen(&socket, i32::try_from(backlog).unwrap_or(i32::MAX));
    if listening.is_err() {
        let _ = fs::remove_file(path);
    }
    listening.map(|()| socket)
}

/// What is at a path that is in use.
enum Occupant {
    /// Nothing listens there any more.
    None,
    /// A listener that takes connections, or would if its backlog were not full.
    Listener,
}

/// Finds out whether anything listens at a path, and removes a socket that refuses connections.
fn probe(path: &Path) -> Result<Occupant, ServerError> {
    let failed = |error| ServerError::SocketFile { path: path.to_owned(), error };
    let metadata = match fs::symlink_metadata(path) {
        // It has been removed in the meantime.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Occupant::None),
        metadata => metadata.map_err(failed)?,
    };
    if !metadata.file_type().is_socket() {
        let no_socket = "the path is taken by something other than a socket; remove that, or choose another path";
        return Err(failed(io::Error::new(io::ErrorKind::AlreadyExists, no_socket)));
    }
    match connect(path) {
        Err(Errno::CONNREFUSED) => match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(error)),
            _ => Ok(Occupant::None),
        },
        Err(Errno::NOENT) => Ok(Occupant::None),
        Ok(()) | Err(Errno::AGAIN | Errno::INPROGRESS) => Ok(Occupant::Listener),
        Err(error) => Err(failed(error.into())),
    }
}

/// On other systems than Linux, a server with a full backlog also refuses connections, so a refusal must be repeated to
/// count.
const TRIES: u32 = if cfg!(target_os = "linux") { 1 } else { 10 };

/// Tries to connect, without blocking on a full backlog.
fn connect(path: &Path) -> Result<(), Errno> {
    let address = SocketAddrUnix::new(path)?;
    let mut tried = 1;
    loop {
        // The socket does not block, because a stuck server with a full backlog would keep us waiting.
        let socket = stream_socket(AddressFamily::UNIX)?;
        match rustix::io::retry_on_intr(|| rustix::net::connect(&socket, &address)) {
            Err(Errno::CONNREFUSED) if tried < TRIES => tried += 1,
            result => return result,
        }
        thread::sleep(Duration::from_millis(20));
    }
}
