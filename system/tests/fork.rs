//! What signals do to a process made by fork(2) alone, and to its parent, which watches. One test: they are the process's.
#![cfg(unix)]

use std::ptr;
use std::thread;
use std::time::{Duration, Instant};

use aurora_http_system::Watch;
use libc::{SIGINT, SIGKILL, SIGTERM, c_int, pid_t};

/// A child that is still there after so long is one that no signal ends.
const PATIENCE: Duration = Duration::from_secs(10);

/// A child that does nothing but wait for a signal, and ends by itself when its parent is gone long ago.
fn idle_child() -> pid_t {
    // SAFETY: the child calls alarm and pause alone, which signal-safety(7) allows.
    let child = unsafe { libc::fork() };
    assert!(child >= 0, "no process is to be had");
    if child > 0 {
        return child;
    }
    // SAFETY: nobody handles SIGALRM.
    unsafe { libc::alarm(60) };
    loop {
        // SAFETY: it takes nothing.
        unsafe { libc::pause() };
    }
}

fn send(process: pid_t, signal: c_int) {
    // SAFETY: the process is this one or its child, which nobody has waited for yet.
    assert_eq!(unsafe { libc::kill(process, signal) }, 0);
}

/// The signal that ended the child.
fn ended_by(child: pid_t) -> Option<c_int> {
    let begun = Instant::now();
    let mut status = 0;
    // SAFETY: it writes to `status`.
    while unsafe { libc::waitpid(child, &raw mut status, libc::WNOHANG) } == 0 {
        if begun.elapsed() > PATIENCE {
            send(child, SIGKILL);
            // SAFETY: nothing is written.
            unsafe { libc::waitpid(child, ptr::null_mut(), 0) };
            panic!("the child does not end");
        }
        thread::yield_now();
    }
    libc::WIFSIGNALED(status).then(|| libc::WTERMSIG(status))
}

#[test]
fn a_signal_ends_a_forked_child_and_is_nothing_to_its_parent() {
    for signal in [SIGTERM, SIGINT] {
        let mut watch = Watch::new().unwrap();
        for _ in 0..3 {
            let child = idle_child();
            send(child, signal);
            assert_eq!(ended_by(child), Some(signal));
        }
        // Had the children's signals come here, they would be in the same pipe, in front of this one.
        // SAFETY: it takes nothing and cannot fail.
        send(unsafe { libc::getpid() }, signal);
        let (ender, mut seen) = (watch.ender(), 0);
        watch.each(|_| {
            seen += 1;
            ender.end();
        });
        assert_eq!(seen, 1, "the parent's own signal alone");
    }
}
