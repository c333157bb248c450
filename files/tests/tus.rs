//! Resumable uploads over sockets: the protocol row by row, interruptions, and two clients at once.
#![cfg(unix)]

mod support;

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::Path;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use aurora_http::{Running, Server};
use aurora_http_files::tus::Uploads;
use support::Folder;

/// A server of uploads, on the backend that this system prefers.
struct Site {
    running: Running,
    address: SocketAddr,
}

impl Site {
    fn start(uploads: Uploads) -> Self {
        let server = Server::bind("127.0.0.1:0").unwrap().workers(2);
        let running = server.start(move |worker| uploads.handler(worker.resumer())).unwrap();
        let address = running.local_addr();
        Self { running, address }
    }

    fn stop(self) {
        self.running.stop();
        self.running.join().unwrap();
    }

    /// Status and head of the response to one request on a connection of its own.
    fn ask(&self, method: &str, path: &str, fields: &[(&str, &str)], content: &[u8]) -> Answer {
        let mut stream = self.open(method, path, fields, content.len());
        let _ = stream.write_all(content); // may be refused early
        Answer::read(stream)
    }

    /// A connection on which a request has been begun.
    fn open(&self, method: &str, path: &str, fields: &[(&str, &str)], length: usize) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let mut head =
            format!("{method} {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {length}\r\n");
        for (name, value) in fields {
            head += &format!("{name}: {value}\r\n");
        }
        stream.write_all((head + "\r\n").as_bytes()).unwrap();
        stream
    }

    fn create(&self, length: usize, metadata: &str) -> String {
        let length = length.to_string();
        let fields = [TUS, ("Upload-Length", &length), ("Upload-Metadata", metadata)];
        let answer = self.ask("POST", "/up", &fields, b"");
        assert_eq!(answer.status, 201, "{}", answer.head);
        answer.field("Location").expect("a place").to_owned()
    }

    fn offset(&self, path: &str) -> usize {
        let answer = self.ask("HEAD", path, &[TUS], b"");
        assert_eq!(answer.status, 200, "{}", answer.head);
        answer.field("Upload-Offset").expect("an offset").parse().expect("a number")
    }

    fn patch(&self, path: &str, offset: usize, content: &[u8]) -> Answer {
        let offset = offset.to_string();
        self.ask("PATCH", path, &[TUS, OCTETS, ("Upload-Offset", &offset)], content)
    }
}

struct Answer {
    status: u16,
    head: String,
}

