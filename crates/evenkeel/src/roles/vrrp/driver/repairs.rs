//! How often something that a master holds is put back.

use std::collections::VecDeque;
use std::time::Duration;

use model::Time;
use model::vrrp::Holding;

/// Whoever removes the same thing twice within this time means it.
const PATIENCE: Duration = Duration::from_secs(1);
/// Most things remembered; of more, the oldest are forgotten.
const REPAIRS_MAX: usize = 1024;

/// What was put back lately.
#[derive(Debug, Default)]
pub(super) struct Repairs {
    lately: VecDeque<(Time, Holding)>,
}

impl Repairs {
    /// Whether something that was taken may be put back now, which counts as done.
    pub(super) fn may_repair(&mut self, now: Time, holding: &Holding) -> bool {
        while self.lately.front().is_some_and(|(done, _)| now.since(*done) >= PATIENCE) {
            self.lately.pop_front();
        }
        if self.lately.iter().any(|(_, repaired)| repaired == holding) {
            return false;
        }
        if self.lately.len() == REPAIRS_MAX {
            self.lately.pop_front();
        }
        self.lately.push_back((now, holding.clone()));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::vrrp::VirtualAddress;

    fn holding(number: u32) -> Holding {
        Holding::Address(VirtualAddress::new(number.to_be_bytes().into(), 32))
    }

    #[test]
    fn what_is_taken_twice_within_a_second_is_put_back_once() {
        let mut repairs = Repairs::default();
        let at = |milliseconds| Time::ZERO + Duration::from_millis(milliseconds);
        assert!(repairs.may_repair(at(0), &holding(1)));
        assert!(repairs.may_repair(at(500), &holding(2)));
        assert!(!repairs.may_repair(at(999), &holding(1)));
        assert!(repairs.may_repair(at(1000), &holding(1)));
        assert!(!repairs.may_repair(at(1499), &holding(2)));
    }

    #[test]
    fn its_memory_is_bounded() {
        let mut repairs = Repairs::default();
        for number in 0..2 * REPAIRS_MAX as u32 {
            assert!(repairs.may_repair(Time::ZERO, &holding(number)));
        }
        assert_eq!(repairs.lately.len(), REPAIRS_MAX);
    }
}
