//! One router as its driver sees it: what goes in, and what it asks for.

mod adverts;
mod announcements;
mod faults;
mod groups;
mod owner;
mod reloads;
mod rfc;
mod speed;
mod trackers;

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use alloc::{format, vec};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::time::Duration;

use model::control::{NoticeKind, TrackerState};
use model::status::{InstanceStatus, VrrpState};
use model::units::{Centiseconds, Priority, Time, VirtualRouterId, WallTime};
use model::vrrp::{
    Destination, Family, Holding, SyncGroup, Track, Tracked, Version, VirtualAddress, VrrpInstance,
    VrrpPlan,
};

use super::packet::{Guard, PROTOCOL, Received, Sealer};
use super::{Announced, Discard, LinkState, Output, Reason, Router, Surroundings, Task};

pub(crate) const LOWER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 9, 0, 0));
pub(crate) const OURS: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 9, 0, 1));
pub(crate) const HIGHER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 9, 0, 2));
pub(crate) const OURS_V6: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
pub(crate) const UP: LinkState =
    LinkState { up: true, ipv4: Some(Ipv4Addr::new(10, 9, 0, 1)), ipv6: Some(OURS_V6) };
pub(crate) const DOWN: LinkState = LinkState { up: false, ..UP };

pub(crate) fn address(last: u8) -> VirtualAddress {
    VirtualAddress::new(IpAddr::V4(Ipv4Addr::new(10, 9, 0, last)), 32)
}

pub(crate) fn id(number: u8) -> VirtualRouterId {
    VirtualRouterId::try_from(number).unwrap()
}

/// Version 2, an advert a second, one address.
pub(crate) fn plan(priority: u8) -> VrrpInstance {
    VrrpInstance {
        priority: Priority::try_from(priority).unwrap(),
        addresses: vec![address(100)],
        ..VrrpInstance::new("VI_1", "eth0", id(51))
    }
}

pub(crate) fn named(name: &str, interface: &str, number: u8, priority: u8) -> VrrpInstance {
    VrrpInstance {
        name: name.into(),
        interface: interface.into(),
        virtual_router_id: id(number),
        addresses: vec![address(number)],
        ..plan(priority)
    }
}

pub(crate) fn alone(plan: VrrpInstance) -> VrrpPlan {
    VrrpPlan { instances: vec![plan], ..VrrpPlan::default() }
}

pub(crate) fn at(milliseconds: u64) -> Time {
    Time::from_nanos(milliseconds * 1_000_000)
}

pub(crate) fn track(what: Tracked, weight: i16) -> Track {
    Track { what, weight, reverse: false }
}

pub(crate) fn script(name: &str) -> Tracked {
    Tracked::Script(name.into())
}

/// A machine with every interface up unless told otherwise, and every tracker unknown.
#[derive(Default)]
pub(crate) struct Machine {
    pub(crate) links: BTreeMap<String, LinkState>,
    pub(crate) trackers: BTreeMap<Tracked, TrackerState>,
    pub(crate) missing: BTreeSet<IpAddr>,
    pub(crate) resumes: bool,
}

impl Surroundings for Machine {
    fn link(&self, interface: &str) -> LinkState {
        self.links.get(interface).copied().unwrap_or(UP)
    }
    fn resumes(&self, _: &VrrpInstance) -> bool {
        self.resumes
    }
    fn tracker(&self, what: &Tracked) -> TrackerState {
        self.trackers.get(what).copied().unwrap_or_default()
    }
    fn has_address(&self, address: IpAddr) -> bool {
        !self.missing.contains(&address)
    }
}

/// A router and what surrounds it.
pub(crate) struct Bench {
    pub(crate) router: Router,
    pub(crate) machine: Machine,
}

impl Bench {
    pub(crate) fn over(machine: Machine, plan: &VrrpPlan) -> Bench {
        let mut bench = Bench { router: Router::default(), machine };
        bench.configure(0, plan);
        bench
    }

    pub(crate) fn started(plan: &VrrpPlan) -> Bench {
        Bench::over(Machine::default(), plan)
    }

    /// One instance that became master after four seconds; all it asked for is taken.
    pub(crate) fn master(plan: VrrpInstance) -> Bench {
        let mut bench = Bench::started(&alone(plan));
        bench.pass(4_000);
        assert_eq!(bench.state(), VrrpState::Master);
        bench.tasks();
        bench
    }

