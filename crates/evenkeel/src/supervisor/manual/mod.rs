//! What ipvsadm changed of the layer-4 tables: it lies over what the files say, and reloads leave it
//! alone. The Plan in force is always a function of the two, so that the director, its next process
//! and a reload that is refused need to know nothing of it.

mod lowering;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use model::Time;
use model::layer4::{
    Endpoint, Layer4Plan, Persistence, REAL_SERVERS_MAX, REAL_SERVERS_TOTAL_MAX, RealServer,
    Scheduler, ServiceKey, Timeouts, VIRTUAL_SERVERS_MAX, VirtualServer,
};
use model::units::Seconds;

use crate::manual::{Order, Outcome, Server, ServiceSettings};

/// What ipvsadm says, in its own words.
const SERVICE_EXISTS: &str = "Service already exists";
pub(super) const NO_SERVICE: &str = "No such service";
const NOT_DEFINED: &str = "Service not defined";
pub(super) const SERVER_EXISTS: &str = "Destination already exists";
pub(super) const NO_SERVER: &str = "No such destination";
const OUT_OF_RANGE: &str = "Numerical result out of range";
const NOT_UNICAST: &str =
    "Invalid operation.  Possibly wrong module version, address not unicast, ...";

/// Everything that differs from the files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Manual {
    services: BTreeMap<ServiceKey, Entry>,
    /// TCP, TCP after a FIN, UDP.
    timeouts: [Option<Seconds>; 3],
}

/// What is changed of one service.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    since: Time,
    what: What,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum What {
    /// No file has it.
    Added(Box<VirtualServer>),
    /// A file has it.
    Changed(Changed),
}

/// The settings that an order has of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Settings {
    scheduler: Scheduler,
    persistence: Option<Persistence>,
    one_packet: bool,
}

impl Settings {
    fn of(service: &VirtualServer) -> Settings {
        Settings {
            scheduler: service.scheduler,
            persistence: service.persistence,
            one_packet: service.conduct.one_packet,
        }
    }

    fn put_into(self, service: &mut VirtualServer) {
        service.scheduler = self.scheduler;
        service.persistence = self.persistence;
        service.conduct.one_packet = self.one_packet;
    }
}

/// What differs from the file, of one virtual server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Changed {
    /// It is not there.
    deleted: bool,
    /// It was deleted and added again: the file's real servers are not there.
    emptied: bool,
    settings: Option<Settings>,
    /// What a real server is; none: it is not there.
    servers: BTreeMap<Endpoint, Option<RealServer>>,
}

/// One thing that is changed, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) service: ServiceKey,
    /// Of this real server; of the service itself otherwise.
    pub(super) server: Option<Endpoint>,
    pub(super) since: Time,
    pub(super) words: &'static str,
}

/// The files' virtual servers by their services.
pub(super) struct Index<'a> {
    file: &'a Layer4Plan,
    places: BTreeMap<ServiceKey, usize>,
}

impl<'a> Index<'a> {
    pub(super) fn new(file: &'a Layer4Plan) -> Index<'a> {
        let servers = file.virtual_servers.iter().enumerate();
        let places =
            servers.flat_map(|(place, one)| one.services.iter().map(move |key| (*key, place)));
        Index { file, places: places.collect() }
    }

    pub(super) fn find(&self, key: &ServiceKey) -> Option<&'a VirtualServer> {
        self.places.get(key).map(|&place| &self.file.virtual_servers[place])
    }
}

impl Manual {
    pub(super) fn is_empty(&self) -> bool {
        self.services.is_empty() && self.timeouts == [None; 3]
    }

