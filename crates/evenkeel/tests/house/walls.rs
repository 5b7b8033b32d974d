//! The walls that `cargo metadata` and the sources show.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use crate::metadata::{House, Package};

/// Who may import what: our crates first, then other people's. Imports point downwards only.
/// A new line here is a decision about the architecture, not a formality.
const PERMITTED: &[(&str, &[&str], &[&str])] = &[
    ("model", &[], &["serde"]),
    ("conf", &["model"], &["annotate-snippets", "fancy-regex", "serde", "serde_json"]),
    ("proto", &["model"], &["fancy-regex", "hmac", "md-5", "sha2"]),
    ("sched", &["model"], &[]),
    (
        "edge",
        &["model"],
        &["libc", "netlink-packet-core", "netlink-packet-route", "rustix", "socket2"],
    ),
    ("director", &["edge", "model", "sched"], &["aya", "libc", "tracing", "zerocopy"]),
    ("proxy", &["model"], &[]),
    ("worker", &["edge", "model", "proxy"], &["libc", "rustix"]),
    ("lab", &["edge", "model"], &["libc", "rustix", "serde", "serde_json", "socket2"]),
    ("sim", &["model", "proto"], &[]),
    (
        "evenkeel",
        &["conf", "director", "edge", "lab", "model", "proto", "proxy", "sched", "worker"],
        &[
            "clap",
            "clap_complete",
            "clap_mangen",
            "lettre",
            "libc",
            "rustix",
            "rustls",
            "serde",
            "serde_json",
            "tracing",
            "tracing-subscriber",
        ],
    ),
];

/// What tests alone may import besides.
const PERMITTED_IN_TESTS: &[&str] = &[
    "director",
    "edge",
    "etherparse",
    "lab",
    "libc",
    "model",
    "proptest",
    "proto",
    "rustix",
    "serde_json",
    "sim",
];

/// Crates that never touch the machine: no clock, no socket, no file.
const PURE: &[&str] = &["conf", "model", "proto", "proxy", "sched"];

/// Crates that may contain `unsafe`, each block with its reason.
const UNSAFE: &[&str] = &["edge", "worker"];

/// Licences that ours (Apache-2.0 OR MIT) can be combined with.
const LICENCES: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// Crates that are there in several major versions, and why that cannot be helped.
const DUPLICATES: &[(&str, &str)] = &[
    ("syn", "parses Rust at build time only: serde moved to version 3, other derives have not yet"),
    ("getrandom", "version 0.2 belongs to ring, which rustls offers and we do not build"),
];

fn edges(house: &House) -> Vec<String> {
    let mut breaches = Vec::new();
    let our_names: BTreeSet<&str> = house.ours().map(|package| package.name.as_str()).collect();
    for package in house.ours() {
        let Some((_, ours, theirs)) = PERMITTED.iter().find(|(name, ..)| *name == package.name)
        else {
            breaches.push(format!("{} is not in the list of our crates", package.name));
            continue;
        };
        for name in &package.dependencies {
            let permitted = if our_names.contains(name.as_str()) { ours } else { theirs };
            if !permitted.contains(&name.as_str()) {
                breaches.push(format!("{} may not import {name}", package.name));
            }
        }
        for name in &package.test_dependencies {
            if !PERMITTED_IN_TESTS.contains(&name.as_str()) {
                breaches.push(format!("tests of {} may not import {name}", package.name));
            }
        }
    }
    breaches
}

fn licences(house: &House) -> Vec<String> {
    house
        .packages
        .iter()
        .filter(|package| !package.licence.as_deref().is_some_and(acceptable))
        .map(|package| {
            format!("{} {} is under {:?}", package.name, package.version, package.licence)
        })
        .collect()
}

