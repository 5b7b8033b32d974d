//! A second thread of the process that reads, writes, parses and serialises what the supervisor
//! and the helper say and are told, so that no message, however long, delays an advert. Nothing
//! here blocks either side: when the supervisor does not read, events are dropped, and answers
//! wait; when the helper does not read, the oldest notices are dropped.
//!
//! Under real-time priority this thread has it too, a step lower: ordinary work never suspends
//! it while it holds a lock that the other thread waits for.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use edge::ipc::{Channel, Received};
use edge::poll::{Event as Ready, Interest, Poll};
use edge::wake::Bell;
use model::Time;
use model::control::{
    Event, FromHelper, FromRole, Notice, NoticeKind, ToHelper, ToRole, TrackerState,
};
use model::vrrp::{Tracked, VrrpPlan};

/// Frames that may wait for the helper.
const NOTICES_MAX: usize = 4096;
/// Frames that may wait for the supervisor before events are dropped.
const EVENTS_MAX: usize = 4096;
/// How long notices wait for the next helper after one has ended.
const HELD_FOR: Duration = Duration::from_secs(30);
const STACK: usize = 1 << 20;

const SUPERVISOR: u64 = 0;
const OUTBOX: u64 = 1;
const HELPER: u64 = 2;

/// What was heard.
pub(super) enum Said {
    /// The supervisor said something, with descriptors beside it.
    Order(Box<ToRole>, Vec<OwnedFd>),
    /// The helper told how something is that it follows.
    Tracker(Tracked, TrackerState),
    /// The supervisor is gone.
    Gone,
}

/// What is to be told or done.
pub(super) enum Say {
    /// To the supervisor.
    Supervisor(FromRole),
    /// To the helper.
    Helper(Notice),
    /// The connection to the helper is this one from now on.
    Link(OwnedFd),
    /// Nobody needs this any more; giving back its memory takes a while.
    Waste(Box<VrrpPlan>),
    /// That was all.
    End,
}

/// A queue from one thread to another, with a bell.
pub(super) struct Mailbox<T> {
    letters: Mutex<VecDeque<T>>,
    bell: Bell,
}

impl<T> Mailbox<T> {
    /// An empty one that holds this many letters without allocating.
    pub(super) fn new(capacity: usize) -> io::Result<Mailbox<T>> {
        let letters = Mutex::new(VecDeque::with_capacity(capacity));
        Ok(Mailbox { letters, bell: Bell::new()? })
    }

    /// Puts a letter in and rings. Returns how many are in it now.
    pub(super) fn put(&self, letter: T) -> usize {
        let mut letters = self.letters.lock().unwrap_or_else(PoisonError::into_inner);
        letters.push_back(letter);
        let count = letters.len();
        drop(letters);
        self.bell.ring();
        count
    }

