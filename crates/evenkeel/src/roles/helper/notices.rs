//! Who is told of what: the programs and the line of a change, with Keepalived's arguments.

use std::collections::{BTreeMap, VecDeque};

use model::control::{Notice, NoticeKind};
use model::vrrp::{Command, Notify, NotifySubject};

/// Notices about instances of a configuration that has not arrived yet.
const WAITING_MAX: usize = 4096;

/// A group or instance by name.
pub(super) type Key = (bool, String);

#[derive(Default)]
pub(super) struct Subjects {
    known: BTreeMap<Key, Subject>,
    /// Those that the last reload removed: they may still say so.
    removed: BTreeMap<Key, Subject>,
    waiting: VecDeque<Notice>,
}

struct Subject {
    notify: Notify,
    /// What was last told.
    last: Option<Notice>,
}

/// What happens because of a notice.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Reaction {
    /// Programs in order, with the arguments after their own.
    pub(super) programs: Vec<(Command, Vec<String>)>,
    /// For the pipes.
    pub(super) line: Option<String>,
    /// It may be mailed.
    pub(super) mail: bool,
    /// The notice as it is told.
    pub(super) notice: Notice,
}

impl Subjects {
    /// Tells these from now on. Returns notices that were waiting for them.
    pub(super) fn configure(&mut self, subjects: Vec<NotifySubject>) -> Vec<Notice> {
        let mut former = std::mem::take(&mut self.known);
        for NotifySubject { group, name, notify } in subjects {
            let key = (group, name);
            let last = former.remove(&key).and_then(|subject| subject.last);
            self.known.insert(key, Subject { notify, last });
        }
        self.removed = former;
        self.waiting.drain(..).collect()
    }

    /// What to do for a notice; nothing when nobody is to be told.
    pub(super) fn handle_notice(&mut self, notice: &Notice) -> Option<Reaction> {
        let key = (notice.group, notice.name.clone());
        let found = match self.known.get_mut(&key) {
            Some(subject) => Some(subject),
            None => self.removed.get_mut(&key),
        };
        match found {
            Some(subject) => subject.handle_notice(notice),
            None => {
                if self.waiting.len() < WAITING_MAX {
                    self.waiting.push_back(notice.clone());
                }
                None
            }
        }
    }

    /// What was told before this process began; what it has heard itself is newer. Returns the
    /// line of a state that was not known.
    pub(super) fn handle_known(&mut self, mut notice: Notice) -> Option<String> {
        if notice.group {
            notice.priority = 0;
        }
        let subject = self.known.get_mut(&(notice.group, notice.name.clone()))?;
        if subject.last.is_some() {
            return None;
        }
        let line = line(&notice);
        subject.last = Some(notice);
        Some(line)
    }

    /// A line for the state of each, groups first, as Keepalived writes them after a reload.
    pub(super) fn states(&self) -> Vec<String> {
        let told = |group: bool| {
            let these = self.known.iter().filter(move |((of_group, _), _)| *of_group == group);
            these.filter_map(|(_, subject)| subject.last.as_ref()).map(line)
        };
        told(true).chain(told(false)).collect()
    }
}

impl Subject {
    fn handle_notice(&mut self, notice: &Notice) -> Option<Reaction> {
        let mut notice = notice.clone();
        if notice.group {
            notice.priority = 0;
        }
        let specific = match notice.kind {
            NoticeKind::Master => &self.notify.master,
            NoticeKind::Backup => &self.notify.backup,
            NoticeKind::Fault => &self.notify.fault,
            NoticeKind::Stop => &self.notify.stop,
            NoticeKind::Deleted => &self.notify.deleted,
            NoticeKind::MasterRxLowerPri => &self.notify.lower_priority,
            NoticeKind::MasterPriority | NoticeKind::BackupPriority => {
                return self.handle_priority(notice);
            }
        };
        let mut programs: Vec<_> =
            specific.iter().map(|command| (command.clone(), Vec::new())).collect();
        if notice.kind == NoticeKind::MasterRxLowerPri {
            let line = Some(line(&notice));
            return Some(Reaction { programs, line, mail: false, notice });
        }
        // The way of old, which scripts rely on that know no other word.
        if notice.kind == NoticeKind::Deleted && !self.notify.says_deleted {
            notice.kind = NoticeKind::Fault;
        }
        if let Some(any) = &self.notify.any {
            programs.push((any.clone(), arguments(&notice).to_vec()));
        }
        let mail = self.notify.smtp_alert;
        self.last = Some(notice.clone());
        Some(Reaction { programs, line: Some(line(&notice)), mail, notice })
    }

    fn handle_priority(&mut self, notice: Notice) -> Option<Reaction> {
        if let Some(last) = &mut self.last {
            last.priority = notice.priority;
        }
        let line = self.notify.priority_changes.then(|| line(&notice))?;
        Some(Reaction { programs: Vec::new(), line: Some(line), mail: false, notice })
    }
}

/// What `notify` gets after its own arguments.
fn arguments(notice: &Notice) -> [String; 4] {
    let kind = if notice.group { "GROUP" } else { "INSTANCE" };
    [kind.into(), notice.name.clone(), notice.kind.to_string(), notice.priority.to_string()]
}

