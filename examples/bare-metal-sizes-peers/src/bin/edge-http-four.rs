//! Four connections by edge-http.
#![no_std]
#![no_main]

mod shared;

use aurora_bare_metal_sizes_peers::{Acceptor, Once, block_on, entry, give_up};
use edge_http::io::server::Server;

static SERVER: Once<Server<4, 1024, 16>> = Once::new(Server::new());

entry!(main);

fn main() -> ! {
    let Some(server) = SERVER.take() else { give_up() };
    let _ = block_on(server.run(None, Acceptor, shared::Everything));
    give_up()
}
