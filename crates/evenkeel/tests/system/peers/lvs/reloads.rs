//! Lives in which a reload changes what serves, and who is told.

use super::Deed::{Down, Reload, Up};
use super::words::{life, needs_peer, server, servers, service};
use super::{Life, Told, compare, compare_but};

#[test]
fn a_reload_changes_quorum_and_hysteresis_before_a_sorry_server() {
    needs_peer!();
    macro_rules! with {
        ($quorum:literal) => {
            service!($quorum, server!(1, 2, ""), server!(2, 1, ""), server!(3, 1, ""))
        };
    }
    let lost = with!("quorum 3\n sorry_server 10.0.0.5 80");
    let wide = with!("quorum 3\n hysteresis 1\n sorry_server 10.0.0.5 80");
    let less = with!("quorum 2\n sorry_server 10.0.0.5 80");
    let one = with!("sorry_server 10.0.0.5 80");
    // With two of weight four left: 3 is too much, 3 and a hysteresis of 1 too when it is lost.
    let deeds = vec![
        Down(1),
        Reload(lost),
        Reload(wide),
        Reload(less),
        Reload(wide),
        Reload(one),
        Down(2),
        Reload(less),
        Up(1),
        Reload(wide),
    ];
    let told = compare(&Life { deeds, ..life("requor", &[1, 2, 3], one) });
    let sorry = ["10.0.0.5:80 Masq 1"];
    let alone = |step: usize| servers(&told[step]) == sorry;
    let serves: Vec<bool> = (0..=10).map(alone).collect();
    let expected = [2, 3, 8].map(|step| step as usize);
    let expected: Vec<bool> = (0..=10).map(|step| expected.contains(&step)).collect();
    assert_eq!(serves, expected);
    assert_eq!(
        told[2].mails,
        ["[LVS_9] Virtualserver [192.0.2.1]:tcp:80 - DOWN \
          => Starting with quorum down 3+0=3 <= 2 <="]
    );
}

#[test]
fn a_reload_changes_a_quorum_that_nobody_stands_in_for() {
    needs_peer!();
    macro_rules! with {
        ($quorum:literal) => {
            service!($quorum, server!(1, 2, ""), server!(2, 1, ""))
        };
    }
    let deeds = vec![
        Down(1),
        Reload(with!("quorum 3")),
        Reload(with!("quorum 2\n hysteresis 1")),
        Reload(with!("quorum 1")),
    ];
    let told = compare(&Life { deeds, ..life("bare", &[1, 2], with!("")) });
    assert!(told[1..].iter().take(4).all(|told| servers(told) == ["10.0.0.2:80 Masq 1"]));
    assert_eq!(told[2].lines, ["VS [192.0.2.1]:tcp:80 DOWN"]);
}

#[test]
fn a_reload_brings_another_sorry_server_and_takes_it_away_while_it_serves() {
    needs_peer!();
    macro_rules! with {
        ($sorry:literal) => {
            service!($sorry, server!(1, 1, ""), server!(2, 1, ""))
        };
    }
    let first = with!("quorum 2\n sorry_server 10.0.0.5 80");
    let other = with!("quorum 2\n sorry_server 10.0.0.4 80");
    let none = with!("quorum 2");
    let deeds = vec![Down(1), Reload(other), Reload(none), Reload(first), Up(1), Reload(other)];
    let life = Life { deeds, ..life("resorry", &[1, 2], first) };
    let (theirs, told) = compare_but(&life, |step, told| {
        if step == 3 {
            told.tables.clear();
        }
    });
    // Keepalived 2.2.7 forgets those who live: nobody serves.
    assert_eq!(servers(&theirs[3]), [""; 0]);
    assert_eq!(servers(&told[3]), ["10.0.0.2:80 Masq 1"]);
    assert_eq!(servers(&told[1]), ["10.0.0.5:80 Masq 1"]);
    assert_eq!(servers(&told[2]), ["10.0.0.4:80 Masq 1"]);
    assert_eq!(servers(&told[5]).len(), 2);
}

#[test]
fn a_reload_inhibits_a_sorry_server_and_lets_it_go() {
    needs_peer!();
    macro_rules! with {
        ($sorry:literal) => {
            service!($sorry, server!(1, 1, ""), server!(2, 1, ""))
        };
    }
    let plain = with!("quorum 2\n sorry_server 10.0.0.5 80");
    let inhibited = with!("quorum 2\n sorry_server 10.0.0.5 80\n sorry_server_inhibit");
    let deeds = vec![
        Reload(inhibited),
        Reload(plain),
        Reload(inhibited),
        Down(1),
        Reload(plain),
        Reload(inhibited),
        Up(1),
    ];
    let life = Life { deeds, ..life("reinhib", &[1, 2], plain) };
    let (theirs, told) = compare_but(&life, |step, told| {
        if step == 2 {
            told.tables.clear();
        }
    });
    // Keepalived 2.2.7 leaves it where nothing is sent to it.
    assert!(servers(&theirs[2]).contains(&"10.0.0.5:80 Masq 0"));
    assert!(servers(&told[1]).contains(&"10.0.0.5:80 Masq 0"));
    assert_eq!(servers(&told[2]).len(), 2);
}

