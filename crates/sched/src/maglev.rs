//! Maglev hashing (`mh`): a table that hardly changes when a server comes or goes, and that every
//! director with the same servers makes alike, whatever connections it has.
//! Kernel: net/netfilter/ipvs/ip_vs_mh.c.

use alloc::vec::Vec;
use core::net::IpAddr;

use crate::Candidate;
use crate::hash::{fold, siphash};

/// Slots of the table: the prime that kernels are built with unless somebody chose another
/// (CONFIG_IP_VS_MH_TAB_INDEX = 12).
pub const MAGLEV_SLOTS: usize = 4093;
/// A weight above this many bits is cut to them. Kernel: IP_VS_MH_TAB_BITS.
const WEIGHT_BITS: u32 = 6;
/// Keys of the two hashes. Kernel: generate_hash_secret.
const FIRST_KEY: u64 = 2_654_435_761;
const SECOND_KEY: u64 = 2_654_446_892;

/// What the table is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaglevServer {
    /// Its address.
    pub address: IpAddr,
    /// Its port; 0 when it takes that of the client.
    pub port: u16,
    /// The weight it has, or that it last had before it was 0: a server that drains keeps its
    /// slots. Kernel: `last_weight`.
    pub weight: u32,
}

/// The table: the position of a server in each slot; empty when none has a weight.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MaglevTable {
    slots: Vec<u8>,
}

/// How a server goes through the slots.
struct Walk {
    next: usize,
    skip: usize,
    /// Slots it takes in each round.
    turns: u32,
}

/// Hash of an address and a port. Kernel: ip_vs_mh_hashkey.
fn hash(address: IpAddr, port: u16, key: u64, offset: u32) -> usize {
    siphash(offset.wrapping_add(port.into()).wrapping_add(fold(address)), key) as usize
}

/// The slots of up to 256 servers. Kernel: ip_vs_mh_permutate, ip_vs_mh_populate.
pub fn maglev_table(servers: &[MaglevServer]) -> MaglevTable {
    let weights = servers.iter().map(|one| one.weight);
    let divisor = weights.clone().fold(0, common_divisor);
    if divisor == 0 {
        return MaglevTable::default();
    }
    let most = weights.max().unwrap_or_default() / divisor;
    let shift = (u32::BITS - most.leading_zeros()).saturating_sub(WEIGHT_BITS);
    let walk = |one: &MaglevServer| Walk {
        next: hash(one.address, one.port, FIRST_KEY, 0) % MAGLEV_SLOTS,
        skip: hash(one.address, one.port, SECOND_KEY, 0) % (MAGLEV_SLOTS - 1) + 1,
        turns: ((one.weight / divisor) >> shift).max(u32::from(one.weight > 0)),
    };
    populate(servers.iter().map(walk).collect())
}

fn populate(mut walks: Vec<Walk>) -> MaglevTable {
    let mut slots: Vec<Option<u8>> = alloc::vec![None; MAGLEV_SLOTS];
    let mut free = MAGLEV_SLOTS;
    while free > 0 {
        for (position, walk) in walks.iter_mut().enumerate() {
            for _ in 0..walk.turns.min(free as u32) {
                while slots[walk.next].is_some() {
                    walk.next = (walk.next + walk.skip) % MAGLEV_SLOTS;
                }
                slots[walk.next] = Some(position as u8);
                free -= 1;
            }
        }
    }
    MaglevTable { slots: slots.into_iter().map(Option::unwrap_or_default).collect() }
}

fn common_divisor(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { common_divisor(b, a % b) }
}

impl MaglevTable {
    /// The position in each of the [`MAGLEV_SLOTS`] slots; nothing when no server has a weight.
    pub fn slots(&self) -> &[u8] {
        &self.slots
    }

    /// The server of a client, and of its port unless that is 0. One that may not get a connection
    /// now is `None`, or with `fallback` the first that may, in the slots of further hashes.
    /// Kernel: ip_vs_mh_get, ip_vs_mh_get_fallback.
    pub fn choose(
        &self,
        candidates: &[Candidate],
        from: IpAddr,
        port: u16,
        fallback: bool,
    ) -> Option<usize> {
        let first = hash(from, port, FIRST_KEY, 0) % MAGLEV_SLOTS;
        let chosen = self.available(candidates, first);
        if chosen.is_some() || !fallback {
            return chosen;
        }
        (0..MAGLEV_SLOTS).find_map(|offset| {
            let offset = ((offset + first) % MAGLEV_SLOTS) as u32;
            self.available(candidates, hash(from, port, FIRST_KEY, offset) % MAGLEV_SLOTS)
        })
    }

