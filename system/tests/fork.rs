//! What signals do to a child made by fork(2) without exec, and to its parent, which has a `Watch`. A single test, because
//! signals affect the whole process.
#![cfg(unix)]

use std::ptr;
use std::thread;
use std::time::{Duration, Instant};

use aurora_http_system::Watch;
use libc::{SIGINT, SIGKILL, SIGTERM, c_int, pid_t};

/// A child that still runs after so long was not ended by the signal.
const PATIENCE: Duration = Duration::from_secs(10);

/// A child that waits for a signal; an alarm ends it in case its parent is gone.
fn idle_child() -> pid_t {
    // SAFETY: the child calls only alarm and pause, which signal-safety(7) allows.
    let child = unsafe { libc::fork() };
    assert!(child >= 0, "fork failed");
    if child > 0 {
        return child;
    }
    // SAFETY: there is no handler for SIGALRM.
    unsafe { libc::alarm(60) };
    loop {
        // SAFETY: it takes nothing.
        unsafe { libc::pause() };
    }
}

fn send(process: pid_t, signal: c_int) {
    // SAFETY: the process is this one or its child, which has not been waited for yet.
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
            panic!("the child did not end");
        }
        thread::yield_now();
    }
    libc::WIFSIGNALED(status).then(|| libc::WTERMSIG(status))
}

#[test]
fn a_signal_ends_a_forked_child_and_does_not_reach_its_parent() {
    for signal in [SIGTERM, SIGINT] {
        let mut watch = Watch::new().unwrap();
        for _ in 0..3 {
            let child = idle_child();
            send(child, signal);
            assert_eq!(ended_by(child), Some(signal));
        }
        // If the children's signals had come here, they would be in the same pipe, before this one.
        // SAFETY: it takes nothing and cannot fail.
        send(unsafe { libc::getpid() }, signal);
        let (ender, mut seen) = (watch.ender(), 0);
        watch.each(|_| {
            seen += 1;
            ender.end();
        });
        assert_eq!(seen, 1, "only the parent's own signal");
    }
}
