//! The numbers of `${_RANDOM}`: those of random(3), which Keepalived draws too. (Up to 2.2.7 it
//! forgets its `random_seed` and begins with the time.)

use alloc::vec::Vec;

/// The additive feedback generator of random(3) in glibc: each number is the sum of those 3 and
/// 31 places before it.
#[derive(Clone, Debug)]
pub(super) struct Random {
    /// The last 31 numbers, the oldest at `oldest`.
    last: Vec<u32>,
    oldest: usize,
    /// Numbers drawn.
    pub(super) drawn: u64,
}

/// Numbers remembered.
const DEGREE: usize = 31;
/// Distance of the second summand.
const DISTANCE: usize = 3;
/// Numbers thrown away after seeding.
const WARM_UP: usize = 310;

impl Random {
    pub(super) fn new(seed: u32) -> Random {
        let mut last = Vec::with_capacity(DEGREE);
        let mut word = i64::from(seed.max(1) as i32);
        last.push(word as u32);
        for _ in 1..DEGREE {
            // Park and Miller's minimal standard, on signed words as glibc has it.
            word = (16_807 * word) % 2_147_483_647;
            if word < 0 {
                word += 2_147_483_647;
            }
            last.push(word as u32);
        }
        // The first sums take their other summand from the beginning.
        let mut random = Random { last, oldest: DISTANCE, drawn: 0 };
        for _ in 0..WARM_UP {
            random.step();
        }
        random
    }

    fn step(&mut self) -> u32 {
        let second = (self.oldest + DEGREE - DISTANCE) % DEGREE;
        let sum = self.last[self.oldest].wrapping_add(self.last[second]);
        self.last[self.oldest] = sum;
        self.oldest = (self.oldest + 1) % DEGREE;
        sum
    }

    /// A number from `least` to `most`; `least` if that is not less.
    pub(super) fn between(&mut self, least: u64, most: u64) -> u64 {
        self.drawn += 1;
        let number = u64::from(self.step() >> 1);
        let count = most.saturating_sub(least).saturating_add(1);
        least.saturating_add(number % count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_those_of_the_c_library() {
        // Observed from glibc: srandom(5), then random() % 32768.
        let mut random = Random::new(5);
        for number in [23_835, 10_205, 6_762, 28_680] {
            assert_eq!(random.between(0, 32_767), number);
        }
        let mut random = Random::new(1);
        for number in [1_804_289_383, 846_930_886, 1_681_692_777] {
            assert_eq!(random.between(0, u64::from(u32::MAX)), number);
        }
    }

    #[test]
    fn every_seed_and_every_bound_gives_a_number() {
        for seed in [0, 1, i32::MAX as u32, 1 << 31, u32::MAX] {
            let mut random = Random::new(seed);
            assert_eq!(random.between(7, 7), 7);
            assert!((10..=12).contains(&random.between(10, 12)));
            random.between(0, u64::MAX);
            assert_eq!(random.between(9, 3), 9);
        }
    }
}
