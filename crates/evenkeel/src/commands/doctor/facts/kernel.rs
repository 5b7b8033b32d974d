//! The kernel, and what this process may do.

use std::fs;

use edge::netlink::Socket;
use edge::netlink::device::has_macvlan;
use edge::{bpf_programs, realtime};
use rustix::fs::{Access, access};
use rustix::process::{Resource, getrlimit};

use super::Kernel;

const BPF_FS_MAGIC: i64 = 0xcafe_4a11;

/// Asks; about macvlans only when they are wanted, because the answer may load a module.
pub(super) fn kernel(socket: &mut Socket, wants_macvlan: bool) -> Kernel {
    let mounted = rustix::fs::statfs("/sys/fs/bpf").is_ok_and(|it| it.f_type == BPF_FS_MAGIC);
    let clock = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
    let descriptors = getrlimit(Resource::Nofile).maximum;
    Kernel {
        release: rustix::system::uname().release().to_string_lossy().into_owned(),
        bpf_error: bpf_programs::try_load().err().map(|error| error.to_string()),
        btf: fs::exists("/sys/kernel/btf/vmlinux").unwrap_or(false),
        bpf_file_system: mounted,
        real_time_error: real_time().err().map(|error| error.to_string()),
        descriptors: descriptors.map_or(usize::MAX, |most| most.try_into().unwrap_or(usize::MAX)),
        sysctls_writable: access("/proc/sys/net/ipv4/ip_forward", Access::WRITE_OK).is_ok(),
        capabilities: capabilities().unwrap_or_default(),
        clock: fs::read_to_string(clock).unwrap_or_default().trim_end().to_owned(),
        macvlan: wants_macvlan.then(|| has_macvlan(socket).ok()).flatten(),
        nft_error: None,
    }
}

/// A thread that ends at once tries it.
fn real_time() -> std::io::Result<()> {
    let tried = std::thread::spawn(|| realtime::raise_priority(1)).join();
    tried.unwrap_or_else(|_| Err(std::io::Error::other("the thread that tried it failed")))
}

fn capabilities() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(line.trim(), 16).ok()
}
