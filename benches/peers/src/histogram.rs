//! Latencies, counted in buckets whose width grows with the value: within 1.6 % of it.

/// 64 buckets for each power of two.
const BITS: u32 = 6;
const BUCKETS: usize = (64 - BITS as usize + 1) << BITS;

/// Counts of nanoseconds.
pub struct Histogram {
    counts: Vec<u64>,
    total: u64,
}

impl Histogram {
    pub fn new() -> Self {
        Self { counts: vec![0; BUCKETS], total: 0 }
    }

    pub fn add(&mut self, nanoseconds: u64) {
        self.counts[bucket(nanoseconds)] += 1;
        self.total += 1;
    }

    /// The latency in microseconds that `fraction` of the requests do not exceed; 0 without any.
    pub fn percentile_us(&self, fraction: f64) -> f64 {
        let rank = (self.total as f64 * fraction).ceil().max(1.0) as u64;
        let mut seen = 0;
        let at = self.counts.iter().position(|count| {
            seen += count;
            seen >= rank
        });
        at.map_or(0.0, |at| upper_end(at) as f64 / 1_000.0)
    }
}

fn bucket(value: u64) -> usize {
    let shift = (u64::BITS - value.leading_zeros()).saturating_sub(BITS + 1);
    ((shift as usize) << BITS) + (value >> shift) as usize
}

/// The largest value that falls into a bucket.
fn upper_end(bucket: usize) -> u64 {
    let shift = (bucket >> BITS).saturating_sub(1);
    let first = (bucket - (shift << BITS)) as u64;
    ((first + 1) << shift) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_fall_into_buckets_that_contain_them() {
        for value in (0..300).chain((0..60).map(|power| (1 << power) + power)) {
            let end = upper_end(bucket(value));
            assert!(end >= value && end as f64 <= value as f64 * (1.0 + 1.0 / 64.0), "{value}: {end}");
            assert!(bucket(value) == 0 || upper_end(bucket(value) - 1) < value, "{value}");
        }
        assert!(bucket(u64::MAX) < BUCKETS);
    }

    #[test]
    fn percentiles_are_those_of_the_sorted_values() {
        let mut histogram = Histogram::new();
        assert_eq!(histogram.percentile_us(0.5), 0.0);
        (1..=1_000).for_each(|value| histogram.add(value * 1_000));
        for (fraction, expected) in [(0.5, 500.0), (0.99, 990.0), (0.999, 999.0), (1.0, 1_000.0)] {
            let found = histogram.percentile_us(fraction);
            assert!((found - expected).abs() <= expected * 0.016, "{fraction}: {found}");
        }
    }
}
