//! One direction of a simulated connection: bytes on their way, up to a window.

use alloc::collections::VecDeque;

#[derive(Debug, Default)]
pub(super) struct Pipe(VecDeque<u8>);

impl Pipe {
    pub(super) fn filled(&self) -> usize {
        self.0.len()
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// Takes as many bytes as the window has room for, at most `most`, and returns how many.
    pub(super) fn write(&mut self, window: usize, bytes: &[u8], most: usize) -> usize {
        let room = window.saturating_sub(self.0.len());
        let count = bytes.len().min(room).min(most);
        if self.0.capacity() < window {
            // Once for the whole window, so that it does not disturb tests that count a server's allocations.
            self.0.reserve_exact(window - self.0.len());
        }
        self.0.extend(&bytes[..count]);
        count
    }

    /// Copies as many bytes as `into` has room for, at most `most`, and returns how many.
    pub(super) fn read(&mut self, into: &mut [u8], most: usize) -> usize {
        let count = into.len().min(self.0.len()).min(most);
        let (front, back) = self.0.as_slices();
        let first = front.len().min(count);
        into[..first].copy_from_slice(&front[..first]);
        into[first..count].copy_from_slice(&back[..count - first]);
        self.0.drain(..count);
        count
    }
}