#[test]
fn a_reload_changes_the_method_of_a_sorry_server() {
    needs_peer!();
    macro_rules! with {
        ($sorry:literal) => {
            service!($sorry, server!(1, 1, ""), server!(2, 1, ""))
        };
    }
    let nat = with!("quorum 2\n sorry_server 10.0.0.5 80");
    let direct = with!("quorum 2\n sorry_server 10.0.0.5 80\n sorry_server_lvs_method DR");
    let deeds = vec![Reload(direct), Down(1), Up(1)];
    let told = compare(&Life { deeds, ..life("remeth", &[1, 2], nat) });
    assert_eq!(servers(&told[2]), ["10.0.0.5:80 Route 1"]);
}

#[test]
fn a_reload_takes_away_servers_and_a_virtual_server() {
    needs_peer!();
    let all = service!("", server!(1, 2, ""), server!(2, 1, ""), server!(3, 1, ""));
    let two = service!("", server!(1, 2, ""), server!(3, 1, ""));
    let elsewhere = service!(at "192.0.2.9 80", "", server!(1, 2, ""), server!(3, 1, ""));
    let deeds = vec![Down(3), Reload(two), Reload(elsewhere)];
    let told = compare(&Life { deeds, ..life("less", &[1, 2, 3], all) });
    let removed = "=> Removing <=";
    assert_eq!(
        told[2].mails,
        [format!(
            "[LVS_9] Realserver [10.0.0.2]:tcp:80 of virtual server [192.0.2.1]:tcp:80 - DOWN \
             {removed}"
        )]
    );
    assert_eq!(told[3].mails.iter().filter(|mail| mail.ends_with(removed)).count(), 1);
    assert!(told[3].mails.iter().any(|mail| mail.ends_with("=> Lost quorum 1+0=1 <= 0 <=")));
}

#[test]
fn a_reload_takes_away_what_the_quorum_needs() {
    needs_peer!();
    let all = service!("quorum 2", server!(1, 1, ""), server!(2, 1, ""), server!(3, 1, ""));
    let two = service!("quorum 2", server!(1, 1, ""), server!(3, 1, ""));
    let deeds = vec![Down(3), Reload(two), Up(3)];
    // Keepalived tells it twice, of the servers it had and of those it has.
    let (theirs, told) =
        compare_but(&Life { deeds, ..life("lessq", &[1, 2, 3], all) }, |step, told| {
            if step == 2 {
                for twice in [&mut told.lines, &mut told.others, &mut told.scripts] {
                    twice.dedup();
                }
                told.mails.retain(|mail| !mail.contains("=> Lost quorum"));
            }
        });
    assert_eq!((theirs[2].lines.len(), told[2].lines.len()), (3, 2));
}

#[test]
fn a_group_changes_its_addresses_and_goes() {
    needs_peer!();
    macro_rules! with {
        ($lines:literal) => {
            concat!(
                "virtual_server_group G {\n",
                $lines,
                "\n}\n",
                service!(at "group G", "", server!(1, 1, ""), server!(2, 1, ""))
            )
        };
    }
    let first = with!("192.0.2.1 80\n192.0.2.2-3 80");
    let other = with!("192.0.2.4 8080\n192.0.2.2-3 80");
    let gone = service!("", server!(1, 1, ""), server!(2, 1, ""));
    let deeds = vec![Down(1), Reload(other), Up(1), Reload(gone)];
    let life = Life { deeds, ..life("group", &[1, 2], first) };
    // Keepalived 2.2.7 leaves the service of an address that goes, with nobody behind it.
    let (theirs, told) = compare_but(&life, |step, told| {
        if step >= 2 {
            told.tables.retain(|line| line.contains(" -> "));
        }
    });
    let left = |told: &Told| told.tables.iter().any(|line| line == "TCP 192.0.2.1:80 rr");
    assert!(left(&theirs[2]) && !left(&told[2]), "{:?}", told[2].tables);
    assert_eq!(servers(&told[2]).len(), 3);
    let removed = "Realserver [10.0.0.2]:tcp:80 of virtual server [G]:0 - DOWN => Removing <=";
    assert!(told[4].mails.iter().any(|mail| mail.ends_with(removed)), "{:?}", told[4].mails);
}
