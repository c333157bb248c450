//! Unix-domain sockets in the file system: made, replaced when nobody listens on them any more, removed.

use std::fs::{self, Metadata};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketType};

use super::error::ServerError;

/// A socket's file, removed when this is dropped unless somebody else's has taken its place.
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
            // Whoever can no longer remove it leaves a file that the next server replaces.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Listens on `path`. A socket that is there and that nobody listens on is replaced: it is what a server leaves that was
/// killed. Anything else that is there stays, and is an error. (Of two servers that start within the same microseconds
/// over the same left socket, one may take it from the other.)
pub(super) fn listen(path: &Path, backlog: u32) -> Result<(OwnedFd, SocketFile), ServerError> {
    let failed = |error: io::Error| ServerError::SocketFile { path: path.to_owned(), error };
    let opened = match open(path, backlog) {
        Err(Errno::ADDRINUSE) => {
            remove_left(path)?;
            open(path, backlog)
        }
        opened => opened,
    };
    let socket = match opened {
        Ok(socket) => socket,
        Err(Errno::ADDRINUSE) => return Err(ServerError::SocketInUse(path.to_owned())),
        Err(error) => return Err(failed(error.into())),
    };
    let made = fs::symlink_metadata(path).map_err(failed)?;
    Ok((socket, SocketFile { path: path.to_owned(), device: made.dev(), inode: made.ino() }))
}

fn open(path: &Path, backlog: u32) -> Result<OwnedFd, Errno> {
    let address = SocketAddrUnix::new(path)?;
    let socket = rustix::net::socket(AddressFamily::UNIX, SocketType::STREAM, None)?;
    rustix::io::fcntl_setfd(&socket, rustix::io::FdFlags::CLOEXEC)?;
    rustix::net::bind(&socket, &address)?;
    let listening = rustix::net::listen(&socket, i32::try_from(backlog).unwrap_or(i32::MAX));
    if listening.is_err() {
        let _ = fs::remove_file(path);
    }
    listening.map(|()| socket)
}

/// Removes a socket that refuses connections.
fn remove_left(path: &Path) -> Result<(), ServerError> {
    let failed = |error| ServerError::SocketFile { path: path.to_owned(), error };
    let there = fs::symlink_metadata(path).map_err(failed)?;
    if !there.file_type().is_socket() {
        let no_socket = "there is a file of another kind; remove it, or choose another path";
        return Err(failed(io::Error::new(io::ErrorKind::AlreadyExists, no_socket)));
    }
    match connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path).map_err(failed),
        // Gone in the meantime: just as well.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Ok(_) => Err(ServerError::SocketInUse(path.to_owned())),
        Err(error) => Err(failed(error)),
    }
}

/// Off Linux a server whose backlog is full refuses connections too, but not for long.
const TRIES: u32 = if cfg!(target_os = "linux") { 1 } else { 10 };

/// Connects, or says why nobody is there who could be connected to.
fn connect(path: &Path) -> io::Result<UnixStream> {
    let mut tried = 1;
    loop {
        match UnixStream::connect(path) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused && tried < TRIES => tried += 1,
            result => return result,
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
