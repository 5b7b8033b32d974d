//! The whole connection table, read from outside and recounted.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use director::xdp::LAYOUT;
use edge::bpf::Map;
use model::vrrp::Family;

const USED: u64 = 1 << 40;
const BUSY: u64 = 1 << 41;
const TEMPLATE: u64 = 1 << 42;
const AWAY: u64 = 1 << 43;
const ABSENT_SHIFT: u32 = 47;
const GENERATION_SHIFT: u32 = 51;
/// ESTABLISHED, SYN_SENT, SYN_RECV, SYNACK.
const ACTIVE: [u64; 4] = [1, 2, 3, 10];

/// One slot, as in bpf/table.h.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slot {
    pub(crate) tag: u64,
    pub(crate) word: u64,
    pub(crate) template: u32,
    ends: Ends,
}

/// Client and virtual address, in the machine's order as the program reads them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Ends {
    V4(u32, u32),
    V6([u64; 2], [u64; 2]),
}

impl Slot {
    fn read(bytes: &[u8]) -> Slot {
        let long = |at: usize| u64::from_ne_bytes(bytes[at..at + 8].try_into().unwrap());
        let short = |at: usize| u32::from_ne_bytes(bytes[at..at + 4].try_into().unwrap());
        Slot {
            tag: long(0),
            word: long(8),
            template: short(16),
            ends: match bytes.len() {
                32 => Ends::V4(short(24), short(28)),
                _ => Ends::V6([long(24), long(32)], [long(40), long(48)]),
            },
        }
    }

    fn is_template(&self) -> bool {
        self.tag & TEMPLATE != 0
    }

    /// Client port, virtual port and protocol.
    fn sides(&self) -> u64 {
        self.tag & 0xff_ffff_ffff
    }

    pub(crate) fn state(&self) -> u64 {
        (self.word >> 32) & 0xff
    }

    fn destination(&self) -> u32 {
        self.word as u32
    }

    fn reference(&self, number: usize) -> u32 {
        (((self.tag >> GENERATION_SHIFT) as u32) << 26) | (number as u32 + 1)
    }

    /// As hash_of in bpf/table.h.
    fn hash(&self, seed: u64) -> u64 {
        let (port, protocol) = (self.tag & 0xffff, (self.tag >> 32) & 0xff);
        let (client, address) = match self.ends {
            Ends::V4(client, address) => (u64::from(client) << 32, u64::from(address)),
            Ends::V6(client, address) => {
                (mixed(client, seed) << 24, mixed(address, seed) << 24 >> 24)
            }
        };
        let mut hash = client | (port << 8) | protocol;
        if self.is_template() {
            let rest = address ^ (((self.tag >> 16) & 0xffff) << 32);
            hash ^= rest.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        }
        hash = (hash ^ 0x2545_f491_4f6c_dd1d).wrapping_mul(seed | 1);
        hash ^= hash >> 32;
        hash.wrapping_mul(0xd6e8_feb8_6659_fd93)
    }
}

/// As address_mixed there.
fn mixed(halves: [u64; 2], seed: u64) -> u64 {
    let mixed = (halves[0] ^ seed).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 32) ^ halves[1]).wrapping_mul(seed | 1);
    mixed ^ (mixed >> 32)
}

/// As away_of there.
fn away(hash: u64, number: u64) -> u64 {
    let step = number.wrapping_mul(0x2545_f491_4f6c_dd1d);
    hash.wrapping_add(step).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40
}

/// All buckets of IPv4's table, as bytes.
pub(crate) fn table(pins: &Path) -> Map {
    table_of(pins, Family::Ipv4)
}

/// Those of a family's.
pub(crate) fn table_of(pins: &Path, family: Family) -> Map {
    let name = match family {
        Family::Ipv4 => "connections",
        Family::Ipv6 => "connections6",
    };
    Map::open(&pins.join(LAYOUT).join(name)).unwrap()
}

/// Every slot of IPv4's table.
pub(crate) fn slots(pins: &Path) -> Vec<Slot> {
    slots_of(pins, Family::Ipv4)
}

fn slots_of(pins: &Path, family: Family) -> Vec<Slot> {
    let map = table_of(pins, family);
    let mut bucket = vec![0; map.value_size()];
    let mut slots = Vec::new();
    for index in 0..map.max_entries() {
        assert!(map.lookup(&index.to_ne_bytes(), &mut bucket).unwrap());
        slots.extend(bucket.chunks(bucket.len() / 4).map(Slot::read));
    }
    slots
}

