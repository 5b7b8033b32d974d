//! Pairs with Debian's keepalived in either role: elections come out the same, and after each step
//! addresses, labels, routes and rules are what Keepalived leaves.

mod lvs;
pub(crate) mod record;
pub(crate) mod scenario;
mod split;
mod story;
mod virtual_mac;
mod wire;

use std::process::Command;
use std::thread;
use std::time::Duration;

use scenario::{Product, Scenario, play};

const CALM: Duration = Duration::from_millis(4_500);

/// Why pairs cannot be tried here.
pub(crate) fn missing() -> Option<String> {
    lab::net::missing().or_else(|| {
        let found = Command::new("keepalived").arg("--version").output().is_ok();
        (!found).then(|| "`keepalived` is not installed".to_owned())
    })
}

/// Both mixed pairs against a pair of Keepaliveds.
fn compare(scenario: Scenario) {
    if let Some(reason) = missing() {
        println!("skipped: {reason}");
        return;
    }
    use Product::{Evenkeel, Keepalived};
    let pairs = [[Keepalived, Keepalived], [Evenkeel, Keepalived], [Keepalived, Evenkeel]];
    let threads = pairs.map(|products| thread::spawn(move || play(&scenario, products)));
    let [reference, first, second] = threads.map(|thread| match thread.join() {
        Ok(records) => records,
        Err(panic) => std::panic::resume_unwind(panic),
    });
    for (records, ours) in [(first, 0), (second, 1)] {
        for (step, (theirs, seen)) in reference.iter().zip(&records).enumerate() {
            let (missing, extra) = difference(&theirs[ours], &seen[ours]);
            assert!(
                missing.is_empty() && extra.is_empty(),
                "{}: after step {step} side {ours} lacks\n  {}\nand has besides\n  {}",
                scenario.name,
                missing.join("\n  "),
                extra.join("\n  ")
            );
        }
    }
}

fn difference<'a>(theirs: &'a [String], ours: &'a [String]) -> (Vec<&'a str>, Vec<&'a str>) {
    let without = |a: &'a [String], b: &[String]| {
        a.iter().filter(|line| !b.contains(line)).map(String::as_str).collect()
    };
    (without(theirs, ours), without(ours, theirs))
}

#[test]
fn version_2_with_a_password_labels_routes_and_rules() {
    compare(Scenario {
        name: "v2pass",
        configuration: "
vrrp_instance VI_1 {
    state BACKUP
    interface eth0
    virtual_router_id 51
    priority PRIORITY
    advert_int 1
    authentication {
        auth_type PASS
        auth_pass secret
    }
    virtual_ipaddress {
        10.9.0.100/24 brd 10.9.0.255 dev eth0 label eth0:1
        10.9.0.101
        10.10.0.100/24 dev eth1 scope link
    }
    virtual_ipaddress_excluded {
        10.9.0.102/24
        2001:db8:0::100/64
    }
    virtual_routes {
        192.168.99.0/24 via 10.9.0.200 dev eth0
        192.168.98.0/24 dev eth1 src 10.10.0.100 metric 7 table 100
        blackhole 192.168.97.0/24
    }
    virtual_rules {
        from 192.168.99.0/24 table 100 preference 1000
        to 192.168.98.0/24 table 100 preference 1001
    }
}
",
        address: "10.9.0.100/24",
        masters: [0, 1, 0],
        calm: CALM,
    });
}

#[test]
fn version_2_with_authentication_headers() {
    compare(Scenario {
        name: "v2ah",
        configuration: "
vrrp_instance VI_1 {
    state BACKUP
    interface eth0
    virtual_router_id 51
    priority PRIORITY
    advert_int 1
    authentication {
        auth_type AH
        auth_pass secret
    }
    virtual_ipaddress {
        10.9.0.100/24
    }
}
",
        address: "10.9.0.100/24",
        masters: [0, 1, 0],
        calm: CALM,
    });
}

#[test]
fn version_3_over_ipv4() {
    compare(Scenario {
        name: "v3four",
        configuration: "
vrrp_instance VI_1 {
    state BACKUP
    interface eth0
    version 3
    virtual_router_id 51
    priority PRIORITY
    advert_int 0.2
    virtual_ipaddress {
        10.9.0.100/24
        10.9.0.101/32 dev eth1
    }
}
",
        address: "10.9.0.100/24",
        masters: [0, 1, 0],
        calm: Duration::from_secs(2),
    });
}

#[test]
fn version_3_over_ipv6() {
    compare(Scenario {
        name: "v3six",
        configuration: "
vrrp_instance VI_6 {
    state BACKUP
    interface eth0
    version 3
    virtual_router_id 61
    priority PRIORITY
    advert_int 0.2
    virtual_ipaddress {
        fe80::1234:5678
        2001:db8:0::100/64
        2001:db8:0::101
    }
    virtual_routes {
        2001:db8:99::/48 via 2001:db8:0::200 dev eth0
    }
}
",
        address: "2001:db8::100/64",
        masters: [0, 1, 0],
        calm: Duration::from_secs(3),
    });
}

#[test]
fn unicast() {
    compare(Scenario {
        name: "unicast",
        configuration: "
vrrp_instance VI_1 {
    state BACKUP
    interface eth0
    virtual_router_id 51
    priority PRIORITY
    advert_int 1
    unicast_src_ip OWN
    unicast_peer {
        PEER
    }
    virtual_ipaddress {
        10.9.0.100/24
    }
}
",
        address: "10.9.0.100/24",
        masters: [0, 1, 0],
        calm: CALM,
    });
}

#[test]
fn sync_groups() {
    compare(Scenario {
        name: "groups",
        configuration: "
vrrp_sync_group VG {
    group {
        OUTSIDE
        INSIDE
    }
}
vrrp_instance OUTSIDE {
    state BACKUP
    interface eth0
    virtual_router_id 51
    priority PRIORITY
    advert_int 1
    virtual_ipaddress {
        10.9.0.100/24
    }
}
vrrp_instance INSIDE {
    state BACKUP
    interface eth1
    virtual_router_id 52
    priority PRIORITY
    advert_int 1
    virtual_ipaddress {
        10.10.0.100/24
    }
}
",
        address: "10.10.0.100/24",
        masters: [0, 1, 0],
        calm: Duration::from_secs(6),
    });
}

#[test]
fn without_preemption_the_master_that_returns_stays_backup() {
    compare(Scenario {
        name: "nopreempt",
        configuration: "
vrrp_instance VI_1 {
    state BACKUP
    interface eth0
    virtual_router_id 51
    priority PRIORITY
    advert_int 1
    nopreempt
    virtual_ipaddress {
        10.9.0.100/24
    }
}
",
        address: "10.9.0.100/24",
        masters: [0, 1, 1],
        calm: Duration::from_secs(6),
    });
}
