//! Runs the examples that receive files as their users do.
#![cfg(has_backend)]

#[path = "support/example.rs"]
mod example;
#[path = "support/http.rs"]
mod http;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use example::Example;
use http::{Client, Response, eventually};

/// A folder for one test, which is the server's directory for temporary files.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("aurora-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).expect("a folder");
        Self(path)
    }

    fn start(&self, example: &str) -> Example {
        Example::start_with(example, &["--workers", "1"], &[("TMPDIR", self.0.to_str().expect("text"))])
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.0.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What curl prints; `None`, and a line, if there is no curl.
fn curl(folder: &Path, arguments: &[&str]) -> Option<String> {
    let mut command = Command::new("curl");
    command
        .args(["--silent", "--show-error", "--max-time", "60", "--noproxy", "*"])
        .args(arguments)
        .current_dir(folder);
    let Ok(output) = command.output() else {
        println!("SKIPPED: there is no curl");
        return None;
    };
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn form_stores_what_curl_sends() {
    let (folder, sent) = (Folder::new("form-curl"), Folder::new("form-sent"));
    let server = folder.start("form");
    let url = format!("http://{}/", server.address);
    let big: Vec<u8> = (0..3_000_000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    fs::write(sent.0.join("big.bin"), &big).expect("a file");
    fs::write(sent.0.join("a \"b\".txt"), "line\r\n--line").expect("a file");
    let arguments = ["-F", "from=me", "-F", "files=@big.bin", "-F", "files=@\"a \\\"b\\\".txt\"", &url];
    let Some(answer) = curl(&sent.0, &arguments) else { return };
    assert_eq!(answer, "from me:\nbig.bin\na \"b\".txt\n");
    assert!(folder.read("big.bin") == big);
    assert_eq!(folder.read("a \"b\".txt"), b"line\r\n--line");
    let names = ["-F", "from=me", "-F", "files=@big.bin;filename=../../up", "--form-escape", &url];
    assert_eq!(curl(&sent.0, &names).as_deref(), Some("from me:\nup\n"));
    assert!(folder.read("up") == big);
    let again = curl(&sent.0, &["-F", "from=me", "-F", "files=@big.bin", &url]);
    assert!(again.is_some_and(|answer| answer.contains("there is such a file")));
    server.ends_well();
}

/// The form of a browser, byte for byte as Chromium sends it, in small pieces.
#[test]
fn form_stores_what_a_browser_sends() {
    let folder = Folder::new("form-browser");
    let server = folder.start("form");
    let mut client = Client::connect(server.address);
    assert!(client.get("/").text().contains("multipart/form-data"));
    let form = "------WebKitFormBoundaryABC\r\nContent-Disposition: form-data; name=\"from\"\r\n\r\nme\r\n\
                ------WebKitFormBoundaryABC\r\nContent-Disposition: form-data; name=\"files\"; filename=\"n%22.txt\"\r\n\
                Content-Type: text/plain\r\n\r\nhello\r\n------WebKitFormBoundaryABC--\r\n";
    let head = format!(
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Type: multipart/form-data; boundary=----WebKitFormBoundaryABC\r\n\
         Content-Length: {}\r\n\r\n",
        form.len()
    );
    client.send(head);
    for piece in form.as_bytes().chunks(10) {
        client.send(piece);
    }
    assert_eq!(client.response("POST").text(), "from me:\nn\".txt\n");
    assert_eq!(folder.read("n\".txt"), b"hello");
    drop(client);
    server.ends_well();
}

/// A request of the tus protocol.
fn tus(client: &mut Client, method: &str, path: &str, fields: &str, content: &[u8]) -> Response {
    let length = content.len();
    let fields = format!("Host: a\r\nTus-Resumable: 1.0.0\r\nContent-Length: {length}\r\n{fields}");
    client.send([format!("{method} {path} HTTP/1.1\r\n{fields}\r\n").as_bytes(), content].concat());
    client.response(method)
}

#[test]
fn tus_goes_on_after_the_server_was_killed_in_the_middle() {
    let folder = Folder::new("tus-killed");
    let big: Vec<u8> = (0..1_000_000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let server = folder.start("tus");
    let mut client = Client::connect(server.address);
    let created =
        tus(&mut client, "POST", "/uploads", "Upload-Length: 1000000\r\nUpload-Metadata: filename YQ==\r\n", b"");
    let path = created.field("Location").expect("a place").to_owned();
    client.send(format!(
        "PATCH {path} HTTP/1.1\r\nHost: a\r\nTus-Resumable: 1.0.0\r\nContent-Type: application/offset+octet-stream\r\n\
         Upload-Offset: 0\r\nContent-Length: 1000000\r\n\r\n"
    ));
    client.send(&big[..700_000]);
    let offset = |client: &mut Client| -> usize {
        let seen = tus(client, "HEAD", &path, "", b"");
        seen.field("Upload-Offset").and_then(|offset| offset.parse().ok()).expect("an offset")
    };
    let mut other = Client::connect(server.address);
    eventually(|| offset(&mut other) >= 600_000, "what has arrived is written");
    drop(server); // by SIGKILL
    let server = folder.start("tus");
    let mut client = Client::connect(server.address);
    let from = offset(&mut client);
    assert!((600_000..=700_000).contains(&from), "{from}");
    let fields = format!("Content-Type: application/offset+octet-stream\r\nUpload-Offset: {from}\r\n");
    let answer = tus(&mut client, "PATCH", &path, &fields, &big[from..]);
    assert_eq!((answer.status, answer.field("Upload-Offset")), (204, Some("1000000")));
    let name = path.rsplit('/').next().expect("a name");
    assert!(folder.read(&format!("aurora-uploads/{name}")) == big);
    drop(client);
    server.ends_well();
}

#[test]
fn tus_takes_an_upload_from_curl() {
    let (folder, sent) = (Folder::new("tus-curl"), Folder::new("tus-sent"));
    let server = folder.start("tus");
    let big: Vec<u8> = (0..3_000_000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    fs::write(sent.0.join("big.bin"), &big).expect("a file");
    let url = format!("http://{}/uploads", server.address);
    let create = [
        "-X",
        "POST",
        "-H",
        "Tus-Resumable: 1.0.0",
        "-H",
        "Upload-Length: 3000000",
        "-w",
        "%{http_code} %header{location}",
        &url,
    ];
    let Some(created) = curl(&sent.0, &create) else { return };
    let (_, path) = created.split_once(' ').expect("a place");
    let url = format!("http://{}{path}", server.address);
    let octets = "Content-Type: application/offset+octet-stream";
    let patch = [
        "-X",
        "PATCH",
        "-T",
        "big.bin",
        "-H",
        "Tus-Resumable: 1.0.0",
        "-H",
        octets,
        "-H",
        "Upload-Offset: 0",
        "-w",
        "%{http_code}",
        &url,
    ];
    // curl waits for 100 (Continue) before it sends.
    assert_eq!(curl(&sent.0, &patch).as_deref(), Some("204"));
    let again = curl(&sent.0, &patch);
    assert!(again.is_some_and(|answer| answer.ends_with("409")));
    let name = path.rsplit('/').next().expect("a name");
    assert!(folder.read(&format!("aurora-uploads/{name}")) == big);
    server.ends_well();
}
