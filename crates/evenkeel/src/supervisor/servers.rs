//! Changes of real servers at run time: what an administrator named is found in the Plan, the
//! director makes the change, and what is in force is told again to a director that was started
//! again.

use std::collections::BTreeMap;

use model::control::{Scope, ServerAction, ServerRequest, ToRole};
use model::layer4::{Endpoint, Forwarding, VirtualServerId};
use model::status::{DirectorReport, RealServerStatus};
use model::{Plan, Time};

use crate::cli::Role;
use crate::control::{
    Deed, Happening, Response, ServerChange, ServerDone, ServerName, ServerOrder,
};

use super::Supervisor;
use super::clients::ClientId;
use super::names;

/// Changes in force at the same time.
const CHANGES_MAX: usize = 65_536;

/// A real server of a virtual server.
pub(super) type Key = (VirtualServerId, Endpoint);

/// What the director is asked of these servers, which are in order.
pub(super) fn scopes(servers: &[Key]) -> Vec<Scope> {
    let of_one = servers.chunk_by(|(one, _), (other, _)| one == other);
    let scope = |keys: &[Key]| Scope {
        virtual_server: keys[0].0.clone(),
        servers: Some(keys.iter().map(|(_, server)| *server).collect()),
    };
    of_one.map(scope).collect()
}

/// Changes in force, and those that the director was asked for.
#[derive(Default)]
pub(super) struct Changes {
    in_force: BTreeMap<Key, Change>,
    asked: BTreeMap<u64, ServerRequest>,
}

/// What differs from the file, of one server.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Change {
    since: Time,
    presence: Presence,
    weight: Option<u32>,
    /// It takes no new connections; until when it keeps those it has.
    drain: Option<Option<Time>>,
}

/// Whether the server is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Presence {
    AsFile,
    Added { weight: u32, forwarding: Option<Forwarding> },
    Deleted,
}

impl Changes {
    /// A change was made.
    fn note(&mut self, now: Time, plan: &Plan, request: ServerRequest) {
        let key = (request.virtual_server, request.server);
        let in_file = names::has_server(plan, &key.0, key.1);
        let fresh = Change { since: now, presence: Presence::AsFile, weight: None, drain: None };
        let former = self.in_force.remove(&key).unwrap_or_else(|| fresh.clone());
        let change = match (request.action, former.presence) {
            (ServerAction::Drain { within }, _) => {
                let until = within.map(|within| now + within);
                Change { since: now, drain: Some(until), ..former }
            }
            (ServerAction::Weight(weight), _) => {
                Change { since: now, weight: Some(weight), ..former }
            }
            (ServerAction::Ready, Presence::Added { .. }) => {
                Change { weight: None, drain: None, ..former }
            }
            (ServerAction::Ready, Presence::AsFile | Presence::Deleted) => return,
            (ServerAction::Add { weight, .. }, _) if in_file => {
                Change { weight: Some(weight), ..fresh }
            }
            (ServerAction::Add { weight, forwarding }, _) => {
                Change { presence: Presence::Added { weight, forwarding }, ..fresh }
            }
            (ServerAction::Delete, _) if in_file => Change { presence: Presence::Deleted, ..fresh },
            (ServerAction::Delete, _) => return,
        };
        self.in_force.insert(key, change);
    }

    /// Another plan is in force: changes follow virtual servers that have another identity now,
    /// and those of virtual servers that are in no file any more are forgotten.
    pub(super) fn follow(&mut self, former: &Plan, plan: &Plan) {
        if self.in_force.is_empty() {
            return;
        }
        let (old, new) = (&former.layer4, &plan.layer4);
        let mut renamed: BTreeMap<&VirtualServerId, &VirtualServerId> = BTreeMap::new();
        for (server, origin) in new.virtual_servers.iter().zip(new.origins(old)) {
            let before = origin.map(|place| &old.virtual_servers[place].id);
            renamed.extend(before.filter(|id| **id != server.id).map(|id| (id, &server.id)));
        }
        if !renamed.is_empty() {
            let followed = std::mem::take(&mut self.in_force).into_iter();
            let current = |id: VirtualServerId| renamed.get(&id).copied().cloned().unwrap_or(id);
            self.in_force =
                followed.map(|((id, server), change)| ((current(id), server), change)).collect();
        }
        let known = names::ids(plan);
        self.in_force.retain(|(id, _), _| known.contains(id));
    }

