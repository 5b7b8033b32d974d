//! The maps of another layout, read by their manifest.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use edge::bpf::Map;
use edge::mapped::MappedArray;
use model::layer4::{
    Conduct, Endpoint, Forwarding, HashFlags, Persistence, Scheduler, ServiceKey, StateTimeouts,
    Tunnel,
};
use model::vrrp::Family;
use zerocopy::IntoBytes;

use super::super::conducts::{SWITCHES, conduct_of};
use super::super::layout::{MARKED, protocol_of};
use super::super::slots::state_number;
use super::manifest::{Field, Manifest, Table};
use crate::{Destination, ServiceSettings};

/// Name of the map that holds a layout's manifest, padded with zeros.
pub(crate) const MANIFEST: &str = "manifest";
/// The layout of version 5, which did not say so itself yet.
const V5: &str = include_str!("v5.layout");
/// Elements read with one system call.
const AT_ONCE: usize = 512;

/// A layout and its pinned maps.
pub(crate) struct Source {
    pub(crate) directory: PathBuf,
    pub(crate) manifest: Manifest,
    pub(crate) connections: Vec<Connections>,
    destinations: Map,
    /// Who a destination's number is, as far as asked.
    known: HashMap<u32, Option<(ServiceKey, Endpoint)>>,
}

/// A service as it was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FoundService {
    pub(crate) key: ServiceKey,
    pub(crate) settings: ServiceSettings,
}

/// A destination as it was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FoundDestination {
    pub(crate) service: ServiceKey,
    pub(crate) destination: Destination,
    /// It left the tables; connections still go to it.
    pub(crate) removed: bool,
    /// The weight that Maglev's tables are made of.
    pub(crate) last_weight: u32,
    position: u64,
}

/// The manifest of the maps in a directory; that of version 5 if they are its.
pub(crate) fn manifest_of(directory: &Path, name: &str) -> Result<Manifest, String> {
    let path = directory.join(MANIFEST);
    if !path.exists() {
        return match name {
            "v5" => Manifest::read(V5),
            _ => Err("it does not say what it is like".to_owned()),
        };
    }
    let text = Map::open(&path).and_then(|map| {
        let mut bytes = vec![0; map.value_size()];
        map.lookup(0u32.as_bytes(), &mut bytes)?;
        Ok(bytes)
    });
    let text = text.map_err(|error| error.to_string())?;
    let length = text.iter().position(|byte| *byte == 0).unwrap_or(text.len());
    Manifest::read(&String::from_utf8_lossy(&text[..length]))
}

/// Writes a manifest beside the maps that it describes.
pub(crate) fn write_manifest(directory: &Path, manifest: &Manifest) -> io::Result<()> {
    let path = directory.join(MANIFEST);
    let mut text = manifest.to_string().into_bytes();
    let map = match path.exists() {
        true => Map::open(&path)?,
        false => {
            let map = Map::create(edge::bpf::MapKind::Array, MANIFEST, 4, MANIFEST_BYTES, 1)?;
            map.pin(&path)?;
            map
        }
    };
    text.resize(map.value_size(), 0);
    map.update(0u32.as_bytes(), &text)
}

/// Room for a manifest: the one of version 5 has 3 KiB.
const MANIFEST_BYTES: u32 = 16 << 10;

impl Source {
    /// Opens the maps of a layout. The text says what cannot be read.
    pub(crate) fn open(directory: &Path, name: &str) -> Result<Source, String> {
        let manifest = manifest_of(directory, name)?;
        let open = |table: &Table| {
            let map = Map::open(&directory.join(&table.map));
            map.map_err(|error| format!("map {}: {error}", table.map))
        };
        let connections: Vec<Connections> = manifest
            .all("connections")
            // A family that was not used has no map.
            .filter(|table| directory.join(&table.map).exists())
            .map(|table| Connections::over(&open(table)?, table))
            .collect::<Result<_, _>>()?;
        let destinations = manifest.all("destinations").next().ok_or("it has no destinations")?;
        let destinations = open(destinations)?;
        let directory = directory.to_path_buf();
        Ok(Source { directory, manifest, connections, destinations, known: HashMap::new() })
    }

    /// The services.
    pub(crate) fn services(&self) -> Result<Vec<FoundService>, String> {
        let mut found = Vec::new();
        for table in self.manifest.all("services") {
            if !self.directory.join(&table.map).exists() {
                continue;
            }
            let map = Map::open(&self.directory.join(&table.map)).map_err(|e| e.to_string())?;
            for record in records(&map, table)? {
                found.extend(service(table, &record));
            }
        }
        Ok(found)
    }

