//! Being on time on a busy machine: real-time priority and locked memory.

use std::io;

use rustix::mm::{MlockAllFlags, mlockall};

/// Puts the calling thread before all ordinary work (SCHED_FIFO), children not included
/// (SCHED_RESET_ON_FORK). `priority` is 1 to 99. Needs CAP_SYS_NICE or RLIMIT_RTPRIO.
pub fn raise_priority(priority: u8) -> io::Result<()> {
    let parameter = libc::sched_param { sched_priority: priority.into() };
    let policy = libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK;
    // SAFETY: the parameter is read during the call only; 0 is the calling thread.
    if unsafe { libc::sched_setscheduler(0, policy, &parameter) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Keeps all memory of this process, now and later, from being paged out. Refused to processes
/// that are not root: under a limit on locked memory, later allocations would fail.
pub fn lock_memory() -> io::Result<()> {
    if !rustix::process::geteuid().is_root() {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    Ok(mlockall(MlockAllFlags::CURRENT | MlockAllFlags::FUTURE)?)
}
