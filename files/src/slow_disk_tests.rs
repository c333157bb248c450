//! Files on a disk that hangs, in a system that does not tell what is in its caches: who waits, and who does not.

#[path = "../tests/support/mod.rs"]
mod support;

use aurora_http::Backend;
use support::{Client, Folder, serve};

use crate::Files;
use crate::threads::Threads;
use crate::threads::tests::Gate;

/// Waits until so much work is queued behind threads that wait for the disk.
fn wait_for(threads: &Threads, queued: usize) {
    while threads.queued() < queued {
        std::thread::yield_now();
    }
}

#[test]
fn only_those_wait_who_need_the_disk() {
    let folder = Folder::new("slow-disk");
    let content: Vec<u8> = (0..2_500_000_u32).map(|at| (at % 251) as u8).collect();
    folder.write("long.bin", &content);
    folder.write("short.txt", "short");
    let files = Files::portable(folder.path()).unwrap();
    let threads = files.threads.clone();
    serve(files, Backend::Auto, |address| {
        let is_served = || assert_eq!(Client::connect(address).ask("OPTIONS", "/", &[]).status, 204);
        let (mut long, mut short) = (Client::connect(address), Client::connect(address));
        // The disk hangs when the file is to be opened,
        let first = Gate::close(&threads);
        first.is_reached();
        long.send("GET", "/long.bin", &[]);
        wait_for(&threads, 1);
        is_served();
        // and again when its first bytes are to be read.
        let second = Gate::close(&threads);
        first.open();
        second.is_reached();
        let head = long.head();
        assert_eq!((head.status, head.field("Content-Length")), (200, Some("2500000")));
        wait_for(&threads, 1);
        short.send("GET", "/short.txt", &[]);
        wait_for(&threads, 2);
        is_served();
        // One leaves while it waits.
        let mut leaves = Client::connect(address);
        leaves.send("GET", "/long.bin", &[]);
        wait_for(&threads, 3);
        drop(leaves);
        second.open();
        assert!(long.content(&head, "GET") == content);
        assert_eq!(short.response("GET").text(), "short");
    });
}
