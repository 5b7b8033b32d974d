//! Schedulers that keep a server for each destination address: for caches that clients reach
//! through a director, one address is one set of pages.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::net::IpAddr;
use core::time::Duration;

use model::Time;

use crate::Candidate;
use crate::connections::{overhead, weighted_least_connection};

/// Entries of one service above which those that rest are collected. Kernel: `max_size`.
pub const LOCALITIES_MAX: usize = 16 * 1024;
/// Most servers of a set: as many as a service may have. The oldest makes room.
const SERVERS_MAX: usize = model::layer4::REAL_SERVERS_MAX;
/// Kernel: CHECK_EXPIRE_INTERVAL.
const COLLECT_EVERY: Duration = Duration::from_secs(60);
/// How long an entry rests before it may go when there are too many. Kernel: ENTRY_TIMEOUT.
const RESTING: Duration = Duration::from_secs(6 * 60);
/// How long it rests before it goes in any case, and a set of servers before it shrinks.
/// Kernel: DEFAULT_EXPIRATION.
const EXPIRATION: Duration = Duration::from_secs(24 * 60 * 60);
/// Collections from one that looks at every entry to the next. Kernel: COUNT_FOR_FULL_EXPIRATION.
const FULL_EVERY: u32 = 30;

/// One server, those included that left and still have connections.
#[derive(Clone, Copy, Debug)]
pub struct Located<I> {
    /// What it is known by as long as it exists.
    pub id: I,
    /// Its numbers.
    pub candidate: Candidate,
    /// It takes part now.
    pub present: bool,
}

/// Whether there is one server for an address or a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replication {
    /// `lblc`: one. Kernel: net/netfilter/ipvs/ip_vs_lblc.c.
    One,
    /// `lblcr`: a set that grows when all in it have too many connections, and shrinks with time.
    /// Kernel: net/netfilter/ipvs/ip_vs_lblcr.c.
    Set,
}

/// The servers of an address, the newest first.
#[derive(Clone, Debug)]
struct Entry<I> {
    servers: Vec<I>,
    used: Time,
    modified: Time,
}

/// Locality-based least connection (`lblc`) and the same with replication (`lblcr`).
#[derive(Clone, Debug)]
pub struct Localities<I> {
    replication: Replication,
    entries: BTreeMap<IpAddr, Entry<I>>,
    collector: Collector,
}

impl<I: Copy + PartialEq> Localities<I> {
    /// Without an entry; the first collection is a minute from `now`.
    pub fn new(replication: Replication, now: Time) -> Localities<I> {
        Localities { replication, entries: BTreeMap::new(), collector: Collector::new(now) }
    }

    /// Entries now.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The position of the server for a connection to an address.
    pub fn choose(&mut self, servers: &[Located<I>], to: IpAddr, now: Time) -> Option<usize> {
        let kept = match (self.entries.get_mut(&to), self.replication) {
            (None, _) => None,
            (Some(entry), Replication::One) => {
                entry.used = now;
                position(servers, entry.servers[0]).filter(|kept| {
                    // A full one keeps its addresses: the kernel does not ask here.
                    servers[*kept].present && servers[*kept].candidate.weight > 0
                })
            }
            (Some(entry), Replication::Set) => {
                entry.used = now;
                let least = entry.least(servers);
                if entry.servers.len() > 1 && now > entry.modified + EXPIRATION {
                    entry.shrink(servers, now);
                }
                least
            }
        };
        if let Some(kept) = kept.filter(|kept| !has_too_many(servers, *kept)) {
            return Some(kept);
        }
        let chosen = least_of_all(servers)?;
        self.keep(to, servers[chosen].id, now);
        Some(chosen)
    }

    fn keep(&mut self, to: IpAddr, id: I, now: Time) {
        let fresh = Entry { servers: Vec::from([id]), used: now, modified: now };
        let Some(entry) = self.entries.get_mut(&to) else {
            self.entries.insert(to, fresh);
            return;
        };
        if entry.servers.contains(&id) {
            return;
        }
        match self.replication {
            Replication::One => *entry = fresh,
            Replication::Set => {
                entry.servers.truncate(SERVERS_MAX - 1);
                entry.servers.insert(0, id);
                entry.modified = now;
            }
        }
    }

    /// A server is gone with its last connection.
    pub fn handle_gone(&mut self, id: I) {
        for entry in self.entries.values_mut() {
            entry.servers.retain(|one| *one != id);
        }
        self.entries.retain(|_, entry| !entry.servers.is_empty());
    }

    /// Collects entries that rest, if it is time.
    pub fn handle_timeout(&mut self, now: Time) {
        if now < self.collector.next_deadline() {
            return;
        }
        let mut rests: Vec<(Time, IpAddr)> =
            self.entries.iter().map(|(to, entry)| (entry.used, *to)).collect();
        for (_, to) in self.collector.collect(&mut rests, now) {
            self.entries.remove(to);
        }
    }
}

