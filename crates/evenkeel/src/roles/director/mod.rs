//! The director role's driver: checkers -> health -> layer-4 tables.
//!
//! One thread waits for the supervisor, the probes, what is outside and the engine. What takes
//! part is decided in [`health`]; the engine's tables follow it, then everybody is told. When the
//! channel ends without a Stop the supervisor is dead: the role leaves, and forwarding stays pinned
//! for the next director.

mod addresses;
mod follow;
mod forwarding;
mod health;
mod marks;
mod outside;
mod rates;
mod report;
mod tables;

use std::collections::HashMap;
use std::hash::RandomState;
use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use edge::clock::now;
use edge::ipc::{Channel, Received};
use edge::poll::{Event, Interest, Poll};
use edge::signal::Signals;
use model::Time;
use model::control::{
    Event as Notice, FromRole, RolePlan, RoleReport, Scope, ServerRequest, ToRole,
};
use model::delta::Misfit;
use model::layer4::Layer4Plan;

use crate::probes::ProbeSet;
use addresses::AddressWatch;
use forwarding::ForwardingWatch;
use health::{CheckerId, Health};
use marks::MarkWatch;
use outside::Outside;
use tables::TableKeeper;

/// How long the engine may work at a stretch: checks and the supervisor wait meanwhile.
const ENGINE_BUDGET: Duration = Duration::from_millis(1);
/// Connections in one answer to the supervisor.
const CONNECTIONS_PER_FRAME: usize = 2000;
/// How long the last words to the supervisor may take.
const FAREWELL: Duration = Duration::from_secs(1);

/// At the end programs are looked after at least this often.
const STEP: Duration = Duration::from_millis(100);

/// Descriptors kept for the orderly end: taking programs off an interface wants one or two at a
/// time, and whatever was short of them before must not leave forwarding behind.
const RESERVE: usize = 8;

/// Tokens of the role's descriptors; the engine's follow from [`ENGINE`] on.
const CHANNEL: u64 = 0;
const PROBES: u64 = 1;
const OUTSIDE: u64 = 2;
const ADDRESSES: u64 = 3;
const MARKS: u64 = 4;
const FIREWALL: u64 = 5;
const ENGINE: u64 = 6;

/// Runs the role until its supervisor says stop or goes away.
pub(crate) fn run(channel: Channel) -> io::Result<()> {
    // Ctrl-C reaches the whole process group and systemd may signal every process: the end of
    // this role is the supervisor's to say.
    let _signals = Signals::blocked(&[libc::SIGINT, libc::SIGTERM, libc::SIGHUP])?;
    Director::new(channel)?.run()
}

struct Director {
    channel: Channel,
    writing: bool,
    poll: Poll,
    probes: ProbeSet<CheckerId>,
    health: Health,
    tables: TableKeeper,
    outside: Outside,
    /// While a virtual server has `ha_suspend`.
    addresses: Option<AddressWatch>,
    /// While a virtual server is of a firewall mark.
    marks: Option<MarkWatch>,
    /// BFD sessions, as far as they were told of.
    bfd: HashMap<String, bool>,
    forwarding: ForwardingWatch,
    seeds: RandomState,
    /// Number of the configuration in force; 0 for none.
    generation: u64,
    /// Changes at run time that the next configuration begins with.
    changes: Vec<ServerRequest>,
    reserve: Vec<OwnedFd>,
}

/// Why the loop ends.
enum End {
    /// The supervisor said stop.
    Stop,
    /// The supervisor is dead.
    Orphaned,
}

impl Director {
    fn new(channel: Channel) -> io::Result<Director> {
        let poll = Poll::new()?;
        let probes = ProbeSet::new()?;
        poll.add(&channel, CHANNEL, Interest::Read)?;
        let outside = Outside::new()?;
        poll.add(&probes, PROBES, Interest::Read)?;
        poll.add(&outside, OUTSIDE, Interest::Read)?;
        let (health, tables) = (Health::default(), TableKeeper::default());
        let forwarding = ForwardingWatch::default();
        let seeds = RandomState::new();
        Ok(Director {
            channel,
            writing: false,
            poll,
            probes,
            health,
            tables,
            outside,
            addresses: None,
            marks: None,
            bfd: HashMap::new(),
            forwarding,
            seeds,
            generation: 0,
            changes: Vec::new(),
            reserve: edge::process::reserve(RESERVE),
        })
    }

