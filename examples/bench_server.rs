//! The server for benchmarks and conformance tests: `cargo run --release --example bench_server -- --help`.

mod support;

use std::io::Write;

use aurora_http::{
    Content, FieldLine, Flow, Handler, Limits, Method, Request, ResponseWriter, ServerError, WriteError,
};

const ABOUT: &str = "\
bench_server: a server for measurements

  GET /, GET /plaintext   Hello, World!
  GET /json               a small object
  POST /echo              the content, echoed as it arrives, of any size
  GET /bytes/N            N bytes, up to 1073741824, sent from one block of memory";

const TEXT_PLAIN: FieldLine<'_> = FieldLine::new("Content-Type: text/plain").unwrap();
const APPLICATION_JSON: FieldLine<'_> = FieldLine::new("Content-Type: application/json").unwrap();

const HELLO: &[u8] = b"Hello, World!";
const JSON: &[u8] = br#"{"message":"Hello, World!"}"#;

/// The longest response of `/bytes/N`.
const BYTES_MAX: u64 = 1 << 30;
const BLOCK_LEN: usize = 1 << 20;

/// The block that `/bytes/N` sends repeatedly: the same 64 printable bytes over and over.
static BLOCK: [u8; BLOCK_LEN] = {
    let mut block = [0; BLOCK_LEN];
    let mut at = 0;
    while at < BLOCK_LEN {
        block[at] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-\n"[at % 64];
        at += 1;
    }
    block
};

fn main() -> Result<(), ServerError> {
    let limits = Limits { requests_per_connection_max: None, ..Limits::default() };
    let report = support::server(ABOUT).server_name("aurora").limits(limits).serve(|_worker| Bench)?;
    // Errors are ignored: the reader of the standard output may be gone.
    let _ = writeln!(std::io::stdout(), "{report}");
    Ok(())
}

struct Bench;

/// An exchange that continues after the first call.
enum Exchange {
    /// Echoes the content.
    Echo,
    /// The number of bytes that are left to send.
    Bytes(u64),
}

enum Resource {
    Plaintext,
    Json,
    Echo,
    Bytes(u64),
}

impl Resource {
    fn find(path: &[u8]) -> Option<Self> {
        Some(match path {
            b"/" | b"/plaintext" => Self::Plaintext,
            b"/json" => Self::Json,
            b"/echo" => Self::Echo,
            path => Self::Bytes(bytes_of(path.strip_prefix(b"/bytes/")?)?),
        })
    }

    /// The methods that it supports, for `Allow`.
    fn allow(&self) -> &'static str {
        match self {
            Self::Echo => "POST",
            Self::Plaintext | Self::Json | Self::Bytes(_) => "GET, HEAD",
        }
    }

    fn allows(&self, method: Method<'_>) -> bool {
        match self {
            Self::Echo => method == Method::Post,
            Self::Plaintext | Self::Json | Self::Bytes(_) => matches!(method, Method::Get | Method::Head),
        }
    }
}

/// Parses the number in `/bytes/N`: digits only, and at most [`BYTES_MAX`].
fn bytes_of(digits: &[u8]) -> Option<u64> {
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let count = std::str::from_utf8(digits).ok()?.parse().ok()?;
    if count <= BYTES_MAX { Some(count) } else { None }
}

impl Handler for Bench {
    type Exchange = Exchange;

    fn request(&mut self, request: &Request<'_>, response: &mut ResponseWriter<'_>) -> Flow<Exchange> {
        // The writer remembers an error, and the engine then answers it instead of this response.
        answer(request, response).unwrap_or(Flow::Finish)
    }

    fn receive(
        &mut self,
        _state: Exchange,
        content: &mut Content<'_>,
        response: &mut ResponseWriter<'_>,
    ) -> Flow<Exchange> {
        // Bytes that do not fit are offered again once the writer has room.
        match response.write(content.bytes()) {
            Ok(count) => content.consume(count),
            Err(_) => return Flow::Finish,
        }
        if content.ended() && content.bytes().is_empty() { Flow::Finish } else { Flow::Receive(Exchange::Echo) }
    }

