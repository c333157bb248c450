//! A folder, a server of it, and a client.

#![allow(dead_code)] // each test uses its own part

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use aurora_http::{Backend, Limits, Server};
use aurora_http_files::Files;

/// A folder for temporary files, removed when dropped.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("aurora-files-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The backends that work here.
pub(crate) fn backends() -> Vec<Backend> {
    let all = [Backend::Epoll, Backend::Uring, Backend::Kqueue];
    all.into_iter()
        .filter(|&backend| {
            let server = Server::bind("127.0.0.1:0").unwrap().backend(backend).workers(1);
            let started = server.start(|_| aurora_http::handler_fn(|_, response| response.body("")));
            match started {
                Ok(running) => {
                    running.stop();
                    running.join().is_ok()
                }
                Err(error) => {
                    println!("SKIPPED: {backend}: {error}");
                    false
                }
            }
        })
        .collect()
}

/// Serves while `test` runs.
pub(crate) fn serve(files: Files, backend: Backend, test: impl FnOnce(SocketAddr)) {
    let limits = Limits { requests_per_connection_max: None, ..Limits::default() };
    let server = Server::bind("127.0.0.1:0").unwrap().backend(backend).workers(1).connections(64).limits(limits);
    let running = server.start(move |worker| files.handler(worker.resumer())).unwrap();
    test(running.local_addr());
    running.stop();
    running.join().unwrap();
}

pub(crate) struct Client {
    stream: BufReader<TcpStream>,
}

#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    fields: Vec<(String, String)>,
    pub(crate) content: Vec<u8>,
}

impl Response {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.content).into_owned()
    }
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        Self { stream: BufReader::new(stream) }
    }

    pub(crate) fn send(&mut self, method: &str, path: &str, fields: &[(&str, &str)]) {
        let fields: String = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let request = format!("{method} {path} HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
        self.stream.get_mut().write_all(request.as_bytes()).unwrap();
    }

    pub(crate) fn ask(&mut self, method: &str, path: &str, fields: &[(&str, &str)]) -> Response {
        self.send(method, path, fields);
        self.response(method)
    }

    pub(crate) fn response(&mut self, method: &str) -> Response {
        let mut response = self.head();
        response.content = self.content(&response, method);
        response
    }

    /// The head of the next response.
    pub(crate) fn head(&mut self) -> Response {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            assert!(self.stream.read_line(&mut line).unwrap() > 0, "the connection ended after {lines:?}");
            match line.trim_end() {
                "" => break,
                line => lines.push(line.to_owned()),
            }
        }
        let status = lines[0].split(' ').nth(1).unwrap().parse().unwrap();
        let fields = lines[1..].iter().map(|line| line.split_once(": ").unwrap());
        let fields = fields.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Response { status, fields, content: Vec::new() }
    }

    /// The content after a head.
    pub(crate) fn content(&mut self, head: &Response, method: &str) -> Vec<u8> {
        if method == "HEAD" || matches!(head.status, 204 | 304) {
            return Vec::new();
        }
        let length = head.field("Content-Length").expect("a length").parse().unwrap();
        let mut content = vec![0; length];
        self.stream.read_exact(&mut content).unwrap();
        content
    }

    /// Everything up to the end of the connection.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        // A reset is an end, too.
        let _ = self.stream.read_to_end(&mut rest);
        rest
    }
}
