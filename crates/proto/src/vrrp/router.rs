//! All virtual routers of this machine, and the groups that change state together.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::IpAddr;
use core::time::Duration;

use model::control::{NoticeKind, TrackerState};
use model::status::VrrpState;
use model::units::{Time, WallTime};
use model::vrrp::{Destination, Family, Holding, TrackGroup, Tracked, VirtualLink, VrrpInstance};

use super::deadlines::Deadlines;
use super::faults::{Conditions, Fault};
use super::group::{Group, Order};
use super::instance::{Instance, fixed_source, own_interval};
use super::links::Links;
use super::output::{LinkState, Output, Subject, Task};
use super::packet::{self, Discard, Received};
use super::tracking;

/// Orders that a group may follow at one moment: fault or start, step back, master.
const ORDERS_MAX: usize = 4;

/// Every virtual router of this machine.
#[derive(Debug, Default)]
pub struct Router {
    pub(super) instances: Vec<Instance>,
    pub(super) groups: Vec<Group>,
    /// Places of the instances with a virtual router id.
    pub(super) by_id: BTreeMap<u8, Vec<usize>>,
    pub(super) deadlines: Deadlines,
    pub(super) links: Links,
    /// When the next delayed change of an interface counts.
    pub(super) links_due: Option<Time>,
    /// Scripts, files, processes and BFD sessions that somebody tracks.
    pub(super) trackers: BTreeMap<Tracked, TrackerState>,
    /// Addresses that `track_src_ip` follows, and whether they are there.
    pub(super) sources: BTreeMap<IpAddr, bool>,
    /// Virtual interfaces that adverts leave by, and whether they are there.
    pub(super) virtual_links: BTreeMap<String, bool>,
    pub(super) track_groups: Vec<TrackGroup>,
    /// Static things that are lost.
    pub(super) lost: Vec<Holding>,
    /// End of `vrrp_startup_delay`; absent before the first configuration.
    pub(super) begin: Option<Time>,
    /// Nanoseconds that the wall clock is ahead of the monotonic one.
    wall_ahead: u64,
    pub(super) tasks: VecDeque<Task>,
}

impl Router {
    /// Tells what the wall clock shows now; `auth_hmac` needs it. To be called often enough that
    /// the two clocks cannot drift apart, and after the wall clock was set.
    pub fn handle_wall_clock(&mut self, now: Time, wall: WallTime) {
        self.wall_ahead = wall.as_nanos().wrapping_sub(now.as_nanos());
    }

    /// An interface changed.
    pub fn handle_link(&mut self, now: Time, interface: &str, link: LinkState) {
        let Router { links, instances, .. } = self;
        let changed = links.tell(now, interface, link, || longest_delay(instances, interface));
        self.links_due = Some(self.links.next_deadline());
        if changed {
            self.reassess(now, |i| i.depends_on_interface(interface));
        }
    }

    /// An advert arrived on an interface. Of a virtual router that is not ours it is nothing;
    /// the error comes with the instance that would have been meant.
    pub fn handle_advert(
        &mut self,
        now: Time,
        interface: &str,
        received: &Received<'_>,
    ) -> Result<(), (Arc<VrrpInstance>, Discard)> {
        let Some(place) = self.addressee(interface, received) else { return Ok(()) };
        let instance = &mut self.instances[place];
        instance.wall_ahead = self.wall_ahead;
        let result = instance.handle_advert(now, received);
        let result = result.map_err(|discard| (instance.plan.clone(), discard));
        let (group, weaker) = (instance.group, core::mem::take(&mut instance.heard_weaker));
        self.collect(place);
        if let Some(group) = group {
            if weaker {
                self.announce_beside(now, group, place);
            }
            self.settle(now, group, Some(place));
        }
        result
    }

    /// The instance that a packet is for. Several may share a virtual router id on an interface:
    /// of both families, or in unicast with different peers.
    fn addressee(&self, interface: &str, received: &Received<'_>) -> Option<usize> {
        let id = packet::addressee(received)?;
        let places = self.by_id.get(&id)?;
        let family = Family::of(received.source);
        let here = |place: &&usize| {
            let plan = &self.instances[**place].plan;
            plan.family == family && (plan.routed || plan.interface == interface)
        };
        let mut candidates = places.iter().filter(here);
        let first = candidates.next()?;
        let exact = |place: &&usize| self.instances[**place].expects(received);
        let found = if exact(&first) { Some(first) } else { candidates.find(exact) };
        Some(*found.unwrap_or(first))
    }

    /// A script, file, process or BFD session changed. Interfaces are told by
    /// [`handle_link`](Self::handle_link).
    pub fn handle_tracker(&mut self, now: Time, what: &Tracked, state: TrackerState) {
        let Some(known) = self.trackers.get_mut(what) else { return };
        if core::mem::replace(known, state) != state {
            self.reassess(now, |i| i.tracks.iter().any(|track| track.what == *what));
        }
    }

