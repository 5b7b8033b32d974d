//! Schedulers that look an address up in a table of 256 slots: every director with the same
//! servers in the same order chooses the same one.

use core::net::IpAddr;

use crate::Candidate;
use crate::hash::{fold, multiplied};

const BITS: u32 = 8;
const SLOTS: usize = 1 << BITS;

/// Slots, each with the position of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HashTable {
    slots: Option<[u8; SLOTS]>,
}

/// The table of destination hashing (`dh`): the servers take the slots in turn, whatever their
/// weights. `servers` is their number; those from the 257th on would get no slot.
/// Kernel: ip_vs_dh_reassign.
pub fn destination_table(servers: usize) -> HashTable {
    table(servers, |_| 1)
}

/// The table of source hashing (`sh`): each server in turn takes as many slots as its weight says,
/// one if it is 0. Kernel: ip_vs_sh_reassign.
pub fn source_table(candidates: &[Candidate]) -> HashTable {
    table(candidates.len(), |position| candidates[position].weight)
}

fn table(servers: usize, share: impl Fn(usize) -> u32) -> HashTable {
    if servers == 0 {
        return HashTable { slots: None };
    }
    let (mut position, mut taken) = (0, 0);
    let mut slots = [0; SLOTS];
    for slot in &mut slots {
        *slot = position as u8;
        taken += 1;
        if taken >= share(position) {
            taken = 0;
            position = (position + 1) % servers;
        }
    }
    HashTable { slots: Some(slots) }
}

impl HashTable {
    /// The position in each slot; nothing when there is no server.
    pub fn slots(&self) -> &[u8] {
        self.slots.as_ref().map_or(&[], |slots| slots)
    }

    /// `dh`: the server of an address; `None` when it may not get a connection now.
    /// Kernel: net/netfilter/ipvs/ip_vs_dh.c.
    pub fn by_destination(&self, candidates: &[Candidate], to: IpAddr) -> Option<usize> {
        self.available(candidates, multiplied(fold(to), BITS))
    }

    /// `sh`: the server of a client, and of its port unless that is 0. One that may not get a
    /// connection now is `None`, or with `fallback` the first that may, in the slots from twice
    /// the client's own on. Kernel: net/netfilter/ipvs/ip_vs_sh.c.
    pub fn by_source(
        &self,
        candidates: &[Candidate],
        from: IpAddr,
        port: u16,
        fallback: bool,
    ) -> Option<usize> {
        let hash = multiplied(fold(from).wrapping_add(port.into()), BITS);
        let first = self.available(candidates, hash);
        if first.is_some() || !fallback {
            return first;
        }
        (0..SLOTS as u32).find_map(|offset| {
            let offset = (offset + hash) % SLOTS as u32;
            self.available(candidates, offset + hash)
        })
    }

    fn available(&self, candidates: &[Candidate], hash: u32) -> Option<usize> {
        let position = usize::from(self.slots?[hash as usize % SLOTS]);
        candidates.get(position)?.is_available().then_some(position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::{Numbers, full, server};
    use core::net::Ipv4Addr;

    fn client(number: u32) -> IpAddr {
        Ipv4Addr::from_bits(0x0a00_0000 + number).into()
    }

    #[test]
    fn source_hashing_fills_as_many_slots_as_the_weight_says() {
        let servers = [server(3, 0, 0), server(1, 0, 0), server(0, 0, 0)];
        let table = source_table(&servers);
        assert_eq!(table.slots()[..10], [0, 0, 0, 1, 2, 0, 0, 0, 1, 2], "one slot at weight 0");
        assert_eq!(destination_table(3).slots()[..7], [0, 1, 2, 0, 1, 2, 0]);
        assert_eq!(destination_table(256).slots()[255], 255);
    }

    #[test]
    fn a_client_stays_and_with_its_port_it_spreads() {
        let servers = [server(1, 0, 0); 4];
        let table = source_table(&servers);
        let of = |port| table.by_source(&servers, client(1), port, false);
        assert!((1..200).all(|_| of(0) == of(0)));
        let mut seen = [0; 4];
        (1024..2048).for_each(|port| seen[of(port).unwrap()] += 1);
        assert!(seen.iter().all(|count| (200..312).contains(count)), "{seen:?}");
    }

    #[test]
    fn without_fallback_clients_of_a_full_server_get_none() {
        let servers = [server(1, 0, 0), full(1, 0, 0), server(0, 0, 0)];
        let table = source_table(&servers);
        let mut none = 0;
        for number in 0..3000 {
            match table.by_source(&servers, client(number), 0, false) {
                Some(position) => assert_eq!(position, 0),
                None => none += 1,
            }
            assert_eq!(table.by_source(&servers, client(number), 0, true), Some(0));
        }
        assert!((1800..2200).contains(&none), "{none}");
        assert_eq!(table.by_source(&[full(1, 0, 0); 3], client(1), 0, true), None);
        assert_eq!(source_table(&[]).by_source(&[], client(1), 0, true), None);
    }

    #[test]
    fn two_directors_with_the_same_servers_choose_the_same() {
        let mut numbers = Numbers::new(4);
        for _ in 0..2000 {
            let servers = numbers.servers();
            let (one, other) = (source_table(&servers), source_table(&servers.clone()));
            let (from, port) = (client(numbers.below(1 << 24)), numbers.below(65_536) as u16);
            for fallback in [false, true] {
                let chosen = one.by_source(&servers, from, port, fallback);
                assert_eq!(chosen, other.by_source(&servers, from, port, fallback));
                assert!(chosen.is_none_or(|position| servers[position].is_available()));
            }
        }
    }

    #[test]
    fn slots_of_destinations_do_not_look_at_weights() {
        let servers = [server(9, 0, 0), server(1, 0, 0)];
        let table = destination_table(2);
        let count = |position| {
            let all = (0..1000).filter_map(|one| table.by_destination(&servers, client(one)));
            all.filter(|chosen| *chosen == position).count()
        };
        assert!((450..550).contains(&count(0)) && count(0) + count(1) == 1000);
    }
}
