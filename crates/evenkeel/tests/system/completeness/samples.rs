//! Minimal configurations: one per row and block that works or is accepted, from the row's
//! example.

use conf::{RowInfo, Status};

/// A row in one of its blocks.
pub(crate) struct Sample {
    pub(crate) row: &'static RowInfo,
    pub(crate) block: &'static str,
    /// With the keyword as its example says.
    pub(crate) with: String,
    /// Without it.
    pub(crate) without: String,
    /// With the keyword and nothing after it, where its arguments may not be left out.
    pub(crate) bare: String,
}

impl Sample {
    /// `block: keyword`
    pub(crate) fn name(&self) -> String {
        format!("{}: {}", self.block, self.row.name)
    }
}

/// What surrounds a keyword in a block; `%` is where it goes. A line of the surroundings that
/// begins with the same keyword makes way for it.
const SURROUNDINGS: &[(&str, &str)] = &[
    (
        "track_group",
        "track_group G { % }; vrrp_instance A { interface eth0; virtual_router_id 7; \
        virtual_ipaddress { 192.0.2.100 } }",
    ),
    (
        "top level",
        "%; vrrp_instance A { interface eth0; virtual_router_id 7; \
        virtual_ipaddress { 192.0.2.100 } }",
    ),
    (
        "global_defs",
        "global_defs { % }; vrrp_instance A { interface eth0; virtual_router_id 7; \
        virtual_ipaddress { 192.0.2.100 } }",
    ),
    (
        "vrrp_instance",
        "global_defs { enable_script_security; script_user root }; track_file F { file /tmp/evenkeel-none }; vrrp_track_process P { process evenkeel-none }; vrrp_script S { script /bin/true }; bfd_instance B { neighbor_ip 192.0.2.10 }; vrrp_instance A { interface eth0; virtual_router_id 7; %; virtual_ipaddress { 192.0.2.100 } }",
    ),
    (
        "vrrp_sync_group",
        "global_defs { enable_script_security; script_user root }; track_file F { file /tmp/evenkeel-none }; vrrp_track_process P { process evenkeel-none }; vrrp_script S { script /bin/true }; bfd_instance B { neighbor_ip 192.0.2.10 }; vrrp_instance A { interface eth0; virtual_router_id 7; virtual_ipaddress { 192.0.2.100 } }; vrrp_instance C { interface eth0; virtual_router_id 8; virtual_ipaddress { 192.0.2.101 } }; vrrp_sync_group G { group { A; C; }; % }",
    ),
    (
        "authentication",
        "vrrp_instance A { interface eth0; virtual_router_id 7; \
        virtual_ipaddress { 192.0.2.100 }; \
        authentication { auth_type PASS; auth_pass secret; % } }",
    ),
    (
        "virtual_server",
        "global_defs { enable_script_security; script_user root }; \
        virtual_server 192.0.2.100 80 { lb_algo rr; lb_kind NAT; protocol TCP; \
        %; real_server 10.0.0.1 80 { TCP_CHECK { } } }",
    ),
    (
        "real_server",
        "global_defs { enable_script_security; script_user root }; \
        virtual_server 192.0.2.100 80 { lb_algo rr; lb_kind NAT; protocol TCP; \
        real_server 10.0.0.1 80 { TCP_CHECK { }; % } }",
    ),
    (
        "TCP_CHECK",
        "virtual_server 192.0.2.100 80 { lb_algo rr; lb_kind NAT; protocol TCP; \
        real_server 10.0.0.1 80 { TCP_CHECK { % } } }",
    ),
    (
        "HTTP_GET",
        "virtual_server 192.0.2.100 80 { lb_algo rr; lb_kind NAT; protocol TCP; \
        real_server 10.0.0.1 80 { HTTP_GET { url { path /; status_code 200 }; % } } }",
    ),
    (
        "url",
        "virtual_server 192.0.2.100 80 { lb_algo rr; lb_kind NAT; protocol TCP; \
        real_server 10.0.0.1 80 { HTTP_GET { url { path /; status_code 200; % } } } }",
    ),
    (
        "SSL_GET",
        "virtual_server 192.0.2.100 80 { lb_algo rr; lb_kind NAT; protocol TCP; \
        real_server 10.0.0.1 80 { SSL_GET { url { path /; status_code 200 }; % } } }",
    ),
    (
        "SMTP_CHECK",
        "virtual_server 192.0.2.100 80 { lb_algo rr; lb_kind NAT; protocol TCP; \
        real_server 10.0.0.1 80 { SMTP_CHECK { % } } }",
    ),
    (
        "host",
        "virtual_server 192.0.2.100 80 { lb_algo rr; lb_kind NAT; protocol TCP; \
        real_server 10.0.0.1 80 { SMTP_CHECK { host { % } } } }",
    ),
    (
        "DNS_CHECK",
        "virtual_server 192.0.2.100 80 { lb_algo rr; lb_kind NAT; protocol TCP; \
        real_server 10.0.0.1 80 { DNS_CHECK { % } } }",
    ),
    (
        "UDP_CHECK",
        "virtual_server 192.0.2.100 80 { lb_algo rr; lb_kind NAT; protocol TCP; \
        real_server 10.0.0.1 80 { UDP_CHECK { require_reply; % } } }",
    ),
    (
        "PING_CHECK",
        "virtual_server 192.0.2.100 80 { lb_algo rr; lb_kind NAT; protocol TCP; \
        real_server 10.0.0.1 80 { PING_CHECK { % } } }",
    ),
    (
        "MISC_CHECK",
        "global_defs { enable_script_security; script_user root }; virtual_server 192.0.2.100 80 { lb_algo rr; lb_kind NAT; protocol TCP; \
        real_server 10.0.0.1 80 { MISC_CHECK { misc_path /bin/true; % } } }",
    ),
    (
        "BFD_CHECK",
        "bfd_instance B { neighbor_ip 192.0.2.10 }; bfd_instance C { neighbor_ip 192.0.2.11 }; \
        virtual_server 192.0.2.100 80 { lb_algo rr; lb_kind NAT; protocol TCP; \
        real_server 10.0.0.1 80 { BFD_CHECK { name B; % } } }",
    ),
    (
        "FILE_CHECK",
        "vrrp_track_file F { file /tmp/evenkeel-none }; vrrp_track_file G { file /tmp/evenkeel-nil }; \
        virtual_server 192.0.2.100 80 { lb_algo rr; lb_kind NAT; protocol TCP; \
        real_server 10.0.0.1 80 { FILE_CHECK { track_file F; % } } }",
    ),
    (
        "SSL",
        "SSL { certificate /etc/ssl/a.pem; key /etc/ssl/a.key; % }; vrrp_instance A { \
        interface eth0; virtual_router_id 7; virtual_ipaddress { 192.0.2.100 } }",
    ),
    (
        "garp_group",
        "vrrp_instance A { interface eth0; virtual_router_id 7; \
        virtual_ipaddress { 192.0.2.100 } }; garp_group { garp_interval 1; interface eth0; % }",
    ),
    (
        "track_file",
        "track_file F { file /tmp/evenkeel-none; % }; vrrp_instance A { interface eth0; \
        virtual_router_id 7; virtual_ipaddress { 192.0.2.100 }; track_file { F } }",
    ),
    (
        "vrrp_track_process",
        "vrrp_track_process P { process evenkeel-none; % }; vrrp_instance A { interface eth0; \
        virtual_router_id 7; virtual_ipaddress { 192.0.2.100 }; track_process { P } }",
    ),
    (
        "vrrp_script",
        "global_defs { enable_script_security; script_user root }; \
        vrrp_script S { script /bin/true; % }; vrrp_instance A { interface eth0; \
        virtual_router_id 7; virtual_ipaddress { 192.0.2.100 }; track_script { S } }",
    ),
    (
        "bfd_instance",
        "bfd_instance D { neighbor_ip 192.0.2.10; % }; vrrp_instance A { interface eth0; \
        virtual_router_id 7; virtual_ipaddress { 192.0.2.100 }; track_bfd { D } }",
    ),
    (
        "auth_hmac",
        "vrrp_instance A { interface eth0; virtual_router_id 7; version 3; \
        virtual_ipaddress { 192.0.2.100 }; \
        auth_hmac { key 1 0123456789abcdef0123456789abcdef; active_key 1; % } }",
    ),
];

