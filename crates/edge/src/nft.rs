//! A table of nf_tables that drops what goes to and comes from some addresses, by netlink.
//!
//! It is laid out as Keepalived's `no_accept`: tables `ip` and `ip6` with a chain `in` and a
//! chain `out`, and the addresses in the set `vips`; link-local ones with their interface in the
//! set `vips_link_local`. Neighbour discovery passes.

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};

use netlink_packet_core::{NLM_F_APPEND, NLM_F_CREATE};

use crate::netlink::Socket;
use crate::netlink::batch::{Batch, Writer};

// linux/netfilter/nfnetlink.h and nf_tables.h
const SUBSYSTEM: u16 = 10;
const BATCH_BEGIN: u16 = 16;
const BATCH_END: u16 = 17;
const NEW_TABLE: u16 = 0;
const DELETE_TABLE: u16 = 2;
const NEW_CHAIN: u16 = 3;
const NEW_RULE: u16 = 6;
const NEW_SET: u16 = 9;
const NEW_ELEMENT: u16 = 12;
/// NFNLGRP_NFTABLES
const GROUP_CHANGES: u32 = 7;
const LOCAL_IN: u32 = 1;
const LOCAL_OUT: u32 = 3;
const DROP: u32 = 0;
const ACCEPT: u32 = 1;
const BASE_NETWORK: u32 = 1;
const BASE_TRANSPORT: u32 = 2;
const META_IIFNAME: u32 = 6;
const META_OIFNAME: u32 = 7;
const META_L4PROTO: u32 = 16;
const TYPE_IPV4: u32 = 7;
const TYPE_IPV6: u32 = 8;
/// Two types in six bits each: an IPv6 address and the name of an interface.
const TYPE_IPV6_IFNAME: u32 = TYPE_IPV6 << 6 | 41;
/// Elements that travel in one message, whose length has sixteen bits.
const ELEMENTS_TOGETHER: usize = 1000;
/// Longest name of an interface, padded with zeros.
const IFNAMSIZ: usize = 16;

/// What is to be dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drops {
    /// Name of the tables.
    pub table: String,
    /// Priority of the chains; the lower, the earlier.
    pub priority: i32,
    /// Rules count what they match.
    pub counters: bool,
    /// The addresses, with the name of the interface that holds each.
    pub addresses: Vec<(IpAddr, String)>,
}

/// A connection to the packet filter. Needs CAP_NET_ADMIN.
pub struct Filter {
    socket: Socket,
    batch: Batch,
}

/// Tells when somebody changes tables of nf_tables, which iptables may be a name for.
pub struct Changes {
    socket: Socket,
}

impl Changes {
    /// In this thread's network namespace. Needs nf_tables in the kernel and CAP_NET_ADMIN.
    pub fn open() -> io::Result<Changes> {
        let socket = Socket::open_netfilter()?;
        socket.subscribe(&[GROUP_CHANGES])?;
        Ok(Changes { socket })
    }

    /// Forgets what was told: readable again after the next change.
    pub fn clear(&mut self) {
        self.socket.discard();
    }
}

impl AsFd for Changes {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// One of the two families of tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    Ipv4,
    Ipv6,
}

/// Which way packets go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    In,
    Out,
}

impl Filter {
    /// In this thread's network namespace. Without nf_tables in the kernel the first change is
    /// the error.
    pub fn open() -> io::Result<Filter> {
        Ok(Filter { socket: Socket::open_netfilter()?, batch: Batch::new() })
    }

    /// Replaces the tables of this name by these drops: a family without addresses has none.
    /// Up to a thousand addresses of a family are replaced at once, so that no packet slips
    /// through between; more follow right behind.
    pub fn replace(&mut self, drops: &Drops) -> io::Result<()> {
        for family in [Family::Ipv4, Family::Ipv6] {
            let of_family = |(address, _): &&(IpAddr, String)| match address {
                IpAddr::V4(_) => family == Family::Ipv4,
                IpAddr::V6(_) => family == Family::Ipv6,
            };
            let addresses: Vec<_> = drops.addresses.iter().filter(of_family).collect();
            let (local, global): (Vec<_>, Vec<_>) =
                addresses.into_iter().partition(|(address, _)| is_link_local(*address));
            self.begin();
            self.delete_table(family, &drops.table);
            if !(local.is_empty() && global.is_empty()) {
                self.write_table(family, drops);
            }
            let mut rest = elements(&global, family, "vips");
            rest.extend(elements(&local, family, "vips_link_local"));
            let mut messages = rest.into_iter();
            for (set, keys) in messages.by_ref().take(2) {
                self.write_elements(family, &drops.table, set, &keys);
            }
            self.commit()?;
            for (set, keys) in messages {
                self.begin();
                self.write_elements(family, &drops.table, set, &keys);
                self.commit()?;
            }
        }
        Ok(())
    }

