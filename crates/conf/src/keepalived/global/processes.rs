//! How Keepalived's processes are named, scheduled and fed: the roles see to that themselves.

use alloc::format;
use core::ops::RangeInclusive;

use crate::keepalived::keyword::section::{GLOBAL, LINKBEAT, TOP};
use crate::keepalived::keyword::{Check, Fill, KeywordRow, Rule, keyword};
use crate::keepalived::reader::Reader;
use crate::keepalived::structure::Statement;

/// Longest name of a process (TASK_COMM_LEN - 1).
const COMM_MAX: usize = 15;
const NAMES: &str =
    "killall, pidof and pgrep find the processes under the names keepalived and haproxy";
const SCHEDULING: &str =
    "the vrrp role, which speaks BFD too, asks for real-time scheduling from its start";
const NICE: &str = "the service manager sets it: Nice= of the systemd unit";
const MEMORY: &str = "the vrrp role locks its memory from its start; the others need not";
const PROCESSORS: &str = "the service manager sets them: CPUAffinity= of the systemd unit";
const BUFFERS: &str = "when the kernel reports lost events, everything is read again";
const ADVERT_BUFFERS: &str = "adverts are taken from their sockets as they come";

/// Checked, then forgotten.
const fn checked(check: Check) -> Rule {
    Rule::value(Fill::Check(check))
}

