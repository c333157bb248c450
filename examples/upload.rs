//! Uploads of any length to files: `cargo run --release --example upload`, then `curl -i -T some.iso
//! http://127.0.0.1:8080/some.iso`. They are stored in the directory for temporary files.

mod support;

use std::fs::{self, File};
use std::io::{self, Write};

use aurora_http::{Limits, Method, Request, Respond, ResponseWriter, ServerError, handler_fn, receiving};

/// Writes the content to a temporary name in the same directory, and renames the file once it is complete.
fn upload(request: &Request<'_>, response: &mut ResponseWriter<'_>) -> io::Result<impl Respond + use<>> {
    let name = str::from_utf8(&request.path()[1..]).unwrap_or_default();
    let is_name = !name.is_empty()
        && !name.starts_with('.')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    if request.method() != Method::Put || !is_name {
        response.fail(400)?;
    }
    response.limit_content(1 << 40);
    let directory = std::env::temp_dir().join("aurora-uploads");
    fs::create_dir_all(&directory)?;
    let (part, whole) = (directory.join(format!(".{name}.part")), directory.join(name));
    let mut file = File::create(&part)?;
    Ok(receiving(move |content, response| {
        file.write_all(content.bytes())?;
        if content.ended() {
            fs::rename(&part, &whole)?;
            response.status(201)?;
            response.body_fmt(format_args!("{} bytes\n", file.metadata()?.len()))?;
        }
        io::Result::Ok(())
    }))
}

fn main() -> Result<(), ServerError> {
    let limits = Limits { content_bytes_max: 1 << 40, ..Limits::default() };
    support::server("upload: PUT /NAME writes a file").limits(limits).serve(|_worker| handler_fn(upload))?;
    Ok(())
}
