//! The kernel, and what this process may ask of it.

use model::vrrp::VirtualLink;

use super::attach::version;
use super::{Case, Finding, Report};
use crate::commands::doctor::facts::Kernel;
use crate::commands::doctor::remedy::{Remedy, dotted};

/// The forwarding program uses bpf_loop.
pub(super) const LEAST: (u32, u32) = (5, 17);
const JIT: &str = "net/core/bpf_jit_enable";
/// Clocks that are read without leaving the processor.
const QUICK_CLOCKS: &[&str] =
    &["tsc", "kvm-clock", "arch_sys_counter", "hyperv_clocksource_tsc_page", "xen", "timebase"];
/// Descriptors that a process of ours has open besides connections.
const DESCRIPTORS: usize = 1_000;
/// Capabilities by number (linux/capability.h), name and what they are for; the first ones are
/// needed, the others wanted.
const NEEDED: &[(u32, &str, &str)] = &[
    (12, "CAP_NET_ADMIN", "addresses, routes and the forwarding program"),
    (13, "CAP_NET_RAW", "adverts, gratuitous ARP and next hops"),
];
const WANTED: &[(u32, &str, &str)] = &[
    (10, "CAP_NET_BIND_SERVICE", "frontends on ports below 1024"),
    (14, "CAP_IPC_LOCK", "memory that is never paged out"),
    (23, "CAP_SYS_NICE", "real-time priority"),
];

/// Looks at it.
pub(super) fn examine(case: Case<'_>, report: &mut Report) {
    let kernel = &case.facts.kernel;
    let before = report.findings.len();
    capabilities(case, kernel, report);
    if !case.plan.layer4.virtual_servers.is_empty() {
        packet_programs(case, kernel, report);
    }
    if !case.plan.vrrp.instances.is_empty() {
        punctuality(kernel, report);
        virtual_links(case, kernel, report);
        filter(case, kernel, report);
    }
    descriptors(case, kernel, report);
    if report.findings.len() == before {
        let clock = &kernel.clock;
        report
            .fine(format!("Linux {}: all that is needed is there; clock {clock}", kernel.release));
    }
}

fn packet_programs(case: Case<'_>, kernel: &Kernel, report: &mut Report) {
    let found = version(&kernel.release);
    if found < LEAST {
        let (major, minor) = LEAST;
        let what = format!("Linux {} is older than {major}.{minor}", kernel.release);
        report.find(
            Finding::error("kernel-old", "kernel", what)
                .needed_by("virtual servers")
                .otherwise("the forwarding program is refused: nothing is forwarded")
                .by_hand(format!("run Linux {major}.{minor} or newer (Debian 12 has 6.1)")),
        );
    }
    if let Some(error) = &kernel.bpf_error {
        report.find(
            Finding::error("bpf", "kernel", format!("no BPF program can be loaded: {error}"))
                .needed_by("virtual servers")
                .otherwise("nothing is forwarded")
                .by_hand(
                    "run as root, with CAP_BPF and CAP_NET_ADMIN, outside of kernel lock-down",
                ),
        );
    }
    if case.facts.sysctl(JIT) == Some("0") {
        let what = format!("{} is 0: BPF programs are interpreted", dotted(JIT));
        report.find(
            Finding::warning("bpf-jit", JIT, what)
                .needed_by("virtual servers")
                .otherwise("each packet costs about ten times as much")
                .remedy(Remedy::Sysctl { key: JIT.to_owned(), value: "1".into() }),
        );
    }
    if !kernel.btf {
        report.find(
            Finding::note("btf", "kernel", "the kernel does not describe its types (no BTF)")
                .needed_by("virtual servers")
                .otherwise("the forwarding program works; tools that look into it see less")
                .by_hand("nothing needs to be done; CONFIG_DEBUG_INFO_BTF=y is what it lacks"),
        );
    }
    if !kernel.bpf_file_system {
        report.find(
            Finding::note("bpffs", "/sys/fs/bpf", "no BPF file system is mounted")
                .needed_by("forwarding that outlives the director")
                .otherwise("the director mounts it itself, if it may")
                .by_hand("mount -t bpf bpf /sys/fs/bpf"),
        );
    }
}

fn punctuality(kernel: &Kernel, report: &mut Report) {
    if let Some(error) = &kernel.real_time_error {
        report.find(
            Finding::warning("real-time", "kernel", format!("no real-time priority: {error}"))
                .needed_by("VRRP")
                .otherwise("adverts are late on a busy machine, and the backup may take over")
                .by_hand("give CAP_SYS_NICE, or LimitRTPRIO=50 in the unit")
                .by_hand(
                    "as root: sysctl -w kernel.sched_rt_runtime_us=-1 (RT_GROUP_SCHED in a cgroup)",
                ),
        );
    }
    if !QUICK_CLOCKS.contains(&kernel.clock.as_str()) {
        let clock = if kernel.clock.is_empty() { "unknown" } else { &kernel.clock };
        report.find(
            Finding::warning("clock", "kernel", format!("the clock is {clock}"))
                .needed_by("VRRP, BFD and checks")
                .otherwise("each look at the clock is slow, and timers may drift")
                .by_hand(
                    "choose one of /sys/devices/system/clocksource/clocksource0/available_clocksource",
                ),
        );
    }
}

