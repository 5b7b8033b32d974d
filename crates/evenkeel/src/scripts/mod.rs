//! Programs of the administrator: which of them may run (`check` and `run` agree on it), and how
//! one is started.

mod path;
mod run;
mod security;

use std::collections::{BTreeMap, BTreeSet};

use edge::spawn::Identity;
use model::Plan;
use model::layer4::Layer4Plan;
use model::plan::Global;
use model::vrrp::{Command, Notify, Track, Tracked, User};

pub(crate) use run::start;
use security::{Danger, Rules, Verdict};

/// Something to know about a program of the configuration, in Keepalived's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    /// One line.
    pub(crate) text: String,
    /// What it is to Keepalived.
    pub(crate) weight: Weight,
}

/// How much Keepalived's `-t` makes of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Weight {
    /// It only says so.
    Remark,
    /// Something of the configuration is left out: exit code 5.
    Disabled,
    /// Programs run without `enable_script_security`: exit code 6.
    Security,
}

/// Looks at every program of VRRP and of the start and the end. Programs that cannot or may not
/// run leave the Plan, with what refers to them; paths become real ones, as Keepalived passes
/// them to scripts (`$0`).
pub(crate) fn vet(plan: &mut Plan) -> Vec<Finding> {
    let mut vetting = Vetting::new(&plan.global);
    if !plan.vrrp.instances.is_empty() {
        vetting.vrrp(plan);
        vetting.conclude("scripts");
    }
    if !plan.layer4.virtual_servers.is_empty() {
        vetting.layer4(&mut plan.layer4);
        vetting.conclude("scripts");
    }
    vetting.option(&mut plan.global.startup_script, |bounded| &mut bounded.command);
    vetting.option(&mut plan.global.shutdown_script, |bounded| &mut bounded.command);
    vetting.conclude("start/shutdown scripts");
    vetting.findings
}

/// Whom a program runs as.
pub(crate) fn identity(user: Option<&User>, otherwise: Identity) -> Identity {
    user.map_or(otherwise, |user| Identity { uid: user.uid, gid: user.gid })
}

struct Vetting {
    default: Identity,
    rules: Rules,
    /// What is known of programs by whom they run as: the path to run, and whether it may. One
    /// program often checks thousands of servers.
    looked_at: BTreeMap<(String, Identity), (String, Verdict)>,
    /// What was said already: the same program is often used many times.
    texts: BTreeSet<String>,
    findings: Vec<Finding>,
    /// A program was found, in this round.
    programs: bool,
    /// One of them can be changed by others than root.
    dangerous: bool,
}

impl Vetting {
    fn new(global: &Global) -> Vetting {
        Vetting {
            default: identity(global.script_user.as_ref(), Identity::ours()),
            rules: Rules { refuse: global.script_security, keep_links: global.symlink_paths },
            looked_at: BTreeMap::new(),
            texts: BTreeSet::new(),
            findings: Vec::new(),
            programs: false,
            dangerous: false,
        }
    }

    fn vrrp(&mut self, plan: &mut Plan) {
        let vrrp = &mut plan.vrrp;
        let mut disabled = BTreeSet::new();
        vrrp.trackers.scripts.retain_mut(|script| {
            let name = &script.name;
            let (why, weight) = match self.command(&mut script.command) {
                Verdict::Runs(_) => return true,
                Verdict::Refused => (" due to insecure", Weight::Disabled),
                Verdict::Missing => (" since not found/accessible", Weight::Disabled),
                Verdict::NotExecutable => ("", Weight::Remark),
            };
            self.say(format!("Disabling track script {name}{why}"), weight);
            disabled.insert(Tracked::Script(name.clone()));
            false
        });
        let keep = |tracks: &mut Vec<Track>| tracks.retain(|track| !disabled.contains(&track.what));
        for instance in &mut vrrp.instances {
            keep(&mut instance.tracks);
            self.notify(&mut instance.notify);
        }
        for group in &mut vrrp.sync_groups {
            keep(&mut group.tracks);
            self.notify(&mut group.notify);
        }
        let fifos = &mut plan.global.fifos;
        for fifo in [&mut fifos.all, &mut fifos.vrrp].into_iter().flatten() {
            self.option(&mut fifo.script, |command| command);
        }
    }

