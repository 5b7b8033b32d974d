//! The two judges: Debian's `keepalived -t` in a namespace with an interface eth0, and ours.

use std::fs;
use std::net::IpAddr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use conf::{Language, Severity, Source};
use lab::net::{Namespace, Net};
use model::Plan;

const KEEPALIVED: &str = "/usr/sbin/keepalived";

/// Our verdict: the plan, or the errors.
pub(crate) fn plan(text: &str) -> Result<Plan, String> {
    let loaded = conf::load(&Text(text), &[("k.conf".to_owned(), Some(Language::Keepalived))]);
    let errors = loaded.diagnostics.iter().filter(|one| one.severity == Severity::Error);
    let errors: Vec<&str> = errors.map(|one| one.message.as_str()).collect();
    loaded.plan.ok_or_else(|| errors.join("; "))
}

/// It loads, but `keepalived -t` is to end with 5.
pub(crate) fn fails_test(text: &str) -> bool {
    let loaded = conf::load(&Text(text), &[("k.conf".to_owned(), Some(Language::Keepalived))]);
    assert!(loaded.plan.is_some(), "{:?}\n{text}", loaded.diagnostics);
    loaded.diagnostics.iter().any(|one| one.fails_test)
}

/// A machine with one file and the users every machine has.
struct Text<'t>(&'t str);

impl Source for Text<'_> {
    fn read(&self, path: &str) -> Result<String, String> {
        match path {
            "k.conf" => Ok(self.0.to_owned()),
            path => fs::read_to_string(path).map_err(|error| error.to_string()),
        }
    }

    fn environment(&self, _: &str) -> Option<String> {
        None
    }

    fn host_name(&self) -> String {
        "director".to_owned()
    }

    fn resolve(&self, host: &str) -> Result<Vec<IpAddr>, String> {
        host.parse().map(|address| vec![address]).map_err(|_| format!("unknown host {host}"))
    }

    fn user_id(&self, name: &str) -> Option<u32> {
        (name == "root").then_some(0)
    }

    fn primary_group(&self, user: &str) -> Option<u32> {
        self.user_id(user)
    }

    fn group_id(&self, name: &str) -> Option<u32> {
        (name == "root").then_some(0)
    }
}

/// Debian's Keepalived, and where it runs.
pub(crate) struct Keepalived {
    namespace: Namespace,
    directory: PathBuf,
    _net: Net,
}

impl Keepalived {
    /// The namespace, or why it cannot be: no Keepalived, another version, no privileges.
    pub(crate) fn new(tag: &str) -> Result<Keepalived, String> {
        if !Path::new(KEEPALIVED).exists() {
            return Err(format!("there is no {KEEPALIVED}"));
        }
        if let Some(reason) = lab::net::missing() {
            return Err(reason);
        }
        let make = || -> std::io::Result<Keepalived> {
            let net = Net::new(tag)?;
            let namespace = net.namespace("a")?;
            namespace.ip("link add eth0 type veth peer name eth1")?;
            namespace.ip("link set eth0 up")?;
            namespace.ip("link set eth1 up")?;
            namespace.ip("addr add 192.0.2.9/24 dev eth0")?;
            let name = format!("ek-{tag}-{}", std::process::id());
            let directory = std::env::temp_dir().join(name);
            fs::create_dir_all(&directory)?;
            Ok(Keepalived { namespace, directory, _net: net })
        };
        let keepalived = make().map_err(|error| error.to_string())?;
        let version = keepalived.run(&["-v".to_owned()]);
        match version {
            Ok(said) | Err(said) if said.contains("v2.2.7") => Ok(keepalived),
            _ => Err(format!("{KEEPALIVED} is not 2.2.7")),
        }
    }

    /// Its verdict, or what it says against the text.
    pub(crate) fn verdict(&self, text: &str) -> Result<String, String> {
        let path = |name: &str| self.directory.join(name).display().to_string();
        let file = path("k.conf");
        fs::write(&file, text).expect("a file");
        let mut arguments = vec!["-t".to_owned(), "-f".to_owned(), file];
        for (option, name) in [("-p", "p"), ("-r", "r"), ("-c", "c"), ("-b", "b")] {
            arguments.extend([option.to_owned(), path(name)]);
        }
        self.run(&arguments)
    }

    fn run(&self, arguments: &[String]) -> Result<String, String> {
        // A group of its own: Keepalived signals its group when it ends.
        let output = self
            .namespace
            .command(KEEPALIVED)
            .args(arguments)
            .process_group(0)
            .stdin(Stdio::null())
            .output()
            .expect("keepalived runs");
        let said = String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; ");
        if output.status.success() { Ok(said) } else { Err(said) }
    }
}

impl Drop for Keepalived {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}
