//! Waiting for many descriptors at once: epoll with a 64-bit token per descriptor.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use model::Time;
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::io::Errno;

use crate::clock;

/// Events taken from the kernel in one call; more wait for the next.
const BATCH: usize = 256;

/// What to wait for on a descriptor. Level-triggered: reported as long as it holds. Errors and
/// hang-ups are always reported, as both readable and writable, so that the next read or write
/// meets them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    /// Something to read, or the other side's end.
    Read,
    /// Room to write, or the end of a non-blocking connect.
    Write,
    /// Either.
    Both,
}

impl Interest {
    /// Always [`Interest::Read`], and writing too when there is something to write.
    pub fn read_and(write: bool) -> Interest {
        if write { Interest::Both } else { Interest::Read }
    }

    fn flags(self) -> epoll::EventFlags {
        match self {
            Interest::Read => epoll::EventFlags::IN | epoll::EventFlags::RDHUP,
            Interest::Write => epoll::EventFlags::OUT,
            Interest::Both => {
                epoll::EventFlags::IN | epoll::EventFlags::RDHUP | epoll::EventFlags::OUT
            }
        }
    }
}

/// Everything, once.
const EDGE: epoll::EventFlags = epoll::EventFlags::IN
    .union(epoll::EventFlags::RDHUP)
    .union(epoll::EventFlags::OUT)
    .union(epoll::EventFlags::ET);

/// Something happened on a descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// The token given with the descriptor.
    pub token: u64,
    /// Reading will not block.
    pub readable: bool,
    /// Writing will not block.
    pub writable: bool,
}

/// A set of descriptors to wait for. Closing a descriptor takes it out of the set.
pub struct Poll {
    epoll: OwnedFd,
    buffer: Vec<epoll::Event>,
}

impl Poll {
    /// An empty set, close-on-exec.
    pub fn new() -> io::Result<Poll> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        Ok(Poll { epoll, buffer: Vec::with_capacity(BATCH) })
    }

    /// Puts a descriptor into the set.
    pub fn add(&self, descriptor: impl AsFd, token: u64, interest: Interest) -> io::Result<()> {
        Ok(epoll::add(&self.epoll, descriptor, epoll::EventData::new_u64(token), interest.flags())?)
    }

    /// Puts a descriptor into the set for good: whatever happens on it, and room to write, is
    /// reported once each time. Whoever leaves something unread asks for it with
    /// [`rearm`](Self::rearm).
    pub fn add_edge(&self, descriptor: impl AsFd, token: u64) -> io::Result<()> {
        Ok(epoll::add(&self.epoll, descriptor, epoll::EventData::new_u64(token), EDGE)?)
    }

    /// Reports once more what is there already, for a descriptor of
    /// [`add_edge`](Self::add_edge).
    pub fn rearm(&self, descriptor: impl AsFd, token: u64) -> io::Result<()> {
        Ok(epoll::modify(&self.epoll, descriptor, epoll::EventData::new_u64(token), EDGE)?)
    }

    /// Changes the token or the interest of a descriptor in the set.
    pub fn modify(&self, descriptor: impl AsFd, token: u64, interest: Interest) -> io::Result<()> {
        let data = epoll::EventData::new_u64(token);
        Ok(epoll::modify(&self.epoll, descriptor, data, interest.flags())?)
    }

    /// Takes a descriptor out of the set.
    pub fn remove(&self, descriptor: impl AsFd) -> io::Result<()> {
        Ok(epoll::delete(&self.epoll, descriptor)?)
    }

    /// Waits until something happens or `deadline` has passed ([`Time::NEVER`]: as long as it
    /// takes; [`Time::ZERO`]: not at all), and puts what happened into `events` in place of what
    /// was there. Returns early, with no events, when a signal interrupts it.
    pub fn wait(&mut self, events: &mut Vec<Event>, deadline: Time) -> io::Result<()> {
        events.clear();
        self.buffer.clear();
        let timeout = match deadline {
            Time::NEVER => None,
            Time::ZERO => Some(Timespec { tv_sec: 0, tv_nsec: 0 }),
            deadline => Some(timespec(deadline.since(clock::now()))),
        };
        match epoll::wait(&self.epoll, spare_capacity(&mut self.buffer), timeout.as_ref()) {
            Ok(_) => {}
            Err(Errno::INTR) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
        events.extend(self.buffer.iter().map(|event| {
            let flags = event.flags;
            let broken = flags.intersects(epoll::EventFlags::ERR | epoll::EventFlags::HUP);
            Event {
                token: event.data.u64(),
                readable: broken
                    || flags.intersects(epoll::EventFlags::IN | epoll::EventFlags::RDHUP),
                writable: broken || flags.contains(epoll::EventFlags::OUT),
            }
        }));
        Ok(())
    }
}

