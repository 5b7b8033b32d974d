//! The files that Keepalived writes on a signal, in its own forms: exporters and scripts read
//! them.

use std::fmt::{self, Write};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use model::plan::Plan;
use model::status::{InstanceStatus, VrrpReport, VrrpState};
use model::vrrp::{
    Authentication, Broadcast, Destination, Family, PreferredLifetime, Tracked, Version,
    VirtualAddress, VirtualLink, VrrpInstance,
};
use serde_json::{Value, json};

/// What the files are made of.
pub(crate) struct Dump<'a> {
    /// The configuration in force.
    pub(crate) plan: &'a Plan,
    /// What the vrrp role reports.
    pub(crate) report: &'a VrrpReport,
    /// Wall time of the report.
    pub(crate) now: SystemTime,
}

impl Dump<'_> {
    /// `keepalived.stats`
    pub(crate) fn stats(&self) -> String {
        let mut text = String::new();
        for status in &self.report.instances {
            // Writing to a string does not fail.
            let _ = write!(text, "{}", Stats(status));
        }
        text
    }

    /// `keepalived.json`
    pub(crate) fn json(&self) -> String {
        let instances: Vec<Value> = self.pairs().map(|(i, s)| self.instance_json(i, s)).collect();
        Value::Array(instances).to_string()
    }

    /// `keepalived.data`: the part about VRRP.
    pub(crate) fn data(&self) -> String {
        let mut text = String::from("------< Global definitions >------\n");
        let router = self.plan.global.router_id.clone().unwrap_or_else(crate::machine::host_name);
        let _ = writeln!(text, " Router ID = {router}");
        text += "------< VRRP Topology >------\n";
        for (instance, status) in self.pairs() {
            let _ = self.write_instance(&mut text, instance, status);
        }
        if !self.report.groups.is_empty() {
            text += "------< VRRP Sync groups >------\n";
        }
        for group in &self.report.groups {
            let _ = writeln!(text, " VRRP Sync Group = {}, {}", group.name, group.state);
            text += "   VRRP member instances :\n";
            for member in &group.members {
                let _ = writeln!(text, "     {member}");
            }
        }
        text
    }

    fn pairs(&self) -> impl Iterator<Item = (&VrrpInstance, &InstanceStatus)> {
        self.report.instances.iter().filter_map(|status| {
            let plan = self.plan.vrrp.instances.iter().find(|one| one.name == status.name)?;
            Some((plan, status))
        })
    }

    /// When the instance entered its state, seconds since the epoch.
    fn last_transition(&self, status: &InstanceStatus) -> f64 {
        let age = Duration::from_secs(status.state_seconds);
        let since = self.now.checked_sub(age).unwrap_or(UNIX_EPOCH);
        since.duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64())
    }

    fn instance_json(&self, plan: &VrrpInstance, status: &InstanceStatus) -> Value {
        let held = status.state == VrrpState::Master;
        let shown = |list: &[VirtualAddress]| -> Vec<String> {
            list.iter().map(|address| shown_address(plan, address, held)).collect()
        };
        let interval = number(plan.advert_interval.duration());
        let mut data = json!({
            "iname": plan.name,
            "dont_track_primary": i32::from(!plan.track_primary),
            "skip_check_adv_addr": i32::from(plan.skip_check_addresses),
            "strict_mode": i32::from(plan.strict),
            "vmac_ifname": own_interface(plan).unwrap_or_default(),
            "ifp_ifname": plan.interface,
            "master_priority": status.master.map_or(0, |(_, priority)| priority),
            "last_transition": self.last_transition(status),
            "garp_delay": plan.garp.delay.as_secs(),
            "garp_refresh": plan.garp.refresh.as_secs(),
            "garp_rep": plan.garp.repeat,
            "garp_refresh_rep": plan.garp.refresh_repeat,
            "garp_lower_prio_delay": plan.garp.lower_prio_delay.as_secs(),
            "garp_lower_prio_rep": plan.garp.lower_prio_repeat,
            "lower_prio_no_advert": i32::from(plan.lower_prio_no_advert),
            "higher_prio_send_advert": i32::from(plan.higher_prio_send_advert),
            "vrid": status.virtual_router_id,
            "base_priority": status.base_priority,
            "effective_priority": status.priority,
            "vipset": held,
            "promote_secondaries": plan.promote_secondaries,
            "adver_int": interval,
            "master_adver_int": interval,
            "accept": i32::from(plan.accept),
            "nopreempt": !plan.preempt,
            "preempt_delay": plan.preempt_delay.as_secs(),
            "state": state_number(status.state),
            "wantstate": state_number(status.state),
            "version": status.version,
            "smtp_alert": plan.notify.smtp_alert,
            "notify_deleted": plan.notify.says_deleted,
        });
        if let Value::Object(fields) = &mut data {
            let mut add = |name: &str, list: Vec<String>| {
                if !list.is_empty() {
                    fields.insert(name.into(), json!(list));
                }
            };
            add("vips", shown(&plan.addresses));
            add("evips", shown(&plan.excluded_addresses));
            add("track_ifp", self.tracked(plan, interface_name));
            add("track_script", self.tracked(plan, |what| self.script_command(what)));
            let kind = authentication_number(&plan.authentication);
            fields.insert("auth_type".into(), json!(kind));
            if let Authentication::Pass(password) = &plan.authentication {
                fields.insert("auth_data".into(), json!(password_text(password)));
            }
        }
        json!({ "data": data, "stats": stats_json(status) })
    }

    fn tracked(
        &self,
        plan: &VrrpInstance,
        name: impl Fn(&Tracked) -> Option<String>,
    ) -> Vec<String> {
        plan.tracks.iter().filter_map(|track| name(&track.what)).collect()
    }

    fn script_command(&self, what: &Tracked) -> Option<String> {
        let Tracked::Script(name) = what else { return None };
        let script = self.plan.vrrp.trackers.scripts.iter().find(|one| one.name == *name)?;
        Some(
            script
                .command
                .words
                .iter()
                .map(|word| format!("'{word}'"))
                .collect::<Vec<_>>()
                .join(" "),
        )
    }

    fn write_instance(
        &self,
        to: &mut String,
        plan: &VrrpInstance,
        status: &InstanceStatus,
    ) -> fmt::Result {
        let held = status.state == VrrpState::Master;
        writeln!(to, " VRRP Instance = {}", plan.name)?;
        writeln!(to, "   VRRP Version = {}", status.version)?;
        if plan.family == Family::Ipv6 {
            writeln!(to, "   Using Native IPv6")?;
        }
        writeln!(to, "   State = {}", status.state)?;
        writeln!(to, "   Wantstate = {}", status.state)?;
        writeln!(to, "   Number of interface and track script faults = {}", status.faults.len())?;
        writeln!(to, "   Last transition = {:.6}", self.last_transition(status))?;
        if let Some((source, priority)) = status.master {
            writeln!(to, "   Master router = {source}")?;
            writeln!(to, "   Master priority = {priority}")?;
        }
        writeln!(to, "   Interface = {}", own_interface(plan).unwrap_or(&plan.interface))?;
        if let Some(source) = plan.source {
            writeln!(to, "   Using src_ip = {source}")?;
        }
        write_destination(to, plan)?;
        write_announcements(to, plan)?;
        writeln!(to, "   Virtual Router ID = {}", status.virtual_router_id)?;
        writeln!(to, "   Priority = {}", status.base_priority)?;
        writeln!(to, "   Effective priority = {}", status.priority)?;
        writeln!(to, "   Total priority = {}", status.priority)?;
        write_interval(to, plan)?;
        let on = |is_on| if is_on { "enabled" } else { "disabled" };
        writeln!(to, "   Accept = {}", on(plan.accept))?;
        writeln!(to, "   Preempt = {}", on(plan.preempt))?;
        if !plan.preempt_delay.is_zero() {
            writeln!(to, "   Preempt delay = {:.6} secs", plan.preempt_delay.as_secs_f64())?;
        }
        writeln!(to, "   Promote_secondaries = {}", on(plan.promote_secondaries))?;
        match &plan.authentication {
            Authentication::None => {}
            Authentication::Pass(_) => writeln!(to, "   Authentication type = SIMPLE_PASSWORD")?,
            Authentication::Ah(_) => writeln!(to, "   Authentication type = IPSEC_AH")?,
            Authentication::Hmac(_) => writeln!(to, "   Authentication type = HMAC")?,
        }
        for (title, list) in
            [("Virtual IP", &plan.addresses), ("Virtual IP Excluded", &plan.excluded_addresses)]
        {
            if !list.is_empty() {
                writeln!(to, "   {title} ({}):", list.len())?;
            }
            for address in list {
                writeln!(to, "     {}", shown_address(plan, address, held))?;
            }
        }
        for track in &plan.tracks {
            writeln!(to, "   Tracked {} weight {}", tracked_text(&track.what), track.weight)?;
        }
        for fault in &status.faults {
            writeln!(to, "   Fault = {fault}")?;
        }
        let yes = |is_on| if is_on { "yes" } else { "no" };
        writeln!(to, "   Using smtp notification = {}", yes(plan.notify.smtp_alert))?;
        let deleted = if plan.notify.says_deleted { "Deleted" } else { "Fault" };
        writeln!(to, "   Notify deleted = {deleted}")?;
        writeln!(to, "   Notify priority changes = {}", plan.notify.priority_changes)
    }
}

