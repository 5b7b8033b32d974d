//! The shared part of all checkers: when a probe begins, what its result means.

use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::sync::Arc;

use model::Time;
use model::check::{CheckKind, Checker as Plan, Former};

use super::course::{Course, Turn};
use super::misc;
use super::pace::{Pacer, first_wait, retry_wait};
use super::probe::{Begin, Probe, Step};
use super::random::Random;
use super::words::{Text, no_answer};
use super::{Exit, Output, Told, Verdict, bfd, file};

/// One checker of one server. What is alive during a probe only is in a box of its own.
#[derive(Debug)]
pub struct Checker {
    plan: Arc<Plan>,
    pacer: Pacer,
    course: Course,
    phase: Phase,
    deadline: Time,
    random: Random,
    weight: i32,
    last_at: Option<Time>,
    last_result: Option<Text>,
    outputs: VecDeque<Output>,
}

#[derive(Debug)]
enum Phase {
    /// Until the deadline, when the next probe begins.
    Waiting,
    /// Until a probe of the network has come to its end, or the deadline.
    Probing(Stage, Probe),
    /// Until the program has ended, or the deadline.
    Running,
    /// Until somebody says that probes may begin again.
    Suspended,
    /// For ever: nothing is tried, somebody tells.
    Listening,
}

/// How far a probe of the network is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Until what was asked for is open.
    Opening,
    /// Until the answer is complete: a peer that drips cannot move the deadline.
    Exchanging,
}

impl Checker {
    /// A checker whose first probe begins within `pace.warmup`, where `seed` says. It begins with
    /// `pace.initially_up`; the first failure of all counts without retries.
    pub fn new(plan: impl Into<Arc<Plan>>, now: Time, seed: u64) -> Checker {
        let plan = plan.into();
        let state = Former { untried: true, ..Former::new(plan.pace.initially_up) };
        Checker::resume(plan, state, now, seed)
    }

    /// The same, going on with what is known from before: after a reload, or in another process.
    /// The next probe begins when it was to begin, or within the warm-up when that is not known.
    pub fn resume(plan: impl Into<Arc<Plan>>, state: Former, now: Time, seed: u64) -> Checker {
        let plan = plan.into();
        let (phase, deadline) = match plan.kind.followed() {
            Some(_) => (Phase::Listening, Time::NEVER),
            None => {
                let first = now + first_wait(&plan.pace, seed);
                (Phase::Waiting, state.next.unwrap_or(first))
            }
        };
        Checker {
            plan,
            pacer: Pacer::new(state.up, state.untried, state.failures),
            course: Course { place: state.place, failed: state.failed },
            phase,
            deadline,
            random: Random::new(seed),
            weight: state.weight,
            last_at: state.last_at,
            last_result: state.last_result.map(Text::Owned),
            outputs: VecDeque::new(),
        }
    }

    /// What [`resume`](Self::resume) needs to go on from here. A probe under way is not part of it:
    /// it begins again.
    pub fn state(&self) -> Former {
        let next = match self.phase {
            Phase::Waiting => Some(self.deadline),
            Phase::Probing(..) | Phase::Running | Phase::Suspended | Phase::Listening => None,
        };
        Former {
            up: self.pacer.is_up(),
            weight: self.weight,
            failures: self.pacer.failures(),
            last_result: self.last_result.as_deref().map(String::from),
            last_at: self.last_at,
            next,
            untried: self.pacer.is_untried(),
            place: self.course.place,
            failed: self.course.failed,
        }
    }

    /// What it was made from.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The verdict.
    pub fn is_up(&self) -> bool {
        self.pacer.is_up()
    }

    /// What it adds to the weight of its server: 0 for most kinds (MISC_CHECK, FILE_CHECK).
    pub fn weight(&self) -> i32 {
        self.weight
    }

    /// Failures in a row of a server that is up still, of those that count towards taking it down.
    pub fn failures(&self) -> u32 {
        self.pacer.failures()
    }

