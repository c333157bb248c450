//! One direction of a simulated connection: a ring over a part of the caller's memory.

/// Where the bytes are in that part.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pipe {
    start: usize,
    filled: usize,
}

impl Pipe {
    pub(super) const fn new() -> Self {
        Self { start: 0, filled: 0 }
    }

    pub(super) fn filled(self) -> usize {
        self.filled
    }

    pub(super) fn clear(&mut self) {
        *self = Self::new();
    }

    /// Takes as many bytes as there is room for, at most `most`, and says how many.
    pub(super) fn write(&mut self, memory: &mut [u8], bytes: &[u8], most: usize) -> usize {
        let room = memory.len() - self.filled;
        let count = bytes.len().min(room).min(most);
        for &byte in &bytes[..count] {
            let at = (self.start + self.filled) % memory.len();
            memory[at] = byte;
            self.filled += 1;
        }
        count
    }

    /// Hands over as many bytes as `into` has room for, at most `most`, and says how many.
    pub(super) fn read(&mut self, memory: &[u8], into: &mut [u8], most: usize) -> usize {
        let count = into.len().min(self.filled).min(most);
        for place in &mut into[..count] {
            *place = memory[self.start];
            self.start = (self.start + 1) % memory.len();
        }
        self.filled -= count;
        count
    }
}
