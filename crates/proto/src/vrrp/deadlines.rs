//! Which of many timers is due first.

use alloc::vec::Vec;

use model::units::Time;

/// A deadline per place. The earliest is known at once; changing one takes as many steps as
/// their number has bits, and no memory: a tree in which every parent has its earlier child's time.
#[derive(Debug, Default)]
pub(super) struct Deadlines {
    /// The root at 1, the leaves from `leaves` on.
    tree: Vec<Time>,
    leaves: usize,
}

impl Deadlines {
    /// Room for `count` places, none with a deadline.
    pub(super) fn reset(&mut self, count: usize) {
        self.leaves = count.next_power_of_two();
        self.tree.clear();
        self.tree.resize(2 * self.leaves, Time::NEVER);
    }

    /// Sets the deadline of a place.
    pub(super) fn set(&mut self, place: usize, deadline: Time) {
        let mut node = self.leaves + place;
        if self.tree[node] == deadline {
            return;
        }
        self.tree[node] = deadline;
        while node > 1 {
            node /= 2;
            let earlier = self.tree[2 * node].min(self.tree[2 * node + 1]);
            if self.tree[node] == earlier {
                return;
            }
            self.tree[node] = earlier;
        }
    }

    /// The earliest deadline.
    pub(super) fn earliest(&self) -> Time {
        self.tree.get(1).copied().unwrap_or(Time::NEVER)
    }

    /// The first place whose deadline is the earliest, if that is not after `now`.
    pub(super) fn due(&self, now: Time) -> Option<usize> {
        let earliest = self.earliest();
        if earliest > now || earliest == Time::NEVER {
            return None;
        }
        let mut node = 1;
        while node < self.leaves {
            node = if self.tree[2 * node] == earliest { 2 * node } else { 2 * node + 1 };
        }
        Some(node - self.leaves)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_earliest_of_many_deadlines_is_found_after_any_change() {
        let mut deadlines = Deadlines::default();
        assert_eq!(deadlines.earliest(), Time::NEVER);
        for count in [1_usize, 2, 3, 255, 1_000] {
            deadlines.reset(count);
            let mut plain = std::vec![Time::NEVER; count];
            let mut number = 7_u64;
            for _ in 0..2_000 {
                number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let place = (number >> 33) as usize % count;
                let time = match number >> 61 {
                    0 => Time::NEVER,
                    _ => Time::from_nanos(number >> 40),
                };
                plain[place] = time;
                deadlines.set(place, time);
                let earliest = plain.iter().copied().min().unwrap();
                assert_eq!(deadlines.earliest(), earliest);
                let first = plain.iter().position(|time| *time == earliest);
                let due = deadlines.due(earliest);
                assert_eq!(due, first.filter(|_| earliest < Time::NEVER));
            }
        }
    }

    #[test]
    fn nothing_is_due_before_its_time() {
        let mut deadlines = Deadlines::default();
        deadlines.reset(3);
        deadlines.set(2, Time::from_nanos(10));
        assert_eq!(deadlines.due(Time::from_nanos(9)), None);
        assert_eq!(deadlines.due(Time::from_nanos(10)), Some(2));
    }
}
