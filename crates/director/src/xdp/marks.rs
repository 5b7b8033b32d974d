//! Firewall marks in the data plane: the firewall's steps as bpf/marks.h has them.

use std::collections::BTreeSet;
use std::net::IpAddr;

use model::marks::{MarkRules, MarkStep, OneOf, PacketMatch, STEPS_MAX, is_interface};
use model::vrrp::{Family, IpPrefix};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::layout::{WideAddress, wide};
use super::object::Maps;
use crate::EngineError;

const PORTS_MAX: usize = 16;
/// Most addresses whose packets may have a mark.
const ADDRESSES_MAX: usize = 4096;
const NOT_SOURCE: u8 = 1;
const NOT_DESTINATION: u8 = 2;
const NOT_PROTOCOL: u8 = 4;
const NOT_PORTS: u8 = 8;
/// No interface has this index.
const NO_INTERFACE: u32 = u32::MAX;

/// One step: conditions of one value each, but for ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
struct RawStep {
    source: WideAddress,
    source_mask: WideAddress,
    destination: WideAddress,
    destination_mask: WideAddress,
    interface: u32,
    value: u32,
    mask: u32,
    then: u16,
    otherwise: u16,
    protocol: u8,
    flags: u8,
    port_count: u8,
    unused: u8,
    ports: [[u16; 2]; PORTS_MAX],
    padding: [u8; 4],
}

/// What the maps have.
#[derive(Debug, Default)]
pub(crate) struct Marks {
    rules: MarkRules,
    addresses: BTreeSet<IpAddr>,
    /// Which of its two programs each family uses.
    banks: [u32; 2],
    written: [Vec<RawStep>; 2],
    /// Of an earlier director: what is there is not known.
    is_known: bool,
}

/// An interface's name and index.
pub(crate) type Named<'a> = (&'a str, u32);

