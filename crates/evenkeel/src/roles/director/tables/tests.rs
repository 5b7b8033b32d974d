//! The tables against an engine of memory that can be told to refuse.

use std::os::fd::BorrowedFd;
use std::sync::{Arc, Mutex};

use director::{Destination, DestinationLoad, ServiceSettings, ServiceTable};
use model::layer4::{Endpoint, Forwarding, Protocol, ServiceKey};
use model::status::Counters;

use super::*;

/// What the engine was asked for, and what it must refuse.
#[derive(Default)]
struct Script {
    applied: Vec<TableChange>,
    refused: BTreeSet<u8>,
    stopped: bool,
}

#[derive(Default)]
struct Memory {
    tables: Tables,
    script: Arc<Mutex<Script>>,
}

impl Engine for Memory {
    fn name(&self) -> &'static str {
        "memory"
    }
    fn adopted(&self) -> bool {
        !self.tables.is_empty()
    }
    fn tables(&self) -> &Tables {
        &self.tables
    }
    fn apply(&mut self, changes: &[TableChange]) -> Result<(), EngineError> {
        for change in changes {
            let mut script = self.script.lock().unwrap();
            match *change {
                TableChange::AddService(key, settings) => {
                    let table = ServiceTable { settings, destinations: Vec::new() };
                    self.tables.insert(key, table);
                }
                TableChange::UpdateService(key, settings) => {
                    self.tables.get_mut(&key).unwrap().settings = settings;
                }
                TableChange::RemoveService(key) => {
                    self.tables.remove(&key).unwrap();
                }
                TableChange::AddDestination(key, destination) => {
                    if script.refused.contains(&last(destination.endpoint)) {
                        return Err(EngineError::Unsupported("this destination".to_string()));
                    }
                    self.tables.get_mut(&key).unwrap().destinations.push(destination);
                }
                TableChange::UpdateDestination(key, destination) => {
                    let table = self.tables.get_mut(&key).unwrap();
                    let same = |it: &&mut Destination| it.endpoint == destination.endpoint;
                    *table.destinations.iter_mut().find(same).unwrap() = destination;
                }
                TableChange::RemoveDestination(key, endpoint) => {
                    let table = self.tables.get_mut(&key).unwrap();
                    table.destinations.retain(|destination| destination.endpoint != endpoint);
                }
            }
            script.applied.push(*change);
        }
        Ok(())
    }
    fn set_interfaces(&mut self, _: &[String]) {}
    fn set_marks(
        &mut self,
        _rules: &MarkRules,
        _addresses: &BTreeSet<IpAddr>,
    ) -> Result<(), EngineError> {
        Ok(())
    }

    fn poll_descriptors(&self) -> Vec<BorrowedFd<'_>> {
        Vec::new()
    }
    fn handle_ready(&mut self, _: Time) {}
    fn handle_timeout(&mut self, _: Time, _: Duration) {}
    fn next_deadline(&self) -> Time {
        Time::NEVER
    }
    fn poll_log(&mut self) -> Option<(u8, String)> {
        None
    }
    fn destination_load(&self, _: ServiceKey, _: Endpoint) -> DestinationLoad {
        DestinationLoad::default()
    }
    fn service_counters(&self, _: ServiceKey) -> Counters {
        Counters::default()
    }
    fn destination_counters(&self, _: ServiceKey, _: Endpoint) -> Counters {
        Counters::default()
    }

    fn zero(&mut self, _: Option<ServiceKey>) -> Result<(), EngineError> {
        Ok(())
    }

    fn set_timeouts(&mut self, _: Timeouts) -> Result<(), EngineError> {
        Ok(())
    }

    fn interfaces(&self) -> Vec<String> {
        Vec::new()
    }
    fn data_plane(&self) -> Vec<(String, u64)> {
        Vec::new()
    }
    fn connections(&self, _: Time) -> Result<Vec<ConnectionStatus>, EngineError> {
        Ok(Vec::new())
    }
    fn stop(&mut self) -> Result<(), EngineError> {
        self.script.lock().unwrap().stopped = true;
        Ok(())
    }
}

