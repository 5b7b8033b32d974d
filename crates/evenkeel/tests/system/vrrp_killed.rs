//! The vrrp role is killed, with everything that outlives it: virtual MAC interfaces, IPv6,
//! authentication headers, routes, rules, packet filter, kernel parameters.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use lab::net::{Namespace, Net};

use crate::peers::scenario::{Product, Scenario, Side};
use crate::site::kill;

const SCENARIO: Scenario = Scenario {
    name: "killed",
    configuration: "
vrrp_instance SEALED {
    state BACKUP
    interface eth0
    virtual_router_id 51
    priority PRIORITY
    advert_int 1
    use_vmac
    no_accept
    authentication {
        auth_type AH
        auth_pass secret
    }
    virtual_ipaddress {
        10.9.0.100/24
    }
    virtual_routes {
        192.168.98.0/24 dev eth1
    }
    virtual_rules {
        from 192.168.98.0/24 table 100 preference 1000
    }
}
vrrp_instance SIX {
    state BACKUP
    interface eth0
    version 3
    virtual_router_id 61
    priority PRIORITY
    advert_int 0.5
    use_vmac
    virtual_ipaddress {
        fe80::1234:5678
        2001:db8:0::100/64
    }
    virtual_routes {
        2001:db8:99::/48 via 2001:db8:0::200 dev eth0
    }
}
vrrp_instance PLAIN {
    state BACKUP
    interface eth1
    virtual_router_id 71
    priority PRIORITY
    advert_int 1
    authentication {
        auth_type AH
        auth_pass secret
    }
    virtual_ipaddress {
        10.10.0.100/24
    }
}
",
    address: "10.9.0.100/24",
    masters: [0; 3],
    calm: Duration::ZERO,
};
const ADDRESSES: [&str; 3] = ["10.9.0.100/24", "2001:db8::100/64", "10.10.0.100/24"];
const PATIENCE: Duration = Duration::from_secs(20);
/// More than a master-down interval of the slowest instance: 3 s and a skew of 156/256 s.
const MASTER_DOWN: Duration = Duration::from_millis(4_500);
/// Less than any: only a goodbye explains it.
const BY_GOODBYE: Duration = Duration::from_millis(2_000);

/// `ip monitor`, and what it heard.
struct Monitor {
    process: Child,
    log: std::path::PathBuf,
}

impl Monitor {
    fn start(namespace: &Namespace) -> Monitor {
        let log = std::env::temp_dir().join(format!("{}-monitor", namespace.name()));
        let process = namespace
            .command("ip")
            .args(["monitor", "address", "route", "rule", "link"])
            .stdin(Stdio::null())
            .stdout(fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        thread::sleep(Duration::from_millis(200));
        Monitor { process, log }
    }

    fn heard(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_file(&self.log);
    }
}

struct Pair {
    ours: Side,
    theirs: Side,
    _net: Net,
}

impl Pair {
    fn new() -> Pair {
        let net = Net::new("killed").unwrap();
        let spaces = [net.namespace("a").unwrap(), net.namespace("b").unwrap()];
        for interface in ["eth0", "eth1"] {
            net.veth((&spaces[0], interface), (&spaces[1], interface)).unwrap();
        }
        let mut ours = Side::new(&SCENARIO, 0, &spaces[0], Product::Evenkeel);
        let mut theirs = Side::new(&SCENARIO, 1, &spaces[1], Product::Keepalived);
        ours.start();
        let until_held = Instant::now() + PATIENCE;
        while !ADDRESSES.iter().all(|address| ours.holds(address)) {
            assert!(Instant::now() < until_held, "{}", ours.log());
            thread::sleep(Duration::from_millis(50));
        }
        theirs.start();
        Pair { ours, theirs, _net: net }
    }

    fn kill_role(&self) -> u32 {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(pid) = self.ours.role("vrrp") {
                kill(pid);
                return pid;
            }
            assert!(Instant::now() < end, "{}", self.ours.log());
            thread::sleep(Duration::from_millis(5));
        }
    }

    fn within(&self, limit: Duration, what: &str, is_so: impl Fn(&Pair) -> bool) {
        let begin = Instant::now();
        while !is_so(self) {
            assert!(begin.elapsed() < limit, "{what}\n{}", self.ours.log());
            thread::sleep(Duration::from_millis(10));
        }
    }
}

fn arp_ignore(namespace: &Namespace) -> String {
    let read = || fs::read_to_string("/proc/sys/net/ipv4/conf/eth0/arp_ignore").unwrap();
    namespace.enter(read).unwrap().trim().to_owned()
}

#[test]
fn a_killed_role_goes_on_where_it_was_and_no_peer_takes_its_adverts_for_replays() {
    if let Some(reason) = crate::peers::missing() {
        println!("skipped: {reason}");
        return;
    }
    let pair = Pair::new();
    thread::sleep(MASTER_DOWN);
    assert!(!ADDRESSES.iter().any(|address| pair.theirs.holds(address)), "{}", pair.theirs.log());
    let monitor = Monitor::start(&pair.ours.namespace);
    pair.kill_role();
    let end = Instant::now() + MASTER_DOWN;
    while Instant::now() < end {
        for address in ADDRESSES {
            assert!(pair.ours.holds(address), "{address}: {}", pair.ours.log());
            assert!(!pair.theirs.holds(address), "{address}: {}", pair.theirs.log());
        }
    }
    assert_eq!(monitor.heard(), "");
    let log = pair.theirs.log();
    assert!(!log.contains("already processed"), "{log}");
    assert_eq!(pair.ours.log().matches("resumed").count(), ADDRESSES.len());
}

#[test]
fn a_role_that_dies_three_times_in_a_row_leaves_nothing_and_its_peer_takes_over_at_once() {
    if let Some(reason) = crate::peers::missing() {
        println!("skipped: {reason}");
        return;
    }
    let pair = Pair::new();
    thread::sleep(MASTER_DOWN);
    for _ in 0..2 {
        let killed = pair.kill_role();
        pair.within(PATIENCE, "it is started again", |pair| {
            pair.ours.role("vrrp").is_some_and(|pid| pid != killed)
        });
    }
    pair.kill_role();
    pair.within(BY_GOODBYE, "the peer holds everything", |pair| {
        ADDRESSES.iter().all(|address| pair.theirs.holds(address) && !pair.ours.holds(address))
    });
    let space = &pair.ours.namespace.clone();
    assert!(!space.ip("route show").unwrap().contains("192.168.98.0"));
    assert!(!space.ip("rule").unwrap().contains("192.168.98.0"));
    // The fourth process takes part as backup, and preempts.
    pair.within(PATIENCE, "we are master again", |pair| {
        ADDRESSES.iter().all(|address| pair.ours.holds(address) && !pair.theirs.holds(address))
    });
    // At the end everything is as it was before the first of them.
    assert_eq!(arp_ignore(space), "1");
    let mut ours = pair.ours;
    ours.stop();
    assert_eq!(arp_ignore(space), "0");
    assert!(!space.ip("link").unwrap().contains("vrrp"));
    let mut list = Command::new("ip");
    list.args(["netns", "exec", space.name(), "nft", "list", "ruleset"]);
    let rules = list.output().map(|output| output.stdout).unwrap_or_default();
    assert_eq!(String::from_utf8_lossy(&rules), "");
}
