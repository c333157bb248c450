//! embassy's clock is that of the board, which ticks every millisecond.

use core::cell::RefCell;
use core::task::Waker;

use aurora_bare_metal_device::board::{now, tick};
use cortex_m_rt::exception;
use embassy_sync::blocking_mutex::CriticalSectionMutex;
use embassy_time_driver::Driver;
use embassy_time_queue_utils::Queue;

/// The tasks that wait for a time.
struct Clock(CriticalSectionMutex<RefCell<Queue>>);

embassy_time_driver::time_driver_impl!(static CLOCK: Clock = Clock(CriticalSectionMutex::new(RefCell::new(Queue::new()))));

impl Driver for Clock {
    fn now(&self) -> u64 {
        now().0
    }

    /// There is no alarm to be set: every tick looks for what is due.
    fn schedule_wake(&self, at: u64, waker: &Waker) {
        self.0.lock(|queue| queue.borrow_mut().schedule_wake(at, waker));
    }
}

#[exception]
fn SysTick() {
    tick();
    CLOCK.0.lock(|queue| queue.borrow_mut().next_expiration(now().0));
}
