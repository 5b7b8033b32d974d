//! Removes connections whose time is over, a slice of the table at a time: user space finds the
//! candidates in the mapped table, and the program `evenkeel_reap` decides and counts
//! (bpf/remove.h).

use std::io;
use std::time::Duration;

use edge::clock;
use model::Time;
use zerocopy::IntoBytes;

use super::object::Object;
use super::slots::ticks;

/// Slots looked at between two looks at the clock: 128 KiB.
const SLICE: u32 = 4096;
/// Slots per run of the reaping program, as in evenkeel.bpf.c: a tenth of a millisecond.
const REAP_MAX: usize = 256;
/// Pause between two rounds over the table.
const ROUND_EVERY: Duration = Duration::from_secs(1);
/// Pause between two slices that used up their budget.
const SLICE_EVERY: Duration = Duration::from_millis(5);

/// Where the sweep stands.
#[derive(Debug, Default)]
pub(crate) struct Sweep {
    /// The next slot to look at.
    at: u32,
    next: Time,
    /// Slots whose time seems to be over.
    over: Vec<u32>,
    /// Connections and templates removed since start.
    pub(crate) removed: u64,
}

impl Sweep {
    pub(crate) fn next_deadline(&self) -> Time {
        self.next
    }

    /// Sweeps for about `budget`, if it is time.
    pub(crate) fn handle_timeout(
        &mut self,
        object: &Object,
        now: Time,
        budget: Duration,
    ) -> io::Result<()> {
        if now < self.next {
            return Ok(());
        }
        let begun = clock::now();
        loop {
            let end = object.maps.slots.count();
            let slice = self.at..self.at.saturating_add(SLICE).min(end);
            self.at = slice.end;
            self.sweep(object, slice, ticks(now))?;
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

    fn sweep(&mut self, object: &Object, slots: std::ops::Range<u32>, now: u32) -> io::Result<()> {
        let maps = &object.maps;
        for number in slots {
            let slot = maps.slots.read(number);
            if slot.is_some_and(|slot| slot.left(&maps.timeouts, now) == 0) {
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
        self.removed += u64::from(object.reap(&packet)?.action);
        Ok(())
    }
}