    fn available(&self, candidates: &[Candidate], slot: usize) -> Option<usize> {
        let position = usize::from(*self.slots.get(slot)?);
        candidates.get(position)?.is_available().then_some(position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::{Numbers, full, server};
    use core::net::Ipv4Addr;

    fn servers(weights: &[u32]) -> Vec<MaglevServer> {
        let one = |(index, weight): (usize, &u32)| MaglevServer {
            address: Ipv4Addr::new(10, 0, 0, 1 + index as u8).into(),
            port: 8080,
            weight: *weight,
        };
        weights.iter().enumerate().map(one).collect()
    }

    fn counts(table: &MaglevTable, servers: usize) -> Vec<usize> {
        let of = |position| table.slots().iter().filter(|one| **one == position as u8).count();
        (0..servers).map(of).collect()
    }

    #[test]
    fn slots_are_even_by_weight() {
        for weights in [&[1, 1, 1][..], &[5, 3, 2], &[10, 20, 30, 40], &[1; 100], &[63, 1]] {
            let counts = counts(&maglev_table(&servers(weights)), weights.len());
            let sum: u32 = weights.iter().sum();
            for (weight, count) in weights.iter().zip(&counts) {
                let part = MAGLEV_SLOTS as f64 * f64::from(*weight) / f64::from(sum);
                assert!(
                    (*count as f64 - part).abs() <= f64::from(*weight),
                    "{weights:?} {counts:?}"
                );
            }
        }
    }

    #[test]
    fn weights_of_many_bits_are_cut_to_six() {
        let counts = counts(&maglev_table(&servers(&[65_535, 1])), 2);
        assert_eq!(counts, [4093 - 63, 63], "63 to 1, not 65535 to 1");
    }

    #[test]
    fn a_server_that_leaves_moves_hardly_more_than_its_own_slots() {
        for count in [2usize, 3, 10, 50] {
            let before = servers(&vec![1; count]);
            let gone = count / 2;
            let after: Vec<_> =
                before.iter().enumerate().filter(|(at, _)| *at != gone).map(|(_, s)| *s).collect();
            let (old, new) = (maglev_table(&before), maglev_table(&after));
            let address =
                |servers: &[MaglevServer], position: &u8| servers[usize::from(*position)].address;
            let moved = old.slots().iter().zip(new.slots()).filter(|(old, new)| {
                usize::from(**old) != gone && address(&before, old) != address(&after, new)
            });
            let moved = moved.count() as f64 / MAGLEV_SLOTS as f64;
            assert!(moved < 0.06, "{count} servers: {moved:.3} of the others' slots moved");
        }
    }

    #[test]
    fn two_directors_agree_however_many_connections_each_has() {
        let mut numbers = Numbers::new(9);
        for _ in 0..40 {
            let weights: Vec<u32> =
                (0..1 + numbers.below(12)).map(|_| numbers.below(200)).collect();
            let table = maglev_table(&servers(&weights));
            assert_eq!(table, maglev_table(&servers(&weights)));
            let mut candidates = |_: &u32| server(1, numbers.below(99), 0);
            let one: Vec<_> = weights.iter().map(&mut candidates).collect();
            let other: Vec<_> = weights.iter().map(&mut candidates).collect();
            for client in 0..200 {
                let from = Ipv4Addr::from_bits(0x0a00_0000 + client * 977).into();
                let chosen = table.choose(&one, from, 0, true);
                assert_eq!(chosen, table.choose(&other, from, 0, true));
                assert!(chosen.is_none_or(|position| weights[position] > 0));
            }
        }
    }

    #[test]
    fn a_drained_server_keeps_its_slots_and_only_its_clients_move_with_fallback() {
        let (all, mut candidates) = (servers(&[1, 1, 1, 1]), [server(1, 0, 0); 4]);
        let table = maglev_table(&all);
        let from = |client: u32| IpAddr::from(Ipv4Addr::from_bits(0x0a00_0000 + client));
        let before: Vec<_> =
            (0..1000).map(|one| table.choose(&candidates, from(one), 0, false)).collect();
        candidates[2] = server(0, 0, 0);
        candidates[3] = full(1, 0, 0);
        for (client, before) in (0..1000).zip(before) {
            let plain = table.choose(&candidates, from(client), 0, false);
            let fallback = table.choose(&candidates, from(client), 0, true);
            match before {
                Some(0 | 1) => assert_eq!((plain, fallback), (before, before)),
                Some(_) | None => {
                    assert_eq!(plain, None);
                    assert!(matches!(fallback, Some(0 | 1)));
                }
            }
        }
        assert_eq!(table.choose(&[full(1, 0, 0); 4], from(1), 0, true), None);
    }

    #[test]
    fn there_is_no_table_without_a_weight() {
        assert_eq!(maglev_table(&servers(&[0, 0])).slots().len(), 0);
        assert_eq!(maglev_table(&[]), MaglevTable::default());
    }
}
