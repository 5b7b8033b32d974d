//! What a test of the configuration says of programs, beside Debian's keepalived: the same exit
//! code, and the same words.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;

use lab::net::{Namespace, Net};

/// A directory that only root can change: temporary ones are not.
struct Place(PathBuf);

impl Place {
    fn new() -> Place {
        let path = PathBuf::from(format!("/run/ek-security-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(path.join("open")).unwrap();
        fs::set_permissions(path.join("open"), fs::Permissions::from_mode(0o777)).unwrap();
        symlink(env!("CARGO_BIN_EXE_evenkeel"), path.join("keepalived")).unwrap();
        Place(path)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }

    fn script(&self, name: &str, mode: u32) -> String {
        fs::write(self.0.join(name), "#!/bin/sh\nexit 0\n").unwrap();
        fs::set_permissions(self.0.join(name), fs::Permissions::from_mode(mode)).unwrap();
        self.path(name)
    }

    /// Exit code, and what is said of the place's programs and of security.
    fn test(&self, namespace: &Namespace, program: &str) -> (Option<i32>, BTreeSet<String>) {
        let log = self.path("log");
        let file = self.path("keepalived.conf");
        let output = namespace
            .command(program)
            .args([&format!("--config-test={log}"), "-f", &file])
            .output()
            .unwrap();
        let text = fs::read_to_string(&log).unwrap_or_default()
            + &String::from_utf8_lossy(&output.stdout)
            + &String::from_utf8_lossy(&output.stderr);
        let _ = fs::remove_file(&log);
        let said = text.lines().filter_map(|line| {
            // Behind a time or a severity.
            let starts = [
                "SECURITY VIOLATION",
                "Unsafe permissions",
                "WARNING - script",
                "Script /",
                "Disabling",
                "Cannot find script",
                "Unable to access",
            ];
            starts.iter().find_map(|start| line.find(start)).map(|at| line[at..].to_owned())
        });
        (output.status.code(), said.collect())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn insecure_and_missing_programs_get_keepaliveds_exit_codes_and_words() {
    const KEEPALIVED: &str = "/usr/sbin/keepalived";
    if let Some(reason) = lab::net::missing() {
        return println!("skipped: {reason}");
    }
    if !fs::exists(KEEPALIVED).unwrap() {
        return println!("skipped: keepalived is not installed");
    }
    let net = Net::new("security").unwrap();
    let (a, b) = (net.namespace("a").unwrap(), net.namespace("b").unwrap());
    net.veth((&a, "eth0"), (&b, "eth0")).unwrap();
    a.ip("addr add 10.9.0.1/24 dev eth0").unwrap();
    let place = Place::new();
    let programs = [
        ("good", place.script("good", 0o755)),
        ("not executable", place.script("plain", 0o644)),
        ("writable by others", place.script("world", 0o757)),
        ("in an open directory", place.script("open/good", 0o755)),
        ("missing", place.path("nowhere")),
        ("without a directory", place.path("nowhere/at/all")),
    ];
    let globals = [
        "script_user root",
        "script_user root\n enable_script_security",
        "script_user daemon\n enable_script_security",
        "script_user daemon",
    ];
    let (mut codes, mut different) = (BTreeSet::new(), Vec::new());
    for (what, program) in &programs {
        for global in globals {
            for tracked in [true, false] {
                let (script, user) = if tracked {
                    let script = format!("vrrp_script chk {{\n script \"{program} a\"\n}}\n");
                    (script, "track_script {\n chk\n }".to_owned())
                } else {
                    (String::new(), format!("notify_master \"{program} b\""))
                };
                let text = format!(
                    "global_defs {{\n {global}\n}}\n{script}vrrp_instance VI {{\n interface eth0\n \
                     virtual_router_id 51\n virtual_ipaddress {{\n 10.9.0.100\n }}\n {user}\n}}\n"
                );
                fs::write(place.path("keepalived.conf"), &text).unwrap();
                let (theirs, said) = place.test(&a, KEEPALIVED);
                if theirs.is_none() {
                    println!("keepalived was ended: {what}, {global}, tracked {tracked}");
                    continue;
                }
                let (ours, we_said) = place.test(&a, &place.path("keepalived"));
                // We say as well why a program is not run, which a test by Keepalived keeps to itself.
                if ours != theirs || !said.is_subset(&we_said) {
                    different.push(format!(
                        "{what}, {global}, tracked {tracked}: {ours:?} {we_said:#?} is not \
                         {theirs:?} {said:#?}"
                    ));
                }
                codes.insert(theirs);
            }
        }
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
    assert!(codes.contains(&Some(0)) && codes.contains(&Some(6)), "{codes:?}");
}