    /// What a director that knows nothing of them has to be asked for, in order.
    fn requests(&self, now: Time, plan: &Plan) -> Vec<ServerRequest> {
        let mut requests = Vec::new();
        for ((id, server), change) in &self.in_force {
            let in_file = names::has_server(plan, id, *server);
            let presence = match change.presence {
                Presence::Added { weight, forwarding } if !in_file => {
                    Some(ServerAction::Add { weight, forwarding })
                }
                Presence::AsFile | Presence::Added { .. } => None,
                Presence::Deleted => Some(ServerAction::Delete),
            };
            // Of a server that the file lost too: it may come back.
            let weight = change.weight.map(ServerAction::Weight);
            let drain = change
                .drain
                .map(|until| ServerAction::Drain { within: until.map(|until| until.since(now)) });
            let actions = presence.into_iter().chain(weight).chain(drain);
            requests.extend(actions.map(|action| ServerRequest {
                virtual_server: id.clone(),
                server: *server,
                action,
            }));
        }
        requests
    }

    /// What became of a server that is changed.
    pub(super) fn presence(&self, key: &Key) -> Option<Presence> {
        self.in_force.get(key).map(|change| change.presence)
    }

    /// A change is not in force any more.
    pub(super) fn forget(&mut self, key: &Key) {
        self.in_force.remove(key);
    }

    /// The servers that are changed, of one virtual server, this one of it, or all; and whether they
    /// were added.
    pub(super) fn keys(
        &self,
        id: Option<&VirtualServerId>,
        server: Option<Endpoint>,
    ) -> Vec<(Key, bool)> {
        let meant = self.in_force.iter().filter(|((of, endpoint), _)| {
            id.is_none_or(|id| id == of) && server.is_none_or(|server| server == *endpoint)
        });
        let added = |change: &Change| matches!(change.presence, Presence::Added { .. });
        meant.map(|(key, change)| (key.clone(), added(change))).collect()
    }

    /// Real servers of a virtual server of which something is changed, those added and those that
    /// the file lost among them.
    pub(super) fn of(&self, id: &VirtualServerId) -> Vec<Endpoint> {
        self.in_force.keys().filter(|(of, _)| of == id).map(|(_, server)| *server).collect()
    }

    /// Those of these servers, with what the director says of them.
    pub(super) fn listing(
        &self,
        now: Time,
        servers: &[Key],
        report: Option<&DirectorReport>,
    ) -> Vec<ServerChange> {
        // A server of a group has one status for each service.
        let mut known: BTreeMap<(&VirtualServerId, Endpoint), Vec<&RealServerStatus>> =
            BTreeMap::new();
        for service in report.into_iter().flat_map(|report| &report.services) {
            for status in &service.servers {
                known.entry((&service.id, status.endpoint)).or_default().push(status);
            }
        }
        let one = |key: &Key| {
            let statuses = known.get(&(&key.0, key.1)).map_or(&[][..], Vec::as_slice);
            Some(self.in_force.get(key)?.listed(now, key, statuses))
        };
        servers.iter().filter_map(one).collect()
    }
}

impl Change {
    /// With what the director says of the server: nothing, or its status for each service.
    fn listed(&self, now: Time, (id, server): &Key, known: &[&RealServerStatus]) -> ServerChange {
        let deadline = self.drain.flatten();
        ServerChange {
            virtual_server: id.to_string(),
            server: server.to_string(),
            change: self.words(),
            drains: self.drain.is_some(),
            since_seconds: now.since(self.since).as_secs(),
            remaining_ms: deadline.map(|until| until.since(now).as_millis() as u64),
            known: !known.is_empty(),
            in_table: known.iter().any(|status| status.in_table),
            active: known.iter().map(|status| u64::from(status.active)).sum(),
            inactive: known.iter().map(|status| u64::from(status.inactive)).sum(),
        }
    }

