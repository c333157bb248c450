//! A folder served over sockets, on every backend of this system.
#![cfg(unix)]

mod support;

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::symlink;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aurora_http::Backend;
use aurora_http_files::Files;
use support::{Client, Folder, backends, serve};

/// Longer than what is copied, and not a multiple of anything.
fn long() -> Vec<u8> {
    static LONG: OnceLock<Vec<u8>> = OnceLock::new();
    let all = LONG.get_or_init(|| {
        let period: Vec<u8> = (0..65_537_u32).map(|at| (at % 251) as u8 ^ (at >> 8) as u8).collect();
        let mut all = period.repeat(3_000_001 / period.len() + 1);
        all.truncate(3_000_001);
        all
    });
    all.clone()
}

fn folder(name: &str) -> Folder {
    let folder = Folder::new(name);
    folder.write("hello.txt", "Hello, World!\n");
    folder.write("empty", "");
    folder.write("long.bin", long());
    folder.write("sub/index.html", "<p>index");
    folder.write("sub/page.html", "<p>page");
    folder.write("bare/a b&c<d>.txt", "odd");
    folder.write(".secret", "secret");
    folder.write(".well-known/acme", "token");
    folder.write("app.js", "let x = 1;");
    folder
}

/// Runs a test for each backend.
fn each(name: &str, files: impl Fn(Files) -> Files, test: impl Fn(&Folder, &mut dyn FnMut() -> Client)) {
    for backend in backends() {
        let folder = folder(&format!("{name}-{backend}"));
        serve(files(Files::new(folder.path()).unwrap()), backend, |address| {
            test(&folder, &mut || Client::connect(address));
        });
    }
}

#[test]
fn files_are_sent_whole() {
    each(
        "whole",
        |files| files,
        |_, connect| {
            let mut client = connect();
            for (path, content, media) in [
                ("/hello.txt", &b"Hello, World!\n"[..], "text/plain; charset=utf-8"),
                ("/empty", b"", "application/octet-stream"),
                ("/app.js", b"let x = 1;", "text/javascript; charset=utf-8"),
                ("/sub/", b"<p>index", "text/html; charset=utf-8"),
                ("/sub/page.html?x=1", b"<p>page", "text/html; charset=utf-8"),
                ("/%68ello%2Etxt", b"Hello, World!\n", "text/plain; charset=utf-8"),
                ("/.well-known/acme", b"token", "application/octet-stream"),
                ("/long.bin", &long(), "application/octet-stream"),
            ] {
                for method in ["GET", "HEAD"] {
                    let response = client.ask(method, path, &[]);
                    assert_eq!(response.status, 200, "{method} {path}");
                    assert_eq!(response.field("Content-Type"), Some(media), "{path}");
                    assert_eq!(response.field("Content-Length"), Some(content.len().to_string().as_str()), "{path}");
                    assert_eq!(response.field("Accept-Ranges"), Some("bytes"));
                    let expected = if method == "HEAD" { b"" } else { content };
                    assert!(response.content == expected, "{method} {path}: {} bytes", response.content.len());
                }
            }
        },
    );
}

#[test]
fn what_is_not_to_be_served_is_refused() {
    each(
        "refused",
        |files| files,
        |folder, connect| {
            let outside = Folder::new("outside");
            outside.write("passwd", "secret");
            symlink(outside.path().join("passwd"), folder.path().join("absolute")).unwrap();
            symlink("../../../../../../../../etc/passwd", folder.path().join("relative")).unwrap();
            symlink("hello.txt", folder.path().join("inside")).unwrap();
            let fifo = std::process::Command::new("mkfifo").arg(folder.path().join("fifo")).status();
            assert!(fifo.is_ok_and(|status| status.success()), "mkfifo is part of every system");
            let _socket = std::os::unix::net::UnixListener::bind(folder.path().join("socket")).unwrap();
            for (path, status) in [
                ("/missing", 404),
                ("/hello.txt/", 404),
                ("/hello.txt/x", 404),
                ("/bare/", 404),
                ("/.secret", 404),
                ("/%2esecret", 404),
                ("/..", 400),
                ("/../etc/passwd", 400),
                ("/sub/../hello.txt", 400),
                ("/%2e%2e/etc/passwd", 400),
                ("/sub/%2E%2E/hello.txt", 400),
                ("/..%2f..%2fetc%2fpasswd", 404),
                ("/sub%2findex.html", 404),
                ("//etc/passwd", 404),
                ("/sub//index.html", 404),
                ("/..\\..\\etc\\passwd", 400),
                ("/sub%5cindex.html", 404),
                ("/hello.txt%00", 400),
                ("/hello%", 400),
                ("/absolute", 404),
                ("/relative", 404),
                ("/fifo", 404),
                ("/socket", 404),
                ("/hello.txt", 200),
            ] {
                let response = connect().ask("GET", path, &[]);
                assert_eq!(response.status, status, "{path}: {}", response.text());
                assert!(!response.text().contains("secret"), "{path}");
            }
            if cfg!(target_os = "linux") {
                // Where a sandbox forbids openat2(2), no link is followed.
                assert!(matches!(connect().ask("GET", "/inside", &[]).status, 200 | 404));
            }
        },
    );
}

