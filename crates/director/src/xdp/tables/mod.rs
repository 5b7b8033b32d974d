//! Services and destinations: the tables as the administrator sees them, and the maps that the
//! program reads, kept equal change by change.
//!
//! A destination that leaves keeps its place in the maps, marked, until its last connection is
//! gone; one that returns before that gets its place and its connections back, as in IPVS.

mod adopt;
mod counts;
mod pending;
mod schedulers;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, Ipv6Addr};

use model::layer4::{Conduct, Endpoint, Forwarding, Protocol, ServiceKey, Timeouts};
use model::status::Counters;
use model::vrrp::Family;
use zerocopy::IntoBytes;

use self::counts::{add, read_counters, read_load};
use self::pending::Pending;
use self::schedulers::{Weights, first_cursor};

use super::conducts::{Conducts, switches_number};
use super::layout::{
    DESTINATIONS_MAX, EXPIRES, IN_USE, LIMITED, MEMBERS_MAX, REMOVED, RESETS, RawDestination,
    RawMember, RawService, RawServiceKey, RawServiceName, SERVICES_MAX, TABLES_MAX,
    hash_flags_number, scheduler_number, wide,
};
use super::localities;
use super::object::Maps;
use super::slots::Head;
use crate::{Destination, EngineError, ServiceSettings, Tables};

/// Everything known of what is in the maps.
pub(crate) struct TableState {
    pub(crate) tables: Tables,
    services: HashMap<ServiceKey, ServiceSlot>,
    destinations: HashMap<u32, DestinationSlot>,
    by_endpoint: HashMap<(ServiceKey, Endpoint), u32>,
    free_services: BTreeSet<u32>,
    free_destinations: BTreeSet<u32>,
    /// Places of prepared tables, each of two rows.
    free_tables: BTreeSet<u32>,
    /// Destinations that left, in their places until their connections are gone.
    removed: BTreeSet<u32>,
    /// Services whose members changed and were not written yet.
    dirty: BTreeSet<ServiceKey>,
    next_position: u32,
    /// Destinations by address.
    at: BTreeMap<IpAddr, Vec<u32>>,
    pending: Pending,
    conducts: Conducts,
}

struct ServiceSlot {
    index: u32,
    /// The row of `members` in use: `2 * index`, or the one after it.
    row: u32,
    /// The row of the map `tables` in use, of schedulers that have one.
    table: Option<u32>,
    /// In the order in which schedulers walk them: IPVS puts a new destination first.
    members: Vec<u32>,
    weights: Weights,
    /// The conduct that was written, if any was.
    conduct: Option<Conduct>,
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
    pub(crate) fn address(&self) -> IpAddr {
        self.raw.endpoint().address
    }
}

