//! When each place is due: a timer wheel, and lines to wait in.
//!
//! Eight levels of 64 slots; a slot of the first level is a tick wide, one of the next as wide as
//! the whole level before. A deadline stands in the level of the highest digit (base 64) in which
//! it differs from the present, and moves down as the present comes near. Every step costs the
//! same however many deadlines there are, and nothing is allocated but for new places.

use model::Time;

/// Width of a tick, as a power of two in nanoseconds: about a millisecond.
const TICK_BITS: u32 = 20;
const SLOT_BITS: u32 = 6;
const SLOTS: usize = 1 << SLOT_BITS;
/// Together with the bits of a tick, more than a [`Time`] has.
const LEVELS: usize = 8;

/// Lists that are not slots.
const DUE: usize = LEVELS * SLOTS;
const LINES: usize = 2;
/// Lists have a node of their own, in front of the places' nodes.
const LISTS: usize = DUE + 1 + LINES;

/// A line to wait in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Line {
    Sockets,
    Programs,
}

/// Each place is in no list or in one: with its deadline, due, or in a line.
pub(super) struct Wheel {
    nodes: Vec<Node>,
    /// Which slots of each level hold something.
    filled: [u64; LEVELS],
    /// Deadlines up to this tick are due.
    tick: u64,
}

#[derive(Clone, Copy)]
struct Node {
    previous: u32,
    next: u32,
    /// Its tick; meaningless for lists and in lines.
    tick: u64,
}

impl Wheel {
    pub(super) fn new(now: Time) -> Wheel {
        let alone = |node| Node { previous: node as u32, next: node as u32, tick: 0 };
        let tick = now.as_nanos() >> TICK_BITS;
        Wheel { nodes: (0..LISTS).map(alone).collect(), filled: [0; LEVELS], tick }
    }

    /// Gives a place this deadline in place of wherever it is; [`Time::NEVER`] is none. It is
    /// due up to a tick later.
    pub(super) fn schedule(&mut self, place: u32, deadline: Time) {
        self.cancel(place);
        if deadline == Time::NEVER {
            return;
        }
        let node = place as usize + LISTS;
        self.nodes[node].tick = deadline.as_nanos().div_ceil(1 << TICK_BITS);
        self.insert(node);
    }

    /// Takes a place out of wherever it is.
    pub(super) fn cancel(&mut self, place: u32) {
        let node = place as usize + LISTS;
        while self.nodes.len() <= node {
            let new = self.nodes.len() as u32;
            self.nodes.push(Node { previous: new, next: new, tick: 0 });
        }
        self.unlink(node);
    }

    /// Puts a place at the end of a line.
    pub(super) fn stand_in_line(&mut self, line: Line, place: u32) {
        self.cancel(place);
        self.append(list_of(line), place as usize + LISTS);
    }

    /// The next of a line, now in no list.
    pub(super) fn pop_line(&mut self, line: Line) -> Option<u32> {
        self.pop(list_of(line))
    }

    /// Nobody is in line.
    pub(super) fn is_empty(&self, line: Line) -> bool {
        self.is_alone(list_of(line))
    }

    /// A place whose deadline has passed, now in no list; earlier deadlines first.
    pub(super) fn pop_due(&mut self, now: Time) -> Option<u32> {
        if self.is_alone(DUE) {
            self.advance(now.as_nanos() >> TICK_BITS);
        }
        self.pop(DUE)
    }

    /// When [`pop_due`](Self::pop_due) should be asked again: not after the first deadline, but
    /// perhaps before it.
    pub(super) fn next_deadline(&self) -> Time {
        if !self.is_alone(DUE) {
            return Time::ZERO;
        }
        self.next_slot().map_or(Time::NEVER, |(_, _, tick)| Time::from_nanos(tick << TICK_BITS))
    }

    /// Goes to the next tick, up to `until`, at which something is due, and to `until` when there
    /// is none.
    fn advance(&mut self, until: u64) {
        while self.is_alone(DUE) {
            let Some((level, slot, tick)) = self.next_slot().filter(|&(_, _, tick)| tick <= until)
            else {
                self.tick = self.tick.max(until);
                return;
            };
            self.tick = tick;
            while let Some(place) = self.pop(level * SLOTS + slot) {
                self.insert(place as usize + LISTS);
            }
        }
    }

    /// The first slot that holds something, and the tick at which it begins. Lower levels come
    /// first: what differs from the present in a higher digit lies beyond them.
    fn next_slot(&self) -> Option<(usize, usize, u64)> {
        let level = self.filled.iter().position(|filled| *filled != 0)?;
        let slot = self.filled[level].trailing_zeros();
        let shift = SLOT_BITS * level as u32;
        let above = (self.tick >> shift >> SLOT_BITS) << SLOT_BITS;
        Some((level, slot as usize, (above | u64::from(slot)) << shift))
    }

