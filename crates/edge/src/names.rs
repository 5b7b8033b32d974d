//! Names of addresses, as the machine's resolver knows them.

use std::ffi::CStr;
use std::mem::size_of_val;
use std::net::IpAddr;
use std::ptr;

/// Longest name (NI_MAXHOST).
const NAME_MAX: usize = 1025;

/// The name of an address, from /etc/hosts or DNS as nsswitch.conf(5) says; may take as long as the
/// resolver's time-outs. Nothing if it has none.
pub fn host_name(address: IpAddr) -> Option<String> {
    let mut name = [0u8; NAME_MAX];
    let result = match address {
        IpAddr::V4(address) => {
            // SAFETY: all bytes zero is a valid address of this family.
            let mut socket: libc::sockaddr_in = unsafe { std::mem::zeroed() };
            socket.sin_family = libc::AF_INET as libc::sa_family_t;
            socket.sin_addr.s_addr = u32::from_ne_bytes(address.octets());
            look_up(ptr::from_ref(&socket).cast(), size_of_val(&socket), &mut name)
        }
        IpAddr::V6(address) => {
            // SAFETY: all bytes zero is a valid address of this family.
            let mut socket: libc::sockaddr_in6 = unsafe { std::mem::zeroed() };
            socket.sin6_family = libc::AF_INET6 as libc::sa_family_t;
            socket.sin6_addr.s6_addr = address.octets();
            look_up(ptr::from_ref(&socket).cast(), size_of_val(&socket), &mut name)
        }
    };
    let name = CStr::from_bytes_until_nul(&name).ok()?.to_str().ok()?;
    (result == 0).then(|| name.to_owned())
}

fn look_up(socket: *const libc::sockaddr, length: usize, name: &mut [u8; NAME_MAX]) -> libc::c_int {
    // SAFETY: `socket` points to a whole address of `length` bytes, which lives in the caller, and
    // no more than the length of `name` is written to it.
    unsafe {
        libc::getnameinfo(
            socket,
            length as libc::socklen_t,
            name.as_mut_ptr().cast(),
            name.len() as libc::socklen_t,
            ptr::null_mut(),
            0,
            libc::NI_NAMEREQD,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_address_has_the_name_of_etc_hosts() {
        let hosts = std::fs::read_to_string("/etc/hosts").unwrap_or_default();
        let mut lines = hosts.lines().filter_map(|line| line.strip_prefix("127.0.0.1"));
        let expected = lines.next().and_then(|rest| rest.split_whitespace().next());
        let Some(expected) = expected else {
            return println!("skipped: /etc/hosts has no 127.0.0.1");
        };
        assert_eq!(host_name([127, 0, 0, 1].into()).as_deref(), Some(expected));
    }
}
