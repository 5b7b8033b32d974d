//! Every keyword of Keepalived has a row, and what Keepalived takes or refuses, `check` takes or
//! refuses.

mod manual;
mod oracle;
mod samples;

use std::collections::BTreeSet;

use conf::{Language, RowInfo, Status};

fn rows() -> impl Iterator<Item = &'static RowInfo> {
    conf::rows().filter(|row| row.language == Language::Keepalived)
}

/// The row of a name in a block. In a block that is refused as a whole, a row anywhere will do.
fn row_of(block: &str, name: &str) -> Option<&'static RowInfo> {
    let stands = |row: &&RowInfo| row.is_within(block) || row.is_within("anywhere");
    let refused = !rows().any(|row| row.is_within(block) && row.status == Status::Supported);
    let named: Vec<&'static RowInfo> = rows().filter(|row| row.is_named(name)).collect();
    named.iter().copied().find(stands).or_else(|| named.first().copied().filter(|_| refused))
}

#[test]
fn every_keyword_of_keepalived_2_2_7_has_a_row() {
    let mut missing = Vec::new();
    for (block, names) in manual::listed().all {
        for name in names {
            if row_of(&block, &name).is_none() {
                missing.push(format!("{block}: {name}"));
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

#[test]
fn the_list_of_keywords_is_that_of_the_manual_page() {
    let text = match manual::installed() {
        Ok(text) => text,
        Err(reason) => {
            println!("skipped: {reason}");
            return;
        }
    };
    let flat = |names: manual::Names| -> BTreeSet<String> {
        names
            .into_iter()
            .flat_map(|(block, names)| {
                names.into_iter().map(move |name| format!("{block}: {name}"))
            })
            .collect()
    };
    let (ours, theirs) = (flat(manual::listed().in_manual), flat(manual::of_manual(&text)));
    assert!(theirs.len() > 300, "the page was read: {}", theirs.len());
    let unlisted: Vec<_> = theirs.difference(&ours).collect();
    let invented: Vec<_> = ours.difference(&theirs).collect();
    assert!(unlisted.is_empty() && invented.is_empty(), "+{unlisted:#?} -{invented:#?}");
}

#[test]
fn every_newer_keyword_has_a_row_that_says_its_version() {
    let newer = manual::newer();
    let wrong: Vec<String> = newer
        .iter()
        .filter(|newer| {
            // An alias may be younger than the name.
            row_of(newer.block, newer.name)
                .is_none_or(|row| row.name == newer.name && row.since != newer.version)
        })
        .map(|newer| format!("{} {}: {}", newer.version, newer.block, newer.name))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    let unlisted: Vec<&str> = rows()
        .filter(|row| !row.since.is_empty() && !newer.iter().any(|newer| row.is_named(newer.name)))
        .map(|row| row.name)
        .collect();
    assert!(unlisted.is_empty(), "{unlisted:?}");
}

#[test]
fn every_row_explains_itself() {
    for row in rows() {
        let needs_arguments = !row.syntax.is_empty() && !row.syntax.starts_with('[');
        let refused = matches!(row.status, Status::Rejected(_));
        assert!(!needs_arguments || !row.example.is_empty() || refused, "{}: example", row.name);
        assert!(!row.doc.is_empty(), "{} has a line of documentation", row.name);
        match row.status {
            Status::Supported => {}
            Status::Rejected(reason) | Status::NoEffect(reason) => {
                assert!(!reason.is_empty() && !reason.ends_with('.'), "{}: {reason}", row.name);
            }
        }
    }
}

/// A minimal configuration per row and block, with and without the keyword: it loads, and the
/// plan says something else than before.
#[test]
fn every_supported_keyword_changes_the_plan_and_no_other_does() {
    let mut wrong = Vec::new();
    for sample in samples::all() {
        let with = oracle::plan(&sample.with);
        let without = oracle::plan(&sample.without);
        let name = sample.name();
        match (sample.row.status, with) {
            (_, Err(errors)) => wrong.push(format!("{name} is refused: {errors}\n{}", sample.with)),
            (Status::Supported, Ok(plan)) => {
                if without.is_ok_and(|without| without == plan)
                    && !samples::says_the_default(&sample)
                {
                    wrong.push(format!("{name} changes nothing\n{}", sample.with));
                }
            }
            (Status::NoEffect(_) | Status::Rejected(_), Ok(plan)) => {
                if without.is_ok_and(|without| without != plan) {
                    wrong.push(format!("{name} has an effect\n{}", sample.with));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The same configurations, and the keyword without its arguments, before `keepalived -t`.
#[test]
fn keepalived_and_check_agree_about_every_keyword() {
    let keepalived = match oracle::Keepalived::new("completeness") {
        Ok(keepalived) => keepalived,
        Err(reason) => {
            println!("skipped: {reason}");
            return;
        }
    };
    let mut wrong = Vec::new();
    for sample in samples::all().into_iter().filter(|sample| sample.row.since.is_empty()) {
        for text in [&sample.with, &sample.bare] {
            let theirs = keepalived.verdict(text);
            let ours = oracle::plan(text).map(|_| ());
            if theirs.is_ok() != ours.is_ok() && samples::exception(&sample).is_none() {
                let name = sample.name();
                wrong.push(format!("{name}: Keepalived {theirs:?}, check {ours:?}\n{text}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What a virtual server leaves out, or says too much of: Keepalived runs with it and its `-t` ends
/// with 5, and so does ours.
#[test]
fn what_keepalived_puts_right_in_virtual_servers_fails_its_test_and_ours() {
    let keepalived = match oracle::Keepalived::new("putright") {
        Ok(keepalived) => keepalived,
        Err(reason) => {
            println!("skipped: {reason}");
            return;
        }
    };
    let file = |first: &str, settings: &str, server: &str| {
        format!(
            "virtual_server {first} {{\nlb_algo rr\n{settings}\nreal_server {server} {{\n\
             TCP_CHECK {{\nconnect_port 80\n}}\n}}\n}}\n"
        )
    };
    let usual = "192.0.2.100 80";
    let server = "10.0.0.1 80";
    let nat = |more: &str| format!("lb_kind NAT\nprotocol TCP\n{more}");
    let direct = "lb_kind DR\nprotocol TCP\n";
    let group = "virtual_server_group G {\n192.0.2.100 80\n}\n";
    let cases = [
        (file(usual, &nat(""), server), false),
        (file(usual, "lb_kind NAT", server), true),
        (group.to_owned() + &file("group G", "lb_kind NAT", server), true),
        (group.to_owned() + &file("group G", &nat(""), server), false),
        (file(usual, &nat("quorum 2"), server), true),
        (file(usual, &nat("quorum 1\nhysteresis 1"), server), true),
        (file("192.0.2.100", &nat(""), server), true),
        (file("192.0.2.100", &nat("persistence_timeout 50"), server), false),
        (file(usual, direct, "10.0.0.1 8080"), true),
        (file(usual, direct, server), false),
        (file(usual, &format!("{direct}sorry_server 10.0.0.2 81"), server), true),
        (format!("virtual_server {usual} {{\nlb_algo rr\n{}\n}}\n", nat("")), true),
    ];
    for (text, fails) in cases {
        let theirs = keepalived.verdict(&text);
        assert_eq!(theirs.is_err(), fails, "{theirs:?}\n{text}");
        assert_eq!(oracle::fails_test(&text), fails, "{text}");
    }
}

/// Configurations with virtual servers that Debian's package brings: they load, but for what is
/// refused by name.
#[test]
fn samples_of_the_package_load() {
    let Ok(samples) = std::fs::read_dir("/usr/share/doc/keepalived/samples") else {
        println!("skipped: Debian's keepalived is not installed");
        return;
    };
    let mut loaded = 0;
    let mut wrong = Vec::new();
    for path in samples.map(|sample| sample.expect("a sample").path()) {
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        if !text.contains("\nvirtual_server ") {
            continue;
        }
        match oracle::plan(&text) {
            Ok(_) => loaded += 1,
            Err(errors) if errors.contains("is not supported by this version") => {}
            Err(errors) => wrong.push(format!("{}: {errors}", path.display())),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(loaded >= 11, "{loaded} samples");
}
