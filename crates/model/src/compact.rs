//! How that travels of which a plan has tens of thousands: without what goes without saying.

use alloc::vec::Vec;
use core::time::Duration;

use serde::{Deserialize, Deserializer, Serializer};

/// It need not be written: whoever reads takes the default.
pub(crate) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Reads a list of unknown length into no more room than it needs.
pub(crate) fn exact_list<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    let mut list = Vec::deserialize(deserializer)?;
    list.shrink_to_fit();
    Ok(list)
}

/// A span of time as a whole number of nanoseconds, at most 584 years.
pub(crate) mod nanoseconds {
    use serde::ser::Error;

    use super::{Deserialize, Deserializer, Duration, Serializer};

    pub(crate) fn serialize<S: Serializer>(span: &Duration, to: S) -> Result<S::Ok, S::Error> {
        let nanoseconds = u64::try_from(span.as_nanos());
        to.serialize_u64(nanoseconds.map_err(|_| S::Error::custom("more than 584 years"))?)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        u64::deserialize(from).map(Duration::from_nanos)
    }
}
