//! Virtual servers and real servers.

use super::refused;
use crate::keepalived::keyword::KeywordRow;
use crate::keepalived::keyword::section::{HTTP_GET, REAL_SERVER, TCP_CHECK, TOP, VIRTUAL_SERVER};

const BOTH: &[&str] = &[VIRTUAL_SERVER, REAL_SERVER];

#[rustfmt::skip]
pub(super) const GROUPS: &[KeywordRow] = refused![&[TOP], "write one virtual_server for each address and port";
    "virtual_server_group": "Addresses, ranges and firewall marks served alike.",
];

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

#[rustfmt::skip]
pub(super) const QUORUM: &[KeywordRow] = refused![&[VIRTUAL_SERVER], "remove it; quorum and sorry servers are planned";
    "quorum": "Weight that must be up.",
    "hysteresis": "Weight by which the quorum may vary.",
    "quorum_up": "Script run when the quorum is reached.",
    "quorum_down": "Script run when the quorum is lost.",
    "omega": "Runs the scripts for down at the end too.",
    "sorry_server": "Server used while the quorum is lost.",
    "sorry_server_inhibit": "Keeps the sorry server with weight 0.",
    "sorry_server_lvs_method": "How packets reach the sorry server.",
];

#[rustfmt::skip]
pub(super) const NOTIFY: &[KeywordRow] = refused![BOTH, "watch the log or `evenkeel status --json`; alerts are planned";
    "smtp_alert": "Mail on every change of state.",
    "snmp_name": "Name in SNMP data.",
];

#[rustfmt::skip]
pub(super) const BEHAVIOUR: &[KeywordRow] = refused![&[VIRTUAL_SERVER], "remove it; it is planned";
    "ha_suspend": "No checks while the address is elsewhere.",
    "ip_family": "Address family of a firewall mark.",
    "nat_mask": "Netmask of NAT, obsolete.",
];

#[rustfmt::skip]
pub(super) const REAL_SERVER_AND_CHECKS: &[KeywordRow] = refused![&[VIRTUAL_SERVER, REAL_SERVER, TCP_CHECK, HTTP_GET], "remove it; servers count as up until a check fails, and leave the tables then";
    "alpha": "Servers count as down until a check succeeds.",
    "inhibit_on_failure": "A failed server stays with weight 0.",
    "log_all_failures": "Logs every failed check.",
];

#[rustfmt::skip]
pub(super) const REAL_SERVER_ONLY: &[KeywordRow] = refused![&[REAL_SERVER], "remove it; it is planned";
    "notify_up": "Script run when the server comes up.",
    "notify_down": "Script run when the server goes down.",
    "uthreshold": "Most connections at a time.",
    "lthreshold": "Connections below which it takes new ones again.",
];
