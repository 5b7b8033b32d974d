//! Writes that wait for the end of a batch of changes: forty thousand destinations reach the maps
//! in a few hundred system calls.

use std::collections::{BTreeMap, BTreeSet};

use zerocopy::IntoBytes;

use super::super::layout::{RawDestination, RawLoad};
use super::super::object::Maps;
use super::{DestinationSlot, TableState, write};
use crate::EngineError;

/// What the maps do not say yet.
#[derive(Default)]
pub(super) struct Pending {
    /// Destinations that are other than in the map.
    destinations: BTreeSet<u32>,
    /// Places given away anew, with the numbers of those who had them before.
    fresh: Vec<u32>,
    /// Where schedulers stand, by place of the service: read, and perhaps moved.
    cursors: BTreeMap<u32, u64>,
}

impl TableState {
    /// A place was given to a new destination: nothing was counted there.
    pub(super) fn clear_later(&mut self, index: u32) {
        self.pending.fresh.push(index);
    }

    /// A destination is other than in the map.
    pub(super) fn put_later(&mut self, index: u32, slot: DestinationSlot) {
        self.pending.destinations.insert(index);
        self.destinations.insert(index, slot);
    }

    /// It waits to be written.
    pub(super) fn is_pending(&self, index: u32) -> bool {
        self.pending.destinations.contains(&index)
    }

    /// Where round robin stands in the service at this place.
    pub(super) fn cursor(&mut self, maps: &Maps, service: u32) -> Result<u64, EngineError> {
        if let Some(cursor) = self.pending.cursors.get(&service) {
            return Ok(*cursor);
        }
        let mut cursor = 0u64;
        maps.cursors
            .lookup(service.as_bytes(), cursor.as_mut_bytes())
            .map_err(EngineError::system("read the cursors map"))?;
        Ok(cursor)
    }

    /// Round robin is to stand elsewhere.
    pub(super) fn move_later(&mut self, service: u32, cursor: u64) {
        self.pending.cursors.insert(service, cursor);
    }

    /// A scheduler begins anew, whatever was to be written.
    pub(super) fn reset_cursor(
        &mut self,
        maps: &Maps,
        service: u32,
        cursor: u64,
    ) -> Result<(), EngineError> {
        self.pending.cursors.remove(&service);
        maps.cursors.update(service.as_bytes(), cursor.as_bytes()).map_err(write("cursors"))
    }

    /// Writes everything that waits. The members of services come after this: nobody may choose
    /// a destination that is not there.
    pub(super) fn write_pending(&mut self, maps: &Maps) -> Result<(), EngineError> {
        let Pending { destinations, fresh, cursors } = std::mem::take(&mut self.pending);
        if !fresh.is_empty() {
            let count = fresh.len();
            let keys = fresh.as_bytes();
            let zeros = vec![0; count * maps.statistics.value_size()];
            maps.statistics.update_many(keys, &zeros).map_err(write("statistics"))?;
            let loads = vec![RawLoad::default(); count];
            maps.loads.update_many(keys, loads.as_bytes()).map_err(write("loads"))?;
            let overloads = vec![0u32; count];
            maps.overloads.update_many(keys, overloads.as_bytes()).map_err(write("overloads"))?;
        }
        let destinations: Vec<u32> = destinations.into_iter().collect();
        if !destinations.is_empty() {
            let raw = |index: &u32| {
                self.destinations.get(index).map_or(RawDestination::EMPTY, |slot| slot.raw)
            };
            let values: Vec<RawDestination> = destinations.iter().map(raw).collect();
            maps.destinations
                .update_many(destinations.as_bytes(), values.as_bytes())
                .map_err(write("destinations"))?;
        }
        for (service, cursor) in cursors {
            maps.cursors.update(service.as_bytes(), cursor.as_bytes()).map_err(write("cursors"))?;
        }
        Ok(())
    }
}
