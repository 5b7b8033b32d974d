//! What virtual servers match: single services, and those of `virtual_server_group`.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::vec::Vec;
use core::net::Ipv4Addr;

use model::layer4::{Protocol, ServiceKey, VIRTUAL_SERVERS_MAX, VirtualServer, VirtualServerId};
use model::vrrp::Family;

use super::check_address;
use crate::diagnostic::Diagnostic;
use crate::keepalived::ast::{self, AddressRange, Configuration, GroupEntry, Served, ServerGroup};
use crate::source::Span;
use crate::suggest;

/// What a virtual server speaks that says nothing of it, as in Keepalived.
const PROTOCOL_DEFAULT: Protocol = Protocol::Udp;

/// Hands out services; each belongs to one virtual server only.
pub(super) struct Services<'c> {
    groups: BTreeMap<&'c str, &'c ServerGroup>,
    used: BTreeSet<&'c str>,
    virtual_servers: BTreeMap<VirtualServerId, Span>,
    taken: BTreeMap<ServiceKey, Span>,
    /// There were more than the tables have places for, which was said.
    is_full: bool,
}

impl<'c> Services<'c> {
    pub(super) fn new(from: &'c Configuration, diagnostics: &mut Vec<Diagnostic>) -> Services<'c> {
        let mut groups: BTreeMap<&str, &ServerGroup> = BTreeMap::new();
        for group in &from.server_groups {
            let name = &group.name;
            if let Some(first) = groups.insert(&name.value, group) {
                let message = format!("virtual_server_group {} exists already", name.value);
                diagnostics.push(
                    Diagnostic::error(name.span, message)
                        .related(first.name.span, "defined here first")
                        .help("put all its addresses into one virtual_server_group"),
                );
            }
        }
        Services {
            groups,
            used: BTreeSet::new(),
            virtual_servers: BTreeMap::new(),
            taken: BTreeMap::new(),
            is_full: false,
        }
    }

    /// The virtual server with its services and nothing else.
    pub(super) fn take(
        &mut self,
        server: &'c ast::VirtualServer,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> VirtualServer {
        let span = server.span();
        let protocol = server.protocol.unwrap_or(PROTOCOL_DEFAULT);
        let (id, entries) = match &server.served.value {
            Served::Service(location) => {
                let (address, port) = (location.address, location.port.unwrap_or(0));
                check_address(address, span, format_args!("a virtual server"), diagnostics);
                return self.single(
                    ServiceKey::Address { address, port, protocol },
                    span,
                    diagnostics,
                );
            }
            Served::Mark(mark) => {
                let key = ServiceKey::Mark { mark: *mark, family: family_of(server) };
                return self.single(key, span, diagnostics);
            }
            Served::Group(name) => {
                let id = VirtualServerId::Group { name: name.clone(), protocol };
                (id, self.entries(name, span, diagnostics))
            }
        };
        let key = ServiceKey::Address { address: Ipv4Addr::UNSPECIFIED.into(), port: 0, protocol };
        let mut lowered = VirtualServer { id, services: Vec::new(), ..VirtualServer::new(key) };
        if self.claim(lowered.id.clone(), span, diagnostics) {
            let owner = Owner { span, family: family_of(server) };
            for entry in entries {
                self.expand(entry, owner, &mut lowered, diagnostics);
            }
        }
        lowered
    }

    /// A virtual server of one service.
    fn single(
        &mut self,
        key: ServiceKey,
        span: Span,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> VirtualServer {
        let mut lowered = VirtualServer::new(key);
        let is_new = self.claim(lowered.id.clone(), span, diagnostics);
        if is_new && self.occupy(key, span, span, diagnostics) != Occupied::Now {
            lowered.services.clear();
        }
        lowered
    }

    /// The lines of a group.
    fn entries(
        &mut self,
        name: &'c str,
        span: Span,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> &'c [crate::Spanned<GroupEntry>] {
        let Some(group) = self.groups.get(name) else {
            let help = suggest::did_you_mean(name, self.groups.keys().copied())
                .unwrap_or_else(|| format!("define it: virtual_server_group {name} {{ ... }}"));
            let message = format!("no virtual_server_group is named {name}");
            diagnostics.push(Diagnostic::error(span, message).help(help));
            return &[];
        };
        self.used.insert(name);
        &group.entries
    }

    /// Notes the identity; says no when somebody has it.
    fn claim(
        &mut self,
        id: VirtualServerId,
        span: Span,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> bool {
        let Some(&first) = self.virtual_servers.get(&id) else {
            self.virtual_servers.insert(id, span);
            return true;
        };
        diagnostics.push(
            Diagnostic::error(span, format!("virtual_server {id} exists already"))
                .related(first, "defined here first")
                .help("put all its real servers into one virtual_server"),
        );
        false
    }

    /// Adds every service of one line.
    fn expand(
        &mut self,
        entry: &crate::Spanned<GroupEntry>,
        owner: Owner,
        to: &mut VirtualServer,
        diagnostics: &mut Vec<Diagnostic>,
    ) {
        let keys = match entry.value {
            GroupEntry::Mark(mark, family) => {
                Vec::from([ServiceKey::Mark { mark, family: family.unwrap_or(owner.family) }])
            }
            GroupEntry::Addresses(range) => {
                check_address(
                    range.first,
                    entry.span,
                    format_args!("a virtual server"),
                    diagnostics,
                );
                keys_of(range, to.protocol().unwrap_or(PROTOCOL_DEFAULT))
            }
        };
        let mut repeated = None;
        for key in keys {
            match self.occupy(key, owner.span, entry.span, diagnostics) {
                Occupied::Now => to.services.push(key),
                Occupied::Before => repeated = Some(key),
                Occupied::Elsewhere => return,
            }
        }
        if let Some(key) = repeated {
            let message = format!("{key} is in this group already");
            diagnostics.push(Diagnostic::warning(entry.span, message).help("remove it"));
        }
    }

    /// Takes a service for the virtual server at `owner`, if it is free and there is a place.
    fn occupy(
        &mut self,
        key: ServiceKey,
        owner: Span,
        written: Span,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Occupied {
        match self.taken.get(&key) {
            Some(&other) if other == owner => return Occupied::Before,
            Some(&other) => {
                let message = format!("another virtual_server serves {key}");
                diagnostics.push(
                    Diagnostic::error(written, message)
                        .related(other, "this one")
                        .help("serve each address, port and protocol once"),
                );
                return Occupied::Elsewhere;
            }
            None => {}
        }
        if self.taken.len() < VIRTUAL_SERVERS_MAX {
            self.taken.insert(key, owner);
            return Occupied::Now;
        }
        if !core::mem::replace(&mut self.is_full, true) {
            let message = format!("more than {VIRTUAL_SERVERS_MAX} virtual servers");
            diagnostics.push(Diagnostic::error(written, message).help(
                "serve fewer addresses and ports; each address of a virtual_server_group counts",
            ));
        }
        Occupied::Elsewhere
    }

    /// Tells of groups that nobody uses.
    pub(super) fn finish(self, diagnostics: &mut Vec<Diagnostic>) {
        for (name, group) in self.groups {
            if !self.used.contains(name) {
                let message = format!("nobody serves virtual_server_group {name}");
                diagnostics.push(
                    Diagnostic::warning(group.name.span, message)
                        .help(format!("write virtual_server group {name}, or remove it")),
                );
            }
        }
    }
}

/// The virtual server that a line of a group is for.
#[derive(Clone, Copy)]
struct Owner {
    span: Span,
    family: Family,
}

/// The services of a range.
fn keys_of(range: AddressRange, protocol: Protocol) -> Vec<ServiceKey> {
    let port = range.port.unwrap_or(0);
    let key = |address| ServiceKey::Address { address, port, protocol };
    // One too many is enough to be told of.
    range.addresses().map(key).take(VIRTUAL_SERVERS_MAX + 1).collect()
}

/// The family of a virtual server without an address: as written, or that of its servers.
fn family_of(server: &ast::VirtualServer) -> Family {
    let written = server.family.as_ref().map(|family| family.value);
    let of_servers = || server.real_servers.first().map(|it| Family::of(it.location.value.address));
    written.or_else(of_servers).unwrap_or_default()
}

/// Whether a service could be had.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Occupied {
    /// It is this virtual server's from now on.
    Now,
    /// It was this virtual server's before.
    Before,
    /// Somebody else has it, or there is no place, which was said.
    Elsewhere,
}
