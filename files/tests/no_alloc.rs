//! Once a server serves, its workers send files that are in the kernel's caches without an allocation.
#![cfg(target_os = "linux")]

#[path = "../../tests/support/allocations.rs"]
mod allocations;
mod support;

use allocations::{count_this_thread, start_counting, stop_counting};
use aurora_http::Server;
use aurora_http_files::Files;
use support::{Client, Folder, backends};

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
                count_this_thread(true);
                files.handler(worker.resumer())
            })
            .unwrap();
        // The first time, what is not in the caches is read by other threads, and the table of open files gets its places.
        for _ in 0..2 {
            ask_for_everything(&mut Client::connect(running.local_addr()));
        }
        start_counting();
        for _ in 0..20 {
            ask_for_everything(&mut Client::connect(running.local_addr()));
        }
        assert_eq!(stop_counting(), 0, "{backend}");
        running.stop();
        running.join().unwrap();
    }
}
