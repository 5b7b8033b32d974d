//! What came after Keepalived 2.2.7 and is refused. Those that work have their rows where their
//! family is.

use crate::keepalived::keyword::KeywordRow;
use crate::keepalived::keyword::keyword;
use crate::keepalived::keyword::section::{BFD, GLOBAL};

const SNMP: &str = "remove it; ask `evenkeel status --json` instead of SNMP";
const DUMPS: &str = "remove it; called as keepalived, Evenkeel writes these files to /tmp as 2.2.7 \
                     does; `evenkeel status --json` tells the same";
const IPROUTE: &str = "remove it; names of tables are read from /etc/iproute2 and \
                       /usr/share/iproute2, and numbers need no names";

#[rustfmt::skip]
pub(super) const ROWS: &[KeywordRow] = &[
    keyword("json_version", &[GLOBAL]).since("2.2.8")
        .doc("Form of the JSON file.")
        .rejected("remove it; programs that read JSON should ask `evenkeel status --json`"),
    keyword("multihop", &[BFD]).since("2.2.8")
        .doc("Speaks BFD on port 4784 (RFC 5883) instead of 3784.")
        .rejected("remove it; max_hops alone lets packets come from farther away, on port 3784"),
    keyword("snmp_vs_stats_update_interval", &[GLOBAL]).since("2.3.0")
        .doc("How old SNMP's figures of virtual servers may be.")
        .rejected(SNMP),
    keyword("snmp_rs_stats_update_interval", &[GLOBAL]).since("2.3.0")
        .doc("How old SNMP's figures of real servers may be.")
        .rejected(SNMP),
    keyword("dbus_no_interface_name", &[GLOBAL]).since("2.3.0")
        .doc("What D-Bus paths say instead of an interface.")
        .rejected("remove it; use `evenkeel status --json` and `evenkeel reload` instead of D-Bus"),
    keyword("iproute_usr_dir", &[GLOBAL]).since("2.3.2")
        .doc("Where names of routing tables come from.")
        .rejected(IPROUTE),
    keyword("iproute_etc_dir", &[GLOBAL]).since("2.3.2")
        .doc("Where names of routing tables come from first.")
        .rejected(IPROUTE),
    keyword("state_dump_file", &[GLOBAL]).alias(&["state_file_location"]).since("2.3.3")
        .doc("Where the state is written on SIGUSR1.")
        .rejected(DUMPS),
    keyword("stats_dump_file", &[GLOBAL]).alias(&["stats_file_location"]).since("2.3.3")
        .doc("Where the figures are written on SIGUSR2.")
        .rejected(DUMPS),
    keyword("json_dump_file", &[GLOBAL]).alias(&["json_file_location"]).since("2.3.3")
        .doc("Where the state is written as JSON.")
        .rejected(DUMPS),
    keyword("vrrp_delay_after_boot", &[GLOBAL]).since("2.4.0")
        .doc("VRRP begins this long after the machine, at the earliest.")
        .rejected("use vrrp_startup_delay, or order the service after what it waits for"),
];
