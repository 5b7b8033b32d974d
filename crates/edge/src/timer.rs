//! One timer as a descriptor to poll, set to points in time.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use model::Time;
use rustix::io::Errno;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};

/// A timerfd on [`crate::clock`]'s clock: readable once its time has come.
pub struct Timer {
    descriptor: OwnedFd,
    set_to: Time,
}

impl Timer {
    /// A timer that is not set.
    pub fn new() -> io::Result<Timer> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        Ok(Timer {
            descriptor: timerfd_create(TimerfdClockId::Monotonic, flags)?,
            set_to: Time::NEVER,
        })
    }

    /// Sets it to a point in time, past ones included; [`Time::NEVER`] switches it off. Setting
    /// it to what it is set to costs nothing, so after it fired it has to be
    /// [cleared](Self::clear) first.
    pub fn set(&mut self, to: Time) -> io::Result<()> {
        if self.set_to == to {
            return Ok(());
        }
        let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
        let nanos = to.as_nanos().max(1);
        let it_value = match to {
            Time::NEVER => zero,
            _ => Timespec {
                tv_sec: (nanos / 1_000_000_000) as i64,
                tv_nsec: (nanos % 1_000_000_000) as i64,
            },
        };
        let setting = Itimerspec { it_interval: zero, it_value };
        timerfd_settime(&self.descriptor, TimerfdTimerFlags::ABSTIME, &setting)?;
        self.set_to = to;
        Ok(())
    }

    /// Forgets that it fired. It is no longer set.
    pub fn clear(&mut self) -> io::Result<()> {
        match rustix::io::read(&self.descriptor, &mut [0u8; 8]) {
            Ok(_) => self.set_to = Time::NEVER,
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }
}

impl AsFd for Timer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;
    use rustix::event::{PollFd, PollFlags, poll};
    use std::time::Duration;

    fn fires_within(timer: &Timer, milliseconds: i64) -> bool {
        let timeout = Timespec { tv_sec: 0, tv_nsec: milliseconds * 1_000_000 };
        poll(&mut [PollFd::new(timer, PollFlags::IN)], Some(&timeout)).unwrap() == 1
    }

    #[test]
    fn a_timer_fires_at_its_time_and_not_again() {
        let mut timer = Timer::new().unwrap();
        let to = clock::now() + Duration::from_millis(5);
        timer.set(to).unwrap();
        assert!(fires_within(&timer, 900));
        assert!(clock::now() >= to);
        timer.clear().unwrap();
        assert!(!fires_within(&timer, 1));
        timer.set(to).unwrap();
        assert!(fires_within(&timer, 900), "a time in the past is due at once");
    }

    #[test]
    fn never_switches_it_off() {
        let mut timer = Timer::new().unwrap();
        timer.set(clock::now() + Duration::from_millis(1)).unwrap();
        timer.set(Time::NEVER).unwrap();
        assert!(!fires_within(&timer, 5));
    }
}
