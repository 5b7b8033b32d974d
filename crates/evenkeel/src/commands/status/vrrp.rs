//! What `evenkeel status` shows of VRRP: instances and what is wrong with them, groups, what is
//! tracked, BFD sessions, and how punctual it all is.

use std::fmt::Write;

use model::control::TrackerState;
use model::status::{AdvertErrors, InstanceStatus, VrrpReport, VrrpState};
use model::vrrp::Tracked;

use super::{Paint, duration};

/// Appends the part about VRRP.
pub(super) fn show(text: &mut String, report: &VrrpReport, paint: Paint) {
    let _ = writeln!(
        text,
        "\n{} ({})\n  {:<16} {:<7} {:<10} {:>4} {:>4}  {:>8}  ADDRESSES, MASTER",
        paint.heading("VRRP"),
        punctuality(report),
        "INSTANCE",
        "STATE",
        "INTERFACE",
        "VRID",
        "PRIO",
        "SINCE"
    );
    for instance in &report.instances {
        show_instance(text, instance, paint);
    }
    for group in &report.groups {
        let state = coloured(group.state, 7, paint);
        let _ = writeln!(text, "  group {:<10} {state} {}", group.name, group.members.join(", "));
    }
    for tracker in &report.trackers {
        let (kind, name) = kind_and_name(&tracker.what);
        let state = match tracker.state {
            TrackerState::Unknown => "not known yet".to_owned(),
            TrackerState::Up => paint.good("up"),
            TrackerState::Down => paint.bad("down"),
            TrackerState::Value(value) => format!("value {value}"),
        };
        let _ = writeln!(text, "  {kind} {name}: {state}");
    }
    for session in &report.bfd {
        let state = match session.state.as_str() {
            "Up" => paint.good("up"),
            other => paint.bad(&other.to_lowercase()),
        };
        let since = duration(session.state_seconds);
        let _ =
            write!(text, "  bfd {} to {}: {state} since {since}", session.name, session.neighbour);
        if session.detection_us > 0 {
            let _ = write!(text, ", down after {} ms of silence", session.detection_us / 1_000);
        }
        text.push('\n');
    }
}

fn show_instance(text: &mut String, instance: &InstanceStatus, paint: Paint) {
    let master = instance.master.map_or_else(String::new, |(address, priority)| {
        format!(" (master {address}, priority {priority})")
    });
    let _ = writeln!(
        text,
        "  {:<16} {} {:<10} {:>4} {:>4}  {:>8}  {}{master}",
        instance.name,
        coloured(instance.state, 7, paint),
        instance.interface,
        instance.virtual_router_id,
        instance.priority,
        duration(instance.state_seconds),
        instance.addresses.join(", ")
    );
    for fault in &instance.faults {
        let _ = writeln!(text, "    {}", paint.bad(fault));
    }
    if let Some((address, priority, ago)) = instance.last_rival {
        let adverts = if instance.rivals == 1 { "advert" } else { "adverts" };
        let said = format!(
            "heard {} {adverts} of other masters while master, the last of {address} with \
             priority {priority} {} ago",
            instance.rivals,
            duration(ago)
        );
        let _ = writeln!(text, "    {}", paint.bad(&said));
    }
    let causes = causes(&instance.errors);
    if !causes.is_empty() {
        let _ = writeln!(text, "    adverts discarded: {causes}");
    }
}

fn coloured(state: VrrpState, width: usize, paint: Paint) -> String {
    let text = format!("{:<width$}", state.to_string());
    match state {
        VrrpState::Master => paint.good(&text),
        VrrpState::Fault => paint.bad(&text),
        VrrpState::Backup | VrrpState::Init => text,
    }
}

/// `real-time; 99 % within 0.1 ms, worst 0.4 ms late`
fn punctuality(report: &VrrpReport) -> String {
    let priority = if report.realtime { "real-time" } else { "ordinary priority" };
    let worst = report.worst_lateness_ns as f64 / 1e6;
    match within(&report.lateness, 99) {
        Some(bound) => {
            let bound = bound.min(report.worst_lateness_ns) as f64 / 1e6;
            format!("{priority}; 99 % within {bound:.2} ms, worst {worst:.2} ms late")
        }
        None => format!("{priority}; worst {worst:.2} ms late"),
    }
}

/// The bucket's bound, nanoseconds, under which this part of all lies; absent where nothing was
/// counted or the last, unbounded bucket is needed.
fn within(buckets: &[(u64, u64)], percent: u64) -> Option<u64> {
    let total: u64 = buckets.iter().map(|(_, count)| count).sum();
    let mut seen = 0;
    let bound = buckets.iter().find(|(_, count)| {
        seen += count;
        total > 0 && seen * 100 >= total * percent
    });
    bound.map(|(bound, _)| *bound).filter(|bound| *bound < u64::MAX)
}

fn causes(errors: &AdvertErrors) -> String {
    let AdvertErrors {
        packet_length,
        advert_interval,
        ttl,
        invalid_type,
        checksum,
        address_list,
        invalid_authentication,
        authentication_mismatch,
        authentication_failure,
        other,
    } = *errors;
    let counted = [
        (packet_length, "length"),
        (advert_interval, "advert interval"),
        (ttl, "TTL"),
        (invalid_type, "type"),
        (checksum, "checksum"),
        (address_list, "addresses"),
        (invalid_authentication, "unknown authentication"),
        (authentication_mismatch, "other authentication"),
        (authentication_failure, "wrong password"),
        (other, "other causes"),
    ];
    let named: Vec<String> = counted
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, name)| format!("{count} {name}"))
        .collect();
    named.join(", ")
}

fn kind_and_name(what: &Tracked) -> (&'static str, &str) {
    match what {
        Tracked::Interface(name) => ("interface", name),
        Tracked::Script(name) => ("script", name),
        Tracked::File(name) => ("file", name),
        Tracked::Process(name) => ("process", name),
        Tracked::Bfd(name) => ("bfd session", name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn punctuality_names_the_bucket_that_holds_99_of_100() {
        let buckets = [(50_000, 980), (100_000, 15), (u64::MAX, 5)];
        assert_eq!(within(&buckets, 99), Some(100_000));
        assert_eq!(within(&buckets, 100), None);
        assert_eq!(within(&[], 99), None);
        let report = VrrpReport {
            realtime: true,
            worst_lateness_ns: 1_500_000,
            lateness: buckets.to_vec(),
            ..VrrpReport::default()
        };
        assert_eq!(punctuality(&report), "real-time; 99 % within 0.10 ms, worst 1.50 ms late");
    }

    #[test]
    fn only_causes_that_happened_are_named() {
        let errors = AdvertErrors { ttl: 2, authentication_failure: 7, ..AdvertErrors::default() };
        assert_eq!(causes(&errors), "2 TTL, 7 wrong password");
        assert_eq!(causes(&AdvertErrors::default()), "");
    }
}
