//! A real server at a loopback address (`sorry_server 127.0.0.1 80`). The kernel takes packets for
//! 127.0.0.0/8 from an interface, and lets answers out by it, only where `route_localnet` is on.
//! It is on while there is such a server, on interfaces with the program attached, and the program
//! drops what comes from outside under those addresses.

use std::collections::BTreeSet;
use std::io;

use edge::sysctl;

/// Interfaces where we switched `route_localnet` on.
#[derive(Debug, Default)]
pub(crate) struct Loopback {
    ours: BTreeSet<String>,
}

impl Loopback {
    /// Switches it on where it is off, on these interfaces.
    pub(crate) fn open<'a>(&mut self, interfaces: impl Iterator<Item = &'a str>) -> io::Result<()> {
        for name in interfaces {
            if sysctl::read(&key(name))? == "0" {
                sysctl::write(&key(name), "1")?;
                self.ours.insert(name.to_owned());
            }
        }
        Ok(())
    }

    /// Switches it off again where it was.
    pub(crate) fn close(&mut self) {
        for name in std::mem::take(&mut self.ours) {
            // An interface that is gone took its settings along.
            let _ = sysctl::write(&key(&name), "0");
        }
    }
}

fn key(interface: &str) -> String {
    format!("net/ipv4/conf/{interface}/route_localnet")
}
