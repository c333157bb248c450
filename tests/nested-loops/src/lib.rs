//! Empty: this package consists of tests, and of two programs in `examples/`. They run a worker in the edge-triggered
//! event loops of mio and tokio. For level-triggered loops, see `tests/nested.rs` of the server.
