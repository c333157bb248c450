//! The pages of a program in C: a request is gathered whole, given to the function of its route, and its response is sent.

use std::ffi::c_void;

use aurora_http::core::request::Field;
use aurora_http::{Content, FieldLine, Flow, Handler, Method, Request, ResponseWriter, WriteError};

/// Answers a request: reads it by `aurora_request_…`, writes the response by `aurora_response_…`, and keeps neither of the
/// pointers. `context` is what its route was made with. It must not be left by longjmp or by an exception.
pub type AuroraHandler =
    Option<unsafe extern "C" fn(request: *const AuroraRequest, response: *mut AuroraResponse, context: *mut c_void)>;

/// A request, with all of its content.
pub struct AuroraRequest {
    route: usize,
    pub(crate) path: Vec<u8>,
    pub(crate) query: Vec<u8>,
    /// Names in the case in which they came.
    pub(crate) fields: Vec<(Vec<u8>, Vec<u8>)>,
    pub(crate) content: Vec<u8>,
}

/// A response, before it is sent: 200, without fields and body, unless the handler says otherwise.
pub struct AuroraResponse {
    pub(crate) status: u16,
    /// Each a valid field line.
    pub(crate) fields: Vec<String>,
    pub(crate) body: Vec<u8>,
}

pub(crate) struct Route {
    pub(crate) method: String,
    pub(crate) path: String,
    /// There is one.
    pub(crate) handler: AuroraHandler,
    pub(crate) context: *mut c_void,
}

/// All routes.
pub(crate) struct Pages {
    pub(crate) routes: Vec<Route>,
    pub(crate) content_max: u64,
}

pub(crate) enum Exchange {
    Gathering(Box<AuroraRequest>),
    /// The body, and how much of it is sent.
    Sending(Vec<u8>, usize),
}

impl Handler for Pages {
    type Exchange = Exchange;

    fn request(&mut self, request: &Request<'_>, response: &mut ResponseWriter<'_>) -> Flow<Exchange> {
        match self.find(request, response) {
            Ok(Some(route)) => {
                response.limit_content(self.content_max);
                Flow::Receive(Exchange::Gathering(Box::new(gather(request, route))))
            }
            // An error has made the writer answer in place of the response.
            Ok(None) | Err(_) => Flow::Finish,
        }
    }

    fn receive(
        &mut self,
        state: Exchange,
        content: &mut Content<'_>,
        response: &mut ResponseWriter<'_>,
    ) -> Flow<Exchange> {
        let Exchange::Gathering(mut request) = state else { return Flow::Finish };
        request.content.extend_from_slice(content.bytes());
        if !content.ended() {
            return Flow::Receive(Exchange::Gathering(request));
        }
        let answer = self.routes[request.route].call(&request);
        begin(&answer, response).map_or(Flow::Finish, |()| send(answer.body, 0, response))
    }

    fn produce(&mut self, state: Exchange, response: &mut ResponseWriter<'_>) -> Flow<Exchange> {
        match state {
            Exchange::Sending(body, sent) => send(body, sent, response),
            Exchange::Gathering(_) => Flow::Finish,
        }
    }
}

impl Pages {
    /// The route of a request; `None` once it was answered 404 or 405. A route for GET is one for HEAD.
    fn find(&self, request: &Request<'_>, response: &mut ResponseWriter<'_>) -> Result<Option<usize>, WriteError> {
        let has_path = |route: &&Route| route.path.as_bytes() == request.path();
        let method = if request.method() == Method::Head { "GET" } else { request.method().as_str() };
        let found = self.routes.iter().position(|route| has_path(&route) && route.method == method);
        if found.is_none() {
            let allowed: Vec<_> = self.routes.iter().filter(has_path).map(|route| &*route.method).collect();
            response.status(if allowed.is_empty() { 404 } else { 405 })?;
            if !allowed.is_empty() {
                response.field("Allow", allowed.join(", "))?;
            }
        }
        Ok(found)
    }
}

impl Route {
    fn call(&self, request: &AuroraRequest) -> AuroraResponse {
        let mut response = AuroraResponse { status: 200, fields: Vec::new(), body: Vec::new() };
        if let Some(handler) = self.handler {
            // SAFETY: the program promised with `aurora_route` that this function may be called with this context. Both
            // pointers are valid while it runs.
            unsafe { handler(request, &raw mut response, self.context) };
        }
        response
    }
}

fn gather(request: &Request<'_>, route: usize) -> AuroraRequest {
    let field = |field: Field<'_>| (field.name.as_bytes().to_vec(), field.value.to_vec());
    AuroraRequest {
        route,
        path: request.path().to_vec(),
        query: request.query().map_or(Vec::new(), |query| query.as_bytes().to_vec()),
        fields: request.fields().iter().map(field).collect(),
        content: Vec::new(),
    }
}

fn begin(answer: &AuroraResponse, response: &mut ResponseWriter<'_>) -> Result<(), WriteError> {
    response.status(answer.status)?;
    for line in answer.fields.iter().filter_map(|line| FieldLine::new(line)) {
        response.field_line(line)?;
    }
    response.stream(Some(answer.body.len() as u64))
}

/// Sends what there is room for.
fn send(body: Vec<u8>, sent: usize, response: &mut ResponseWriter<'_>) -> Flow<Exchange> {
    match response.write(&body[sent..]) {
        Ok(count) if sent + count < body.len() => Flow::Produce(Exchange::Sending(body, sent + count)),
        Ok(_) | Err(_) => Flow::Finish,
    }
}
