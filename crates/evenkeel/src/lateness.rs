//! How late timers ran: what being on time is measured by.

use std::time::Duration;

/// Upper bounds of the buckets, in microseconds.
const BOUNDS: [u64; 14] = [
    50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000,
    1_000_000,
];

/// A histogram of latenesses and the worst of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lateness {
    counts: [u64; BOUNDS.len() + 1],
    worst: Duration,
}

impl Lateness {
    /// A timer ran this late.
    pub(crate) fn record(&mut self, late: Duration) {
        let micros = late.as_nanos().div_ceil(1_000) as u64;
        self.counts[BOUNDS.partition_point(|bound| *bound < micros)] += 1;
        self.worst = self.worst.max(late);
    }

    /// The worst of all.
    pub(crate) fn worst(&self) -> Duration {
        self.worst
    }

    /// Upper bound of each bucket in nanoseconds, the last one `u64::MAX`, and how many fell into
    /// it.
    pub(crate) fn buckets(&self) -> Vec<(u64, u64)> {
        let bounds = BOUNDS.iter().map(|micros| micros * 1_000).chain([u64::MAX]);
        bounds.zip(self.counts).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lateness_falls_into_the_first_bucket_that_is_not_below_it() {
        let mut lateness = Lateness::default();
        for nanos in [0, 50_000, 50_001, 1_000_000, 1_000_000_001] {
            lateness.record(Duration::from_nanos(nanos));
        }
        let filled: Vec<(u64, u64)> =
            lateness.buckets().into_iter().filter(|(_, count)| *count > 0).collect();
        assert_eq!(filled, [(50_000, 2), (100_000, 1), (1_000_000, 1), (u64::MAX, 1)]);
        assert_eq!(lateness.buckets().len(), 15);
        assert_eq!(lateness.worst(), Duration::from_nanos(1_000_000_001));
    }
}
