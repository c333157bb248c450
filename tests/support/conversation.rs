//! What a real client says to a program in which a server is embedded, whatever loop that is. The program serves
//! `GET /hello` and `POST /echo`.

use std::io::Write;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::thread;

use rustix::process::Signal;

use crate::example::Example;
use crate::http::{Client, pattern};

const LONG: usize = 1_000_000;
const CLIENTS: usize = 50;
const GET: &[u8] = b"GET /hello HTTP/1.1\r\nHost: x\r\n\r\n";

/// Says all of it, and ends the program.
pub(crate) fn converse(program: Example) {
    let address = program.address;
    requests_share_a_connection(address);
    content_comes_back(address);
    requests_may_be_pipelined(address);
    nonsense_is_refused(address);
    many_are_served_at_once(address);
    curl_is_served(address);
    a_stop_finishes_what_is_under_way(program);
}

fn requests_share_a_connection(address: SocketAddr) {
    let mut client = Client::connect(address);
    for _ in 0..3 {
        let response = client.get("/hello");
        assert_eq!((response.status, response.text()), (200, "Hello, World!\n"));
    }
    assert_eq!(client.get("/nothing").status, 404);
    assert_eq!(client.request("HEAD", "/hello").field("Content-Length"), Some("14"));
}

/// Both forms of content, on one connection.
fn content_comes_back(address: SocketAddr) {
    let content = pattern(LONG);
    let mut client = Client::connect(address);
    let mut by_length = format!("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: {LONG}\r\n\r\n").into_bytes();
    by_length.extend(&content);
    let mut by_chunks = b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    for piece in content.chunks(7_001) {
        write!(by_chunks, "{:x}\r\n", piece.len()).unwrap();
        by_chunks.extend(piece);
        by_chunks.extend(b"\r\n");
    }
    by_chunks.extend(b"0\r\n\r\n");
    for request in [by_length, by_chunks] {
        let sending = client.send_aside(request);
        let response = client.response("POST");
        assert_eq!((response.status, response.body.len()), (200, LONG));
        assert!(response.body == content, "other bytes");
        sending.join().unwrap();
    }
}

fn requests_may_be_pipelined(address: SocketAddr) {
    let mut client = Client::connect(address);
    let echo = b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc";
    client.send([GET, echo, GET].concat());
    let texts: Vec<String> = ["GET", "POST", "GET"].map(|method| client.response(method).text().to_owned()).into();
    assert_eq!(texts, ["Hello, World!\n", "abc", "Hello, World!\n"]);
}

/// The last of them, a request whose end two readers could see in two places, is what a smuggler sends.
fn nonsense_is_refused(address: SocketAddr) {
    let requests = [
        "GET /hello HTTP/1.1\r\n\r\n",
        "GET /hello HTTP/1.1\r\nHost: x\r\nName : value\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ];
    for request in requests {
        let mut client = Client::connect(address);
        client.send(request);
        assert_eq!(client.response("GET").status, 400, "{request}");
        assert!(client.is_ended(), "{request}");
    }
}

/// All are open before the first one is answered, and stay open until the last one is.
fn many_are_served_at_once(address: SocketAddr) {
    let mut clients: Vec<Client> = (0..CLIENTS).map(|_| Client::connect(address)).collect();
    for _ in 0..2 {
        for client in &mut clients {
            client.send(GET);
        }
        for client in &mut clients {
            assert_eq!(client.response("GET").status, 200);
        }
    }
}

/// A client that nobody here has written.
fn curl_is_served(address: SocketAddr) {
    let curl = |arguments: &[&str]| {
        let mut command = Command::new("curl");
        command.args(["-sS", "--noproxy", "*", "--max-time", "20"]).args(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()
    };
    let (hello, echo) = (format!("http://{address}/hello"), format!("http://{address}/echo"));
    let Ok(child) = curl(&["-w", "%{http_code} %{num_connects}\n", &hello, &hello]) else {
        return eprintln!("SKIPPED: nothing was asked by curl, which is not installed");
    };
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(text, "Hello, World!\n200 1\nHello, World!\n200 0\n", "{:?}", output.status);
    for form in [&[][..], &["-H", "Transfer-Encoding: chunked"], &["-H", "Expect: 100-continue"]] {
        let content = pattern(LONG);
        let mut child = curl(&[form, &["--data-binary", "@-", &echo]].concat()).unwrap();
        let (mut stdin, sent) = (child.stdin.take().unwrap(), content.clone());
        let sending = thread::spawn(move || stdin.write_all(&sent));
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success() && output.stdout == content, "{form:?}: {} bytes", output.stdout.len());
        sending.join().unwrap().unwrap();
    }
}

/// Who is idle is let go at once; who is in the middle of a request is answered, as the last one.
fn a_stop_finishes_what_is_under_way(program: Example) {
    let (mut idle, mut busy) = (Client::connect(program.address), Client::connect(program.address));
    idle.get("/hello");
    busy.send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    assert!(busy.head().starts_with("HTTP/1.1 100 "));
    program.signal(Signal::TERM);
    assert!(idle.is_ended());
    busy.send("hello");
    assert_eq!(busy.response("POST").text(), "hello");
    assert!(busy.is_ended());
    drop((idle, busy));
    assert_eq!(program.wait().code(), Some(0));
}
