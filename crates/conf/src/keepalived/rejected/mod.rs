//! What Keepalived 2.2.7 knows and this version does not: refused by name, never ignored.
//! Source: keepalived.conf(5) of 2.2.7.

mod checkers;
mod global;
mod servers;
mod vrrp;

use super::keyword::KeywordRow;

/// Rows that are refused with one and the same advice.
macro_rules! refused {
    ($within:expr, $instead:expr; $($name:literal: $doc:literal,)*) => {
        &[$($crate::keepalived::keyword::keyword($name, $within).doc($doc).rejected($instead)),*]
    };
}
use refused;

/// All of them.
pub(crate) static TABLES: &[&[KeywordRow]] = &[
    global::LANGUAGE,
    global::OLD_NAMES,
    global::TOP_LEVEL,
    global::ALERTS,
    global::FIREWALL,
    global::MONITORING,
    global::SYNC,
    global::BEHAVIOUR,
    vrrp::BLOCKS,
    vrrp::BLOCK_KEYWORDS,
    vrrp::TRACKING,
    vrrp::SCRIPTS,
    vrrp::UNICAST,
    vrrp::VIRTUAL_MAC,
    vrrp::ROUTES,
    vrrp::BEHAVIOUR,
    servers::GROUPS,
    servers::SCHEDULING,
    servers::QUORUM,
    servers::NOTIFY,
    servers::BEHAVIOUR,
    servers::REAL_SERVER_AND_CHECKS,
    servers::REAL_SERVER_ONLY,
    checkers::TLS,
    checkers::TLS_SETTINGS,
    checkers::FILES,
    checkers::SCRIPTS,
    checkers::OTHERS,
    checkers::OPTIONS,
    checkers::URL_OPTIONS,
    checkers::BLOCK_KEYWORDS,
];