impl Answer {
    fn read(mut stream: TcpStream) -> Self {
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes);
        let head = String::from_utf8_lossy(&bytes).into_owned();
        Self { status: head.get(9..12).and_then(|status| status.parse().ok()).unwrap_or(0), head }
    }

    fn field(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().take_while(|line| !line.is_empty());
        lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

const TUS: (&str, &str) = ("Tus-Resumable", "1.0.0");
const OCTETS: (&str, &str) = ("Content-Type", "application/offset+octet-stream");

fn content(length: usize) -> Vec<u8> {
    (0..length as u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

fn stored(folder: &Folder, path: &str) -> Vec<u8> {
    fs::read(folder.path().join(Path::new(path).file_name().expect("a name"))).expect("a file")
}

#[test]
fn an_upload_arrives_in_several_requests_and_is_reported_once() {
    let folder = Folder::new("tus-several");
    let seen = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&seen);
    let uploads = Uploads::new(folder.path()).unwrap().under("/up").on_complete(move |upload| {
        told.lock().unwrap().push((
            upload.bytes(),
            upload.metadata("name"),
            upload.metadata("empty"),
            upload.metadata("x"),
        ));
        Ok(())
    });
    let site = Site::start(uploads);
    let content = content(1_000_003);
    let path = site.create(content.len(), "name aGVsbG8=,empty");
    assert!(path.starts_with("/up/") && path.len() == 36, "{path}");
    for (from, to) in [(0, 1), (1, 1), (1, 70_000), (70_000, 300_000), (300_000, content.len())] {
        assert_eq!(site.offset(&path), from);
        let answer = site.patch(&path, from, &content[from..to]);
        assert_eq!(
            (answer.status, answer.field("Upload-Offset")),
            (204, Some(to.to_string().as_str())),
            "{}",
            answer.head
        );
        assert_eq!(answer.field("Tus-Resumable"), Some("1.0.0"));
        assert!(answer.field("Upload-Expires").is_some_and(|at| at.ends_with(" GMT")), "{}", answer.head);
    }
    assert!(stored(&folder, &path) == content);
    let expected = (content.len() as u64, Some(b"hello".to_vec()), Some(Vec::new()), None);
    assert_eq!(*seen.lock().unwrap(), std::slice::from_ref(&expected));
    let answer = site.ask("HEAD", &path, &[TUS], b"");
    assert_eq!(answer.field("Upload-Length"), Some("1000003"));
    assert_eq!(answer.field("Upload-Metadata"), Some("name aGVsbG8=,empty"));
    assert_eq!(answer.field("Cache-Control"), Some("no-store"));
    // Once more without content, as a client does that missed the answer.
    assert_eq!(site.patch(&path, content.len(), b"").status, 204);
    assert_eq!(seen.lock().unwrap().len(), 1);
    // An empty upload is complete at once.
    let empty = site.create(0, "");
    assert_eq!((site.offset(&empty), seen.lock().unwrap().len()), (0, 2));
    site.stop();
}

#[test]
fn every_wrong_request_is_refused_and_changes_nothing() {
    let folder = Folder::new("tus-wrong");
    let site = Site::start(Uploads::new(folder.path()).unwrap().under("/up").bytes_max(1000).uploads_max(2));
    let path = site.create(10, "");
    assert_eq!(site.patch(&path, 0, b"abc").status, 204);
    let unknown = "/up/0123456789abcdef0123456789abcdef";
    let at = |offset| ("Upload-Offset", offset);
    let length = |length| ("Upload-Length", length);
    type Row<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)], &'a [u8], u16);
    let rows: &[Row<'_>] = &[
        ("POST", "/up", &[length("5")], b"", 412),
        ("POST", "/up", &[("Tus-Resumable", "0.2.2"), length("5")], b"", 412),
        ("POST", "/up", &[TUS, TUS, length("5")], b"", 412),
        ("POST", "/up", &[TUS], b"", 400),
        ("POST", "/up", &[TUS, length("-1")], b"", 400),
        ("POST", "/up", &[TUS, length("+1")], b"", 400),
        ("POST", "/up", &[TUS, length("18446744073709551616")], b"", 400),
        ("POST", "/up", &[TUS, length("5"), length("5")], b"", 400),
        ("POST", "/up", &[TUS, ("Upload-Defer-Length", "1")], b"", 400),
        ("POST", "/up", &[TUS, length("1001")], b"", 413),
        ("POST", "/up", &[TUS, length("5"), ("Upload-Metadata", "a !")], b"", 400),
        ("POST", "/up", &[TUS, length("5"), ("Upload-Metadata", "a,,b")], b"", 400),
        ("POST", &path, &[TUS, length("5")], b"", 405),
        ("GET", &path, &[TUS], b"", 405),
        ("GET", "/up", &[TUS], b"", 405),
        ("PUT", "/elsewhere", &[TUS], b"", 404),
        ("POST", "/upload", &[TUS, length("5")], b"", 404),
        ("HEAD", &path, &[], b"", 412),
        ("HEAD", unknown, &[TUS], b"", 404),
        ("HEAD", "/up/../secret", &[TUS], b"", 404),
        ("HEAD", "/up/%2e%2e%2fsecret", &[TUS], b"", 404),
        ("HEAD", "/up/0123456789ABCDEF0123456789abcdef", &[TUS], b"", 404),
        ("PATCH", &path, &[OCTETS, at("3")], b"d", 412),
        ("PATCH", &path, &[TUS, at("3")], b"d", 415),
        ("PATCH", &path, &[TUS, ("Content-Type", "text/plain"), at("3")], b"d", 415),
        ("PATCH", &path, &[TUS, OCTETS], b"d", 400),
        ("PATCH", &path, &[TUS, OCTETS, at("x")], b"d", 400),
        ("PATCH", &path, &[TUS, OCTETS, at("0")], b"abc", 409),
        ("PATCH", &path, &[TUS, OCTETS, at("4")], b"e", 409),
        ("PATCH", &path, &[TUS, OCTETS, at("3")], b"defghijk", 413),
        ("PATCH", unknown, &[TUS, OCTETS, at("0")], b"d", 404),
        ("DELETE", unknown, &[TUS], b"", 404),
        ("DELETE", &path, &[], b"", 412),
    ];
    for &(method, target, fields, content, status) in rows {
        let answer = site.ask(method, target, fields, content);
        assert_eq!(answer.status, status, "{method} {target} {fields:?}: {}", answer.head);
        assert_eq!(answer.field("Tus-Resumable"), Some("1.0.0"), "{method} {target}");
        assert_eq!(answer.field("Tus-Version"), (status == 412).then_some("1.0.0"), "{method} {target}");
        assert_eq!(site.offset(&path), 3, "{method} {target} {fields:?}");
    }
    // Content of unknown length is refused once it is too long.
    let mut stream = TcpStream::connect(site.address).unwrap();
    let head = format!(
        "PATCH {path} HTTP/1.1\r\nHost: a\r\nTus-Resumable: 1.0.0\r\nContent-Type: {}\r\nUpload-Offset: 3\r\n",
        OCTETS.1
    );
    stream.write_all(format!("{head}Transfer-Encoding: chunked\r\n\r\n8\r\ndefghijk\r\n0\r\n\r\n").as_bytes()).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(Answer::read(stream).status, 413);
    assert_eq!(site.offset(&path), 3);
    let answer = site.ask("OPTIONS", "/up", &[], b"");
    assert_eq!(
        (answer.status, answer.field("Tus-Version"), answer.field("Tus-Max-Size")),
        (204, Some("1.0.0"), Some("1000"))
    );
    assert_eq!(answer.field("Tus-Extension"), Some("creation,termination,expiration"));
    // A third one is too many, until one of the two is deleted.
    let second = site.create(5, "");
    assert_eq!(site.ask("POST", "/up", &[TUS, length("5")], b"").status, 503);
    assert_eq!(site.ask("POST", &second, &[TUS, ("X-HTTP-Method-Override", "DELETE")], b"").status, 204);
    assert_eq!(site.ask("HEAD", &second, &[TUS], b"").status, 404);
    site.create(5, "");
    site.stop();
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 4, "two uploads are left");
}

