//! Giving up what a process no longer needs: its root directory, its user, its limits.

use std::ffi::CString;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::OnceLock;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The process may do everything.
pub fn are_all() -> bool {
    rustix::process::geteuid().is_root()
}

/// Makes a directory the root of the process; threads with a root of their own keep theirs.
pub fn chroot(directory: &str) -> io::Result<()> {
    let directory = CString::new(directory)?;
    // SAFETY: the path is a string that ends in a zero.
    if unsafe { libc::chroot(directory.as_ptr()) } < 0 {
        return Err(io::Error::last_os_error());
    }
    std::env::set_current_dir("/")
}

/// Becomes this group, without supplementary groups, and then this user, in all threads.
pub fn become_account(user: Option<u32>, group: Option<u32>) -> io::Result<()> {
    let checked = |result: i32| match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    };
    if let Some(group) = group {
        // SAFETY: a list of no groups is not read.
        checked(unsafe { libc::setgroups(0, std::ptr::null()) })?;
        // SAFETY: setgid takes an integer.
        checked(unsafe { libc::setgid(group) })?;
    }
    if let Some(user) = user {
        // SAFETY: setuid takes an integer.
        checked(unsafe { libc::setuid(user) })?;
    }
    Ok(())
}

/// How many descriptors this process was to have, before it raised that.
static FOUND: OnceLock<Rlimit> = OnceLock::new();

/// Raises the number of descriptors this process may open as far as it goes; what it is then.
pub fn raise_descriptors() -> usize {
    let limit = getrlimit(Resource::Nofile);
    FOUND.get_or_init(|| limit);
    // Refused, it stays what it was, which is what is read next.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    crate::process::descriptors_max()
}

/// Lets the program that `command` will start have as many descriptors as this process was started
/// with: programs that use select(2) or close every number there is break with a great many.
pub fn with_descriptors_as_found(command: &mut Command) {
    let Some(&found) = FOUND.get() else { return };
    let in_child = move || setrlimit(Resource::Nofile, found).map_err(io::Error::from);
    // SAFETY: the closure makes one system call that is async-signal-safe and does not allocate.
    unsafe { command.pre_exec(in_child) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_never_get_fewer() {
        let before = crate::process::descriptors_max();
        assert!(raise_descriptors() >= before);
    }

    #[test]
    fn programs_get_as_many_descriptors_as_this_process_was_started_with() {
        raise_descriptors();
        let found = FOUND.get().and_then(|limit| limit.current).map(|number| number.to_string());
        let mut command = Command::new("sh");
        command.args(["-c", "ulimit -S -n"]);
        with_descriptors_as_found(&mut command);
        let output = command.output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert_eq!(said.trim(), found.as_deref().unwrap_or("unlimited"));
    }

    #[test]
    fn a_root_that_is_no_directory_is_an_error() {
        assert!(chroot("/does/not/exist").is_err());
        assert!(chroot("with\0zero").is_err());
    }
}