    /// `added, drain`, `weight 3`
    fn words(&self) -> String {
        let presence = match self.presence {
            Presence::AsFile => None,
            Presence::Added { .. } => Some("added".to_owned()),
            Presence::Deleted => Some("deleted".to_owned()),
        };
        let drain = self.drain.map(|_| "drain".to_owned());
        let weight = self.weight.map(|weight| format!("weight {weight}"));
        presence.into_iter().chain(drain).chain(weight).collect::<Vec<_>>().join(", ")
    }
}

impl Supervisor {
    /// Servers that are changed at run time, in order; this one alone, if it is.
    pub(super) fn changed(&self, only: Option<&ServerName>) -> Vec<Key> {
        let in_force = &self.changes.in_force;
        match only {
            None => in_force.keys().cloned().collect(),
            Some(ServerName { virtual_server, server }) => {
                let key = names::of_event(virtual_server, server);
                key.filter(|key| in_force.contains_key(key)).into_iter().collect()
            }
        }
    }

    /// Somebody wants a change: finds what is named, and asks the director for it.
    pub(super) fn order_server(&mut self, client: ClientId, order: &ServerOrder) {
        if let Err(error) = self.ask_for_change(client, order) {
            self.clients.answer(client, &Response::Failed(error));
        }
    }

    fn ask_for_change(&mut self, client: ClientId, order: &ServerOrder) -> Result<(), String> {
        let id = names::virtual_server(&self.plan, &order.virtual_server)?;
        let server = match order.action {
            ServerAction::Add { forwarding, .. } => {
                names::new_server(&self.plan, &id, forwarding, &order.server)?
            }
            ServerAction::Drain { .. }
            | ServerAction::Ready
            | ServerAction::Weight(_)
            | ServerAction::Delete => {
                let changed = self.changes.of(&id);
                names::real_server(&self.plan, &id, &changed, &order.server)?
            }
        };
        if self.changes.in_force.len() >= CHANGES_MAX {
            return Err(format!("{CHANGES_MAX} changes are in force: take some back first"));
        }
        let request = ServerRequest { virtual_server: id, server, action: order.action.clone() };
        let question = self.begin_server_question(client, &request);
        match question {
            Some(id) => {
                self.changes.asked.insert(id, request);
                Ok(())
            }
            None => Err("the director role is being started again: try in a moment".into()),
        }
    }

    /// The director made a change, or says why not.
    pub(super) fn server_changed(&mut self, id: u64, result: Result<String, String>) {
        let request = self.changes.asked.remove(&id);
        if let (Some(request), Ok(_)) = (&request, &result) {
            tracing::info!("at run time: {}", result.as_deref().unwrap_or_default());
            self.changes.note(edge::clock::now(), &self.plan, request.clone());
        }
        let response = match (&request, result) {
            (Some(request), Ok(text)) => {
                let done = ServerDone {
                    virtual_server: request.virtual_server.to_string(),
                    server: request.server.to_string(),
                    text,
                };
                let deed = Deed::Server(done.clone());
                self.note_deed(done.text.clone(), Happening::Deed(deed));
                Response::Server(done)
            }
            (Some(_), Err(text)) => Response::Failed(text),
            // Asked of a director that is no more.
            (None, Ok(_) | Err(_)) => return,
        };
        self.finish_server_question(id, &response);
    }

