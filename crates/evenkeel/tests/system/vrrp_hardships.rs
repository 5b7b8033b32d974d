//! The vrrp role where things go wrong around it: it is suspended, flooded, nobody reads what it
//! says.

use std::time::Duration;

use model::control::{RolePlan, RoleReport};
use model::status::{VrrpReport, VrrpState};
use model::units::{Centiseconds, Priority, VirtualRouterId};
use model::vrrp::{Version, VirtualAddress, VrrpInstance, VrrpPlan};

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
