//! What the director has to do with besides the network: programs that are told of changes, pipes,
//! files that a FILE_CHECK follows. The programs of one subject (a virtual or a real server) run in
//! the order of its changes; one that hangs holds up those of its own subject for a second, and
//! nobody else's.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use edge::poll::{Event, Interest, Poll};
use model::Time;
use model::layer4;
use model::vrrp::Command;
use rustix::fs::Mode;

use crate::outside::{Fifos, Files, Log, Programs, Turns};

const PROGRAMS: u64 = 0;
const FIFOS: u64 = 1;
const FILES: u64 = 2;

/// Programs that may tell of changes at the same time; the others wait.
const TOLD_MAX: usize = 1024;
/// Most programs started before other things have their turn: starting one takes about a
/// millisecond.
const AT_ONCE: usize = 8;

/// What a program runs for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Purpose {
    /// It is told of a change of this subject.
    Told(String),
    /// It reads the pipe at this path.
    Fifo(String),
}

/// Programs, pipes and files. Readable, as a descriptor, when
/// [`handle_ready`](Self::handle_ready) has something to do.
pub(super) struct Outside {
    poll: Poll,
    events: Vec<Event>,
    plan: layer4::Outside,
    programs: Programs<Purpose>,
    turns: Turns<String>,
    fifos: Fifos,
    files: Files,
    log: Log,
    /// Set once the end has come: until when programs may take.
    finish_by: Option<Time>,
    /// Pipes are closed, their programs asked to end.
    wound_up: bool,
}

impl Outside {
    /// Nothing to do with anything yet.
    pub(super) fn new() -> io::Result<Outside> {
        let poll = Poll::new()?;
        let (programs, fifos, files) = (Programs::new()?, Fifos::new()?, Files::new()?);
        poll.add(&programs, PROGRAMS, Interest::Read)?;
        poll.add(&fifos, FIFOS, Interest::Read)?;
        poll.add(&files, FILES, Interest::Read)?;
        Ok(Outside {
            poll,
            events: Vec::new(),
            plan: layer4::Outside::default(),
            programs,
            turns: Turns::new(TOLD_MAX),
            fifos,
            files,
            log: Log::new(),
            finish_by: None,
            wound_up: false,
        })
    }

    /// Has these pipes and files from now on. Those that stay are not touched; the number of every
    /// file is told again by [`poll_file_change`](Self::poll_file_change).
    pub(super) fn configure(&mut self, now: Time, plan: &layer4::Outside) {
        rustix::process::umask(Mode::from_raw_mode(plan.umask));
        self.programs.set_script_user(plan.script_user.clone());
        self.files.configure(now, &plan.files, &mut self.log);
        let user = plan.script_user.as_ref();
        let readers = self.fifos.configure(&plan.fifos, user, &mut self.log);
        let is_former = |purpose: &Purpose| match purpose {
            Purpose::Fifo(path) => readers.end.contains(path),
            Purpose::Told(_) => false,
        };
        self.programs.terminate(now, is_former);
        for (script, path) in readers.start {
            let purpose = Purpose::Fifo(path.clone());
            let started = self.programs.start(now, &script, &[&path], purpose, None);
            self.log.extend(started.err().map(|text| (3, text)));
        }
        self.plan = plan.clone();
    }

    /// Runs a program with `arguments` after its own, once those that run for earlier changes of
    /// the same subject have ended or taken a second. `why` names both: `notify_up of SUBJECT`.
    pub(super) fn run(&mut self, now: Time, why: &str, command: Command, arguments: Vec<String>) {
        let subject = why.split_once(" of ").map_or(why, |(_, subject)| subject);
        self.turns.push(now, subject.to_owned(), vec![(command, arguments)]);
    }

    /// Writes a line, which has no end of line yet, to every pipe.
    pub(super) fn line(&mut self, line: &str) {
        self.fifos.write(&format!("{line}\n"), &mut self.log);
    }