/// Keywords that say something only together with others: block, keyword, what stands in the
/// block beside it.
const BESIDE: &[(&str, &str, &str)] = &[
    ("url", "regex_no_match", "regex up"),
    ("url", "regex_options", "regex up"),
    ("url", "regex_min_offset", "regex up"),
    ("url", "regex_max_offset", "regex up"),
    ("global_defs", "startup_script", "enable_script_security; script_user root"),
    ("global_defs", "shutdown_script", "enable_script_security; script_user root"),
    (
        "global_defs",
        "startup_script_timeout",
        "enable_script_security; script_user root; startup_script /bin/true",
    ),
    (
        "global_defs",
        "shutdown_script_timeout",
        "enable_script_security; script_user root; shutdown_script /bin/true",
    ),
    (
        "global_defs",
        "notify_fifo_script",
        "enable_script_security; script_user root; notify_fifo /run/a",
    ),
    (
        "global_defs",
        "vrrp_notify_fifo_script",
        "enable_script_security; script_user root; vrrp_notify_fifo /run/a",
    ),
    (
        "global_defs",
        "lvs_notify_fifo_script",
        "enable_script_security; script_user root; lvs_notify_fifo /run/a",
    ),
    ("virtual_server", "quorum", "weight 5"),
    ("virtual_server", "hysteresis", "weight 5; quorum 3"),
    ("virtual_server", "sorry_server_inhibit", "sorry_server 10.0.0.9 80"),
    ("virtual_server", "sorry_server_lvs_method", "sorry_server 10.0.0.9 80"),
    ("real_server", "lthreshold", "uthreshold 10"),
];

