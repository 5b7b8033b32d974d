//! Interfaces with a virtual MAC address of their own: macvlan and ipvlan.

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};

use super::batch::Batch;

// linux/if_link.h
const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_LINK: u16 = 5;
const IFLA_MASTER: u16 = 10;
const IFLA_LINKINFO: u16 = 18;
const IFLA_GROUP: u16 = 27;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
const IFLA_MACVLAN_MODE: u16 = 1;
/// Nothing passes between it and others on the same interface, and multicast frames that come in
/// with its own address as their source, such as another master's adverts, reach the interface it
/// stands on too, where adverts are heard. (In private mode they reach the macvlan alone:
/// drivers/net/macvlan.c, macvlan_handle_frame.)
const MACVLAN_MODE_VEPA: u32 = 2;
const IFLA_IPVLAN_MODE: u16 = 1;
const IFLA_IPVLAN_FLAGS: u16 = 2;
const IPVLAN_MODE_L2: u16 = 0;
const IFF_UP: u32 = libc::IFF_UP as u32;

/// What is to be created on an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A macvlan in VEPA mode with this MAC address.
    Macvlan([u8; 6]),
    /// An ipvlan in layer-2 mode with these flags (0 bridge, 1 private, 2 vepa).
    Ipvlan(u16),
}

impl Batch {
    /// Creates an interface on the one with index `base`, down, in the same group and VRF.
    /// EEXIST: the name is taken. EOPNOTSUPP: the kernel does not have this kind.
    pub fn create_link(&mut self, name: &str, base: u32, kind: Kind, place: Place) {
        let flags = NLM_F_CREATE | NLM_F_EXCL;
        let mut message = self.message(libc::RTM_NEWLINK, flags, &fixed(0, 0, 0));
        message.text(IFLA_IFNAME, name).u32(IFLA_LINK, base).u32(IFLA_GROUP, place.group);
        if let Some(vrf) = place.vrf {
            message.u32(IFLA_MASTER, vrf);
        }
        match kind {
            Kind::Macvlan(mac) => {
                message.bytes(IFLA_ADDRESS, &mac).group(IFLA_LINKINFO, |info| {
                    info.bytes(IFLA_INFO_KIND, b"macvlan").group(IFLA_INFO_DATA, |data| {
                        data.u32(IFLA_MACVLAN_MODE, MACVLAN_MODE_VEPA);
                    });
                });
            }
            Kind::Ipvlan(flags) => {
                message.group(IFLA_LINKINFO, |info| {
                    info.bytes(IFLA_INFO_KIND, b"ipvlan").group(IFLA_INFO_DATA, |data| {
                        data.bytes(IFLA_IPVLAN_MODE, &IPVLAN_MODE_L2.to_ne_bytes());
                        data.bytes(IFLA_IPVLAN_FLAGS, &flags.to_ne_bytes());
                    });
                });
            }
        }
    }

    /// Removes an interface. ENODEV: it was not there.
    pub fn delete_link(&mut self, index: u32) {
        drop(self.message(libc::RTM_DELLINK, 0, &fixed(index, 0, 0)));
    }

    /// Sets an interface up or down.
    pub fn set_link(&mut self, index: u32, up: bool) {
        let flags = if up { IFF_UP } else { 0 };
        drop(self.message(libc::RTM_NEWLINK, 0, &fixed(index, flags, IFF_UP)));
    }
}

/// Where a new interface belongs besides its base.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Interface group (`ip link set group`), so that firewall rules by group go on working.
    pub group: u32,
    /// Index of the VRF that the base is in.
    pub vrf: Option<u32>,
}

/// struct ifinfomsg
fn fixed(index: u32, flags: u32, change: u32) -> [u8; 16] {
    let mut fixed = [0; 16];
    fixed[4..8].copy_from_slice(&index.to_ne_bytes());
    fixed[8..12].copy_from_slice(&flags.to_ne_bytes());
    fixed[12..].copy_from_slice(&change.to_ne_bytes());
    fixed
}