    /// Takes the oldest letter out.
    pub(super) fn take(&self) -> Option<T> {
        self.letters.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    /// Letters in it.
    pub(super) fn len(&self) -> usize {
        self.letters.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Silences the bell, before everything is [taken](Self::take).
    pub(super) fn silence(&self) -> io::Result<()> {
        self.bell.clear()
    }
}

impl<T> AsFd for Mailbox<T> {
    /// Readable while the bell rings.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }
}

/// The thread's state.
struct Liaison {
    supervisor: Channel,
    helper: Option<Channel>,
    inbox: Arc<Mailbox<Said>>,
    outbox: Arc<Mailbox<Say>>,
    poll: Poll,
    /// Writing is polled: to the supervisor, to the helper.
    writes: [bool; 2],
    notices_lost: bool,
    /// Events dropped since there was room last.
    events_lost: u64,
    /// What was last told of each instance and group, for a helper that is started again.
    told: BTreeMap<(bool, String), Notice>,
    /// Notices between two helpers, with the time of each.
    held: VecDeque<(Time, Notice)>,
    /// There was a helper: another one comes.
    had_helper: bool,
    /// The supervisor cannot be heard any more.
    deaf: bool,
}

/// Starts the thread. `priority` is its real-time priority, if it is to have one.
pub(super) fn start(
    supervisor: Channel,
    inbox: Arc<Mailbox<Said>>,
    outbox: Arc<Mailbox<Say>>,
    priority: Option<u8>,
) -> io::Result<JoinHandle<()>> {
    thread::Builder::new().name("liaison".into()).stack_size(STACK).spawn(move || {
        if let Some(priority) = priority {
            // Not permitted: then the other thread does not have it either.
            let _ = edge::realtime::raise_priority(priority);
        }
        let done = Liaison::open(supervisor, inbox.clone(), outbox).and_then(Liaison::run);
        if done.is_err() {
            inbox.put(Said::Gone);
        }
    })
}

impl Liaison {
    fn open(
        supervisor: Channel,
        inbox: Arc<Mailbox<Said>>,
        outbox: Arc<Mailbox<Say>>,
    ) -> io::Result<Liaison> {
        let poll = Poll::new()?;
        poll.add(&supervisor, SUPERVISOR, Interest::Read)?;
        poll.add(&*outbox, OUTBOX, Interest::Read)?;
        let writes = [false; 2];
        Ok(Liaison {
            supervisor,
            helper: None,
            inbox,
            outbox,
            poll,
            writes,
            notices_lost: false,
            events_lost: 0,
            told: BTreeMap::new(),
            held: VecDeque::new(),
            had_helper: false,
            deaf: false,
        })
    }

    fn run(mut self) -> io::Result<()> {
        let mut ready = Vec::new();
        let mut ended = false;
        while !ended {
            self.poll.wait(&mut ready, Time::NEVER)?;
            for event in &ready {
                match event {
                    Ready { token: SUPERVISOR, readable: true, .. } => self.hear_supervisor()?,
                    Ready { token: HELPER, readable: true, .. } => self.hear_helper(),
                    _ => {}
                }
            }
            self.outbox.silence()?;
            while let Some(letter) = self.outbox.take() {
                ended |= self.say(letter)?;
            }
            self.flush()?;
        }
        Ok(())
    }

    fn hear_supervisor(&mut self) -> io::Result<()> {
        while !self.deaf {
            match self.supervisor.receive()? {
                Received::Frame(frame) => {
                    let message = serde_json::from_slice(&frame.bytes).map_err(io::Error::from)?;
                    self.inbox.put(Said::Order(message, frame.descriptors));
                }
                Received::Nothing => return Ok(()),
                Received::Closed => {
                    self.deaf = true;
                    self.poll.remove(&self.supervisor)?;
                    self.inbox.put(Said::Gone);
                }
            }
        }
        Ok(())
    }

    /// A helper that is gone, or speaks nonsense, is forgotten; the supervisor links another.
    fn hear_helper(&mut self) {
        while let Some(helper) = &mut self.helper {
            let message = match helper.receive() {
                Ok(Received::Frame(frame)) => serde_json::from_slice(&frame.bytes),
                Ok(Received::Nothing) => return,
                Ok(Received::Closed) | Err(_) => {
                    self.helper = None;
                    return;
                }
            };
            match message {
                Ok(FromHelper::Tracker { what, state }) => {
                    self.inbox.put(Said::Tracker(what, state));
                }
                Err(error) => {
                    self.helper = None;
                    self.warn(format!("the helper speaks nonsense: {error}"));
                }
            }
        }
    }

    /// True for the last letter.
    fn say(&mut self, letter: Say) -> io::Result<bool> {
        match letter {
            Say::Supervisor(message) => self.tell_supervisor(&message)?,
            Say::Helper(notice) => self.notify(notice)?,
            Say::Link(socket) => self.link(socket)?,
            Say::Waste(plan) => drop(plan),
            Say::End => return Ok(true),
        }
        Ok(false)
    }

    /// A supervisor that does not read finds the first events, and is told how many were dropped
    /// after them. Answers wait: it asked for them.
    fn tell_supervisor(&mut self, message: &FromRole) -> io::Result<()> {
        let is_event = matches!(message, FromRole::Event(_));
        if is_event && self.supervisor.waiting() >= EVENTS_MAX {
            self.events_lost += 1;
            return Ok(());
        }
        self.supervisor.queue(serde_json::to_vec(message)?, Vec::new());
        Ok(())
    }

    /// Once there is room again.
    fn tell_what_was_lost(&mut self) -> io::Result<()> {
        if self.events_lost == 0 || self.supervisor.waiting() >= EVENTS_MAX {
            return Ok(());
        }
        let lost = std::mem::take(&mut self.events_lost);
        let text = format!("{lost} events were dropped while nobody read them");
        let event = FromRole::Event(Event::Log { severity: 4, text });
        self.supervisor.queue(serde_json::to_vec(&event)?, Vec::new());
        Ok(())
    }

    /// A new helper knows nothing: it is told how everything is, and what happened since the
    /// former one ended.
    fn link(&mut self, socket: OwnedFd) -> io::Result<()> {
        let channel = Channel::from_socket(socket)?;
        self.poll.add(&channel, HELPER, Interest::Read)?;
        self.helper = Some(channel);
        self.writes[1] = false;
        self.notices_lost = false;
        self.had_helper = true;
        let known: Vec<ToHelper> = self.told.values().cloned().map(ToHelper::Known).collect();
        for message in known {
            self.pass_on(&message)?;
        }
        let now = edge::clock::now();
        for (since, notice) in std::mem::take(&mut self.held) {
            if now.since(since) <= HELD_FOR {
                self.pass_on(&ToHelper::Notice(notice))?;
            }
        }
        Ok(())
    }

    fn notify(&mut self, notice: Notice) -> io::Result<()> {
        if self.helper.is_some() {
            self.pass_on(&ToHelper::Notice(notice.clone()))?;
        } else if self.had_helper {
            self.hold(notice.clone());
        }
        self.remember(notice);
        Ok(())
    }

    /// Priorities and weaker masters are no states.
    fn remember(&mut self, notice: Notice) {
        let key = (notice.group, notice.name.clone());
        match notice.kind {
            NoticeKind::Master | NoticeKind::Backup | NoticeKind::Fault | NoticeKind::Stop => {
                self.told.insert(key, notice);
            }
            NoticeKind::Deleted => {
                self.told.remove(&key);
            }
            NoticeKind::MasterPriority | NoticeKind::BackupPriority => {
                if let Some(told) = self.told.get_mut(&key) {
                    told.priority = notice.priority;
                }
            }
            NoticeKind::MasterRxLowerPri => {}
        }
    }

    /// Keeps a notice for the next helper; of too many the oldest go.
    fn hold(&mut self, notice: Notice) {
        if self.held.len() == NOTICES_MAX {
            self.held.pop_front();
        }
        self.held.push_back((edge::clock::now(), notice));
    }

    fn pass_on(&mut self, message: &ToHelper) -> io::Result<()> {
        let Some(helper) = &mut self.helper else { return Ok(()) };
        let lost = helper.queue_bounded(serde_json::to_vec(message)?, NOTICES_MAX);
        if lost && !std::mem::replace(&mut self.notices_lost, true) {
            self.warn("the helper does not keep up: some scripts are not run".to_owned());
        }
        Ok(())
    }

    fn warn(&mut self, text: String) {
        self.outbox.put(Say::Supervisor(FromRole::Event(Event::Log { severity: 4, text })));
    }

    fn flush(&mut self) -> io::Result<()> {
        self.tell_what_was_lost()?;
        // Whoever is gone is noticed by reading.
        let left = matches!(self.supervisor.flush(), Ok(false));
        if !self.deaf && left != self.writes[0] {
            self.poll.modify(&self.supervisor, SUPERVISOR, Interest::read_and(left))?;
            self.writes[0] = left;
        }
        if let Some(helper) = &mut self.helper {
            let left = matches!(helper.flush(), Ok(false));
            if left != self.writes[1] {
                self.poll.modify(&*helper, HELPER, Interest::read_and(left))?;
                self.writes[1] = left;
            }
        }
        Ok(())
    }
}
