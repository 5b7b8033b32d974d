//! Coarse timers: one lazy entry per session. A deadline that moves later costs nothing; the old
//! entry fires, sees that it is early, and is put back.

use crate::slab::Key;

/// Width of a slot.
const TICK_MS: u64 = 16;
const SLOTS: usize = 2048;

/// A wheel of slots, about half a minute around; what lies further ahead is looked at once a turn.
pub(crate) struct Wheel {
    slots: Vec<Vec<Key>>,
    /// Ticks before this one have fired.
    next: u64,
    /// The earliest tick that holds anything.
    earliest: Option<u64>,
}

impl Wheel {
    pub(crate) fn new(now_ms: u64) -> Wheel {
        Wheel { slots: vec![Vec::new(); SLOTS], next: now_ms / TICK_MS, earliest: None }
    }

    /// Puts a key where it fires at or soon after `at_ms`. Returns when that will be.
    pub(crate) fn insert(&mut self, key: Key, at_ms: u64) -> u64 {
        let tick = (at_ms / TICK_MS + 1).clamp(self.next, self.next + SLOTS as u64 - 1);
        self.slots[tick as usize % SLOTS].push(key);
        self.earliest = Some(self.earliest.map_or(tick, |earliest| earliest.min(tick)));
        tick * TICK_MS
    }

    /// Milliseconds until something fires.
    pub(crate) fn wait_ms(&self, now_ms: u64) -> Option<u64> {
        self.earliest.map(|tick| (tick * TICK_MS).saturating_sub(now_ms))
    }

    /// Moves everything that fires by now into `fired`.
    pub(crate) fn advance(&mut self, now_ms: u64, fired: &mut Vec<Key>) {
        let now = now_ms / TICK_MS;
        let due = self.earliest.is_some_and(|earliest| earliest <= now);
        if due {
            let last = now.min(self.next + SLOTS as u64 - 1);
            for tick in self.next..=last {
                fired.append(&mut self.slots[tick as usize % SLOTS]);
            }
        }
        self.next = self.next.max(now + 1);
        if due {
            let ahead = self.next..self.next + SLOTS as u64;
            self.earliest =
                ahead.into_iter().find(|&tick| !self.slots[tick as usize % SLOTS].is_empty());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(index: u32) -> Key {
        Key { index, generation: 0 }
    }

    #[test]
    fn keys_fire_in_time_and_once() {
        let mut wheel = Wheel::new(1_000);
        wheel.insert(key(1), 1_100);
        wheel.insert(key(2), 5_000);
        wheel.insert(key(3), 10_000_000);
        let mut fired = Vec::new();
        wheel.advance(1_099, &mut fired);
        assert_eq!(fired, []);
        wheel.advance(1_120, &mut fired);
        assert_eq!(fired, [key(1)]);
        fired.clear();
        wheel.advance(5_020, &mut fired);
        assert_eq!(fired, [key(2)]);
        fired.clear();
        // Far ahead: it shows up within a turn, for its owner to put back.
        wheel.advance(40_000, &mut fired);
        assert_eq!(fired, [key(3)]);
        assert_eq!(wheel.wait_ms(40_000), None);
    }

    #[test]
    fn a_deadline_in_the_past_fires_next() {
        let mut wheel = Wheel::new(1_000);
        let mut fired = Vec::new();
        wheel.advance(2_000, &mut fired);
        wheel.insert(key(1), 0);
        assert!(wheel.wait_ms(2_000).unwrap() <= TICK_MS);
        wheel.advance(2_016, &mut fired);
        assert_eq!(fired, [key(1)]);
    }
}
