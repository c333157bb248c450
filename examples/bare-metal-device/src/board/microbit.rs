//! The BBC micro:bit: an nRF51822, Cortex-M0, 256 KiB of flash, 16 KiB of RAM. It has no SysTick.

use cortex_m::peripheral::NVIC;
use cortex_m_rt::exception;

use super::cortex::{Line, sleep_unless, tick};
use super::register::Register;

/// Its name in responses.
pub const NAME: &str = "microbit";

const TIMER_LINE: Line = Line(8);
/// A millisecond is over.
const TIMER_EVENT: Register = register(0x4000_8140);

/// Starts the clock, and what the pages need.
pub fn start() {
    register(0x4000_8508).write(3); // 32 bits
    register(0x4000_8510).write(4); // 16 MHz / 2^4
    register(0x4000_8540).write(1_000); // microseconds
    register(0x4000_8200).write(1); // begin anew then
    register(0x4000_8304).write(1 << 16); // and interrupt
    register(0x4000_8000).write(1);
    // SAFETY: nothing in this program relies on holding this interrupt back.
    unsafe { NVIC::unmask(TIMER_LINE) };
    LAMP_DIRECTION.write(1 << ROW | 1 << COLUMN);
}

/// Only the timer interrupts: the UART ends sleeps, and that needs no handler.
#[exception]
unsafe fn DefaultHandler(_line: i16) {
    TIMER_EVENT.write(0);
    tick();
}

/// The lamp at the top left lights when its row is high and its column is low.
const ROW: u32 = 13;
const COLUMN: u32 = 4;
const OUT: Register = register(0x5000_0504);
const OUT_SET: Register = register(0x5000_0508);
const OUT_CLEAR: Register = register(0x5000_050c);
const LAMP_DIRECTION: Register = register(0x5000_0518);

/// What the pages show and switch.
pub struct Board;

impl Board {
    pub(super) fn lamp() -> bool {
        OUT.read() & 1 << ROW != 0
    }

    pub(super) fn set_lamp(on: bool) {
        if on { OUT_SET.write(1 << ROW) } else { OUT_CLEAR.write(1 << ROW) }
    }
}

/// The UART of the USB interface, 115200 8N1.
pub struct Uart;

const RECEIVED: Register = register(0x4000_2108);
const SENT: Register = register(0x4000_211c);
const INTERRUPT_SET: Register = register(0x4000_2304);
const INTERRUPT_CLEAR: Register = register(0x4000_2308);
const UART_IN: Register = register(0x4000_2518);
const UART_OUT: Register = register(0x4000_251c);
const UART_LINE: Line = Line(2);

impl Uart {
    /// Switches it on.
    pub fn start() -> Self {
        register(0x4000_250c).write(24); // the pins
        register(0x4000_2514).write(25);
        register(0x4000_2524).write(0x01d7_e000); // 115200
        register(0x4000_2500).write(4); // on
        register(0x4000_2000).write(1); // receive
        register(0x4000_2008).write(1); // send
        Self
    }

    /// Whether a byte was received.
    pub fn is_ready() -> bool {
        RECEIVED.read() != 0
    }

    /// The next byte, if there is one.
    pub fn get(&mut self) -> Option<u8> {
        if !Self::is_ready() {
            return None;
        }
        // Before the byte is taken: the next one sets it again.
        RECEIVED.write(0);
        Some(UART_IN.read() as u8)
    }

    /// Sends a byte and waits until it is on its way.
    pub fn put(&mut self, byte: u8) {
        SENT.write(0);
        UART_OUT.write(u32::from(byte));
        while SENT.read() == 0 {}
    }

    /// Sleeps until a byte comes or the clock ticks.
    pub fn sleep() {
        let enable = |on| if on { INTERRUPT_SET.write(1 << 2) } else { INTERRUPT_CLEAR.write(1 << 2) };
        sleep_unless(UART_LINE, enable, Self::is_ready);
    }
}

const fn register(address: usize) -> Register {
    // SAFETY: this file names registers of the reference manual, none of which has to do with memory.
    unsafe { Register::at(address) }
}
