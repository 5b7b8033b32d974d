//! The connection tables as user space sees them: Rust's side of bpf/table.h. One for each family,
//! which differ in the size of their slots.

use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::IpAddr;
use std::path::Path;

use edge::bpf::{Map, MapKind};
use edge::mapped::MappedArray;
use model::Time;
use model::layer4::{Protocol, State};
use model::vrrp::Family;
use zerocopy::big_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::conducts::Conducts;
use crate::variant::PADDING;

/// Slots of a bucket.
pub(crate) const SLOTS: u32 = 4;
/// Words of 64 bits that every slot begins with: tag, word, template and the last packet's time.
const HEAD_WORDS: usize = 3;
/// Least and most buckets of homes, as powers of two. References to slots have 26 bits.
const BUCKETS_LOG2: std::ops::RangeInclusive<u32> = 5..=23;
const SEED: &str = "seed";

const USED: u64 = 1 << 40;
const BUSY: u64 = 1 << 41;
const TEMPLATE: u64 = 1 << 42;
const OF_BUCKET: u64 = 0x1f << 46;
const DEAD: u64 = 0xff;

/// 2^21 ns, modulo 2^32.
pub(crate) const TICK_SHIFT: u32 = 21;
pub(crate) const SECOND: u64 = 1_000_000_000;

/// Ticks of so many seconds.
pub(crate) fn ticks_of(seconds: u32) -> u32 {
    ((u64::from(seconds) * SECOND) >> TICK_SHIFT) as u32
}

/// A state's name among all: those of SCTP are TCP's too.
fn full_name(state: &State) -> String {
    match state.protocol {
        Protocol::Tcp | Protocol::Udp => state.name.to_owned(),
        Protocol::Sctp => format!("SCTP_{}", state.name),
    }
}

/// The number of a template's state.
const TEMPLATE_STATE: u8 = 12;

/// The number of a state by its name: that of a template's too.
pub(crate) fn state_number(name: &str) -> Option<u8> {
    let found = State::ALL.iter().find(|state| full_name(state) == name);
    found.map(|state| state.number).or((name == "TEMPLATE").then_some(TEMPLATE_STATE))
}

/// Every state's number and name.
pub(crate) fn state_names() -> impl Iterator<Item = (u64, String)> {
    let template = (u64::from(TEMPLATE_STATE), "TEMPLATE".to_owned());
    State::ALL.iter().map(|state| (u64::from(state.number), full_name(state))).chain([template])
}

/// The clock of the table.
pub(crate) fn ticks(now: Time) -> u32 {
    (now.as_nanos() >> TICK_SHIFT) as u32
}

/// How large the table is, and by which numbers its hash goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Geometry {
    pub(crate) buckets_log2: u32,
    pub(crate) seed: u64,
}

impl Geometry {
    /// That of a family's table pinned in `directory`; of a new one with room for so many
    /// connections if there is none. Twice as many slots: then less than one in twenty-five connections is away
    /// from its home in a table that is as full as it should be.
    pub(crate) fn of(
        family: Family,
        directory: &Path,
        connections_max: u32,
    ) -> io::Result<Geometry> {
        let seed = seed(&directory.join(SEED))?;
        let path = directory.join(table_name(family));
        let buckets_log2 = match path.exists() {
            true => Map::open(&path)?.max_entries().max(1).ilog2(),
            false => homes_log2(connections_max),
        };
        Ok(Geometry { buckets_log2, seed })
    }

    /// Buckets of homes, and an eighth as many for those away.
    pub(crate) fn buckets(&self) -> u32 {
        (1 << self.buckets_log2) + (1 << (self.buckets_log2 - 3))
    }
}

/// The map that holds a family's connections.
pub(crate) const fn table_name(family: Family) -> &'static str {
    match family {
        Family::Ipv4 => "connections",
        Family::Ipv6 => "connections6",
    }
}

/// Words of a slot.
pub(crate) const fn slot_words(family: Family) -> usize {
    match family {
        Family::Ipv4 => 4 + PADDING / 8,
        Family::Ipv6 => 8 + PADDING / 8,
    }
}

/// Buckets of homes for so many connections: two of them share one.
fn homes_log2(connections_max: u32) -> u32 {
    let buckets = connections_max.div_ceil(SLOTS / 2).max(1);
    let log2 = u32::BITS - (buckets - 1).leading_zeros();
    log2.clamp(*BUCKETS_LOG2.start(), *BUCKETS_LOG2.end())
}

/// The number that no client knows, the same for all programs that use the table.
fn seed(path: &Path) -> io::Result<u64> {
    let key = 0u32;
    if path.exists() {
        let mut seed = 0u64;
        Map::open(path)?.lookup(key.as_bytes(), seed.as_mut_bytes())?;
        return Ok(seed);
    }
    let seed = RandomState::new().hash_one(SEED);
    let map = Map::create(MapKind::Array, SEED, 4, 8, 1)?;
    map.update(key.as_bytes(), seed.as_bytes())?;
    match map.pin(path) {
        Ok(()) => Ok(seed),
        Err(error) => {
            let _ = fs::remove_file(path);
            Err(error)
        }
    }
}

/// A family's table, mapped for reading.
#[derive(Debug)]
pub(crate) struct Slots {
    mapped: MappedArray,
    family: Family,
}

impl Slots {
    pub(crate) fn over(family: Family, map: &Map) -> io::Result<Slots> {
        MappedArray::over(map).map(|mapped| Slots { mapped, family })
    }

    /// How many slots there are.
    pub(crate) fn count(&self) -> u32 {
        (self.mapped.len() / slot_words(self.family)) as u32
    }

