//! What a LAN of VRRP routers must never do, over thousands of random runs.

mod groups;
mod one;
mod watch;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use model::units::{Centiseconds, Priority, VirtualRouterId};
use model::vrrp::{
    Authentication, Destination, Family, Track, Tracked, Version, VirtualAddress, VrrpInstance,
    VrrpPlan,
};
use sim::random::Random;
use sim::vrrp::Network;

/// Runs of each simulation.
const SEEDS: u64 = 4_000;
/// The instance that all machines share.
const ONE: &str = "VI_1";

/// What the machines of a run have in common.
#[derive(Clone, Copy, Debug)]
struct Kind {
    version: Version,
    family: Family,
    interval: u32,
    preempt: bool,
    preempt_delay: Duration,
    down_timer_adverts: u8,
}

impl Kind {
    /// Version 2 with an advert a second, or version 3 with one to a hundred a second.
    fn any(random: &mut Random) -> Kind {
        let preempt = random.percent(70);
        let (version, family, interval) = match random.below(3) {
            0 => (Version::V2, Family::Ipv4, 100),
            1 => (Version::V3, Family::Ipv4, 1 + random.below(99) as u32),
            _ => (Version::V3, Family::Ipv6, 100),
        };
        let delay = if random.percent(20) { random.below(3_000) } else { 0 };
        Kind {
            version,
            family,
            interval,
            preempt,
            preempt_delay: Duration::from_millis(delay),
            down_timer_adverts: if random.percent(20) { 2 + random.below(4) as u8 } else { 3 },
        }
    }
}

fn instance(kind: Kind, name: &str, interface: &str, priority: u8) -> VrrpInstance {
    let address = match kind.family {
        Family::Ipv4 => IpAddr::V4(Ipv4Addr::new(10, 9, 0, 100)),
        Family::Ipv6 => IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x100)),
    };
    VrrpInstance {
        priority: Priority::try_from(priority).unwrap(),
        version: kind.version,
        family: kind.family,
        destination: Destination::Multicast(kind.family.group()),
        advert_interval: Centiseconds(kind.interval),
        authentication: match kind.version {
            Version::V2 => Authentication::Pass(*b"secret\0\0"),
            Version::V3 => Authentication::None,
        },
        preempt: kind.preempt,
        preempt_delay: kind.preempt_delay,
        down_timer_adverts: kind.down_timer_adverts,
        addresses: vec![VirtualAddress::new(address, 32)],
        ..VrrpInstance::new(name, interface, VirtualRouterId::try_from(51).unwrap())
    }
}

/// Equal priorities happen, the owner too.
fn any_priority(random: &mut Random) -> u8 {
    match random.below(8) {
        0 => 255,
        1 | 2 => 100,
        _ => 1 + random.below(254) as u8,
    }
}

fn weighted() -> Tracked {
    Tracked::Script("weighted".into())
}

fn vital() -> Tracked {
    Tracked::Script("vital".into())
}

fn machine(kind: Kind, priority: u8) -> VrrpPlan {
    let mut instance = instance(kind, ONE, "eth0", priority);
    instance.tracks = vec![
        Track { what: weighted(), weight: -60, reverse: false },
        Track { what: vital(), weight: 0, reverse: false },
    ];
    VrrpPlan { instances: vec![instance], ..VrrpPlan::default() }
}

impl Kind {
    /// A span of this many intervals of version 2.
    fn span(&self, milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds * u64::from(self.interval) / 100)
    }
}

/// Two to five machines of a kind.
fn network(random: &mut Random, kind: Kind) -> Network {
    let plans = (0..2 + random.below(4)).map(|_| machine(kind, any_priority(random))).collect();
    Network::new(plans, Random::new(random.number()))
}
