//! The UART as a byte stream of embedded-io.

use core::convert::Infallible;

use aurora_bare_metal_device::board::{Uart, now};
use embedded_io::{ErrorType, Read, ReadReady, Write};

/// A serial line.
pub struct Line(Uart);

impl Line {
    /// Over a UART that was started.
    pub const fn new(uart: Uart) -> Self {
        Self(uart)
    }

    /// Drops what comes until nothing has come for `ms` milliseconds.
    pub fn skip_to_silence(&mut self, ms: u64) {
        let mut silent_since = now();
        while now().ms_since(silent_since) < ms {
            match self.0.get() {
                Some(_) => silent_since = now(),
                None => Uart::sleep(),
            }
        }
    }
}

impl ErrorType for Line {
    type Error = Infallible;
}

impl Read for Line {
    /// Waits for one byte, and takes what else is there.
    fn read(&mut self, into: &mut [u8]) -> Result<usize, Infallible> {
        while !Uart::is_ready() {
            Uart::sleep();
        }
        let mut count = 0;
        for (to, byte) in into.iter_mut().zip(core::iter::from_fn(|| self.0.get())) {
            *to = byte;
            count += 1;
        }
        Ok(count)
    }
}

impl ReadReady for Line {
    fn read_ready(&mut self) -> Result<bool, Infallible> {
        Ok(Uart::is_ready())
    }
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        bytes.iter().for_each(|byte| self.0.put(*byte));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}
