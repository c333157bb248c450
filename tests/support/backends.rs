//! The backends that tests over sockets run on.

use aurora_http::Backend;

/// The backends that are compiled in and that this system allows.
pub(crate) fn backends() -> Vec<Backend> {
    let mut backends = Vec::new();
    if cfg!(has_epoll) {
        backends.push(Backend::Epoll);
    }
    if cfg!(has_kqueue) {
        backends.push(Backend::Kqueue);
    }
    #[cfg(has_uring)]
    match aurora_http::uring::probe() {
        Ok(_) => backends.push(Backend::Uring),
        Err(refusal) => eprintln!("not on io_uring: {refusal}"),
    }
    backends
}
