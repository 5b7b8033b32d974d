//! The director's part of `evenkeel status`.

use std::collections::HashMap;

use director::{Destination, DestinationLoad, Engine};
use model::layer4::{Endpoint, RealServer, VirtualServer};
use model::status::{DirectorReport, QuorumStatus, RealServerStatus, ServiceStatus};

use super::health::{CheckerId, Health};
use super::tables::TableKeeper;
use crate::probes::ProbeSet;

/// Everything as it is now.
pub(super) fn report(
    health: &Health,
    probes: &ProbeSet<CheckerId>,
    tables: &TableKeeper,
) -> DirectorReport {
    let engine = tables.engine();
    let service = |service: &VirtualServer| ServiceStatus {
        id: service.id.clone(),
        key: service.key(),
        scheduler: service.scheduler,
        persistence: service.persistence,
        quorum: QuorumStatus::default(),
        sorry: None,
        suspended: false,
        counters: engine.map_or_else(Default::default, |it| it.service_counters(service.key())),
        servers: servers(service, health, probes, engine),
    };
    DirectorReport {
        engine: engine.map_or_else(|| "none".to_string(), |engine| engine.name().to_string()),
        interfaces: engine.map_or_else(Vec::new, Engine::interfaces),
        adopted: engine.is_some_and(Engine::adopted),
        services: health.plan().virtual_servers.iter().map(service).collect(),
        data_plane: engine.map_or_else(Vec::new, Engine::data_plane),
    }
}

fn servers(
    service: &VirtualServer,
    health: &Health,
    probes: &ProbeSet<CheckerId>,
    engine: Option<&dyn Engine>,
) -> Vec<RealServerStatus> {
    let table = engine.and_then(|engine| engine.tables().get(&service.key()));
    let present: HashMap<Endpoint, &Destination> = table
        .iter()
        .flat_map(|table| &table.destinations)
        .map(|destination| (destination.endpoint, destination))
        .collect();
    let status = |server: &RealServer| {
        let destination = present.get(&server.endpoint);
        let load = match (engine, destination) {
            (Some(engine), Some(_)) => engine.destination_load(service.key(), server.endpoint),
            (None, _) | (_, None) => DestinationLoad::default(),
        };
        let key = (service.key(), server.endpoint);
        // What a failing checker says comes before what a passing one does.
        let checkers = health.checkers_of(key);
        let telling = checkers.iter().find(|tracked| !tracked.up).or(checkers.first());
        let last_result = telling.and_then(|tracked| probes.last_result(&tracked.id));
        RealServerStatus {
            endpoint: server.endpoint,
            forwarding: server.forwarding,
            weight: destination.map_or(server.weight, |destination| destination.weight),
            in_table: destination.is_some(),
            up: health.is_up(key),
            configured_weight: server.weight,
            changed: None,
            checkers: Vec::new(),
            flaps: 0,
            history: Vec::new(),
            last_result: last_result.map(str::to_string),
            active: load.active,
            inactive: load.inactive,
            templates: load.templates,
            counters: load.counters,
        }
    };
    service.real_servers.iter().map(status).collect()
}
