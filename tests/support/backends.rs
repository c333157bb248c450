//! Tests that run on every backend of this build.

use aurora_http::Backend;

/// Runs `test` on each backend that this build has and this system allows.
pub(crate) fn on_each_backend(test: impl Fn(Backend)) {
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
    for backend in backends {
        test(backend);
    }
}