    /// An address came to this machine or left it (`track_src_ip`).
    pub fn handle_source(&mut self, now: Time, address: IpAddr, present: bool) {
        let Some(known) = self.sources.get_mut(&address) else { return };
        if core::mem::replace(known, present) != present {
            self.reassess(now, |i| i.plan.source == Some(address));
        }
    }

    /// A virtual interface that adverts leave by came or went, or could not be made.
    pub fn handle_virtual_link(&mut self, now: Time, name: &str, present: bool) {
        let Some(known) = self.virtual_links.get_mut(name) else { return };
        if core::mem::replace(known, present) != present {
            self.reassess(now, |i| way_out(&i.plan) == Some(name));
        }
    }

    /// Somebody removed what masters hold, or something static, and it cannot be put back. A
    /// master gives everything up and becomes backup, and master again after its skew unless
    /// somebody better is there; who depends on something static is faulty.
    pub fn handle_lost(&mut self, now: Time, holding: &Holding) {
        if track_group_of(holding).is_some() && !self.lost.contains(holding) {
            self.lost.push(holding.clone());
            self.reassess(now, |_| true);
        }
        for place in 0..self.instances.len() {
            if self.instances[place].holds(holding) {
                self.instances[place].handle_lost(now);
                self.collect(place);
                self.settle_group_of(now, place);
            }
        }
    }

    /// Something static that was lost is in place again.
    pub fn handle_restored(&mut self, now: Time, holding: &Holding) {
        let before = self.lost.len();
        self.lost.retain(|lost| lost != holding);
        if self.lost.len() != before {
            self.reassess(now, |_| true);
        }
    }

    /// Time passed: does all that is due.
    pub fn handle_timeout(&mut self, now: Time) {
        while let Some(place) = self.deadlines.due(now) {
            let instance = &mut self.instances[place];
            instance.wall_ahead = self.wall_ahead;
            instance.handle_timeout(now);
            self.collect(place);
            self.settle_group_of(now, place);
        }
        if self.links_due.is_some_and(|due| due <= now) {
            let changed = self.links.handle_timeout(now);
            self.links_due = Some(self.links.next_deadline());
            if changed {
                self.reassess(now, |_| true);
            }
        }
    }

