//! Says hello over HTTPS: `cargo run --release -p aurora-http-tls --example https_hello`, then
//! `curl -i --cacert https_hello.pem https://localhost:8080/`.
//!
//! Without `--certificate` and `--key` it makes a certificate for `localhost`, signed by itself, and writes it to the file that
//! `--save` names, for clients.

// Only the options of the server are needed of it.
#[allow(dead_code)]
#[path = "../../examples/support/mod.rs"]
mod support;

use std::error::Error;
use std::fs;

use aurora_http::tls::{TlsConfig, TlsError};
use aurora_http::{Request, ResponseWriter, WriteError, handler_fn};
use support::{Asked, or_exit, read};

const OPTIONS: &str = "\
Options:
  --certificate FILE  PEM file with the server's certificate and those that lead to its authority
  --key FILE          PEM file with its private key
  --save FILE         where to write the certificate that is made without these two [default: https_hello.pem]
  --addr HOST:PORT    where to listen; port 0 lets the system choose [default: 127.0.0.1:8080]
  --workers N         threads that serve [default: one per CPU]
  --backend NAME      auto, epoll, uring or kqueue [default: auto]
  --help              print this";

fn hello(request: &Request<'_>, response: &mut ResponseWriter<'_>) -> Result<(), WriteError> {
    let security = request.security();
    let how = security.map_or("nothing", |security| security.protocol);
    response.field("Content-Type", "text/plain")?;
    response.body(format!("Hello over {how}!\n"))
}

fn main() -> Result<(), Box<dyn Error>> {
    let (mut asked, mut files) = (Asked::default(), [None, None, None]);
    read("https_hello: answers every request, encrypted", OPTIONS, |name, value| {
        match name {
            "--certificate" => files[0] = Some(value.text()?),
            "--key" => files[1] = Some(value.text()?),
            "--save" => files[2] = Some(value.text()?),
            _ => return asked.take(name, value),
        }
        Ok(true)
    });
    let tls = match files {
        [Some(certificate), Some(key), _] => TlsConfig::from_files(certificate, key),
        [_, _, save] => made(save.as_deref().unwrap_or("https_hello.pem")),
    };
    let tls = or_exit(tls.map_err(|error| error.to_string()));
    or_exit(asked.server("127.0.0.1:8080")).tls(tls).serve(|_worker| handler_fn(hello))?;
    Ok(())
}

/// A certificate that is made now, for tests and tries.
fn made(save: &str) -> Result<TlsConfig, TlsError> {
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let made = or_exit(rcgen::generate_simple_self_signed(names).map_err(|error| error.to_string()));
    or_exit(fs::write(save, made.cert.pem()).map_err(|error| format!("{save}: {error}")));
    TlsConfig::from_pem(made.cert.pem(), made.signing_key.serialize_pem())
}