pub(super) fn write(what: &str) -> impl FnOnce(std::io::Error) -> EngineError {
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

/// Packets change their family in a tunnel only. Kernel: ip_vs_add_dest.
fn check_family(key: &ServiceKey, destination: &Destination) -> Result<(), EngineError> {
    let endpoint = destination.endpoint;
    match destination.forwarding {
        Forwarding::Tunnel(_) => Ok(()),
        Forwarding::Nat | Forwarding::DirectRouting
            if Family::of(endpoint.address) == key.family() =>
        {
            Ok(())
        }
        Forwarding::Nat | Forwarding::DirectRouting => Err(EngineError::Unsupported(format!(
            "real server {endpoint} of {key}: another address family takes a tunnel"
        ))),
    }
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
            free_tables: (0..TABLES_MAX).collect(),
            removed: BTreeSet::new(),
            dirty: BTreeSet::new(),
            next_position: 0,
            at: BTreeMap::new(),
            pending: Pending::default(),
            conducts: Conducts::default(),
        }
    }

    pub(crate) fn destination(&self, index: u32) -> Option<&DestinationSlot> {
        self.destinations.get(&index)
    }

    pub(crate) fn index_of(&self, key: ServiceKey, endpoint: Endpoint) -> Option<u32> {
        self.by_endpoint.get(&(key, endpoint)).copied()
    }

    /// The index of a service.
    pub(crate) fn service_index(&self, key: ServiceKey) -> Option<u32> {
        self.services.get(&key).map(|slot| slot.index)
    }

    /// Every destination that holds a place.
    pub(crate) fn places(&self) -> impl Iterator<Item = (u32, &DestinationSlot)> {
        self.destinations.iter().map(|(index, slot)| (*index, slot))
    }

    /// Destinations at an address, in whatever service.
    pub(crate) fn at_address(&self, address: IpAddr) -> Vec<u32> {
        self.at.get(&address).cloned().unwrap_or_default()
    }

    /// Some destination is at a loopback address of IPv4, which IPv6 has no switch for.
    pub(crate) fn has_loopback(&self) -> bool {
        let [first, last] = [[127, 0, 0, 0], [127, 255, 255, 255]].map(IpAddr::from);
        self.at.range(first..=last).next().is_some()
    }

    /// Some destination is at ::1.
    pub(crate) fn has_loopback6(&self) -> bool {
        self.at.contains_key(&IpAddr::V6(Ipv6Addr::LOCALHOST))
    }

    pub(crate) fn add_service(
        &mut self,
        key: ServiceKey,
        settings: ServiceSettings,
    ) -> Result<(), EngineError> {
        if self.services.contains_key(&key) {
            return Err(EngineError::AlreadyInTables(format!("virtual server {key}")));
        }
        let full = || full("virtual servers", SERVICES_MAX);
        let index = *self.free_services.first().ok_or_else(full)?;
        let table = self.take_table(settings.scheduler)?;
        self.free_services.remove(&index);
        let slot = ServiceSlot {
            index,
            row: 2 * index,
            table,
            members: Vec::new(),
            weights: Weights::default(),
            conduct: None,
            retained: Counters::default(),
        };
        self.services.insert(key, slot);
        self.tables.entry(key).or_default().settings = settings;
        self.move_later(index, first_cursor(settings.scheduler));
        self.dirty.insert(key);
        Ok(())
    }

    pub(crate) fn update_service(
        &mut self,
        maps: &Maps,
        key: ServiceKey,
        settings: ServiceSettings,
    ) -> Result<(), EngineError> {
        let missing = || not_there(&key, None);
        let former = self.tables.get(&key).ok_or_else(missing)?.settings.scheduler;
        if !former.is_same_kind(settings.scheduler) {
            self.change_scheduler(maps, key, former, settings.scheduler)?;
        }
        self.tables.entry(key).or_default().settings = settings;
        self.write_members(maps, &key)
    }

    pub(crate) fn remove_service(
        &mut self,
        maps: &Maps,
        key: ServiceKey,
    ) -> Result<(), EngineError> {
        let slot = self.services.remove(&key).ok_or_else(|| not_there(&key, None))?;
        self.dirty.remove(&key);
        let table = self.tables.remove(&key).unwrap_or_default();
        maps.services_of(&key)?
            .delete(RawServiceKey::of(&key).as_bytes())
            .map_err(write("services"))?;
        self.free_table(slot.table);
        if table.settings.scheduler.keeps_localities() {
            localities::forget_service(maps, slot.index)?;
        }
        for member in slot.members {
            self.mark_removed(maps, member, &table.settings.conduct)?;
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
        check_family(&key, destination)?;
        let index = match known {
            Some(returning) => returning,
            None => self.take_place(endpoint.address)?,
        };
        self.next_position += 1;
        let before = self.destinations.get(&index).map_or(RawDestination::EMPTY, |slot| slot.raw);
        let raw = RawDestination {
            address: wide(endpoint.address),
            port: endpoint.port.into(),
            flags: (before.flags | IN_USE) & !(REMOVED | EXPIRES | RESETS),
            weight: destination.weight,
            upper_threshold: destination.upper_threshold,
            lower_threshold: destination.lower_threshold,
            last_weight: destination.weight,
            service: RawServiceName::of(&key),
            position: self.next_position,
            ..before.forwarded_by(destination.forwarding)
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
        check_family(&key, destination)?;
        let missing = || not_there(&key, Some(endpoint));
        let index = self.index_of(key, endpoint).ok_or_else(missing)?;
        let table = self.tables.get_mut(&key).ok_or_else(missing)?;
        let entry = table.destinations.iter_mut().find(|entry| entry.endpoint == endpoint);
        *entry.ok_or_else(missing)? = *destination;
        let before = self.destinations.get(&index).ok_or_else(missing)?.raw;
        let raw = RawDestination {
            weight: destination.weight,
            upper_threshold: destination.upper_threshold,
            lower_threshold: destination.lower_threshold,
            // What drains keeps its part of Maglev's table. Kernel: __ip_vs_update_dest.
            last_weight: match destination.weight {
                0 => before.last_weight,
                weight => weight,
            },
            ..before.forwarded_by(destination.forwarding)
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
        // Round robin goes on from the one before it.
        self.move_cursor(maps, key, |at| if at > position as u32 { at - 1 } else { at })?;
        self.weigh(&key);
        self.restart_weighted(maps, key)?;
        // Nobody may choose it any more before it is marked.
        self.write_members(maps, &key)?;
        let conduct = self.tables.get(&key).map(|table| table.settings.conduct);
        self.mark_removed(maps, index, &conduct.unwrap_or_default())?;
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

    fn take_place(&mut self, address: IpAddr) -> Result<u32, EngineError> {
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
        let weight = self.destinations.get(&index).map_or(0, |slot| slot.raw.weight);
        service.weights.add(weight);
        self.move_cursor(maps, key, |at| if at > 0 { at + 1 } else { 0 })?;
        self.restart_weighted(maps, key)?;
        self.dirty.insert(key);
        Ok(())
    }

    /// Its connections wait for its return or not, as its service says now.
    fn mark_removed(
        &mut self,
        maps: &Maps,
        index: u32,
        conduct: &Conduct,
    ) -> Result<(), EngineError> {
        self.removed.insert(index);
        let expires = if conduct.expire_nodest_conn { EXPIRES } else { 0 };
        let flags = REMOVED | expires | if conduct.reset_nodest_conn { RESETS } else { 0 };
        self.rewrite(maps, index, |raw| raw.flags |= flags)
    }

    /// Other time-outs for services that have none of their own.
    pub(crate) fn set_timeouts(
        &mut self,
        maps: &Maps,
        timeouts: &Timeouts,
    ) -> Result<(), EngineError> {
        self.conducts.set_usual(maps, timeouts)
    }

    /// The time-outs of connections.
    pub(crate) fn conducts(&self) -> &Conducts {
        &self.conducts
    }

    /// Whether a connection's server left, and it is not to wait for its return (bpf/remove.h:
    /// slot_lost).
    pub(crate) fn is_lost(&self, head: &Head) -> bool {
        let index = head.destination();
        if head.is_template() || !self.removed.contains(&index) {
            return false;
        }
        let flags = self.destinations.get(&index).map_or(0, |slot| slot.raw.flags);
        head.protocol() == Protocol::Udp.number() || flags & EXPIRES != 0
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
        let settings = self.tables.get(key).map(|table| table.settings).unwrap_or_default();
        let slots = self.slots(key, settings.scheduler);
        let Some(service) = self.services.get_mut(key) else { return Ok(()) };
        if service.conduct != Some(settings.conduct) {
            self.conducts.set(maps, service.index, &settings.conduct)?;
            service.conduct = Some(settings.conduct);
        }
        let mut row = [RawMember::default(); MEMBERS_MAX];
        row[..members.len()].copy_from_slice(&members);
        service.row ^= 1;
        maps.members.update(service.row.as_bytes(), row.as_bytes()).map_err(write("members"))?;
        if let Some(table) = &mut service.table {
            *table ^= 1;
            maps.tables.update(table.as_bytes(), &slots).map_err(write("tables"))?;
        }
        let (most, divisor) = service.weights.of(settings.scheduler);
        let raw = RawService {
            padding: Default::default(),
            index: service.index,
            row: service.row,
            count: members.len() as u32,
            scheduler: scheduler_number(settings.scheduler),
            weight_max: most,
            weight_gcd: divisor,
            persistence_seconds: settings.persistence.map_or(0, |persistence| {
                u32::try_from(persistence.timeout.as_secs()).unwrap_or(u32::MAX).max(1)
            }),
            persistence_bits: settings
                .persistence
                .map_or(0, |p| u32::from(p.prefix_len.min(address_bits(key.family())))),
            hash_flags: hash_flags_number(settings.scheduler),
            table: service.table.unwrap_or_default(),
            mark: key.mark().unwrap_or_default(),
            switches: switches_number(&settings.conduct),
        };
        maps.services_of(key)?
            .update(RawServiceKey::of(key).as_bytes(), raw.as_bytes())
            .map_err(write("services"))
    }

    /// Frees the places of destinations that left and have no connections any more. Returns
    /// their addresses.
    pub(crate) fn free_drained(&mut self, maps: &Maps) -> Vec<IpAddr> {
        let is_drained = |index: &u32| {
            let load = read_load(maps, *index);
            (load.active, load.inactive, load.templates) == (0, 0, 0)
        };
        let drained: Vec<u32> = self.removed.iter().copied().filter(is_drained).collect();
        let mut freed = Vec::new();
        // What an address keeps must not become another server.
        if localities::forget_destinations(maps, &drained).is_err() {
            return freed;
        }
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

/// Bits of an address of this family.
fn address_bits(family: Family) -> u8 {
    match family {
        Family::Ipv4 => 32,
        Family::Ipv6 => 128,
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
