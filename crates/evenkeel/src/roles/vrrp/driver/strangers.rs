//! Adverts of virtual routers that are not configured here (`log_unknown_vrids`): told of once per
//! number between two configurations, however many arrive.

use std::net::IpAddr;

/// The numbers seen so far, and those that are to be told of.
#[derive(Debug, Default)]
pub(super) struct Strangers {
    /// Absent unless the configuration wants to know.
    seen: Option<[u64; 4]>,
    waiting: Vec<(u8, IpAddr)>,
}

impl Strangers {
    /// Begins anew, wanted or not.
    pub(super) fn configure(&mut self, wanted: bool) {
        self.seen = wanted.then_some([0; 4]);
    }

    /// An advert of a router with this number came from this source.
    pub(super) fn note(&mut self, id: u8, source: IpAddr) {
        let Some(seen) = &mut self.seen else { return };
        let (word, bit) = (usize::from(id / 64), 1 << (id % 64));
        if seen[word] & bit == 0 {
            seen[word] |= bit;
            self.waiting.push((id, source));
        }
    }

    /// Those to be told of, once.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = (u8, IpAddr)> {
        self.waiting.drain(..)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stranger_is_told_of_once_per_configuration_and_only_where_wanted() {
        let source = IpAddr::from([10, 0, 0, 9]);
        let mut strangers = Strangers::default();
        strangers.note(7, source);
        assert_eq!(strangers.drain().count(), 0);
        strangers.configure(true);
        for _ in 0..3 {
            strangers.note(7, source);
            strangers.note(255, source);
        }
        assert_eq!(strangers.drain().collect::<Vec<_>>(), [(7, source), (255, source)]);
        strangers.note(7, source);
        assert_eq!(strangers.drain().count(), 0);
        strangers.configure(true);
        strangers.note(7, source);
        assert_eq!(strangers.drain().count(), 1);
    }
}
