//! Which real servers take part: the plan, and what the checkers say of it. Decides, does nothing.

use std::collections::HashMap;

use director::{Destination, ServiceSettings, ServiceTable, TableChange, Tables};
use model::check::Checker;
use model::layer4::{Endpoint, Layer4Plan, RealServer, ServiceKey};

/// Number of a checker: one configured checker of one real server, over reloads that leave it
/// unchanged.
pub(super) type CheckerId = u64;

/// A real server of a virtual server.
pub(super) type ServerKey = (ServiceKey, Endpoint);

/// The plan in force, with the state of every real server in it.
#[derive(Debug, Default)]
pub(super) struct Health {
    plan: Layer4Plan,
    servers: HashMap<ServerKey, Server>,
    owners: HashMap<CheckerId, ServerKey>,
    last_id: CheckerId,
}

#[derive(Debug)]
struct Server {
    destination: Destination,
    checkers: Vec<Tracked>,
}

/// A checker and its verdict.
#[derive(Clone, Debug)]
pub(super) struct Tracked {
    pub(super) id: CheckerId,
    pub(super) plan: Checker,
    pub(super) up: bool,
}

impl Health {
    /// The plan in force.
    pub(super) fn plan(&self) -> &Layer4Plan {
        &self.plan
    }

    /// The health under a new plan. A checker that is in both plans goes on as it is. A new one
    /// of a server known already begins with that server's verdict, so that a reload moves
    /// nothing. A server unknown so far begins as it stands in `adopted`, the tables of an earlier
    /// director, if its service is there; else as its checkers say, up by default.
    pub(super) fn successor(&self, plan: Layer4Plan, adopted: Option<&Tables>) -> Health {
        let mut next = Health { last_id: self.last_id, ..Health::default() };
        for service in &plan.virtual_servers {
            let table = adopted.and_then(|tables| tables.get(&service.key()));
            for server in &service.real_servers {
                let key = (service.key(), server.endpoint);
                let known = match self.servers.get(&key) {
                    Some(former) => Some(former.is_up()),
                    None => table.map(|table| table.find(server.endpoint).is_some()),
                };
                let mut former =
                    self.servers.get(&key).map_or(Vec::new(), |it| it.checkers.clone());
                for checker in &server.checkers {
                    let same = former.iter().position(|tracked| tracked.plan == *checker);
                    let tracked = match same {
                        Some(place) => former.swap_remove(place),
                        None => {
                            next.last_id += 1;
                            let up = known.unwrap_or(checker.pace.initially_up);
                            Tracked { id: next.last_id, plan: checker.clone(), up }
                        }
                    };
                    next.owners.insert(tracked.id, key);
                    next.server(key, server).checkers.push(tracked);
                }
                next.server(key, server);
            }
        }
        next.plan = plan;
        next
    }

    fn server(&mut self, key: ServerKey, server: &RealServer) -> &mut Server {
        self.servers.entry(key).or_insert_with(|| Server {
            destination: Destination {
                upper_threshold: server.upper_threshold,
                lower_threshold: server.lower_threshold,
                ..Destination::new(server.endpoint, server.weight, server.forwarding)
            },
            checkers: Vec::new(),
        })
    }

    /// Every checker, with the verdict it begins with.
    pub(super) fn checkers(&self) -> impl Iterator<Item = &Tracked> {
        self.servers.values().flat_map(|server| &server.checkers)
    }

    /// The checkers of one server, in file order.
    pub(super) fn checkers_of(&self, key: ServerKey) -> &[Tracked] {
        self.servers.get(&key).map_or(&[], |server| &server.checkers)
    }

    /// The number belongs to a checker of this plan.
    pub(super) fn has(&self, id: CheckerId) -> bool {
        self.owners.contains_key(&id)
    }

    /// All of the server's checkers say that it is up.
    pub(super) fn is_up(&self, key: ServerKey) -> bool {
        self.servers.get(&key).is_some_and(Server::is_up)
    }

    /// What the tables should hold.
    pub(super) fn wanted(&self) -> Tables {
        let table = |service: &model::layer4::VirtualServer| ServiceTable {
            settings: ServiceSettings {
                scheduler: service.scheduler,
                persistence: service.persistence,
            },
            destinations: service
                .real_servers
                .iter()
                .filter_map(|server| self.servers.get(&(service.key(), server.endpoint)))
                .filter(|server| server.is_up())
                .map(|server| server.destination)
                .collect(),
        };
        self.plan.virtual_servers.iter().map(|service| (service.key(), table(service))).collect()
    }

    /// A checker has another verdict. If that changes its server's state: the server, whether it
    /// is up now, and what changes in the tables.
    pub(super) fn handle_verdict(
        &mut self,
        id: CheckerId,
        up: bool,
    ) -> Option<(ServerKey, bool, TableChange)> {
        let key = *self.owners.get(&id)?;
        let server = self.servers.get_mut(&key)?;
        let was = server.is_up();
        server.checkers.iter_mut().find(|tracked| tracked.id == id)?.up = up;
        let is = server.is_up();
        let (service, endpoint) = key;
        let change = match (was, is) {
            (false, true) => TableChange::AddDestination(service, server.destination),
            (true, false) => TableChange::RemoveDestination(service, endpoint),
            (true, true) | (false, false) => return None,
        };
        Some((key, is, change))
    }
}

