//! Sync groups of two instances, on two LANs.

use std::time::Duration;

use model::status::VrrpState;
use model::vrrp::{SyncGroup, VrrpPlan};
use sim::random::Random;
use sim::vrrp::Network;

use crate::{Kind, SEEDS, instance};

const MEMBERS: [&str; 2] = ["outside", "inside"];
const LANS: [&str; 2] = ["eth0", "eth1"];

fn machine(kind: Kind, priority: u8) -> VrrpPlan {
    let member = |n: usize| instance(kind, MEMBERS[n], LANS[n], priority);
    let members = MEMBERS.map(String::from).into();
    let group = SyncGroup { name: "G".into(), members, ..SyncGroup::default() };
    let instances = vec![member(0), member(1)];
    VrrpPlan { instances, sync_groups: vec![group], ..VrrpPlan::default() }
}

/// Machines in the same order of priority on both LANs.
fn network(random: &mut Random, kind: Kind) -> Network {
    let count = 2 + random.below(3);
    let plans = (0..count).map(|n| machine(kind, 250 - (n * 40 + random.below(40)) as u8));
    Network::new(plans.collect(), Random::new(random.number()))
}

/// At every moment the members of a group are in the same state.
fn run(network: &mut Network, span: Duration, seed: u64) {
    let until = network.now() + span;
    while network.step(until) {
        for station in 0..network.stations() {
            let [one, other] = MEMBERS.map(|member| network.state(station, member));
            assert_eq!(one, other, "seed {seed}, station {station}");
        }
    }
}

#[test]
fn members_change_together_and_both_lans_end_with_the_same_single_master() {
    for seed in 0..SEEDS / 2 {
        let mut random = Random::new(seed);
        let kind = Kind::any(&mut random);
        let mut network = network(&mut random, kind);
        (0..network.stations()).for_each(|station| network.start(station));
        for _ in 0..8 {
            let station = random.below(network.stations() as u64) as usize;
            match (network.is_alive(station), random.below(4)) {
                (false, _) => network.start(station),
                (true, 0) => network.kill(station),
                (true, 1) => network.stop(station),
                (true, _) => {
                    let lan = LANS[random.below(2) as usize];
                    let up = network.is_up(station, lan);
                    network.set_link(station, lan, !up);
                }
            }
            run(&mut network, Duration::from_millis(random.below(6_000)), seed);
        }
        run(&mut network, Duration::from_secs(12), seed);
        let able = (0..network.stations()).filter(|s| network.is_able(*s, MEMBERS[0])).count();
        let [outside, inside] = MEMBERS.map(|member| network.holders(member));
        assert_eq!(outside, inside, "seed {seed}");
        assert_eq!(outside.len(), able.min(1), "seed {seed}");
        for station in outside {
            assert_eq!(network.state(station, MEMBERS[1]), Some(VrrpState::Master));
        }
    }
}
