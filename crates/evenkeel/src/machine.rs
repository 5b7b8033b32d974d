//! This machine, as the configuration may ask about it.

use std::fs;
use std::net::{IpAddr, ToSocketAddrs};

use conf::source::Source;

/// Reads real files and resolves real names.
pub(crate) struct Machine;

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

    fn glob(&self, pattern: &str) -> Result<Vec<String>, String> {
        Err(format!("cannot expand {pattern}: include is not supported by this version"))
    }

    fn environment(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }

    fn host_name(&self) -> String {
        host_name()
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