#[rustfmt::skip]
pub(crate) const ROWS: &[KeywordRow] = &[
    keyword("process_names", &[GLOBAL])
        .doc("Gives the processes names of their own.")
        .no_effect(NAMES, checked(flag)),
    keyword("process_name", &[GLOBAL]).syntax("NAME").example("director")
        .doc("Name of the parent process.")
        .no_effect(NAMES, checked(name)),
    keyword("vrrp_process_name", &[GLOBAL]).syntax("NAME").example("director_vrrp")
        .doc("Name of the VRRP process.")
        .no_effect(NAMES, checked(name)),
    keyword("checker_process_name", &[GLOBAL]).alias(&["lvs_process_name"])
        .syntax("NAME").example("director_check")
        .doc("Name of the checker process.")
        .no_effect(NAMES, checked(name)),
    keyword("bfd_process_name", &[GLOBAL]).syntax("NAME").example("director_bfd")
        .doc("Name of the BFD process.")
        .no_effect(NAMES, checked(name)),
    keyword("max_auto_priority", &[GLOBAL]).syntax("[-1..99]").example("50")
        .doc("Bound on the priority that late timers raise.")
        .no_effect(SCHEDULING, checked(max_auto_priority)),
    keyword("min_auto_priority_delay", &[GLOBAL]).syntax("MICROSECONDS").example("500000")
        .doc("Lateness that raises the priority.")
        .no_effect(SCHEDULING, checked(min_auto_priority_delay)),
    keyword("vrrp_priority", &[GLOBAL]).syntax("-20..19").example("-10")
        .doc("Nice value of the VRRP process.")
        .no_effect(SCHEDULING, checked(nice)),
    keyword("checker_priority", &[GLOBAL]).syntax("-20..19").example("5")
        .doc("Nice value of the checker process.")
        .no_effect(NICE, checked(nice)),
    keyword("bfd_priority", &[GLOBAL]).syntax("-20..19").example("-10")
        .doc("Nice value of the BFD process.")
        .no_effect(SCHEDULING, checked(nice)),
    keyword("vrrp_no_swap", &[GLOBAL])
        .doc("Locks the VRRP process's memory.")
        .no_effect(MEMORY, checked(flag)),
    keyword("checker_no_swap", &[GLOBAL])
        .doc("Locks the checker process's memory.")
        .no_effect(MEMORY, checked(flag)),
    keyword("bfd_no_swap", &[GLOBAL])
        .doc("Locks the BFD process's memory.")
        .no_effect(MEMORY, checked(flag)),
    keyword("vrrp_cpu_affinity", &[GLOBAL]).syntax("NUMBER ...").example("0")
        .doc("Processors of the VRRP process.")
        .no_effect(PROCESSORS, checked(processors)),
    keyword("checker_cpu_affinity", &[GLOBAL]).syntax("NUMBER ...").example("0")
        .doc("Processors of the checker process.")
        .no_effect(PROCESSORS, checked(processors)),
    keyword("bfd_cpu_affinity", &[GLOBAL]).syntax("NUMBER ...").example("0")
        .doc("Processors of the BFD process.")
        .no_effect(PROCESSORS, checked(processors)),
    keyword("vrrp_rt_priority", &[GLOBAL]).syntax("1..99").example("50")
        .doc("Real-time priority of the VRRP process.")
        .no_effect(SCHEDULING, checked(real_time)),
    keyword("checker_rt_priority", &[GLOBAL]).syntax("1..99").example("10")
        .doc("Real-time priority of the checker process.")
        .no_effect("checks have hard deadlines without it", checked(real_time)),
    keyword("bfd_rt_priority", &[GLOBAL]).syntax("1..99").example("50")
        .doc("Real-time priority of the BFD process.")
        .no_effect(SCHEDULING, checked(real_time)),
    keyword("vrrp_rlimit_rttime", &[GLOBAL]).alias(&["vrrp_rlimit_rtime"])
        .syntax("MICROSECONDS").example("10000")
        .doc("Processor time of the VRRP process between two waits.")
        .no_effect(SCHEDULING, checked(microseconds)),
    keyword("checker_rlimit_rttime", &[GLOBAL]).alias(&["checker_rlimit_rtime"])
        .syntax("MICROSECONDS").example("10000")
        .doc("Processor time of the checker process between two waits.")
        .no_effect("checks have hard deadlines without it", checked(microseconds)),
    keyword("bfd_rlimit_rttime", &[GLOBAL]).alias(&["bfd_rlimit_rtime"])
        .syntax("MICROSECONDS").example("10000")
        .doc("Processor time of the BFD process between two waits.")
        .no_effect(SCHEDULING, checked(microseconds)),
    keyword("vrrp_netlink_cmd_rcv_bufs", &[GLOBAL]).syntax("BYTES").example("1048576")
        .doc("Netlink buffer of the VRRP process.")
        .no_effect(BUFFERS, checked(bytes)),
    keyword("vrrp_netlink_cmd_rcv_bufs_force", &[GLOBAL]).syntax("[BOOL]").example("true")
        .doc("Forces that size.")
        .no_effect(BUFFERS, checked(boolean)),
    keyword("vrrp_netlink_monitor_rcv_bufs", &[GLOBAL]).syntax("BYTES").example("1048576")
        .doc("Netlink monitor buffer of the VRRP process.")
        .no_effect(BUFFERS, checked(bytes)),
    keyword("vrrp_netlink_monitor_rcv_bufs_force", &[GLOBAL]).syntax("[BOOL]").example("true")
        .doc("Forces that size.")
        .no_effect(BUFFERS, checked(boolean)),
    keyword("lvs_netlink_cmd_rcv_bufs", &[GLOBAL]).syntax("BYTES").example("1048576")
        .doc("Netlink buffer of the checker process.")
        .no_effect(BUFFERS, checked(bytes)),
    keyword("lvs_netlink_cmd_rcv_bufs_force", &[GLOBAL]).syntax("[BOOL]").example("true")
        .doc("Forces that size.")
        .no_effect(BUFFERS, checked(boolean)),
    keyword("lvs_netlink_monitor_rcv_bufs", &[GLOBAL]).syntax("BYTES").example("1048576")
        .doc("Netlink monitor buffer of the checker process.")
        .no_effect(BUFFERS, checked(bytes)),
    keyword("lvs_netlink_monitor_rcv_bufs_force", &[GLOBAL]).syntax("[BOOL]").example("true")
        .doc("Forces that size.")
        .no_effect(BUFFERS, checked(boolean)),
    keyword("process_monitor_rcv_bufs", &[GLOBAL]).syntax("BYTES").example("1048576")
        .doc("Buffer of process events.")
        .no_effect(BUFFERS, checked(bytes)),
    keyword("process_monitor_rcv_bufs_force", &[GLOBAL]).syntax("[BOOL]").example("true")
        .doc("Forces that size.")
        .no_effect(BUFFERS, checked(boolean)),
    keyword("vrrp_rx_bufs_policy", &[GLOBAL]).syntax("MTU|ADVERT|BYTES").example("MTU")
        .doc("Receive buffers of adverts.")
        .no_effect(ADVERT_BUFFERS, checked(rx_bufs_policy)),
    keyword("vrrp_rx_bufs_multiplier", &[GLOBAL]).syntax("COUNT").example("3")
        .doc("Receive buffers of adverts, in adverts.")
        .no_effect(ADVERT_BUFFERS, checked(multiplier)),
    keyword("linkbeat_use_polling", &[TOP])
        .doc("Polls the state of links.")
        .no_effect(LINKS, checked(flag)),
    keyword("linkbeat_interfaces", &[TOP]).syntax("{ INTERFACE [MII|ETHTOOL|IOCTL] ... }")
        .example("{ eth0 ETHTOOL }")
        .doc("Interfaces whose state is polled.")
        .no_effect(LINKS, Rule::block(Fill::Check(linkbeat_interfaces), LINKBEAT)),
    keyword("namespace_with_ipsets", &[TOP])
        .doc("Uses ipsets inside a namespace on kernels before 3.13.")
        .no_effect("nftables needs no ipsets", checked(flag)),
    keyword("dynamic_interfaces", &[GLOBAL]).syntax("[allow_if_changes]").example("allow_if_changes")
        .doc("Interfaces may come, go and change.")
        .no_effect("interfaces are always followed", checked(dynamic_interfaces)),
    keyword("reload_check_config", &[GLOBAL]).syntax("[LOG_FILE]").example("/dev/null")
        .doc("Checks the configuration before a reload.")
        .no_effect("every reload is checked first, and what is found is logged", checked(path)),
    keyword("tmp_config_directory", &[GLOBAL]).syntax("DIRECTORY").example("/tmp")
        .doc("Where a copy of the configuration is kept for all processes.")
        .no_effect("files are read once, and the roles are given what they say", checked(directory)),
];

