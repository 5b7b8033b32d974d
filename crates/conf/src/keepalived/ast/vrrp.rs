//! `vrrp_instance`, `vrrp_sync_group`, and what they inherit from `global_defs`.

use alloc::string::String;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::time::Duration;

use model::units::{Priority, VirtualRouterId};
use model::vrrp::{
    ExtraGarp, HmacKey, HmacMode, InitFile, InitialState, OldChecksum, ParameterMatch, Peer,
    Settings, TrackGroup, Tracked, User, V3Checksum, Version, VirtualAddress, VirtualRoute,
    VirtualRule,
};

use super::Written;
use crate::source::{Span, Spanned};

/// What `global_defs` says for instances that say nothing themselves, one field per keyword.
#[derive(Debug, Default)]
pub(crate) struct VrrpDefaults {
    /// `vrrp_startup_delay`, `log_unknown_vrids`, `nftables*`, `disable_local_igmp`: goes into
    /// the plan as it is.
    pub(crate) settings: Settings,
    /// `vrrp_garp_master_*`, `vrrp_garp_lower_prio_*`, `vrrp_garp_extra_if`
    pub(crate) garp: Garp,
    /// `vrrp_garp_interval`
    pub(crate) garp_interval: Option<Duration>,
    /// `vrrp_gna_interval`
    pub(crate) gna_interval: Option<Duration>,
    /// `vrrp_min_garp`
    pub(crate) min_garp: Option<bool>,
    /// `vrrp_version`
    pub(crate) version: Option<Spanned<Version>>,
    /// `vrrp_strict`
    pub(crate) strict: Option<Span>,
    /// `vrrp_skip_check_adv_addr`
    pub(crate) skip_check_addresses: Option<bool>,
    /// `vrrp_mcast_group4`
    pub(crate) group4: Option<Ipv4Addr>,
    /// `vrrp_mcast_group6`
    pub(crate) group6: Option<Ipv6Addr>,
    /// `default_interface`
    pub(crate) default_interface: Option<Spanned<String>>,
    /// `vmac_prefix`
    pub(crate) vmac_prefix: Option<Spanned<String>>,
    /// `vmac_addr_prefix`
    pub(crate) vmac_addr_prefix: Option<Spanned<String>>,
    /// `vrrp_check_unicast_src`
    pub(crate) check_unicast_source: Option<bool>,
    /// `vrrp_lower_prio_no_advert`
    pub(crate) lower_prio_no_advert: Option<bool>,
    /// `vrrp_higher_prio_send_advert`
    pub(crate) higher_prio_send_advert: Option<bool>,
    /// `vrrp_owner_ignore_adverts` (Keepalived 2.3)
    pub(crate) owner_ignore_adverts: Option<bool>,
    /// `v3_checksum_as_v2` (Keepalived 2.2.8)
    pub(crate) v3_checksum: Option<V3Checksum>,
    /// `vrrp_down_timer_adverts`
    pub(crate) down_timer_adverts: Option<u8>,
    /// `vrrp_notify_priority_changes`
    pub(crate) notify_priority_changes: Option<bool>,
    /// `smtp_alert`
    pub(crate) smtp_alert: Option<bool>,
    /// `smtp_alert_vrrp`
    pub(crate) smtp_alert_vrrp: Option<bool>,
}

/// Gratuitous ARP settings given so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Garp {
    /// `garp_master_repeat`
    pub(crate) repeat: Option<u8>,
    /// `garp_master_delay`
    pub(crate) delay: Option<Duration>,
    /// `garp_master_refresh`
    pub(crate) refresh: Option<Duration>,
    /// `garp_master_refresh_repeat`
    pub(crate) refresh_repeat: Option<u8>,
    /// `garp_lower_prio_repeat`
    pub(crate) lower_prio_repeat: Option<u8>,
    /// `garp_lower_prio_delay`
    pub(crate) lower_prio_delay: Option<Duration>,
    /// `garp_extra_if`; an interval of zero switches it off.
    pub(crate) extra: Option<ExtraGarp>,
}

/// `static_ipaddress`, `static_routes`, `static_rules`, `track_group`
#[derive(Debug, Default)]
pub(crate) struct Statics {
    pub(crate) addresses: Vec<Spanned<VirtualAddress>>,
    pub(crate) routes: Vec<Spanned<VirtualRoute>>,
    pub(crate) rules: Vec<Spanned<VirtualRule>>,
    pub(crate) track_groups: Vec<Spanned<TrackGroup>>,
}

