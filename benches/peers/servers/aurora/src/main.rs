//! Aurora, on the backend that is asked for.

use aurora_http::{
    Backend, Content, FieldLine, Flow, Handler, Limits, Method, Request, ResponseWriter, Server, ServerError,
    WriteError,
};

const TEXT: FieldLine<'_> = FieldLine::new("Content-Type: text/plain").unwrap();
const BINARY: FieldLine<'_> = FieldLine::new("Content-Type: application/octet-stream").unwrap();

fn main() -> Result<(), ServerError> {
    let options = common::Options::read();
    let backend = options.backend.as_deref().unwrap_or("auto").parse::<Backend>().expect("a backend");
    let limits = Limits { requests_per_connection_max: None, ..Limits::default() };
    Server::bind("127.0.0.1:0")?
        .backend(backend)
        .workers(options.workers)
        .connections(options.connections)
        .limits(limits)
        .server_name(common::SERVER)
        .announce()
        .serve(|_worker| Site)?;
    Ok(())
}

struct Site;

/// What an exchange still has to do.
enum Exchange {
    Echo,
    /// Bytes received so far.
    Upload(u64),
    /// Bytes left to send.
    Bytes(u64),
}

impl Handler for Site {
    type Exchange = Exchange;

    fn request(&mut self, request: &Request<'_>, response: &mut ResponseWriter<'_>) -> Flow<Exchange> {
        // The writer remembers an error, and the engine answers it.
        answer(request, response).unwrap_or(Flow::Finish)
    }

    fn receive(
        &mut self,
        state: Exchange,
        content: &mut Content<'_>,
        response: &mut ResponseWriter<'_>,
    ) -> Flow<Exchange> {
        if let Exchange::Upload(before) = state {
            let count = before + content.bytes().len() as u64;
            if !content.ended() {
                return Flow::Receive(Exchange::Upload(count));
            }
            let _ = response.body_fmt(format_args!("{count}"));
            return Flow::Finish;
        }
        match response.write(content.bytes()) {
            Ok(count) => content.consume(count),
            Err(_) => return Flow::Finish,
        }
        if content.ended() && content.bytes().is_empty() { Flow::Finish } else { Flow::Receive(Exchange::Echo) }
    }

    fn produce(&mut self, state: Exchange, response: &mut ResponseWriter<'_>) -> Flow<Exchange> {
        match state {
            Exchange::Bytes(left) => send_block(left, response).unwrap_or(Flow::Finish),
            Exchange::Echo | Exchange::Upload(_) => Flow::Finish,
        }
    }
}

fn answer(request: &Request<'_>, response: &mut ResponseWriter<'_>) -> Result<Flow<Exchange>, WriteError> {
    match (request.method(), request.path()) {
        (Method::Get, b"/plaintext") => {
            response.field_line(TEXT)?;
            response.body(common::HELLO)?;
            Ok(Flow::Finish)
        }
        (Method::Post, b"/echo") => {
            response.field_line(BINARY)?;
            response.stream(request.content_length())?;
            response.limit_content(common::ECHO_MAX as u64);
            Ok(Flow::Receive(Exchange::Echo))
        }
        (Method::Post, b"/upload") => {
            response.limit_content(u64::MAX);
            Ok(Flow::Receive(Exchange::Upload(0)))
        }
        (Method::Get, path) => send_bytes(std::str::from_utf8(path).unwrap_or_default(), response),
        _ => response.fail(405).map(|()| Flow::Finish),
    }
}

fn send_bytes(path: &str, response: &mut ResponseWriter<'_>) -> Result<Flow<Exchange>, WriteError> {
    let count = path.strip_prefix("/bytes/").and_then(|count| count.parse().ok());
    match (common::bytes(path), count) {
        (Some(bytes), _) => {
            response.field_line(BINARY)?;
            response.static_body(bytes)?;
            Ok(Flow::Finish)
        }
        (None, Some(count)) => {
            response.field_line(BINARY)?;
            response.stream(Some(count))?;
            send_block(count, response)
        }
        (None, None) => response.fail(404).map(|()| Flow::Finish),
    }
}

/// Content that is not in memory as a whole: 1 MiB again and again.
fn send_block(left: u64, response: &mut ResponseWriter<'_>) -> Result<Flow<Exchange>, WriteError> {
    let block = common::bytes("/bytes/1048576").unwrap_or_default();
    let piece = block.len().min(usize::try_from(left).unwrap_or(usize::MAX));
    let left = left - response.write_static(&block[..piece])? as u64;
    Ok(if left == 0 { Flow::Finish } else { Flow::Produce(Exchange::Bytes(left)) })
}
