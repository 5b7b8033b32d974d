//! Units that live in types: a number that means something has a name.

use core::fmt;
use core::ops::{Add, Sub};
use core::time::Duration;

use serde::{Deserialize, Serialize};

/// A point on the monotonic clock, in nanoseconds since an arbitrary start (boot, for the real
/// clock; zero, for the virtual one). Never wall time.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Time(u64);

impl Time {
    /// The beginning of the clock.
    pub const ZERO: Time = Time(0);
    /// A point that is never reached (584 years after the start).
    pub const NEVER: Time = Time(u64::MAX);

    /// Nanoseconds since the clock's start, as a time.
    pub const fn from_nanos(nanos: u64) -> Time {
        Time(nanos)
    }

    /// Nanoseconds since the clock's start.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// How long after `earlier` this is; zero when it is not after it.
    pub const fn since(self, earlier: Time) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Time {
    type Output = Time;
    /// Saturates at [`Time::NEVER`].
    fn add(self, after: Duration) -> Time {
        Time(self.0.saturating_add(u64::try_from(after.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl Sub<Duration> for Time {
    type Output = Time;
    /// Saturates at [`Time::ZERO`].
    fn sub(self, before: Duration) -> Time {
        Time(self.0.saturating_sub(u64::try_from(before.as_nanos()).unwrap_or(u64::MAX)))
    }
}

/// A point on the wall clock, in nanoseconds since the Unix epoch (UTC). It may jump both ways, so
/// nothing waits for it; `auth_hmac` writes it into adverts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct WallTime(u64);

impl WallTime {
    /// Nanoseconds since the Unix epoch, as a time.
    pub const fn from_nanos(nanos: u64) -> WallTime {
        WallTime(nanos)
    }

    /// Nanoseconds since the Unix epoch.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }
}

/// A span of whole seconds.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Seconds(pub u32);

/// Hundredths of a second, the unit of VRRP intervals (RFC 5798 5.2.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Centiseconds(pub u32);

impl Centiseconds {
    /// The same span as a [`Duration`].
    pub const fn duration(self) -> Duration {
        Duration::from_millis(self.0 as u64 * 10)
    }
}

/// A value outside the range its type allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfRange {
    /// What was given.
    pub given: u64,
    /// The smallest value allowed.
    pub least: u64,
    /// The greatest value allowed.
    pub most: u64,
}

impl fmt::Display for OutOfRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is not between {} and {}", self.given, self.least, self.most)
    }
}

macro_rules! ranged_u8 {
    ($(#[$doc:meta])* $name:ident, $least:literal ..= $most:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "u8", into = "u8")]
        pub struct $name(u8);

        impl $name {
            /// The number itself.
            pub const fn number(self) -> u8 {
                self.0
            }
        }

        impl TryFrom<u8> for $name {
            type Error = OutOfRange;
            fn try_from(number: u8) -> Result<Self, OutOfRange> {
                if ($least..=$most).contains(&number) {
                    Ok($name(number))
                } else {
                    Err(OutOfRange { given: number.into(), least: $least, most: $most })
                }
            }
        }

        impl From<$name> for u8 {
            fn from(value: $name) -> u8 {
                value.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

ranged_u8!(
    /// Virtual router identifier, 1 to 255 (RFC 3768 5.3.3).
    VirtualRouterId, 1..=255
);
ranged_u8!(
    /// Priority of a VRRP router, 1 to 255; 255 is the owner of the addresses (RFC 3768 5.3.4).
    /// Zero is only ever seen in an advert, where it says that the master stops.
    Priority, 1..=255
);

impl Priority {
    /// What an instance has that says nothing (RFC 3768 6.1).
    pub const DEFAULT: Priority = Priority(100);
    /// The owner of the addresses.
    pub const OWNER: Priority = Priority(255);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_is_no_virtual_router_id() {
        assert_eq!(VirtualRouterId::try_from(0), Err(OutOfRange { given: 0, least: 1, most: 255 }));
        assert_eq!(VirtualRouterId::try_from(51).unwrap().number(), 51);
    }

    #[test]
    fn time_saturates_instead_of_wrapping() {
        assert_eq!(Time::NEVER + Duration::from_secs(1), Time::NEVER);
        assert_eq!(Time::ZERO - Duration::from_secs(1), Time::ZERO);
        assert_eq!(Time::ZERO.since(Time::from_nanos(5)), Duration::ZERO);
    }
}