/// An SPDX expression (or the old `MIT/Apache-2.0` form) that some choice satisfies.
fn acceptable(expression: &str) -> bool {
    let expression = expression.replace(['(', ')'], " ").replace('/', " OR ");
    // AND binds tighter than OR; a parenthesised OR inside an AND is read as the union of its
    // terms, which is stricter only when one of them is not acceptable.
    expression
        .split(" OR ")
        .any(|choice| choice.split(" AND ").all(|licence| LICENCES.contains(&licence.trim())))
}

fn duplicates(house: &House) -> Vec<String> {
    let mut majors: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for package in &house.packages {
        majors.entry(&package.name).or_default().insert(major(package));
    }
    majors
        .into_iter()
        .filter(|(name, majors)| {
            majors.len() > 1 && !DUPLICATES.iter().any(|(excused, _)| excused == name)
        })
        .map(|(name, majors)| format!("{name} is there in versions {majors:?}"))
        .collect()
}

/// The part of the version that promises compatibility: `1`, `0.4`, `0.0.3`.
fn major(package: &Package) -> String {
    let mut parts = package.version.split('.');
    let mut major = String::new();
    for part in parts.by_ref() {
        major.push_str(part);
        if part != "0" {
            break;
        }
        major.push('.');
    }
    major
}

/// What the first lines of a crate's root must say.
fn attributes(name: &str, root: &str) -> Vec<String> {
    let mut breaches = Vec::new();
    if !UNSAFE.contains(&name) && !root.contains("#![forbid(unsafe_code)]") {
        breaches.push(format!("{name} does not forbid unsafe code"));
    }
    if PURE.contains(&name) && !root.contains("#![cfg_attr(not(test), no_std)]") {
        breaches.push(format!("{name} is not no_std"));
    }
    breaches
}

#[test]
fn imports_point_downwards_only() {
    assert_eq!(edges(&House::read()), Vec::<String>::new());
}

#[test]
fn every_licence_permits_us() {
    assert_eq!(licences(&House::read()), Vec::<String>::new());
}

#[test]
fn no_crate_is_there_twice() {
    assert_eq!(duplicates(&House::read()), Vec::<String>::new());
}

#[test]
fn roots_forbid_what_they_promise() {
    let mut breaches = Vec::new();
    for package in House::read().ours() {
        let source = package.manifest.parent().expect("a directory").join("src");
        let root = fs::read_to_string(source.join("lib.rs"))
            .or_else(|_| fs::read_to_string(source.join("main.rs")))
            .expect("a crate root");
        breaches.extend(attributes(&package.name, &root));
    }
    assert_eq!(breaches, Vec::<String>::new());
}

#[test]
fn a_planted_upward_import_is_found() {
    let mut house = House::read();
    house.ours_mut("model").dependencies.insert("edge".into());
    house.ours_mut("proto").dependencies.insert("tokio".into());
    assert_eq!(edges(&house), ["model may not import edge", "proto may not import tokio"]);
}

#[test]
fn a_planted_licence_is_found() {
    let mut house = House::read();
    let package = house.ours_mut("sim");
    package.licence = Some("GPL-3.0-only".into());
    let version = package.version.clone();
    assert_eq!(licences(&house), [format!("sim {version} is under Some(\"GPL-3.0-only\")")]);
    assert!(acceptable("MIT/Apache-2.0"));
    assert!(acceptable("(MIT OR Apache-2.0) AND Unicode-3.0"));
    assert!(!acceptable("MIT AND AGPL-3.0"));
}

#[test]
fn a_planted_second_version_is_found() {
    let mut house = House::read();
    let mut twin = house.packages.iter().find(|one| one.name == "libc").expect("libc").clone();
    twin.version = "99.0.0".into();
    house.packages.push(twin);
    let found = duplicates(&house);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with("libc is there in versions"));
}

#[test]
fn a_planted_root_without_its_attributes_is_found() {
    assert_eq!(
        attributes("proto", "//! Protocols."),
        ["proto does not forbid unsafe code", "proto is not no_std"]
    );
    assert_eq!(attributes("edge", "//! System calls."), Vec::<String>::new());
}
