//! How a real server is chosen.

use core::fmt;
use core::mem::discriminant;

use serde::{Deserialize, Serialize};

/// How a server is chosen for a new connection. Names and meaning are those of IPVS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Scheduler {
    /// `rr`: one after the other.
    RoundRobin,
    /// `wrr`: one after the other, by weight, interleaved.
    WeightedRoundRobin,
    /// `lc`: the one with the fewest connections.
    LeastConnection,
    /// `wlc`, Keepalived's and ipvsadm's default: the fewest connections by weight.
    #[default]
    WeightedLeastConnection,
    /// `lblc`: one for each address that clients ask for, while it has not too many connections.
    LocalityBased,
    /// `lblcr`: a set of them for each address, which grows and shrinks with the load.
    LocalityBasedReplicated,
    /// `dh`: by a hash of the address that clients ask for.
    DestinationHashing,
    /// `sh`: by a hash of the client's address.
    SourceHashing(HashFlags),
    /// `sed`: the shortest expected delay, the connection to come included.
    ShortestExpectedDelay,
    /// `nq`: an idle one, else the shortest expected delay.
    NeverQueue,
    /// `mh`: by a hash of the client's address that hardly moves clients when servers come and
    /// go (Maglev).
    MaglevHashing(HashFlags),
    /// `fo`: the heaviest.
    WeightedFailover,
    /// `ovf`: the heaviest with no more active connections than its weight.
    WeightedOverflow,
    /// `twos`: the less loaded of two that are drawn by weight.
    TwoChoices,
}

/// What `sh` and `mh` do besides hashing the client's address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct HashFlags {
    /// Clients of a server that takes no connections now get another one (`sh-fallback`,
    /// `mh-fallback`); else they get none.
    pub fallback: bool,
    /// The client's port is hashed too (`sh-port`, `mh-port`).
    pub port: bool,
}

impl Scheduler {
    /// Every one of them, without flags.
    pub const ALL: [Scheduler; 14] = [
        Scheduler::RoundRobin,
        Scheduler::WeightedRoundRobin,
        Scheduler::LeastConnection,
        Scheduler::WeightedLeastConnection,
        Scheduler::LocalityBased,
        Scheduler::SourceHashing(HashFlags { fallback: false, port: false }),
        Scheduler::MaglevHashing(HashFlags { fallback: false, port: false }),
        Scheduler::DestinationHashing,
        Scheduler::WeightedFailover,
        Scheduler::WeightedOverflow,
        Scheduler::LocalityBasedReplicated,
        Scheduler::ShortestExpectedDelay,
        Scheduler::NeverQueue,
        Scheduler::TwoChoices,
    ];

