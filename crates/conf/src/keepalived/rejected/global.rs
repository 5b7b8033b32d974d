//! The language's advanced features, the top level and `global_defs`.

use super::refused;
use crate::keepalived::keyword::KeywordRow;
use crate::keepalived::keyword::section::{ANYWHERE, GLOBAL, TOP};

#[rustfmt::skip]
pub(super) const OLD_NAMES: &[KeywordRow] = refused![&[GLOBAL], "use router_id";
    "lvs_id": "Old name of router_id.",
];

const BOTH: &[&str] = &[TOP, GLOBAL];

#[rustfmt::skip]
pub(super) const LANGUAGE: &[KeywordRow] = refused![&[ANYWHERE], "name the files on the command line: -f FILE1 FILE2";
    "include": "Reads other files here.",
    "includer": "Reads other files here, which must be readable.",
    "includem": "Reads other files here, of which there must be one.",
    "includew": "Reads other files here; each wildcard must match.",
    "includeb": "Reads other files here; each brace expression must match.",
    "includea": "Reads other files here, with all checks.",
];

#[rustfmt::skip]
pub(super) const TOP_LEVEL: &[KeywordRow] = refused![BOTH, "leave it to the service manager, or remove it";
    "net_namespace": "Network namespace to run in.",
    "net_namespace_ipvs": "Network namespace of IPVS.",
    "instance": "Name that sets several Keepaliveds on one machine apart.",
    "use_pid_dir": "Puts pid files into a directory.",
    "child_wait_time": "Time for processes to end.",
    "interface_up_down_delays": "Delays before a link change counts.",
    "track_group": "Instances that follow static addresses.",
    "static_ipaddress": "Addresses added at start.",
    "static_routes": "Routes added at start.",
    "static_rules": "Routing rules added at start.",
    "default_interface": "Interface of static addresses.",
    "config_save_dir": "Where configurations are saved on reload.",
    "startup_script": "Script run at start.",
    "startup_script_timeout": "Bound on the startup script.",
    "shutdown_script": "Script run at the end.",
    "shutdown_script_timeout": "Bound on the shutdown script.",
    "umask": "File mode mask.",
    "random_seed": "Seed of random numbers.",
];

#[rustfmt::skip]
pub(super) const ALERTS: &[KeywordRow] = refused![&[GLOBAL], "remove it; sending alerts is planned";
    "smtp_helo_name": "Name in the HELO message.",
    "smtp_alert": "Default of smtp_alert everywhere.",
    "smtp_alert_vrrp": "Default of smtp_alert for VRRP.",
    "smtp_alert_checker": "Default of smtp_alert for checkers.",
    "no_email_faults": "No alerts for fault states.",
    "no_checker_emails": "No alerts for checkers.",
    "rs_init_notifies": "Notifies of each real server at start.",
];

#[rustfmt::skip]
pub(super) const FIREWALL: &[KeywordRow] = refused![&[GLOBAL], "remove it; no firewall rules are needed";
    "nftables": "Table for firewall rules.",
    "nftables_priority": "Priority of its chains.",
    "nftables_counters": "Counts matches.",
    "nftables_ifindex": "Uses interface numbers in rules.",
    "nftables_ipvs": "Table for firewall marks.",
    "nftables_ipvs_priority": "Priority of its chains.",
    "nftables_ipvs_start_fwmark": "First firewall mark.",
    "vrrp_iptables": "Chains for firewall rules.",
    "vrrp_ipsets": "Sets for firewall rules.",
    "disable_local_igmp": "No IGMP for local groups.",
];

#[rustfmt::skip]
pub(super) const MONITORING: &[KeywordRow] = refused![&[GLOBAL], "remove it; `evenkeel status --json` tells the state";
    "snmp_socket": "Socket of the SNMP agent.",
    "enable_snmp_vrrp": "SNMP for VRRP.",
    "enable_snmp_checker": "SNMP for checkers.",
    "enable_snmp_rfc": "SNMP by the RFCs.",
    "enable_snmp_rfcv2": "SNMP by RFC 2787.",
    "enable_snmp_rfcv3": "SNMP by RFC 6527.",
    "enable_traps": "SNMP traps.",
    "enable_dbus": "D-Bus interface.",
    "dbus_service_name": "Name on D-Bus.",
    "dbus_no_interface_name": "D-Bus paths without interface names.",
    "notify_fifo": "Pipe that receives all state changes.",
    "notify_fifo_script": "Script that reads that pipe.",
    "vrrp_notify_fifo": "Pipe that receives VRRP state changes.",
    "vrrp_notify_fifo_script": "Script that reads that pipe.",
    "lvs_notify_fifo": "Pipe that receives real server state changes.",
    "lvs_notify_fifo_script": "Script that reads that pipe.",
    "fifo_write_vrrp_states_on_reload": "Writes states again on reload.",
    "vrrp_notify_priority_changes": "Writes priority changes to the pipes.",
    "data_use_instance": "Names of dump files.",
    "script_user": "User that scripts run as.",
    "enable_script_security": "Refuses scripts that others may change.",
];

#[rustfmt::skip]
pub(super) const SYNC: &[KeywordRow] = refused![&[GLOBAL], "remove it; connection synchronisation and IPVS tuning are planned";
    "lvs_sync_daemon": "Synchronises connections between directors.",
    "lvs_timeouts": "IPVS timeouts.",
    "lvs_flush": "Empties the IPVS tables at start.",
    "lvs_flush_on_stop": "Empties the IPVS tables at the end.",
    "lvs_flush_onstop": "Old name of lvs_flush_on_stop.",
];

#[rustfmt::skip]
pub(super) const BEHAVIOUR: &[KeywordRow] = refused![&[GLOBAL], "remove it; it is planned";
    "checker_log_all_failures": "Logs every failed check.",
    "vrrp_mcast_group4": "Multicast group of IPv4 adverts.",
    "vrrp_mcast_group6": "Multicast group of IPv6 adverts.",
    "vrrp_garp_lower_prio_delay": "Second burst after a lower priority was seen.",
    "vrrp_garp_lower_prio_repeat": "Messages after a lower priority was seen.",
    "vrrp_down_timer_adverts": "Adverts missed before the master counts as down.",
    "vrrp_garp_interval": "Pause between gratuitous ARP messages.",
    "vrrp_gna_interval": "Pause between neighbour advertisements.",
    "vrrp_min_garp": "One gratuitous ARP message only.",
    "vrrp_garp_extra_if": "Gratuitous ARP on other interfaces.",
    "vrrp_lower_prio_no_advert": "No advert in answer to a lower priority.",
    "vrrp_higher_prio_send_advert": "One advert in answer to a higher priority.",
    "vrrp_version": "VRRP version; only 2 is implemented.",
    "vrrp_check_unicast_src": "Checks the sender of unicast adverts.",
    "vrrp_skip_check_adv_addr": "Checks the addresses of a master only once.",
    "vrrp_strict": "Follows the RFC to the letter.",
    "vrrp_startup_delay": "Wait before VRRP begins.",
    "log_unknown_vrids": "Logs adverts of unknown routers.",
    "vmac_prefix": "Prefix of virtual MAC interfaces.",
    "vmac_addr_prefix": "Prefix of such interfaces for addresses.",
    "include_check": "How strictly include is checked.",
    "reload_time_file": "File with the time of a delayed reload.",
    "reload_repeat": "Delayed reload may repeat.",
    "reload_file": "File that asks for a reload.",
];
