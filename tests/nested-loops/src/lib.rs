//! Empty: this package has tests, and two programs in `examples/`. They put a worker into the edge-triggered event loops of
//! mio and tokio; the level-triggered one is `tests/nested.rs` of the server.
