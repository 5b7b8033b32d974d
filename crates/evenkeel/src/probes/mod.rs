//! Many checkers on one epoll: opens what they ask for, reports what became of it.
//!
//! A [`ProbeSet`] lives in the event loop of a role: it polls [`ProbeSet`]'s descriptor, sleeps no
//! longer than [`ProbeSet::next_deadline`], and then calls [`ProbeSet::run`]. At most
//! [`PROBES_MAX`] probes are under way at a time; the others wait in line, with no time-out
//! running against their servers.
//!
//! Sockets are closed in order (FIN, not RST): a reset costs this machine no TIME_WAIT but fills
//! the servers' logs.

mod connection;

#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use edge::poll::{Event, Poll};
use model::Time;
use proto::check::{Checker, Exit, Former, Output, Told};

pub(crate) use proto::check::Verdict;

use crate::lateness::Lateness;
use connection::{Connection, Happened};

/// Most probes under way at a time.
pub(crate) const PROBES_MAX: usize = 1024;

/// What a checker has to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// Up became down, or down up.
    Verdict(Verdict),
    /// What it adds to the weight of its server is this now.
    Weight(i32),
    /// A failure that changed no verdict, and its cause (`log_all_failures`).
    Failure(String),
}

/// Checkers, each known by its key.
pub(crate) struct ProbeSet<K> {
    poll: Poll,
    /// Where each key's entry is.
    places: HashMap<K, usize>,
    entries: Vec<Option<Entry<K>>>,
    vacant: Vec<usize>,
    /// Deadlines of all entries that are not in line.
    deadlines: BTreeSet<(Time, usize)>,
    /// Those whose probe is due while too many are under way, the oldest first.
    line: BTreeSet<(Time, usize)>,
    under_way: usize,
    most: usize,
    /// Connections opened so far: tells the events of one from those of its successor.
    opened: u32,
    events: Vec<Event>,
    /// What nobody has taken yet.
    news: Vec<(K, News)>,
    lateness: Lateness,
}

struct Entry<K> {
    key: K,
    checker: Checker,
    connection: Option<Connection>,
    /// Its deadline as it stands in `deadlines` or in `line`.
    scheduled: Time,
    /// It counts as under way.
    probing: bool,
}

impl<K: Clone + Eq + Hash> ProbeSet<K> {
    /// An empty set. Takes no more than half of the descriptors this process may open.
    pub(crate) fn new() -> io::Result<ProbeSet<K>> {
        let descriptors = edge::process::descriptors_max();
        ProbeSet::with_most(PROBES_MAX.min(descriptors / 2).max(1))
    }

    fn with_most(most: usize) -> io::Result<ProbeSet<K>> {
        Ok(ProbeSet {
            poll: Poll::new()?,
            places: HashMap::new(),
            entries: Vec::new(),
            vacant: Vec::new(),
            deadlines: BTreeSet::new(),
            line: BTreeSet::new(),
            under_way: 0,
            most,
            opened: 0,
            events: Vec::new(),
            news: Vec::new(),
            lateness: Lateness::default(),
        })
    }

    /// Puts a checker in, or leaves it alone when the key has the same one already: its verdict,
    /// its count of failures and its next probe stay as they are. Another checker under the same
    /// key takes over the verdict. `seed` places the first probe within the warm-up.
    pub(crate) fn add(
        &mut self,
        key: K,
        plan: impl Into<Arc<model::check::Checker>>,
        now: Time,
        seed: u64,
    ) {
        let plan = plan.into();
        let state = Former::new(plan.pace.initially_up);
        self.resume(key, plan, state, now, seed);
    }

