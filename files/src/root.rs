//! Opens files below a folder, and nothing else.

use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::path::Path;

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{FileType, Mode, OFlags, Stat, fstat, openat};
use rustix::io::Errno;

/// The served folder. It stays the same folder when its name is given to another one.
#[derive(Debug)]
pub(crate) struct Root {
    folder: OwnedFd,
    kernel: Kernel,
}

/// What the kernel does for us (openat2(2)).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(not(target_os = "linux"), allow(dead_code))]
enum Kernel {
    /// Nothing, or a sandbox forbids it.
    Nothing,
    /// It resolves a path beneath a folder.
    Resolves,
    /// And can be told to use only its caches.
    KnowsCached,
}

/// How far an opening may reach.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Reach {
    /// Only what the kernel has in its caches; [`Errno::AGAIN`] for anything else.
    Cached,
    /// The disk, or the network.
    Any,
}

/// What a file is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Facts {
    pub(crate) kind: FileType,
    pub(crate) len: u64,
    /// Seconds since 1970-01-01, negative for earlier times.
    pub(crate) modified_s: i64,
    pub(crate) modified_ns: u32,
}

/// Reading never waits for a writer, as it would for a FIFO, and a terminal does not become ours.
const FLAGS: OFlags = OFlags::RDONLY.union(OFlags::CLOEXEC).union(OFlags::NONBLOCK).union(OFlags::NOCTTY);

