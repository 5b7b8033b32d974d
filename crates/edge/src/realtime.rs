//! Being on time on a busy machine: real-time priority, and memory that is there already.

use std::hint::black_box;
use std::io;

use rustix::mm::{MlockAllFlags, mlockall};
use rustix::thread::{CpuSet, sched_setaffinity};

/// Stack that [`warm_memory`] touches.
const STACK: usize = 256 << 10;
/// Heap that [`warm_memory`] touches.
const HEAP: usize = 8 << 20;

/// Bytes that [`keep_memory`] keeps: what the configuration of forty thousand real servers takes
/// while it is read, and again.
const KEPT: libc::c_int = 256 << 20;
/// The largest size that the allocator lets us keep.
const LARGE: libc::c_int = 32 << 20;

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

/// Keeps the calling thread on one processor, counted from 0.
pub fn stay_on_processor(number: usize) -> io::Result<()> {
    let mut only = CpuSet::new();
    only.set(number);
    Ok(sched_setaffinity(None, &only)?)
}

/// Has the kernel fire this thread's timers as exactly as it can, real-time priority or not
/// (PR_SET_TIMERSLACK).
pub fn sharpen_timers() {
    // SAFETY: no memory is involved. It cannot fail.
    unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1) };
}

/// Keeps all memory of this process, now and later, from being paged out. Refused to processes
/// that are not root: under a limit on locked memory, later allocations would fail.
pub fn lock_memory() -> io::Result<()> {
    if !rustix::process::geteuid().is_root() {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    Ok(mlockall(MlockAllFlags::CURRENT | MlockAllFlags::FUTURE)?)
}

/// Freed memory is kept for the next time it is needed, up to [`KEPT`] bytes: who reads a large
/// configuration again and again meets its page faults once.
pub fn keep_memory() {
    // SAFETY: no memory is involved; both settings are valid for the whole life of the process.
    unsafe {
        libc::mallopt(libc::M_TRIM_THRESHOLD, KEPT);
        libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE);
    }
}

/// Gives this process heap and stack that are mapped already and stay so: freed memory is not
/// handed back to the kernel, so that no later allocation meets a page fault.
pub fn warm_memory() {
    // SAFETY: no memory is involved; both settings are valid for the whole life of the process.
    unsafe {
        libc::mallopt(libc::M_TRIM_THRESHOLD, -1);
        libc::mallopt(libc::M_MMAP_MAX, 0);
    }
    let mut heap: Vec<u8> = Vec::with_capacity(HEAP);
    heap.resize(HEAP, 1);
    black_box(&heap);
    warm_stack();
}

#[inline(never)]
fn warm_stack() {
    let stack = [1u8; STACK];
    black_box(&stack);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Page faults of this thread so far that needed no disk.
    fn faults() -> i64 {
        // SAFETY: all-zero bytes are a valid rusage, and the kernel writes one.
        unsafe {
            let mut usage: libc::rusage = std::mem::zeroed();
            assert_eq!(libc::getrusage(libc::RUSAGE_THREAD, &mut usage), 0);
            usage.ru_minflt
        }
    }

    #[test]
    fn warm_stack_is_used_without_a_page_fault() {
        // A thread of its own, so that its stack is its own.
        let thread = std::thread::Builder::new().stack_size(4 << 20).spawn(|| {
            warm_stack();
            let before = faults();
            warm_stack();
            faults() - before
        });
        assert_eq!(thread.unwrap().join().unwrap(), 0);
    }
}