    /// Takes in an order.
    pub(super) fn apply(&mut self, now: Time, index: &Index<'_>, order: &Order) -> Outcome {
        match order {
            Order::AddService(key, settings) => self.add_service(now, index, *key, settings),
            Order::EditService(key, settings) => self.edit_service(now, index, *key, settings),
            Order::DeleteService(key) => self.delete_service(now, index, *key),
            Order::AddServer(key, server) => {
                self.set_server(now, index, *key, server, SERVER_EXISTS)
            }
            Order::EditServer(key, server) => self.set_server(now, index, *key, server, NO_SERVER),
            Order::DeleteServer(key, address, port) => {
                let endpoint = Endpoint { address: *address, port: *port };
                self.delete_server(now, index, *key, endpoint)
            }
            Order::Clear => Ok(self.clear(index)),
            Order::Timeouts { tcp, tcp_fin, udp } => {
                for (kept, seconds) in self.timeouts.iter_mut().zip([*tcp, *tcp_fin, *udp]) {
                    if seconds > 0 {
                        *kept = Some(Seconds(seconds));
                    }
                }
                Ok(None)
            }
        }
    }

    /// A service as it is now.
    fn service(&self, index: &Index<'_>, key: &ServiceKey) -> Option<VirtualServer> {
        match (self.services.get(key).map(|entry| &entry.what), index.find(key)) {
            (Some(What::Added(service)), _) => Some(VirtualServer::clone(service)),
            (Some(What::Changed(changed)), Some(server)) => changed.over(server),
            (None, found) => found.cloned(),
            (Some(What::Changed(_)), None) => None,
        }
    }

    /// The change of a service that a file has, which a group does not share with others.
    fn changed(
        &mut self,
        now: Time,
        index: &Index<'_>,
        key: ServiceKey,
    ) -> Result<&mut Changed, String> {
        if let Some(server) = index.find(&key).filter(|server| server.services.len() > 1) {
            let id = &server.id;
            return Err(format!(
                "{key} belongs to {id}, whose services have all in common: use evenkeel server with \
                 {id}, or the file"
            ));
        }
        let fresh = || Entry { since: now, what: What::Changed(Changed::default()) };
        match &mut self.services.entry(key).or_insert_with(fresh).what {
            What::Changed(changed) => Ok(changed),
            What::Added(_) => Err(NO_SERVICE.into()),
        }
    }

    fn add_service(
        &mut self,
        now: Time,
        index: &Index<'_>,
        key: ServiceKey,
        settings: &ServiceSettings,
    ) -> Outcome {
        if self.service(index, &key).is_some() {
            return Err(SERVICE_EXISTS.into());
        }
        let service = lowering::service(key, settings)?;
        let note = note(&service, settings);
        if index.find(&key).is_some() {
            let settings = Some(Settings::of(&service));
            let changed = self.changed(now, index, key)?;
            *changed = Changed { emptied: true, settings, ..Changed::default() };
            return Ok(note);
        }
        let added = self.services.values().filter(|one| matches!(one.what, What::Added(_))).count();
        if index.places.len() + added >= VIRTUAL_SERVERS_MAX {
            return Err(format!("there are at most {VIRTUAL_SERVERS_MAX} virtual servers"));
        }
        self.services.insert(key, Entry { since: now, what: What::Added(Box::new(service)) });
        Ok(note)
    }

    fn edit_service(
        &mut self,
        now: Time,
        index: &Index<'_>,
        key: ServiceKey,
        settings: &ServiceSettings,
    ) -> Outcome {
        if self.service(index, &key).is_none() {
            return Err(NO_SERVICE.into());
        }
        let lowered = lowering::service(key, settings)?;
        let note = note(&lowered, settings);
        if let Some(Entry { what: What::Added(service), .. }) = self.services.get_mut(&key) {
            Settings::of(&lowered).put_into(service);
        } else {
            let changed = self.changed(now, index, key)?;
            changed.settings = Some(Settings::of(&lowered));
        }
        self.forget_unchanged(index, &key);
        Ok(note)
    }

    fn delete_service(&mut self, now: Time, index: &Index<'_>, key: ServiceKey) -> Outcome {
        if self.service(index, &key).is_none() {
            return Err(NO_SERVICE.into());
        }
        if index.find(&key).is_some() {
            let changed = self.changed(now, index, key)?;
            *changed = Changed { deleted: true, ..Changed::default() };
        } else {
            self.services.remove(&key);
        }
        Ok(None)
    }

