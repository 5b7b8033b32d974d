//! Putting a Plan in force: at start, on reload, and for a role that was started again. Either
//! every role takes the new Plan, or all keep the former one.

use std::collections::BTreeSet;
use std::io;
use std::time::Duration;

use model::control::{FromRole, RolePlan, ToRole};
use model::delta::Layer4Delta;
use model::diff::{Change, diff};
use model::layer4::Layer4Plan;
use model::vrrp::HelperPlan;
use model::{Plan, Time};

use crate::cli::Role;
use crate::control::{Deed, Happening, ReloadOutcome, Response};
use crate::load::{self, Loaded};

use super::child::{Phase, Running};
use super::clients::ClientId;
use super::events::log;
use super::link::has_work;
use super::listeners::Listeners;
use super::manual::{self, Manual};
use super::saved::Moment;
use super::surroundings::{self, ReloadFile};
use super::tables::ByHand;
use super::{DRAIN_PATIENCE, Leaving, STOP_PATIENCE, Supervisor, wall_clock};

/// How long roles may take to put a Plan in force.
const PATIENCE: Duration = Duration::from_secs(30);

/// An empty file is a mistake, or half a file, and not a wish to give up every address.
const NOTHING_LEFT: &str = "the files define no vrrp_instance, no virtual_server and no frontend \
                            any more; to give everything up, stop Evenkeel";

/// A Plan to put in force, and what it is made of.
pub(super) struct Next {
    pub(super) plan: Plan,
    /// What the files say of layer 4.
    pub(super) file: Layer4Plan,
    /// What lies over that.
    pub(super) manual: Manual,
    /// It is for somebody who changed something by hand.
    pub(super) by_hand: Option<ByHand>,
}

/// A Plan on its way into force.
pub(super) struct Pending {
    plan: Plan,
    file: Layer4Plan,
    manual: Manual,
    by_hand: Option<ByHand>,
    generation: u64,
    waiting: BTreeSet<Role>,
    errors: Vec<String>,
    pub(super) until: Time,
    clients: Vec<ClientId>,
    first: bool,
    changes: Vec<Change>,
    messages: String,
    /// Sockets for each listening address before this Plan.
    width_before: usize,
}

impl Supervisor {
    /// The first configuration: a failure ends the program.
    pub(super) fn begin(&mut self, loaded: Loaded) -> Result<(), String> {
        let Some(plan) = loaded.plan else { return Err("the configuration has errors".into()) };
        let missing = self.listeners.prepare(&plan.proxy)?;
        self.listeners.add(missing);
        surroundings::initialise(&plan.vrrp.trackers.files, true);
        self.pipes.note(&plan);
        let file = plan.layer4.clone();
        let next = Next { plan, file, manual: Manual::default(), by_hand: None };
        self.put(next, Vec::new(), String::new(), Vec::new(), 0);
        Ok(())
    }

    /// Reads the files again. Nothing changes unless everything is good.
    pub(super) fn reload(&mut self, clients: Vec<ClientId>) {
        if self.stop_by.is_some() {
            return self.refuse(clients, Vec::new(), "Evenkeel is stopping\n".into());
        }
        if self.is_busy() {
            self.reload_again.get_or_insert_default().extend(clients);
            return;
        }
        self.notifier.reloading();
        let reading = ReloadFile::create(self.plan.global.reload_file.as_ref());
        let loaded = load::load(&self.options.files);
        drop(reading);
        // Where the configuration in force says; the one just read may not be good.
        self.saved.begin(&self.plan.global, loaded.texts());
        self.saved.plan(&self.plan.global, &self.plan, Moment::Before);
        let mut messages = loaded.render(false);
        let Some(mut plan) = loaded.plan else {
            tracing::error!("reload refused, the former configuration stays in force:\n{messages}");
            return self.refuse(clients, Vec::new(), messages);
        };
        let nothing = (plan.is_idle() && !self.options.by_hand).then_some(NOTHING_LEFT);
        plan.layer4.share(&self.plan.layer4);
        let file = plan.layer4.clone();
        let mut manual = self.manual.clone();
        for text in manual.follow(&file) {
            tracing::warn!("{text}");
            messages.push_str(&format!("warning: {text}\n"));
        }
        plan.layer4 = manual.over(&file);
        plan.layer4.share(&self.plan.layer4);
        let changes = diff(&self.plan, &plan);
        let bounds = manual::bounds(&plan.layer4);
        let nothing = nothing.or(bounds);
        if let Some(error) = nothing.or_else(|| surroundings::unchangeable(&self.plan, &plan)) {
            tracing::error!("reload refused, the former configuration stays in force: {error}");
            return self.refuse(clients, changes, format!("{messages}error: {error}\n"));
        }
        surroundings::initialise(&plan.vrrp.trackers.files, false);
        self.pipes.note(&plan);
        let width_before = self.listeners.width();
        match self.listeners.prepare(&plan.proxy) {
            Ok(missing) => self.listeners.add(missing),
            Err(error) => {
                tracing::error!("reload refused, the former configuration stays in force: {error}");
                return self.refuse(clients, changes, format!("{messages}error: {error}\n"));
            }
        }
        let next = Next { plan, file, manual, by_hand: None };
        self.put(next, changes, messages, clients, width_before);
    }

