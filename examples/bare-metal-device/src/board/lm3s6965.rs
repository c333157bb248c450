//! The lm3s6965evb: Cortex-M3, 256 KiB of flash, 64 KiB of RAM, a PL011 and an Ethernet controller.

use cortex_m::Peripherals;
use cortex_m::peripheral::syst::SystClkSource;

use super::cortex::{Line, sleep_unless};
use super::register::Register;

/// Its name in responses.
pub const NAME: &str = "lm3s6965";

/// Of the main oscillator, after a reset.
const CYCLES_PER_MS: u32 = 12_500;

/// Clocks of UART 0.
const RCGC1: Register = register(0x400f_e104);
/// Clocks of the ports and of the Ethernet controller.
const RCGC2: Register = register(0x400f_e108);

/// Starts the clock, and what the pages need.
pub fn start() {
    if let Some(mut peripherals) = Peripherals::take() {
        peripherals.SYST.set_clock_source(SystClkSource::Core);
        peripherals.SYST.set_reload(CYCLES_PER_MS - 1);
        peripherals.SYST.clear_current();
        peripherals.SYST.enable_interrupt();
        peripherals.SYST.enable_counter();
    }
    RCGC2.set(1 << 5); // port F
    LAMP_DIRECTION.set(1);
    LAMP_ENABLE.set(1);
}

#[cfg(not(feature = "async"))]
#[cortex_m_rt::exception]
fn SysTick() {
    super::cortex::tick();
}

/// The lamp is bit 0 of port F; this address reads and writes no other bit.
const LAMP: Register = register(0x4002_5004);
const LAMP_DIRECTION: Register = register(0x4002_5400);
const LAMP_ENABLE: Register = register(0x4002_551c);

/// What the pages show and switch.
pub struct Board;

impl Board {
    pub(super) fn lamp() -> bool {
        LAMP.read() != 0
    }

    pub(super) fn set_lamp(on: bool) {
        LAMP.write(u32::from(on));
    }
}

/// UART 0, a PL011, 115200 8N1.
pub struct Uart;

const UART_DATA: Register = register(0x4000_c000);
const UART_FLAGS: Register = register(0x4000_c018);
const UART_MASK: Register = register(0x4000_c038);
const UART_LINE: Line = Line(5);
const RECEIVE_EMPTY: u32 = 1 << 4;
const TRANSMIT_FULL: u32 = 1 << 5;
/// Bytes have been received, or none came for a while behind some.
const RECEIVED: u32 = 1 << 4 | 1 << 6;

impl Uart {
    /// Switches it on.
    pub fn start() -> Self {
        RCGC1.set(1);
        RCGC2.set(1); // port A, which its pins are on
        register(0x4000_4420).set(0b11); // the pins are the UART's
        register(0x4000_451c).set(0b11);
        register(0x4000_c024).write(6);
        register(0x4000_c028).write(50); // 12.5 MHz / 16 / 115200 = 6 + 50/64
        register(0x4000_c02c).write(0x70); // 8N1, with FIFOs
        register(0x4000_c030).write(0x301); // on, in both directions
        Self
    }

    /// Whether a byte was received.
    pub fn is_ready() -> bool {
        UART_FLAGS.read() & RECEIVE_EMPTY == 0
    }

    /// The next byte, if there is one.
    pub fn get(&mut self) -> Option<u8> {
        Self::is_ready().then(|| UART_DATA.read() as u8)
    }

    /// Sends a byte once there is room.
    pub fn put(&mut self, byte: u8) {
        while UART_FLAGS.read() & TRANSMIT_FULL != 0 {}
        UART_DATA.write(u32::from(byte));
    }

    /// Sleeps until a byte comes or the clock ticks.
    pub fn sleep() {
        let enable = |on| UART_MASK.write(if on { RECEIVED } else { 0 });
        sleep_unless(UART_LINE, enable, Self::is_ready);
    }
}

/// The Ethernet controller.
pub struct Ethernet;

/// A read tells what happened, a write forgets it.
pub(super) const FRAME_EVENTS: Register = register(0x4004_8000);
pub(super) const FRAME_MASK: Register = register(0x4004_8004);
const FRAME_DATA: Register = register(0x4004_8010);
const FRAMES_WAITING: Register = register(0x4004_8034);
const TRANSMIT: Register = register(0x4004_8038);
pub(super) const FRAME_LINE: Line = Line(42);
pub(super) const FRAME_RECEIVED: u32 = 1;
/// Destination, source and type.
const FRAME_HEAD_BYTES: usize = 14;
/// A received frame lies between its length and its checksum, and the length counts all of that.
const FRAME_AROUND_BYTES: usize = 2 + 4;

impl Ethernet {
    /// Switches it on, with this address.
    pub fn start(mac: [u8; 6]) -> Self {
        RCGC2.set(1 << 30 | 1 << 28);
        let [a, b, c, d, e, f] = mac;
        register(0x4004_8014).write(u32::from_le_bytes([a, b, c, d]));
        register(0x4004_8018).write(u32::from_le_bytes([e, f, 0, 0]));
        register(0x4004_800c).write(0x17); // send in both directions at once, with padding and checksums
        register(0x4004_8008).write(0x11); // receive, with an empty FIFO
        Self
    }

    /// Takes the next frame, if there is one: its length. What `into` has no room for is lost.
    pub fn receive(&mut self, into: &mut [u8]) -> Option<usize> {
        if !Self::is_ready() {
            return None;
        }
        let [low, high, first, second] = FRAME_DATA.read().to_le_bytes();
        let all_bytes = usize::from(u16::from_le_bytes([low, high]));
        let words = all_bytes.div_ceil(4).saturating_sub(1);
        let rest = (0..words).flat_map(|_| FRAME_DATA.read().to_le_bytes());
        let mut room = into.iter_mut();
        for byte in [first, second].into_iter().chain(rest) {
            if let Some(to) = room.next() {
                *to = byte;
            }
        }
        Some(all_bytes.saturating_sub(FRAME_AROUND_BYTES).min(into.len()))
    }

    /// Sends a frame, and waits until it is on its way.
    pub fn send(&mut self, frame: &[u8]) {
        let content_bytes = frame.len().saturating_sub(FRAME_HEAD_BYTES) as u16;
        // The length stands in front of the frame, so that two bytes of it are in the first word.
        let (first, rest) = frame.split_at_checked(2).unwrap_or((frame, &[]));
        write_frame_word(content_bytes.to_le_bytes().into_iter().chain(first.iter().copied()));
        for word in rest.chunks(4) {
            write_frame_word(word.iter().copied());
        }
        TRANSMIT.write(1);
        while TRANSMIT.read() & 1 != 0 {}
    }

    /// Sleeps until a frame comes or the clock ticks.
    pub fn sleep() {
        let enable = |on| {
            if on {
                // What comes from here on counts; what came before is waiting.
                FRAME_EVENTS.write(FRAME_RECEIVED);
            }
            FRAME_MASK.write(if on { FRAME_RECEIVED } else { 0 });
        };
        sleep_unless(FRAME_LINE, enable, Self::is_ready);
    }

    fn is_ready() -> bool {
        FRAMES_WAITING.read() & 0x3f != 0
    }
}

fn write_frame_word(bytes: impl Iterator<Item = u8>) {
    let mut word = [0; 4];
    for (to, byte) in word.iter_mut().zip(bytes) {
        *to = byte;
    }
    FRAME_DATA.write(u32::from_le_bytes(word));
}

const fn register(address: usize) -> Register {
    // SAFETY: this file names registers of the data sheet, none of which has to do with memory.
    unsafe { Register::at(address) }
}
