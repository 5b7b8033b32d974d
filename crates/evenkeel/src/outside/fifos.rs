//! Pipes that are told of changes, a line each. A pipe nobody reads fills up; what comes after
//! waits, and the oldest that waits is given up once too much does.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileTypeExt;
use std::{fs, path::Path};

use edge::poll::{Event, Interest, Poll};
use edge::spawn::Identity;
use model::Time;
use model::vrrp::{Command, Fifo, User};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;

use super::Log;
use crate::scripts;

/// Lines that wait for a pipe to have room; the pipe itself holds about two thousand.
const WAITING_MAX: usize = 4096;
/// `rw-r--r--`, less the umask.
const MODE: Mode = Mode::from_raw_mode(0o644);

/// Pipes by their plans. Readable, as a descriptor, when one has room again.
pub(crate) struct Fifos {
    poll: Poll,
    events: Vec<Event>,
    pipes: Vec<Pipe>,
    last: u64,
}

struct Pipe {
    plan: Fifo,
    token: u64,
    descriptor: OwnedFd,
    /// We made it, and remove it unless somebody else writes to it.
    ours: bool,
    waiting: VecDeque<Vec<u8>>,
    lost: u64,
}

/// The programs that read pipes, after a change of the pipes.
#[derive(Debug, Default)]
pub(crate) struct Readers {
    /// Paths of pipes whose programs are to end. First.
    pub(crate) end: Vec<String>,
    /// Programs to start, with the path that is their last argument.
    pub(crate) start: Vec<(Command, String)>,
}

impl Fifos {
    /// None.
    pub(crate) fn new() -> io::Result<Fifos> {
        Ok(Fifos { poll: Poll::new()?, events: Vec::new(), pipes: Vec::new(), last: 0 })
    }

    /// Has these from now on. Those that stay are not touched, nor are the programs that read
    /// them. Pipes belong to the user they name or else to `script_user`.
    pub(crate) fn configure(
        &mut self,
        plans: &[Fifo],
        script_user: Option<&User>,
        log: &mut Log,
    ) -> Readers {
        let mut former = std::mem::take(&mut self.pipes);
        let mut missing = Vec::new();
        let mut readers = Readers::default();
        for plan in plans {
            let same = |pipe: &Pipe| pipe.plan.path == plan.path && pipe.plan.user == plan.user;
            match former.iter().position(same) {
                Some(index) => {
                    let mut pipe = former.remove(index);
                    pipe.change_reader(plan, &mut readers);
                    self.pipes.push(pipe);
                }
                None => missing.push(plan),
            }
        }
        // Before new ones are made: one may have the same path.
        for pipe in former {
            readers.end.push(pipe.plan.path.clone());
            pipe.close();
        }
        for plan in missing {
            self.last += 1;
            match Pipe::open(plan, self.last, script_user, log) {
                Ok(pipe) => {
                    let script = plan.script.iter().cloned();
                    readers.start.extend(script.map(|script| (script, plan.path.clone())));
                    self.pipes.push(pipe);
                }
                Err(error) => {
                    log.push((3, format!("Unable to open notify fifo {}: {error}", plan.path)));
                }
            }
        }
        readers
    }

    /// Writes a line to every pipe, now or when there is room.
    pub(crate) fn write(&mut self, line: &str, log: &mut Log) {
        for pipe in &mut self.pipes {
            pipe.write(line, &self.poll, log);
        }
    }

    /// Pipes have room again.
    pub(crate) fn handle_ready(&mut self, log: &mut Log) -> io::Result<()> {
        self.poll.wait(&mut self.events, Time::ZERO)?;
        for event in &self.events {
            if let Some(pipe) = self.pipes.iter_mut().find(|pipe| pipe.token == event.token) {
                pipe.flush(&self.poll, log);
            }
        }
        Ok(())
    }

    /// Removes those that are ours.
    pub(crate) fn close(&mut self) {
        for pipe in self.pipes.drain(..) {
            pipe.close();
        }
    }
}