    /// Tells a director that was just started what is changed at run time.
    pub(super) fn repeat_changes(&mut self, plan: &Plan) {
        // What the former one did not answer it did not do, or nobody knows.
        self.changes.asked.clear();
        let requests = self.changes.requests(edge::clock::now(), plan);
        if !requests.is_empty()
            && let Some(director) = self.slot(Role::Director).running()
        {
            // Its end is noticed where it is heard.
            let _ = director.say(&ToRole::Changes(requests));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use model::layer4::{Protocol, RealServer, ServiceKey, VirtualServer};

    use super::*;

    fn at(seconds: u64) -> Time {
        Time::ZERO + Duration::from_secs(seconds)
    }

    fn endpoint(last: u8) -> Endpoint {
        Endpoint { address: [10, 0, 0, last].into(), port: 80 }
    }

    fn plan() -> Plan {
        let key = ServiceKey::Address {
            address: [192, 0, 2, 1].into(),
            port: 80,
            protocol: Protocol::Tcp,
        };
        let real_servers = vec![RealServer::new(endpoint(1)), RealServer::new(endpoint(2))].into();
        let mut plan = Plan::default();
        plan.layer4.virtual_servers =
            vec![VirtualServer { real_servers, ..VirtualServer::new(key) }];
        plan
    }

    fn note(changes: &mut Changes, now: Time, server: u8, action: ServerAction) {
        let virtual_server = plan().layer4.virtual_servers[0].id.clone();
        let request = ServerRequest { virtual_server, server: endpoint(server), action };
        changes.note(now, &plan(), request);
    }

    fn repeated(changes: &Changes, now: Time) -> Vec<(Endpoint, ServerAction)> {
        let requests = changes.requests(now, &plan());
        requests.into_iter().map(|request| (request.server, request.action)).collect()
    }

    #[test]
    fn a_new_director_is_told_what_is_in_force_and_a_drain_goes_on_counting() {
        let mut changes = Changes::default();
        let drain = |seconds| ServerAction::Drain { within: Some(Duration::from_secs(seconds)) };
        note(&mut changes, at(0), 1, drain(30));
        note(&mut changes, at(1), 1, ServerAction::Weight(7));
        let add = ServerAction::Add { weight: 3, forwarding: Some(Forwarding::Nat) };
        note(&mut changes, at(2), 3, add.clone());
        note(&mut changes, at(2), 2, ServerAction::Delete);
        let expected = [
            (endpoint(1), ServerAction::Weight(7)),
            (endpoint(1), drain(20)),
            (endpoint(2), ServerAction::Delete),
            (endpoint(3), add),
        ];
        assert_eq!(repeated(&changes, at(10)), expected);
        // A drain whose time is up stays one: its server is out.
        assert!(repeated(&changes, at(99)).contains(&(endpoint(1), drain(0))));
    }

    #[test]
    fn the_director_is_asked_for_changed_servers_alone() {
        let key = |port| {
            let address = [192, 0, 2, 1].into();
            VirtualServerId::Service(ServiceKey::Address { address, port, protocol: Protocol::Tcp })
        };
        let servers = [(key(80), endpoint(1)), (key(80), endpoint(2)), (key(81), endpoint(1))];
        let scope = |port, servers| Scope { virtual_server: key(port), servers: Some(servers) };
        let expected = [scope(80, vec![endpoint(1), endpoint(2)]), scope(81, vec![endpoint(1)])];
        assert_eq!(scopes(&servers), expected);
    }

    #[test]
    fn ready_and_del_take_changes_back_and_a_lost_virtual_server_ends_them() {
        let mut changes = Changes::default();
        note(&mut changes, at(0), 1, ServerAction::Weight(7));
        note(&mut changes, at(0), 1, ServerAction::Drain { within: None });
        note(&mut changes, at(0), 1, ServerAction::Ready);
        let add = ServerAction::Add { weight: 3, forwarding: None };
        note(&mut changes, at(0), 3, add.clone());
        note(&mut changes, at(0), 3, ServerAction::Drain { within: None });
        note(&mut changes, at(0), 3, ServerAction::Ready);
        assert_eq!(repeated(&changes, at(1)), [(endpoint(3), add)]);
        note(&mut changes, at(1), 3, ServerAction::Delete);
        note(&mut changes, at(1), 2, ServerAction::Delete);
        note(&mut changes, at(1), 2, ServerAction::Add { weight: 5, forwarding: None });
        assert_eq!(repeated(&changes, at(1)), [(endpoint(2), ServerAction::Weight(5))]);
        changes.follow(&plan(), &plan());
        assert_eq!(changes.in_force.len(), 1);
        let mut group = plan();
        let mut moved = group.layer4.virtual_servers[0].clone();
        moved.id = VirtualServerId::Group { name: "web".into(), protocol: Protocol::Tcp };
        group.layer4.virtual_servers = vec![moved.clone()];
        changes.follow(&plan(), &group);
        assert_eq!(changes.in_force.keys().map(|(id, _)| id).collect::<Vec<_>>(), [&moved.id]);
        changes.follow(&group, &Plan::default());
        assert!(changes.in_force.is_empty());
    }
}
