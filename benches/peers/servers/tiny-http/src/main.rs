//! tiny_http: blocking, with a pool of threads. It writes `Date` and `Server` itself.

use std::io::Cursor;
use std::sync::Arc;

use tiny_http::{Header, Method, Request, Response, Server};

fn main() {
    let listener = common::listener();
    listener.set_nonblocking(false).expect("a socket");
    common::announce(listener.local_addr().expect("a bound socket"));
    let server = Arc::new(Server::from_listener(listener, None).expect("a listener"));
    let serve = |server: Arc<Server>| {
        std::thread::spawn(move || {
            while let Ok(request) = server.recv() {
                answer(request);
            }
        })
    };
    let threads: Vec<_> = (0..common::Options::read().workers).map(|_| serve(server.clone())).collect();
    for thread in threads {
        thread.join().expect("a server that does not panic");
    }
}

fn reply(content_type: &str, body: Vec<u8>) -> Response<Cursor<Vec<u8>>> {
    let field = Header::from_bytes("Content-Type", content_type).expect("a field");
    // Always with Content-Length.
    Response::from_data(body).with_header(field).with_chunked_threshold(usize::MAX)
}

fn answer(mut request: Request) {
    let response = match (request.method(), request.url()) {
        (Method::Get, "/plaintext") => reply(common::TEXT, common::HELLO.into()),
        (Method::Post, "/echo") => {
            let mut content = Vec::new();
            // What has arrived is sent back.
            let _ = request.as_reader().read_to_end(&mut content);
            reply(common::BINARY, content)
        }
        (Method::Get, path) if let Some(bytes) = common::bytes(path) => reply(common::BINARY, bytes.into()),
        _ => reply(common::TEXT, Vec::new()).with_status_code(404),
    };
    // A client that leaves is no concern of ours.
    let _ = request.respond(response);
}