#[test]
fn other_methods_are_refused() {
    each(
        "methods",
        |files| files,
        |_, connect| {
            for method in ["POST", "PUT", "DELETE", "PROPFIND"] {
                let response = connect().ask(method, "/hello.txt", &[]);
                assert_eq!((response.status, response.field("Allow")), (405, Some("GET, HEAD, OPTIONS")), "{method}");
            }
            let response = connect().ask("OPTIONS", "/hello.txt", &[]);
            assert_eq!((response.status, response.field("Allow")), (204, Some("GET, HEAD, OPTIONS")));
        },
    );
}

#[test]
fn ranges_are_sent() {
    each(
        "ranges",
        |files| files,
        |_, connect| {
            let mut client = connect();
            let all = long();
            for (range, from, to) in [
                ("bytes=0-0", 0, 1),
                ("bytes=100-199", 100, 200),
                ("bytes=1000000-2999999", 1_000_000, 3_000_000),
                ("bytes=3000000-", 3_000_000, 3_000_001),
                ("bytes=-5", 2_999_996, 3_000_001),
                ("bytes=40000-90000", 40_000, 90_001),
            ] {
                let response = client.ask("GET", "/long.bin", &[("Range", range)]);
                assert_eq!(response.status, 206, "{range}");
                let content_range = format!("bytes {from}-{}/3000001", to - 1);
                assert_eq!(response.field("Content-Range"), Some(content_range.as_str()));
                assert!(response.content == all[from..to], "{range}: {} bytes", response.content.len());
            }
            let response = client.ask("GET", "/long.bin", &[("Range", "bytes=3000001-")]);
            assert_eq!((response.status, response.field("Content-Range")), (416, Some("bytes */3000001")));
            for (method, field) in [("GET", ("Range", "lines=1-2")), ("HEAD", ("Range", "bytes=0-0"))] {
                let response = client.ask(method, "/hello.txt", &[field]);
                assert_eq!((response.status, response.field("Content-Range")), (200, None), "{method} {field:?}");
            }
        },
    );
}

#[test]
fn several_ranges_are_sent_as_parts() {
    each(
        "parts",
        |files| files,
        |_, connect| {
            let mut client = connect();
            let all = long();
            let response = client.ask("GET", "/long.bin", &[("Range", "bytes=0-9, 100000-299999, -1")]);
            assert_eq!((response.status, response.field("Content-Range")), (206, None));
            let media = response.field("Content-Type").expect("a type");
            let boundary = media.strip_prefix("multipart/byteranges; boundary=").expect("parts");
            let mut expected = Vec::new();
            for (from, to) in [(0, 10), (100_000, 300_000), (3_000_000, 3_000_001)] {
                if from > 0 {
                    expected.extend_from_slice(b"\r\n");
                }
                let range = format!("{from}-{}/3000001", to - 1);
                let head = format!(
                    "--{boundary}\r\nContent-Type: application/octet-stream\r\nContent-Range: bytes {range}\r\n\r\n"
                );
                expected.extend_from_slice(head.as_bytes());
                expected.extend_from_slice(&all[from..to]);
            }
            expected.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
            assert!(response.content == expected, "{} of {} bytes", response.content.len(), expected.len());
            assert_eq!(client.ask("GET", "/hello.txt", &[]).status, 200, "the connection goes on");
        },
    );
}

