//! One virtual router: its state, its timers, and what they ask for.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::IpAddr;
use core::time::Duration;

use model::control::NoticeKind;
use model::status::{AdvertErrors, InstanceStatus, VrrpState};
use model::units::{Time, WallTime};
use model::vrrp::{VirtualAddress, VrrpInstance};

use super::output::{Announced, LinkState, Output};
use super::packet::{self, Discard, Guard, Received, Sealer};
use super::transition::{Event, Reason, next};

/// The priority that owns the addresses (RFC 3768 5.3.4).
const OWNER: u8 = 255;
/// The priority of an advert that says goodbye (RFC 3768 5.3.4).
const GOODBYE: u8 = 0;

/// Counters since the instance was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counters {
    sent: u64,
    received: u64,
    discarded: u64,
    became_master: u64,
    released_master: u64,
}

/// One virtual router. The caller gives it what happens and does what [`poll_output`] says.
///
/// [`poll_output`]: Self::poll_output
#[derive(Debug)]
pub struct Instance {
    pub(super) plan: Arc<VrrpInstance>,
    pub(super) state: VrrpState,
    since: Time,
    /// Address that adverts come from while the interface is usable.
    pub(super) link: Option<IpAddr>,
    /// Member of a group: it becomes master and recovers only together with the others.
    pub(super) grouped: bool,
    /// Its master-down timer expired, and it waits for its group.
    pub(super) ready: bool,
    /// It left Master for Backup, and its group has not followed yet.
    pub(super) stepped_back: bool,
    /// Next advert as master, master-down timer as backup.
    pub(super) timer: Time,
    /// What the reason will be when the master-down timer expires.
    expiry: Reason,
    /// End of `preempt_delay`, running since the first advert of a weaker master.
    preempt_at: Option<Time>,
    /// Second burst of gratuitous ARP after becoming master.
    second_burst: Time,
    /// Next refreshing burst.
    pub(super) refresh: Time,
    /// A weaker master is answered again from here on.
    answer_at: Time,
    heard: Option<(IpAddr, u8)>,
    counters: Counters,
    guard: Guard,
    sealer: Sealer,
    pub(super) outputs: VecDeque<Output>,
}

impl Instance {
    /// An instance that has not started.
    pub fn new(plan: Arc<VrrpInstance>, grouped: bool) -> Instance {
        Instance {
            plan,
            state: VrrpState::Init,
            since: Time::ZERO,
            link: None,
            grouped,
            ready: false,
            stepped_back: false,
            timer: Time::NEVER,
            expiry: Reason::MasterDownTimer,
            preempt_at: None,
            second_burst: Time::NEVER,
            refresh: Time::NEVER,
            answer_at: Time::ZERO,
            heard: None,
            counters: Counters::default(),
            guard: Guard::default(),
            sealer: Sealer::default(),
            outputs: VecDeque::new(),
        }
    }

    /// Starts. `resume` says that a killed predecessor was master and that its addresses are
    /// still in place.
    pub fn handle_start(&mut self, now: Time, link: LinkState, resume: bool) {
        let link = self.usable(link);
        self.link = link;
        let (event, reason) = match (link, resume, self.owner() && !self.grouped) {
            (None, _, _) => (Event::StartDown, Reason::InterfaceDown),
            (Some(_), true, _) => (Event::Resume, Reason::Resumed),
            (Some(_), false, true) => (Event::StartOwner, Reason::Owner),
            (Some(_), false, false) => (Event::Start, Reason::Started),
        };
        self.change(now, event, reason);
    }

    fn usable(&self, link: LinkState) -> Option<IpAddr> {
        link.address(self.plan.family).filter(|_| link.up)
    }

    /// The interface changed.
    pub fn handle_link(&mut self, now: Time, link: LinkState) {
        let link = self.usable(link);
        let before = core::mem::replace(&mut self.link, link);
        match (before, link, self.grouped) {
            (None, Some(_), false) if self.owner() => {
                self.change(now, Event::LinkUpOwner, Reason::InterfaceUp);
            }
            (None, Some(_), false) => self.change(now, Event::LinkUp, Reason::InterfaceUp),
            (Some(_), None, _) => self.change(now, Event::LinkDown, Reason::InterfaceDown),
            // The group decides when its members recover.
            (None, Some(_), true) => {}
            (None, None, _) | (Some(_), Some(_), _) => {}
        }
    }

    /// It entered or left a group.
    pub(super) fn regroup(&mut self, now: Time, grouped: bool) {
        if core::mem::replace(&mut self.grouped, grouped) && !grouped && self.ready {
            self.timer = now;
        }
        self.stepped_back = false;
    }

    /// Its group changes state together.
    pub(super) fn handle_group(&mut self, now: Time, event: Event) {
        let reason = if event == Event::GroupMaster { self.expiry } else { Reason::Group };
        self.change(now, event, reason);
    }

