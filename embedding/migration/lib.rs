//! The pages of the guide for users of other crates: each becomes the documentation of an empty module, so that the programs of
//! both sides are compiled, with the versions that the page names.
#![forbid(unsafe_code)]

#[cfg(all(doctest, unix))]
macro_rules! pages {
    ($($name:ident = $file:literal),* $(,)?) => {
        $(#[doc = include_str!($file)] mod $name {})*
    };
}

#[cfg(all(doctest, unix))]
pages! {
    edge_http = "../../docs/guide/src/from-edge-http.md",
    hyper = "../../docs/guide/src/from-hyper.md",
    picoserve = "../../docs/guide/src/from-picoserve.md",
    tiny_http = "../../docs/guide/src/from-tiny-http.md",
}
