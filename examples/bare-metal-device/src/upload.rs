//! New firmware, as it arrives.

/// What has arrived of the newest firmware.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Upload {
    pub(crate) is_active: bool,
    pub(crate) bytes: u32,
    /// The register of the checksum: inverted.
    crc: u32,
}

impl Upload {
    pub(crate) const NONE: Self = Self { is_active: false, bytes: 0, crc: u32::MAX };

    pub(crate) const fn begin() -> Self {
        Self { is_active: true, ..Self::NONE }
    }

    pub(crate) fn push(&mut self, slice: &[u8]) {
        self.bytes = self.bytes.saturating_add(slice.len() as u32);
        // Without a table: a kilobyte of flash is worth more than the time.
        for byte in slice {
            self.crc ^= u32::from(*byte);
            for _ in 0..8 {
                let polynomial = if self.crc & 1 == 1 { 0xedb8_8320 } else { 0 };
                self.crc = (self.crc >> 1) ^ polynomial;
            }
        }
    }

    /// The CRC-32 of IEEE 802.3, as zlib has it.
    pub(crate) const fn crc32(&self) -> u32 {
        !self.crc
    }
}
