//! One virtual router, two to five machines.

use std::time::Duration;

use model::control::TrackerState;
use model::status::VrrpState;
use model::units::{Centiseconds, Priority};
use model::vrrp::{VirtualAddress, VrrpPlan};
use sim::random::Random;
use sim::vrrp::Network;

use crate::watch::Watch;
use crate::{Kind, ONE, SEEDS, any_priority, network, vital, weighted};

fn alive(network: &Network) -> usize {
    (0..network.stations()).filter(|&station| network.is_alive(station)).count()
}

fn know_trackers(network: &mut Network) {
    for station in 0..network.stations() {
        network.track(station, weighted(), TrackerState::Up);
        network.track(station, vital(), TrackerState::Up);
    }
}

fn start_all(network: &mut Network, random: &mut Random) {
    know_trackers(network);
    for station in 0..network.stations() {
        network.start(station);
        network.run(Duration::from_millis(random.below(500)));
    }
}

fn up_or_down(random: &mut Random) -> TrackerState {
    if random.percent(50) { TrackerState::Up } else { TrackerState::Down }
}

/// A changed configuration with which adverts still pass between all.
fn edited(random: &mut Random, old: &VrrpPlan, kind: Kind) -> VrrpPlan {
    let mut plan = old.clone();
    let instance = &mut plan.instances[0];
    match random.below(5) {
        0 => {}
        1 => instance.priority = Priority::try_from(any_priority(random)).unwrap(),
        2 => instance.preempt = !instance.preempt,
        3 => {
            let address = [10, 9, 1, random.below(4) as u8].into();
            instance.excluded_addresses = vec![VirtualAddress::new(address, 32)];
        }
        _ => match kind.version {
            model::vrrp::Version::V2 => instance.tracks.truncate(random.below(3) as usize),
            model::vrrp::Version::V3 => {
                instance.advert_interval = Centiseconds(5 + random.below(100) as u32);
            }
        },
    }
    plan
}

/// One thing that happens to one machine.
fn happen(network: &mut Network, random: &mut Random, kind: Kind) {
    let station = random.below(network.stations() as u64) as usize;
    match (network.is_alive(station), random.below(8)) {
        (false, _) => network.start(station),
        (true, 0 | 1) if alive(network) == 1 => {}
        (true, 0) => network.stop(station),
        (true, 1) => network.kill(station),
        (true, 2) => network.crash(station),
        (true, 3) => {
            let plan = edited(random, network.plan(station), kind);
            network.reload(station, plan);
        }
        (true, 4) => network.track(station, weighted(), up_or_down(random)),
        (true, 5) => network.track(station, vital(), up_or_down(random)),
        (true, _) => {
            let up = network.is_up(station, "eth0");
            network.set_link(station, "eth0", !up);
        }
    }
}

#[test]
fn without_loss_there_is_one_holder_within_one_master_down_interval_of_any_change() {
    for seed in 0..SEEDS {
        let mut random = Random::new(seed);
        let kind = Kind::any(&mut random);
        let mut network = network(&mut random, kind);
        let mut watch = Watch::new(&network);
        start_all(&mut network, &mut random);
        for _ in 0..12 {
            watch.disturb(&mut network, |network| happen(network, &mut random, kind));
            let span = kind.span(random.below(9_000));
            watch.run(&mut network, span, seed);
        }
    }
}

#[test]
fn each_side_of_a_partition_has_a_holder_and_one_is_left_when_it_heals() {
    for seed in 0..SEEDS {
        let mut random = Random::new(seed);
        let kind = Kind { preempt: true, ..Kind::any(&mut random) };
        let kind = Kind { preempt_delay: Duration::ZERO, down_timer_adverts: 3, ..kind };
        let mut network = network(&mut random, kind);
        start_all(&mut network, &mut random);
        network.run(Duration::from_secs(5));
        let cut = 1 + random.below(network.stations() as u64 - 1) as usize;
        let side: Vec<usize> = (0..cut).collect();
        network.lans.values_mut().for_each(|lan| lan.partition(&side));
        network.run(Duration::from_secs(5));
        let holders = network.holders(ONE);
        assert_eq!(holders.len(), 2, "seed {seed}");
        assert!(holders[0] < cut && holders[1] >= cut, "seed {seed}: {holders:?}");
        network.lans.values_mut().for_each(|lan| lan.partition(&[]));
        // The next advert of either is answered at once.
        network.run(Duration::from_millis(1_010));
        assert_eq!(network.holders(ONE).len(), 1, "seed {seed}");
    }
}

