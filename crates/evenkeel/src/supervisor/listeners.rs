//! The listeners of the proxy: made here, kept here, so that a new proxy process finds every
//! connection that waited for it.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use model::proxy::ProxyPlan;

/// Every listening socket, by address: one per event loop of the proxy.
#[derive(Default)]
pub(crate) struct Listeners {
    sockets: BTreeMap<SocketAddr, Vec<OwnedFd>>,
}

/// Sockets that a configuration needs and that are not there yet.
#[derive(Default)]
pub(crate) struct Missing(BTreeMap<SocketAddr, Vec<OwnedFd>>);

impl Listeners {
    /// Binds what `plan` needs and is missing, changing nothing yet. The error names the address.
    pub(crate) fn prepare(&self, plan: &ProxyPlan) -> Result<Missing, String> {
        let mut missing = BTreeMap::new();
        let width = self.width().max(usize::from(plan.process.threads));
        for bind in plan.frontends.iter().flat_map(|frontend| &frontend.binds) {
            let here = self.sockets.get(&bind.address).map_or(0, Vec::len);
            if here >= width || missing.contains_key(&bind.address) {
                continue;
            }
            if here > 0 {
                // More loops than before: further sockets share the port with those that listen.
                let more = edge::listen::tcp_more(bind.address, width - here, bind.freebind)
                    .map_err(|error| explain(bind.address, &error))?;
                missing.insert(bind.address, more);
                continue;
            }
            let sockets = edge::listen::tcp(bind.address, width, bind.freebind)
                .map_err(|error| explain(bind.address, &error))?;
            missing.insert(bind.address, sockets);
        }
        Ok(Missing(missing))
    }

    /// Keeps what [`prepare`](Self::prepare) bound.
    pub(crate) fn add(&mut self, missing: Missing) {
        for (address, sockets) in missing.0 {
            self.sockets.entry(address).or_default().extend(sockets);
        }
    }

    /// Closes what `plan` no longer needs.
    pub(crate) fn retire(&mut self, plan: &ProxyPlan) {
        self.sockets.retain(|address, _| {
            plan.frontends.iter().any(|one| one.binds.iter().any(|bind| bind.address == *address))
        });
    }

    /// Addresses `plan` uses, each once, in file order.
    pub(crate) fn addresses(plan: &ProxyPlan) -> Vec<SocketAddr> {
        let mut addresses = Vec::new();
        for bind in plan.frontends.iter().flat_map(|frontend| &frontend.binds) {
            if !addresses.contains(&bind.address) {
                addresses.push(bind.address);
            }
        }
        addresses
    }

    /// Sockets for each address. Fewer threads do not mean fewer sockets: connections wait in each
    /// of them, and closing it would lose those.
    pub(crate) fn width(&self) -> usize {
        self.sockets.values().map(Vec::len).max().unwrap_or(0)
    }

    /// Closes the sockets that a refused Plan added to addresses that were there before.
    pub(crate) fn narrow(&mut self, width: usize) {
        for sockets in self.sockets.values_mut() {
            sockets.truncate(width.max(1));
        }
    }

    /// Copies of the sockets of these addresses, [`width`](Self::width) for each.
    pub(crate) fn copies(&self, addresses: &[SocketAddr]) -> io::Result<Vec<OwnedFd>> {
        let mut copies = Vec::with_capacity(addresses.len() * self.width());
        for address in addresses {
            for socket in self.sockets.get(address).into_iter().flatten() {
                copies.push(socket.try_clone()?);
            }
        }
        Ok(copies)
    }
}

fn explain(address: SocketAddr, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            format!("cannot listen on {address}: another process does already (see `ss -ltnp`)")
        }
        io::ErrorKind::AddrNotAvailable => format!(
            "cannot listen on {address}: no interface has this address; if it comes and goes, hold \
             it with a vrrp_instance or set net.ipv4.ip_nonlocal_bind=1"
        ),
        _ => format!("cannot listen on {address}: {error}"),
    }
}
