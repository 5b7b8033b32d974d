//! The health under a new plan: whatever is in both plans goes on as it is.

use std::collections::BTreeSet;

use director::{Destination, ServiceTable, TableChange, Tables, diff};
use model::Time;
use model::check::Checker;
use model::control::{Cause, Moment};
use model::layer4::{Endpoint, Layer4Plan, RealServer, ServiceKey, VirtualServer, VirtualServerId};
use model::pair::pair;

use super::roster::{Place, Roster};
use super::service::{Server, Service, Tracked};
use super::{CheckerId, Health, Outcome, settings};

/// Why a server goes that the new plan does not have.
const REMOVED: &str = "removed by a reload";
/// Why a server changes that both plans have.
const CHANGED: &str = "its checkers were changed by a reload";

/// What a reload gathers on its way.
#[derive(Default)]
struct Gathered {
    /// Services that left a virtual server, and those that entered one.
    before: Tables,
    after: Tables,
    /// Changes of services that stay in their virtual server.
    changes: Vec<TableChange>,
    /// What has to be told of those who go.
    told: Vec<Outcome>,
}

/// What one virtual server comes from.
#[derive(Clone, Copy)]
struct Former<'a> {
    /// In the plan before.
    service: Option<(&'a VirtualServer, &'a Service)>,
    /// In the tables of an earlier director.
    adopted: Option<&'a ServiceTable>,
    /// This is the first plan of all.
    first: bool,
}

impl Health {
    /// The health under a new plan. A checker that is in both plans goes on as it is; one of
    /// which only the timing changed takes over the verdict; any other new one of a server known
    /// already begins with that server's verdict, so that a reload moves nothing. A server
    /// unknown so far begins as it stands in `adopted`, the tables of an earlier director, if its
    /// service is there; else as its checkers say, up by default.
    ///
    /// A virtual server that nobody changed is not even looked into: its state is shared.
    ///
    /// The [`Outcome`]s lead from this plan to that one; `self` stays as it is, in case they
    /// cannot be done.
    pub(in super::super) fn successor(
        &self,
        now: Time,
        plan: Layer4Plan,
        adopted: Option<&Tables>,
    ) -> Health {
        let matched = plan.origins(&self.plan);
        let mut next = Health {
            started: true,
            roster: self.roster.successor(),
            addresses: self.addresses.clone(),
            standing: standing(&plan, adopted),
            plan,
            ..Health::default()
        };
        let mut gathered = Gathered::default();
        let mut goes = vec![true; self.services.len()];
        for (index, old) in matched.iter().enumerate() {
            if let Some(old) = old {
                goes[*old] = false;
            }
            next.take_over(index, (self, *old), adopted, &mut gathered);
        }
        for index in (0..goes.len()).filter(|index| goes[*index]) {
            next.drop_service(self, index, &mut gathered);
        }
        let tables = diff(&gathered.before, &gathered.after);
        next.outcomes.extend(tables.into_iter().chain(gathered.changes).map(Outcome::Table));
        next.outcomes.extend(gathered.told);
        for (index, old) in matched.into_iter().enumerate() {
            next.tell_reload(now, index, (self, old), adopted);
        }
        next.begin_listening(self);
        next.plan_cut();
        next
    }

    /// Makes the state of one virtual server.
    fn take_over(
        &mut self,
        index: usize,
        (former, old): (&Health, Option<usize>),
        adopted: Option<&Tables>,
        gathered: &mut Gathered,
    ) {
        let begun = self.roster.begun.len();
        let plan = &self.plan.virtual_servers[index];
        if let Some(old) = old.filter(|old| former.goes_on(*old, plan)) {
            return self.go_on(index, (former, old));
        }
        let from = former.virtual_server(old, plan, adopted);
        let (mut service, gone) = take_over_servers(&mut self.roster, index, plan, from);
        for server in 0..service.servers.len() {
            service.update(plan, server);
        }
        service.held = from.was_held(plan, &service).unwrap_or(false);
        service.held = service.holds(&plan.quorum);
        show(plan, &mut service, from, &gone, gathered);
        self.services.push(service.into());
        for server in &gone {
            let places =
                old.and_then(|old| Some((old, former.services[old].find(server.endpoint)?)));
            if let Some((old, place)) = places {
                gathered.told.extend(former.departure_told(old, place));
            }
        }
        let begun: Vec<CheckerId> = self.roster.begun[begun..].iter().map(|it| it.id).collect();
        self.suspend(index, &begun);
    }

