//! Uploads that go on where they were interrupted, by the tus protocol: `cargo run --release --example tus`, then any tus client with
//! <http://127.0.0.1:8080/uploads>. They are stored in the directory for temporary files, and go on after a restart of the server, too.

mod support;

use std::error::Error;

use aurora_http_files::tus::Uploads;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::temp_dir().join("aurora-uploads");
    let uploads = Uploads::new(&folder)?.under("/uploads").bytes_max(1 << 40).on_complete(|upload| {
        let name = upload.metadata("filename").unwrap_or_default();
        eprintln!("{}, called {:?}: {} bytes", upload.path().display(), String::from_utf8_lossy(&name), upload.bytes());
        Ok(())
    });
    let server = support::server("tus: POST /uploads begins an upload, PATCH goes on with it");
    server.serve(move |worker| uploads.handler(worker.resumer()))?;
    Ok(())
}
