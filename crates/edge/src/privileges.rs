//! Giving up what a process no longer needs: its root directory, its user, its limits.

use std::ffi::CString;
use std::io;

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

/// Raises the number of descriptors this process may open as far as it goes; what it is then.
pub fn raise_descriptors() -> usize {
    let limit = getrlimit(Resource::Nofile);
    // Refused, it stays what it was, which is what is read next.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    crate::process::descriptors_max()
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
    fn a_root_that_is_no_directory_is_an_error() {
        assert!(chroot("/does/not/exist").is_err());
        assert!(chroot("with\0zero").is_err());
    }
}
