//! A hundred masters that send every 10 ms, while they are asked for reports and given plans as
//! fast as they answer.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use edge::raw::Receiver;
use model::Time;
use model::control::{RolePlan, RoleReport};
use model::status::{VrrpReport, VrrpState};
use model::units::{Centiseconds, VirtualRouterId};
use model::vrrp::{Family, Version, VirtualAddress, VrrpInstance, VrrpPlan};

use crate::role::RoleProcess;
use crate::vrrp::{Pair, SOON, skipped, within};

const ROUTERS: u8 = 100;
const ADDRESSES: u8 = 20;
const INTERVAL: Duration = Duration::from_millis(10);

fn plan(extra: u8) -> VrrpPlan {
    let address = |id, last| VirtualAddress::new([10, 10, id, last].into(), 32);
    let instances = (1..=ROUTERS).map(|id| VrrpInstance {
        version: Version::V3,
        advert_interval: Centiseconds(1),
        addresses: vec![address(id, 1)],
        // The last one changes with every plan.
        excluded_addresses: (2..=ADDRESSES)
            .map(|last| address(id, last))
            .chain((id == ROUTERS).then(|| address(id, 100 + extra)))
            .collect(),
        ..VrrpInstance::new(&format!("VI_{id}"), "eth0", VirtualRouterId::try_from(id).unwrap())
    });
    VrrpPlan { instances: instances.collect(), ..VrrpPlan::default() }
}

fn report(role: &mut RoleProcess) -> VrrpReport {
    match role.report() {
        RoleReport::Vrrp(report) => report,
        other => panic!("{other:?}"),
    }
}

/// Arrival times of every router's adverts until `stop`.
fn listen(mut receiver: Receiver, stop: &AtomicBool) -> BTreeMap<u8, Vec<Time>> {
    let mut heard: BTreeMap<u8, Vec<Time>> = BTreeMap::new();
    while !stop.load(Ordering::Relaxed) {
        while let Some(packet) = receiver.receive().unwrap() {
            heard.entry(packet.payload[1]).or_default().push(packet.arrived);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    heard
}

#[test]
fn adverts_keep_their_rhythm_while_reports_and_plans_go_back_and_forth() {
    if skipped() {
        return;
    }
    let pair = Pair::new("vrrpontime").unwrap();
    let mut role = pair.role(None, plan(0));
    within(SOON, "all are masters", || {
        report(&mut role).instances.iter().all(|i| i.state == VrrpState::Master)
    });
    std::thread::sleep(Duration::from_secs(1));
    let receiver = pair.theirs.enter(|| {
        let receiver = Receiver::open(Family::Ipv4, 112, Some("eth0")).unwrap();
        let links = std::fs::read_to_string("/proc/thread-self/net/dev_mcast").unwrap();
        let line = links.lines().find(|line| line.contains("eth0")).unwrap();
        let index = line.split_whitespace().next().unwrap().parse().unwrap();
        receiver.join(Family::Ipv4.group(), index).unwrap();
        receiver
    });
    let (receiver, stop) = (receiver.unwrap(), AtomicBool::new(false));
    let (heard, reports, plans) = std::thread::scope(|scope| {
        let listener = scope.spawn(|| listen(receiver, &stop));
        let (mut reports, mut plans) = (0, 0u32);
        let end = Instant::now() + Duration::from_secs(5);
        while Instant::now() < end {
            for _ in 0..10 {
                report(&mut role);
                reports += 1;
            }
            plans += 1;
            role.configure(RolePlan::Vrrp(Box::new(plan((plans % 100) as u8))));
        }
        stop.store(true, Ordering::Relaxed);
        (listener.join().unwrap(), reports, plans)
    });
    assert_eq!(heard.len(), usize::from(ROUTERS));
    let mut late: Vec<Duration> = heard
        .values()
        .flat_map(|times| times.windows(2).map(|pair| pair[1].since(pair[0])))
        .map(|gap| gap.saturating_sub(INTERVAL))
        .collect();
    late.sort();
    let at = |share: f64| late[((late.len() - 1) as f64 * share) as usize];
    let after = report(&mut role);
    println!(
        "{} adverts, {reports} reports, {plans} plans; gaps longer than 10 ms by: median {:?}, \
         99% {:?}, 99.9% {:?}, worst {:?}; worst lateness {:?}, realtime {}, {:?}",
        late.len(),
        at(0.5),
        at(0.99),
        at(0.999),
        at(1.0),
        Duration::from_nanos(after.worst_lateness_ns),
        after.realtime,
        after.lateness,
    );
    // How late they were is a measurement (`make bench`), and depends on what else runs here.
    assert!(after.instances.iter().all(|i| (i.state, i.became_master) == (VrrpState::Master, 1)));
    assert!(reports > 10 && plans > 1);
}
