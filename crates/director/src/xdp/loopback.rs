//! Settings of the kernel that are on while we need them.
//!
//! `route_localnet`: a real server at a loopback address (`sorry_server 127.0.0.1 80`). The kernel
//! takes packets for 127.0.0.0/8 from an interface, and lets answers out by it, only where that is on.
//! It is on while there is such a server, on interfaces with the program attached, and the program
//! drops what comes from outside under those addresses.
//!
//! `accept_local` of the loopback: answers to clients on this machine come back by the loopback, from
//! a virtual address, which is one of this machine's own. Nothing but programs of ours and the
//! machine itself sends anything there.

use std::collections::BTreeSet;
use std::io;

use edge::sysctl;

const ACCEPT_LOCAL: &str = "net/ipv4/conf/lo/accept_local";

/// Settings that we switched on.
#[derive(Debug, Default)]
pub(crate) struct Loopback {
    localnet: BTreeSet<String>,
    accept_local: Option<bool>,
}

impl Loopback {
    /// Switches on what is off: for these interfaces, on which the program is, and whether a server
    /// has a loopback address.
    pub(crate) fn keep<'a>(
        &mut self,
        interfaces: impl Iterator<Item = &'a str>,
        has_server: bool,
    ) -> io::Result<()> {
        let mut interfaces = interfaces.peekable();
        if interfaces.peek().is_some() && self.accept_local.is_none() {
            self.accept_local = Some(switch_on(ACCEPT_LOCAL)?);
        }
        if !has_server {
            self.close_localnet();
            return Ok(());
        }
        for name in interfaces {
            if switch_on(&localnet(name))? {
                self.localnet.insert(name.to_owned());
            }
        }
        Ok(())
    }

    fn close_localnet(&mut self) {
        for name in std::mem::take(&mut self.localnet) {
            // An interface that is gone took its settings along.
            let _ = sysctl::write(&localnet(&name), "0");
        }
    }

    /// Switches everything off again where it was.
    pub(crate) fn close(&mut self) {
        self.close_localnet();
        if self.accept_local.take() == Some(true) {
            let _ = sysctl::write(ACCEPT_LOCAL, "0");
        }
    }
}

/// Whether it was off.
fn switch_on(key: &str) -> io::Result<bool> {
    if sysctl::read(key)? != "0" {
        return Ok(false);
    }
    sysctl::write(key, "1")?;
    Ok(true)
}

fn localnet(interface: &str) -> String {
    format!("net/ipv4/conf/{interface}/route_localnet")
}
