//! A reload at a given time (`reload_time_file`, `reload_repeat`): a file whose first line is the
//! time, followed as it is written and deleted.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use edge::clock::{self, Civil, Zone};
use edge::watch::{FileEvent, WatchId, Watcher};
use model::plan::Global;
use rustix::fs::OFlags;

/// Bytes that are read: more than the longest time has.
const READ_MAX: u64 = 64;
/// The clock may be set at any time, so it is looked at this often.
const LOOK: Duration = Duration::from_secs(1);

/// The file, and the reload that it asks for.
#[derive(Default)]
pub(super) struct ReloadTime(Option<Followed>);

struct Followed {
    path: String,
    name: OsString,
    repeat: bool,
    watcher: Watcher,
    watch: WatchId,
    due: Option<Due>,
}

/// When to reload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Due {
    /// Seconds since 1970.
    at: i64,
    /// The file names a day, so it is over once it was done.
    dated: bool,
}

/// Why a line is no time of a reload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unfit {
    /// It is not written as a time is, or there is no such time.
    Malformed,
    /// It is over.
    Past,
}

impl ReloadTime {
    /// Follows what a configuration that came into force says.
    pub(super) fn configure(&mut self, global: &Global) {
        let former = self.0.take().and_then(|followed| followed.due);
        let Some(path) = &global.reload_time_file else { return };
        match Followed::begin(path, global.reload_repeat, former) {
            Ok(followed) => self.0 = Some(followed),
            Err(error) => tracing::warn!("reload_time_file {path} is not followed: {error}"),
        }
    }

    /// Readable when something happened to the file.
    pub(super) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.0.as_ref().map(|followed| followed.watcher.as_fd())
    }

    /// Something happened in its directory.
    pub(super) fn handle_ready(&mut self) {
        if let Some(followed) = &mut self.0
            && !followed.handle_ready()
        {
            tracing::warn!("the directory of reload_time_file is gone: it is no longer followed");
            self.0 = None;
        }
    }

    /// How long nothing is to be done.
    pub(super) fn wait(&self) -> Option<Duration> {
        let due = self.0.as_ref()?.due?;
        let at = Duration::from_secs(u64::try_from(due.at).ok()?);
        let now = Duration::from_nanos(clock::wall().as_nanos());
        Some(at.saturating_sub(now).min(LOOK))
    }

    /// The time has come: true once. The file goes, unless it is to be repeated.
    pub(super) fn take_due(&mut self) -> bool {
        let Some(followed) = &mut self.0 else { return false };
        let Some(due) = followed.due.take_if(|due| due.at <= seconds_now()) else { return false };
        tracing::info!("reload scheduled by {}", followed.path);
        if followed.repeat && !due.dated {
            followed.read();
        } else if let Err(error) = fs::remove_file(&followed.path) {
            tracing::warn!("cannot remove {}: {error}", followed.path);
        }
        true
    }
}

impl Followed {
    fn begin(path: &str, repeat: bool, former: Option<Due>) -> io::Result<Followed> {
        let path = PathBuf::from(path);
        let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(io::Error::other("it is no file"));
        };
        let watcher = Watcher::new()?;
        let watch = watcher.add(directory)?;
        let name = name.to_owned();
        let path = path.to_string_lossy().into_owned();
        let mut followed = Followed { path, name, repeat, watcher, watch, due: former };
        followed.read();
        Ok(followed)
    }

    /// False once the directory is gone.
    fn handle_ready(&mut self) -> bool {
        let Ok(events) = self.watcher.events() else { return false };
        for event in events {
            match event {
                FileEvent::Written(id, name) | FileEvent::Gone(id, name) => {
                    if id == self.watch && name == self.name {
                        self.read();
                    }
                }
                FileEvent::DirectoryGone(_) => return false,
                FileEvent::Lost => self.read(),
            }
        }
        true
    }

    /// Takes over what the file says now.
    fn read(&mut self) {
        let due = match first_line(Path::new(&self.path)) {
            Some(line) => match when(&line, seconds_now()) {
                Ok(due) => Some(due),
                Err(Unfit::Malformed) => {
                    tracing::warn!("invalid reload time {line:?} in {}: ignored", self.path);
                    None
                }
                Err(Unfit::Past) => {
                    tracing::info!("reload time {line:?} in {} is past: ignored", self.path);
                    None
                }
            },
            None => None,
        };
        match (self.due, due) {
            (former, Some(due)) if former != Some(due) => {
                tracing::info!("reload scheduled for {}", shown(due.at));
            }
            (Some(former), None) => {
                tracing::info!("reload scheduled for {} is cancelled", shown(former.at));
            }
            (Some(_), Some(_)) | (None, Some(_)) | (None, None) => {}
        }
        self.due = due;
    }
}

