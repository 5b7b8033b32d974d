//! The director's part of `evenkeel status`.

use std::collections::HashMap;

use director::{Destination, DestinationLoad, Engine};
use model::Time;
use model::check::{CheckKind, Checker};
use model::control::Scope;
use model::layer4::{Endpoint, ServiceKey, VirtualServer, VirtualServerId};
use model::status::{CheckerStatus, DirectorReport, RealServerStatus, ServiceStatus, SorryStatus};

use super::health::{CheckerId, Health, Server, Service, Tracked};
use super::rates::Rates;
use super::tables::TableKeeper;
use crate::probes::ProbeSet;

/// What a report looks at.
#[derive(Clone, Copy)]
struct View<'a> {
    now: Time,
    probes: &'a ProbeSet<CheckerId>,
    rates: &'a Rates,
    engine: Option<&'a dyn Engine>,
}

/// Everything as it is now, or these virtual servers alone.
pub(super) fn report(
    now: Time,
    health: &Health,
    probes: &ProbeSet<CheckerId>,
    tables: &TableKeeper,
    scopes: Option<&[Scope]>,
) -> DirectorReport {
    let engine = tables.engine();
    let view = View { now, probes, rates: tables.rates(), engine };
    let scopes: Option<HashMap<&VirtualServerId, &Scope>> =
        scopes.map(|scopes| scopes.iter().map(|scope| (&scope.virtual_server, scope)).collect());
    let services = health.services().filter_map(|(plan, state)| match &scopes {
        None => Some((plan, state, None)),
        Some(scopes) => scopes.get(&plan.id).map(|scope| (plan, state, scope.servers.as_deref())),
    });
    let services = services.flat_map(|(plan, state, only)| {
        plan.services.iter().map(move |key| view.service(plan, state, *key, only))
    });
    DirectorReport {
        engine: engine.map_or_else(|| "none".to_string(), |engine| engine.name().to_string()),
        interfaces: engine.map_or_else(Vec::new, Engine::interfaces),
        adopted: engine.is_some_and(Engine::adopted),
        services: services.collect(),
        data_plane: engine.map_or_else(Vec::new, Engine::data_plane),
        timeouts: health.plan().timeouts,
        marks: None,
    }
}