    fn layer4(&mut self, plan: &mut Layer4Plan) {
        for service in &mut plan.virtual_servers {
            self.option(&mut service.quorum.up, |command| command);
            self.option(&mut service.quorum.down, |command| command);
            for server in service.real_servers.iter_mut() {
                self.option(&mut server.notify_up, |command| command);
                self.option(&mut server.notify_down, |command| command);
                server.checkers.retain_mut(|checker| {
                    checker.kind.command_mut().is_none_or(|command| self.misc(command))
                });
            }
        }
        for fifo in &mut plan.outside.fifos {
            self.option(&mut fifo.script, |command| command);
        }
    }

    /// Whether a MISC_CHECK stays.
    fn misc(&mut self, command: &mut Command) -> bool {
        let name = command.words.first().cloned().unwrap_or_default();
        let (why, weight) = match self.command(command) {
            Verdict::Runs(_) => return true,
            Verdict::Refused => (" due to insecure", Weight::Disabled),
            Verdict::Missing => (" since not found/accessible", Weight::Disabled),
            Verdict::NotExecutable => ("", Weight::Remark),
        };
        self.say(format!("Disabling misc script {name}{why}"), weight);
        false
    }

    fn notify(&mut self, notify: &mut Notify) {
        let Notify { master, backup, fault, stop, deleted, any, lower_priority, .. } = notify;
        for command in [backup, master, fault, stop, deleted, any, lower_priority] {
            self.option(command, |command| command);
        }
    }

    /// Takes what may not run out of its place.
    fn option<T>(&mut self, place: &mut Option<T>, command: impl Fn(&mut T) -> &mut Command) {
        if let Some(there) = place
            && !matches!(self.command(command(there)), Verdict::Runs(_))
        {
            *place = None;
        }
    }

    fn command(&mut self, command: &mut Command) -> Verdict {
        let Some(program) = command.words.first_mut() else { return Verdict::Missing };
        let verdict = self.look(program, identity(command.user.as_ref(), self.default));
        match verdict {
            Verdict::Runs(Danger::NoProgram) | Verdict::Missing => {}
            Verdict::Runs(Danger::None) | Verdict::NotExecutable => self.programs = true,
            Verdict::Runs(Danger::Changeable) | Verdict::Refused => {
                self.programs = true;
                self.dangerous = true;
            }
        }
        verdict
    }

    /// Whether a program may run; its path becomes the one to run. Looks at each once.
    fn look(&mut self, program: &mut String, identity: Identity) -> Verdict {
        let written = (program.clone(), identity);
        if let Some((path, verdict)) = self.looked_at.get(&written) {
            program.clone_from(path);
            return *verdict;
        }
        let mut texts = Vec::new();
        let verdict = security::look(program, identity, self.rules, &mut texts);
        self.looked_at.insert(written, (program.clone(), verdict));
        for text in texts {
            self.say(text, Weight::Remark);
        }
        verdict
    }

    /// Keepalived's verdict on running scripts without `enable_script_security` at all.
    fn conclude(&mut self, what: &str) {
        if self.programs && !self.rules.refuse {
            let more = if self.dangerous { " There are insecure scripts." } else { "" };
            let text = format!(
                "SECURITY VIOLATION - {what} are being executed but script_security not enabled.{more}"
            );
            self.say(text, Weight::Security);
        }
        (self.programs, self.dangerous) = (false, false);
    }

    fn say(&mut self, text: String, weight: Weight) {
        if self.texts.insert(text.clone()) {
            self.findings.push(Finding { text, weight });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_program_is_looked_at_once_for_each_user_however_many_servers_it_checks() {
        let path = std::env::temp_dir().join(format!("ek-vetted-{}", std::process::id()));
        fs::write(&path, "#!/bin/sh\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        let mut vetting = Vetting::new(&Global::default());
        let mut look = |uid, gid| {
            // Another way to write it, so that the path changes.
            let mut program = path.to_str().unwrap().replacen('/', "//", 1);
            let verdict = vetting.look(&mut program, Identity { uid, gid });
            (program, matches!(verdict, Verdict::Runs(_)))
        };
        let first = look(0, 0);
        assert_eq!(first, (path.to_str().unwrap().to_owned(), true));
        fs::remove_file(&path).unwrap();
        assert_eq!(look(0, 0), first, "what was seen counts for the whole load");
        assert!(!look(65534, 65534).1, "another user may have other rights");
    }
}
