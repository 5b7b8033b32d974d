//! Processes: descriptors they inherit, namespaces they start in.

use std::io;
use std::os::fd::{FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

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
