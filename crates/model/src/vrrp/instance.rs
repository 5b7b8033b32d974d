//! One virtual router.

use alloc::string::String;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Notify, Track, VirtualAddress, VirtualRoute, VirtualRule};
use crate::units::{Centiseconds, Priority, VirtualRouterId};

/// One virtual router on one interface (`vrrp_instance`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VrrpInstance {
    /// The name in the file: the instance's stable identity over reloads.
    pub name: String,
    /// Interface that adverts travel on, and where addresses go that name no other. The default
    /// interface for a unicast instance that names none (see [`routed`](Self::routed)).
    pub interface: String,
    /// Adverts are not bound to [`interface`](Self::interface) but go by route: a unicast
    /// instance without `interface`.
    pub routed: bool,
    /// Routing domain of a routed instance (`vrf`).
    pub vrf: Option<String>,
    /// Identity of the virtual router on its network.
    pub virtual_router_id: VirtualRouterId,
    /// Priority in the election before any tracker's weight; 255 owns the addresses.
    pub priority: Priority,
    /// Version of the protocol.
    pub version: Version,
    /// Family of the adverts and of the addresses they list.
    pub family: Family,
    /// Interval between adverts. Version 2 carries whole seconds on the wire.
    pub advert_interval: Centiseconds,
    /// The state asked for at start (`state`). Whatever it says, an instance that is not the owner
    /// begins as backup and waits its master-down interval, as Keepalived 2.2.7 does.
    pub initial_state: InitialState,
    /// How adverts are authenticated.
    pub authentication: Authentication,
    /// Where adverts go.
    pub destination: Destination,
    /// Source address of adverts (`mcast_src_ip`, `unicast_src_ip`); the interface's first
    /// address when absent, a link-local one for IPv6.
    pub source: Option<IpAddr>,
    /// Fault while [`source`](Self::source) is on no interface (`track_src_ip`).
    pub track_source: bool,
    /// Take over from a master of lower priority. False for `nopreempt`.
    pub preempt: bool,
    /// Wait this long after first hearing a weaker master before preempting (`preempt_delay`).
    pub preempt_delay: Duration,
    /// Adverts missed before the master counts as down (`down_timer_adverts`), 1 to 100.
    pub down_timer_adverts: u8,
    /// Do not answer a weaker master's advert (`lower_prio_no_advert`).
    pub lower_prio_no_advert: bool,
    /// Send one advert before giving way to a stronger master (`higher_prio_send_advert`).
    pub higher_prio_send_advert: bool,
    /// The owner of the addresses ignores adverts of others (`owner_ignore_adverts`).
    pub owner_ignore_adverts: bool,
    /// With `nopreempt`: a master whose own timer was so late that a router of this priority may
    /// have taken over becomes backup (`timer_expired_backup`, 254 when it gives no number).
    /// Without `nopreempt` always absent.
    pub timer_expired_backup: Option<Priority>,
    /// Do not check the addresses of an advert of the same master as the last one
    /// (`skip_check_adv_addr`).
    pub skip_check_addresses: bool,
    /// To the letter of the RFC (`strict_mode`): what it implies for other fields is resolved
    /// already, this remains for the checks of adverts.
    pub strict: bool,
    /// Accept packets to the addresses although not their owner (`accept`); otherwise they are
    /// dropped by nftables and the addresses only route.
    pub accept: bool,
    /// Checksum of version 3 over IPv4 that is sent (`v3_checksum_as_v2`). Both are accepted.
    pub v3_checksum: V3Checksum,
    /// Checksum of unicast adverts as before Keepalived 1.3.6 (`old_unicast_checksum`).
    pub old_unicast_checksum: OldChecksum,
    /// Addresses held while master and listed in adverts, all of [`family`](Self::family).
    pub addresses: Vec<VirtualAddress>,
    /// Addresses held while master and not listed in adverts.
    pub excluded_addresses: Vec<VirtualAddress>,
    /// Removing an address of a network leaves the others of it (`promote_secondaries`).
    pub promote_secondaries: bool,
    /// Routes held while master.
    pub routes: Vec<VirtualRoute>,
    /// Routing rules held while master.
    pub rules: Vec<VirtualRule>,
    /// Timing of gratuitous ARP and unsolicited neighbour advertisements.
    pub garp: Garp,
    /// An interface of its own with the virtual MAC address.
    pub link: VirtualLink,
    /// More such interfaces, for addresses that are not on the instance's own interface or not
    /// of its family (`use_vmac_addr`, `use_vmac` of an address). Their addresses have
    /// [`VirtualAddress::virtual_mac`] and name the base interface.
    pub address_links: Vec<AddressLink>,
    /// Fault while [`interface`](Self::interface) is down. False for `dont_track_primary`.
    pub track_primary: bool,
    /// What else it depends on.
    pub tracks: Vec<Track>,
    /// Whom to tell of its changes of state.
    pub notify: Notify,
}

