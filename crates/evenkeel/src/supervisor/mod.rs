//! The supervisor: starts the roles, watches them, gives each its part of the Plan, and answers
//! the command line. It forwards no packet and parses no client's byte.

mod acquaint;
mod alerts;
mod child;
mod clients;
mod configure;
mod ending;
mod errands;
mod events;
mod habits;
mod journal;
mod link;
mod listeners;
mod manual;
mod names;
mod notify;
mod reload_time;
mod report;
mod saved;
mod servers;
mod surroundings;
mod tables;

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use edge::signal::Signals;
use model::control::Runtime;
use model::layer4::Layer4Plan;
use model::status::VrrpReport;
use model::{Plan, Time};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use crate::cli::Role;
use crate::control::{Deed, Happening, ReloadOutcome};
use crate::load::{Files, Loaded};
use crate::personality::keepalived::{Function, Since};

use acquaint::Sessions;
use alerts::Alerts;
use child::{Phase, Running, Slot};
use clients::{ClientId, Clients};
use configure::Pending;
use errands::Errand;
pub(crate) use habits::Habits;
use habits::PidFiles;
use journal::Journal;
use listeners::Listeners;
use manual::Manual;
pub(crate) use notify::Notifier;
use reload_time::ReloadTime;
use report::Collecting;
use saved::Saved;
use servers::Changes;
use surroundings::Pipes;
use tables::Wish;

/// How long roles may take to finish in order after a stop, without `child_wait_time`.
const STOP_PATIENCE: Duration = Duration::from_secs(10);
/// The same after a second request to stop.
const LAST_PATIENCE: Duration = Duration::from_secs(1);
/// How long a proxy that was replaced may drain.
const DRAIN_PATIENCE: Duration = Duration::from_secs(3600);

/// What the command line says about one run.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) files: Files,
    pub(crate) runtime: Runtime,
    /// Waits before every restart of a role, for rehearsals.
    pub(crate) restart_delays: Vec<(Role, Duration)>,
    /// No terminal: nothing may hold one open.
    pub(crate) background: bool,
    /// What another program's command line asks for.
    pub(crate) habits: Habits,
    /// The files may define nothing: virtual servers are added by hand.
    pub(crate) by_hand: bool,
}

/// A process that finishes: a replaced proxy, or a role no longer needed.
struct Leaving {
    role: Role,
    process: Running,
    until: Time,
}

struct Supervisor {
    options: Options,
    plan: Plan,
    generation: u64,
    slots: Vec<Slot>,
    /// A proxy that will replace the one in its slot once it is configured.
    successor: Option<Running>,
    leaving: Vec<Leaving>,
    listeners: Listeners,
    signals: Signals,
    clients: Clients,
    notifier: Notifier,
    alerts: Alerts,
    pending: Option<Pending>,
    /// A reload was asked for while another was under way.
    reload_again: Option<Vec<ClientId>>,
    collecting: BTreeMap<u64, Collecting>,
    last_question: u64,
    /// Changes of real servers at run time.
    changes: Changes,
    /// What the files say of layer 4. The Plan has what was changed by hand over it.
    file: Layer4Plan,
    /// What ipvsadm changed.
    manual: Manual,
    /// Changes by hand that wait for something under way.
    wishes: VecDeque<(ClientId, Wish)>,
    sessions: Sessions,
    journal: Journal,
    last_reload: Option<ReloadOutcome>,
    started: Time,
    /// Set once a stop was asked for: until when roles may take.
    stop_by: Option<Time>,
    /// The program of the start or the end, while it runs.
    errand: Option<Errand>,
    pipes: Pipes,
    reload_time: ReloadTime,
    saved: Saved,
    /// The program of the end has run.
    shut_down: bool,
    failed: bool,
    pid_files: PidFiles,
    /// Counters at the last signal that asked to count anew.
    counted: VrrpReport,
    /// Since when instances are in their states, for dumps.
    since: Since,
    on_ready: Option<Box<dyn FnOnce()>>,
}

/// Where a readable descriptor belongs.
#[derive(Clone, Copy)]
enum Source {
    Signals,
    Door,
    Client(ClientId),
    Slot(usize),
    Successor,
    Leaving(usize),
    ReloadTime,
}

