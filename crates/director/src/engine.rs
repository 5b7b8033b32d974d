//! What a layer-4 engine can do, whichever it is: the director role drives this trait only.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::io;
use std::net::IpAddr;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use model::Time;
use model::layer4::{Conduct, Endpoint, Forwarding, Persistence, Scheduler, ServiceKey, Timeouts};
use model::marks::MarkRules;
use model::status::{ConnectionStatus, Counters};

/// What the tables hold, or should hold: the services and, per service, the real servers that
/// take part now. A server that failed its checks is not in here.
pub type Tables = BTreeMap<ServiceKey, ServiceTable>;

/// One service in the tables.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceTable {
    /// How it chooses and how long clients stay.
    pub settings: ServiceSettings,
    /// Its destinations, in the order they were added.
    pub destinations: Vec<Destination>,
}

/// The settings of a service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ServiceSettings {
    /// How it chooses.
    pub scheduler: Scheduler,
    /// Persistence, if any.
    pub persistence: Option<Persistence>,
    /// How it treats its connections.
    pub conduct: Conduct,
}

/// One destination of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Destination {
    /// Where it is.
    pub endpoint: Endpoint,
    /// Share of new connections; 0 drains.
    pub weight: u32,
    /// How packets get there.
    pub forwarding: Forwarding,
    /// Connections from which on it takes no new ones; 0 for no bound (IPVS: `u_threshold`).
    pub upper_threshold: u32,
    /// Connections below which it takes new ones again; 0 for three quarters of the upper
    /// threshold (IPVS: `l_threshold`).
    pub lower_threshold: u32,
}

impl Destination {
    /// One that takes any number of connections.
    pub fn new(endpoint: Endpoint, weight: u32, forwarding: Forwarding) -> Destination {
        Destination { endpoint, weight, forwarding, upper_threshold: 0, lower_threshold: 0 }
    }
}

/// One change of the tables. A change names everything it needs: applying it costs the same
/// however large the tables are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableChange {
    /// A new service, without destinations.
    AddService(ServiceKey, ServiceSettings),
    /// Other settings of a service; connections and templates stay.
    UpdateService(ServiceKey, ServiceSettings),
    /// A service and its destinations go; their connections end as those of a removed server do.
    RemoveService(ServiceKey),
    /// A new destination, or one that comes back.
    AddDestination(ServiceKey, Destination),
    /// Another weight, way of forwarding or threshold; connections stay.
    UpdateDestination(ServiceKey, Destination),
    /// A destination goes. Packets of its TCP connections are dropped until it returns or the
    /// connection expires (IPVS: expire_nodest_conn=0); a new SYN and every UDP packet are
    /// scheduled afresh.
    RemoveDestination(ServiceKey, Endpoint),
}

/// The changes that lead from `now` to `wanted`, removals first so that bounds are not met
/// half-way.
pub fn diff(now: &Tables, wanted: &Tables) -> Vec<TableChange> {
    let mut changes = Vec::new();
    for (key, service) in now {
        match wanted.get(key) {
            None => changes.push(TableChange::RemoveService(*key)),
            Some(wanted) => {
                let mut wanted = Finder::new(&wanted.destinations);
                for one in &service.destinations {
                    if wanted.find(one.endpoint).is_none() {
                        changes.push(TableChange::RemoveDestination(*key, one.endpoint));
                    }
                }
            }
        }
    }
    for (key, wanted) in wanted {
        let present = now.get(key);
        match present {
            None => changes.push(TableChange::AddService(*key, wanted.settings)),
            Some(present) if present.settings != wanted.settings => {
                changes.push(TableChange::UpdateService(*key, wanted.settings));
            }
            Some(_) => {}
        }
        let mut present = Finder::new(present.map_or(&[], |present| &present.destinations));
        for destination in &wanted.destinations {
            match present.find(destination.endpoint) {
                None => changes.push(TableChange::AddDestination(*key, *destination)),
                Some(same) if same == destination => {}
                Some(_) => changes.push(TableChange::UpdateDestination(*key, *destination)),
            }
        }
    }
    changes
}

/// Finds destinations that are asked for in about the order in which they stand.
struct Finder<'a> {
    destinations: &'a [Destination],
    next: usize,
    /// Made when the order is another one.
    places: Option<HashMap<Endpoint, usize>>,
}