/// `vrrp_instance`, as written.
#[derive(Debug, Default)]
pub(crate) struct Instance {
    pub(crate) name: Spanned<String>,
    pub(crate) state: Option<Spanned<InitialState>>,
    pub(crate) interface: Option<Spanned<String>>,
    pub(crate) vrf: Option<Spanned<String>>,
    pub(crate) virtual_router_id: Option<Spanned<VirtualRouterId>>,
    pub(crate) priority: Option<Spanned<Priority>>,
    pub(crate) version: Option<Spanned<Version>>,
    pub(crate) native_ipv6: Option<Span>,
    pub(crate) strict: Option<Spanned<bool>>,
    pub(crate) advert_interval: Option<Spanned<Duration>>,
    pub(crate) authentication: Option<Authentication>,
    pub(crate) hmac: Option<Hmac>,
    pub(crate) addresses: Vec<Spanned<VirtualAddress>>,
    pub(crate) excluded_addresses: Vec<Spanned<VirtualAddress>>,
    /// `no_virtual_ipaddress`
    pub(crate) no_addresses: bool,
    pub(crate) promote_secondaries: Option<Span>,
    pub(crate) routes: Vec<Spanned<VirtualRoute>>,
    pub(crate) rules: Vec<Spanned<VirtualRule>>,
    pub(crate) nopreempt: Option<Span>,
    pub(crate) preempt_delay: Option<Spanned<Duration>>,
    pub(crate) down_timer_adverts: Option<Spanned<u8>>,
    pub(crate) lower_prio_no_advert: Option<Spanned<bool>>,
    pub(crate) higher_prio_send_advert: Option<Spanned<bool>>,
    pub(crate) owner_ignore_adverts: Option<bool>,
    pub(crate) timer_expired_backup: Option<Spanned<Priority>>,
    pub(crate) skip_check_addresses: Option<bool>,
    pub(crate) accept: Option<Spanned<bool>>,
    pub(crate) v3_checksum_as_v2: Option<bool>,
    pub(crate) old_checksum: Option<OldChecksum>,
    pub(crate) garp: Garp,
    /// `mcast_src_ip`, `unicast_src_ip`
    pub(crate) source: Option<Spanned<IpAddr>>,
    pub(crate) track_source: Option<Span>,
    /// `mcast_dst_ip`
    pub(crate) group: Option<Spanned<IpAddr>>,
    pub(crate) unicast: Unicast,
    pub(crate) vmac: Option<Vmac>,
    pub(crate) use_vmac_addr: Option<Span>,
    pub(crate) vmac_xmit_base: Option<Span>,
    pub(crate) ipvlan: Option<Ipvlan>,
    pub(crate) dont_track_primary: bool,
    pub(crate) tracks: Vec<TrackLine>,
    pub(crate) notify: Notify,
    pub(crate) written: Written,
}

/// The unicast keywords of an instance.
#[derive(Debug, Default)]
pub(crate) struct Unicast {
    /// One of them was written, here.
    pub(crate) wanted: Option<Span>,
    pub(crate) peers: Vec<Spanned<Peer>>,
    pub(crate) ttl: Option<Spanned<u8>>,
    pub(crate) check_source: bool,
    pub(crate) fault_without_peers: bool,
}

/// `use_vmac`
#[derive(Debug)]
pub(crate) struct Vmac {
    pub(crate) span: Span,
    pub(crate) name: Option<Spanned<String>>,
    pub(crate) mac: Option<Spanned<Mac>>,
}

/// A MAC address of `use_vmac`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mac {
    /// All six octets.
    Whole([u8; 6]),
    /// Five; the virtual router id is the sixth.
    Prefix([u8; 5]),
}

/// `use_ipvlan`
#[derive(Debug)]
pub(crate) struct Ipvlan {
    pub(crate) span: Span,
    pub(crate) name: Option<Spanned<String>>,
    /// Address and prefix length.
    pub(crate) address: Option<Spanned<(IpAddr, u8)>>,
    /// `bridge`, `private` or `vepa`: 0, 1, 2.
    pub(crate) flags: u16,
}

/// `authentication`
#[derive(Debug)]
pub(crate) struct Authentication {
    /// The block's keyword.
    pub(crate) span: Span,
    /// `auth_type`
    pub(crate) kind: Option<AuthenticationKind>,
    /// `auth_pass`
    pub(crate) password: Option<Spanned<String>>,
    pub(crate) written: Written,
}

