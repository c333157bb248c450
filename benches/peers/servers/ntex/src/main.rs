//! ntex's HTTP service without its router, on tokio.

use std::io;

use ntex::SharedCfg;
use ntex::http::body::Body;
use ntex::http::header::{CONTENT_TYPE, HeaderValue, SERVER};
use ntex::http::{HttpService, HttpServiceConfig, KeepAlive, Method, Request, Response, StatusCode};
use ntex::util::{Bytes, BytesMut};

fn reply(content_type: &'static str, body: Bytes) -> Response {
    let mut response = Response::with_body(StatusCode::OK, Body::Bytes(body));
    response.headers_mut().append(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response.headers_mut().append(SERVER, HeaderValue::from_static(common::SERVER));
    response
}

async fn answer(mut request: Request) -> Result<Response, io::Error> {
    Ok(match (request.method(), request.path()) {
        (&Method::GET, "/plaintext") => reply(common::TEXT, Bytes::from_static(common::HELLO.as_bytes())),
        (&Method::POST, "/echo") => {
            let mut content = BytesMut::new();
            while let Some(Ok(piece)) = request.payload().recv().await {
                content.extend_from_slice(&piece);
            }
            reply(common::BINARY, content.freeze())
        }
        (&Method::GET, path) if let Some(bytes) = common::bytes(path) => {
            reply(common::BINARY, Bytes::from_static(bytes))
        }
        _ => Response::new(StatusCode::NOT_FOUND),
    })
}

#[ntex::main]
async fn main() -> io::Result<()> {
    let listener = common::listener();
    common::announce(listener.local_addr()?);
    ntex::server::build()
        .listen("peer", listener, async |_| HttpService::h1(answer))?
        .config("peer", SharedCfg::new("peer").add(HttpServiceConfig::new().set_keepalive(KeepAlive::Os)))
        .workers(common::Options::read().workers)
        .run()
        .await
}
