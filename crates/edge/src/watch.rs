//! Changes of files, by inotify.

use std::ffi::OsString;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;

/// Room for a good many events in one read.
const BUFFER: usize = 16 << 10;

/// A watched directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WatchId(i32);

/// What happened to a name in a watched directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileEvent {
    /// It was written and closed, or moved here.
    Written(WatchId, OsString),
    /// It was deleted or moved away.
    Gone(WatchId, OsString),
    /// The directory itself is gone, or its watch is.
    DirectoryGone(WatchId),
    /// Events were lost: everything has to be looked at again.
    Lost,
}

/// Watched directories. Readable when something happened.
pub struct Watcher {
    descriptor: OwnedFd,
}

impl Watcher {
    /// Watches nothing yet.
    pub fn new() -> io::Result<Watcher> {
        let flags = CreateFlags::CLOEXEC | CreateFlags::NONBLOCK;
        Ok(Watcher { descriptor: inotify::init(flags)? })
    }

    /// Watches a directory. The same directory twice is one watch.
    pub fn add(&self, directory: &Path) -> io::Result<WatchId> {
        let flags = WatchFlags::CLOSE_WRITE
            | WatchFlags::DELETE
            | WatchFlags::MOVE
            | WatchFlags::DELETE_SELF
            | WatchFlags::MOVE_SELF
            | WatchFlags::ONLYDIR;
        Ok(WatchId(inotify::add_watch(&self.descriptor, directory, flags)?))
    }

    /// No longer watches a directory.
    pub fn remove(&self, id: WatchId) {
        let _ = inotify::remove_watch(&self.descriptor, id.0);
    }

    /// Everything that has happened so far.
    pub fn events(&mut self) -> io::Result<Vec<FileEvent>> {
        let mut buffer = [MaybeUninit::uninit(); BUFFER];
        let mut reader = Reader::new(&self.descriptor, &mut buffer);
        let mut events = Vec::new();
        loop {
            match reader.next() {
                Ok(event) => {
                    let name =
                        event.file_name().map(|name| OsString::from_vec(name.to_bytes().to_vec()));
                    events.extend(understood(event.events(), WatchId(event.wd()), name));
                }
                Err(Errno::AGAIN) => return Ok(events),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

fn understood(flags: ReadFlags, id: WatchId, name: Option<OsString>) -> Option<FileEvent> {
    if flags.contains(ReadFlags::QUEUE_OVERFLOW) {
        return Some(FileEvent::Lost);
    }
    let own = ReadFlags::DELETE_SELF | ReadFlags::MOVE_SELF | ReadFlags::IGNORED;
    if flags.intersects(own) {
        return Some(FileEvent::DirectoryGone(id));
    }
    let name = name.filter(|_| !flags.contains(ReadFlags::ISDIR))?;
    if flags.intersects(ReadFlags::MOVED_FROM | ReadFlags::DELETE) {
        Some(FileEvent::Gone(id, name))
    } else if flags.intersects(ReadFlags::CLOSE_WRITE | ReadFlags::MOVED_TO) {
        Some(FileEvent::Written(id, name))
    } else {
        None
    }
}

impl AsFd for Watcher {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn writing_moving_and_deleting_are_told_by_name() {
        let directory = std::env::temp_dir().join(format!("ek-watch-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let mut watcher = Watcher::new().unwrap();
        let id = watcher.add(&directory).unwrap();
        assert_eq!(watcher.add(&directory).unwrap(), id);
        fs::write(directory.join("a"), "1").unwrap();
        fs::rename(directory.join("a"), directory.join("b")).unwrap();
        fs::remove_file(directory.join("b")).unwrap();
        fs::remove_dir(&directory).unwrap();
        let name = OsString::from;
        assert_eq!(
            watcher.events().unwrap(),
            [
                FileEvent::Written(id, name("a")),
                FileEvent::Gone(id, name("a")),
                FileEvent::Written(id, name("b")),
                FileEvent::Gone(id, name("b")),
                FileEvent::DirectoryGone(id),
                FileEvent::DirectoryGone(id),
            ]
        );
        assert!(watcher.events().unwrap().is_empty());
    }
}
