//! Programs of the administrator: started in a process group of their own, as another user, and
//! ended as a group.

use std::ffi::OsStr;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, Stdio};

use crate::privileges;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};

/// One past the last ordinary signal (signal(7)).
const SIGNALS_END: i32 = 32;

/// A user and a group by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Identity {
    /// Number of the user.
    pub uid: u32,
    /// Number of the group; it is also the only supplementary group.
    pub gid: u32,
}

impl Identity {
    /// Whom this process runs as.
    pub fn ours() -> Identity {
        Identity {
            uid: rustix::process::geteuid().as_raw(),
            gid: rustix::process::getegid().as_raw(),
        }
    }
}

/// How a program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It exited with this status.
    Exited(i32),
    /// A signal ended it.
    Signalled(i32),
}

/// A running program with its process group. Readable, as a descriptor, once it has ended.
/// Dropping it leaves the program alone.
pub struct Program {
    child: Child,
    descriptor: OwnedFd,
}

impl Program {
    /// Starts a program. It begins a process group, has no other groups than `identity`'s, gets
    /// SIGTERM when the calling thread's process dies, and its standard descriptors are
    /// /dev/null; it may have as many descriptors as this process was started with. `without` names
    /// variables it does not inherit. An error tells that it did not start at all.
    pub fn start(
        words: &[impl AsRef<OsStr>],
        identity: Identity,
        without: &[&str],
    ) -> io::Result<Program> {
        let Some((program, arguments)) = words.split_first() else {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "no program"));
        };
        let mut command = Command::new(program);
        command.args(arguments).process_group(0);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        for name in without {
            command.env_remove(name);
        }
        privileges::with_descriptors_as_found(&mut command);
        prepare(&mut command, identity);
        let mut child = command.spawn()?;
        match pidfd(&child) {
            Ok(descriptor) => Ok(Program { child, descriptor }),
            Err(error) => {
                let _ = child.kill();
                let _ = child.wait();
                Err(error)
            }
        }
    }

    /// Its process id, which is also its group's.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> io::Result<Option<Ended>> {
        Ok(self.child.try_wait()?.map(|status| match (status.code(), status.signal()) {
            (Some(code), _) => Ended::Exited(code),
            (None, Some(signal)) => Ended::Signalled(signal),
            (None, None) => Ended::Exited(-1),
        }))
    }

    /// Asks it and its children to end (SIGTERM).
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Ends it and its children at once (SIGKILL).
    pub fn kill(&self) {
        self.signal(Signal::KILL);
    }

    /// The group outlives its leader while it has members, and the leader's number is not given
    /// to anybody else before [`ended`](Self::ended) has fetched its status or while the group
    /// has members: the signal meets nobody else, but may meet nobody.
    fn signal(&self, signal: Signal) {
        if let Some(group) = i32::try_from(self.pid()).ok().and_then(Pid::from_raw) {
            let _ = kill_process_group(group, signal);
        }
    }
}