    fn refuse(&mut self, clients: Vec<ClientId>, changes: Vec<Change>, messages: String) {
        self.finish_reload(clients, false, changes, messages);
    }

    fn finish_reload(
        &mut self,
        clients: Vec<ClientId>,
        applied: bool,
        changes: Vec<Change>,
        messages: String,
    ) {
        if self.stop_by.is_none() {
            self.notifier.ready(if applied {
                "running"
            } else {
                "running; the last reload was refused"
            });
        }
        let deed = Deed::Reload { applied, changes: changes.len() };
        let text = match (applied, changes.len()) {
            (true, 1) => "reloaded: 1 change".into(),
            (true, count) => format!("reloaded: {count} changes"),
            (false, _) => {
                format!("reload refused: {}", messages.lines().last().unwrap_or_default())
            }
        };
        self.note_deed(text, Happening::Deed(deed));
        let outcome = ReloadOutcome { applied, changes, messages, at: wall_clock() };
        for client in clients {
            self.clients.answer(client, &Response::Reloaded(outcome.clone()));
        }
        self.last_reload = Some(outcome);
    }

    /// Gives every role its part of a new Plan.
    pub(super) fn put(
        &mut self,
        next: Next,
        changes: Vec<Change>,
        messages: String,
        clients: Vec<ClientId>,
        width_before: usize,
    ) {
        let now = edge::clock::now();
        let generation = self.generation + 1;
        let Next { plan, file, manual, by_hand } = next;
        let mut pending = Pending {
            plan,
            file,
            manual,
            by_hand,
            generation,
            waiting: BTreeSet::new(),
            errors: Vec::new(),
            until: now + PATIENCE,
            clients,
            first: self.generation == 0,
            changes,
            messages,
            width_before,
        };
        for role in Role::ALL {
            let new = &pending.plan;
            let wanted = needed(role, new);
            let changed = part_changed(role, &self.plan, new);
            let outcome = match &self.slot(role).phase {
                Phase::Running(_) if wanted && changed => {
                    let successor = role == Role::Proxy
                        && self.plan.proxy.process.needs_successor(&new.proxy.process);
                    if successor {
                        self.start_successor(now, new, generation)
                    } else {
                        self.tell_changes(role, new, generation)
                    }
                }
                Phase::Idle if wanted => self.start(role, now, new, generation),
                // A waiting role gets the Plan when it is started again.
                Phase::Running(_) | Phase::Idle | Phase::Waiting(_) => continue,
            };
            match outcome {
                Ok(()) => {
                    pending.waiting.insert(role);
                }
                Err(error) => pending.errors.push(format!("{} role: {error}", role.name())),
            }
        }
        self.pending = Some(pending);
        self.conclude();
    }

    fn start(&mut self, role: Role, now: Time, plan: &Plan, generation: u64) -> io::Result<()> {
        let runtime = self.options.runtime.clone();
        let background = self.options.background;
        self.slot(role).start(now, &runtime, background)?;
        self.note_pid(role);
        match role {
            // What it says about its first states finds its way already.
            Role::Vrrp => {
                self.connect_helper()?;
                self.configure(role, plan, generation)
            }
            // It tells of trackers that it knows.
            Role::Helper => {
                self.configure(role, plan, generation)?;
                self.connect_helper()
            }
            Role::Director => {
                self.repeat_changes(plan);
                self.configure(role, plan, generation)?;
                self.acquaint_director();
                Ok(())
            }
            Role::Proxy => self.configure(role, plan, generation),
        }
    }