impl Marks {
    /// Other rules, for packets to these addresses.
    pub(crate) fn set(
        &mut self,
        maps: &Maps,
        rules: &MarkRules,
        addresses: &BTreeSet<IpAddr>,
        interfaces: &[Named<'_>],
    ) -> Result<(), EngineError> {
        if addresses.len() > ADDRESSES_MAX {
            let what = "addresses with firewall marks".to_owned();
            return Err(EngineError::Full { what, most: ADDRESSES_MAX as u32 });
        }
        // Before anything is changed.
        for family in [Family::Ipv4, Family::Ipv6] {
            raw_steps(rules.steps(family), interfaces)?;
        }
        self.rules = rules.clone();
        self.write_addresses(maps, addresses)?;
        self.write(maps, interfaces)
    }

    /// There are rules.
    pub(crate) fn are_there(&self) -> bool {
        !self.rules.ipv4.is_empty() || !self.rules.ipv6.is_empty()
    }

    /// Writes the programs, if interfaces by these names make others of the rules.
    pub(crate) fn write(
        &mut self,
        maps: &Maps,
        interfaces: &[Named<'_>],
    ) -> Result<(), EngineError> {
        for (place, family) in [Family::Ipv4, Family::Ipv6].into_iter().enumerate() {
            let steps = raw_steps(self.rules.steps(family), interfaces)?;
            if self.is_known && steps == self.written[place] {
                continue;
            }
            self.banks[place] ^= 1;
            let start = (place as u32 * 2 + self.banks[place]) * STEPS_MAX as u32;
            for (number, step) in (start..).zip(&steps) {
                maps.mark_steps
                    .update(number.as_bytes(), step.as_bytes())
                    .map_err(EngineError::system("write the mark_steps map"))?;
            }
            let program = u64::from(start) | (steps.len() as u64) << 32;
            maps.mark_programs
                .update((place as u32).as_bytes(), program.as_bytes())
                .map_err(EngineError::system("write the mark_programs map"))?;
            self.written[place] = steps;
        }
        self.is_known = true;
        Ok(())
    }

    fn write_addresses(
        &mut self,
        maps: &Maps,
        addresses: &BTreeSet<IpAddr>,
    ) -> Result<(), EngineError> {
        let map = &maps.mark_addresses;
        let former: Vec<WideAddress> = match self.is_known {
            true => self.addresses.iter().map(|address| wide(*address)).collect(),
            false => map
                .lookup_batch(&mut None, 2 * ADDRESSES_MAX)
                .map_err(EngineError::system("read the mark_addresses map"))?
                .iter()
                .filter_map(|(key, _)| key.try_into().ok())
                .collect(),
        };
        let wanted: BTreeSet<WideAddress> = addresses.iter().map(|it| wide(*it)).collect();
        for gone in former.iter().filter(|address| !wanted.contains(*address)) {
            map.delete(gone).map_err(EngineError::system("write the mark_addresses map"))?;
        }
        for address in &wanted {
            map.update(address, 1u32.as_bytes())
                .map_err(EngineError::system("write the mark_addresses map"))?;
        }
        self.addresses = addresses.clone();
        Ok(())
    }
}

/// Each step as one or several of the data plane's, whose conditions have one value each.
fn raw_steps(steps: &[MarkStep], interfaces: &[Named<'_>]) -> Result<Vec<RawStep>, EngineError> {
    if let Some(step) = steps.iter().find(|step| !can_be_negated(&step.packet)) {
        return Err(EngineError::Unsupported(format!("none of several: {:?}", step.packet)));
    }
    let made: Vec<Vec<RawStep>> = steps.iter().map(|step| raw(step, interfaces)).collect();
    let mut starts = Vec::with_capacity(made.len() + 1);
    let mut total = 0;
    for one in &made {
        starts.push(total);
        total += one.len();
    }
    starts.push(total);
    if total > STEPS_MAX {
        let what = "steps of the firewall's rules for marks".to_owned();
        return Err(EngineError::Full { what, most: STEPS_MAX as u32 });
    }
    let place = |step: u16| starts[usize::from(step).min(steps.len())] as u16;
    let mut all = Vec::with_capacity(total);
    for (step, parts) in steps.iter().zip(made) {
        let last = parts.len().saturating_sub(1);
        for (number, mut part) in parts.into_iter().enumerate() {
            part.then = place(step.then);
            // The other values first.
            let next = all.len() as u16 + 1;
            part.otherwise = if number == last { place(step.otherwise) } else { next };
            all.push(part);
        }
    }
    Ok(all)
}

/// "None of several" is not one combination after the other.
fn can_be_negated(packet: &PacketMatch) -> bool {
    let one = |negated: bool, values: usize| !negated || values <= 1;
    one(packet.sources.negated, packet.sources.values.len())
        && one(packet.destinations.negated, packet.destinations.values.len())
        && one(packet.protocols.negated, packet.protocols.values.len())
        && (!packet.ports.negated || packet.ports.values.len() <= PORTS_MAX)
}

/// All combinations of the values of a step.
fn raw(step: &MarkStep, interfaces: &[Named<'_>]) -> Vec<RawStep> {
    let packet = &step.packet;
    let change = step.change.map_or((0, 0), |change| (change.value, change.mask));
    let mut flags = 0;
    for (negated, flag) in [
        (packet.sources.negated, NOT_SOURCE),
        (packet.destinations.negated, NOT_DESTINATION),
        (packet.protocols.negated, NOT_PROTOCOL),
        (packet.ports.negated, NOT_PORTS),
    ] {
        flags |= if negated { flag } else { 0 };
    }
    let indices = indices(&packet.interfaces, interfaces);
    let lists: Vec<&[(u16, u16)]> = match packet.ports.values[..] {
        [] => vec![&[]],
        _ => packet.ports.values.chunks(PORTS_MAX).collect(),
    };
    let mut parts = Vec::new();
    for source in values(&packet.sources.values) {
        for destination in values(&packet.destinations.values) {
            for protocol in values(&packet.protocols.values) {
                for interface in &indices {
                    for ports in &lists {
                        let mut part = RawStep {
                            interface: *interface,
                            value: change.0,
                            mask: change.1,
                            protocol: protocol.copied().unwrap_or_default(),
                            flags,
                            port_count: ports.len() as u8,
                            ..RawStep::EMPTY
                        };
                        (part.source, part.source_mask) = network(source);
                        (part.destination, part.destination_mask) = network(destination);
                        for (raw, (first, last)) in part.ports.iter_mut().zip(ports.iter()) {
                            *raw = [*first, *last];
                        }
                        parts.push(without_idle(part, source, destination));
                    }
                }
            }
        }
    }
    parts
}

impl RawStep {
    const EMPTY: RawStep = RawStep {
        source: [0; 16],
        source_mask: [0; 16],
        destination: [0; 16],
        destination_mask: [0; 16],
        interface: 0,
        value: 0,
        mask: 0,
        then: 0,
        otherwise: 0,
        protocol: 0,
        flags: 0,
        port_count: 0,
        unused: 0,
        ports: [[0; 2]; PORTS_MAX],
        padding: [0; 4],
    };
}

/// A negation of nothing would match no packet.
fn without_idle(
    mut step: RawStep,
    source: Option<&IpPrefix>,
    destination: Option<&IpPrefix>,
) -> RawStep {
    if source.is_none() {
        step.flags &= !NOT_SOURCE;
    }
    if destination.is_none() {
        step.flags &= !NOT_DESTINATION;
    }
    step
}

/// Each value, or once none.
fn values<T>(all: &[T]) -> Vec<Option<&T>> {
    if all.is_empty() { vec![None] } else { all.iter().map(Some).collect() }
}

/// An address and its mask; those of every packet for none.
fn network(prefix: Option<&IpPrefix>) -> (WideAddress, WideAddress) {
    let Some(prefix) = prefix else { return ([0; 16], [0; 16]) };
    let fixed = if prefix.address.is_ipv4() { 96 } else { 0 };
    let ones = fixed + u32::from(prefix.length);
    let mask = u128::MAX.checked_shl(128 - ones.min(128)).unwrap_or(0);
    (wide(prefix.address), mask.to_be_bytes())
}

/// The indices of interfaces, of all others if negated; one that nobody has if there are none.
fn indices(names: &OneOf<String>, interfaces: &[Named<'_>]) -> Vec<u32> {
    if names.values.is_empty() {
        return vec![0];
    }
    let is_meant = |name: &str| {
        names.values.iter().any(|pattern| is_interface(pattern, name)) != names.negated
    };
    let found = interfaces.iter().filter(|(name, _)| is_meant(name)).map(|(_, index)| *index);
    let mut found: Vec<u32> = found.collect();
    if found.is_empty() {
        found.push(NO_INTERFACE);
    }
    found
}

#[cfg(test)]
mod tests {
    use model::marks::MarkChange;

    use super::*;

    fn step(packet: PacketMatch, then: u16, otherwise: u16) -> MarkStep {
        MarkStep { packet, change: Some(MarkChange::set(7)), then, otherwise }
    }

    #[test]
    fn a_step_is_as_large_as_on_the_c_side() {
        assert_eq!(size_of::<RawStep>(), 152);
    }

    #[test]
    fn several_values_become_several_steps_and_targets_move_along() {
        let many = PacketMatch {
            protocols: OneOf::of(vec![6, 17]),
            ports: OneOf::of((0..20).map(|port| (port, port)).collect()),
            ..PacketMatch::default()
        };
        let raw = raw_steps(&[step(many, 2, 1), step(PacketMatch::default(), 2, 2)], &[]).unwrap();
        assert_eq!(raw.len(), 5, "two protocols, two lists of ports, and the other step");
        let targets: Vec<(u16, u16)> = raw.iter().map(|step| (step.then, step.otherwise)).collect();
        assert_eq!(targets, [(5, 1), (5, 2), (5, 3), (5, 4), (5, 5)]);
        assert_eq!((raw[0].port_count, raw[1].port_count, raw[4].port_count), (16, 4, 0));
    }

    #[test]
    fn networks_of_both_families_compare_as_mapped_addresses() {
        let four = IpPrefix { address: [192, 0, 2, 0].into(), length: 24 };
        let (address, mask) = network(Some(&four));
        assert_eq!((&address[10..15], &mask[..15]), (&[255, 255, 192, 0, 2][..], &[255; 15][..]));
        assert_eq!(mask[15], 0);
        assert_eq!(network(None), ([0; 16], [0; 16]));
    }

    #[test]
    fn an_interface_that_is_not_there_matches_nothing() {
        let names = OneOf::of(vec!["eth+".to_owned()]);
        assert_eq!(indices(&names, &[("eth0", 2), ("lo", 1), ("eth1", 3)]), [2, 3]);
        assert_eq!(indices(&names, &[("lo", 1)]), [NO_INTERFACE]);
        let others = OneOf { negated: true, ..names };
        assert_eq!(indices(&others, &[("eth0", 2), ("lo", 1), ("eth1", 3)]), [1]);
    }

    #[test]
    fn too_many_steps_are_an_error() {
        let any = step(PacketMatch::default(), 0, 0);
        assert!(raw_steps(&vec![any.clone(); STEPS_MAX], &[]).is_ok());
        assert!(raw_steps(&vec![any; STEPS_MAX + 1], &[]).is_err());
    }
}