#[test]
fn conditions_are_evaluated() {
    each(
        "conditions",
        |files| files,
        |folder, connect| {
            let time = UNIX_EPOCH + Duration::from_secs(784_111_777);
            File::options().write(true).open(folder.path().join("hello.txt")).unwrap().set_modified(time).unwrap();
            let mut client = connect();
            let response = client.ask("GET", "/hello.txt", &[]);
            let date = "Sun, 06 Nov 1994 08:49:37 GMT";
            assert_eq!(response.field("Last-Modified"), Some(date));
            let tag = response.field("ETag").expect("a tag").to_owned();
            for (fields, status) in [
                (&[("If-None-Match", tag.as_str())][..], 304),
                (&[("If-None-Match", "\"x\""), ("If-Modified-Since", date)], 200),
                (&[("If-Modified-Since", date)], 304),
                (&[("If-Modified-Since", "Sun, 06 Nov 1994 08:49:36 GMT")], 200),
                (&[("If-Match", "\"x\"")], 412),
                (&[("If-Match", tag.as_str())], 200),
                (&[("If-Unmodified-Since", "Sun, 06 Nov 1994 08:49:36 GMT")], 412),
                (&[("Range", "bytes=0-4"), ("If-Range", tag.as_str())], 206),
                (&[("Range", "bytes=0-4"), ("If-Range", date)], 206),
                (&[("Range", "bytes=0-4"), ("If-Range", "\"x\"")], 200),
                (&[("Range", "bytes=0-4"), ("If-None-Match", tag.as_str())], 304),
            ] {
                for method in ["GET", "HEAD"] {
                    let status = if method == "HEAD" && status == 206 { 200 } else { status };
                    let response = client.ask(method, "/hello.txt", fields);
                    assert_eq!(response.status, status, "{method} {fields:?}");
                    if status == 304 {
                        assert_eq!((response.field("ETag"), response.content.len()), (Some(tag.as_str()), 0));
                    }
                }
            }
            folder.write("hello.txt", "Hello again, World!\n");
            assert_eq!(client.ask("GET", "/hello.txt", &[("If-None-Match", &tag)]).status, 200);
            assert_eq!(client.ask("GET", "/hello.txt", &[("If-Range", &tag), ("Range", "bytes=0-4")]).status, 200);
        },
    );
}

#[test]
fn folders_get_a_slash() {
    each(
        "slash",
        |files| files.under("/static/"),
        |_, connect| {
            let mut client = connect();
            for (path, location) in [
                ("/static/sub", "/static/sub/"),
                ("/static/sub?a=1&b", "/static/sub/?a=1&b"),
                ("/static", "/static/"),
                ("/static/%73ub", "/static/%73ub/"),
            ] {
                let response = client.ask("GET", path, &[]);
                assert_eq!((response.status, response.field("Location")), (301, Some(location)), "{path}");
            }
            assert_eq!(client.ask("GET", "/static/sub/", &[]).text(), "<p>index");
            for path in ["/", "/sub/", "/staticsub/", "/statics"] {
                assert_eq!(client.ask("GET", path, &[]).status, 404, "{path}");
            }
        },
    );
}

#[test]
fn folders_are_listed_if_asked_for() {
    each(
        "listings",
        |files| files.listings(true),
        |folder, connect| {
            symlink("/etc/passwd", folder.path().join("bare/leads-out")).unwrap();
            let mut client = connect();
            let response = client.ask("GET", "/bare/", &[]);
            assert_eq!((response.status, response.field("Content-Type")), (200, Some("text/html; charset=utf-8")));
            let text = response.text();
            assert!(text.contains("<a href=\"./a%20b%26c%3Cd%3E.txt\">a b&amp;c&lt;d&gt;.txt</a>"), "{text}");
            assert!(!text.contains("leads-out"), "{text}");
            assert_eq!(client.ask("GET", "/bare/a%20b%26c%3Cd%3E.txt", &[]).text(), "odd");
            let text = client.ask("GET", "/?sort=-size", &[]).text();
            assert!(text.contains("./long.bin") && text.contains("./sub/") && !text.contains("secret"), "{text}");
            assert!(text.find("long.bin") < text.find("hello.txt"), "the longest first");
            assert_eq!(client.ask("HEAD", "/bare/", &[]).status, 200);
            assert_eq!(client.ask("GET", "/sub/", &[]).text(), "<p>index", "an index comes before a listing");
        },
    );
}

