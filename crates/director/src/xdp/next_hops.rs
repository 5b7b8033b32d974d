//! Where the real servers are on the wire: the next hop of each by route lookup, kept resolved.
//!
//! The kernel keeps each next hop as a managed neighbour and tells of changes. It notices a new
//! MAC address only after its own probes fail, which takes too long; so each next hop is also
//! asked once a second, at the MAC address it has, and everyone is asked when it does not answer.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use edge::neighbour_probe::{Answer, Probe, ProbeSockets};
use edge::netlink::Socket;
use edge::netlink::neighbour::{self, Change, Interface, Mac, Neighbour};
use edge::netlink::route::{self, Route};
use model::Time;

/// How often each next hop is asked.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// How long it has to answer before everyone is asked.
const ANSWER_WITHIN: Duration = Duration::from_millis(300);
/// How long what it said itself counts for more than what the kernel believes.
const TRUST: Duration = Duration::from_secs(3);
/// Requests sent in one go, so that many next hops do not flood the wire.
const REQUESTS_AT_ONCE: usize = 256;
/// Route lookups in one go.
const LOOKUPS_AT_ONCE: usize = 256;
/// How often unanswered questions are looked after.
const TICK: Duration = Duration::from_millis(50);
/// How often a server without a route is looked up again.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// What the forwarding program needs to reach a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Through this interface, to this MAC address; IP packets of up to `mtu` bytes. `source` is
    /// this machine's address there.
    Frame { interface: u32, to: Mac, from: Mac, mtu: u32, source: Option<IpAddr> },
    /// It is this machine.
    Local,
    /// Not known (yet).
    Unknown,
}

type HopKey = (u32, IpAddr);

struct Server {
    route: Option<Route>,
    users: u32,
}

struct Hop {
    mac: Option<Mac>,
    /// An administrator said where it is: that holds, and is not ours to give back.
    fixed: bool,
    servers: BTreeSet<IpAddr>,
    source: Option<IpAddr>,
    asked: Time,
    /// When it last answered us itself.
    heard: Time,
    answered: bool,
    everyone_asked: bool,
}

impl Hop {
    /// Everyone is to be asked: it is not known where it is, or it does not answer there.
    fn is_unanswered(&self, now: Time) -> bool {
        let silent = !self.answered && now >= self.asked + ANSWER_WITHIN;
        (silent || self.mac.is_none()) && !self.everyone_asked
    }

    /// It is its turn.
    fn is_due(&self, now: Time) -> bool {
        !self.fixed && (self.is_unanswered(now) || now >= self.asked + ASK_EVERY)
    }
}

/// What the kernel knows of a next hop.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    mac: Option<Mac>,
    fixed: bool,
}

/// Answers that came before they were needed.
#[derive(Default)]
struct Ahead {
    routes: HashMap<IpAddr, Option<Route>>,
    /// Next hops that the kernel keeps by now, with what it knew of them.
    hops: HashMap<HopKey, Known>,
}

/// The next hops of all real servers.
pub(crate) struct NextHops {
    requests: Socket,
    events: Socket,
    probes: Option<ProbeSockets>,
    servers: HashMap<IpAddr, Server>,
    hops: HashMap<HopKey, Hop>,
    interfaces: HashMap<u32, Interface>,
    /// How many of them there are on each interface.
    on: BTreeMap<u32, usize>,
    /// What was asked for many servers at once and not used yet.
    ahead: Ahead,
    /// Servers whose route is to be looked up anew.
    stale: BTreeSet<IpAddr>,
    look_again: Time,
    now: Time,
}

/// What [`NextHops::handle_events`] saw.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// Servers whose [`Reach`] may have changed.
    pub(crate) servers: HashSet<IpAddr>,
    /// Interfaces that came or changed.
    pub(crate) interfaces: Vec<Interface>,
    /// Interfaces that went.
    pub(crate) gone: Vec<Interface>,
}

impl NextHops {
    pub(crate) fn open() -> io::Result<NextHops> {
        let events = Socket::open()?;
        events.subscribe(&neighbour::GROUPS)?;
        let mut requests = Socket::open()?;
        let interfaces = neighbour::interfaces(&mut requests)?;
        Ok(NextHops {
            requests,
            events,
            // Without it (no CAP_NET_RAW) the kernel's own probes still do, only later.
            probes: ProbeSockets::open().ok(),
            servers: HashMap::new(),
            hops: HashMap::new(),
            on: BTreeMap::new(),
            ahead: Ahead::default(),
            interfaces: interfaces.into_iter().map(|found| (found.index, found)).collect(),
            stale: BTreeSet::new(),
            look_again: Time::ZERO,
            now: Time::ZERO,
        })
    }

