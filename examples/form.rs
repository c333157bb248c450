//! A page with a form, whose files are stored in the directory for temporary files: `cargo run --release --example form`, then open
//! <http://127.0.0.1:8080/>, or `curl -F from=me -F files=@Cargo.toml http://127.0.0.1:8080/`.
//!
//! The worker itself writes them, and its other connections wait while the disk is slow. A form that breaks off leaves what it had
//! sent of a file. See the example `tus` for uploads without both.

mod support;

use std::fs::File;
use std::io::{ErrorKind, Write};

use aurora_http::{Method, Respond, ResponseWriter, ServerError, receiving};
use aurora_http_web::multipart::{Event, Multipart};
use aurora_http_web::{Call, Problem, Routes, streaming};

const MAX: u64 = 1 << 30;

/// Files are written as they arrive. Their names are the client's, so paths are cut off, and no file is replaced.
fn store(_: &mut (), call: &Call<'_>, response: &mut ResponseWriter<'_>) -> Result<impl Respond + use<>, Problem> {
    let mut form = Multipart::of(call)?.part_bytes_max(MAX).bytes_max(MAX);
    response.limit_content(MAX);
    let (mut from, mut is_from, mut file, mut stored) = (Vec::new(), false, None, String::new());
    Ok(receiving(move |content, response| {
        while let Some(event) = form.next(content)? {
            match event {
                Event::Part(part) => {
                    is_from = part.name() == "from";
                    // Browsers send an empty name if no file was chosen.
                    if let Some(name) = part.file_name().filter(|name| *name != "") {
                        let mut scratch = [0; 255];
                        let name = name.file_name(&mut scratch).ok_or(Problem::new(422, "a file has no valid name"))?;
                        let created = File::create_new(std::env::temp_dir().join(name));
                        file = Some(created.map_err(|error| match error.kind() {
                            ErrorKind::AlreadyExists => Problem::new(409, "there is such a file"),
                            _ => Problem::new(507, "the file cannot be created"),
                        })?);
                        stored += &format!("{name}\n");
                    }
                }
                Event::Data(data) => match &mut file {
                    Some(file) => file.write_all(data).map_err(|_| Problem::new(507, "the file cannot be written"))?,
                    None if is_from && from.len() + data.len() <= 100 => from.extend(data),
                    None => {}
                },
                Event::End => file = None,
            }
        }
        if content.ended() {
            response.field("Content-Type", "text/plain; charset=utf-8")?;
            response.body_fmt(format_args!("from {}:\n{stored}", String::from_utf8_lossy(&from)))?;
        }
        Ok::<_, Problem>(())
    }))
}

fn main() -> Result<(), ServerError> {
    support::server("form: a page with a form, whose files are stored").serve(|_worker| {
        Routes::new()
            .get("/", |_, _, response| {
                response.field("Content-Type", "text/html; charset=utf-8")?;
                response.body(include_str!("support/form.html"))
            })
            .on(Method::Post, "/", streaming(store))
            .with_state(())
    })?;
    Ok(())
}
