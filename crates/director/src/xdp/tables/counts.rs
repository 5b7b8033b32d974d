//! What the program counts at a destination.

use model::layer4::{Endpoint, ServiceKey};
use model::status::Counters;
use zerocopy::{FromBytes, IntoBytes};

use super::super::layout::{RawLoad, RawStats};
use super::super::object::Maps;
use super::{TableState, write};
use crate::{DestinationLoad, EngineError};

/// How often zeros are written before a processor that counts meanwhile has its way.
const ZERO_ATTEMPTS: usize = 8;

impl TableState {
    pub(crate) fn load(&self, maps: &Maps, key: ServiceKey, at: Endpoint) -> DestinationLoad {
        let Some(index) = self.index_of(key, at) else { return DestinationLoad::default() };
        let load = read_load(maps, index);
        DestinationLoad {
            active: load.active,
            inactive: load.inactive,
            templates: load.templates,
            counters: read_counters(maps, index),
        }
    }

    pub(crate) fn destination_counters(
        &self,
        maps: &Maps,
        key: ServiceKey,
        at: Endpoint,
    ) -> Counters {
        self.index_of(key, at).map_or_else(Counters::default, |index| read_counters(maps, index))
    }

    /// Counts anew: destinations of this service, or all.
    pub(crate) fn zero(
        &mut self,
        maps: &Maps,
        only: Option<ServiceKey>,
    ) -> Result<(), EngineError> {
        let meant = |key: &ServiceKey| only.is_none_or(|only| only == *key);
        for (key, service) in &mut self.services {
            if meant(key) {
                service.retained = Counters::default();
            }
        }
        let destinations = self.destinations.iter().filter(|(_, slot)| meant(&slot.service));
        for (index, _) in destinations {
            zero(maps, *index)?;
        }
        Ok(())
    }

    pub(crate) fn service_counters(&self, maps: &Maps, key: ServiceKey) -> Counters {
        let mut sum = self.services.get(&key).map(|slot| slot.retained).unwrap_or_default();
        for (index, _) in self.destinations.iter().filter(|(_, slot)| slot.service == key) {
            add(&mut sum, &read_counters(maps, *index));
        }
        sum
    }
}

/// Writes zeros. A processor that was just then adding to its counters writes the old ones back:
/// that shows, and is done again.
fn zero(maps: &Maps, index: u32) -> Result<(), EngineError> {
    let zeros = vec![0; maps.statistics.value_size()];
    for _ in 0..ZERO_ATTEMPTS {
        let former = read_counters(maps, index).packets_in;
        maps.statistics.update(index.as_bytes(), &zeros).map_err(write("statistics"))?;
        if former == 0 || read_counters(maps, index).packets_in < former {
            return Ok(());
        }
    }
    Ok(())
}

pub(super) fn read_load(maps: &Maps, index: u32) -> RawLoad {
    let mut load = RawLoad::default();
    // An array has every element; a failure would only say that the map is gone.
    let _ = maps.loads.lookup(index.as_bytes(), load.as_mut_bytes());
    load
}

pub(super) fn read_counters(maps: &Maps, index: u32) -> Counters {
    let mut bytes = vec![0; maps.statistics.value_size()];
    let mut sum = Counters::default();
    if maps.statistics.lookup(index.as_bytes(), &mut bytes).is_err() {
        return sum;
    }
    for cpu in bytes.chunks_exact(size_of::<RawStats>()) {
        let Ok(one) = RawStats::read_from_bytes(cpu) else { continue };
        add(
            &mut sum,
            &Counters {
                connections: one.connections,
                packets_in: one.packets_in,
                packets_out: one.packets_out,
                bytes_in: one.bytes_in,
                bytes_out: one.bytes_out,
            },
        );
    }
    sum
}

pub(super) fn add(sum: &mut Counters, more: &Counters) {
    sum.connections += more.connections;
    sum.packets_in += more.packets_in;
    sum.packets_out += more.packets_out;
    sum.bytes_in += more.bytes_in;
    sum.bytes_out += more.bytes_out;
}
