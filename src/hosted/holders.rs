//! Tells whether an address in use belongs to a living process, or only to the remains of a killed one.
//!
//! The kernel tears down the rings of a killed process after its end, and until then they hold its listeners: clients
//! can connect, but nothing will ever accept. Such a listener differs from that of a living server in that no living
//! process has the socket among its descriptors.

use std::time::Duration;

/// How long to retry an address that no living process seems to hold.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);
/// The pause between two attempts.
pub(super) const PAUSE: Duration = Duration::from_millis(10);

pub(super) use system::{holds_address, holds_path};

#[cfg(target_os = "linux")]
mod system {
    use std::ffi::OsStr;
    use std::fs::{self, File};
    use std::io::{BufRead, BufReader};
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
    use std::os::unix::ffi::OsStrExt;
    use std::path::Path;

    /// A listening socket, as described by the kernel's tables.
    #[derive(Clone)]
    struct Listener {
        inode: String,
        user: Option<u32>,
    }

    /// Whether a living process has a listener that blocks `address`, as far as this can be determined.
    pub(in crate::hosted) fn holds_address(address: SocketAddr) -> bool {
        let found = [("/proc/net/tcp", false), ("/proc/net/tcp6", true)].map(|(table, v6)| tcp(table, v6, address));
        is_held(&found.concat())
    }

    /// Whether a living process listens on the Unix-domain socket at `path`, as far as this can be determined.
    pub(in crate::hosted) fn holds_path(path: &Path) -> bool {
        let Ok(table) = fs::read("/proc/net/unix") else { return false };
        let lines = table.split(|byte| *byte == b'\n');
        is_held(&lines.filter_map(|line| unix_listener(line, path)).collect::<Vec<_>>())
    }

    fn tcp(table: &str, v6: bool, address: SocketAddr) -> Vec<Listener> {
        let Ok(table) = File::open(table) else { return Vec::new() };
        let lines = BufReader::new(table).lines().skip(1).map_while(Result::ok);
        // The table lists listeners first, then connections, of which there may be very many.
        let listeners = lines.map_while(|line| tcp_listener(&line, v6));
        listeners.filter(|(local, _)| excludes(*local, address)).map(|(_, listener)| listener).collect()
    }

    /// `sl local remote st queues timer retransmits uid timeout inode …`; `None` if it is not listening.
    fn tcp_listener(line: &str, v6: bool) -> Option<(SocketAddr, Listener)> {
        let mut fields = line.split_ascii_whitespace().skip(1);
        let (ip, port) = fields.next()?.split_once(':')?;
        if fields.nth(1)? != "0A" {
            return None;
        }
        let user = fields.nth(3)?.parse().ok();
        let inode = fields.nth(1)?.to_owned();
        // Words of 32 bits, each in the machine's byte order.
        let mut bytes = [0; 16];
        for (at, word) in bytes.chunks_exact_mut(4).enumerate().take(if v6 { 4 } else { 1 }) {
            word.copy_from_slice(&u32::from_str_radix(ip.get(8 * at..8 * at + 8)?, 16).ok()?.to_ne_bytes());
        }
        let [a, b, c, d, ..] = bytes;
        let ip = if v6 { IpAddr::from(Ipv6Addr::from(bytes)) } else { IpAddr::from(Ipv4Addr::new(a, b, c, d)) };
        Some((SocketAddr::new(ip, u16::from_str_radix(port, 16).ok()?), Listener { inode, user }))
    }

    /// Whether a listener on `held` may prevent one on `wanted`.
    fn excludes(held: SocketAddr, wanted: SocketAddr) -> bool {
        let (one, other) = (held.ip().to_canonical(), wanted.ip().to_canonical());
        let everywhere = |ip: IpAddr, other: IpAddr| ip.is_unspecified() && (ip.is_ipv6() || other.is_ipv4());
        held.port() == wanted.port() && (one == other || everywhere(one, other) || everywhere(other, one))
    }

    /// `num: references protocol flags type state inode path`.
    fn unix_listener(line: &[u8], path: &Path) -> Option<Listener> {
        let line = line.strip_suffix(path.as_os_str().as_bytes())?;
        let mut fields = std::str::from_utf8(line.strip_suffix(b" ")?).ok()?.split_ascii_whitespace().skip(3);
        // __SO_ACCEPTCON.
        let listens = u32::from_str_radix(fields.next()?, 16).ok()? & 0x1_0000 != 0;
        let inode = fields.nth(2)?.to_owned();
        // Another field in between means that this is a longer path, which contains a space.
        (listens && fields.next().is_none()).then_some(Listener { inode, user: None })
    }

