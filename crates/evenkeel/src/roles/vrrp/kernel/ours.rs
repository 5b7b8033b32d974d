//! What we hold, so that the end of it by our own hand is told from a loss.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;

use edge::netlink::address::Assigned;
use edge::netlink::rule::RuleIdentity;
use edge::netlink::virtual_route::RouteIdentity;

/// Everything in the kernel that is there by our doing.
#[derive(Debug, Default)]
pub(super) struct Ours {
    pub(super) addresses: Kept<Assigned>,
    pub(super) routes: Kept<RouteIdentity>,
    pub(super) rules: Kept<RuleIdentity>,
}

/// Things of one sort.
#[derive(Debug)]
pub(super) struct Kept<K> {
    held: HashSet<K>,
    /// We removed it, and the event that says so is still to come; how often.
    expected: HashMap<K, u32>,
}

/// What an event that something is gone means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gone {
    /// We did it.
    ByUs,
    /// Somebody took it from us.
    Lost,
    /// It was never ours.
    NotOurs,
}

impl<K> Default for Kept<K> {
    fn default() -> Self {
        Kept { held: HashSet::new(), expected: HashMap::new() }
    }
}

impl<K: Clone + Eq + Hash> Kept<K> {
    pub(super) fn hold(&mut self, key: K) {
        self.held.insert(key);
    }

    pub(super) fn let_go(&mut self, key: &K) {
        self.held.remove(key);
    }

    pub(super) fn holds(&self, key: &K) -> bool {
        self.held.contains(key)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &K> {
        self.held.iter()
    }

    /// We removed it: an event will say so.
    pub(super) fn expect(&mut self, key: K) {
        *self.expected.entry(key).or_default() += 1;
    }

    /// An event says that it is gone.
    pub(super) fn gone(&mut self, key: &K) -> Gone {
        if let Some(count) = self.expected.get_mut(key) {
            *count -= 1;
            if *count == 0 {
                self.expected.remove(key);
            }
            return Gone::ByUs;
        }
        if self.held.contains(key) { Gone::Lost } else { Gone::NotOurs }
    }

    /// Forgets what satisfies it: it went along with something else.
    pub(super) fn forget(&mut self, is_gone: impl Fn(&K) -> bool) {
        self.held.retain(|key| !is_gone(key));
        self.expected.retain(|key, _| !is_gone(key));
    }

    /// Events were lost: none of the expected ones is certain to come.
    pub(super) fn expect_nothing(&mut self) {
        self.expected.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_we_remove_is_no_loss_and_what_others_remove_is_one() {
        let mut kept = Kept::default();
        assert_eq!(kept.gone(&1), Gone::NotOurs);
        kept.hold(1);
        assert_eq!(kept.gone(&1), Gone::Lost);
        kept.let_go(&1);
        kept.expect(1);
        kept.hold(1);
        assert_eq!(kept.gone(&1), Gone::ByUs);
        assert_eq!(kept.gone(&1), Gone::Lost);
    }

    #[test]
    fn after_lost_events_nothing_is_expected_any_more() {
        let mut kept = Kept::default();
        kept.hold(1);
        kept.expect(1);
        kept.expect_nothing();
        assert_eq!(kept.gone(&1), Gone::Lost);
    }
}