/// What pipes get.
fn line(notice: &Notice) -> String {
    let [kind, name, state, priority] = arguments(notice);
    format!("{kind} \"{name}\" {state} {priority}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(name: &str) -> Option<Command> {
        Some(Command { words: vec![name.into(), "own".into()], user: None })
    }

    fn subjects(notify: Notify) -> Subjects {
        let mut subjects = Subjects::default();
        let subject = |group| NotifySubject { group, name: "VI".into(), notify: notify.clone() };
        subjects.configure(vec![subject(false), subject(true)]);
        subjects
    }

    fn notice(group: bool, kind: NoticeKind) -> Notice {
        Notice { group, name: "VI".into(), kind, priority: 100 }
    }

    fn told(reaction: &Reaction) -> (String, Option<&str>) {
        let programs = reaction.programs.iter().map(|(command, more)| {
            format!("{} {}", command.words.join(" "), more.join(" ")).trim().to_owned()
        });
        (programs.collect::<Vec<_>>().join("; "), reaction.line.as_deref())
    }

    #[test]
    fn the_states_own_program_comes_first_and_notify_has_four_more_arguments() {
        let mut subjects = subjects(Notify {
            master: command("/m"),
            stop: command("/s"),
            any: command("/n"),
            ..Notify::default()
        });
        let reaction = subjects.handle_notice(&notice(false, NoticeKind::Master)).unwrap();
        let expected = "/m own; /n own INSTANCE VI MASTER 100".to_owned();
        assert_eq!(told(&reaction), (expected, Some("INSTANCE \"VI\" MASTER 100\n")));
        let reaction = subjects.handle_notice(&notice(true, NoticeKind::Backup)).unwrap();
        let expected = "/n own GROUP VI BACKUP 0".to_owned();
        assert_eq!(told(&reaction), (expected, Some("GROUP \"VI\" BACKUP 0\n")));
    }

    #[test]
    fn a_deleted_instance_is_a_fault_to_those_who_know_no_other_word() {
        let any = || Notify { any: command("/n"), fault: command("/f"), ..Notify::default() };
        let mut old = subjects(any());
        let reaction = old.handle_notice(&notice(false, NoticeKind::Deleted)).unwrap();
        let expected = "/n own INSTANCE VI FAULT 100".to_owned();
        assert_eq!(told(&reaction), (expected, Some("INSTANCE \"VI\" FAULT 100\n")));
        let mut new = subjects(Notify { says_deleted: true, deleted: command("/d"), ..any() });
        new.configure(Vec::new());
        let reaction = new.handle_notice(&notice(false, NoticeKind::Deleted)).unwrap();
        assert_eq!(told(&reaction).0, "/d own; /n own INSTANCE VI DELETED 100");
    }

    #[test]
    fn weaker_masters_and_priorities_are_no_states() {
        let mut subjects = subjects(Notify {
            lower_priority: command("/l"),
            any: command("/n"),
            ..Notify::default()
        });
        let reaction =
            subjects.handle_notice(&notice(false, NoticeKind::MasterRxLowerPri)).unwrap();
        let expected = "/l own".to_owned();
        assert_eq!(told(&reaction), (expected, Some("INSTANCE \"VI\" MASTER_RX_LOWER_PRI 100\n")));
        assert_eq!(subjects.handle_notice(&notice(false, NoticeKind::BackupPriority)), None);
        let mut subjects =
            super::tests::subjects(Notify { priority_changes: true, ..Notify::default() });
        let reaction = subjects.handle_notice(&notice(false, NoticeKind::MasterPriority)).unwrap();
        assert_eq!(told(&reaction).1, Some("INSTANCE \"VI\" MASTER_PRIORITY 100\n"));
    }

    #[test]
    fn a_helper_that_was_started_again_knows_the_states_and_tells_nobody() {
        let mut subjects = subjects(Notify::default());
        let line = subjects.handle_known(notice(true, NoticeKind::Master));
        assert_eq!(line.as_deref(), Some("GROUP \"VI\" MASTER 0\n"));
        subjects.handle_known(notice(false, NoticeKind::Master));
        subjects.handle_notice(&notice(false, NoticeKind::Fault));
        subjects.handle_known(notice(false, NoticeKind::Master));
        let expected = ["GROUP \"VI\" MASTER 0\n", "INSTANCE \"VI\" FAULT 100\n"];
        assert_eq!(subjects.states(), expected);
    }

    #[test]
    fn a_notice_waits_for_the_configuration_it_is_about() {
        let mut subjects = Subjects::default();
        let early = notice(false, NoticeKind::Backup);
        assert_eq!(subjects.handle_notice(&early), None);
        let subject = NotifySubject { group: false, name: "VI".into(), notify: Notify::default() };
        assert_eq!(subjects.configure(vec![subject.clone()]), std::slice::from_ref(&early));
        subjects.handle_notice(&early);
        assert_eq!(subjects.configure(vec![subject]), []);
        assert_eq!(subjects.states(), ["INSTANCE \"VI\" BACKUP 100\n"]);
        for _ in 0..2 * WAITING_MAX {
            subjects.handle_notice(&Notice { name: "other".into(), ..early.clone() });
        }
        assert_eq!(subjects.waiting.len(), WAITING_MAX);
    }
}
