//! The tests that stand in examples, of their handlers.
#![cfg(all(has_backend, feature = "testing"))]
#![allow(dead_code, clippy::duplicate_mod)] // each of them has what it serves with

#[path = "../examples/bench_server.rs"]
mod bench_server;
#[path = "../examples/upgrade_echo.rs"]
mod upgrade_echo;