impl AsFd for Poll {
    /// Readable while an event waits in the set, so that sets nest.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }
}

/// A day is long enough for one wait, and fits every timespec.
fn timespec(wait: Duration) -> Timespec {
    let wait = wait.min(Duration::from_secs(86_400));
    Timespec { tv_sec: wait.as_secs() as i64, tv_nsec: wait.subsec_nanos().into() }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn a_deadline_ends_the_wait_not_before_it_passed() {
        let mut poll = Poll::new().unwrap();
        let mut events = Vec::new();
        let deadline = clock::now() + Duration::from_micros(3_500);
        while clock::now() < deadline {
            poll.wait(&mut events, deadline).unwrap();
            assert!(events.is_empty());
        }
        poll.wait(&mut events, Time::ZERO).unwrap();
    }

    #[test]
    fn an_event_carries_its_token_through_a_nested_set() {
        let (mut here, there) = UnixStream::pair().unwrap();
        let mut inner = Poll::new().unwrap();
        inner.add(&there, 7 << 40, Interest::Read).unwrap();
        let mut outer = Poll::new().unwrap();
        outer.add(&inner, 1, Interest::Read).unwrap();
        let mut events = Vec::new();
        outer.wait(&mut events, Time::ZERO).unwrap();
        assert!(events.is_empty());
        here.write_all(b"x").unwrap();
        outer.wait(&mut events, Time::NEVER).unwrap();
        assert_eq!(events, [Event { token: 1, readable: true, writable: false }]);
        inner.wait(&mut events, Time::NEVER).unwrap();
        assert_eq!(events[0].token, 7 << 40);
        inner.remove(&there).unwrap();
        inner.wait(&mut events, Time::ZERO).unwrap();
        assert!(events.is_empty());
    }

    #[test]
    fn an_edge_is_told_once_and_again_when_asked() {
        let (mut here, there) = UnixStream::pair().unwrap();
        here.write_all(b"x").unwrap();
        let mut poll = Poll::new().unwrap();
        poll.add_edge(&there, 3).unwrap();
        let mut events = Vec::new();
        let both = [Event { token: 3, readable: true, writable: true }];
        poll.wait(&mut events, Time::NEVER).unwrap();
        assert_eq!(events, both);
        poll.wait(&mut events, Time::ZERO).unwrap();
        assert!(events.is_empty());
        poll.rearm(&there, 3).unwrap();
        poll.wait(&mut events, Time::ZERO).unwrap();
        assert_eq!(events, both);
    }

    #[test]
    fn the_end_of_the_other_side_is_readable_and_writable() {
        let (here, there) = UnixStream::pair().unwrap();
        let mut poll = Poll::new().unwrap();
        poll.add(&there, 1, Interest::Read).unwrap();
        drop(here);
        let mut events = Vec::new();
        poll.wait(&mut events, Time::NEVER).unwrap();
        assert_eq!(events, [Event { token: 1, readable: true, writable: true }]);
    }
}
