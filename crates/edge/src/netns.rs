//! Network namespaces: starting programs and running code inside one.
//!
//! Only the network namespace changes; mounts stay as they are, so that pins under
//! `/sys/fs/bpf` remain visible (`ip netns exec` would hide them).

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::thread;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// A network namespace, held open. Cheap to clone.
#[derive(Clone, Debug)]
pub struct NetworkNamespace {
    descriptor: Arc<OwnedFd>,
}

impl From<OwnedFd> for NetworkNamespace {
    /// One that somebody else opened.
    fn from(descriptor: OwnedFd) -> NetworkNamespace {
        NetworkNamespace { descriptor: Arc::new(descriptor) }
    }
}

impl NetworkNamespace {
    /// Opens one by the file that names it: `/run/netns/NAME` or `/proc/PID/ns/net`.
    pub fn open(path: impl AsRef<Path>) -> io::Result<NetworkNamespace> {
        Ok(NetworkNamespace { descriptor: Arc::new(OwnedFd::from(File::open(path)?)) })
    }

    /// A command that will start inside this namespace. Needs CAP_SYS_ADMIN.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        let descriptor = Arc::clone(&self.descriptor);
        // SAFETY: between fork and exec the closure makes one system call on a descriptor that
        // it owns, and turns its errno into an error without allocating.
        unsafe {
            command.pre_exec(move || {
                move_into_link_name_space(descriptor.as_fd(), Some(LinkNameSpaceType::Network))
                    .map_err(|errno| io::Error::from_raw_os_error(errno.raw_os_error()))
            });
        }
        command
    }

    /// Moves the calling thread into this namespace for good. Sockets it opens from now on
    /// belong there; those it already has stay where they were opened.
    pub fn enter_for_good(&self) -> io::Result<()> {
        Ok(move_into_link_name_space(self.descriptor.as_fd(), Some(LinkNameSpaceType::Network))?)
    }

    /// Runs `work` on a thread of its own inside this namespace and waits for its value.
    /// A panic in `work` goes on in the caller.
    pub fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> io::Result<T> {
        thread::scope(|scope| {
            let inside = scope.spawn(|| {
                self.enter_for_good()?;
                Ok(work())
            });
            inside.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }
}