impl Root {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let folder = OwnedFd::from(File::open(path)?);
        if facts(folder.as_fd())?.kind != FileType::Directory {
            return Err(Errno::NOTDIR.into());
        }
        let kernel = probe(folder.as_fd());
        Ok(Self { folder, kernel })
    }

    /// As where openat2(2) does not exist.
    #[cfg(test)]
    pub(crate) fn open_portably(path: &Path) -> io::Result<Self> {
        Ok(Self { kernel: Kernel::Nothing, ..Self::open(path)? })
    }

    /// Whether [`Reach::Cached`] can succeed.
    pub(crate) fn knows_cached(&self) -> bool {
        self.kernel == Kernel::KnowsCached
    }

    /// Opens what `path` names: neither absolute nor with `..`. Links are followed only if they stay below the folder, and only
    /// where the kernel can tell.
    pub(crate) fn open_below(&self, path: &CStr, follow_links: bool, reach: Reach) -> Result<OwnedFd, Errno> {
        if reach == Reach::Cached && !self.knows_cached() {
            return Err(Errno::AGAIN);
        }
        if self.kernel == Kernel::Nothing { self.walk(path) } else { self.resolve(path, follow_links, reach) }
    }

    #[cfg(target_os = "linux")]
    fn resolve(&self, path: &CStr, follow_links: bool, reach: Reach) -> Result<OwnedFd, Errno> {
        use rustix::fs::ResolveFlags;

        let mut how = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        how.set(ResolveFlags::NO_SYMLINKS, !follow_links);
        how.set(ResolveFlags::CACHED, reach == Reach::Cached);
        let mut attempts = 0;
        loop {
            attempts += 1;
            match rustix::fs::openat2(&self.folder, path, FLAGS, Mode::empty(), how) {
                // Something was renamed meanwhile, and the kernel is not sure.
                Err(Errno::AGAIN) if reach == Reach::Any && attempts < 8 => {}
                Err(Errno::INTR) => {}
                outcome => return outcome,
            }
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn resolve(&self, path: &CStr, _follow_links: bool, _reach: Reach) -> Result<OwnedFd, Errno> {
        self.walk(path)
    }

    /// Opens one segment after another, and follows no link.
    fn walk(&self, path: &CStr) -> Result<OwnedFd, Errno> {
        let mut folder: Option<OwnedFd> = None;
        let mut segments = path.to_bytes().split(|&byte| byte == b'/').peekable();
        while let Some(segment) = segments.next() {
            if matches!(segment, b"" | b"..") {
                return Err(Errno::NOENT); // refused before
            }
            let flags = if segments.peek().is_some() { FLAGS | OFlags::DIRECTORY } else { FLAGS };
            let at = folder.as_ref().map_or(self.folder.as_fd(), OwnedFd::as_fd);
            folder = Some(openat(at, segment, flags | OFlags::NOFOLLOW, Mode::empty())?);
        }
        folder.ok_or(Errno::NOENT)
    }
}

/// Finds out what the kernel, and a sandbox around this process, allow.
#[cfg(target_os = "linux")]
fn probe(folder: BorrowedFd<'_>) -> Kernel {
    use rustix::fs::{ResolveFlags, openat2};

    let tried = |how| openat2(folder, c".", FLAGS, Mode::empty(), ResolveFlags::BENEATH | how);
    if tried(ResolveFlags::empty()).is_err() {
        return Kernel::Nothing;
    }
    match tried(ResolveFlags::CACHED) {
        Ok(_) | Err(Errno::AGAIN) => Kernel::KnowsCached,
        Err(_) => Kernel::Resolves,
    }
}

#[cfg(not(target_os = "linux"))]
fn probe(_folder: BorrowedFd<'_>) -> Kernel {
    Kernel::Nothing
}

/// What an open file is.
pub(crate) fn facts(file: BorrowedFd<'_>) -> Result<Facts, Errno> {
    fstat(file).map(|stat| Facts::of(&stat))
}

impl Facts {
    /// The time as HTTP tells it: seconds since 1970-01-01, which is also for earlier times.
    pub(crate) fn modified_since_1970_s(&self) -> u64 {
        u64::try_from(self.modified_s).unwrap_or(0)
    }

    #[allow(clippy::unnecessary_cast)] // the types of the fields differ between systems
    pub(crate) fn of(stat: &Stat) -> Self {
        Self {
            kind: FileType::from_raw_mode(stat.st_mode),
            len: u64::try_from(stat.st_size).unwrap_or(0),
            modified_s: stat.st_mtime as i64,
            modified_ns: stat.st_mtime_nsec as u32,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    /// A folder with what a server must not fall for; removed when dropped.
    struct Trap(std::path::PathBuf);

    impl Trap {
        fn set(name: &str) -> Self {
            let outside = std::env::temp_dir().join(format!("aurora-root-{}-{name}", std::process::id()));
            let _ = fs::remove_dir_all(&outside);
            let root = outside.join("root");
            fs::create_dir_all(root.join("sub/deep")).unwrap();
            fs::write(outside.join("secret"), "secret").unwrap();
            fs::write(root.join("plain"), "plain").unwrap();
            fs::write(root.join("sub/deep/file"), "file").unwrap();
            symlink("../secret", root.join("out")).unwrap();
            symlink(outside.join("secret"), root.join("absolute")).unwrap();
            symlink("..", root.join("sub/up")).unwrap();
            symlink("/", root.join("slash")).unwrap();
            symlink("/proc/self/root", root.join("magic")).unwrap();
            symlink("deep/file", root.join("sub/inside")).unwrap();
            symlink("../plain", root.join("sub/across")).unwrap();
            symlink("loop", root.join("loop")).unwrap();
            Self(outside)
        }

        fn root(&self) -> std::path::PathBuf {
            self.0.join("root")
        }
    }

    impl Drop for Trap {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn nothing_outside_is_opened() {
        let trap = Trap::set("outside");
        let outside = [
            c"out",
            c"absolute",
            c"slash",
            c"slash/etc/passwd",
            c"sub/up/../../secret",
            c"../secret",
            c"/etc/passwd",
            c"magic/etc/passwd",
            c"loop",
            c"plain/",
            c"missing",
            c"plain/x",
        ];
        let by_kernel = Root::open(&trap.root()).unwrap();
        let by_walk = Root::open_portably(&trap.root()).unwrap();
        for path in outside {
            for (name, root) in [("kernel", &by_kernel), ("walk", &by_walk)] {
                for follow_links in [true, false] {
                    let opened = root.open_below(path, follow_links, Reach::Any);
                    assert!(opened.is_err(), "{name}, {path:?}, links {follow_links}: {opened:?}");
                }
            }
        }
    }

    #[test]
    fn everything_inside_is_opened() {
        let trap = Trap::set("inside");
        let by_kernel = Root::open(&trap.root()).unwrap();
        let by_walk = Root::open_portably(&trap.root()).unwrap();
        for path in [c"plain", c"sub/deep/file", c"sub", c"."] {
            assert!(by_kernel.open_below(path, false, Reach::Any).is_ok(), "{path:?}");
            assert!(by_walk.open_below(path, false, Reach::Any).is_ok(), "{path:?}");
        }
        for path in [c"sub/inside", c"sub/across", c"sub/up/plain"] {
            assert!(by_walk.open_below(path, true, Reach::Any).is_err(), "{path:?}");
            assert!(by_kernel.open_below(path, false, Reach::Any).is_err(), "{path:?}");
            if by_kernel.kernel == Kernel::Nothing {
                println!("SKIPPED: links inside the folder, because openat2(2) is missing or forbidden here");
            } else {
                assert!(by_kernel.open_below(path, true, Reach::Any).is_ok(), "{path:?}");
            }
        }
    }

    #[test]
    fn a_fifo_is_opened_without_a_writer_and_seen_for_what_it_is() {
        let trap = Trap::set("fifo");
        let path = trap.root().join("fifo");
        let made = std::process::Command::new("mkfifo").arg(&path).status();
        if !made.is_ok_and(|status| status.success()) {
            return println!("SKIPPED: there is no mkfifo here");
        }
        let root = Root::open(&trap.root()).unwrap();
        let fifo = root.open_below(c"fifo", true, Reach::Any).unwrap();
        assert_eq!(facts(fifo.as_fd()).unwrap().kind, FileType::Fifo);
    }

    #[test]
    fn only_a_folder_can_be_served() {
        let trap = Trap::set("folder");
        assert!(Root::open(&trap.root().join("plain")).is_err());
        assert!(Root::open(&trap.root().join("missing")).is_err());
    }
}