/// Runs until a signal ends it. `on_ready` is called once when every role is configured.
pub(crate) fn run(
    options: Options,
    loaded: Loaded,
    notifier: Notifier,
    on_ready: Box<dyn FnOnce()>,
) -> Result<(), String> {
    edge::realtime::keep_memory();
    let signals = Signals::blocked(&[
        libc::SIGTERM,
        libc::SIGINT,
        libc::SIGHUP,
        libc::SIGCHLD,
        libc::SIGUSR1,
        libc::SIGUSR2,
        Function::StatsClear.signal(),
        Function::Json.signal(),
    ])
    .map_err(|error| format!("cannot watch signals: {error}"))?;
    let first_network = loaded.plan.as_ref().map_or(Ok(None), surroundings::enter)?;
    // First of all, because it is refused while another Evenkeel runs here.
    let clients = Clients::listen(&options.runtime.directory)?;
    let mut pid_files = PidFiles::default();
    for (_, path) in options.habits.pid_files.iter().filter(|(role, _)| role.is_none()) {
        pid_files.write(path, std::process::id())?;
    }
    if let Err(error) = edge::gate::ensure_gate(Path::new(&options.runtime.pin_directory)) {
        tracing::warn!(
            "no BPF here ({error}): layer-4 balancing in XDP is not possible, VRRP and the proxy are"
        );
    }
    let hold = |role| options.restart_delays.iter().find(|one| one.0 == role).map(|one| one.1);
    let slots = Role::ALL.iter().map(|&role| Slot::new(role, hold(role))).collect();
    let mut supervisor = Supervisor {
        options,
        plan: Plan::default(),
        generation: 0,
        slots,
        successor: None,
        leaving: Vec::new(),
        listeners: Listeners::default(),
        signals,
        clients,
        notifier,
        alerts: Alerts::start(),
        pending: None,
        reload_again: None,
        collecting: BTreeMap::new(),
        last_question: 0,
        changes: Changes::default(),
        file: Layer4Plan::default(),
        manual: Manual::default(),
        wishes: VecDeque::new(),
        sessions: Sessions::default(),
        journal: Journal::default(),
        last_reload: None,
        started: edge::clock::now(),
        stop_by: None,
        errand: None,
        pipes: Pipes::default(),
        reload_time: ReloadTime::default(),
        saved: Saved::default(),
        shut_down: false,
        failed: false,
        pid_files,
        counted: VrrpReport::default(),
        since: Since::default(),
        on_ready: Some(on_ready),
    };
    supervisor.renew_memory();
    // Where the kernel tells of processes.
    supervisor.slot(Role::Helper).memory = first_network;
    supervisor.start_up(loaded)?;
    supervisor.serve().map_err(|error| format!("the supervisor failed: {error}"))?;
    supervisor.pipes.remove();
    supervisor.alerts.finish();
    remove_gate(Path::new(&supervisor.options.runtime.pin_directory));
    if supervisor.failed {
        return Err("stopped: the configuration could not be put in force".into());
    }
    Ok(())
}

/// After an orderly end the gate is the last thing pinned. While a data plane that lost its
/// director is still pinned beside it, it needs its gate.
fn remove_gate(pin_directory: &Path) {
    let others = fs::read_dir(pin_directory)
        .into_iter()
        .flatten()
        .flatten()
        .any(|entry| entry.file_name() != "gate");
    if !others {
        let _ = fs::remove_file(pin_directory.join("gate"));
        let _ = fs::remove_dir(pin_directory);
    }
}

impl Supervisor {
    fn serve(&mut self) -> io::Result<()> {
        loop {
            let now = edge::clock::now();
            self.on_time(now);
            if self.stop_by.is_some() && self.quiet() && self.last_errand_done() {
                return Ok(());
            }
            for source in self.wait(now)? {
                self.on_readable(source);
            }
        }
    }