#[test]
fn an_upload_belongs_to_one_request_at_a_time() {
    let folder = Folder::new("tus-two");
    let site = Site::start(Uploads::new(folder.path()).unwrap().under("/up"));
    let content = content(200_000);
    let path = site.create(content.len(), "");
    let mut first = site.open("PATCH", &path, &[TUS, OCTETS, ("Upload-Offset", "0")], content.len());
    first.write_all(&content[..100_000]).unwrap();
    // More than a piece of it has been written by then, so it has the lock.
    while site.offset(&path) == 0 {}
    assert_eq!(site.patch(&path, site.offset(&path), b"x").status, 423);
    assert_eq!(site.ask("DELETE", &path, &[TUS], b"").status, 423);
    // Its client is gone: what arrived is kept, and another request may go on.
    first.shutdown(Shutdown::Both).unwrap();
    drop(first);
    let answer = loop {
        let offset = site.offset(&path);
        let answer = site.patch(&path, offset, &content[offset..]);
        // Until the server has noticed, and written the rest.
        if !matches!(answer.status, 409 | 423) {
            break answer;
        }
    };
    assert_eq!((answer.status, answer.field("Upload-Offset")), (204, Some("200000")), "{}", answer.head);
    assert!(stored(&folder, &path) == content);
    site.stop();
}

#[test]
fn uploads_go_on_after_a_restart_and_expire() {
    let folder = Folder::new("tus-restart");
    let uploads = || Uploads::new(folder.path()).unwrap().under("/up");
    let content = content(150_000);
    let site = Site::start(uploads());
    let (path, forgotten) = (site.create(content.len(), "name aGVsbG8="), site.create(10, ""));
    assert_eq!(site.patch(&path, 0, &content[..70_000]).status, 204);
    site.stop();
    let site = Site::start(uploads());
    assert_eq!(site.offset(&path), 70_000);
    assert_eq!(site.patch(&path, 70_000, &content[70_000..]).status, 204);
    assert!(stored(&folder, &path) == content);
    site.stop();
    // Everything has expired: it is gone, and removed when another one is created.
    let site = Site::start(uploads().expires_s(Some(0)).uploads_max(3));
    assert_eq!(site.ask("HEAD", &path, &[TUS], b"").status, 404);
    assert_eq!(site.patch(&forgotten, 0, b"x").status, 404);
    site.create(10, "");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    site.stop();
}

