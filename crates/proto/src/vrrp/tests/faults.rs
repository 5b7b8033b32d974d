//! What makes an instance faulty, and how it recovers.

use super::*;
use model::vrrp::{LinkDelay, TrackGroup, Unicast, VirtualLink};

#[test]
fn an_interface_that_goes_down_is_a_fault_and_coming_back_makes_a_backup() {
    let mut bench = Bench::master(plan(100));
    bench.link(5_000, "eth0", DOWN);
    // Nothing can be sent any more.
    assert_eq!(bench.letters(), "rTN");
    assert_eq!((bench.state(), bench.due()), (VrrpState::Fault, Time::NEVER));
    assert_eq!(bench.status(5_000).faults, ["interface eth0 is down"]);
    bench.link(6_000, "eth0", UP);
    assert_eq!(bench.letters(), "TN");
    assert_eq!(bench.state(), VrrpState::Backup);
    bench.pass(10_000);
    assert_eq!(bench.state(), VrrpState::Master);
}

#[test]
fn without_an_interface_it_starts_in_fault() {
    let mut machine = Machine::default();
    machine.links.insert("eth0".into(), LinkState::default());
    let mut bench = Bench::over(machine, &alone(plan(100)));
    assert_eq!(bench.state(), VrrpState::Fault);
    assert_eq!(bench.letters(), "rTN");
    bench.link(1, "eth0", UP);
    assert_eq!(bench.state(), VrrpState::Backup);
}

#[test]
fn a_lost_address_of_the_family_is_a_fault_unless_the_file_gives_a_source() {
    let no_ipv4 = LinkState { ipv4: None, ..UP };
    let mut bench = Bench::master(plan(100));
    bench.link(5_000, "eth0", no_ipv4);
    assert_eq!(bench.status(5_000).faults, ["eth0 has no IPv4 address"]);
    // The backups need not wait: goodbye is said from the address that was.
    assert_eq!(bench.letters(), "grTN");
    let mut bench = Bench::master(VrrpInstance { source: Some(OURS), ..plan(100) });
    bench.link(5_000, "eth0", no_ipv4);
    assert_eq!(bench.state(), VrrpState::Master);
}

#[test]
fn dont_track_primary_stays_whatever_the_interface_does() {
    let mut bench = Bench::master(VrrpInstance { track_primary: false, ..plan(100) });
    bench.link(5_000, "eth0", DOWN);
    assert_eq!((bench.state(), bench.letters()), (VrrpState::Master, String::new()));
}

#[test]
fn track_src_ip_is_a_fault_while_the_source_is_on_no_interface() {
    let config = VrrpInstance { source: Some(OURS), track_source: true, ..plan(100) };
    let mut bench = Bench::master(config);
    bench.router.handle_source(at(5_000), OURS, false);
    // The address that it would come from is gone, the goodbye goes out while it lasts.
    assert_eq!(bench.status(5_000).faults, ["source address 10.9.0.1 is missing"]);
    bench.router.handle_source(at(5_500), HIGHER, true);
    assert_eq!(bench.state(), VrrpState::Fault);
    bench.router.handle_source(at(6_000), OURS, true);
    assert_eq!(bench.state(), VrrpState::Backup);
}

#[test]
fn unicast_fault_no_peer_is_a_fault_until_a_reload_brings_one() {
    let fault_without_peers = true;
    let unicast = Unicast { fault_without_peers, ..Unicast::default() };
    let lonely = VrrpInstance { destination: Destination::Unicast(unicast), ..plan(100) };
    let mut bench = Bench::started(&alone(lonely));
    assert_eq!(bench.status(1).faults, ["no unicast peers"]);
    let unicast = Unicast::default();
    let lonely = VrrpInstance { destination: Destination::Unicast(unicast), ..plan(100) };
    bench.configure(1_000, &alone(lonely));
    assert_eq!(bench.state(), VrrpState::Backup);
}

#[test]
fn several_faults_are_a_set_and_the_last_one_that_goes_ends_it() {
    let mut config = plan(100);
    config.tracks = vec![track(script("s"), 0), track(Tracked::Interface("eth1".into()), 0)];
    let mut machine = Machine::default();
    machine.trackers.insert(script("s"), TrackerState::Up);
    let mut bench = Bench::over(machine, &alone(config));
    bench.link(1_000, "eth1", DOWN);
    bench.tracker(1_100, script("s"), TrackerState::Down);
    bench.link(1_200, "eth0", DOWN);
    assert_eq!(
        bench.status(1_200).faults,
        ["interface eth0 is down", "script s failed", "tracked interface eth1 failed"]
    );
    bench.link(1_300, "eth0", UP);
    bench.link(1_400, "eth1", UP);
    assert_eq!(bench.state(), VrrpState::Fault);
    bench.tasks();
    bench.tracker(1_500, script("s"), TrackerState::Up);
    assert_eq!(bench.notices(), ["VI_1 BACKUP 100"]);
}