    fn run(mut self) -> io::Result<()> {
        let mut events: Vec<Event> = Vec::new();
        loop {
            self.poll.wait(&mut events, self.next_deadline())?;
            let now = now();
            if events.iter().any(|event| event.token >= ENGINE) {
                self.tables.handle_ready(now);
            }
            if events.iter().any(|event| event.token == ADDRESSES) {
                self.handle_addresses();
            }
            self.follow_firewall(now, &events);
            for (id, news) in self.probes.run(now)? {
                self.handle_news(now, id, news);
            }
            if let Some(text) = self.probes.poll_shortage() {
                self.tables.note(4, text);
            }
            self.health.handle_timeout(now);
            self.handle_outside(now)?;
            self.follow(now)?;
            self.tables.handle_timeout(now, ENGINE_BUDGET, || self.health.wanted());
            self.tables.estimate(now);
            let heard = events.iter().any(|event| event.token == CHANNEL);
            let end = if heard { self.handle_channel(now)? } else { None };
            self.follow(now)?;
            self.tables.register(&self.poll, ENGINE)?;
            while let Some((severity, text)) = self.tables.poll_log() {
                self.say(&FromRole::Event(Notice::Log { severity, text }))?;
            }
            match end {
                None => match self.flush() {
                    Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
                    flushed => flushed?,
                },
                Some(End::Orphaned) => return Ok(()),
                Some(End::Stop) => return self.stop(),
            }
        }
    }

    fn follow_firewall(&mut self, now: Time, events: &[Event]) {
        let told = |token: u64| events.iter().any(|event| event.token == token);
        if let Some(marks) = &mut self.marks {
            if told(FIREWALL) {
                marks.handle_changes(now);
            }
            marks.handle_timeout(now);
        }
        if told(MARKS) {
            self.handle_marks();
        }
    }

    fn next_deadline(&self) -> Time {
        self.probes
            .next_deadline()
            .min(self.tables.next_deadline())
            .min(self.tables.next_estimate())
            .min(self.health.next_deadline())
            .min(self.outside.next_deadline())
            .min(self.marks.as_ref().map_or(Time::NEVER, MarkWatch::next_deadline))
    }

    /// Takes in everything the supervisor has said.
    fn handle_channel(&mut self, now: Time) -> io::Result<Option<End>> {
        loop {
            let frame = match self.channel.receive()? {
                Received::Frame(frame) => frame,
                Received::Nothing => return Ok(None),
                Received::Closed => return Ok(Some(End::Orphaned)),
            };
            match serde_json::from_slice(&frame.bytes)? {
                ToRole::Hello(runtime) => {
                    self.tables.handle_runtime(runtime);
                    self.tables.open_ahead();
                }
                ToRole::Configure { generation, plan: RolePlan::Director(plan), .. } => {
                    self.put_in_force(now, generation, plan)?;
                }
                ToRole::Configure { generation, plan: RolePlan::DirectorDelta(delta), .. } => {
                    let fits = delta.base == self.generation;
                    match delta.apply(self.health.plan()) {
                        Ok(plan) if fits => self.put_in_force(now, generation, plan)?,
                        Ok(_) | Err(Misfit) => self.say(&FromRole::Whole { generation })?,
                    }
                }
                ToRole::Configure { generation, .. } => {
                    let error = Some("this plan is for another role".to_string());
                    self.say(&FromRole::Configured { generation, error })?;
                }
                ToRole::Report { id } => self.report(now, id, None)?,
                ToRole::Services { id, scopes } => self.report(now, id, Some(&scopes))?,
                ToRole::Connections { id } => self.list_connections(now, id)?,
                ToRole::Server { id, request } => {
                    let result = self.health.handle_request(now, &request);
                    self.say(&FromRole::Server { id, result })?;
                }
                ToRole::Zero { id, only } => {
                    let error = self.tables.zero(only).err();
                    self.say(&FromRole::Zeroed { id, error })?;
                }
                ToRole::Changes(requests) => self.changes = requests,
                ToRole::Bfd { name, up } => self.handle_bfd(now, name, up),
                // Between the vrrp and helper roles only.
                ToRole::Link => {}
                ToRole::Stop => return Ok(Some(End::Stop)),
                ToRole::Leave => return Ok(Some(End::Orphaned)),
            }
        }
    }

