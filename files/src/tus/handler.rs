//! The handler of uploads.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use aurora_http::{CloseReason, Content, Flow, Handler, Request, Respond, ResponseWriter, Resumer, WriteError};

use super::asked::{Asked, VERSION};
use super::store::{Id, Status, StoreError, Upload};
use super::{Uploads, answer};
use crate::threads::Pending;

/// What is received before it is written.
const PIECE: usize = 64 * 1024;

/// Receives uploads: see [`Uploads`]. As routes of `aurora-http-web`, mount it with [`handler`](aurora_http_web::handler) for the
/// methods POST, HEAD, PATCH, DELETE and OPTIONS.
#[derive(Debug)]
pub struct ReceiveUploads {
    uploads: Uploads,
    resumer: Resumer,
}

/// The state of a request.
#[derive(Debug)]
pub struct Receipt(Step);

#[derive(Debug)]
enum Step {
    Created(Pending<Result<Id, StoreError>>),
    Seen(Pending<Result<Status, StoreError>>),
    Removed(Pending<Result<(), StoreError>>),
    Opened(Pending<Result<Upload, StoreError>>, Permit),
    /// Content arrives.
    Receiving(Box<Append>),
    /// A piece is being written.
    Written(Pending<Result<Box<Append>, StoreError>>),
}

/// A request that appends.
#[derive(Debug)]
struct Append {
    upload: Upload,
    buffer: Vec<u8>,
    /// All of the content is in the buffer.
    has_ended: bool,
    _permit: Permit,
}

/// One of the requests that may append at a time.
#[derive(Debug)]
struct Permit(Arc<AtomicUsize>);