    pub(crate) fn configure(&mut self, now: u64, plan: &VrrpPlan) {
        self.router.configure(at(now), plan, &self.machine);
    }

    pub(crate) fn tasks(&mut self) -> Vec<Task> {
        core::iter::from_fn(|| self.router.poll_output()).collect()
    }

    pub(crate) fn outputs(&mut self) -> Vec<Output> {
        self.tasks().into_iter().map(|task| task.output).collect()
    }

    /// What it asked for, in letters.
    pub(crate) fn letters(&mut self) -> String {
        self.outputs().iter().map(letter).collect()
    }

    /// What scripts were told: `VI_1 MASTER 100`.
    pub(crate) fn notices(&mut self) -> Vec<String> {
        let text = |task: Task| match task.output {
            Output::Notice(kind, priority) => {
                Some(format!("{} {kind} {priority}", task.subject.name()))
            }
            _ => None,
        };
        self.tasks().into_iter().filter_map(text).collect()
    }

    pub(crate) fn state(&self) -> VrrpState {
        self.router.instances()[0].state()
    }

    pub(crate) fn states(&self) -> Vec<VrrpState> {
        self.router.instances().iter().map(|i| i.state()).collect()
    }

    pub(crate) fn status(&self, now: u64) -> InstanceStatus {
        self.router.status(at(now)).swap_remove(0)
    }

    /// Time passes up to a moment; each timer fires at its time.
    pub(crate) fn pass(&mut self, until: u64) {
        while self.router.next_deadline() <= at(until) {
            self.router.handle_timeout(self.router.next_deadline());
        }
    }

    /// The first instance hears an advert of its own virtual router.
    /// When something is to be done next.
    pub(crate) fn due(&self) -> Time {
        let instances = self.router.instances().iter().map(|one| one.next_due());
        instances.min().unwrap_or(Time::NEVER)
    }

    pub(crate) fn hear(&mut self, now: u64, source: IpAddr, priority: u8) -> String {
        self.hear_at(0, now, source, priority);
        self.letters()
    }

    pub(crate) fn hear_at(&mut self, place: usize, now: u64, source: IpAddr, priority: u8) {
        let plan = self.router.instances()[place].plan().clone();
        self.hear_from(&plan, now, source, priority).unwrap();
    }

    /// An advert of another router with this configuration.
    pub(crate) fn hear_from(
        &mut self,
        plan: &Arc<VrrpInstance>,
        now: u64,
        source: IpAddr,
        priority: u8,
    ) -> Result<(), (Arc<VrrpInstance>, Discard)> {
        let mut sealer = Sealer::default();
        let wall = WallTime::from_nanos(0);
        let packets = sealer.emit(&mut Guard::default(), plan, source, priority, wall);
        let received = Received {
            source,
            destination: packets[0].destination,
            ttl: packets[0].ttl,
            protocol: PROTOCOL,
            ipv4_header: &[],
            payload: &packets[0].payload,
        };
        self.router.handle_advert(at(now), &plan.interface, &received)
    }

    pub(crate) fn link(&mut self, now: u64, name: &str, state: LinkState) {
        self.machine.links.insert(name.into(), state);
        self.router.handle_link(at(now), name, state);
    }

    pub(crate) fn tracker(&mut self, now: u64, what: Tracked, state: TrackerState) {
        self.router.handle_tracker(at(now), &what, state);
        self.machine.trackers.insert(what, state);
    }
}

/// s(end), g(oodbye), h(old), r(elease), a(dd), d(elete), G(ARP), T(ransition), N(otice),
/// ! (alarm).
pub(crate) fn letter(output: &Output) -> char {
    match output {
        Output::SendAdvert(packet) if packet.payload[2] == 0 => 'g',
        Output::SendAdvert(_) => 's',
        Output::Hold => 'h',
        Output::Release => 'r',
        Output::Add(_) => 'a',
        Output::Remove(_) => 'd',
        Output::Announce { .. } => 'G',
        Output::Transition { .. } => 'T',
        Output::Notice(..) => 'N',
        Output::Alarm(_) => '!',
    }
}
