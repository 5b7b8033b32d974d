//! Wherever it comes from, the same configuration, health and run-time changes give the same
//! tables; and the changes that were told lead there. On the way quorum and sorry server obey the
//! manual.

use std::collections::{BTreeMap, BTreeSet};

use model::check::FileCheck;
use model::layer4::{Persistence, VirtualServerId};
use proptest::prelude::*;

use super::*;

/// Real servers in a plan have last bytes below this; sorry servers may be one of them.
const SERVERS: u8 = 6;

#[derive(Clone, Debug)]
enum Step {
    Reload(Layer4Plan),
    Verdict(usize, bool),
    Weight(usize, i32),
    Addresses(BTreeSet<u8>),
    Request(u8, u8, ServerAction),
    Wait(u64),
}

fn kinds() -> impl Strategy<Value = CheckKind> {
    let file = FileCheck { name: "load".into(), weight: 1, reverse: false, dynamic: true };
    prop_oneof![
        Just(CheckKind::Tcp),
        Just(CheckKind::Bfd("peer".into())),
        Just(CheckKind::File(file)),
    ]
}

fn checkers(last: u8) -> impl Strategy<Value = Vec<Checker>> {
    let one =
        (kinds(), 80..82u16, any::<bool>(), 1..3u64).prop_map(move |(kind, port, up, pause)| {
            let mut one = checker(last, port);
            one.kind = kind;
            one.pace.initially_up = up;
            one.pace.interval = Duration::from_secs(pause);
            one
        });
    proptest::collection::vec(one, 0..3)
}

fn real_servers() -> impl Strategy<Value = Vec<RealServer>> {
    let one = |last: u8| {
        (checkers(last), 0..4u32, any::<bool>(), 0..2u32).prop_map(
            move |(checkers, weight, inhibit_on_failure, upper_threshold)| RealServer {
                checkers,
                weight,
                inhibit_on_failure,
                upper_threshold,
                ..RealServer::new(endpoint(last))
            },
        )
    };
    let all: Vec<_> = (0..SERVERS).map(one).collect();
    (all, proptest::sample::subsequence((0..SERVERS).collect::<Vec<_>>(), 0..=SERVERS as usize))
        .prop_flat_map(|(all, chosen)| {
            let chosen = chosen.into_iter().map(|last| all[usize::from(last)].clone());
            Just(chosen.collect::<Vec<_>>()).prop_shuffle()
        })
}

fn virtual_servers() -> impl Strategy<Value = VirtualServer> {
    let sorry = proptest::option::of((0..=SERVERS, any::<bool>()));
    (real_servers(), 1..4u32, 0..2u32, sorry, any::<bool>(), any::<bool>()).prop_map(
        |(real_servers, weight, hysteresis, place, ha_suspend, persists)| {
            let mut one = with_quorum(virtual_server(1, real_servers), weight, hysteresis);
            one.quorum.sorry = place.and_then(|(last, inhibit)| super::sorry(last, inhibit));
            let (timeout, prefix_len) = (Duration::from_secs(60), 32);
            one.persistence = persists.then_some(Persistence { timeout, prefix_len });
            VirtualServer { ha_suspend, ..one }
        },
    )
}

/// The first is a service of its own, the second a group that may take the first one's service.
fn plans() -> impl Strategy<Value = Layer4Plan> {
    let first = proptest::option::of(virtual_servers());
    let second = proptest::option::of((virtual_servers(), 1..3usize));
    (first, second).prop_map(|(first, second)| {
        let free = first.is_none();
        let group = second.map(|(mut group, services)| {
            group.id = VirtualServerId::Group { name: "web".into(), protocol: Protocol::Tcp };
            let keys = if free { [key(1), key(2)] } else { [key(2), key(3)] };
            group.services = keys[..services].to_vec();
            group
        });
        plan(first.into_iter().chain(group).collect())
    })
}

fn actions() -> impl Strategy<Value = ServerAction> {
    let within = proptest::option::of((0..6u64).prop_map(Duration::from_secs));
    prop_oneof![
        within.prop_map(|within| ServerAction::Drain { within }),
        Just(ServerAction::Ready),
        (0..9u32).prop_map(ServerAction::Weight),
        (0..9u32).prop_map(|weight| ServerAction::Add { weight, forwarding: None }),
        Just(ServerAction::Delete),
    ]
}

