//! The conversation with the supervisor and the helper, as the role's thread sees it: letters to
//! and from the [liaison](super::liaison), which never block.

use std::collections::{BTreeSet, HashSet};
use std::io;
use std::mem;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::thread::JoinHandle;

use edge::ipc::Channel;
use model::control::{Event, FromRole, Notice};
use model::vrrp::VrrpPlan;
use proto::vrrp::Discard;

use super::liaison::{self, Mailbox, Said, Say};

/// Most letters that wait for the liaison before events are dropped.
const WAITING_MAX: usize = 4096;
/// Most different warnings between two configurations.
const WARNINGS_MAX: usize = 64;
/// Most kinds of discarded adverts, over all instances, told between two configurations.
const DISCARDS_MAX: usize = 1024;

/// This side of the conversation.
pub(super) struct Supervisor {
    inbox: Arc<Mailbox<Said>>,
    outbox: Arc<Mailbox<Say>>,
    thread: Option<JoinHandle<()>>,
    warned: BTreeSet<String>,
    discards: HashSet<(String, mem::Discriminant<Discard>)>,
}

impl Supervisor {
    /// Starts the liaison. `priority` is its real-time priority, if it is to have one. Signals
    /// that are to be blocked are blocked before.
    pub(super) fn over(channel: Channel, priority: Option<u8>) -> io::Result<Supervisor> {
        let inbox = Arc::new(Mailbox::new(WAITING_MAX)?);
        let outbox = Arc::new(Mailbox::new(2 * WAITING_MAX)?);
        let thread = liaison::start(channel, inbox.clone(), outbox.clone(), priority)?;
        let (warned, discards) = (BTreeSet::new(), HashSet::new());
        Ok(Supervisor { inbox, outbox, thread: Some(thread), warned, discards })
    }

    /// Everything heard from here on makes the descriptor readable again.
    pub(super) fn begin_to_hear(&self) -> io::Result<()> {
        self.inbox.silence()
    }

    /// The next thing that was said.
    pub(super) fn hear(&mut self) -> Option<Said> {
        self.inbox.take()
    }

    /// Answers the supervisor.
    pub(super) fn answer(&mut self, message: FromRole) {
        self.outbox.put(Say::Supervisor(message));
    }

    /// Tells it of an event, unless too many wait already.
    pub(super) fn tell(&mut self, event: Event) {
        if self.outbox.len() < WAITING_MAX {
            self.answer(FromRole::Event(event));
        }
    }

    /// Tells it of something that an administrator should see, once until
    /// [`forget_warnings`](Self::forget_warnings).
    pub(super) fn warn(&mut self, text: String) {
        if self.warned.len() < WARNINGS_MAX && self.warned.insert(text.clone()) {
            self.tell(Event::Log { severity: 4, text });
        }
    }

    /// Tells it of the first discarded advert of a kind, of an instance. The others are counted
    /// only, so that a forger neither floods the log nor uses up what is left for warnings.
    pub(super) fn warn_of_discard(&mut self, instance: &str, source: IpAddr, why: Discard) {
        if self.discards.len() < DISCARDS_MAX
            && self.discards.insert((instance.to_owned(), mem::discriminant(&why)))
        {
            let text = format!("{instance}: advert of {source} discarded: {why}");
            self.tell(Event::Log { severity: 4, text });
        }
    }

    /// A new configuration: what is still wrong is worth saying again.
    pub(super) fn forget_warnings(&mut self) {
        self.warned.clear();
        self.discards.clear();
    }

    /// The connection to the helper is this one from now on.
    pub(super) fn link(&mut self, socket: OwnedFd) {
        self.outbox.put(Say::Link(socket));
    }

    /// Has the helper run the scripts for this.
    pub(super) fn notify(&mut self, notice: Notice) {
        if self.outbox.len() < WAITING_MAX {
            self.outbox.put(Say::Helper(notice));
        }
    }

    /// Has a plan that nobody needs any more given back to the allocator.
    pub(super) fn throw_away(&mut self, plan: Box<VrrpPlan>) {
        self.outbox.put(Say::Waste(plan));
    }

    /// Has everything sent that the other sides take, and ends the liaison.
    pub(super) fn finish(&mut self) {
        self.outbox.put(Say::End);
        if let Some(thread) = self.thread.take() {
            // A liaison that panicked has said why on standard error.
            let _ = thread.join();
        }
    }
}

impl AsFd for Supervisor {
    /// Readable when something was said.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inbox.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use edge::ipc::Received;
    use model::control::{FromHelper, NoticeKind, ToHelper, ToRole, TrackerState};
    use model::vrrp::Tracked;
    use std::time::{Duration, Instant};

    fn conversation() -> (Supervisor, Channel) {
        let (ours, theirs) = Channel::pair().unwrap();
        (Supervisor::over(ours, None).unwrap(), theirs)
    }