/// Keywords that say something only in other surroundings: block, keyword, these.
const ELSEWHERE: &[(&str, &str, &str)] = &[
    (
        "virtual_server",
        "ops",
        "virtual_server 192.0.2.100 53 { lb_algo rr; lb_kind NAT; protocol UDP; %; \
        real_server 10.0.0.1 53 { UDP_CHECK { } } }",
    ),
    (
        "global_defs",
        "checker_log_all_failures",
        "global_defs { % }; virtual_server 192.0.2.100 80 { lb_algo rr; lb_kind NAT; \
        protocol TCP; real_server 10.0.0.1 80 { TCP_CHECK { } } }",
    ),
    (
        "top level",
        "virtual_server_group",
        "%; virtual_server group web { lb_algo rr; lb_kind NAT; protocol TCP; \
        real_server 10.0.0.1 80 { TCP_CHECK { } } }",
    ),
    (
        "virtual_server",
        "ip_family",
        "virtual_server fwmark 5 { lb_algo rr; lb_kind TUN; %; \
        real_server 2001:db8::2 { PING_CHECK { } } }",
    ),
    ("vrrp_instance", "unicast_src_ip", UNICAST),
    ("vrrp_instance", "old_unicast_checksum", UNICAST),
    (
        "top level",
        "vrrp_sync_group",
        "%; vrrp_instance A { interface eth0; virtual_router_id 7; virtual_ipaddress { 192.0.2.100 } }; vrrp_instance B { interface eth0; virtual_router_id 8; virtual_ipaddress { 192.0.2.101 } }",
    ),
    (
        "vrrp_sync_group",
        "group",
        "vrrp_instance A { interface eth0; virtual_router_id 7; virtual_ipaddress { 192.0.2.100 } }; vrrp_instance B { interface eth0; virtual_router_id 8; virtual_ipaddress { 192.0.2.101 } }; vrrp_sync_group G { % }",
    ),
    (
        "top level",
        "vrrp_script",
        "global_defs { enable_script_security; script_user root }; %; vrrp_instance A { interface eth0; virtual_router_id 7; track_script { S }; virtual_ipaddress { 192.0.2.100 } }",
    ),
    (
        "top level",
        "track_file",
        "%; vrrp_instance A { interface eth0; virtual_router_id 7; track_file { F }; virtual_ipaddress { 192.0.2.100 } }",
    ),
    (
        "top level",
        "vrrp_track_process",
        "%; vrrp_instance A { interface eth0; virtual_router_id 7; track_process { P }; virtual_ipaddress { 192.0.2.100 } }",
    ),
    (
        "vrrp_instance",
        "unicast_ttl",
        "vrrp_instance A { interface eth0; virtual_router_id 7; unicast_src_ip 192.0.2.9; unicast_peer { 192.0.2.10 }; %; virtual_ipaddress { 192.0.2.100 } }",
    ),
    (
        "vrrp_instance",
        "check_unicast_src",
        "vrrp_instance A { interface eth0; virtual_router_id 7; unicast_src_ip 192.0.2.9; unicast_peer { 192.0.2.10 }; %; virtual_ipaddress { 192.0.2.100 } }",
    ),
    (
        "vrrp_instance",
        "unicast_fault_no_peer",
        "vrrp_instance A { interface eth0; virtual_router_id 7; unicast_src_ip 192.0.2.9; unicast_peer { 192.0.2.10 }; %; virtual_ipaddress { 192.0.2.100 } }",
    ),
    (
        "vrrp_instance",
        "track_src_ip",
        "vrrp_instance A { interface eth0; virtual_router_id 7; mcast_src_ip 192.0.2.9; %; virtual_ipaddress { 192.0.2.100 } }",
    ),
    (
        "vrrp_instance",
        "garp_extra_if",
        "vrrp_instance A { interface eth0; virtual_router_id 7; use_vmac; %; virtual_ipaddress { 192.0.2.100; 192.0.2.101 dev eth1 } }",
    ),
    (
        "global_defs",
        "vrrp_garp_extra_if",
        "global_defs { % }; vrrp_instance A { interface eth0; virtual_router_id 7; use_vmac; virtual_ipaddress { 192.0.2.100; 192.0.2.101 dev eth1 } }",
    ),
    (
        "vrrp_instance",
        "use_vmac_addr",
        "vrrp_instance A { interface eth0; virtual_router_id 7; use_vmac; %; virtual_ipaddress { 192.0.2.100; 192.0.2.101 dev eth1 } }",
    ),
    (
        "vrrp_instance",
        "vmac_xmit_base",
        "vrrp_instance A { interface eth0; virtual_router_id 7; use_vmac; %; virtual_ipaddress { 192.0.2.100; 192.0.2.101 dev eth1 } }",
    ),
    (
        "vrrp_instance",
        "native_ipv6",
        "vrrp_instance A { interface eth0; virtual_router_id 7; %; virtual_ipaddress { fe80::100 } }",
    ),
    (
        "bfd_instance",
        "checker",
        "bfd_instance D { neighbor_ip 192.0.2.10; % }; vrrp_instance A { interface eth0; virtual_router_id 7; nopreempt; virtual_ipaddress { 192.0.2.100 } }",
    ),
    ("virtual_server", "virtualhost", PAGES),
    ("virtual_server", "sh-port", SOURCE_HASHING),
    ("virtual_server", "sh-fallback", SOURCE_HASHING),
    ("virtual_server", "mh-port", MAGLEV),
    ("virtual_server", "mh-fallback", MAGLEV),
    ("virtual_server", "flag-1", MAGLEV),
    ("virtual_server", "flag-2", SOURCE_HASHING),
    ("virtual_server", "hashed", SOURCE_HASHING),
    (
        "url",
        "tls_compliant",
        "virtual_server 192.0.2.100 80 { lb_algo rr; lb_kind NAT; protocol TCP; \
        real_server 10.0.0.1 80 { SSL_GET { url { path /; % } } } }",
    ),
    (
        "real_server",
        "BFD_CHECK",
        "bfd_instance B { neighbor_ip 192.0.2.10 }; virtual_server 192.0.2.100 80 { lb_algo rr; \
        lb_kind NAT; protocol TCP; real_server 10.0.0.1 80 { TCP_CHECK { }; % } }",
    ),
    (
        "real_server",
        "MISC_CHECK",
        "global_defs { enable_script_security }; virtual_server 192.0.2.100 80 { lb_algo rr; \
        lb_kind NAT; protocol TCP; real_server 10.0.0.1 80 { TCP_CHECK { }; % } }",
    ),
    (
        "real_server",
        "FILE_CHECK",
        "track_file F { file /tmp/evenkeel-none }; virtual_server 192.0.2.100 80 { lb_algo rr; \
        lb_kind NAT; protocol TCP; real_server 10.0.0.1 80 { TCP_CHECK { }; % } }",
    ),
    (
        "real_server",
        "virtualhost",
        "virtual_server 192.0.2.100 80 { lb_algo rr; lb_kind NAT; protocol TCP; \
        real_server 10.0.0.1 80 { %; HTTP_GET { url { path /; status_code 200 } } } }",
    ),
    (
        "global_defs",
        "vrrp_check_unicast_src",
        "global_defs { % }; vrrp_instance A { interface eth0; virtual_router_id 7; \
        unicast_src_ip 192.0.2.9; unicast_peer { 192.0.2.10 }; \
        virtual_ipaddress { 192.0.2.100 } }",
    ),
    (
        "global_defs",
        "vrrp_mcast_group6",
        "global_defs { % }; vrrp_instance A { interface eth0; virtual_router_id 7; \
        virtual_ipaddress { fe80::100 } }",
    ),
    ("global_defs", "default_interface", "global_defs { % }; static_ipaddress { 192.0.2.50/24 }"),
    (
        "global_defs",
        "vmac_prefix",
        "global_defs { % }; vrrp_instance A { interface eth0; virtual_router_id 7; use_vmac; \
        virtual_ipaddress { 192.0.2.100 } }",
    ),
    (
        "global_defs",
        "vmac_addr_prefix",
        "global_defs { % }; vrrp_instance A { interface eth0; virtual_router_id 7; use_vmac; \
        virtual_ipaddress { 192.0.2.100 dev eth1 use_vmac } }",
    ),
];

