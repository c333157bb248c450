//! Compressed responses to real clients: events that must not wait, curl, Python; and what encoders cost.
#![cfg(unix)]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::Duration;

use aurora_http::{EventFeed, Request, ResponseWriter, Running, Server, WriteError, collect_fn, handler_fn, whole};
use aurora_http_compress::{Budget, Compress};
use aurora_http_files::Files;

static FEED: EventFeed = EventFeed::new(0);

fn listen(address: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n").unwrap();
    stream
}

/// Reads at least one byte more.
fn more(stream: &mut TcpStream, into: &mut Vec<u8>) {
    let mut buffer = [0; 4096];
    let count = stream.read(&mut buffer).expect("something in time");
    assert!(count > 0, "the connection has ended");
    into.extend(&buffer[..count]);
}

fn head(stream: &mut TcpStream, into: &mut Vec<u8>) -> String {
    loop {
        if let Some(end) = into.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            let rest = into.split_off(end + 4);
            return String::from_utf8(std::mem::replace(into, rest)).unwrap();
        }
        more(stream, into);
    }
}

/// The content of the complete chunks so far.
fn unchunked(mut chunks: &[u8]) -> Vec<u8> {
    let mut content = Vec::new();
    while let Some(end) = chunks.iter().position(|&byte| byte == b'\n') {
        let size = usize::from_str_radix(str::from_utf8(&chunks[..end]).unwrap().trim(), 16).unwrap();
        let Some(chunk) = chunks.get(end + 1..end + 1 + size) else { break };
        content.extend(chunk);
        chunks = chunks.get(end + size + 3..).unwrap_or_default();
    }
    content
}

/// What can be decoded by now.
fn decoded(gzip: &[u8]) -> String {
    let mut decoder = flate2::write::GzDecoder::new(Vec::new());
    decoder.write_all(gzip).expect("gzip");
    decoder.flush().expect("gzip");
    String::from_utf8(decoder.get_ref().clone()).unwrap()
}

#[test]
fn events_arrive_when_they_are_sent_and_further_listeners_get_them_uncompressed() {
    let budget = Budget::new(1);
    let shared = budget.clone();
    let server = Server::bind("127.0.0.1:0").unwrap().workers(1);
    let running = server
        .start(move |worker| {
            let resumer = worker.resumer();
            let join = move |request: &Request<'_>, response: &mut ResponseWriter<'_>| {
                FEED.join(request, response, &resumer, 16)
            };
            Compress::new(handler_fn(join)).budget(&shared)
        })
        .unwrap();
    let (mut first, mut bytes) = (listen(running.local_addr()), Vec::new());
    let fields = head(&mut first, &mut bytes);
    assert!(fields.contains("Content-Encoding: gzip\r\n"), "{fields}");
    let (mut second, mut plain) = (listen(running.local_addr()), Vec::new());
    let fields = head(&mut second, &mut plain);
    assert!(!fields.contains("Content-Encoding") && fields.contains("Vary: Accept-Encoding\r\n"), "{fields}");
    assert_eq!(budget.taken(), 1);
    for number in 0..20 {
        let event = format!("event {number}, and some more text than one word");
        FEED.send(&event);
        while !decoded(&unchunked(&bytes)).contains(&event) {
            more(&mut first, &mut bytes);
        }
        while !String::from_utf8_lossy(&plain).contains(&event) {
            more(&mut second, &mut plain);
        }
    }
    // The permit of a listener that has left is free again.
    drop((first, second));
    while budget.taken() > 0 {
        FEED.send("is anybody there?");
        std::thread::yield_now();
    }
    stop(running);
}

fn stop(running: Running) {
    running.stop();
    running.join().unwrap();
}

fn page() -> Vec<u8> {
    (0..40_000_u32).flat_map(|number| format!("line {}\n", number.wrapping_mul(2_654_435_761)).into_bytes()).collect()
}

fn pages() -> Running {
    let page = page();
    let server = Server::bind("127.0.0.1:0").unwrap().workers(1);
    let start = server.start(move |_worker| {
        let page = page.clone();
        Compress::new(handler_fn(move |_: &Request<'_>, response: &mut ResponseWriter<'_>| {
            response.field("Content-Type", "text/plain")?;
            Ok::<_, WriteError>(whole(page.clone()))
        }))
    });
    start.unwrap()
}

#[test]
fn curl_decodes_every_coding_that_it_knows() {
    let running = pages();
    let Ok(version) = Command::new("curl").arg("--version").output() else {
        println!("SKIPPED: there is no curl");
        return stop(running);
    };
    let version = String::from_utf8_lossy(&version.stdout).into_owned();
    for (coding, feature) in [("gzip", "libz"), ("br", "brotli"), ("zstd", "zstd")] {
        if !version.contains(feature) {
            println!("SKIPPED: this curl does not know {coding}");
            continue;
        }
        let url = format!("http://{}/", running.local_addr());
        let accepted = format!("Accept-Encoding: {coding}");
        let arguments = [
            "-s",
            "--max-time",
            "30",
            "--noproxy",
            "*",
            "--compressed",
            "-H",
            &accepted,
            "-w",
            "%{stderr}%{size_download}",
            &url,
        ];
        let output = Command::new("curl").args(arguments).output().unwrap();
        assert!(output.status.success() && output.stdout == page(), "{coding}");
        let size: usize = String::from_utf8_lossy(&output.stderr).parse().unwrap();
        assert!(size > 1000 && size < page().len() / 2, "{coding}: {size} bytes of {}", page().len());
    }
    stop(running);
}