    /// A virtual server is what it was in this plan, and nobody changed it at run time.
    fn goes_on(&self, index: usize, plan: &VirtualServer) -> bool {
        let service = &self.services[index];
        let untouched = service.changes.is_empty() && service.added.is_empty();
        untouched && self.plan.virtual_servers[index] == *plan
    }

    /// Its state goes on as it is; only the others around it may have moved.
    fn go_on(&mut self, index: usize, (former, old): (&Health, usize)) {
        let service = former.services[old].clone();
        if index != old {
            for (number, server) in service.servers.iter().enumerate() {
                for (checker, tracked) in server.checkers.iter().enumerate() {
                    let place = Place { service: index, server: number, checker };
                    self.roster.keep(tracked.id, place);
                }
            }
        }
        self.services.push(service);
    }

    fn virtual_server<'a>(
        &'a self,
        old: Option<usize>,
        plan: &VirtualServer,
        adopted: Option<&'a Tables>,
    ) -> Former<'a> {
        let service = old.map(|old| (&self.plan.virtual_servers[old], &*self.services[old]));
        let adopted = adopted.and_then(|tables| tables.get(&plan.key()));
        Former { service, adopted, first: !self.started }
    }

    /// A virtual server of the former plan is in this one no more.
    fn drop_service(&mut self, former: &Health, index: usize, gathered: &mut Gathered) {
        let (plan, service) = (&former.plan.virtual_servers[index], &former.services[index]);
        let table = service.shown(plan);
        gathered.before.extend(plan.services.iter().map(|key| (*key, table.clone())));
        service.checkers().for_each(|tracked| self.roster.end(tracked.id));
        for server in 0..service.servers.len() {
            gathered.told.extend(former.departure_told(index, server));
        }
        if service.held {
            gathered.told.extend(former.quorum_told(index, false, Moment::Removal));
        }
    }

    /// What is told of a server that the next plan does not have: nothing, unless it took part.
    fn departure_told(&self, index: usize, server: usize) -> Vec<Outcome> {
        let state = &self.services[index].servers[server];
        match state.alive && state.shown.is_some() {
            true => self.server_told(index, server, false, REMOVED, Cause::Removal),
            false => Vec::new(),
        }
    }

    /// Tells what the reload changed of a virtual server of this plan.
    fn tell_reload(
        &mut self,
        now: Time,
        index: usize,
        (former, old): (&Health, Option<usize>),
        adopted: Option<&Tables>,
    ) {
        if old.is_some_and(|old| self.services[index].is(&former.services[old])) {
            return;
        }
        let plan = &self.plan.virtual_servers[index];
        let from = former.virtual_server(old, plan, adopted);
        let was_held = from.was_held(plan, &self.services[index]);
        let place = |plan: &VirtualServer| {
            plan.quorum.sorry.as_ref().map(|sorry| (sorry.endpoint, sorry.forwarding))
        };
        let has_sorry = plan.quorum.sorry.is_some();
        let new_sorry = from.service.is_some_and(|(old, _)| place(old) != place(plan));
        let held = self.services[index].held;
        if let Some((_, service)) = from.service {
            self.tell_servers(now, index, service);
        }
        if self.plan.outside.init_notifies {
            self.tell_initials(index, from);
        }
        match (was_held, held) {
            (None, true) => self.tell_quorum(index, Moment::Start),
            (None, false) if has_sorry => self.tell_quorum(index, Moment::Reload),
            (Some(true), false) | (Some(false), true) => self.tell_quorum(index, Moment::Reload),
            // Another one serves: Keepalived tells that as a quorum lost anew.
            (Some(false), false) if has_sorry && new_sorry => {
                self.tell_quorum(index, Moment::Reload);
            }
            (None | Some(false), false) | (Some(true), true) => {}
        }
    }

    fn tell_servers(&mut self, now: Time, index: usize, former: &Service) {
        let same = |server: usize, it: &Server| {
            former.servers.get(server).filter(|old| old.endpoint == it.endpoint)
        };
        for server in 0..self.services[index].servers.len() {
            let state = &self.services[index].servers[server];
            let old = match same(server, state) {
                Some(old) => Some((old.alive, old.weight)),
                None => former
                    .find(state.endpoint)
                    .map(|place| (former.servers[place].alive, former.servers[place].weight)),
            };
            let Some((was_alive, weight)) = old else {
                continue;
            };
            if state.alive != was_alive {
                self.services[index].servers[server].remember(now, !was_alive, CHANGED);
                self.tell_server(index, server, CHANGED, Cause::Change);
            } else {
                self.tell_weight(index, server, weight);
            }
        }
    }

    /// Tells of servers that nobody knew and that are up without a check.
    fn tell_initials(&mut self, index: usize, from: Former) {
        let former = from.service.into_iter().flat_map(|(_, service)| &service.servers);
        let shown = from.adopted.into_iter().flat_map(|table| &table.destinations);
        let known: BTreeSet<Endpoint> =
            former.map(|it| it.endpoint).chain(shown.map(|it| it.endpoint)).collect();
        let servers = self.services[index].servers.iter().enumerate();
        let new = servers.filter(|(_, it)| it.alive && !known.contains(&it.endpoint));
        let new: Vec<usize> = new.map(|(server, _)| server).collect();
        for server in new {
            self.tell_initial(index, server);
        }
    }

    /// Finds out who listens to what: as before, but for those who went and those who came.
    fn begin_listening(&mut self, former: &Health) {
        self.listeners.clone_from(&former.listeners);
        if !self.roster.ended.is_empty() {
            for listeners in self.listeners.values_mut() {
                listeners.retain(|id| self.roster.find(*id).is_some());
            }
            self.listeners.retain(|_, listeners| !listeners.is_empty());
        }
        for begun in &self.roster.begun {
            let checker = self.roster.find(begun.id).and_then(|place| self.definition(place));
            if let Some(name) = checker.and_then(|checker| checker.kind.followed()) {
                let name = name.to_owned();
                self.listeners.entry(name).or_default().push(begun.id);
            }
        }
    }
}

