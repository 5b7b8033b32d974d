//! BFD sessions: between two of ours, and with Debian's keepalived.

use std::time::{Duration, Instant};

use model::control::{Event, RolePlan, RoleReport};
use model::status::{BfdStatus, VrrpState};
use model::units::{Centiseconds, VirtualRouterId};
use model::vrrp::{BfdSession, Track, Tracked, Version, VirtualAddress, VrrpInstance, VrrpPlan};

use crate::role::RoleProcess;
use crate::vrrp::{Pair, SOON, skipped, status, within};

const TEN: Duration = Duration::from_millis(10);

fn session(neighbour: u8) -> BfdSession {
    BfdSession {
        name: "other".into(),
        neighbour: [10, 9, 0, neighbour].into(),
        source: Some([10, 9, 0, 3 - neighbour].into()),
        min_rx: TEN,
        min_tx: TEN,
        idle_tx: Duration::from_secs(1),
        multiplier: 3,
        passive: false,
        ttl: 255,
        max_hops: 0,
        for_vrrp: true,
        for_checkers: false,
    }
}

/// An instance that is faulty while the session is down.
fn tracking(session: BfdSession) -> VrrpPlan {
    let id = VirtualRouterId::try_from(51).unwrap();
    let what = Tracked::Bfd(session.name.clone());
    let instance = VrrpInstance {
        version: Version::V3,
        advert_interval: Centiseconds(10),
        addresses: vec![VirtualAddress::new([10, 9, 0, 100].into(), 32)],
        tracks: vec![Track { what, weight: 0, reverse: false }],
        ..VrrpInstance::new("VI_1", "eth0", id)
    };
    VrrpPlan { instances: vec![instance], bfd: vec![session], ..VrrpPlan::default() }
}

fn bfd(role: &mut RoleProcess) -> BfdStatus {
    match role.report() {
        RoleReport::Vrrp(report) => report.bfd.into_iter().next().unwrap(),
        other => panic!("{other:?}"),
    }
}

/// How long after `begin` the role tells of something, asked for nothing meanwhile.
fn told(role: &mut RoleProcess, begin: Instant, text: &str) -> Duration {
    let tells =
        |event: &Event| matches!(event, Event::Log { text: told, .. } if told.contains(text));
    while begin.elapsed() < SOON {
        assert_eq!(role.receive(Duration::from_millis(1)), None);
        if role.events.iter().any(tells) {
            return begin.elapsed();
        }
    }
    panic!("{text:?} was not told: {:?}", role.events);
}

#[test]
fn a_neighbour_that_falls_silent_is_down_after_three_packets_and_its_tracker_is_a_fault() {
    if skipped() {
        return;
    }
    let pair = Pair::new("vrrpbfd").unwrap();
    let mut ours = pair.role(None, tracking(session(2)));
    assert_eq!(status(&mut ours).state, VrrpState::Fault);
    assert_eq!(bfd(&mut ours).state, "Down");

    let mut theirs = RoleProcess::start(&pair.theirs, "vrrp").unwrap();
    theirs.hello("/sys/fs/bpf/none", Vec::new());
    let plan = VrrpPlan { bfd: vec![session(1)], ..VrrpPlan::default() };
    theirs.configure(RolePlan::Vrrp(Box::new(plan)));
    within(SOON, "the session comes up", || bfd(&mut ours).state == "Up");
    within(SOON, "the instance takes part", || status(&mut ours).state == VrrpState::Master);
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(bfd(&mut ours).ups, 1);
    assert_eq!(bfd(&mut ours).detection_us, 30_000);

    ours.events.clear();
    // The clock of this test must not be late itself.
    edge::realtime::raise_priority(40).unwrap();
    let begin = Instant::now();
    theirs.kill();
    let took = told(&mut ours, begin, "BFD session other is down");
    println!("down {took:?} after it was killed");
    assert!(took <= Duration::from_millis(35) && took >= Duration::from_millis(15), "{took:?}");
    assert_eq!(status(&mut ours).state, VrrpState::Fault);
}

#[test]
fn a_session_with_keepalived_comes_up_and_goes_down_with_it() {
    if skipped() {
        return;
    }
    let pair = Pair::new("vrrpbfdk").unwrap();
    let mut ours = pair.role(None, tracking(session(2)));
    let keepalived = pair.keepalived_with(
        &[],
        "bfd_instance other {\n neighbor_ip 10.9.0.1\n source_ip 10.9.0.2\n min_rx 10\n \
         min_tx 10\n multiplier 3\n}\n",
    );
    within(SOON, "the session comes up", || bfd(&mut ours).state == "Up");
    within(SOON, "the instance takes part", || status(&mut ours).state == VrrpState::Master);
    keepalived.kill();
    within(SOON, "the session goes down", || bfd(&mut ours).state == "Down");
    within(SOON, "a fault", || status(&mut ours).state == VrrpState::Fault);
}
