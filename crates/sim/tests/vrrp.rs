//! What a LAN of VRRP routers must never do, over thousands of random runs.

use std::net::Ipv4Addr;
use std::time::Duration;

use model::Time;
use model::status::VrrpState;
use model::units::{Centiseconds, Priority, VirtualRouterId};
use model::vrrp::{Authentication, Garp, InitialState, VirtualAddress, VrrpInstance};
use sim::random::Random;
use sim::vrrp::Network;

const SEEDS: u64 = 3_000;

fn plan(priority: u8, preempt: bool) -> VrrpInstance {
    VrrpInstance {
        name: "VI_1".into(),
        interface: "eth0".into(),
        virtual_router_id: VirtualRouterId::try_from(51).unwrap(),
        priority: Priority::try_from(priority).unwrap(),
        advert_interval: Centiseconds(100),
        initial_state: InitialState::Backup,
        authentication: Authentication::Pass(*b"secret\0\0"),
        preempt,
        preempt_delay: Duration::ZERO,
        addresses: vec![VirtualAddress::new(Ipv4Addr::new(10, 9, 0, 100).into(), 32)],
        excluded_addresses: Vec::new(),
        garp: Garp::default(),
        ..VrrpInstance::new("VI_1", "eth0", VirtualRouterId::try_from(51).unwrap())
    }
}

/// Two to five routers; equal priorities happen, the owner too.
fn network(random: &mut Random, preempt: bool) -> Network {
    let stations = 2 + random.below(4);
    let priority = |random: &mut Random| match random.below(8) {
        0 => 255,
        1 | 2 => 100,
        _ => 1 + random.below(254) as u8,
    };
    let plans = (0..stations).map(|_| plan(priority(random), preempt)).collect();
    Network::new(plans, Random::new(random.number()))
}

fn alive(network: &Network) -> usize {
    (0..network.stations()).filter(|&station| network.is_alive(station)).count()
}

fn start_all(network: &mut Network, random: &mut Random) {
    for station in 0..network.stations() {
        network.start(station);
        network.run(Duration::from_millis(random.below(500)));
    }
}

/// Follows a network and fails when it is without a holder, or with several, for too long.
struct Watch {
    wrong_since: Option<Time>,
    limit: Duration,
}

impl Watch {
    fn new(network: &Network) -> Watch {
        // One interval to notice, and a breath for the frames on the way.
        let limit = network.master_down_interval() + Duration::from_millis(10);
        Watch { wrong_since: None, limit }
    }

    fn run(&mut self, network: &mut Network, span: Duration, seed: u64) {
        let until = network.now() + span;
        loop {
            let more = network.step(until);
            let holders = network.holders().len();
            if holders == 1 {
                self.wrong_since = None;
            } else {
                let since = *self.wrong_since.get_or_insert(network.now());
                let wrong = network.now().since(since);
                assert!(wrong <= self.limit, "seed {seed}: {holders} holders for {wrong:?}");
            }
            if !more {
                return;
            }
        }
    }
}

#[test]
fn without_loss_there_is_one_holder_within_one_master_down_interval_of_any_change() {
    for seed in 0..SEEDS {
        let mut random = Random::new(seed);
        let preempt = random.percent(70);
        let mut network = network(&mut random, preempt);
        let mut watch = Watch::new(&network);
        start_all(&mut network, &mut random);
        for _ in 0..10 {
            let station = random.below(network.stations() as u64) as usize;
            match (network.is_alive(station), random.below(2)) {
                (false, _) => network.start(station),
                (true, _) if alive(&network) == 1 => {}
                (true, 0) => network.stop(station),
                (true, _) => network.kill(station),
            }
            watch.wrong_since = None;
            watch.run(&mut network, Duration::from_millis(random.below(12_000)), seed);
        }
    }
}

#[test]
fn each_side_of_a_partition_has_a_holder_and_one_is_left_when_it_heals() {
    for seed in 0..SEEDS {
        let mut random = Random::new(seed);
        let mut network = network(&mut random, true);
        start_all(&mut network, &mut random);
        network.run(Duration::from_secs(5));
        let cut = 1 + random.below(network.stations() as u64 - 1) as usize;
        let side: Vec<usize> = (0..cut).collect();
        network.lan.partition(&side);
        network.run(Duration::from_secs(5));
        let holders = network.holders();
        assert_eq!(holders.len(), 2, "seed {seed}");
        assert!(holders[0] < cut && holders[1] >= cut, "seed {seed}: {holders:?}");
        network.lan.partition(&[]);
        // The next advert of either is answered at once.
        network.run(Duration::from_millis(1_010));
        assert_eq!(network.holders().len(), 1, "seed {seed}");
    }
}

#[test]
fn whatever_was_lost_there_is_one_holder_soon_after_the_loss_ends() {
    for seed in 0..SEEDS {
        let mut random = Random::new(seed);
        let preempt = random.percent(50);
        let mut network = network(&mut random, preempt);
        network.lan.loss_percent = 10 + random.below(90);
        start_all(&mut network, &mut random);
        network.run(Duration::from_secs(random.below(60)));
        network.lan.loss_percent = 0;
        network.run(network.master_down_interval() + Duration::from_millis(10));
        assert_eq!(network.holders().len(), 1, "seed {seed}");
    }
}

#[test]
fn a_quiet_lan_without_loss_sees_no_transition_in_an_hour() {
    for seed in 0..20 {
        let mut random = Random::new(seed);
        let mut network = network(&mut random, true);
        start_all(&mut network, &mut random);
        network.run(Duration::from_secs(5));
        let states = |n: &Network| (0..n.stations()).map(|s| n.state(s)).collect::<Vec<_>>();
        let settled = states(&network);
        assert_eq!(settled.iter().filter(|s| **s == VrrpState::Master).count(), 1);
        network.run(Duration::from_secs(3_600));
        assert_eq!(states(&network), settled, "seed {seed}");
    }
}
