//! Pipes for splice, pooled. A pipe is held only while it contains bytes.

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::sys;

/// Size asked for.
const SIZE: i32 = 1 << 20;
/// Pipes of this size per process: without privileges the kernel gives 64 MiB to all of a user's
/// pipes (pipe-user-pages-soft), and 8 KiB to each one after that.
const MOST: usize = 48;

static OPEN: AtomicUsize = AtomicUsize::new(0);

/// A pipe of a mebibyte.
pub(crate) struct Pipe {
    pub(crate) read: OwnedFd,
    pub(crate) write: OwnedFd,
    pub(crate) size: usize,
}

impl Drop for Pipe {
    fn drop(&mut self) {
        OPEN.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The idle pipes of one thread.
#[derive(Default)]
pub(crate) struct Pipes {
    idle: Vec<Pipe>,
}

impl Pipes {
    /// An empty pipe, unless there are enough already or the kernel gives no big one.
    pub(crate) fn take(&mut self) -> Option<Pipe> {
        if let Some(pipe) = self.idle.pop() {
            return Some(pipe);
        }
        if OPEN.fetch_add(1, Ordering::Relaxed) >= MOST {
            OPEN.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        let Ok((read, write)) = sys::pipe() else {
            OPEN.fetch_sub(1, Ordering::Relaxed);
            return None;
        };
        let mut pipe = Pipe { read, write, size: 0 };
        pipe.size = sys::grow_pipe(&pipe.write, SIZE).ok()?;
        Some(pipe)
    }

    /// Takes back an empty pipe.
    pub(crate) fn give(&mut self, pipe: Pipe) {
        self.idle.push(pipe);
    }
}
