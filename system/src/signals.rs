//! SIGINT and SIGTERM, while at least one [`Watch`] exists.
//!
//! The previous actions (the default, "ignore", or the program's own handler) are saved when the first watch begins, and
//! restored when the last one ends. Hardly anything is allowed in a signal handler, so ours writes one byte into the pipe of
//! each watch.

use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::AsRawFd;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use libc::c_int;

/// How many [`Watch`]es can exist at the same time.
pub const WATCHERS_MAX: usize = 64;

const WATCHED: [c_int; 2] = [libc::SIGINT, libc::SIGTERM];

/// The pipes that the handler writes into, or -1.
static PIPES: [AtomicI32; WATCHERS_MAX] = [const { AtomicI32::new(-1) }; WATCHERS_MAX];

/// How many handlers are running. While one is, no pipe may be closed.
static RUNNING: AtomicUsize = AtomicUsize::new(0);

/// The process that installed the handlers.
static PROCESS: AtomicI32 = AtomicI32::new(0);

static BEFORE: Mutex<Before> = Mutex::new(Before { watchers: 0, actions: [None; WATCHED.len()] });

struct Before {
    watchers: usize,
    /// The actions to restore; `None` while our handler is not installed.
    actions: [Option<libc::sigaction>; WATCHED.len()],
}

fn before() -> MutexGuard<'static, Before> {
    BEFORE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Receives SIGINT and SIGTERM. While one exists, these signals neither end the process nor reach a handler of the program.
/// Dropping the last one restores the previous actions, except where another handler was installed in the meantime: that one
/// stays.
///
/// A child made by fork(2) without exec inherits the handlers but has no `Watch`: in it either signal has its default
/// effect.
///
/// ```no_run
/// use aurora_http_system::Watch;
///
/// let mut watch = Watch::new()?;
/// let ender = watch.ender();
/// // Returns once a signal has arrived.
/// watch.each(|_earlier| ender.end());
/// # Ok::<_, std::io::Error>(())
/// ```
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
    /// Makes [`Watch::each`] return.
    pub fn end(&self) {
        self.0.ended.store(true, Ordering::Release);
        // If the pipe is full, its reader wakes up anyway.
        let _ = (&self.0.pipe).write(&[0]);
    }
}

impl Watch {
    /// Begins to watch: installs our handler for each signal that does not have it.
    ///
    /// # Errors
    /// No descriptor is left, or there are [`WATCHERS_MAX`] already.
    pub fn new() -> io::Result<Self> {
        let (signals, pipe) = io::pipe()?;
        set_nonblocking(&pipe)?;
        let mut before = before();
        // SAFETY: getpid has no arguments and cannot fail.
        PROCESS.store(unsafe { libc::getpid() }, Ordering::SeqCst);
        let free = PIPES.iter().position(|pipe| pipe.load(Ordering::SeqCst) == -1);
        let slot = free.ok_or_else(|| io::Error::other("too many servers watch for signals"))?;
        PIPES[slot].store(pipe.as_raw_fd(), Ordering::SeqCst);
        before.watchers += 1;
        // From here on, dropping `watch` undoes what was done.
        let watch = Self { slot, signals, ender: Ender(Arc::new(End { pipe, ended: AtomicBool::new(false) })) };
        let taken = before.take();
        drop(before);
        taken.map(|()| watch)
    }

    /// A handle that ends it from any thread.
    #[must_use]
    pub fn ender(&self) -> Ender {
        self.ender.clone()
    }

    /// Blocks, and calls `on_signal` for every signal with the number of earlier ones, until it is [ended](Ender::end). The
    /// system merges a signal with another of its kind that is still pending.
    pub fn each(&mut self, mut on_signal: impl FnMut(usize)) {
        let mut earlier = 0;
        let mut bytes = [0; 16];
        while !self.ender.0.ended.load(Ordering::Acquire) {
            let count = match self.signals.read(&mut bytes) {
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => return, // no more signals can arrive
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
        // A handler on another thread may already have read the descriptor; handlers return quickly.
        while RUNNING.load(Ordering::SeqCst) > 0 {
            std::thread::yield_now();
        }
    }
}

impl Before {
    /// Installs our handler where it is not installed.
    fn take(&mut self) -> io::Result<()> {
        for (signal, before) in WATCHED.into_iter().zip(&mut self.actions) {
            let current = exchange(signal, None)?;
            if current.sa_sigaction != ours() {
                *before = Some(exchange(signal, Some(&handler()))?);
            }
        }
        Ok(())
    }

    /// Restores the previous actions where our handler is still installed.
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
    // SAFETY: all fields are integers, bit sets or, on some systems, an optional function: zeros are valid.
    let mut action: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
    action.sa_sigaction = ours();
    action.sa_flags = libc::SA_RESTART | libc::SA_ONSTACK;
    action
}

/// Returns the current action of a signal, and sets a new one unless that is `None`.
fn exchange(signal: c_int, action: Option<&libc::sigaction>) -> io::Result<libc::sigaction> {
    let mut before = MaybeUninit::<libc::sigaction>::zeroed();
    let action = action.map_or(ptr::null(), ptr::from_ref);
    // SAFETY: it reads `action`, which is valid or null, and writes to `before`. The handler installed is `on_signal`, which
    // is async-signal-safe, or one that was installed before.
    if unsafe { libc::sigaction(signal, action, before.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: sigaction has written it; zeros would be valid, too.
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

/// May interrupt any code: it calls only what signal-safety(7) allows, takes no lock, and preserves errno.
extern "C" fn on_signal(signal: c_int) {
    // SAFETY: getpid has no arguments and cannot fail.
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
            // SAFETY: the pipe is open: it is removed from `PIPES` before it is closed, and not closed while a handler runs.
            // A failure because the pipe is full does no harm: its reader wakes up anyway.
            let _ = unsafe { libc::write(pipe, byte.as_ptr().cast(), byte.len()) };
        }
    }
    // SAFETY: the thread's own errno.
    unsafe { *errno = kept };
    RUNNING.fetch_sub(1, Ordering::SeqCst);
}

/// In a child made by fork(2) without exec, the signal gets its default effect.
fn end_by(signal: c_int) {
    // SAFETY: the default action runs no code of this process.
    unsafe { libc::signal(signal, libc::SIG_DFL) };
    // SAFETY: it sends a signal to this process, which stays pending until the handler returns.
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
    // SAFETY: it has no arguments and returns the address of the calling thread's errno.
    unsafe { location() }
}
