//! VRRP: what is left to others.

use super::refused;
use crate::keepalived::keyword::KeywordRow;
use crate::keepalived::keyword::section::INSTANCE;

#[rustfmt::skip]
pub(super) const BEHAVIOUR: &[KeywordRow] = refused![&[INSTANCE], "remove it; connection synchronisation is planned";
    "lvs_sync_daemon_interface": "Old name of lvs_sync_daemon.",
];