    /// The destinations, in the order in which they were added.
    pub(crate) fn destinations(&self) -> Result<Vec<FoundDestination>, String> {
        let mut found = Vec::new();
        for table in self.manifest.all("destinations") {
            for record in records(&self.destinations, table)? {
                found.extend(destination(table, &record));
            }
        }
        found.sort_by_key(|one| one.position);
        Ok(found)
    }

    /// Which destination has this number.
    pub(crate) fn destination(&mut self, number: u32) -> Option<(ServiceKey, Endpoint)> {
        if let Some(known) = self.known.get(&number) {
            return *known;
        }
        let table = self.manifest.all("destinations").next()?;
        let mut record = vec![0; self.destinations.value_size()];
        let read = self.destinations.lookup(number.as_bytes(), &mut record).unwrap_or(false);
        let found = if read { destination(table, &record) } else { None };
        let found = found.map(|found| (found.service, found.destination.endpoint));
        self.known.insert(number, found);
        found
    }

    /// Connections and templates of a family that there is room for.
    pub(crate) fn room(&self, family: Family) -> u32 {
        // Twice as many slots, and an eighth of those for who is away from home.
        let tables = self.connections.iter().filter(|table| table.family == family);
        tables.map(|table| table.count() / 9 * 4).max().unwrap_or(0)
    }
}

fn records(map: &Map, table: &Table) -> Result<Vec<Vec<u8>>, String> {
    let (mut all, mut cursor) = (Vec::new(), None);
    loop {
        let batch = map.lookup_batch(&mut cursor, AT_ONCE).map_err(|error| error.to_string())?;
        for (key, value) in batch.iter() {
            let record = [if table.key > 0 { key } else { &[] }, value].concat();
            if record.len() == table.record {
                all.push(record);
            }
        }
        if cursor.is_none() {
            return Ok(all);
        }
    }
}

/// An address of four bytes, or of sixteen with IPv4 mapped into them.
fn address(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => Some(Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?).into()),
        16 => Some(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?).to_canonical()),
        _ => None,
    }
}

fn key(table: &Table, record: &[u8], prefix: &str) -> Option<ServiceKey> {
    let field = |name: &str| table.field(&format!("{prefix}{name}"));
    let address = address(field("address").bytes(record))?;
    let protocol = field("protocol").number(record) as u8;
    if protocol == MARKED {
        return Some(match address {
            IpAddr::V4(mark) => ServiceKey::Mark { mark: mark.into(), family: Family::Ipv4 },
            // Its last bytes.
            IpAddr::V6(mark) => {
                ServiceKey::Mark { mark: u128::from(mark) as u32, family: Family::Ipv6 }
            }
        });
    }
    let port = field("port").number(record) as u16;
    Some(ServiceKey::Address { address, port, protocol: protocol_of(protocol) })
}

fn service(table: &Table, record: &[u8]) -> Option<FoundService> {
    let number = |name: &str| table.field(name).number(record);
    let scheduler = table.word("scheduler", number("scheduler"))?;
    let scheduler = Scheduler::ALL.into_iter().find(|one| one.name() == scheduler)?;
    let flags =
        HashFlags { fallback: number("hash_fallback") != 0, port: number("hash_port") != 0 };
    let seconds = number("persistence_seconds");
    // Time-outs of its own come with the configuration.
    let switches = SWITCHES.map(|(name, bit)| if number(name) != 0 { bit } else { 0 });
    let conduct = match table.field("conn_reuse") {
        Field::Absent => Conduct::default(),
        Field::Number { .. } | Field::Network { .. } | Field::Bytes { .. } => {
            conduct_of(switches.into_iter().sum(), StateTimeouts::default())
        }
    };
    let settings = ServiceSettings {
        conduct,
        scheduler: scheduler.with_hash_flags(flags),
        persistence: (seconds > 0).then(|| Persistence {
            timeout: Duration::from_secs(seconds),
            prefix_len: number("persistence_bits") as u8,
        }),
    };
    Some(FoundService { key: key(table, record, "")?, settings })
}

