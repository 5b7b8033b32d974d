//! Which real servers take part: the plan, what the checkers say of it, and what was changed at
//! run time. Decides, does nothing.
//!
//! ```text
//! Service (quorum, sorry server) ── Server (alive, weight, shown) ── Tracked (one checker)
//! ```
//! What the tables should hold follows from the state alone ([`Health::wanted`]). Every handler
//! compares that with what was shown last and puts the difference in line as [`Outcome`]s, with
//! everything else that has to be told. Semantics are those of Keepalived's checker process
//! (keepalived/check/ipwrapper.c), but no change leaves a service without a server on its way
//! from one state to another: what takes over enters first.

mod changes;
mod reload;
mod roster;
mod service;
mod telling;

#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::net::IpAddr;

use director::{ServiceSettings, ServiceTable, TableChange, Tables};
use model::check::{Checker, Former};
use model::control::{Cause, Event, Moment};
use model::layer4::{Endpoint, Layer4Plan, RealServer, ServiceKey, VirtualServer, VirtualServerId};
use model::status::{QuorumStatus, SorryStatus};
use model::vrrp::Command;
use model::{Shared, Time};

use roster::{Place, Roster};

pub(super) use roster::Begun;
pub(super) use service::{Server, Service, Tracked};

/// Number of a checker: one configured checker of one real server, over reloads that leave it
/// unchanged. Never used again for another one.
pub(super) type CheckerId = u64;

/// Something that has to be done, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The tables change.
    Table(TableChange),
    /// Tell the supervisor.
    Event(Event),
    /// Run a script.
    Run {
        /// The program, with its own words.
        command: Command,
        /// What follows them.
        arguments: Vec<String>,
        /// Of whom it tells: programs of one subject run in the order of its changes.
        subject: String,
    },
    /// A line for the pipes.
    Line(String),
    /// These checkers pause, or go on.
    Suspend(Vec<CheckerId>, bool),
}

/// The plan in force, with the state of everything in it.
#[derive(Debug, Default)]
pub(super) struct Health {
    plan: Layer4Plan,
    /// There was a plan already, however empty.
    started: bool,
    /// One for each of the plan's, in its order. What a reload leaves alone is shared with the
    /// health before it, until that is gone.
    services: Vec<Shared<Service>>,
    roster: Roster,
    /// Who listens to a BFD session or a file, by its name.
    listeners: HashMap<String, Vec<CheckerId>>,
    /// The addresses of this machine, once they are known.
    addresses: Option<BTreeSet<IpAddr>>,
    /// Servers in the tables of an earlier director that the file does not have: they were added
    /// at run time, and will be added again.
    standing: BTreeSet<(VirtualServerId, Endpoint)>,
    /// The next drain that is over by then.
    next_cut: Option<Time>,
    outcomes: VecDeque<Outcome>,
}

impl Health {
    /// The plan in force.
    pub(super) fn plan(&self) -> &Layer4Plan {
        &self.plan
    }

    /// Every virtual server of the plan with its state.
    pub(super) fn services(&self) -> impl Iterator<Item = (&VirtualServer, &Service)> {
        self.plan.virtual_servers.iter().zip(self.services.iter().map(|service| &**service))
    }

    /// Checkers that the last reload brought.
    pub(super) fn take_begun(&mut self) -> Vec<Begun> {
        std::mem::take(&mut self.roster.begun)
    }

    /// Checkers that the last reload took away.
    pub(super) fn take_ended(&mut self) -> Vec<CheckerId> {
        std::mem::take(&mut self.roster.ended)
    }

    /// What a checker is, and what it begins with.
    pub(super) fn checker(&self, id: CheckerId) -> Option<(&Checker, Former)> {
        let place = self.roster.find(id)?;
        let (plan, tracked) = (self.definition(place)?, self.tracked(place)?);
        Some((plan, Former { weight: tracked.weight, untried: true, ..Former::new(tracked.up) }))
    }

    fn definition(&self, place: Place) -> Option<&Checker> {
        let virtual_server = self.plan.virtual_servers.get(place.service)?;
        virtual_server.real_servers.get(place.server)?.checkers.get(place.checker)
    }

    /// The checkers that listen to this BFD session or file.
    pub(super) fn listeners(&self, name: &str) -> &[CheckerId] {
        self.listeners.get(name).map_or(&[], Vec::as_slice)
    }