    /// Adds a real server or changes one; `otherwise` is what is said if it is there, or is not.
    fn set_server(
        &mut self,
        now: Time,
        index: &Index<'_>,
        key: ServiceKey,
        server: &Server,
        otherwise: &str,
    ) -> Outcome {
        let service = self.service(index, &key).ok_or(NOT_DEFINED)?;
        if server.lower_threshold > server.upper_threshold {
            return Err(OUT_OF_RANGE.into());
        }
        let endpoint = Endpoint { address: server.address, port: server.port };
        let known = service.real_servers.iter().position(|one| one.endpoint == endpoint);
        if known.is_some() != (otherwise == NO_SERVER) {
            return Err(otherwise.into());
        }
        if !Endpoint::is_of_a_host(server.address) {
            return Err(NOT_UNICAST.into());
        }
        if known.is_none() {
            self.check_room(index, &service)?;
        }
        let lowered = lowering::server(key, server)?;
        if let Some(Entry { what: What::Added(service), .. }) = self.services.get_mut(&key) {
            let mut servers = service.real_servers.to_vec();
            match known {
                Some(place) => servers[place] = lowered,
                None => servers.push(lowered),
            }
            service.real_servers = servers.into();
        } else {
            self.changed(now, index, key)?.servers.insert(endpoint, Some(lowered));
            self.forget_unchanged(index, &key);
        }
        Ok(None)
    }

    fn check_room(&self, index: &Index<'_>, service: &VirtualServer) -> Result<(), String> {
        let count = service.real_servers.len() + usize::from(service.quorum.sorry.is_some());
        if count >= REAL_SERVERS_MAX {
            return Err(format!("a virtual server has at most {REAL_SERVERS_MAX} real servers"));
        }
        let of_file = index.file.virtual_servers.iter();
        let of_file: usize = of_file.map(|one| one.services.len() * one.real_servers.len()).sum();
        let by_hand = self.services.values().map(|entry| match &entry.what {
            What::Added(service) => service.real_servers.len(),
            What::Changed(changed) => changed.servers.len(),
        });
        if of_file + by_hand.sum::<usize>() >= REAL_SERVERS_TOTAL_MAX {
            return Err(format!("there are at most {REAL_SERVERS_TOTAL_MAX} real servers in all"));
        }
        Ok(())
    }

    fn delete_server(
        &mut self,
        now: Time,
        index: &Index<'_>,
        key: ServiceKey,
        endpoint: Endpoint,
    ) -> Outcome {
        let service = self.service(index, &key).ok_or(NOT_DEFINED)?;
        if service.real_servers.iter().all(|one| one.endpoint != endpoint) {
            return Err(NO_SERVER.into());
        }
        if let Some(Entry { what: What::Added(service), .. }) = self.services.get_mut(&key) {
            let left = service.real_servers.iter().filter(|one| one.endpoint != endpoint);
            service.real_servers = left.cloned().collect::<Vec<_>>().into();
            return Ok(None);
        }
        self.changed(now, index, key)?.servers.insert(endpoint, None);
        self.forget_unchanged(index, &key);
        Ok(None)
    }

    /// What was added goes. What was taken away or set otherwise of a file's entries stays as it
    /// is: to clear puts nothing into service.
    fn clear(&mut self, index: &Index<'_>) -> Option<String> {
        self.services.retain(|_, entry| matches!(entry.what, What::Changed(_)));
        let keys: Vec<ServiceKey> = self.services.keys().copied().collect();
        for key in keys {
            let Some(Entry { what: What::Changed(changed), .. }) = self.services.get_mut(&key)
            else {
                continue;
            };
            let of_file = |endpoint: &Endpoint| {
                let mut servers = index.find(&key).into_iter().flat_map(|one| &one.real_servers);
                servers.any(|server| server.endpoint == *endpoint)
            };
            changed.servers.retain(|endpoint, _| of_file(endpoint));
            self.forget_unchanged(index, &key);
        }
        let left = index.places.keys().filter(|key| self.service(index, key).is_some()).count();
        let what = if left == 1 { "virtual server is" } else { "virtual servers are" };
        (left > 0)
            .then(|| format!("{left} {what} configured in a file and left alone; -D takes one out"))
    }

