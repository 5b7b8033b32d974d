//! One virtual router: its state, its timers, and what they ask for.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::IpAddr;
use core::time::Duration;

use model::control::NoticeKind;
use model::status::{AdvertErrors, VrrpState};
use model::units::{Time, WallTime};
use model::vrrp::{Family, Track, Version, VirtualLink, VrrpInstance};

use super::faults::{Conditions, Fault};
use super::output::{Alarm, Announced, LinkState, Output, Subject, Task};
use super::packet::{Guard, Sealer};
use super::rival::Rival;
use super::transition::{Event, Reason, next};

/// The priority that owns the addresses (RFC 3768 5.3.4).
pub(super) const OWNER: u8 = 255;
/// The priority of an advert that says goodbye (RFC 3768 5.3.4).
pub(super) const GOODBYE: u8 = 0;

/// Counters since the instance was made.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counters {
    pub(super) sent: u64,
    pub(super) zero_sent: u64,
    pub(super) received: u64,
    pub(super) zero_received: u64,
    pub(super) discarded: u64,
    pub(super) became_master: u64,
    pub(super) released_master: u64,
    pub(super) errors: AdvertErrors,
}

/// Why a member of a group left Master for Backup before its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StepBack {
    /// It did not, or the group knows.
    No,
    /// Another master is there.
    Beaten,
    /// What it held was taken away.
    Robbed,
}

/// When announcements are due; never while not master.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bursts {
    /// Second burst after becoming master.
    pub(super) second: Time,
    /// Second burst after a weaker master was heard.
    pub(super) lower: Time,
    /// Next refreshing burst.
    pub(super) refresh: Time,
    /// Next burst on the other interfaces of the addresses.
    pub(super) extra: Time,
}

impl Bursts {
    const NONE: Bursts = Bursts {
        second: Time::NEVER,
        lower: Time::NEVER,
        refresh: Time::NEVER,
        extra: Time::NEVER,
    };

    fn earliest(&self) -> Time {
        self.second.min(self.lower).min(self.refresh).min(self.extra)
    }
}

/// One virtual router. [`Router`](super::Router) gives it what happens and takes what it asks for.
#[derive(Debug)]
pub struct Instance {
    pub(super) plan: Arc<VrrpInstance>,
    pub(super) state: VrrpState,
    pub(super) since: Time,
    /// Its interface, as it counts.
    pub(super) link: LinkState,
    /// What it tracks, its group's trackers among them.
    pub(super) tracks: Vec<Track>,
    /// How everything that it depends on is.
    pub(super) conditions: Conditions,
    /// The priority after all weights.
    pub(super) priority: u8,
    /// Place of its group among the router's.
    pub(super) group: Option<usize>,
    /// Member of a group: it starts, becomes master and recovers only together with the others.
    pub(super) grouped: bool,
    /// Its master-down timer expired, and it waits for its group.
    pub(super) ready: bool,
    /// It left Master for Backup, and its group has not followed yet.
    pub(super) stepped_back: StepBack,
    /// As master it heard a weaker one, and its group does not know yet.
    pub(super) heard_weaker: bool,
    /// It goes on for a killed predecessor: what is not known yet counts as well.
    pub(super) resumes: bool,
    /// Nothing that a predecessor left behind is in place any more, or it was taken over.
    pub(super) clean: bool,
    /// It said goodbye already, and is about to stop.
    pub(super) took_leave: bool,
    /// What its next advert says is new: it is sent at once.
    pub(super) untold: bool,
    /// Master-down timers start no sooner than this (`vrrp_startup_delay`).
    pub(super) begin: Time,
    /// Next advert as master, master-down timer as backup.
    pub(super) timer: Time,
    /// The master's interval (Master_Adver_Interval, RFC 9568 6.1); our own as master.
    pub(super) master_interval: Duration,
    /// What the reason will be when the master-down timer expires.
    pub(super) expiry: Reason,
    /// When a backup whose master is silent looks whether it is itself awake.
    pub(super) look_at: Time,
    /// The timer ran so late that it was given another interval.
    pub(super) held_up: bool,
    /// End of `preempt_delay`, running since the first advert of a weaker master.
    pub(super) preempt_at: Option<Time>,
    pub(super) bursts: Bursts,
    /// A weaker master is answered again from here on.
    pub(super) answer_at: Time,
    /// When the last advert was sent.
    pub(super) last_sent: Time,
    /// Where the last advert came from.
    last_source: Option<IpAddr>,
    /// The last master heard.
    pub(super) heard: Option<(IpAddr, u8)>,
    pub(super) rival: Rival,
    pub(super) counters: Counters,
    /// Nanoseconds that the wall clock is ahead of the monotonic one.
    pub(super) wall_ahead: u64,
    pub(super) guard: Guard,
    sealer: Sealer,
    pub(super) outputs: VecDeque<Task>,
}

