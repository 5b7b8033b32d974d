//! Generic netlink: what drivers say of their XDP.

use std::io;

use netlink_packet_core::NLM_F_DUMP;

use super::Socket;
use super::dump::{append, attribute};

// linux/genetlink.h
const CONTROLLER: u16 = 16;
const GET_FAMILY: u8 = 3;
const FAMILY_ID: u16 = 1;
const FAMILY_NAME: u16 = 2;
/// struct genlmsghdr: command, version, reserved.
const GENERIC_HEADER: usize = 4;
// linux/netdev.h
const NETDEV: &[u8] = b"netdev\0";
const NETDEV_GET: u8 = 1;
const NETDEV_IFINDEX: u16 = 1;
const NETDEV_XDP_FEATURES: u16 = 3;
const FEATURE_BASIC: u64 = 1;
const FEATURE_REDIRECT: u64 = 2;
const FEATURE_TRANSMIT: u64 = 4;
const FEATURE_FRAGMENTS: u64 = 32;

/// What a driver can do with XDP programs. Kernel: Documentation/netlink/specs/netdev.yaml.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct XdpFeatures {
    /// It runs them, and they pass, drop and send back.
    pub basic: bool,
    /// They send frames out by other interfaces.
    pub redirect: bool,
    /// It sends frames that programs of other interfaces send out by it.
    pub transmit: bool,
    /// They see frames of more than a page (programs of the `frags` kind).
    pub fragments: bool,
}

impl XdpFeatures {
    fn from_bits(bits: u64) -> XdpFeatures {
        XdpFeatures {
            basic: bits & FEATURE_BASIC != 0,
            redirect: bits & FEATURE_REDIRECT != 0,
            transmit: bits & FEATURE_TRANSMIT != 0,
            fragments: bits & FEATURE_FRAGMENTS != 0,
        }
    }
}

/// What the drivers of this thread's network namespace say, by index of the interface. ENOENT: the
/// kernel is older than 6.3 and does not tell.
pub fn xdp_features() -> io::Result<Vec<(u32, XdpFeatures)>> {
    let mut socket = Socket::open_protocol(Some(rustix::net::netlink::GENERIC))?;
    let mut question = vec![GET_FAMILY, 1, 0, 0];
    append(&mut question, FAMILY_NAME, NETDEV);
    let answer = socket.list(CONTROLLER, 0, &question)?;
    let family = answer.first().and_then(|one| attribute(one.get(GENERIC_HEADER..)?, FAMILY_ID));
    let family = family.and_then(|value| value.first_chunk::<2>());
    let family = family.ok_or_else(|| io::Error::from_raw_os_error(libc::ENOENT))?;
    let all = socket.list(u16::from_ne_bytes(*family), NLM_F_DUMP, &[NETDEV_GET, 1, 0, 0])?;
    Ok(all.iter().filter_map(|one| read(one.get(GENERIC_HEADER..)?)).collect())
}

fn read(attributes: &[u8]) -> Option<(u32, XdpFeatures)> {
    let index = attribute(attributes, NETDEV_IFINDEX)?.first_chunk::<4>()?;
    let bits = attribute(attributes, NETDEV_XDP_FEATURES)?.first_chunk::<8>()?;
    Some((u32::from_ne_bytes(*index), XdpFeatures::from_bits(u64::from_ne_bytes(*bits))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_without_features_is_none() {
        let mut bytes = Vec::new();
        append(&mut bytes, NETDEV_IFINDEX, &3u32.to_ne_bytes());
        assert_eq!(read(&bytes), None);
        append(&mut bytes, NETDEV_XDP_FEATURES, &7u64.to_ne_bytes());
        let features =
            XdpFeatures { basic: true, redirect: true, transmit: true, fragments: false };
        assert_eq!(read(&bytes), Some((3, features)));
        for length in 0..bytes.len() {
            assert_eq!(read(&bytes[..length]), None);
        }
    }

    #[test]
    fn the_kernel_tells_of_the_loopback_or_is_too_old() {
        match xdp_features() {
            Ok(all) => assert!(all.iter().any(|(index, _)| *index == 1), "{all:?}"),
            Err(error) => assert_eq!(error.raw_os_error(), Some(libc::ENOENT), "{error}"),
        }
    }
}