    /// The same, for a checker of which something is known from before: it counts instead of
    /// `pace.initially_up`.
    pub(crate) fn resume(
        &mut self,
        key: K,
        plan: impl Into<Arc<model::check::Checker>>,
        state: Former,
        now: Time,
        seed: u64,
    ) {
        let plan = plan.into();
        let mut state = state;
        if let Some(entry) = self.entry(&key) {
            if *entry.checker.plan() == *plan {
                return;
            }
            state = Former::new(entry.checker.is_up());
            self.remove(&key);
        }
        let checker = Checker::resume(plan, state, now, seed);
        let scheduled = checker.next_deadline();
        let (connection, probing) = (None, false);
        let entry = Entry { key: key.clone(), checker, connection, scheduled, probing };
        let place = match self.vacant.pop() {
            Some(place) => {
                self.entries[place] = Some(entry);
                place
            }
            None => {
                self.entries.push(Some(entry));
                self.entries.len() - 1
            }
        };
        self.places.insert(key, place);
        self.deadlines.insert((scheduled, place));
    }

    /// Takes a checker out, whatever it is doing.
    pub(crate) fn remove(&mut self, key: &K) {
        let Some(place) = self.places.remove(key) else {
            return;
        };
        let Some(entry) = self.entries[place].take() else {
            return;
        };
        self.deadlines.remove(&(entry.scheduled, place));
        self.line.remove(&(entry.scheduled, place));
        if entry.probing {
            self.under_way -= 1;
        }
        self.vacant.push(place);
    }

    /// Takes out every checker whose key does not pass.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&K) -> bool) {
        let gone: Vec<K> = self.places.keys().filter(|key| !keep(key)).cloned().collect();
        for key in gone {
            self.remove(&key);
        }
    }

    /// The verdict of a checker, if the set has it.
    pub(crate) fn is_up(&self, key: &K) -> Option<bool> {
        self.entry(key).map(|entry| entry.checker.is_up())
    }

    /// What the last finished probe said, good or bad.
    pub(crate) fn last_result(&self, key: &K) -> Option<&str> {
        self.entry(key).and_then(|entry| entry.checker.last_result())
    }

    /// When [`run`](Self::run) is due even if nothing happens on the descriptor.
    pub(crate) fn next_deadline(&self) -> Time {
        if !self.news.is_empty() || (self.under_way < self.most && !self.line.is_empty()) {
            return Time::ZERO;
        }
        self.deadlines.first().map_or(Time::NEVER, |&(deadline, _)| deadline)
    }

    /// Does everything that can be done without waiting; returns what checkers have to tell.
    pub(crate) fn run(&mut self, now: Time) -> io::Result<Vec<(K, News)>> {
        let mut events = std::mem::take(&mut self.events);
        self.poll.wait(&mut events, Time::ZERO)?;
        for event in &events {
            self.handle_event(now, *event);
        }
        self.events = events;
        while let Some(&(deadline, place)) = self.deadlines.first()
            && deadline <= now
        {
            // A probe that takes too long fails; one that is due may have to wait in line.
            let probing = self.entries[place].as_ref().is_some_and(|entry| entry.probing);
            if probing {
                self.handle_timeout(now, place);
            } else {
                self.line.extend(self.deadlines.pop_first());
            }
        }
        while self.under_way < self.most
            && let Some((deadline, place)) = self.line.pop_first()
        {
            self.lateness.record(now.since(deadline));
            self.handle_timeout(now, place);
        }
        Ok(std::mem::take(&mut self.news))
    }

    fn handle_event(&mut self, now: Time, event: Event) {
        let (place, number) = (event.token as u32 as usize, (event.token >> 32) as u32);
        let Some(Some(entry)) = self.entries.get_mut(place) else {
            return;
        };
        let checker = &mut entry.checker;
        let Some(connection) = entry.connection.as_mut().filter(|it| it.number == number) else {
            return;
        };
        connection.handle_event(&self.poll, event, |happened| match happened {
            Happened::Connected(outcome) => checker.handle_connected(now, outcome),
            Happened::Bytes(bytes) => checker.handle_bytes(now, bytes),
            Happened::Ended(outcome) => checker.handle_end(now, outcome),
        });
        self.follow(now, place);
    }

    fn handle_timeout(&mut self, now: Time, place: usize) {
        if let Some(entry) = self.entries[place].as_mut() {
            entry.checker.handle_timeout(now);
        }
        self.follow(now, place);
    }

    /// Does what the checker wants, then counts and schedules it anew.
    fn follow(&mut self, now: Time, place: usize) {
        let Some(entry) = self.entries[place].as_mut() else {
            return;
        };
        while let Some(output) = entry.checker.poll_output() {
            match output {
                Output::Connect { target, source, tls: None } => {
                    let bind = source.bind;
                    self.opened = self.opened.wrapping_add(1);
                    match Connection::open(&self.poll, place as u32, self.opened, target, bind) {
                        Ok(connection) => entry.connection = Some(connection),
                        Err(error) if edge::connect::is_local_shortage(&error) => {
                            entry.checker.handle_postponed(now);
                        }
                        Err(error) => {
                            let cause = edge::connect::cause(&error);
                            entry.checker.handle_connected(now, Err(cause));
                        }
                    }
                }
                Output::Send(bytes) => {
                    if let Some(connection) = &mut entry.connection {
                        connection.queue(&self.poll, bytes);
                    }
                }
                Output::Close => entry.connection = None,
                Output::Connect { tls: Some(_), .. }
                | Output::OpenUdp { .. }
                | Output::OpenEcho { .. } => {
                    let cause = "not supported by this driver".to_owned();
                    entry.checker.handle_connected(now, Err(cause));
                }
                Output::Run { .. } => {
                    let cause = "not supported by this driver".to_owned();
                    entry.checker.handle_exited(now, Exit::NotStarted(cause));
                }
                Output::Verdict(verdict) => {
                    self.news.push((entry.key.clone(), News::Verdict(verdict)));
                }
                Output::Weight(weight) => {
                    self.news.push((entry.key.clone(), News::Weight(weight)));
                }
                Output::Failure(cause) => {
                    self.news.push((entry.key.clone(), News::Failure(cause)));
                }
            }
        }
        let probing = entry.checker.is_probing();
        match (entry.probing, probing) {
            (false, true) => self.under_way += 1,
            (true, false) => self.under_way -= 1,
            (false, false) | (true, true) => {}
        }
        entry.probing = probing;
        self.deadlines.remove(&(entry.scheduled, place));
        entry.scheduled = entry.checker.next_deadline();
        self.deadlines.insert((entry.scheduled, place));
    }

    fn entry(&self, key: &K) -> Option<&Entry<K>> {
        self.entries[*self.places.get(key)?].as_ref()
    }
}