#[test]
fn an_error_of_the_program_is_answered_and_asked_again() {
    let folder = Folder::new("tus-error");
    let elsewhere = Folder::new("tus-elsewhere");
    let target = elsewhere.path().join("done");
    let (calls, moved) = (Mutex::new(0), target.clone());
    let uploads = Uploads::new(folder.path()).unwrap().under("/up").on_complete(move |upload| {
        let call = {
            let mut calls = calls.lock().unwrap();
            *calls += 1;
            *calls
        };
        match call {
            1 => Err(std::io::Error::other("not yet")),
            2 => panic!("a mistake of the program"),
            _ => fs::rename(upload.path(), &moved),
        }
    });
    let site = Site::start(uploads);
    let path = site.create(3, "");
    assert_eq!(site.patch(&path, 0, b"abc").status, 500);
    assert_eq!(site.patch(&path, 3, b"").status, 500);
    // A client that finds all of it there does not come again, so the program has to know by then.
    assert_eq!(site.offset(&path), 3);
    assert_eq!(fs::read(target).unwrap(), b"abc");
    // The file is elsewhere now, and the upload complete.
    assert_eq!((site.offset(&path), site.patch(&path, 3, b"").status), (3, 204));
    assert_eq!(site.ask("DELETE", &path, &[TUS], b"").status, 204);
    assert_eq!(site.ask("HEAD", &path, &[TUS], b"").status, 404);
    site.stop();
}

/// The program has taken the file, which has no name here any more, and is not done with it.
#[test]
fn an_upload_is_not_removed_while_the_program_is_told_of_it() {
    let folder = Folder::new("tus-taken");
    let elsewhere = Folder::new("tus-taken-elsewhere");
    let target = elsewhere.path().join("done");
    let (tell, told) = channel();
    let (open, gate) = channel();
    let gate = Mutex::new(gate);
    let uploads = Uploads::new(folder.path()).unwrap().under("/up").uploads_max(1).on_complete(move |upload| {
        fs::rename(upload.path(), &target)?;
        tell.send(()).unwrap();
        gate.lock().unwrap().recv().map_err(std::io::Error::other)
    });
    let site = Site::start(uploads);
    let path = site.create(3, "");
    thread::scope(|scope| {
        let patch = scope.spawn(|| site.patch(&path, 0, b"abc").status);
        told.recv().unwrap();
        for method in ["DELETE", "HEAD"] {
            assert_eq!(site.ask(method, &path, &[TUS], b"").status, 423, "{method}");
        }
        open.send(()).unwrap();
        assert_eq!(patch.join().unwrap(), 204);
    });
    assert_eq!(site.offset(&path), 3);
    assert_eq!(site.ask("DELETE", &path, &[TUS], b"").status, 204);
    site.create(3, "");
    site.stop();
}

#[test]
fn two_servers_may_share_a_folder() {
    let folder = Folder::new("tus-shared");
    let [first, second] = [(); 2].map(|()| Site::start(Uploads::new(folder.path()).unwrap().under("/up")));
    let path = first.create(3, "");
    assert_eq!(second.patch(&path, 0, b"abc").status, 204);
    assert_eq!(second.ask("DELETE", &path, &[TUS], b"").status, 204);
    second.create(3, "");
    first.stop();
    second.stop();
}

#[test]
fn a_time_that_no_date_can_tell_is_not_told() {
    let folder = Folder::new("tus-late");
    let site = Site::start(Uploads::new(folder.path()).unwrap().under("/up").expires_s(Some(1 << 40)));
    let answer = site.ask("POST", "/up", &[TUS, ("Upload-Length", "1")], b"");
    assert_eq!((answer.status, answer.field("Upload-Expires")), (201, None));
    site.stop();
}
