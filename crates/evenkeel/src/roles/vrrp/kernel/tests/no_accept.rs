//! `no_accept`, on the wire.

use std::process::Command;

use super::*;

fn answers(site: &Site, address: &str) -> bool {
    let mut ping = site.theirs.command("ping");
    ping.args(["-c", "1", "-W", "1", address]);
    ping.output().unwrap().status.success()
}

fn ruleset(site: &Site) -> String {
    let output = site.ours.command("nft").args(["list", "ruleset"]).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn packets_to_an_address_that_is_not_accepted_are_dropped_and_its_neighbours_find_it() {
    let Some(site) = Site::new("drop") else { return };
    if Command::new("nft").arg("--version").output().is_err() {
        println!("skipped: nft is not installed");
        return;
    }
    site.theirs.ip("addr add 2001:db8::2/64 dev eth0 nodad").unwrap();
    let strange =
        VrrpInstance { accept: false, ..instance(1, &["10.9.0.50", "2001:db8::50", "fe80::50"]) };
    let usual = instance(2, &["10.9.0.51", "2001:db8::51"]);
    site.ours
        .enter(|| {
            let mut kernel = Kernel::open().unwrap();
            let mut both = plan(&[strange.clone(), usual.clone()]);
            both.settings.firewall.counters = true;
            assert_eq!(kernel.prepare(&both), [""; 0]);
            assert_eq!(kernel.hold(&[&strange, &usual]), [""; 0]);
            for address in ["10.9.0.51", "2001:db8::51"] {
                assert!(answers(&site, address), "{address}");
            }
            for address in ["10.9.0.50", "2001:db8::50", "fe80::50%eth0"] {
                assert!(!answers(&site, address), "{address}");
            }
            let found = site.theirs.ip("-6 neigh show 2001:db8::50").unwrap();
            assert!(found.contains("lladdr"), "{found}");
            let rules = ruleset(&site);
            for line in [
                "elements = { 10.9.0.50 }",
                "elements = { 2001:db8::50 }",
                "elements = { fe80::50 . \"eth0\" }",
                "type filter hook input priority filter - 1; policy accept;",
                "ip daddr @vips counter packets 1",
                "ip6 daddr . iifname @vips_link_local counter packets 1",
                "ip6 saddr @vips counter",
            ] {
                assert!(rules.contains(line), "{line}\n{rules}");
            }
            // A configuration that accepts removes the tables; so does the end.
            assert_eq!(kernel.prepare(&plan(std::slice::from_ref(&usual))), [""; 0]);
            assert_eq!(ruleset(&site), "");
            assert_eq!(kernel.prepare(&both), [""; 0]);
            drop(kernel);
            let mut next = Kernel::open().unwrap();
            next.adopt(&both);
            assert_eq!(next.finish(), [""; 0]);
            assert_eq!(ruleset(&site), "");
        })
        .unwrap();
}

#[test]
fn thousands_of_addresses_are_dropped_too() {
    let Some(site) = Site::new("drops") else { return };
    let addresses: Vec<String> =
        (0..5_000).map(|number| format!("2001:db8:1::{number:x}")).collect();
    let texts: Vec<&str> = addresses.iter().map(String::as_str).collect();
    let strange = VrrpInstance { accept: false, ..instance(1, &texts) };
    site.ours
        .enter(|| {
            let mut kernel = prepared(std::slice::from_ref(&strange));
            if Command::new("nft").arg("--version").output().is_ok() {
                assert_eq!(ruleset(&site).matches("2001:db8:1::").count(), 5_000);
            }
            assert_eq!(kernel.finish(), [""; 0]);
        })
        .unwrap();
}
