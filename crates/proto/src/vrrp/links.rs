//! Interfaces as they count: what the kernel says of them, and how long a change must last
//! (`interface_up_down_delays`).

use alloc::collections::BTreeMap;
use alloc::string::String;
use core::time::Duration;

use model::units::Time;
use model::vrrp::LinkDelay;

use super::output::LinkState;

/// One interface.
#[derive(Clone, Copy, Debug, Default)]
struct Link {
    /// As it was told last.
    told: LinkState,
    /// Whether it counts as up.
    up: bool,
    /// It was up once: only then changes are delayed.
    seen_up: bool,
    /// When the change that is waited for counts.
    due: Option<Time>,
    down_delay: Duration,
    up_delay: Duration,
}

impl Link {
    fn counts_as(&self) -> LinkState {
        LinkState { up: self.up, ..self.told }
    }
}

/// All interfaces that instances run on or track.
#[derive(Debug, Default)]
pub(super) struct Links {
    links: BTreeMap<String, Link>,
}

impl Links {
    /// Keeps exactly these interfaces; asks for those that are new.
    pub(super) fn keep<'a>(
        &mut self,
        names: impl Iterator<Item = &'a str>,
        delays: &[LinkDelay],
        ask: impl Fn(&str) -> LinkState,
    ) {
        let mut former = core::mem::take(&mut self.links);
        for name in names {
            if self.links.contains_key(name) {
                continue;
            }
            let mut link = former.remove(name).unwrap_or_else(|| {
                let told = ask(name);
                Link { told, up: told.up, seen_up: told.up, ..Link::default() }
            });
            let delay = delays.iter().find(|delay| delay.interface == name);
            link.down_delay = delay.map_or(Duration::ZERO, |delay| delay.down);
            link.up_delay = delay.map_or(Duration::ZERO, |delay| delay.up);
            self.links.insert(name.into(), link);
        }
    }

    /// How an interface counts; down when nobody follows it.
    pub(super) fn state(&self, name: &str) -> LinkState {
        self.links.get(name).map(Link::counts_as).unwrap_or_default()
    }

    /// Takes in what the kernel says. True when something changed that counts now. A delay is at
    /// most `limit`. An interface that vanished is down at once.
    pub(super) fn tell(
        &mut self,
        now: Time,
        name: &str,
        told: LinkState,
        limit: impl Fn() -> Duration,
    ) -> bool {
        let Some(link) = self.links.get_mut(name) else { return false };
        let before = link.counts_as();
        link.told = told;
        let delay = if told.up { link.up_delay } else { link.down_delay };
        if told.up == link.up {
            link.due = None;
        } else if !link.seen_up || told == LinkState::default() || delay.is_zero() {
            link.settle();
        } else if link.due.is_none() {
            link.due = Some(now + delay.min(limit()));
        }
        link.counts_as() != before
    }

    /// When the next delayed change counts.
    pub(super) fn next_deadline(&self) -> Time {
        self.links.values().filter_map(|link| link.due).min().unwrap_or(Time::NEVER)
    }

    /// Lets changes count that lasted long enough. True when there was one.
    pub(super) fn handle_timeout(&mut self, now: Time) -> bool {
        let due = |link: &&mut Link| link.due.is_some_and(|due| due <= now);
        self.links.values_mut().filter(due).map(Link::settle).count() > 0
    }
}

impl Link {
    fn settle(&mut self) {
        self.up = self.told.up;
        self.seen_up |= self.up;
        self.due = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::Ipv4Addr;

    const UP: LinkState = LinkState { up: true, ipv4: Some(Ipv4Addr::LOCALHOST), ipv6: None };
    const DOWN: LinkState = LinkState { up: false, ..UP };

    fn at(milliseconds: u64) -> Time {
        Time::from_nanos(milliseconds * 1_000_000)
    }

    fn delayed(first: LinkState) -> Links {
        let mut links = Links::default();
        let (down, up) = (Duration::from_millis(100), Duration::from_millis(300));
        let delay = LinkDelay { interface: "eth0".into(), down, up };
        links.keep(["eth0"].into_iter(), &[delay], |_| first);
        links
    }

    fn tell(links: &mut Links, now: Time, told: LinkState) -> bool {
        links.tell(now, "eth0", told, || Duration::from_secs(2))
    }

    #[test]
    fn a_change_counts_after_its_delay_and_not_at_all_when_it_goes_back_before() {
        let mut links = delayed(UP);
        assert!(!tell(&mut links, at(0), DOWN));
        assert_eq!(links.next_deadline(), at(100));
        assert!(!tell(&mut links, at(50), UP));
        assert_eq!(links.next_deadline(), Time::NEVER);
        assert!(!tell(&mut links, at(200), DOWN));
        assert!(!links.handle_timeout(at(299)));
        assert!(links.state("eth0").up);
        assert!(links.handle_timeout(at(300)));
        assert!(!links.state("eth0").up);
        assert!(!tell(&mut links, at(1_000), UP));
        assert_eq!(links.next_deadline(), at(1_300));
    }

    #[test]
    fn a_delay_is_never_longer_than_the_instances_can_bear() {
        let mut links = delayed(UP);
        links.tell(at(0), "eth0", DOWN, || Duration::from_millis(20));
        assert_eq!(links.next_deadline(), at(20));
    }

    #[test]
    fn coming_up_for_the_first_time_and_vanishing_count_at_once() {
        let mut links = delayed(DOWN);
        assert!(tell(&mut links, at(0), UP));
        assert!(tell(&mut links, at(1), LinkState::default()));
        assert!(!links.state("eth0").up);
    }

    #[test]
    fn a_lost_address_counts_at_once() {
        let mut links = delayed(UP);
        assert!(tell(&mut links, at(0), LinkState { ipv4: None, ..UP }));
    }

    #[test]
    fn a_stranger_is_nothing_and_a_reload_keeps_what_is_waited_for() {
        let mut links = delayed(UP);
        assert!(!links.tell(at(0), "eth9", DOWN, || Duration::ZERO));
        tell(&mut links, at(0), DOWN);
        let delay = Duration::from_millis(100);
        let delay = LinkDelay { interface: "eth0".into(), down: delay, up: delay };
        links.keep(["eth0", "eth1"].into_iter(), &[delay], |_| DOWN);
        assert_eq!(links.next_deadline(), at(100));
        assert!(!links.state("eth1").up);
    }
}
