//! The handler of a served folder.

use aurora_http::{Flow, Handler, Method, Request, Respond, ResponseWriter, Resumer, WriteError};

use crate::answer::answer;
use crate::asked::{Kept, Target};
use crate::files::Files;
use crate::found::{Codings, Found, Query, look_up};
use crate::listing::Order;
use crate::path::{Below, Refused, SPARE};
use crate::root::Reach;
use crate::source::Pumped;
use crate::transfer::{Body, Opening, Transfer};

/// Serves the files below a folder: see [`Files`]. As a route of `aurora-http-web`, mount it with
/// [`handler`](aurora_http_web::handler), and tell it where with [`Files::under`].
///
/// ```no_run
/// use aurora_http::{Method, Server};
/// use aurora_http_files::Files;
/// use aurora_http_web::{Routes, handler};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let files = Files::new("static")?.under("/static");
/// Server::bind("127.0.0.1:8080")?.serve(move |worker| {
///     let files = handler(files.handler(worker.resumer()));
///     Routes::new().get("/", |_, _, response| response.body("hello\n")).on(Method::Get, "/static/*path", files).with_state(())
/// })?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct ServeFiles {
    files: Files,
    resumer: Resumer,
}

impl ServeFiles {
    pub(crate) const fn new(files: Files, resumer: Resumer) -> Self {
        Self { files, resumer }
    }

    fn begin(&self, request: &Request<'_>, response: &mut ResponseWriter<'_>) -> Result<Option<Transfer>, WriteError> {
        let is_head = match request.method() {
            Method::Get => false,
            Method::Head => true,
            Method::Options => {
                response.status(204)?;
                response.field("Allow", ALLOW)?;
                return response.body([]).map(|()| None);
            }
            _ => {
                response.add_field("Allow", ALLOW)?;
                return response.fail(405).map(|()| None);
            }
        };
        let options = &*self.files.options;
        let Some(rest) = request.path().strip_prefix(options.prefix.as_bytes()) else {
            return response.fail(404).map(|()| None);
        };
        let target = Target { is_head, path: request.path(), query: request.query().map(|query| query.as_bytes()) };
        if rest.is_empty() {
            return answer(Found::Folder, request, &target, options, response);
        }
        let room = response.scratch(rest.len() + SPARE)?;
        let (mut path, is_folder) = match Below::decode(rest, room, options.dot_files) {
            Ok(decoded) => decoded,
            Err(Refused::Malformed) => return response.fail(400).map(|()| None),
            Err(Refused::Missing) => return response.fail(404).map(|()| None),
        };
        let codings = if options.precompressed { Codings::of(request) } else { Codings::default() };
        let order = if is_folder { Order::of(request.query()) } else { Order::default() };
        let query = Query { is_folder, codings, order };
        match look_up(&self.files.root, options, &mut path, query, Reach::Cached) {
            Some(found) => answer(found, request, &target, options, response),
            None => self.open_elsewhere(request, &target, rest, query, response),
        }
    }

    /// Has another thread open the file.
    fn open_elsewhere(
        &self,
        request: &Request<'_>,
        target: &Target<'_>,
        rest: &[u8],
        query: Query,
        response: &mut ResponseWriter<'_>,
    ) -> Result<Option<Transfer>, WriteError> {
        let Files { root, options, threads } = self.files.clone();
        let raw = rest.to_vec();
        let job = move || {
            let mut room = vec![0; raw.len() + SPARE];
            let Ok((mut path, _)) = Below::decode(&raw, &mut room, options.dot_files) else { return Found::Missing };
            look_up(&root, &options, &mut path, query, Reach::Any).unwrap_or(Found::Busy)
        };
        let pending = threads.run(&self.resumer, response.defer()?, job);
        let opening = Opening {
            pending,
            asked: Kept::of_request(request),
            is_head: target.is_head,
            path: target.path.to_vec(),
            query: target.query.map(<[u8]>::to_vec),
        };
        Ok(Some(Transfer::new(Body::Opening(Box::new(opening)))))
    }

    /// Writes as much as can be written now.
    fn go_on(&self, mut transfer: Transfer, response: &mut ResponseWriter<'_>) -> Flow<Transfer> {
        let pumped = match &mut transfer.body {
            Body::File(source) => {
                let pumped = source.pump(response);
                if let Some(watch) = &mut transfer.watch {
                    watch.reach(source.position());
                }
                pumped
            }
            Body::Parts(parts) => parts.pump(response),
            Body::Page { bytes, written } => response.write(&bytes[*written..]).map(|count| {
                *written += count;
                if *written == bytes.len() { Pumped::Ended } else { Pumped::Full }
            }),
            Body::Opening(_) => return Flow::Defer(transfer),
        };
        match pumped {
            Ok(Pumped::Full) => Flow::Produce(transfer),
            Ok(Pumped::Cold) => self.read_ahead(transfer, response),
            // An error is kept by the response.
            Ok(Pumped::Ended) | Err(_) => Flow::Finish,
        }
    }

    /// Has another thread read what is not in the kernel's cache.
    fn read_ahead(&self, mut transfer: Transfer, response: &mut ResponseWriter<'_>) -> Flow<Transfer> {
        let (Some(source), Ok(token)) = (transfer.source(), response.defer()) else { return Flow::Finish };
        let ahead = source.ahead();
        transfer.ahead = Some(self.files.threads.run(&self.resumer, token, ahead));
        Flow::Defer(transfer)
    }

    fn follow(&self, begun: Result<Option<Transfer>, WriteError>, response: &mut ResponseWriter<'_>) -> Flow<Transfer> {
        match begun {
            Ok(Some(transfer)) => self.go_on(transfer, response),
            Ok(None) => Flow::Finish,
            Err(error) => Err::<(), _>(error).respond(response).map(|never| match never {}),
        }
    }
}

const ALLOW: &str = "GET, HEAD, OPTIONS";

impl Handler for ServeFiles {
    type Exchange = Transfer;

    fn request(&mut self, request: &Request<'_>, response: &mut ResponseWriter<'_>) -> Flow<Transfer> {
        let begun = self.begin(request, response);
        self.follow(begun, response)
    }

    fn produce(&mut self, transfer: Transfer, response: &mut ResponseWriter<'_>) -> Flow<Transfer> {
        self.go_on(transfer, response)
    }

    fn resume(&mut self, mut transfer: Transfer, response: &mut ResponseWriter<'_>) -> Flow<Transfer> {
        if let Body::Opening(opening) = transfer.body {
            let found = opening.pending.take().unwrap_or(Found::Busy);
            let begun = answer(found, &opening.asked, &opening.target(), &self.files.options, response);
            return self.follow(begun, response);
        }
        if transfer.ahead.take().is_some()
            && let Some(source) = transfer.source()
        {
            source.set_warm();
        }
        self.go_on(transfer, response)
    }
}
