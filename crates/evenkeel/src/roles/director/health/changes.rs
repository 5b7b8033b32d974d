//! What was changed at run time: it lies over the file, and reloads leave it alone.

use std::time::Duration;

use model::Time;
use model::control::{Cause, ServerAction, ServerRequest};
use model::layer4::{
    Endpoint, Forwarding, REAL_SERVERS_MAX, REAL_SERVERS_TOTAL_MAX, RealServer, VirtualServer,
    VirtualServerId,
};

use super::service::{Server, Service};
use super::{Health, Outcome};

/// Greatest weight that a server can have.
const WEIGHT_MAX: u32 = 65_535;

/// What was changed of one server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) drain: Option<Drain>,
    /// Instead of the configured weight.
    pub(super) weight: Option<u32>,
    pub(super) presence: Presence,
}

/// A server takes no new connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Drain {
    /// Those it has are cut off then.
    pub(super) until: Option<Time>,
    /// They have been.
    pub(super) over: bool,
}

/// Whether a server is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Presence {
    /// As the file says.
    #[default]
    AsFile,
    /// The file does not have it. If a later file does, that counts.
    Added { weight: u32, forwarding: Forwarding },
    /// It is not, whatever the file says.
    Deleted,
}

impl Health {
    /// Changes that were in force under an earlier director: the tables begin with them. What
    /// cannot be changed, in words.
    pub(in super::super) fn lay_over(
        &mut self,
        now: Time,
        requests: &[ServerRequest],
    ) -> Vec<String> {
        let lost = requests.iter().filter_map(|request| self.change(now, request, true).err());
        let lost = lost.collect();
        if !requests.is_empty() {
            // They lead from tables that never were; the whole is compared instead.
            self.outcomes.retain(|outcome| !matches!(outcome, Outcome::Table(_)));
        }
        lost
    }
}

impl Change {
    pub(super) fn is_deleted(&self) -> bool {
        self.presence == Presence::Deleted
    }

    pub(super) fn drains(&self) -> bool {
        self.drain.is_some()
    }

    /// It is in no table, whatever its checkers say.
    pub(super) fn is_out(&self) -> bool {
        self.is_deleted() || self.drain.is_some_and(|drain| drain.over)
    }

    /// `drain, 12 s left`, `weight 3`, `added`; nothing when nothing is changed.
    fn words(&self, now: Time, in_file: bool) -> Option<String> {
        let presence = match self.presence {
            Presence::AsFile => None,
            Presence::Added { .. } => (!in_file).then(|| "added".to_string()),
            Presence::Deleted => Some("deleted".to_string()),
        };
        let drain = self.drain.map(|drain| match (drain.over, drain.until) {
            (true, _) => "drained".to_string(),
            (false, None) => "drain".to_string(),
            (false, Some(until)) => format!("drain, {} left", seconds(until.since(now))),
        });
        let weight = self.weight.map(|weight| format!("weight {weight}"));
        let words: Vec<String> = [presence, drain, weight].into_iter().flatten().collect();
        (!words.is_empty()).then(|| words.join(", "))
    }
}

/// Whole seconds, those begun counted.
fn seconds(span: Duration) -> String {
    format!("{} s", span.as_secs() + u64::from(span.subsec_nanos() > 0))
}

impl Service {
    /// What was changed of a server at run time, in words.
    pub(in super::super) fn changed(
        &self,
        plan: &VirtualServer,
        server: usize,
        now: Time,
    ) -> Option<String> {
        let in_file = server < plan.real_servers.len();
        self.change(self.servers[server].endpoint)?.words(now, in_file)
    }

    /// Makes the servers that changes add, where the file does not have them.
    pub(super) fn take_in_added(&mut self, plan: &VirtualServer) {
        let added: Vec<RealServer> = self
            .changes
            .iter()
            .filter(|(endpoint, _)| self.find_in_file(plan, **endpoint).is_none())
            .filter_map(|(endpoint, change)| match change.presence {
                Presence::Added { weight, forwarding } => {
                    Some(RealServer { weight, forwarding, ..RealServer::new(*endpoint) })
                }
                Presence::AsFile | Presence::Deleted => None,
            })
            .collect();
        self.added = added;
    }

    /// Nothing is kept of a server that is as the file says.
    fn keep_change(&mut self, endpoint: Endpoint, change: Change) {
        match change == Change::default() {
            true => self.changes.remove(&endpoint),
            false => self.changes.insert(endpoint, change),
        };
    }

    fn find_in_file(&self, plan: &VirtualServer, endpoint: Endpoint) -> Option<usize> {
        plan.real_servers.iter().position(|server| server.endpoint == endpoint)
    }
}

impl Health {
    /// A change at run time. Says what was done, or why it was not.
    pub(in super::super) fn handle_request(
        &mut self,
        now: Time,
        request: &ServerRequest,
    ) -> Result<String, String> {
        self.change(now, request, false)
    }

