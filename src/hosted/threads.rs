//! Starts threads, but only if there is enough memory for them.
//!
//! At the start of a thread the standard library allocates a signal stack, and the allocator an arena, before any code
//! of ours runs; if there is too little memory for them, the process panics or aborts. So we check first whether there
//! is enough, and the starting thread waits until the new one has both, so that no other start uses up that memory
//! meanwhile.

use std::io;
use std::sync::{Arc, Barrier};
use std::thread::{Builder, JoinHandle};

use aurora_http_system::Reservation;

/// The default stack size of a thread.
pub(super) const STACK_BYTES: usize = 2 << 20;

/// What a thread, a reactor and the program itself need besides tables and buffers.
pub(super) const SPARE_BYTES: usize = 1 << 20;

/// The address space that glibc reserves for the allocations of each further thread, if that much is available.
const ARENA_BYTES: usize = if cfg!(all(target_os = "linux", target_env = "gnu")) { 64 << 20 } else { 0 };

/// Starts a thread, and returns once it is running.
///
/// # Errors
/// The system's error, or [`io::ErrorKind::OutOfMemory`] if there is too little memory to try.
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
            // The first allocation, at the latest, makes the allocator reserve the arena.
            drop(std::hint::black_box(Box::new(0_u8)));
            runs.wait();
            run()
        }
    })?;
    runs.wait();
    Ok(thread)
}

/// Whether there is enough memory for a thread, even after an arena has been reserved.
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