/// One instance's part of `keepalived.stats`.
struct Stats<'a>(&'a InstanceStatus);

impl fmt::Display for Stats<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let InstanceStatus { name, adverts_sent, adverts_received, errors, .. } = self.0;
        writeln!(f, "VRRP Instance: {name}")?;
        writeln!(f, "  Advertisements:")?;
        writeln!(f, "    Received: {adverts_received}")?;
        writeln!(f, "    Sent: {adverts_sent}")?;
        writeln!(f, "  Became master: {}", self.0.became_master)?;
        writeln!(f, "  Released master: {}", self.0.released_master)?;
        writeln!(f, "  Packet Errors:")?;
        writeln!(f, "    Length: {}", errors.packet_length)?;
        writeln!(f, "    TTL: {}", errors.ttl)?;
        writeln!(f, "    Invalid Type: {}", errors.invalid_type)?;
        writeln!(f, "    Advertisement Interval: {}", errors.advert_interval)?;
        writeln!(f, "    Address List: {}", errors.address_list)?;
        writeln!(f, "  Authentication Errors:")?;
        writeln!(f, "    Invalid Type: {}", errors.invalid_authentication)?;
        writeln!(f, "    Type Mismatch: {}", errors.authentication_mismatch)?;
        writeln!(f, "    Failure: {}", errors.authentication_failure)?;
        writeln!(f, "  Priority Zero:")?;
        writeln!(f, "    Received: {}", self.0.zero_received)?;
        writeln!(f, "    Sent: {}", self.0.zero_sent)
    }
}