impl Former<'_> {
    /// Whether the quorum was there; nothing for a virtual server that is new.
    fn was_held(&self, plan: &VirtualServer, service: &Service) -> Option<bool> {
        let (Some(adopted), None) = (self.adopted, self.service) else {
            return self.service.map(|(_, service)| service.held);
        };
        match &plan.quorum.sorry {
            Some(_) => Some(!sorry_serves(plan, adopted)),
            // Nothing tells: as if it had come down to what lives now.
            None => Some(Service { held: true, ..service.clone() }.holds(&plan.quorum)),
        }
    }

    /// The verdict that new checkers of a server begin with, if there is one.
    fn verdict(
        &self,
        plan: &VirtualServer,
        server: &RealServer,
        old: Option<&Server>,
    ) -> Option<bool> {
        match (old, self.adopted) {
            (Some(old), _) => Some(old.is_up()),
            (None, None) => None,
            // While a sorry server serves, the tables do not tell who lives: a check will.
            (None, Some(table)) if sorry_serves(plan, table) => Some(false),
            (None, Some(table)) => Some(table.find(server.endpoint).is_some_and(|found| {
                found.weight > 0 || server.weight == 0 || !server.inhibit_on_failure
            })),
        }
    }
}

/// What the tables of an earlier director have besides the plan's servers.
fn standing(plan: &Layer4Plan, adopted: Option<&Tables>) -> BTreeSet<(VirtualServerId, Endpoint)> {
    let mut standing = BTreeSet::new();
    for virtual_server in &plan.virtual_servers {
        let Some(table) = adopted.and_then(|tables| tables.get(&virtual_server.key())) else {
            continue;
        };
        let mut more: BTreeSet<Endpoint> =
            table.destinations.iter().map(|it| it.endpoint).collect();
        for server in &virtual_server.real_servers {
            more.remove(&server.endpoint);
        }
        standing.extend(more.into_iter().map(|it| (virtual_server.id.clone(), it)));
    }
    standing
}

