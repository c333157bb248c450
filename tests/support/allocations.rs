//! The allocator of tests that count allocations: those of chosen threads, while the test says so.

// Each test uses only a part of this.
#![allow(dead_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

static IS_COUNTING: AtomicBool = AtomicBool::new(false);
/// Whether the first allocation that counts aborts the process.
static ABORTS: AtomicBool = AtomicBool::new(false);
static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);
/// How many more bytes are allocated than when counting began, and the most that were.
static BYTES: AtomicI64 = AtomicI64::new(0);
static BYTES_MOST: AtomicI64 = AtomicI64::new(0);

thread_local! {
    static IS_COUNTED: Cell<bool> = const { Cell::new(false) };
}

/// Whether allocations of the calling thread count.
pub(crate) fn count_this_thread(counts: bool) {
    IS_COUNTED.set(counts);
}

/// Begins to count, from 0.
pub(crate) fn start_counting() {
    ALLOCATIONS.store(0, Ordering::SeqCst);
    BYTES.store(0, Ordering::SeqCst);
    BYTES_MOST.store(0, Ordering::SeqCst);
    IS_COUNTING.store(true, Ordering::SeqCst);
}

/// Ends it, and returns how many there were.
pub(crate) fn stop_counting() -> u64 {
    IS_COUNTING.store(false, Ordering::SeqCst);
    counted()
}

/// How many there were so far.
pub(crate) fn counted() -> u64 {
    ALLOCATIONS.load(Ordering::SeqCst)
}

/// How many more bytes the counted threads have allocated than when counting began, and the most that they had.
pub(crate) fn counted_bytes() -> (i64, i64) {
    (BYTES.load(Ordering::SeqCst), BYTES_MOST.load(Ordering::SeqCst))
}

/// Has the first allocation that counts abort the process, which shows where it is.
pub(crate) fn abort_instead() {
    ABORTS.store(true, Ordering::SeqCst);
}

fn counts() -> bool {
    IS_COUNTING.load(Ordering::Relaxed) && IS_COUNTED.try_with(Cell::get).unwrap_or(false)
}

fn count_bytes(difference: i64) {
    if counts() {
        let now = BYTES.fetch_add(difference, Ordering::Relaxed) + difference;
        BYTES_MOST.fetch_max(now, Ordering::Relaxed);
    }
}

fn count(layout: Layout) {
    if !counts() {
        return;
    }
    ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
    if ABORTS.load(Ordering::Relaxed) {
        IS_COUNTING.store(false, Ordering::Relaxed); // the following code allocates
        eprintln!("an allocation of {layout:?}\n{}", std::backtrace::Backtrace::force_capture());
        std::process::abort();
    }
}

// SAFETY: every call is passed on unchanged to the system's allocator; counting neither allocates nor touches the memory.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout);
        count_bytes(layout.size() as i64);
        // SAFETY: the caller keeps the contract of `alloc`, which is the same one.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout);
        count_bytes(layout.size() as i64);
        // SAFETY: the caller keeps the contract of `alloc_zeroed`, which is the same one.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(layout);
        count_bytes(size as i64 - layout.size() as i64);
        // SAFETY: the caller keeps the contract of `realloc`, and `pointer` is from the same allocator.
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count_bytes(-(layout.size() as i64));
        // SAFETY: the caller keeps the contract of `dealloc`, and `pointer` is from the same allocator.
        unsafe { System.dealloc(pointer, layout) }
    }
}