fn seed(pins: &Path) -> u64 {
    let mut seed = [0; 8];
    let map = Map::open(&pins.join(LAYOUT).join("seed")).unwrap();
    assert!(map.lookup(&[0; 4], &mut seed).unwrap());
    u64::from_ne_bytes(seed)
}

/// What the program counted at each destination: active, inactive, templates.
fn counted(pins: &Path) -> BTreeMap<u32, [u32; 3]> {
    let map = Map::open(&pins.join(LAYOUT).join("loads")).unwrap();
    let mut all = BTreeMap::new();
    let mut load = [0; 16];
    for index in 0..1024u32 {
        assert!(map.lookup(&index.to_ne_bytes(), &mut load).unwrap());
        let count = |at: usize| u32::from_ne_bytes(load[at..at + 4].try_into().unwrap());
        let counts = [0, 4, 8].map(count);
        if counts != [0; 3] {
            all.insert(index, counts);
        }
    }
    all
}

/// What an audit found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) connections: usize,
    pub(crate) templates: usize,
    /// Not in their home bucket, either kind.
    pub(crate) away: usize,
}

/// Checks the table against itself and against the destinations' counts. Nobody may use it
/// meanwhile.
pub(crate) fn audit(pins: &Path) -> Found {
    audit_of(pins, Family::Ipv4)
}

/// The same of a family's table, when the other one's is empty.
pub(crate) fn audit_of(pins: &Path, family: Family) -> Found {
    let (found, recounted) = recount(pins, family);
    assert_eq!(counted(pins), recounted, "counts of the destinations");
    found
}

/// The same of both families' tables, which count at the same destinations.
#[allow(dead_code, reason = "the tests of the layouts use it")]
pub(crate) fn audit_both(pins: &Path) -> [Found; 2] {
    let [(four, mut recounted), (six, more)] =
        [Family::Ipv4, Family::Ipv6].map(|family| recount(pins, family));
    for (destination, counts) in more {
        let all = recounted.entry(destination).or_default();
        all.iter_mut().zip(counts).for_each(|(all, count)| *all += count);
    }
    assert_eq!(counted(pins), recounted, "counts of the destinations");
    [four, six]
}

/// Holds a family's table against itself, and counts its entries at their destinations.
fn recount(pins: &Path, family: Family) -> (Found, BTreeMap<u32, [u32; 3]>) {
    let (slots, seed) = (slots_of(pins, family), seed(pins));
    let buckets_log2 = (slots.len() / 4).ilog2();
    let (homes, most) = (1u64 << buckets_log2, (1u64 << (buckets_log2 - 3)) - 1);
    let mut found = Found::default();
    let mut keys = HashMap::new();
    let mut recounted: BTreeMap<u32, [u32; 3]> = BTreeMap::new();
    let mut controlled: HashMap<u32, u32> = HashMap::new();
    let mut absent = HashMap::new();
    for (number, slot) in slots.iter().enumerate().filter(|(_, slot)| slot.tag & USED != 0) {
        assert_eq!(slot.tag & BUSY, 0, "slot {number} is left behind half written");
        let key = (slot.ends, slot.sides(), slot.is_template());
        if let Some(before) = keys.insert(key, number) {
            panic!("slots {before} and {number} have the same key: {slot:?}");
        }
        let (hash, bucket) = (slot.hash(seed), number as u64 / 4);
        let home = hash >> (64 - buckets_log2);
        if slot.tag & AWAY == 0 {
            assert_eq!(bucket, home, "slot {number} is not at home");
        } else {
            let mut four = (0..4).map(|at| homes + (away(hash, at) & most));
            assert!(four.any(|it| it == bucket), "slot {number} is nowhere");
            *absent.entry(home).or_insert(0) += 1;
            found.away += 1;
        }
        let counts = recounted.entry(slot.destination()).or_default();
        if slot.is_template() {
            counts[2] += 1;
            found.templates += 1;
        } else {
            counts[usize::from(!ACTIVE.contains(&slot.state()))] += 1;
            found.connections += 1;
            if slot.template != 0 {
                *controlled.entry(slot.template).or_default() += 1;
            }
        }
    }
    for (home, first) in slots.iter().step_by(4).enumerate().take(homes as usize) {
        let expected = absent.get(&(home as u64)).copied().unwrap_or_default();
        assert_eq!((first.tag >> ABSENT_SHIFT) & 15, expected, "away from bucket {home}");
    }
    for (number, slot) in slots.iter().enumerate() {
        if slot.tag & USED != 0 && slot.is_template() {
            let expected = controlled.get(&slot.reference(number)).copied().unwrap_or_default();
            assert_eq!(slot.template, expected, "controlled by the template in slot {number}");
        }
    }
    (found, recounted)
}