    fn insert(&mut self, node: usize) {
        let tick = self.nodes[node].tick;
        if tick <= self.tick {
            return self.append(DUE, node);
        }
        let level = (tick ^ self.tick).ilog2() / SLOT_BITS;
        let slot = (tick >> (SLOT_BITS * level)) as usize % SLOTS;
        self.filled[level as usize] |= 1 << slot;
        self.append(level as usize * SLOTS + slot, node);
    }

    fn append(&mut self, list: usize, node: usize) {
        let last = self.nodes[list].previous;
        (self.nodes[node].previous, self.nodes[node].next) = (last, list as u32);
        self.nodes[last as usize].next = node as u32;
        self.nodes[list].previous = node as u32;
    }

    fn pop(&mut self, list: usize) -> Option<u32> {
        let node = self.nodes[list].next as usize;
        if node == list {
            return None;
        }
        self.unlink(node);
        Some((node - LISTS) as u32)
    }

    fn unlink(&mut self, node: usize) {
        let Node { previous, next, .. } = self.nodes[node];
        self.nodes[previous as usize].next = next;
        self.nodes[next as usize].previous = previous;
        (self.nodes[node].previous, self.nodes[node].next) = (node as u32, node as u32);
        // The last of a slot has the slot's own node on both sides.
        if previous == next && (next as usize) < DUE {
            let list = next as usize;
            self.filled[list / SLOTS] &= !(1 << (list % SLOTS));
        }
    }

    fn is_alone(&self, list: usize) -> bool {
        self.nodes[list].next as usize == list
    }
}

fn list_of(line: Line) -> usize {
    match line {
        Line::Sockets => DUE + 1,
        Line::Programs => DUE + 2,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use super::*;

    /// Numbers that look random (xorshift).
    struct Numbers(u64);

    impl Numbers {
        fn next(&mut self) -> u64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            self.0
        }
    }

    const TICK: u64 = 1 << TICK_BITS;

    #[test]
    fn places_are_due_like_those_of_a_sorted_map() {
        let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
        let mut now = 1_234_567_890_123u64;
        let mut wheel = Wheel::new(Time::from_nanos(now));
        let mut expected: BTreeMap<u32, u64> = BTreeMap::new();
        for _ in 0..200_000 {
            let place = (numbers.next() % 500) as u32;
            match numbers.next() % 10 {
                0..5 => {
                    // From a nanosecond to days, some in the past.
                    let ahead = numbers.next() >> (16 + numbers.next() % 48);
                    let deadline = (now + ahead).saturating_sub(numbers.next() % TICK);
                    wheel.schedule(place, Time::from_nanos(deadline));
                    expected.insert(place, deadline);
                }
                5 => {
                    wheel.cancel(place);
                    expected.remove(&place);
                }
                _ => {
                    now += numbers.next() >> (24 + numbers.next() % 40);
                    let mut last = 0;
                    while let Some(due) = wheel.pop_due(Time::from_nanos(now)) {
                        let deadline = expected.remove(&due).expect("it has a deadline");
                        assert!(deadline <= now && deadline.div_ceil(TICK) >= last);
                        last = deadline.div_ceil(TICK).max(last);
                    }
                    // What is left is not due, or not by more than a tick.
                    assert!(expected.values().all(|deadline| deadline + TICK > now));
                }
            }
            let first = expected.values().min().map_or(u64::MAX, |first| first + TICK);
            assert!(wheel.next_deadline().as_nanos() <= first);
        }
    }

    #[test]
    fn the_wait_for_a_far_deadline_takes_a_few_looks_only() {
        let mut wheel = Wheel::new(Time::ZERO);
        let deadline = Time::ZERO + Duration::from_secs(86_400 * 365);
        wheel.schedule(7, deadline);
        wheel.schedule(8, Time::NEVER);
        let mut looks = 0;
        loop {
            let next = wheel.next_deadline();
            looks += 1;
            if let Some(place) = wheel.pop_due(next) {
                assert!(place == 7 && next >= deadline);
                break;
            }
        }
        assert!(looks <= LEVELS, "{looks}");
        assert_eq!(wheel.next_deadline(), Time::NEVER);
    }

    #[test]
    fn lines_are_first_come_first_served_and_can_be_left() {
        let mut wheel = Wheel::new(Time::ZERO);
        for place in [3, 1, 2] {
            wheel.schedule(place, Time::ZERO);
            wheel.stand_in_line(Line::Sockets, place);
        }
        wheel.stand_in_line(Line::Programs, 9);
        assert_eq!(wheel.pop_due(Time::from_nanos(u64::MAX - 1)), None);
        wheel.cancel(1);
        assert_eq!(wheel.pop_line(Line::Sockets), Some(3));
        assert_eq!(wheel.pop_line(Line::Sockets), Some(2));
        assert!(wheel.is_empty(Line::Sockets) && !wheel.is_empty(Line::Programs));
        assert_eq!(wheel.pop_line(Line::Programs), Some(9));
    }
}
