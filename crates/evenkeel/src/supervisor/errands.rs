//! The programs of the start and the end (`startup_script`, `shutdown_script`), before any role
//! starts and after all have ended.

use std::time::Duration;

use edge::spawn::{Ended, Program};
use model::Time;
use model::plan::BoundedCommand;

use crate::load::Loaded;
use crate::scripts;

use super::Supervisor;

/// From SIGTERM to SIGKILL.
const PATIENCE: Duration = Duration::from_secs(2);

/// A program that runs, and what comes after it.
pub(super) struct Errand {
    program: Program,
    name: &'static str,
    deadline: Time,
    asked_to_end: bool,
    /// The configuration to begin with: it is the program of the start.
    then: Option<Box<Loaded>>,
}

impl Errand {
    pub(super) fn deadline(&self) -> Time {
        self.deadline
    }
}

impl Supervisor {
    /// Runs the program of the start, if there is one, and then begins.
    pub(super) fn start_up(&mut self, loaded: Loaded) -> Result<(), String> {
        let script = loaded.plan.as_ref().and_then(|plan| plan.global.startup_script.clone());
        let user = loaded.plan.as_ref().and_then(|plan| plan.global.script_user.clone());
        let Some(script) = script else { return self.begin(loaded) };
        match errand("startup script", &script, user.as_ref()) {
            Some(errand) => {
                self.errand = Some(Errand { then: Some(Box::new(loaded)), ..errand });
                Ok(())
            }
            None => self.begin(loaded),
        }
    }

    /// Sees how the program of the start or the end does.
    pub(super) fn run_errands(&mut self, now: Time) {
        let Some(errand) = &mut self.errand else { return };
        let ended = match errand.program.ended() {
            Ok(None) => {
                if errand.deadline <= now {
                    errand.hurry(now);
                }
                return;
            }
            Ok(ended) => ended,
            Err(_) => None,
        };
        if errand.asked_to_end {
            errand.program.kill();
        }
        match ended {
            None | Some(Ended::Exited(0)) => {}
            Some(Ended::Exited(status)) => {
                tracing::warn!("{} failed, status {status}", errand.name);
            }
            Some(Ended::Signalled(signal)) => {
                tracing::warn!("{} ended by signal {signal}", errand.name);
            }
        }
        let then = self.errand.take().and_then(|errand| errand.then);
        if let Some(loaded) = then
            && self.stop_by.is_none()
            && let Err(error) = self.begin(*loaded)
        {
            tracing::error!("{error}");
            self.failed = true;
            self.stop();
        }
    }

    /// A stop while the program of the start runs: it is ended, and nothing begins.
    pub(super) fn cancel_start_up(&mut self) {
        if let Some(errand) = &mut self.errand {
            errand.hurry(edge::clock::now());
        }
    }

    /// Everything else has ended: the program of the end runs, once.
    pub(super) fn last_errand_done(&mut self) -> bool {
        if self.errand.is_some() {
            return false;
        }
        if std::mem::replace(&mut self.shut_down, true) {
            return true;
        }
        let global = &self.plan.global;
        let Some(script) = &global.shutdown_script else { return true };
        self.errand = errand("shutdown script", script, global.script_user.as_ref());
        self.errand.is_none()
    }
}

impl Errand {
    /// Its time is over: asked to end, and then made to.
    fn hurry(&mut self, now: Time) {
        if self.asked_to_end {
            self.program.kill();
        } else {
            tracing::warn!("{} takes too long: ended", self.name);
            self.program.terminate();
        }
        self.asked_to_end = true;
        self.deadline = now + PATIENCE;
    }
}

fn errand(
    name: &'static str,
    script: &BoundedCommand,
    user: Option<&model::vrrp::User>,
) -> Option<Errand> {
    match scripts::start(&script.command, user, &[]) {
        Ok(program) => {
            let deadline = edge::clock::now() + script.timeout;
            Some(Errand { program, name, deadline, asked_to_end: false, then: None })
        }
        Err(error) => {
            tracing::error!("Call of {name} {} failed: {error}", script.command.words[0]);
            None
        }
    }
}
