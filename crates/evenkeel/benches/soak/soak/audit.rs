//! The connection table, read from outside and held against what was sent.

use std::collections::HashSet;
use std::fmt;
use std::net::Ipv4Addr;
use std::path::Path;
use std::time::{Duration, Instant};

use director::xdp::LAYOUT;
use edge::bpf::Map;
use edge::mapped::MappedArray;

use super::generator::{Generator, client, flow_of};
use super::{Result, SWEPT_WITHIN, Settings};

const USED: u64 = 1 << 40;
const BUSY: u64 = 1 << 41;
const SLOTS: u64 = 4;
const SLOT_WORDS: usize = 4;
/// The number of UDP's state.
const UDP: u64 = 11;
/// Slices that the homes of the table are divided into.
const SLICES: u64 = 64;
/// A packet is where it belongs within this time.
const ON_ITS_WAY: Duration = Duration::from_millis(500);
/// Destinations looked at: there are four.
const DESTINATIONS: u32 = 64;

pub(crate) struct Table {
    mapped: MappedArray,
    loads: Map,
    seed: u64,
    homes_log2: u32,
}

/// What an audit found in order.
pub(crate) struct Found {
    slice: u64,
    expected: usize,
    there: usize,
    entries: usize,
    counted: u64,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Found { slice, expected, there, entries, counted } = self;
        write!(
            f,
            "slice {slice} of {SLICES}: {expected} flows must be there, {there} are; \
             {entries} entries in the table, {counted} counted"
        )
    }
}

#[derive(Clone, Copy)]
struct Entry {
    tag: u64,
    word: u64,
    client: Ipv4Addr,
}

impl Entry {
    /// The flow of UDP that it is of.
    fn flow(&self) -> Option<u64> {
        let port = (self.tag as u16).swap_bytes();
        let is_udp = (self.tag >> 32) & 0xff == 17;
        flow_of(self.client, port).filter(|_| is_udp)
    }
}

impl Table {
    pub(super) fn open(pins: &Path) -> Result<Table> {
        let directory = pins.join(LAYOUT);
        let map = |name: &str| Map::open(&directory.join(name));
        let connections = map("connections")?;
        let mut seed = [0; 8];
        map("seed")?.lookup(&[0; 4], &mut seed)?;
        Ok(Table {
            mapped: MappedArray::over(&connections)?,
            loads: map("loads")?,
            seed: u64::from_ne_bytes(seed),
            homes_log2: connections.max_entries().ilog2(),
        })
    }

    fn entry(&self, slot: u64) -> Option<Entry> {
        let [tag, word, _, addresses] = self.mapped.load(slot as usize * SLOT_WORDS)?;
        let [a, b, c, d, ..] = addresses.to_ne_bytes();
        (tag & (USED | BUSY) == USED).then_some(Entry { tag, word, client: [a, b, c, d].into() })
    }

    fn slots(&self) -> u64 {
        (self.mapped.len() / SLOT_WORDS) as u64
    }

    /// As hash_of in the director's bpf/table.h.
    fn hash(&self, client: Ipv4Addr, port: u16) -> u64 {
        let address = u64::from(u32::from_ne_bytes(client.octets()));
        let hash = (address << 32) | (u64::from(port.swap_bytes()) << 8) | 17;
        let mut hash = (hash ^ 0x2545_f491_4f6c_dd1d).wrapping_mul(self.seed | 1);
        hash ^= hash >> 32;
        hash.wrapping_mul(0xd6e8_feb8_6659_fd93)
    }

    fn home(&self, flow: u64) -> u64 {
        let (address, port) = client(flow);
        self.hash(address, port) >> (64 - self.homes_log2)
    }

    /// Slots where a flow may be: its home, then as away_of there.
    fn places(&self, flow: u64) -> impl Iterator<Item = u64> {
        let (address, port) = client(flow);
        let (hash, log2) = (self.hash(address, port), self.homes_log2);
        let away = move |number: u64| {
            let step = number.wrapping_mul(0x2545_f491_4f6c_dd1d);
            let mixed = hash.wrapping_add(step).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            (1 << log2) + (mixed >> 40 & ((1 << (log2 - 3)) - 1))
        };
        let buckets = [hash >> (64 - log2)].into_iter().chain((0..4).map(away));
        buckets.flat_map(|bucket| bucket * SLOTS..(bucket + 1) * SLOTS)
    }

