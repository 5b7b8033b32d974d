//! Which interface has which address, in the kernel's order, with hashed lookups.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use super::address::Assigned;

/// Addresses of interfaces. Ten thousand cost no more per lookup than ten.
#[derive(Clone, Debug, Default)]
pub(super) struct Assignments {
    /// Place in the order, and whether it can be used already.
    known: HashMap<Assigned, (u64, bool)>,
    order: BTreeMap<(u32, u64), Assigned>,
    counts: HashMap<IpAddr, u32>,
    last: u64,
}

/// Equal when they hold the same; the numbers behind the order do not matter.
impl PartialEq for Assignments {
    fn eq(&self, other: &Assignments) -> bool {
        self.order.values().eq(other.order.values())
    }
}

impl Eq for Assignments {}

impl Assignments {
    /// Adds one at the end. False when nothing became different.
    pub(super) fn add(&mut self, address: Assigned, settled: bool) -> bool {
        if let Some((_, before)) = self.known.get_mut(&address) {
            return std::mem::replace(before, settled) != settled && settled;
        }
        self.last += 1;
        self.known.insert(address, (self.last, settled));
        self.order.insert((address.interface, self.last), address);
        *self.counts.entry(address.address).or_default() += 1;
        true
    }

    /// Removes one. False when it was not there.
    pub(super) fn remove(&mut self, address: Assigned) -> bool {
        let Some((place, _)) = self.known.remove(&address) else { return false };
        self.order.remove(&(address.interface, place));
        if let Some(count) = self.counts.get_mut(&address.address) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&address.address);
            }
        }
        true
    }

    /// Removes all of an interface.
    pub(super) fn remove_all(&mut self, interface: u32) {
        let addresses: Vec<Assigned> = self.range(interface).copied().collect();
        for address in addresses {
            self.remove(address);
        }
    }

    /// The usable addresses of an interface with their prefix lengths, in order.
    pub(super) fn of(&self, interface: u32) -> impl Iterator<Item = (IpAddr, u8)> {
        self.range(interface)
            .filter(|address| self.known.get(address).is_some_and(|(_, settled)| *settled))
            .map(|address| (address.address, address.prefix_len))
    }

    pub(super) fn contains(&self, address: Assigned) -> bool {
        self.known.contains_key(&address)
    }

    pub(super) fn contains_address(&self, address: IpAddr) -> bool {
        self.counts.contains_key(&address)
    }

    /// What is here and not in `other`.
    pub(super) fn missing_in(&self, other: &Assignments) -> impl Iterator<Item = Assigned> {
        self.order.values().copied().filter(|address| !other.contains(*address))
    }

    fn range(&self, interface: u32) -> impl Iterator<Item = &Assigned> {
        self.order.range((interface, 0)..=(interface, u64::MAX)).map(|(_, address)| address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn address(interface: u32, number: u32) -> Assigned {
        Assigned { interface, address: Ipv4Addr::from_bits(number).into(), prefix_len: 32 }
    }

    #[test]
    fn order_is_that_of_arrival_and_each_interface_has_its_own() {
        let mut all = Assignments::default();
        for (interface, number) in [(1, 9), (2, 5), (1, 3), (1, 7)] {
            assert!(all.add(address(interface, number), true));
        }
        assert!(!all.add(address(1, 9), true));
        assert!(all.remove(address(1, 3)) && !all.remove(address(1, 3)));
        let of: Vec<_> = all.of(1).collect();
        assert_eq!(of, [9, 7].map(|number| (Ipv4Addr::from_bits(number).into(), 32)));
        all.remove_all(1);
        assert!(all.contains_address(address(2, 5).address));
        assert!(!all.contains_address(address(1, 9).address));
    }

    #[test]
    fn an_address_under_detection_is_there_and_not_usable() {
        let mut all = Assignments::default();
        assert!(all.add(address(1, 9), false));
        assert!(all.contains(address(1, 9)));
        assert_eq!(all.of(1).count(), 0);
        assert!(all.add(address(1, 9), true));
        assert_eq!(all.of(1).count(), 1);
    }

    #[test]
    fn ten_thousand_addresses_of_one_interface_come_and_go_quickly() {
        let mut all = Assignments::default();
        let begin = std::time::Instant::now();
        (0..10_000).for_each(|number| assert!(all.add(address(1, number), true)));
        (0..10_000).for_each(|number| assert!(all.contains(address(1, number))));
        (0..10_000).for_each(|number| assert!(all.remove(address(1, number))));
        assert!(begin.elapsed() < std::time::Duration::from_secs(2));
        assert_eq!(all.of(1).count(), 0);
    }
}