    /// The name IPVS, ipvsadm and keepalived.conf use.
    pub const fn name(self) -> &'static str {
        match self {
            Scheduler::RoundRobin => "rr",
            Scheduler::WeightedRoundRobin => "wrr",
            Scheduler::LeastConnection => "lc",
            Scheduler::WeightedLeastConnection => "wlc",
            Scheduler::LocalityBased => "lblc",
            Scheduler::LocalityBasedReplicated => "lblcr",
            Scheduler::DestinationHashing => "dh",
            Scheduler::SourceHashing(_) => "sh",
            Scheduler::ShortestExpectedDelay => "sed",
            Scheduler::NeverQueue => "nq",
            Scheduler::MaglevHashing(_) => "mh",
            Scheduler::WeightedFailover => "fo",
            Scheduler::WeightedOverflow => "ovf",
            Scheduler::TwoChoices => "twos",
        }
    }

    /// Its flags as ipvsadm lists them, empty without any: `sh-fallback,sh-port`.
    pub const fn flag_names(self) -> &'static str {
        match self {
            Scheduler::SourceHashing(HashFlags { fallback: true, port: true }) => {
                "sh-fallback,sh-port"
            }
            Scheduler::SourceHashing(HashFlags { fallback: true, port: false }) => "sh-fallback",
            Scheduler::SourceHashing(HashFlags { fallback: false, port: true }) => "sh-port",
            Scheduler::MaglevHashing(HashFlags { fallback: true, port: true }) => {
                "mh-fallback,mh-port"
            }
            Scheduler::MaglevHashing(HashFlags { fallback: true, port: false }) => "mh-fallback",
            Scheduler::MaglevHashing(HashFlags { fallback: false, port: true }) => "mh-port",
            Scheduler::SourceHashing(HashFlags { fallback: false, port: false })
            | Scheduler::MaglevHashing(HashFlags { fallback: false, port: false })
            | Scheduler::RoundRobin
            | Scheduler::WeightedRoundRobin
            | Scheduler::LeastConnection
            | Scheduler::WeightedLeastConnection
            | Scheduler::LocalityBased
            | Scheduler::LocalityBasedReplicated
            | Scheduler::DestinationHashing
            | Scheduler::ShortestExpectedDelay
            | Scheduler::NeverQueue
            | Scheduler::WeightedFailover
            | Scheduler::WeightedOverflow
            | Scheduler::TwoChoices => "",
        }
    }

    /// Its flags, if it is one that has them.
    pub const fn hash_flags(self) -> HashFlags {
        match self {
            Scheduler::SourceHashing(flags) | Scheduler::MaglevHashing(flags) => flags,
            _ => HashFlags { fallback: false, port: false },
        }
    }

    /// The same one with these flags, if it is one that has them.
    pub const fn with_hash_flags(self, flags: HashFlags) -> Scheduler {
        match self {
            Scheduler::SourceHashing(_) => Scheduler::SourceHashing(flags),
            Scheduler::MaglevHashing(_) => Scheduler::MaglevHashing(flags),
            other => other,
        }
    }

    /// Whether it has flags.
    pub const fn has_hash_flags(self) -> bool {
        matches!(self, Scheduler::SourceHashing(_) | Scheduler::MaglevHashing(_))
    }

    /// Whether it is the same one but for its flags.
    pub fn is_same_kind(self, other: Scheduler) -> bool {
        discriminant(&self) == discriminant(&other)
    }

    /// Whether it looks servers up in a table that is made when they change.
    pub const fn has_table(self) -> bool {
        self.has_hash_flags() || matches!(self, Scheduler::DestinationHashing)
    }

    /// Whether it keeps servers for the addresses that clients ask for.
    pub const fn keeps_localities(self) -> bool {
        matches!(self, Scheduler::LocalityBased | Scheduler::LocalityBasedReplicated)
    }

    /// Whether it gives no server more than another for its weight.
    pub const fn ignores_weights(self) -> bool {
        matches!(
            self,
            Scheduler::RoundRobin | Scheduler::LeastConnection | Scheduler::DestinationHashing
        )
    }
}

impl fmt::Display for Scheduler {
    /// As ipvsadm lists it: `wrr`, `sh (sh-fallback,sh-port)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.flag_names() {
            "" => f.write_str(self.name()),
            flags => write!(f, "{} ({flags})", self.name()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn flags_are_listed_as_ipvsadm_does() {
        let both = HashFlags { fallback: true, port: true };
        let port = HashFlags { fallback: false, port: true };
        assert_eq!(Scheduler::SourceHashing(both).to_string(), "sh (sh-fallback,sh-port)");
        assert_eq!(Scheduler::MaglevHashing(port).to_string(), "mh (mh-port)");
        assert_eq!(Scheduler::RoundRobin.with_hash_flags(both).to_string(), "rr");
    }

    #[test]
    fn every_scheduler_has_a_name_of_its_own() {
        for (index, one) in Scheduler::ALL.iter().enumerate() {
            assert!(Scheduler::ALL[..index].iter().all(|other| other.name() != one.name()));
            assert!(one.is_same_kind(*one));
        }
    }
}
