//! `global_defs` and the keywords of the top level.

use std::time::Duration;

use model::Plan;

use crate::common::{keepalived, lines};

fn plan(text: &str) -> Plan {
    let loaded = keepalived(text);
    assert_eq!(lines(&loaded), Vec::<String>::new());
    loaded.plan.expect("it loads")
}

fn global(line: &str) -> Plan {
    plan(&format!("global_defs {{\n    {line}\n}}\n"))
}

fn refused(text: &str) -> String {
    let loaded = keepalived(text);
    assert!(loaded.plan.is_none(), "{text}");
    lines(&loaded).join("\n")
}

#[test]
fn names_of_files_and_times_go_into_the_plan() {
    let global = plan(
        "instance blue\nnet_namespace lan\nchild_wait_time 20\nglobal_defs {\n umask IWGRP | \
         IWOTH\n reload_file\n data_use_instance\n}\n",
    )
    .global;
    assert_eq!(global.instance.as_deref(), Some("blue"));
    assert_eq!(global.network_namespace.as_deref(), Some("lan"));
    assert!(global.pid_directory && global.dump_names_instance);
    assert_eq!(global.child_wait_time, Some(Duration::from_secs(20)));
    assert_eq!(global.umask, Some(0o022));
    assert_eq!(global.reload_file.as_deref(), Some("/run/keepalived/lan/keepalived_blue.reload"));
}

#[test]
fn reload_file_without_a_path_is_beside_the_pid_file() {
    let path = |text: &str| plan(text).global.reload_file.expect("a path");
    assert_eq!(path("global_defs {\n reload_file\n}\n"), "/run/keepalived.reload");
    let with_directory = "use_pid_dir\nglobal_defs {\n reload_file\n}\n";
    assert_eq!(path(with_directory), "/run/keepalived/keepalived.reload");
    assert_eq!(path("global_defs {\n reload_file /run/x\n}\n"), "/run/x");
}

#[test]
fn times_of_reloads_and_saved_configurations_go_into_the_plan() {
    let global = |lines: &str| plan(&format!("global_defs {{\n {lines}\n}}\n")).global;
    let timed = global("reload_time_file /run/reload.time\n reload_repeat");
    assert_eq!(timed.reload_time_file.as_deref(), Some("/run/reload.time"));
    assert!(timed.reload_repeat && !global("reload_time_file /run/reload.time").reload_repeat);
    let saved = global("config_save_dir /var/tmp/saved");
    assert_eq!(saved.config_save_directory.as_deref(), Some("/var/tmp/saved"));
    for wrong in ["reload_time_file", "reload_time_file reload.time", "config_save_dir saved"] {
        refused(&format!("global_defs {{\n {wrong}\n}}\n"));
    }
}

#[test]
fn links_in_paths_of_programs_stay_only_when_asked() {
    let kept = |line: &str| global(line).global.symlink_paths;
    assert!(kept("use_symlink_paths") && kept("use_symlink_paths yes"));
    assert!(!kept("use_symlink_paths off") && !kept("script_user root"));
}

#[test]
fn a_umask_is_a_number_in_any_base_or_bits() {
    assert_eq!(global("umask 027").global.umask, Some(0o027));
    assert_eq!(global("umask 0x12").global.umask, Some(0o022));
    assert_eq!(global("umask 18").global.umask, Some(0o022));
    assert_eq!(global("umask IROTH").global.umask, Some(0o004));
    for wrong in ["umask 01000", "umask", "umask IWGRP||IWOTH", "umask IWGRP |", "umask 1 2"] {
        refused(&format!("global_defs {{\n {wrong}\n}}\n"));
    }
}

#[test]
fn programs_have_words_a_user_and_a_bound() {
    let global = global(
        "startup_script \"/bin/a 'b c'\" root wheel\n startup_script_timeout 20\n shutdown_script \
         /bin/d\n script_user nobody\n enable_script_security",
    )
    .global;
    let startup = global.startup_script.expect("a script");
    assert_eq!(startup.command.words, ["/bin/a", "b c"]);
    let user = startup.command.user.expect("a user");
    assert_eq!((user.name.as_str(), user.uid, user.gid), ("root", 0, 201));
    assert_eq!(startup.timeout, Duration::from_secs(20));
    assert_eq!(global.shutdown_script.expect("a script").timeout, Duration::from_secs(10));
    assert_eq!(global.script_user.expect("a user").name, "nobody");
    assert!(global.script_security);
}

#[test]
fn script_security_asks_for_a_user() {
    let said = refused("global_defs {\n enable_script_security\n startup_script /bin/a\n}\n");
    assert!(said.starts_with("2:2 error: programs have no user to run as"), "{said}");
    global("enable_script_security\n startup_script /bin/a root");
    let said = refused("global_defs {\n script_user stranger\n}\n");
    assert!(said.contains("there is no user \"stranger\""), "{said}");
}

