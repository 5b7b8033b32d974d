//! The lives.

use super::Deed::{Down, Gain, Lose, Reload, Remove, Up, Write};
use super::words::{life, needs_peer, server, servers, service};
use super::{Life, compare, compare_but};

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

#[test]
fn rs_init_notifies_tells_of_every_server_that_is_up_from_the_start() {
    needs_peer!();
    let services = service!("", server!(1, 1, ""), server!(2, 1, "alpha"));
    let more = service!("", server!(1, 1, ""), server!(2, 1, "alpha"), server!(3, 1, ""));
    let deeds = vec![Reload(more)];
    let global = "rs_init_notifies";
    let told = compare(&Life { deeds, global, ..life("init", &[1, 2, 3], services) });
    assert_eq!(told[0].lines[0], "RS [10.0.0.1]:tcp:80 [192.0.2.1]:tcp:80 UP");
    assert_eq!(told[1].scripts, ["[rsup][3][two][words]"]);
}

#[test]
fn no_checker_emails_leaves_the_mails_of_servers() {
    needs_peer!();
    let services = service!(
        "",
        server!(
            1,
            1,
            "",
            "TCP_CHECK {\n connect_timeout 1\n }\n TCP_CHECK {\n connect_timeout 1\n \
             connect_ip 10.0.0.3\n }\n"
        ),
        server!(2, 1, "")
    );
    let deeds = vec![Down(1), Down(3), Up(1), Up(3)];
    let global = "no_checker_emails";
    let told = compare(&Life { deeds, global, ..life("fewmail", &[1, 2, 3], services) });
    let mails: Vec<usize> = told.iter().map(|told| told.mails.len()).collect();
    assert_eq!(mails[1..5], [1, 0, 0, 1]);
}

#[test]
fn an_smtp_check_says_how_it_failed() {
    needs_peer!();
    // One that says nothing, one that nobody listens at, and two that are not there: of one of them
    // the kernel finds that out.
    let services = service!(
        "",
        server!(1, 1, "", "SMTP_CHECK {\n connect_timeout 2\n }\n"),
        server!(2, 1, "", "SMTP_CHECK {\n connect_timeout 1\n }\n"),
        server!(8, 1, "", "SMTP_CHECK {\n connect_timeout 1\n }\n"),
        server!(9, 1, "", "SMTP_CHECK {\n connect_timeout 9\n }\n"),
        server!(3, 1, "")
    );
    let told = compare(&life("smtp", &[1, 3], services));
    assert_eq!(told[0].mails.len(), 5, "{:?}", told[0].mails);
}

#[test]
fn every_checker_that_fails_is_mailed_in_its_words() {
    needs_peer!();
    let services = service!(
        "",
        server!(
            1,
            1,
            "",
            "HTTP_GET {\n url {\n path /\n status_code 200\n }\n connect_timeout 1\n }\n"
        ),
        server!(
            2,
            1,
            "",
            "SSL_GET {\n url {\n path /\n status_code 200\n }\n connect_timeout 1\n }\n"
        ),
        server!(3, 1, "", "DNS_CHECK {\n type A\n name www.test\n connect_timeout 1\n }\n"),
        server!(4, 1, "", "UDP_CHECK {\n require_reply\n connect_timeout 1\n }\n"),
        server!(5, 1, "", "MISC_CHECK {\n misc_path /bin/false\n misc_timeout 1\n }\n"),
        server!(9, 1, "", "PING_CHECK {\n connect_timeout 1\n }\n")
    );
    // They fail in any order, but the last takes the quorum with it.
    let (_, told) = compare_but(&life("words", &[], services), |_, told| {
        told.lines.sort();
        told.others.sort();
    });
    let of_servers = told[0].mails.iter().filter(|mail| mail.contains("Realserver"));
    assert_eq!(of_servers.count(), 6, "{:?}", told[0].mails);
}
