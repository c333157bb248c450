//! hyper 1, on one current-thread runtime of tokio per worker.

use std::convert::Infallible;
use std::net::TcpListener;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::header::{CONTENT_TYPE, HeaderValue, SERVER};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;

fn main() {
    common::serve(worker);
}

fn worker(listener: TcpListener) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    tokio::task::LocalSet::new().block_on(&runtime, async move {
        let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
        let mut http = http1::Builder::new();
        // Of all its settings this one makes pipelined requests fast; without a time limit it is faster as well.
        http.pipeline_flush(true).header_read_timeout(None);
        loop {
            let Ok((stream, _)) = listener.accept().await else { continue };
            let connection = http.serve_connection(TokioIo::new(stream), service_fn(answer));
            tokio::task::spawn_local(async move {
                // A client that leaves is no concern of ours.
                let _ = connection.await;
            });
        }
    });
}

/// The same block, until `left` bytes are sent.
struct Blocks {
    block: Bytes,
    left: u64,
}

impl From<Bytes> for Blocks {
    fn from(block: Bytes) -> Self {
        Self { left: block.len() as u64, block }
    }
}

impl Body for Blocks {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let count = self.left.min(self.block.len() as u64);
        self.left -= count;
        Poll::Ready(Some(Ok(Frame::data(self.block.slice(..count as usize)))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

fn reply(content_type: &'static str, body: impl Into<Blocks>) -> Response<Blocks> {
    let mut response = Response::new(body.into());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response.headers_mut().insert(SERVER, HeaderValue::from_static(common::SERVER));
    response
}

async fn answer(request: Request<Incoming>) -> Result<Response<Blocks>, hyper::Error> {
    let path = request.uri().path();
    Ok(match (request.method(), path) {
        (&Method::GET, "/plaintext") => reply(common::TEXT, Bytes::from_static(common::HELLO.as_bytes())),
        (&Method::POST, "/echo") => {
            let content = request.into_body().collect().await?.to_bytes();
            reply(common::BINARY, content)
        }
        (&Method::POST, "/upload") => {
            let mut content = request.into_body();
            let mut count = 0;
            while let Some(frame) = content.frame().await {
                count += frame?.data_ref().map_or(0, Bytes::len);
            }
            reply(common::TEXT, Bytes::from(count.to_string()))
        }
        (&Method::GET, path) if let Some(bytes) = common::bytes(path) => {
            reply(common::BINARY, Bytes::from_static(bytes))
        }
        (&Method::GET, path) if let Some(left) = path.strip_prefix("/bytes/").and_then(|count| count.parse().ok()) => {
            let block = Bytes::from_static(common::bytes("/bytes/65536").expect("not too many"));
            reply(common::BINARY, Blocks { block, left })
        }
        _ => {
            let mut response = reply(common::TEXT, Bytes::new());
            *response.status_mut() = StatusCode::NOT_FOUND;
            response
        }
    })
}