impl VrrpInstance {
    /// An instance with Keepalived's defaults: version 2 over IPv4 by multicast, priority 100,
    /// an advert a second, no address.
    pub fn new(name: &str, interface: &str, virtual_router_id: VirtualRouterId) -> VrrpInstance {
        VrrpInstance {
            name: name.into(),
            interface: interface.into(),
            routed: false,
            vrf: None,
            virtual_router_id,
            priority: Priority::DEFAULT,
            version: Version::V2,
            family: Family::Ipv4,
            advert_interval: Centiseconds(100),
            initial_state: InitialState::Backup,
            authentication: Authentication::None,
            destination: Destination::Multicast(Family::Ipv4.group()),
            source: None,
            track_source: false,
            preempt: true,
            preempt_delay: Duration::ZERO,
            down_timer_adverts: 3,
            lower_prio_no_advert: false,
            higher_prio_send_advert: false,
            owner_ignore_adverts: false,
            timer_expired_backup: None,
            skip_check_addresses: false,
            strict: false,
            accept: true,
            v3_checksum: V3Checksum::default(),
            old_unicast_checksum: OldChecksum::default(),
            addresses: Vec::new(),
            excluded_addresses: Vec::new(),
            promote_secondaries: false,
            routes: Vec::new(),
            rules: Vec::new(),
            garp: Garp::default(),
            link: VirtualLink::None,
            address_links: Vec::new(),
            track_primary: true,
            tracks: Vec::new(),
            notify: Notify::default(),
        }
    }

    /// All addresses it holds as master, those its adverts list first.
    pub fn held_addresses(&self) -> impl Iterator<Item = &VirtualAddress> {
        self.addresses.iter().chain(&self.excluded_addresses)
    }

    /// Name of the interface that an address goes to: its own or a virtual one on it, or the
    /// instance's macvlan, or the instance's: adverts alone use an ipvlan.
    pub fn interface_of<'a>(&'a self, address: &'a VirtualAddress) -> &'a str {
        if address.virtual_mac {
            let base = address.interface.as_deref().unwrap_or(&self.interface);
            let family = Family::of(address.address);
            let mut links = self.address_links.iter();
            if let Some(link) = links.find(|link| link.base == base && link.family == family) {
                return &link.name;
            }
        }
        match (&address.interface, &self.link) {
            (Some(interface), _) => interface,
            (None, VirtualLink::Macvlan { name, .. }) => name,
            (None, VirtualLink::None | VirtualLink::Ipvlan { .. }) => &self.interface,
        }
    }
}

/// Version of the protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Version {
    /// RFC 3768: IPv4, whole seconds.
    #[default]
    V2,
    /// RFC 5798 and RFC 9568: both families, hundredths of a second.
    V3,
}

/// Family of addresses.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub enum Family {
    /// IPv4
    #[default]
    Ipv4,
    /// IPv6
    Ipv6,
}

impl Family {
    /// The multicast group that IANA gave VRRP: 224.0.0.18, ff02::12.
    pub const fn group(self) -> IpAddr {
        match self {
            Family::Ipv4 => IpAddr::V4(Ipv4Addr::new(224, 0, 0, 18)),
            Family::Ipv6 => IpAddr::V6(Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x12)),
        }
    }

    /// The family of an address.
    pub const fn of(address: IpAddr) -> Family {
        match address {
            IpAddr::V4(_) => Family::Ipv4,
            IpAddr::V6(_) => Family::Ipv6,
        }
    }
}

/// `state` of a vrrp_instance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum InitialState {
    /// `state MASTER`
    Master,
    /// `state BACKUP`, and the default.
    #[default]
    Backup,
}

/// Authentication of adverts (RFC 2338 5.3.6; removed by RFC 3768 but still in use).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Authentication {
    /// None.
    #[default]
    None,
    /// Type 1: a clear-text password, cut to eight bytes and padded with zeros.
    Pass([u8; 8]),
    /// Type 2: an IPsec authentication header, HMAC-MD5-96 under this key (RFC 2402, 2403).
    Ah([u8; 8]),
    /// A trailer with an HMAC-SHA256 (`auth_hmac`, Keepalived after 2.4.3).
    Hmac(Hmac),
}

/// `auth_hmac`: a trailer of 28 bytes after the message with scheme, key number, time stamp,
/// counter, and an HMAC-SHA256 cut to 16 bytes. Every version and family.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hmac {
    /// The keys, numbers unique. [`active`](Self::active) is among them.
    pub keys: Vec<HmacKey>,
    /// Number of the key that signs (`active_key`).
    pub active: u8,
    /// What a replayed advert is known by (`anti_replay`, `time_window`).
    pub anti_replay: AntiReplay,
    /// Who must sign (`mode`).
    pub mode: HmacMode,
}

/// `key NUMBER VALUE`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HmacKey {
    /// Its number on the wire, 1 to 255.
    pub id: u8,
    /// 32 to 64 bytes.
    pub secret: Vec<u8>,
}

