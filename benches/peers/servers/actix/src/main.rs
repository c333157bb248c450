//! actix-web 4.

use std::io;
use std::time::Duration;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_TYPE, HeaderValue, SERVER};
use actix_web::web::{self, Bytes, PayloadConfig};
use actix_web::{App, HttpResponse, HttpServer};

fn reply<B: MessageBody + 'static>(content_type: &'static str, body: B) -> HttpResponse<B> {
    let mut response = HttpResponse::with_body(StatusCode::OK, body);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response.headers_mut().insert(SERVER, HeaderValue::from_static(common::SERVER));
    response
}

async fn bytes(count: web::Path<usize>) -> HttpResponse<BoxBody> {
    match common::bytes(&format!("/bytes/{count}")) {
        Some(bytes) => reply(common::BINARY, Bytes::from_static(bytes)).map_into_boxed_body(),
        None => HttpResponse::NotFound().finish(),
    }
}

#[actix_web::main]
async fn main() -> io::Result<()> {
    let listener = common::listener();
    common::announce(listener.local_addr()?);
    HttpServer::new(|| {
        App::new()
            .app_data(PayloadConfig::new(common::ECHO_MAX))
            .route("/plaintext", web::get().to(|| async { reply(common::TEXT, common::HELLO) }))
            .route("/echo", web::post().to(|content: Bytes| async { reply(common::BINARY, content) }))
            .route("/bytes/{count}", web::get().to(bytes))
    })
    .workers(common::Options::read().workers)
    .max_connections(100_000)
    .keep_alive(Duration::from_secs(common::IDLE_SECONDS))
    .listen(listener)?
    .run()
    .await
}
