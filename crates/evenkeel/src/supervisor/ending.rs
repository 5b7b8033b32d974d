//! The end: roles finish in order, and not for ever.

use model::Time;
use model::control::FromRole;

use crate::cli::Role;

use super::child::Phase;
use super::{LAST_PATIENCE, Leaving, STOP_PATIENCE, Supervisor};

impl Supervisor {
    /// Nothing of ours runs any more.
    pub(super) fn quiet(&self) -> bool {
        self.leaving.is_empty() && self.slots.iter().all(|slot| matches!(slot.phase, Phase::Idle))
    }

    /// Begins the end: every role but the helper is told; that one goes when the vrrp role has
    /// said everything.
    pub(super) fn stop(&mut self) {
        let now = edge::clock::now();
        if let Some(by) = self.stop_by {
            // Asked twice: little patience left. (`timeout` asks both the group and the child.)
            self.stop_by = Some(by.min(now + LAST_PATIENCE));
            return;
        }
        tracing::info!("stopping");
        self.notifier.stopping();
        let patience = self.plan.global.child_wait_time.unwrap_or(STOP_PATIENCE);
        self.stop_by = Some(now + patience);
        if let Some(mut successor) = self.successor.take() {
            successor.kill();
        }
        for slot in &mut self.slots {
            match &mut slot.phase {
                Phase::Running(_) if slot.role == Role::Helper => {}
                Phase::Running(running) => {
                    let _ = running.say(&self.options.habits.farewell(slot.role));
                }
                Phase::Waiting(_) | Phase::Idle => slot.phase = Phase::Idle,
            }
        }
        for leaving in &mut self.leaving {
            leaving.until = leaving.until.min(now + patience);
        }
        self.cancel_start_up();
    }

    /// Ends processes that have had their time.
    pub(super) fn end_what_takes_too_long(&mut self, now: Time) {
        if self.stop_by.is_some_and(|by| by <= now) {
            let mut vrrp = false;
            for slot in &mut self.slots {
                if let Phase::Running(running) = &mut slot.phase {
                    tracing::warn!("{} role does not finish: ended", slot.role.name());
                    running.kill();
                    vrrp |= slot.role == Role::Vrrp;
                }
                slot.phase = Phase::Idle;
            }
            if vrrp {
                self.give_addresses_away();
            }
            for leaving in &mut self.leaving {
                leaving.until = leaving.until.min(now);
            }
        }
        for leaving in &mut self.leaving {
            if leaving.until <= now {
                tracing::warn!(
                    "{} role, process {}, does not finish: ended",
                    leaving.role.name(),
                    leaving.process.pid()
                );
                leaving.process.kill();
            }
        }
        self.leaving.retain(|one| one.until > now);
    }

    /// A process that finishes has something to say, or is gone.
    pub(super) fn hear_leaving(&mut self, index: usize) {
        while let Some(Leaving { role, process, .. }) = self.leaving.get_mut(index) {
            let role = *role;
            match process.channel.flush().and_then(|_| process.hear()) {
                Ok(Some(FromRole::Event(event))) => self.on_event(role, &event),
                Ok(Some(_)) => {}
                Ok(None) => return,
                Err(_) => {
                    process.kill();
                    self.leaving.remove(index);
                    self.reload_for_those_who_wait();
                    return;
                }
            }
        }
    }
}
