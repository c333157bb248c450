//! Nothing.
#![no_std]
#![no_main]

use aurora_bare_metal_sizes::{entry, give_up, now};

entry!(main);

fn main() -> ! {
    now();
    give_up()
}
