use super::*;
use alloc::string::String;
use alloc::vec;
use core::net::Ipv4Addr;
use model::units::{Centiseconds, Priority, VirtualRouterId};
use model::vrrp::{Authentication, Garp, Holding, InitialState};

const LOWER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 9, 0, 0));
const HIGHER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 9, 0, 2));
pub(crate) const UP: LinkState =
    LinkState { up: true, ipv4: Some(Ipv4Addr::new(10, 9, 0, 1)), ipv6: None };

pub(crate) fn received(source: IpAddr, payload: &[u8]) -> Received<'_> {
    let destination = packet::GROUP.into();
    let protocol = packet::PROTOCOL;
    Received { source, destination, ttl: 255, protocol, ipv4_header: &[], payload }
}

pub(crate) fn address(last: u8) -> VirtualAddress {
    VirtualAddress::new(IpAddr::V4(Ipv4Addr::new(10, 9, 0, last)), 32)
}

pub(crate) fn plan(priority: u8) -> VrrpInstance {
    VrrpInstance {
        name: "VI_1".into(),
        interface: "eth0".into(),
        virtual_router_id: VirtualRouterId::try_from(51).unwrap(),
        priority: Priority::try_from(priority).unwrap(),
        advert_interval: Centiseconds(100),
        initial_state: InitialState::Backup,
        authentication: Authentication::None,
        preempt: true,
        preempt_delay: Duration::ZERO,
        addresses: vec![address(100)],
        excluded_addresses: vec![],
        garp: Garp::default(),
        ..VrrpInstance::new("VI_1", "eth0", VirtualRouterId::try_from(51).unwrap())
    }
}

fn at(milliseconds: u64) -> Time {
    Time::from_nanos(milliseconds * 1_000_000)
}

fn started(plan: VrrpInstance) -> Instance {
    let mut instance = Instance::new(Arc::new(plan), false);
    instance.handle_start(at(0), UP, false);
    instance
}

fn master(plan: VrrpInstance) -> Instance {
    let mut instance = started(plan);
    instance.handle_timeout(at(4_000));
    assert_eq!(instance.state(), VrrpState::Master);
    outputs(&mut instance);
    instance
}

fn outputs(instance: &mut Instance) -> Vec<Output> {
    core::iter::from_fn(|| instance.poll_output()).collect()
}

fn hear(instance: &mut Instance, now: Time, source: IpAddr, priority: u8) -> Vec<Output> {
    let message = packet::emit(instance.plan(), priority);
    instance.handle_advert(now, &received(source, &message)).unwrap();
    outputs(instance)
}

/// A letter per output: s(end), g(oodbye), a(dd), r(emove), G(ARP), T(ransition).
fn letters(outputs: &[Output]) -> String {
    let letter = |output: &Output| match output {
        Output::SendAdvert(packet) if packet.payload[2] == 0 => 'g',
        Output::SendAdvert(_) => 's',
        Output::Hold | Output::Add(_) => 'a',
        Output::Release | Output::Remove(_) => 'r',
        Output::Announce { .. } => 'G',
        Output::Transition { .. } => 'T',
        Output::Notice(..) => 'N',
        Output::Alarm(_) => '!',
    };
    outputs.iter().map(letter).collect()
}

#[test]
fn backup_takes_over_after_three_missed_adverts_and_the_skew() {
    let mut backup = started(plan(100));
    assert_eq!(backup.state(), VrrpState::Backup);
    assert_eq!(letters(&outputs(&mut backup)), "rTN");
    // 3 s and 156/256 s.
    assert_eq!(backup.next_deadline(), Time::from_nanos(3_609_375_000));
    backup.handle_timeout(at(3_609));
    assert_eq!(backup.state(), VrrpState::Backup);
    backup.handle_timeout(at(3_610));
    assert_eq!(backup.state(), VrrpState::Master);
    assert_eq!(letters(&outputs(&mut backup)), "saGTN");
}

#[test]
fn backup_stays_while_it_hears_a_stronger_or_equal_master() {
    let mut backup = started(plan(100));
    outputs(&mut backup);
    for second in 1..60 {
        let priority = if second % 2 == 0 { 100 } else { 150 };
        assert!(hear(&mut backup, at(second * 1_000), HIGHER, priority).is_empty());
        backup.handle_timeout(at(second * 1_000 + 999));
        assert_eq!(backup.state(), VrrpState::Backup);
    }
}

