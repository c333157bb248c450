//! Threads that are started only where there is memory for them.
//!
//! At the beginning of a thread the standard library takes a signal stack and the allocator an arena, before any line of
//! ours runs; where there is none for them the process panics or ends. So whether there is enough is asked first, and
//! whoever starts a thread waits until it has them, so that nobody takes that memory in between.

use std::io;
use std::sync::{Arc, Barrier};
use std::thread::{Builder, JoinHandle};

use aurora_http_system::Reservation;

/// The stack of a thread when nobody says otherwise.
pub(super) const STACK_BYTES: usize = 2 << 20;

/// What a thread, a reactor and the program itself take beside tables and buffers.
pub(super) const SPARE_BYTES: usize = 1 << 20;

/// The address space that glibc takes for the allocations of a further thread, as long as there is so much.
const ARENA_BYTES: usize = if cfg!(all(target_os = "linux", target_env = "gnu")) { 64 << 20 } else { 0 };

/// Starts a thread, and returns when it runs.
///
/// # Errors
/// What the system says, and [`io::ErrorKind::OutOfMemory`] when there is too little memory to begin with.
pub(super) fn start<T: Send + 'static>(
    name: String,
    stack_bytes: Option<usize>,
    run: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    if !has_room(stack_bytes.unwrap_or(STACK_BYTES)) {
        return Err(io::ErrorKind::OutOfMemory.into());
    }
    let builder = Builder::new().name(name);
    let builder = if let Some(bytes) = stack_bytes { builder.stack_size(bytes) } else { builder };
    let runs = Arc::new(Barrier::new(2));
    let thread = builder.spawn({
        let runs = Arc::clone(&runs);
        move || {
            // With the first allocation, if not before, comes the arena.
            drop(std::hint::black_box(Box::new(0_u8)));
            runs.wait();
            run()
        }
    })?;
    runs.wait();
    Ok(thread)
}

/// Whether there is memory for a thread, also when an arena is taken from it first.
fn has_room(stack_bytes: usize) -> bool {
    let _arena = Reservation::new(ARENA_BYTES);
    Reservation::new(stack_bytes.saturating_add(SPARE_BYTES)).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_runs_or_is_refused() {
        let thread = start("a-thread".into(), None, || std::thread::current().name().map(str::to_owned));
        assert_eq!(thread.unwrap().join().unwrap().as_deref(), Some("a-thread"));
        let refused = start("a-thread".into(), Some(usize::MAX), || ()).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::OutOfMemory);
    }
}
