//! What a keepalived.conf says, value by value, before names and defaults are resolved.

mod checkers;
mod servers;
mod vrrp;

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use model::layer4::{Timeouts, TlsFiles};
use model::plan;
use model::vrrp::{Command, LinkDelay, User};

use crate::short_list::ShortList;
use crate::source::{Span, Spanned};

pub(crate) use checkers::*;
pub(crate) use servers::*;
pub(crate) use vrrp::*;

/// Everything, of all files together.
#[derive(Debug, Default)]
pub(crate) struct Configuration {
    /// `global_defs`
    pub(crate) global: Global,
    /// `vrrp_instance`, in file order.
    pub(crate) instances: Vec<Instance>,
    /// `vrrp_sync_group`, in file order.
    pub(crate) groups: Vec<SyncGroup>,
    /// `vrrp_script`, in file order.
    pub(crate) scripts: Vec<Script>,
    /// `track_file`, in file order.
    pub(crate) files: Vec<File>,
    /// `vrrp_track_process`, in file order.
    pub(crate) processes: Vec<Process>,
    /// `bfd_instance`, in file order.
    pub(crate) bfd: Vec<Bfd>,
    /// `garp_group`, in file order.
    pub(crate) garp_groups: Vec<GarpGroup>,
    /// `interface_up_down_delays`
    pub(crate) link_delays: Vec<Spanned<LinkDelay>>,
    /// `static_*` and `track_group`
    pub(crate) statics: Statics,
    /// `virtual_server_group`, in file order.
    pub(crate) server_groups: Vec<ServerGroup>,
    /// `virtual_server`, in file order.
    pub(crate) virtual_servers: Vec<VirtualServer>,
    /// `SSL`
    pub(crate) tls: TlsFiles,
}

/// `global_defs`
#[derive(Debug, Default)]
pub(crate) struct Global {
    /// The part that goes into the plan as it is.
    pub(crate) plan: plan::Global,
    /// The user that programs run as where no `script_user` is given, if it exists.
    pub(crate) default_user: Option<User>,
    /// `enable_script_security`
    pub(crate) script_security: Option<Span>,
    /// `startup_script`
    pub(crate) startup_script: Option<Command>,
    /// `startup_script_timeout`
    pub(crate) startup_timeout: Option<Spanned<Duration>>,
    /// `shutdown_script`
    pub(crate) shutdown_script: Option<Command>,
    /// `shutdown_script_timeout`
    pub(crate) shutdown_timeout: Option<Spanned<Duration>>,
    /// `notify_fifo*`
    pub(crate) pipe: Pipe,
    /// `vrrp_notify_fifo*`
    pub(crate) vrrp_pipe: Pipe,
    /// `lvs_notify_fifo*`
    pub(crate) lvs_pipe: Pipe,
    /// `reload_file` without a path.
    pub(crate) default_reload_file: bool,
    /// `checker_log_all_failures`
    pub(crate) log_all_failures: bool,
    /// `lvs_timeouts`
    pub(crate) timeouts: Timeouts,
    /// `rs_init_notifies`
    pub(crate) init_notifies: bool,
    /// What instances that say nothing use.
    pub(crate) vrrp: VrrpDefaults,
}

/// A pipe of `global_defs`, in parts.
#[derive(Debug, Default)]
pub(crate) struct Pipe {
    pub(crate) path: Option<Spanned<String>>,
    pub(crate) user: Option<User>,
    pub(crate) script: Option<Spanned<Command>>,
}

/// One block's name and the keywords that were written in it, right or wrong: what failed to
/// parse is not missing.
#[derive(Debug, Default)]
pub(crate) struct Written(pub(crate) ShortList<&'static str, 3>);

impl Written {
    /// The keyword was written.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|written| *written == name)
    }
}

/// Timers that a virtual server, a real server and a checker may each give; the innermost wins.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Timers {
    pub(crate) delay_loop: Option<Duration>,
    pub(crate) connect_timeout: Option<Duration>,
    pub(crate) retry: Option<u32>,
    pub(crate) delay_before_retry: Option<Duration>,
    pub(crate) warmup: Option<Duration>,
}

impl Timers {
    /// These, and where they say nothing, the outer ones.
    pub(crate) fn or(self, outer: Timers) -> Timers {
        Timers {
            delay_loop: self.delay_loop.or(outer.delay_loop),
            connect_timeout: self.connect_timeout.or(outer.connect_timeout),
            retry: self.retry.or(outer.retry),
            delay_before_retry: self.delay_before_retry.or(outer.delay_before_retry),
            warmup: self.warmup.or(outer.warmup),
        }
    }
}