fn steps() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => plans().prop_map(Step::Reload),
        4 => (0..40usize, any::<bool>()).prop_map(|(checker, up)| Step::Verdict(checker, up)),
        2 => (0..40usize, -3..4i32).prop_map(|(checker, weight)| Step::Weight(checker, weight)),
        1 => proptest::collection::btree_set(1..4u8, 0..3).prop_map(Step::Addresses),
        2 => (0..2u8, 0..SERVERS, actions()).prop_map(|(at, last, it)| Step::Request(at, last, it)),
        1 => (1..4u64).prop_map(Step::Wait),
    ]
}

/// What was changed of a server and is in force, as the supervisor would keep it.
#[derive(Clone, Debug, Default)]
struct InForce {
    added: Option<ServerAction>,
    deleted: bool,
    weight: Option<u32>,
    /// When, and how long.
    drain: Option<(Time, Option<Duration>)>,
}

type Changes = BTreeMap<(VirtualServerId, u8), InForce>;

/// A request was granted.
fn note(
    changes: &mut Changes,
    now: Time,
    of: (VirtualServerId, u8),
    action: ServerAction,
    in_file: bool,
) {
    let one = changes.entry(of.clone()).or_default();
    match action {
        ServerAction::Drain { within } => one.drain = Some((now, within)),
        ServerAction::Weight(weight) => one.weight = Some(weight),
        ServerAction::Ready => {
            *one = InForce { added: one.added.take(), ..InForce::default() };
        }
        ServerAction::Add { weight, .. } if one.deleted && in_file => {
            *one = InForce { weight: Some(weight), ..InForce::default() };
        }
        ServerAction::Add { .. } => *one = InForce { added: Some(action), ..InForce::default() },
        ServerAction::Delete if in_file => *one = InForce { deleted: true, ..InForce::default() },
        ServerAction::Delete => drop(changes.remove(&of)),
    }
}

/// Asks a fresh start for everything that is in force.
fn replay(health: &mut Health, changes: &Changes, start: Time) {
    for ((id, last), one) in changes {
        let actions = [
            one.added.clone().map(|action| (start, action)),
            one.deleted.then_some((start, ServerAction::Delete)),
            one.weight.map(|weight| (start, ServerAction::Weight(weight))),
            one.drain.map(|(at, within)| (at, ServerAction::Drain { within })),
        ];
        for (at, action) in actions.into_iter().flatten() {
            let virtual_server = id.clone();
            let request = ServerRequest { virtual_server, server: endpoint(*last), action };
            // One that does not concern this plan is refused.
            let _ = health.handle_request(at, &request);
        }
    }
}

/// Changes stay with their virtual server, and go with it.
fn followed(changes: Changes, former: &Layer4Plan, plan: &Layer4Plan) -> Changes {
    let servers = plan.virtual_servers.iter().zip(plan.origins(former));
    let ids: BTreeMap<VirtualServerId, VirtualServerId> = servers
        .filter_map(|(it, at)| Some((former.virtual_servers[at?].id.clone(), it.id.clone())))
        .collect();
    let all = changes.into_iter();
    all.filter_map(|((id, last), it)| Some(((ids.get(&id)?.clone(), last), it))).collect()
}

fn id_of(at: u8) -> VirtualServerId {
    match at {
        0 => VirtualServer::new(key(1)).id,
        _ => VirtualServerId::Group { name: "web".into(), protocol: Protocol::Tcp },
    }
}

fn all_checkers(health: &Health) -> Vec<CheckerId> {
    health.services.iter().flat_map(|it| it.checkers().map(|tracked| tracked.id)).collect()
}

/// Carries out what was told.
fn follow(health: &mut Health, tables: &mut Tables) {
    for outcome in drain(health) {
        if let Outcome::Table(change) = outcome {
            apply(tables, change);
        }
    }
    assert_eq!(sorted(tables.clone()), sorted(health.wanted()));
}

