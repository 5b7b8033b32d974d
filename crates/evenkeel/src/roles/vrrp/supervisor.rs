//! The conversation with the supervisor. Nothing here blocks: when the supervisor does not read,
//! events are dropped, and answers wait.

use std::collections::{BTreeSet, HashSet};
use std::io;
use std::mem;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use edge::ipc::{Channel, Received};
use model::control::{Event, FromRole, ToRole};
use proto::vrrp::packet::Discard;

/// Most bytes of events that wait for the supervisor.
const WAITING_MAX: usize = 1 << 20;
/// Most different warnings between two configurations.
const WARNINGS_MAX: usize = 64;
/// Most kinds of discarded adverts, over all instances, told between two configurations.
const DISCARDS_MAX: usize = 1024;

/// What the supervisor said.
pub(super) enum Said {
    /// A message and its descriptors.
    Message(Box<ToRole>, Vec<OwnedFd>),
    /// Nothing for now.
    Nothing,
    /// It is gone.
    Gone,
}

/// This side of the channel.
pub(super) struct Supervisor {
    channel: Channel,
    waiting: usize,
    warned: BTreeSet<String>,
    discards: HashSet<(String, mem::Discriminant<Discard>)>,
}

impl Supervisor {
    pub(super) fn over(channel: Channel) -> Supervisor {
        let (warned, discards) = (BTreeSet::new(), HashSet::new());
        Supervisor { channel, waiting: 0, warned, discards }
    }

    /// The next thing it said.
    pub(super) fn hear(&mut self) -> io::Result<Said> {
        match self.channel.receive()? {
            Received::Frame(frame) => {
                let message = serde_json::from_slice(&frame.bytes).map_err(io::Error::from)?;
                Ok(Said::Message(Box::new(message), frame.descriptors))
            }
            Received::Nothing => Ok(Said::Nothing),
            Received::Closed => Ok(Said::Gone),
        }
    }

    /// Answers it.
    pub(super) fn answer(&mut self, message: &FromRole) {
        match serde_json::to_vec(message) {
            Ok(frame) => {
                self.waiting += frame.len();
                self.channel.queue(&frame, Vec::new());
            }
            Err(error) => self.warn(format!("an answer could not be written: {error}")),
        }
    }

    /// Tells it of an event, unless too many wait already.
    pub(super) fn tell(&mut self, event: Event) {
        if self.waiting < WAITING_MAX {
            self.answer(&FromRole::Event(event));
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

    /// Sends what the channel takes. True when something is left, and writing is to be polled.
    pub(super) fn flush(&mut self) -> bool {
        // A supervisor that is gone is noticed by reading.
        let left = matches!(self.channel.flush(), Ok(false));
        if !left {
            self.waiting = 0;
        }
        left
    }
}

impl AsFd for Supervisor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.channel.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_supervisor_that_does_not_read_costs_bounded_memory_and_no_wait() {
        let (ours, _theirs) = Channel::pair().unwrap();
        let mut supervisor = Supervisor::over(ours);
        for number in 0..100_000 {
            supervisor.tell(Event::Log { severity: 6, text: format!("{number:0100}") });
            supervisor.flush();
        }
        assert!(supervisor.waiting < 2 * WAITING_MAX);
    }

    #[test]
    fn a_warning_is_given_once_per_configuration_and_their_number_is_bounded() {
        let (ours, _theirs) = Channel::pair().unwrap();
        let mut supervisor = Supervisor::over(ours);
        for number in 0..1_000 {
            supervisor.warn(format!("{}", number % 500));
        }
        assert_eq!(supervisor.warned.len(), WARNINGS_MAX);
        supervisor.forget_warnings();
        assert!(supervisor.warned.is_empty());
    }

    #[test]
    fn forged_adverts_are_told_of_once_per_kind_and_leave_room_for_warnings() {
        let (ours, mut theirs) = Channel::pair().unwrap();
        let mut supervisor = Supervisor::over(ours);
        for number in 0..1_000_u32 {
            let source = IpAddr::from(number.to_be_bytes());
            supervisor.warn_of_discard("VI_1", source, Discard::Address(source));
            supervisor.warn_of_discard("VI_1", source, Discard::Password);
        }
        supervisor.warn("address not added".to_owned());
        supervisor.flush();
        let mut told = 0;
        while let Received::Frame(_) = theirs.receive().unwrap() {
            told += 1;
        }
        assert_eq!(told, 3);
    }
}
