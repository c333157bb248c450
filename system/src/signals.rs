//! SIGINT and SIGTERM, while somebody watches.
//!
//! What was there before (the default, "ignore", the program's own handler) is put away when the first one begins to
//! watch, and put back when the last one ends. A handler may do next to nothing, so ours writes one byte into a pipe of
//! each who watches.

use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::AsRawFd;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use libc::c_int;

/// Most that can watch at the same time.
pub const WATCHERS_MAX: usize = 64;

const WATCHED: [c_int; 2] = [libc::SIGINT, libc::SIGTERM];

/// The pipes that the handler writes into, or -1.
static PIPES: [AtomicI32; WATCHERS_MAX] = [const { AtomicI32::new(-1) }; WATCHERS_MAX];

/// Handlers that run now: while there is one, no pipe may be closed.
static RUNNING: AtomicUsize = AtomicUsize::new(0);

/// The process whose signals these are.
static PROCESS: AtomicI32 = AtomicI32::new(0);

static BEFORE: Mutex<Before> = Mutex::new(Before { watchers: 0, actions: [None; WATCHED.len()] });

struct Before {
    watchers: usize,
    /// What is put back in the end; `None` while ours is not in place.
    actions: [Option<libc::sigaction>; WATCHED.len()],
}

fn before() -> MutexGuard<'static, Before> {
    BEFORE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// While there is one, SIGINT and SIGTERM come here, and neither end the process nor reach a handler of the program. When
/// the last one is dropped, what was there before is there again; unless somebody else has put a handler in place
/// meanwhile, which then stays.
///
/// A process made by fork(2) alone has these handlers and no `Watch`: either signal ends it, as by default.
#[derive(Debug)]
pub struct Watch {
    slot: usize,
    signals: PipeReader,
    ender: Ender,
}

/// Ends a [`Watch`] from any thread.
#[derive(Clone, Debug)]
pub struct Ender(Arc<End>);

#[derive(Debug)]
struct End {
    pipe: PipeWriter,
    ended: AtomicBool,
}

impl Ender {
    /// Lets [`Watch::each`] return.
    pub fn end(&self) {
        self.0.ended.store(true, Ordering::Release);
        // A full pipe wakes whoever reads it just as well.
        let _ = (&self.0.pipe).write(&[0]);
    }
}

impl Watch {
    /// Begins to watch.
    ///
    /// # Errors
    /// No descriptors are left; or [`WATCHERS_MAX`] watch already.
    pub fn new() -> io::Result<Self> {
        let (signals, pipe) = io::pipe()?;
        set_nonblocking(&pipe)?;
        let mut before = before();
        // SAFETY: it takes nothing and cannot fail.
        PROCESS.store(unsafe { libc::getpid() }, Ordering::SeqCst);
        let free = PIPES.iter().position(|pipe| pipe.load(Ordering::SeqCst) == -1);
        let slot = free.ok_or_else(|| io::Error::other("too many servers watch for signals"))?;
        PIPES[slot].store(pipe.as_raw_fd(), Ordering::SeqCst);
        before.watchers += 1;
        // From here on dropping it undoes what was done.
        let watch = Self { slot, signals, ender: Ender(Arc::new(End { pipe, ended: AtomicBool::new(false) })) };
        let taken = before.take();
        drop(before);
        taken.map(|()| watch)
    }

    /// What ends it.
    #[must_use]
    pub fn ender(&self) -> Ender {
        self.ender.clone()
    }

    /// Calls `on_signal` for every signal with how many there were before, until it is [ended](Ender::end). (The system
    /// delivers a signal that is sent while another of its kind waits as one.)
    pub fn each(&mut self, mut on_signal: impl FnMut(usize)) {
        let mut earlier = 0;
        let mut bytes = [0; 16];
        while !self.ender.0.ended.load(Ordering::Acquire) {
            let count = match self.signals.read(&mut bytes) {
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => return, // nothing can come any more
            };
            for _ in bytes[..count].iter().filter(|byte| **byte != 0) {
                on_signal(earlier);
                earlier += 1;
            }
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut before = before();
        before.watchers -= 1;
        if before.watchers == 0 {
            before.give_back();
        }
        PIPES[self.slot].store(-1, Ordering::SeqCst);
        // A handler on another thread may have read the number already; it is done in no time.
        while RUNNING.load(Ordering::SeqCst) > 0 {
            std::thread::yield_now();
        }
    }
}

impl Before {
    /// Puts our handler in place where it is not.
    fn take(&mut self) -> io::Result<()> {
        for (signal, before) in WATCHED.into_iter().zip(&mut self.actions) {
            let current = exchange(signal, None)?;
            if current.sa_sigaction != ours() {
                *before = Some(exchange(signal, Some(&handler()))?);
            }
        }
        Ok(())
    }

