//! Interfaces in detail, for those who ask what a packet program can do on them.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use netlink_packet_core::{NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL};
use netlink_packet_route::link::{
    LinkAttribute, LinkFlags, LinkInfo, LinkMessage, LinkXdp, XdpAttached,
};
use netlink_packet_route::nsid::{NsidAttribute, NsidMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use super::Socket;
use super::dump;

/// One interface in detail.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Device {
    /// Its index.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Its administrator set it up.
    pub up: bool,
    /// A cable, or whatever stands for it, is there.
    pub carrier: bool,
    /// It is the loopback.
    pub loopback: bool,
    /// Its Ethernet address; absent on devices without one.
    pub mac: Option<[u8; 6]>,
    /// Bytes of the largest IP packet.
    pub mtu: u32,
    /// What the kernel calls its kind (`veth`, `vlan`, `bond`); empty for most hardware.
    pub kind: String,
    /// Index of the interface below it, or of a veth's other end.
    pub base: Option<u32>,
    /// Number of the network namespace that [`base`](Self::base) is in, when not in this one.
    pub base_namespace: Option<i32>,
    /// Index of the bridge, bond or VRF it is a part of.
    pub master: Option<u32>,
    /// XDP programs on it.
    pub programs: Vec<Attached>,
}

/// An XDP program on an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attached {
    /// Number of the program.
    pub program: u32,
    /// Where it runs.
    pub mode: Mode,
}

/// Where an XDP program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// In the driver.
    Native,
    /// In the kernel's generic layer.
    Generic,
    /// In the network card.
    Offloaded,
}

/// Every interface of this thread's network namespace.
pub fn devices(socket: &mut Socket) -> io::Result<Vec<Device>> {
    let all = RouteNetlinkMessage::GetLink(LinkMessage::default());
    let answer = socket.request(all, NLM_F_DUMP)?;
    Ok(answer
        .iter()
        .filter_map(|message| match message {
            RouteNetlinkMessage::NewLink(link) => read(link),
            _ => None,
        })
        .collect())
}

fn read(message: &LinkMessage) -> Option<Device> {
    if message.header.interface_family != AddressFamily::Unspec {
        return None;
    }
    let flags = message.header.flags;
    let mut device = Device {
        index: message.header.index,
        up: flags.contains(LinkFlags::Up),
        carrier: flags.contains(LinkFlags::LowerUp),
        loopback: flags.contains(LinkFlags::Loopback),
        ..Device::default()
    };
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => device.name.clone_from(name),
            LinkAttribute::Address(bytes) => device.mac = <[u8; 6]>::try_from(&bytes[..]).ok(),
            LinkAttribute::Mtu(mtu) => device.mtu = *mtu,
            LinkAttribute::Link(base) => device.base = Some(*base),
            LinkAttribute::LinkNetNsId(number) => device.base_namespace = Some(*number),
            LinkAttribute::Controller(index) => device.master = Some(*index),
            LinkAttribute::LinkInfo(infos) => {
                device.kind = infos.iter().find_map(kind).unwrap_or_default();
            }
            LinkAttribute::Xdp(attributes) => device.programs = programs(attributes),
            _ => {}
        }
    }
    device.mac = device.mac.filter(|mac| *mac != [0; 6]);
    // Nothing stands on itself; in another namespace the same index is another interface.
    let itself = device.base == Some(device.index) && device.base_namespace.is_none();
    device.base = device.base.filter(|_| !itself);
    (!device.name.is_empty()).then_some(device)
}

fn kind(info: &LinkInfo) -> Option<String> {
    match info {
        LinkInfo::Kind(kind) => Some(kind.to_string()),
        _ => None,
    }
}

fn programs(attributes: &[LinkXdp]) -> Vec<Attached> {
    let mut single = None;
    let mut several = Vec::new();
    let mut mode = None;
    for attribute in attributes {
        match attribute {
            LinkXdp::Attached(XdpAttached::Driver) => mode = Some(Mode::Native),
            LinkXdp::Attached(XdpAttached::SocketBuffer) => mode = Some(Mode::Generic),
            LinkXdp::Attached(XdpAttached::Hardware) => mode = Some(Mode::Offloaded),
            LinkXdp::ProgId(program) => single = Some(*program),
            LinkXdp::DrvProgId(program) => several.push((*program, Mode::Native)),
            LinkXdp::SkbProgId(program) => several.push((*program, Mode::Generic)),
            LinkXdp::HwProgId(program) => several.push((*program, Mode::Offloaded)),
            _ => {}
        }
    }
    if let (Some(program), Some(mode)) = (single, mode)
        && several.is_empty()
    {
        several.push((program, mode));
    }
    let programs = several.into_iter().filter(|(program, _)| *program != 0);
    programs.map(|(program, mode)| Attached { program, mode }).collect()
}

