//! `keepalived.data`: the part about VRRP.

use std::fmt::{self, Write};
use std::time::Duration;

use model::control::TrackerState;
use model::status::{InstanceStatus, ScriptRun, ScriptStatus, SyncGroupStatus, VrrpState};
use model::vrrp::{
    Authentication, Command, Destination, Family, Notify, Track, TrackScript, Tracked, Unicast,
    Version, VrrpInstance,
};

use super::Dump;
use super::words::{
    Kind, command_line, own_interface, password_text, shown_address, tracked, weight,
};

impl Dump<'_> {
    /// The whole file.
    pub(crate) fn data(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = self.write(&mut text);
        text
    }

    fn write(&self, to: &mut String) -> fmt::Result {
        let global = &self.plan.global;
        writeln!(to, "------< Global definitions >------")?;
        let router = global.router_id.clone().unwrap_or_else(crate::machine::host_name);
        writeln!(to, " Router ID = {router}")?;
        writeln!(to, "------< VRRP Topology >------")?;
        for (instance, status) in self.pairs() {
            self.write_instance(to, instance, status)?;
        }
        if !self.report.groups.is_empty() {
            writeln!(to, "------< VRRP Sync groups >------")?;
        }
        self.report.groups.iter().try_for_each(|group| write_group(to, group))?;
        let scripts = &self.plan.vrrp.trackers.scripts;
        if !scripts.is_empty() {
            writeln!(to, "------< VRRP Scripts >------")?;
        }
        scripts.iter().try_for_each(|script| self.write_script(to, script))
    }

    fn write_instance(
        &self,
        to: &mut String,
        plan: &VrrpInstance,
        status: &InstanceStatus,
    ) -> fmt::Result {
        writeln!(to, " VRRP Instance = {}", plan.name)?;
        writeln!(to, "   VRRP Version = {}", status.version)?;
        if let Some(group) = &status.group {
            writeln!(to, "   Sync group = {group}")?;
        }
        if plan.family == Family::Ipv6 {
            writeln!(to, "   Using Native IPv6")?;
        }
        writeln!(to, "   State = {}", status.state)?;
        writeln!(to, "   Wantstate = {}", status.state)?;
        writeln!(to, "   Number of interface and track script faults = {}", status.faults.len())?;
        writeln!(to, "   Last transition = {:.6}", self.since.at(&plan.name))?;
        if let Some((source, priority)) = status.master {
            writeln!(to, "   Master router = {source}")?;
            writeln!(to, "   Master priority = {priority}")?;
        }
        write_interface(to, plan)?;
        if let Destination::Multicast(group) = &plan.destination {
            writeln!(to, "   Multicast address {group}")?;
        }
        write_announcements(to, plan)?;
        writeln!(to, "   Virtual Router ID = {}", status.virtual_router_id)?;
        writeln!(to, "   Priority = {}", status.base_priority)?;
        writeln!(to, "   Effective priority = {}", status.priority)?;
        writeln!(to, "   Total priority = {}", status.priority)?;
        write_election(to, plan)?;
        write_addresses(to, plan, status.state == VrrpState::Master)?;
        if let Destination::Unicast(unicast) = &plan.destination {
            write_unicast(to, unicast)?;
        }
        write_tracks(to, &plan.tracks)?;
        for fault in &status.faults {
            writeln!(to, "   Fault = {fault}")?;
        }
        self.write_notify(to, &plan.notify)
    }

    fn write_notify(&self, to: &mut String, notify: &Notify) -> fmt::Result {
        let yes = |is_on| if is_on { "yes" } else { "no" };
        writeln!(to, "   Using smtp notification = {}", yes(notify.smtp_alert))?;
        let deleted = if notify.says_deleted { "Deleted" } else { "Fault" };
        writeln!(to, "   Notify deleted = {deleted}")?;
        for (kind, command) in [
            ("Backup", &notify.backup),
            ("Master", &notify.master),
            ("Fault", &notify.fault),
            ("Stop", &notify.stop),
            ("Deleted", &notify.deleted),
            ("Generic", &notify.any),
            ("Master rx lower pri", &notify.lower_priority),
        ] {
            let Some(command) = command else { continue };
            let (line, user) = (command_line(command), self.user(command));
            writeln!(to, "   {kind} state transition script = {line}, uid:gid {user}")?;
        }
        writeln!(to, "   Notify priority changes = {}", notify.priority_changes)
    }

    fn write_script(&self, to: &mut String, script: &TrackScript) -> fmt::Result {
        let what = Tracked::Script(script.name.clone());
        let tracker = self.report.trackers.iter().find(|tracker| tracker.what == what);
        let is_good = tracker.is_some_and(|tracker| tracker.state == TrackerState::Up);
        writeln!(to, " VRRP Script = {}", script.name)?;
        writeln!(to, "   Command = {}", command_line(&script.command))?;
        writeln!(to, "   Interval = {} sec", seconds(script.interval))?;
        writeln!(to, "   Timeout = {} sec", seconds(script.timeout))?;
        writeln!(to, "   Rise = {}", script.rise)?;
        writeln!(to, "   Fall = {}", script.fall)?;
        writeln!(to, "   Status = {}", if is_good { "GOOD" } else { "BAD" })?;
        writeln!(to, "   Script uid:gid = {}", self.user(&script.command))?;
        writeln!(to, "   Tracking instances :")?;
        for instance in &self.plan.vrrp.instances {
            for track in instance.tracks.iter().filter(|track| track.what == what) {
                writeln!(to, "     {}, weight {}", instance.name, weight(track))?;
            }
        }
        match self.scripts.iter().find(|status| status.name == script.name) {
            Some(ScriptStatus { run, .. }) => writeln!(to, "   State = {}", run_name(*run)),
            None => Ok(()),
        }
    }

    /// `uid:gid` that a program runs with.
    fn user(&self, command: &Command) -> String {
        let user = command.user.as_ref().or(self.plan.global.script_user.as_ref());
        user.map_or("0:0".to_owned(), |user| format!("{}:{}", user.uid, user.gid))
    }
}

