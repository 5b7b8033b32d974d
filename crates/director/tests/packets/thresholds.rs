//! Servers that take no more connections than they should: IPVS's overload, for each scheduler.

use director::{Destination, Engine, TableChange};
use model::layer4::{Forwarding, Protocol, Scheduler, ServiceKey};

use crate::bed::{Bed, CLIENT, Outcome, VIRTUAL, endpoint, service, with_bed};
use crate::expiry::{age, sweep};
use crate::frame::{Frame, RST, SYN};

/// Those that would give each of two servers half of the connections.
const SCHEDULERS: [Scheduler; 6] = [
    Scheduler::RoundRobin,
    Scheduler::WeightedRoundRobin,
    Scheduler::LeastConnection,
    Scheduler::WeightedLeastConnection,
    Scheduler::ShortestExpectedDelay,
    Scheduler::NeverQueue,
];

fn limit(bed: &mut Bed, key: ServiceKey, last: u8, upper: u32, lower: u32) {
    let destination = Destination {
        upper_threshold: upper,
        lower_threshold: lower,
        ..Destination::new(endpoint(last, key.port() + 8000), 1, Forwarding::Nat)
    };
    bed.engine.apply(&[TableChange::UpdateDestination(key, destination)]).unwrap();
}

/// The first server takes four at most, the second any number.
fn two_servers(bed: &mut Bed, scheduler: Scheduler, port: u16, lower: u32) -> ServiceKey {
    let key = service(Protocol::Tcp, port);
    bed.add_service(key, scheduler, None);
    bed.add(key, 1, 1, Forwarding::Nat);
    bed.add(key, 2, 1, Forwarding::Nat);
    limit(bed, key, 1, 4, lower);
    key
}

/// The client ports of the first server's connections among `count` new ones.
fn open(bed: &Bed, key: ServiceKey, first_port: u16, count: u16) -> Vec<u16> {
    let ports = first_port..first_port + count;
    ports.filter(|port| bed.establish(key, (CLIENT, *port)) == 1).collect()
}

fn reset(bed: &mut Bed, key: ServiceKey, ports: &[u16]) {
    for port in ports {
        bed.send(&Frame::tcp((CLIENT, *port), (VIRTUAL, key.port()), RST)).forwarded();
    }
    // Longer than CLOSE lasts, and much shorter than ESTABLISHED.
    age(bed, 15);
    sweep(bed);
}

#[test]
fn a_server_takes_no_more_than_its_upper_threshold_whoever_schedules() {
    with_bed(|bed| {
        for (scheduler, port) in SCHEDULERS.into_iter().zip(100..) {
            let key = two_servers(bed, scheduler, port, 0);
            let taken = open(bed, key, port * 100, 20);
            assert_eq!(taken.len(), 4, "{scheduler:?}");
            assert_eq!(bed.load(key, endpoint(2, port + 8000)).0, 16, "{scheduler:?}");
        }
    });
}

#[test]
fn it_takes_new_ones_below_three_quarters_or_below_its_lower_threshold() {
    with_bed(|bed| {
        for (lower, still, again) in [(0, 3, 2), (2, 2, 1)] {
            let port = 200 + lower as u16;
            let key = two_servers(bed, Scheduler::RoundRobin, port, lower);
            let taken = open(bed, key, port * 100, 10);
            let (first, rest) = taken.split_at(4 - still);
            reset(bed, key, first);
            assert_eq!(bed.load(key, endpoint(1, port + 8000)).0, still as u32);
            assert!(open(bed, key, port * 100 + 20, 6).is_empty(), "lower {lower}");
            reset(bed, key, &rest[..still - again]);
            assert_eq!(open(bed, key, port * 100 + 40, 12).len(), 4 - again, "lower {lower}");
        }
    });
}

#[test]
fn a_greater_threshold_counts_at_once_and_none_is_no_bound() {
    with_bed(|bed| {
        let key = two_servers(bed, Scheduler::RoundRobin, 300, 0);
        assert_eq!(open(bed, key, 30_000, 20).len(), 4);
        limit(bed, key, 1, 6, 0);
        assert_eq!(open(bed, key, 30_100, 20).len(), 2);
        limit(bed, key, 1, 0, 0);
        assert_eq!(open(bed, key, 30_200, 20).len(), 10);
        limit(bed, key, 1, 3, 0);
        assert!(open(bed, key, 30_300, 20).is_empty(), "16 are more than three");
    });
}

#[test]
fn a_connection_is_dropped_when_every_server_has_enough() {
    with_bed(|bed| {
        let key = two_servers(bed, Scheduler::WeightedLeastConnection, 400, 0);
        limit(bed, key, 2, 1, 0);
        open(bed, key, 30_000, 5);
        let before = bed.counter("answered_unreachable");
        let more = bed.send(&Frame::tcp((CLIENT, 30_100), (VIRTUAL, key.port()), SYN));
        assert!(matches!(more, Outcome::Refused));
        assert_eq!(bed.counter("answered_unreachable"), before + 1);
    });
}