impl<'a> Finder<'a> {
    fn new(destinations: &'a [Destination]) -> Finder<'a> {
        Finder { destinations, next: 0, places: None }
    }

    fn find(&mut self, endpoint: Endpoint) -> Option<&'a Destination> {
        let all = self.destinations;
        let place = match all.get(self.next) {
            Some(next) if next.endpoint == endpoint => self.next,
            Some(_) | None => {
                let places = all.iter().enumerate().map(|(place, one)| (one.endpoint, place));
                *self.places.get_or_insert_with(|| places.collect()).get(&endpoint)?
            }
        };
        self.next = place + 1;
        all.get(place)
    }
}

impl ServiceTable {
    /// The destination at an endpoint.
    pub fn find(&self, endpoint: Endpoint) -> Option<&Destination> {
        self.destinations.iter().find(|destination| destination.endpoint == endpoint)
    }
}

/// Load and counters of one destination.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DestinationLoad {
    /// TCP connections between their SYN and the first FIN or RST.
    pub active: u32,
    /// Other connections, all of UDP among them.
    pub inactive: u32,
    /// Persistence templates that point here.
    pub templates: u32,
    /// Its counters.
    pub counters: Counters,
}

/// A layer-4 engine.
pub trait Engine {
    /// `xdp` or `ipvs`.
    fn name(&self) -> &'static str;

    /// Tables of an earlier director were found at start and taken over.
    fn adopted(&self) -> bool;

    /// What the tables hold now, those taken over from an earlier director included: diff a
    /// configuration against this with [`diff`].
    fn tables(&self) -> &Tables;

    /// Applies changes in order. At the first one that cannot be applied it stops; those before
    /// it stay applied and [`tables`](Self::tables) tells the truth.
    fn apply(&mut self, changes: &[TableChange]) -> Result<(), EngineError>;

    /// Takes part on these interfaces, besides those that lead to real servers. One that does not
    /// exist yet is attached when it appears.
    fn set_interfaces(&mut self, interfaces: &[String]);

    /// The firewall's rules for marks, and the addresses to which packets may have one. On an
    /// error those before stay.
    fn set_marks(
        &mut self,
        rules: &MarkRules,
        addresses: &BTreeSet<IpAddr>,
    ) -> Result<(), EngineError>;

    /// Descriptors to poll for reading; when one is ready call [`handle_ready`](Self::handle_ready).
    fn poll_descriptors(&self) -> Vec<BorrowedFd<'_>>;

    /// Takes in what the kernel has to say: neighbours, routes and links that changed.
    fn handle_ready(&mut self, now: Time);

    /// The engine's own timed work: expiry, probes of next hops. Returns within about `budget`.
    fn handle_timeout(&mut self, now: Time, budget: Duration);

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called.
    fn next_deadline(&self) -> Time;

    /// A line for the log, if there is one. Severity as in syslog: 4 warning, 5 notice, 6 info.
    fn poll_log(&mut self) -> Option<(u8, String)>;

    /// Load and counters of one destination in the tables.
    fn destination_load(&self, key: ServiceKey, endpoint: Endpoint) -> DestinationLoad;

    /// Counters of one destination alone, which is cheaper.
    fn destination_counters(&self, key: ServiceKey, endpoint: Endpoint) -> Counters;

    /// Counts anew: of this service and its destinations, or of all. Loads stay as they are.
    fn zero(&mut self, only: Option<ServiceKey>) -> Result<(), EngineError>;

    /// Connections without a packet for so long are forgotten, those that are there too.
    fn set_timeouts(&mut self, timeouts: Timeouts) -> Result<(), EngineError>;

    /// Counters of a service, over all connections ever scheduled, or since they were zeroed.
    fn service_counters(&self, key: ServiceKey) -> Counters;

    /// Interfaces that take part, with the mode: `eth0 (native)`.
    fn interfaces(&self) -> Vec<String>;

    /// Named counters of the data plane.
    fn data_plane(&self) -> Vec<(String, u64)>;

    /// Every connection and persistence template.
    fn connections(&self, now: Time) -> Result<Vec<ConnectionStatus>, EngineError>;

