//! A server for programs in C. It has no thread: the program calls `aurora_poll` when the server's descriptor is readable, and
//! its handlers are called from there. [The header](../include/aurora.h) is made from this file.
//!
//! No panic leaves a function of this crate: it becomes an error that `aurora_error` describes.
#![cfg(target_os = "linux")]

mod pages;

use std::cell::RefCell;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::fmt::Display;
use std::os::fd::{AsFd, AsRawFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::{null, null_mut};
use std::slice;

use aurora_http::{FieldLine, Limits, Server, StopHandle, Worker, WorkerStorage};

pub use pages::{AuroraHandler, AuroraRequest, AuroraResponse};
use pages::{Exchange, Pages, Route};

/// It went well.
pub const AURORA_OK: c_int = 0;
/// The server goes on: what `aurora_poll` says until it has stopped.
pub const AURORA_RUNNING: c_int = 1;
/// It did not: see `aurora_error`.
pub const AURORA_ERROR: c_int = -1;

/// A server: of one thread, from `aurora_new` to `aurora_free`.
pub struct AuroraServer {
    /// Until it listens.
    setup: Option<(Server, Pages)>,
    stop: StopHandle,
    worker: Option<Worker<'static, Pages>>,
    /// What the worker stands on; null until the server listens.
    storage: *mut WorkerStorage<Exchange>,
}

/// Bytes that belong to the server: valid until the handler returns. `data` is null when there are none.
#[repr(C)]
pub struct AuroraBytes {
    /// The first of them.
    pub data: *const u8,
    /// How many there are.
    pub len: usize,
}

impl AuroraBytes {
    const NONE: Self = Self { data: null(), len: 0 };

    const fn of(bytes: &[u8]) -> Self {
        Self { data: bytes.as_ptr(), len: bytes.len() }
    }
}

impl Drop for AuroraServer {
    fn drop(&mut self) {
        self.worker = None;
        if !self.storage.is_null() {
            // SAFETY: `listen` made it by `Box::into_raw`, and the worker, which alone borrowed it, is gone.
            drop(unsafe { Box::from_raw(self.storage) });
        }
    }
}

thread_local! {
    static ERROR: RefCell<CString> = RefCell::default();
}

fn set_error(error: impl Display) {
    let text = error.to_string().replace('\0', " ");
    ERROR.set(CString::new(text).unwrap_or_default());
}

/// The result of `call`, or of an error or a panic in it, which `aurora_error` then describes.
fn guard<T>(failed: T, call: impl FnOnce() -> Result<T, String>) -> T {
    let error = match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(value)) => return value,
        Ok(Err(error)) => error,
        Err(payload) => {
            // Dropping what somebody panicked with could panic in turn.
            std::mem::forget(payload);
            "a panic, which is an error of the library".to_owned()
        }
    };
    let _ = catch_unwind(|| set_error(error));
    failed
}

/// # Safety
/// `pointer` is null, or a string that ends with a zero and does not change during `'a`.
unsafe fn text<'a>(pointer: *const c_char) -> Result<&'a str, String> {
    if pointer.is_null() {
        return Err("a string is null".to_owned());
    }
    // SAFETY: it is not null, and the rest is the caller's promise.
    unsafe { CStr::from_ptr(pointer) }.to_str().map_err(|error| error.to_string())
}

/// # Safety
/// `pointer` is null, or valid for `'a`, and nobody else uses what it points to meanwhile.
unsafe fn exclusive<'a, T>(pointer: *mut T) -> Result<&'a mut T, String> {
    // SAFETY: the caller's promise.
    unsafe { pointer.as_mut() }.ok_or_else(|| "a pointer is null".to_owned())
}

/// # Safety
/// `pointer` is null, or valid for `'a`, and nobody changes what it points to meanwhile.
unsafe fn shared<'a, T>(pointer: *const T) -> Result<&'a T, String> {
    // SAFETY: the caller's promise.
    unsafe { pointer.as_ref() }.ok_or_else(|| "a pointer is null".to_owned())
}

/// What went wrong last on this thread; empty when nothing did. Valid until the next call of this library on this thread.
#[unsafe(no_mangle)]
pub extern "C" fn aurora_error() -> *const c_char {
    ERROR.with(|error| error.try_borrow().map_or(c"".as_ptr(), |error| error.as_ptr()))
}

/// A server at `address`, such as "127.0.0.1:8080" (port 0 lets the system choose), for so many connections at once, whose
/// requests have at most so many bytes of content. Null when that cannot be.
///
/// # Safety
/// `address` is a string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aurora_new(address: *const c_char, connections: usize, content_max: u64) -> *mut AuroraServer {
    guard(null_mut(), || {
        // SAFETY: the caller's promise.
        let address = unsafe { text(address) }?;
        let limits = Limits { content_bytes_max: content_max, ..Limits::default() };
        let server = Server::bind(address).map_err(|error| error.to_string())?.connections(connections).limits(limits);
        let (stop, pages) = (server.stop_handle(), Pages { routes: Vec::new(), content_max });
        let server = AuroraServer { setup: Some((server, pages)), stop, worker: None, storage: null_mut() };
        Ok(Box::into_raw(Box::new(server)))
    })
}

