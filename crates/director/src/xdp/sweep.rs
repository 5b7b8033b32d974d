//! Removes connections whose time is over, a slice of the table at a time: user space finds the
//! candidates in the mapped table, and the program `evenkeel_reap` decides and counts
//! (bpf/remove.h).

use std::io;
use std::time::Duration;

use edge::clock;
use model::Time;
use model::vrrp::Family;
use zerocopy::IntoBytes;

use super::object::Object;
use super::slots::{Slots, ticks};
use super::tables::TableState;

/// Slots looked at between two looks at the clock: 128 KiB.
const SLICE: u32 = 4096;
/// Slots per run of the reaping program, as in evenkeel.bpf.c: a tenth of a millisecond.
const REAP_MAX: usize = 256;
/// Pause between two rounds over the table.
const ROUND_EVERY: Duration = Duration::from_secs(1);
/// Pause between two slices that used up their budget.
const SLICE_EVERY: Duration = Duration::from_millis(5);

/// The sweeps over the tables of both families.
#[derive(Debug)]
pub(crate) struct Sweeps([Sweep; 2]);

impl Default for Sweeps {
    fn default() -> Sweeps {
        Sweeps([Family::Ipv4, Family::Ipv6].map(Sweep::over))
    }
}

impl Sweeps {
    /// Of those over tables that are there.
    pub(crate) fn next_deadline(&self, object: &Object) -> Time {
        let there = self.0.iter().filter(|sweep| object.maps.slots(sweep.family).is_some());
        there.map(|sweep| sweep.next).min().unwrap_or(Time::NEVER)
    }

    /// Sweeps for about `budget`, if it is time.
    pub(crate) fn handle_timeout(
        &mut self,
        object: &Object,
        state: &TableState,
        now: Time,
        budget: Duration,
    ) -> io::Result<()> {
        let share = budget / self.0.len() as u32;
        self.0.iter_mut().try_for_each(|sweep| sweep.handle_timeout(object, state, now, share))
    }

    /// Connections and templates removed since start.
    pub(crate) fn removed(&self) -> u64 {
        self.0.iter().map(|sweep| sweep.removed).sum()
    }
}

/// Where the sweep over one table stands.
#[derive(Debug)]
struct Sweep {
    family: Family,
    /// The next slot to look at.
    at: u32,
    next: Time,
    /// Slots whose time seems to be over.
    over: Vec<u32>,
    /// Connections and templates removed since start.
    removed: u64,
}

impl Sweep {
    fn over(family: Family) -> Sweep {
        Sweep { family, at: 0, next: Time::default(), over: Vec::new(), removed: 0 }
    }

    /// Sweeps for about `budget`, if it is time and there is a table.
    fn handle_timeout(
        &mut self,
        object: &Object,
        state: &TableState,
        now: Time,
        budget: Duration,
    ) -> io::Result<()> {
        let Some(slots) = object.maps.slots(self.family) else { return Ok(()) };
        if now < self.next {
            return Ok(());
        }
        let begun = clock::now();
        let end = slots.count();
        loop {
            let slice = self.at..self.at.saturating_add(SLICE).min(end);
            self.at = slice.end;
            self.sweep(object, state, slots, slice, ticks(now))?;
            if self.at >= end {
                self.reap(object, 1)?;
                self.at = 0;
                self.next = now + ROUND_EVERY;
                return Ok(());
            }
            if clock::now().since(begun) >= budget {
                self.next = now + SLICE_EVERY;
                return Ok(());
            }
        }
    }

    fn sweep(
        &mut self,
        object: &Object,
        state: &TableState,
        slots: &Slots,
        slice: std::ops::Range<u32>,
        now: u32,
    ) -> io::Result<()> {
        for number in slice {
            let Some(head) = slots.read_head(number) else { continue };
            if head.left(state.conducts(), now) == 0 || state.is_lost(&head) {
                self.over.push(number);
                self.reap(object, REAP_MAX)?;
            }
        }
        Ok(())
    }

    /// Hands over what was found, if it is at least so many.
    fn reap(&mut self, object: &Object, least: usize) -> io::Result<()> {
        if self.over.len() < least {
            return Ok(());
        }
        let mut packet = vec![0; 12];
        packet.extend_from_slice((self.over.len() as u32).as_bytes());
        packet.extend_from_slice(self.over.as_bytes());
        self.over.clear();
        self.removed += u64::from(object.reap(self.family, &packet)?.action);
        Ok(())
    }
}
