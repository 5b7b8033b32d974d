//! What drivers do with packets, and their switches: the parts of ethtool(8) that matter to XDP.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};

// linux/ethtool.h
const GET_DRIVER: u32 = 0x03;
const GET_STRINGS: u32 = 0x1b;
const GET_STRING_COUNTS: u32 = 0x37;
const GET_FEATURES: u32 = 0x3a;
const SET_FEATURES: u32 = 0x3b;
/// ETH_SS_FEATURES: names of the features.
const SET_OF_FEATURES: u32 = 4;
/// ETH_GSTRING_LEN
const STRING: usize = 32;
/// Features that we have room for; kernels have about 70.
const FEATURES_MAX: usize = 256;
const BLOCKS_MAX: usize = FEATURES_MAX / 32;
/// struct ethtool_drvinfo
const DRIVER_INFO: usize = 196;

/// One switch of a driver.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Feature {
    /// It is on.
    pub on: bool,
    /// It can be switched.
    pub changeable: bool,
}

/// A socket for requests about interfaces of one network namespace.
pub struct Ethtool {
    socket: OwnedFd,
}

impl Ethtool {
    /// For the network namespace of this thread.
    pub fn open() -> io::Result<Ethtool> {
        let flags = SocketFlags::CLOEXEC;
        Ok(Ethtool { socket: socket_with(AddressFamily::INET, SocketType::DGRAM, flags, None)? })
    }

    /// Name of an interface's driver (`veth`, `ixgbe`). EOPNOTSUPP: it has none to tell of.
    pub fn driver(&self, interface: &str) -> io::Result<String> {
        let mut info = vec![0; DRIVER_INFO];
        put(&mut info, 0, GET_DRIVER);
        self.call(interface, &mut info)?;
        Ok(crate::netlink::dump::text(&info[4..4 + STRING]))
    }

    /// An interface's switches by the names that `ethtool -k` shows for single ones
    /// (`tx-checksum-ip-generic`, `rx-gro`, `rx-lro`).
    pub fn features(&self, interface: &str) -> io::Result<BTreeMap<String, Feature>> {
        let names = self.names(interface)?;
        let blocks = names.len().div_ceil(32);
        // cmd, size, then per block: available, requested, active, never changed.
        let mut bytes = vec![0; 8 + 16 * blocks];
        put(&mut bytes, 0, GET_FEATURES);
        put(&mut bytes, 4, blocks as u32);
        self.call(interface, &mut bytes)?;
        Ok(read_features(&names, &bytes))
    }

    /// Switches some of them on or off. Those that an interface does not have, or cannot change,
    /// are left; the kernel's answer is an error only when it refuses all.
    pub fn set_features(&self, interface: &str, wanted: &[(&str, bool)]) -> io::Result<()> {
        let names = self.names(interface)?;
        let blocks = names.len().div_ceil(32);
        // cmd, size, then per block: valid, requested.
        let mut bytes = vec![0; 8 + 8 * blocks];
        put(&mut bytes, 0, SET_FEATURES);
        put(&mut bytes, 4, blocks as u32);
        for (name, on) in wanted {
            let Some(place) = names.iter().position(|known| known == name) else { continue };
            let (at, bit) = (8 + 8 * (place / 32), 1 << (place % 32));
            let valid = get(&bytes, at) | bit;
            put(&mut bytes, at, valid);
            if *on {
                let requested = get(&bytes, at + 4) | bit;
                put(&mut bytes, at + 4, requested);
            }
        }
        self.call(interface, &mut bytes)
    }

    /// Names of the features, in the order of their bits.
    fn names(&self, interface: &str) -> io::Result<Vec<String>> {
        // struct ethtool_sset_info: cmd, reserved, mask of 64 bits, one count.
        let mut counts = vec![0; 20];
        put(&mut counts, 0, GET_STRING_COUNTS);
        put(&mut counts, 8, 1 << SET_OF_FEATURES);
        self.call(interface, &mut counts)?;
        let count = get(&counts, 16) as usize;
        if count > FEATURES_MAX {
            return Err(io::Error::other(format!("{count} features, more than {FEATURES_MAX}")));
        }
        // struct ethtool_gstrings: cmd, set, length, strings.
        let mut strings = vec![0; 12 + STRING * count];
        put(&mut strings, 0, GET_STRINGS);
        put(&mut strings, 4, SET_OF_FEATURES);
        put(&mut strings, 8, count as u32);
        self.call(interface, &mut strings)?;
        Ok(strings[12..].chunks(STRING).map(crate::netlink::dump::text).collect())
    }