    /// Stops every instance, and there is none any more: first all masters say goodbye, then they release what they hold, and
    /// scripts are told last, of the instances before the groups.
    pub fn handle_stop(&mut self, now: Time) {
        for mut instance in core::mem::take(&mut self.instances) {
            instance.wall_ahead = self.wall_ahead;
            instance.stop(now, Some(NoticeKind::Stop));
            self.tasks.append(&mut instance.outputs);
        }
        self.by_id.clear();
        self.deadlines.reset(0);
        for group in core::mem::take(&mut self.groups) {
            let subject = Subject::Group(group.plan);
            self.tasks.push_back(Task { subject, output: Output::Notice(NoticeKind::Stop, 0) });
        }
        self.tasks.make_contiguous().sort_by_key(|task| match task.output {
            Output::SendAdvert(_) => 0,
            Output::Release | Output::Remove(_) => 1,
            Output::Hold | Output::Add(_) | Output::Announce { .. } => 2,
            Output::Transition { .. } | Output::Alarm(_) => 3,
            Output::Notice(..) => 4,
        });
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Task> {
        self.tasks.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due next. Known at once, however many
    /// instances there are.
    pub fn next_deadline(&self) -> Time {
        self.deadlines.earliest().min(self.links_due.unwrap_or(Time::NEVER))
    }

    /// The instances, in file order.
    pub fn instances(&self) -> &[Instance] {
        &self.instances
    }

    /// Looks again at everything that some instances depend on, and lets their groups follow.
    pub(super) fn reassess(&mut self, now: Time, concerned: impl Fn(&Instance) -> bool) {
        let concerned: Vec<usize> =
            (0..self.instances.len()).filter(|place| concerned(&self.instances[*place])).collect();
        for place in &concerned {
            let conditions = self.conditions(&self.instances[*place]);
            let link = self.links.state(&self.instances[*place].plan.interface);
            let instance = &mut self.instances[*place];
            instance.wall_ahead = self.wall_ahead;
            instance.follow_link(link);
            instance.assess(now, conditions);
            self.collect(*place);
        }
        for place in concerned {
            self.settle_group_of(now, place);
        }
    }

    fn conditions(&self, instance: &Instance) -> Conditions {
        let plan = &instance.plan;
        let link = self.links.state(&plan.interface);
        let mut conditions = Conditions::default();
        let faults = &mut conditions.faults;
        if plan.track_primary && !plan.routed && !link.up {
            faults.push(Fault::InterfaceDown(plan.interface.clone()));
        } else if fixed_source(plan).is_none() && link.address(plan.family).is_none() {
            faults.push(Fault::NoAddress(plan.interface.clone(), plan.family));
        }
        let missing = |source: &IpAddr| self.sources.get(source) == Some(&false);
        if let Some(source) = plan.source.filter(|s| plan.track_source && missing(s)) {
            faults.push(Fault::NoSource(source));
        }
        let missing = |name: &&str| self.virtual_links.get(*name) == Some(&false);
        if let Some(name) = way_out(plan).filter(missing) {
            faults.push(Fault::NoVirtualInterface(name.into()));
        }
        if matches!(&plan.destination, Destination::Unicast(u) if u.fault_without_peers && u.peers.is_empty())
        {
            faults.push(Fault::NoPeers);
        }
        for group in self.track_groups.iter().filter(|group| group.members.contains(&plan.name)) {
            if self.lost.iter().any(|lost| track_group_of(lost) == Some(&group.name)) {
                faults.push(Fault::StaticLost(group.name.clone()));
            }
        }
        tracking::weigh(&mut conditions, &instance.tracks, |what| match what {
            Tracked::Interface(name) if self.links.state(name).up => TrackerState::Up,
            Tracked::Interface(_) => TrackerState::Down,
            Tracked::Script(_) | Tracked::File(_) | Tracked::Process(_) | Tracked::Bfd(_) => {
                self.trackers.get(what).copied().unwrap_or_default()
            }
        });
        if instance.resumes {
            // Its predecessor knew.
            conditions.waiting.clear();
        }
        conditions
    }

    /// Takes over what an instance asks for, and its deadline.
    pub(super) fn collect(&mut self, place: usize) {
        let instance = &mut self.instances[place];
        self.tasks.append(&mut instance.outputs);
        self.deadlines.set(place, instance.next_deadline());
    }

    fn settle_group_of(&mut self, now: Time, place: usize) {
        if let Some(group) = self.instances[place].group {
            self.settle(now, group, Some(place));
        }
    }

    /// Lets a group follow its members, and first the one that something happened to.
    pub(super) fn settle(&mut self, now: Time, group: usize, cause: Option<usize>) {
        for _ in 0..ORDERS_MAX {
            let Some(order) = self.groups[group].order(&self.instances) else { break };
            for place in self.groups[group].in_order(&self.instances, cause) {
                self.instances[place].obey(now, order);
                self.collect(place);
            }
            if order == Order::Wait {
                break;
            }
        }
        let Router { groups, instances, tasks, .. } = self;
        if let Some(kind) = groups[group].follow(instances) {
            let subject = Subject::Group(groups[group].plan.clone());
            tasks.push_back(Task { subject, output: Output::Notice(kind, 0) });
        }
    }

    /// The other members of a group announce their addresses too: one heard a weaker master.
    fn announce_beside(&mut self, now: Time, group: usize, one: usize) {
        for n in 0..self.groups[group].members.len() {
            let place = self.groups[group].members[n];
            if place != one {
                self.instances[place].announce_after_weaker(now);
                self.collect(place);
            }
        }
    }
}

impl Instance {
    fn depends_on_interface(&self, name: &str) -> bool {
        let is = |what: &Tracked| matches!(what, Tracked::Interface(tracked) if tracked == name);
        self.plan.interface == name || self.tracks.iter().any(|track| is(&track.what))
    }

    /// Whether a packet comes the way that its adverts come.
    fn expects(&self, received: &Received<'_>) -> bool {
        match &self.plan.destination {
            Destination::Multicast(group) => received.destination == *group,
            Destination::Unicast(unicast) => {
                self.source().is_none_or(|source| received.destination == source)
                    && unicast.peers.iter().any(|peer| peer.address == received.source)
            }
        }
    }

    fn follow_link(&mut self, link: LinkState) {
        let before = self.source();
        self.link = link;
        self.untold |= self.source() != before;
    }

    fn holds(&self, holding: &Holding) -> bool {
        match holding {
            _ if self.state != VrrpState::Master => false,
            Holding::Address(address) => self.plan.held_addresses().any(|held| held == address),
            Holding::Route(route) => self.plan.routes.contains(route),
            Holding::Rule(rule) => self.plan.rules.contains(rule),
        }
    }
}

/// The virtual interface that adverts leave by.
pub fn way_out(plan: &VrrpInstance) -> Option<&str> {
    match &plan.link {
        VirtualLink::Macvlan { name, transmit_on_base: false, .. }
        | VirtualLink::Ipvlan { name, .. } => Some(name),
        VirtualLink::Macvlan { transmit_on_base: true, .. } | VirtualLink::None => None,
    }
}

pub(super) fn track_group_of(holding: &Holding) -> Option<&String> {
    match holding {
        Holding::Address(address) => address.track_group.as_ref(),
        Holding::Route(route) => route.track_group.as_ref(),
        Holding::Rule(rule) => rule.track_group.as_ref(),
    }
}

/// How long a change of an interface may be waited for: less than the intervals after which a
/// backup takes over (keepalived.conf(5), `interface_up_down_delays`).
pub(super) fn longest_delay(instances: &[Instance], interface: &str) -> Duration {
    let on_it = instances.iter().filter(|i| i.plan.interface == interface);
    let limit = |i: &Instance| {
        let interval = own_interval(&i.plan).min(i.master_interval);
        let adverts = u32::from(i.plan.down_timer_adverts.saturating_sub(1));
        (interval * adverts).saturating_sub(interval / 256)
    };
    on_it.map(limit).min().unwrap_or(Duration::MAX)
}
