//! This machine, as the configuration may ask about it.

use std::fs;
use std::net::{IpAddr, ToSocketAddrs};
use std::os::unix::fs::MetadataExt;
use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};

use conf::source::{FileKind, Source};

/// Reads real files and resolves real names.
#[derive(Clone, Debug, Default)]
pub(crate) struct Machine {
    /// `--config-id`; the host name up to the first dot otherwise.
    pub(crate) config_id: Option<String>,
    /// A file that an include does not find is an error, whatever `include_check` says.
    pub(crate) must_find_includes: bool,
}

/// Largest configuration file accepted: forty thousand real servers take about 20 MB.
const FILE_MAX: u64 = 256 << 20;

impl Source for Machine {
    fn read(&self, path: &str) -> Result<String, String> {
        let explain = |error: std::io::Error| format!("cannot read {path}: {error}");
        let size = fs::metadata(path).map_err(explain)?.len();
        if size > FILE_MAX {
            return Err(format!("cannot read {path}: it is larger than {} MiB", FILE_MAX >> 20));
        }
        let bytes = fs::read(path).map_err(explain)?;
        Ok(match String::from_utf8(bytes) {
            Ok(text) => text,
            // Old files have Latin-1 in their comments; a damaged keyword is still reported.
            Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
        })
    }

    fn kind(&self, path: &str) -> FileKind {
        let Ok(metadata) = fs::metadata(path) else { return FileKind::Missing };
        if metadata.is_dir() {
            FileKind::Directory
        } else if !metadata.is_file() {
            FileKind::Other
        } else if metadata.mode() & 0o111 != 0 {
            FileKind::Executable
        } else {
            FileKind::Regular
        }
    }

    fn list(&self, directory: &str) -> Result<Vec<String>, String> {
        let directory = if directory.is_empty() { "." } else { directory };
        let explain = |error: std::io::Error| format!("cannot list {directory}: {error}");
        fs::read_dir(directory)
            .map_err(explain)?
            .filter_map(|entry| entry.map(|entry| entry.file_name().into_string().ok()).transpose())
            .collect::<Result<Vec<String>, _>>()
            .map_err(explain)
    }

    fn identity(&self, path: &str) -> String {
        let canonical = fs::canonicalize(path).ok();
        canonical.and_then(|path| path.to_str().map(str::to_owned)).unwrap_or_else(|| path.into())
    }

    fn directory_of(&self, path: &str) -> String {
        let directory = match conf::source::parent(path) {
            "" => ".",
            parent => parent,
        };
        self.identity(directory)
    }

    fn environment(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }

    fn host_name(&self) -> String {
        host_name()
    }

    fn config_id(&self) -> String {
        match &self.config_id {
            Some(id) => id.clone(),
            None => host_name().split('.').next().unwrap_or_default().to_owned(),
        }
    }

    fn must_find_includes(&self) -> bool {
        self.must_find_includes
    }

    fn random_seed(&self) -> u32 {
        static SEED: OnceLock<u32> = OnceLock::new();
        *SEED.get_or_init(|| {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            // The low bits of the time are as random as the number of the process.
            (now.as_nanos() as u32) ^ std::process::id()
        })
    }

    fn resolve(&self, host: &str) -> Result<Vec<IpAddr>, String> {
        let found = (host, 0)
            .to_socket_addrs()
            .map_err(|error| format!("cannot resolve {host}: {error}"))?
            .map(|address| address.ip())
            .collect::<Vec<_>>();
        if found.is_empty() { Err(format!("{host} has no address")) } else { Ok(found) }
    }

    fn processors(&self) -> u16 {
        std::thread::available_parallelism()
            .map_or(1, |count| u16::try_from(count.get()).unwrap_or(u16::MAX))
    }

    fn user_id(&self, name: &str) -> Option<u32> {
        field_of(name, "/etc/passwd", 2)
    }

    fn primary_group(&self, user: &str) -> Option<u32> {
        field_of(user, "/etc/passwd", 3)
    }

    fn group_id(&self, name: &str) -> Option<u32> {
        field_of(name, "/etc/group", 2)
    }
}

/// This machine's name.
pub(crate) fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// A numeric field of a line of /etc/passwd (`name:password:number:group:...`) or /etc/group,
/// counted from 0.
fn field_of(name: &str, table: &str, field: usize) -> Option<u32> {
    fs::read_to_string(table).ok()?.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(name)).then(|| fields.nth(field - 1)?.parse().ok()).flatten()
    })
}
