//! Processes: descriptors they inherit, namespaces they start in.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{Mode, OFlags};

/// Descriptor of the channel in a child started by [`with_channel`].
pub const CHANNEL: i32 = 3;

/// Takes over a descriptor this process was started with. Works once per process.
pub fn inherited(descriptor: i32) -> io::Result<OwnedFd> {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    if TAKEN.swap(true, Ordering::Relaxed) {
        return Err(io::Error::other("the inherited descriptor was already taken"));
    }
    // SAFETY: F_SETFD touches only the flags of the descriptor, and fails when it is not open.
    if unsafe { libc::fcntl(descriptor, libc::F_SETFD, libc::FD_CLOEXEC) } < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it is open, and the flag above makes sure that nothing else here owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

/// Makes `channel` descriptor [`CHANNEL`] of the process that `command` will start, and of no
/// other. Drop the command after spawning: it holds this side's copy of the channel.
pub fn with_channel(command: &mut Command, channel: OwnedFd) -> io::Result<()> {
    // While the number is free here, Command's own pipe, by which a failed exec is told, could
    // get it and be overwritten in the child. So it is kept occupied, once per process.
    let reserved = rustix::io::fcntl_dupfd_cloexec(&channel, CHANNEL)?;
    if reserved.as_raw_fd() == CHANNEL {
        let nowhere = rustix::fs::open("/dev/null", OFlags::CLOEXEC, Mode::empty())?;
        let mut reserved = reserved;
        rustix::io::dup3(&nowhere, &mut reserved, rustix::io::DupFlags::CLOEXEC)?;
        let _kept_open = reserved.into_raw_fd();
    }
    // Another number than CHANNEL, so that dup2 in the child clears close-on-exec.
    let channel = rustix::io::fcntl_dupfd_cloexec(&channel, CHANNEL + 1)?;
    let in_child = move || {
        // SAFETY: both are numbers of descriptors; dup2 touches no memory.
        if unsafe { libc::dup2(channel.as_raw_fd(), CHANNEL) } < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    };
    // SAFETY: the closure makes one system call that is async-signal-safe and does not allocate.
    unsafe { command.pre_exec(in_child) };
    Ok(())
}

/// How many descriptors this process may have open (RLIMIT_NOFILE).
pub fn descriptors_max() -> usize {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX))
}

/// Keeps so many descriptors from others; dropped, they are free for what must not fail then. Fewer
/// where there are not so many.
pub fn reserve(count: usize) -> Vec<OwnedFd> {
    let one = || rustix::fs::open("/dev/null", OFlags::CLOEXEC, Mode::empty());
    std::iter::repeat_with(one).take(count).map_while(Result::ok).collect()
}

/// Changes the name by which `ps`, `pgrep` and `killall` know this process; at most 15 bytes.
pub fn set_name(name: &str) {
    let mut bytes = [0u8; 16];
    let length = name.len().min(15);
    bytes[..length].copy_from_slice(&name.as_bytes()[..length]);
    // SAFETY: PR_SET_NAME reads 16 bytes that end in a zero.
    unsafe { libc::prctl(libc::PR_SET_NAME, bytes.as_ptr()) };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipc::{Channel, Received};
    use std::time::Duration;

    #[test]
    fn the_child_finds_the_channel_at_its_number_and_its_end_is_noticed() {
        let (mut ours, theirs) = Channel::pair().unwrap();
        let mut command = Command::new("sh");
        // A frame by hand: length 5, no descriptors.
        command.args(["-c", r"printf '\5\0\0\0\0\0\0\0hello' >&3"]);
        with_channel(&mut command, theirs.into_socket()).unwrap();
        let mut child = command.spawn().unwrap();
        drop(command);
        let Received::Frame(frame) = ours.wait(Duration::from_secs(10)).unwrap() else {
            panic!("no frame")
        };
        assert_eq!(frame.bytes, b"hello");
        assert!(matches!(ours.wait(Duration::from_secs(10)).unwrap(), Received::Closed));
        assert!(child.wait().unwrap().success());
    }

    #[test]
    fn a_program_that_does_not_exist_is_an_error_of_spawn() {
        let (_ours, theirs) = Channel::pair().unwrap();
        let mut command = Command::new("/does/not/exist");
        with_channel(&mut command, theirs.into_socket()).unwrap();
        assert_eq!(command.spawn().unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