fn destination(table: &Table, record: &[u8]) -> Option<FoundDestination> {
    let number = |name: &str| table.field(name).number(record);
    let word = |name: &str| table.word(name, number(name));
    if number("in_use") == 0 {
        return None;
    }
    let checksum = number("tunnel_checksum") != 0;
    let forwarding = match (word("forwarding")?, word("tunnel")) {
        ("nat", _) => Forwarding::Nat,
        ("direct", _) => Forwarding::DirectRouting,
        ("tunnel", Some("ipip")) => Forwarding::Tunnel(Tunnel::IpIp),
        ("tunnel", Some("gre")) => Forwarding::Tunnel(Tunnel::Gre { checksum }),
        ("tunnel", Some("gue")) => {
            Forwarding::Tunnel(Tunnel::Gue { port: number("tunnel_port") as u16, checksum })
        }
        (_, _) => return None,
    };
    let endpoint = Endpoint {
        address: address(table.field("address").bytes(record))?,
        port: number("port") as u16,
    };
    Some(FoundDestination {
        service: key(table, record, "service_")?,
        destination: Destination {
            endpoint,
            weight: number("weight") as u32,
            forwarding,
            upper_threshold: number("upper_threshold") as u32,
            lower_threshold: number("lower_threshold") as u32,
        },
        removed: number("removed") != 0,
        last_weight: number("last_weight") as u32,
        position: number("position"),
    })
}

/// One table of connections, mapped.
pub(crate) struct Connections {
    mapped: MappedArray,
    words: usize,
    /// The word of a record, and the bits in it, that say whether it is used.
    used: (usize, u64),
    /// By the length of its addresses.
    pub(crate) family: Family,
    fields: Fields,
    /// By the numbers of its states: theirs here.
    states: Vec<Option<u8>>,
}

/// Where things stand in a connection.
struct Fields {
    used: Field,
    busy: Field,
    template: Field,
    generation: Field,
    state: Field,
    destination: Field,
    seen: Field,
    client: Field,
    address: Field,
    client_port: Field,
    port: Field,
    protocol: Field,
    reference_slot: Field,
    reference_check: Field,
    reference_bits: Field,
}

/// A connection or template as it was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FoundConnection {
    pub(crate) is_template: bool,
    pub(crate) client: IpAddr,
    pub(crate) address: IpAddr,
    pub(crate) client_port: u16,
    pub(crate) port: u16,
    pub(crate) protocol: u8,
    /// As here.
    pub(crate) state: u8,
    /// By the number it has there.
    pub(crate) destination: u32,
    /// Its clock's, when it was last seen; a template's: when its time is over.
    pub(crate) seen: u32,
    /// The slot of its template.
    pub(crate) template: Option<u32>,
    /// Tells owners of a slot apart; never zero.
    pub(crate) owner: u32,
}

impl Connections {
    fn over(map: &Map, table: &Table) -> Result<Connections, String> {
        let mapped = MappedArray::over(map).map_err(|e| format!("map {}: {e}", table.map))?;
        let field = |name: &str| match table.field(name) {
            Field::Absent => Err(format!("a connection has no {name}")),
            field => Ok(field),
        };
        let fields = Fields {
            used: field("used")?,
            busy: table.field("busy"),
            template: table.field("template"),
            generation: table.field("generation"),
            state: field("state")?,
            destination: field("destination")?,
            seen: field("seen")?,
            client: field("client")?,
            address: field("address")?,
            client_port: field("client_port")?,
            port: field("port")?,
            protocol: field("protocol")?,
            reference_slot: table.field("reference_slot"),
            reference_check: table.field("reference_check"),
            reference_bits: table.field("reference_bits"),
        };
        if !table.record.is_multiple_of(size_of::<u64>()) {
            return Err(format!("a connection has {} bytes", table.record));
        }
        let here = |number: u64| {
            let name = table.word("state", number)?;
            state_number(name)
        };
        let states = (0..256).map(here).collect();
        let family = match fields.client.bytes(&vec![0; table.record]).len() {
            4 => Family::Ipv4,
            _ => Family::Ipv6,
        };
        let words = table.record / size_of::<u64>();
        let used = fields.used.bits().ok_or("what says whether a slot is used stands askew")?;
        Ok(Connections { mapped, words, used, family, fields, states })
    }

    /// How many slots there are.
    pub(crate) fn count(&self) -> u32 {
        (self.mapped.len() / self.words) as u32
    }

