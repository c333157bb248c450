//! picoserve, which needs no heap, on one current-thread runtime of tokio per worker.

use std::net::TcpListener;
use std::rc::Rc;

use picoserve::response::{Content, IntoResponse};
use picoserve::routing::{get, parse_path_segment, post};
use picoserve::time::Duration;
use picoserve::{Config, Router, Server, Timeouts};

fn main() {
    common::serve(worker);
}

struct Body<T>(&'static str, T);

impl<T: AsRef<[u8]>> Content for Body<T> {
    fn content_type(&self) -> &'static str {
        self.0
    }

    fn content_length(&self) -> usize {
        self.1.as_ref().len()
    }

    async fn write_content<W: picoserve::io::Write>(self, mut out: W) -> Result<(), W::Error> {
        out.write_all(self.1.as_ref()).await
    }
}

fn reply<T: AsRef<[u8]>>(content_type: &'static str, body: T) -> impl IntoResponse {
    (("Server", common::SERVER), ("Date", common::date()), Body(content_type, body))
}

const PATIENCE: Duration = Duration::from_secs(common::IDLE_SECONDS);

static CONFIG: Config = Config::new(Timeouts {
    start_read_request: PATIENCE,
    persistent_start_read_request: PATIENCE,
    read_request: PATIENCE,
    write: PATIENCE,
})
.keep_connection_alive();

fn worker(listener: TcpListener) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let app = Router::new()
        .route("/plaintext", get(async || reply(common::TEXT, common::HELLO)))
        .route("/echo", post(async |content: Vec<u8>| reply(common::BINARY, content)))
        .route(
            ("/bytes", parse_path_segment::<usize>()),
            get(async |count: usize| {
                reply(common::BINARY, common::bytes(&format!("/bytes/{count}")).unwrap_or_default())
            }),
        );
    let app = Rc::new(app);
    tokio::task::LocalSet::new().block_on(&runtime, async move {
        let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
        loop {
            let Ok((stream, _)) = listener.accept().await else { continue };
            let app = app.clone();
            tokio::task::spawn_local(async move {
                // A client that leaves is no concern of ours.
                let _ = Server::new_tokio(&app, &CONFIG, &mut [0; 2048]).serve(stream).await;
            });
        }
    });
}
