//! The files that Keepalived writes on a signal, in its own forms: exporters and scripts read
//! them.

mod data;
mod since;
mod words;

use std::fmt::{self, Write};

use model::plan::Plan;
use model::status::{InstanceStatus, ScriptStatus, VrrpReport, VrrpState};
use model::vrrp::{Authentication, Command, VirtualAddress, VrrpInstance};
use serde_json::{Value, json};

pub(crate) use since::Since;
use words::{
    Kind, authentication_number, command_line, number, own_interface, password_text, shown_address,
    state_number, tracked,
};

/// What the files are made of.
pub(crate) struct Dump<'a> {
    /// The configuration in force.
    pub(crate) plan: &'a Plan,
    /// What the vrrp role reports.
    pub(crate) report: &'a VrrpReport,
    /// What the helper role reports of scripts.
    pub(crate) scripts: &'a [ScriptStatus],
    /// Since when instances are in their states.
    pub(crate) since: &'a Since,
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

    fn pairs(&self) -> impl Iterator<Item = (&VrrpInstance, &InstanceStatus)> {
        self.report.instances.iter().filter_map(|status| {
            let plan = self.plan.vrrp.instances.iter().find(|one| one.name == status.name)?;
            Some((plan, status))
        })
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
            "ifp_ifname": own_interface(plan).unwrap_or(&plan.interface),
            "master_priority": status.master.map_or(0, |(_, priority)| priority),
            "last_transition": self.since.at(&plan.name),
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
            add("track_ifp", names(plan, Kind::Interface).map(str::to_owned).collect());
            let commands = names(plan, Kind::Script).filter_map(|name| self.script(name));
            add("track_script", commands.map(command_line).collect());
            for (name, command) in scripts(plan) {
                fields.insert(name.into(), json!(command_line(command)));
            }
            let kind = authentication_number(&plan.authentication);
            fields.insert("auth_type".into(), json!(kind));
            if let Authentication::Pass(password) = &plan.authentication {
                fields.insert("auth_data".into(), json!(password_text(password)));
            }
        }
        json!({ "data": data, "stats": stats_json(status) })
    }

    fn script(&self, name: &str) -> Option<&Command> {
        let script = self.plan.vrrp.trackers.scripts.iter().find(|one| one.name == *name)?;
        Some(&script.command)
    }
}

fn names(plan: &VrrpInstance, kind: Kind) -> impl Iterator<Item = &str> {
    plan.tracks
        .iter()
        .map(|track| tracked(&track.what))
        .filter(move |(of, _)| *of == kind)
        .map(|(_, name)| name)
}

/// Scripts that are told of transitions, by the names of their fields.
fn scripts(plan: &VrrpInstance) -> impl Iterator<Item = (&'static str, &Command)> {
    let notify = &plan.notify;
    let all = [
        ("script_backup", &notify.backup),
        ("script_master", &notify.master),
        ("script_fault", &notify.fault),
        ("script_stop", &notify.stop),
        ("script_deleted", &notify.deleted),
        ("script", &notify.any),
        ("script_master_rx_lower_pri", &notify.lower_priority),
    ];
    all.into_iter().filter_map(|(name, command)| Some((name, command.as_ref()?)))
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

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use model::control::TrackerState;
    use model::status::{AdvertErrors, ScriptRun, TrackerStatus};
    use model::units::VirtualRouterId;
    use model::vrrp::{Track, TrackScript, Tracked, VirtualLink};

    use super::*;

    fn sample() -> (Plan, VrrpReport) {
        let id = VirtualRouterId::try_from(51).unwrap();
        let mut instance = VrrpInstance::new("VI_1", "eth0", id);
        instance.authentication = Authentication::Pass(*b"secret\0\0");
        let mut labelled = VirtualAddress::new([10, 9, 0, 100].into(), 24);
        labelled.label = Some("eth0:1".into());
        instance.addresses = vec![labelled, VirtualAddress::new([10, 9, 0, 101].into(), 32)];
        let mut plan = Plan::default();
        plan.global.router_id = Some("R1".into());
        plan.vrrp.instances = vec![instance];
        (plan, VrrpReport { instances: vec![status()], ..VrrpReport::default() })
    }

    /// Of a master.
    pub(super) fn status() -> InstanceStatus {
        InstanceStatus {
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
        }
    }

    /// Gives what is written of it 1000 seconds after the epoch to `look`.
    fn with_dump<T>((plan, report): &(Plan, VrrpReport), look: impl FnOnce(&Dump<'_>) -> T) -> T {
        let mut since = Since::default();
        since.see(UNIX_EPOCH + Duration::from_secs(1_000), report);
        let scripts = [ScriptStatus { name: "chk".into(), run: ScriptRun::Running }];
        look(&Dump { plan, report, scripts: &scripts, since: &since })
    }

    #[test]
    fn the_stats_file_has_keepaliveds_lines() {
        let sample = sample();
        let text = with_dump(&sample, |dump| dump.stats());
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
        let value: Value = serde_json::from_str(&with_dump(&sample, |dump| dump.json())).unwrap();
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
        let text = with_dump(&sample, |dump| dump.data());
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

    #[test]
    fn the_data_file_tells_of_scripts_as_exporters_look_for_them() {
        let (mut plan, mut report) = sample();
        let what = Tracked::Script("chk".into());
        let instance = &mut plan.vrrp.instances[0];
        instance.tracks = vec![Track { what: what.clone(), weight: -5, reverse: true }];
        plan.vrrp.trackers.scripts = vec![TrackScript {
            name: "chk".into(),
            command: Command { words: vec!["/bin/chk".into(), "it".into()], user: None },
            interval: Duration::from_millis(1_500),
            timeout: Duration::from_secs(2),
            rise: 1,
            fall: 2,
            init_fail: false,
        }];
        report.trackers = vec![TrackerStatus { what, state: TrackerState::Up }];
        let text = with_dump(&(plan, report), |dump| dump.data());
        assert!(text.contains("   Tracked scripts :\n     chk weight -5 reverse\n"), "{text}");
        let (_, scripts) = text.split_once("------< VRRP Scripts >------\n").unwrap();
        assert_eq!(
            scripts,
            " VRRP Script = chk\n   Command = '/bin/chk' 'it'\n   Interval = 1.500 sec\n   \
             Timeout = 2 sec\n   Rise = 1\n   Fall = 2\n   Status = GOOD\n   Script uid:gid = \
             0:0\n   Tracking instances :\n     VI_1, weight -5 reverse\n   State = running\n"
        );
    }

    #[test]
    fn an_interface_of_its_own_is_shown_with_the_one_below() {
        let (mut plan, report) = sample();
        let instance = &mut plan.vrrp.instances[0];
        instance.link = VirtualLink::Macvlan {
            name: "vrrp.51".into(),
            mac: [0, 0, 0x5e, 0, 1, 51],
            transmit_on_base: false,
            other_interfaces: false,
        };
        instance.notify.master =
            Some(Command { words: vec!["/bin/m".into(), "x".into()], user: None });
        let sample = (plan, report);
        let value: Value = serde_json::from_str(&with_dump(&sample, |dump| dump.json())).unwrap();
        let data = &value[0]["data"];
        assert_eq!(data["ifp_ifname"], "vrrp.51");
        assert_eq!(data["vips"][1], "10.9.0.101 dev vrrp.51@eth0 scope global set");
        assert_eq!(data["script_master"], "'/bin/m' 'x'");
        let text = with_dump(&sample, |dump| dump.data());
        assert!(text.contains("   Interface = vrrp.51, vmac on eth0\n"), "{text}");
    }
}
