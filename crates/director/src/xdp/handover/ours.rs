//! What our own layout is like, for other versions: made of the very types that read and write it.

use std::mem::offset_of;

use model::layer4::Scheduler;
use model::vrrp::Family;

use super::super::conducts::SWITCHES;
use super::super::layout::{
    self, LAYOUT, RawDestination, RawService, RawServiceKey4, RawServiceKey6, RawServiceName,
    scheduler_number,
};
use super::super::slots::{
    Head, RawSlot4, RawSlot6, TICK_SHIFT, slot_words, state_names, table_name,
};
use super::manifest::{Field, Manifest, Table};
use crate::variant::PADDING;

/// A word of a type: `word!(RawService, weight)`.
macro_rules! word {
    ($of:ty, $field:ident, $bytes:literal) => {
        Field::word(offset_of!($of, $field), $bytes)
    };
}

/// The manifest of the maps that this version makes.
pub(crate) fn manifest() -> Manifest {
    let families = [Family::Ipv4, Family::Ipv6];
    let mut tables: Vec<Table> = families.map(connections).into();
    tables.push(destinations());
    tables.extend(families.map(services));
    Manifest { layout: LAYOUT.to_owned(), tick: TICK_SHIFT, tables }
}

/// Bytes of an address in a family's own tables.
const fn address_bytes(family: Family) -> usize {
    match family {
        Family::Ipv4 => 4,
        Family::Ipv6 => 16,
    }
}

fn connections(family: Family) -> Table {
    let tag = PADDING + offset_of!(Head, tag);
    let word = PADDING + offset_of!(Head, word);
    let template = PADDING + offset_of!(Head, template);
    // Bits of the tag: bpf/table.h.
    let of_tag = |shift, width| Field::Number { offset: tag, bytes: 8, shift, width };
    let of_template = |shift, width| Field::Number { offset: template, bytes: 4, shift, width };
    let (client, address) = match family {
        Family::Ipv4 => (offset_of!(RawSlot4, client), offset_of!(RawSlot4, address)),
        Family::Ipv6 => (offset_of!(RawSlot6, client), offset_of!(RawSlot6, address)),
    };
    let of_address =
        |offset: usize| Field::Bytes { offset: PADDING + offset, bytes: address_bytes(family) };
    Table::new("connections", table_name(family), 0, slot_words(family) * size_of::<u64>())
        .with("client_port", Field::Network { offset: tag, bytes: 2 })
        .with("port", Field::Network { offset: tag + 2, bytes: 2 })
        .with("protocol", Field::word(tag + 4, 1))
        .with("used", of_tag(40, 1))
        .with("busy", of_tag(41, 1))
        .with("template", of_tag(42, 1))
        .with("generation", of_tag(51, 13))
        .with("reference_bits", of_tag(51, 6))
        .with("destination", Field::word(word, 4))
        .with("state", Field::Number { offset: word, bytes: 8, shift: 32, width: 8 })
        .with("reference_slot", of_template(0, 26))
        .with("reference_check", of_template(26, 6))
        .with("seen", Field::word(PADDING + offset_of!(Head, seen), 4))
        .with("client", of_address(client))
        .with("address", of_address(address))
        .meaning("state", state_names())
}

