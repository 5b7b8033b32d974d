//! Smooth weighted round robin, as HAProxy's `roundrobin` spreads requests: every server its
//! share, interleaved.

use alloc::vec;
use alloc::vec::Vec;

/// The rotation of one backend in one thread.
#[derive(Clone, Debug)]
pub struct RoundRobin {
    credit: Vec<i64>,
    cursor: usize,
    equal: bool,
}

impl RoundRobin {
    /// A rotation over servers of these weights. `turn` shifts where it begins, so that threads do
    /// not all begin with the first server.
    pub fn new(weights: &[u16], turn: usize) -> RoundRobin {
        let equal = weights.windows(2).all(|pair| pair[0] == pair[1]);
        let cursor = if weights.is_empty() { 0 } else { turn % weights.len() };
        RoundRobin { credit: vec![0; weights.len()], cursor, equal }
    }

    /// The next among those servers that are `usable`; `weight` is theirs.
    pub fn pick(
        &mut self,
        weight: impl Fn(usize) -> u16,
        usable: impl Fn(usize) -> bool,
    ) -> Option<usize> {
        let count = self.credit.len();
        if self.equal {
            let found = (self.cursor..count)
                .chain(0..self.cursor)
                .find(|&at| usable(at) && weight(at) > 0)?;
            self.cursor = if found + 1 == count { 0 } else { found + 1 };
            return Some(found);
        }
        let mut total = 0;
        let mut best: Option<usize> = None;
        for at in 0..count {
            let share = i64::from(weight(at));
            if share == 0 || !usable(at) {
                continue;
            }
            total += share;
            self.credit[at] += share;
            if best.is_none_or(|best| self.credit[at] > self.credit[best]) {
                best = Some(at);
            }
        }
        let best = best?;
        self.credit[best] -= total;
        Some(best)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picks(weights: &[u16], up: &[bool], count: usize) -> Vec<usize> {
        let mut rotation = RoundRobin::new(weights, 0);
        (0..count).map_while(|_| rotation.pick(|at| weights[at], |at| up[at])).collect()
    }

    #[test]
    fn equal_weights_take_turns() {
        assert_eq!(picks(&[1, 1, 1], &[true; 3], 6), [0, 1, 2, 0, 1, 2]);
        assert_eq!(picks(&[1, 1, 1], &[true, false, true], 4), [0, 2, 0, 2]);
    }

    #[test]
    fn shares_are_exact_and_interleaved() {
        let taken = picks(&[5, 1, 1], &[true; 3], 7);
        assert_eq!(taken, [0, 0, 1, 0, 2, 0, 0]);
        let taken = picks(&[30, 10], &[true; 2], 400);
        assert_eq!(taken.iter().filter(|&&at| at == 0).count(), 300);
    }

    #[test]
    fn nobody_usable_is_nobody_picked() {
        assert_eq!(picks(&[1, 2], &[false; 2], 1), []);
        assert_eq!(picks(&[0, 0], &[true; 2], 1), []);
        assert_eq!(picks(&[], &[], 1), []);
    }
}