    fn tracked(&self, place: Place) -> Option<&Tracked> {
        self.services.get(place.service)?.servers.get(place.server)?.checkers.get(place.checker)
    }

    /// The next thing to do.
    pub(super) fn poll_outcome(&mut self) -> Option<Outcome> {
        self.outcomes.pop_front()
    }

    /// The changes of the tables that are next in line.
    pub(super) fn take_table_changes(&mut self) -> Vec<TableChange> {
        let mut changes = Vec::new();
        while let Some(Outcome::Table(change)) = self.outcomes.front() {
            changes.push(*change);
            self.outcomes.pop_front();
        }
        changes
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    pub(super) fn next_deadline(&self) -> Time {
        self.next_cut.unwrap_or(Time::NEVER)
    }

    /// A checker failed, but its verdict stands. Told when it is to tell of each failure; and that
    /// a server is down that began so is told once.
    pub(super) fn handle_failure(&mut self, id: CheckerId, cause: &str) {
        let Some(place) = self.roster.find(id) else {
            return;
        };
        let (index, server) = (place.service, place.server);
        let first = std::mem::take(&mut self.services[index].servers[server].untold);
        let checker = self.real_server(index, server).checkers.get(place.checker);
        if first || checker.is_some_and(|checker| checker.log_all_failures) {
            let (vs, rs) = (self.vs_name(index), self.rs_name(index, server));
            self.log(format!("Check of service {rs} for VS {vs} failed: {cause}"));
        }
        if first {
            self.tell_down(index, server, cause);
        }
    }

    /// A checker has another verdict, for this reason.
    pub(super) fn handle_verdict(&mut self, now: Time, id: CheckerId, up: bool, reason: &str) {
        let Some(place) = self.roster.find(id) else {
            return;
        };
        let server = &mut self.services[place.service].servers[place.server];
        let changed = std::mem::replace(&mut server.checkers[place.checker].up, up) != up;
        let cause = if changed { Cause::Check(place.checker) } else { Cause::Change };
        self.settle(now, place.service, place.server, reason, cause);
    }

    /// A checker adds something else to the weight of its server.
    pub(super) fn handle_weight(&mut self, now: Time, id: CheckerId, weight: i32) {
        let Some(place) = self.roster.find(id) else {
            return;
        };
        let server = &mut self.services[place.service].servers[place.server];
        server.checkers[place.checker].weight = weight;
        self.settle(now, place.service, place.server, "", Cause::Change);
    }

    /// The addresses of this machine are these now (`ha_suspend`).
    pub(super) fn handle_addresses(&mut self, addresses: BTreeSet<IpAddr>) {
        self.addresses = Some(addresses);
        for index in 0..self.services.len() {
            self.suspend(index, &[]);
        }
    }

    /// Suspends the checkers of a virtual server or lets them go on; `begun` are new ones, which
    /// are not suspended yet.
    fn suspend(&mut self, index: usize, begun: &[CheckerId]) {
        let (plan, service) = (&self.plan.virtual_servers[index], &mut self.services[index]);
        let present = |addresses: &BTreeSet<IpAddr>| {
            plan.services.iter().filter_map(ServiceKey::address).any(|it| addresses.contains(&it))
        };
        let away = self.addresses.as_ref().is_some_and(|addresses| !present(addresses));
        let suspended = plan.ha_suspend && away;
        let changed = std::mem::replace(&mut service.suspended, suspended) != suspended;
        let mut checkers = match (changed, suspended) {
            (true, _) => service.checkers().map(|tracked| tracked.id).collect(),
            (false, true) => begun.to_vec(),
            (false, false) => Vec::new(),
        };
        if changed && !suspended {
            checkers.retain(|id| !begun.contains(id));
        }
        if changed {
            let vs = self.vs_name(index);
            let what = if suspended { "Suspending" } else { "Activating" };
            self.log(format!("{what} healthcheckers for VS {vs}"));
        }
        if !checkers.is_empty() {
            self.outcomes.push_back(Outcome::Suspend(checkers, suspended));
        }
    }

    /// A server of a virtual server, of the file or added.
    fn real_server(&self, service: usize, server: usize) -> &RealServer {
        self.services[service].real_server(&self.plan.virtual_servers[service], server)
    }

    /// Something about one server changed: its state, the quorum, the tables and everybody who
    /// has to know follow. `reason` is why it came up or went down.
    fn settle(&mut self, now: Time, index: usize, server: usize, reason: &str, cause: Cause) {
        let plan = &self.plan.virtual_servers[index];
        let service = &mut self.services[index];
        let (was_alive, former_weight) = service.update(plan, server);
        let holds = service.holds(&plan.quorum);
        let turned = std::mem::replace(&mut service.held, holds) != holds;
        let one = [server];
        let all: Vec<usize>;
        // Without a sorry server the quorum does not touch the tables.
        let touched = match turned && plan.quorum.sorry.is_some() {
            true => {
                all = (0..service.servers.len()).collect();
                &all[..]
            }
            false => &one[..],
        };
        let moves = service.moves(plan, touched);
        let outcomes = &mut self.outcomes;
        for key in &plan.services {
            outcomes.extend(moves.iter().map(|it| Outcome::Table(it.change(*key))));
        }
        let alive = self.services[index].servers[server].alive;
        if alive != was_alive {
            let state = &mut self.services[index].servers[server];
            state.remember(now, alive, reason);
            state.untold = false;
            self.tell_server(index, server, reason, cause);
        } else {
            self.tell_weight(index, server, former_weight);
            if let Cause::Check(check) = cause {
                self.tell_check(index, server, check, reason);
            }
        }
        if turned {
            self.tell_quorum(index, Moment::Change);
        }
    }

    /// The program ends: what is told then (`omega`).
    pub(super) fn handle_stop(&mut self) {
        for index in 0..self.services.len() {
            if !self.plan.virtual_servers[index].omega {
                continue;
            }
            for server in 0..self.services[index].servers.len() {
                let state = &mut self.services[index].servers[server];
                if state.alive && state.shown.is_some() {
                    state.alive = false;
                    self.tell_server(index, server, "shutting down", Cause::End);
                }
            }
            self.services[index].held = false;
            self.tell_quorum(index, Moment::End);
        }
    }

    /// What the tables should hold.
    pub(super) fn wanted(&self) -> Tables {
        let mut tables = Tables::new();
        for (plan, service) in self.services() {
            for key in &plan.services {
                tables.insert(*key, service.table(plan));
            }
        }
        tables
    }
}

impl Service {
    /// What the tables should hold for each of its services.
    fn table(&self, plan: &VirtualServer) -> ServiceTable {
        let servers = (0..self.servers.len()).filter_map(|server| self.target(plan, server));
        let destinations = servers.chain(self.sorry_target(plan)).collect();
        ServiceTable { settings: settings(plan), destinations }
    }

