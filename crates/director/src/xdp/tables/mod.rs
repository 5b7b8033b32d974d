//! Services and destinations: the tables as the administrator sees them, and the maps that the
//! program reads, kept equal change by change.
//!
//! A destination that leaves keeps its place in the maps, marked, until its last connection is
//! gone; one that returns before that gets its place and its connections back, as in IPVS.

mod adopt;
mod counts;
mod pending;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::Ipv4Addr;

use model::layer4::{Endpoint, Scheduler, ServiceKey};
use model::status::Counters;
use zerocopy::IntoBytes;

use self::counts::{add, read_counters, read_load};
use self::pending::Pending;

use super::layout::{
    DESTINATIONS_MAX, IN_USE, LIMITED, MEMBERS_MAX, REMOVED, RawDestination, RawMember, RawService,
    RawServiceKey, SERVICES_MAX, forwarding_number, octets, scheduler_number,
};
use super::object::Maps;
use crate::{Destination, EngineError, ServiceSettings, Tables};

/// Everything known of what is in the maps.
pub(crate) struct TableState {
    pub(crate) tables: Tables,
    services: HashMap<ServiceKey, ServiceSlot>,
    destinations: HashMap<u32, DestinationSlot>,
    by_endpoint: HashMap<(ServiceKey, Endpoint), u32>,
    free_services: BTreeSet<u32>,
    free_destinations: BTreeSet<u32>,
    /// Destinations that left, in their places until their connections are gone.
    removed: BTreeSet<u32>,
    /// Services whose members changed and were not written yet.
    dirty: BTreeSet<ServiceKey>,
    next_position: u32,
    /// Destinations by address.
    at: BTreeMap<Ipv4Addr, Vec<u32>>,
    pending: Pending,
}

struct ServiceSlot {
    index: u32,
    /// The row of `members` in use: `2 * index`, or the one after it.
    row: u32,
    /// In the order in which schedulers walk them: IPVS puts a new destination first.
    members: Vec<u32>,
    weights: Weights,
    /// What destinations counted that have gone.
    retained: Counters,
}

/// One destination's place.
pub(crate) struct DestinationSlot {
    pub(crate) service: ServiceKey,
    pub(crate) raw: RawDestination,
}

impl DestinationSlot {
    /// Its address.
    pub(crate) fn address(&self) -> Ipv4Addr {
        Ipv4Addr::from(self.raw.address)
    }
}

fn write(what: &str) -> impl FnOnce(std::io::Error) -> EngineError {
    EngineError::system(format!("write the {what} map"))
}

fn not_there(key: &ServiceKey, endpoint: Option<Endpoint>) -> EngineError {
    EngineError::NotInTables(match endpoint {
        Some(endpoint) => format!("real server {endpoint} of {key}"),
        None => format!("virtual server {key}"),
    })
}

fn full(what: impl Into<String>, most: u32) -> EngineError {
    EngineError::Full { what: what.into(), most }
}

fn raw_key(key: &ServiceKey) -> Result<RawServiceKey, EngineError> {
    RawServiceKey::of(key).ok_or_else(|| {
        EngineError::Unsupported(format!("virtual server {key}: XDP forwards IPv4 only"))
    })
}