impl AsFd for Program {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

fn pidfd(child: &Child) -> io::Result<OwnedFd> {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let pid = pid.ok_or_else(|| io::Error::other("a process has a number"))?;
    Ok(pidfd_open(pid, PidfdFlags::empty())?)
}

/// What happens in the child between fork and exec.
fn prepare(command: &mut Command, identity: Identity) {
    let ours = Identity::ours();
    let parent = std::process::id();
    let in_child = move || {
        let checked = |result: i32| match result {
            0.. => Ok(()),
            _ => Err(io::Error::last_os_error()),
        };
        // Whoever started us may ignore signals, as shells do for what runs in the background; the
        // program begins with none ignored, as under Keepalived.
        for signal in 1..SIGNALS_END {
            // SAFETY: no handler is set; it fails for SIGKILL and SIGSTOP, which are never ignored.
            unsafe { libc::signal(signal, libc::SIG_DFL) };
        }
        // Those that we read from a descriptor are blocked in us, and a mask is inherited.
        let mut none = MaybeUninit::<libc::sigset_t>::uninit();
        // SAFETY: sigemptyset initialises the set, which sigprocmask reads.
        checked(unsafe {
            libc::sigemptyset(none.as_mut_ptr());
            libc::sigprocmask(libc::SIG_SETMASK, none.as_ptr(), std::ptr::null_mut())
        })?;
        // Without privileges groups cannot be dropped, nor need they be.
        if ours.uid == 0 {
            // SAFETY: one group is read from where it stands.
            checked(unsafe { libc::setgroups(1, &identity.gid) })?;
        }
        if identity.gid != ours.gid {
            // SAFETY: setgid takes an integer.
            checked(unsafe { libc::setgid(identity.gid) })?;
        }
        if identity.uid != ours.uid {
            // SAFETY: setuid takes an integer.
            checked(unsafe { libc::setuid(identity.uid) })?;
        }
        // After the change of user, which clears it.
        // SAFETY: PR_SET_PDEATHSIG takes an integer.
        checked(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM) })?;
        // SAFETY: getppid takes nothing.
        if unsafe { libc::getppid() }.cast_unsigned() != parent {
            return Err(io::Error::from_raw_os_error(libc::ECANCELED));
        }
        Ok(())
    };
    // SAFETY: the closure makes async-signal-safe system calls only and does not allocate.
    unsafe { command.pre_exec(in_child) };
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    fn wait(program: &mut Program) -> Ended {
        let timeout = Timespec { tv_sec: 10, tv_nsec: 0 };
        poll(&mut [PollFd::new(&*program, PollFlags::IN)], Some(&timeout)).unwrap();
        program.ended().unwrap().expect("its descriptor says that it ended")
    }

    #[test]
    fn the_descriptor_tells_of_the_end_and_the_status() {
        let mut program = Program::start(&["sh", "-c", "exit 3"], Identity::ours(), &[]).unwrap();
        assert_eq!(wait(&mut program), Ended::Exited(3));
    }

    #[test]
    fn no_signal_is_blocked_in_a_program_whatever_is_in_us() {
        let signals = [libc::SIGTERM, libc::SIGHUP, libc::SIGCHLD];
        let script = "grep -q '^SigBlk:.0000000000000000$' /proc/self/status";
        let start = move || {
            let _signals = crate::signal::Signals::blocked(&signals).unwrap();
            wait(&mut Program::start(&["sh", "-c", script], Identity::ours(), &[]).unwrap())
        };
        // The mask is the thread's.
        assert_eq!(std::thread::spawn(start).join().unwrap(), Ended::Exited(0));
    }

    #[test]
    fn the_whole_group_is_ended() {
        let mut program =
            Program::start(&["sh", "-c", "sleep 1000 & wait"], Identity::ours(), &[]).unwrap();
        let group = program.pid();
        // The shell is given time to start its child.
        std::thread::sleep(std::time::Duration::from_millis(100));
        program.terminate();
        assert_eq!(wait(&mut program), Ended::Signalled(libc::SIGTERM));
        let gone = || {
            let members = std::fs::read_dir("/proc").unwrap().flatten().filter(|entry| {
                let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
                let rest = stat.rsplit(')').next().unwrap_or_default();
                let mut fields = rest.split_whitespace();
                let state = fields.next() != Some("Z");
                state && fields.nth(1) == Some(&group.to_string())
            });
            members.count() == 0
        };
        for _ in 0..500 {
            if gone() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        panic!("a child of the group still runs");
    }

    #[test]
    fn another_user_has_no_groups_but_his_own() {
        if !privileges::are_all() {
            println!("skipped: needs root");
            return;
        }
        let nobody = Identity { uid: 65534, gid: 65534 };
        let script = "test \"$(id -u):$(id -G)\" = 65534:65534 && test -z \"$GONE\"";
        let mut program = Program::start(&["sh", "-c", script], nobody, &["GONE"]).unwrap();
        assert_eq!(wait(&mut program), Ended::Exited(0));
    }

    #[test]
    fn a_program_that_does_not_exist_is_an_error() {
        assert!(Program::start(&["/does/not/exist"], Identity::ours(), &[]).is_err());
        assert!(Program::start(&[] as &[&str], Identity::ours(), &[]).is_err());
    }
}
