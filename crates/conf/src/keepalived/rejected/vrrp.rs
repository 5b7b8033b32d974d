//! VRRP: what is left to others.

use super::refused;
use crate::keepalived::keyword::KeywordRow;
use crate::keepalived::keyword::section::{INSTANCE, SYNC_GROUP};

#[rustfmt::skip]
pub(super) const BEHAVIOUR: &[KeywordRow] = refused![&[INSTANCE], "remove it; connection synchronisation is planned";
    "lvs_sync_daemon_interface": "Old name of lvs_sync_daemon.",
];

// The manual page has it, the program does not take it.
#[rustfmt::skip]
pub(super) const GROUPS: &[KeywordRow] = refused![&[SYNC_GROUP], "write it in the instances: only they can be told, in Keepalived too";
    "notify_deleted": "Script run when a reload removes the group.",
];