/// The quorum is where keepalived.conf(5) has it, and the tables show whom it asks for.
fn judge(health: &Health) {
    for (plan, service) in health.services() {
        let living: u64 =
            service.servers.iter().filter(|it| it.alive).map(|it| u64::from(it.weight)).sum();
        let (needed, hysteresis) =
            (u64::from(plan.quorum.weight), u64::from(plan.quorum.hysteresis));
        let (gained, lost) = (needed + hysteresis, needed.saturating_sub(hysteresis));
        match service.held {
            true => assert!(living > 0 && living >= lost, "held with {living} of {needed}"),
            false => assert!(living < gained, "lost with {living} of {needed}"),
        }
        let Some(sorry) = &plan.quorum.sorry else { continue };
        let table = &health.wanted()[&plan.key()];
        let weight = |endpoint| table.find(endpoint).map(|it| it.weight);
        let is_real = service.find(sorry.endpoint).is_some();
        match (service.held, sorry.inhibit) {
            (false, _) => {
                assert_eq!(weight(sorry.endpoint), Some(1), "the sorry server serves");
                let others = table.destinations.iter().filter(|it| it.endpoint != sorry.endpoint);
                assert_eq!(others.filter(|it| it.weight > 0).count(), 0, "nobody else does");
            }
            (true, _) if is_real => {}
            (true, true) => assert_eq!(weight(sorry.endpoint), Some(0)),
            (true, false) => assert_eq!(weight(sorry.endpoint), None),
        }
    }
}

/// What a start with this configuration, health and these changes comes to.
fn fresh(health: &Health, changes: &Changes, addresses: &BTreeSet<IpAddr>, now: Time) -> Health {
    let mut fresh = Health::default();
    fresh.handle_addresses(addresses.clone());
    let mut fresh = fresh.successor(at(0), health.plan.clone(), None);
    replay(&mut fresh, changes, at(0));
    for (old, new) in all_checkers(health).into_iter().zip(all_checkers(&fresh)) {
        let tracked = *health.tracked(health.roster.find(old).unwrap()).unwrap();
        fresh.handle_verdict(now, new, tracked.up, "as it is");
        fresh.handle_weight(now, new, tracked.weight);
    }
    fresh.handle_timeout(now);
    for (index, service) in health.services.iter().enumerate() {
        let quorum = &health.plan.virtual_servers[index].quorum;
        let state = &mut fresh.services[index];
        assert_eq!(state.living, service.living);
        assert_eq!(state.suspended, service.suspended);
        // Between the two bounds the quorum is what it was: that is part of the health.
        state.held = service.held;
        assert_eq!(state.holds(quorum), service.held, "it is where its bounds allow it to be");
    }
    fresh
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happened_the_tables_are_those_of_a_fresh_start(
        first in plans(),
        steps in proptest::collection::vec(steps(), 0..40),
    ) {
        let (mut tables, mut changes, mut now) = (Tables::new(), Changes::new(), at(1));
        let mut here = BTreeSet::new();
        let mut health = Health::default();
        health.handle_addresses(BTreeSet::new());
        health = health.successor(now, first, None);
        follow(&mut health, &mut tables);
        judge(&health);
        for step in steps {
            match step {
                Step::Reload(plan) => {
                    changes = followed(changes, &health.plan, &plan);
                    health = health.successor(now, plan, None);
                }
                Step::Verdict(checker, up) => {
                    let ids = all_checkers(&health);
                    if !ids.is_empty() {
                        health.handle_verdict(now, ids[checker % ids.len()], up, "a result");
                    }
                }
                Step::Weight(checker, weight) => {
                    let ids = all_checkers(&health);
                    if !ids.is_empty() {
                        health.handle_weight(now, ids[checker % ids.len()], weight);
                    }
                }
                Step::Addresses(last) => {
                    here = last.into_iter().map(|it| IpAddr::from([192, 0, 2, it])).collect();
                    health.handle_addresses(here.clone());
                }
                Step::Request(at, last, action) => {
                    let (virtual_server, server) = (id_of(at), endpoint(last));
                    let request = ServerRequest { virtual_server, server, action };
                    if health.handle_request(now, &request).is_ok() {
                        let id = request.virtual_server;
                        let service = health.plan.virtual_servers.iter().find(|it| it.id == id);
                        // By its service, where that is a group's.
                        let Some(service) = service.or(health.plan.virtual_servers.first()) else {
                            continue;
                        };
                        let in_file = service.real_servers.iter().any(|it| it.endpoint == server);
                        note(&mut changes, now, (service.id.clone(), last), request.action, in_file);
                    }
                }
                Step::Wait(seconds) => {
                    now = now + Duration::from_secs(seconds);
                    health.handle_timeout(now);
                }
            }
            follow(&mut health, &mut tables);
            judge(&health);
        }
        let fresh = fresh(&health, &changes, &here, now);
        prop_assert_eq!(sorted(tables), sorted(fresh.wanted()));
    }
}
