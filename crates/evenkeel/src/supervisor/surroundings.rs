//! What `global_defs` says about the surroundings of the whole program: its network namespace,
//! its file mode mask, files that others look at.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

use edge::netns::NetworkNamespace;
use model::Plan;
use model::vrrp::{Fifo, InitFile, TrackFile};
use rustix::fs::{Mode, OFlags};

/// Where `ip netns` keeps names.
const NAMESPACES: &str = "/run/netns";

/// Moves the program into the network namespace of the configuration, and takes over its file
/// mode mask. Before anything opens a socket, because sockets stay where they were opened.
/// Returns the former namespace, if it is another one.
pub(super) fn enter(plan: &Plan) -> Result<Option<OwnedFd>, String> {
    if let Some(umask) = plan.global.umask {
        rustix::process::umask(Mode::from_raw_mode(umask));
    }
    let Some(name) = &plan.global.network_namespace else { return Ok(None) };
    let former = fs::File::open("/proc/self/ns/net").ok().map(OwnedFd::from);
    let path = Path::new(NAMESPACES).join(name);
    NetworkNamespace::open(&path)
        .and_then(|namespace| namespace.enter_for_good())
        .map(|()| former)
        .map_err(|error| format!("cannot enter the network namespace {}: {error}", path.display()))
}

/// What a reload cannot change because it holds for the life of the program.
pub(super) fn unchangeable(old: &Plan, new: &Plan) -> Option<&'static str> {
    if old.global.network_namespace != new.global.network_namespace {
        return Some("net_namespace changes at a restart only");
    }
    if old.global.instance != new.global.instance {
        return Some("instance changes at a restart only");
    }
    None
}

/// Writes the first value of files that are followed (`init_file`). A reload overwrites none.
pub(super) fn initialise(files: &[TrackFile], first: bool) {
    for file in files {
        let Some(InitFile { value, overwrite }) = file.init else { continue };
        if let Err(error) = write_first(&file.path, value, overwrite && first) {
            tracing::warn!(
                "Unable to initialise track file {} ({}): {error}",
                file.name,
                file.path
            );
        }
    }
}

fn write_first(path: &str, value: i32, overwrite: bool) -> std::io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(_) if !overwrite => return Ok(()),
        Ok(there) if !there.is_file() => {
            return Err(std::io::Error::other("it is not a regular file"));
        }
        Ok(_) | Err(_) => {}
    }
    let flags = OFlags::NOFOLLOW.bits().cast_signed();
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o644).custom_flags(flags);
    options.open(path)?.write_all(format!("{value}\n").as_bytes())
}

/// Pipes of the configuration that we make: a role that is killed leaves them behind, and the
/// common one is no role's alone.
#[derive(Debug, Default)]
pub(super) struct Pipes {
    /// Path of each pipe, and whether it was there before us.
    known: BTreeMap<String, bool>,
}

impl Pipes {
    /// Notes which pipes are there already. Before a role hears of this Plan.
    pub(super) fn note(&mut self, plan: &Plan) {
        for fifo in fifos(plan) {
            let there = || fs::symlink_metadata(&fifo.path).is_ok();
            self.known.entry(fifo.path.clone()).or_insert_with(there);
        }
    }

    /// Another Plan is in force: removes the common pipe of the former one if nobody has it any
    /// more.
    pub(super) fn retire(&mut self, former: &Plan, plan: &Plan) {
        let Some(common) = &former.global.fifos.all else { return };
        if fifos(plan).all(|fifo| fifo.path != common.path)
            && let Some(foreign) = self.known.remove(&common.path)
        {
            remove(&common.path, foreign);
        }
    }

    /// At the end, removes those that are left and were not there before.
    pub(super) fn remove(&self) {
        self.known.iter().for_each(|(path, foreign)| remove(path, *foreign));
    }
}

fn fifos(plan: &Plan) -> impl Iterator<Item = &Fifo> {
    let fifos = &plan.global.fifos;
    fifos.all.iter().chain(&fifos.vrrp).chain(&fifos.lvs)
}

fn remove(path: &str, foreign: bool) {
    let is_pipe = fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_fifo());
    if !foreign && is_pipe {
        let _ = fs::remove_file(path);
    }
}

/// A file that exists while the configuration is read (`reload_file`), for those who change it.
pub(super) struct ReloadFile(Option<String>);

impl ReloadFile {
    /// Makes it, or empties it.
    pub(super) fn create(path: Option<&String>) -> ReloadFile {
        let Some(path) = path else { return ReloadFile(None) };
        let mut options = fs::OpenOptions::new();
        let made = options.write(true).create(true).truncate(true).mode(0o644).open(path);
        if let Err(error) = made {
            tracing::warn!("Failed to create reload file ({path}): {error}");
            return ReloadFile(None);
        }
        ReloadFile(Some(path.clone()))
    }
}

impl Drop for ReloadFile {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            let _ = fs::remove_file(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(name: &str) -> String {
        let path = std::env::temp_dir().join(format!("ek-{name}-{}", std::process::id()));
        let _ = fs::remove_file(&path);
        path.to_str().unwrap().to_owned()
    }

    #[test]
    fn a_followed_file_is_made_and_overwritten_only_at_the_start_and_only_when_asked() {
        let path = place("init");
        let file = |value, overwrite| TrackFile {
            name: "f".into(),
            path: path.clone(),
            init: Some(InitFile { value, overwrite }),
        };
        let content = || fs::read_to_string(&path).unwrap();
        initialise(&[file(7, false)], true);
        assert_eq!(content(), "7\n");
        initialise(&[file(8, false)], true);
        initialise(&[file(8, true)], false);
        assert_eq!(content(), "7\n");
        initialise(&[file(8, true)], true);
        assert_eq!(content(), "8\n");
        fs::remove_file(&path).unwrap();
    }

    #[test]
    fn a_directory_is_not_overwritten() {
        assert!(write_first("/tmp", 1, true).is_err());
    }

    #[test]
    fn the_reload_file_is_there_as_long_as_somebody_reads() {
        let path = place("reload");
        let reading = ReloadFile::create(Some(&path));
        assert!(fs::exists(&path).unwrap());
        drop(reading);
        assert!(!fs::exists(&path).unwrap());
    }
}