#[test]
fn a_master_that_is_robbed_gives_everything_up_and_is_back_after_its_skew() {
    let mut bench = Bench::master(plan(100));
    bench.router.handle_lost(at(5_000), &Holding::Address(address(100)));
    assert_eq!(bench.letters(), "grTN");
    assert_eq!(bench.due(), Time::from_nanos(5_609_375_000));
    bench.pass(5_610);
    assert_eq!(bench.letters(), "shGTN");
    // What is not its own is nothing to it.
    bench.router.handle_lost(at(6_000), &Holding::Address(address(99)));
    assert_eq!(bench.state(), VrrpState::Master);
}

#[test]
fn a_lost_static_address_is_a_fault_of_its_track_group() {
    let lost = VirtualAddress {
        track_group: Some("T".into()),
        interface: Some("eth5".into()),
        ..address(200)
    };
    let lost = Holding::Address(lost);
    let mut config = VrrpPlan {
        instances: vec![plan(100), named("VI_2", "eth1", 52, 100)],
        statics: vec![lost.clone()],
        track_groups: vec![TrackGroup { name: "T".into(), members: vec!["VI_2".into()] }],
        ..VrrpPlan::default()
    };
    let mut bench = Bench::started(&config);
    bench.router.handle_lost(at(1_000), &lost);
    assert_eq!(bench.states(), [VrrpState::Backup, VrrpState::Fault]);
    bench.router.handle_restored(at(2_000), &lost);
    assert_eq!(bench.states(), [VrrpState::Backup; 2]);
    bench.router.handle_lost(at(3_000), &lost);
    // A reload without it forgets it.
    config.statics.clear();
    bench.configure(4_000, &config);
    assert_eq!(bench.states(), [VrrpState::Backup; 2]);
}

#[test]
fn a_delayed_link_must_be_down_for_a_while_and_less_than_a_backup_would_wait() {
    let delay = |seconds| Duration::from_secs(seconds);
    let mut config = alone(plan(100));
    config.link_delays =
        vec![LinkDelay { interface: "eth0".into(), down: delay(1), up: delay(200) }];
    let mut bench = Bench::started(&config);
    bench.pass(4_000);
    bench.link(4_600, "eth0", DOWN);
    bench.pass(5_599);
    assert_eq!(bench.state(), VrrpState::Master);
    bench.pass(5_600);
    assert_eq!(bench.state(), VrrpState::Fault);
    bench.link(6_000, "eth0", UP);
    // (3 - 1) adverts, and a little less.
    let due = bench.router.next_deadline();
    assert_eq!(due, Time::from_nanos(8_000_000_000 - 3_906_250));
    bench.router.handle_timeout(due);
    assert_eq!(bench.state(), VrrpState::Backup);
}

#[test]
fn a_fault_stays_told_once_however_many_things_fail() {
    let mut bench = Bench::master(plan(100));
    bench.link(5_000, "eth0", DOWN);
    bench.link(5_001, "eth0", LinkState::default());
    assert_eq!(bench.notices(), ["VI_1 FAULT 100"]);
}

#[test]
fn a_changed_source_address_of_a_master_is_told_at_once() {
    let mut bench = Bench::master(plan(100));
    let ipv4 = Some(Ipv4Addr::new(10, 9, 0, 7));
    bench.link(4_700, "eth0", LinkState { ipv4, ..UP });
    let outputs = bench.outputs();
    assert!(
        matches!(&outputs[..], [Output::SendAdvert(p)] if Some(p.source) == ipv4.map(Into::into))
    );
}

#[test]
fn a_virtual_interface_that_adverts_leave_by_and_that_is_not_there_is_a_fault() {
    let link = |transmit_on_base| VirtualLink::Macvlan {
        name: "vrrp.51".into(),
        mac: [0, 0, 0x5e, 0, 1, 51],
        transmit_on_base,
        other_interfaces: false,
    };
    let mut bench = Bench::master(VrrpInstance { link: link(false), ..plan(100) });
    bench.router.handle_virtual_link(at(5_000), "vrrp.51", false);
    assert_eq!(bench.status(5_000).faults, ["there is no interface vrrp.51"]);
    assert_eq!(bench.state(), VrrpState::Fault);
    bench.router.handle_virtual_link(at(6_000), "vrrp.51", true);
    assert_eq!(bench.state(), VrrpState::Backup);
    let mut bench = Bench::master(VrrpInstance { link: link(true), ..plan(100) });
    bench.router.handle_virtual_link(at(5_000), "vrrp.51", false);
    assert_eq!(bench.state(), VrrpState::Master);
}
