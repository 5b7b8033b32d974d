//! `track_file`: the number in a file, as soon as it is written. A file that is not there, or
//! holds no number, counts as 0; one whose number is out of range keeps its former value.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use edge::watch::{FileEvent, WatchId, Watcher};
use model::Time;
use model::vrrp::TrackFile;

use super::Log;

/// Bytes of a file that are read.
const READ_MAX: u64 = 127;
/// From one look for a missing directory to the next.
const RETRY: Duration = Duration::from_secs(1);

/// Files by name. Readable, as a descriptor, when one may have changed.
pub(crate) struct Files {
    watcher: Watcher,
    files: Vec<File>,
    changes: Changes,
    /// When missing directories are looked for again.
    retry: Option<Time>,
}

/// Files and their numbers, to be told.
type Changes = VecDeque<(String, i32)>;

struct File {
    plan: TrackFile,
    directory: PathBuf,
    name: OsString,
    watch: Option<WatchId>,
    value: i32,
}

impl Files {
    /// Follows none.
    pub(crate) fn new() -> io::Result<Files> {
        let (files, changes) = (Vec::new(), Changes::new());
        Ok(Files { watcher: Watcher::new()?, files, changes, retry: None })
    }

    /// Follows these from now on, and tells the number of each.
    pub(crate) fn configure(&mut self, now: Time, plans: &[TrackFile], log: &mut Log) {
        let mut former = std::mem::take(&mut self.files);
        for plan in plans {
            let known = former
                .iter()
                .position(|file| (&file.plan.name, &file.plan.path) == (&plan.name, &plan.path));
            let file = match known {
                Some(index) => former.remove(index),
                None => File::new(plan),
            };
            self.files.push(file);
        }
        let unused: Vec<WatchId> = former
            .iter()
            .filter_map(|file| file.watch)
            .filter(|&id| self.files.iter().all(|file| file.watch != Some(id)))
            .collect();
        for id in unused {
            self.watcher.remove(id);
        }
        self.watch_missing(now, log, true);
        for file in &mut self.files {
            file.read(&mut self.changes, log);
        }
    }

    /// A file and its number, which is often the one that it had.
    pub(crate) fn poll_change(&mut self) -> Option<(String, i32)> {
        self.changes.pop_front()
    }

    /// When missing directories are looked for.
    pub(crate) fn next_deadline(&self) -> Time {
        self.retry.unwrap_or(Time::NEVER)
    }

    /// Looks for directories that were missing.
    pub(crate) fn handle_timeout(&mut self, now: Time, log: &mut Log) {
        if self.retry.is_some_and(|at| at <= now) {
            self.watch_missing(now, log, false);
        }
    }

    /// Something happened in a directory.
    pub(crate) fn handle_ready(&mut self, now: Time, log: &mut Log) -> io::Result<()> {
        let Files { watcher, files, changes, .. } = self;
        let mut directories_gone = false;
        for event in watcher.events()? {
            match event {
                FileEvent::Written(id, name) => {
                    those(files, id, &name).for_each(|file| file.read(changes, log));
                }
                FileEvent::Gone(id, name) => {
                    those(files, id, &name).for_each(|file| file.put(0, changes));
                }
                FileEvent::DirectoryGone(id) => {
                    for file in files.iter_mut().filter(|file| file.watch == Some(id)) {
                        file.watch = None;
                        file.put(0, changes);
                    }
                    directories_gone = true;
                }
                FileEvent::Lost => files.iter_mut().for_each(|file| file.read(changes, log)),
            }
        }
        if directories_gone {
            self.watch_missing(now, log, false);
        }
        Ok(())
    }

    /// Watches the directories that can be watched by now.
    fn watch_missing(&mut self, now: Time, log: &mut Log, first: bool) {
        let mut missing = false;
        for file in self.files.iter_mut().filter(|file| file.watch.is_none()) {
            (file.directory, file.name) = place(&file.plan.path);
            match self.watcher.add(&file.directory) {
                Ok(id) => {
                    file.watch = Some(id);
                    file.read(&mut self.changes, log);
                }
                Err(error) => {
                    missing = true;
                    if first {
                        let (name, path) = (&file.plan.name, file.directory.display());
                        log.push((4, format!("track_file {name}: cannot watch {path}: {error}")));
                    }
                }
            }
        }
        self.retry = missing.then(|| now + RETRY);
    }
}