/// Has `handler` answer requests with this method and path, with `context` as its last argument. For GET it also answers HEAD.
/// Before `aurora_listen`.
///
/// # Safety
/// `server` is one of `aurora_new`, `method` and `path` are strings, and `handler` may be called with `context` until
/// the server is freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aurora_route(
    server: *mut AuroraServer,
    method: *const c_char,
    path: *const c_char,
    handler: AuroraHandler,
    context: *mut c_void,
) -> c_int {
    guard(AURORA_ERROR, || {
        // SAFETY: the caller's promise.
        let server = unsafe { exclusive(server) }?;
        // SAFETY: the caller's promise.
        let method = unsafe { text(method) }?.to_owned();
        // SAFETY: the caller's promise.
        let path = unsafe { text(path) }?.to_owned();
        let (_, pages) = server.setup.as_mut().ok_or("the server listens already")?;
        if handler.is_none() {
            return Err("a handler is null".to_owned());
        }
        pages.routes.push(Route { method, path, handler, context });
        Ok(AURORA_OK)
    })
}

/// Opens the listener. From now on the server is served by `aurora_poll`.
///
/// # Safety
/// `server` is one of `aurora_new`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aurora_listen(server: *mut AuroraServer) -> c_int {
    guard(AURORA_ERROR, || {
        // SAFETY: the caller's promise.
        let server = unsafe { exclusive(server) }?;
        let (setup, pages) = server.setup.take().ok_or("the server listens already")?;
        let storage = setup.storage().map_err(|error| error.to_string())?;
        server.storage = Box::into_raw(Box::new(storage));
        // SAFETY: it was just made, is freed only by `AuroraServer::drop`, behind the worker, and nobody else uses it.
        let storage = unsafe { &mut *server.storage };
        server.worker = Some(Worker::new(storage, pages).map_err(|error| error.to_string())?);
        Ok(AURORA_OK)
    })
}

/// The port of its listener; 0 when it does not listen.
///
/// # Safety
/// `server` is one of `aurora_new`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aurora_port(server: *const AuroraServer) -> u16 {
    // SAFETY: the caller's promise.
    guard(0, || Ok(unsafe { worker(server) }?.local_addr().port()))
}

/// The descriptor to wait for: call `aurora_poll` when it is readable. -1 when the server does not listen.
///
/// # Safety
/// `server` is one of `aurora_new`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aurora_fd(server: *const AuroraServer) -> c_int {
    // SAFETY: the caller's promise.
    guard(-1, || Ok(unsafe { worker(server) }?.as_fd().as_raw_fd()))
}

/// For how many milliseconds to wait for the descriptor at most, as poll(2) takes it; -1 is for ever. To be asked after
/// every `aurora_poll`.
///
/// # Safety
/// `server` is one of `aurora_new`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aurora_timeout_ms(server: *const AuroraServer) -> c_int {
    guard(0, || {
        // SAFETY: the caller's promise.
        let timeout = unsafe { worker(server) }?.timeout();
        // Up, so as not to come too early and spin.
        let milliseconds = |timeout: std::time::Duration| timeout.as_micros().div_ceil(1000);
        Ok(timeout.map_or(-1, |timeout| c_int::try_from(milliseconds(timeout)).unwrap_or(c_int::MAX)))
    })
}

/// Does what there is to do without waiting, and calls handlers. `AURORA_RUNNING`; `AURORA_OK` once a stop has run its
/// course; `AURORA_ERROR` when the server is good for nothing but `aurora_free`.
///
/// # Safety
/// `server` is one of `aurora_new`, and this is not called from a handler.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aurora_poll(server: *mut AuroraServer) -> c_int {
    guard(AURORA_ERROR, || {
        // SAFETY: the caller's promise.
        let server = unsafe { exclusive(server) }?;
        // Put back unless it panics: nobody knows how a worker is after that.
        let mut worker = server.worker.take().ok_or("the server does not listen, or has failed")?;
        let ended = worker.poll(server.stop.flag()).map_err(|error| format!("{error:?}"))?;
        server.worker = Some(worker);
        Ok(if ended { AURORA_OK } else { AURORA_RUNNING })
    })
}

/// Has it stop: who is idle is let go, who is being served is served, and then `aurora_poll` says `AURORA_OK`. Not from a handler.
///
/// # Safety
/// `server` is one of `aurora_new`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aurora_stop(server: *const AuroraServer) {
    guard((), || {
        // SAFETY: the caller's promise.
        unsafe { shared(server) }?.stop.stop();
        Ok(())
    });
}

