//! Programs of the administrator, and what the helper process has to do with them.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use serde::{Deserialize, Serialize};

use super::Trackers;
use crate::Plan;

/// A program and its arguments, run without a shell.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Command {
    /// The program, then its arguments. Never empty.
    pub words: Vec<String>,
    /// Whom it runs as; the default script user when absent.
    pub user: Option<User>,
}

/// A user and a group, resolved.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct User {
    /// Name as written.
    pub name: String,
    /// Number of the user.
    pub uid: u32,
    /// Number of the group.
    pub gid: u32,
}

/// Whom to tell of an instance's or group's changes of state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notify {
    /// `notify_master`
    pub master: Option<Command>,
    /// `notify_backup`
    pub backup: Option<Command>,
    /// `notify_fault`
    pub fault: Option<Command>,
    /// `notify_stop`
    pub stop: Option<Command>,
    /// `notify_deleted`: the script, if any.
    pub deleted: Option<Command>,
    /// `notify_deleted` was written: a reload that removes the instance says DELETED, not FAULT.
    pub says_deleted: bool,
    /// `notify`: for every change, after the others, with four more arguments.
    pub any: Option<Command>,
    /// `notify_master_rx_lower_pri`
    pub lower_priority: Option<Command>,
    /// Changes of priority go to the FIFOs (`notify_priority_changes`).
    pub priority_changes: bool,
    /// Mail on every change (`smtp_alert`).
    pub smtp_alert: bool,
}

/// A pipe that is told of changes, one line each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fifo {
    /// Its path.
    pub path: String,
    /// Owner of the pipe.
    pub user: Option<User>,
    /// The program that reads it, started with the path as its last argument.
    pub script: Option<Command>,
    /// Two roles write to it (`notify_fifo`): it stays when one of them goes, the supervisor
    /// removes it.
    pub common: bool,
}

/// One instance or group, for the helper.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotifySubject {
    /// It is a sync group.
    pub group: bool,
    /// Its name.
    pub name: String,
    /// Whom to tell.
    pub notify: Notify,
}

/// The helper role's part of the Plan: everything that runs programs or touches files on behalf
/// of the vrrp role, which does neither.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HelperPlan {
    /// What is followed. Only trackers that somebody tracks.
    pub trackers: Trackers,
    /// Whom to tell of what.
    pub subjects: Vec<NotifySubject>,
    /// Pipes that are told of VRRP's changes.
    pub fifos: Vec<Fifo>,
    /// States are written to the pipes again after a reload
    /// (`fifo_write_vrrp_states_on_reload`).
    pub write_states_on_reload: bool,
    /// Whom programs run as that name nobody (`script_user`; `keepalived_script` if it exists).
    pub script_user: Option<User>,
    /// Programs that others than root can change are not run as root
    /// (`enable_script_security`).
    pub script_security: bool,
    /// At the end programs that still run have this long to finish (`child_wait_time`).
    pub finish_within: Duration,
    /// File mode mask of programs and pipes (`umask`).
    pub umask: u32,
}

/// File mode mask without `umask`: Keepalived's, measured with 2.2.7.
pub const UMASK: u32 = 0o177;

/// How long programs may take to finish at the end, without `child_wait_time`: Keepalived's.
pub const FINISH_WITHIN: Duration = Duration::from_secs(5);

impl HelperPlan {
    /// The helper's part of a plan.
    pub fn of(plan: &Plan) -> HelperPlan {
        let vrrp = &plan.vrrp;
        let instances = vrrp.instances.iter().map(|instance| NotifySubject {
            group: false,
            name: instance.name.clone(),
            notify: instance.notify.clone(),
        });
        let groups = vrrp.sync_groups.iter().map(|group| NotifySubject {
            group: true,
            name: group.name.clone(),
            notify: group.notify.clone(),
        });
        let fifos = &plan.global.fifos;
        HelperPlan {
            trackers: vrrp.trackers.clone(),
            subjects: instances.chain(groups).collect(),
            fifos: fifos.all.iter().chain(&fifos.vrrp).cloned().collect(),
            write_states_on_reload: fifos.write_states_on_reload,
            script_user: plan.global.script_user.clone(),
            script_security: plan.global.script_security,
            finish_within: plan.global.child_wait_time.unwrap_or(FINISH_WITHIN),
            umask: plan.global.umask.unwrap_or(UMASK),
        }
    }

    /// There is nothing to follow, nobody to tell and nothing to write.
    pub fn is_idle(&self) -> bool {
        let Trackers { scripts, files, processes } = &self.trackers;
        scripts.is_empty()
            && files.is_empty()
            && processes.is_empty()
            && self.fifos.is_empty()
            && self.subjects.iter().all(|subject| subject.notify.is_nobody())
    }
}

impl Notify {
    /// Nobody is told of anything.
    pub fn is_nobody(&self) -> bool {
        self.commands().next().is_none() && !self.smtp_alert
    }

    /// Every program that is told of something.
    pub fn commands(&self) -> impl Iterator<Item = &Command> {
        let states = [&self.master, &self.backup, &self.fault, &self.stop, &self.deleted];
        states.into_iter().chain([&self.any, &self.lower_priority]).flatten()
    }
}