    fn configure(&mut self, role: Role, plan: &Plan, generation: u64) -> io::Result<()> {
        let listeners = &self.listeners;
        match &mut self.slots[role as usize].phase {
            Phase::Running(running) => tell(running, role, plan, generation, listeners),
            Phase::Idle | Phase::Waiting(_) => Ok(()),
        }
    }

    /// Takes a running role from the Plan in force to another one. The director is told what
    /// changes, if what it has is what we think.
    fn tell_changes(&mut self, role: Role, plan: &Plan, generation: u64) -> io::Result<()> {
        if role == Role::Director
            && let Phase::Running(running) = &mut self.slots[role as usize].phase
            && running.in_force == running.told
            && let Some(delta) =
                Layer4Delta::between(running.in_force, &self.plan.layer4, &plan.layer4)
        {
            let (plan, listeners) = (RolePlan::DirectorDelta(delta), Vec::new());
            running.told = generation;
            return running.say(&ToRole::Configure { generation, plan, listeners });
        }
        self.configure(role, plan, generation)
    }

    /// What the director has is another plan than we thought: it gets the whole of the new one.
    pub(super) fn tell_whole(&mut self, role: Role, generation: u64) {
        let Some(pending) = self.pending.take_if(|pending| pending.generation == generation) else {
            return;
        };
        let told = self.configure(role, &pending.plan, generation);
        self.pending = Some(pending);
        if let Err(error) = told {
            self.configured(role, generation, Some(error.to_string()));
        }
    }

    fn start_successor(&mut self, now: Time, plan: &Plan, generation: u64) -> io::Result<()> {
        let mut successor = Running::start(Role::Proxy, now, self.options.background)?;
        successor.say(&ToRole::Hello(self.options.runtime.clone()))?;
        tell(&mut successor, Role::Proxy, plan, generation, &self.listeners)?;
        tracing::info!(
            "the proxy's process settings changed: process {} takes over",
            successor.pid()
        );
        self.successor = Some(successor);
        Ok(())
    }

    /// Starts a role again that died, with the Plan that is or comes into force.
    pub(super) fn restart(&mut self, index: usize, now: Time) {
        let role = self.slots[index].role;
        let (plan, generation) = match &self.pending {
            Some(pending) => (pending.plan.clone(), pending.generation),
            None => (self.plan.clone(), self.generation),
        };
        if role == Role::Vrrp {
            sweep(&self.plan, &plan);
        }
        if !needed(role, &plan) {
            self.slots[index].phase = Phase::Idle;
            return;
        }
        if let Err(error) = self.start(role, now, &plan, generation) {
            tracing::error!("{} role cannot be started: {error}", role.name());
            if let Some(running) = self.slots[index].running() {
                running.kill();
            }
            self.slots[index].died(now);
        }
    }

    /// A role says whether a Plan is in force.
    pub(super) fn configured(&mut self, role: Role, generation: u64, error: Option<String>) {
        if error.is_none()
            && let Some(running) = self.slot(role).running()
        {
            running.in_force = generation;
        }
        let error = error.map(|error| format!("{} role: {error}", role.name()));
        let Some(pending) =
            self.pending.as_mut().filter(|pending| pending.generation == generation)
        else {
            if let Some(error) = error {
                tracing::error!("{error}");
            }
            return;
        };
        if pending.waiting.remove(&role) {
            pending.errors.extend(error);
            self.conclude();
        }
    }

    /// Roles that did not answer in time count as refusing.
    pub(super) fn refuse_late_roles(&mut self) {
        if let Some(pending) = &mut self.pending {
            for role in std::mem::take(&mut pending.waiting) {
                pending.errors.push(format!(
                    "{} role: did not put it in force within {} s",
                    role.name(),
                    PATIENCE.as_secs()
                ));
            }
        }
        self.conclude();
    }

    /// Once every role has spoken: all or nothing.
    fn conclude(&mut self) {
        let Some(pending) = self.pending.take_if(|pending| pending.waiting.is_empty()) else {
            return;
        };
        if pending.errors.is_empty() {
            self.commit(pending);
        } else {
            self.roll_back(pending);
        }
        self.reload_for_those_who_wait();
    }

