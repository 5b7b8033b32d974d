//! The real clock behind [`model::Time`].

use std::mem::MaybeUninit;
use std::time::Duration;

use model::Time;
use model::units::WallTime;
use rustix::time::{ClockId, clock_gettime};

/// Now, on CLOCK_MONOTONIC: nanoseconds since boot, not counting suspension.
pub fn now() -> Time {
    let now = clock_gettime(ClockId::Monotonic);
    // The monotonic clock is never negative.
    Time::from_nanos(now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64)
}

/// Now, by the wall clock.
pub fn wall() -> WallTime {
    let wall = clock_gettime(ClockId::Realtime);
    // Before 1970 nobody signs adverts.
    WallTime::from_nanos(wall.tv_sec.max(0) as u64 * 1_000_000_000 + wall.tv_nsec as u64)
}

/// The same point on our clock as a recent time since the epoch, of CLOCK_REALTIME. The present
/// when it lies in the future or more than a second ago: then somebody set the clock.
pub fn from_wall(then: Duration) -> Time {
    let wall = Duration::from_nanos(wall().as_nanos());
    let now = now();
    let age = wall.checked_sub(then).filter(|age| *age < Duration::from_secs(1));
    now - age.unwrap_or(Duration::ZERO)
}

/// Date and time as people write them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Civil {
    /// Year, as in 2026.
    pub year: i32,
    /// Month, from 1.
    pub month: u8,
    /// Day of the month, from 1.
    pub day: u8,
    /// Hour, from 0.
    pub hour: u8,
    /// Minute.
    pub minute: u8,
    /// Second.
    pub second: u8,
}

/// Whose clock on the wall.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Zone {
    /// Greenwich's.
    Utc,
    /// This machine's (TZ, /etc/localtime).
    Local,
}

impl Civil {
    /// What people write for this many seconds since 1970; nothing beyond the calendar's end.
    pub fn at(seconds: i64, zone: Zone) -> Option<Civil> {
        let mut fields = MaybeUninit::<libc::tm>::zeroed();
        let (seconds, to) = (&raw const seconds, fields.as_mut_ptr());
        // SAFETY: both read the seconds and fill the fields, which are ours; all zeroes is a tm.
        let done = unsafe {
            match zone {
                Zone::Utc => libc::gmtime_r(seconds, to),
                Zone::Local => libc::localtime_r(seconds, to),
            }
        };
        if done.is_null() {
            return None;
        }
        // SAFETY: filled just now, and zeroed before.
        Civil::of(&unsafe { fields.assume_init() })
    }

    /// Seconds since 1970 at this time, `days` later. Nothing when there is no such time: a
    /// 30th of February, an hour that summer time leaves out.
    pub fn seconds(&self, zone: Zone, days: u8) -> Option<i64> {
        let mut fields = self.fields();
        let exact = seconds_of(&mut fields, zone)?;
        if Civil::of(&fields) != Some(*self) {
            return None;
        }
        if days == 0 {
            return Some(exact);
        }
        let mut fields = self.fields();
        fields.tm_mday += i32::from(days);
        seconds_of(&mut fields, zone)
    }

    fn of(fields: &libc::tm) -> Option<Civil> {
        let small = |value: i32| u8::try_from(value).ok();
        Some(Civil {
            year: fields.tm_year.checked_add(1900)?,
            month: small(fields.tm_mon + 1)?,
            day: small(fields.tm_mday)?,
            hour: small(fields.tm_hour)?,
            minute: small(fields.tm_min)?,
            second: small(fields.tm_sec)?,
        })
    }

    fn fields(&self) -> libc::tm {
        // SAFETY: a tm is numbers and a pointer that may be null.
        let mut fields: libc::tm = unsafe { MaybeUninit::zeroed().assume_init() };
        fields.tm_year = self.year.saturating_sub(1900);
        fields.tm_mon = i32::from(self.month) - 1;
        fields.tm_mday = i32::from(self.day);
        fields.tm_hour = i32::from(self.hour);
        fields.tm_min = i32::from(self.minute);
        fields.tm_sec = i32::from(self.second);
        // Whether it is summer is for the library to find out.
        fields.tm_isdst = -1;
        fields
    }
}

/// Makes the fields those of a real time, and returns its seconds.
fn seconds_of(fields: &mut libc::tm, zone: Zone) -> Option<i64> {
    // SAFETY: both read and write the fields, which are ours.
    let seconds = unsafe {
        match zone {
            Zone::Utc => libc::timegm(fields),
            Zone::Local => libc::mktime(fields),
        }
    };
    // Before 1970 nobody does anything, and -1 is their word for failure.
    (seconds >= 0).then_some(seconds)
}

/// Reads the local time zone's file now: later, in a chroot, it cannot be found.
pub fn load_time_zone() {
    unsafe extern "C" {
        fn tzset();
    }
    // SAFETY: tzset takes nothing; callers run it before other threads ask for local time.
    unsafe { tzset() };
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAP_DAY: Civil =
        Civil { year: 2028, month: 2, day: 29, hour: 23, minute: 59, second: 59 };

    #[test]
    fn seconds_and_dates_are_each_others_inverse() {
        assert_eq!(LEAP_DAY.seconds(Zone::Utc, 0), Some(1_835_481_599));
        for zone in [Zone::Utc, Zone::Local] {
            let seconds = LEAP_DAY.seconds(zone, 0).unwrap();
            assert_eq!(Civil::at(seconds, zone), Some(LEAP_DAY));
        }
        let next = Civil { month: 3, day: 1, ..LEAP_DAY };
        assert_eq!(LEAP_DAY.seconds(Zone::Utc, 1), next.seconds(Zone::Utc, 0));
    }

    #[test]
    fn a_time_that_does_not_exist_has_no_seconds() {
        for wrong in [
            Civil { year: 2027, ..LEAP_DAY },
            Civil { hour: 24, ..LEAP_DAY },
            Civil { month: 0, ..LEAP_DAY },
            Civil { day: 0, ..LEAP_DAY },
            Civil { second: 60, ..LEAP_DAY },
            Civil { year: 1950, ..LEAP_DAY },
        ] {
            assert_eq!(wrong.seconds(Zone::Utc, 0), None, "{wrong:?}");
        }
        assert_eq!(Civil::at(i64::MAX, Zone::Utc), None);
    }
}
