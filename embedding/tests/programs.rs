//! The programs of this package, as their users run them: a conversation with each, on each backend that it may have.
#![cfg(target_os = "linux")]

mod backends;
#[path = "../../tests/support/conversation.rs"]
mod conversation;
#[path = "../../tests/support/example.rs"]
mod example;
#[path = "../../tests/support/http.rs"]
mod http;
#[path = "../../tests/support/in_loop.rs"]
mod in_loop;

use conversation::converse;
use example::Example;

/// Of a program with a worker.
fn converse_on_each_backend(name: &str) {
    for backend in backends::backends() {
        converse(Example::start(name, &["--backend", backend.name()]));
    }
}

#[test]
fn mio_embed_serves_beside_a_socket_of_its_own() {
    converse_on_each_backend("mio_embed");
    in_loop::greets_with_what_datagrams_say("mio_embed", &backends::backends());
}

#[test]
fn tokio_embed_serves_beside_another_task() {
    converse_on_each_backend("tokio_embed");
    in_loop::greets_with_what_datagrams_say("tokio_embed", &backends::backends());
}

#[test]
fn smol_embed_serves() {
    converse_on_each_backend("smol_embed");
}

#[test]
fn calloop_embed_serves() {
    converse_on_each_backend("calloop_embed");
}

#[test]
fn tokio_solo_serves() {
    converse(Example::start("tokio_solo", &[]));
}

#[test]
fn poll_loop_serves() {
    converse(Example::start("poll_loop", &[]));
}