fn stats_json(status: &InstanceStatus) -> Value {
    let errors = &status.errors;
    json!({
        "advert_rcvd": status.adverts_received,
        "advert_sent": status.adverts_sent,
        "become_master": status.became_master,
        "release_master": status.released_master,
        "packet_len_err": errors.packet_length,
        "advert_interval_err": errors.advert_interval,
        "ip_ttl_err": errors.ttl,
        "invalid_type_rcvd": errors.invalid_type,
        "addr_list_err": errors.address_list,
        "invalid_authtype": errors.invalid_authentication,
        "authtype_mismatch": errors.authentication_mismatch,
        "auth_failure": errors.authentication_failure,
        "pri_zero_rcvd": status.zero_received,
        "pri_zero_sent": status.zero_sent,
    })
}

fn write_destination(to: &mut String, plan: &VrrpInstance) -> fmt::Result {
    match &plan.destination {
        Destination::Multicast(group) => writeln!(to, "   Multicast address {group}"),
        Destination::Unicast(unicast) => {
            writeln!(to, "   Unicast Peer :")?;
            unicast.peers.iter().try_for_each(|peer| writeln!(to, "     {}", peer.address))
        }
    }
}

fn write_announcements(to: &mut String, plan: &VrrpInstance) -> fmt::Result {
    let garp = &plan.garp;
    writeln!(to, "   Gratuitous ARP delay = {}", garp.delay.as_secs())?;
    writeln!(to, "   Gratuitous ARP repeat = {}", garp.repeat)?;
    writeln!(to, "   Gratuitous ARP refresh = {}", garp.refresh.as_secs())?;
    writeln!(to, "   Gratuitous ARP refresh repeat = {}", garp.refresh_repeat)?;
    writeln!(to, "   Gratuitous ARP lower priority delay = {}", garp.lower_prio_delay.as_secs())?;
    writeln!(to, "   Gratuitous ARP lower priority repeat = {}", garp.lower_prio_repeat)?;
    writeln!(to, "   Down timer adverts = {}", plan.down_timer_adverts)?;
    let (lower, higher) = (!plan.lower_prio_no_advert, plan.higher_prio_send_advert);
    writeln!(to, "   Send advert after receive lower priority advert = {lower}")?;
    writeln!(to, "   Send advert after receive higher priority advert = {higher}")
}