impl<I: Copy + PartialEq> Entry<I> {
    /// The available server with the least load by weight; of equals the newest.
    /// Kernel: ip_vs_dest_set_min.
    fn least(&self, servers: &[Located<I>]) -> Option<usize> {
        let members = self.servers.iter().filter_map(|id| position(servers, *id));
        let members: Vec<usize> = members.filter(|at| servers[*at].present).collect();
        let candidates: Vec<Candidate> = members.iter().map(|at| servers[*at].candidate).collect();
        weighted_least_connection(&candidates).map(|chosen| members[chosen])
    }

    /// Drops the server with the most load by weight, be it full or gone; of equals the newest.
    /// Kernel: ip_vs_dest_set_max.
    fn shrink(&mut self, servers: &[Located<I>], now: Time) {
        let mut most: Option<(usize, Candidate)> = None;
        for (index, id) in self.servers.iter().enumerate() {
            let Some(at) = position(servers, *id) else { continue };
            let one = servers[at].candidate;
            let more = |(_, most): (usize, Candidate)| {
                overhead(&most) * u64::from(one.weight) < overhead(&one) * u64::from(most.weight)
            };
            if one.weight > 0 && most.is_none_or(more) {
                most = Some((index, one));
            }
        }
        if let Some((index, _)) = most {
            self.servers.remove(index);
            self.modified = now;
        }
    }
}

fn position<I: PartialEq>(servers: &[Located<I>], id: I) -> Option<usize> {
    servers.iter().position(|one| one.id == id)
}

/// More active connections than its weight, while another has less than half of its own.
/// Kernel: is_overloaded.
fn has_too_many<I>(servers: &[Located<I>], position: usize) -> bool {
    let one = servers[position].candidate;
    let bored = |other: &Located<I>| {
        let Candidate { active, weight, .. } = other.candidate;
        other.present && u64::from(active) * 2 < u64::from(weight)
    };
    one.active > one.weight && servers.iter().any(bored)
}

fn least_of_all<I>(servers: &[Located<I>]) -> Option<usize> {
    let absent = |one: &Located<I>| Candidate {
        overloaded: one.candidate.overloaded || !one.present,
        ..one.candidate
    };
    let candidates: Vec<Candidate> = servers.iter().map(absent).collect();
    weighted_least_connection(&candidates)
}

/// Which entries of one service go, and when: each minute, if there are more than
/// [`LOCALITIES_MAX`], those that rest for six minutes, and every half hour those that rest for a
/// day. Kernel: ip_vs_lblc_check_expire.
#[derive(Clone, Debug)]
pub struct Collector {
    next: Time,
    counter: u32,
}

impl Collector {
    /// The first collection is a minute from `now`.
    pub fn new(now: Time) -> Collector {
        Collector { next: now + COLLECT_EVERY, counter: 1 }
    }

    /// When the next collection is due.
    pub fn next_deadline(&self) -> Time {
        self.next
    }

