//! The worker type of the simplest backend that is compiled in.

use aurora_http::{Handler, ServerError, Worker, WorkerStorage};

#[cfg(has_epoll)]
type Reactor<'s> = aurora_http::epoll::Reactor<'s, 'static>;
#[cfg(all(has_kqueue, not(has_epoll)))]
type Reactor<'s> = aurora_http::kqueue::Reactor<'s, 'static>;
#[cfg(not(any(has_epoll, has_kqueue)))]
type Reactor<'s> = aurora_http::uring::Uring<'s>;

pub(crate) fn worker<H: Handler>(
    storage: &mut WorkerStorage<H::Exchange>,
    handler: H,
) -> Result<Worker<'_, H, Reactor<'_>>, ServerError> {
    #[cfg(has_epoll)]
    return Worker::epoll(storage, handler);
    #[cfg(all(has_kqueue, not(has_epoll)))]
    return Worker::kqueue(storage, handler);
    #[cfg(not(any(has_epoll, has_kqueue)))]
    return Worker::uring(storage, handler);
}
