//! Many checkers on one epoll: opens what they ask for, reports what became of it.
//!
//! ```text
//! ProbeSet ── Wheel (who is due, who waits in line)
//!    │ carry: Checker's outputs -> Channel | Programs, and back
//!    └── Channel: TCP, TLS, UDP, ICMP echo
//! ```
//! A [`ProbeSet`] lives in the event loop of a role: it polls [`ProbeSet`]'s descriptor, sleeps no
//! longer than [`ProbeSet::next_deadline`], and then calls [`ProbeSet::run`], which never takes
//! long: what it does at a stretch is bounded. At most [`PROBES_MAX`] sockets and
//! [`PROGRAMS_MAX`] programs are under way at a time; other probes wait in line, the one due first
//! in front, with no time-out running against their servers.
//!
//! A TCP connection costs a socket, a connect, one registration, one look at its outcome and a
//! close. Connections are closed in order (FIN, not RST), which costs this machine a TIME_WAIT for
//! a minute: a reset would fill the servers' logs. The kernel bounds them (tcp_max_tw_buckets) and
//! does without those beyond it. Measured with 40,000 checkers every 6 s over loopback: 131,072 of
//! them at most, and 0.3 of a core for all, the servers' side of the handshakes included.

mod carry;
mod channel;
mod shortage;
mod wheel;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::hash::Hash;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use edge::poll::{Event, Interest, Poll};
use model::Time;
use model::layer4::{Outside, TlsFiles};
use proto::check::{Checker, Former, Told};

pub(crate) use proto::check::Verdict;

use crate::lateness::Lateness;
use crate::outside::Programs;
use channel::{Channel, Settings};
use shortage::Shortage;
use wheel::{Line, Wheel};

/// Most sockets at a time: as many servers may be silent for a whole time-out before others have
/// to wait.
pub(crate) const PROBES_MAX: usize = 32_768;
/// Most programs of MISC_CHECK at a time.
pub(crate) const PROGRAMS_MAX: usize = 256;
/// Longest datagram.
const BUFFER: usize = 1 << 16;
/// Token of the programs: no other has this number and place.
const PROGRAMS: u64 = u64::MAX;

/// How TLS is spoken with these files: without authorities, with whoever the server is.
pub(crate) fn tls_config(files: &TlsFiles) -> Result<Arc<rustls::ClientConfig>, String> {
    Settings::new(files).map(|settings| settings.config())
}

/// What a checker has to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// Up became down, or down up.
    Verdict(Verdict),
    /// What it adds to the weight of its server is this now.
    Weight(i32),
    /// A failure that changed no verdict, and its cause (`log_all_failures`, `alpha`).
    Failure(String),
}

/// Checkers, each known by its key.
pub(crate) struct ProbeSet<K> {
    poll: Poll,
    /// Where each key's entry is.
    places: HashMap<K, u32>,
    entries: Vec<Option<Entry<K>>>,
    vacant: Vec<u32>,
    wheel: Wheel,
    /// Sockets open, or about to be.
    under_way: usize,
    most: usize,
    programs: Programs<(u32, u32)>,
    programs_most: usize,
    shortage: Shortage,
    /// Things opened so far: tells the events of one from those of its successor.
    opened: u32,
    tls: Settings,
    events: Vec<Event>,
    buffer: Vec<u8>,
    /// What nobody has taken yet.
    news: Vec<(K, News)>,
    lateness: Lateness,
}

struct Entry<K> {
    key: K,
    checker: Checker,
    open: Open,
    /// It counts as under way.
    probing: bool,
}

/// What an entry has open, with its number.
enum Open {
    Nothing,
    Channel(u32, Channel),
    Program(u32),
}

impl<K> Entry<K> {
    fn line(&self) -> Line {
        match self.checker.plan().kind.command() {
            Some(_) => Line::Programs,
            None => Line::Sockets,
        }
    }
}

impl<K: Clone + Eq + Hash> ProbeSet<K> {
    /// An empty set. Takes no more than half of the descriptors this process may open for sockets
    /// and an eighth for programs.
    pub(crate) fn new() -> io::Result<ProbeSet<K>> {
        let descriptors = edge::process::descriptors_max();
        let mut set = ProbeSet::with_most(PROBES_MAX.min(descriptors / 2).max(1))?;
        set.programs_most = PROGRAMS_MAX.min(descriptors / 8).max(1);
        Ok(set)
    }