    /// Removes the tables of this name; nothing where there are none.
    pub fn remove(&mut self, table: &str) -> io::Result<()> {
        for family in [Family::Ipv4, Family::Ipv6] {
            self.begin();
            self.delete_table(family, table);
            self.commit()?;
        }
        Ok(())
    }

    fn begin(&mut self) {
        self.batch.clear();
        self.batch.unanswered(BATCH_BEGIN, &[0, 0, 0, SUBSYSTEM as u8]);
    }

    /// All of it or nothing.
    fn commit(&mut self) -> io::Result<()> {
        self.batch.unanswered(BATCH_END, &[0, 0, 0, SUBSYSTEM as u8]);
        self.socket.run_whole(&mut self.batch)?;
        match self.batch.outcomes().flatten().next() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    fn message(&mut self, kind: u16, flags: u16, family: Family) -> Writer<'_> {
        let family = match family {
            Family::Ipv4 => libc::NFPROTO_IPV4,
            Family::Ipv6 => libc::NFPROTO_IPV6,
        };
        self.batch.message(SUBSYSTEM << 8 | kind, flags, &[family as u8, 0, 0, 0])
    }

    /// One that is not there cannot be deleted, so it is made first.
    fn delete_table(&mut self, family: Family, table: &str) {
        self.message(NEW_TABLE, NLM_F_CREATE, family).text(1, table);
        self.message(DELETE_TABLE, 0, family).text(1, table);
    }

    fn write_table(&mut self, family: Family, drops: &Drops) {
        let table = &drops.table;
        self.message(NEW_TABLE, NLM_F_CREATE, family).text(1, table);
        for (chain, hook) in [("in", LOCAL_IN), ("out", LOCAL_OUT)] {
            let mut message = self.message(NEW_CHAIN, NLM_F_CREATE, family);
            message.text(1, table).text(3, chain).nested(4, |nested| {
                nested.u32_be(1, hook).u32_be(2, drops.priority as u32);
            });
            message.u32_be(5, ACCEPT).text(7, "filter");
        }
        match family {
            Family::Ipv4 => self.write_set(family, table, "vips", (TYPE_IPV4, 4)),
            Family::Ipv6 => {
                self.write_set(family, table, "vips", (TYPE_IPV6, 16));
                let key = (TYPE_IPV6_IFNAME, 32);
                self.write_set(family, table, "vips_link_local", key);
            }
        }
        for way in [Way::In, Way::Out] {
            self.write_rules(family, drops, way);
        }
    }

    fn write_set(&mut self, family: Family, table: &str, set: &str, (kind, length): (u32, u32)) {
        let mut message = self.message(NEW_SET, NLM_F_CREATE, family);
        message.text(1, table).text(2, set).u32_be(3, 0).u32_be(4, kind).u32_be(5, length);
        // Within a transaction a set has a number, whatever it is.
        message.u32_be(10, length);
    }

    fn write_rules(&mut self, family: Family, drops: &Drops, way: Way) {
        if family == Family::Ipv6 {
            for kind in [NEIGHBOUR_SOLICITATION, NEIGHBOUR_ADVERTISEMENT] {
                self.write_rule(family, drops, way, ACCEPT, |list| {
                    meta(list, META_L4PROTO, 1);
                    equals(list, libc::IPPROTO_ICMPV6 as u8);
                    payload(list, BASE_TRANSPORT, 0, 1);
                    equals(list, kind);
                });
            }
            self.write_rule(family, drops, way, DROP, |list| {
                address(list, family, way);
                meta(list, if way == Way::In { META_IIFNAME } else { META_OIFNAME }, 2);
                lookup(list, "vips_link_local");
            });
        }
        self.write_rule(family, drops, way, DROP, |list| {
            address(list, family, way);
            lookup(list, "vips");
        });
    }

