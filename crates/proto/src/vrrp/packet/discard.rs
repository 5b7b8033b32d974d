//! Every cause to throw an advert away.

use core::fmt;
use core::net::IpAddr;

use model::status::AdvertErrors;

/// Why an advert was thrown away (RFC 3768 7.1, RFC 9568 7.1, and Keepalived's own rules).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Discard {
    /// The TTL or hop limit of a multicast advert is not 255: it passed a router.
    Ttl(u8),
    /// The TTL or hop limit of a peer's advert is outside its limits: theirs, least, greatest.
    TtlRange(u8, u8, u8),
    /// Another version than configured: theirs, ours.
    Version(u8, u8),
    /// Shorter than its headers say.
    Truncated,
    /// Longer than its headers say: the bytes, and those expected.
    Length(usize, usize),
    /// The checksum is wrong.
    Checksum,
    /// There is one type of message, 1.
    Type(u8),
    /// Virtual router id zero.
    VirtualRouterId,
    /// An IPv4 advert for an IPv6 virtual router, or the other way round.
    Family,
    /// Multicast for an instance that has peers.
    Multicast(IpAddr),
    /// Multicast to another group than the instance's.
    Group(IpAddr),
    /// Unicast for an instance that listens to its group.
    Unicast(IpAddr),
    /// It comes from no configured peer (`check_unicast_src`, and always with `auth_hmac`).
    Stranger(IpAddr),
    /// An authentication type that RFC 2338 and we do not use.
    UnknownAuthentication(u8),
    /// Another authentication type than configured: theirs, ours.
    AuthenticationType(u8, u8),
    /// Another password.
    Password,
    /// An authentication header where none is configured.
    UnexpectedHeader,
    /// No authentication header although one is configured.
    MissingHeader,
    /// An authentication header that is not VRRP's: next header, length field.
    Header(u8, u8),
    /// The authentication header's signature is wrong.
    Signature,
    /// The security parameter index is not the source address, as Keepalived wants it.
    ParameterIndex(u32),
    /// An authentication header's sequence number that is not above the last: theirs, the last.
    Replay(u32, u32),
    /// No `auth_hmac` trailer although one is required.
    MissingTrailer,
    /// A trailer of another scheme, or with reserved bits set.
    Trailer(u8, u16),
    /// A trailer signed by a key that is not configured.
    UnknownKey(u8),
    /// The trailer's signature is wrong.
    TrailerSignature,
    /// The trailer's time stamp is this many seconds behind (negative: ahead of) our clock, more
    /// than the window of the second number.
    Stale(i32, u32),
    /// The trailer's sequence is not above the last one of this sender.
    TrailerReplay,
    /// Another interval, in seconds, than configured: theirs, ours. Version 2 only.
    Interval(u8, u8),
    /// An interval of zero in version 3.
    ZeroInterval,
    /// Another number of addresses than configured: theirs, ours.
    AddressCount(u8, u8),
    /// An address that is not configured.
    Address(IpAddr),
    /// A configured address is missing.
    Lacks(IpAddr),
}

impl Discard {
    /// Counts it where the VRRP MIBs and Keepalived's dump do.
    pub fn count(&self, errors: &mut AdvertErrors) {
        let counter = match self {
            Discard::Truncated | Discard::Length(..) => &mut errors.packet_length,
            Discard::Interval(..) | Discard::ZeroInterval => &mut errors.advert_interval,
            Discard::Ttl(_) | Discard::TtlRange(..) => &mut errors.ttl,
            Discard::Type(_) => &mut errors.invalid_type,
            Discard::Checksum => &mut errors.checksum,
            Discard::AddressCount(..)
            | Discard::Address(_)
            | Discard::Lacks(_)
            | Discard::Multicast(_)
            | Discard::Group(_)
            | Discard::Unicast(_) => &mut errors.address_list,
            Discard::UnknownAuthentication(_) => &mut errors.invalid_authentication,
            Discard::AuthenticationType(..)
            | Discard::UnexpectedHeader
            | Discard::MissingHeader
            | Discard::MissingTrailer => &mut errors.authentication_mismatch,
            Discard::Password
            | Discard::Signature
            | Discard::ParameterIndex(_)
            | Discard::Replay(..)
            | Discard::Trailer(..)
            | Discard::UnknownKey(_)
            | Discard::TrailerSignature
            | Discard::Stale(..)
            | Discard::TrailerReplay => &mut errors.authentication_failure,
            Discard::Version(..)
            | Discard::VirtualRouterId
            | Discard::Family
            | Discard::Stranger(_)
            | Discard::Header(..) => &mut errors.other,
        };
        *counter += 1;
    }
}