fn destinations() -> Table {
    let flags = offset_of!(RawDestination, flags);
    let service = offset_of!(RawDestination, service);
    let flag =
        |bit: u8| Field::Number { offset: flags, bytes: 1, shift: bit.trailing_zeros(), width: 1 };
    let of_service =
        |offset: usize, bytes: usize| Field::Network { offset: service + offset, bytes };
    Table::new("destinations", "destinations", 0, size_of::<RawDestination>())
        .with("address", Field::Bytes { offset: offset_of!(RawDestination, address), bytes: 16 })
        .with("port", Field::Network { offset: offset_of!(RawDestination, port), bytes: 2 })
        .with("forwarding", word!(RawDestination, forwarding, 1))
        .with("in_use", flag(layout::IN_USE))
        .with("removed", flag(layout::REMOVED))
        .with("weight", word!(RawDestination, weight, 4))
        .with(
            "service_address",
            Field::Bytes { offset: service + offset_of!(RawServiceName, address), bytes: 16 },
        )
        .with("service_port", of_service(offset_of!(RawServiceName, port), 2))
        .with("service_protocol", Field::word(service + offset_of!(RawServiceName, protocol), 1))
        .with("position", word!(RawDestination, position, 4))
        .with("upper_threshold", word!(RawDestination, upper_threshold, 4))
        .with("lower_threshold", word!(RawDestination, lower_threshold, 4))
        .with("last_weight", word!(RawDestination, last_weight, 4))
        .with(
            "tunnel_port",
            Field::Network { offset: offset_of!(RawDestination, tunnel_port), bytes: 2 },
        )
        .with("tunnel", word!(RawDestination, tunnel, 1))
        .with(
            "tunnel_checksum",
            Field::Number {
                offset: offset_of!(RawDestination, tunnel_flags),
                bytes: 1,
                shift: layout::CHECKSUM.trailing_zeros(),
                width: 1,
            },
        )
        .meaning("forwarding", layout::FORWARDING_NAMES)
        .meaning("tunnel", layout::TUNNEL_NAMES)
}

fn services(family: Family) -> Table {
    let (map, key, port, protocol) = match family {
        Family::Ipv4 => (
            "services",
            size_of::<RawServiceKey4>(),
            offset_of!(RawServiceKey4, port),
            offset_of!(RawServiceKey4, protocol),
        ),
        Family::Ipv6 => (
            "services6",
            size_of::<RawServiceKey6>(),
            offset_of!(RawServiceKey6, port),
            offset_of!(RawServiceKey6, protocol),
        ),
    };
    let value = |offset: usize| Field::word(key + offset, 4);
    let hash_flag = |bit: u32| Field::Number {
        offset: key + offset_of!(RawService, hash_flags),
        bytes: 4,
        shift: bit.trailing_zeros(),
        width: 1,
    };
    let schedulers = Scheduler::ALL.map(|one| (u64::from(scheduler_number(one)), one.name()));
    Table::new("services", map, key, key + size_of::<RawService>())
        .with("address", Field::Bytes { offset: 0, bytes: address_bytes(family) })
        .with("port", Field::Network { offset: port, bytes: 2 })
        .with("protocol", Field::word(protocol, 1))
        .with("scheduler", value(offset_of!(RawService, scheduler)))
        .with("persistence_seconds", value(offset_of!(RawService, persistence_seconds)))
        .with("persistence_bits", value(offset_of!(RawService, persistence_bits)))
        .with("hash_fallback", hash_flag(layout::HASH_FALLBACK))
        .with("hash_port", hash_flag(layout::HASH_PORT))
        .meaning("scheduler", schedulers)
        .with_switches(key + offset_of!(RawService, switches))
}

impl Table {
    /// One field for each, by its name.
    fn with_switches(self, offset: usize) -> Table {
        SWITCHES.into_iter().fold(self, |table, (name, bit)| {
            let shift = bit.trailing_zeros();
            table.with(name, Field::Number { offset, bytes: 4, shift, width: 1 })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_manifest_is_read_as_it_was_written_and_has_room_in_its_map() {
        let ours = manifest();
        let text = ours.to_string();
        assert!(text.len() < 8 << 10, "{}", text.len());
        assert_eq!(Manifest::read(&text), Ok(ours));
    }

    #[test]
    fn schedulers_and_states_have_their_names_in_it() {
        let ours = manifest();
        let services = ours.all("services").next().unwrap();
        assert_eq!(services.number("scheduler", "mh"), Some(10));
        let connections = ours.all("connections").next().unwrap();
        assert_eq!(connections.number("state", "ESTABLISHED"), Some(1));
        assert_eq!(connections.number("state", "TEMPLATE"), Some(12));
    }
}