#[test]
fn whatever_was_lost_there_is_one_holder_soon_after_the_loss_ends() {
    for seed in 0..SEEDS {
        let mut random = Random::new(seed);
        let kind = Kind::any(&mut random);
        let mut network = network(&mut random, kind);
        let loss = 10 + random.below(90);
        network.lans.values_mut().for_each(|lan| lan.loss_percent = loss);
        start_all(&mut network, &mut random);
        network.run(Duration::from_secs(random.below(30)));
        network.lans.values_mut().for_each(|lan| lan.loss_percent = 0);
        network.run(network.master_down_interval() + Duration::from_millis(10));
        assert_eq!(network.holders(ONE).len(), 1, "seed {seed}");
    }
}

#[test]
fn a_quiet_lan_without_loss_sees_no_transition_in_an_hour() {
    for seed in 0..12 {
        let mut random = Random::new(seed);
        let kind = Kind { preempt: true, interval: 100, ..Kind::any(&mut random) };
        let mut network = network(&mut random, kind);
        start_all(&mut network, &mut random);
        network.run(Duration::from_secs(12));
        let masters = |n: &Network| {
            let states = (0..n.stations()).map(|station| n.state(station, ONE));
            states.filter(|state| *state == Some(VrrpState::Master)).count()
        };
        let settled = network.transitions;
        network.run(Duration::from_secs(3_600));
        assert_eq!((network.transitions, masters(&network)), (settled, 1), "seed {seed}");
    }
}

#[test]
fn a_preempting_lan_ends_with_its_highest_priority() {
    for seed in 0..SEEDS / 2 {
        let mut random = Random::new(seed);
        let kind = Kind { preempt: true, ..Kind::any(&mut random) };
        let kind = Kind { preempt_delay: Duration::ZERO, ..kind };
        let mut network = network(&mut random, kind);
        start_all(&mut network, &mut random);
        for _ in 0..4 {
            let station = random.below(network.stations() as u64) as usize;
            network.track(station, weighted(), up_or_down(&mut random));
            network.run(Duration::from_millis(random.below(2_000)));
        }
        network.run(network.master_down_interval() * 2);
        let holder = network.holders(ONE)[0];
        let highest = (0..network.stations()).filter_map(|s| network.priority(s, ONE)).max();
        assert_eq!(network.priority(holder, ONE), highest, "seed {seed}");
    }
}

#[test]
fn reloads_and_crashes_of_a_settled_lan_change_no_state_and_no_address() {
    for seed in 0..SEEDS / 4 {
        let mut random = Random::new(seed);
        let kind = Kind::any(&mut random);
        let mut network = network(&mut random, kind);
        start_all(&mut network, &mut random);
        network.run(network.master_down_interval() * 3 + kind.preempt_delay * 2);
        let before = network.holders(ONE);
        for _ in 0..20 {
            let station = random.below(network.stations() as u64) as usize;
            let transitions = network.transitions;
            // Of two owners the beaten one tries again when it is restarted.
            let owner = network.priority(station, ONE) == Some(255);
            if owner || random.percent(50) {
                let plan = network.plan(station).clone();
                network.reload(station, plan);
                assert_eq!(network.transitions, transitions, "seed {seed}");
            } else {
                network.crash(station);
            }
            assert_eq!(network.holders(ONE), before, "seed {seed}");
            network.run(Duration::from_millis(random.below(700)));
            assert_eq!(network.holders(ONE), before, "seed {seed}");
        }
    }
}
