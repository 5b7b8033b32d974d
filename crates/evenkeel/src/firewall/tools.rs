//! Runs the firewall's own tools.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use super::chain::Firewall;

/// Where administrators' tools are.
const DIRECTORIES: [&str; 5] = ["/usr/sbin", "/sbin", "/usr/bin", "/bin", "/usr/local/sbin"];
/// How long one tool may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Most bytes that are read of one.
const OUTPUT_MAX: u64 = 64 << 20;
/// Its name when it speaks with the kernel's former tables, whichever the usual name stands for.
const LEGACY: [(Firewall, &str, &str); 2] = [
    (Firewall::Iptables, "iptables-legacy-save", "/proc/net/ip_tables_names"),
    (Firewall::Ip6tables, "ip6tables-legacy-save", "/proc/net/ip6_tables_names"),
];

/// The mangle table of iptables or ip6tables, of both kinds where both are in use.
pub(super) fn saved(firewall: Firewall, failures: &mut Vec<String>) -> Vec<String> {
    let usual = match firewall {
        Firewall::Iptables => "iptables-save",
        Firewall::Ip6tables => "ip6tables-save",
        Firewall::Nft => return Vec::new(),
    };
    let mut texts: Vec<String> = run(usual, &["-t", "mangle"], failures).into_iter().collect();
    // Asking for them would create them.
    let legacy = LEGACY.iter().find(|(of, _, names)| {
        *of == firewall
            && fs::read_to_string(names).is_ok_and(|names| names.lines().any(|it| it == "mangle"))
    });
    if let Some((_, tool, _)) = legacy {
        let text = run(tool, &["-t", "mangle"], failures);
        let rules = |text: &str| text.lines().filter(|it| it.starts_with("-A")).count();
        let more = text.filter(|text| rules(text) > 0);
        // The usual name may stand for this one.
        let is_new = |text: &String| !texts.iter().any(|known| same_rules(known, text));
        texts.extend(more.filter(is_new).into_iter().collect::<Vec<_>>());
    }
    texts
}

fn same_rules(one: &str, other: &str) -> bool {
    let rules = |text: &str| -> Vec<String> {
        text.lines().filter(|line| line.starts_with("-A")).map(str::to_owned).collect()
    };
    rules(one) == rules(other)
}

/// All tables of nftables as JSON.
pub(super) fn ruleset(failures: &mut Vec<String>) -> Option<String> {
    run("nft", &["-j", "list", "ruleset"], failures)
}

/// What a tool says; nothing if it is not there.
fn run(tool: &str, arguments: &[&str], failures: &mut Vec<String>) -> Option<String> {
    let path = find(tool)?;
    match output(&path, arguments) {
        Ok(text) => Some(text),
        Err(error) => {
            failures.push(format!("{tool} {}: {error}", arguments.join(" ")));
            None
        }
    }
}

fn find(tool: &str) -> Option<PathBuf> {
    let mut paths = DIRECTORIES.iter().map(|directory| Path::new(directory).join(tool));
    paths.find(|path| path.exists())
}

fn output(path: &Path, arguments: &[&str]) -> io::Result<String> {
    let mut command = Command::new(path);
    command.args(arguments).env("LC_ALL", "C");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn()?;
    let (told, answer) = mpsc::channel();
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    std::thread::spawn(move || {
        let mut said = (Vec::new(), Vec::new());
        let read = read_into(stdout, &mut said.0).and_then(|()| read_into(stderr, &mut said.1));
        let _ = told.send(read.map(|()| said));
    });
    let said = answer.recv_timeout(PATIENCE);
    let (stdout, stderr) = match said {
        Ok(said) => said?,
        Err(_) => return Err(give_up(child)),
    };
    let status = child.wait()?;
    if !status.success() {
        let words = String::from_utf8_lossy(&stderr);
        let first = words.lines().next().unwrap_or_default();
        return Err(io::Error::other(format!("{status}: {first}")));
    }
    String::from_utf8(stdout).map_err(io::Error::other)
}

fn read_into(pipe: Option<impl Read>, bytes: &mut Vec<u8>) -> io::Result<()> {
    match pipe {
        Some(pipe) => pipe.take(OUTPUT_MAX).read_to_end(bytes).map(drop),
        None => Ok(()),
    }
}

fn give_up(mut child: Child) -> io::Error {
    let _ = child.kill();
    let _ = child.wait();
    io::Error::other(format!("no answer within {} s", PATIENCE.as_secs()))
}
