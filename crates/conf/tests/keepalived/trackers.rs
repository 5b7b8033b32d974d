//! Trackers, scripts, groups, BFD sessions and limits in the Plan.

use std::time::Duration;

use model::Plan;
use model::vrrp::{InitFile, ParameterMatch, Track, Tracked};

use crate::common::{keepalived, lines};

const BLOCKS: &str = "vrrp_script S {\n script \"/bin/check 'a b' c\"\n weight 5 reverse\n}\n\
                      track_file F {\n file /run/f\n}\nvrrp_track_process P {\n process init\n}\n\
                      bfd_instance B {\n neighbor_ip 10.0.0.9\n weight -3\n}\n";

fn instance(name: &str, id: u8, body: &str) -> String {
    format!(
        "vrrp_instance {name} {{\n interface eth0\n virtual_router_id {id}\n virtual_ipaddress \
         {{\n 10.0.0.{id}\n }}\n{body}\n}}\n"
    )
}

fn plan(text: &str) -> (Plan, Vec<String>) {
    let loaded = keepalived(text);
    let lines = lines(&loaded);
    (loaded.plan.unwrap_or_else(|| panic!("{text}\n{lines:?}")), lines)
}

fn findings(text: &str) -> String {
    lines(&keepalived(text)).join("\n")
}

fn track(what: Tracked, weight: i16, reverse: bool) -> Track {
    Track { what, weight, reverse }
}

#[test]
fn weights_come_from_the_line_or_from_what_is_tracked() {
    let body = "track_interface {\n eth1\n eth2 weight 20 reverse\n}\ntrack_script {\n S\n}\n\
                track_file {\n F weight 2\n}\ntrack_process {\n P weight 7\n}\ntrack_bfd {\n B\n}";
    let (plan, _) = plan(&(BLOCKS.to_owned() + &instance("A", 1, body)));
    let expected = [
        track(Tracked::Interface("eth1".into()), 0, false),
        track(Tracked::Interface("eth2".into()), 20, true),
        track(Tracked::Script("S".into()), 5, true),
        track(Tracked::File("F".into()), 2, false),
        track(Tracked::Process("P".into()), 7, false),
        track(Tracked::Bfd("B".into()), -3, false),
    ];
    assert_eq!(plan.vrrp.instances[0].tracks, expected);
    let script = &plan.vrrp.trackers.scripts[0];
    assert_eq!(script.command.words, ["/bin/check", "a b", "c"]);
    let second = Duration::from_secs(1);
    assert_eq!((script.interval, script.timeout, script.rise, script.fall), (second, second, 1, 1));
    assert!(!script.init_fail);
}

#[test]
fn a_tracker_that_does_not_exist_is_an_error() {
    let text = BLOCKS.to_owned() + &instance("A", 1, "track_script {\n SS\n}");
    assert!(findings(&text).contains("no vrrp_script is named SS; did you mean \"S\"?"));
    let text = instance("A", 1, "track_bfd {\n X\n}");
    assert!(findings(&text).contains("no bfd_instance is named X; define it: bfd_instance X"));
    let text = "bfd_instance X {\n neighbor_ip 10.0.0.9\n checker\n}\n".to_owned() + &text;
    assert!(findings(&text).contains("no bfd_instance is named X"));
}

#[test]
fn wrong_lines_of_trackers_say_what_would_be_right() {
    let one = |body: &str| findings(&(BLOCKS.to_owned() + &instance("A", 1, body)));
    assert!(one("track_interface {\n eth1 wieght 3\n}").contains("did you mean \"weight\"?"));
    assert!(one("track_interface {\n eth1 weight\n}").contains("weight needs a number"));
    assert!(one("track_interface {\n eth1 weight 254\n}").contains("it is 253"));
    assert!(one("track_script {\n S weight 255\n}").contains("255 is not between -254 and 254"));
    assert!(one("track_script {\n S weight 2 revers\n}").contains("did you mean \"reverse\"?"));
    assert!(one("track_script {\n S\n S\n}").contains("S is tracked already"));
    assert!(one("track_interface {\n eth0\n}").contains("the instance's own interface"));
    assert!(one("").contains("nobody tracks S: it is not run"));
}

