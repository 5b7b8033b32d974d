//! Takes over what an earlier director left in the maps.

use std::time::Duration;

use model::layer4::{Persistence, ServiceKey};
use model::status::Counters;
use zerocopy::{FromBytes, FromZeros, IntoBytes};

use super::super::layout::{
    IN_USE, MEMBERS_MAX, NamesService, REMOVED, RawDestination, RawMember, RawService,
    RawServiceKey4, RawServiceKey6, scheduler_of,
};
use super::super::object::Maps;
use super::{DestinationSlot, ServiceSlot, TableState, Weights};
use crate::{Destination, EngineError, ServiceSettings};

impl TableState {
    /// Reads back what an earlier director left in the maps. True when there was anything.
    pub(crate) fn adopt(&mut self, maps: &Maps) -> Result<bool, EngineError> {
        for (key, raw) in read_services(maps)? {
            let settings = ServiceSettings {
                conduct: self.conducts.adopt(maps, raw.index)?,
                scheduler: scheduler_of(raw.scheduler, raw.hash_flags),
                persistence: (raw.persistence_seconds > 0).then(|| Persistence {
                    timeout: Duration::from_secs(raw.persistence_seconds.into()),
                    prefix_len: raw.persistence_bits as u8,
                }),
            };
            self.free_services.remove(&raw.index);
            let mut row = <[RawMember; MEMBERS_MAX]>::new_zeroed();
            maps.members
                .lookup(raw.row.as_bytes(), row.as_mut_bytes())
                .map_err(EngineError::system("read the members map"))?;
            let members = row[..(raw.count as usize).min(MEMBERS_MAX)]
                .iter()
                .map(|member| member.destination)
                .collect();
            let retained = Counters::default();
            let weights = Weights::default();
            let conduct = Some(settings.conduct);
            let table = settings.scheduler.has_table().then_some(raw.table);
            if let Some(table) = table {
                self.free_tables.remove(&(table / 2));
            }
            let (index, row) = (raw.index, raw.row);
            let slot = ServiceSlot { index, row, table, members, weights, conduct, retained };
            self.services.insert(key, slot);
            self.tables.entry(key).or_default().settings = settings;
        }
        self.conducts.write(maps)?;
        let mut found = Vec::new();
        for (index, raw) in read_all::<u32, RawDestination>(&maps.destinations)? {
            if raw.flags & IN_USE == 0 {
                continue;
            }
            self.free_destinations.remove(&index);
            self.next_position = self.next_position.max(raw.position);
            let service = raw.service.service();
            self.by_endpoint.insert((service, raw.endpoint()), index);
            let slot = DestinationSlot { service, raw };
            self.at.entry(slot.address()).or_default().push(index);
            self.destinations.insert(index, slot);
            found.push((raw.position, index));
        }
        found.sort_unstable();
        for (_, index) in found {
            self.adopt_destination(maps, index)?;
        }
        let services: Vec<ServiceKey> = self.services.keys().copied().collect();
        services.iter().for_each(|key| self.weigh(key));
        Ok(!self.services.is_empty())
    }

    /// A destination found in the maps takes part if its service lists it; the earlier director
    /// may have died between two writes.
    fn adopt_destination(&mut self, maps: &Maps, index: u32) -> Result<(), EngineError> {
        let Some(slot) = self.destinations.get(&index) else { return Ok(()) };
        let (service, raw) = (slot.service, slot.raw);
        let listed = self.services.get(&service).is_some_and(|s| s.members.contains(&index));
        if !listed || raw.flags & REMOVED != 0 {
            if let Some(service) = self.services.get_mut(&service)
                && listed
            {
                service.members.retain(|member| *member != index);
                self.dirty.insert(slot.service);
            }
            let conduct = self.tables.get(&service).map(|table| table.settings.conduct);
            return self.mark_removed(maps, index, &conduct.unwrap_or_default());
        }
        self.tables.entry(service).or_default().destinations.push(Destination {
            endpoint: raw.endpoint(),
            weight: raw.weight,
            forwarding: raw.forwarding(),
            upper_threshold: raw.upper_threshold,
            lower_threshold: raw.lower_threshold,
        });
        Ok(())
    }
}

/// The services of both families.
fn read_services(maps: &Maps) -> Result<Vec<(ServiceKey, RawService)>, EngineError> {
    fn named<K: NamesService>((key, raw): (K, RawService)) -> (ServiceKey, RawService) {
        (key.service(), raw)
    }
    let four = read_all::<RawServiceKey4, RawService>(&maps.services)?;
    let mut all: Vec<_> = four.into_iter().map(named).collect();
    if let Some(six) = &maps.six {
        let six = read_all::<RawServiceKey6, RawService>(&six.services)?;
        all.extend(six.into_iter().map(named));
    }
    Ok(all)
}

fn read_all<K: FromBytes, V: FromBytes>(map: &edge::bpf::Map) -> Result<Vec<(K, V)>, EngineError> {
    let (mut all, mut cursor) = (Vec::new(), None);
    loop {
        let batch =
            map.lookup_batch(&mut cursor, 1024).map_err(EngineError::system("read a map"))?;
        for (key, value) in batch.iter() {
            if let (Ok(key), Ok(value)) = (K::read_from_bytes(key), V::read_from_bytes(value)) {
                all.push((key, value));
            }
        }
        if cursor.is_none() {
            return Ok(all);
        }
    }
}
