//! The Plan: both files, resolved.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use serde::{Deserialize, Serialize};

use crate::layer4::Layer4Plan;
use crate::proxy::ProxyPlan;
use crate::vrrp::{Command, Fifo, User, VrrpPlan};

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

impl Plan {
    /// There is nothing to run: no virtual router, no virtual server and no frontend.
    pub fn is_idle(&self) -> bool {
        self.vrrp.instances.is_empty()
            && self.layer4.virtual_servers.is_empty()
            && self.proxy.frontends.is_empty()
    }
}

/// `global_defs` of keepalived.conf.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Global {
    /// Name of this director in alerts (`router_id`); the host's name when absent.
    pub router_id: Option<String>,
    /// Whom to write to, and how.
    pub alerts: Alerts,
    /// Sets several Evenkeels or Keepaliveds on one machine apart in names of files
    /// (`instance`).
    pub instance: Option<String>,
    /// Pid files and their like go to /run/keepalived instead of /run (`use_pid_dir`; implied by
    /// `instance` and `net_namespace`).
    pub pid_directory: bool,
    /// Network namespace to run in (`net_namespace`).
    pub network_namespace: Option<String>,
    /// Whom programs run as that name nobody (`script_user`; `keepalived_script` if it exists).
    pub script_user: Option<User>,
    /// Programs that others than root can change are not run as root
    /// (`enable_script_security`).
    pub script_security: bool,
    /// Programs are run under the path as written, links unresolved (`use_symlink_paths`).
    pub symlink_paths: bool,
    /// Run once before any role starts (`startup_script`).
    pub startup_script: Option<BoundedCommand>,
    /// Run once after all roles have ended (`shutdown_script`).
    pub shutdown_script: Option<BoundedCommand>,
    /// Pipes that are told of changes.
    pub fifos: Fifos,
    /// File mode mask (`umask`); Keepalived's 0177 when absent.
    pub umask: Option<u32>,
    /// How long roles may take to finish (`child_wait_time`).
    pub child_wait_time: Option<Duration>,
    /// File that holds the time of a reload (`reload_time_file`).
    pub reload_time_file: Option<String>,
    /// That file stays, and the reload is repeated every day (`reload_repeat`).
    pub reload_repeat: bool,
    /// File that exists while the configuration is read (`reload_file`).
    pub reload_file: Option<String>,
    /// Where the configuration is saved before and after each reload (`config_save_dir`).
    pub config_save_directory: Option<String>,
    /// Names of dump files contain the instance and network namespace (`data_use_instance`).
    pub dump_names_instance: bool,
}

impl Global {
    /// Path of a file of the running program, as Keepalived has it: `/run/keepalived.pid`; with
    /// [`pid_directory`](Self::pid_directory) in /run/keepalived and with the instance in its
    /// name; in a network namespace in a directory of that name.
    pub fn run_file(&self, stem: &str, extension: &str) -> String {
        if !self.pid_directory {
            return format!("/run/{stem}.{extension}");
        }
        let namespace = self.network_namespace.as_ref();
        let namespace = namespace.map_or(String::new(), |name| format!("/{name}"));
        let instance = self.instance.as_ref().map_or(String::new(), |name| format!("_{name}"));
        format!("/run/keepalived{namespace}/{stem}{instance}.{extension}")
    }
}

/// A program with a bound on its run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BoundedCommand {
    /// What runs.
    pub command: Command,
    /// It is ended after this time; Keepalived's 10 s by default.
    pub timeout: Duration,
}

/// Pipes of `global_defs`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fifos {
    /// Told of everything (`notify_fifo`).
    pub all: Option<Fifo>,
    /// Told of VRRP (`vrrp_notify_fifo`).
    pub vrrp: Option<Fifo>,
    /// Told of virtual and real servers (`lvs_notify_fifo`).
    pub lvs: Option<Fifo>,
    /// States are written again after a reload (`fifo_write_vrrp_states_on_reload`).
    pub write_states_on_reload: bool,
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
    /// Name in the HELO message (`smtp_helo_name`); the host's when absent.
    pub helo_name: Option<String>,
    /// No mail of faults (`no_email_faults`).
    pub no_faults: bool,
    /// Mail of checkers: `smtp_alert_checker`, else `smtp_alert`; absent when neither is there.
    pub checkers: Option<bool>,
    /// No mail of checkers that leave their server as it is (`no_checker_emails`).
    pub no_checkers: bool,
}