    /// Everyone who asked meanwhile gets the outcome of one reload that begins after asking.
    pub(super) fn reload_for_those_who_wait(&mut self) {
        if !self.is_busy()
            && let Some(clients) = self.reload_again.take()
        {
            self.reload(clients);
        }
        self.fulfil_wishes();
    }

    /// Something is under way that has to be over before another Plan comes.
    pub(super) fn is_busy(&self) -> bool {
        self.pending.is_some() || self.one_is_leaving() || self.errand.is_some()
    }

    /// A role's former process still gives back what a new one of it would take: addresses, pins.
    fn one_is_leaving(&self) -> bool {
        self.leaving.iter().any(|one| one.role != Role::Proxy)
    }

    fn commit(&mut self, pending: Pending) {
        let now = edge::clock::now();
        self.generation = pending.generation;
        let former = std::mem::replace(&mut self.plan, pending.plan);
        (self.file, self.manual) = (pending.file, pending.manual);
        self.pipes.retire(&former, &self.plan);
        self.changes.follow(&former, &self.plan);
        self.reload_time.configure(&self.plan.global);
        self.forget_sessions();
        if !pending.first && pending.by_hand.is_none() {
            self.saved.plan(&self.plan.global, &self.plan, Moment::After);
        }
        if let Some(successor) = self.successor.take() {
            let slot = self.slot(Role::Proxy);
            if let Phase::Running(old) =
                std::mem::replace(&mut slot.phase, Phase::Running(successor))
            {
                self.dismiss(Role::Proxy, old, now + DRAIN_PATIENCE);
            }
        }
        for role in Role::ALL {
            // The helper goes when nobody needs it any more.
            if needed(role, &self.plan) || role == Role::Helper {
                continue;
            }
            let slot = self.slot(role);
            if let Phase::Running(running) = std::mem::replace(&mut slot.phase, Phase::Idle) {
                let patience = if role == Role::Proxy { DRAIN_PATIENCE } else { STOP_PATIENCE };
                self.dismiss(role, running, now + patience);
            }
        }
        self.listeners.retire(&self.plan.proxy);
        let kept = Listeners::addresses(&self.plan.proxy);
        if let Some(proxy) = self.slot(Role::Proxy).running() {
            proxy.listeners.retain(|address| kept.contains(address));
        }
        if pending.first {
            tracing::info!("running: {}", self.options.files.names().join(", "));
            self.notifier.ready("running");
            if let Some(on_ready) = self.on_ready.take() {
                on_ready();
            }
            return;
        }
        if let Some(by_hand) = pending.by_hand {
            return self.done_by_hand(by_hand);
        }
        tracing::info!("reloaded: {} changes", pending.changes.len());
        self.finish_reload(pending.clients, true, pending.changes, pending.messages);
    }

    fn roll_back(&mut self, pending: Pending) {
        let errors = pending.errors.join("; ");
        if pending.first {
            tracing::error!("{errors}");
            self.failed = true;
            self.stop();
            return;
        }
        if pending.by_hand.is_none() {
            tracing::error!("reload refused, the former configuration stays in force: {errors}");
        }
        if let Some(mut successor) = self.successor.take() {
            successor.kill();
        }
        let now = edge::clock::now();
        // A number of its own, so that late answers are not taken for those to the next reload.
        self.generation = pending.generation + 1;
        let (plan, generation) = (self.plan.clone(), self.generation);
        if self.slot(Role::Vrrp).running().is_none() {
            sweep(&pending.plan, &plan);
        }
        for role in Role::ALL {
            if !needed(role, &plan) {
                if role == Role::Helper {
                    continue;
                }
                let slot = self.slot(role);
                if let Phase::Running(running) = std::mem::replace(&mut slot.phase, Phase::Idle) {
                    self.dismiss(role, running, now + PATIENCE);
                }
            } else if part_changed(role, &pending.plan, &plan)
                && let Err(error) = self.configure(role, &plan, generation)
            {
                tracing::error!("{} role: {error}", role.name());
            }
        }
        self.listeners.narrow(pending.width_before);
        self.listeners.retire(&plan.proxy);
        let kept = Listeners::addresses(&plan.proxy);
        if let Some(proxy) = self.slot(Role::Proxy).running() {
            proxy.listeners.retain(|address| kept.contains(address));
        }
        if let Some(by_hand) = pending.by_hand {
            return self.failed_by_hand(by_hand, &errors);
        }
        let messages = format!("{}error: {errors}\n", pending.messages);
        self.finish_reload(pending.clients, false, pending.changes, messages);
    }

