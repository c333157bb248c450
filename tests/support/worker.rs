//! A worker by the name of its backend, whichever this build has.

use aurora_http::{Handler, ServerError, Worker, WorkerStorage};

#[cfg(has_epoll)]
use aurora_http::epoll::Reactor;
#[cfg(not(has_epoll))]
use aurora_http::kqueue::Reactor;

pub(crate) fn worker<H: Handler>(
    storage: &mut WorkerStorage<H::Exchange>,
    handler: H,
) -> Result<Worker<'_, H, Reactor<'_, 'static>>, ServerError> {
    #[cfg(has_epoll)]
    return Worker::epoll(storage, handler);
    #[cfg(not(has_epoll))]
    return Worker::kqueue(storage, handler);
}
