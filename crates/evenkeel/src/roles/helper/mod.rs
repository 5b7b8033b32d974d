//! The helper role: everything that runs programs or touches files on behalf of the vrrp role,
//! which does neither.
//!
//! One thread. It follows scripts, files and processes and tells the vrrp role how they are; and
//! it is told of changes of state, for which it runs programs and writes to pipes. Killed, it is
//! started again and follows everything afresh; the vrrp role keeps what it knew meanwhile.

mod notices;
mod proc_table;
mod rise_fall;
mod track_processes;
mod track_scripts;

use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use edge::clock::now;
use edge::ipc::{Channel, Received};
use edge::netns::NetworkNamespace;
use edge::poll::{Event, Interest, Poll};
use edge::signal::Signals;
use model::Time;
use model::control::{
    Event as Told, FromHelper, FromRole, Notice, RolePlan, RoleReport, ToHelper, ToRole,
    TrackerState,
};
use model::status::HelperReport;
use model::vrrp::{Command, HelperPlan, Tracked};
use rustix::fs::Mode;

use notices::{Key, Subjects};
use track_processes::Processes;
use track_scripts::Scripts;

use crate::outside::{Fifos, Files, Log, Programs, Turns};

/// Tokens of the role's descriptors.
const CHANNEL: u64 = 0;
const LINK: u64 = 1;
const FILES: u64 = 2;
const PROCESSES: u64 = 3;
const FIFOS: u64 = 4;
const PROGRAMS: u64 = 5;
/// Programs that may tell of changes at the same time; the others wait.
const TOLD_MAX: usize = 3072;
/// Frames that may wait for a supervisor that does not read before log lines are dropped.
const LINES_MAX: usize = 4096;
/// Frames that may wait for a vrrp role that does not read; later it is told how everything is.
const TRACKERS_MAX: usize = 4096;

/// Runs the role until its supervisor says stop or goes away.
pub(crate) fn run(channel: Channel) -> io::Result<()> {
    // Its end is the supervisor's to say, and a pipe without a reader is no reason to end.
    let _signals = Signals::blocked(&[libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGPIPE])?;
    Helper::new(channel)?.run()
}

/// What the parts of the helper share: the descriptors it waits for, the programs it runs, and
/// what it has to tell.
struct Shared {
    poll: Poll,
    programs: Programs<Purpose>,
    plan: HelperPlan,
    /// The network namespace that the program came from, if it is in another one.
    first_network: Option<NetworkNamespace>,
    /// Lines for the log: severity and text.
    log: Log,
    /// Trackers that changed.
    changes: Vec<(Tracked, TrackerState)>,
}

/// What a program runs for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Purpose {
    /// The `vrrp_script` of this name.
    Track(String),
    /// Somebody is told of a change of this group or instance.
    Notice(Key),
    /// It reads the pipe at this path.
    Fifo(String),
}

impl Shared {
    /// Starts a program; after `timeout` it is ended. False, and a line in the log, when it
    /// cannot be started.
    fn start(
        &mut self,
        now: Time,
        command: &Command,
        more: &[&str],
        purpose: Purpose,
        timeout: Option<Duration>,
    ) -> bool {
        let started = self.programs.start(now, command, more, purpose, timeout);
        started.map_err(|text| self.note(3, text)).is_ok()
    }

    fn note(&mut self, severity: u8, text: String) {
        self.log.push((severity, text));
    }
}

struct Helper {
    /// To the supervisor, as long as it lives.
    channel: Option<Channel>,
    writing: bool,
    link: Option<Link>,
    shared: Shared,
    scripts: Scripts,
    files: Files,
    processes: Processes,
    fifos: Fifos,
    subjects: Subjects,
    turns: Turns<Key>,
    configured: bool,
    /// The last configuration asked for the states of everything.
    states_wanted: bool,
    /// How everything followed is.
    states: BTreeMap<Tracked, TrackerState>,
    /// Set once the end has come: until when programs may take.
    finish_by: Option<Time>,
    /// Nothing is told any more: pipes are closed, their programs asked to end.
    wound_up: bool,
}

/// What the supervisor says in the end.
enum End {
    /// Finish: the vrrp role has said everything.
    Stop,
    /// It is dead: the vrrp role has something to say yet.
    Orphaned,
}

/// The connection to the vrrp role.
struct Link {
    channel: Channel,
    writing: bool,
    /// Something was not told for want of room.
    behind: bool,
}

