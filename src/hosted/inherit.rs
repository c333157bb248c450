//! Listening sockets that another process opened: socket activation, or a descriptor of the program's own.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Mutex, PoisonError};

use listenfd::ListenFd;
use rustix::io::Errno;
use rustix::net::{SocketType, sockopt};

use super::error::ServerError;

/// One at a time: the environment is read, then cleared.
static TAKING: Mutex<()> = Mutex::new(());

/// The sockets of `LISTEN_FDS`, which are this process's once. (launchd on macOS hands sockets over in another way.)
pub(super) fn take() -> Result<Vec<OwnedFd>, ServerError> {
    let _alone = TAKING.lock().unwrap_or_else(PoisonError::into_inner);
    let mut found = ListenFd::from_env();
    if found.len() == 0 {
        let reason = "LISTEN_FDS names no socket for this process; start it by systemd or another service manager";
        return Err(ServerError::Inherited { number: None, reason: reason.into() });
    }
    (0..found.len()).map(|number| take_one(&mut found, number)).collect()
}

fn take_one(found: &mut ListenFd, number: usize) -> Result<OwnedFd, ServerError> {
    let failed = |reason: String| ServerError::Inherited { number: Some(number), reason };
    // What is no TCP socket is left where it was.
    let socket = match found.take_tcp_listener(number) {
        Ok(socket) => socket.map(OwnedFd::from),
        Err(_) => match found.take_unix_listener(number) {
            Ok(socket) => socket.map(OwnedFd::from),
            Err(error) => return Err(failed(error.to_string())),
        },
    };
    let socket = socket.ok_or_else(|| failed("it was taken already".into()))?;
    check(&socket).map_err(failed)?;
    Ok(socket)
}

/// Whether connections can be accepted from a descriptor, or what it is instead.
pub(super) fn check(socket: impl AsFd) -> Result<(), String> {
    match sockopt::socket_type(&socket) {
        Ok(SocketType::STREAM) => {}
        Ok(_) => return Err("it is no stream socket".into()),
        Err(Errno::NOTSOCK) => return Err("it is no socket".into()),
        Err(error) => return Err(error.to_string()),
    }
    // macOS does not tell.
    #[cfg(not(target_vendor = "apple"))]
    if sockopt::socket_acceptconn(&socket) == Ok(false) {
        return Err("it does not listen; call listen(2) first".into());
    }
    Ok(())
}