impl Instance {
    /// An instance that has not started.
    pub(super) fn new(plan: Arc<VrrpInstance>) -> Instance {
        Instance {
            priority: plan.priority.number(),
            master_interval: own_interval(&plan),
            plan,
            state: VrrpState::Init,
            since: Time::ZERO,
            link: LinkState::default(),
            tracks: Vec::new(),
            conditions: Conditions::default(),
            group: None,
            grouped: false,
            ready: false,
            stepped_back: StepBack::No,
            heard_weaker: false,
            resumes: false,
            clean: false,
            took_leave: false,
            untold: false,
            begin: Time::ZERO,
            timer: Time::NEVER,
            expiry: Reason::MasterDownTimer,
            look_at: Time::NEVER,
            held_up: false,
            preempt_at: None,
            bursts: Bursts::NONE,
            answer_at: Time::ZERO,
            last_sent: Time::ZERO,
            last_source: None,
            heard: None,
            rival: Rival::default(),
            counters: Counters::default(),
            wall_ahead: 0,
            guard: Guard::default(),
            sealer: Sealer::default(),
            outputs: VecDeque::new(),
        }
    }

    /// Where it is.
    pub fn state(&self) -> VrrpState {
        self.state
    }

    /// Since when it is there.
    pub fn since(&self) -> Time {
        self.since
    }

    /// Its configuration.
    pub fn plan(&self) -> &Arc<VrrpInstance> {
        &self.plan
    }

    /// Its priority after all weights.
    pub fn priority(&self) -> u8 {
        self.priority
    }

    /// The greatest sequence number of authentication headers, seen or sent.
    pub fn sequence(&self) -> u32 {
        self.guard.sequence()
    }

    /// What keeps it from taking part.
    pub fn faults(&self) -> &[Fault] {
        &self.conditions.faults
    }

    /// How long a backup waits for an advert (RFC 3768 6.1, RFC 9568 6.1), with
    /// `down_timer_adverts` for the RFCs' 3.
    pub fn master_down_interval(&self) -> Duration {
        self.master_interval * u32::from(self.plan.down_timer_adverts) + self.skew(self.priority)
    }

    /// Time by which a lower priority waits longer: (256 - priority) / 256 of a second (RFC 3768
    /// 6.1), or of the master's interval in version 3 (RFC 9568 6.1). Version 2 cannot carry
    /// intervals below a second, but two of us can keep them: then it is of the interval.
    pub(super) fn skew(&self, priority: u8) -> Duration {
        let unit = match self.plan.version {
            Version::V2 => self.interval().min(Duration::from_secs(1)),
            Version::V3 => self.master_interval,
        };
        unit * (256 - u32::from(priority)) / 256
    }

    pub(super) fn interval(&self) -> Duration {
        own_interval(&self.plan)
    }

    pub(super) fn owner(&self) -> bool {
        self.plan.priority.number() == OWNER
    }

    /// Where its adverts come from.
    pub(super) fn source(&self) -> Option<IpAddr> {
        fixed_source(&self.plan).or_else(|| self.link.address(self.plan.family))
    }

    /// When it has to be called next.
    pub(super) fn next_deadline(&self) -> Time {
        self.next_due().min(self.look_at())
    }

    /// When something is to be done next.
    pub(super) fn next_due(&self) -> Time {
        self.timer.min(self.bursts.earliest()).min(self.rival.until())
    }

    /// It entered or left a group.
    pub(super) fn regroup(&mut self, now: Time, group: Option<usize>) {
        self.group = group;
        let grouped = group.is_some();
        if core::mem::replace(&mut self.grouped, grouped) && !grouped && self.ready {
            self.timer = now;
        }
        self.stepped_back = StepBack::No;
    }

    /// Stops for good; `kind` is what scripts are told, if anything.
    pub(super) fn stop(&mut self, now: Time, kind: Option<NoticeKind>) {
        self.turn(now, Event::Stop, Reason::Stopped);
        if let Some(kind) = kind {
            self.say(Output::Notice(kind, self.priority));
        }
    }

    /// Changes state, and tells scripts.
    pub(super) fn change(&mut self, now: Time, event: Event, reason: Reason) {
        if self.turn(now, event, reason) {
            self.notify();
        }
    }

    fn notify(&mut self) {
        let kind = match self.state {
            VrrpState::Init => NoticeKind::Stop,
            VrrpState::Backup => NoticeKind::Backup,
            VrrpState::Master => NoticeKind::Master,
            VrrpState::Fault => NoticeKind::Fault,
        };
        self.say(Output::Notice(kind, self.priority));
    }

    fn turn(&mut self, now: Time, event: Event, reason: Reason) -> bool {
        let from = self.state;
        let to = next(from, event);
        if from == to {
            return false;
        }
        if from == VrrpState::Master {
            self.leave_master(now, event);
        }
        self.state = to;
        self.since = now;
        self.ready = false;
        self.preempt_at = None;
        // Whoever speaks next is checked in full.
        self.guard.forget_sender();
        if event != Event::StrongerAdvert {
            self.master_interval = self.interval();
        }
        match to {
            VrrpState::Init => self.timer = Time::NEVER,
            VrrpState::Fault => {
                self.resumes = false;
                self.clean_up();
                self.timer = Time::NEVER;
            }
            VrrpState::Backup => {
                self.clean_up();
                self.rest(now, from, event);
            }
            VrrpState::Master => self.enter_master(now),
        }
        self.say(Output::Transition { from, to, reason, priority: self.priority });
        true
    }

