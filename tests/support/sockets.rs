//! The backends in the harness, with real sockets on the loopback interface. They have the same API.

use std::cell::RefCell;
use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use aurora_http_core::reactor::{FileId, IoHandle, Reactor};
use aurora_http_core::readiness::{Held, Parked};
use aurora_http_core::sim::ClientRecv;
use aurora_http_sockets::OpenFile;
#[cfg(target_os = "linux")]
use aurora_http_uring::LentPlace;
use rustix::net::sockopt;

use super::Harness;

/// `$sockets` and `$sockets_mut` lead from a reactor to the object that holds its sockets.
macro_rules! harness {
    ($harness:ident, $backend:ident, $Reactor:ty, [$($sockets:tt)*], [$($sockets_mut:tt)*], $place:expr, $new:expr, [$($files:tt)*]) => {
        pub(crate) struct $harness {
            reactor: $Reactor,
        }

        impl Harness for $harness {
            type Reactor = $Reactor;
            type Waker = $backend::Waker;
            type Client = TcpStream;

            fn new(sockets: usize, lent: usize) -> Self {
                let table: Vec<_> = (0..sockets).map(|_| $backend::Entry::new()).collect();
                let lent: Vec<_> = (0..lent).map(|_| $place).collect();
                Self { reactor: $new(table.leak(), lent.leak()) }
            }

            fn reactor(&mut self) -> &mut Self::Reactor {
                &mut self.reactor
            }

            fn waker(&self) -> Self::Waker {
                self.reactor$($sockets)*.waker().expect("a waker")
            }

            fn listen(&mut self) -> IoHandle {
                let options = $backend::ListenOptions::default();
                let listener = $backend::listen("127.0.0.1:0".parse().unwrap(), &options).expect("a listener");
                self.reactor$($sockets_mut)*.add_listener(listener).expect("a free entry")
            }

            fn connect(&mut self, listener: IoHandle) -> TcpStream {
                let address = self.reactor$($sockets)*.local_addr(listener).expect("a listener");
                let stream = TcpStream::connect(address).expect("a connection");
                stream.set_nodelay(true).unwrap();
                stream.set_nonblocking(true).unwrap();
                stream
            }

            fn client_send(&mut self, client: &mut TcpStream, bytes: &[u8]) -> usize {
                client.write(bytes).unwrap_or(0)
            }

            fn client_recv(&mut self, client: &mut TcpStream, into: &mut [u8]) -> ClientRecv {
                match client.read(into) {
                    Ok(0) => ClientRecv::Fin,
                    Ok(count) => ClientRecv::Bytes(count),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => ClientRecv::Nothing,
                    Err(_) => ClientRecv::Reset,
                }
            }

            fn client_finish(&mut self, client: &mut TcpStream) {
                client.shutdown(Shutdown::Write).unwrap();
            }

            fn client_close(&mut self, client: TcpStream) {
                drop(client);
            }

            fn client_reset(&mut self, client: TcpStream) {
                // macOS sets no options on a connection that is gone.
                let _ = sockopt::set_socket_linger(&client, Some(Duration::ZERO));
                drop(client);
            }

            fn shrink(&mut self, io: IoHandle) {
                let socket = self.reactor$($sockets)*.descriptor(io).expect("an open handle");
                // Elsewhere, with a buffer of less than a segment, each send waits for a delayed acknowledgement.
                let bytes = if cfg!(target_os = "linux") { 4096 } else { 65_536 };
                sockopt::set_socket_send_buffer_size(socket, bytes).unwrap();
            }

            $($files)*
        }
    };
}

/// A harness of a backend that supplies non-blocking calls.
macro_rules! readiness_harness {
    ($harness:ident, $backend:ident, $Poller:ident) => {
        harness!(
            $harness,
            $backend,
            $backend::Reactor<'static, 'static>,
            [.get_ref()],
            [.get_mut()],
            None,
            |table: &'static mut [$backend::Entry], lent| {
                let parked: Vec<_> = table.iter().map(|_| Parked::new()).collect();
                let held: Vec<_> = table.iter().map(|_| Held::new()).collect();
                let poller = $backend::$Poller::new(table).expect("a poller");
                $backend::Reactor::new(poller, parked.leak(), held.leak(), lent)
            },
            [
                fn open_file(&mut self, bytes: &[u8]) -> Option<FileId> {
                    self.reactor.peers().sends_files().then(|| open_file(bytes))
                }

                fn close_file(&mut self, file: FileId) {
                    OPEN.with_borrow_mut(|open| open.retain(|one| one.id() != file));
                }
            ]
        );
    };
}

#[cfg(target_os = "linux")]
readiness_harness!(EpollHarness, aurora_http_epoll, Epoll);
// On Linux over the emulation of kqueue.
#[cfg(any(target_os = "linux", kqueue_exists))]
readiness_harness!(KqueueHarness, aurora_http_kqueue, Kqueue);
#[cfg(target_os = "linux")]
harness!(
    UringHarness,
    aurora_http_uring,
    aurora_http_uring::Uring<'static>,
    [],
    [],
    LentPlace::new(),
    |table: &'static mut [aurora_http_uring::Entry], lent| {
        let held: Vec<_> = table.iter().map(|_| aurora_http_uring::Held::new()).collect();
        aurora_http_uring::Uring::new(table, held.leak(), lent).expect("io_uring")
    },
    [
                fn open_file(&mut self, bytes: &[u8]) -> Option<FileId> {
                    self.reactor.peers().sends_files().then(|| open_file(bytes))
                }

                fn close_file(&mut self, file: FileId) {
                    OPEN.with_borrow_mut(|open| open.retain(|one| one.id() != file));
                }
            ]
);

thread_local! {
    static OPEN: RefCell<Vec<OpenFile>> = const { RefCell::new(Vec::new()) };
}

/// A file without a name.
fn open_file(bytes: &[u8]) -> FileId {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let path = std::env::temp_dir().join(format!("aurora-contract-{}-{number}", std::process::id()));
    fs::write(&path, bytes).expect("a temporary file");
    let file = OpenFile::new(fs::File::open(&path).expect("it is there").into()).expect("few are open");
    fs::remove_file(&path).expect("it is there");
    let id = file.id();
    OPEN.with_borrow_mut(|open| open.push(file));
    id
}