#[test]
fn siblings_are_sent_to_those_who_accept_them() {
    each(
        "siblings",
        |files| files.precompressed(true),
        |folder, connect| {
            folder.write("app.js.gz", "gzipped");
            folder.write("app.js.br", "brotli");
            folder.write("sub/index.html.zst", "zstd");
            folder.write("hello.txt.gz", "stale");
            let long_ago = UNIX_EPOCH + Duration::from_secs(1_000);
            File::options()
                .write(true)
                .open(folder.path().join("hello.txt.gz"))
                .unwrap()
                .set_modified(long_ago)
                .unwrap();
            let mut client = connect();
            for (path, accepted, content, coding) in [
                ("/app.js", "gzip, deflate, br, zstd", "brotli", Some("br")),
                ("/app.js", "gzip", "gzipped", Some("gzip")),
                ("/app.js", "br;q=0.5, gzip", "gzipped", Some("gzip")),
                ("/app.js", "br;q=0, gzip;q=0", "let x = 1;", None),
                ("/app.js", "identity", "let x = 1;", None),
                ("/app.js", "*", "brotli", Some("br")),
                ("/sub/", "gzip, zstd", "zstd", Some("zstd")),
                ("/hello.txt", "gzip", "Hello, World!\n", None),
            ] {
                let response = client.ask("GET", path, &[("Accept-Encoding", accepted)]);
                assert_eq!(
                    (response.text().as_str(), response.field("Content-Encoding")),
                    (content, coding),
                    "{path} {accepted}"
                );
                assert_eq!(response.field("Vary"), Some("Accept-Encoding"));
            }
            let plain = client.ask("GET", "/app.js", &[]);
            let coded = client.ask("GET", "/app.js", &[("Accept-Encoding", "br")]);
            assert_ne!(plain.field("ETag"), coded.field("ETag"));
            assert_eq!(coded.field("Content-Type"), Some("text/javascript; charset=utf-8"));
        },
    );
}

#[test]
fn applications_of_one_page_get_it_for_their_paths() {
    let files = |files: Files| files.fallback("/sub/index.html").dot_files(true).cache_control("max-age=60");
    each("fallback", files, |_, connect| {
        let mut client = connect();
        for (path, status, text) in [
            ("/users/17", 200, "<p>index"),
            ("/hello.txt", 200, "Hello, World!\n"),
            ("/missing.png", 404, ""),
            ("/.secret", 200, "secret"),
        ] {
            let response = client.ask("GET", path, &[]);
            assert_eq!(response.status, status, "{path}");
            if status == 200 {
                assert_eq!((response.text().as_str(), response.field("Cache-Control")), (text, Some("max-age=60")));
            }
        }
    });
}

#[test]
fn a_file_that_shrinks_ends_the_connection() {
    const SHORT: u64 = 1 << 20;
    each(
        "shrinks",
        |files| files,
        |folder, connect| {
            folder.write("vast", vec![b'v'; 32 << 20]);
            let mut client = connect();
            client.send("GET", "/vast", &[]);
            let head = client.head();
            assert_eq!(head.field("Content-Length"), Some("33554432"));
            File::options().write(true).open(folder.path().join("vast")).unwrap().set_len(SHORT).unwrap();
            let content = client.rest();
            assert!(content.len() < 32 << 20, "it is cut off");
            // What waits in the socket's buffer may be cleared by the kernel when it is cut off from the file.
            assert!(content.starts_with(&vec![b'v'; SHORT.min(content.len() as u64) as usize]));
            assert_eq!(connect().ask("GET", "/vast", &[]).content.len() as u64, SHORT);
        },
    );
}

#[test]
fn a_file_that_is_replaced_is_sent_as_it_was() {
    each(
        "replaced",
        |files| files,
        |folder, connect| {
            let mut client = connect();
            client.send("GET", "/long.bin", &[]);
            let head = client.head();
            folder.write("new", "new");
            fs::rename(folder.path().join("new"), folder.path().join("long.bin")).unwrap();
            assert!(client.content(&head, "GET") == long());
            assert_eq!(client.ask("GET", "/long.bin", &[]).text(), "new");
        },
    );
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    each(
        "pipelined",
        |files| files,
        |_, connect| {
            let mut client = connect();
            let paths = ["/hello.txt", "/long.bin", "/missing", "/sub/", "/long.bin", "/empty"];
            for path in paths {
                client.send("GET", path, &[]);
            }
            let lengths = paths.map(|_| client.response("GET").content.len());
            assert_eq!((lengths[0], lengths[1], lengths[3], lengths[4], lengths[5]), (14, 3_000_001, 8, 3_000_001, 0));
        },
    );
}