    /// Sets the timer of the state Backup that was entered.
    fn rest(&mut self, now: Time, from: VrrpState, event: Event) {
        self.await_master(now);
        match (from, event) {
            // An owner in a group, or before `vrrp_startup_delay`, waits for nothing else; one
            // that was thrown back by another owner waits like everybody.
            (VrrpState::Init | VrrpState::Fault, _) if self.owner() => {
                self.timer = now.max(self.begin);
                self.expiry = Reason::Owner;
            }
            (VrrpState::Master, Event::Lost) => self.return_soon(now),
            (VrrpState::Init | VrrpState::Backup | VrrpState::Master | VrrpState::Fault, _) => {}
        }
    }

    /// As Keepalived: back to Master after the skew, with everything in place again, unless
    /// somebody better is there.
    pub(super) fn return_soon(&mut self, now: Time) {
        self.timer = now.max(self.begin) + self.skew(self.priority);
    }

    fn enter_master(&mut self, now: Time) {
        self.counters.became_master += 1;
        self.heard = None;
        self.clean = true;
        self.resumes = false;
        self.send(now);
        self.say(Output::Hold);
        let garp = self.plan.garp;
        self.announce(Announced::All, garp.repeat);
        self.bursts = Bursts {
            second: after(now, garp.delay),
            lower: Time::NEVER,
            refresh: after(now, garp.refresh),
            extra: garp.extra.map_or(Time::NEVER, |extra| after(now, extra.interval)),
        };
    }

    fn leave_master(&mut self, now: Time, event: Event) {
        self.counters.released_master += 1;
        self.stepped_back = match (self.grouped, event) {
            (true, Event::StrongerAdvert | Event::RanLate) => StepBack::Beaten,
            (true, Event::Lost) => StepBack::Robbed,
            (true | false, _) => StepBack::No,
        };
        // Whoever won the election needs no goodbye; the others take over sooner by it.
        if !matches!(event, Event::StrongerAdvert | Event::RanLate) && !self.took_leave {
            self.emit(now, GOODBYE);
        }
        self.say(Output::Release);
        self.bursts = Bursts::NONE;
        if let Some((source, priority)) = self.rival.end() {
            self.say(Output::Alarm(Alarm::RivalGone { source, priority }));
        }
    }

    /// Sends an advert now, and the next one an interval later.
    pub(super) fn send(&mut self, now: Time) {
        self.emit(now, self.priority);
        self.timer = now + self.interval();
        self.last_sent = now;
        self.untold = false;
    }

    pub(super) fn emit(&mut self, now: Time, priority: u8) {
        // Whose address was taken away says goodbye from it, as Keepalived.
        let former = self.last_source.filter(|_| priority == GOODBYE);
        let source = self.source().or(former).filter(|_| self.link.up || self.plan.routed);
        let Some(source) = source else { return };
        self.last_source = Some(source);
        self.counters.sent += 1;
        self.counters.zero_sent += u64::from(priority == GOODBYE);
        let wall = WallTime::from_nanos(now.as_nanos().wrapping_add(self.wall_ahead));
        for packet in self.sealer.emit(&mut self.guard, &self.plan, source, priority, wall) {
            let subject = Subject::Instance(self.plan.clone());
            let output = Output::SendAdvert(packet.clone());
            self.outputs.push_back(Task { subject, output });
        }
    }

    pub(super) fn announce(&mut self, addresses: Announced, repeat: u8) {
        if repeat > 0 && self.plan.held_addresses().next().is_some() {
            self.say(Output::Announce { addresses, repeat });
        }
    }

    pub(super) fn say(&mut self, output: Output) {
        let subject = Subject::Instance(self.plan.clone());
        self.outputs.push_back(Task { subject, output });
    }

    /// Starts the master-down timer anew.
    pub(super) fn await_master(&mut self, now: Time) {
        self.ready = false;
        let from = now.max(self.begin);
        self.timer = from + self.master_down_interval();
        self.look_at = from + self.master_interval + self.master_interval / 2;
        self.expiry = Reason::MasterDownTimer;
        self.held_up = false;
    }
}

/// The source of adverts that the file gives: itself, or by the address of the ipvlan that they
/// leave by.
pub fn fixed_source(plan: &VrrpInstance) -> Option<IpAddr> {
    match &plan.link {
        _ if plan.source.is_some() => plan.source,
        VirtualLink::Ipvlan { address: Some((address, _)), .. } => {
            Some(*address).filter(|address| Family::of(*address) == plan.family)
        }
        VirtualLink::None | VirtualLink::Macvlan { .. } | VirtualLink::Ipvlan { .. } => None,
    }
}

/// The interval of adverts that a configuration asks for.
pub(super) fn own_interval(plan: &VrrpInstance) -> Duration {
    plan.advert_interval.duration().max(Duration::from_millis(10))
}

/// The time of something that is switched off by a delay of zero.
pub(super) fn after(now: Time, delay: Duration) -> Time {
    if delay.is_zero() { Time::NEVER } else { now + delay }
}
