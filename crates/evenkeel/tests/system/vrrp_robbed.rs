//! Somebody takes from the kernel what is held or static: afterwards there is what Keepalived
//! has there.

use std::thread;
use std::time::{Duration, Instant};

use lab::net::Net;

use crate::peers::record::record;
use crate::peers::scenario::{Product, Scenario, Side};

const SCENARIO: Scenario = Scenario {
    name: "robbed",
    configuration: "
track_group TG {
    group {
        VI_1
    }
}
static_ipaddress {
    10.77.0.1/24 dev eth1 track_group TG
    10.77.1.1/24 dev eth1
    10.77.2.1/24 dev eth1 no_track
    2001:db8:77::1/64 dev eth1
}
static_routes {
    192.168.90.0/24 dev eth1 track_group TG
    192.168.91.0/24 dev eth1
    192.168.92.0/24 dev eth1 no_track
    192.168.93.0/24 via 10.9.0.200 dev eth0 metric 5
    192.168.94.0/24 dev eth1 append
    10.66.0.0/16 dev eth0 ttl-propagate disabled
    2001:db8:90::/48 via 2001:db8:0::200 dev eth0
}
static_rules {
    from 192.168.90.0/24 iif eth1 table 90 preference 900 track_group TG
    from 192.168.91.0/24 table 91 preference 901
    from 192.168.92.0/24 table 92 preference 902 no_track
    l3mdev preference 990
}
vrrp_instance VI_1 {
    state BACKUP
    interface eth0
    virtual_router_id 51
    priority PRIORITY
    advert_int 1
    virtual_ipaddress {
        10.9.0.100/24 dev eth0
        10.9.0.101/24 dev eth0 no_track
    }
    virtual_routes {
        192.168.98.0/24 dev eth1
        192.168.97.0/24 dev eth1 no_track
    }
    virtual_rules {
        from 192.168.98.0/24 table 100 preference 1000
        from 192.168.97.0/24 table 100 preference 1001 no_track
    }
}
",
    address: "10.9.0.100/24",
    masters: [0; 3],
    calm: Duration::ZERO,
};

/// What is tracked comes first: Keepalived puts the others back as well when it becomes master
/// again.
const THEFTS: [&str; 12] = [
    "addr del 10.9.0.100/24 dev eth0",
    "route del 192.168.98.0/24",
    "rule del preference 1000",
    "addr del 10.77.0.1/24 dev eth1",
    "addr del 10.77.1.1/24 dev eth1",
    "route del 192.168.91.0/24",
    "rule del preference 901",
    "addr del 10.9.0.101/24 dev eth0",
    "route del 192.168.97.0/24",
    "rule del preference 1001",
    "route del 192.168.92.0/24",
    "rule del preference 902",
];

/// More than the skew after which Keepalived is master again.
const SETTLED: Duration = Duration::from_millis(1_500);
const PATIENCE: Duration = Duration::from_secs(20);

/// What is there at first, after each theft, and at the end.
fn play(product: Product) -> Vec<Vec<String>> {
    let net = Net::new("robbed").unwrap();
    let (ours, theirs) = (net.namespace("a").unwrap(), net.namespace("b").unwrap());
    for interface in ["eth0", "eth1"] {
        net.veth((&ours, interface), (&theirs, interface)).unwrap();
    }
    let mut side = Side::new(&SCENARIO, 0, &ours, product);
    side.start();
    let see = || record(&ours, SCENARIO.configuration);
    let end = Instant::now() + PATIENCE;
    while !side.holds(SCENARIO.address) {
        assert!(Instant::now() < end, "{product:?}: {}", side.log());
        thread::sleep(Duration::from_millis(50));
    }
    thread::sleep(SETTLED);
    let mut pictures = vec![see()];
    for theft in THEFTS {
        ours.ip(theft).unwrap_or_else(|error| panic!("{product:?} {theft}: {error}"));
        thread::sleep(SETTLED);
        pictures.push(see());
    }
    side.stop();
    pictures.push(see());
    pictures
}

#[test]
fn what_was_taken_is_there_or_not_as_with_keepalived() {
    if let Some(reason) = crate::peers::missing() {
        println!("skipped: {reason}");
        return;
    }
    let reference = thread::spawn(|| play(Product::Keepalived));
    let seen = play(Product::Evenkeel);
    let reference = reference.join().unwrap();
    let steps = ["start"].into_iter().chain(THEFTS).chain(["end"]);
    for ((step, seen), expected) in steps.zip(seen).zip(reference) {
        let extra: Vec<_> = seen.iter().filter(|line| !expected.contains(line)).collect();
        let missing: Vec<_> = expected.iter().filter(|line| !seen.contains(line)).collect();
        assert!(extra.is_empty() && missing.is_empty(), "{step}: {missing:?} but {extra:?}");
    }
}

#[test]
fn what_somebody_takes_again_and_again_makes_a_backup_of_the_master_and_is_there_when_it_ends() {
    if let Some(reason) = crate::peers::missing() {
        println!("skipped: {reason}");
        return;
    }
    let net = Net::new("greedy").unwrap();
    let (space, other) = (net.namespace("a").unwrap(), net.namespace("b").unwrap());
    for interface in ["eth0", "eth1"] {
        net.veth((&space, interface), (&other, interface)).unwrap();
    }
    let mut side = Side::new(&SCENARIO, 0, &space, Product::Evenkeel);
    side.start();
    let within = |limit: Duration, what: &str, is_so: &dyn Fn() -> bool| {
        let end = Instant::now() + limit;
        while !is_so() {
            assert!(Instant::now() < end, "{what}: {}", side.log());
            thread::sleep(Duration::from_millis(10));
        }
    };
    within(PATIENCE, "it is master", &|| side.holds(SCENARIO.address));
    within(PATIENCE, "it is backup", &|| {
        let _ = space.ip("addr del 10.9.0.100/24 dev eth0");
        side.log().contains("MASTER -> BACKUP: an address, route or rule was removed")
    });
    assert!(side.log().contains("10.9.0.100 was removed; put back"), "{}", side.log());
    // As in Keepalived the skew is the pause.
    within(SETTLED, "it is master again", &|| side.holds(SCENARIO.address));
}
