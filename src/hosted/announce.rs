//! The start-up line.

use std::fmt;
use std::net::SocketAddr;

use aurora_http_core::budget::Memory;

use super::address::ListenAddr;

/// A description of a server that is ready to serve. `Display` gives the start-up line:
///
/// ```text
/// listening on 127.0.0.1:8080,unix:/run/server.sock backend=epoll workers=2 connections=1024 memory=5.9MiB/worker
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Announcement {
    /// Where it listens, in the order of the configuration.
    pub listeners: Vec<ListenAddr>,
    /// The first IP address and port among them: the actual one if port 0 was configured; all zeros when there are only
    /// Unix-domain sockets.
    pub address: SocketAddr,
    /// The backend's name.
    pub backend: &'static str,
    /// What the backend can use on this system, where that varies: for io_uring, the optional kernel features.
    pub backend_detail: Option<String>,
    /// Why [`Backend::Auto`](super::Backend::Auto) did not choose a better backend, if a better one exists.
    pub note: Option<String>,
    /// The number of workers.
    pub workers: usize,
    /// The most connections per worker.
    pub connections: usize,
    /// The memory of each worker, all of it allocated before the first accept.
    pub memory: Memory,
    /// The most bytes that TLS takes in addition for each connection that is open, allocated when it is accepted; `None`
    /// when connections are not encrypted.
    pub tls_bytes_max: Option<usize>,
}

impl fmt::Display for Announcement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { listeners, address: _, backend, backend_detail, workers, connections, memory, note, tls_bytes_max } =
            self;
        let bytes = Bytes(memory.total());
        let mut separator = "listening on ";
        for listener in listeners {
            write!(f, "{separator}{listener}")?;
            separator = ",";
        }
        write!(f, " backend={backend} workers={workers} connections={connections} memory={bytes}/worker")?;
        if let Some(bytes) = tls_bytes_max {
            write!(f, " tls=up to {}/connection", Bytes(*bytes))?;
        }
        if let Some(detail) = backend_detail {
            write!(f, " {backend}={detail}")?;
        }
        match note {
            Some(note) => write!(f, " ({note})"),
            None => Ok(()),
        }
    }
}

/// A number of bytes, printed in a unit that leaves few digits.
pub(super) struct Bytes(pub(super) usize);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.0 as f64;
        let (unit, name) = match self.0 {
            0x4000_0000.. => (f64::from(1 << 30), "GiB"),
            0x10_0000.. => (f64::from(1 << 20), "MiB"),
            _ => (1024.0, "KiB"),
        };
        write!(f, "{:.1}{name}", bytes / unit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_has_the_actual_address_and_readable_units() {
        let memory = Memory { buffers: 5 << 20, slots: 300 << 10, ..Memory::default() };
        let mut announcement = Announcement {
            listeners: vec![ListenAddr::Ip("[::1]:80".parse().unwrap()), ListenAddr::Unix("/a".into())],
            address: "[::1]:80".parse().unwrap(),
            backend: "epoll",
            backend_detail: None,
            note: None,
            workers: 2,
            connections: 7,
            memory,
            tls_bytes_max: None,
        };
        let line = "listening on [::1]:80,unix:/a backend=epoll workers=2 connections=7 memory=5.3MiB/worker";
        assert_eq!(announcement.to_string(), line);
        announcement.backend_detail = Some("basic".into());
        assert_eq!(announcement.to_string(), format!("{line} epoll=basic"));
        announcement.backend_detail = None;
        announcement.note = Some("it rains".into());
        assert_eq!(announcement.to_string(), format!("{line} (it rains)"));
        announcement.note = None;
        announcement.tls_bytes_max = Some(1 << 16);
        assert_eq!(announcement.to_string(), format!("{line} tls=up to 64.0KiB/connection"));
        for (bytes, text) in [(0, "0.0KiB"), (1536, "1.5KiB"), (1 << 20, "1.0MiB"), (3 << 29, "1.5GiB")] {
            assert_eq!(Bytes(bytes).to_string(), text);
        }
    }
}