#[test]
fn backup_preempts_a_weaker_master_unless_told_not_to() {
    for (preempt, expected) in [(true, VrrpState::Master), (false, VrrpState::Backup)] {
        let mut backup = started(VrrpInstance { preempt, ..plan(100) });
        for second in 1..5 {
            hear(&mut backup, at(second * 1_000), HIGHER, 50);
            backup.handle_timeout(at(second * 1_000));
        }
        assert_eq!(backup.state(), expected);
    }
}

#[test]
fn preempt_delay_runs_from_the_first_advert_of_the_weaker_master() {
    let delay = Duration::from_secs(30);
    let mut backup = started(VrrpInstance { preempt_delay: delay, ..plan(100) });
    let mut second = 1;
    while backup.state() == VrrpState::Backup && second < 100 {
        hear(&mut backup, at(second * 1_000), HIGHER, 50);
        backup.handle_timeout(at(second * 1_000));
        second += 1;
    }
    assert!((31..=36).contains(&second), "preempted after {second} s");
}

#[test]
fn a_goodbye_of_the_master_leaves_only_the_skew_to_wait() {
    let mut backup = started(plan(240));
    hear(&mut backup, at(500), HIGHER, 250);
    hear(&mut backup, at(1_000), HIGHER, 0);
    assert_eq!(
        backup.next_deadline(),
        at(1_000) + Duration::from_millis(62) + Duration::from_micros(500)
    );
    backup.handle_timeout(at(1_063));
    let reason = Reason::MasterStopped;
    let (from, to) = (VrrpState::Backup, VrrpState::Master);
    let expected = Output::Transition { from, to, reason, priority: 240 };
    assert!(outputs(&mut backup).contains(&expected));
}

#[test]
fn the_owner_is_master_from_the_start() {
    let mut owner = started(plan(255));
    assert_eq!(owner.state(), VrrpState::Master);
    assert_eq!(letters(&outputs(&mut owner)), "saGTN");
}

#[test]
fn master_yields_to_a_higher_priority_and_to_a_higher_address_of_the_same_priority() {
    for (source, priority, yields) in
        [(LOWER, 101, true), (HIGHER, 100, true), (LOWER, 100, false), (HIGHER, 99, false)]
    {
        let mut instance = master(plan(100));
        let told = letters(&hear(&mut instance, at(4_100), source, priority));
        assert_eq!(instance.state() == VrrpState::Backup, yields, "{source} {priority}");
        assert_eq!(told, if yields { "rTN" } else { "sG" });
    }
}

#[test]
fn a_flood_of_weaker_adverts_is_answered_once_per_interval() {
    let mut instance = master(plan(100));
    let answers = (0..900).filter(|n| !hear(&mut instance, at(4_001 + n), LOWER, 1).is_empty());
    assert_eq!(answers.count(), 1);
}

#[test]
fn master_answers_a_goodbye_with_an_advert() {
    let mut instance = master(plan(100));
    assert_eq!(letters(&hear(&mut instance, at(4_500), HIGHER, 0)), "s");
}

#[test]
fn adverts_keep_their_rhythm_when_timers_fire_late() {
    let mut instance = master(plan(100));
    for second in 5..20 {
        assert_eq!(instance.timer, at(second * 1_000));
        instance.handle_timeout(at(second * 1_000 + 300));
    }
}

#[test]
fn gratuitous_arp_is_repeated_after_its_delay_and_refreshed() {
    let refresh = Duration::from_secs(60);
    let garp = Garp { refresh, ..Garp::default() };
    let mut instance = master(VrrpInstance { garp, ..plan(100) });
    let mut bursts = Vec::new();
    for second in 5..130 {
        instance.handle_timeout(at(second * 1_000));
        for output in outputs(&mut instance) {
            if let Output::Announce { repeat, .. } = output {
                bursts.push((second, repeat));
            }
        }
    }
    assert_eq!(bursts, [(9, 5), (64, 1), (124, 1)]);
}

#[test]
fn stop_says_goodbye_and_removes_the_addresses() {
    let mut instance = master(plan(100));
    instance.handle_stop(at(5_000));
    assert_eq!(letters(&outputs(&mut instance)), "grTN");
    assert_eq!((instance.state(), instance.next_deadline()), (VrrpState::Init, Time::NEVER));
}

