//! The schedulers in BPF against the reference in crates/sched: the same servers, connection by
//! connection, while weights, thresholds and servers change.

mod least;
mod locality;
mod run;
mod slots;
mod turns;

use director::{Destination, Engine, TableChange};
use model::layer4::{Forwarding, HashFlags, Protocol, Scheduler, ServiceKey};

use crate::bed::{Bed, CLIENT, endpoint, service, with_bed};

/// With a server for every client, whatever the schedulers look at.
const EVEN: [Scheduler; 4] = [
    Scheduler::RoundRobin,
    Scheduler::WeightedRoundRobin,
    Scheduler::LeastConnection,
    Scheduler::WeightedLeastConnection,
];

#[test]
fn a_full_service_of_256_servers_is_scheduled_evenly() {
    with_bed(|bed| {
        for (scheduler, port) in EVEN.into_iter().zip(1..) {
            let key = service(Protocol::Udp, port);
            bed.add_service(key, scheduler, None);
            for last in 0..=255u8 {
                bed.add(key, last, 2, Forwarding::DirectRouting);
            }
            for client in 0..512 {
                bed.connect(key, (CLIENT, 2000 + client));
            }
            for last in 0..=255 {
                assert_eq!(bed.load(key, endpoint(last, port)), (0, 2, 0), "{scheduler:?} {last}");
            }
        }
    });
}

#[test]
fn every_scheduler_finds_the_last_of_256_servers() {
    let flags = HashFlags { fallback: true, port: true };
    with_bed(|bed| {
        for (scheduler, port) in Scheduler::ALL.into_iter().zip(1..) {
            let key = service(Protocol::Udp, port);
            bed.add_service(key, scheduler.with_hash_flags(flags), None);
            // The newest comes first: the one with a weight is the last of all.
            let weight = |last| if last == 0 { 50 } else { 0 };
            for last in 0..=255u8 {
                bed.add(key, last, weight(last), Forwarding::DirectRouting);
            }
            let found = match scheduler {
                // One slot of 256, and one address: nobody else may take its place.
                Scheduler::DestinationHashing => continue,
                _ => bed.connect(key, (CLIENT, 2000 + port)),
            };
            assert_eq!(found, 0, "{scheduler:?}");
        }
    });
}

/// Gives a server an upper threshold.
fn limit(bed: &mut Bed, key: ServiceKey, last: u8, weight: u32, upper: u32) {
    let at = endpoint(last, key.port());
    let destination = Destination {
        upper_threshold: upper,
        ..Destination::new(at, weight, Forwarding::DirectRouting)
    };
    bed.engine.apply(&[TableChange::UpdateDestination(key, destination)]).unwrap();
}
