//! The lives.

use super::Deed::{Down, Gain, Lose, Reload, Remove, Up, Write};
use super::{Life, Told, compare, missing};

/// A virtual server with these settings and real servers.
macro_rules! service {
    ($more:literal, $($server:expr),+) => {
        concat!(
            "virtual_server 192.0.2.1 80 {\n delay_loop 0.5\n warmup 0\n retry 1\n \
             delay_before_retry 0.2\n lb_algo rr\n lb_kind NAT\n protocol TCP\n \
             quorum_up \"DIR/script qup '192.0.2.1 80'\"\n quorum_down \"DIR/script qdown\"\n",
            $more, "\n", $($server,)+ "}\n"
        )
    };
}

/// A real server: its number, its weight, settings and checkers.
macro_rules! server {
    ($number:literal, $weight:literal, $more:literal) => {
        server!($number, $weight, $more, "TCP_CHECK {\n connect_timeout 1\n }\n")
    };
    ($number:literal, $weight:literal, $more:literal, $checkers:expr) => {
        concat!(
            "real_server 10.0.0.",
            $number,
            " 80 {\n weight ",
            $weight,
            "\n ",
            $more,
            "\n \
             notify_up \"DIR/script rsup ",
            $number,
            " two words\"\n \
             notify_down \"DIR/script rsdown ",
            $number,
            "\"\n ",
            $checkers,
            "}\n"
        )
    };
}

fn life(name: &'static str, up: &[u8], services: &'static str) -> Life {
    let before = up.iter().map(|&number| Up(number)).collect();
    Life { name, before, services, deeds: Vec::new() }
}

fn servers(told: &Told) -> Vec<&str> {
    told.tables
        .iter()
        .filter_map(|line| line.split_once(" -> "))
        .map(|(_, server)| server)
        .collect()
}

/// Skips where the peer is not installed.
macro_rules! needs_peer {
    () => {
        if let Some(reason) = missing() {
            return println!("skipped: {reason}");
        }
    };
}

#[test]
fn a_quorum_with_hysteresis_is_lost_to_the_sorry_server_and_regained() {
    needs_peer!();
    let services = service!(
        "quorum 3\n hysteresis 1\n sorry_server 10.0.0.5 80",
        server!(1, 2, ""),
        server!(2, 1, ""),
        server!(3, 1, "")
    );
    let deeds = vec![Down(2), Down(3), Down(1), Up(2), Up(1), Up(3)];
    let told = compare(&Life { deeds, ..life("quorum", &[1, 2, 3], services) });
    for (step, told) in told.iter().enumerate().take(6).skip(3) {
        assert_eq!(servers(told), ["10.0.0.5:80 Masq 1"], "step {step}");
    }
    assert_eq!(told[3].lines[1], "VS [192.0.2.1]:tcp:80 DOWN");
    assert_eq!(told[3].scripts, ["[qdown]", "[rsdown][1]"]);
    assert_eq!(told[6].scripts, ["[qup][192.0.2.1 80]", "[rsup][3][two][words]"]);
    assert_eq!(servers(&told[6]).len(), 3);
}

#[test]
fn a_server_fails_and_returns() {
    needs_peer!();
    let services = service!("", server!(1, 1, ""), server!(2, 3, ""));
    let deeds = vec![Down(1), Up(1), Down(1), Down(2), Up(2)];
    let told = compare(&Life { deeds, ..life("basic", &[1, 2], services) });
    assert_eq!(servers(&told[1]), ["10.0.0.2:80 Masq 3"]);
    assert_eq!(told[1].mails.len(), 1);
}

#[test]
fn inhibit_on_failure_leaves_a_weight_of_zero() {
    needs_peer!();
    let services = service!("", server!(1, 2, "inhibit_on_failure"), server!(2, 3, ""));
    let told = compare(&Life { deeds: vec![Down(1), Up(1)], ..life("inhibit", &[1, 2], services) });
    assert_eq!(servers(&told[1]), ["10.0.0.1:80 Masq 0", "10.0.0.2:80 Masq 3"]);
}

#[test]
fn ha_suspend_follows_the_address() {
    needs_peer!();
    let services = service!("ha_suspend", server!(1, 1, ""), server!(2, 1, ""));
    let deeds = vec![Down(1), Gain, Lose, Up(1), Gain];
    let told = compare(&Life { deeds, ..life("suspend", &[1, 2], services) });
    assert_eq!(told[1].lines, [""; 0]);
    assert_eq!(told[2].lines, ["RS [10.0.0.1]:tcp:80 [192.0.2.1]:tcp:80 DOWN"]);
}