impl Server {
    fn is_up(&self) -> bool {
        self.checkers.iter().all(|tracked| tracked.up)
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, SocketAddr};
    use std::time::Duration;

    use model::check::{CheckKind, Pace};
    use model::layer4::{Protocol, Scheduler, VirtualServer};

    use super::*;

    fn service() -> ServiceKey {
        ServiceKey { address: [192, 0, 2, 1].into(), port: 80, protocol: Protocol::Tcp }
    }

    fn endpoint(last: u8) -> Endpoint {
        Endpoint { address: IpAddr::from([10, 0, 0, last]), port: 80 }
    }

    fn checker(last: u8, port: u16) -> Checker {
        let second = Duration::from_secs(1);
        let pace = Pace {
            interval: second,
            down_interval: second,
            retry_interval: second,
            rise: 1,
            fall: 1,
            warmup: second,
            initially_up: true,
        };
        Checker::new(CheckKind::Tcp, SocketAddr::from(([10, 0, 0, last], port)), second, pace)
    }

    fn server(last: u8, weight: u32, ports: &[u16]) -> RealServer {
        RealServer {
            weight,
            checkers: ports.iter().map(|&port| checker(last, port)).collect(),
            ..RealServer::new(endpoint(last))
        }
    }

    fn plan(real_servers: Vec<RealServer>) -> Layer4Plan {
        let scheduler = Scheduler::RoundRobin;
        let service = VirtualServer { scheduler, real_servers, ..VirtualServer::new(service()) };
        Layer4Plan { virtual_servers: vec![service], ..Layer4Plan::default() }
    }

    fn in_tables(health: &Health) -> Vec<u8> {
        let last = |destination: &Destination| match destination.endpoint.address {
            IpAddr::V4(address) => address.octets()[3],
            IpAddr::V6(_) => 0,
        };
        health.wanted()[&service()].destinations.iter().map(last).collect()
    }

    fn ids(health: &Health, last: u8) -> Vec<CheckerId> {
        health.checkers_of((service(), endpoint(last))).iter().map(|tracked| tracked.id).collect()
    }

    #[test]
    fn a_server_takes_part_while_all_of_its_checkers_agree() {
        let plan = plan(vec![server(1, 1, &[80, 81]), server(2, 1, &[80]), server(3, 1, &[])]);
        let mut health = Health::default().successor(plan, None);
        assert_eq!(in_tables(&health), [1, 2, 3]);
        let [first, second] = ids(&health, 1)[..] else { panic!("two checkers") };
        let key = (service(), endpoint(1));
        let gone = TableChange::RemoveDestination(service(), endpoint(1));
        assert_eq!(health.handle_verdict(first, false), Some((key, false, gone)));
        assert_eq!(health.handle_verdict(second, false), None);
        assert_eq!(in_tables(&health), [2, 3]);
        assert_eq!(health.handle_verdict(first, true), None);
        assert!(matches!(health.handle_verdict(second, true), Some((_, true, _))));
        assert_eq!(in_tables(&health), [1, 2, 3]);
        assert_eq!(health.handle_verdict(99, false), None);
    }

    #[test]
    fn a_reload_keeps_the_checkers_that_did_not_change_and_moves_no_server() {
        let before = plan(vec![server(1, 1, &[80, 81]), server(2, 1, &[80])]);
        let mut health = Health::default().successor(before, None);
        let of_first = ids(&health, 1);
        health.handle_verdict(ids(&health, 2)[0], false);
        // Another weight, a checker fewer, a changed checker for the dead server, a new server.
        let after = plan(vec![server(3, 1, &[80]), server(2, 1, &[8080]), server(1, 7, &[81])]);
        let next = health.successor(after, None);
        assert_eq!(ids(&next, 1), [of_first[1]]);
        assert!(!next.has(of_first[0]));
        assert_eq!(in_tables(&next), [3, 1]);
        assert_eq!(next.wanted()[&service()].destinations[1].weight, 7);
    }

    #[test]
    fn a_restarted_director_begins_with_what_the_tables_say() {
        let plan = plan(vec![server(1, 1, &[80]), server(2, 1, &[80]), server(3, 1, &[])]);
        let mut former = Health::default().successor(plan.clone(), None);
        former.handle_verdict(ids(&former, 1)[0], false);
        let mut adopted = former.wanted();
        let health = Health::default().successor(plan.clone(), Some(&adopted));
        assert_eq!(in_tables(&health), [2, 3]);
        // A service that the earlier director did not have is not affected.
        adopted.clear();
        assert_eq!(in_tables(&Health::default().successor(plan, Some(&adopted))), [1, 2, 3]);
    }
}
