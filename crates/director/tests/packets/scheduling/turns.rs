//! rr and wrr.

use model::layer4::{Forwarding, Protocol, Scheduler};
use sched::{Candidate, RoundRobin, WeightedRoundRobin};

use super::run::{Change, Reference, View, compare};
use crate::bed::{CLIENT, service, with_bed};

impl Reference for RoundRobin {
    fn choose(&mut self, view: &View<'_>) -> Option<usize> {
        RoundRobin::choose(self, view.candidates)
    }

    fn handle_change(&mut self, change: Change, _: &[Candidate]) {
        match change {
            Change::Added => self.handle_added(),
            Change::Removed(position) => self.handle_removed(position),
            Change::Updated => {}
        }
    }
}

impl Reference for WeightedRoundRobin {
    fn choose(&mut self, view: &View<'_>) -> Option<usize> {
        WeightedRoundRobin::choose(self, view.candidates)
    }

    fn handle_change(&mut self, _: Change, candidates: &[Candidate]) {
        WeightedRoundRobin::handle_change(self, candidates);
    }
}

#[test]
fn round_robin_is_the_references() {
    compare(Scheduler::RoundRobin, &mut RoundRobin::default());
}

#[test]
fn weighted_round_robin_is_the_references() {
    compare(Scheduler::WeightedRoundRobin, &mut WeightedRoundRobin::default());
}

const WEIGHTS: [&[u32]; 7] = [
    &[1, 1, 1],
    &[3, 2, 1],
    &[4, 3, 2],
    &[0, 5, 0, 10],
    &[6, 2, 4, 0],
    &[100, 1],
    &[7, 7, 7, 1, 65535],
];

#[test]
fn weights_that_do_not_change_are_spread_as_the_reference_spreads_them() {
    with_bed(|bed| {
        for (number, weights) in WEIGHTS.iter().enumerate() {
            let key = service(Protocol::Udp, 1000 + number as u16);
            bed.add_service(key, Scheduler::WeightedRoundRobin, None);
            let mut reference = WeightedRoundRobin::default();
            let mut candidates: Vec<Candidate> = Vec::new();
            for (index, weight) in weights.iter().enumerate() {
                bed.add(key, index as u8 + 1, *weight, Forwarding::DirectRouting);
                // The newest destination comes first, as in IPVS.
                candidates.insert(0, Candidate { weight: *weight, ..Candidate::default() });
                reference.handle_change(&candidates);
            }
            for port in 0..100 {
                // Connections of one client's port share a home, which has room for nineteen.
                let from = (CLIENT, 2000 + 100 * number as u16 + port);
                let chosen = bed.connect(key, from);
                let expected = reference.choose(&candidates).map(|at| (weights.len() - at) as u8);
                assert_eq!(Some(chosen), expected, "weights {weights:?}, connection {port}");
            }
        }
    });
}

#[test]
fn the_others_are_found_at_once_when_one_of_weight_65535_is_full() {
    with_bed(|bed| {
        let key = service(Protocol::Udp, 53);
        bed.add_service(key, Scheduler::WeightedRoundRobin, None);
        bed.add(key, 1, 1, Forwarding::DirectRouting);
        bed.add(key, 2, 65_535, Forwarding::DirectRouting);
        super::limit(bed, key, 2, 65_535, 10);
        let chosen: Vec<u8> = (0..13).map(|port| bed.connect(key, (CLIENT, 2000 + port))).collect();
        // The current weight is still that of the first server alone.
        assert_eq!(chosen, [2, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 1, 1]);
    });
}