    /// Puts back what was there before, where our handler is still in place.
    fn give_back(&mut self) {
        for (signal, before) in WATCHED.into_iter().zip(&mut self.actions) {
            if let Some(action) = before.take()
                && exchange(signal, None).is_ok_and(|current| current.sa_sigaction == ours())
            {
                let _ = exchange(signal, Some(&action));
            }
        }
    }
}

fn ours() -> libc::sighandler_t {
    on_signal as extern "C" fn(c_int) as libc::sighandler_t
}

fn handler() -> libc::sigaction {
    // SAFETY: all its fields are numbers, sets of bits and, on some systems, an optional function: zeros are valid.
    let mut action: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
    action.sa_sigaction = ours();
    action.sa_flags = libc::SA_RESTART | libc::SA_ONSTACK;
    action
}

/// What a signal does, and what it does from now on unless that is `None`.
fn exchange(signal: c_int, action: Option<&libc::sigaction>) -> io::Result<libc::sigaction> {
    let mut before = MaybeUninit::<libc::sigaction>::zeroed();
    let action = action.map_or(ptr::null(), ptr::from_ref);
    // SAFETY: it reads the action, which is there or null, and writes to `before`. What is installed is `on_signal`, which
    // does only what a handler may, or what was installed before.
    if unsafe { libc::sigaction(signal, action, before.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it was written to; zeros would be valid, too.
    Ok(unsafe { before.assume_init() })
}

fn set_nonblocking(pipe: &PipeWriter) -> io::Result<()> {
    let fd = pipe.as_raw_fd();
    // SAFETY: the descriptor is open, and the command reads flags.
    let flags = unsafe { libc::fcntl(fd, libc::F_GETFL) };
    if flags < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor is open, and the command sets flags.
    if unsafe { libc::fcntl(fd, libc::F_SETFL, flags | libc::O_NONBLOCK) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Runs in the middle of anything: it calls what signal-safety(7) allows, takes no lock, and leaves errno as it was.
extern "C" fn on_signal(signal: c_int) {
    // SAFETY: it takes nothing and cannot fail.
    if unsafe { libc::getpid() } != PROCESS.load(Ordering::SeqCst) {
        return end_by(signal);
    }
    RUNNING.fetch_add(1, Ordering::SeqCst);
    let errno = errno();
    // SAFETY: the thread's own errno.
    let kept = unsafe { *errno };
    let byte = [1_u8];
    for pipe in &PIPES {
        let pipe = pipe.load(Ordering::SeqCst);
        if pipe >= 0 {
            // SAFETY: the pipe is open: it is taken out before it is closed, and not closed while a handler runs. When it
            // is full, its reader has enough to read.
            let _ = unsafe { libc::write(pipe, byte.as_ptr().cast(), byte.len()) };
        }
    }
    // SAFETY: as above.
    unsafe { *errno = kept };
    RUNNING.fetch_sub(1, Ordering::SeqCst);
}

/// In a child made by fork(2) alone, whose parent watches: the signal does what it does by default.
fn end_by(signal: c_int) {
    // SAFETY: the default is no code of ours.
    unsafe { libc::signal(signal, libc::SIG_DFL) };
    // SAFETY: it sends a signal to this process, where it waits until the handler returns.
    unsafe { libc::raise(signal) };
}

fn errno() -> *mut c_int {
    #[cfg(any(target_os = "solaris", target_os = "illumos"))]
    use libc::___errno as location;
    #[cfg(any(target_os = "netbsd", target_os = "openbsd", target_os = "android"))]
    use libc::__errno as location;
    #[cfg(any(target_os = "linux", target_os = "emscripten", target_os = "hurd", target_os = "redox"))]
    use libc::__errno_location as location;
    #[cfg(any(target_vendor = "apple", target_os = "freebsd", target_os = "dragonfly"))]
    use libc::__error as location;
    // SAFETY: it takes nothing and gives the place of the calling thread's errno.
    unsafe { location() }
}