fn last(endpoint: Endpoint) -> u8 {
    match endpoint.address {
        IpAddr::V4(address) => address.octets()[3],
        IpAddr::V6(_) => 0,
    }
}

fn service() -> ServiceKey {
    ServiceKey::Address { address: [192, 0, 2, 1].into(), port: 80, protocol: Protocol::Tcp }
}

fn server(last: u8, weight: u32) -> Destination {
    let endpoint = Endpoint { address: [10, 0, 0, last].into(), port: 80 };
    Destination::new(endpoint, weight, Forwarding::Nat)
}

fn tables(servers: &[Destination]) -> Tables {
    let settings = ServiceSettings::default();
    Tables::from([(service(), ServiceTable { settings, destinations: servers.to_vec() })])
}

fn keeper(tables: Tables) -> (TableKeeper, Arc<Mutex<Script>>) {
    let script = Arc::new(Mutex::new(Script::default()));
    let engine = Memory { tables, script: script.clone() };
    (TableKeeper { engine: Some(Box::new(engine)), ..TableKeeper::default() }, script)
}

fn at(seconds: u64) -> Time {
    Time::ZERO + Duration::from_secs(seconds)
}

#[test]
fn a_reload_with_one_weight_changed_is_one_change() {
    let (mut keeper, script) = keeper(tables(&[server(1, 1), server(2, 1)]));
    let wanted = tables(&[server(1, 1), server(2, 5)]);
    keeper.change(at(0), &[], &[], || wanted.clone(), Tables::new).unwrap();
    let expected = [TableChange::UpdateDestination(service(), server(2, 5))];
    assert_eq!(script.lock().unwrap().applied, expected);
}

#[test]
fn a_plan_that_the_engine_refuses_leaves_the_former_tables() {
    let former = tables(&[server(1, 1), server(2, 1)]);
    let (mut keeper, script) = keeper(former.clone());
    script.lock().unwrap().refused.insert(9);
    let wanted = tables(&[server(1, 7), server(9, 1)]);
    let error = keeper.change(at(0), &[], &[], || wanted.clone(), || former.clone()).unwrap_err();
    assert_eq!(error, "the engine cannot do this destination");
    let mut left = keeper.engine().unwrap().tables().clone();
    left.get_mut(&service()).unwrap().destinations.sort_by_key(|it| last(it.endpoint));
    assert_eq!(left, former);
    assert_eq!(keeper.next_deadline(), Time::NEVER);
}

#[test]
fn a_server_that_could_not_return_is_tried_again() {
    let (mut keeper, script) = keeper(tables(&[server(1, 1)]));
    script.lock().unwrap().refused.insert(2);
    let wanted = || tables(&[server(1, 1), server(2, 1)]);
    let change = TableChange::AddDestination(service(), server(2, 1));
    keeper.follow(at(0), &[change], wanted);
    let (severity, text) = keeper.poll_log().unwrap();
    assert_eq!((severity, text.contains("could not be changed")), (3, true));
    assert_eq!(keeper.next_deadline(), at(0) + REPAIR_AFTER);
    script.lock().unwrap().refused.clear();
    keeper.handle_timeout(at(1), Duration::ZERO, wanted);
    assert_eq!(*keeper.engine().unwrap().tables(), wanted());
    assert_eq!(keeper.next_deadline(), Time::NEVER);
}

#[test]
fn without_virtual_servers_there_is_no_engine() {
    let (mut keeper, script) = keeper(tables(&[server(1, 1)]));
    keeper.change(at(0), &[], &[], Tables::new, Tables::new).unwrap();
    assert!(script.lock().unwrap().stopped && keeper.engine().is_none());
    keeper.handle_runtime(Runtime {
        directory: String::new(),
        pin_directory: "/does/not/exist".to_string(),
        xdp_mode: model::control::XdpMode::Auto,
        connections_max: 64,
        connections6_max: 64,
    });
    assert_eq!(keeper.open(&Layer4Plan::default()), Ok(None));
}
