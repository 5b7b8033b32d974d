//! Virtual servers and real servers.

use super::refused;
use crate::keepalived::keyword::KeywordRow;
use crate::keepalived::keyword::section::VIRTUAL_SERVER;

#[rustfmt::skip]
pub(super) const SCHEDULING: &[KeywordRow] = refused![&[VIRTUAL_SERVER], "remove it, and use lb_algo rr, wrr or wlc";
    "flag-1": "First flag of the scheduler.",
    "flag-2": "Second flag of the scheduler.",
    "flag-3": "Third flag of the scheduler.",
    "sh-port": "Source hashing looks at the port.",
    "sh-fallback": "Source hashing may choose another server.",
    "mh-port": "Maglev hashing looks at the port.",
    "mh-fallback": "Maglev hashing may choose another server.",
    "ops": "Schedules every UDP packet anew.",
    "hashed": "Old name of a scheduler flag.",
    "persistence_engine": "How persistence tells clients apart.",
];
