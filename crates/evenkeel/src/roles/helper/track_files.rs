//! `track_file`: the number in a file, as soon as it is written. A file that is not there, or
//! holds no number, counts as 0; one whose number is out of range keeps its former value.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use edge::poll::Interest;
use edge::watch::{FileEvent, WatchId, Watcher};
use model::Time;
use model::control::TrackerState;
use model::vrrp::{TrackFile, Tracked};

use super::{FILES, Shared};

/// Bytes of a file that are read.
const READ_MAX: u64 = 127;
/// From one look for a missing directory to the next.
const RETRY: Duration = Duration::from_secs(1);

#[derive(Default)]
pub(super) struct Files {
    watcher: Option<Watcher>,
    files: Vec<File>,
    /// When missing directories are looked for again.
    retry: Option<Time>,
}

struct File {
    plan: TrackFile,
    directory: PathBuf,
    name: OsString,
    watch: Option<WatchId>,
    value: i32,
}

impl Files {
    /// Follows these from now on.
    pub(super) fn configure(
        &mut self,
        now: Time,
        plans: &[TrackFile],
        shared: &mut Shared,
    ) -> io::Result<()> {
        if self.watcher.is_none() && !plans.is_empty() {
            let watcher = Watcher::new()?;
            shared.poll.add(&watcher, FILES, Interest::Read)?;
            self.watcher = Some(watcher);
        }
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
        if let Some(watcher) = &self.watcher {
            for id in unused {
                watcher.remove(id);
            }
        }
        self.watch_missing(now, shared, true);
        for file in &mut self.files {
            file.read(shared);
        }
        Ok(())
    }

    pub(super) fn next_deadline(&self) -> Time {
        self.retry.unwrap_or(Time::NEVER)
    }

    pub(super) fn handle_timeout(&mut self, now: Time, shared: &mut Shared) -> io::Result<()> {
        if self.retry.is_some_and(|at| at <= now) {
            self.watch_missing(now, shared, false);
        }
        Ok(())
    }

    /// Something happened in a directory.
    pub(super) fn handle_ready(&mut self, shared: &mut Shared) -> io::Result<()> {
        let Some(watcher) = &mut self.watcher else { return Ok(()) };
        for event in watcher.events()? {
            match event {
                FileEvent::Written(id, name) => {
                    self.those(id, &name).for_each(|file| file.read(shared));
                }
                FileEvent::Gone(id, name) => {
                    self.those(id, &name).for_each(|file| file.put(0, shared));
                }
                FileEvent::DirectoryGone(id) => {
                    for file in self.files.iter_mut().filter(|file| file.watch == Some(id)) {
                        file.watch = None;
                        file.put(0, shared);
                    }
                    self.watch_missing(edge::clock::now(), shared, false);
                }
                FileEvent::Lost => self.files.iter_mut().for_each(|file| file.read(shared)),
            }
        }
        Ok(())
    }

    fn those(&mut self, id: WatchId, name: &OsString) -> impl Iterator<Item = &mut File> {
        self.files.iter_mut().filter(move |file| file.watch == Some(id) && file.name == *name)
    }

    /// Watches the directories that can be watched by now.
    fn watch_missing(&mut self, now: Time, shared: &mut Shared, first: bool) {
        let Some(watcher) = &self.watcher else { return };
        let mut missing = false;
        for file in self.files.iter_mut().filter(|file| file.watch.is_none()) {
            (file.directory, file.name) = place(&file.plan.path);
            match watcher.add(&file.directory) {
                Ok(id) => {
                    file.watch = Some(id);
                    file.read(shared);
                }
                Err(error) => {
                    missing = true;
                    if first {
                        let (name, path) = (&file.plan.name, file.directory.display());
                        shared.note(4, format!("track_file {name}: cannot watch {path}: {error}"));
                    }
                }
            }
        }
        self.retry = missing.then(|| now + RETRY);
    }
}

impl File {
    fn new(plan: &TrackFile) -> File {
        let (directory, name) = place(&plan.path);
        File { plan: plan.clone(), directory, name, watch: None, value: 0 }
    }

    fn read(&mut self, shared: &mut Shared) {
        match number(&self.directory.join(&self.name)) {
            Some(value) => self.put(value, shared),
            None => {
                let path = &self.plan.path;
                shared.note(4, format!("Invalid number read from {path} - ignoring"));
                self.put(self.value, shared);
            }
        }
    }

    fn put(&mut self, value: i32, shared: &mut Shared) {
        self.value = value;
        let what = Tracked::File(self.plan.name.clone());
        shared.changes.push((what, TrackerState::Value(value)));
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