/// An instance with a peer.
const UNICAST: &str = "vrrp_instance A { interface eth0; virtual_router_id 7; unicast_peer { 192.0.2.10 }; %; virtual_ipaddress { 192.0.2.100 } }";

/// A checker that asks for pages.
const PAGES: &str = "virtual_server 192.0.2.100 80 { lb_algo rr; lb_kind NAT; protocol TCP; %; \
    real_server 10.0.0.1 80 { HTTP_GET { url { path /; status_code 200 } } } }";

const SOURCE_HASHING: &str = "virtual_server 192.0.2.100 80 { lb_algo sh; lb_kind NAT; \
    protocol TCP; %; real_server 10.0.0.1 80 { TCP_CHECK { } } }";

const MAGLEV: &str = "virtual_server 192.0.2.100 80 { lb_algo mh; lb_kind NAT; \
    protocol TCP; %; real_server 10.0.0.1 80 { TCP_CHECK { } } }";

/// Keywords whose only argument is the default, or that say what is so anyway.
const DEFAULTS: &[(&str, &str)] = &[
    ("virtual_server", "ip_family"),
    ("top level", "global_defs"),
    ("vrrp_instance", "preempt"),
    ("vrrp_instance", "accept"),
    ("vrrp_instance", "native_ipv6"),
    ("vrrp_instance", "no_virtual_ipaddress"),
    ("vrrp_instance", "timer_expired_backup"),
    ("vrrp_instance", "vrf"),
    ("global_defs", "include_check"),
    ("global_defs", "random_seed"),
];

