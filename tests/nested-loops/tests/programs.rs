//! Runs the example programs of this workspace as their users do.
#![cfg(target_os = "linux")]

mod backends;
#[path = "../../support/example.rs"]
mod example;
#[path = "../../support/http.rs"]
#[allow(dead_code)]
mod http;
#[path = "../../support/in_loop.rs"]
mod in_loop;

#[test]
fn in_mio_serves_next_to_a_socket_of_its_own() {
    in_loop::greets_with_what_datagrams_say("in_mio", &backends::backends());
}

#[test]
fn in_tokio_serves_next_to_another_task() {
    in_loop::greets_with_what_datagrams_say("in_tokio", &backends::backends());
}
