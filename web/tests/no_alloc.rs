//! Routes and what stands around them never allocate.
//!
//! An allocator counts what is allocated while the handler is called; the server and the client around it are in memory, and
//! may.

#[path = "../../tests/support/allocations.rs"]
mod allocations;

use allocations::{count_this_thread, counted, start_counting, stop_counting};
use aurora_http::testing::Client;
use aurora_http_core::error::CloseReason;
use aurora_http_core::forward_handler;
use aurora_http_core::handler::{Flow, Handler, Needs, Progress, Refusal, Respond, producing, receiving};
use aurora_http_core::request::{Method, Request};
use aurora_http_core::writer::{ResponseWriter, WriteError};
use aurora_http_web::cookie::{self, SetCookie};
use aurora_http_web::form::Form;
use aurora_http_web::middleware::{
    AccessLog, Authenticate, BodyLimit, Cors, ETags, Entry, InFlightLimit, RequestId, SecurityFields, TimeLimit, Wrap,
    basic_credentials,
};
use aurora_http_web::multipart::{Event, Multipart};
use aurora_http_web::{Call, Endpoint, Problem, Routes, accept, streaming};

/// A handler during whose calls allocations count.
struct Counted<H>(H);

fn during<R>(call: impl FnOnce() -> R) -> R {
    count_this_thread(true);
    let result = call();
    count_this_thread(false);
    result
}

impl<H: Handler> Counted<H> {
    fn call_again(
        &mut self,
        exchange: H::Exchange,
        response: &mut ResponseWriter<'_>,
        call: impl FnOnce(&mut H, H::Exchange, &mut ResponseWriter<'_>) -> Flow<H::Exchange>,
    ) -> Flow<H::Exchange> {
        during(|| call(&mut self.0, exchange, response))
    }
}

impl<H: Handler> Handler for Counted<H> {
    const NEEDS: Needs = H::NEEDS;
    type Exchange = H::Exchange;

    fn request(&mut self, request: &Request<'_>, response: &mut ResponseWriter<'_>) -> Flow<H::Exchange> {
        during(|| self.0.request(request, response))
    }

    fn abandoned(&mut self, exchange: H::Exchange, reason: CloseReason) {
        during(|| self.0.abandoned(exchange, reason));
    }

    fn refused(&mut self, refusal: &Refusal<'_>, response: &mut ResponseWriter<'_>) {
        during(|| self.0.refused(refusal, response));
    }