    /// An advert arrived.
    pub fn handle_advert(&mut self, now: Time, received: &Received<'_>) -> Result<(), Discard> {
        let source = received.source;
        let wall = WallTime::default();
        let checked = packet::open(received, &self.plan, &mut self.guard, wall);
        let priority = checked.inspect_err(|_| self.counters.discarded += 1)?.priority;
        self.counters.received += 1;
        match self.state {
            VrrpState::Init | VrrpState::Fault => {}
            VrrpState::Backup => self.hear_as_backup(now, source, priority),
            VrrpState::Master => self.hear_as_master(now, source, priority),
        }
        Ok(())
    }

    /// RFC 3768 6.4.2.
    fn hear_as_backup(&mut self, now: Time, source: IpAddr, priority: u8) {
        if priority == GOODBYE {
            self.ready = false;
            self.timer = now + self.skew();
            self.expiry = Reason::MasterStopped;
            return;
        }
        self.heard = Some((source, priority));
        if priority >= self.priority() {
            self.preempt_at = None;
        } else if self.plan.preempt || self.owner() {
            let delay = self.plan.preempt_delay;
            if *self.preempt_at.get_or_insert(now + delay) <= now {
                self.expiry = Reason::Preempted { source, priority };
                return;
            }
        }
        self.await_master(now);
    }

    /// RFC 3768 6.4.3; a weaker master is answered at once, as RFC 9568 6.4.3 asks, and the
    /// network is told again where the addresses are: the weaker one has told it otherwise.
    fn hear_as_master(&mut self, now: Time, source: IpAddr, priority: u8) {
        if priority == GOODBYE {
            self.send(now);
            return;
        }
        self.heard = Some((source, priority));
        let ours = self.priority();
        if priority > ours || (priority == ours && Some(source) > self.source()) {
            self.change(now, Event::StrongerAdvert, Reason::StrongerAdvert { source, priority });
        } else if self.answer_at <= now {
            self.answer_at = now + self.interval();
            self.send(now);
            self.announce(Announced::All, self.plan.garp.repeat);
        }
    }

    /// Time passed: does all that is due.
    pub fn handle_timeout(&mut self, now: Time) {
        if self.timer <= now {
            match self.state {
                VrrpState::Init | VrrpState::Fault => self.timer = Time::NEVER,
                VrrpState::Backup if self.grouped => {
                    self.ready = true;
                    self.timer = Time::NEVER;
                }
                VrrpState::Backup => self.change(now, Event::MasterDownExpired, self.expiry),
                VrrpState::Master => {
                    let due = self.timer + self.interval();
                    self.send(now);
                    // Adverts keep their rhythm unless a whole one was missed.
                    self.timer = if due > now { due } else { self.timer };
                }
            }
        }
        if self.second_burst <= now {
            self.second_burst = Time::NEVER;
            self.announce(Announced::All, self.plan.garp.repeat);
        }
        if self.refresh <= now {
            self.refresh = now + self.plan.garp.refresh;
            self.announce(Announced::All, self.plan.garp.refresh_repeat);
        }
    }