    fn write_rule(
        &mut self,
        family: Family,
        drops: &Drops,
        way: Way,
        verdict: u32,
        matches: impl FnOnce(&mut Writer<'_>),
    ) {
        let mut message = self.message(NEW_RULE, NLM_F_CREATE | NLM_F_APPEND, family);
        let chain = if way == Way::In { "in" } else { "out" };
        message.text(1, &drops.table).text(2, chain).nested(4, |list| {
            matches(list);
            if drops.counters {
                expression(list, "counter", |_| {});
            }
            expression(list, "immediate", |data| {
                data.u32_be(1, 0).nested(2, |value| {
                    value.nested(2, |code| {
                        code.u32_be(1, verdict);
                    });
                });
            });
        });
    }

    fn write_elements(&mut self, family: Family, table: &str, set: &str, keys: &[Vec<u8>]) {
        let mut message = self.message(NEW_ELEMENT, NLM_F_CREATE, family);
        message.text(1, table).text(2, set).nested(3, |list| {
            for key in keys {
                list.nested(1, |element| {
                    element.nested(1, |data| {
                        data.bytes(1, key);
                    });
                });
            }
        });
    }
}

const NEIGHBOUR_SOLICITATION: u8 = 135;
const NEIGHBOUR_ADVERTISEMENT: u8 = 136;

fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(_) => false,
        IpAddr::V6(address) => address.is_unicast_link_local(),
    }
}

/// Messages of elements: the name of the set, and the keys.
fn elements<'a>(
    addresses: &[&(IpAddr, String)],
    family: Family,
    set: &'a str,
) -> Vec<(&'a str, Vec<Vec<u8>>)> {
    let key = |(address, interface): &&(IpAddr, String)| match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) if family == Family::Ipv6 && address.is_unicast_link_local() => {
            let mut key = address.octets().to_vec();
            key.extend_from_slice(interface.as_bytes());
            key.resize(16 + IFNAMSIZ, 0);
            key
        }
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    let chunks = addresses.chunks(ELEMENTS_TOGETHER);
    chunks.map(|chunk| (set, chunk.iter().map(key).collect())).collect()
}

/// Appends an expression to the list of a rule.
fn expression(list: &mut Writer<'_>, name: &str, data: impl FnOnce(&mut Writer<'_>)) {
    list.nested(1, |element| {
        element.text(1, name).nested(2, data);
    });
}

/// Loads bytes of the packet into the first register.
fn payload(list: &mut Writer<'_>, base: u32, offset: u32, length: u32) {
    expression(list, "payload", |data| {
        data.u32_be(1, 1).u32_be(2, base).u32_be(3, offset).u32_be(4, length);
    });
}

/// Loads the destination of what comes in, the source of what goes out.
fn address(list: &mut Writer<'_>, family: Family, way: Way) {
    let (offset, length) = match (family, way) {
        (Family::Ipv4, Way::In) => (16, 4),
        (Family::Ipv4, Way::Out) => (12, 4),
        (Family::Ipv6, Way::In) => (24, 16),
        (Family::Ipv6, Way::Out) => (8, 16),
    };
    payload(list, BASE_NETWORK, offset, length);
}

/// Loads something about the packet into a register. The second one follows the first's 16 bytes.
fn meta(list: &mut Writer<'_>, key: u32, register: u32) {
    expression(list, "meta", |data| {
        data.u32_be(1, register).u32_be(2, key);
    });
}

/// The first register is this byte.
fn equals(list: &mut Writer<'_>, value: u8) {
    expression(list, "cmp", |data| {
        data.u32_be(1, 1).u32_be(2, 0).nested(3, |nested| {
            nested.bytes(1, &[value]);
        });
    });
}

/// What the registers hold, from the first on, is in this set.
fn lookup(list: &mut Writer<'_>, set: &str) {
    expression(list, "lookup", |data| {
        data.text(1, set).u32_be(2, 1);
    });
}
