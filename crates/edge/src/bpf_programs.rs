//! Questions about BPF programs: whether the kernel takes one from us, whose one is, and which ones
//! use a map.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use crate::bpf::Map;

const PROG_LOAD: libc::c_long = 5;
const PROG_GET_NEXT_ID: libc::c_long = 11;
const PROG_GET_FD_BY_ID: libc::c_long = 13;
const OBJ_GET_INFO_BY_FD: libc::c_long = 15;
const PROG_TYPE_XDP: u32 = 6;
/// `r0 = XDP_PASS; exit`
const INSTRUCTIONS: [u64; 2] = [0x0000_0002_0000_00b7, 0x95];
const LICENCE: &[u8] = b"Dual MIT/GPL\0";
/// Where the name stands in struct bpf_prog_info, and how long it is.
const NAME_AT: usize = 64;
const NAME: usize = 16;
/// Where the number of its maps and the place for their numbers stand there.
const MAPS_AT: usize = 52;
const MAP_IDS_AT: usize = 56;
/// Maps that a program of ours may use.
const MAPS_MAX: usize = 64;
/// Programs looked at, at most.
const PROGRAMS_MAX: usize = 65536;

#[repr(C)]
struct Load {
    kind: u32,
    instruction_count: u32,
    instructions: u64,
    licence: u64,
}

#[repr(C)]
struct ById {
    program: u32,
    next: u32,
    flags: u32,
}

#[repr(C)]
struct Info {
    descriptor: u32,
    length: u32,
    info: u64,
}

/// Loads a program that passes every packet, and lets go of it: whether this process may use BPF
/// here at all. EPERM: no CAP_BPF, or a lock-down; ENOSYS: the kernel has none.
pub fn try_load() -> io::Result<()> {
    let mut load = Load {
        kind: PROG_TYPE_XDP,
        instruction_count: INSTRUCTIONS.len() as u32,
        instructions: INSTRUCTIONS.as_ptr() as u64,
        licence: LICENCE.as_ptr() as u64,
    };
    let program = bpf(PROG_LOAD, &mut load)?;
    // SAFETY: the kernel has just returned this descriptor; nobody else has it.
    drop(unsafe { OwnedFd::from_raw_fd(program) });
    Ok(())
}

/// The name of a program by its number, at most 15 bytes; empty when it has none. ENOENT: it is
/// gone. Needs CAP_SYS_ADMIN.
pub fn name(program: u32) -> io::Result<String> {
    Ok(about(&by_number(program)?)?.0)
}

/// A program of this name (its first 15 bytes) that uses a map, if there is one: how to find those
/// of a process that died. Needs CAP_SYS_ADMIN.
pub fn user_of(map: &Map, name: &str) -> io::Result<Option<OwnedFd>> {
    let map = map.number();
    let name = &name[..name.len().min(NAME - 1)];
    let mut next = ById { program: 0, next: 0, flags: 0 };
    for _ in 0..PROGRAMS_MAX {
        match bpf(PROG_GET_NEXT_ID, &mut next) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => break,
            Err(error) => return Err(error),
        }
        next.program = next.next;
        let program = match by_number(next.program) {
            Ok(program) => program,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        let (found, maps) = about(&program)?;
        if found == name && maps.contains(&map) {
            return Ok(Some(program));
        }
    }
    Ok(None)
}

fn by_number(program: u32) -> io::Result<OwnedFd> {
    let descriptor = bpf(PROG_GET_FD_BY_ID, &mut ById { program, next: 0, flags: 0 })?;
    // SAFETY: the kernel has just returned this descriptor; nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

/// A program's name and the numbers of its maps.
fn about(program: &OwnedFd) -> io::Result<(String, Vec<u32>)> {
    let mut maps = [0u32; MAPS_MAX];
    let mut bytes = [0u8; NAME_AT + NAME];
    bytes[MAPS_AT..MAP_IDS_AT].copy_from_slice(&(MAPS_MAX as u32).to_ne_bytes());
    bytes[MAP_IDS_AT..NAME_AT].copy_from_slice(&(maps.as_mut_ptr() as u64).to_ne_bytes());
    let mut info = Info {
        descriptor: program.as_raw_fd() as u32,
        length: bytes.len() as u32,
        info: bytes.as_mut_ptr() as u64,
    };
    bpf(OBJ_GET_INFO_BY_FD, &mut info)?;
    let count = bytes[MAPS_AT..MAP_IDS_AT].try_into().map_or(0, u32::from_ne_bytes);
    let maps = maps[..(count as usize).min(MAPS_MAX)].to_vec();
    Ok((crate::netlink::dump::text(&bytes[NAME_AT..]), maps))
}

fn bpf<T>(command: libc::c_long, attributes: &mut T) -> io::Result<i32> {
    // SAFETY: the attributes are a `repr(C)` prefix of `union bpf_attr` of the stated size, and
    // every pointer in them, and in the struct bpf_prog_info behind one, leads to a constant or to
    // bytes of ours of the length beside it.
    let done = unsafe {
        libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(attributes), size_of::<T>())
    };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(done as i32) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_loaded_or_the_kernel_says_why_not() {
        match try_load() {
            Ok(()) => {}
            Err(error) => assert!(error.raw_os_error().is_some(), "{error}"),
        }
    }

    #[test]
    fn a_program_that_is_not_there_has_no_name() {
        assert!(name(u32::MAX).is_err());
    }

    #[test]
    fn a_map_that_nobody_uses_has_no_program() {
        let Ok(map) = Map::create(crate::bpf::MapKind::Array, "lonely", 4, 8, 1) else {
            println!("skipped: no BPF here");
            return;
        };
        assert!(map.number() > 0);
        assert!(user_of(&map, "evenkeel_xdp").unwrap().is_none());
    }
}