    /// Holds one slice of the homes against what was sent: who was sent within the time-out is
    /// there, once; who was sent before it is not there any more. And the destinations' counts
    /// against all entries.
    pub(super) fn audit(
        &self,
        generator: &Generator,
        settings: &Settings,
        number: usize,
    ) -> Result<Found> {
        let slice = number as u64 * 7 % SLICES;
        let width = (1u64 << self.homes_log2) / SLICES;
        let homes = slice * width..(slice + 1) * width;
        let now = Instant::now();
        let ago = |time: Duration| now.checked_sub(time).unwrap_or(now);
        let margin = Duration::from_secs(1);
        let young = generator.between(ago(settings.udp_timeout - margin), ago(ON_ITS_WAY));
        let (old, _) = generator.between(ago(settings.udp_timeout + SWEPT_WITHIN), now);
        let (mut expected, mut there) = (0, 0);
        for flow in (young.0..young.1).filter(|flow| homes.contains(&self.home(*flow))) {
            let found = self.places(flow).filter_map(|slot| self.entry(slot));
            match found.filter(|entry| entry.flow() == Some(flow)).count() {
                1 => there += 1,
                0 => {}
                twice => return Err(format!("flow {flow} has {twice} entries").into()),
            }
            expected += 1;
        }
        if there < expected {
            return Err(format!("of {expected} flows of a slice {there} are there").into());
        }
        self.without_leaks(homes.start * SLOTS..homes.end * SLOTS, old)?;
        let (entries, counted) = self.recount(settings)?;
        Ok(Found { slice, expected, there, entries, counted })
    }

    /// Nobody twice, nobody in another state, nobody from before.
    fn without_leaks(&self, slots: std::ops::Range<u64>, oldest: u64) -> Result<()> {
        let mut seen = HashSet::new();
        for entry in slots.filter_map(|slot| self.entry(slot)) {
            let Some(flow) = entry.flow() else { continue };
            if flow < oldest {
                return Err(format!("flow {flow} should be gone, as all before {oldest}").into());
            }
            if (entry.word >> 32) & 0xff != UDP {
                return Err(format!("flow {flow} is in state {:#x}", entry.word >> 32).into());
            }
            if !seen.insert(flow) {
                return Err(format!("flow {flow} is there twice").into());
            }
        }
        Ok(())
    }

    /// Entries in the table and connections at the destinations, which change meanwhile.
    fn recount(&self, settings: &Settings) -> Result<(usize, u64)> {
        let begun = Instant::now();
        let before = self.counted()?;
        let entries = (0..self.slots()).filter(|slot| self.entry(*slot).is_some()).count();
        let after = self.counted()?;
        let moved = f64::from(settings.flows_per_second + settings.streams_per_second)
            * (begun.elapsed() + ON_ITS_WAY).as_secs_f64();
        // The sweep removes in bursts what a second brought.
        let moved = moved as u64 + u64::from(settings.flows_per_second) * 2;
        let least = before.min(after).saturating_sub(moved);
        let most = before.max(after) + moved;
        if !(least..=most).contains(&(entries as u64)) {
            return Err(format!("{entries} entries, but {before} to {after} are counted").into());
        }
        Ok((entries, after))
    }

    /// Active and inactive connections of all destinations.
    fn counted(&self) -> Result<u64> {
        let mut sum = 0;
        let mut load = vec![0; self.loads.value_size()];
        for index in 0..DESTINATIONS {
            self.loads.lookup(&index.to_ne_bytes(), &mut load)?;
            let word = |at: usize| {
                let bytes = load[at..at + 4].try_into().unwrap_or_default();
                u64::from(u32::from_ne_bytes(bytes))
            };
            sum += word(0) + word(4);
        }
        Ok(sum)
    }

    /// Neither an entry nor a count is left.
    pub(super) fn is_empty(&self) -> Result<()> {
        let entries = (0..self.slots()).filter(|slot| self.entry(*slot).is_some()).count();
        let counted = self.counted()?;
        match (entries, counted) {
            (0, 0) => Ok(()),
            _ => Err(format!("{entries} entries and {counted} counts are left").into()),
        }
    }
}