/// Where `check` and `keepalived -t` differ on purpose: block, keyword, reason.
const EXCEPTIONS: &[(&str, &str, &str)] = &[
    ("virtual_server", "nat_mask", "laxer: it is unknown there, and old files that have it start"),
    ("global_defs", "smtp_helo_name", "stricter: a name that is left out was forgotten"),
    ("global_defs", "random_seed", "laxer: the number that is left out is never asked for"),
    ("vrrp_sync_group", "global_tracking", "laxer: it is deprecated there and works here"),
    ("vrrp_instance", "linkbeat_use_polling", "laxer: it is deprecated there, a note here"),
    ("vrrp_instance", "vrf", "the sample names an interface that is no vrf"),
    ("url", "status_code", "stricter: a code that is left out was forgotten"),
    ("url", "regex", "stricter: a pattern that is left out was forgotten"),
    ("url", "regex_options", "stricter: an option that is left out was forgotten"),
    ("url", "regex_min_offset", "stricter: a number that is left out was forgotten"),
    ("url", "regex_max_offset", "stricter: a number that is left out was forgotten"),
    ("FILE_CHECK", "dynamic", "laxer: the manual has it and the program does not"),
];

/// The keyword says what is so without it.
pub(crate) fn says_the_default(sample: &Sample) -> bool {
    DEFAULTS.contains(&(sample.block, sample.row.name))
}

