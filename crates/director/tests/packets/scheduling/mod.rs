//! The schedulers in BPF against the reference in crates/sched.

use model::layer4::{Forwarding, Protocol, Scheduler};
use sched::{Candidate, RoundRobin, WeightedRoundRobin, least_connection};

use crate::bed::{CLIENT, endpoint, service, with_bed};

const WEIGHTS: [&[u32]; 7] = [
    &[1, 1, 1],
    &[3, 2, 1],
    &[4, 3, 2],
    &[0, 5, 0, 10],
    &[6, 2, 4, 0],
    &[100, 1],
    &[7, 7, 7, 1, 65535],
];

fn candidates(weights: &[u32]) -> Vec<Candidate> {
    // The newest destination comes first, as in IPVS.
    weights
        .iter()
        .rev()
        .map(|weight| Candidate { weight: *weight, ..Candidate::default() })
        .collect()
}

/// The reference's position as the server's last octet.
fn last_octet(weights: &[u32], position: usize) -> u8 {
    (weights.len() - position) as u8
}

fn compare<R>(scheduler: Scheduler, fresh: impl Fn(&[u32]) -> R + Sync)
where
    R: FnMut(&[Candidate]) -> Option<usize>,
{
    with_bed(|bed| {
        for (number, weights) in WEIGHTS.iter().enumerate() {
            let key = service(Protocol::Udp, 1000 + number as u16);
            bed.add_service(key, scheduler, None);
            for (index, weight) in weights.iter().enumerate() {
                bed.add(key, index as u8 + 1, *weight, Forwarding::DirectRouting);
            }
            let (all, mut reference) = (candidates(weights), fresh(weights));
            for port in 0..100 {
                let chosen = bed.connect(key, (CLIENT, 2000 + port));
                let expected = reference(&all).map(|position| last_octet(weights, position));
                assert_eq!(Some(chosen), expected, "weights {weights:?}, connection {port}");
            }
        }
    });
}

#[test]
fn round_robin_is_the_references() {
    compare(Scheduler::RoundRobin, |_| {
        let mut reference = RoundRobin::default();
        move |all: &[Candidate]| reference.choose(all)
    });
}

#[test]
fn weighted_round_robin_is_the_references() {
    compare(Scheduler::WeightedRoundRobin, |weights| {
        let mut reference = WeightedRoundRobin::default();
        for added in 1..=weights.len() {
            reference.handle_change(&candidates(&weights[..added]));
        }
        move |all: &[Candidate]| reference.choose(all)
    });
}

#[test]
fn weighted_least_connection_is_the_references() {
    with_bed(|bed| {
        for (number, weights) in WEIGHTS.iter().enumerate() {
            let key = service(Protocol::Tcp, 1000 + number as u16);
            bed.add_service(key, Scheduler::WeightedLeastConnection, None);
            for (index, weight) in weights.iter().enumerate() {
                bed.add(key, index as u8 + 1, *weight, Forwarding::Nat);
            }
            for port in 0..60u16 {
                let mut all = candidates(weights);
                for (position, one) in all.iter_mut().enumerate() {
                    let at = endpoint(last_octet(weights, position), key.port + 8000);
                    (one.active, one.inactive, _) = bed.load(key, at);
                }
                let expected = least_connection(&all).map(|it| last_octet(weights, it));
                // Every third one stays half open, so that both counts matter.
                let from = (CLIENT, 2000 + number as u16 * 100 + port);
                let chosen = match port % 3 {
                    0 => bed.connect(key, from),
                    _ => bed.establish(key, from),
                };
                assert_eq!(Some(chosen), expected, "weights {weights:?}, connection {port}");
            }
        }
    });
}

#[test]
fn a_full_service_of_256_servers_is_scheduled_evenly() {
    with_bed(|bed| {
        for (scheduler, port) in [
            (Scheduler::RoundRobin, 1),
            (Scheduler::WeightedRoundRobin, 2),
            (Scheduler::WeightedLeastConnection, 3),
        ] {
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