    fn with_most(most: usize) -> io::Result<ProbeSet<K>> {
        let (poll, programs) = (Poll::new()?, Programs::new()?);
        poll.add(&programs, PROGRAMS, Interest::Read)?;
        Ok(ProbeSet {
            poll,
            places: HashMap::new(),
            entries: Vec::new(),
            vacant: Vec::new(),
            wheel: Wheel::new(edge::clock::now()),
            under_way: 0,
            most,
            programs,
            programs_most: PROGRAMS_MAX,
            shortage: Shortage::default(),
            opened: 0,
            tls: Settings::new(&TlsFiles::default()).map_err(io::Error::other)?,
            events: Vec::new(),
            buffer: vec![0; BUFFER],
            news: Vec::new(),
            lateness: Lateness::default(),
        })
    }

    /// Has these certificates, and runs programs as this user, from now on; or has what it had,
    /// and the error tells which file is wrong.
    pub(crate) fn configure(&mut self, outside: &Outside) -> Result<(), String> {
        self.tls = Settings::new(&outside.tls)?;
        self.programs.set_script_user(outside.script_user.clone());
        Ok(())
    }

    /// Puts a checker in, or leaves it alone when the key has the same one already: its verdict,
    /// its count of failures and its next probe stay as they are. Another checker under the same
    /// key takes over the verdict. `seed` places the first probe within the warm-up; its failure
    /// needs no retry to count.
    pub(crate) fn add(
        &mut self,
        key: K,
        plan: impl Into<Arc<model::check::Checker>>,
        now: Time,
        seed: u64,
    ) {
        let plan = plan.into();
        let state = Former { untried: true, ..Former::new(plan.pace.initially_up) };
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
        let entry = Entry { key: key.clone(), checker, open: Open::Nothing, probing: false };
        let place = match self.vacant.pop() {
            Some(place) => {
                self.entries[place as usize] = Some(entry);
                place
            }
            None => {
                self.entries.push(Some(entry));
                (self.entries.len() - 1) as u32
            }
        };
        self.places.insert(key, place);
        // It may have something to tell at once.
        self.follow(now, place);
    }

    /// Takes a checker out, whatever it is doing.
    pub(crate) fn remove(&mut self, key: &K) {
        let Some(place) = self.places.remove(key) else { return };
        let Some(entry) = self.entries[place as usize].take() else { return };
        self.wheel.cancel(place);
        if entry.probing && entry.line() == Line::Sockets {
            self.under_way -= 1;
        }
        if let Open::Program(number) = entry.open {
            self.end_program(place, number);
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

    /// A line for the log when checks are late for want of something here, once a minute at most.
    pub(crate) fn poll_shortage(&mut self) -> Option<String> {
        self.shortage.poll_line()
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
        let begins = |line| self.has_room(line) && !self.wheel.is_empty(line);
        if !self.news.is_empty() || begins(Line::Sockets) || begins(Line::Programs) {
            return Time::ZERO;
        }
        self.wheel.next_deadline().min(self.programs.next_deadline())
    }

    /// Another probe of this kind may begin.
    fn has_room(&self, line: Line) -> bool {
        match line {
            Line::Sockets => self.under_way < self.most,
            // Those that are slow to end count too.
            Line::Programs => self.programs.len() < self.programs_most,
        }
    }

    fn entry(&self, key: &K) -> Option<&Entry<K>> {
        self.entries[*self.places.get(key)? as usize].as_ref()
    }
}

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
        if let Some(entry) = self.entries[place as usize].as_mut() {
            what(&mut entry.checker);
        }
        self.follow(now, place);
    }
}

impl<K> AsFd for ProbeSet<K> {
    /// Readable when [`run`](ProbeSet::run) has something to do.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.poll.as_fd()
    }
}

impl<K> Drop for ProbeSet<K> {
    fn drop(&mut self) {
        self.programs.kill();
    }
}
