//! The addresses for which lblc and lblcr keep servers: the program notes and uses them
//! (bpf/schedule/locality.h), user space collects those that rest and those whose server is gone.

use std::collections::HashMap;
use std::io;
use std::time::Duration;

use edge::clock;
use model::Time;
use sched::Collector;
use zerocopy::{FromBytes, IntoBytes};

use super::layout::{MEMBERS_MAX, RawLocality, RawLocalityKey};
use super::object::Maps;
use super::tables::write;
use crate::EngineError;

/// Entries read by one system call.
const SLICE: usize = 256;
/// Kernel: CHECK_EXPIRE_INTERVAL.
const COLLECT_EVERY: Duration = Duration::from_secs(60);
/// Pause between two slices that used up their budget.
const SLICE_EVERY: Duration = Duration::from_millis(5);

/// The collection of entries that rest.
#[derive(Debug)]
pub(crate) struct Localities {
    next: Time,
    cursor: Option<u32>,
    /// Entries seen in this walk with their last use, by place of their service.
    seen: HashMap<u32, Vec<(Time, RawLocalityKey)>>,
    collectors: HashMap<u32, Collector>,
}

impl Localities {
    pub(crate) fn new(now: Time) -> Localities {
        Localities {
            next: now + COLLECT_EVERY,
            cursor: None,
            seen: HashMap::new(),
            collectors: HashMap::new(),
        }
    }

    pub(crate) fn next_deadline(&self) -> Time {
        self.next
    }

    /// Walks on for about `budget`, if it is time, and collects at the end of the walk.
    pub(crate) fn handle_timeout(
        &mut self,
        maps: &Maps,
        now: Time,
        budget: Duration,
    ) -> io::Result<()> {
        if now < self.next {
            return Ok(());
        }
        loop {
            let batch = maps.localities.lookup_batch(&mut self.cursor, SLICE)?;
            for (key, value) in entries(batch.iter()) {
                let used = Time::from_nanos(value.used);
                self.seen.entry(key.service).or_default().push((used, key));
            }
            if self.cursor.is_none() {
                self.next = now + COLLECT_EVERY;
                return self.collect(maps, now);
            }
            if clock::now().since(now) >= budget {
                self.next = now + SLICE_EVERY;
                return Ok(());
            }
        }
    }

    fn collect(&mut self, maps: &Maps, now: Time) -> io::Result<()> {
        let mut seen = std::mem::take(&mut self.seen);
        self.collectors.retain(|service, _| seen.contains_key(service));
        for (service, entries) in &mut seen {
            let collector = self.collectors.entry(*service).or_insert(Collector::new(now));
            for (_, key) in collector.collect(entries, now) {
                maps.localities.delete(key.as_bytes())?;
            }
        }
        Ok(())
    }
}

fn entries<'b>(
    batch: impl Iterator<Item = (&'b [u8], &'b [u8])>,
) -> impl Iterator<Item = (RawLocalityKey, RawLocality)> {
    batch.filter_map(|(key, value)| {
        let key = RawLocalityKey::read_from_bytes(key).ok()?;
        Some((key, RawLocality::read_from_bytes(value).ok()?))
    })
}

/// A service is gone, or has another scheduler.
pub(super) fn forget_service(maps: &Maps, service: u32) -> Result<(), EngineError> {
    change(maps, |key, value| {
        if key.service == service {
            value.count = 0;
        }
    })
}

/// Places of destinations are about to be given to others.
pub(super) fn forget_destinations(maps: &Maps, gone: &[u32]) -> Result<(), EngineError> {
    if gone.is_empty() {
        return Ok(());
    }
    change(maps, |_, value| {
        let count = (value.count as usize).min(MEMBERS_MAX);
        let mut left = value.destinations[..count].to_vec();
        left.retain(|one| !gone.contains(&u32::from(*one)));
        value.destinations[..left.len()].copy_from_slice(&left);
        value.count = left.len() as u32;
    })
}

/// Takes servers out of entries; one without any goes.
fn change(
    maps: &Maps,
    take_out: impl Fn(&RawLocalityKey, &mut RawLocality),
) -> Result<(), EngineError> {
    let mut cursor = None;
    loop {
        let batch = maps
            .localities
            .lookup_batch(&mut cursor, SLICE)
            .map_err(EngineError::system("read the localities map"))?;
        for (key, mut value) in entries(batch.iter()) {
            let before = value.count;
            take_out(&key, &mut value);
            let done = match value.count {
                0 => maps.localities.delete(key.as_bytes()).map(drop),
                same if same == before => Ok(()),
                _ => maps.localities.update(key.as_bytes(), value.as_bytes()),
            };
            done.map_err(write("localities"))?;
        }
        if cursor.is_none() {
            return Ok(());
        }
    }
}
