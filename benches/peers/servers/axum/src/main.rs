//! axum with `axum::serve`, on tokio's multi-thread runtime: as most people run it.

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, SERVER};
use axum::response::IntoResponse;
use axum::routing::{get, post};

fn main() {
    let workers = common::Options::read().workers;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(workers).enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let app = Router::new()
            .route("/plaintext", get(async || reply(common::TEXT, common::HELLO)))
            .route("/echo", post(async |content: Bytes| reply(common::BINARY, content)))
            .route("/bytes/{count}", get(bytes))
            .layer(DefaultBodyLimit::max(common::ECHO_MAX));
        let listener = common::listener();
        common::announce(listener.local_addr().expect("a bound socket"));
        let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
        axum::serve(listener, app).await.expect("it never ends");
    });
}

fn reply(content_type: &'static str, body: impl IntoResponse) -> impl IntoResponse {
    ([(CONTENT_TYPE, content_type), (SERVER, common::SERVER)], body)
}

async fn bytes(Path(count): Path<usize>) -> impl IntoResponse {
    match common::bytes(&format!("/bytes/{count}")) {
        Some(bytes) => reply(common::BINARY, bytes).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}
