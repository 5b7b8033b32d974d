//! What a reload adds to and removes from what a master holds.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::hash::{Hash, Hasher};

use model::vrrp::{AddressLink, Holding, VirtualAddress, VirtualRoute, VirtualRule, VrrpInstance};

/// What one configuration holds and another does not.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Missing {
    pub(super) addresses: Vec<VirtualAddress>,
    pub(super) routes: Vec<VirtualRoute>,
    pub(super) rules: Vec<VirtualRule>,
}

impl Missing {
    /// What `a` holds and `b` does not, in the order of `a`. What differs only in how it is
    /// watched is the same.
    pub(super) fn of(a: &VrrpInstance, b: &VrrpInstance) -> Missing {
        let same_address = |one: &VirtualAddress, other: &VirtualAddress| {
            unwatched_address(one) == unwatched_address(other)
                && a.interface_of(one) == b.interface_of(other)
                && link_of(a, one) == link_of(b, other)
        };
        let number = |address: &VirtualAddress| digest(&(address.address, address.prefix_len));
        let same_route = |one: &VirtualRoute, other: &VirtualRoute| {
            unwatched_route(one) == unwatched_route(other)
        };
        let way =
            |route: &VirtualRoute| digest(&(route.destination, route.table, &route.next_hops));
        let same_rule =
            |one: &VirtualRule, other: &VirtualRule| unwatched_rule(one) == unwatched_rule(other);
        let order = |rule: &VirtualRule| digest(&(rule.preference, rule.from, rule.to));
        Missing {
            addresses: missing(a.held_addresses(), b.held_addresses(), number, same_address),
            routes: missing(a.routes.iter(), b.routes.iter(), way, same_route),
            rules: missing(a.rules.iter(), b.rules.iter(), order, same_rule),
        }
    }

    /// All of it: addresses, then the routes and rules that need them.
    pub(super) fn holdings(self) -> Vec<Holding> {
        let addresses = self.addresses.into_iter().map(Holding::Address);
        let routes = self.routes.into_iter().map(Holding::Route);
        let rules = self.rules.into_iter().map(Holding::Rule);
        addresses.chain(routes).chain(rules).collect()
    }
}

/// Takes as many steps as there are things, whatever their order, as long as few have the same
/// digest.
fn missing<'a, T: Clone + 'a>(
    a: impl Iterator<Item = &'a T>,
    b: impl Iterator<Item = &'a T>,
    digest: impl Fn(&T) -> u64,
    same: impl Fn(&T, &T) -> bool,
) -> Vec<T> {
    let mut known: BTreeMap<u64, Vec<&T>> = BTreeMap::new();
    b.for_each(|thing| known.entry(digest(thing)).or_default().push(thing));
    let is_known = |thing: &&T| {
        known.get(&digest(thing)).is_some_and(|alike| alike.iter().any(|other| same(thing, other)))
    };
    a.filter(|thing| !is_known(thing)).cloned().collect()
}

fn unwatched_address(address: &VirtualAddress) -> VirtualAddress {
    VirtualAddress { track: true, track_group: None, interface: None, ..address.clone() }
}

fn unwatched_route(route: &VirtualRoute) -> VirtualRoute {
    VirtualRoute { track: true, track_group: None, ..route.clone() }
}

fn unwatched_rule(rule: &VirtualRule) -> VirtualRule {
    VirtualRule { track: true, track_group: None, ..rule.clone() }
}

/// The virtual interface of its own that an address goes to.
fn link_of<'a>(plan: &'a VrrpInstance, address: &VirtualAddress) -> Option<&'a AddressLink> {
    let name = plan.interface_of(address);
    plan.address_links.iter().find(|link| link.name == name)
}

fn digest(thing: &impl Hash) -> u64 {
    let mut hasher = Fnv(0xcbf2_9ce4_8422_2325);
    thing.hash(&mut hasher);
    hasher.finish()
}

/// FNV-1a, 64 bits: configurations are not hostile.
struct Fnv(u64);

impl Hasher for Fnv {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::Ipv4Addr;
    use model::units::VirtualRouterId;
    use model::vrrp::Family;

    fn plan(addresses: impl Iterator<Item = u32>) -> VrrpInstance {
        let address = |n: u32| VirtualAddress::new(Ipv4Addr::from(n).into(), 32);
        let addresses = addresses.map(address).collect();
        let id = VirtualRouterId::try_from(1).unwrap();
        VrrpInstance { addresses, ..VrrpInstance::new("A", "eth0", id) }
    }

    #[test]
    fn ten_thousand_addresses_in_another_order_differ_in_those_that_changed() {
        let old = plan(0..10_000);
        let new = plan((1..=10_000).rev());
        let start = std::time::Instant::now();
        let gone = Missing::of(&old, &new);
        assert_eq!(gone.addresses, plan(0..1).addresses);
        assert_eq!(Missing::of(&new, &old).addresses, plan(10_000..10_001).addresses);
        // Comparing each with each would be 100 million comparisons twice.
        assert!(start.elapsed() < std::time::Duration::from_secs(2));
    }

    #[test]
    fn an_address_that_is_only_watched_otherwise_is_the_same_and_on_another_interface_it_is_not() {
        let old = plan(0..2);
        let mut new = plan(0..2);
        new.addresses[0].track = false;
        new.addresses[0].track_group = Some("T".into());
        assert_eq!(Missing::of(&old, &new), Missing::default());
        new.addresses[1].interface = Some("eth7".into());
        assert_eq!(Missing::of(&old, &new).addresses, old.addresses[1..]);
        // Named or not, it is the instance's own interface.
        new.addresses[1].interface = Some("eth0".into());
        assert_eq!(Missing::of(&old, &new), Missing::default());
    }

    #[test]
    fn addresses_routes_and_rules_are_compared_each_with_their_own() {
        let old = plan(0..1);
        let mut new = plan(0..1);
        new.routes.push(VirtualRoute::new(Family::Ipv4, None));
        new.rules.push(VirtualRule::new(Family::Ipv4, 100, 7));
        assert_eq!(Missing::of(&old, &new), Missing::default());
        assert_eq!(Missing::of(&new, &old).holdings().len(), 2);
    }
}
