//! Random choices that are the same in every run with the same seed.

/// A splitmix64 generator.
#[derive(Clone)]
pub(crate) struct Dice(u64);

/// Scrambles a number: one step of splitmix64.
pub(crate) const fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ (value >> 31)
}

impl Dice {
    /// The generator of one client, different from those of other clients with the same seed.
    pub(crate) const fn new(seed: u64, client: u32) -> Self {
        Self(mix(seed ^ mix(client as u64)))
    }

    pub(crate) const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(1);
        mix(self.0)
    }

    /// A number from 0 up to, but not including, `end`, which must not be 0.
    pub(crate) const fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// A number from `first` to `last`, both included.
    pub(crate) const fn between(&mut self, first: u64, last: u64) -> u64 {
        first + self.below(last - first + 1)
    }

    /// True with this chance in per cent.
    pub(crate) const fn percent(&mut self, chance: u64) -> bool {
        self.below(100) < chance
    }

    pub(crate) fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }

    /// A length of any magnitude up to `max`, mostly short.
    pub(crate) fn length(&mut self, max: u64) -> u64 {
        let magnitude = self.below(u64::from(max.max(1).ilog2()) + 2);
        self.below((1 << magnitude).min(max) + 1)
    }
}