/// Ends and frees it. Nothing happens for null.
///
/// # Safety
/// `server` is one of `aurora_new` and not used any more, and this is not called from a handler.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aurora_free(server: *mut AuroraServer) {
    guard((), || {
        if !server.is_null() {
            // SAFETY: `aurora_new` made it by `Box::into_raw`, and the caller gives it up.
            drop(unsafe { Box::from_raw(server) });
        }
        Ok(())
    });
}

/// # Safety
/// `server` is null, or one of `aurora_new`, and nobody changes it during `'a`.
unsafe fn worker<'a>(server: *const AuroraServer) -> Result<&'a Worker<'static, Pages>, String> {
    // SAFETY: the caller's promise.
    let server = unsafe { shared(server) }?;
    server.worker.as_ref().ok_or_else(|| "the server does not listen, or has failed".to_owned())
}

/// The path, as it came, without the query.
///
/// # Safety
/// `request` is what the handler was called with.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aurora_request_path(request: *const AuroraRequest) -> AuroraBytes {
    // SAFETY: the caller's promise.
    guard(AuroraBytes::NONE, || Ok(AuroraBytes::of(&unsafe { shared(request) }?.path)))
}

/// What stands behind the path's question mark.
///
/// # Safety
/// `request` is what the handler was called with.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aurora_request_query(request: *const AuroraRequest) -> AuroraBytes {
    // SAFETY: the caller's promise.
    guard(AuroraBytes::NONE, || Ok(AuroraBytes::of(&unsafe { shared(request) }?.query)))
}

/// The value of the first field with this name, in whatever case; null without one.
///
/// # Safety
/// `request` is what the handler was called with, and `name` is a string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aurora_request_field(request: *const AuroraRequest, name: *const c_char) -> AuroraBytes {
    guard(AuroraBytes::NONE, || {
        // SAFETY: the caller's promise.
        let request = unsafe { shared(request) }?;
        // SAFETY: the caller's promise.
        let name = unsafe { text(name) }?;
        let found = request.fields.iter().find(|(found, _)| found.eq_ignore_ascii_case(name.as_bytes()));
        Ok(found.map_or(AuroraBytes::NONE, |(_, value)| AuroraBytes::of(value)))
    })
}

/// The content.
///
/// # Safety
/// `request` is what the handler was called with.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aurora_request_content(request: *const AuroraRequest) -> AuroraBytes {
    // SAFETY: the caller's promise.
    guard(AuroraBytes::NONE, || Ok(AuroraBytes::of(&unsafe { shared(request) }?.content)))
}

/// Answers with this status, from 200 to 599.
///
/// # Safety
/// `response` is what the handler was called with.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aurora_response_status(response: *mut AuroraResponse, status: u16) -> c_int {
    guard(AURORA_ERROR, || {
        if !(200..=599).contains(&status) {
            return Err(format!("{status} is no status of a final response"));
        }
        // SAFETY: the caller's promise.
        unsafe { exclusive(response) }?.status = status;
        Ok(AURORA_OK)
    })
}

/// Adds a field. Those that say how long the body is are the server's.
///
/// # Safety
/// `response` is what the handler was called with, `name` and `value` are strings.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aurora_response_field(
    response: *mut AuroraResponse,
    name: *const c_char,
    value: *const c_char,
) -> c_int {
    guard(AURORA_ERROR, || {
        // SAFETY: the caller's promise.
        let response = unsafe { exclusive(response) }?;
        // SAFETY: the caller's promise.
        let name = unsafe { text(name) }?;
        // SAFETY: the caller's promise.
        let line = format!("{name}: {}", unsafe { text(value) }?);
        if FieldLine::new(&line).is_none() {
            return Err(format!("{line:?} is no field that a handler may set"));
        }
        response.fields.push(line);
        Ok(AURORA_OK)
    })
}

/// Adds to the body; the bytes are copied.
///
/// # Safety
/// `response` is what the handler was called with, and there are `len` bytes at `data`, which may be null without any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aurora_response_body(response: *mut AuroraResponse, data: *const u8, len: usize) -> c_int {
    guard(AURORA_ERROR, || {
        // SAFETY: the caller's promise.
        let response = unsafe { exclusive(response) }?;
        if len == 0 {
            return Ok(AURORA_OK);
        }
        if data.is_null() {
            return Err("a pointer is null".to_owned());
        }
        // SAFETY: the caller's promise. The bytes cannot be those of `response.body`, which nobody has a pointer to.
        response.body.extend_from_slice(unsafe { slice::from_raw_parts(data, len) });
        Ok(AURORA_OK)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_an_error() {
        assert_eq!(guard(AURORA_ERROR, || panic!("as nobody should")), AURORA_ERROR);
        // SAFETY: it is a string of this thread, which calls nothing meanwhile.
        let text = unsafe { CStr::from_ptr(aurora_error()) };
        assert!(text.to_str().unwrap().contains("panic"));
    }
}
