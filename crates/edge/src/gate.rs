//! The gate of the virtual addresses: a pinned map that the vrrp role writes and the forwarding
//! program asks.

use std::io;
use std::net::IpAddr;
use std::path::Path;

use crate::bpf::{Map, MapKind, ensure_pin_directory};

/// Virtual addresses the gate map has room for.
pub const GATE_ADDRESSES_MAX: u32 = 4096;
/// File name of the gate map in the pin directory.
pub const GATE_NAME: &str = "gate";
const GATE_OPEN: u32 = 1;
const GATE_CLOSED: u32 = 0;

/// Makes sure that the gate map is pinned in `pin_directory`, mounting the BPF file system if
/// need be. Entries of an earlier run stay.
pub fn ensure_gate(pin_directory: &Path) -> io::Result<()> {
    ensure_pin_directory(pin_directory)?;
    let path = pin_directory.join(GATE_NAME);
    match Gate::open(pin_directory) {
        Ok(_) => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    Map::create(MapKind::Hash, GATE_NAME, 16, 4, GATE_ADDRESSES_MAX)?.pin(&path)
}

/// The gate of the virtual addresses: whether this director is master of an address. The
/// forwarding program asks it for every packet to a virtual address; closed means that the
/// packet passes to the kernel. Addresses without an entry are always open.
#[derive(Debug)]
pub struct Gate {
    map: Map,
}

impl Gate {
    /// Opens the map that [`ensure_gate`] made.
    pub fn open(pin_directory: &Path) -> io::Result<Gate> {
        let map = Map::open(&pin_directory.join(GATE_NAME))?;
        if map.key_size() != 16 || map.value_size() != 4 {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "the pinned gate map has another layout",
            ));
        }
        Ok(Gate { map })
    }

    /// Opens or closes the gate of an address.
    pub fn set(&self, address: IpAddr, open: bool) -> io::Result<()> {
        let value = if open { GATE_OPEN } else { GATE_CLOSED };
        self.map.update(&gate_key(address), &value.to_ne_bytes())
    }

    /// Forgets an address: VRRP does not manage it any more, so it is always open.
    pub fn remove(&self, address: IpAddr) -> io::Result<()> {
        self.map.delete(&gate_key(address)).map(drop)
    }

    /// Whether the gate of an address is open; `None` for an address without an entry.
    pub fn state(&self, address: IpAddr) -> io::Result<Option<bool>> {
        let mut value = [0; 4];
        let found = self.map.lookup(&gate_key(address), &mut value)?;
        Ok(found.then(|| u32::from_ne_bytes(value) == GATE_OPEN))
    }
}

/// An IPv6 address, or an IPv4 address mapped into one.
fn gate_key(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::path::PathBuf;

    /// A directory on a BPF file system that is gone afterwards.
    struct Pins(PathBuf);

    impl Pins {
        fn new(name: &str) -> Option<Pins> {
            let path =
                PathBuf::from(format!("/sys/fs/bpf/edge-test-{name}-{}", std::process::id()));
            match ensure_gate(&path) {
                Ok(()) => Some(Pins(path)),
                Err(error) => {
                    println!("skipped: no BPF here: {error}");
                    None
                }
            }
        }
    }

    impl Drop for Pins {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_gate_opens_closes_and_forgets_and_a_second_opener_sees_it() {
        let Some(pins) = Pins::new("gate") else { return };
        let address = IpAddr::from([192, 0, 2, 1]);
        let (writer, reader) = (Gate::open(&pins.0).unwrap(), Gate::open(&pins.0).unwrap());
        assert_eq!(reader.state(address).unwrap(), None);
        writer.set(address, true).unwrap();
        assert_eq!(reader.state(address).unwrap(), Some(true));
        writer.set(address, false).unwrap();
        ensure_gate(&pins.0).unwrap();
        assert_eq!(reader.state(address).unwrap(), Some(false), "entries survive a second start");
        writer.remove(address).unwrap();
        assert_eq!(reader.state(address).unwrap(), None);
    }
}
