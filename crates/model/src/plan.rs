//! The Plan: both files, resolved.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use serde::{Deserialize, Serialize};

use crate::layer4::Layer4Plan;
use crate::proxy::ProxyPlan;
use crate::vrrp::VrrpPlan;

/// Everything the configuration files say, names resolved and defaults filled in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Names and alert settings of the director itself.
    pub global: Global,
    /// For the vrrp role.
    pub vrrp: VrrpPlan,
    /// For the director role.
    pub layer4: Layer4Plan,
    /// For the proxy role.
    pub proxy: ProxyPlan,
    /// A keepalived.conf was among the files.
    pub has_keepalived: bool,
    /// A haproxy.cfg was among the files.
    pub has_haproxy: bool,
}

/// `global_defs` of keepalived.conf.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Global {
    /// Name of this director in alerts (`router_id`); the host's name when absent.
    pub router_id: Option<String>,
    /// Whom to write to, and how.
    pub alerts: Alerts,
}

/// The mail settings of `global_defs`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alerts {
    /// Recipients (`notification_email`).
    pub to: Vec<String>,
    /// Sender (`notification_email_from`).
    pub from: Option<String>,
    /// Server as written, `host` or `host port` (`smtp_server`).
    pub server: Option<String>,
    /// Bound on the connection (`smtp_connect_timeout`).
    pub connect_timeout: Option<Duration>,
}