    pub(crate) fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        let events = std::iter::once(self.events.as_fd());
        events.chain(self.probes.iter().flat_map(ProbeSockets::descriptors)).collect()
    }

    pub(crate) fn interface_named(&self, name: &str) -> Option<&Interface> {
        self.interfaces.values().find(|interface| interface.name == name)
    }

    /// Names and indices of all interfaces.
    pub(crate) fn named(&self) -> Vec<(&str, u32)> {
        self.interfaces.values().map(|one| (one.name.as_str(), one.index)).collect()
    }

    pub(crate) fn interface(&self, index: u32) -> Option<&Interface> {
        self.interfaces.get(&index)
    }

    /// Interfaces that lead to servers.
    pub(crate) fn outgoing(&self) -> BTreeSet<u32> {
        self.on.keys().copied().collect()
    }

    /// Many servers are about to be added: asks for all of them at once what would take a round
    /// trip to the kernel each. [`forget_ahead`](Self::forget_ahead) ends this.
    pub(crate) fn look_ahead(&mut self, addresses: impl Iterator<Item = IpAddr>) {
        let unknown: BTreeSet<IpAddr> =
            addresses.filter(|address| !self.servers.contains_key(address)).collect();
        self.ask_ahead(unknown.into_iter().collect());
    }

    fn ask_ahead(&mut self, addresses: Vec<IpAddr>) {
        if addresses.len() < 2 {
            return;
        }
        // What cannot be asked for at once is asked for one by one.
        let Ok(routes) = route::lookup_many(&mut self.requests, &addresses) else { return };
        let hops: BTreeSet<HopKey> = routes
            .iter()
            .flatten()
            .filter(|route| !route.local)
            .map(|route| (route.interface, route.next_hop))
            .filter(|key| !self.hops.contains_key(key))
            .collect();
        self.ahead.routes = addresses.into_iter().zip(routes).collect();
        if hops.is_empty() {
            return;
        }
        let neighbours = neighbour::neighbours(&mut self.requests).unwrap_or_default();
        let known: HashMap<HopKey, Known> = neighbours.iter().map(known).collect();
        let known = |key: &HopKey| (*key, known.get(key).copied().unwrap_or_default());
        let hops: HashMap<HopKey, Known> = hops.iter().map(known).collect();
        let open = hops.iter().filter(|(_, known)| !known.fixed);
        let open: Vec<HopKey> = open.map(|(key, _)| *key).collect();
        if open.is_empty() || neighbour::manage_many(&mut self.requests, &open).is_ok() {
            self.ahead.hops = hops;
        }
    }

    /// Gives back what was asked for and not used.
    pub(crate) fn forget_ahead(&mut self) {
        let Ahead { hops, .. } = std::mem::take(&mut self.ahead);
        for ((interface, address), known) in hops {
            if !known.fixed {
                let _ = neighbour::release(&mut self.requests, interface, address);
            }
        }
    }

    /// One more destination is at this address.
    pub(crate) fn add_server(&mut self, address: IpAddr) {
        let server = self.servers.entry(address).or_insert(Server { route: None, users: 0 });
        server.users += 1;
        if server.users == 1 {
            self.look_up(address);
        }
    }

    /// One less.
    pub(crate) fn remove_server(&mut self, address: IpAddr) {
        let Some(server) = self.servers.get_mut(&address) else { return };
        server.users -= 1;
        if server.users == 0 {
            self.leave_hop(address);
            self.servers.remove(&address);
            self.stale.remove(&address);
        }
    }

    pub(crate) fn reach(&self, server: IpAddr) -> Reach {
        let Some(route) = self.servers.get(&server).and_then(|server| server.route) else {
            return Reach::Unknown;
        };
        if route.local {
            return Reach::Local;
        }
        let hop = self.hops.get(&(route.interface, route.next_hop));
        let Some(interface) = self.interfaces.get(&route.interface) else { return Reach::Unknown };
        match (hop.and_then(|hop| hop.mac), interface.mac) {
            (Some(to), Some(from)) => {
                let mtu = route.mtu.map_or(interface.mtu, |mtu| mtu.min(interface.mtu));
                Reach::Frame { interface: route.interface, to, from, mtu, source: route.source }
            }
            _ => Reach::Unknown,
        }
    }

    fn look_up(&mut self, address: IpAddr) -> bool {
        let route = match self.ahead.routes.remove(&address) {
            Some(route) => route,
            None => route::lookup(&mut self.requests, address).ok(),
        };
        let Some(server) = self.servers.get_mut(&address) else { return false };
        if server.route == route {
            return false;
        }
        self.leave_hop(address);
        if let Some(server) = self.servers.get_mut(&address) {
            server.route = route;
        }
        if let Some(route) = route.filter(|route| !route.local) {
            self.join_hop(address, &route);
        }
        true
    }

    fn join_hop(&mut self, server: IpAddr, route: &Route) {
        let key = (route.interface, route.next_hop);
        if !self.hops.contains_key(&key) {
            let Known { mac, fixed } = match self.ahead.hops.remove(&key) {
                Some(known) => known,
                None => self.manage(key),
            };
            *self.on.entry(key.0).or_default() += 1;
            let source = self.own_address(key, route);
            self.hops.insert(
                key,
                Hop {
                    mac,
                    fixed,
                    servers: BTreeSet::new(),
                    source,
                    asked: Time::ZERO,
                    heard: Time::ZERO,
                    answered: true,
                    everyone_asked: false,
                },
            );
        }
        if let Some(hop) = self.hops.get_mut(&key) {
            hop.servers.insert(server);
        }
    }

    /// Our address that a next hop is asked from: with a link-local one that is not where packets
    /// to its servers come from, nor where an IPv4 route leads to an IPv6 gateway.
    fn own_address(&mut self, (interface, hop): HopKey, route: &Route) -> Option<IpAddr> {
        match (hop, route.source) {
            (IpAddr::V4(_), Some(source @ IpAddr::V4(_))) => Some(source),
            (IpAddr::V6(hop), Some(source @ IpAddr::V6(_))) if !hop.is_unicast_link_local() => {
                Some(source)
            }
            _ => route::lookup_on(&mut self.requests, hop, interface).ok()?.source,
        }
    }

    /// Has the kernel keep a next hop resolved, unless an administrator said where it is. Returns
    /// what is known already.
    fn manage(&mut self, key: HopKey) -> Known {
        let neighbours = neighbour::neighbours(&mut self.requests).unwrap_or_default();
        let found = neighbours.iter().map(known).find(|(found, _)| *found == key);
        let known = found.map(|(_, known)| known).unwrap_or_default();
        if !known.fixed {
            // A kernel without managed neighbours says so; ours are then kept by asking.
            let _ = neighbour::manage(&mut self.requests, key.0, key.1);
        }
        known
    }

    fn leave_hop(&mut self, server: IpAddr) {
        let Some(route) = self.servers.get(&server).and_then(|server| server.route) else { return };
        let key = (route.interface, route.next_hop);
        let Some(hop) = self.hops.get_mut(&key) else { return };
        hop.servers.remove(&server);
        if hop.servers.is_empty() {
            let fixed = hop.fixed;
            self.hops.remove(&key);
            if let Some(count) = self.on.get_mut(&key.0) {
                *count -= 1;
                if *count == 0 {
                    self.on.remove(&key.0);
                }
            }
            if !fixed {
                let _ = neighbour::release(&mut self.requests, key.0, key.1);
            }
        }
    }

    /// Takes in the events and answers that have arrived.
    pub(crate) fn handle_events(&mut self, now: Time) -> Seen {
        self.now = now;
        let mut seen = Seen::default();
        match self.events.receive() {
            Ok(messages) => {
                for change in messages.iter().filter_map(neighbour::read_change) {
                    self.handle_change(change, &mut seen);
                }
            }
            // Events were lost: read everything anew.
            Err(_) => self.refresh(&mut seen),
        }
        while let Some(answer) =
            self.probes.as_ref().and_then(|probes| probes.receive().ok().flatten())
        {
            self.handle_answer(&answer, &mut seen);
        }
        seen
    }

    fn handle_answer(&mut self, answer: &Answer, seen: &mut Seen) {
        let (interface, address, mac) = (answer.interface, answer.address, answer.mac);
        let Some(hop) = self.hops.get_mut(&(interface, address)) else { return };
        if hop.fixed {
            return;
        }
        // Who answers in its place may be silent about where it is itself.
        if hop.mac.is_some_and(|known| known != mac) && !answer.overrides {
            return;
        }
        (hop.answered, hop.everyone_asked, hop.heard) = (true, false, self.now);
        if hop.mac != Some(mac) {
            hop.mac = Some(mac);
            seen.servers.extend(&hop.servers);
            // Checks of its health go by the kernel.
            let _ = neighbour::correct(&mut self.requests, interface, address, mac);
        }
    }

    fn handle_change(&mut self, change: Change, seen: &mut Seen) {
        match change {
            Change::Neighbour(found) => self.handle_neighbour(&found, seen),
            Change::NeighbourGone(gone) => {
                // Somebody removed what is ours to keep, or their own word: ask for it again.
                if let Some(hop) = self.hops.get_mut(&(gone.interface, gone.address)) {
                    hop.fixed = false;
                    let _ = neighbour::manage(&mut self.requests, gone.interface, gone.address);
                }
            }
            Change::Interface(interface) => self.handle_interface(interface, seen),
            Change::InterfaceGone(gone) => {
                self.interfaces.remove(&gone.index);
                self.stale.extend(self.servers.keys());
                seen.gone.push(gone);
            }
            Change::Routes => self.stale.extend(self.servers.keys()),
        }
    }

    /// A neighbour that failed keeps the MAC address it had: frames to it are lost either way,
    /// and it may only be slow. While it answers us, the kernel may still be on its way to
    /// notice what we know.
    fn handle_neighbour(&mut self, found: &Neighbour, seen: &mut Seen) {
        let Some(hop) = self.hops.get_mut(&(found.interface, found.address)) else { return };
        hop.fixed = found.fixed;
        if found.mac.is_some()
            && found.mac != hop.mac
            && (hop.mac.is_none() || hop.fixed || self.now >= hop.heard + TRUST)
        {
            hop.mac = found.mac;
            seen.servers.extend(&hop.servers);
        }
    }

    fn handle_interface(&mut self, interface: Interface, seen: &mut Seen) {
        let before = self.interfaces.insert(interface.index, interface.clone());
        if before.as_ref() == Some(&interface) {
            return;
        }
        for ((of, _), hop) in &self.hops {
            if *of == interface.index {
                seen.servers.extend(&hop.servers);
            }
        }
        self.stale.extend(self.servers.keys());
        seen.interfaces.push(interface);
    }

    fn refresh(&mut self, seen: &mut Seen) {
        for interface in neighbour::interfaces(&mut self.requests).unwrap_or_default() {
            self.handle_interface(interface, seen);
        }
        for found in neighbour::neighbours(&mut self.requests).unwrap_or_default() {
            self.handle_neighbour(&found, seen);
        }
        self.stale.extend(self.servers.keys());
    }

    /// Asks next hops whose turn it is and looks stale routes up. Returns the servers whose
    /// [`Reach`] may have changed.
    pub(crate) fn handle_timeout(&mut self, now: Time) -> Vec<IpAddr> {
        if now >= self.look_again {
            self.look_again = now + LOOK_AGAIN;
            let lost = self.servers.iter().filter(|(_, server)| server.route.is_none());
            self.stale.extend(lost.map(|(address, _)| *address));
        }
        let mut changed = Vec::new();
        let turn: Vec<IpAddr> = self.stale.iter().copied().take(LOOKUPS_AT_ONCE).collect();
        self.ask_ahead(turn.clone());
        for address in turn {
            self.stale.remove(&address);
            if self.look_up(address) {
                changed.push(address);
            }
        }
        self.forget_ahead();
        self.ask(now);
        changed
    }

    fn ask(&mut self, now: Time) {
        let Some(probes) = &self.probes else { return };
        let mut due: Vec<(Time, HopKey)> = self
            .hops
            .iter()
            .filter(|(_, hop)| hop.is_due(now))
            .map(|(key, hop)| (hop.asked, *key))
            .collect();
        if due.len() > REQUESTS_AT_ONCE {
            // Who waits longest comes first: none is forgotten, however many there are.
            due.select_nth_unstable(REQUESTS_AT_ONCE);
            due.truncate(REQUESTS_AT_ONCE);
        }
        for (_, key) in due {
            let (interface, target) = key;
            let Some(hop) = self.hops.get_mut(&key) else { continue };
            let ours = self.interfaces.get(&interface);
            let from = (ours.and_then(|ours| ours.mac), hop.source);
            let everyone = hop.is_unanswered(now) || hop.everyone_asked;
            hop.asked = now;
            let (Some(from_mac), Some(from)) = from else { continue };
            // Who did not answer for a whole second is looked for everywhere from then on.
            let target_mac = hop.mac.filter(|_| !everyone);
            let probe = Probe { interface, from_mac, from, target, target_mac };
            // A full queue or an interface that is down: the next turn comes.
            let _ = probes.send(&probe);
            hop.answered = false;
            hop.everyone_asked = everyone;
        }
    }

    pub(crate) fn next_deadline(&self, now: Time) -> Time {
        if self.servers.is_empty() { Time::NEVER } else { now + TICK }
    }

    /// Gives back what the kernel was asked to keep.
    pub(crate) fn release_all(&mut self) {
        let ours = self.hops.drain().filter(|(_, hop)| !hop.fixed);
        for (interface, address) in ours.map(|(key, _)| key) {
            let _ = neighbour::release(&mut self.requests, interface, address);
        }
        self.servers.clear();
        self.on.clear();
    }
}

fn known(found: &Neighbour) -> (HopKey, Known) {
    ((found.interface, found.address), Known { mac: found.mac, fixed: found.fixed })
}

#[cfg(test)]
mod tests;
