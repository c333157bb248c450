//! The guide (`src/`, an mdBook): each chapter becomes the documentation of an empty module, so that its code is tested like any
//! other example. `tests/book.rs` checks that no chapter is forgotten here.
#![forbid(unsafe_code)]

#[cfg(all(doctest, unix))]
macro_rules! chapters {
    ($($name:ident = $file:literal),* $(,)?) => {
        $(#[doc = include_str!($file)] mod $name {})*
    };
}

#[cfg(all(doctest, unix))]
chapters! {
    about = "src/about.md",
    backend = "src/backend.md",
    embed = "src/embed.md",
    handler = "src/handler.md",
    memory = "src/memory.md",
    port = "src/port.md",
    proxies = "src/proxies.md",
    proxy = "src/proxy.md",
    routes = "src/routes.md",
    state = "src/state.md",
    stop = "src/stop.md",
    stream = "src/stream.md",
    test = "src/test.md",
    tls = "src/tls.md",
}
