//! Images like those of `bare-metal-sizes`, with other servers and as little around them: what polls a future is a loop, and
//! what would move bytes is a stand-in that the compiler knows nothing about. `.ci/sizes` measures them.
#![no_std]

mod wire;

use core::pin::pin;
use core::task::{Context, Poll, Waker};

pub use aurora_bare_metal_sizes::{Once, entry, give_up};
pub use wire::{Acceptor, Pause, Stream};

/// What the handlers of all images answer.
pub const ANSWER: &str = "21.5 C\n";

/// Polls `future` until it is ready: the smallest executor.
pub fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
        aurora_bare_metal_sizes::sleep();
    }
}