impl View<'_> {
    /// One service, with `only` these of its real servers.
    fn service(
        &self,
        plan: &VirtualServer,
        state: &Service,
        key: ServiceKey,
        only: Option<&[Endpoint]>,
    ) -> ServiceStatus {
        let counters = self.engine.map(|engine| engine.service_counters(key)).unwrap_or_default();
        let table = self.engine.and_then(|engine| engine.tables().get(&key));
        let present: HashMap<Endpoint, &Destination> = table
            .iter()
            .flat_map(|table| &table.destinations)
            .map(|destination| (destination.endpoint, destination))
            .collect();
        let sorry = state.sorry(plan).map(|sorry| {
            let load = self.load(key, present.get(&sorry.endpoint).copied());
            SorryStatus { active: load.active, inactive: load.inactive, ..sorry }
        });
        let endpoints = state.servers.iter().map(|server| server.endpoint).enumerate();
        let servers = endpoints
            .filter(|(_, endpoint)| only.is_none_or(|only| only.contains(endpoint)))
            .map(|(number, endpoint)| {
                self.server(plan, state, number, key, present.get(&endpoint).copied())
            })
            .collect();
        ServiceStatus {
            id: plan.id.clone(),
            key,
            scheduler: plan.scheduler,
            persistence: plan.persistence,
            one_packet: plan.conduct.one_packet,
            quorum: state.quorum(plan),
            sorry,
            suspended: state.suspended,
            counters,
            rates: self.rates.of_service(&key, present.keys().copied()),
            changed: None,
            servers,
        }
    }

    fn load(&self, key: ServiceKey, shown: Option<&Destination>) -> DestinationLoad {
        match (self.engine, shown) {
            (Some(engine), Some(shown)) => engine.destination_load(key, shown.endpoint),
            (None, _) | (_, None) => DestinationLoad::default(),
        }
    }

    fn server(
        &self,
        plan: &VirtualServer,
        service: &Service,
        number: usize,
        key: ServiceKey,
        shown: Option<&Destination>,
    ) -> RealServerStatus {
        let (state, real_server) = (&service.servers[number], service.real_server(plan, number));
        let load = self.load(key, shown);
        let history = state
            .history
            .iter()
            .map(|flap| (self.now.since(flap.at).as_secs(), flap.up, flap.reason.clone()));
        let checkers = real_server.checkers.iter().zip(&state.checkers);
        RealServerStatus {
            endpoint: real_server.endpoint,
            forwarding: real_server.forwarding,
            weight: shown.map_or(state.weight, |shown| shown.weight),
            in_table: shown.is_some(),
            up: state.is_up(),
            last_result: self.last_result(state),
            configured_weight: real_server.weight,
            changed: service.changed(plan, number, self.now),
            checkers: checkers.map(|(plan, tracked)| self.checker(plan, tracked)).collect(),
            flaps: state.flaps,
            history: history.collect(),
            active: load.active,
            inactive: load.inactive,
            templates: load.templates,
            upper_threshold: real_server.upper_threshold,
            lower_threshold: real_server.lower_threshold,
            counters: load.counters,
            rates: self.rates.of_destination(&key, real_server.endpoint),
        }
    }

    /// What a failing checker says comes before what a passing one does.
    fn last_result(&self, server: &Server) -> Option<String> {
        let telling = server.checkers.iter().find(|it| !it.up).or(server.checkers.first())?;
        self.probes.last_result(&telling.id).map(str::to_string)
    }

    fn checker(&self, plan: &Checker, tracked: &Tracked) -> CheckerStatus {
        let running = self.probes.checker(&tracked.id);
        let next = running
            .filter(|checker| !checker.is_probing())
            .map(|checker| checker.next_deadline())
            .filter(|next| *next != Time::NEVER);
        let last_at = running.and_then(|checker| checker.last_at());
        CheckerStatus {
            name: name(&plan.kind).to_string(),
            target: target(plan),
            up: tracked.up,
            weight: tracked.weight,
            last_result: self.probes.last_result(&tracked.id).map(str::to_string),
            last_age_ms: last_at.map(|at| milliseconds(self.now.since(at))),
            next_in_ms: next.map(|next| milliseconds(next.since(self.now))),
            failures: running.map_or(0, |checker| checker.failures()),
        }
    }
}

fn milliseconds(span: std::time::Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// The keyword in Keepalived's files.
fn name(kind: &CheckKind) -> &'static str {
    match kind {
        CheckKind::Tcp => "TCP_CHECK",
        CheckKind::Http(http) if http.tls.is_some() => "SSL_GET",
        CheckKind::Http(_) => "HTTP_GET",
        CheckKind::Smtp(_) => "SMTP_CHECK",
        CheckKind::Dns(_) => "DNS_CHECK",
        CheckKind::Udp(_) => "UDP_CHECK",
        CheckKind::Ping => "PING_CHECK",
        CheckKind::Misc(_) => "MISC_CHECK",
        CheckKind::Bfd(_) => "BFD_CHECK",
        CheckKind::File(_) => "FILE_CHECK",
    }
}

/// What it tries.
fn target(plan: &Checker) -> String {
    match &plan.kind {
        CheckKind::Tcp
        | CheckKind::Http(_)
        | CheckKind::Smtp(_)
        | CheckKind::Dns(_)
        | CheckKind::Udp(_) => plan.target.to_string(),
        CheckKind::Ping => plan.target.ip().to_string(),
        CheckKind::Misc(misc) => misc.command.words.join(" "),
        CheckKind::Bfd(name) => name.clone(),
        CheckKind::File(file) => file.name.clone(),
    }
}