    /// Brings a plan into force and says how that went.
    fn put_in_force(&mut self, now: Time, generation: u64, plan: Layer4Plan) -> io::Result<()> {
        // What was decided before concerns the tables that the new plan is compared with.
        self.follow(now)?;
        let error = self.configure(now, plan).err();
        if error.is_none() {
            self.generation = generation;
        }
        self.say(&FromRole::Configured { generation, error })
    }

    /// Brings a plan into force, or leaves the former one in force and says why.
    fn configure(&mut self, now: Time, plan: Layer4Plan) -> Result<(), String> {
        self.probes.configure(&plan.outside)?;
        self.watch_addresses(&plan)?;
        self.watch_marks(&plan)?;
        let adopted = self.tables.open(&plan)?;
        let found = adopted.map(|tables| tables.len());
        let mut next = self.health.successor(now, plan, adopted);
        for text in next.lay_over(now, &std::mem::take(&mut self.changes)) {
            self.tables.note(4, format!("a change at run time is lost: {text}"));
        }
        let changes = next.take_table_changes();
        let (wanted, former) = (|| next.wanted(), || self.health.wanted());
        let rules = self.marks.as_ref().map(|marks| &marks.status().rules);
        let interfaces = addresses::arrivals(next.plan(), rules, self.addresses.as_mut());
        self.tables.change(now, &interfaces, &changes, wanted, former)?;
        self.tables.set_timeouts(next.plan().timeouts);
        self.health = next;
        self.put_marks_in_force();
        for begun in self.health.take_begun() {
            self.begin(now, &begun);
        }
        for id in self.health.take_ended() {
            self.probes.remove(&id);
        }
        self.outside.configure(now, &self.health.plan().outside);
        let plan = self.health.plan();
        let missing = self.addresses.as_mut().and_then(|watch| watch.missing(plan));
        for text in self.forwarding.handle_plan(plan).chain(missing) {
            self.tables.note(4, text);
        }
        if let Some(found) = found {
            let text = format!("took over the tables of an earlier director, services: {found}");
            self.tables.note(5, text);
        }
        Ok(())
    }

    fn report(&mut self, now: Time, id: u64, scopes: Option<&[Scope]>) -> io::Result<()> {
        let mut report = report::report(now, &self.health, &self.probes, &self.tables, scopes);
        report.marks = self.marks.as_ref().map(|marks| Box::new(marks.status().clone()));
        self.say(&FromRole::Report { id, report: RoleReport::Director(report) })
    }

    fn list_connections(&mut self, now: Time, id: u64) -> io::Result<()> {
        let connections = self.tables.connections(now);
        let mut parts = connections.chunks(CONNECTIONS_PER_FRAME).peekable();
        loop {
            let connections = parts.next().unwrap_or_default().to_vec();
            let last = parts.peek().is_none();
            self.say(&FromRole::Connections { id, connections, last })?;
            if last {
                return Ok(());
            }
        }
    }

    /// Puts a message in line for the supervisor.
    fn say(&mut self, message: &FromRole) -> io::Result<()> {
        self.channel.queue(serde_json::to_vec(message)?, Vec::new());
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.channel.flush()?;
        let writing = self.channel.wants_write();
        if writing != self.writing {
            self.poll.modify(&self.channel, CHANNEL, Interest::read_and(writing))?;
            self.writing = writing;
        }
        Ok(())
    }

    /// The orderly end: nothing of the engine stays behind.
    fn stop(mut self) -> io::Result<()> {
        // Taking the engine down wants descriptors: nothing is probed any more.
        self.probes.retain(|_| false);
        drop(std::mem::take(&mut self.reserve));
        let stopped = self.tables.stop();
        self.health.handle_stop();
        self.follow(now())?;
        if let Err(text) = &stopped {
            self.say(&FromRole::Event(Notice::Log { severity: 3, text: text.clone() }))?;
        }
        self.outside.finish(now());
        while !self.outside.is_finished(now()) {
            self.poll.wait(&mut Vec::new(), self.outside.next_deadline().min(now() + STEP))?;
            self.handle_outside(now())?;
            if self.flush().is_err() {
                // Nobody hears us any more; what runs may finish all the same.
                self.writing = false;
            }
        }
        let give_up = now() + FAREWELL;
        while self.channel.wants_write() && now() < give_up {
            self.flush()?;
            self.poll.wait(&mut Vec::new(), give_up)?;
        }
        stopped.map_err(io::Error::other)
    }
}
