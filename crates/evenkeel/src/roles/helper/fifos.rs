//! Pipes that are told of changes, a line each. A pipe nobody reads fills up; what comes after
//! waits, and the oldest that waits is given up once too much does.

use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileTypeExt;
use std::{fs, path::Path};

use edge::clock::now;
use edge::poll::Interest;
use edge::spawn::Identity;
use model::vrrp::Fifo;
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;

use super::programs::Purpose;
use super::{FIFOS, Shared};
use crate::scripts;

/// Lines that wait for a pipe to have room; the pipe itself holds about two thousand.
const WAITING_MAX: usize = 4096;
/// `rw-r--r--`, less the umask.
const MODE: Mode = Mode::from_raw_mode(0o644);

#[derive(Default)]
pub(super) struct Fifos {
    pipes: Vec<Pipe>,
    last: u64,
}

struct Pipe {
    plan: Fifo,
    token: u64,
    descriptor: OwnedFd,
    /// We made it, and remove it.
    ours: bool,
    waiting: VecDeque<Vec<u8>>,
    lost: u64,
}

impl Fifos {
    /// Has these from now on. Those that stay are not touched, nor are the programs that read
    /// them.
    pub(super) fn configure(&mut self, plans: &[Fifo], shared: &mut Shared) {
        let mut former = std::mem::take(&mut self.pipes);
        let mut missing = Vec::new();
        for plan in plans {
            match former.iter().position(|pipe| pipe.plan == *plan) {
                Some(index) => self.pipes.push(former.remove(index)),
                None => missing.push(plan),
            }
        }
        // Before new ones are made: one may have the same path.
        for pipe in former {
            let readers = |purpose: &Purpose| match purpose {
                Purpose::Fifo(path) => *path == pipe.plan.path,
                Purpose::Track(_) | Purpose::Notice(_) => false,
            };
            shared.programs.terminate(readers);
            pipe.close();
        }
        for plan in missing {
            self.last += 1;
            match Pipe::open(plan, FIFOS + self.last, shared) {
                Ok(pipe) => self.pipes.push(pipe),
                Err(error) => {
                    shared.note(3, format!("Unable to open notify fifo {}: {error}", plan.path));
                }
            }
        }
    }

    /// Writes a line to every pipe, now or when there is room.
    pub(super) fn write(&mut self, line: &str, shared: &mut Shared) {
        for pipe in &mut self.pipes {
            pipe.write(line, shared);
        }
    }

    /// A pipe has room again.
    pub(super) fn handle_ready(&mut self, token: u64, shared: &mut Shared) {
        if let Some(pipe) = self.pipes.iter_mut().find(|pipe| pipe.token == token) {
            pipe.flush(shared);
        }
    }

    /// Removes those that are ours.
    pub(super) fn close(&mut self) {
        for pipe in self.pipes.drain(..) {
            pipe.close();
        }
    }
}

impl Pipe {
    fn open(plan: &Fifo, token: u64, shared: &mut Shared) -> io::Result<Pipe> {
        let ours = make(plan, shared)?;
        // Reading too, so that there is always a reader: one that goes away ends nothing.
        let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOFOLLOW;
        let opened = rustix::fs::open(&plan.path, flags, Mode::empty());
        if opened.is_err() && ours {
            let _ = fs::remove_file(&plan.path);
        }
        let descriptor = opened?;
        if let Some(script) = &plan.script {
            let purpose = Purpose::Fifo(plan.path.clone());
            shared.start(now(), script, &[&plan.path], purpose, None);
        }
        let (waiting, lost) = (VecDeque::new(), 0);
        Ok(Pipe { plan: plan.clone(), token, descriptor, ours, waiting, lost })
    }

    fn write(&mut self, line: &str, shared: &mut Shared) {
        let was_waiting = !self.waiting.is_empty();
        self.waiting.push_back(line.as_bytes().to_vec());
        if was_waiting {
            if self.waiting.len() > WAITING_MAX {
                self.waiting.pop_front();
                self.lost += 1;
                if self.lost == 1 {
                    let path = &self.plan.path;
                    shared.note(4, format!("nobody reads {path}: lines are given up"));
                }
            }
            return;
        }
        self.send();
        if !self.waiting.is_empty() {
            let _ = shared.poll.add(&self.descriptor, self.token, Interest::Write);
        }
    }

    fn flush(&mut self, shared: &mut Shared) {
        self.send();
        if self.waiting.is_empty() {
            let _ = shared.poll.remove(&self.descriptor);
            if self.lost > 0 {
                let (lost, path) = (std::mem::take(&mut self.lost), &self.plan.path);
                shared.note(4, format!("{path} is read again; {lost} lines were given up"));
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
        if self.ours {
            let _ = fs::remove_file(&self.plan.path);
        }
    }
}

/// Makes the pipe unless it is there. True: it was made.
fn make(plan: &Fifo, shared: &mut Shared) -> io::Result<bool> {
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
    let user = plan.user.as_ref().or(shared.plan.script_user.as_ref());
    let owner = scripts::identity(user, ours);
    if owner != ours
        && let Err(error) = std::os::unix::fs::chown(path, Some(owner.uid), Some(owner.gid))
    {
        shared.note(4, format!("Failed to set uid:gid for fifo {}: {error}", plan.path));
    }
    Ok(true)
}
