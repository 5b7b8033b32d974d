//! `vrrp_instance`, `vrrp_sync_group`, and what they inherit from `global_defs`.

#![allow(dead_code)] // Being filled: see the rows of global_defs.

use alloc::string::String;
use alloc::vec::Vec;
use core::net::{Ipv4Addr, Ipv6Addr};
use core::time::Duration;

use model::units::{Priority, VirtualRouterId};
use model::vrrp::{
    ExtraGarp, InitialState, Settings, TrackGroup, V3Checksum, Version, VirtualAddress,
    VirtualRoute, VirtualRule,
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

/// `vrrp_instance`
#[derive(Debug)]
pub(crate) struct Instance {
    pub(crate) name: Spanned<String>,
    pub(crate) state: Option<Spanned<InitialState>>,
    pub(crate) interface: Option<Spanned<String>>,
    pub(crate) virtual_router_id: Option<Spanned<VirtualRouterId>>,
    pub(crate) priority: Option<Spanned<Priority>>,
    pub(crate) advert_interval: Option<Spanned<Duration>>,
    pub(crate) authentication: Option<Authentication>,
    pub(crate) addresses: Vec<Spanned<VirtualAddress>>,
    pub(crate) excluded_addresses: Vec<Spanned<VirtualAddress>>,
    pub(crate) nopreempt: Option<Span>,
    pub(crate) preempt_delay: Option<Spanned<Duration>>,
    pub(crate) garp: Garp,
    pub(crate) source: Option<Ipv4Addr>,
    pub(crate) written: Written,
}

/// `authentication`
#[derive(Debug)]
pub(crate) struct Authentication {
    /// The block's keyword.
    pub(crate) span: Span,
    /// `auth_type PASS` was given.
    pub(crate) pass: bool,
    /// `auth_pass`
    pub(crate) password: Option<Spanned<String>>,
    pub(crate) written: Written,
}

/// `vrrp_sync_group`
#[derive(Debug)]
pub(crate) struct SyncGroup {
    pub(crate) name: Spanned<String>,
    pub(crate) members: Vec<Spanned<String>>,
}