/// The number by which this network namespace knows another one (see [`Device::base_namespace`]);
/// none when it has not met it.
pub fn namespace_number(socket: &mut Socket, namespace: BorrowedFd<'_>) -> io::Result<Option<i32>> {
    let mut question = NsidMessage::default();
    question.attributes.push(NsidAttribute::Fd(namespace.as_raw_fd() as u32));
    let answer = socket.request(RouteNetlinkMessage::GetNsId(question), 0)?;
    let number = answer.iter().find_map(|message| match message {
        RouteNetlinkMessage::NewNsId(found) => found.attributes.iter().find_map(|one| match one {
            NsidAttribute::Id(number) => Some(*number),
            _ => None,
        }),
        _ => None,
    });
    Ok(number.filter(|number| *number >= 0))
}

/// Whether the kernel can make macvlans; it loads the module for that if it has one. Nothing is
/// made: the request names an interface to stand on that does not exist, which is ENODEV.
pub fn has_macvlan(socket: &mut Socket) -> io::Result<bool> {
    let mut info = Vec::new();
    dump::append(&mut info, libc::IFLA_INFO_KIND, b"macvlan");
    // struct ifinfomsg
    let mut payload = vec![0; 16];
    dump::append(&mut payload, libc::IFLA_IFNAME, b"ek-none\0");
    dump::append(&mut payload, libc::IFLA_LINK, &i32::MAX.to_ne_bytes());
    dump::append(&mut payload, libc::IFLA_LINKINFO | libc::NLA_F_NESTED as u16, &info);
    let flags = NLM_F_CREATE | NLM_F_EXCL | NLM_F_ACK;
    match socket.list(libc::RTM_NEWLINK, flags, &payload) {
        Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => Ok(false),
        Err(error) if error.raw_os_error() == Some(libc::ENODEV) => Ok(true),
        Err(error) => Err(error),
        Ok(_) => Ok(true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn the_loopback_is_described() {
        let all = devices(&mut Socket::open().unwrap()).unwrap();
        let lo = all.iter().find(|device| device.name == "lo").unwrap();
        assert!(lo.loopback && lo.up && lo.mac.is_none() && lo.mtu >= 1500);
        assert_eq!((lo.base, lo.master, &lo.kind[..]), (None, None, ""));
    }

    #[test]
    fn one_program_is_told_once_and_two_with_their_modes() {
        let one = [
            LinkXdp::Attached(XdpAttached::SocketBuffer),
            LinkXdp::ProgId(7),
            LinkXdp::SkbProgId(7),
        ];
        assert_eq!(programs(&one), [Attached { program: 7, mode: Mode::Generic }]);
        let old = [LinkXdp::Attached(XdpAttached::Driver), LinkXdp::ProgId(9)];
        assert_eq!(programs(&old), [Attached { program: 9, mode: Mode::Native }]);
        let two = [
            LinkXdp::Attached(XdpAttached::Multiple),
            LinkXdp::DrvProgId(1),
            LinkXdp::SkbProgId(2),
        ];
        assert_eq!(programs(&two).len(), 2);
        assert_eq!(programs(&[LinkXdp::Attached(XdpAttached::None)]), []);
    }

    #[test]
    fn whether_there_are_macvlans_is_known_without_making_one() {
        let mut socket = Socket::open().unwrap();
        // Without privileges the kernel says EPERM, with them it knows.
        if rustix::process::geteuid().is_root() {
            has_macvlan(&mut socket).unwrap();
        }
        let all = devices(&mut socket).unwrap();
        assert!(all.iter().all(|device| device.name != "ek-none"));
    }

    #[test]
    fn a_namespace_that_was_never_met_has_no_number_or_keeps_the_one_it_has() {
        let mut socket = Socket::open().unwrap();
        let own = std::fs::File::open("/proc/thread-self/ns/net").unwrap();
        let first = namespace_number(&mut socket, own.as_fd()).unwrap();
        assert_eq!(namespace_number(&mut socket, own.as_fd()).unwrap(), first);
    }
}