    /// A followed file and its number, which is often the one that it had.
    pub(super) fn poll_file_change(&mut self) -> Option<(String, i32)> {
        self.files.poll_change()
    }

    /// Lines for the log since the last question: syslog severity and text.
    pub(super) fn take_log(&mut self) -> Log {
        std::mem::take(&mut self.log)
    }

    /// Programs ended, pipes have room, files changed. Costs nothing when none did.
    pub(super) fn handle_ready(&mut self, now: Time) -> io::Result<()> {
        let mut events = std::mem::take(&mut self.events);
        self.poll.wait(&mut events, Time::ZERO)?;
        for event in &events {
            match event.token {
                FIFOS => self.fifos.handle_ready(&mut self.log)?,
                FILES => self.files.handle_ready(now, &mut self.log)?,
                _ => self.handle_ends()?,
            }
        }
        self.events = events;
        Ok(())
    }

    fn handle_ends(&mut self) -> io::Result<()> {
        for (purpose, _) in self.programs.handle_ready()? {
            match purpose {
                Purpose::Told(subject) => self.turns.handle_end(&subject),
                Purpose::Fifo(path) => {
                    if self.finish_by.is_none() {
                        self.log.push((5, format!("the script of the pipe {path} ended")));
                    }
                }
            }
        }
        Ok(())
    }

    /// When [`handle_timeout`](Self::handle_timeout) has something to do; zero for at once.
    pub(super) fn next_deadline(&self) -> Time {
        let follow = self.finish_by.unwrap_or_else(|| self.files.next_deadline());
        follow.min(self.programs.next_deadline()).min(self.turns.next_deadline())
    }

    /// Starts the programs whose turn it is, a few at a time, and does what else is due.
    pub(super) fn handle_timeout(&mut self, now: Time) {
        self.programs.handle_timeout(now);
        if self.finish_by.is_none() {
            self.files.handle_timeout(now, &mut self.log);
        }
        for _ in 0..AT_ONCE {
            let Some((subject, told)) = self.turns.poll(now, self.finish_by.is_some()) else {
                break;
            };
            for (command, arguments) in told {
                self.start(now, &subject, &command, &arguments);
            }
        }
        let given_up = self.turns.poll_given_up();
        if given_up > 0 {
            let text = format!("programs hang: {given_up} changes were not told to others");
            self.log.push((4, text));
        }
    }

    fn start(&mut self, now: Time, subject: &str, command: &Command, arguments: &[String]) {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let purpose = Purpose::Told(subject.to_owned());
        if let Err(text) = self.programs.start(now, command, &arguments, purpose, None) {
            self.log.push((3, text));
            self.turns.handle_end(&subject.to_owned());
        }
    }

    /// The end: nothing waits for the change before it any longer, and what runs may finish within
    /// `finish_within`. To be called after the last [`run`](Self::run) and [`line`](Self::line);
    /// `handle_ready` and `handle_timeout` go on until [`is_finished`](Self::is_finished).
    pub(super) fn finish(&mut self, now: Time) {
        self.finish_by = Some(now + self.plan.finish_within);
        self.wind_up(now);
    }

    /// Pipes end, and their programs read what is left when they are asked to end.
    fn wind_up(&mut self, now: Time) {
        if !std::mem::replace(&mut self.wound_up, true) {
            self.fifos.close();
            self.programs.terminate(now, |purpose| matches!(purpose, Purpose::Fifo(_)));
        }
    }

    /// Every program has ended, or had its time.
    pub(super) fn is_finished(&self, now: Time) -> bool {
        let done = self.turns.is_empty() && self.programs.is_empty();
        self.finish_by.is_some_and(|by| done || by <= now)
    }
}

impl AsFd for Outside {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.poll.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;
    use std::time::Duration;

    use edge::clock::now;
    use model::vrrp::TrackFile;

    use super::*;