    fn wait<T>(mut what: impl FnMut() -> Option<T>) -> T {
        let end = Instant::now() + Duration::from_secs(20);
        loop {
            if let Some(found) = what() {
                return found;
            }
            assert!(Instant::now() < end);
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn a_supervisor_that_does_not_read_costs_no_wait_and_its_end_is_an_end() {
        let (mut supervisor, theirs) = conversation();
        let begin = Instant::now();
        for number in 0..100_000 {
            supervisor.tell(Event::Log { severity: 6, text: format!("{number:0100}") });
            assert!(supervisor.outbox.len() <= WAITING_MAX);
        }
        supervisor.finish();
        assert!(begin.elapsed() < Duration::from_secs(60));
        drop(theirs);
    }

    #[test]
    fn a_supervisor_that_is_gone_is_noticed() {
        let (mut supervisor, mut theirs) = conversation();
        theirs.queue(serde_json::to_vec(&ToRole::Stop).unwrap(), Vec::new());
        theirs.flush().unwrap();
        let said = wait(|| supervisor.hear());
        assert!(matches!(said, Said::Order(order, _) if *order == ToRole::Stop));
        drop(theirs);
        assert!(matches!(wait(|| supervisor.hear()), Said::Gone));
        supervisor.finish();
    }

    #[test]
    fn a_warning_is_given_once_per_configuration_and_their_number_is_bounded() {
        let (mut supervisor, _theirs) = conversation();
        for number in 0..1_000 {
            supervisor.warn(format!("{}", number % 500));
        }
        assert_eq!(supervisor.warned.len(), WARNINGS_MAX);
        supervisor.forget_warnings();
        assert!(supervisor.warned.is_empty());
    }

    #[test]
    fn forged_adverts_are_told_of_once_per_kind_and_leave_room_for_warnings() {
        let (mut supervisor, mut theirs) = conversation();
        for number in 0..1_000_u32 {
            let source = IpAddr::from(number.to_be_bytes());
            supervisor.warn_of_discard("VI_1", source, Discard::Address(source));
            supervisor.warn_of_discard("VI_1", source, Discard::Password);
        }
        supervisor.warn("address not added".to_owned());
        supervisor.finish();
        let mut told = 0;
        while let Received::Frame(_) = theirs.receive().unwrap() {
            told += 1;
        }
        assert_eq!(told, 3);
    }

    #[test]
    fn the_helper_is_heard_and_told_over_its_own_connection() {
        let (mut supervisor, mut theirs) = conversation();
        let (ours, mut helper) = Channel::pair().unwrap();
        supervisor.link(ours.into_socket());
        let what = Tracked::Script("check".into());
        let tracker = FromHelper::Tracker { what: what.clone(), state: TrackerState::Up };
        helper.queue(serde_json::to_vec(&tracker).unwrap(), Vec::new());
        helper.flush().unwrap();
        let said = wait(|| supervisor.hear());
        assert!(matches!(said, Said::Tracker(heard, TrackerState::Up) if heard == what));

        let kind = NoticeKind::Master;
        let notice = Notice { group: false, name: "VI_1".into(), kind, priority: 100 };
        supervisor.notify(notice.clone());
        let Received::Frame(frame) = helper.wait(Duration::from_secs(20)).unwrap() else {
            panic!("no notice")
        };
        let message: ToHelper = serde_json::from_slice(&frame.bytes).unwrap();
        assert_eq!(message, ToHelper::Notice(notice.clone()));

        // The next one knows the states, and gets what was said between the two.
        drop(helper);
        std::thread::sleep(Duration::from_millis(50));
        let later = Notice { kind: NoticeKind::Fault, ..notice.clone() };
        supervisor.notify(later.clone());
        let (ours, mut helper) = Channel::pair().unwrap();
        supervisor.link(ours.into_socket());
        let mut next = || match helper.wait(Duration::from_secs(20)).unwrap() {
            Received::Frame(frame) => serde_json::from_slice(&frame.bytes).unwrap(),
            Received::Nothing | Received::Closed => panic!("nothing said"),
        };
        assert_eq!(ToHelper::Known(later.clone()), next());
        assert_eq!(ToHelper::Notice(later), next());
        supervisor.finish();
        assert!(!matches!(theirs.receive().unwrap(), Received::Frame(_)), "no warning");
    }

    #[test]
    fn notices_that_nobody_asked_for_are_neither_kept_nor_warned_of() {
        let (mut supervisor, mut theirs) = conversation();
        let notice = |kind| Notice { group: false, name: "VI_1".into(), kind, priority: 100 };
        supervisor.notify(notice(NoticeKind::Backup));
        supervisor.notify(notice(NoticeKind::Master));
        let (ours, mut helper) = Channel::pair().unwrap();
        supervisor.link(ours.into_socket());
        let Received::Frame(frame) = helper.wait(Duration::from_secs(20)).unwrap() else {
            panic!("nothing known")
        };
        let message: ToHelper = serde_json::from_slice(&frame.bytes).unwrap();
        assert_eq!(message, ToHelper::Known(notice(NoticeKind::Master)));
        supervisor.finish();
        assert!(!matches!(helper.receive().unwrap(), Received::Frame(_)));
        assert!(!matches!(theirs.receive().unwrap(), Received::Frame(_)));
    }

    #[test]
    fn a_helper_that_does_not_read_loses_the_oldest_notices() {
        let (mut supervisor, mut theirs) = conversation();
        let (ours, helper) = Channel::pair().unwrap();
        supervisor.link(ours.into_socket());
        for number in 0..20_000u32 {
            let name = format!("{number:0500}");
            let notice = Notice { group: false, name, kind: NoticeKind::Backup, priority: 1 };
            wait(|| (supervisor.outbox.len() < 100).then_some(()));
            supervisor.notify(notice);
        }
        supervisor.finish();
        let Received::Frame(frame) = theirs.receive().unwrap() else { panic!("no warning") };
        assert!(String::from_utf8(frame.bytes).unwrap().contains("does not keep up"));
        drop(helper);
    }
}
