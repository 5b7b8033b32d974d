//! What the supervisor says, and what it is answered.

use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::path::Path;

use edge::clock;
use edge::gate::Gate;
use model::control::{FromRole, RolePlan, RoleReport, Runtime, ToRole, TrackerState};
use model::status::VrrpReport;
use model::vrrp::{Tracked, VirtualLink, VrrpInstance, VrrpPlan};
use proto::vrrp::{LinkState, Surroundings};

use super::{BFD, Driver};
use crate::roles::vrrp::liaison::Said;
use crate::roles::vrrp::memory::Memory;

impl Driver {
    /// What the supervisor and the helper said. Adverts come between two messages.
    pub(super) fn hear_others(&mut self) -> io::Result<()> {
        self.supervisor.begin_to_hear()?;
        while !self.stopped {
            match self.supervisor.hear() {
                Some(Said::Order(order, descriptors)) => self.obey(*order, descriptors),
                Some(Said::Tracker(what, state)) => self.note_tracker(what, state),
                Some(Said::Gone) => self.stop(),
                None => return Ok(()),
            }
            self.be_punctual();
        }
        Ok(())
    }

    /// Something followed for the router is like this now.
    pub(super) fn note_tracker(&mut self, what: Tracked, state: TrackerState) {
        self.router.handle_tracker(clock::now(), &what, state);
        self.trackers.insert(what, state);
        self.collect();
        self.work_off();
    }

    fn obey(&mut self, message: ToRole, mut descriptors: Vec<OwnedFd>) {
        match message {
            ToRole::Hello(runtime) => {
                self.open_gate(&runtime);
                let memory = descriptors.pop();
                if let Some(copy) = memory.as_ref().and_then(|memory| memory.try_clone().ok()) {
                    self.kernel.remember_in(copy);
                }
                self.memory = memory.map(Memory::over).unwrap_or_default();
            }
            ToRole::Configure { generation, plan, .. } => self.configure(generation, plan),
            ToRole::Report { id } => {
                let report = RoleReport::Vrrp(self.report());
                self.supervisor.answer(FromRole::Report { id, report });
            }
            ToRole::Link => {
                descriptors.pop().into_iter().for_each(|socket| self.supervisor.link(socket))
            }
            ToRole::Services { .. }
            | ToRole::Server { .. }
            | ToRole::Zero { .. }
            | ToRole::Changes(_)
            | ToRole::Bfd { .. } => {}
            // For the director only: nothing to list here.
            ToRole::Connections { id } => {
                let connections = Vec::new();
                self.supervisor.answer(FromRole::Connections { id, connections, last: true });
            }
            ToRole::Stop => self.stop(),
            ToRole::Leave => self.stopped = true,
        }
    }

    fn report(&self) -> VrrpReport {
        VrrpReport {
            instances: self.router.status(clock::now()),
            groups: self.router.group_status(),
            trackers: self.router.tracker_status(),
            bfd: self.bfd.status(clock::now()),
            worst_lateness_ns: self.lateness.worst().as_nanos() as u64,
            lateness: self.lateness.buckets(),
            realtime: self.realtime,
        }
    }

    fn open_gate(&mut self, runtime: &Runtime) {
        match Gate::open(Path::new(&runtime.pin_directory)) {
            Ok(gate) => self.kernel.gate = Some(gate),
            Err(error) => self
                .supervisor
                .warn(format!("no gate for layer-4 traffic in {}: {error}", runtime.pin_directory)),
        }
    }

    fn configure(&mut self, generation: u64, plan: RolePlan) {
        let RolePlan::Vrrp(plan) = plan else {
            let error = Some("not a plan for the vrrp role".to_owned());
            self.supervisor.answer(FromRole::Configured { generation, error });
            return;
        };
        self.supervisor.forget_warnings();
        self.strangers.configure(plan.settings.log_unknown_routers);
        // By the interfaces and virtual interfaces of the configuration that ends.
        self.router.take_leave(clock::now(), &plan);
        self.collect();
        let has_links = has_virtual_interfaces(&plan) || has_virtual_interfaces(&self.plan);
        let (plan, complaints) = if has_links {
            self.aside(move |kernel| {
                let complaints = kernel.prepare(&plan);
                (plan, complaints)
            })
        } else {
            let complaints = self.kernel.prepare(&plan);
            (plan, complaints)
        };
        complaints.into_iter().for_each(|text| self.supervisor.warn(text));
        let former = std::mem::replace(&mut self.plan, plan);
        self.announcements.configure(&self.plan.garp_groups);
        self.configure_bfd();
        self.renew_stations();
        self.links = self.current_links();
        let mut router = std::mem::take(&mut self.router);
        router.handle_wall_clock(clock::now(), clock::wall());
        router.configure(clock::now(), &self.plan, &Snapshot { driver: self });
        self.router = router;
        self.collect();
        self.work_off();
        self.memory.forget();
        self.memory.write(clock::now(), self.router.instances());
        self.kernel.know_holders(self.masters().iter().map(|plan| plan.name.clone()).collect());
        self.kernel.settle_gates();
        if has_virtual_interfaces(&former) {
            let (former, complaints) = self.aside(move |kernel| {
                let complaints = kernel.tidy(&former);
                (former, complaints)
            });
            complaints.into_iter().for_each(|text| self.supervisor.warn(text));
            self.supervisor.throw_away(former);
        } else {
            self.supervisor.throw_away(former);
        }
        self.supervisor.answer(FromRole::Configured { generation, error: None });
    }

    /// A session that has not come up yet is down for those that track it, as in Keepalived.
    fn configure_bfd(&mut self) {
        let Driver { bfd, plan, poll, trackers, .. } = self;
        let warnings = bfd.configure(clock::now(), &plan.bfd, poll, BFD);
        warnings.into_iter().for_each(|warning| self.supervisor.warn(warning));
        let configured = |name: &str| plan.bfd.iter().any(|session| session.name == name);
        trackers.retain(|what, _| !matches!(what, Tracked::Bfd(name) if !configured(name)));
        for session in &plan.bfd {
            trackers.entry(Tracked::Bfd(session.name.clone())).or_insert(TrackerState::Down);
        }
    }
}

/// Whether making and removing interfaces may be part of taking a configuration over.
fn has_virtual_interfaces(plan: &VrrpPlan) -> bool {
    let has = |one: &VrrpInstance| one.link != VirtualLink::None || !one.address_links.is_empty();
    plan.instances.iter().any(has)
}

/// What the router may ask while it takes over a configuration.
struct Snapshot<'a> {
    driver: &'a Driver,
}

impl Surroundings for Snapshot<'_> {
    fn link(&self, interface: &str) -> LinkState {
        self.driver.links.get(interface).copied().unwrap_or_default()
    }

    fn tracker(&self, what: &Tracked) -> TrackerState {
        self.driver.trackers.get(what).copied().unwrap_or_default()
    }

    fn has_address(&self, address: IpAddr) -> bool {
        self.driver.kernel.interfaces.has_anywhere(address)
    }

    fn has_interface(&self, name: &str) -> bool {
        self.driver.kernel.interfaces.link(name).is_some()
    }

    fn resumes(&self, plan: &VrrpInstance) -> bool {
        let Driver { memory, kernel, .. } = self.driver;
        memory.was_master(clock::now(), plan) && kernel.holds(plan)
    }

    fn sequence(&self, plan: &VrrpInstance) -> u32 {
        self.driver.memory.sequence(plan)
    }
}
