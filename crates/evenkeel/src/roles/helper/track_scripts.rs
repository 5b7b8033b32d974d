//! `vrrp_script`: runs every `interval`, at most once at a time. A run that takes longer than its
//! timeout has failed, whatever it exits with when it is ended.

use std::collections::BTreeMap;

use edge::spawn::Ended;
use model::Time;
use model::control::TrackerState;
use model::status::{ScriptRun, ScriptStatus};
use model::vrrp::{TrackScript, Tracked};

use super::rise_fall::RiseFall;
use super::{Purpose, Shared};

/// Most programs started before other things have their turn: starting one takes about a
/// millisecond.
const AT_ONCE: usize = 16;

#[derive(Default)]
pub(super) struct Scripts {
    scripts: BTreeMap<String, Script>,
}

struct Script {
    plan: TrackScript,
    counter: RiseFall,
    next: Time,
    run: ScriptRun,
    /// It was told that the run at hand takes too long for the next one to begin.
    skipped: bool,
    /// What it exited with last, to say only what is new.
    last: Option<Ended>,
}

impl Script {
    fn new(now: Time, plan: &TrackScript) -> Script {
        Script {
            counter: RiseFall::new(plan.rise, plan.fall, plan.init_fail),
            plan: plan.clone(),
            next: now,
            run: ScriptRun::Idle,
            skipped: false,
            last: None,
        }
    }

    fn handle_due(&mut self, now: Time, shared: &mut Shared) {
        self.next = self.next + self.plan.interval;
        if self.next <= now {
            // We were held up: the beat begins anew.
            self.next = now + self.plan.interval;
        }
        let busy = match self.run {
            ScriptRun::Idle => None,
            ScriptRun::Running => Some("already running"),
            ScriptRun::Overtime => Some("being timed out"),
        };
        if let Some(busy) = busy {
            if !std::mem::replace(&mut self.skipped, true) {
                let name = &self.plan.name;
                let text = format!("Track script {name} is {busy}, expect idle - skipping run");
                shared.note(6, text);
            }
            return;
        }
        self.skipped = false;
        let purpose = Purpose::Track(self.plan.name.clone());
        let timeout = Some(self.plan.timeout);
        if shared.start(now, &self.plan.command, &[], purpose, timeout) {
            self.run = ScriptRun::Running;
        } else {
            self.handle_result(false, "failed (it could not be started)", shared);
        }
    }

    fn tell(&self, shared: &mut Shared) {
        let state = match self.counter.up() {
            None => TrackerState::Unknown,
            Some(true) => TrackerState::Up,
            Some(false) => TrackerState::Down,
        };
        shared.changes.push((Tracked::Script(self.plan.name.clone()), state));
    }

    fn handle_result(&mut self, success: bool, how: &str, shared: &mut Shared) {
        if self.counter.handle_result(success).is_some() {
            shared.note(5, format!("VRRP_Script({}) {how}", self.plan.name));
        }
        self.tell(shared);
    }
}

impl Scripts {
    /// Follows these from now on. Those that stay keep their state.
    pub(super) fn configure(&mut self, now: Time, plans: &[TrackScript], shared: &mut Shared) {
        let mut former = std::mem::take(&mut self.scripts);
        for plan in plans {
            let script = match former.remove(&plan.name) {
                Some(script) if script.plan == *plan => script,
                Some(script) => Script {
                    counter: script.counter.with(plan.rise, plan.fall),
                    plan: plan.clone(),
                    next: script.next.min(now + plan.interval),
                    ..script
                },
                None => Script::new(now, plan),
            };
            script.tell(shared);
            self.scripts.insert(plan.name.clone(), script);
        }
        shared.programs.terminate(
            now,
            |purpose| matches!(purpose, Purpose::Track(name) if former.contains_key(name)),
        );
    }

    /// What each of them does now.
    pub(super) fn status(&self) -> Vec<ScriptStatus> {
        let status = |(name, script): (&String, &Script)| ScriptStatus {
            name: name.clone(),
            run: script.run,
        };
        self.scripts.iter().map(status).collect()
    }

    pub(super) fn next_deadline(&self) -> Time {
        self.scripts.values().map(|script| script.next).min().unwrap_or(Time::NEVER)
    }

    /// Starts what is due, the longest due first, and not all of it when that is much.
    pub(super) fn handle_timeout(&mut self, now: Time, shared: &mut Shared) {
        let mut due: Vec<&mut Script> =
            self.scripts.values_mut().filter(|script| script.next <= now).collect();
        due.sort_by_key(|script| script.next);
        for script in due.into_iter().take(AT_ONCE) {
            script.handle_due(now, shared);
        }
    }

    /// A run took too long: it has failed and is being ended.
    pub(super) fn handle_overtime(&mut self, name: &str, shared: &mut Shared) {
        if let Some(script) = self.scripts.get_mut(name)
            && script.run == ScriptRun::Running
        {
            script.run = ScriptRun::Overtime;
            script.last = None;
            script.handle_result(false, "timed_out", shared);
        }
    }

    /// A run ended.
    pub(super) fn handle_end(&mut self, name: &str, ended: Ended, shared: &mut Shared) {
        let Some(script) = self.scripts.get_mut(name) else { return };
        match std::mem::replace(&mut script.run, ScriptRun::Idle) {
            ScriptRun::Running => {}
            // It belongs to a script of this name that a reload removed, or was counted already.
            ScriptRun::Idle | ScriptRun::Overtime => return,
        }
        let how = match ended {
            Ended::Exited(0) => "succeeded".to_owned(),
            Ended::Exited(status) => format!("failed (exited with status {status})"),
            Ended::Signalled(signal) => format!("failed (due to signal {signal})"),
        };
        if let (Ended::Exited(status), true) = (ended, script.last != Some(ended)) {
            shared.note(6, format!("Script `{name}` now returning {status}"));
        }
        script.last = Some(ended);
        script.handle_result(ended == Ended::Exited(0), &how, shared);
    }
}