    /// Stops for good.
    pub fn handle_stop(&mut self, now: Time) {
        self.change(now, Event::Stop, Reason::Stopped);
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due next.
    pub fn next_deadline(&self) -> Time {
        self.timer.min(self.second_burst).min(self.refresh)
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

    /// All of it, for people.
    pub fn status(&self, now: Time) -> InstanceStatus {
        let master = match self.state {
            VrrpState::Backup => self.heard,
            VrrpState::Init | VrrpState::Master | VrrpState::Fault => None,
        };
        let shown = |address: &VirtualAddress| {
            let interface = address.interface.as_ref().unwrap_or(&self.plan.interface);
            alloc::format!("{}/{} dev {interface}", address.address, address.prefix_len)
        };
        InstanceStatus {
            name: self.plan.name.clone(),
            interface: self.plan.interface.clone(),
            virtual_router_id: self.plan.virtual_router_id.number(),
            state: self.state,
            state_seconds: now.since(self.since).as_secs(),
            priority: self.priority(),
            master,
            addresses: self.plan.held_addresses().map(shown).collect(),
            adverts_sent: self.counters.sent,
            adverts_received: self.counters.received,
            adverts_discarded: self.counters.discarded,
            became_master: self.counters.became_master,
            released_master: self.counters.released_master,
            version: 2,
            ipv6: false,
            base_priority: self.priority(),
            group: None,
            zero_sent: 0,
            zero_received: 0,
            errors: AdvertErrors::default(),
            rivals: 0,
            last_rival: None,
            faults: Vec::new(),
        }
    }

    fn change(&mut self, now: Time, event: Event, reason: Reason) {
        let from = self.state;
        let to = next(from, event);
        if from == to {
            return;
        }
        if from == VrrpState::Master {
            self.leave_master(event);
        }
        self.state = to;
        self.since = now;
        self.ready = false;
        self.preempt_at = None;
        match to {
            VrrpState::Init => self.timer = Time::NEVER,
            VrrpState::Backup | VrrpState::Fault => {
                if from == VrrpState::Init {
                    // What a predecessor that crashed may have left behind.
                    self.outputs.push_back(Output::Release);
                }
                self.rest(now, from);
            }
            VrrpState::Master => self.enter_master(now),
        }
        let priority = self.priority();
        self.outputs.push_back(Output::Transition { from, to, reason, priority });
        self.notify(to);
    }

    /// Sets the timer of a state other than Master that was entered.
    fn rest(&mut self, now: Time, from: VrrpState) {
        match (self.state, from) {
            // An owner in a group waits for nothing but its group; one that was thrown back by
            // another owner waits like everybody.
            (VrrpState::Backup, VrrpState::Init | VrrpState::Fault) if self.owner() => {
                self.timer = now;
            }
            (VrrpState::Backup, _) => self.await_master(now),
            (VrrpState::Init | VrrpState::Master | VrrpState::Fault, _) => self.timer = Time::NEVER,
        }
    }

    fn enter_master(&mut self, now: Time) {
        self.counters.became_master += 1;
        self.heard = None;
        self.send(now);
        let garp = self.plan.garp;
        self.outputs.push_back(Output::Hold);
        self.announce(Announced::All, garp.repeat);
        self.second_burst = after(now, garp.delay);
        self.refresh = after(now, garp.refresh);
    }

    fn leave_master(&mut self, event: Event) {
        self.counters.released_master += 1;
        self.stepped_back = self.grouped && event == Event::StrongerAdvert;
        // Whoever won the election needs no goodbye; the others take over sooner by it.
        if self.link.is_some() && event != Event::StrongerAdvert {
            self.emit(GOODBYE);
        }
        self.outputs.push_back(Output::Release);
        self.second_burst = Time::NEVER;
        self.refresh = Time::NEVER;
    }

    /// Sends an advert now, and the next one an interval later.
    pub(super) fn send(&mut self, now: Time) {
        self.emit(self.priority());
        self.timer = now + self.interval();
    }

    fn emit(&mut self, priority: u8) {
        if let Some(source) = self.source() {
            self.counters.sent += 1;
            let wall = WallTime::default();
            let packets = self.sealer.emit(&mut self.guard, &self.plan, source, priority, wall);
            self.outputs.extend(packets.iter().cloned().map(Output::SendAdvert));
        }
    }

    /// Tells scripts and pipes of the state it is in.
    fn notify(&mut self, state: VrrpState) {
        let kind = match state {
            VrrpState::Init => NoticeKind::Stop,
            VrrpState::Backup => NoticeKind::Backup,
            VrrpState::Master => NoticeKind::Master,
            VrrpState::Fault => NoticeKind::Fault,
        };
        self.outputs.push_back(Output::Notice(kind, self.priority()));
    }

    pub(super) fn announce(&mut self, addresses: Announced, repeat: u8) {
        if repeat > 0 && self.plan.held_addresses().next().is_some() {
            self.outputs.push_back(Output::Announce { addresses, repeat });
        }
    }

    /// Starts the master-down timer anew.
    pub(super) fn await_master(&mut self, now: Time) {
        self.ready = false;
        self.timer = now + self.master_down_interval();
        self.expiry = Reason::MasterDownTimer;
    }

    /// Three adverts and the skew (RFC 3768 6.1).
    pub fn master_down_interval(&self) -> Duration {
        self.interval() * 3 + self.skew()
    }

    /// (256 - priority) / 256 seconds (RFC 3768 6.1); less with intervals below a second, which
    /// version 2 cannot carry but two of us can keep.
    fn skew(&self) -> Duration {
        let unit = self.interval().min(Duration::from_secs(1));
        unit * (256 - u32::from(self.priority())) / 256
    }

    fn interval(&self) -> Duration {
        self.plan.advert_interval.duration().max(Duration::from_millis(10))
    }

    fn source(&self) -> Option<IpAddr> {
        self.link.map(|link| self.plan.source.unwrap_or(link))
    }

    fn priority(&self) -> u8 {
        self.plan.priority.number()
    }

    pub(super) fn owner(&self) -> bool {
        self.priority() == OWNER
    }
}

/// The time of something that is switched off by a delay of zero.
pub(super) fn after(now: Time, delay: Duration) -> Time {
    if delay.is_zero() { Time::NEVER } else { now + delay }
}

#[cfg(test)]
#[path = "instance_tests.rs"]
pub(crate) mod tests;
