//! What signals do before, during and after a `Watch`. A single test, because signals affect the whole process.
#![cfg(unix)]

use std::mem::MaybeUninit;
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};

use aurora_http_system::{WATCHERS_MAX, Watch};
use libc::{SIG_DFL, SIG_IGN, SIGINT, SIGTERM, c_int, sighandler_t};

static CALLED: AtomicUsize = AtomicUsize::new(0);

extern "C" fn of_the_program(_signal: c_int) {
    CALLED.fetch_add(1, Ordering::SeqCst);
}

fn own() -> sighandler_t {
    of_the_program as extern "C" fn(c_int) as sighandler_t
}

fn set(signal: c_int, handler: sighandler_t) {
    // SAFETY: the default, "ignore", or a handler that only counts.
    unsafe { libc::signal(signal, handler) };
}

fn current(signal: c_int) -> sighandler_t {
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: it writes to `action`, and changes nothing.
    assert_eq!(unsafe { libc::sigaction(signal, ptr::null(), action.as_mut_ptr()) }, 0);
    // SAFETY: it was written to.
    unsafe { action.assume_init() }.sa_sigaction
}

fn raise(signal: c_int) {
    // SAFETY: its effect on this process is what is tested.
    assert_eq!(unsafe { libc::raise(signal) }, 0);
}

#[test]
fn previous_handlers_are_restored() {
    for handler in [SIG_IGN, own(), SIG_DFL, own()] {
        set(SIGINT, handler);
        set(SIGTERM, SIG_DFL);
        let called = CALLED.load(Ordering::SeqCst);
        let mut watch = Watch::new().unwrap();
        let second = Watch::new().unwrap();
        raise(SIGTERM);
        raise(SIGINT);
        drop(second);
        raise(SIGINT);
        let (ender, mut seen) = (watch.ender(), Vec::new());
        watch.each(|earlier| {
            seen.push(earlier);
            if earlier == 2 {
                ender.end();
            }
        });
        assert_eq!(seen, [0, 1, 2], "every signal, also those before `each` was called");
        assert_eq!(CALLED.load(Ordering::SeqCst), called, "the program's own handler is suspended");
        drop(watch);
        assert_eq!((current(SIGINT), current(SIGTERM)), (handler, SIG_DFL));
        if handler != SIG_DFL {
            raise(SIGINT);
            assert_eq!(CALLED.load(Ordering::SeqCst) - called, usize::from(handler == own()));
        }
    }

    // A handler that the program installs in the meantime stays, and a later `Watch` receives the signals all the same.
    let watch = Watch::new().unwrap();
    set(SIGINT, SIG_IGN);
    let mut second = Watch::new().unwrap();
    raise(SIGINT);
    let ender = second.ender();
    let mut seen = 0;
    second.each(|_| {
        seen += 1;
        ender.end();
    });
    assert_eq!(seen, 1);
    set(SIGINT, SIG_IGN);
    drop((watch, second));
    assert_eq!(current(SIGINT), SIG_IGN);

    let all: Vec<_> = (0..WATCHERS_MAX).map(|_| Watch::new().unwrap()).collect();
    assert!(Watch::new().is_err());
    drop(all);
    drop(Watch::new().unwrap());
    assert_eq!(current(SIGINT), SIG_IGN);
}
