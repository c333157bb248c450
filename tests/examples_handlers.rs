//! Runs the tests that the examples contain, of their handlers.
#![cfg(all(has_backend, feature = "testing"))]
#![allow(dead_code, clippy::duplicate_mod)] // each example has a `main` and the shared command line

#[path = "../examples/bench_server.rs"]
mod bench_server;
#[path = "../examples/upgrade_echo.rs"]
mod upgrade_echo;