    /// Nothing is kept of what is as the file says.
    fn forget_unchanged(&mut self, index: &Index<'_>, key: &ServiceKey) {
        let Some(Entry { what: What::Changed(changed), .. }) = self.services.get_mut(key) else {
            return;
        };
        let Some(file) = index.find(key) else { return };
        if changed.emptied {
            changed.servers.retain(|_, server| server.is_some());
            return;
        }
        if changed.settings == Some(Settings::of(file)) {
            changed.settings = None;
        }
        let find =
            |endpoint: &Endpoint| file.real_servers.iter().find(|it| it.endpoint == *endpoint);
        changed.servers.retain(|endpoint, change| match (change.as_ref(), find(endpoint)) {
            (None, None) => false,
            (None, Some(_)) => true,
            (Some(_), None) => true,
            (Some(change), Some(file)) => set(file, change) != *file,
        });
        if *changed == Changed::default() {
            self.services.remove(key);
        }
    }

    /// The files' plan with all of this over it.
    pub(super) fn over(&self, file: &Layer4Plan) -> Layer4Plan {
        let mut plan = file.clone();
        if self.is_empty() {
            return plan;
        }
        plan.virtual_servers = file
            .virtual_servers
            .iter()
            .filter_map(|server| match self.of(server) {
                Some(changed) => changed.over(server),
                None => Some(server.clone()),
            })
            .collect();
        plan.virtual_servers.extend(self.services.values().filter_map(|entry| match &entry.what {
            What::Added(service) => Some(VirtualServer::clone(service)),
            What::Changed(_) => None,
        }));
        let Timeouts { tcp, tcp_fin, udp } = file.timeouts;
        plan.timeouts = Timeouts {
            tcp: self.timeouts[0].unwrap_or(tcp),
            tcp_fin: self.timeouts[1].unwrap_or(tcp_fin),
            udp: self.timeouts[2].unwrap_or(udp),
        };
        plan
    }

    fn of(&self, server: &VirtualServer) -> Option<&Changed> {
        let [key] = server.services[..] else { return None };
        match &self.services.get(&key)?.what {
            What::Changed(changed) => Some(changed),
            What::Added(_) => None,
        }
    }

    /// The files say something else now. A service that one of them has now is that one's, and what
    /// was changed of one that none has any more is forgotten. Says which those are.
    pub(super) fn follow(&mut self, file: &Layer4Plan) -> Vec<String> {
        if self.services.is_empty() {
            return Vec::new();
        }
        let index = Index::new(file);
        let mut lost = Vec::new();
        self.services.retain(|key, entry| {
            let alone = index.find(key).map(|server| server.services.len() == 1);
            match (&entry.what, alone) {
                (What::Added(_), None) | (What::Changed(_), Some(true)) => true,
                (What::Added(_), Some(_)) => {
                    lost.push(format!("{key} was added by hand, and is as the file says now"));
                    false
                }
                (What::Changed(_), Some(false) | None) => {
                    lost.push(format!(
                        "{key} was changed by hand, and is in no file of its own now"
                    ));
                    false
                }
            }
        });
        let keys: Vec<ServiceKey> = self.services.keys().copied().collect();
        keys.iter().for_each(|key| self.forget_unchanged(&index, key));
        lost
    }

    /// Takes back what was changed: everything, of one service, of one real server. False: nothing
    /// was.
    pub(super) fn reset(&mut self, key: Option<ServiceKey>, server: Option<Endpoint>) -> bool {
        let Some(key) = key else {
            let empty = self.is_empty();
            *self = Manual::default();
            return !empty;
        };
        let Some(server) = server else { return self.services.remove(&key).is_some() };
        let Some(entry) = self.services.get_mut(&key) else { return false };
        match &mut entry.what {
            What::Added(service) => {
                let left = service.real_servers.iter().filter(|one| one.endpoint != server);
                let left: Vec<RealServer> = left.cloned().collect();
                let found = left.len() < service.real_servers.len();
                service.real_servers = left.into();
                found
            }
            What::Changed(changed) => {
                let found = changed.servers.remove(&server).is_some();
                if *changed == Changed::default() {
                    self.services.remove(&key);
                }
                found
            }
        }
    }