impl fmt::Display for Discard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Discard::Ttl(ttl) => write!(f, "TTL {ttl} instead of 255"),
            Discard::TtlRange(ttl, least, most) => {
                write!(f, "TTL {ttl} is not between {least} and {most}")
            }
            Discard::Version(theirs, ours) => write!(f, "version {theirs} instead of {ours}"),
            Discard::Truncated => f.write_str("truncated"),
            Discard::Length(theirs, ours) => write!(f, "{theirs} bytes instead of {ours}"),
            Discard::Checksum => f.write_str("wrong checksum"),
            Discard::Type(kind) => write!(f, "unknown type {kind}"),
            Discard::VirtualRouterId => f.write_str("virtual router id 0"),
            Discard::Family => f.write_str("wrong address family"),
            Discard::Multicast(group) => write!(f, "sent to the group {group}, not to us"),
            Discard::Group(group) => write!(f, "sent to the group {group}, not to ours"),
            Discard::Unicast(address) => write!(f, "sent to {address}, not to the group"),
            Discard::Stranger(source) => write!(f, "{source} is no peer"),
            Discard::UnknownAuthentication(kind) => {
                write!(f, "unknown authentication type {kind}")
            }
            Discard::AuthenticationType(theirs, ours) => {
                write!(f, "authentication type {theirs}, {ours} is configured")
            }
            Discard::Password => f.write_str("wrong password"),
            Discard::UnexpectedHeader => f.write_str("authentication header, none is configured"),
            Discard::MissingHeader => f.write_str("no authentication header, AH is configured"),
            Discard::Header(next, length) => {
                write!(f, "authentication header of protocol {next} with length {length}")
            }
            Discard::Signature => f.write_str("wrong signature in the authentication header"),
            Discard::ParameterIndex(index) => {
                write!(f, "security parameter index {index:#010x} is not the source address")
            }
            Discard::Replay(theirs, last) => {
                write!(f, "sequence number {theirs} repeated, {last} was seen")
            }
            Discard::MissingTrailer => f.write_str("no trailer, auth_hmac is configured"),
            Discard::Trailer(scheme, reserved) => {
                write!(f, "trailer of scheme {scheme} with reserved bits {reserved:#06x}")
            }
            Discard::UnknownKey(id) => write!(f, "trailer signed by key {id}, which is unknown"),
            Discard::TrailerSignature => f.write_str("wrong signature in the trailer"),
            Discard::Stale(behind, window) => {
                write!(f, "trailer is {behind} s behind our clock, {window} s are allowed")
            }
            Discard::TrailerReplay => f.write_str("sequence of the trailer repeated"),
            Discard::Interval(theirs, ours) => {
                write!(f, "advert interval of {theirs} s, {ours} s is configured")
            }
            Discard::ZeroInterval => f.write_str("advert interval of zero"),
            Discard::AddressCount(theirs, ours) => {
                write!(f, "lists {theirs} addresses, {ours} are configured")
            }
            Discard::Address(address) => write!(f, "lists {address}, which is not configured"),
            Discard::Lacks(address) => write!(f, "does not list {address}, which is configured"),
        }
    }
}
