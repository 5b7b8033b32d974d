//! Waits for adverts, timers, interfaces and the supervisor, gives them to the router and has
//! the kernel do what the router asks for. Decides nothing.
//!
//! - [`punctual`]: adverts and timers, which come before everything else;
//! - [`work`]: what the router asks for besides adverts, one small piece at a time;
//! - [`aside`]: what would take too long on this thread;
//! - [`interfaces`]: links and addresses that come, go and change;
//! - [`repairs`]: how often what was taken is put back;
//! - [`orders`]: what the supervisor says.

mod aside;
mod interfaces;
mod orders;
mod punctual;
mod repairs;
mod strangers;
mod work;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use edge::clock;
use edge::ipc::Channel;
use edge::netlink::Socket;
use edge::poll::{Event as Ready, Interest, Poll};
use edge::signal::Signals;
use edge::timer::Timer;
use model::Time;
use model::control::TrackerState;
use model::vrrp::{Tracked, VrrpInstance, VrrpPlan};
use proto::vrrp::{Discard, LinkState, Router, Task};

use strangers::Strangers;

use super::announcements::Announcements;
use super::bfd::Sessions;
use super::kernel::{GROUPS, Kernel};
use super::memory::Memory;
use super::stations::{Leaving, Stations};
use super::supervisor::Supervisor;
use crate::lateness::Lateness;
use repairs::Repairs;

const OTHERS: u64 = 0;
const TIMER: u64 = 1;
const INTERFACES: u64 = 2;
const SIGNALS: u64 = 3;
/// BFD packets over IPv4; those over IPv6 have the next number.
const BFD: u64 = 4;
const BFD_IPV6: u64 = BFD + 1;
/// Receivers of adverts have this and a number of their own.
const STATIONS: u64 = 1 << 32;
/// Adverts of one burst that are sent without allocating; a larger burst allocates once.
const BURST: usize = 1024;

/// The role's one loop.
pub(super) struct Driver {
    supervisor: Supervisor,
    router: Router,
    kernel: Kernel,
    stations: Stations,
    announcements: Announcements,
    bfd: Sessions,
    events: Socket,
    timer: Timer,
    signals: Signals,
    poll: Poll,
    memory: Memory,
    plan: Box<VrrpPlan>,
    /// What the router was last told of each interface.
    links: BTreeMap<String, LinkState>,
    /// What the helper and BFD told last of what they follow.
    trackers: BTreeMap<Tracked, TrackerState>,
    /// Indices of the interfaces on which this machine routes IPv6.
    routers: BTreeSet<u32>,
    /// Events of interfaces were lost, and reading them anew has not succeeded yet.
    stale: bool,
    repairs: Repairs,
    lateness: Lateness,
    realtime: bool,
    stopped: bool,
    /// Adverts of the burst at hand.
    adverts: Vec<Leaving>,
    /// Adverts that found their virtual MAC interface down: they leave once it is up.
    late: Vec<Leaving>,
    /// Adverts discarded in the turn at hand, to be told of when there is time.
    discarded: Vec<(Arc<VrrpInstance>, IpAddr, Discard)>,
    /// Adverts that nobody here is meant by.
    strangers: Strangers,
    /// What the router asked for besides adverts, in order.
    work: VecDeque<Task>,
}

impl Driver {
    /// `realtime` is the real-time priority of this thread, if it has one.
    pub(super) fn new(channel: Channel, realtime: Option<u8>) -> io::Result<Driver> {
        // Before the interfaces are read, so that no change of them is missed.
        let events = Socket::open()?;
        events.subscribe(&GROUPS)?;
        let kernel = Kernel::open()?;
        let timer = Timer::new()?;
        // Ctrl-C goes to the whole foreground group: the supervisor says when to stop.
        let signals = Signals::blocked(&[libc::SIGTERM, libc::SIGINT, libc::SIGHUP])?;
        let supervisor = Supervisor::over(channel, realtime.map(|priority| priority - 1))?;
        let poll = Poll::new()?;
        poll.add(&supervisor, OTHERS, Interest::Read)?;
        poll.add(&timer, TIMER, Interest::Read)?;
        poll.add(&events, INTERFACES, Interest::Read)?;
        poll.add(&signals, SIGNALS, Interest::Read)?;
        Ok(Driver {
            supervisor,
            router: Router::default(),
            kernel,
            stations: Stations::new()?,
            announcements: Announcements::new()?,
            bfd: Sessions::new(),
            events,
            timer,
            signals,
            poll,
            memory: Memory::default(),
            plan: Box::default(),
            links: BTreeMap::new(),
            trackers: BTreeMap::new(),
            routers: BTreeSet::new(),
            stale: false,
            repairs: Repairs::default(),
            lateness: Lateness::default(),
            realtime: realtime.is_some(),
            stopped: false,
            adverts: Vec::with_capacity(BURST),
            late: Vec::new(),
            discarded: Vec::with_capacity(punctual::DISCARDED_MAX),
            strangers: Strangers::default(),
            work: VecDeque::with_capacity(BURST),
        })
    }

    /// Runs until the supervisor says stop or goes away.
    pub(super) fn run(mut self) -> io::Result<()> {
        let mut ready = Vec::new();
        while !self.stopped {
            self.timer.set(self.next_deadline())?;
            self.poll.wait(&mut ready, Time::NEVER)?;
            if ready.iter().any(|event| event.token == TIMER) {
                self.timer.clear()?;
            }
            self.hear_adverts(&ready);
            if ready.iter().any(|event| matches!(event.token, BFD | BFD_IPV6)) {
                self.hear_bfd();
            }
            self.be_punctual();
            self.work_off();
            self.announce_due();
            self.tell_discarded();
            self.attend(&ready)?;
            self.work_off();
        }
        self.supervisor.finish();
        Ok(())
    }

    fn next_deadline(&self) -> Time {
        let announcement = self.announcements.next_deadline();
        self.router.next_deadline().min(self.bfd.next_deadline()).min(announcement)
    }

    /// Everything that may wait for adverts and timers.
    fn attend(&mut self, ready: &[Ready]) -> io::Result<()> {
        if self.stale {
            self.reread_interfaces();
        }
        for event in ready {
            match event.token {
                INTERFACES => self.follow_interfaces()?,
                SIGNALS => self.hear_signals()?,
                OTHERS => self.hear_others()?,
                _ => {}
            }
            self.be_punctual();
        }
        Ok(())
    }

    fn hear_signals(&mut self) -> io::Result<()> {
        while let Some(signal) = self.signals.arrived()? {
            if signal == libc::SIGTERM {
                self.stop();
            }
        }
        Ok(())
    }

    /// Adverts of priority zero, then everything taken away.
    fn stop(&mut self) {
        self.router.handle_stop(clock::now());
        self.collect();
        self.bfd.stop(clock::now());
        self.work_off();
        self.kernel.finish().into_iter().for_each(|text| self.supervisor.warn(text));
        self.stopped = true;
    }
}