// What the director asks for as its virtual servers come to life.
#[allow(dead_code)]
impl<K: Clone + Eq + Hash> ProbeSet<K> {
    /// A checker, for what else there is to know of it.
    pub(crate) fn checker(&self, key: &K) -> Option<&Checker> {
        self.entry(key).map(|entry| &entry.checker)
    }

    /// How late probes began after they were due.
    pub(crate) fn lateness(&self) -> &Lateness {
        &self.lateness
    }

    /// Something happened that a checker does not find out itself (BFD_CHECK, FILE_CHECK). What it
    /// makes of it is told by the next [`run`](Self::run), which is due at once.
    pub(crate) fn handle_told(&mut self, now: Time, key: &K, told: Told) {
        self.with(now, key, |checker| checker.handle_told(now, told));
    }

    /// A checker pauses, its verdict stays (`ha_suspend`).
    pub(crate) fn suspend(&mut self, now: Time, key: &K) {
        self.with(now, key, |checker| checker.handle_suspend(now));
    }

    /// A checker goes on, beginning within its warm-up where `seed` says.
    pub(crate) fn unsuspend(&mut self, now: Time, key: &K, seed: u64) {
        self.with(now, key, |checker| checker.handle_resume(now, seed));
    }

    fn with(&mut self, now: Time, key: &K, what: impl FnOnce(&mut Checker)) {
        let Some(&place) = self.places.get(key) else { return };
        if let Some(entry) = self.entries[place].as_mut() {
            what(&mut entry.checker);
        }
        self.line.remove(&(self.scheduled(place), place));
        self.follow(now, place);
    }

    fn scheduled(&self, place: usize) -> Time {
        self.entries[place].as_ref().map_or(Time::NEVER, |entry| entry.scheduled)
    }
}

impl<K> AsFd for ProbeSet<K> {
    /// Readable when [`run`](Self::run) has something to do.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.poll.as_fd()
    }
}