    fn is_held(listeners: &[Listener]) -> bool {
        let user = rustix::process::geteuid();
        // We may not see the descriptors of other users' processes, so we assume that those are alive.
        let strangers = |listener: &Listener| !user.is_root() && listener.user.is_some_and(|of| of != user.as_raw());
        if listeners.is_empty() || listeners.iter().any(strangers) {
            return !listeners.is_empty();
        }
        let names: Vec<_> = listeners.iter().map(|listener| format!("socket:[{}]", listener.inode)).collect();
        let Ok(processes) = fs::read_dir("/proc") else { return false };
        let is_number = |name: &OsStr| name.as_bytes().iter().all(u8::is_ascii_digit);
        processes
            .flatten()
            .filter(|process| is_number(&process.file_name()))
            .any(|process| has_one_of(&process.path(), &names) && !is_dying(&process.path()))
    }

    fn has_one_of(process: &Path, names: &[String]) -> bool {
        let descriptors = fs::read_dir(process.join("fd")).into_iter().flatten().flatten();
        let mut links = descriptors.filter_map(|descriptor| fs::read_link(descriptor.path()).ok());
        links.any(|link| names.iter().any(|name| link.as_os_str() == OsStr::new(name)))
    }

    /// Whether a process that still has its descriptors has been killed or is exiting.
    fn is_dying(process: &Path) -> bool {
        const EXITING: u32 = 0x4; // PF_EXITING
        const KILL: u64 = 1 << 8; // SIGKILL is pending
        let Ok(stat) = fs::read_to_string(process.join("stat")) else { return true };
        // After the name, which may contain anything: first the state, and seventh the flags.
        let mut fields = stat.rsplit(')').next().unwrap_or_default().split_ascii_whitespace();
        let gone = matches!(fields.next(), Some("Z" | "X" | "x"));
        let flags: u32 = fields.nth(5).and_then(|flags| flags.parse().ok()).unwrap_or(0);
        let status = fs::read_to_string(process.join("status")).unwrap_or_default();
        let pending = status.lines().filter_map(|line| line.strip_prefix("SigPnd:").or(line.strip_prefix("ShdPnd:")));
        let killed = |set: &str| u64::from_str_radix(set.trim(), 16).is_ok_and(|set| set & KILL != 0);
        gone || flags & EXITING != 0 || pending.into_iter().any(killed)
    }

    #[cfg(test)]
    mod tests {
        use std::net::TcpListener;
        use std::os::unix::net::UnixListener;

        use super::*;

        #[test]
        fn the_kernels_tables_are_parsed() {
            let line =
                "   1: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4242 1 0";
            let (address, listener) = tcp_listener(line, false).unwrap();
            if cfg!(target_endian = "little") {
                assert_eq!(address, "127.0.0.1:8080".parse().unwrap());
            }
            assert_eq!((listener.inode.as_str(), listener.user), ("4242", Some(1000)));
            assert!(tcp_listener(&line.replace(" 0A ", " 01 "), false).is_none());
            let line = b"0000000000000000: 00000002 00000000 00010000 0001 01 4343 /run/a b.sock";
            assert_eq!(unix_listener(line, Path::new("/run/a b.sock")).unwrap().inode, "4343");
            assert!(unix_listener(line, Path::new("b.sock")).is_none());
            assert!(unix_listener(b"", Path::new("/run/a")).is_none());
        }

        #[test]
        fn a_wildcard_listener_excludes_a_single_address_and_vice_versa() {
            for (held, wanted, expected) in [
                ("127.0.0.1:1", "127.0.0.1:1", true),
                ("127.0.0.1:1", "127.0.0.1:2", false),
                ("127.0.0.1:1", "127.0.0.2:1", false),
                ("0.0.0.0:1", "127.0.0.1:1", true),
                ("127.0.0.1:1", "0.0.0.0:1", true),
                ("[::]:1", "127.0.0.1:1", true),
                ("127.0.0.1:1", "[::]:1", true),
                ("[::1]:1", "0.0.0.0:1", false),
                ("[::1]:1", "[::]:1", true),
                ("[::ffff:127.0.0.1]:1", "127.0.0.1:1", true),
            ] {
                assert_eq!(excludes(held.parse().unwrap(), wanted.parse().unwrap()), expected, "{held} {wanted}");
            }
        }

        #[test]
        fn listeners_of_a_living_process_are_found() {
            let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = tcp.local_addr().unwrap();
            assert!(holds_address(address));
            drop(tcp);
            assert!(!holds_address(address));
            let path = std::env::temp_dir().join(format!("aurora-held-{}.sock", std::process::id()));
            let _ = fs::remove_file(&path);
            let unix = UnixListener::bind(&path).unwrap();
            assert!(holds_path(&path));
            drop(unix);
            assert!(!holds_path(&path));
            fs::remove_file(&path).unwrap();
        }
    }
}

/// Only Linux has rings, which may outlive their process.
#[cfg(not(target_os = "linux"))]
mod system {
    use std::net::SocketAddr;
    use std::path::Path;

    pub(in crate::hosted) const fn holds_address(_address: SocketAddr) -> bool {
        true
    }

    pub(in crate::hosted) const fn holds_path(_path: &Path) -> bool {
        true
    }
}
