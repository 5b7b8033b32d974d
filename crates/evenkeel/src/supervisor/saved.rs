//! The configuration as it was before and is after each reload (`config_save_dir`), for those who
//! look for what went wrong.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use model::Plan;
use model::plan::Global;
use rustix::fs::OFlags;

/// Counts the reloads.
#[derive(Debug, Default)]
pub(super) struct Saved {
    reloads: u64,
}

/// When a configuration is saved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    /// Before a reload: what is in force.
    Before,
    /// After it: what came into force.
    After,
}

impl Saved {
    /// Saves the files as they were read: the reload begins.
    pub(super) fn begin<'a>(
        &mut self,
        global: &Global,
        files: impl Iterator<Item = (&'a str, &'a str)>,
    ) {
        self.reloads += 1;
        let text: String = files.map(|(path, text)| format!("# {path}\n{text}\n")).collect();
        self.write(global, "conf", &text);
    }

    /// Saves what the files mean, as JSON.
    pub(super) fn plan(&self, global: &Global, plan: &Plan, moment: Moment) {
        if global.config_save_directory.is_none() {
            return;
        }
        let moment = match moment {
            Moment::Before => "pre",
            Moment::After => "post",
        };
        match serde_json::to_string_pretty(plan) {
            Ok(text) => self.write(global, moment, &text),
            Err(error) => tracing::warn!("the configuration cannot be saved: {error}"),
        }
    }

    fn write(&self, global: &Global, moment: &str, text: &str) {
        let Some(directory) = &global.config_save_directory else { return };
        let name = format!("keepalived.{}.{}.{moment}", std::process::id(), self.reloads);
        if let Err(error) = write(Path::new(directory), &name, text) {
            tracing::warn!("config_save_dir: {directory}/{name} is not written: {error}");
        }
    }
}

/// Nobody else may read what may hold passwords, and no link is followed.
fn write(directory: &Path, name: &str, text: &str) -> io::Result<()> {
    match fs::DirBuilder::new().mode(0o700).create(directory) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error),
    }
    let flags = OFlags::NOFOLLOW.bits().cast_signed();
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600).custom_flags(flags);
    options.open(directory.join(name))?.write_all(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reload_leaves_its_files_and_what_they_mean_before_and_after() {
        let directory = std::env::temp_dir().join(format!("ek-saved-{}", std::process::id()));
        let _ = fs::remove_dir_all(&directory);
        let global = Global {
            config_save_directory: Some(directory.to_str().unwrap().into()),
            ..Global::default()
        };
        let mut saved = Saved::default();
        for _ in 0..2 {
            saved.begin(&global, [("/a", "one"), ("/b", "two")].into_iter());
            saved.plan(&global, &Plan::default(), Moment::Before);
            saved.plan(&global, &Plan::default(), Moment::After);
        }
        let read = |name: &str| {
            fs::read_to_string(directory.join(format!("keepalived.{}.{name}", std::process::id())))
        };
        assert_eq!(read("1.conf").unwrap(), "# /a\none\n# /b\ntwo\n");
        let plan: Plan = serde_json::from_str(&read("2.post").unwrap()).unwrap();
        assert_eq!(plan, Plan::default());
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 6);
        fs::remove_dir_all(&directory).unwrap();
        saved.begin(&Global::default(), std::iter::empty());
        saved.plan(&Global::default(), &Plan::default(), Moment::Before);
        assert!(!fs::exists(&directory).unwrap());
    }
}
