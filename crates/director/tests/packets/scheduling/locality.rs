//! lblc and lblcr.

use std::time::Duration;

use director::xdp::LAYOUT;
use director::{Engine, ServiceSettings, TableChange};
use edge::bpf::Map;
use edge::clock;
use model::Time;
use model::layer4::{Forwarding, Protocol, Scheduler, ServiceKey};
use sched::{Localities, Located, Replication};

use super::run::{Server, View, compare};
use crate::bed::{Bed, CLIENT, VIRTUAL, endpoint, service, with_bed};
use crate::expiry;

/// More than the day after which a set shrinks.
const PASSED: Duration = Duration::from_secs(86_401);
/// Connections after which so much time has passed.
const AGED_EVERY: u32 = 300;

fn localities(bed: &Bed) -> Map {
    Map::open(&bed.pins.join(LAYOUT).join("localities")).unwrap()
}

fn entries(bed: &Bed) -> Vec<(Vec<u8>, Vec<u8>)> {
    let batch = localities(bed).lookup_batch(&mut None, 256).unwrap();
    batch.iter().map(|(key, value)| (key.to_vec(), value.to_vec())).collect()
}

/// Makes every entry look as if it had last changed more than a day ago, which may be before the
/// clock began.
fn age(bed: &Bed) {
    let then = clock::now().as_nanos().wrapping_sub(PASSED.as_nanos() as u64);
    for (key, mut value) in entries(bed) {
        value[8..16].copy_from_slice(&then.to_ne_bytes());
        localities(bed).update(&key, &value).unwrap();
    }
}

fn compare_with(scheduler: Scheduler, replication: Replication) {
    let mut reference = Localities::new(replication, Time::ZERO);
    let mut passed = Duration::ZERO;
    compare(scheduler, &mut move |view: &View<'_>| {
        if view.number % AGED_EVERY == AGED_EVERY - 1 {
            age(view.bed);
            passed += PASSED;
        }
        let located = |present| {
            move |server: &Server| Located {
                id: server.last,
                candidate: server.candidate(),
                present,
            }
        };
        let present = view.servers.iter().map(located(true));
        let servers: Vec<_> = present.chain(view.gone.iter().map(located(false))).collect();
        reference.choose(&servers, VIRTUAL.into(), clock::now() + passed)
    });
}

#[test]
fn locality_based_is_the_references() {
    compare_with(Scheduler::LocalityBased, Replication::One);
}

#[test]
fn locality_based_with_replication_is_the_references() {
    compare_with(Scheduler::LocalityBasedReplicated, Replication::Set);
}

/// A service with two servers, and a connection to the second.
fn with_an_entry(bed: &mut Bed, port: u16, scheduler: Scheduler) -> ServiceKey {
    let key = service(Protocol::Udp, port);
    bed.add_service(key, scheduler, None);
    (1..=2).for_each(|last| bed.add(key, last, 1, Forwarding::DirectRouting));
    assert_eq!(bed.connect(key, (CLIENT, 2000)), 2);
    key
}

#[test]
fn an_address_is_forgotten_with_its_service_or_its_scheduler() {
    with_bed(|bed| {
        let one = with_an_entry(bed, 53, Scheduler::LocalityBased);
        let other = with_an_entry(bed, 54, Scheduler::LocalityBasedReplicated);
        assert_eq!(entries(bed).len(), 2);
        bed.engine.apply(&[TableChange::RemoveService(one)]).unwrap();
        assert_eq!(entries(bed).len(), 1);
        let change = TableChange::UpdateService(other, ServiceSettings::default());
        bed.engine.apply(&[change]).unwrap();
        assert_eq!(entries(bed).len(), 0);
    });
}

#[test]
fn an_address_is_forgotten_before_the_place_of_its_server_is_given_away() {
    with_bed(|bed| {
        let key = with_an_entry(bed, 53, Scheduler::LocalityBased);
        bed.remove(key, endpoint(2, 53));
        assert_eq!(entries(bed).len(), 1, "its connection is still there");
        expiry::sweep(bed);
        expiry::sweep(bed);
        assert_eq!(entries(bed).len(), 0);
        assert_eq!(bed.connect(key, (CLIENT, 2001)), 1);
    });
}

#[test]
fn an_address_that_nobody_asks_for_is_collected_after_a_day() {
    with_bed(|bed| {
        with_an_entry(bed, 53, Scheduler::LocalityBasedReplicated);
        let start = clock::now();
        let mut minutes = |after: Duration, count: u32| {
            for minute in 0..count {
                let later = start + after + minute * Duration::from_secs(61);
                bed.engine.handle_timeout(later, Duration::from_secs(1));
            }
            entries(bed).len()
        };
        assert_eq!(minutes(Duration::from_secs(61), 32), 1, "half an hour is not enough");
        assert_eq!(minutes(PASSED, 31), 0);
    });
}

#[test]
fn a_full_table_of_addresses_costs_locality_and_no_connection() {
    with_bed(|bed| {
        let key = service(Protocol::Udp, 53);
        bed.add_service(key, Scheduler::LocalityBased, None);
        (1..=2).for_each(|last| bed.add(key, last, 1, Forwarding::DirectRouting));
        let map = localities(bed);
        // Addresses that nobody asks for, of a service that is not there.
        let mut keys = Vec::new();
        for number in 0..map.max_entries() {
            keys.extend([0; 12]);
            keys.extend(number.to_be_bytes());
            keys.extend(2047u32.to_ne_bytes());
        }
        map.update_many(&keys, &vec![0; map.value_size() * map.max_entries() as usize]).unwrap();
        let mut answers: Vec<u8> = (0..4).map(|it| bed.connect(key, (CLIENT, 2000 + it))).collect();
        answers.sort_unstable();
        assert_eq!(answers, [1, 1, 2, 2], "as wlc: nothing is kept");
        let [first, ..] = keys.chunks(20).collect::<Vec<_>>()[..] else { panic!("a key") };
        assert!(map.delete(first).unwrap());
        let last = bed.connect(key, (CLIENT, 2100));
        assert_eq!(bed.connect(key, (CLIENT, 2101)), last, "there is room again");
    });
}