    forward_handler!(self => self.0; through Self::call_again; except request, abandoned, refused);
}

type Answer = Result<(), Problem>;

fn show(visits: &mut u32, call: &Call<'_>, response: &mut ResponseWriter<'_>) -> Answer {
    *visits += 1;
    let id: u64 = call.param("id")?;
    SetCookie::new("last", id).write(response)?;
    let kind = accept::media_type(call, ["text/plain", "text/html"]).unwrap_or("text/plain");
    response.field("Content-Type", kind)?;
    Ok(response.body_fmt(format_args!("{id} {:?} {visits}", cookie::get(call, "last")))?)
}

fn order(_: &mut u32, call: &Call<'_>, response: &mut ResponseWriter<'_>) -> Answer {
    let count: u32 = Form::of(call)?.parse("count")?;
    Ok(response.body_fmt(format_args!("{count}"))?)
}

/// Counts the bytes of the files of a form.
fn form(_: &mut u32, call: &Call<'_>, _: &mut ResponseWriter<'_>) -> Result<impl Respond + use<>, Problem> {
    let mut form = Multipart::of(call)?;
    let (mut bytes, mut is_file) = (0, false);
    Ok(receiving(move |content, response| {
        while let Some(event) = form.next(content)? {
            match event {
                Event::Part(part) => {
                    let mut scratch = [0; 255];
                    is_file = part.name() == "file"
                        && part.file_name().and_then(|name| name.file_name(&mut scratch)).is_some();
                }
                Event::Data(data) if is_file => bytes += data.len(),
                Event::Data(_) | Event::End => {}
            }
        }
        if content.ended() { Ok(response.body_fmt(format_args!("{bytes}"))?) } else { Ok::<_, Problem>(()) }
    }))
}

fn routes() -> Routes<u32, impl Endpoint<u32>> {
    let guard = Authenticate::new("Basic realm=\"x\"", |request| {
        basic_credentials(request, &mut [0; 64]).is_some_and(|login| login.password == "sesame")
    });
    let upload = streaming(|_: &mut u32, _: &Call<'_>, _: &mut ResponseWriter<'_>| {
        let mut bytes = 0;
        receiving(move |content, response| {
            bytes += content.bytes().len();
            if content.ended() { response.body_fmt(format_args!("{bytes}")) } else { Ok(()) }
        })
    });
    Routes::new()
        .get("/items/:id", show)
        .post("/orders", order)
        .get("/pieces", |_, _, response| {
            response.stream(None)?;
            let mut left = 50;
            Ok::<_, WriteError>(producing(move |response| {
                response.write(&[b'p'; 500])?;
                left -= 1;
                Ok::<_, WriteError>(if left == 0 { Progress::Done } else { Progress::More })
            }))
        })
        .on(Method::Put, "/files/*path", upload)
        .on(Method::Post, "/forms", streaming(form))
        .mount("/admin", Routes::new().get("/", |_, _, response| response.body("in")).behind(guard))
        .get("/allocates", |_, _, response| response.body(vec![b'v'; 10]))
}

#[test]
fn no_request_of_any_kind_allocates() {
    let mut lines = 0;
    let site = routes().with_state(0).on_refusal(Problem::refused);
    let handler = TimeLimit::new(1_000, ETags::new(site))
        .wrap(BodyLimit::new(150_000))
        .wrap(InFlightLimit::new(10))
        .wrap(Cors::new(&["https://a.example"]).with_credentials())
        .wrap(SecurityFields::STRICT)
        .wrap(
            AccessLog::new(|| 0, |entry: &Entry<'_>| lines += u32::from(entry.status > 0)).with_ids(RequestId::new(1)),
        );
    let mut client = Client::new(Counted(handler));
    let form = [("Content-Type", "application/x-www-form-urlencoded")];
    let basic = [("Authorization", "Basic bWU6c2VzYW1l")];
    let browser =
        [("Origin", "https://a.example"), ("Accept", "text/html;q=0.9, */*;q=0.1"), ("Cookie", "last=1; a=b")];
    let preflight = [("Origin", "https://a.example"), ("Access-Control-Request-Method", "PUT")];
    // Method, target, fields, bytes of content, status.
    type Row<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)], usize, u16);
    let rows: [Row<'_>; 18] = [
        ("GET", "/items/7", &browser, 0, 200),
        ("GET", "/items/%37", &[("If-None-Match", "*")], 0, 304),
        ("GET", "/items/x", &[], 0, 404),
        ("GET", "/items/%ff", &[], 0, 400),
        ("GET", "/items/%", &[], 0, 400),
        ("HEAD", "/items/7", &[], 0, 200),
        ("DELETE", "/items/7", &[], 0, 405),
        ("BREW", "/items/7", &[], 0, 501),
        ("OPTIONS", "/items/7", &[], 0, 204),
        ("OPTIONS", "*", &[], 0, 204),
        ("OPTIONS", "/items/7", &preflight, 0, 204),
        ("GET", "/nothing", &[], 0, 404),
        ("POST", "/orders", &form, 10_000, 200),
        ("POST", "/orders", &[], 10, 415),
        ("POST", "/orders", &form, 155_000, 413),
        ("PUT", "/files/a/b", &[], 40_000, 200),
        ("GET", "/pieces", &[], 0, 200),
        ("GET", "/admin", &basic, 0, 200),
    ];
    let content = format!("count=3&{}", "x".repeat(160_000));
    start_counting();
    for (method, target, fields, length, status) in rows {
        for _ in 0..3 {
            let response = client.send(method, target, fields, &content.as_bytes()[..length]);
            assert_eq!(response.status(), status, "{method} {target}: {:?}", response.fields());
            assert_eq!(counted(), 0, "{method} {target}");
        }
    }
    let file = "Content-Disposition: form-data; name=\"file\"; filename=\"C:\\%22\"\r\n\r\n";
    let content = &content[..60_000];
    let complete = format!("--x\r\n{file}{content}\r\n--x\r\n{file}{content}\r\n--x--\r\n");
    let forms = [(complete.as_str(), 200), (&complete[2..], 400), (&complete[..complete.len() - 5], 400)];
    for (form, status) in forms {
        let response =
            client.send("POST", "/forms", &[("Content-Type", "multipart/form-data; boundary=x")], form.as_bytes());
        assert_eq!((response.status(), counted()), (status, 0), "{}", response.text());
    }
    client.exchange(b"no request\r\n\r\n");
    assert_eq!((client.get("/admin").status(), counted()), (401, 0));
    // The count works.
    client.get("/allocates");
    assert_eq!(stop_counting(), 1);
    drop(client);
    assert_eq!(lines, 3 * rows.len() as u32 + 6, "each of them is in the log");
}
