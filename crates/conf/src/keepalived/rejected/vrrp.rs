//! VRRP: trackers, scripts, unicast, virtual MAC addresses, routes.

use super::refused;
use crate::keepalived::keyword::KeywordRow;
use crate::keepalived::keyword::section::{INSTANCE, SYNC_GROUP, TOP};

const BOTH: &[&str] = &[INSTANCE, SYNC_GROUP];
const PLANNED: &str = "remove it; it is planned";

#[rustfmt::skip]
pub(super) const BLOCKS: &[KeywordRow] = refused![&[TOP], "remove the block; tracking and BFD are planned";
    "vrrp_script": "A script whose result VRRP follows.",
    "vrrp_track_file": "Old name of track_file.",
    "vrrp_track_process": "A process whose presence VRRP follows.",
    "bfd_instance": "A BFD session.",
    "garp_group": "Interfaces that share a limit on gratuitous ARP.",
];

#[rustfmt::skip]
pub(super) const BLOCK_KEYWORDS: &[KeywordRow] = refused![&["vrrp_script", "vrrp_track_process", "bfd_instance", "track_file", "garp_group"], "remove the block around it; tracking and BFD are planned";
    "script": "What the vrrp_script runs.",
    "interval": "Time between two runs.",
    "timeout": "Bound on one run.",
    "rise": "Successes that bring it up.",
    "fall": "Failures that take it down.",
    "init_fail": "Begins as failed.",
    "file": "The file followed.",
    "init_file": "Creates the file.",
    "process": "The process followed.",
    "param_match": "How parameters are compared.",
    "quorum_max": "Most processes allowed.",
    "fork_delay": "Wait after a process began.",
    "terminate_delay": "Wait after a process ended.",
    "delay": "Both waits.",
    "full_command": "Compares the whole command line.",
    "neighbor_ip": "The other end of BFD.",
    "source_ip": "This end of BFD.",
    "min_rx": "Least time between packets received.",
    "min_tx": "Least time between packets sent.",
    "idle_tx": "The same while the session is down.",
    "multiplier": "Packets missed before the session is down.",
    "passive": "Waits for the other end.",
    "ttl": "TTL of BFD packets.",
    "hoplimit": "Hop limit of BFD packets.",
    "max_hops": "Hops allowed.",
    "vrrp": "Only VRRP follows the session.",
    "checker": "Only checkers follow the session.",
    "garp_interval": "Pause between gratuitous ARP messages.",
    "gna_interval": "Pause between neighbour advertisements.",
    "interfaces": "Interfaces that share the limit.",
];

#[rustfmt::skip]
pub(super) const TRACKING: &[KeywordRow] = refused![BOTH, "remove it; tracking is planned";
    "track_interface": "Interfaces whose state is followed.",
    "track_script": "Scripts whose result is followed.",
    "track_process": "Processes whose presence is followed.",
    "track_bfd": "BFD sessions that are followed.",
    "dont_track_primary": "Ignores the state of the own interface.",
    "track_src_ip": "Fault while the source address is missing.",
    "global_tracking": "Tracks on behalf of the members.",
    "sync_group_tracking_weight": "Weights of trackers in a group.",
];

#[rustfmt::skip]
pub(super) const SCRIPTS: &[KeywordRow] = refused![BOTH, "watch the log or `evenkeel status --json`; notify scripts are planned";
    "notify_master": "Script run when it becomes master.",
    "notify_backup": "Script run when it becomes backup.",
    "notify_fault": "Script run on a fault.",
    "notify_stop": "Script run when VRRP stops.",
    "notify_deleted": "Script run when a reload removes it.",
    "notify": "Script run on every change of state.",
    "notify_master_rx_lower_pri": "Script run when a master sees a lower priority.",
    "notify_priority_changes": "Writes priority changes to the pipes.",
    "smtp_alert": "Mail on every change of state.",
];

#[rustfmt::skip]
pub(super) const UNICAST: &[KeywordRow] = refused![&[INSTANCE], "use multicast, and mcast_src_ip for the source address; unicast is planned";
    "unicast_src_ip": "Source address of unicast adverts.",
    "unicast_peer": "Receivers of unicast adverts.",
    "unicast_ttl": "TTL of unicast adverts.",
    "unicast_fault_no_peer": "Fault without peers.",
    "check_unicast_src": "Checks the sender of unicast adverts.",
    "old_unicast_checksum": "Checksum of old versions.",
    "mcast_dst_ip": "Multicast group of this instance.",
];

#[rustfmt::skip]
pub(super) const VIRTUAL_MAC: &[KeywordRow] = refused![&[INSTANCE], "remove it; gratuitous ARP moves the addresses, virtual MAC addresses are planned";
    "use_vmac": "Adverts and addresses on a virtual MAC interface.",
    "use_vmac_addr": "The same for addresses on other interfaces.",
    "vmac_xmit_base": "Adverts from the base interface.",
    "use_ipvlan": "Addresses on an ipvlan interface.",
    "vrf": "Routing domain of the instance.",
];

#[rustfmt::skip]
pub(super) const ROUTES: &[KeywordRow] = refused![&[INSTANCE], "set routes and rules up permanently; virtual routes are planned";
    "virtual_routes": "Routes that move with the master.",
    "virtual_rules": "Routing rules that move with the master.",
    "promote_secondaries": "Keeps addresses of the same network.",
];

#[rustfmt::skip]
pub(super) const BEHAVIOUR: &[KeywordRow] = refused![&[INSTANCE], PLANNED;
    "native_ipv6": "Uses IPv6.",
    "version": "VRRP version; only 2 is implemented.",
    "garp_lower_prio_delay": "Second burst after a lower priority was seen.",
    "garp_lower_prio_repeat": "Messages after a lower priority was seen.",
    "garp_extra_if": "Gratuitous ARP on other interfaces.",
    "down_timer_adverts": "Adverts missed before the master counts as down.",
    "lower_prio_no_advert": "No advert in answer to a lower priority.",
    "higher_prio_send_advert": "One advert in answer to a higher priority.",
    "accept": "Accepts packets for the addresses, the default.",
    "no_accept": "Drops packets for the addresses unless it owns them.",
    "skip_check_adv_addr": "Checks the addresses of a master only once.",
    "strict_mode": "Follows the RFC to the letter.",
    "debug": "Debug level.",
    "kernel_rx_buf_size": "Receive buffer of adverts.",
    "linkbeat_use_polling": "Polls the link state.",
    "no_virtual_ipaddress": "No addresses on purpose.",
    "lvs_sync_daemon_interface": "Old name of lvs_sync_daemon.",
];