    /// What the tables show for each of its services.
    fn shown(&self, plan: &VirtualServer) -> ServiceTable {
        let servers = self.servers.iter().filter_map(|server| server.shown);
        let destinations = servers.chain(self.sorry_shown).collect();
        ServiceTable { settings: settings(plan), destinations }
    }

    /// The quorum, for `status`.
    pub(super) fn quorum(&self, plan: &VirtualServer) -> QuorumStatus {
        QuorumStatus {
            living: u32::try_from(self.living).unwrap_or(u32::MAX),
            needed: plan.quorum.weight,
            hysteresis: plan.quorum.hysteresis,
            held: self.held,
        }
    }

    /// The sorry server, for `status`: without connections.
    pub(super) fn sorry(&self, plan: &VirtualServer) -> Option<SorryStatus> {
        let sorry = plan.quorum.sorry.as_ref()?;
        let (serves, endpoint) = (!self.held, sorry.endpoint);
        let (forwarding, weight) = (sorry.forwarding, self.sorry_shown.map(|shown| shown.weight));
        Some(SorryStatus { endpoint, forwarding, weight, serves, active: 0, inactive: 0 })
    }

    fn find(&self, endpoint: Endpoint) -> Option<usize> {
        self.servers.iter().position(|server| server.endpoint == endpoint)
    }
}

fn settings(plan: &VirtualServer) -> ServiceSettings {
    ServiceSettings {
        scheduler: plan.scheduler,
        persistence: plan.persistence,
        conduct: plan.conduct,
    }
}