#[test]
fn pipes_have_a_path_an_owner_and_a_reader() {
    let fifos = global(
        "notify_fifo /run/a root\n notify_fifo_script \"/bin/cat -u\"\n vrrp_notify_fifo \
         /run/b\n fifo_write_vrrp_states_on_reload",
    )
    .global
    .fifos;
    let all = fifos.all.expect("a pipe");
    assert_eq!((all.path.as_str(), all.user.expect("an owner").uid), ("/run/a", 0));
    assert_eq!(all.script.expect("a reader").words, ["/bin/cat", "-u"]);
    assert_eq!(fifos.vrrp.expect("a pipe").path, "/run/b");
    assert!(fifos.write_states_on_reload);
    let said = refused("global_defs {\n notify_fifo /run/a\n vrrp_notify_fifo /run/a\n}\n");
    assert!(said.contains("/run/a is another pipe already"), "{said}");
}

#[test]
fn what_stands_alone_and_does_nothing_is_warned_of() {
    for (line, what) in [
        ("startup_script_timeout 5", "startup_script"),
        ("vrrp_notify_fifo_script /bin/cat", "vrrp_notify_fifo"),
    ] {
        let loaded = keepalived(&format!("global_defs {{\n {line}\n}}\n"));
        let said = lines(&loaded).join("\n");
        assert!(said.contains(&format!("has no effect without {what}")), "{said}");
    }
}

#[test]
fn mail_settings_fall_back_on_smtp_alert() {
    let alerts = |lines: &str| global(lines).global.alerts;
    assert_eq!(alerts("smtp_alert").checkers, Some(true));
    assert_eq!(alerts("smtp_alert\n smtp_alert_checker off").checkers, Some(false));
    assert_eq!(alerts("no_email_faults").checkers, None);
    assert!(alerts("no_email_faults").no_faults);
    assert!(alerts("no_checker_emails").no_checkers);
    assert!(!alerts("no_checker_emails off").no_checkers);
    assert_eq!(alerts("smtp_helo_name me").helo_name.as_deref(), Some("me"));
}

#[test]
fn notices_of_real_servers_at_the_start_are_asked_for() {
    let asked = |lines: &str| global(lines).layer4.outside.init_notifies;
    assert!(asked("rs_init_notifies") && asked("rs_init_notifies yes"));
    assert!(!asked("rs_init_notifies no") && !asked(""));
}

#[test]
fn settings_of_vrrp_as_a_whole_go_into_the_plan() {
    let settings = global(
        "vrrp_startup_delay 5.5\n log_unknown_vrids\n disable_local_igmp\n nftables director\n \
         nftables_priority -5\n nftables_counters",
    )
    .vrrp
    .settings;
    assert_eq!(settings.startup_delay, Duration::from_millis(5_500));
    assert!(settings.log_unknown_routers && settings.disable_local_igmp);
    assert_eq!(settings.firewall.table, "director");
    assert_eq!((settings.firewall.priority, settings.firewall.counters), (-5, true));
}

#[test]
fn values_out_of_bounds_are_refused_as_keepalived_refuses_them() {
    for line in [
        "vrrp_version 4",
        "vrrp_mcast_group4 10.0.0.1",
        "vrrp_mcast_group6 ff05::12",
        "vrrp_garp_interval -1",
        "vrrp_startup_delay 0",
        "vrrp_garp_extra_if all",
        "vrrp_garp_extra_if 0",
        "vrrp_down_timer_adverts 101",
        "vrrp_min_garp maybe",
        "nftables_priority high",
        "startup_script_timeout 1001",
    ] {
        refused(&format!("global_defs {{\n {line}\n}}\n"));
    }
    for line in ["instance a/b", "net_namespace", "child_wait_time 1.5"] {
        refused(&format!("{line}\n"));
    }
}

#[test]
fn time_outs_of_connections_are_those_given_and_the_others_usual() {
    let timeouts = |line: &str| {
        let it = plan(&format!("global_defs {{\n {line}\n}}\n")).layer4.timeouts;
        [it.tcp, it.tcp_fin, it.udp].map(|span| span.0)
    };
    assert_eq!(timeouts(""), [900, 120, 300]);
    assert_eq!(timeouts("lvs_timeouts tcp 3600 udp 60"), [3600, 120, 60]);
    assert_eq!(timeouts("lvs_timeouts tcpfin 30 tcp 0"), [900, 30, 300]);
    for wrong in ["", "tcp", "tcp x", "tcp 2678401", "sctp 5"] {
        refused(&format!("global_defs {{\n lvs_timeouts {wrong}\n}}\n"));
    }
}
