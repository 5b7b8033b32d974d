use super::*;
use crate::vrrp::instance::tests::{UP, address, plan, received};
use crate::vrrp::packet;
use crate::vrrp::transition::Reason;
use model::units::VirtualRouterId;

struct AllUp;

impl Surroundings for AllUp {
    fn link(&self, _: &str) -> LinkState {
        UP
    }
    fn tracker(&self, _: &Tracked) -> TrackerState {
        TrackerState::Up
    }
    fn has_address(&self, _: IpAddr) -> bool {
        true
    }
    fn resumes(&self, _: &VrrpInstance) -> bool {
        false
    }
}

const PEER: IpAddr = IpAddr::V4(core::net::Ipv4Addr::new(10, 9, 0, 9));

fn at(milliseconds: u64) -> Time {
    Time::from_nanos(milliseconds * 1_000_000)
}

fn named(name: &str, interface: &str, id: u8, priority: u8) -> VrrpInstance {
    VrrpInstance {
        name: name.into(),
        interface: interface.into(),
        virtual_router_id: VirtualRouterId::try_from(id).unwrap(),
        addresses: alloc::vec![address(id)],
        ..plan(priority)
    }
}

fn grouped() -> VrrpPlan {
    VrrpPlan {
        instances: alloc::vec![named("outside", "eth0", 51, 100), named("inside", "eth1", 52, 150)],
        sync_groups: alloc::vec![SyncGroup {
            name: "G".into(),
            members: alloc::vec!["outside".into(), "inside".into()],
            ..SyncGroup::default()
        }],
        ..VrrpPlan::default()
    }
}

fn started(plan: &VrrpPlan) -> Router {
    let mut router = Router::default();
    router.configure(at(0), plan, &AllUp);
    router
}

fn tasks(router: &mut Router) -> Vec<Task> {
    core::iter::from_fn(|| router.poll_output()).collect()
}

fn states(router: &Router) -> Vec<VrrpState> {
    router.instances().iter().map(Instance::state).collect()
}

fn hear(router: &mut Router, now: Time, place: usize, priority: u8) {
    let plan = router.instances()[place].plan().clone();
    let message = packet::emit(&plan, priority);
    router.handle_advert(now, &plan.interface, &received(PEER, &message)).unwrap();
}

#[test]
fn a_group_becomes_master_when_the_timers_of_all_members_have_expired() {
    let mut router = started(&grouped());
    router.handle_timeout(at(3_500)); // inside: 3.41 s, outside: 3.61 s
    assert_eq!(states(&router), [VrrpState::Backup; 2]);
    router.handle_timeout(at(3_610));
    assert_eq!(states(&router), [VrrpState::Master; 2]);
}

#[test]
fn a_member_that_hears_its_master_holds_the_group_back() {
    let mut router = started(&grouped());
    for second in 1..20 {
        hear(&mut router, at(second * 1_000), 0, 200);
        router.handle_timeout(at(second * 1_000));
        assert_eq!(states(&router), [VrrpState::Backup; 2]);
    }
}

#[test]
fn a_member_that_is_thrown_back_takes_its_group_along_with_a_goodbye() {
    let mut router = started(&grouped());
    router.handle_timeout(at(4_000));
    tasks(&mut router);
    hear(&mut router, at(4_500), 0, 200);
    assert_eq!(states(&router), [VrrpState::Backup; 2]);
    let goodbyes = tasks(&mut router).into_iter().filter(|task| {
        matches!(&task.output, Output::SendAdvert(packet) if packet.payload[2] == 0)
            && task.subject.name() == "inside"
    });
    assert_eq!(goodbyes.count(), 1);
}

#[test]
fn one_interface_down_makes_the_whole_group_faulty_until_it_is_up_again() {
    let mut router = started(&grouped());
    router.handle_timeout(at(4_000));
    router.handle_link(at(5_000), "eth1", LinkState::default());
    assert_eq!(states(&router), [VrrpState::Fault; 2]);
    router.handle_link(at(6_000), "eth1", UP);
    assert_eq!(states(&router), [VrrpState::Backup; 2]);
    router.handle_timeout(at(10_000));
    assert_eq!(states(&router), [VrrpState::Master; 2]);
}

#[test]
fn a_reload_without_changes_asks_for_nothing() {
    let mut router = started(&grouped());
    router.handle_timeout(at(4_000));
    tasks(&mut router);
    router.configure(at(4_100), &grouped(), &AllUp);
    assert_eq!(tasks(&mut router), []);
    assert_eq!(states(&router), [VrrpState::Master; 2]);
}

#[test]
fn an_instance_that_left_the_file_says_goodbye_and_the_others_notice_nothing() {
    let mut plan = grouped();
    plan.sync_groups.clear();
    let mut router = started(&plan);
    router.handle_timeout(at(4_000));
    tasks(&mut router);
    plan.instances.remove(0);
    router.configure(at(4_100), &plan, &AllUp);
    let told = tasks(&mut router);
    assert!(told.iter().all(|task| task.subject.name() == "outside"));
    assert!(told.iter().any(|task| matches!(
        task.output,
        Output::Transition { to: VrrpState::Init, reason: Reason::Stopped, .. }
    )));
    assert_eq!(states(&router), [VrrpState::Master]);
}

#[test]
fn an_address_that_moves_between_masters_is_removed_before_it_is_added() {
    let mut plan = grouped();
    let mut router = started(&plan);
    router.handle_timeout(at(4_000));
    tasks(&mut router);
    let moved = plan.instances[1].addresses.pop().unwrap();
    plan.instances[0].addresses.push(moved);
    router.configure(at(4_100), &plan, &AllUp);
    let told = tasks(&mut router);
    assert!(matches!(told[0].output, Output::Remove(_)));
    assert!(told[1..].iter().any(|task| matches!(task.output, Output::Add(_))));
}

#[test]
fn a_member_added_to_a_master_group_becomes_master_with_it() {
    let mut plan = grouped();
    let third = named("third", "eth2", 53, 100);
    let mut router = started(&plan);
    router.handle_timeout(at(4_000));
    plan.instances.push(third);
    plan.sync_groups[0].members.push("third".into());
    router.configure(at(4_100), &plan, &AllUp);
    assert_eq!(states(&router), [VrrpState::Master; 3]);
}

#[test]
fn a_waiting_member_whose_group_is_dissolved_goes_on_alone() {
    let mut plan = grouped();
    let mut router = started(&plan);
    hear(&mut router, at(1_000), 0, 200);
    router.handle_timeout(at(3_500));
    assert_eq!(states(&router), [VrrpState::Backup; 2]);
    plan.sync_groups.clear();
    router.configure(at(3_600), &plan, &AllUp);
    router.handle_timeout(router.next_deadline());
    assert_eq!(states(&router), [VrrpState::Backup, VrrpState::Master]);
}

#[test]
fn an_advert_of_a_stranger_is_nothing() {
    let mut router = started(&grouped());
    let stranger = named("stranger", "eth0", 99, 100);
    let message = packet::emit(&stranger, 200);
    assert_eq!(router.handle_advert(at(1), "eth0", &received(PEER, &message)), Ok(()));
    assert_eq!(router.handle_advert(at(1), "eth0", &received(PEER, &[])), Ok(()));
}
