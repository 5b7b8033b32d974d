//! What Keepalived knows and this version does not: refused by name, never ignored.
//! Source: keepalived.conf(5) of 2.2.7; for [`newer`] that of 2.4.3.

mod global;
mod newer;
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
    global::OLD_NAMES,
    global::NAMESPACES,
    global::MARKS,
    global::IPTABLES,
    global::SNMP,
    global::DBUS,
    newer::ROWS,
    global::SYNC,
    vrrp::BEHAVIOUR,
    vrrp::GROUPS,
    servers::SCHEDULING,
];
