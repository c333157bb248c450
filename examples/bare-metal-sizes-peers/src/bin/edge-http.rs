//! One connection by edge-http, kept alive.
#![no_std]
#![no_main]

mod shared;

use aurora_bare_metal_sizes_peers::{Once, Stream, block_on, entry, give_up};
use edge_http::io::server::handle_connection;

static BYTES: Once<[u8; 1024]> = Once::new([0; 1024]);

entry!(main);

fn main() -> ! {
    let Some(bytes) = BYTES.take() else { give_up() };
    loop {
        block_on(handle_connection::<_, _, 16>(Stream, bytes, None, 0, shared::Everything));
    }
}
