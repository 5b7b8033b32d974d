//! A machine made of tables, for tests and fuzzing.

use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::IpAddr;

use super::{FileKind, Source};

/// Files, variables and names by table; nothing else exists. Only addresses resolve, to themselves.
/// The users are root (0), keepalived (1) and nobody (2), each in a group numbered 100 more; the
/// other groups are root (200) and wheel (201).
#[derive(Clone, Debug, Default)]
pub struct Table {
    files: BTreeMap<String, (String, FileKind)>,
    environment: BTreeMap<String, String>,
    host_name: Option<String>,
    config_id: Option<String>,
}

impl Table {
    /// One more regular file.
    pub fn file(self, path: &str, text: &str) -> Table {
        self.file_of_kind(path, text, FileKind::Regular)
    }

    /// One more file that is not what it should be.
    pub fn file_of_kind(mut self, path: &str, text: &str, kind: FileKind) -> Table {
        self.files.insert(path.to_owned(), (text.to_owned(), kind));
        self
    }

    /// One more environment variable.
    pub fn variable(mut self, name: &str, value: &str) -> Table {
        self.environment.insert(name.to_owned(), value.to_owned());
        self
    }

    /// The name of the machine; `director` otherwise.
    pub fn named(mut self, host_name: &str) -> Table {
        self.host_name = Some(host_name.to_owned());
        self
    }

    /// As `--config-id` does.
    pub fn identified(mut self, config_id: &str) -> Table {
        self.config_id = Some(config_id.to_owned());
        self
    }

    /// Paths of all files.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(String::as_str)
    }

    fn below<'t>(&'t self, directory: &'t str) -> impl Iterator<Item = &'t str> {
        self.paths().filter_map(move |path| match directory {
            "" => (!path.starts_with('/')).then_some(path),
            "/" => path.strip_prefix('/'),
            _ => path.strip_prefix(directory)?.strip_prefix('/'),
        })
    }
}

impl Source for Table {
    fn read(&self, path: &str) -> Result<String, String> {
        match self.files.get(path) {
            Some((text, _)) => Ok(text.clone()),
            None => Err(format!("cannot read {path}: no such file")),
        }
    }

    fn kind(&self, path: &str) -> FileKind {
        match self.files.get(path) {
            Some((_, kind)) => *kind,
            None if self.below(path).next().is_some() => FileKind::Directory,
            None => FileKind::Missing,
        }
    }

    fn list(&self, directory: &str) -> Result<Vec<String>, String> {
        let mut names: Vec<String> = self
            .below(directory)
            .filter_map(|rest| rest.split('/').next())
            .map(str::to_owned)
            .collect();
        names.dedup();
        if names.is_empty() { Err(format!("no directory {directory}")) } else { Ok(names) }
    }

    fn environment(&self, name: &str) -> Option<String> {
        self.environment.get(name).cloned()
    }

    fn host_name(&self) -> String {
        self.host_name.clone().unwrap_or_else(|| "director".to_owned())
    }

    fn config_id(&self) -> String {
        self.config_id.clone().unwrap_or_else(|| {
            let name = self.host_name();
            name.split('.').next().unwrap_or(&name).to_owned()
        })
    }

    fn resolve(&self, host: &str) -> Result<Vec<IpAddr>, String> {
        host.parse().map(|address| alloc::vec![address]).map_err(|_| format!("unknown host {host}"))
    }

    fn user_id(&self, name: &str) -> Option<u32> {
        number_in(&["root", "keepalived", "nobody"], name)
    }

    fn primary_group(&self, user: &str) -> Option<u32> {
        self.user_id(user).map(|number| number + 100)
    }

    fn group_id(&self, name: &str) -> Option<u32> {
        number_in(&["root", "wheel"], name).map(|number| number + 200)
    }
}

fn number_in(known: &[&str], name: &str) -> Option<u32> {
    let position = known.iter().position(|one| *one == name)?;
    u32::try_from(position).ok()
}