    /// One SIOCETHTOOL with these bytes as its command.
    fn call(&self, interface: &str, bytes: &mut [u8]) -> io::Result<()> {
        let name = interface.as_bytes();
        if name.is_empty() || name.len() >= libc::IFNAMSIZ || name.contains(&0) {
            return Err(io::Error::from_raw_os_error(libc::ENODEV));
        }
        // SAFETY: all-zero bytes are a valid ifreq.
        let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
        for (to, from) in request.ifr_name.iter_mut().zip(name) {
            *to = *from as libc::c_char;
        }
        request.ifr_ifru.ifru_data = bytes.as_mut_ptr().cast();
        let descriptor = self.socket.as_raw_fd();
        // SAFETY: the request names an interface in a string that ends with a zero, and its data
        // are bytes of ours that live through the call. Each caller gives them the length that
        // their command has: GET_DRIVER the whole structure, GET_STRING_COUNTS room for the one
        // set in its mask, the others room for the count they state, to which the kernel keeps.
        let done = unsafe { libc::ioctl(descriptor, libc::SIOCETHTOOL as _, &mut request) };
        if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}

fn read_features(names: &[String], bytes: &[u8]) -> BTreeMap<String, Feature> {
    let stated = (get(bytes, 4) as usize).min(BLOCKS_MAX);
    let is_set = |word: usize, place: usize| {
        let block = place / 32;
        block < stated && get(bytes, 8 + 16 * block + 4 * word) & 1 << (place % 32) != 0
    };
    let feature =
        |place| Feature { on: is_set(2, place), changeable: is_set(0, place) && !is_set(3, place) };
    let named = names.iter().enumerate().filter(|(_, name)| !name.is_empty());
    named.map(|(place, name)| (name.clone(), feature(place))).collect()
}

/// A word of the structure; zero beyond its end.
fn get(bytes: &[u8], at: usize) -> u32 {
    let word = bytes.get(at..).and_then(|rest| rest.first_chunk::<4>());
    word.map_or(0, |word| u32::from_ne_bytes(*word))
}

fn put(bytes: &mut [u8], at: usize, word: u32) {
    bytes[at..at + 4].copy_from_slice(&word.to_ne_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_are_read_block_by_block() {
        let names: Vec<String> = (0..40).map(|number| format!("f{number}")).collect();
        let mut bytes = vec![0; 8 + 32];
        put(&mut bytes, 4, 2);
        // The first block: f1 available and on, f2 on for ever.
        put(&mut bytes, 8, 0b010);
        put(&mut bytes, 16, 0b110);
        put(&mut bytes, 20, 0b100);
        // The second one: f33 available and off.
        put(&mut bytes, 24, 0b10);
        let found = read_features(&names, &bytes);
        assert_eq!(found["f1"], Feature { on: true, changeable: true });
        assert_eq!(found["f2"], Feature { on: true, changeable: false });
        assert_eq!(found["f33"], Feature { on: false, changeable: true });
        assert_eq!(found["f0"], Feature::default());
        assert_eq!(read_features(&names, &[]).len(), 40);
    }

    #[test]
    fn the_loopback_has_features_and_no_interface_is_an_error() {
        let ethtool = Ethtool::open().unwrap();
        let features = ethtool.features("lo").unwrap();
        assert!(features["loopback"].on && !features["loopback"].changeable);
        for name in ["", "no-such-link", "a-name-of-more-than-fifteen-bytes"] {
            let error = ethtool.features(name).unwrap_err();
            assert_eq!(error.raw_os_error(), Some(libc::ENODEV), "{name}");
        }
    }
}