    /// `early`: the plan is new, and may lack servers that the next one has again.
    fn change(
        &mut self,
        now: Time,
        request: &ServerRequest,
        early: bool,
    ) -> Result<String, String> {
        let index = self
            .find_service(&request.virtual_server)
            .ok_or_else(|| format!("there is no virtual server {}", request.virtual_server))?;
        let endpoint = request.server;
        let name = format!("{endpoint} of {}", self.plan.virtual_servers[index].id);
        let is_new = matches!(request.action, ServerAction::Add { .. });
        if !is_new && self.services[index].find(endpoint).is_none() {
            return self.change_absent(now, index, request, early);
        }
        let answer = match request.action {
            ServerAction::Add { weight, forwarding } => {
                self.add(now, index, endpoint, weight, forwarding)?;
                format!("{name} is added with weight {weight}")
            }
            ServerAction::Delete => {
                self.delete(now, index, endpoint)?;
                format!("{name} is deleted")
            }
            ServerAction::Drain { within } => {
                let drain = Drain { until: within.map(|within| now + within), over: false };
                self.alter(now, index, endpoint, "", |change| change.drain = Some(drain))?;
                match within {
                    Some(within) => format!(
                        "{name} takes no new connections; those it has are cut off in {}",
                        seconds(within)
                    ),
                    None => format!("{name} takes no new connections; those it has may stay"),
                }
            }
            ServerAction::Weight(weight) => {
                check_weight(weight)?;
                self.alter(now, index, endpoint, "", |change| change.weight = Some(weight))?;
                format!("{name} has weight {weight}")
            }
            ServerAction::Ready => {
                self.make_ready(now, index, endpoint)?;
                format!("{name} is ready")
            }
        };
        self.handle_timeout(now);
        Ok(answer)
    }

    /// Of a server that the file lost: what was changed of it counts when it comes back.
    fn change_absent(
        &mut self,
        now: Time,
        index: usize,
        request: &ServerRequest,
        early: bool,
    ) -> Result<String, String> {
        let (endpoint, id) = (request.server, &self.plan.virtual_servers[index].id);
        let service = &mut self.services[index];
        let known = service.change(endpoint).copied();
        if known.is_none() && !early {
            return Err(format!("{id} has no real server {endpoint}"));
        }
        let change = known.unwrap_or_default();
        let change = match request.action {
            ServerAction::Drain { within } => {
                let until = within.map(|within| now + within);
                Change { drain: Some(Drain { until, over: false }), ..change }
            }
            ServerAction::Weight(weight) => {
                check_weight(weight)?;
                Change { weight: Some(weight), ..change }
            }
            ServerAction::Delete if early => {
                Change { presence: Presence::Deleted, ..Change::default() }
            }
            ServerAction::Ready | ServerAction::Delete | ServerAction::Add { .. } => {
                Change::default()
            }
        };
        let name = format!("{endpoint} of {id}");
        let answer = match change.words(now, false) {
            None => format!("{name} is in no file now; nothing is changed of it any more"),
            Some(words) => format!("{name} is in no file now; once it is again: {words}"),
        };
        service.keep_change(endpoint, change);
        self.plan_cut();
        Ok(answer)
    }

    /// By its identity, or as an entry of its group.
    fn find_service(&self, id: &VirtualServerId) -> Option<usize> {
        let servers = &self.plan.virtual_servers;
        servers.iter().position(|server| server.id == *id).or_else(|| match id {
            VirtualServerId::Service(key) => {
                servers.iter().position(|server| server.services.contains(key))
            }
            VirtualServerId::Group { .. } => None,
        })
    }

    fn add(
        &mut self,
        now: Time,
        index: usize,
        endpoint: Endpoint,
        weight: u32,
        forwarding: Option<Forwarding>,
    ) -> Result<(), String> {
        check_weight(weight)?;
        let taken = self.places();
        let (plan, service) = (&self.plan.virtual_servers[index], &mut self.services[index]);
        let known = service.find(endpoint);
        let deleted = service.change(endpoint).is_some_and(Change::is_deleted);
        if known.is_some() && !deleted {
            return Err(format!("{endpoint} is there already"));
        }
        if known.is_some() {
            return self.alter(now, index, endpoint, "added again", |change| {
                *change = Change { weight: Some(weight), ..Change::default() };
            });
        }
        if service.servers.len() >= REAL_SERVERS_MAX {
            return Err(format!("a virtual server has at most {REAL_SERVERS_MAX} real servers"));
        }
        if taken + plan.services.len() > REAL_SERVERS_TOTAL_MAX {
            return Err(format!("there are at most {REAL_SERVERS_TOTAL_MAX} real servers in all"));
        }
        let forwarding = forwarding.unwrap_or_else(|| plan.usual_forwarding());
        let presence = Presence::Added { weight, forwarding };
        service.changes.insert(endpoint, Change { presence, ..Change::default() });
        service.added.push(RealServer { weight, forwarding, ..RealServer::new(endpoint) });
        let mut server = Server::new(endpoint);
        // It was told of when it was added first.
        server.alive = self.standing.remove(&(plan.id.clone(), endpoint));
        // A sorry server that is a real server as well has one place in the tables.
        if service.sorry_shown.is_some_and(|shown| shown.endpoint == endpoint) {
            server.shown = service.sorry_shown.take();
        }
        service.servers.push(server);
        let place = service.servers.len() - 1;
        self.settle(now, index, place, "added at run time", Cause::Change);
        Ok(())
    }