fn write_interval(to: &mut String, plan: &VrrpInstance) -> fmt::Result {
    let interval = plan.advert_interval.duration();
    match plan.version {
        Version::V2 => writeln!(to, "   Advert interval = {} sec", interval.as_secs()),
        Version::V3 => writeln!(to, "   Advert interval = {} milli-sec", interval.as_millis()),
    }
}

/// Seconds as a number without needless digits: `1`, `0.5`.
fn number(interval: Duration) -> Value {
    if interval.subsec_nanos() == 0 {
        json!(interval.as_secs())
    } else {
        json!(interval.as_secs_f64())
    }
}

/// INIT, BACKUP, MASTER and FAULT in Keepalived's numbers.
fn state_number(state: VrrpState) -> u8 {
    match state {
        VrrpState::Init => 0,
        VrrpState::Backup => 1,
        VrrpState::Master => 2,
        VrrpState::Fault => 3,
    }
}

fn authentication_number(authentication: &Authentication) -> u8 {
    match authentication {
        Authentication::None | Authentication::Hmac(_) => 0,
        Authentication::Pass(_) => 1,
        Authentication::Ah(_) => 2,
    }
}

fn password_text(password: &[u8; 8]) -> String {
    String::from_utf8_lossy(password).trim_end_matches('\0').to_owned()
}

fn own_interface(plan: &VrrpInstance) -> Option<&str> {
    match &plan.link {
        VirtualLink::None => None,
        VirtualLink::Macvlan { name, .. } | VirtualLink::Ipvlan { name, .. } => Some(name),
    }
}

fn interface_name(what: &Tracked) -> Option<String> {
    match what {
        Tracked::Interface(name) => Some(name.clone()),
        Tracked::Script(_) | Tracked::File(_) | Tracked::Process(_) | Tracked::Bfd(_) => None,
    }
}

fn tracked_text(what: &Tracked) -> String {
    match what {
        Tracked::Interface(name) => format!("interface = {name}"),
        Tracked::Script(name) => format!("script = {name}"),
        Tracked::File(name) => format!("file = {name}"),
        Tracked::Process(name) => format!("process = {name}"),
        Tracked::Bfd(name) => format!("bfd = {name}"),
    }
}

/// `10.9.0.100/24 dev eth0 scope global label eth0:1 set`
fn shown_address(plan: &VrrpInstance, address: &VirtualAddress, held: bool) -> String {
    let VirtualAddress { address: ip, prefix_len, .. } = address;
    let full = if ip.is_ipv4() { 32 } else { 128 };
    let mut text = ip.to_string();
    if *prefix_len != full {
        text += &format!("/{prefix_len}");
    }
    match address.broadcast {
        Some(Broadcast::Address(broadcast)) => text += &format!(" brd {broadcast}"),
        Some(Broadcast::HostBitsSet | Broadcast::HostBitsClear) | None => {}
    }
    let interface = plan.interface_of(address);
    text += &format!(" dev {interface} scope {}", scope_name(address.scope));
    if let Some(label) = &address.label {
        text += &format!(" label {label}");
    }
    match address.preferred {
        PreferredLifetime::Default if ip.is_ipv6() && *prefix_len == full => text += " deprecated",
        PreferredLifetime::Default if ip.is_ipv6() => text += " preferred_lft forever",
        PreferredLifetime::Seconds(0) => text += " deprecated",
        PreferredLifetime::Forever => text += " preferred_lft forever",
        PreferredLifetime::Seconds(seconds) => text += &format!(" preferred_lft {seconds}"),
        PreferredLifetime::Default => {}
    }
    if held {
        text += " set";
    }
    text
}