fn write_group(to: &mut String, group: &SyncGroupStatus) -> fmt::Result {
    writeln!(to, " VRRP Sync Group = {}, {}", group.name, group.state)?;
    writeln!(to, "   VRRP member instances :")?;
    group.members.iter().try_for_each(|member| writeln!(to, "     {member}"))
}

fn write_interface(to: &mut String, plan: &VrrpInstance) -> fmt::Result {
    match own_interface(plan) {
        Some(own) => writeln!(to, "   Interface = {own}, vmac on {}", plan.interface)?,
        None => writeln!(to, "   Interface = {}", plan.interface)?,
    }
    if !plan.track_primary {
        writeln!(to, "   VRRP interface tracking disabled")?;
    }
    match plan.source {
        Some(source) => writeln!(to, "   Using src_ip = {source} (from configuration)"),
        None => Ok(()),
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

fn write_election(to: &mut String, plan: &VrrpInstance) -> fmt::Result {
    let interval = plan.advert_interval.duration();
    match plan.version {
        Version::V2 => writeln!(to, "   Advert interval = {} sec", interval.as_secs())?,
        Version::V3 => writeln!(to, "   Advert interval = {} milli-sec", interval.as_millis())?,
    }
    let on = |is_on| if is_on { "enabled" } else { "disabled" };
    writeln!(to, "   Accept = {}", on(plan.accept))?;
    writeln!(to, "   Preempt = {}", on(plan.preempt))?;
    if !plan.preempt_delay.is_zero() {
        writeln!(to, "   Preempt delay = {:.6} secs", plan.preempt_delay.as_secs_f64())?;
    }
    writeln!(to, "   Promote_secondaries = {}", on(plan.promote_secondaries))?;
    match &plan.authentication {
        Authentication::None if plan.version == Version::V3 => Ok(()),
        Authentication::None => writeln!(to, "   Authentication type = none"),
        Authentication::Pass(password) => {
            writeln!(to, "   Authentication type = SIMPLE_PASSWORD")?;
            writeln!(to, "   Password = {}", password_text(password))
        }
        Authentication::Ah(_) => writeln!(to, "   Authentication type = IPSEC_AH"),
        Authentication::Hmac(_) => writeln!(to, "   Authentication type = HMAC"),
    }
}

fn write_addresses(to: &mut String, plan: &VrrpInstance, held: bool) -> fmt::Result {
    let shown = |address| shown_address(plan, address, held);
    if !plan.addresses.is_empty() {
        writeln!(to, "   Virtual IP ({}):", plan.addresses.len())?;
    }
    plan.addresses.iter().try_for_each(|address| writeln!(to, "     {}", shown(address)))?;
    if !plan.excluded_addresses.is_empty() {
        writeln!(to, "   Virtual IP Excluded :")?;
    }
    plan.excluded_addresses.iter().try_for_each(|address| writeln!(to, "     {}", shown(address)))
}

fn write_unicast(to: &mut String, unicast: &Unicast) -> fmt::Result {
    if let Some(ttl) = unicast.ttl {
        writeln!(to, "   Unicast TTL = {ttl}")?;
    }
    let check = if unicast.check_source { "yes" } else { "no" };
    writeln!(to, "   Check unicast src : {check}")?;
    writeln!(to, "   Unicast Peer :")?;
    for peer in &unicast.peers {
        let (least, most) = (peer.min_ttl.unwrap_or(0), peer.max_ttl.unwrap_or(u8::MAX));
        writeln!(to, "     {} min_ttl {least} max_ttl {most}", peer.address)?;
    }
    Ok(())
}

fn write_tracks(to: &mut String, tracks: &[Track]) -> fmt::Result {
    for (kind, title, separator) in [
        (Kind::Interface, "interfaces", ""),
        (Kind::Script, "scripts", ""),
        (Kind::File, "files", ","),
        (Kind::Process, "processes", ","),
        (Kind::Bfd, "BFDs", ":"),
    ] {
        let mut these = tracks.iter().filter(|track| tracked(&track.what).0 == kind).peekable();
        if these.peek().is_some() {
            writeln!(to, "   Tracked {title} :")?;
        }
        for track in these {
            let (_, name) = tracked(&track.what);
            writeln!(to, "     {name}{separator} weight {}", weight(track))?;
        }
    }
    Ok(())
}

fn run_name(run: ScriptRun) -> &'static str {
    match run {
        ScriptRun::Idle => "idle",
        ScriptRun::Running => "running",
        ScriptRun::Overtime => "requested termination",
    }
}

/// Seconds, with thousandths where there are any.
fn seconds(time: Duration) -> String {
    match time.subsec_millis() {
        0 => time.as_secs().to_string(),
        millis => format!("{}.{millis:03}", time.as_secs()),
    }
}
