//! `use_vmac` on a real switch: requests for the address are answered once, with the virtual MAC
//! address; a backup sends no frame with it; what the master asks for itself never says that the
//! address is elsewhere.

use std::net::Ipv4Addr;
use std::thread;
use std::time::{Duration, Instant};

use edge::neighbour_probe::{Probe, ProbeSockets};

use super::scenario::{Product, Side};
use super::wire::{self, Lan, Tap, within};

const PATIENCE: Duration = Duration::from_secs(20);
const MAC: [u8; 6] = [0, 0, 0x5e, 0, 1, 51];
const MAC_TEXT: &str = "00:00:5e:00:01:33";
const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 100);
const CONFIGURATION: &str = "
vrrp_instance VI_1 {
    state BACKUP
    interface eth0
    use_vmac
    version 3
    virtual_router_id 51
    priority PRIORITY
    advert_int 0.2
    virtual_ipaddress {
        10.9.0.100/24
    }
}
";

/// Everybody on the switch is asked for the address; who answered.
fn ask(lan: &Lan) -> Vec<[u8; 6]> {
    let text = lan.switch.ip("-j link show dev br0").unwrap();
    let links: serde_json::Value = serde_json::from_str(&text).unwrap();
    let index = links[0]["ifindex"].as_u64().unwrap() as u32;
    let mac = links[0]["address"].as_str().unwrap().split(':');
    let mac: Vec<u8> = mac.map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect();
    let probe = Probe {
        interface: index,
        from_mac: mac.try_into().unwrap(),
        from: Ipv4Addr::new(10, 9, 0, 99).into(),
        target: ADDRESS.into(),
        target_mac: None,
    };
    lan.switch.enter(|| answers(&probe)).unwrap()
}

fn answers(probe: &Probe) -> Vec<[u8; 6]> {
    let socket = ProbeSockets::open().unwrap();
    socket.send(probe).unwrap();
    let end = Instant::now() + Duration::from_millis(600);
    let mut heard = Vec::new();
    while Instant::now() < end {
        while let Ok(Some(answer)) = socket.receive() {
            if answer.interface == probe.interface && answer.address == probe.target {
                heard.push(answer.mac);
            }
        }
        thread::sleep(Duration::from_millis(10));
    }
    heard
}

fn holds(side: &Side) -> bool {
    side.holds("10.9.0.100/24")
}

/// The source MAC address of the frame that tcpdump shows in a line.
fn source(line: &str) -> &str {
    line.split_whitespace().nth(1).unwrap_or_default()
}

#[test]
fn a_virtual_mac_address_has_one_owner_on_the_wire() {
    if let Some(reason) = super::missing().or_else(wire::missing) {
        println!("skipped: {reason}");
        return;
    }
    let lan = Lan::new("vmacwire");
    let [mut master, mut backup] = [0, 1]
        .map(|number| Side::of(CONFIGURATION, number, &lan.directors[number], Product::Evenkeel));
    let of_backup = Tap::of(&lan, 1, &format!("ether src {MAC_TEXT}"));
    master.start();
    within(PATIENCE, "a master", || holds(&master));
    backup.start();
    within(PATIENCE, "a backup", || backup.log().contains("-> BACKUP"));
    thread::sleep(Duration::from_secs(1));

    let of_master = Tap::of(&lan, 0, "arp or proto 112");
    for _ in 0..3 {
        assert_eq!(ask(&lan), [MAC]);
    }
    // The master asks for others: for itself, and in the name of the address.
    for words in
        [["-c1", "-W1", "10.9.0.98"].as_slice(), &["-c1", "-W1", "-I", "10.9.0.100", "10.9.0.97"]]
    {
        drop(master.namespace.command("ping").args(words).output().unwrap());
    }
    assert_eq!(ask(&lan), [MAC]);
    thread::sleep(Duration::from_millis(500));
    let lines = of_master.lines();
    let about = |word: &str| {
        let about: Vec<&String> = lines.iter().filter(|line| line.contains(word)).collect();
        assert!(!about.is_empty(), "nothing about {word}: {lines:?}");
        about
    };
    for line in [about("tell 10.9.0.100,"), about("10.9.0.100 is-at"), about("VRRPv3")].concat() {
        assert_eq!(source(line), MAC_TEXT, "{line}");
    }
    for line in about("tell 10.9.0.1,") {
        assert_ne!(source(line), MAC_TEXT, "{line}");
    }
    assert_eq!(of_backup.lines(), [""; 0]);

    master.stop();
    within(PATIENCE, "the backup takes over", || holds(&backup));
    thread::sleep(Duration::from_millis(500));
    assert_eq!(ask(&lan), [MAC]);
    assert!(!of_backup.lines().is_empty());

    master.start();
    within(PATIENCE, "the master is back", || holds(&master) && !holds(&backup));
    thread::sleep(Duration::from_secs(1));
    let before = of_backup.lines().len();
    assert_eq!(ask(&lan), [MAC]);
    thread::sleep(Duration::from_secs(2));
    assert_eq!(of_backup.lines().len(), before);
}