    /// Polls everything until something is readable or a deadline passes.
    fn wait(&mut self, now: Time) -> io::Result<Vec<Source>> {
        let mut sources = vec![Source::Signals, Source::Door];
        let mut polled = vec![
            PollFd::new(&self.signals, PollFlags::IN),
            PollFd::from_borrowed_fd(self.clients.door(), PollFlags::IN),
        ];
        let interest =
            |wants_write| if wants_write { PollFlags::IN | PollFlags::OUT } else { PollFlags::IN };
        for (id, channel) in self.clients.channels() {
            sources.push(Source::Client(id));
            polled.push(PollFd::from_borrowed_fd(channel.as_fd(), interest(channel.wants_write())));
        }
        for (index, slot) in self.slots.iter().enumerate() {
            if let Phase::Running(running) = &slot.phase {
                sources.push(Source::Slot(index));
                let channel = &running.channel;
                polled.push(PollFd::from_borrowed_fd(
                    channel.as_fd(),
                    interest(channel.wants_write()),
                ));
            }
        }
        if let Some(successor) = &self.successor {
            sources.push(Source::Successor);
            let channel = &successor.channel;
            polled.push(PollFd::from_borrowed_fd(channel.as_fd(), interest(channel.wants_write())));
        }
        for (index, leaving) in self.leaving.iter().enumerate() {
            sources.push(Source::Leaving(index));
            polled.push(PollFd::from_borrowed_fd(leaving.process.channel.as_fd(), PollFlags::IN));
        }
        if let Some(descriptor) = self.reload_time.descriptor() {
            sources.push(Source::ReloadTime);
            polled.push(PollFd::from_borrowed_fd(descriptor, PollFlags::IN));
        }
        let patience = self.next_deadline().map(|deadline| deadline.since(now));
        let timeout = patience.into_iter().chain(self.reload_time.wait()).min().map(|patience| {
            // A hair later, so that the deadline has passed when we wake.
            Timespec::try_from(patience + Duration::from_micros(100))
                .unwrap_or(Timespec { tv_sec: 3600, tv_nsec: 0 })
        });
        match poll(&mut polled, timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(polled
            .iter()
            .zip(sources)
            .filter(|(one, _)| !one.revents().is_empty())
            .map(|(_, source)| source)
            .collect())
    }

    fn next_deadline(&self) -> Option<Time> {
        let restarts = self.slots.iter().filter_map(|slot| match slot.phase {
            Phase::Waiting(until) => Some(until),
            Phase::Idle | Phase::Running(_) => None,
        });
        let leaving = self.leaving.iter().map(|one| one.until);
        let collecting = self.collecting.values().map(|one| one.until);
        restarts
            .chain(leaving)
            .chain(collecting)
            .chain(self.pending.as_ref().map(|pending| pending.until))
            .chain(self.stop_by.filter(|_| !self.quiet()))
            .chain(self.errand.as_ref().map(Errand::deadline))
            .min()
    }

    fn on_time(&mut self, now: Time) {
        for index in 0..self.slots.len() {
            if matches!(self.slots[index].phase, Phase::Waiting(until) if until <= now) {
                self.restart(index, now);
            }
        }
        if self.reload_time.take_due() {
            self.reload(Vec::new());
        }
        self.run_errands(now);
        self.end_what_takes_too_long(now);
        self.release_helper(now);
        self.reload_for_those_who_wait();
        self.finish_late_questions(now);
        if self.pending.as_ref().is_some_and(|pending| pending.until <= now) {
            self.refuse_late_roles();
        }
    }

    fn on_readable(&mut self, source: Source) {
        match source {
            Source::Signals => {
                while let Ok(Some(signal)) = self.signals.arrived() {
                    self.on_signal(signal);
                }
            }
            Source::Door => self.clients.admit(),
            Source::Client(id) => {
                for request in self.clients.hear(id) {
                    self.answer(id, &request);
                }
            }
            Source::Slot(index) => self.hear_slot(index),
            Source::Successor => self.hear_successor(),
            Source::Leaving(index) => self.hear_leaving(index),
            Source::ReloadTime => self.reload_time.handle_ready(),
        }
    }

    fn on_signal(&mut self, signal: i32) {
        if self.options.habits.dumps.is_some() {
            return self.on_function(signal);
        }
        match signal {
            libc::SIGTERM | libc::SIGINT => self.stop(),
            libc::SIGHUP | libc::SIGUSR2 => self.reload(Vec::new()),
            libc::SIGUSR1 => tracing::info!("SIGUSR1: use `evenkeel status` for the state"),
            // A role's end is noticed at its channel; this only wakes the loop.
            _ => {}
        }
    }

    /// A signal, as Keepalived understands it.
    fn on_function(&mut self, signal: i32) {
        match Function::of(signal) {
            Some(Function::Stop) => self.stop(),
            Some(Function::Reload) => self.reload(Vec::new()),
            Some(
                one @ (Function::Data | Function::Stats | Function::StatsClear | Function::Json),
            ) => self.ask_for_dump(one),
            // A role's end is noticed at its channel; this only wakes the loop.
            None => {}
        }
    }

    fn hear_slot(&mut self, index: usize) {
        let role = self.slots[index].role;
        loop {
            let Some(running) = self.slots[index].running() else { return };
            if running.channel.flush().is_err() {
                return self.lost(index);
            }
            match running.hear() {
                Ok(Some(message)) => self.on_message(role, message),
                Ok(None) => return,
                Err(_) => return self.lost(index),
            }
        }
    }

    /// A role's process is gone without being asked to go.
    fn lost(&mut self, index: usize) {
        let now = edge::clock::now();
        let slot = &mut self.slots[index];
        let role = slot.role;
        let (how, in_order) = match slot.running() {
            Some(running) => {
                let status = running.ended();
                let in_order = running.kill();
                let how = status.map_or("closed its channel".to_owned(), |s| s.to_string());
                (how, in_order)
            }
            None => return,
        };
        if self.stop_by.is_some() {
            slot.phase = Phase::Idle;
            if role == Role::Vrrp && !in_order {
                self.give_addresses_away();
            }
            return;
        }
        if self.options.habits.no_respawn {
            tracing::error!("{} role ended ({how}); so does everything", role.name());
            slot.phase = Phase::Idle;
            self.failed = true;
            if role == Role::Vrrp {
                self.give_addresses_away();
            }
            return self.stop();
        }
        let next = slot.died(now);
        let wait = next.since(now);
        tracing::error!(
            "{} role ended ({how}); it is started again{}",
            role.name(),
            if wait.is_zero() { " now".to_owned() } else { format!(" in {} ms", wait.as_millis()) }
        );
        let ended = Deed::RoleEnded { role: role.name().to_owned() };
        self.note_deed(format!("{} role ended ({how})", role.name()), Happening::Deed(ended));
        // Two restarts failed: nobody may believe this director while there is no role.
        if role == Role::Vrrp && self.slots[index].failures >= 3 {
            tracing::error!("vrrp role cannot stay up: its addresses are given away");
            self.give_addresses_away();
        }
        if wait.is_zero() {
            self.restart(index, now);
        }
    }

    /// Does what the vrrp role would do at its end, in its place: gates closed, addresses removed,
    /// priority 0 sent. Not when addresses are to stay at the end.
    fn give_addresses_away(&mut self) {
        if self.stop_by.is_some() && self.options.habits.leave_addresses {
            return;
        }
        if let Ok(gate) = edge::gate::Gate::open(Path::new(&self.options.runtime.pin_directory)) {
            for instance in &self.plan.vrrp.instances {
                for address in instance.addresses.iter().chain(&instance.excluded_addresses) {
                    let _ = gate.set(address.address, false);
                }
            }
        }
        let memory = self.slot(Role::Vrrp).memory.take();
        if let Err(error) = crate::roles::withdraw(&self.plan.vrrp, memory) {
            tracing::error!("giving the addresses away failed: {error}");
        }
        self.renew_memory();
    }

    /// A fresh memory for the vrrp role: the next process begins as backup.
    fn renew_memory(&mut self) {
        match rustix::fs::memfd_create("evenkeel-vrrp", rustix::fs::MemfdFlags::CLOEXEC) {
            Ok(memory) => self.slot(Role::Vrrp).memory = Some(memory),
            Err(error) => tracing::warn!("no memory for the vrrp role's state: {error}"),
        }
    }

    fn slot(&mut self, role: Role) -> &mut Slot {
        &mut self.slots[role as usize]
    }
}

/// Seconds since the epoch.
fn wall_clock() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