fn greatest_common_divisor(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

impl TableState {
    pub(crate) fn new() -> TableState {
        TableState {
            tables: Tables::new(),
            services: HashMap::new(),
            destinations: HashMap::new(),
            by_endpoint: HashMap::new(),
            free_services: (0..SERVICES_MAX).collect(),
            free_destinations: (0..DESTINATIONS_MAX).collect(),
            removed: BTreeSet::new(),
            dirty: BTreeSet::new(),
            next_position: 0,
            at: BTreeMap::new(),
            pending: Pending::default(),
        }
    }

    pub(crate) fn destination(&self, index: u32) -> Option<&DestinationSlot> {
        self.destinations.get(&index)
    }

    pub(crate) fn index_of(&self, key: ServiceKey, endpoint: Endpoint) -> Option<u32> {
        self.by_endpoint.get(&(key, endpoint)).copied()
    }

    /// Every destination that holds a place.
    pub(crate) fn places(&self) -> impl Iterator<Item = (u32, &DestinationSlot)> {
        self.destinations.iter().map(|(index, slot)| (*index, slot))
    }

    /// Destinations at an address, in whatever service.
    pub(crate) fn at_address(&self, address: Ipv4Addr) -> Vec<u32> {
        self.at.get(&address).cloned().unwrap_or_default()
    }

    /// Some destination is at a loopback address.
    pub(crate) fn has_loopback(&self) -> bool {
        let loopback = Ipv4Addr::new(127, 0, 0, 0)..=Ipv4Addr::new(127, 255, 255, 255);
        self.at.range(loopback).next().is_some()
    }

    pub(crate) fn add_service(
        &mut self,
        key: ServiceKey,
        settings: ServiceSettings,
    ) -> Result<(), EngineError> {
        if self.services.contains_key(&key) {
            return Err(EngineError::AlreadyInTables(format!("virtual server {key}")));
        }
        raw_key(&key)?;
        let full = || full("virtual servers", SERVICES_MAX);
        let index = self.free_services.pop_first().ok_or_else(full)?;
        let slot = ServiceSlot {
            index,
            row: 2 * index,
            members: Vec::new(),
            weights: Weights::default(),
            retained: Counters::default(),
        };
        self.services.insert(key, slot);
        self.tables.entry(key).or_default().settings = settings;
        self.move_later(index, 0);
        self.dirty.insert(key);
        Ok(())
    }

    pub(crate) fn update_service(
        &mut self,
        maps: &Maps,
        key: ServiceKey,
        settings: ServiceSettings,
    ) -> Result<(), EngineError> {
        let slot = self.services.get(&key).ok_or_else(|| not_there(&key, None))?;
        let service = self.tables.entry(key).or_default();
        if service.settings.scheduler != settings.scheduler {
            let place = slot.index;
            service.settings = settings;
            self.reset_cursor(maps, place)?;
        } else {
            service.settings = settings;
        }
        self.write_members(maps, &key)
    }

    pub(crate) fn remove_service(
        &mut self,
        maps: &Maps,
        key: ServiceKey,
    ) -> Result<(), EngineError> {
        let slot = self.services.remove(&key).ok_or_else(|| not_there(&key, None))?;
        self.dirty.remove(&key);
        self.tables.remove(&key);
        maps.services.delete(raw_key(&key)?.as_bytes()).map_err(write("services"))?;
        for member in slot.members {
            self.mark_removed(maps, member)?;
        }
        self.free_services.insert(slot.index);
        Ok(())
    }

    pub(crate) fn add_destination(
        &mut self,
        maps: &Maps,
        key: ServiceKey,
        destination: &Destination,
    ) -> Result<u32, EngineError> {
        let endpoint = destination.endpoint;
        let service = self.services.get(&key).ok_or_else(|| not_there(&key, None))?;
        let known = self.index_of(key, endpoint);
        if known.is_some_and(|index| !self.removed.contains(&index)) {
            let what = format!("real server {endpoint} of {key}");
            return Err(EngineError::AlreadyInTables(what));
        }
        if service.members.len() == MEMBERS_MAX {
            return Err(full(format!("real servers of {key}"), MEMBERS_MAX as u32));
        }
        let address = octets(endpoint.address).ok_or_else(|| {
            EngineError::Unsupported(format!("real server {endpoint}: XDP forwards IPv4 only"))
        })?;
        let index = match known {
            Some(returning) => returning,
            None => self.take_place(address.into())?,
        };
        self.next_position += 1;
        let before = self.destinations.get(&index).map_or(RawDestination::EMPTY, |slot| slot.raw);
        let raw = RawDestination {
            address,
            port: endpoint.port.into(),
            forwarding: forwarding_number(destination.forwarding),
            flags: (before.flags | IN_USE) & !REMOVED,
            weight: destination.weight,
            upper_threshold: destination.upper_threshold,
            lower_threshold: destination.lower_threshold,
            service: raw_key(&key)?,
            position: self.next_position,
            ..before
        };
        self.put_later(index, DestinationSlot { service: key, raw });
        self.removed.remove(&index);
        self.by_endpoint.insert((key, endpoint), index);
        self.insert_member(maps, key, index)?;
        self.tables.entry(key).or_default().destinations.push(*destination);
        Ok(index)
    }

    pub(crate) fn update_destination(
        &mut self,
        maps: &Maps,
        key: ServiceKey,
        destination: &Destination,
    ) -> Result<(), EngineError> {
        let endpoint = destination.endpoint;
        let missing = || not_there(&key, Some(endpoint));
        let index = self.index_of(key, endpoint).ok_or_else(missing)?;
        let table = self.tables.get_mut(&key).ok_or_else(missing)?;
        let entry = table.destinations.iter_mut().find(|entry| entry.endpoint == endpoint);
        *entry.ok_or_else(missing)? = *destination;
        let before = self.destinations.get(&index).ok_or_else(missing)?.raw;
        let forwarding = forwarding_number(destination.forwarding);
        let raw = RawDestination {
            weight: destination.weight,
            forwarding,
            upper_threshold: destination.upper_threshold,
            lower_threshold: destination.lower_threshold,
            ..before
        };
        self.put_later(index, DestinationSlot { service: key, raw });
        if before.upper_threshold != raw.upper_threshold {
            lift_overload(maps, index, &raw)?;
        }
        self.weigh(&key);
        self.restart_weighted(maps, key)?;
        self.dirty.insert(key);
        Ok(())
    }

    pub(crate) fn remove_destination(
        &mut self,
        maps: &Maps,
        key: ServiceKey,
        endpoint: Endpoint,
    ) -> Result<u32, EngineError> {
        let missing = || not_there(&key, Some(endpoint));
        let table = self.tables.get_mut(&key).ok_or_else(missing)?;
        let place = table.destinations.iter().position(|entry| entry.endpoint == endpoint);
        table.destinations.remove(place.ok_or_else(missing)?);
        let index = self.index_of(key, endpoint).ok_or_else(missing)?;
        let service = self.services.get_mut(&key).ok_or_else(missing)?;
        let position = service.members.iter().position(|member| *member == index);
        let position = position.ok_or_else(missing)?;
        service.members.remove(position);
        let place = service.index;
        // Round robin goes on from the one before it.
        self.move_cursor(maps, place, |at| if at > position as u32 { at - 1 } else { at })?;
        self.weigh(&key);
        self.restart_weighted(maps, key)?;
        // Nobody may choose it any more before it is marked.
        self.write_members(maps, &key)?;
        self.mark_removed(maps, index)?;
        Ok(index)
    }

    /// Writes what was put off until the end of a batch of changes.
    pub(crate) fn flush(&mut self, maps: &Maps) -> Result<(), EngineError> {
        self.write_pending(maps)?;
        while let Some(key) = self.dirty.pop_first() {
            self.write_members(maps, &key)?;
        }
        Ok(())
    }

    /// Changes what the program knows of a destination.
    pub(crate) fn rewrite(
        &mut self,
        maps: &Maps,
        index: u32,
        change: impl FnOnce(&mut RawDestination),
    ) -> Result<(), EngineError> {
        let Some(slot) = self.destinations.get_mut(&index) else { return Ok(()) };
        let mut raw = slot.raw;
        change(&mut raw);
        if raw == slot.raw {
            return Ok(());
        }
        slot.raw = raw;
        if self.is_pending(index) {
            return Ok(());
        }
        maps.destinations.update(index.as_bytes(), raw.as_bytes()).map_err(write("destinations"))
    }

    fn take_place(&mut self, address: Ipv4Addr) -> Result<u32, EngineError> {
        let full = || full("real servers", DESTINATIONS_MAX);
        let index = self.free_destinations.pop_first().ok_or_else(full)?;
        self.clear_later(index);
        self.at.entry(address).or_default().push(index);
        Ok(index)
    }

    fn insert_member(
        &mut self,
        maps: &Maps,
        key: ServiceKey,
        index: u32,
    ) -> Result<(), EngineError> {
        let Some(service) = self.services.get_mut(&key) else { return Ok(()) };
        service.members.insert(0, index);
        let place = service.index;
        let weight = self.destinations.get(&index).map_or(0, |slot| slot.raw.weight);
        service.weights.add(weight);
        self.move_cursor(maps, place, |at| if at > 0 { at + 1 } else { 0 })?;
        self.restart_weighted(maps, key)?;
        self.dirty.insert(key);
        Ok(())
    }

    fn mark_removed(&mut self, maps: &Maps, index: u32) -> Result<(), EngineError> {
        self.removed.insert(index);
        self.rewrite(maps, index, |raw| raw.flags |= REMOVED)
    }

    /// The members of a service as the program is to see them.
    fn members(&self, key: &ServiceKey) -> Vec<RawMember> {
        let Some(service) = self.services.get(key) else { return Vec::new() };
        let member = |index: &u32| {
            let raw = self.destinations.get(index).map_or(RawDestination::EMPTY, |slot| slot.raw);
            let limited = if raw.upper_threshold > 0 { LIMITED } else { 0 };
            RawMember { destination: *index, weight: raw.weight & !LIMITED | limited }
        };
        service.members.iter().map(member).collect()
    }

    /// Writes the members into the row that is not in use, then switches the service to it.
    fn write_members(&mut self, maps: &Maps, key: &ServiceKey) -> Result<(), EngineError> {
        self.dirty.remove(key);
        self.write_pending(maps)?;
        let members = self.members(key);
        let Some(service) = self.services.get_mut(key) else { return Ok(()) };
        let mut row = [RawMember::default(); MEMBERS_MAX];
        row[..members.len()].copy_from_slice(&members);
        service.row ^= 1;
        maps.members.update(service.row.as_bytes(), row.as_bytes()).map_err(write("members"))?;
        let settings = self.tables.get(key).map(|table| table.settings).unwrap_or_default();
        let (most, divisor) = service.weights.of(settings.scheduler);
        let raw = RawService {
            index: service.index,
            row: service.row,
            count: members.len() as u32,
            scheduler: scheduler_number(settings.scheduler),
            weight_max: most,
            weight_gcd: divisor,
            persistence_seconds: settings.persistence.map_or(0, |persistence| {
                u32::try_from(persistence.timeout.as_secs()).unwrap_or(u32::MAX).max(1)
            }),
            persistence_bits: settings.persistence.map_or(0, |p| u32::from(p.prefix_len.min(32))),
        };
        maps.services.update(raw_key(key)?.as_bytes(), raw.as_bytes()).map_err(write("services"))
    }

    /// After any change of its destinations weighted round robin begins at the head again, with
    /// its current weight kept where the new weights allow. Kernel: ip_vs_wrr_dest_changed.
    fn restart_weighted(&mut self, maps: &Maps, key: ServiceKey) -> Result<(), EngineError> {
        let Some(service) = self.services.get(&key) else { return Ok(()) };
        let scheduler = self.tables.get(&key).map(|table| table.settings.scheduler);
        if scheduler != Some(Scheduler::WeightedRoundRobin) {
            return Ok(());
        }
        let (place, (most, divisor)) =
            (service.index, service.weights.of(Scheduler::WeightedRoundRobin));
        let current = (self.cursor(maps, place)? >> 32) as u32;
        let current = match current {
            0 => most,
            current if current > most => most,
            current if divisor > 1 => current / divisor * divisor + 1,
            current => current,
        };
        self.move_later(place, u64::from(current) << 32);
        Ok(())
    }

    /// Moves round robin, for the end of the batch.
    fn move_cursor(
        &mut self,
        maps: &Maps,
        service: u32,
        to: impl Fn(u32) -> u32,
    ) -> Result<(), EngineError> {
        let cursor = self.cursor(maps, service)?;
        self.move_later(service, cursor & !0xffff_ffff | u64::from(to(cursor as u32)));
        Ok(())
    }

    /// Looks at the weights of a service anew.
    fn weigh(&mut self, key: &ServiceKey) {
        let destinations = &self.destinations;
        let Some(service) = self.services.get_mut(key) else { return };
        service.weights = Weights::default();
        for index in &service.members {
            service.weights.add(destinations.get(index).map_or(0, |slot| slot.raw.weight));
        }
    }

    /// Frees the places of destinations that left and have no connections any more. Returns
    /// their addresses.
    pub(crate) fn free_drained(&mut self, maps: &Maps) -> Vec<Ipv4Addr> {
        let is_drained = |index: &u32| {
            let load = read_load(maps, *index);
            (load.active, load.inactive, load.templates) == (0, 0, 0)
        };
        let drained: Vec<u32> = self.removed.iter().copied().filter(is_drained).collect();
        let mut freed = Vec::new();
        for index in drained {
            let counters = read_counters(maps, index);
            let Some(slot) = self.destinations.remove(&index) else { continue };
            self.removed.remove(&index);
            self.by_endpoint.remove(&(slot.service, slot.raw.endpoint()));
            if let Some(service) = self.services.get_mut(&slot.service) {
                add(&mut service.retained, &counters);
            }
            let empty = RawDestination::EMPTY;
            let _ = maps.destinations.update(index.as_bytes(), empty.as_bytes());
            self.free_destinations.insert(index);
            if let Some(there) = self.at.get_mut(&slot.address()) {
                there.retain(|one| *one != index);
                if there.is_empty() {
                    self.at.remove(&slot.address());
                }
            }
            freed.push(slot.address());
        }
        freed
    }
}

/// What schedulers want to know of all weights of a service.
#[derive(Clone, Copy, Default)]
struct Weights {
    most: u32,
    divisor: u32,
}

impl Weights {
    fn add(&mut self, weight: u32) {
        let weight = weight & !LIMITED;
        self.most = self.most.max(weight);
        self.divisor = greatest_common_divisor(self.divisor, weight);
    }

    /// wrr's greatest weight less what the steps cannot tell apart, and the steps. Kernel:
    /// ip_vs_wrr_max_weight, ip_vs_wrr_gcd_weight.
    fn of(self, scheduler: Scheduler) -> (u32, u32) {
        let Weights { most, divisor } = self;
        match scheduler {
            Scheduler::WeightedRoundRobin => (most - divisor.saturating_sub(1), divisor.max(1)),
            Scheduler::RoundRobin | Scheduler::WeightedLeastConnection => (most, divisor.max(1)),
        }
    }
}

/// A destination whose upper threshold is another one takes connections again unless it has too
/// many by the new one: the program looks at each connection that comes or goes. Kernel:
/// __ip_vs_update_dest.
fn lift_overload(maps: &Maps, index: u32, raw: &RawDestination) -> Result<(), EngineError> {
    let load = read_load(maps, index);
    let total = load.active.saturating_add(load.inactive);
    let overloaded = raw.upper_threshold != 0 && total >= raw.upper_threshold;
    maps.overloads
        .update(index.as_bytes(), u32::from(overloaded).as_bytes())
        .map_err(write("overloads"))
}
