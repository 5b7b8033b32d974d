//! A configuration is taken over, the first one or another one.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use model::control::{NoticeKind, TrackerState};
use model::status::VrrpState;
use model::units::Time;
use model::vrrp::{Tracked, VrrpInstance, VrrpPlan};

use super::group::Group;
use super::instance::{GOODBYE, Instance};
use super::output::{Output, Subject, Surroundings, Task};
use super::router::{Router, longest_delay, way_out};
use super::tracking;

impl Router {
    /// Says goodbye (priority 0) for the masters that a configuration does not have any more. To
    /// be called before [`configure`](Self::configure), and before the ways are gone by which
    /// their adverts leave.
    pub fn take_leave(&mut self, now: Time, plan: &VrrpPlan) {
        let found = find_former(&self.instances, &plan.instances);
        for (place, instance) in self.instances.iter_mut().enumerate() {
            if instance.state == VrrpState::Master && !found.contains(&Some(place)) {
                instance.emit(now, GOODBYE);
                instance.took_leave = true;
                self.tasks.append(&mut instance.outputs);
            }
        }
    }

    /// Takes over a configuration: new instances start, missing ones stop, others change. Nothing
    /// happens to those that did not change.
    pub fn configure(&mut self, now: Time, plan: &VrrpPlan, surroundings: &dyn Surroundings) {
        let first = self.begin.is_none();
        let begin = *self.begin.get_or_insert(now + plan.settings.startup_delay);
        let gone = self.take_instances(now, plan, |new| {
            let resumes = surroundings.resumes(&new);
            let sequence = surroundings.sequence(&new);
            let mut instance = Instance::new(new);
            (instance.begin, instance.resumes) = (begin, resumes);
            instance.guard.resume_sequence(sequence);
            instance
        });
        self.take_groups(now, plan);
        self.take_surroundings(now, plan, surroundings, first);
        for mut instance in gone {
            instance.delete(now);
            self.tasks.append(&mut instance.outputs);
        }
        let settled = self.tasks.len();
        self.reassess(now, |_| true);
        (0..self.groups.len()).for_each(|group| self.settle(now, group, None));
        self.put_in_order(settled, first);
    }

    /// Finds the instances that stay, changes them, and makes the new ones. Returns those that
    /// are not there any more.
    fn take_instances(
        &mut self,
        now: Time,
        plan: &VrrpPlan,
        make: impl Fn(Arc<VrrpInstance>) -> Instance,
    ) -> Vec<Instance> {
        let found: Vec<Option<usize>> = find_former(&self.instances, &plan.instances);
        let mut former: Vec<Option<Instance>> =
            core::mem::take(&mut self.instances).into_iter().map(Some).collect();
        for (new, place) in plan.instances.iter().zip(found) {
            let instance = match place.and_then(|place| former[place].take()) {
                Some(mut instance) => {
                    if *instance.plan != *new {
                        instance.reconfigure(now, &Arc::new(new.clone()));
                    }
                    instance
                }
                None => make(Arc::new(new.clone())),
            };
            self.instances.push(instance);
        }
        self.deadlines.reset(self.instances.len());
        self.by_id.clear();
        for (place, instance) in self.instances.iter().enumerate() {
            self.by_id.entry(instance.plan.virtual_router_id.number()).or_default().push(place);
        }
        former.into_iter().flatten().collect()
    }

    fn take_groups(&mut self, now: Time, plan: &VrrpPlan) {
        let former = core::mem::take(&mut self.groups);
        let places: BTreeMap<&str, usize> =
            plan.instances.iter().enumerate().map(|(place, i)| (i.name.as_str(), place)).collect();
        let mut group_of = alloc::vec![None; plan.instances.len()];
        for (number, group) in plan.sync_groups.iter().enumerate() {
            let place = |name: &String| places.get(name.as_str()).copied();
            let members: Vec<usize> = group.members.iter().filter_map(place).collect();
            members.iter().for_each(|place| group_of[*place] = Some(number));
            let same = former.iter().find(|old| old.plan.name == group.name);
            let state = same.map_or(VrrpState::Init, |old| old.state);
            let plan = match same {
                Some(old) if *old.plan == *group => old.plan.clone(),
                Some(_) | None => Arc::new(group.clone()),
            };
            self.groups.push(Group { plan, members, state });
        }
        let owned: Vec<bool> = self.groups.iter().map(|g| has_owner(g, &self.instances)).collect();
        for (instance, number) in self.instances.iter_mut().zip(group_of) {
            instance.regroup(now, number);
            let group = number.map(|number| &*self.groups[number].plan);
            let owner = number.is_some_and(|number| owned[number]);
            instance.tracks = tracking::resolve(&instance.plan, group, owner);
        }
    }