#[test]
fn python_decodes_gzip() {
    let running = pages();
    let script = "import gzip, sys, urllib.request as r\n\
                  q = r.Request(sys.argv[1], headers={'Accept-Encoding': 'gzip'})\n\
                  a = r.build_opener(r.ProxyHandler({})).open(q, timeout=30)\n\
                  assert a.headers['Content-Encoding'] == 'gzip', a.headers\n\
                  sys.stdout.buffer.write(gzip.decompress(a.read()))";
    let url = format!("http://{}/", running.local_addr());
    match Command::new("python3").args(["-c", script, &url]).output() {
        Ok(output) => {
            assert!(output.status.success() && output.stdout == page(), "{}", String::from_utf8_lossy(&output.stderr));
        }
        Err(_) => println!("SKIPPED: there is no python3"),
    }
    stop(running);
}

#[test]
fn files_are_compressed_by_their_type_and_others_are_sent_by_the_system() {
    let folder = std::env::temp_dir().join(format!("aurora-compress-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    for name in ["a.txt", "a.png"] {
        std::fs::write(folder.join(name), page()).unwrap();
    }
    let files = Files::new(&folder).unwrap();
    let server = Server::bind("127.0.0.1:0").unwrap().workers(1);
    let running = server.start(move |worker| Compress::new(files.handler(worker.resumer()))).unwrap();
    let ask_with = |path: &str, fields: &str| {
        let mut stream = TcpStream::connect(running.local_addr()).unwrap();
        let fields = format!("Host: a\r\nConnection: close\r\n{fields}");
        stream.write_all(format!("GET {path} HTTP/1.1\r\n{fields}\r\n").as_bytes()).unwrap();
        let mut bytes = Vec::new();
        let head = head(&mut stream, &mut bytes);
        stream.read_to_end(&mut bytes).unwrap();
        (head, bytes)
    };
    let ask = |path: &str, range: &str| ask_with(path, &format!("Accept-Encoding: gzip\r\n{range}"));
    let (head, content) = ask("/a.txt", "");
    assert!(
        head.contains("Content-Encoding: gzip\r\n") && head.contains("ETag: W/\"") && !head.contains("Accept-Ranges"),
        "{head}"
    );
    assert!(content.len() < page().len() / 2 && decoded(&unchunked(&content)).as_bytes() == page());
    let tag = head.lines().find_map(|line| line.strip_prefix("ETag: ")).unwrap();
    let (head, _) = ask("/a.txt", &format!("If-None-Match: {tag}\r\n"));
    assert!(
        head.starts_with("HTTP/1.1 304 ")
            && head.contains(&format!("ETag: {tag}\r\n"))
            && head.contains("Vary: Accept-Encoding\r\n")
            && !head.contains("Accept-Ranges"),
        "{head}"
    );
    let (head, content) = ask_with("/a.txt", "");
    assert!(head.contains("Vary: Accept-Encoding\r\n") && content == page(), "{head}");
    let (head, content) = ask("/a.png", "");
    assert!(!head.contains("Content-Encoding") && !head.contains("Vary") && content == page(), "{head}");
    let (head, content) = ask("/a.txt", "Range: bytes=5-1004\r\n");
    assert!(
        head.starts_with("HTTP/1.1 206 ")
            && !head.contains("Content-Encoding")
            && head.contains("Vary")
            && content == page()[5..1005],
        "{head}"
    );
    stop(running);
    std::fs::remove_dir_all(folder).unwrap();
}

/// What is to be compressed cannot be sent by the system from a file, whichever call begins the response.
#[test]
fn a_response_to_collected_content_is_made_in_memory() {
    let answer = |_: &Request<'_>, _: &[u8], response: &mut ResponseWriter<'_>| {
        response.field("Content-Type", "text/plain")?;
        response.body(if response.sends_files() { "by the system " } else { "from memory " }.repeat(500))
    };
    let server = Server::bind("127.0.0.1:0").unwrap().workers(1);
    let running = server.start(move |_worker| Compress::new(collect_fn(answer))).unwrap();
    for content in ["", "x"] {
        let mut stream = TcpStream::connect(running.local_addr()).unwrap();
        let fields = format!("Accept-Encoding: gzip\r\nConnection: close\r\nContent-Length: {}", content.len());
        stream.write_all(format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n{content}").as_bytes()).unwrap();
        let mut bytes = Vec::new();
        let head = head(&mut stream, &mut bytes);
        stream.read_to_end(&mut bytes).unwrap();
        assert!(head.contains("Content-Encoding: gzip\r\n"), "{head}");
        assert_eq!(decoded(&bytes), "from memory ".repeat(500), "{content:?}");
    }
    stop(running);
}