#[test]
fn weights_of_members_of_a_group_do_not_count() {
    let body = "track_interface {\n eth1 weight 5\n}\ntrack_script {\n S weight 5\n}\ntrack_file \
                {\n F\n}";
    let both = instance("A", 1, body) + &instance("C", 2, "");
    let group = |more: &str| {
        format!("{BLOCKS}{both}vrrp_sync_group G {{\n group {{\n A\n C\n }}\n{more}\n}}\n")
    };
    let (plain, said) = plan(&group(""));
    let expected = [
        track(Tracked::Interface("eth1".into()), 0, false),
        track(Tracked::File("F".into()), 0, false),
    ];
    assert_eq!(plain.vrrp.instances[0].tracks, expected);
    assert_eq!(said.iter().filter(|line| line.contains("is in a sync group")).count(), 3);
    let (kept, _) = plan(&group("sync_group_tracking_weight\ntrack_script {\n S weight 9\n}"));
    assert_eq!(kept.vrrp.instances[0].tracks[1].weight, 5);
    assert_eq!(kept.vrrp.sync_groups[0].tracks[0].weight, 9);
    assert!(kept.vrrp.sync_groups[0].members_keep_weights);
}

#[test]
fn owners_of_their_addresses_have_no_weights() {
    let body = "priority 255\ntrack_interface {\n eth1 weight 5\n eth2\n}";
    let (plan, said) = plan(&instance("A", 1, body));
    let expected = [track(Tracked::Interface("eth2".into()), 0, false)];
    assert_eq!(plan.vrrp.instances[0].tracks, expected);
    assert!(said[0].contains("owns its addresses: this weighted tracker is left out"));
}

#[test]
fn interfaces_of_tracked_addresses_and_routes_are_tracked() {
    let body = "virtual_ipaddress_excluded {\n 10.1.0.1 dev eth1\n 10.1.0.2 dev eth2 no_track\n \
                10.1.0.3 dev eth0\n}\nvirtual_routes {\n 10.2.0.0/24 dev eth3\n 10.3.0.0/24 via \
                10.0.0.9\n}\nvirtual_rules {\n iif eth4 table 7 preference 9\n}";
    let (plan, _) = plan(&instance("A", 1, body));
    let names =
        ["eth1", "eth3", "eth4"].map(|name| track(Tracked::Interface(name.into()), 0, false));
    assert_eq!(plan.vrrp.instances[0].tracks, names);
}

#[test]
fn the_blocks_of_trackers_have_their_settings() {
    let text = "vrrp_script S {\n script /bin/check\n interval 3\n timeout 2\n rise 4\n fall 5\n \
                init_fail\n user root\n}\ntrack_file F {\n file /run/f\n init_file -7 \
                overwrite\n}\nvrrp_track_process P {\n process /bin/p one two\n param_match \
                initial\n quorum 2\n quorum_max 3\n delay 0.5\n terminate_delay 2\n}\n\
                vrrp_track_process Q {\n process q\n quorum_max 0\n full_command\n}\n"
        .to_owned()
        + &instance(
            "A",
            1,
            "track_script {\n S\n}\ntrack_file {\n F\n}\ntrack_process {\n P\n Q\n}",
        );
    let (plan, said) = plan(&text);
    assert_eq!(said, Vec::<String>::new());
    let trackers = &plan.vrrp.trackers;
    let script = &trackers.scripts[0];
    assert_eq!((script.interval, script.timeout), (Duration::from_secs(3), Duration::from_secs(2)));
    assert_eq!((script.rise, script.fall, script.init_fail), (4, 5, true));
    assert_eq!(script.command.user.as_ref().unwrap().uid, 0);
    assert_eq!(trackers.files[0].init, Some(InitFile { value: -7, overwrite: true }));
    let [p, q] = &trackers.processes[..] else { panic!("two processes") };
    assert_eq!(
        (p.process.as_str(), p.parameters.as_slice()),
        ("/bin/p", ["one".into(), "two".into()].as_slice())
    );
    assert_eq!((p.parameter_match, p.full_command), (Some(ParameterMatch::Initial), true));
    assert_eq!((p.quorum, p.quorum_max), (2, Some(3)));
    assert_eq!(
        (p.fork_delay, p.terminate_delay),
        (Duration::from_millis(500), Duration::from_secs(2))
    );
    assert_eq!((q.quorum, q.quorum_max, q.full_command), (0, Some(0), true));
}

