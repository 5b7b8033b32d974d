//! An XDP program that passes every frame, for the far ends of veth cables.
//!
//! What a program sends back with XDP_TX over veth is delivered at once only when the peer has
//! an XDP program of its own (drivers/net/veth.c, veth_xdp_flush); otherwise it waits in the ring
//! for another frame to come along, up to a second.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

const BPF_PROG_LOAD: libc::c_long = 5;
const BPF_LINK_CREATE: libc::c_long = 28;
const BPF_PROG_TYPE_XDP: u32 = 6;
const BPF_XDP: u32 = 37;
/// `r0 = XDP_PASS; exit`
const INSTRUCTIONS: [u64; 2] = [0x0000_0002_0000_00b7, 0x95];
const LICENCE: &[u8] = b"Dual MIT/GPL\0";

/// The fields of BPF_PROG_LOAD up to the last one that is needed.
#[repr(C)]
struct Load {
    program_type: u32,
    instruction_count: u32,
    instructions: u64,
    licence: u64,
}

/// The fields of BPF_LINK_CREATE up to the last one that is needed.
#[repr(C)]
struct Link {
    program: u32,
    interface: u32,
    attach_type: u32,
    flags: u32,
}

/// Attaches the program to an interface of the calling thread's network namespace for as long as
/// the descriptor is open or the interface exists.
pub fn attach(interface: &str) -> io::Result<OwnedFd> {
    let name = CString::new(interface)?;
    // SAFETY: the name is a C string that outlives the call.
    let index = unsafe { libc::if_nametoindex(name.as_ptr()) };
    if index == 0 {
        return Err(io::Error::last_os_error());
    }
    let load = Load {
        program_type: BPF_PROG_TYPE_XDP,
        instruction_count: INSTRUCTIONS.len() as u32,
        instructions: INSTRUCTIONS.as_ptr() as u64,
        licence: LICENCE.as_ptr() as u64,
    };
    let program = bpf(BPF_PROG_LOAD, &load)?;
    let link = Link {
        program: program.as_raw_fd() as u32,
        interface: index,
        attach_type: BPF_XDP,
        flags: 0,
    };
    bpf(BPF_LINK_CREATE, &link)
}

fn bpf<T>(command: libc::c_long, attributes: &T) -> io::Result<OwnedFd> {
    // SAFETY: the attributes are a `repr(C)` prefix of `union bpf_attr` of the stated size, and
    // every pointer in them leads to a constant.
    let descriptor =
        unsafe { libc::syscall(libc::SYS_bpf, command, attributes as *const T, size_of::<T>()) };
    if descriptor < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: both commands return a new descriptor that nothing else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor as i32) })
}