fn virtual_links(case: Case<'_>, kernel: &Kernel, report: &mut Report) {
    if kernel.macvlan != Some(false) {
        return;
    }
    let instances = case.plan.vrrp.instances.iter();
    let mut users = instances.filter(|one| {
        matches!(one.link, VirtualLink::Macvlan { .. }) || !one.address_links.is_empty()
    });
    let Some(instance) = users.next() else { return };
    report.find(
        Finding::error("macvlan", "kernel", "the kernel has no macvlan")
            .needed_by(format!("use_vmac of vrrp_instance {}", instance.name))
            .otherwise("the instance stays in FAULT")
            .by_hand("modprobe macvlan, or a configuration without `use_vmac`"),
    );
}

/// `no_accept` and virtual MAC interfaces need rules.
fn filter(case: Case<'_>, kernel: &Kernel, report: &mut Report) {
    let Some(error) = &kernel.nft_error else { return };
    let instances = case.plan.vrrp.instances.iter();
    let mut users =
        instances.filter(|one| !one.accept || matches!(one.link, VirtualLink::Macvlan { .. }));
    let Some(instance) = users.next() else { return };
    report.find(
        Finding::error("nftables", "kernel", format!("nftables cannot be used: {error}"))
            .needed_by(format!("vrrp_instance {}", instance.name))
            .otherwise("packets to addresses that are not to be accepted are accepted")
            .by_hand("modprobe nf_tables, or a configuration without `no_accept` and `use_vmac`"),
    );
}

fn capabilities(case: Case<'_>, kernel: &Kernel, report: &mut Report) {
    let lacks = |number: u32| kernel.capabilities & 1 << number == 0;
    let acts = !case.plan.vrrp.instances.is_empty() || !case.plan.layer4.virtual_servers.is_empty();
    for (number, name, purpose) in NEEDED.iter().filter(|one| acts && lacks(one.0)) {
        report.find(
            Finding::error("capability", name, format!("capability {number}, {name}, is missing"))
                .needed_by(*purpose)
                .otherwise("what it is for does not work")
                .by_hand("run as root, or with AmbientCapabilities= in the unit"),
        );
    }
    for (_, name, purpose) in WANTED.iter().filter(|one| lacks(one.0)) {
        report.find(
            Finding::warning("capability", name, format!("{name} is missing"))
                .needed_by(*purpose)
                .otherwise("it is done without")
                .by_hand("run as root, or with AmbientCapabilities= in the unit"),
        );
    }
}

fn descriptors(case: Case<'_>, kernel: &Kernel, report: &mut Report) {
    let proxied = case.plan.proxy.process.max_connections.unwrap_or(0) as usize * 2;
    let checks = case.plan.layer4.virtual_servers.iter();
    let checks: usize = checks.flat_map(|one| &one.real_servers).map(|it| it.checkers.len()).sum();
    let wanted = proxied.max(checks) + DESCRIPTORS;
    if wanted <= kernel.descriptors {
        return;
    }
    let what = format!(
        "a process may have {} descriptors open, up to {wanted} are needed",
        kernel.descriptors
    );
    report.find(
        Finding::warning("descriptors", "RLIMIT_NOFILE", what)
            .needed_by(if proxied > checks { "maxconn of the proxy" } else { "checks" })
            .otherwise("connections beyond that are refused, or checks wait for each other")
            .by_hand(format!("LimitNOFILE={wanted} in the unit, or `ulimit -n {wanted}`")),
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::doctor::bed::{Bed, nat_plan, proxy_plan};
    use crate::commands::doctor::facts::Facts;

    #[test]
    fn each_thing_that_the_kernel_lacks_is_named() {
        type Breach = fn(&mut Facts);
        let table: &[(Breach, &str)] = &[
            (|facts| facts.kernel.release = "5.10.0-28-amd64".into(), "kernel-old"),
            (|facts| facts.kernel.bpf_error = Some("EPERM".into()), "bpf"),
            (|facts| drop(facts.sysctls.insert(JIT.into(), "0".into())), "bpf-jit"),
            (|facts| facts.kernel.real_time_error = Some("EPERM".into()), "real-time"),
            (|facts| facts.kernel.clock = "hpet".into(), "clock"),
            (|facts| facts.kernel.descriptors = 999, "descriptors"),
            (|facts| facts.kernel.capabilities &= !(1 << 12), "capability"),
            (|facts| facts.kernel.capabilities &= !(1 << 23), "capability"),
        ];
        for (breach, code) in table {
            assert_eq!(Bed::broken(nat_plan(), breach).bad(), [*code]);
        }
    }

    #[test]
    fn virtual_mac_addresses_need_macvlans_and_rules() {
        let mut plan = nat_plan();
        plan.vrrp.instances[0].link = VirtualLink::Macvlan {
            name: "vrrp.51".into(),
            mac: [0, 0, 0x5e, 0, 1, 51],
            transmit_on_base: false,
            other_interfaces: false,
        };
        let lacking = |facts: &mut Facts| {
            facts.kernel.macvlan = Some(false);
            facts.kernel.nft_error = Some("EOPNOTSUPP".into());
        };
        assert_eq!(Bed::broken(plan, &lacking).bad(), ["macvlan", "nftables"]);
        assert_eq!(Bed::broken(nat_plan(), &lacking).bad(), [""; 0]);
    }

    #[test]
    fn a_proxy_needs_two_descriptors_for_each_connection() {
        let mut plan = proxy_plan("0.0.0.0:80");
        plan.proxy.process.max_connections = Some(10_000);
        let bed = Bed::broken(plan, &|facts: &mut Facts| facts.kernel.descriptors = 20_000);
        assert_eq!(bed.bad(), ["descriptors"]);
        assert!(bed.first().mend[0].starts_with("LimitNOFILE=21000"));
    }
}