#[test]
fn scripts_of_notifications_are_commands() {
    let body = "notify_master /bin/m\nnotify_backup \"/bin/b 'x y'\" root\nnotify_fault /bin/f\n\
                notify_stop /bin/s\nnotify \"/bin/n\"\nnotify_deleted\n\
                notify_master_rx_lower_pri /bin/l\nnotify_priority_changes\nsmtp_alert";
    let (plan, _) = plan(&instance("A", 1, body));
    let notify = &plan.vrrp.instances[0].notify;
    assert_eq!(notify.master.as_ref().unwrap().words, ["/bin/m"]);
    let backup = notify.backup.as_ref().unwrap();
    assert_eq!((backup.words[1].as_str(), backup.user.as_ref().unwrap().uid), ("x y", 0));
    assert!(notify.fault.is_some() && notify.stop.is_some() && notify.any.is_some());
    assert!(notify.says_deleted && notify.deleted.is_none() && notify.lower_priority.is_some());
    assert!(notify.priority_changes && notify.smtp_alert);
    let one = |body: &str| findings(&instance("A", 1, body));
    assert!(one("notify_master /bin/m ghost").contains("there is no user \"ghost\""));
    assert!(one("notify_master /bin/m root ghosts").contains("there is no group \"ghosts\""));
    assert!(one("notify_master \"\"").contains("needs a program"));
    assert!(one("notify_master /a\nnotify_master /b").contains("the first notify_master counts"));
}

#[test]
fn bfd_sessions_have_keepaliveds_defaults() {
    let text = "bfd_instance B {\n neighbor_ip 10.0.0.9\n}\nbfd_instance C {\n neighbour_ip \
                2001:db8::9\n source_ip 2001:db8::8\n min_rx 3.312\n min_tx 20\n idle_tx 2000\n \
                multiplier 3\n passive\n max_hops 2\n vrrp\n}\n";
    let (plan, _) = plan(text);
    let [b, c] = &plan.vrrp.bfd[..] else { panic!("two sessions") };
    let ten = Duration::from_millis(10);
    assert_eq!((b.min_rx, b.min_tx, b.idle_tx), (ten, ten, Duration::from_secs(1)));
    assert_eq!((b.multiplier, b.ttl, b.max_hops, b.passive), (5, 255, 0, false));
    assert!(b.for_vrrp && b.for_checkers && c.for_vrrp && !c.for_checkers);
    assert_eq!((c.min_rx, c.ttl, c.max_hops), (Duration::from_micros(3_312), 64, 2));
    let one = |body: &str| findings(&format!("bfd_instance B {{\n{body}\n}}\n"));
    assert!(one("").contains("has no neighbor_ip"));
    assert!(one("neighbor_ip 10.0.0.9\nsource_ip ::1").contains("of one family"));
    assert!(one("neighbor_ip 10.0.0.9\nidle_tx 10").contains("not between 1000 and"));
    assert!(one("neighbor_ip 10.0.0.9\nttl 1\nmax_hops 3").contains("it is 1"));
}

#[test]
fn limits_and_delays_belong_to_interfaces() {
    let text = "global_defs {\n vrrp_garp_interval 0.5\n}\ngarp_group {\n garp_interval 0.001\n \
                gna_interval 0.002\n interfaces {\n eth1\n eth2\n }\n}\n\
                interface_up_down_delays {\n eth0 5 0.5\n eth9 3\n}\n"
        .to_owned()
        + &instance("A", 1, "");
    let (plan, said) = plan(&text);
    let [group, general] = &plan.vrrp.garp_groups[..] else { panic!("two groups") };
    assert_eq!(group.interfaces, ["eth1", "eth2"]);
    assert_eq!(group.na_interval, Duration::from_millis(2));
    assert!(general.interfaces.is_empty());
    assert_eq!(general.garp_interval, Duration::from_millis(500));
    let [own, other] = &plan.vrrp.link_delays[..] else { panic!("two delays") };
    // Two advert intervals less the shortest skew.
    assert_eq!(own.down, Duration::from_micros(2_000_000 - 3_906) - Duration::from_nanos(250));
    assert_eq!(own.up, Duration::from_millis(500));
    assert_eq!((other.down, other.up), (Duration::from_secs(3), Duration::ZERO));
    assert!(said[0].contains("more than A allows"), "{said:?}");
    assert!(findings("garp_group {\n interface eth1\n}\n").contains("limits nothing"));
}