    /// Everything that is changed.
    pub(super) fn listing(&self) -> Vec<Listed> {
        let mut all = Vec::new();
        for (service, entry) in &self.services {
            let mut list = |server, words| {
                all.push(Listed { service: *service, server, since: entry.since, words });
            };
            match &entry.what {
                What::Added(_) => list(None, "added"),
                What::Changed(changed) => {
                    match (changed.deleted, changed.emptied, &changed.settings) {
                        (true, _, _) => list(None, "deleted"),
                        (false, true, _) => list(None, "added again"),
                        (false, false, Some(_)) => list(None, "settings changed"),
                        (false, false, None) => {}
                    }
                    for (endpoint, server) in &changed.servers {
                        list(Some(*endpoint), if server.is_some() { "set" } else { "deleted" });
                    }
                }
            }
        }
        all
    }

    /// The time-outs set by hand, for people.
    pub(super) fn timeouts(&self) -> Option<String> {
        let names = ["tcp", "tcpfin", "udp"];
        let set = names.iter().zip(self.timeouts);
        let set = set.filter_map(|(name, it)| Some(format!("{name} {}", it?.0)));
        let words: Vec<String> = set.collect();
        (!words.is_empty()).then(|| words.join(" "))
    }
}

impl Changed {
    /// The file's virtual server with this over it; none when it is deleted.
    fn over(&self, file: &VirtualServer) -> Option<VirtualServer> {
        if self.deleted {
            return None;
        }
        let mut server = file.clone();
        if let Some(settings) = self.settings {
            settings.put_into(&mut server);
        }
        if self.emptied || !self.servers.is_empty() {
            let in_file = |endpoint| file.real_servers.iter().any(|one| one.endpoint == endpoint);
            let kept =
                file.real_servers.iter().filter_map(|one| match self.servers.get(&one.endpoint) {
                    Some(Some(change)) => Some(set(one, change)),
                    Some(None) => None,
                    None => (!self.emptied).then(|| one.clone()),
                });
            let added = self.servers.iter().filter(|(endpoint, _)| !in_file(**endpoint));
            let added = added.filter_map(|(_, server)| server.clone());
            server.real_servers = kept.chain(added).collect::<Vec<_>>().into();
        }
        Some(server)
    }
}

/// A file's real server with what ipvsadm says of it; its checkers stay.
fn set(file: &RealServer, change: &RealServer) -> RealServer {
    RealServer {
        weight: change.weight,
        forwarding: change.forwarding,
        upper_threshold: change.upper_threshold,
        lower_threshold: change.lower_threshold,
        ..file.clone()
    }
}

/// What is said of flags that the scheduler does not have.
fn note(service: &VirtualServer, settings: &ServiceSettings) -> Option<String> {
    let unused = !settings.flags.is_empty() && !service.scheduler.has_hash_flags();
    unused.then(|| format!("scheduler {} has no flags", service.scheduler.name()))
}

/// Why the data plane has no room for a plan, if it has none: the files alone are checked as they are
/// read.
pub(super) fn bounds(plan: &Layer4Plan) -> Option<&'static str> {
    let servers = &plan.virtual_servers;
    let places = |one: &VirtualServer| one.services.len() * one.real_servers.len();
    let full = servers.iter().map(|one| one.services.len()).sum::<usize>() > VIRTUAL_SERVERS_MAX
        || servers.iter().any(|one| one.real_servers.len() > REAL_SERVERS_MAX)
        || servers.iter().map(places).sum::<usize>() > REAL_SERVERS_TOTAL_MAX;
    full.then_some(
        "with what was added by hand there are too many virtual or real servers: take some of it \
         back with evenkeel server reset",
    )
}