#[test]
fn stop_of_a_backup_sends_nothing() {
    let mut instance = started(plan(100));
    outputs(&mut instance);
    instance.handle_stop(at(1_000));
    assert_eq!(letters(&outputs(&mut instance)), "TN");
}

#[test]
fn an_interface_that_goes_down_is_a_fault_and_coming_back_makes_a_backup() {
    let mut instance = master(plan(100));
    instance.handle_link(at(5_000), LinkState::default());
    assert_eq!(letters(&outputs(&mut instance)), "rTN");
    assert_eq!((instance.state(), instance.next_deadline()), (VrrpState::Fault, Time::NEVER));
    instance.handle_link(at(6_000), UP);
    assert_eq!(instance.state(), VrrpState::Backup);
    instance.handle_timeout(at(10_000));
    assert_eq!(instance.state(), VrrpState::Master);
}

#[test]
fn without_an_interface_it_starts_in_fault() {
    let mut instance = Instance::new(Arc::new(plan(255)), false);
    instance.handle_start(at(0), LinkState::default(), false);
    assert_eq!(instance.state(), VrrpState::Fault);
    instance.handle_link(at(1), UP);
    assert_eq!(instance.state(), VrrpState::Master);
}

#[test]
fn a_resumed_master_sends_an_advert_at_once_and_holds_what_is_there() {
    let mut instance = Instance::new(Arc::new(plan(100)), false);
    instance.handle_start(at(0), UP, true);
    assert_eq!(letters(&outputs(&mut instance)), "saGTN");
    assert_eq!(instance.state(), VrrpState::Master);
}

#[test]
fn a_discarded_advert_is_counted_and_changes_nothing() {
    let mut backup = started(plan(100));
    let deadline = backup.next_deadline();
    let foreign = VrrpInstance { advert_interval: Centiseconds(200), ..plan(200) };
    let message = packet::emit(&foreign, 200);
    let refused = backup.handle_advert(at(1_000), &received(HIGHER, &message));
    assert_eq!(refused, Err(Discard::Interval(2, 1)));
    assert_eq!(backup.next_deadline(), deadline);
    assert_eq!(backup.status(at(1_000)).adverts_discarded, 1);
}

#[test]
fn a_reload_without_a_change_says_nothing() {
    let mut instance = master(plan(100));
    let deadline = instance.next_deadline();
    instance.reconfigure(at(4_100), &Arc::new(plan(100)));
    assert_eq!(letters(&outputs(&mut instance)), "");
    assert_eq!(instance.next_deadline(), deadline);
}

#[test]
fn a_reload_moves_only_the_addresses_that_differ() {
    let mut instance =
        master(VrrpInstance { addresses: vec![address(100), address(101)], ..plan(100) });
    let new = VrrpInstance { addresses: vec![address(101), address(102)], ..plan(100) };
    instance.reconfigure(at(4_100), &Arc::new(new));
    let told = outputs(&mut instance);
    assert_eq!(letters(&told), "raGs");
    assert_eq!(told[0], Output::Remove(vec![Holding::Address(address(100))]));
    assert_eq!(told[1], Output::Add(vec![Holding::Address(address(102))]));
    assert_eq!(instance.state(), VrrpState::Master);
}

#[test]
fn a_changed_priority_of_a_master_is_told_at_once_and_of_a_backup_moves_its_timer() {
    let mut instance = master(plan(100));
    instance.reconfigure(at(4_100), &Arc::new(plan(90)));
    assert_eq!(letters(&outputs(&mut instance)), "s");
    let mut backup = started(plan(100));
    outputs(&mut backup);
    backup.reconfigure(at(1_000), &Arc::new(plan(254)));
    assert_eq!(letters(&outputs(&mut backup)), "");
    assert_eq!(backup.next_deadline(), at(1_000) + backup.master_down_interval());
}

#[test]
fn of_two_owners_the_one_with_the_lower_address_waits_as_a_backup() {
    let mut owner = started(plan(255));
    outputs(&mut owner);
    assert_eq!(letters(&hear(&mut owner, at(100), HIGHER, 255)), "rTN");
    assert_eq!(owner.next_deadline(), at(100) + owner.master_down_interval());
}