impl Helper {
    fn new(channel: Channel) -> io::Result<Helper> {
        let poll = Poll::new()?;
        poll.add(&channel, CHANNEL, Interest::Read)?;
        let (programs, files, fifos) = (Programs::new()?, Files::new()?, Fifos::new()?);
        poll.add(&programs, PROGRAMS, Interest::Read)?;
        poll.add(&files, FILES, Interest::Read)?;
        poll.add(&fifos, FIFOS, Interest::Read)?;
        let shared = Shared {
            poll,
            programs,
            plan: HelperPlan::default(),
            first_network: None,
            log: Vec::new(),
            changes: Vec::new(),
        };
        Ok(Helper {
            channel: Some(channel),
            writing: false,
            link: None,
            shared,
            scripts: Scripts::default(),
            files,
            processes: Processes::default(),
            fifos,
            subjects: Subjects::default(),
            turns: Turns::new(TOLD_MAX),
            configured: false,
            states_wanted: false,
            states: BTreeMap::new(),
            finish_by: None,
            wound_up: false,
        })
    }

    fn run(mut self) -> io::Result<()> {
        let mut events: Vec<Event> = Vec::new();
        loop {
            self.shared.poll.wait(&mut events, self.next_deadline())?;
            let now = now();
            // The supervisor first: a notice is about the configuration that came before it.
            if let Some(end) = self.hear_supervisor(now)? {
                self.begin_to_finish(now, &end);
            }
            for &event in &events {
                self.on_ready(now, event)?;
            }
            self.on_time(now)?;
            if self.finish_by.is_some() && self.link.is_none() {
                self.wind_up(now);
            }
            self.tell()?;
            if self.finish_by.is_some_and(|by| by <= now || self.is_done()) {
                self.wind_up(now);
                return Ok(());
            }
        }
    }

    fn next_deadline(&self) -> Time {
        let follow = match self.finish_by {
            Some(by) => by,
            None => self
                .scripts
                .next_deadline()
                .min(self.files.next_deadline())
                .min(self.processes.next_deadline()),
        };
        follow.min(self.shared.programs.next_deadline()).min(self.turns.next_deadline())
    }

