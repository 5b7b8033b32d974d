//! lc, wlc, sed, nq, fo, ovf and twos.

use model::layer4::Scheduler;
use sched::Candidate;

use super::run::{View, compare};

fn compare_with(scheduler: Scheduler, choose: fn(&[Candidate]) -> Option<usize>) {
    compare(scheduler, &mut move |view: &View<'_>| choose(view.candidates));
}

#[test]
fn least_connection_is_the_references() {
    compare_with(Scheduler::LeastConnection, sched::least_connection);
}

#[test]
fn weighted_least_connection_is_the_references() {
    compare_with(Scheduler::WeightedLeastConnection, sched::weighted_least_connection);
}

#[test]
fn shortest_expected_delay_is_the_references() {
    compare_with(Scheduler::ShortestExpectedDelay, sched::shortest_delay);
}

#[test]
fn never_queue_is_the_references() {
    compare_with(Scheduler::NeverQueue, sched::never_queue);
}

#[test]
fn weighted_failover_is_the_references() {
    compare_with(Scheduler::WeightedFailover, sched::failover);
}

#[test]
fn weighted_overflow_is_the_references() {
    compare_with(Scheduler::WeightedOverflow, sched::overflow);
}

#[test]
fn two_choices_are_the_references_with_the_same_random_numbers() {
    compare(Scheduler::TwoChoices, &mut |view: &View<'_>| {
        sched::two_choices(view.candidates, sched::draws(view.state))
    });
}
