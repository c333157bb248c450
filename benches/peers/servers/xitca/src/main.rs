//! xitca-http over xitca-server, on tokio.

use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::time::Duration;

use xitca_http::HttpServiceBuilder;
use xitca_http::body::{Body, RequestBody, ResponseBody};
use xitca_http::bytes::{Bytes, BytesMut};
use xitca_http::config::HttpServiceConfig;
use xitca_http::http::header::{CONTENT_TYPE, HeaderValue, SERVER};
use xitca_http::http::{Method, Request, RequestExt, Response, StatusCode};
use xitca_service::{ServiceExt, fn_service};

fn reply(content_type: &'static str, body: Bytes) -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody::bytes(body));
    response.headers_mut().append(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response.headers_mut().append(SERVER, HeaderValue::from_static(common::SERVER));
    response
}

async fn answer(request: Request<RequestExt<RequestBody>>) -> Result<Response<ResponseBody>, Infallible> {
    Ok(match (request.method(), request.uri().path()) {
        (&Method::GET, "/plaintext") => reply(common::TEXT, Bytes::from_static(common::HELLO.as_bytes())),
        (&Method::POST, "/echo") => {
            let mut body = request.into_body();
            let mut content = BytesMut::new();
            while let Some(Ok(frame)) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
                if let Ok(piece) = frame.into_data() {
                    content.extend_from_slice(&piece);
                }
            }
            reply(common::BINARY, content.freeze())
        }
        (&Method::GET, path) if let Some(bytes) = common::bytes(path) => {
            reply(common::BINARY, Bytes::from_static(bytes))
        }
        _ => {
            let mut response = reply(common::TEXT, Bytes::new());
            *response.status_mut() = StatusCode::NOT_FOUND;
            response
        }
    })
}

fn main() -> io::Result<()> {
    let listener = common::listener();
    common::announce(listener.local_addr()?);
    let patience = Duration::from_secs(common::IDLE_SECONDS);
    let config = HttpServiceConfig::new().keep_alive_timeout(patience).request_head_timeout(patience);
    let service = fn_service(answer).enclosed(HttpServiceBuilder::h1().config(config));
    xitca_server::Builder::new()
        .worker_threads(common::Options::read().workers)
        .listen("peer", listener, service)
        .build()
        .wait()
}
