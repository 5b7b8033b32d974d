//! The real clock behind [`model::Time`].

use model::Time;
use rustix::time::{ClockId, clock_gettime};

/// Now, on CLOCK_MONOTONIC: nanoseconds since boot, not counting suspension.
pub fn now() -> Time {
    let now = clock_gettime(ClockId::Monotonic);
    // The monotonic clock is never negative.
    Time::from_nanos(now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64)
}

/// Reads the local time zone's file now: later, in a chroot, it cannot be found.
pub fn load_time_zone() {
    unsafe extern "C" {
        fn tzset();
    }
    // SAFETY: tzset takes nothing; callers run it before other threads ask for local time.
    unsafe { tzset() };
}
