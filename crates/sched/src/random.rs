//! The power of two choices.

use crate::Candidate;
use crate::connections::overhead;

/// What the state of a sequence of random numbers grows by with each connection.
pub const SEQUENCE_STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// The two random numbers of a state (SplitMix64): the state goes on by [`SEQUENCE_STEP`].
pub const fn draws(state: u64) -> (u32, u32) {
    let mut mixed = state.wrapping_add(SEQUENCE_STEP);
    mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^= mixed >> 31;
    (mixed as u32, (mixed >> 32) as u32)
}

/// Power of two choices (`twos`): two servers are drawn by weight, and the one with the lesser
/// `(256 active + inactive) / weight` is taken; of equals the one drawn first.
/// Kernel: net/netfilter/ipvs/ip_vs_twos.c.
pub fn two_choices(candidates: &[Candidate], (first, second): (u32, u32)) -> Option<usize> {
    let available = || candidates.iter().enumerate().filter(|(_, one)| one.is_available());
    let total: u64 = available().map(|(_, one)| u64::from(one.weight)).sum();
    let pick = |draw: u32| {
        // From 0 to the sum of the weights, both included: the first server's part is one more.
        let mut rest = (u64::from(draw) * (total + 1)) >> 32;
        available().find(|(_, one)| {
            let found = rest <= u64::from(one.weight);
            rest = rest.saturating_sub(one.weight.into());
            found
        })
    };
    let ((first, one), (second, other)) = (pick(first)?, pick(second)?);
    let better = overhead(one) * u64::from(other.weight) > overhead(other) * u64::from(one.weight);
    Some(if better { second } else { first })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::{full, server};

    #[test]
    fn the_less_loaded_of_the_two_drawn_is_taken() {
        let servers = [server(1, 5, 0), server(1, 1, 0)];
        let (low, high) = (0, u32::MAX);
        assert_eq!(two_choices(&servers, (low, high)), Some(1));
        assert_eq!(two_choices(&servers, (high, low)), Some(1));
        assert_eq!(two_choices(&servers, (low, low)), Some(0), "the same one drawn twice");
        let equal = [server(1, 2, 0), server(2, 4, 0)];
        assert_eq!(two_choices(&equal, (high, low)), Some(1), "of equals the first drawn");
    }

    #[test]
    fn servers_are_drawn_by_weight_and_never_full_ones() {
        let servers = [server(0, 0, 0), server(100, 0, 0), full(50, 0, 0), server(300, 0, 0)];
        let mut seen = [0; 4];
        for state in (0..40_000u64).map(|step| step.wrapping_mul(SEQUENCE_STEP)) {
            seen[two_choices(&servers, draws(state)).unwrap()] += 1;
        }
        assert_eq!((seen[0], seen[2]), (0, 0));
        assert!((9_500..10_700).contains(&seen[1]), "{seen:?}");
        assert_eq!(two_choices(&[full(1, 0, 0)], (1, 2)), None);
        assert_eq!(two_choices(&[], (1, 2)), None);
    }
}