    /// Follows what the instances depend on now, and nothing else.
    fn take_surroundings(
        &mut self,
        now: Time,
        plan: &VrrpPlan,
        surroundings: &dyn Surroundings,
        first: bool,
    ) {
        let mut interfaces: BTreeSet<&str> = BTreeSet::new();
        let mut former = core::mem::take(&mut self.trackers);
        for instance in &self.instances {
            interfaces.insert(&instance.plan.interface);
            for track in &instance.tracks {
                let what = &track.what;
                match what {
                    Tracked::Interface(name) => {
                        interfaces.insert(name);
                    }
                    _ if self.trackers.contains_key(what) => {}
                    Tracked::Script(_)
                    | Tracked::File(_)
                    | Tracked::Process(_)
                    | Tracked::Bfd(_) => {
                        let state = former.remove(what);
                        let state = state.unwrap_or_else(|| ask(plan, surroundings, what, first));
                        self.trackers.insert(what.clone(), state);
                    }
                }
            }
        }
        let ask_link = |name: &str| surroundings.link(name);
        self.links.keep(interfaces.iter().copied(), &plan.link_delays, ask_link);
        for name in interfaces {
            // The address that adverts come from may be another one by the new configuration.
            let limit = || longest_delay(&self.instances, name);
            self.links.tell(now, name, ask_link(name), limit);
        }
        self.links_due = Some(self.links.next_deadline());
        let tracked = self.instances.iter().filter(|i| i.plan.track_source);
        let sources = tracked.filter_map(|i| i.plan.source);
        self.sources = sources.map(|s| (s, surroundings.has_address(s))).collect();
        let ways = self.instances.iter().filter_map(|i| way_out(&i.plan));
        self.virtual_links =
            ways.map(|name| (name.into(), surroundings.has_interface(name))).collect();
        self.track_groups = plan.track_groups.clone();
        self.lost.retain(|lost| plan.statics.contains(lost));
    }

    /// What is removed goes before what is added, so that an address that moves from one master
    /// to another stays; and at the first start scripts hear of groups before instances, as
    /// Keepalived has it.
    fn put_in_order(&mut self, from: usize, first: bool) {
        let group_notice = |task: &Task| {
            matches!((&task.subject, &task.output), (Subject::Group(_), Output::Notice(..)))
        };
        self.tasks.make_contiguous()[from..].sort_by_key(|task| match task.output {
            Output::Remove(_) | Output::Release => 0,
            _ if first && group_notice(task) => 1,
            Output::SendAdvert(_) | Output::Hold | Output::Add(_) | Output::Announce { .. } => 2,
            Output::Transition { .. } | Output::Alarm(_) | Output::Notice(..) => 2,
        });
    }
}

impl Instance {
    /// A reload removed it. Without `notify_deleted` scripts hear FAULT, and nothing when they
    /// have heard that already: so did Keepalived before it knew the word.
    fn delete(&mut self, now: Time) {
        let kind = match (self.plan.notify.says_deleted, self.state) {
            (true, _) => Some(NoticeKind::Deleted),
            (false, VrrpState::Fault) => None,
            (false, VrrpState::Init | VrrpState::Backup | VrrpState::Master) => {
                Some(NoticeKind::Fault)
            }
        };
        self.stop(now, kind);
    }
}

/// Which former instance each new one continues: one of the same virtual router, of the same name
/// where there are several.
fn find_former(former: &[Instance], plans: &[VrrpInstance]) -> Vec<Option<usize>> {
    let mut by_id: BTreeMap<u8, Vec<usize>> = BTreeMap::new();
    for (place, instance) in former.iter().enumerate() {
        by_id.entry(instance.plan.virtual_router_id.number()).or_default().push(place);
    }
    let mut found = alloc::vec![None; plans.len()];
    for named in [true, false] {
        for (plan, found) in plans.iter().zip(&mut found).filter(|(_, found)| found.is_none()) {
            let Some(places) = by_id.get_mut(&plan.virtual_router_id.number()) else { continue };
            let continues = |place: &usize| {
                let same =
                    |i: &Instance| i.is_same_router(plan) && (!named || i.plan.name == plan.name);
                same(&former[*place])
            };
            if let Some(at) = places.iter().position(continues) {
                *found = Some(places.remove(at));
            }
        }
    }
    found
}

/// How something newly tracked is, before anybody said.
fn ask(
    plan: &VrrpPlan,
    surroundings: &dyn Surroundings,
    what: &Tracked,
    first: bool,
) -> TrackerState {
    let fails = |name: &String| {
        plan.trackers.scripts.iter().any(|script| script.name == *name && script.init_fail)
    };
    match (surroundings.tracker(what), what) {
        (TrackerState::Unknown, Tracked::Script(name)) if fails(name) => TrackerState::Down,
        // Keepalived takes a session for down until it came up; but it is no reason to leave
        // Master that a reload brought it.
        (TrackerState::Unknown, Tracked::Bfd(_)) if first => TrackerState::Down,
        (state, _) => state,
    }
}

fn has_owner(group: &Group, instances: &[Instance]) -> bool {
    group.members.iter().any(|place| instances[*place].owner())
}