#[test]
fn sorry_server_inhibit_keeps_it_with_a_weight_of_zero() {
    needs_peer!();
    let services = service!(
        "sorry_server 10.0.0.5 80\n sorry_server_inhibit\n sorry_server_lvs_method DR",
        server!(1, 1, ""),
        server!(2, 1, "")
    );
    let deeds = vec![Down(1), Down(2), Up(1)];
    let told = compare(&Life { deeds, ..life("sorry", &[1, 2], services) });
    assert_eq!(servers(&told[2]), ["10.0.0.5:80 Route 1"]);
    assert!(servers(&told[3]).contains(&"10.0.0.5:80 Route 0"));
}

#[test]
fn alpha_waits_for_the_first_success() {
    needs_peer!();
    let services = service!("alpha", server!(1, 1, ""), server!(2, 1, ""));
    let told = compare(&Life { deeds: vec![Up(2), Down(1)], ..life("alpha", &[1], services) });
    assert!(told[0].scripts.contains(&"[rsdown][2]".to_owned()), "{:?}", told[0]);
    assert_eq!(servers(&told[0]), ["10.0.0.1:80 Masq 1"]);
}

#[test]
fn omega_tells_of_the_end() {
    needs_peer!();
    let services = service!("omega", server!(1, 1, ""), server!(2, 1, ""));
    let told = compare(&life("omega", &[1, 2], services));
    assert_eq!(told[1].scripts, ["[qdown]", "[rsdown][1]", "[rsdown][2]"]);
}

#[test]
fn two_checkers_are_both_to_pass() {
    needs_peer!();
    let services = service!(
        "",
        server!(
            1,
            5,
            "",
            "FILE_CHECK {\n track_file tf\n weight 0\n }\n TCP_CHECK {\n connect_timeout 1\n }\n"
        ),
        server!(2, 3, "")
    );
    let mut life = life("both", &[1, 2], services);
    life.before.push(Write("track", "0\n"));
    life.deeds = vec![Write("track", "1\n"), Down(1), Write("track", "0\n"), Up(1)];
    compare(&life);
}

#[test]
fn dynamic_weights_of_misc_check_are_weights_in_the_tables() {
    needs_peer!();
    let services = service!(
        "quorum 4",
        server!(
            1,
            5,
            "",
            "MISC_CHECK {\n misc_path \"/bin/sh DIR/misc\"\n misc_timeout 2\n misc_dynamic\n }\n"
        ),
        server!(2, 3, "")
    );
    let mut life = life("dynamic", &[2], services);
    life.before.push(Write("misc", "exit 20\n"));
    for code in ["exit 2\n", "exit 12\n", "exit 0\n", "exit 1\n", "exit 7\n"] {
        life.deeds.push(Write("misc", code));
    }
    let told = compare(&life);
    assert_eq!(servers(&told[1]), ["10.0.0.1:80 Masq 0", "10.0.0.2:80 Masq 3"]);
}

#[test]
fn values_of_a_file_are_weights_in_the_tables() {
    needs_peer!();
    let services = service!(
        "",
        server!(1, 5, "", "FILE_CHECK {\n track_file tf\n weight 2\n }\n"),
        server!(2, 3, "")
    );
    let mut life = life("file", &[2], services);
    life.before.push(Write("track", "0\n"));
    for value in ["1\n", "-2\n", "-3\n", "10\n"] {
        life.deeds.push(Write("track", value));
    }
    life.deeds.push(Remove("track"));
    let told = compare(&life);
    assert_eq!(servers(&told[1])[0], "10.0.0.1:80 Masq 7");
    assert_eq!(servers(&told[3])[0], "10.0.0.1:80 Masq 0");
}

#[test]
fn a_weight_changed_while_down_is_there_at_the_return() {
    needs_peer!();
    let services = service!("", server!(1, 5, ""), server!(2, 3, ""));
    let after = service!("", server!(1, 7, ""), server!(2, 4, ""));
    let more = service!("", server!(1, 7, ""), server!(2, 4, ""), server!(3, 1, ""));
    let less = service!("", server!(2, 4, ""), server!(3, 1, ""));
    let deeds = vec![Down(1), Reload(after), Up(1), Reload(more), Reload(less)];
    let told = compare(&Life { deeds, ..life("reload", &[1, 2, 3], services) });
    assert_eq!(servers(&told[3]), ["10.0.0.1:80 Masq 7", "10.0.0.2:80 Masq 4"]);
}
