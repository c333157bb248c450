//! Once a server serves, its workers send files that are in the kernel's caches without an allocation.
#![cfg(target_os = "linux")]

mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use aurora_http::Server;
use aurora_http_files::Files;
use support::{Client, Folder, backends};

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Allocations of workers count.
static IS_COUNTING: AtomicBool = AtomicBool::new(false);
static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// Set by the handler's factory, which runs on the worker's thread.
    static IS_WORKER: Cell<bool> = const { Cell::new(false) };
}

fn count() {
    if IS_COUNTING.load(Ordering::Relaxed) && IS_WORKER.try_with(Cell::get).unwrap_or(false) {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
    }
}

// SAFETY: every call is passed on unchanged to the system's allocator; counting neither allocates nor touches the memory.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract of `alloc`, which is the same one.
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract of `realloc`, and `pointer` is from the same allocator.
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`, and `pointer` is from the same allocator.
        unsafe { System.dealloc(pointer, layout) }
    }
}

fn ask_for_everything(client: &mut Client) {
    let date = "Sun, 06 Nov 2044 08:49:37 GMT";
    for (path, fields, status) in [
        ("/small.txt", &[][..], 200),
        ("/long.bin", &[], 200),
        ("/sub/", &[("Accept-Encoding", "gzip, br")], 200),
        ("/long.bin", &[("Range", "bytes=1000-")], 206),
        ("/small.txt", &[("Range", "bytes=-3")], 206),
        ("/small.txt", &[("Range", "bytes=100-")], 416),
        ("/small.txt", &[("If-Modified-Since", date)], 304),
        ("/small.txt", &[("If-Match", "\"x\"")], 412),
        ("/missing", &[], 404),
        ("/sub/%2e%2e", &[], 400),
    ] {
        for method in ["GET", "HEAD"] {
            let status = if method == "HEAD" && matches!(status, 206 | 416) { 200 } else { status };
            assert_eq!(client.ask(method, path, fields).status, status, "{method} {path}");
        }
    }
}

#[test]
fn cached_files_are_sent_without_an_allocation() {
    for backend in backends() {
        let folder = Folder::new(&format!("no-alloc-{backend}"));
        folder.write("small.txt", "Hello, World!\n");
        folder.write("long.bin", vec![7; 3_000_000]);
        folder.write("sub/index.html", "<p>index");
        folder.write("sub/index.html.gz", "index");
        let files = Files::new(folder.path()).unwrap().precompressed(true).cache_control("max-age=60");
        let server = Server::bind("127.0.0.1:0").unwrap().backend(backend).workers(1).connections(64);
        let running = server
            .start(move |worker| {
                IS_WORKER.set(true);
                files.handler(worker.resumer())
            })
            .unwrap();
        // The first time, what is not in the caches is read by other threads, and the table of open files gets its places.
        for _ in 0..2 {
            ask_for_everything(&mut Client::connect(running.local_addr()));
        }
        IS_COUNTING.store(true, Ordering::Relaxed);
        for _ in 0..20 {
            ask_for_everything(&mut Client::connect(running.local_addr()));
        }
        IS_COUNTING.store(false, Ordering::Relaxed);
        assert_eq!(ALLOCATIONS.swap(0, Ordering::Relaxed), 0, "{backend}");
        running.stop();
        running.join().unwrap();
    }
}