    /// The head of a slot, if somebody has it completely.
    pub(crate) fn read_head(&self, number: u32) -> Option<Head> {
        let words = self.whole::<HEAD_WORDS>(number)?;
        Head::read_from_bytes(words.as_bytes()).ok()
    }

    /// Who has a slot, if anybody and completely.
    pub(crate) fn read(&self, number: u32) -> Option<Slot> {
        match self.family {
            Family::Ipv4 => {
                let raw = RawSlot4::read_from_bytes(self.whole::<4>(number)?.as_bytes()).ok()?;
                Some(Slot {
                    head: raw.head,
                    client: raw.client.into(),
                    address: raw.address.into(),
                })
            }
            Family::Ipv6 => {
                let raw = RawSlot6::read_from_bytes(self.whole::<8>(number)?.as_bytes()).ok()?;
                Some(Slot {
                    head: raw.head,
                    client: raw.client.into(),
                    address: raw.address.into(),
                })
            }
        }
    }

    /// The first words of a slot, all of the same owner.
    fn whole<const WORDS: usize>(&self, number: u32) -> Option<[u64; WORDS]> {
        let at = number as usize * slot_words(self.family) + PADDING / 8;
        let words: [u64; WORDS] = self.mapped.load(at)?;
        let (tag, word) = (words[0], words[1]);
        if tag & (USED | BUSY) != USED || (word >> 32) & 0xff == DEAD {
            return None;
        }
        let [again] = self.mapped.load(at)?;
        ((again ^ tag) & !OF_BUCKET == 0).then_some(words)
    }
}

/// What every slot begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub(crate) struct Head {
    pub(crate) tag: u64,
    pub(crate) word: u64,
    pub(crate) template: u32,
    pub(crate) seen: u32,
}

#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub(crate) struct RawSlot4 {
    pub(crate) head: Head,
    pub(crate) client: [u8; 4],
    pub(crate) address: [u8; 4],
}

#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub(crate) struct RawSlot6 {
    pub(crate) head: Head,
    pub(crate) client: [u8; 16],
    pub(crate) address: [u8; 16],
    unused: u64,
}

/// One connection or template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot {
    pub(crate) head: Head,
    pub(crate) client: IpAddr,
    pub(crate) address: IpAddr,
}

fn port(bits: u64) -> u16 {
    U16::from_bytes((bits as u16).to_ne_bytes()).get()
}

impl Head {
    pub(crate) fn client_port(&self) -> u16 {
        port(self.tag)
    }

    pub(crate) fn port(&self) -> u16 {
        port(self.tag >> 16)
    }

    pub(crate) fn protocol(&self) -> u8 {
        (self.tag >> 32) as u8
    }

    pub(crate) fn destination(&self) -> u32 {
        self.word as u32
    }

    fn state(&self) -> u8 {
        (self.word >> 32) as u8
    }

    pub(crate) fn state_name(&self) -> &'static str {
        State::numbered(self.state()).map_or("NONE", |state| state.name)
    }

    /// The index of its service.
    fn service(&self) -> u32 {
        (self.word >> 48) as u32
    }

    pub(crate) fn is_template(&self) -> bool {
        self.tag & TEMPLATE != 0
    }

    /// Ticks until its time is over: zero when it is, or was a while ago. A connection may have
    /// been seen a moment after `now`.
    pub(crate) fn left(&self, conducts: &Conducts, now: u32) -> u32 {
        let timeout = match self.is_template() {
            true => 0,
            false => conducts.timeout(self.service(), self.state().into()),
        };
        let left = self.seen.wrapping_add(timeout).wrapping_sub(now) as i32;
        left.max(0) as u32
    }

    /// Seconds until its time is over.
    pub(crate) fn seconds_left(&self, conducts: &Conducts, now: u32) -> u32 {
        ((u64::from(self.left(conducts, now)) << TICK_SHIFT) / SECOND) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(tag: u64, state: u64, seen: u32) -> Head {
        Head { tag, word: state << 32, template: 0, seen }
    }

    #[test]
    fn slots_are_as_large_as_on_the_c_side() {
        assert_eq!(size_of::<Head>(), HEAD_WORDS * 8);
        assert_eq!(size_of::<RawSlot4>() + PADDING, slot_words(Family::Ipv4) * 8);
        assert_eq!(size_of::<RawSlot6>() + PADDING, slot_words(Family::Ipv6) * 8);
    }

    #[test]
    fn a_table_has_twice_as_many_slots_as_connections_and_is_bounded() {
        for (connections, log2) in
            [(0, 5), (64, 5), (65, 6), (1 << 20, 19), ((1 << 20) + 1, 20), (u32::MAX, 23)]
        {
            assert_eq!(homes_log2(connections), log2, "{connections} connections");
        }
        let million = Geometry { buckets_log2: 19, seed: 0 };
        assert_eq!(million.buckets() * SLOTS * 32, 72 << 20, "bytes, without padding");
    }

    #[test]
    fn time_left_survives_the_end_of_the_clocks_range() {
        let conducts = Conducts::default();
        let established = slot(USED, 1, u32::MAX - 10);
        let timeout = conducts.timeout(0, 1);
        assert_eq!(established.left(&conducts, u32::MAX - 10), timeout);
        assert_eq!(established.left(&conducts, 89), timeout - 100);
        assert_eq!(established.left(&conducts, timeout), 0);
        assert_eq!(established.left(&conducts, u32::MAX - 12), timeout + 2, "seen a moment later");
        let template = slot(USED | TEMPLATE, 12, 5000);
        assert_eq!(template.left(&conducts, 4000), 1000);
        assert_eq!(template.left(&conducts, 5001), 0);
    }
}
