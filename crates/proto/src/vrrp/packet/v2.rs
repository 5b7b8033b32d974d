//! The advert on the wire: RFC 3768 5.1, authentication data as in RFC 2338 5.3.10.

use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr};

use model::units::VirtualRouterId;
use model::vrrp::{Authentication, VirtualAddress, VrrpInstance};

use super::{ADDRESSES_MAX, Discard, TTL};

const VERSION_AND_TYPE: u8 = 0x21;
const HEADER: usize = 8;
const AUTHENTICATION: usize = 8;

/// A well-formed advert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Advert<'a> {
    /// The virtual router it is about.
    pub virtual_router_id: VirtualRouterId,
    /// Its sender's priority; 0 says that the sender stops.
    pub priority: u8,
    /// Seconds between adverts.
    pub interval: u8,
    authentication_type: u8,
    addresses: &'a [u8],
    authentication: &'a [u8],
}

/// Reads a message (what follows the IP header) and checks all that needs no configuration.
pub fn parse(message: &[u8], ttl: u8) -> Result<Advert<'_>, Discard> {
    if ttl != TTL {
        return Err(Discard::Ttl(ttl));
    }
    let Some((header, rest)) = message.split_first_chunk::<HEADER>() else {
        return Err(Discard::Truncated);
    };
    let [version_and_type, id, priority, count, authentication_type, interval, _, _] = *header;
    if version_and_type >> 4 != 2 {
        return Err(Discard::Version(version_and_type >> 4, 2));
    }
    let Some((addresses, rest)) = rest.split_at_checked(usize::from(count) * 4) else {
        return Err(Discard::Truncated);
    };
    let Some((authentication, _padding)) = rest.split_at_checked(AUTHENTICATION) else {
        return Err(Discard::Truncated);
    };
    if checksum(&message[..HEADER + addresses.len() + AUTHENTICATION]) != 0 {
        return Err(Discard::Checksum);
    }
    if version_and_type & 15 != 1 {
        return Err(Discard::Type(version_and_type & 15));
    }
    if authentication_type > 1 {
        return Err(Discard::UnknownAuthentication(authentication_type));
    }
    let Ok(virtual_router_id) = VirtualRouterId::try_from(id) else {
        return Err(Discard::VirtualRouterId);
    };
    Ok(Advert {
        virtual_router_id,
        priority,
        interval,
        authentication_type,
        addresses,
        authentication,
    })
}

impl Advert<'_> {
    /// The addresses it lists.
    pub fn addresses(&self) -> impl Iterator<Item = Ipv4Addr> {
        self.addresses.as_chunks::<4>().0.iter().map(|&octets| Ipv4Addr::from(octets))
    }

    /// Checks what has to agree with our configuration of the virtual router.
    pub fn check(&self, plan: &VrrpInstance) -> Result<(), Discard> {
        match (self.authentication_type, &plan.authentication) {
            (0, Authentication::None) => {}
            (_, Authentication::Pass(ours)) if self.authentication_type == 1 => {
                if self.authentication != ours {
                    return Err(Discard::Password);
                }
            }
            (theirs, ours) => {
                return Err(Discard::AuthenticationType(theirs, authentication_type(ours)));
            }
        }
        let interval = interval_on_wire(plan);
        if self.interval != interval {
            return Err(Discard::Interval(self.interval, interval));
        }
        let theirs = self.addresses.len() / 4;
        let ours = advertised(plan).count();
        if theirs != ours {
            return Err(Discard::AddressCount(theirs as u8, ours as u8));
        }
        match self.addresses().find(|theirs| !advertised(plan).any(|ours| ours == *theirs)) {
            Some(stranger) => Err(Discard::Address(stranger.into())),
            None => Ok(()),
        }
    }
}

/// The message of one advert of `plan`; the priority is given because 0 says that we stop.
pub fn emit(plan: &VrrpInstance, priority: u8) -> Vec<u8> {
    let mut message = Vec::with_capacity(HEADER + 4 * plan.addresses.len() + AUTHENTICATION);
    message.extend_from_slice(&[
        VERSION_AND_TYPE,
        plan.virtual_router_id.number(),
        priority,
        advertised(plan).count() as u8,
        authentication_type(&plan.authentication),
        interval_on_wire(plan),
        0,
        0,
    ]);
    for address in advertised(plan) {
        message.extend_from_slice(&address.octets());
    }
    message.extend_from_slice(match &plan.authentication {
        Authentication::None | Authentication::Ah(_) | Authentication::Hmac(_) => {
            &[0; AUTHENTICATION]
        }
        Authentication::Pass(password) => password,
    });
    let [high, low] = checksum(&message).to_be_bytes();
    message[6] = high;
    message[7] = low;
    message
}

/// Whole seconds are all that version 2 can carry: parts are rounded up.
fn interval_on_wire(plan: &VrrpInstance) -> u8 {
    plan.advert_interval.0.div_ceil(100).min(255) as u8
}

fn authentication_type(authentication: &Authentication) -> u8 {
    match authentication {
        Authentication::None => 0,
        Authentication::Pass(_) => 1,
        Authentication::Ah(_) => 2,
        Authentication::Hmac(_) => 0,
    }
}