fn seconds_now() -> i64 {
    (clock::wall().as_nanos() / 1_000_000_000) as i64
}

fn shown(seconds: i64) -> String {
    match Civil::at(seconds, Zone::Local) {
        Some(Civil { year, month, day, hour, minute, second }) => {
            format!("{year}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}")
        }
        None => format!("{seconds} s after 1970"),
    }
}

/// The file's first line without its end; nothing when there is no file, or nothing in it. Never
/// waits, whatever it is.
fn first_line(path: &Path) -> Option<String> {
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let file = fs::OpenOptions::new().read(true).custom_flags(flags).open(path).ok()?;
    let mut bytes = Vec::new();
    file.take(READ_MAX).read_to_end(&mut bytes).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let line = text.split('\n').next()?;
    (!bytes.is_empty()).then(|| line.to_owned())
}

/// The time of a line: `[[YY]YY-MM-DD ]HH:MM:SS[Z]`, precisely. Without a date today, or
/// tomorrow if it is past.
fn when(line: &str, now: i64) -> Result<Due, Unfit> {
    let (text, zone) = match line.strip_suffix('Z') {
        Some(text) => (text, Zone::Utc),
        None => (line, Zone::Local),
    };
    let (date, time) = match text.split_once(' ') {
        Some((date, time)) => (Some(date), time),
        None => (None, text),
    };
    let [hour, minute, second] = numbers(time, ':', [2, 2, 2])?;
    let (year, month, day) = match date {
        Some(date) if date.len() == "YYYY-MM-DD".len() => {
            let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
            (year, month, day)
        }
        Some(date) => {
            let [year, month, day] = numbers(date, '-', [2, 2, 2])?;
            // POSIX strptime %y: 69 to 99 are of the last century.
            (if year < 69 { 2000 + year } else { 1900 + year }, month, day)
        }
        None => {
            let today = Civil::at(now, zone).ok_or(Unfit::Malformed)?;
            (today.year as u16, today.month.into(), today.day.into())
        }
    };
    // Two digits each.
    let small = |number: u16| number as u8;
    let civil = Civil {
        year: year.into(),
        month: small(month),
        day: small(day),
        hour: small(hour),
        minute: small(minute),
        second: small(second),
    };
    let at = civil.seconds(zone, 0).ok_or(Unfit::Malformed)?;
    match (at > now, date.is_some()) {
        (true, dated) => Ok(Due { at, dated }),
        (false, true) => Err(Unfit::Past),
        (false, false) => {
            let at = civil.seconds(zone, 1).ok_or(Unfit::Malformed)?;
            Ok(Due { at, dated: false })
        }
    }
}