impl Permit {
    fn get(taken: &Arc<AtomicUsize>, max: usize) -> Option<Self> {
        let permit = Self(Arc::clone(taken));
        (taken.fetch_add(1, Ordering::Relaxed) < max).then_some(permit)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl ReceiveUploads {
    pub(super) const fn new(uploads: Uploads, resumer: Resumer) -> Self {
        Self { uploads, resumer }
    }

    /// Has another thread do what may wait for the disk.
    fn run<T: Send + 'static>(
        &self,
        response: &mut ResponseWriter<'_>,
        job: impl FnOnce(&Uploads) -> T + Send + 'static,
    ) -> Result<Pending<T>, WriteError> {
        let (token, uploads) = (response.defer()?, self.uploads.clone());
        Ok(self.uploads.threads.run(&self.resumer, token, move || job(&uploads)))
    }

    fn begin(&self, request: &Request<'_>, response: &mut ResponseWriter<'_>) -> Result<Option<Step>, WriteError> {
        let options = &self.uploads.options;
        let step = match Asked::of(request, options) {
            Err(refused) => return answer::refused(refused, response).map(|()| None),
            Ok(Asked::Options) => return answer::options(options, response).map(|()| None),
            Ok(Asked::Create { length, metadata }) => Step::Created(self.run(response, move |uploads| {
                uploads.store.sweep(uploads.options.expires_s);
                let id = uploads.store.create(length, &metadata, uploads.options.uploads_max)?;
                if length == 0 {
                    let mut upload = uploads.store.append(id, 0, None)?;
                    uploads.store.complete(&mut upload, uploads.options.observer.as_ref())?;
                }
                Ok(id)
            })?),
            Ok(Asked::Status(id)) => {
                let job = move |uploads: &Uploads| {
                    let options = &uploads.options;
                    uploads.store.seen(id, options.expires_s, options.observer.as_ref())
                };
                Step::Seen(self.run(response, job)?)
            }
            Ok(Asked::Remove(id)) => Step::Removed(self.run(response, move |uploads| uploads.store.remove(id))?),
            Ok(Asked::Append { id, offset }) => {
                let Some(permit) = Permit::get(&self.uploads.requests, options.requests_max) else {
                    return answer::busy(response).map(|()| None);
                };
                let length = request.content_length();
                let job = move |uploads: &Uploads| {
                    let upload = uploads.store.append(id, offset, uploads.options.expires_s)?;
                    // Before any of it is received.
                    let is_too_long = length.is_some_and(|length| length > upload.length - upload.offset);
                    if is_too_long { Err(StoreError::TooLong) } else { Ok(upload) }
                };
                Step::Opened(self.run(response, job)?, permit)
            }
        };
        Ok(Some(step))
    }

    /// Has another thread write what has arrived.
    fn write(&self, mut append: Box<Append>, response: &mut ResponseWriter<'_>) -> Result<Step, WriteError> {
        let pending = self.run(response, move |uploads| {
            append.write()?;
            uploads.store.complete(&mut append.upload, uploads.options.observer.as_ref())?;
            Ok(append)
        })?;
        Ok(Step::Written(pending))
    }

    /// After another thread has done its part.
    fn go_on(&self, step: Step, response: &mut ResponseWriter<'_>) -> Result<Option<Step>, WriteError> {
        let options = &self.uploads.options;
        let answered = match step {
            Step::Created(pending) => done(&pending).map(|id| answer::created(id, options, response)),
            Step::Seen(pending) => done(&pending).map(|status| answer::status(&status, options, response)),
            Step::Removed(pending) => done(&pending).map(|()| answer::removed(response)),
            Step::Opened(pending, permit) => match done(&pending) {
                Ok(upload) => {
                    response.limit_content(upload.length - upload.offset);
                    let buffer = Vec::with_capacity(PIECE);
                    let append = Append { upload, buffer, has_ended: false, _permit: permit };
                    return Ok(Some(Step::Receiving(Box::new(append))));
                }
                Err(error) => Err(error),
            },
            Step::Written(pending) => match done(&pending) {
                Ok(append) if !append.has_ended => return Ok(Some(Step::Receiving(append))),
                Ok(append) => Ok(answer::appended(append.upload.offset, options, response)),
                Err(error) => Err(error),
            },
            Step::Receiving(append) => return Ok(Some(Step::Receiving(append))),
        };
        match answered {
            Ok(written) => written.map(|()| None),
            Err(error) => answer::failed(&error, response).map(|()| None),
        }
    }
}

impl Append {
    fn write(&mut self) -> Result<(), StoreError> {
        self.upload.write(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }
}

/// The result of a job; a job that was not done is an error.
fn done<T>(pending: &Pending<Result<T, StoreError>>) -> Result<T, StoreError> {
    pending.take().unwrap_or_else(|| Err(StoreError::Io(io::ErrorKind::Interrupted.into())))
}

/// What the exchange waits for.
fn follow(step: Result<Option<Step>, WriteError>, response: &mut ResponseWriter<'_>) -> Flow<Receipt> {
    match step {
        Ok(Some(step @ Step::Receiving(_))) => Flow::Receive(Receipt(step)),
        Ok(Some(step)) => Flow::Defer(Receipt(step)),
        Ok(None) => Flow::Finish,
        Err(error) => Err::<(), _>(error).respond(response).map(|never| match never {}),
    }
}

/// On every response.
fn sign(response: &mut ResponseWriter<'_>) {
    let _ = response.add_field("Tus-Resumable", VERSION);
}

impl Handler for ReceiveUploads {
    type Exchange = Receipt;

    fn request(&mut self, request: &Request<'_>, response: &mut ResponseWriter<'_>) -> Flow<Receipt> {
        sign(response);
        let step = self.begin(request, response);
        follow(step, response)
    }

    fn receive(
        &mut self,
        Receipt(step): Receipt,
        content: &mut Content<'_>,
        response: &mut ResponseWriter<'_>,
    ) -> Flow<Receipt> {
        sign(response);
        let Step::Receiving(mut append) = step else {
            let _ = response.fail(500);
            return Flow::Finish;
        };
        // What does not fit is offered again when this has been written.
        let bytes = content.bytes();
        let taken = bytes.get(..PIECE - append.buffer.len()).unwrap_or(bytes);
        append.buffer.extend_from_slice(taken);
        append.has_ended = content.ended() && taken.len() == bytes.len();
        content.consume(taken.len());
        if append.buffer.len() < PIECE && !append.has_ended {
            return Flow::Receive(Receipt(Step::Receiving(append)));
        }
        let step = self.write(append, response).map(Some);
        follow(step, response)
    }

    fn resume(&mut self, Receipt(step): Receipt, response: &mut ResponseWriter<'_>) -> Flow<Receipt> {
        sign(response);
        let step = self.go_on(step, response);
        follow(step, response)
    }

    fn abandoned(&mut self, Receipt(step): Receipt, _: CloseReason) {
        // What has arrived is kept: the client goes on after it.
        if let Step::Receiving(mut append) = step
            && !append.buffer.is_empty()
        {
            self.uploads.threads.detach(move || {
                let _ = append.write();
            });
        }
    }
}
