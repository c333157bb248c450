//! One connection by picoserve, kept alive.
#![no_std]
#![no_main]

use aurora_bare_metal_sizes_peers::{ANSWER, Once, Pause, Stream, block_on, entry, give_up};
use picoserve::io::Read;
use picoserve::request::{Path, Request};
use picoserve::response::{IntoResponse, ResponseWriter};
use picoserve::routing::PathRouterService;
use picoserve::{Config, ResponseSent, Router, Server};

static BYTES: Once<[u8; 2048]> = Once::new([0; 2048]);

/// Answers every request alike.
struct Everything;

impl PathRouterService for Everything {
    async fn call_path_router_service<R: Read, W: ResponseWriter<Error = R::Error>>(
        &self,
        (): &(),
        (): (),
        _: Path<'_>,
        request: Request<'_, R>,
        writer: W,
    ) -> Result<ResponseSent, W::Error> {
        ANSWER.write_to(request.body_connection.finalize().await?, writer).await
    }
}

/// Says which future runs the server.
struct Bare;

entry!(main);

fn main() -> ! {
    let Some(bytes) = BYTES.take() else { give_up() };
    let router = Router::from_service(Everything);
    let config = Config::const_default().keep_connection_alive();
    loop {
        let server = Server::<Bare, _, _, _>::custom(&router, Pause, &config, bytes);
        let _ = block_on(server.serve(Stream));
    }
}
