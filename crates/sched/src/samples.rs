//! Servers for tests, and numbers that look random.

use crate::Candidate;

pub(crate) fn server(weight: u32, active: u32, inactive: u32) -> Candidate {
    Candidate { weight, active, inactive, overloaded: false }
}

pub(crate) fn full(weight: u32, active: u32, inactive: u32) -> Candidate {
    Candidate { overloaded: true, ..server(weight, active, inactive) }
}

/// Numbers by xorshift64, the same in every run.
pub(crate) struct Numbers(u64);

impl Numbers {
    pub(crate) fn new(seed: u64) -> Numbers {
        Numbers(seed * 2 + 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(crate) fn below(&mut self, bound: u32) -> u32 {
        (((self.next() >> 32) * u64::from(bound)) >> 32) as u32
    }

    /// Up to nine servers of every kind.
    pub(crate) fn servers(&mut self) -> Vec<Candidate> {
        let count = self.below(10);
        let one = |_| Candidate {
            weight: self.below(5),
            active: self.below(12),
            inactive: self.below(600),
            overloaded: self.below(5) == 0,
        };
        (0..count).map(one).collect()
    }
}
