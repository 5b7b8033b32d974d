//! The helper role beside the vrrp role: their connection, and who goes first.

use std::io;
use std::time::Duration;

use edge::ipc::Channel;
use model::Time;
use model::control::ToRole;
use model::vrrp::{FINISH_WITHIN, HelperPlan};

use crate::cli::Role;

use super::Supervisor;
use super::child::Phase;
use super::configure::needed;

/// What the helper gets beyond its programs' time, to end them and to remove its pipes.
const MARGIN: Duration = Duration::from_secs(1);

impl Supervisor {
    /// Gives the two roles a connection, if both run.
    pub(super) fn connect_helper(&mut self) -> io::Result<()> {
        if self.slot(Role::Vrrp).running().is_none() {
            return Ok(());
        }
        let Some(helper) = self.slot(Role::Helper).running() else { return Ok(()) };
        let (one, other) = Channel::pair()?;
        helper.say_with(&ToRole::Link, vec![one.into_socket()])?;
        match self.slot(Role::Vrrp).running() {
            Some(vrrp) => vrrp.say_with(&ToRole::Link, vec![other.into_socket()]),
            None => Ok(()),
        }
    }

    /// Lets the helper finish once nobody has anything to say to it any more: the vrrp role has
    /// ended, or the configuration in force has no work for it.
    pub(super) fn release_helper(&mut self, now: Time) {
        let ending = self.stop_by.is_some();
        let wanted = !ending && (self.pending.is_some() || needed(Role::Helper, &self.plan));
        if wanted || self.slot(Role::Helper).running().is_none() {
            return;
        }
        let vrrp_ends = ending || !needed(Role::Vrrp, &self.plan);
        let vrrp_runs = self.slot(Role::Vrrp).running().is_some()
            || self.leaving.iter().any(|one| one.role == Role::Vrrp);
        if vrrp_ends && vrrp_runs {
            return;
        }
        let patience = self.plan.global.child_wait_time.unwrap_or(FINISH_WITHIN) + MARGIN;
        let until = now + patience;
        let slot = self.slot(Role::Helper);
        if let Phase::Running(helper) = std::mem::replace(&mut slot.phase, Phase::Idle) {
            self.dismiss(Role::Helper, helper, until);
        }
        if let Some(by) = &mut self.stop_by {
            // Its programs have the time that is theirs, however long the others took.
            *by = (*by).max(until);
        }
    }
}

/// The helper has something to do.
pub(super) fn has_work(plan: &model::Plan) -> bool {
    !plan.vrrp.instances.is_empty() && !HelperPlan::of(plan).is_idle()
}
