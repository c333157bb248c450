//! Randomness that is the same in every run.

/// A small generator (SplitMix64): all randomness of a simulation comes from one seed.
#[derive(Clone, Copy, Debug)]
pub struct Dice(u64);

impl Dice {
    /// A generator, which returns the same numbers for the same seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub const fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`; 0 if `end` is 0.
    pub const fn below(&mut self, end: usize) -> usize {
        // Scales the top 32 bits: no division, and no bias that matters here.
        (((self.roll() >> 32) * end as u64) >> 32) as usize
    }

    /// A number from `first` to `last`, inclusive.
    pub const fn between(&mut self, first: usize, last: usize) -> usize {
        first + self.below(last - first + 1)
    }

    /// True in `chance` of 1000 cases.
    pub const fn per_mille(&mut self, chance: u16) -> bool {
        chance > 0 && self.below(1_000) < chance as usize
    }

    /// True in one of `cases` cases.
    pub const fn once_in(&mut self, cases: usize) -> bool {
        self.below(cases) == 0
    }

    /// One of `choices`.
    ///
    /// # Panics
    /// If `choices` is empty.
    pub fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    /// Another generator, whose numbers are independent of the next ones of this one.
    pub const fn fork(&mut self) -> Self {
        Self(self.roll())
    }
}