    /// Places that the real servers take in the tables: each service of a group has them all.
    fn places(&self) -> usize {
        self.services().map(|(plan, service)| plan.services.len() * service.servers.len()).sum()
    }

    fn delete(&mut self, now: Time, index: usize, endpoint: Endpoint) -> Result<(), String> {
        let reason = "deleted at run time";
        self.alter(now, index, endpoint, reason, |change| {
            *change = Change { presence: Presence::Deleted, ..Change::default() };
        })?;
        let (plan, service) = (&self.plan.virtual_servers[index], &mut self.services[index]);
        let Some(place) = service.find(endpoint).filter(|it| *it >= plan.real_servers.len()) else {
            return Ok(());
        };
        // The file never had it: nothing is left of it.
        let server = service.servers.remove(place);
        let sorry = plan.quorum.sorry.as_ref().is_some_and(|it| it.endpoint == endpoint);
        if sorry {
            service.sorry_shown = server.shown;
        }
        service.added.remove(place - plan.real_servers.len());
        service.changes.remove(&endpoint);
        Ok(())
    }

    fn make_ready(&mut self, now: Time, index: usize, endpoint: Endpoint) -> Result<(), String> {
        self.change_one(now, index, endpoint, "ready again", true, |change| {
            let presence = match change.presence {
                Presence::AsFile | Presence::Deleted => Presence::AsFile,
                added @ Presence::Added { .. } => added,
            };
            *change = Change { presence, ..Change::default() };
        })
    }

    /// Changes something of a server that is there.
    fn alter(
        &mut self,
        now: Time,
        index: usize,
        endpoint: Endpoint,
        reason: &str,
        alter: impl FnOnce(&mut Change),
    ) -> Result<(), String> {
        let again = reason == "added again";
        self.change_one(now, index, endpoint, reason, again, alter)
    }

    fn change_one(
        &mut self,
        now: Time,
        index: usize,
        endpoint: Endpoint,
        reason: &str,
        deleted_too: bool,
        alter: impl FnOnce(&mut Change),
    ) -> Result<(), String> {
        let service = &mut self.services[index];
        let id = &self.plan.virtual_servers[index].id;
        let missing = || format!("{id} has no real server {endpoint}");
        let place = service.find(endpoint).ok_or_else(missing)?;
        let mut change = service.change(endpoint).copied().unwrap_or_default();
        if change.is_deleted() && !deleted_too {
            return Err(format!("{endpoint} of {id} is deleted"));
        }
        alter(&mut change);
        service.keep_change(endpoint, change);
        self.plan_cut();
        let cause = if change.is_deleted() { Cause::Removal } else { Cause::Change };
        self.settle(now, index, place, reason, cause);
        Ok(())
    }

    /// Finds out when the next drain is over.
    pub(super) fn plan_cut(&mut self) {
        let changes = self.services.iter().flat_map(|service| service.changes.values());
        let running = changes.filter_map(|change| change.drain.filter(|drain| !drain.over));
        self.next_cut = running.filter_map(|drain| drain.until).min();
    }

    /// Cuts off what drains whose time is up have left.
    pub(in super::super) fn handle_timeout(&mut self, now: Time) {
        while self.next_cut.is_some_and(|due| due <= now) {
            for index in 0..self.services.len() {
                self.cut(now, index);
            }
            self.plan_cut();
        }
    }

    fn cut(&mut self, now: Time, index: usize) {
        let is_due = |change: &Change| {
            change.drain.is_some_and(|drain| !drain.over && drain.until.is_some_and(|it| it <= now))
        };
        let due: Vec<Endpoint> = self.services[index]
            .changes
            .iter()
            .filter(|(_, change)| is_due(change))
            .map(|(endpoint, _)| *endpoint)
            .collect();
        for endpoint in due {
            let service = &mut self.services[index];
            if let Some(change) = service.changes.get_mut(&endpoint) {
                change.drain = change.drain.map(|drain| Drain { over: true, ..drain });
            }
            if let Some(place) = service.find(endpoint) {
                let id = &self.plan.virtual_servers[index].id;
                let text = format!("{endpoint} of {id} is drained: what is left is cut off");
                self.log(text);
                self.settle(now, index, place, "", Cause::Change);
            }
        }
    }
}

fn check_weight(weight: u32) -> Result<(), String> {
    if weight > WEIGHT_MAX {
        return Err(format!("a weight is at most {WEIGHT_MAX}"));
    }
    Ok(())
}