    /// Lets a process finish in order, away from its slot.
    pub(super) fn dismiss(&mut self, role: Role, mut process: Running, until: Time) {
        if process.say(&ToRole::Stop).is_err() {
            process.kill();
            return;
        }
        self.leaving.push(Leaving { role, process, until });
    }

    pub(super) fn hear_successor(&mut self) {
        loop {
            let Some(successor) = &mut self.successor else { return };
            let heard = successor.channel.flush().and_then(|_| successor.hear());
            match heard {
                Ok(Some(FromRole::Configured { generation, error })) => {
                    self.configured(Role::Proxy, generation, error);
                }
                Ok(Some(FromRole::Event(event))) => log(Role::Proxy, &event),
                Ok(Some(
                    FromRole::Whole { .. }
                    | FromRole::Report { .. }
                    | FromRole::Connections { .. }
                    | FromRole::Server { .. }
                    | FromRole::Zeroed { .. },
                )) => {}
                Ok(None) => return,
                Err(_) => {
                    successor.kill();
                    self.successor = None;
                    let generation = self.pending.as_ref().map_or(0, |pending| pending.generation);
                    let error = Some("the new proxy process ended before it was ready".into());
                    self.configured(Role::Proxy, generation, error);
                    return;
                }
            }
        }
    }
}

/// Gives a process its part of the Plan, and the listeners it lacks.
fn tell(
    running: &mut Running,
    role: Role,
    plan: &Plan,
    generation: u64,
    listeners: &Listeners,
) -> io::Result<()> {
    let (part, addresses) = match role {
        Role::Helper => (RolePlan::Helper(HelperPlan::of(plan)), Vec::new()),
        Role::Vrrp => (RolePlan::Vrrp(Box::new(plan.vrrp.clone())), Vec::new()),
        Role::Director => (RolePlan::Director(plan.layer4.clone()), Vec::new()),
        Role::Proxy => {
            let mut addresses = Listeners::addresses(&plan.proxy);
            addresses.retain(|address| !running.listeners.contains(address));
            (RolePlan::Proxy(plan.proxy.clone()), addresses)
        }
    };
    let descriptors = listeners.copies(&addresses)?;
    if descriptors.len() > edge::ipc::DESCRIPTORS_MAX {
        return Err(io::Error::other(format!(
            "{} listening addresses with {} sockets each are more than {} sockets",
            addresses.len(),
            listeners.width(),
            edge::ipc::DESCRIPTORS_MAX
        )));
    }
    running.listeners.extend(&addresses);
    running.told = generation;
    let message = ToRole::Configure { generation, plan: part, listeners: addresses };
    running.say_with(&message, descriptors)
}

/// A vrrp role that died while it went from one Plan to another is started with one of them: what
/// is of the other only goes.
fn sweep(former: &Plan, next: &Plan) {
    if let Err(error) = crate::roles::sweep(&former.vrrp, &next.vrrp) {
        tracing::error!("taking away what the vrrp role left behind failed: {error}");
    }
}

/// The Plan has something for this role.
pub(super) fn needed(role: Role, plan: &Plan) -> bool {
    match role {
        Role::Helper => has_work(plan),
        Role::Vrrp => {
            // It speaks BFD for the checkers too.
            let for_checkers = plan.vrrp.bfd.iter().any(|session| session.for_checkers);
            !plan.vrrp.instances.is_empty()
                || (for_checkers && !plan.layer4.virtual_servers.is_empty())
        }
        Role::Director => !plan.layer4.virtual_servers.is_empty(),
        Role::Proxy => !plan.proxy.frontends.is_empty(),
    }
}

/// The role would notice going from one Plan to the other.
fn part_changed(role: Role, old: &Plan, new: &Plan) -> bool {
    match role {
        // It may have to say again how things are.
        Role::Helper => {
            let new = HelperPlan::of(new);
            new.write_states_on_reload || HelperPlan::of(old) != new
        }
        Role::Vrrp => old.vrrp != new.vrrp,
        Role::Director => old.layer4 != new.layer4,
        Role::Proxy => old.proxy != new.proxy,
    }
}