/// `auth_type`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AuthenticationKind {
    Pass,
    Ah,
}

/// `auth_hmac`
#[derive(Debug)]
pub(crate) struct Hmac {
    /// The block's keyword.
    pub(crate) span: Span,
    pub(crate) keys: Vec<Spanned<HmacKey>>,
    pub(crate) active: Option<Spanned<u8>>,
    /// `anti_replay monotonic`
    pub(crate) monotonic: bool,
    pub(crate) window: Option<Duration>,
    pub(crate) mode: Option<Spanned<HmacMode>>,
    pub(crate) written: Written,
}

/// `vrrp_sync_group`
#[derive(Debug, Default)]
pub(crate) struct SyncGroup {
    pub(crate) name: Spanned<String>,
    pub(crate) members: Vec<Spanned<String>>,
    pub(crate) tracks: Vec<TrackLine>,
    /// `sync_group_tracking_weight`, `global_tracking`
    pub(crate) members_keep_weights: bool,
    pub(crate) notify: Notify,
}

/// Scripts of an instance or group; what it says nothing about comes from `global_defs`.
#[derive(Debug, Default)]
pub(crate) struct Notify {
    pub(crate) scripts: model::vrrp::Notify,
    pub(crate) smtp_alert: Option<bool>,
    pub(crate) priority_changes: Option<bool>,
}

/// One line of `track_interface`, `track_script`, `track_file`, `track_process` or `track_bfd`.
#[derive(Debug)]
pub(crate) struct TrackLine {
    pub(crate) what: Spanned<Tracked>,
    /// Absent for that of what it tracks.
    pub(crate) weight: Option<i16>,
    pub(crate) reverse: Option<bool>,
}

/// `weight` of something that is tracked.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Weight {
    pub(crate) weight: i16,
    pub(crate) reverse: bool,
}

/// `vrrp_script`
#[derive(Debug, Default)]
pub(crate) struct Script {
    pub(crate) name: Spanned<String>,
    pub(crate) words: Vec<String>,
    pub(crate) user: Option<User>,
    pub(crate) interval: Option<Duration>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) rise: Option<u32>,
    pub(crate) fall: Option<u32>,
    pub(crate) init_fail: bool,
    pub(crate) weight: Option<Weight>,
}

/// `track_file`
#[derive(Debug, Default)]
pub(crate) struct File {
    pub(crate) name: Spanned<String>,
    pub(crate) path: String,
    pub(crate) init: Option<InitFile>,
    pub(crate) weight: Option<Weight>,
}

impl File {
    /// The weight for those who give none: 1 when the block gives none either.
    pub(crate) fn own_weight(&self) -> Weight {
        self.weight.unwrap_or(Weight { weight: 1, reverse: false })
    }
}

/// `vrrp_track_process`
#[derive(Debug, Default)]
pub(crate) struct Process {
    pub(crate) name: Spanned<String>,
    /// The process, then its parameters.
    pub(crate) words: Vec<String>,
    pub(crate) parameter_match: Option<ParameterMatch>,
    pub(crate) full_command: bool,
    pub(crate) quorum: Option<Spanned<u32>>,
    pub(crate) quorum_max: Option<Spanned<u32>>,
    pub(crate) fork_delay: Option<Duration>,
    pub(crate) terminate_delay: Option<Duration>,
    pub(crate) weight: Option<Weight>,
}

/// `bfd_instance`
#[derive(Debug, Default)]
pub(crate) struct Bfd {
    pub(crate) name: Spanned<String>,
    pub(crate) neighbour: Option<Spanned<IpAddr>>,
    pub(crate) source: Option<Spanned<IpAddr>>,
    pub(crate) min_rx: Option<Duration>,
    pub(crate) min_tx: Option<Duration>,
    pub(crate) idle_tx: Option<Duration>,
    pub(crate) multiplier: Option<u8>,
    pub(crate) passive: bool,
    pub(crate) ttl: Option<Spanned<u8>>,
    pub(crate) max_hops: Option<Spanned<u8>>,
    pub(crate) weight: Option<Weight>,
    /// `vrrp` was written.
    pub(crate) vrrp: bool,
    /// `checker` was written.
    pub(crate) checker: bool,
}

/// `garp_group`
#[derive(Debug, Default)]
pub(crate) struct GarpGroup {
    pub(crate) span: Span,
    pub(crate) interfaces: Vec<Spanned<String>>,
    pub(crate) garp_interval: Option<Duration>,
    pub(crate) na_interval: Option<Duration>,
}
