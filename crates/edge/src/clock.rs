//! The real clock behind [`model::Time`].

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

/// Reads the local time zone's file now: later, in a chroot, it cannot be found.
pub fn load_time_zone() {
    unsafe extern "C" {
        fn tzset();
    }
    // SAFETY: tzset takes nothing; callers run it before other threads ask for local time.
    unsafe { tzset() };
}