const LINKS: &str = "the kernel reports every change of a link";

fn flag(reader: &mut Reader<'_>, statement: &Statement<'_>) {
    reader.flag(statement);
}

fn boolean(reader: &mut Reader<'_>, statement: &Statement<'_>) {
    reader.boolean(statement);
}

/// A name of a process as the kernel keeps it.
fn name(reader: &mut Reader<'_>, statement: &Statement<'_>) {
    let Some(word) = reader.argument(statement, "a name") else { return };
    if word.text.len() > COMM_MAX {
        let message = format!("\"{}\" is longer than {COMM_MAX} bytes", word.text);
        reader.error(word.span, message, "shorten it, or remove the line");
    }
}

fn directory(reader: &mut Reader<'_>, statement: &Statement<'_>) {
    reader.argument(statement, "a directory");
}

/// An optional path.
fn path(reader: &mut Reader<'_>, statement: &Statement<'_>) {
    reader.no_more(statement, 1);
}

fn integer(
    reader: &mut Reader<'_>,
    statement: &Statement<'_>,
    needs: &str,
    range: RangeInclusive<i64>,
) {
    if let Some(word) = reader.argument(statement, needs) {
        reader.integer_of(word, needs, range);
    }
}

fn nice(reader: &mut Reader<'_>, statement: &Statement<'_>) {
    integer(reader, statement, "a nice value", -20..=19);
}

fn real_time(reader: &mut Reader<'_>, statement: &Statement<'_>) {
    integer(reader, statement, "a real-time priority", 1..=99);
}

fn max_auto_priority(reader: &mut Reader<'_>, statement: &Statement<'_>) {
    if !statement.arguments().is_empty() {
        integer(reader, statement, "a real-time priority", -1..=99);
    }
}

fn min_auto_priority_delay(reader: &mut Reader<'_>, statement: &Statement<'_>) {
    integer(reader, statement, "a number of microseconds", 1..=10_000_000);
}

fn microseconds(reader: &mut Reader<'_>, statement: &Statement<'_>) {
    integer(reader, statement, "a number of microseconds", 1..=i64::from(u32::MAX));
}

fn bytes(reader: &mut Reader<'_>, statement: &Statement<'_>) {
    integer(reader, statement, "a number of bytes", 0..=i64::from(u32::MAX));
}

fn multiplier(reader: &mut Reader<'_>, statement: &Statement<'_>) {
    integer(reader, statement, "a count", 1..=i64::from(u32::MAX));
}

/// Numbers as /proc/cpuinfo has them; how many this machine has is not asked.
fn processors(reader: &mut Reader<'_>, statement: &Statement<'_>) {
    if reader.first_argument(statement, "a number of a processor").is_none() {
        return;
    }
    for word in statement.arguments() {
        reader.number_of(word, "a number of a processor", 0..=8_191);
    }
}

fn rx_bufs_policy(reader: &mut Reader<'_>, statement: &Statement<'_>) {
    let Some(word) = reader.argument(statement, "MTU, ADVERT or a number of bytes") else { return };
    if !["MTU", "ADVERT"].iter().any(|policy| policy.eq_ignore_ascii_case(&word.text)) {
        reader.number_of(word, "MTU, ADVERT or a number of bytes", 0..=u32::MAX);
    }
}

fn dynamic_interfaces(reader: &mut Reader<'_>, statement: &Statement<'_>) {
    if !statement.arguments().is_empty() {
        reader.choice(statement, &[("allow_if_changes", ())], &[]);
    }
}

fn linkbeat_interfaces(reader: &mut Reader<'_>, statement: &Statement<'_>) {
    reader.no_more(statement, 0);
    for line in reader.block(statement) {
        let words = line.words();
        reader.interface(&words[0]);
        for word in &words[1..] {
            if !["MII", "ETHTOOL", "IOCTL"].contains(&word.text.as_ref()) {
                let message = format!("unknown kind of polling \"{}\"", word.text);
                reader.error(word.span, message, "use MII, ETHTOOL or IOCTL");
            }
        }
    }
}