    /// Who has a slot, if anybody and completely. `room` is for reading.
    pub(crate) fn read(&self, number: u32, room: &mut Vec<u64>) -> Option<FoundConnection> {
        room.resize(2 * self.words, 0);
        let (one, two) = room.split_at_mut(self.words);
        let at = number as usize * self.words;
        // Most are empty, which one word says.
        let [word] = self.mapped.load(at + self.used.0)?;
        if word & self.used.1 == 0 {
            return None;
        }
        // Whoever writes it meanwhile is done soon: twice the same is what it is.
        for _ in 0..READ_TRIES {
            if !self.mapped.load_into(at, one) || self.fields.used.number(one.as_bytes()) == 0 {
                return None;
            }
            if self.mapped.load_into(at, two) && one == two {
                return self.found(one.as_bytes());
            }
        }
        None
    }

    fn found(&self, record: &[u8]) -> Option<FoundConnection> {
        let fields = &self.fields;
        if fields.busy.number(record) != 0 {
            return None;
        }
        let state = *self.states.get(fields.state.number(record) as usize)?;
        let (client_port, port) = (fields.client_port.number(record), fields.port.number(record));
        let protocol = fields.protocol.number(record);
        let owner = fields.generation.number(record) << 8 ^ client_port << 16 ^ port ^ protocol;
        let slot = fields.reference_slot.number(record) as u32;
        let is_template = fields.template.number(record) != 0;
        Some(FoundConnection {
            is_template,
            client: address(fields.client.bytes(record))?,
            address: address(fields.address.bytes(record))?,
            client_port: client_port as u16,
            port: port as u16,
            protocol: protocol as u8,
            state: state?,
            destination: fields.destination.number(record) as u32,
            seen: fields.seen.number(record) as u32,
            template: slot.checked_sub(1).filter(|slot| !is_template && self.holds(*slot, record)),
            owner: (owner as u32).max(1),
        })
    }

    /// Whether the template that a connection refers to is still that one.
    fn holds(&self, template: u32, record: &[u8]) -> bool {
        let mut room = vec![0; self.words];
        let there = self.mapped.load_into(template as usize * self.words, &mut room);
        let fields = &self.fields;
        there
            && fields.template.number(room.as_bytes()) != 0
            && fields.used.number(room.as_bytes()) != 0
            && fields.reference_bits.number(room.as_bytes())
                == fields.reference_check.number(record)
    }
}

/// A slot is written in much less time than this many looks at it take.
const READ_TRIES: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_5_is_known_and_has_what_is_needed() {
        let manifest = Manifest::read(V5).unwrap();
        assert_eq!((manifest.layout.as_str(), manifest.tick), ("v5", 21));
        let table = manifest.all("services").next().unwrap();
        let mut record = vec![0; table.record];
        record[..7].copy_from_slice(&[192, 0, 2, 1, 0, 80, 6]);
        record[20..24].copy_from_slice(&9u32.to_ne_bytes());
        record[32..36].copy_from_slice(&50u32.to_ne_bytes());
        record[36..40].copy_from_slice(&24u32.to_ne_bytes());
        record[40..44].copy_from_slice(&2u32.to_ne_bytes());
        let found = service(table, &record).unwrap();
        assert_eq!(found.key.to_string(), "TCP 192.0.2.1:80");
        let flags = HashFlags { fallback: false, port: true };
        assert_eq!(found.settings.scheduler, Scheduler::SourceHashing(flags));
        let persistence = Persistence { timeout: Duration::from_secs(50), prefix_len: 24 };
        assert_eq!(found.settings.persistence, Some(persistence));
    }

    #[test]
    fn a_destination_of_version_5_is_read_with_its_way() {
        let manifest = Manifest::read(V5).unwrap();
        let table = manifest.all("destinations").next().unwrap();
        let mut record = vec![0; table.record];
        assert_eq!(destination(table, &record), None, "not in use");
        record[..12].copy_from_slice(&[10, 0, 0, 3, 0x1f, 0x90, 2, 3, 7, 0, 0, 0]);
        record[28..35].copy_from_slice(&[192, 0, 2, 1, 0, 80, 17]);
        record[60..].copy_from_slice(&[0x17, 0xc0, 2, 1]);
        let found = destination(table, &record).unwrap();
        assert!(found.removed);
        assert_eq!(found.destination.endpoint.to_string(), "10.0.0.3:8080");
        let tunnel = Tunnel::Gue { port: 6080, checksum: true };
        assert_eq!(found.destination.forwarding, Forwarding::Tunnel(tunnel));
        assert_eq!(found.service.to_string(), "UDP 192.0.2.1:80");
    }
}
