//! Uploads of any length to files: `cargo run --release --example upload`, then `curl -i -T some.iso
//! http://127.0.0.1:8080/some.iso`. They are stored in a folder in the directory for temporary files, and how far they have come is
//! printed. `tus` is for uploads that go on where they were interrupted.

mod support;

use std::fs;
use std::io::{self, Write};

use aurora_http::{Limits, Method, Request, Respond, ResponseWriter, ServerError, handler_fn, receiving};
use tempfile::NamedTempFile;

/// How often it is told how far an upload has come, in bytes.
const STEP: u64 = 16 << 20;

/// Writes the content to a file of its own, which gets the name once it is complete, and is removed if it never is.
fn upload(request: &Request<'_>, response: &mut ResponseWriter<'_>) -> io::Result<impl Respond + use<>> {
    let name = str::from_utf8(&request.path()[1..]).unwrap_or_default().to_owned();
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let is_name = (1..=200).contains(&name.len()) && !name.starts_with('.') && name.bytes().all(is_plain);
    // A part of a file must not be taken for the whole (RFC 9110 §14.5).
    let is_part = request.fields().get("Content-Range").is_some();
    if request.method() != Method::Put || !is_name || is_part {
        response.fail(400)?;
    }
    response.limit_content(1 << 40);
    let folder = std::env::temp_dir().join("aurora-upload");
    fs::create_dir_all(&folder)?;
    let mut file = Some(NamedTempFile::new_in(&folder)?);
    let mut received = 0;
    Ok(receiving(move |content, response| {
        let Some(open) = &mut file else { return Ok(()) };
        open.write_all(content.bytes())?;
        let before = received;
        received += content.bytes().len() as u64;
        if before / STEP < received / STEP || content.ended() {
            // Whoever reads it may be gone.
            let _ = writeln!(io::stderr(), "{name}: {received} bytes");
        }
        if content.ended() {
            file.take().map(|file| file.persist(folder.join(&name))).transpose()?;
            response.status(201)?;
            response.body_fmt(format_args!("{received} bytes\n"))?;
        }
        io::Result::Ok(())
    }))
}

fn main() -> Result<(), ServerError> {
    let limits = Limits { content_bytes_max: 1 << 40, ..Limits::default() };
    support::server("upload: PUT /NAME writes a file").limits(limits).serve(|_worker| handler_fn(upload))?;
    Ok(())
}