impl AsFd for Files {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.watcher.as_fd()
    }
}

fn those<'a>(
    files: &'a mut [File],
    id: WatchId,
    name: &'a OsString,
) -> impl Iterator<Item = &'a mut File> {
    files.iter_mut().filter(move |file| file.watch == Some(id) && file.name == *name)
}

impl File {
    fn new(plan: &TrackFile) -> File {
        let (directory, name) = place(&plan.path);
        File { plan: plan.clone(), directory, name, watch: None, value: 0 }
    }

    fn read(&mut self, changes: &mut Changes, log: &mut Log) {
        match number(&self.directory.join(&self.name)) {
            Some(value) => self.put(value, changes),
            None => {
                let path = &self.plan.path;
                log.push((4, format!("Invalid number read from {path} - ignoring")));
                self.put(self.value, changes);
            }
        }
    }

    fn put(&mut self, value: i32, changes: &mut Changes) {
        self.value = value;
        changes.push_back((self.plan.name.clone(), value));
    }
}

/// Directory and name of the file itself: links are followed as far as they lead somewhere.
fn place(path: &str) -> (PathBuf, OsString) {
    let path = fs::canonicalize(path).unwrap_or_else(|_| {
        let path = Path::new(path);
        match (path.parent().map(fs::canonicalize), path.file_name()) {
            (Some(Ok(directory)), Some(name)) => directory.join(name),
            _ => path.to_owned(),
        }
    });
    let directory = path.parent().filter(|above| !above.as_os_str().is_empty());
    (
        directory.unwrap_or(Path::new(".")).to_owned(),
        path.file_name().unwrap_or_default().to_owned(),
    )
}

/// The number in a file: 0 when there is none, nothing when it is out of range.
fn number(path: &Path) -> Option<i32> {
    let mut text = Vec::new();
    // Whatever else has that name must not hold us up.
    let nonblocking = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let opened = fs::OpenOptions::new().read(true).custom_flags(nonblocking).open(path);
    if let Ok(file) = opened
        && file.take(READ_MAX).read_to_end(&mut text).is_err()
    {
        text.clear();
    }
    leading_number(&text)
}

/// As strtol(3) with base 0: blanks, a sign, then `0x` and hexadecimal, `0` and octal, or decimal
/// digits; what follows does not matter.
fn leading_number(text: &[u8]) -> Option<i32> {
    let text = text.trim_ascii_start();
    let (negative, digits) = match text.split_first() {
        Some((b'-', rest)) => (true, rest),
        Some((b'+', rest)) => (false, rest),
        _ => (false, text),
    };
    let (base, digits) = match digits {
        [b'0', b'x' | b'X', rest @ ..] if rest.first().is_some_and(u8::is_ascii_hexdigit) => {
            (16, rest)
        }
        [b'0', rest @ ..] => (8, rest),
        _ => (10, digits),
    };
    let mut number: i64 = 0;
    for digit in digits.iter().map_while(|&byte| char::from(byte).to_digit(base)) {
        number = number.saturating_mul(base.into()).saturating_add(digit.into());
    }
    i32::try_from(if negative { -number } else { number }).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_holds_a_number_as_strtol_reads_it() {
        let cases: &[(&str, Option<i32>)] = &[
            ("", Some(0)),
            ("\n", Some(0)),
            ("12\n", Some(12)),
            ("  -7 is the number", Some(-7)),
            ("+5", Some(5)),
            ("0x1f", Some(31)),
            ("0x", Some(0)),
            ("017", Some(15)),
            ("08", Some(0)),
            ("three", Some(0)),
            ("--3", Some(0)),
            ("2147483647", Some(i32::MAX)),
            ("-2147483648", Some(i32::MIN)),
            ("2147483648", None),
            ("99999999999999999999999", None),
        ];
        for (text, expected) in cases {
            assert_eq!(leading_number(text.as_bytes()), *expected, "{text:?}");
        }
    }
}
