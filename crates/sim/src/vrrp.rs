//! VRRP routers on LANs, with a virtual clock.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use model::Time;
use model::control::TrackerState;
use model::status::VrrpState;
use model::vrrp::{Family, Tracked, VrrpInstance, VrrpPlan};
use proto::vrrp::packet::Received;
use proto::vrrp::{LinkState, Output, Router, Subject, Surroundings, Task};

use crate::lan::Lan;
use crate::random::Random;

/// One machine.
#[derive(Debug)]
struct Station {
    router: Router,
    plan: VrrpPlan,
    /// Powered on: it hears, and its timers run.
    alive: bool,
    /// Which instances hold their addresses, as told by the router's outputs.
    holds: BTreeMap<String, bool>,
    /// How its trackers are.
    trackers: BTreeMap<Tracked, TrackerState>,
    /// Its interfaces that are down.
    down: Vec<String>,
}

impl Station {
    fn off(plan: VrrpPlan) -> Station {
        Station {
            router: Router::default(),
            plan,
            alive: false,
            holds: BTreeMap::new(),
            trackers: BTreeMap::new(),
            down: Vec::new(),
        }
    }
}

/// What a starting router sees of its machine.
struct Seen<'a> {
    number: usize,
    trackers: &'a BTreeMap<Tracked, TrackerState>,
    down: &'a [String],
    /// Instances whose addresses a killed predecessor left in place.
    left: BTreeMap<String, bool>,
}

impl Surroundings for Seen<'_> {
    fn link(&self, interface: &str) -> LinkState {
        let up = !self.down.iter().any(|name| name == interface);
        LinkState { up, ..link(self.number) }
    }
    fn resumes(&self, plan: &VrrpInstance) -> bool {
        self.left.get(&plan.name).copied().unwrap_or(false)
    }
    fn tracker(&self, what: &Tracked) -> TrackerState {
        self.trackers.get(what).copied().unwrap_or_default()
    }
    fn has_address(&self, _: IpAddr) -> bool {
        true
    }
}

/// Machines, and a LAN per interface name between them.
#[derive(Debug)]
pub struct Network {
    /// The LANs by interface name, to lose frames and be cut.
    pub lans: BTreeMap<String, Lan>,
    now: Time,
    stations: Vec<Station>,
    /// Changes of state so far.
    pub transitions: u64,
}

impl Network {
    /// Machines with these configurations; none is running.
    pub fn new(plans: Vec<VrrpPlan>, mut random: Random) -> Network {
        let names = plans.iter().flat_map(|plan| &plan.instances).map(|i| i.interface.clone());
        let lan = |name| (name, Lan::new(plans.len(), Random::new(random.number())));
        let lans = names.map(lan).collect();
        let stations = plans.into_iter().map(Station::off).collect();
        Network { lans, now: Time::ZERO, stations, transitions: 0 }
    }

    /// How many machines there are.
    pub fn stations(&self) -> usize {
        self.stations.len()
    }

    /// The virtual clock.
    pub fn now(&self) -> Time {
        self.now
    }

    /// Its configuration.
    pub fn plan(&self, station: usize) -> &VrrpPlan {
        &self.stations[station].plan
    }

    /// Switches a machine on, with nothing in place.
    pub fn start(&mut self, station: usize) {
        self.stations[station].alive = true;
        self.stations[station].router = Router::default();
        self.configure(station, BTreeMap::new());
    }

    /// Stops a router in order.
    pub fn stop(&mut self, station: usize) {
        let now = self.now;
        self.stations[station].router.handle_stop(now);
        self.collect(station);
        self.stations[station].alive = false;
    }

    /// Takes a machine's power away: it is silent and holds nothing, without a word.
    pub fn kill(&mut self, station: usize) {
        let Station { plan, trackers, down, .. } = &mut self.stations[station];
        let (plan, trackers) = (plan.clone(), std::mem::take(trackers));
        let down = std::mem::take(down);
        self.stations[station] = Station { trackers, down, ..Station::off(plan) };
    }

    /// Kills the router's process; a new one starts and finds the addresses in place.
    pub fn crash(&mut self, station: usize) {
        let held = std::mem::take(&mut self.stations[station].holds);
        self.stations[station].router = Router::default();
        self.stations[station].holds = held.clone();
        self.configure(station, held);
    }

    /// Has a running router take over another configuration.
    pub fn reload(&mut self, station: usize, plan: VrrpPlan) {
        self.stations[station].plan = plan;
        if self.stations[station].alive {
            self.configure(station, BTreeMap::new());
        }
    }

    /// A tracker of a machine changes.
    pub fn track(&mut self, station: usize, what: Tracked, state: TrackerState) {
        let now = self.now;
        let machine = &mut self.stations[station];
        machine.trackers.insert(what.clone(), state);
        if machine.alive {
            machine.router.handle_tracker(now, &what, state);
            self.collect(station);
        }
    }

    /// An interface of a machine goes down or comes up: nothing arrives there meanwhile.
    pub fn set_link(&mut self, station: usize, interface: &str, up: bool) {
        let now = self.now;
        let machine = &mut self.stations[station];
        machine.down.retain(|name| name != interface);
        if !up {
            machine.down.push(interface.to_owned());
        }
        if machine.alive {
            machine.router.handle_link(now, interface, LinkState { up, ..link(station) });
            self.collect(station);
        }
    }