/// An earlier director left the sorry server in service.
fn sorry_serves(plan: &VirtualServer, table: &ServiceTable) -> bool {
    let sorry = plan.quorum.sorry.as_ref();
    let is_real = |it: &RealServer| sorry.is_some_and(|sorry| sorry.endpoint == it.endpoint);
    let shown = sorry.and_then(|sorry| table.find(sorry.endpoint));
    let others = table
        .destinations
        .iter()
        .any(|it| it.weight > 0 && sorry.is_some_and(|sorry| sorry.endpoint != it.endpoint));
    match plan.real_servers.iter().any(is_real) {
        // Alone with weight: as a sorry server or as the last real one, it stays.
        true => shown.is_some_and(|it| it.weight > 0) && !others,
        false => shown.is_some_and(|it| it.weight > 0),
    }
}

/// The servers of a virtual server, and those of the former one that it has no more.
fn take_over_servers(
    roster: &mut Roster,
    index: usize,
    plan: &VirtualServer,
    from: Former,
) -> (Service, Vec<Server>) {
    let mut service = Service::default();
    let mut old_servers: &[Server] = &[];
    if let Some((_, former)) = from.service {
        service.changes.clone_from(&former.changes);
        service.suspended = former.suspended;
        service.take_in_added(plan);
        old_servers = &former.servers;
    }
    let new: Vec<Server> =
        plan.real_servers.iter().chain(&service.added).map(|it| Server::new(it.endpoint)).collect();
    let matched = pair(old_servers, &new, |server| &server.endpoint);
    let mut goes = vec![true; old_servers.len()];
    for (number, (mut server, place)) in new.into_iter().zip(matched).enumerate() {
        let real_server = service.real_server(plan, number);
        let old = place.map(|place| {
            goes[place] = false;
            (&old_servers[place], from.service.and_then(|(it, _)| it.real_servers.get(place)))
        });
        if let Some((old, _)) = old {
            server = old.without_checkers();
        }
        let known = from.verdict(plan, real_server, old.map(|(old, _)| old));
        let at = |checker| Place { service: index, server: number, checker };
        server.checkers = take_over_checkers(roster, at, real_server, old, known);
        server.untold |= from.first && known.is_none() && !server.is_up();
        service.living += server.share();
        service.servers.push(server);
    }
    let gone: Vec<Server> =
        old_servers.iter().zip(goes).filter(|(_, goes)| *goes).map(|(it, _)| it.clone()).collect();
    gone.iter().flat_map(|it| &it.checkers).for_each(|tracked| roster.end(tracked.id));
    (service, gone)
}