    fn directory(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("ek-outside-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        path
    }

    fn shell(line: String) -> Command {
        Command { words: vec!["/bin/sh".into(), "-c".into(), line, "sh".into()], user: None }
    }

    fn drive(outside: &mut Outside, until: impl Fn(&mut Outside) -> bool) {
        let give_up = now() + Duration::from_secs(20);
        let mut poll = Poll::new().unwrap();
        poll.add(&*outside, 0, Interest::Read).unwrap();
        while !until(outside) {
            assert!(now() < give_up);
            poll.wait(&mut Vec::new(), outside.next_deadline().min(give_up)).unwrap();
            outside.handle_ready(now()).unwrap();
            outside.handle_timeout(now());
        }
    }

    fn plan() -> layer4::Outside {
        let finish_within = Duration::from_secs(10);
        layer4::Outside { finish_within, umask: 0o022, ..layer4::Outside::default() }
    }

    #[test]
    fn programs_of_a_server_run_in_order_and_a_hanging_one_holds_up_nobody_else() {
        let (directory, mut outside) = (directory("order"), Outside::new().unwrap());
        outside.configure(now(), &plan());
        let path = directory.join("told");
        let note = |pause: &str| shell(format!("{pause} echo $1 >> {}", path.display()));
        let hang = "sleep 3;";
        outside.run(now(), "hangs", note(hang), vec!["hung".into()]);
        outside.run(now(), "notify_up of server", note("sleep 0.3;"), vec!["first".into()]);
        outside.run(now(), "notify_down of server", note(""), vec!["second".into()]);
        outside.run(now(), "hangs", note(""), vec!["after a second".into()]);
        drive(&mut outside, |outside| outside.turns.is_empty() && outside.programs.is_empty());
        let told = fs::read_to_string(&path).unwrap();
        assert_eq!(told, "first\nsecond\nafter a second\nhung\n");
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn at_the_end_everything_is_told_and_waited_for_but_not_for_ever() {
        let (directory, mut outside) = (directory("end"), Outside::new().unwrap());
        let finish_within = Duration::from_millis(700);
        outside.configure(now(), &layer4::Outside { finish_within, ..plan() });
        let path = directory.join("told");
        for number in 0..20 {
            let command = shell(format!("echo $1 >> {}", path.display()));
            outside.run(now(), "server", command, vec![number.to_string()]);
        }
        outside.run(now(), "hangs", shell("sleep 60".into()), Vec::new());
        let began = now();
        outside.finish(began);
        drive(&mut outside, |outside| outside.is_finished(now()));
        assert!(now().since(began) >= finish_within);
        assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 20);
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn lines_go_to_pipes_and_numbers_come_from_files() {
        let (directory, mut outside) = (directory("pipes"), Outside::new().unwrap());
        let at = |name: &str| directory.join(name).to_str().unwrap().to_owned();
        let script = shell(format!("read line < $1; echo \"$line\" > {}", at("copy")));
        let (path, script) = (at("pipe"), Some(script));
        let fifo = model::vrrp::Fifo { path, user: None, script, common: false };
        let file = TrackFile { name: "load".into(), path: at("load"), init: None };
        let plan = layer4::Outside { fifos: vec![fifo], files: vec![file], ..plan() };
        outside.configure(now(), &plan);
        assert_eq!(outside.poll_file_change(), Some(("load".into(), 0)));
        outside.line("RS [10.0.0.1]:tcp:80 [192.0.2.1]:tcp:80 DOWN");
        fs::write(at("load"), "-7\n").unwrap();
        drive(&mut outside, |outside| {
            std::iter::from_fn(|| outside.poll_file_change())
                .any(|change| change == ("load".into(), -7))
        });
        drive(&mut outside, |outside| outside.programs.is_empty());
        let copied = fs::read_to_string(at("copy")).unwrap();
        assert_eq!(copied, "RS [10.0.0.1]:tcp:80 [192.0.2.1]:tcp:80 DOWN\n");
        outside.finish(now());
        assert!(!directory.join("pipe").exists());
        fs::remove_dir_all(directory).unwrap();
    }
}
