//! Gratuitous ARP and unsolicited neighbour advertisements that wait for their turn: as many as
//! go at once where nothing limits them, one per interval where something does.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use edge::announce::{Announcement, Announcer};
use model::Time;
use model::vrrp::{GarpGroup, VrrpInstance};

/// Most addresses that wait in one queue: more than a master can hold in any configuration we
/// know. The oldest give way.
const WAITING_MAX: usize = 1 << 16;
/// Messages sent in one turn; adverts come between two turns.
pub(super) const AT_ONCE: usize = 256;

/// An address to be announced some more times.
struct Waiting {
    owner: Arc<VrrpInstance>,
    announcement: Announcement,
    left: u8,
}

/// What waits for one limit.
#[derive(Default)]
struct Queue {
    interval: Duration,
    /// The next message may leave from here on.
    next: Time,
    waiting: VecDeque<Waiting>,
    present: BTreeSet<(u32, IpAddr)>,
}

/// All that waits.
pub(super) struct Announcements {
    announcer: Announcer,
    groups: Vec<GarpGroup>,
    queues: BTreeMap<QueueKey, Queue>,
    /// Messages of one turn; kept for its memory.
    turn: Vec<Announcement>,
}

/// Which limit: of ARP or of neighbour advertisements, of a group or of one interface.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum QueueKey {
    Group { place: usize, ipv6: bool },
    Interface { index: u32, ipv6: bool },
}

impl Announcements {
    pub(super) fn new() -> io::Result<Announcements> {
        Ok(Announcements {
            announcer: Announcer::open()?,
            groups: Vec::new(),
            queues: BTreeMap::new(),
            turn: Vec::with_capacity(AT_ONCE),
        })
    }

    /// Other limits hold from now on. What waits keeps waiting, under them.
    pub(super) fn configure(&mut self, groups: &[GarpGroup]) {
        if self.groups == groups {
            return;
        }
        self.groups = groups.to_vec();
        for (key, queue) in &mut self.queues {
            queue.interval = interval(&self.groups, *key);
        }
    }

    /// Puts an address in line, on the interface of this name. One that waits already is
    /// announced as often as the larger number says.
    pub(super) fn push(
        &mut self,
        owner: &Arc<VrrpInstance>,
        name: &str,
        announcement: Announcement,
        times: u8,
    ) {
        let key = self.key(name, &announcement);
        let queue = match self.queues.get_mut(&key) {
            Some(queue) => queue,
            None => {
                let interval = interval(&self.groups, key);
                self.queues.entry(key).or_insert(Queue { interval, ..Queue::default() })
            }
        };
        let identity = (announcement.interface, announcement.address);
        if !queue.present.insert(identity) {
            let same = |waiting: &&mut Waiting| {
                (waiting.announcement.interface, waiting.announcement.address) == identity
            };
            if let Some(waiting) = queue.waiting.iter_mut().find(same) {
                waiting.left = waiting.left.max(times);
                waiting.announcement = announcement;
                waiting.owner = owner.clone();
            }
            return;
        }
        if queue.waiting.len() == WAITING_MAX {
            queue.pop();
        }
        queue.waiting.push_back(Waiting { owner: owner.clone(), announcement, left: times });
    }

    /// An instance holds its addresses no more: nothing of it is announced any more.
    pub(super) fn forget(&mut self, owner: &VrrpInstance) {
        for queue in self.queues.values_mut().filter(|queue| !queue.waiting.is_empty()) {
            queue.waiting.retain(|waiting| {
                let stays = waiting.owner.name != owner.name;
                if !stays {
                    let Announcement { interface, address, .. } = waiting.announcement;
                    queue.present.remove(&(interface, address));
                }
                stays
            });
        }
    }

    /// When [`send_due`](Self::send_due) has something to do next.
    pub(super) fn next_deadline(&self) -> Time {
        let waiting = self.queues.values().filter(|queue| !queue.waiting.is_empty());
        waiting.map(|queue| queue.next).min().unwrap_or(Time::NEVER)
    }

    /// Sends what may leave now, at most [`AT_ONCE`] messages. Returns the first error.
    pub(super) fn send_due(&mut self, now: Time) -> io::Result<()> {
        self.turn.clear();
        for queue in self.queues.values_mut() {
            queue.take_due(now, &mut self.turn);
        }
        let mut result = Ok(());
        self.announcer.send(self.turn.iter().copied(), |_, error| {
            if result.is_ok() {
                result = Err(error);
            }
        });
        result
    }

    fn key(&self, name: &str, announcement: &Announcement) -> QueueKey {
        let ipv6 = announcement.address.is_ipv6();
        let named = |group: &GarpGroup| group.interfaces.iter().any(|interface| interface == name);
        match self.groups.iter().position(named) {
            Some(place) => QueueKey::Group { place, ipv6 },
            None => QueueKey::Interface { index: announcement.interface, ipv6 },
        }
    }
}

impl Queue {
    fn take_due(&mut self, now: Time, turn: &mut Vec<Announcement>) {
        while turn.len() < AT_ONCE && self.next <= now {
            let Some(mut first) = self.waiting.pop_front() else { return };
            turn.push(first.announcement);
            first.left = first.left.saturating_sub(1);
            if first.left > 0 {
                // Every address once, then every address again.
                self.waiting.push_back(first);
            } else {
                self.present.remove(&(first.announcement.interface, first.announcement.address));
            }
            if !self.interval.is_zero() {
                self.next = now + self.interval;
            }
        }
    }