    fn produce(&mut self, state: Exchange, response: &mut ResponseWriter<'_>) -> Flow<Exchange> {
        match state {
            Exchange::Bytes(left) => write_block(left, response).unwrap_or(Flow::Finish),
            Exchange::Echo => Flow::Finish,
        }
    }
}

fn answer(request: &Request<'_>, response: &mut ResponseWriter<'_>) -> Result<Flow<Exchange>, WriteError> {
    let method = request.method();
    if let Method::Extension(_) = method {
        response.status(501)?;
        return text(response, "Not Implemented\n");
    }
    let Some(resource) = Resource::find(request.path()) else {
        response.status(404)?;
        return text(response, "Not Found\n");
    };
    if !resource.allows(method) {
        response.status(405)?;
        response.field("Allow", resource.allow())?;
        return text(response, "Method Not Allowed\n");
    }
    match resource {
        Resource::Plaintext => {
            response.field_line(TEXT_PLAIN)?;
            response.body(HELLO)?;
            Ok(Flow::Finish)
        }
        Resource::Json => {
            response.field_line(APPLICATION_JSON)?;
            response.body(JSON)?;
            Ok(Flow::Finish)
        }
        Resource::Echo => {
            response.field("Content-Type", "application/octet-stream")?;
            response.limit_content(u64::MAX);
            response.stream(request.content_length())?;
            Ok(Flow::Receive(Exchange::Echo))
        }
        Resource::Bytes(count) => {
            response.field("Content-Type", "application/octet-stream")?;
            response.stream(Some(count))?;
            write_block(count, response)
        }
    }
}

/// Sends the next piece of the remaining `left` bytes, without copying it.
fn write_block(left: u64, response: &mut ResponseWriter<'_>) -> Result<Flow<Exchange>, WriteError> {
    let piece = usize::try_from(left).unwrap_or(BLOCK_LEN).min(BLOCK_LEN);
    let left = left - response.write_static(&BLOCK[..piece])? as u64;
    Ok(if left == 0 { Flow::Finish } else { Flow::Produce(Exchange::Bytes(left)) })
}

fn text(response: &mut ResponseWriter<'_>, text: &str) -> Result<Flow<Exchange>, WriteError> {
    response.field_line(TEXT_PLAIN)?;
    response.body(text)?;
    Ok(Flow::Finish)
}

#[cfg(all(test, feature = "testing"))]
mod tests {
    use aurora_http::testing::Client;

    use super::Bench;

    #[test]
    fn every_resource_answers() {
        let mut client = Client::new(Bench);
        assert_eq!(client.get("/plaintext").text(), "Hello, World!");
        let json = client.get("/json");
        assert_eq!(
            (json.field("Content-Type"), json.text()),
            (Some("application/json"), r#"{"message":"Hello, World!"}"#)
        );
        assert_eq!(client.head("/json").content(), b"");
        let long = vec![b'x'; 300_000];
        assert_eq!(client.post("/echo", &long).content(), long);
        let bytes = client.get("/bytes/150000");
        assert_eq!((bytes.status(), bytes.content().len()), (200, 150_000));
    }

    #[test]
    fn unknown_targets_and_methods_are_refused() {
        let mut client = Client::new(Bench);
        let wrong = client.post("/json", "{}");
        assert_eq!((wrong.status(), wrong.field("Allow")), (405, Some("GET, HEAD")));
        for (target, status) in [("/", 200), ("/no", 404), ("/bytes/", 404), ("/bytes/1073741825", 404)] {
            assert_eq!(client.get(target).status(), status, "{target}");
        }
        assert_eq!(client.send("BREW", "/", &[], &[]).status(), 501);
    }
}