/// `anti_replay`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AntiReplay {
    /// Sequence numbers grow and are no further from the own clock than this (`time_window`).
    Time(Duration),
    /// Sequence numbers grow.
    Monotonic,
}

/// `mode` of `auth_hmac`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum HmacMode {
    /// Signs, and discards what is not signed.
    #[default]
    Enforce,
    /// Signs, and takes what is not signed; a wrong signature is discarded.
    Permissive,
    /// As permissive, but does not sign.
    ReceiveOnly,
}

/// Where adverts go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Destination {
    /// To this group on the link (`mcast_dst_ip`, `vrrp_mcast_group4`).
    Multicast(IpAddr),
    /// To each of some peers.
    Unicast(Unicast),
}

/// `unicast_peer` and what belongs to it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unicast {
    /// The other directors.
    pub peers: Vec<Peer>,
    /// TTL or hop limit of adverts sent (`unicast_ttl`; 255 for IPv4 when the file gives none,
    /// resolved already); absent for the kernel's own.
    pub ttl: Option<u8>,
    /// Discard adverts that come from no peer (`check_unicast_src`).
    pub check_source: bool,
    /// Fault while there are no peers (`unicast_fault_no_peer`).
    pub fault_without_peers: bool,
}

/// One line of `unicast_peer`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// Its address.
    pub address: IpAddr,
    /// Least TTL or hop limit accepted from it.
    pub min_ttl: Option<u8>,
    /// Greatest TTL or hop limit accepted from it.
    pub max_ttl: Option<u8>,
}

/// Which checksum adverts of version 3 over IPv4 carry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum V3Checksum {
    /// With the pseudo header: RFC 5798 as Keepalived reads it, its default.
    #[default]
    WithPseudoHeader,
    /// Without it, as version 2 and RFC 9568 (`v3_checksum_as_v2`).
    AsVersion2,
}

/// `old_unicast_checksum`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum OldChecksum {
    /// The right one is sent; the old one is accepted, and sent once it was seen.
    #[default]
    Detected,
    /// The old one is sent (`old_unicast_checksum`).
    Sent,
    /// The old one is refused (`old_unicast_checksum never`).
    Never,
}

/// Timing of gratuitous ARP and unsolicited neighbour advertisements (keepalived.conf(5)
/// `vrrp_garp_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Garp {
    /// Messages per address in one burst.
    pub repeat: u8,
    /// Time from becoming master to the second burst; zero for none.
    pub delay: Duration,
    /// Time between later refreshing bursts; zero for none.
    pub refresh: Duration,
    /// Messages per address in a refreshing burst.
    pub refresh_repeat: u8,
    /// Messages per address after a weaker master's advert was heard; zero for none.
    pub lower_prio_repeat: u8,
    /// Time from such an advert to the second burst; zero for none.
    pub lower_prio_delay: Duration,
    /// Refreshing messages on the other interfaces of the addresses (`garp_extra_if`).
    pub extra: Option<ExtraGarp>,
}

impl Default for Garp {
    /// Keepalived's defaults: 5 at once, 5 more after 5 s, no refresh.
    fn default() -> Self {
        Garp {
            repeat: 5,
            delay: Duration::from_secs(5),
            refresh: Duration::ZERO,
            refresh_repeat: 1,
            lower_prio_repeat: 5,
            lower_prio_delay: Duration::from_secs(5),
            extra: None,
        }
    }
}

/// `garp_extra_if [all] SECONDS`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExtraGarp {
    /// On every interface of the addresses, not on virtual MAC interfaces alone.
    pub all: bool,
    /// Time between two messages.
    pub interval: Duration,
}

/// An interface of the instance's own, where its addresses go.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum VirtualLink {
    /// None: addresses go to the instance's interface.
    #[default]
    None,
    /// A macvlan with the virtual MAC address (`use_vmac`).
    Macvlan {
        /// Its name; `vrrp.VRID` and the like when the file gives none (resolved already).
        name: String,
        /// Its MAC address: 00-00-5e-00-01-VRID for IPv4, 00-00-5e-00-02-VRID for IPv6 (RFC 9568
        /// 7.3), or the one the file gives.
        mac: [u8; 6],
        /// Adverts travel on the instance's interface (`vmac_xmit_base`).
        transmit_on_base: bool,
        /// Addresses on other interfaces get virtual MAC interfaces there too (`use_vmac_addr`).
        other_interfaces: bool,
    },
    /// An ipvlan in layer-2 mode (`use_ipvlan`).
    Ipvlan {
        /// Its name.
        name: String,
        /// Its address, from which adverts are sent.
        address: Option<(IpAddr, u8)>,
        /// `bridge`, `private` or `vepa` as the kernel's flags: 0, 1, 2.
        flags: u16,
    },
}

/// A macvlan with the virtual MAC address on an interface that is not the instance's own, or for
/// the other family.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressLink {
    /// The interface it is on.
    pub base: String,
    /// Family of its addresses.
    pub family: Family,
    /// Its name.
    pub name: String,
    /// Its MAC address.
    pub mac: [u8; 6],
}
