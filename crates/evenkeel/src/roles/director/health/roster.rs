//! Numbers of checkers, and where in the plan each one is.

use super::CheckerId;

/// Where a checker is: places in the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) service: usize,
    pub(super) server: usize,
    pub(super) checker: usize,
}

/// A checker that a reload brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Begun {
    pub(in super::super) id: CheckerId,
    /// The one that it takes the place of, of the same kind and target.
    pub(in super::super) after: Option<CheckerId>,
}

/// Every checker, and which of them the last reload brought and took away.
#[derive(Clone, Debug, Default)]
pub(super) struct Roster {
    /// How often each slot was used, and the checker in it. A number is a slot in its low half
    /// and the uses in its high half.
    slots: Vec<(u32, Option<Place>)>,
    vacant: Vec<u32>,
    pub(super) begun: Vec<Begun>,
    pub(super) ended: Vec<CheckerId>,
}

impl Roster {
    /// The same checkers, of which nothing is new.
    pub(super) fn successor(&self) -> Roster {
        let (slots, vacant) = (self.slots.clone(), self.vacant.clone());
        Roster { slots, vacant, begun: Vec::new(), ended: Vec::new() }
    }

    pub(super) fn begin(&mut self, place: Place, after: Option<CheckerId>) -> CheckerId {
        let slot = self.vacant.pop().unwrap_or_else(|| {
            self.slots.push((0, None));
            // As many as there are checkers: far below 2^32.
            (self.slots.len() - 1) as u32
        });
        let entry = &mut self.slots[slot as usize];
        *entry = (entry.0.wrapping_add(1), Some(place));
        let id = (u64::from(entry.0) << 32) | u64::from(slot);
        self.begun.push(Begun { id, after });
        id
    }

    pub(super) fn keep(&mut self, id: CheckerId, place: Place) {
        if self.find(id).is_some() {
            self.slots[id as u32 as usize].1 = Some(place);
        }
    }

    pub(super) fn end(&mut self, id: CheckerId) {
        if self.find(id).is_some() {
            self.slots[id as u32 as usize].1 = None;
            self.vacant.push(id as u32);
            self.ended.push(id);
        }
    }

    pub(super) fn find(&self, id: CheckerId) -> Option<Place> {
        let (uses, place) = self.slots.get(id as u32 as usize)?;
        place.filter(|_| u64::from(*uses) == id >> 32)
    }
}