    /// The entries that go, of all there are with the time of their last use: those that rest
    /// longest first.
    pub fn collect<'e, T: Ord>(&mut self, all: &'e mut [(Time, T)], now: Time) -> &'e [(Time, T)] {
        self.next = now + COLLECT_EVERY;
        all.sort_unstable();
        let resting =
            |all: &[(Time, T)], rest| all.partition_point(|(used, _)| *used + rest <= now);
        if self.counter.is_multiple_of(FULL_EVERY) {
            self.counter = 1;
            let expired = resting(all, EXPIRATION);
            return &all[..expired];
        }
        if all.len() <= LOCALITIES_MAX {
            self.counter += 1;
            return &all[..0];
        }
        let goal = ((all.len() - LOCALITIES_MAX) * 4 / 3).min(LOCALITIES_MAX / 2);
        let resting = resting(all, RESTING);
        &all[..resting.min(goal)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::{full, server};
    use core::net::Ipv4Addr;

    const HOUR: Duration = Duration::from_secs(3600);

    fn located(candidates: &[Candidate]) -> Vec<Located<usize>> {
        let one = |(id, candidate): (usize, &Candidate)| Located {
            id,
            candidate: *candidate,
            present: true,
        };
        candidates.iter().enumerate().map(one).collect()
    }

    fn page(number: u32) -> IpAddr {
        Ipv4Addr::from_bits(number).into()
    }

    #[test]
    fn an_address_keeps_its_server_while_another_has_fewer_connections() {
        for replication in [Replication::One, Replication::Set] {
            let mut localities = Localities::new(replication, Time::ZERO);
            let mut servers = located(&[server(10, 0, 0), server(10, 0, 0)]);
            assert_eq!(localities.choose(&servers, page(1), Time::ZERO), Some(0));
            servers[0].candidate = server(10, 10, 500);
            assert_eq!(localities.choose(&servers, page(1), Time::ZERO), Some(0));
            assert_eq!(localities.choose(&servers, page(2), Time::ZERO), Some(1));
            assert_eq!(localities.len(), 2);
        }
    }

    #[test]
    fn it_moves_when_its_server_has_too_many_and_another_is_bored() {
        let mut localities = Localities::new(Replication::One, Time::ZERO);
        let mut servers = located(&[server(10, 0, 0), server(10, 5, 0)]);
        assert_eq!(localities.choose(&servers, page(1), Time::ZERO), Some(0));
        servers[0].candidate.active = 11;
        assert_eq!(localities.choose(&servers, page(1), Time::ZERO), Some(0), "5 is not below 5");
        servers[1].candidate.active = 4;
        assert_eq!(localities.choose(&servers, page(1), Time::ZERO), Some(1));
        servers[0].candidate.active = 0;
        assert_eq!(localities.choose(&servers, page(1), Time::ZERO), Some(1), "and stays there");
    }

    #[test]
    fn it_moves_when_its_server_leaves_or_drains_but_not_when_it_is_full() {
        let mut localities = Localities::new(Replication::One, Time::ZERO);
        let mut servers = located(&[server(1, 0, 0), server(1, 1, 0)]);
        let mut choose = |servers: &[_]| localities.choose(servers, page(1), Time::ZERO);
        assert_eq!(choose(&servers), Some(0));
        servers[0].candidate = full(1, 0, 0);
        assert_eq!(choose(&servers), Some(0));
        servers[0].candidate = server(0, 0, 0);
        assert_eq!(choose(&servers), Some(1));
        servers[0].candidate = server(1, 0, 0);
        servers[1].present = false;
        assert_eq!(choose(&servers), Some(0));
        servers[0].present = false;
        assert_eq!(choose(&servers), None);
    }

    #[test]
    fn a_set_grows_under_load_and_shrinks_after_a_day() {
        let mut localities = Localities::new(Replication::Set, Time::ZERO);
        let mut servers = located(&[server(1, 0, 0), server(1, 0, 9)]);
        let mut choose = |servers: &[_], now| localities.choose(servers, page(1), now);
        assert_eq!(choose(&servers, Time::ZERO), Some(0));
        servers[0].candidate.active = 2;
        assert_eq!(choose(&servers, Time::ZERO), Some(1), "the set is 1, 0");
        servers[0].candidate = server(1, 0, 1);
        assert_eq!(choose(&servers, Time::ZERO), Some(0), "the least loaded of both");
        servers[0].candidate = server(1, 1, 0);
        let day = Time::ZERO + 24 * HOUR;
        assert_eq!(choose(&servers, day), Some(1));
        servers[1].candidate = server(1, 0, 999);
        assert_eq!(choose(&servers, day + HOUR), Some(0), "and 1, with the most, is dropped");
        servers[1].candidate = server(1, 0, 0);
        assert_eq!(choose(&servers, day + HOUR), Some(0));
    }

    #[test]
    fn a_server_that_is_gone_leaves_every_set() {
        let mut localities = Localities::new(Replication::One, Time::ZERO);
        let servers = located(&[server(1, 0, 0), server(1, 0, 1)]);
        localities.choose(&servers, page(1), Time::ZERO);
        localities.handle_gone(1);
        assert_eq!(localities.len(), 1);
        localities.handle_gone(0);
        assert!(localities.is_empty());
    }

    #[test]
    fn entries_that_rest_for_a_day_go_at_the_next_half_hour() {
        let mut localities = Localities::new(Replication::One, Time::ZERO);
        let servers = located(&[server(1, 0, 0)]);
        localities.choose(&servers, page(1), Time::ZERO);
        localities.choose(&servers, page(2), Time::ZERO + 10 * HOUR);
        let mut went = Vec::new();
        for minute in 0..26 * 60 {
            let now = Time::ZERO + minute * Duration::from_secs(60);
            let before = localities.len();
            localities.handle_timeout(now);
            if localities.len() < before {
                went.push(minute);
            }
        }
        assert!(matches!(went[..], [1440..1471]), "{went:?}");
        assert_eq!(localities.len(), 1);
    }

    #[test]
    fn above_the_bound_those_that_rest_longest_go_at_the_next_minute() {
        let mut localities = Localities::new(Replication::One, Time::ZERO);
        let servers = located(&[server(1, 0, 0)]);
        let surplus = 300;
        for number in 0..(LOCALITIES_MAX + surplus) as u32 {
            let now = Time::ZERO + number * Duration::from_millis(1);
            localities.choose(&servers, page(number), now);
        }
        localities.handle_timeout(Time::ZERO + Duration::from_secs(120));
        assert_eq!(localities.len(), LOCALITIES_MAX + surplus, "none rests for six minutes");
        localities.handle_timeout(Time::ZERO + Duration::from_secs(420));
        assert_eq!(localities.len(), LOCALITIES_MAX + surplus - 400, "four thirds of the surplus");
        assert!(!localities.entries.contains_key(&page(0)));
        assert!(localities.entries.contains_key(&page(400)));
    }
}