#[test]
fn progress_is_reported_to_its_end() {
    for backend in backends() {
        let folder = folder(&format!("progress-{backend}"));
        let seen = Arc::new(Mutex::new(Vec::new()));
        let reports = Arc::clone(&seen);
        let files = Files::new(folder.path()).unwrap().on_progress(1_000_000, move |progress| {
            reports.lock().unwrap().push((progress.path.to_owned(), progress.sent, progress.total, progress.is_over));
        });
        serve(files, backend, |address| {
            let mut client = Client::connect(address);
            assert_eq!(client.ask("GET", "/hello.txt", &[]).status, 200);
            assert_eq!(client.ask("GET", "/long.bin", &[("Range", "bytes=1000000-")]).status, 206);
        });
        let seen = seen.lock().unwrap();
        let path = "/long.bin".to_owned();
        assert_eq!(seen.first(), Some(&(path.clone(), 0, 2_000_001, false)));
        assert_eq!(seen.last(), Some(&(path, 2_000_001, 2_000_001, true)));
        assert!(seen.is_sorted_by_key(|report| report.1));
    }
}

#[test]
fn files_that_are_not_in_the_cache_arrive_too() {
    each(
        "cold",
        |files| files,
        |folder, connect| {
            let path = folder.path().join("long.bin");
            let file = File::options().read(true).write(true).open(&path).unwrap();
            file.sync_all().unwrap();
            let mut client = connect();
            for path in ["/long.bin", "/hello.txt"] {
                drop_cache(&file);
                let response = client.ask("GET", path, &[]);
                assert_eq!(response.status, 200);
                if path == "/long.bin" {
                    assert!(response.content == long(), "{} bytes", response.content.len());
                }
            }
            drop_cache(&file);
            let response = client.ask("GET", "/long.bin", &[("Range", "bytes=2000000-2000009,5-6")]);
            assert_eq!(response.status, 206);
        },
    );
}

/// Asks the kernel to forget the content of a file, which it may ignore.
#[cfg(any(target_os = "linux", target_os = "freebsd"))]
fn drop_cache(file: &File) {
    let _ = rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::DontNeed);
}

#[cfg(not(any(target_os = "linux", target_os = "freebsd")))]
fn drop_cache(_file: &File) {}

#[test]
fn a_date_in_the_future_does_not_hide_a_file() {
    let folder = folder("future");
    let future = SystemTime::now() + Duration::from_secs(1_000_000);
    let mut file = File::options().append(true).open(folder.path().join("hello.txt")).unwrap();
    file.write_all(b"!").unwrap();
    file.set_modified(future).unwrap();
    serve(Files::new(folder.path()).unwrap(), Backend::Auto, |address| {
        assert_eq!(Client::connect(address).ask("GET", "/hello.txt", &[]).text(), "Hello, World!\n!");
    });
}

#[test]
fn times_of_files_may_be_odd() {
    each(
        "odd-times",
        |files| files,
        |folder, connect| {
            let mut client = connect();
            let mut asked = |modified: SystemTime| {
                let file = File::options().append(true).open(folder.path().join("hello.txt")).unwrap();
                file.set_modified(modified).unwrap();
                let response = client.ask("GET", "/hello.txt", &[]);
                assert_eq!(response.status, 200);
                let field = |name| response.field(name).unwrap().to_owned();
                (field("ETag"), field("Last-Modified"), field("Date"))
            };
            // Before 1970, which HTTP cannot tell from 1970.
            let (tag, modified, _) = asked(UNIX_EPOCH - Duration::from_secs(10));
            assert_eq!(modified, "Thu, 01 Jan 1970 00:00:00 GMT");
            assert_ne!(tag, asked(UNIX_EPOCH - Duration::from_secs(20)).0);
            // After 2038.
            let (_, modified, date) = asked(UNIX_EPOCH + Duration::from_secs(1 << 32));
            let seconds =
                |date: &str| httpdate::parse_http_date(date).unwrap().duration_since(UNIX_EPOCH).unwrap().as_secs();
            assert!(
                seconds(&modified).abs_diff(seconds(&date)) <= 5,
                "a time in the future is not sent: {modified}, {date}"
            );
            let (_, modified, _) = asked(UNIX_EPOCH + Duration::from_secs(1_000_000_000));
            assert_eq!(modified, "Sun, 09 Sep 2001 01:46:40 GMT");
        },
    );
}

#[test]
fn a_prefix_needs_no_slash_and_a_fallback_is_no_folder() {
    each(
        "prefix",
        |files| files.under("static/").fallback("sub"),
        |_, connect| {
            for (path, status) in
                [("/static/hello.txt", 200), ("/static/nothing", 404), ("/static/nothing/", 404), ("/hello.txt", 404)]
            {
                assert_eq!(connect().ask("GET", path, &[]).status, status, "{path}");
            }
        },
    );
}
