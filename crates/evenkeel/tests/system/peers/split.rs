//! Two masters: a cable between them is cut for a while and mended. The stronger one sounds an
//! alarm, tells the network again where the addresses are, and its scripts that it is master.

use std::process::Command;
use std::thread;
use std::time::Duration;

use super::scenario::{Product, Side};
use super::wire::{self, Lan, Tap, within};

const PATIENCE: Duration = Duration::from_secs(20);
const ADDRESS: &str = "10.9.0.100/24";
/// With `higher_prio_send_advert` the weaker one is heard once more before it gives way, whoever
/// speaks first when the cable is mended.
const CONFIGURATION: &str = "
global_defs {
    script_user root
}
vrrp_instance VI_1 {
    state BACKUP
    interface eth0
    version 3
    virtual_router_id 51
    priority PRIORITY
    advert_int 0.2
    garp_master_delay 1
    higher_prio_send_advert
    notify FILES/notify
    virtual_ipaddress {
        10.9.0.100/24
    }
}
";

fn announcements(tap: &Tap) -> usize {
    let of_it =
        |line: &&String| line.contains("who-has 10.9.0.100") && line.contains("tell 10.9.0.100");
    tap.lines().iter().filter(of_it).count()
}

fn times(side: &Side, what: &str) -> usize {
    side.log().matches(what).count()
}

/// How many adverts of rivals an instance counted, as `evenkeel status --json` tells.
fn rivals(side: &Side) -> u64 {
    let output = Command::new(env!("CARGO_BIN_EXE_evenkeel"))
        .args(["status", "--json", "--runtime-dir", &side.path("run")])
        .output()
        .unwrap();
    let status: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    find(&status, "rivals").and_then(serde_json::Value::as_u64).unwrap()
}

fn find<'a>(value: &'a serde_json::Value, name: &str) -> Option<&'a serde_json::Value> {
    match value {
        serde_json::Value::Object(fields) => {
            fields.get(name).or_else(|| fields.values().find_map(|value| find(value, name)))
        }
        serde_json::Value::Array(list) => list.iter().find_map(|value| find(value, name)),
        _ => None,
    }
}

fn heal(tag: &str, products: [Product; 2]) {
    if let Some(reason) = super::missing().or_else(wire::missing) {
        println!("skipped: {reason}");
        return;
    }
    let lan = Lan::new(tag);
    let [mut winner, mut loser] = [0, 1]
        .map(|number| Side::of(CONFIGURATION, number, &lan.directors[number], products[number]));
    winner.start();
    within(PATIENCE, "the first master", || winner.holds(ADDRESS));
    loser.start();
    within(PATIENCE, "a backup", || loser.notices().iter().any(|line| line.contains("BACKUP")));
    // The second burst of announcements comes a second after the first.
    thread::sleep(Duration::from_secs(2));
    assert_eq!((loser.holds(ADDRESS), times(&winner, "(VI_1) two masters")), (false, 0));
    lan.cut();
    within(PATIENCE, "a second master", || loser.holds(ADDRESS));
    thread::sleep(Duration::from_secs(5));
    assert!(winner.holds(ADDRESS) && times(&winner, "(VI_1) two masters") == 0);
    let tap = Tap::of(&lan, 0, "arp");
    lan.heal();
    within(PATIENCE, "one master", || !loser.holds(ADDRESS));
    let told = || winner.notices().iter().filter(|line| line.contains("MASTER")).count();
    within(PATIENCE, "another notice", || told() == 2);
    thread::sleep(Duration::from_secs(1));
    assert!(winner.holds(ADDRESS));
    assert_eq!((told(), times(&winner, "(VI_1) two masters")), (2, 1), "{}", winner.log());
    assert!(times(&winner, "is gone") == 1 && rivals(&winner) >= 1, "{}", winner.log());
    // At once, and again when the rival is silent.
    assert!(announcements(&tap) >= 10, "{:?}", tap.lines());
    let last = loser.notices().pop();
    assert_eq!(last.as_deref(), Some("INSTANCE VI_1 BACKUP 100"));
}

#[test]
fn two_of_us_after_a_cut_of_five_seconds() {
    heal("splitours", [Product::Evenkeel, Product::Evenkeel]);
}

#[test]
fn the_stronger_of_us_against_a_keepalived_after_a_cut_of_five_seconds() {
    heal("splittheirs", [Product::Evenkeel, Product::Keepalived]);
}
