//! QEMU's `virt`: RV32IMC, a 16550, the clock of the CLINT. It has no lamp.

use core::sync::atomic::{AtomicBool, Ordering};

use aurora_http_core::time::Instant;
use riscv::register::mie;
use riscv::{asm, interrupt};

use super::register::Register;

/// Its name in responses.
pub const NAME: &str = "virt";

/// Of the CLINT's counter.
const TICKS_PER_MS: u64 = 10_000;
/// How long a sleep lasts. Its end needs no handler: interrupts are held back.
const SLEEP_MS: u64 = 1;

const CLOCK_LOW: Register = register(0x0200_bff8);
const CLOCK_HIGH: Register = register(0x0200_bffc);
const ALARM_LOW: Register = register(0x0200_4000);
const ALARM_HIGH: Register = register(0x0200_4004);

/// Lets the clock end sleeps.
pub fn start() {
    // SAFETY: interrupts are held back as a whole, so that none is taken.
    unsafe { mie::set_mtimer() };
}

/// Milliseconds since the start.
pub fn now() -> Instant {
    Instant(ticks() / TICKS_PER_MS)
}

/// In two halves, because a load has 32 bits.
fn ticks() -> u64 {
    loop {
        let high = CLOCK_HIGH.read();
        let low = CLOCK_LOW.read();
        if high == CLOCK_HIGH.read() {
            return u64::from(high) << 32 | u64::from(low);
        }
    }
}

static LAMP: AtomicBool = AtomicBool::new(false);

/// What the pages show and switch.
pub struct Board;

impl Board {
    pub(super) fn lamp() -> bool {
        LAMP.load(Ordering::Relaxed)
    }

    pub(super) fn set_lamp(on: bool) {
        LAMP.store(on, Ordering::Relaxed);
    }
}

/// The 16550; QEMU's has no speed.
pub struct Uart;

const UART_DATA: Register<u8> = byte_register(0x1000_0000);
const UART_FIFO: Register<u8> = byte_register(0x1000_0002);
const UART_STATUS: Register<u8> = byte_register(0x1000_0005);
const RECEIVED: u8 = 1;
const TRANSMIT_EMPTY: u8 = 1 << 5;

impl Uart {
    /// Switches it on.
    pub fn start() -> Self {
        // On. Nobody is interrupted, but QEMU hands over as many bytes at once as would make it interrupt: 14.
        UART_FIFO.write(0xc1);
        Self
    }

    /// Whether a byte was received.
    pub fn is_ready() -> bool {
        UART_STATUS.read() & RECEIVED != 0
    }

    /// The next byte, if there is one.
    pub fn get(&mut self) -> Option<u8> {
        Self::is_ready().then(|| UART_DATA.read())
    }

    /// Sends a byte once there is room.
    pub fn put(&mut self, byte: u8) {
        while UART_STATUS.read() & TRANSMIT_EMPTY == 0 {}
        UART_DATA.write(byte);
    }

    /// Sleeps for a millisecond: the FIFO holds what comes meanwhile.
    pub fn sleep() {
        let end = ticks() + SLEEP_MS * TICKS_PER_MS;
        // In this order it is never due too early, between the two halves.
        ALARM_HIGH.write(u32::MAX);
        ALARM_LOW.write(end as u32);
        ALARM_HIGH.write((end >> 32) as u32);
        asm::wfi();
    }
}

pub(super) fn without_interrupts<R>(f: impl FnOnce() -> R) -> R {
    interrupt::free(f)
}

/// By the device that QEMU has for the ends of tests.
pub(super) fn reset() -> ! {
    register(0x0010_0000).write(0x7777);
    loop {
        asm::wfi();
    }
}

const fn register(address: usize) -> Register {
    // SAFETY: this file names registers of `virt`, none of which has to do with memory.
    unsafe { Register::at(address) }
}

const fn byte_register(address: usize) -> Register<u8> {
    // SAFETY: as above.
    unsafe { Register::at(address) }
}