/// The checkers of a server: those it had go on.
fn take_over_checkers(
    roster: &mut Roster,
    at: impl Fn(usize) -> Place,
    real_server: &RealServer,
    old: Option<(&Server, Option<&RealServer>)>,
    known: Option<bool>,
) -> Vec<Tracked> {
    let new = &real_server.checkers;
    let (tracked, plans): (&[Tracked], &[Checker]) = match old {
        Some((server, Some(plan))) => (&server.checkers, &plan.checkers),
        Some((_, None)) | None => (&[], &[]),
    };
    if plans == new.as_slice() {
        tracked.iter().enumerate().for_each(|(number, it)| roster.keep(it.id, at(number)));
        return tracked.to_vec();
    }
    let mut former: Vec<Option<(&Tracked, &Checker)>> =
        tracked.iter().zip(plans).map(Some).collect();
    let mut take = |same: &dyn Fn(&Checker) -> bool| {
        former.iter_mut().find(|it| it.is_some_and(|(_, plan)| same(plan))).and_then(Option::take)
    };
    let exact: Vec<Option<(&Tracked, &Checker)>> =
        new.iter().map(|checker| take(&|it| it == checker)).collect();
    let alike: Vec<Option<(&Tracked, &Checker)>> = new
        .iter()
        .zip(&exact)
        .map(|(checker, exact)| match exact {
            Some(_) => None,
            None => take(&|it| it.kind == checker.kind && it.target == checker.target),
        })
        .collect();
    let mut checkers = Vec::with_capacity(new.len());
    for (number, (checker, (exact, alike))) in
        new.iter().zip(exact.into_iter().zip(alike)).enumerate()
    {
        checkers.push(match (exact, alike) {
            (Some((same, _)), _) => {
                roster.keep(same.id, at(number));
                *same
            }
            (None, Some((alike, _))) => {
                roster.end(alike.id);
                Tracked { id: roster.begin(at(number), Some(alike.id)), ..*alike }
            }
            (None, None) => {
                let up = known.unwrap_or(checker.pace.initially_up);
                Tracked { id: roster.begin(at(number), None), up, weight: 0 }
            }
        });
    }
    former.into_iter().flatten().for_each(|(it, _)| roster.end(it.id));
    checkers
}

/// What changes in the tables for one virtual server.
fn show(
    plan: &VirtualServer,
    service: &mut Service,
    from: Former,
    gone: &[Server],
    gathered: &mut Gathered,
) {
    let Some((old_plan, old)) = from.service else {
        let all: Vec<usize> = (0..service.servers.len()).collect();
        service.moves(plan, &all);
        let table = service.shown(plan);
        gathered.after.extend(plan.services.iter().map(|key| (*key, table.clone())));
        return;
    };
    let same_keys = old_plan.services == plan.services;
    let old_table = (!same_keys).then(|| old.shown(old_plan));
    let leftover = inherit(plan, service, old, gone);
    let all: Vec<usize> = (0..service.servers.len()).collect();
    let moves = service.moves(plan, &all);
    let before: BTreeSet<ServiceKey> = old_plan.services.iter().copied().collect();
    for key in plan.services.iter().filter(|key| same_keys || before.contains(key)) {
        if settings(old_plan) != settings(plan) {
            gathered.changes.push(TableChange::UpdateService(*key, settings(plan)));
        }
        gathered.changes.extend(moves.iter().map(|it| it.change(*key)));
        let gone = leftover.iter().map(|it| TableChange::RemoveDestination(*key, it.endpoint));
        gathered.changes.extend(gone);
    }
    if let Some(old_table) = old_table {
        let after: BTreeSet<ServiceKey> = plan.services.iter().copied().collect();
        let table = service.shown(plan);
        gathered.before.extend(before.difference(&after).map(|key| (*key, old_table.clone())));
        gathered.after.extend(after.difference(&before).map(|key| (*key, table.clone())));
    }
}

/// Gives what the tables show of servers that go, and of a sorry server, to those who have their
/// endpoints now. Returns what nobody has.
fn inherit(
    plan: &VirtualServer,
    service: &mut Service,
    old: &Service,
    gone: &[Server],
) -> Vec<Destination> {
    let mut leftover: Vec<Destination> = gone.iter().filter_map(|it| it.shown).collect();
    leftover.extend(old.sorry_shown);
    leftover.retain(|shown| {
        if let Some(place) = service.find(shown.endpoint) {
            service.servers[place].shown = Some(*shown);
            return false;
        }
        let is_sorry = plan.quorum.sorry.as_ref().is_some_and(|it| it.endpoint == shown.endpoint);
        if is_sorry {
            service.sorry_shown = Some(*shown);
        }
        !is_sorry
    });
    leftover
}