/// Why the verdicts differ.
pub(crate) fn exception(sample: &Sample) -> Option<&'static str> {
    let found = EXCEPTIONS
        .iter()
        .find(|(block, name, _)| (*block, *name) == (sample.block, sample.row.name));
    found.map(|(_, _, reason)| *reason)
}

/// One sample per row and block.
pub(crate) fn all() -> Vec<Sample> {
    let mut samples = Vec::new();
    for row in super::rows().filter(|row| !matches!(row.status, Status::Rejected(_))) {
        // What may stand anywhere is read before the blocks are.
        for block in row.sections.iter().filter(|block| **block != "anywhere") {
            samples.push(sample(row, block));
        }
    }
    samples
}

fn sample(row: &'static RowInfo, block: &'static str) -> Sample {
    let around = SURROUNDINGS.iter().find(|(name, _)| *name == block);
    let around = around.unwrap_or_else(|| panic!("{block} needs surroundings")).1;
    let elsewhere =
        ELSEWHERE.iter().find(|(name, keyword, _)| (*name, *keyword) == (block, row.name));
    let around = elsewhere.map_or(around, |(_, _, around)| around);
    let beside = BESIDE.iter().find(|(name, keyword, _)| (*name, *keyword) == (block, row.name));
    let beside = beside.map_or("", |(_, _, beside)| beside);
    let around = around.replace('%', &format!("{beside}; %"));
    let needs_arguments = !row.syntax.is_empty() && !row.syntax.starts_with('[');
    // What Keepalived does not know stands in lines that it leaves alone.
    let is_own = row.doc.contains("after @evenkeel");
    let with = format!("{}{} {}", if is_own { "@evenkeel " } else { "" }, row.name, row.example);
    let opens = row.example.ends_with('}') || is_own;
    let bare = if needs_arguments && !opens { row.name } else { with.as_str() };
    Sample {
        row,
        block,
        with: lines(&around, block, row.name, &with),
        without: lines(&around, block, row.name, ""),
        bare: lines(&around, block, row.name, bare),
    }
}

/// One statement to a line, as people write it; those of the surroundings that the keyword
/// replaces are left out.
fn lines(around: &str, block: &str, name: &str, statement: &str) -> String {
    let (before, after) = around.split_once('%').expect("a place for the keyword");
    let keep = |text: &str| split(text).filter(|line| first(line) != name).collect::<Vec<_>>();
    let replaced =
        |text: &str| split(text).any(|line| first(&line) == name && !line.ends_with('{'));
    let around_keyword = if block != "garp_group" && (replaced(before) || replaced(after)) {
        (keep(before), keep(after))
    } else {
        (split(before).collect(), split(after).collect())
    };
    let mut all: Vec<String> = around_keyword.0;
    all.extend(split(statement));
    all.extend(around_keyword.1);
    all.join("\n") + "\n"
}

fn first(line: &str) -> &str {
    line.split_whitespace().next().unwrap_or_default()
}

/// Statements: braces and semicolons end lines, but not within quotes.
fn split(text: &str) -> impl Iterator<Item = String> {
    let mut lines = vec![String::new()];
    let mut quoted = false;
    for c in text.chars() {
        quoted ^= c == '"';
        let line = lines.last_mut().expect("a line");
        match c {
            '{' if !quoted => {
                line.push('{');
                lines.push(String::new());
            }
            '}' if !quoted => lines.extend(["}".to_owned(), String::new()]),
            ';' | '\n' if !quoted => lines.push(String::new()),
            c => line.push(c),
        }
    }
    lines.into_iter().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty())
}