    /// Whether an interface is up.
    pub fn is_up(&self, station: usize, interface: &str) -> bool {
        !self.stations[station].down.iter().any(|name| name == interface)
    }

    /// Whether a router runs.
    pub fn is_alive(&self, station: usize) -> bool {
        self.stations[station].alive
    }

    /// Whether a router runs and could be master of an instance.
    pub fn is_able(&self, station: usize, instance: &str) -> bool {
        matches!(self.state(station, instance), Some(VrrpState::Backup | VrrpState::Master))
    }

    /// State of an instance, while its router runs.
    pub fn state(&self, station: usize, instance: &str) -> Option<VrrpState> {
        let machine = &self.stations[station];
        let instances = machine.router.instances().iter().filter(|_| machine.alive);
        instances.into_iter().find(|i| i.plan().name == instance).map(|i| i.state())
    }

    /// Priority of an instance after its weights.
    pub fn priority(&self, station: usize, instance: &str) -> Option<u8> {
        let instances = self.stations[station].router.instances().iter();
        instances.into_iter().find(|i| i.plan().name == instance).map(|i| i.priority())
    }

    /// The machines that hold the addresses of an instance.
    pub fn holders(&self, instance: &str) -> Vec<usize> {
        let holds =
            |station: &usize| self.stations[*station].holds.get(instance).copied().unwrap_or(false);
        (0..self.stations.len()).filter(holds).collect()
    }

    /// Longest master-down interval of all.
    pub fn master_down_interval(&self) -> Duration {
        let routers = self.stations.iter().map(|s| &s.router);
        let intervals = routers.flat_map(|r| r.instances()).map(|i| i.master_down_interval());
        intervals.max().unwrap_or_default()
    }

    /// Lets the next thing happen, no later than `until`. False when nothing is left before.
    pub fn step(&mut self, until: Time) -> bool {
        let alive = self.stations.iter().filter(|s| s.alive);
        let deadline = alive.map(|s| s.router.next_deadline()).min().unwrap_or(Time::NEVER);
        let arrival = self.lans.values().map(Lan::next_arrival).min().unwrap_or(Time::NEVER);
        let next = deadline.min(arrival);
        if next > until {
            self.now = until;
            return false;
        }
        self.now = self.now.max(next);
        self.deliver();
        for station in 0..self.stations.len() {
            let Station { router, alive, .. } = &mut self.stations[station];
            if *alive && router.next_deadline() <= self.now {
                router.handle_timeout(self.now);
                self.collect(station);
            }
        }
        true
    }

    /// Lets time pass.
    pub fn run(&mut self, span: Duration) {
        let until = self.now + span;
        while self.step(until) {}
    }

    fn deliver(&mut self) {
        let names: Vec<String> = self.lans.keys().cloned().collect();
        for name in names {
            while let Some(frame) = self.lans.get_mut(&name).and_then(|lan| lan.arrive(self.now)) {
                let to = frame.to;
                if !self.stations[to].alive || !self.is_up(to, &name) {
                    continue;
                }
                let family = if frame.bytes[0] >> 4 == 6 { Family::Ipv6 } else { Family::Ipv4 };
                let received = Received {
                    source: source(frame.from, family),
                    destination: family.group(),
                    ttl: 255,
                    protocol: 112,
                    ipv4_header: &[],
                    payload: &frame.bytes[1..],
                };
                // A router that was reloaded may disagree with the others for a while.
                let _ = self.stations[to].router.handle_advert(self.now, &name, &received);
                self.collect(to);
            }
        }
    }

    fn configure(&mut self, station: usize, left: BTreeMap<String, bool>) {
        let Station { router, plan, trackers, down, .. } = &mut self.stations[station];
        let seen = Seen { number: station, trackers, down, left };
        router.configure(self.now, plan, &seen);
        self.collect(station);
    }

    fn collect(&mut self, from: usize) {
        while let Some(Task { subject, output }) = self.stations[from].router.poll_output() {
            let Subject::Instance(plan) = subject else { continue };
            let up = self.is_up(from, &plan.interface);
            let holds = self.stations[from].holds.entry(plan.name.clone()).or_default();
            match output {
                Output::SendAdvert(packet) => {
                    let version = if plan.family == Family::Ipv6 { 0x60 } else { 0x40 };
                    let mut bytes = vec![version];
                    bytes.extend_from_slice(&packet.payload);
                    if let (true, Some(lan)) = (up, self.lans.get_mut(&plan.interface)) {
                        lan.broadcast(self.now, from, &bytes);
                    }
                }
                Output::Hold => *holds = true,
                Output::Release => *holds = false,
                Output::Announce { .. } => assert!(*holds, "announces what it does not hold"),
                Output::Add(_) | Output::Remove(_) => assert!(*holds, "changes what it lacks"),
                Output::Transition { to, .. } => {
                    self.transitions += 1;
                    assert_eq!(*holds, to == VrrpState::Master, "holds as {to}");
                }
                Output::Notice(..) | Output::Alarm(_) => {}
            }
        }
    }
}

fn link(station: usize) -> LinkState {
    let ipv4 = Ipv4Addr::new(10, 9, 0, station as u8 + 1);
    let ipv6 = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, station as u16 + 1);
    LinkState { up: true, ipv4: Some(ipv4), ipv6: Some(ipv6) }
}

fn source(station: usize, family: Family) -> IpAddr {
    match link(station).address(family) {
        Some(address) => address,
        None => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
    }
}
