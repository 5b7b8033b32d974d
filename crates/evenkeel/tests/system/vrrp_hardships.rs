//! The vrrp role where things go wrong around it: it is suspended, flooded, nobody reads what it
//! says.

use std::time::Duration;

use lab::net::{Namespace, Net};
use model::control::{RolePlan, RoleReport};
use model::status::{VrrpReport, VrrpState};
use model::units::{Centiseconds, Priority, VirtualRouterId};
use model::vrrp::{Version, VirtualAddress, VrrpInstance, VrrpPlan};

use rustix::process::Signal;

use crate::duties::{Director, Place, instance, signal_to, within as soon};
use crate::role::RoleProcess;
use crate::vrrp::{Pair, SOON, skipped, within};

/// So many instances, an advert each every 40 ms: their master counts as dead after 120 ms and
/// some.
fn plan(instances: u8, priority: u8) -> VrrpPlan {
    let instance = |id| VrrpInstance {
        version: Version::V3,
        priority: Priority::try_from(priority).unwrap(),
        advert_interval: Centiseconds(4),
        addresses: vec![VirtualAddress::new([10, 10, id, 1].into(), 32)],
        ..VrrpInstance::new(&format!("VI_{id}"), "eth0", VirtualRouterId::try_from(id).unwrap())
    };
    VrrpPlan { instances: (1..=instances).map(instance).collect(), ..VrrpPlan::default() }
}

fn report(role: &mut RoleProcess) -> VrrpReport {
    match role.report() {
        RoleReport::Vrrp(report) => report,
        other => panic!("{other:?}"),
    }
}

/// How often its instances became master.
fn became_master(role: &mut RoleProcess) -> u64 {
    report(role).instances.iter().map(|instance| instance.became_master).sum()
}

/// The backup's role as another process on the other side.
fn other_side(pair: &Pair, plan: VrrpPlan) -> RoleProcess {
    let mut role = RoleProcess::start(&pair.theirs, "vrrp").unwrap();
    role.hello("/sys/fs/bpf/none", Vec::new());
    role.configure(RolePlan::Vrrp(Box::new(plan)));
    role
}

#[test]
fn a_suspended_backup_takes_nothing_over_when_it_goes_on_though_its_sockets_overflowed() {
    if skipped() {
        return;
    }
    let pair = Pair::new("suspended").unwrap();
    let mut master = pair.role(None, plan(100, 200));
    within(SOON, "all are masters", || {
        report(&mut master).instances.iter().all(|i| i.state == VrrpState::Master)
    });
    let mut backup = other_side(&pair, plan(100, 100));
    std::thread::sleep(Duration::from_millis(300));
    let before = became_master(&mut backup);
    // A socket holds about 1,300 adverts, and 2,500 are sent in a second.
    for milliseconds in [150, 400, 900] {
        backup.signal("STOP");
        std::thread::sleep(Duration::from_millis(milliseconds));
        backup.signal("CONT");
        std::thread::sleep(Duration::from_millis(300));
    }
    assert_eq!(became_master(&mut backup), before);
    assert_eq!(became_master(&mut master), 100);
}

/// What is on eth0 besides its own address.
fn virtual_addresses(namespace: &Namespace) -> Vec<String> {
    let listed = namespace.ip("-o -4 addr show dev eth0").unwrap();
    let words = |line: &str| line.split_whitespace().nth(3).map(str::to_owned);
    listed.lines().filter_map(words).filter(|address| !address.ends_with("/24")).collect()
}

/// A director alone in its namespace, master of 10.9.0.100.
fn alone<'a>(net: &Net, place: &'a Place) -> (Namespace, Director<'a>) {
    let (ours, _) = crate::duties::pair(net);
    place.write("keepalived.conf", &instance(""));
    let director = Director::start(&ours, place);
    soon("it is master", || director.state() == "master");
    (ours, director)
}

#[test]
fn a_role_killed_in_a_reload_leaves_no_address_of_the_other_configuration() {
    if skipped() {
        return;
    }
    let (net, place) = (Net::new("halfway").unwrap(), Place::new("halfway"));
    let (ours, director) = alone(&net, &place);
    // Suspended, the role finds the reload when it is killed: nothing of it is in place. Its
    // predecessor's addresses are.
    let vrrp = director.pid("vrrp").unwrap();
    signal_to(vrrp, Signal::STOP);
    let other = instance("").replace("10.9.0.100", "10.9.0.101");
    place.write("keepalived.conf", &other);
    director.running.signal(Signal::HUP);
    std::thread::sleep(Duration::from_millis(300));
    signal_to(vrrp, Signal::KILL);
    soon("only the new address is there", || virtual_addresses(&ours) == ["10.9.0.101/32"]);
    assert!(director.running.stop().success());
    assert!(virtual_addresses(&ours).is_empty());
}

#[test]
fn a_role_that_dies_again_and_again_leaves_no_address_while_it_waits() {
    if skipped() {
        return;
    }
    let (net, place) = (Net::new("again").unwrap(), Place::new("again"));
    let (ours, director) = alone(&net, &place);
    for deaths in 1..=4 {
        soon("it is master", || director.state() == "master");
        signal_to(director.pid("vrrp").unwrap(), Signal::KILL);
        // After the third it is back in 100 ms and master 364 ms later.
        if deaths > 2 {
            soon("they are gone", || virtual_addresses(&ours).is_empty());
        }
    }
}

#[test]
fn a_role_that_does_not_stop_is_ended_and_its_addresses_go() {
    if skipped() {
        return;
    }
    let (net, place) = (Net::new("deaf").unwrap(), Place::new("deaf"));
    let (ours, director) = alone(&net, &place);
    signal_to(director.pid("vrrp").unwrap(), Signal::STOP);
    director.running.signal(Signal::TERM);
    std::thread::sleep(Duration::from_millis(100));
    // Asked twice, it has little patience left.
    director.running.stop();
    assert!(virtual_addresses(&ours).is_empty());
}