fn advertised(plan: &VrrpInstance) -> impl Iterator<Item = Ipv4Addr> {
    let ipv4 = |virtual_address: &VirtualAddress| match virtual_address.address {
        IpAddr::V4(address) => Some(address),
        IpAddr::V6(_) => None,
    };
    plan.addresses.iter().filter_map(ipv4).take(ADDRESSES_MAX)
}

/// The Internet checksum (RFC 1071): zero over a message that carries its own.
fn checksum(bytes: &[u8]) -> u16 {
    let (words, last) = bytes.as_chunks::<2>();
    let mut sum: u32 = words.iter().map(|&word| u32::from(u16::from_be_bytes(word))).sum();
    if let [byte] = last {
        sum += u32::from(*byte) << 8;
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vrrp::instance::tests::plan;
    use model::units::Centiseconds;

    /// Captured from keepalived 2.2.7: vrid 51, priority 100, 1 s, 10.9.0.100, PASS `secret`.
    const CAPTURED: [u8; 20] = [
        0x21, 0x33, 0x64, 0x01, 0x01, 0x01, 0x33, 0x11, 0x0a, 0x09, 0x00, 0x64, 0x73, 0x65, 0x63,
        0x72, 0x65, 0x74, 0x00, 0x00,
    ];

    fn captured_plan() -> VrrpInstance {
        VrrpInstance { authentication: Authentication::Pass(*b"secret\0\0"), ..plan(100) }
    }

    fn with_checksum(mut message: Vec<u8>) -> Vec<u8> {
        message[6..8].fill(0);
        let [high, low] = checksum(&message).to_be_bytes();
        message[6] = high;
        message[7] = low;
        message
    }

    #[test]
    fn our_advert_is_keepaliveds_to_the_byte() {
        assert_eq!(emit(&captured_plan(), 100), CAPTURED);
    }

    #[test]
    fn keepaliveds_advert_is_accepted() {
        let advert = parse(&CAPTURED, 255).unwrap();
        assert_eq!(advert.virtual_router_id.number(), 51);
        assert_eq!((advert.priority, advert.interval), (100, 1));
        assert!(advert.addresses().eq([Ipv4Addr::new(10, 9, 0, 100)]));
        assert_eq!(advert.check(&captured_plan()), Ok(()));
    }

    #[test]
    fn every_cause_to_discard_has_its_name() {
        let changed = |index: usize, value: u8| {
            let mut message = CAPTURED.to_vec();
            message[index] = value;
            with_checksum(message)
        };
        assert_eq!(parse(&CAPTURED, 254), Err(Discard::Ttl(254)));
        assert_eq!(parse(&changed(0, 0x31), 255), Err(Discard::Version(3, 2)));
        assert_eq!(parse(&changed(0, 0x22), 255), Err(Discard::Type(2)));
        assert_eq!(parse(&changed(1, 0), 255), Err(Discard::VirtualRouterId));
        assert_eq!(parse(&changed(3, 2), 255), Err(Discard::Truncated));
        assert_eq!(parse(&changed(4, 2), 255), Err(Discard::UnknownAuthentication(2)));
        let mut broken = CAPTURED;
        broken[2] ^= 1;
        assert_eq!(parse(&broken, 255), Err(Discard::Checksum));

        let check = |message: &[u8]| parse(message, 255).unwrap().check(&captured_plan());
        assert_eq!(check(&changed(4, 0)), Err(Discard::AuthenticationType(0, 1)));
        assert_eq!(check(&changed(12, b'S')), Err(Discard::Password));
        assert_eq!(check(&changed(5, 2)), Err(Discard::Interval(2, 1)));
        assert_eq!(check(&changed(11, 101)), Err(Discard::Address(IpAddr::from([10, 9, 0, 101]))));
        let mut none = captured_plan();
        none.addresses.clear();
        assert_eq!(check(&emit(&none, 100)), Err(Discard::AddressCount(0, 1)));
    }

    #[test]
    fn every_prefix_and_every_flipped_bit_is_an_answer_and_no_panic() {
        for length in 0..CAPTURED.len() {
            assert!(parse(&CAPTURED[..length], 255).is_err());
        }
        for bit in 0..CAPTURED.len() * 8 {
            let mut message = CAPTURED;
            message[bit / 8] ^= 1 << (bit % 8);
            assert!(parse(&message, 255).is_err());
            let _ = parse(&with_checksum(message.to_vec()), 255).map(|a| a.check(&plan(1)));
        }
    }

    #[test]
    fn an_ethernet_padding_behind_the_message_does_no_harm() {
        let mut padded = CAPTURED.to_vec();
        padded.extend_from_slice(&[0xee; 26]);
        assert!(parse(&padded, 255).is_ok());
    }

    #[test]
    fn more_addresses_than_an_advert_holds_are_cut() {
        let mut many = plan(100);
        let first = many.addresses[0].clone();
        many.addresses = alloc::vec![first; 300];
        let message = emit(&many, 100);
        assert_eq!(message.len(), 8 + 4 * 255 + 8);
        assert_eq!(parse(&message, 255).unwrap().check(&many), Ok(()));
    }

    #[test]
    fn parts_of_a_second_are_rounded_up_on_the_wire() {
        let with = |interval| VrrpInstance { advert_interval: Centiseconds(interval), ..plan(1) };
        assert_eq!([1, 100, 101, 99_999].map(|i| interval_on_wire(&with(i))), [1, 1, 2, 255]);
    }
}
