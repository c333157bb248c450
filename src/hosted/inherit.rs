//! Listening sockets that were opened elsewhere: by socket activation, or by the program itself.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Mutex, PoisonError};

use listenfd::ListenFd;
use rustix::io::Errno;
use rustix::net::{SocketType, sockopt};

use super::error::ServerError;

/// Held while the environment is read and then cleared, so that only one thread takes the sockets.
static TAKING: Mutex<()> = Mutex::new(());

/// Takes the sockets of `LISTEN_FDS`, which works once per process. (launchd on macOS hands sockets over in another
/// way.)
pub(super) fn take() -> Result<Vec<OwnedFd>, ServerError> {
    let _alone = TAKING.lock().unwrap_or_else(PoisonError::into_inner);
    let mut found = ListenFd::from_env();
    if found.len() == 0 {
        let reason = "LISTEN_FDS names no socket for this process; start it with systemd or another service manager";
        return Err(ServerError::Inherited { number: None, reason: reason.into() });
    }
    (0..found.len()).map(|number| take_one(&mut found, number)).collect()
}

fn take_one(found: &mut ListenFd, number: usize) -> Result<OwnedFd, ServerError> {
    let failed = |reason: String| ServerError::Inherited { number: Some(number), reason };
    // `listenfd` keeps a socket that is not a TCP listener, so it can be tried again.
    let socket = match found.take_tcp_listener(number) {
        Ok(socket) => socket.map(OwnedFd::from),
        Err(_) => match found.take_unix_listener(number) {
            Ok(socket) => socket.map(OwnedFd::from),
            Err(error) => return Err(failed(error.to_string())),
        },
    };
    let socket = socket.ok_or_else(|| failed("it has already been taken".into()))?;
    check(&socket).map_err(failed)?;
    Ok(socket)
}

/// Checks that a descriptor is a listening stream socket. The error says what it is instead.
pub(super) fn check(socket: impl AsFd) -> Result<(), String> {
    match sockopt::socket_type(&socket) {
        Ok(SocketType::STREAM) => {}
        Ok(_) => return Err("it is not a stream socket".into()),
        Err(Errno::NOTSOCK) => return Err("it is not a socket".into()),
        Err(error) => return Err(error.to_string()),
    }
    // macOS cannot tell.
    #[cfg(not(target_vendor = "apple"))]
    if sockopt::socket_acceptconn(&socket) == Ok(false) {
        return Err("it does not listen; call listen(2) first".into());
    }
    Ok(())
}
