//! The top level and `global_defs`.

use super::refused;
use crate::keepalived::keyword::KeywordRow;
use crate::keepalived::keyword::section::{GLOBAL, TOP};

#[rustfmt::skip]
pub(super) const OLD_NAMES: &[KeywordRow] = refused![&[GLOBAL], "use router_id";
    "lvs_id": "Old name of router_id.",
];

#[rustfmt::skip]
pub(super) const NAMESPACES: &[KeywordRow] = refused![&[TOP], "remove it; checks and forwarding share a namespace, that of net_namespace";
    "net_namespace_ipvs": "Network namespace of IPVS.",
];

#[rustfmt::skip]
pub(super) const MARKS: &[KeywordRow] = refused![&[GLOBAL], "remove it; virtual servers need no firewall marks here";
    "nftables_ipvs": "Table of the rules that set firewall marks for virtual_server_group.",
    "nftables_ipvs_priority": "Priority of its chains.",
    "nftables_ipvs_start_fwmark": "First firewall mark.",
];

// Keepalived without iptables, as on Debian 12, refuses these too. The rules could not be put
// into the administrator's chains, where their place among other rules was chosen on purpose.
#[rustfmt::skip]
pub(super) const IPTABLES: &[KeywordRow] = refused![&[GLOBAL], "use nftables [TABLE]: no_accept and virtual MAC interfaces get a table of their own";
    "vrrp_iptables": "Chains of iptables for firewall rules.",
    "vrrp_ipsets": "Sets of iptables for firewall rules.",
];

#[rustfmt::skip]
pub(super) const SNMP: &[KeywordRow] = refused![&[GLOBAL], "remove it; ask `evenkeel status --json` instead of SNMP";
    "snmp_socket": "Socket of the SNMP agent.",
    "enable_snmp_vrrp": "SNMP for VRRP.",
    "enable_snmp_keepalived": "Old name of enable_snmp_vrrp.",
    "enable_snmp_checker": "SNMP for checkers.",
    "enable_snmp_rfc": "SNMP by both RFCs.",
    "enable_snmp_rfcv2": "SNMP by RFC 2787.",
    "enable_snmp_rfcv3": "SNMP by RFC 6527.",
    "enable_traps": "SNMP traps.",
];

#[rustfmt::skip]
pub(super) const DBUS: &[KeywordRow] = refused![&[GLOBAL], "remove it; use `evenkeel status --json` and `evenkeel reload` instead of D-Bus";
    "enable_dbus": "D-Bus interface.",
    "dbus_service_name": "Name on D-Bus.",
];

#[rustfmt::skip]
pub(super) const SYNC: &[KeywordRow] = refused![&[GLOBAL], "remove it; after a failover clients open their connections anew";
    "lvs_sync_daemon": "Synchronises connections between directors.",
];