/// Three numbers of exactly this many digits each.
fn numbers(text: &str, between: char, digits: [usize; 3]) -> Result<[u16; 3], Unfit> {
    let mut parts = text.split(between);
    let mut all = [0; 3];
    for (number, digits) in all.iter_mut().zip(digits) {
        let part = parts.next().ok_or(Unfit::Malformed)?;
        if part.len() != digits || !part.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(Unfit::Malformed);
        }
        *number = part.parse().map_err(|_| Unfit::Malformed)?;
    }
    if parts.next().is_some() { Err(Unfit::Malformed) } else { Ok(all) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-02-27 12:00:00 UTC.
    const NOON: i64 = 1_772_193_600;
    const DAY: i64 = 86_400;

    fn at(line: &str) -> Result<i64, Unfit> {
        when(line, NOON).map(|due| due.at)
    }

    #[test]
    fn the_formats_are_precisely_those_of_the_manual() {
        assert_eq!(at("12:00:01Z"), Ok(NOON + 1));
        assert_eq!(at("26-02-28 12:00:00Z"), Ok(NOON + DAY));
        assert_eq!(at("2026-02-28 12:00:00Z"), Ok(NOON + DAY));
        let wrong = [
            "",
            "Z",
            "12:00",
            "1:00:00",
            " 12:00:01Z",
            "12:00:01Z ",
            "12:00:01z",
            "12-00-01",
            "2026-02-28  12:00:00Z",
            "2026-02-28T12:00:00Z",
            "126-02-28 12:00:00Z",
            "24:00:00Z",
            "12:60:00Z",
            "12:00:60Z",
            "2026-02-30 12:00:00Z",
            "2026-00-10 12:00:00Z",
            "+1:00:00Z",
            "12:00:01:02Z",
            "2026-02-28",
        ];
        for line in wrong {
            assert_eq!(at(line), Err(Unfit::Malformed), "{line:?}");
        }
    }

    #[test]
    fn a_time_that_is_over_is_tomorrows_and_a_day_that_is_over_is_over() {
        assert_eq!(at("12:00:00Z"), Ok(NOON + DAY));
        assert_eq!(at("11:59:59Z"), Ok(NOON + DAY - 1));
        assert_eq!(at("2026-02-27 12:00:00Z"), Err(Unfit::Past));
        assert_eq!(at("70-01-01 00:00:00Z"), Err(Unfit::Past));
        // The last day of a month, too.
        let last_of_february = NOON + DAY;
        let due = when("00:00:00Z", last_of_february).unwrap();
        assert_eq!(Civil::at(due.at, Zone::Utc).map(|one| (one.month, one.day)), Some((3, 1)));
        assert!(!due.dated && when("2026-03-01 00:00:00Z", NOON).unwrap().dated);
    }

    #[test]
    fn a_time_without_z_is_the_machines() {
        let local = Civil::at(NOON + 60, Zone::Local).unwrap();
        let Civil { year, month, day, hour, minute, second } = local;
        let line = format!("{year}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}");
        assert_eq!(at(&line), Ok(NOON + 60));
        assert_eq!(shown(NOON + 60), line);
    }

    fn place(tag: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("ek-rt-{tag}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        path
    }

    fn tomorrow() -> String {
        let Civil { year, month, day, .. } = Civil::at(seconds_now() + DAY, Zone::Utc).unwrap();
        format!("{year}-{month:02}-{day:02} 00:00:00Z\n")
    }

    #[test]
    fn the_file_is_followed_as_it_is_written_changed_and_deleted() {
        let place = place("follow");
        let file = place.join("time");
        let global =
            Global { reload_time_file: Some(file.to_str().unwrap().into()), ..Global::default() };
        let mut reload = ReloadTime::default();
        reload.configure(&global);
        let due = |reload: &ReloadTime| reload.0.as_ref().unwrap().due;
        assert_eq!((due(&reload), reload.wait()), (None, None));
        fs::write(&file, tomorrow()).unwrap();
        reload.handle_ready();
        assert!(due(&reload).unwrap().dated);
        assert_eq!(reload.wait(), Some(LOOK));
        fs::write(&file, "soon\n").unwrap();
        reload.handle_ready();
        assert_eq!(due(&reload), None);
        fs::write(&file, tomorrow()).unwrap();
        reload.configure(&global);
        assert!(due(&reload).is_some());
        fs::remove_file(&file).unwrap();
        reload.handle_ready();
        assert_eq!(due(&reload), None);
        fs::remove_dir(&place).unwrap();
        reload.handle_ready();
        assert!(reload.0.is_none());
    }

    #[test]
    fn what_is_due_is_done_once_and_stays_for_the_next_day_only_if_repeated() {
        for (repeat, stays) in [(false, false), (true, true)] {
            let place = place("due");
            let file = place.join("time");
            fs::write(&file, "00:00:00Z\n").unwrap();
            let global = Global {
                reload_time_file: Some(file.to_str().unwrap().into()),
                reload_repeat: repeat,
                ..Global::default()
            };
            let mut reload = ReloadTime::default();
            reload.configure(&global);
            assert!(!reload.take_due());
            reload.0.as_mut().unwrap().due = Some(Due { at: seconds_now(), dated: false });
            assert_eq!(reload.wait(), Some(Duration::ZERO));
            assert!(reload.take_due());
            assert!(!reload.take_due());
            assert_eq!(fs::exists(&file).unwrap(), stays);
            assert_eq!(reload.0.as_ref().unwrap().due.is_some(), stays);
            fs::remove_dir_all(&place).unwrap();
        }
    }
}