fn scope_name(scope: u8) -> String {
    match scope {
        0 => "global".into(),
        200 => "site".into(),
        253 => "link".into(),
        254 => "host".into(),
        255 => "nowhere".into(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::status::AdvertErrors;
    use model::units::VirtualRouterId;

    fn sample() -> (Plan, VrrpReport) {
        let id = VirtualRouterId::try_from(51).unwrap();
        let mut instance = VrrpInstance::new("VI_1", "eth0", id);
        instance.authentication = Authentication::Pass(*b"secret\0\0");
        let mut labelled = VirtualAddress::new([10, 9, 0, 100].into(), 24);
        labelled.label = Some("eth0:1".into());
        instance.addresses = vec![labelled, VirtualAddress::new([10, 9, 0, 101].into(), 32)];
        let status = InstanceStatus {
            name: "VI_1".into(),
            interface: "eth0".into(),
            virtual_router_id: 51,
            state: VrrpState::Master,
            state_seconds: 5,
            priority: 105,
            master: None,
            addresses: Vec::new(),
            adverts_sent: 3,
            adverts_received: 2,
            adverts_discarded: 1,
            became_master: 1,
            released_master: 0,
            version: 2,
            ipv6: false,
            base_priority: 100,
            group: None,
            zero_sent: 0,
            zero_received: 4,
            errors: AdvertErrors { ttl: 1, ..AdvertErrors::default() },
            rivals: 0,
            last_rival: None,
            faults: Vec::new(),
        };
        let mut plan = Plan::default();
        plan.global.router_id = Some("R1".into());
        plan.vrrp.instances = vec![instance];
        (plan, VrrpReport { instances: vec![status], ..VrrpReport::default() })
    }

    fn dump<'a>((plan, report): &'a (Plan, VrrpReport)) -> Dump<'a> {
        Dump { plan, report, now: UNIX_EPOCH + Duration::from_secs(1_000) }
    }

    #[test]
    fn the_stats_file_has_keepaliveds_lines() {
        let sample = sample();
        let text = dump(&sample).stats();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "VRRP Instance: VI_1");
        assert_eq!(lines[2..4], ["    Received: 2", "    Sent: 3"]);
        assert!(text.contains("    TTL: 1\n    Invalid Type: 0\n    Advertisement Interval: 0"));
        assert!(text.ends_with("  Priority Zero:\n    Received: 4\n    Sent: 0\n"));
        assert_eq!(lines.len(), 19);
    }

    #[test]
    fn the_json_file_has_keepaliveds_fields() {
        let sample = sample();
        let value: Value = serde_json::from_str(&dump(&sample).json()).unwrap();
        let (data, stats) = (&value[0]["data"], &value[0]["stats"]);
        assert_eq!(data["iname"], "VI_1");
        assert_eq!(data["vips"][0], "10.9.0.100/24 dev eth0 scope global label eth0:1 set");
        assert_eq!(data["vips"][1], "10.9.0.101 dev eth0 scope global set");
        assert_eq!((&data["state"], &data["adver_int"]), (&json!(2), &json!(1)));
        assert_eq!((&data["auth_type"], &data["auth_data"]), (&json!(1), &json!("secret")));
        assert_eq!(
            (&data["base_priority"], &data["effective_priority"]),
            (&json!(100), &json!(105))
        );
        assert_eq!(data["last_transition"], json!(995.0));
        assert_eq!((&stats["advert_rcvd"], &stats["pri_zero_rcvd"]), (&json!(2), &json!(4)));
    }

    #[test]
    fn the_data_file_tells_state_and_priority_as_exporters_look_for_them() {
        let sample = sample();
        let text = dump(&sample).data();
        for line in [
            " VRRP Instance = VI_1",
            "   State = MASTER",
            "   Last transition = 995.000000",
            "   Virtual Router ID = 51",
            "   Effective priority = 105",
            "   Advert interval = 1 sec",
            "     10.9.0.101 dev eth0 scope global set",
        ] {
            assert!(text.lines().any(|one| one == line), "{line} is not in:\n{text}");
        }
    }
}
