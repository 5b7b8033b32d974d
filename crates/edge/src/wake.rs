//! One thread telling another that there is something to do.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{EventfdFlags, eventfd};
use rustix::io::Errno;

/// An eventfd: readable from the moment somebody [rings](Self::ring) until it is
/// [cleared](Self::clear).
pub struct Bell {
    descriptor: OwnedFd,
}

impl Bell {
    /// A silent one.
    pub fn new() -> io::Result<Bell> {
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        Ok(Bell { descriptor: eventfd(0, flags)? })
    }

    /// Makes it readable. It neither waits nor fails: a counter that is full rings already.
    pub fn ring(&self) {
        let _ = rustix::io::write(&self.descriptor, &1u64.to_ne_bytes());
    }

    /// Makes it silent.
    pub fn clear(&self) -> io::Result<()> {
        match rustix::io::read(&self.descriptor, &mut [0u8; 8]) {
            Ok(_) | Err(Errno::AGAIN | Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

impl AsFd for Bell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    #[test]
    fn a_bell_rings_until_it_is_cleared() {
        let bell = Bell::new().unwrap();
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        let rings = || poll(&mut [PollFd::new(&bell, PollFlags::IN)], Some(&now)).unwrap() == 1;
        assert!(!rings());
        bell.ring();
        bell.ring();
        assert!(rings());
        bell.clear().unwrap();
        bell.clear().unwrap();
        assert!(!rings());
    }
}