    /// What the last finished probe said, good or bad.
    pub fn last_result(&self) -> Option<&str> {
        self.last_result.as_deref()
    }

    /// When the last probe finished, or it was last told something.
    pub fn last_at(&self) -> Option<Time> {
        self.last_at
    }

    /// A probe is under way: it holds a connection or a program, or is about to.
    pub fn is_probing(&self) -> bool {
        match self.phase {
            Phase::Probing(..) | Phase::Running => true,
            Phase::Waiting | Phase::Suspended | Phase::Listening => false,
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due; [`Time::NEVER`] while nothing is to be
    /// tried.
    pub fn next_deadline(&self) -> Time {
        self.deadline
    }

    /// The next thing to do, if any.
    pub fn poll_output(&mut self) -> Option<Output> {
        let output = self.outputs.pop_front();
        if self.outputs.is_empty() {
            // Forty thousand empty queues would hold more than all the rest of their checkers.
            self.outputs = VecDeque::new();
        }
        output
    }

    /// The deadline has passed: a probe begins, or the one under way has taken too long.
    pub fn handle_timeout(&mut self, now: Time) {
        if now < self.deadline {
            return;
        }
        let within = self.plan.timeout;
        match self.take_phase() {
            Phase::Waiting => self.begin(now),
            Phase::Probing(stage, mut probe) => {
                let step = match stage {
                    Stage::Opening => probe.handle_broken(no_answer(within)),
                    Stage::Exchanging => probe.handle_late(within),
                };
                self.follow(now, step, probe);
            }
            Phase::Running => self.conclude_program(now, Err(misc::too_long(within))),
            other @ (Phase::Suspended | Phase::Listening) => self.phase = other,
        }
    }

    /// What was to be opened is open, or could not be opened for this cause.
    pub fn handle_connected(&mut self, now: Time, outcome: Result<(), String>) {
        let Some(mut probe) = self.take_probe(Stage::Opening) else { return };
        let step = match outcome {
            Ok(()) => probe.handle_open(),
            Err(cause) => probe.handle_broken(cause.into()),
        };
        self.deadline = now + self.plan.timeout;
        self.follow(now, step, probe);
    }

    /// It could not even be tried, for want of something on this machine: no result, another try
    /// after the retry interval.
    pub fn handle_postponed(&mut self, now: Time) {
        if self.is_probing() {
            self.outputs.push_back(Output::Close);
            self.phase = Phase::Waiting;
            self.deadline = now + retry_wait(&self.plan.pace);
        }
    }

    /// Bytes arrived on the connection, or a datagram.
    pub fn handle_bytes(&mut self, now: Time, bytes: &[u8]) {
        self.handle_exchange(now, |probe| probe.handle_bytes(bytes));
    }

    /// The other side has closed the connection, or it broke for this cause: an end without
    /// close_notify that is not to be, an ICMP error.
    pub fn handle_end(&mut self, now: Time, outcome: Result<(), String>) {
        self.handle_exchange(now, |probe| match outcome {
            Ok(()) => probe.handle_end(),
            Err(cause) => probe.handle_broken(cause.into()),
        });
    }

    /// The program of [`Output::Run`] has ended.
    pub fn handle_exited(&mut self, now: Time, exit: Exit) {
        if let (Phase::Running, CheckKind::Misc(check)) = (&self.phase, &self.plan.kind) {
            let result = misc::judge(check, exit);
            self.conclude_program(now, result);
        }
    }

    /// News for a checker that does not try anything itself. It changes the verdict at once, while
    /// suspended too; other kinds take no notice.
    pub fn handle_told(&mut self, now: Time, told: Told) {
        let (result, weight) = match (&self.plan.kind, told) {
            (CheckKind::Bfd(_), Told::Up(up)) => (bfd::judge(up), 0),
            (CheckKind::File(check), Told::Value(value)) => file::judge(check, value),
            (CheckKind::Bfd(_), Told::Value(_))
            | (CheckKind::File(_), Told::Up(_))
            | (
                CheckKind::Tcp
                | CheckKind::Http(_)
                | CheckKind::Smtp(_)
                | CheckKind::Dns(_)
                | CheckKind::Udp(_)
                | CheckKind::Ping
                | CheckKind::Misc(_),
                Told::Up(_) | Told::Value(_),
            ) => return,
        };
        let passed = result.is_ok();
        let first = self.pacer.is_untried();
        let changed = self.pacer.handle_told(passed);
        self.report(now, result, changed, weight, first);
    }

    /// No probe begins any more; one under way is given up without a result (`ha_suspend`).
    pub fn handle_suspend(&mut self, _now: Time) {
        match self.take_phase() {
            Phase::Probing(..) | Phase::Running => {
                self.outputs.push_back(Output::Close);
                self.suspend();
            }
            Phase::Waiting | Phase::Suspended => self.suspend(),
            Phase::Listening => self.phase = Phase::Listening,
        }
    }

    /// Probes begin again, the first one within the warm-up where `seed` says.
    pub fn handle_resume(&mut self, now: Time, seed: u64) {
        if let Phase::Suspended = self.phase {
            self.phase = Phase::Waiting;
            self.deadline = now + first_wait(&self.plan.pace, seed);
        }
    }

    /// Takes the phase for a change; every way that does not change it puts it back.
    fn take_phase(&mut self) -> Phase {
        core::mem::replace(&mut self.phase, Phase::Waiting)
    }

    /// Takes the probe under way if it is at this stage.
    fn take_probe(&mut self, stage: Stage) -> Option<Probe> {
        match self.take_phase() {
            Phase::Probing(at, probe) if at == stage => Some(probe),
            other @ (Phase::Waiting
            | Phase::Probing(..)
            | Phase::Running
            | Phase::Suspended
            | Phase::Listening) => {
                self.phase = other;
                None
            }
        }
    }

    fn suspend(&mut self) {
        self.phase = Phase::Suspended;
        self.deadline = Time::NEVER;
    }

    fn begin(&mut self, now: Time) {
        self.pacer.handle_start(now);
        match Probe::begin(&self.plan, self.course.place, &mut self.random) {
            Begin::Open(output, probe) => {
                self.outputs.push_back(output);
                self.phase = Phase::Probing(Stage::Opening, probe);
                self.deadline = now + self.plan.timeout;
            }
            Begin::Run(command) => {
                self.outputs.push_back(Output::Run { command: command.clone() });
                self.phase = Phase::Running;
                self.deadline = now + self.plan.timeout;
            }
            Begin::Listen => {
                self.phase = Phase::Listening;
                self.deadline = Time::NEVER;
            }
        }
    }

    fn handle_exchange(&mut self, now: Time, handle: impl FnOnce(&mut Probe) -> Step) {
        if let Some(mut probe) = self.take_probe(Stage::Exchanging) {
            let step = handle(&mut probe);
            self.follow(now, step, probe);
        }
    }

    fn follow(&mut self, now: Time, step: Step, probe: Probe) {
        match step {
            Step::Wait => self.phase = Phase::Probing(Stage::Exchanging, probe),
            Step::Send(bytes) => {
                self.outputs.push_back(Output::Send(bytes));
                self.phase = Phase::Probing(Stage::Exchanging, probe);
            }
            Step::Pass(text) => self.conclude_pass(now, text, 0),
            Step::Fail(text) => self.conclude_failure(now, text),
        }
    }

    fn conclude_program(&mut self, now: Time, result: Result<(Text, i32), Text>) {
        match result {
            Ok((text, weight)) => self.conclude_pass(now, text, weight),
            Err(text) => self.conclude_failure(now, text),
        }
    }

    fn conclude_pass(&mut self, now: Time, text: Text, weight: i32) {
        self.outputs.push_back(Output::Close);
        self.phase = Phase::Waiting;
        let (pace, fast) = (&self.plan.pace, self.fast_recovery());
        let first = self.pacer.is_untried();
        let changed = match self.course.handle_pass(self.urls()) {
            Turn::Whole => {
                let (changed, next) = self.pacer.handle_result(pace, now, true);
                self.deadline = next;
                changed
            }
            Turn::Part | Turn::Again => {
                let settled = self.pacer.is_up() && !self.pacer.is_untried();
                self.deadline = self.pacer.handle_part(pace, now, fast && !settled);
                false
            }
        };
        self.report(now, Ok(text), changed, weight, first);
    }

    fn conclude_failure(&mut self, now: Time, text: Text) {
        self.outputs.push_back(Output::Close);
        self.phase = Phase::Waiting;
        let pace = &self.plan.pace;
        let untried = self.pacer.is_untried();
        let settled_down = !self.pacer.is_up() && !untried;
        let turn = self.course.handle_failure(self.urls(), settled_down);
        let changed = match turn {
            Turn::Whole => {
                let (changed, next) = self.pacer.handle_result(pace, now, false);
                self.deadline = self.no_earlier_if_down(now, next);
                changed
            }
            Turn::Again | Turn::Part => {
                self.deadline = now + retry_wait(pace);
                false
            }
        };
        let up = self.pacer.is_up();
        match turn {
            Turn::Whole | Turn::Part if !up => self.course.handle_down(),
            Turn::Whole | Turn::Part | Turn::Again => {}
        }
        // A dynamic weight outlives failures that take nobody down.
        let weight = if up { self.weight } else { 0 };
        let first = untried && !self.pacer.is_untried();
        self.report(now, Err(text), changed, weight, first);
    }

    /// Of a server that is down Keepalived asks for a page no sooner than after a retry's wait,
    /// even when its interval is shorter.
    fn no_earlier_if_down(&self, now: Time, next: Time) -> Time {
        match self.plan.kind.http() {
            Some(_) if !self.pacer.is_up() => next.max(now + retry_wait(&self.plan.pace)),
            Some(_) | None => next,
        }
    }

    /// Urls that are tried in a probe each; 1 for what has none.
    fn urls(&self) -> u16 {
        let urls = self.plan.kind.http().map_or(1, |http| http.urls.len().max(1));
        u16::try_from(urls).unwrap_or(u16::MAX)
    }

    fn fast_recovery(&self) -> bool {
        self.plan.kind.http().is_some_and(|http| http.fast_recovery)
    }

    /// Writes a result down and tells what it has changed: a weight before the server comes up with
    /// it, and after it has gone down. The first result of all is told as a failure too when it
    /// finds a server down that began so.
    fn report(
        &mut self,
        now: Time,
        result: Result<Text, Text>,
        changed: bool,
        weight: i32,
        first: bool,
    ) {
        let was_up = self.pacer.is_up() != changed;
        let weighed = (weight != self.weight).then_some(Output::Weight(weight));
        self.weight = weight;
        let up = result.is_ok();
        let (Ok(text) | Err(text)) = result;
        let reason = || String::from(&*text);
        let verdict = changed.then(|| Output::Verdict(Verdict { up, reason: reason() }));
        let wanted = if was_up { self.plan.log_all_failures } else { first };
        let told = !up && !changed && wanted;
        let failure = told.then(|| Output::Failure(reason()));
        let (before, after) = if up { (weighed, verdict) } else { (verdict, weighed) };
        self.outputs.extend(before.into_iter().chain(after).chain(failure));
        self.last_result = Some(text);
        self.last_at = Some(now);
    }
}

#[cfg(test)]
impl Checker {
    /// Room of the queue of outputs.
    pub(super) fn queued_capacity(&self) -> usize {
        self.outputs.capacity()
    }

    /// The last result takes no memory of its own.
    pub(super) fn last_result_is_static(&self) -> bool {
        matches!(self.last_result, Some(Text::Borrowed(_)))
    }
}