    fn pop(&mut self) {
        if let Some(Waiting { announcement, .. }) = self.waiting.pop_front() {
            self.present.remove(&(announcement.interface, announcement.address));
        }
    }
}

/// The limit of a queue: that of its group, else that of the group without interfaces, which
/// holds for each of the others by itself.
fn interval(groups: &[GarpGroup], key: QueueKey) -> Duration {
    let (group, ipv6) = match key {
        QueueKey::Group { place, ipv6 } => (groups.get(place), ipv6),
        QueueKey::Interface { ipv6, .. } => {
            (groups.iter().find(|group| group.interfaces.is_empty()), ipv6)
        }
    };
    match (group, ipv6) {
        (Some(group), false) => group.garp_interval,
        (Some(group), true) => group.na_interval,
        (None, _) => Duration::ZERO,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::units::VirtualRouterId;

    fn owner(name: &str) -> Arc<VrrpInstance> {
        Arc::new(VrrpInstance::new(name, "eth0", VirtualRouterId::try_from(1).unwrap()))
    }

    fn announcement(interface: u32, last: u8) -> Announcement {
        let address = IpAddr::from([10, 0, 0, last]);
        Announcement { interface, mac: [2; 6], address, router: false }
    }

    /// What leaves at a time, without sending it.
    fn due(queues: &mut Announcements, milliseconds: u64) -> Vec<(u32, IpAddr)> {
        let mut turn = Vec::new();
        for queue in queues.queues.values_mut() {
            queue.take_due(Time::from_nanos(milliseconds * 1_000_000), &mut turn);
        }
        turn.iter().map(|a| (a.interface, a.address)).collect()
    }

    fn one(interface: u32, last: u8) -> (u32, IpAddr) {
        (interface, IpAddr::from([10, 0, 0, last]))
    }

    fn empty() -> Option<Announcements> {
        match Announcements::new() {
            Ok(announcements) => Some(announcements),
            Err(error) => {
                println!("skipped: packet sockets need CAP_NET_RAW: {error}");
                None
            }
        }
    }

    #[test]
    fn every_address_is_told_once_before_one_is_told_twice() {
        let Some(mut all) = empty() else { return };
        all.push(&owner("a"), "eth0", announcement(2, 1), 2);
        all.push(&owner("a"), "eth0", announcement(2, 2), 2);
        all.push(&owner("a"), "eth0", announcement(2, 2), 1);
        assert_eq!(due(&mut all, 0), [one(2, 1), one(2, 2), one(2, 1), one(2, 2)]);
        assert_eq!(all.next_deadline(), Time::NEVER);
    }

    #[test]
    fn a_group_shares_one_limit_and_other_interfaces_have_their_own() {
        let Some(mut all) = empty() else { return };
        let milliseconds = Duration::from_millis;
        let limit = |interfaces: &[&str], garp| GarpGroup {
            interfaces: interfaces.iter().map(|name| (*name).into()).collect(),
            garp_interval: milliseconds(garp),
            na_interval: Duration::ZERO,
        };
        all.configure(&[limit(&["eth0", "eth1"], 10), limit(&[], 20)]);
        all.push(&owner("a"), "eth0", announcement(2, 1), 1);
        all.push(&owner("a"), "eth1", announcement(3, 2), 1);
        all.push(&owner("a"), "eth2", announcement(4, 3), 2);
        all.push(&owner("a"), "eth3", announcement(5, 4), 1);
        assert_eq!(due(&mut all, 0), [one(2, 1), one(4, 3), one(5, 4)]);
        assert_eq!(all.next_deadline(), Time::ZERO + milliseconds(10));
        assert_eq!(due(&mut all, 10), [one(3, 2)]);
        assert_eq!(due(&mut all, 20), [one(4, 3)]);
    }

    #[test]
    fn what_an_instance_holds_no_more_is_not_announced() {
        let Some(mut all) = empty() else { return };
        all.push(&owner("a"), "eth0", announcement(2, 1), 1);
        all.push(&owner("b"), "eth0", announcement(2, 2), 1);
        all.forget(&owner("a"));
        assert_eq!(due(&mut all, 0), [one(2, 2)]);
        all.push(&owner("a"), "eth0", announcement(2, 1), 1);
        assert_eq!(due(&mut all, 0), [one(2, 1)]);
    }

    #[test]
    fn one_turn_and_one_queue_are_bounded() {
        let Some(mut all) = empty() else { return };
        for number in 0..(WAITING_MAX as u32 + 10) {
            let address = IpAddr::from(number.to_be_bytes());
            let announcement = Announcement { address, ..announcement(2, 1) };
            all.push(&owner("a"), "eth0", announcement, 1);
        }
        assert_eq!(due(&mut all, 0).len(), AT_ONCE);
        let waiting: usize = all.queues.values().map(|queue| queue.waiting.len()).sum();
        assert_eq!(waiting, WAITING_MAX - AT_ONCE);
    }
}