impl AsFd for Fifos {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.poll.as_fd()
    }
}

impl Pipe {
    fn open(
        plan: &Fifo,
        token: u64,
        script_user: Option<&User>,
        log: &mut Log,
    ) -> io::Result<Pipe> {
        let ours = make(plan, script_user, log)?;
        // Reading too, so that there is always a reader: one that goes away ends nothing.
        let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOFOLLOW;
        let opened = rustix::fs::open(&plan.path, flags, Mode::empty());
        if opened.is_err() && ours {
            let _ = fs::remove_file(&plan.path);
        }
        let descriptor = opened?;
        let (waiting, lost) = (VecDeque::new(), 0);
        Ok(Pipe { plan: plan.clone(), token, descriptor, ours, waiting, lost })
    }

    /// Another program reads the pipe, or none: others may have it open.
    fn change_reader(&mut self, plan: &Fifo, readers: &mut Readers) {
        let former = std::mem::replace(&mut self.plan, plan.clone());
        if former.script != plan.script {
            readers.end.extend(former.script.map(|_| former.path));
            readers.start.extend(plan.script.clone().map(|script| (script, plan.path.clone())));
        }
    }

    fn write(&mut self, line: &str, poll: &Poll, log: &mut Log) {
        let was_waiting = !self.waiting.is_empty();
        self.waiting.push_back(line.as_bytes().to_vec());
        if was_waiting {
            if self.waiting.len() > WAITING_MAX {
                self.waiting.pop_front();
                self.lost += 1;
                if self.lost == 1 {
                    let path = &self.plan.path;
                    log.push((4, format!("nobody reads {path}: lines are given up")));
                }
            }
            return;
        }
        self.send();
        if !self.waiting.is_empty() {
            let _ = poll.add(&self.descriptor, self.token, Interest::Write);
        }
    }

    fn flush(&mut self, poll: &Poll, log: &mut Log) {
        self.send();
        if self.waiting.is_empty() {
            let _ = poll.remove(&self.descriptor);
            if self.lost > 0 {
                let (lost, path) = (std::mem::take(&mut self.lost), &self.plan.path);
                log.push((4, format!("{path} is read again; {lost} lines were given up")));
            }
        }
    }

    /// Lines are shorter than PIPE_BUF: each goes whole or not at all.
    fn send(&mut self) {
        while let Some(line) = self.waiting.front() {
            match rustix::io::write(&self.descriptor, line) {
                Err(Errno::AGAIN) => return,
                Err(Errno::INTR) => {}
                Ok(_) | Err(_) => {
                    self.waiting.pop_front();
                }
            }
        }
    }

    /// The name goes first, so that a reader that opens the pipe again and again comes to an end.
    fn close(self) {
        if self.ours && !self.plan.common {
            let _ = fs::remove_file(&self.plan.path);
        }
    }
}

/// Makes the pipe unless it is there. True: it was made.
fn make(plan: &Fifo, script_user: Option<&User>, log: &mut Log) -> io::Result<bool> {
    let path = Path::new(&plan.path);
    match rustix::fs::mknodat(CWD, path, rustix::fs::FileType::Fifo, MODE, 0) {
        Ok(()) => {}
        Err(Errno::EXIST) => {
            return if fs::symlink_metadata(path)?.file_type().is_fifo() {
                Ok(false)
            } else {
                Err(io::Error::other("there is something else of that name"))
            };
        }
        Err(error) => return Err(error.into()),
    }
    let ours = Identity::ours();
    let user = plan.user.as_ref().or(script_user);
    let owner = scripts::identity(user, ours);
    if owner != ours
        && let Err(error) = std::os::unix::fs::chown(path, Some(owner.uid), Some(owner.gid))
    {
        log.push((4, format!("Failed to set uid:gid for fifo {}: {error}", plan.path)));
    }
    Ok(true)
}