    /// Orderly end: detaches and unpins everything. Dropping the engine without this leaves
    /// forwarding as it is for the next director.
    fn stop(&mut self) -> Result<(), EngineError>;
}

/// Why an engine could not do something.
#[derive(Debug)]
pub enum EngineError {
    /// A call to the kernel failed.
    System {
        /// What was tried.
        what: String,
        /// The error.
        error: io::Error,
    },
    /// The BPF object could not be loaded or attached.
    Bpf(String),
    /// A service or destination that is not in the tables was named.
    NotInTables(String),
    /// Something that is in the tables already was added.
    AlreadyInTables(String),
    /// One of the bounds of the tables was met.
    Full {
        /// What there are too many of.
        what: String,
        /// The bound.
        most: u32,
    },
    /// This engine cannot do what was asked.
    Unsupported(String),
}

impl EngineError {
    /// For `map_err` on system calls.
    pub fn system(what: impl Into<String>) -> impl FnOnce(io::Error) -> EngineError {
        move |error| EngineError::System { what: what.into(), error }
    }
}

impl fmt::Display for EngineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EngineError::System { what, error } => write!(f, "{what}: {error}"),
            EngineError::Bpf(text) => f.write_str(text),
            EngineError::NotInTables(what) => write!(f, "{what} is not in the tables"),
            EngineError::AlreadyInTables(what) => write!(f, "{what} is in the tables already"),
            EngineError::Full { what, most } => write!(f, "more than {most} {what}"),
            EngineError::Unsupported(what) => write!(f, "the engine cannot do {what}"),
        }
    }
}

impl std::error::Error for EngineError {}

#[cfg(test)]
mod tests {
    use super::*;
    use model::layer4::Protocol;

    fn key(last: u8) -> ServiceKey {
        let address = IpAddr::from([192, 0, 2, last]);
        ServiceKey::Address { address, port: 80, protocol: Protocol::Tcp }
    }

    fn server(last: u8, weight: u32) -> Destination {
        let endpoint = Endpoint { address: IpAddr::from([10, 0, 0, last]), port: 80 };
        Destination::new(endpoint, weight, Forwarding::Nat)
    }

    fn tables(services: &[(u8, &[Destination])]) -> Tables {
        let service = |destinations: &&[Destination]| ServiceTable {
            settings: ServiceSettings::default(),
            destinations: destinations.to_vec(),
        };
        services.iter().map(|(last, servers)| (key(*last), service(servers))).collect()
    }

    #[test]
    fn equal_tables_differ_in_nothing() {
        let same = tables(&[(1, &[server(1, 1), server(2, 3)])]);
        assert_eq!(diff(&same, &same), []);
    }

    #[test]
    fn one_weight_among_many_servers_is_one_change() {
        let many: Vec<Destination> = (1..200).map(|last| server(last, 1)).collect();
        let mut heavier = many.clone();
        heavier[100].weight = 5;
        let changes = diff(&tables(&[(1, &many)]), &tables(&[(1, &heavier)]));
        assert_eq!(changes, [TableChange::UpdateDestination(key(1), heavier[100])]);
    }

    #[test]
    fn another_threshold_is_a_change() {
        let before = server(1, 1);
        let after = Destination { upper_threshold: 100, ..before };
        let changes = diff(&tables(&[(1, &[before])]), &tables(&[(1, &[after])]));
        assert_eq!(changes, [TableChange::UpdateDestination(key(1), after)]);
        let after = Destination { lower_threshold: 50, ..before };
        let changes = diff(&tables(&[(1, &[before])]), &tables(&[(1, &[after])]));
        assert_eq!(changes, [TableChange::UpdateDestination(key(1), after)]);
    }

    #[test]
    fn removals_come_before_additions() {
        let changes = diff(
            &tables(&[(1, &[server(1, 1)]), (2, &[])]),
            &tables(&[(1, &[server(2, 1)]), (3, &[server(3, 1)])]),
        );
        assert_eq!(
            changes,
            [
                TableChange::RemoveDestination(key(1), server(1, 1).endpoint),
                TableChange::RemoveService(key(2)),
                TableChange::AddDestination(key(1), server(2, 1)),
                TableChange::AddService(key(3), ServiceSettings::default()),
                TableChange::AddDestination(key(3), server(3, 1)),
            ]
        );
    }
}