    fn on_ready(&mut self, now: Time, event: Event) -> io::Result<()> {
        match event.token {
            CHANNEL => Ok(()),
            LINK => {
                self.hear_vrrp(now);
                Ok(())
            }
            FILES => {
                self.files.handle_ready(now, &mut self.shared.log)?;
                self.take_numbers();
                Ok(())
            }
            PROCESSES => self.processes.handle_ready(now, &mut self.shared),
            FIFOS => self.fifos.handle_ready(&mut self.shared.log),
            PROGRAMS => {
                for (purpose, ended) in self.shared.programs.handle_ready()? {
                    self.on_end(purpose, ended);
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Takes in what files hold.
    fn take_numbers(&mut self) {
        while let Some((name, value)) = self.files.poll_change() {
            self.shared.changes.push((Tracked::File(name), TrackerState::Value(value)));
        }
    }

    fn on_end(&mut self, purpose: Purpose, ended: edge::spawn::Ended) {
        match purpose {
            Purpose::Track(name) => self.scripts.handle_end(&name, ended, &mut self.shared),
            Purpose::Notice(key) => self.turns.handle_end(&key),
            Purpose::Fifo(path) => {
                if self.finish_by.is_none() {
                    self.shared.note(5, format!("the script of the pipe {path} ended"));
                }
            }
        }
    }

    fn on_time(&mut self, now: Time) -> io::Result<()> {
        for purpose in self.shared.programs.handle_timeout(now) {
            match purpose {
                Purpose::Track(name) => self.scripts.handle_overtime(&name, &mut self.shared),
                Purpose::Notice(_) | Purpose::Fifo(_) => {}
            }
        }
        self.start_told(now);
        if self.finish_by.is_none() {
            self.scripts.handle_timeout(now, &mut self.shared);
            self.files.handle_timeout(now, &mut self.shared.log);
            self.take_numbers();
            self.processes.handle_timeout(now, &mut self.shared)?;
        }
        Ok(())
    }

    /// Takes in everything the supervisor has said.
    fn hear_supervisor(&mut self, now: Time) -> io::Result<Option<End>> {
        while let (None, Some(channel)) = (self.finish_by, &mut self.channel) {
            let frame = match channel.receive()? {
                Received::Frame(frame) => frame,
                Received::Nothing => return Ok(None),
                Received::Closed => return Ok(Some(End::Orphaned)),
            };
            match serde_json::from_slice(&frame.bytes)? {
                ToRole::Configure { generation, plan: RolePlan::Helper(plan), .. } => {
                    self.configure(now, plan)?;
                    self.say(&FromRole::Configured { generation, error: None })?;
                }
                ToRole::Configure { generation, .. } => {
                    let error = Some("this plan is for another role".to_string());
                    self.say(&FromRole::Configured { generation, error })?;
                }
                ToRole::Link => self.take_link(frame.descriptors)?,
                ToRole::Report { id } => {
                    let report = HelperReport { scripts: self.scripts.status() };
                    self.say(&FromRole::Report { id, report: RoleReport::Helper(report) })?;
                }
                ToRole::Hello(_) => {
                    let mut descriptors = frame.descriptors.into_iter();
                    self.shared.first_network = descriptors.next().map(NetworkNamespace::from);
                }
                ToRole::Services { .. }
                | ToRole::Connections { .. }
                | ToRole::Server { .. }
                | ToRole::Zero { .. }
                | ToRole::Changes(_)
                | ToRole::Bfd { .. } => {}
                ToRole::Stop | ToRole::Leave => return Ok(Some(End::Stop)),
            }
        }
        Ok(None)
    }

    fn configure(&mut self, now: Time, plan: HelperPlan) -> io::Result<()> {
        let shared = &mut self.shared;
        shared.plan = plan.clone();
        shared.programs.set_script_user(plan.script_user.clone());
        rustix::process::umask(Mode::from_raw_mode(plan.umask));
        self.scripts.configure(now, &plan.trackers.scripts, shared);
        self.files.configure(now, &plan.trackers.files, &mut shared.log);
        self.processes.configure(now, &plan.trackers.processes, shared)?;
        self.configure_fifos(now, &plan);
        self.take_numbers();
        let waiting = self.subjects.configure(plan.subjects);
        let followed = |what: &Tracked| match what {
            Tracked::Script(name) => plan.trackers.scripts.iter().any(|one| one.name == *name),
            Tracked::File(name) => plan.trackers.files.iter().any(|one| one.name == *name),
            Tracked::Process(name) => plan.trackers.processes.iter().any(|one| one.name == *name),
            Tracked::Interface(_) | Tracked::Bfd(_) => false,
        };
        self.states.retain(|what, _| followed(what));
        self.states_wanted = self.configured && plan.write_states_on_reload;
        if self.states_wanted {
            for line in self.subjects.states() {
                self.fifos.write(&line, &mut self.shared.log);
            }
        }
        self.configured = true;
        for notice in waiting {
            self.on_notice(now, &notice);
        }
        Ok(())
    }

    fn configure_fifos(&mut self, now: Time, plan: &HelperPlan) {
        let shared = &mut self.shared;
        let user = plan.script_user.as_ref();
        let readers = self.fifos.configure(&plan.fifos, user, &mut shared.log);
        let is_former = |purpose: &Purpose| match purpose {
            Purpose::Fifo(path) => readers.end.contains(path),
            Purpose::Track(_) | Purpose::Notice(_) => false,
        };
        shared.programs.terminate(now, is_former);
        for (script, path) in readers.start {
            shared.start(now, &script, &[&path], Purpose::Fifo(path.clone()), None);
        }
    }

    fn take_link(&mut self, descriptors: Vec<OwnedFd>) -> io::Result<()> {
        let Some(descriptor) = descriptors.into_iter().next() else {
            return Err(io::Error::other("no descriptor came with the link"));
        };
        // What a dead vrrp role said last still counts.
        self.hear_vrrp(now());
        let channel = Channel::from_socket(descriptor)?;
        self.shared.poll.add(&channel, LINK, Interest::Read)?;
        self.link = Some(Link { channel, writing: false, behind: false });
        self.tell_all();
        Ok(())
    }

    /// Tells the vrrp role how everything is.
    fn tell_all(&mut self) {
        let states: Vec<_> =
            self.states.iter().map(|(what, &state)| (what.clone(), state)).collect();
        for (what, state) in states {
            self.tell_vrrp(what, state);
        }
    }

    fn hear_vrrp(&mut self, now: Time) {
        while let Some(link) = &mut self.link {
            let heard = link.channel.flush().and_then(|_| link.channel.receive());
            match heard {
                Ok(Received::Frame(frame)) => match serde_json::from_slice(&frame.bytes) {
                    Ok(ToHelper::Notice(notice)) => self.on_notice(now, &notice),
                    Ok(ToHelper::Known(notice)) => {
                        let line = self.subjects.handle_known(notice);
                        // Asked for by a reload that came before.
                        if let Some(line) = line.filter(|_| self.states_wanted) {
                            self.fifos.write(&line, &mut self.shared.log);
                        }
                    }
                    Err(error) => self.shared.note(3, format!("the vrrp role said: {error}")),
                },
                Ok(Received::Nothing) => return,
                // It is restarted, and the supervisor brings a new link.
                Ok(Received::Closed) | Err(_) => self.link = None,
            }
        }
    }

    fn on_notice(&mut self, now: Time, notice: &Notice) {
        let Some(reaction) = self.subjects.handle_notice(notice) else { return };
        let key = (notice.group, notice.name.clone());
        self.turns.push(now, key, reaction.programs);
        self.start_told(now);
        if let Some(line) = &reaction.line {
            self.fifos.write(line, &mut self.shared.log);
        }
        if reaction.mail {
            let told = FromRole::Event(Told::Notice(reaction.notice));
            // Only a value that cannot be written as JSON fails here, and an event can.
            let _ = self.say(&told);
        }
    }

    /// Starts the programs whose turn it is; at the end nothing waits.
    fn start_told(&mut self, now: Time) {
        while let Some((key, told)) = self.turns.poll(now, self.finish_by.is_some()) {
            for (command, more) in &told {
                let more: Vec<&str> = more.iter().map(String::as_str).collect();
                let purpose = Purpose::Notice(key.clone());
                if !self.shared.start(now, command, &more, purpose, None) {
                    self.turns.handle_end(&key);
                }
            }
        }
    }

    /// The end: programs that follow something are ended, those that tell somebody finish.
    fn begin_to_finish(&mut self, now: Time, end: &End) {
        self.hear_vrrp(now);
        self.finish_by = Some(now + self.shared.plan.finish_within);
        self.scripts = Scripts::default();
        self.shared.programs.terminate(now, |purpose| matches!(purpose, Purpose::Track(_)));
        match end {
            End::Stop => self.link = None,
            // The link's end tells that the vrrp role has said everything.
            End::Orphaned => self.channel = None,
        }
    }

    /// Pipes end, and their programs read what is left when they are asked to end.
    fn wind_up(&mut self, now: Time) {
        if !std::mem::replace(&mut self.wound_up, true) {
            self.fifos.close();
            self.shared.programs.terminate(now, |purpose| matches!(purpose, Purpose::Fifo(_)));
        }
    }

    /// Nothing more is to be heard, told or finished.
    fn is_done(&self) -> bool {
        let told = self.channel.as_ref().is_none_or(|channel| !channel.wants_write());
        self.wound_up && self.shared.programs.is_empty() && told
    }

    /// Passes on what the parts have to tell.
    fn tell(&mut self) -> io::Result<()> {
        for (what, state) in std::mem::take(&mut self.shared.changes) {
            if self.states.insert(what.clone(), state) != Some(state) {
                self.tell_vrrp(what, state);
            }
        }
        for (severity, text) in std::mem::take(&mut self.shared.log) {
            self.log(severity, text)?;
        }
        if let Some(link) = &mut self.link
            && link.behind
            && link.channel.waiting() == 0
        {
            link.behind = false;
            self.tell_all();
        }
        if let Some(link) = &mut self.link {
            if link.channel.flush().is_err() {
                self.link = None;
            } else if link.channel.wants_write() != link.writing {
                link.writing = link.channel.wants_write();
                let interest = Interest::read_and(link.writing);
                self.shared.poll.modify(&link.channel, LINK, interest)?;
            }
        }
        let Some(channel) = &mut self.channel else { return Ok(()) };
        match channel.flush() {
            Ok(_) => {}
            // It is dead, which the next look at the channel tells.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            Err(error) => return Err(error),
        }
        if channel.wants_write() != self.writing {
            self.writing = channel.wants_write();
            let interest = Interest::read_and(self.writing);
            self.shared.poll.modify(&*channel, CHANNEL, interest)?;
        }
        Ok(())
    }

    fn tell_vrrp(&mut self, what: Tracked, state: TrackerState) {
        let Some(link) = &mut self.link else { return };
        if link.channel.waiting() >= TRACKERS_MAX.max(self.states.len()) {
            link.behind = true;
        } else if let Ok(frame) = serde_json::to_vec(&FromHelper::Tracker { what, state }) {
            link.channel.queue(frame, Vec::new());
        }
    }

    /// Puts a line for the log in line, unless too many wait.
    fn log(&mut self, severity: u8, text: String) -> io::Result<()> {
        let waiting = self.channel.as_ref().map_or(0, Channel::waiting);
        if waiting >= LINES_MAX {
            return Ok(());
        }
        self.say(&FromRole::Event(Told::Log { severity, text }))
    }

    /// Puts a message in line for the supervisor.
    fn say(&mut self, message: &FromRole) -> io::Result<()> {
        if let Some(channel) = &mut self.channel {
            channel.queue(serde_json::to_vec(message)?, Vec::new());
        }
        Ok(())
    }
}
