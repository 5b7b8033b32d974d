//! What `--fix` may do: kernel parameters and switches of drivers, both back at the next start
//! unless they are made permanent.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use edge::ethtool::Ethtool;
use edge::netns::NetworkNamespace;
use edge::sysctl;

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Remedy {
    /// Give a kernel parameter a value.
    Sysctl {
        /// `net/ipv4/ip_forward`
        key: String,
        /// The value.
        value: String,
    },
    /// Switch something of a driver.
    Switch {
        /// The interface.
        interface: String,
        /// The file of its network namespace; none for this one.
        namespace: Option<PathBuf>,
        /// What.
        switch: Switch,
    },
}

/// Switches of drivers that matter to packet programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Switch {
    /// Checksums are completed before frames are sent.
    TransmitChecksumsOff,
    /// Frames are taken in by NAPI.
    ReceiveOffloadOn,
    /// Frames are not merged by the driver.
    LargeReceiveOff,
    /// Frames are not merged by the card.
    HardwareReceiveOff,
    /// VLAN tags stay in the frames.
    VlanTagsKept,
}

impl Switch {
    /// ethtool's words.
    const fn words(self) -> &'static str {
        match self {
            Switch::TransmitChecksumsOff => "tx off",
            Switch::ReceiveOffloadOn => "gro on",
            Switch::LargeReceiveOff => "lro off",
            Switch::HardwareReceiveOff => "rx-gro-hw off",
            Switch::VlanTagsKept => "rxvlan off",
        }
    }

    /// The kernel's names.
    const fn features(self) -> &'static [(&'static str, bool)] {
        match self {
            Switch::TransmitChecksumsOff => &[
                ("tx-checksum-ipv4", false),
                ("tx-checksum-ip-generic", false),
                ("tx-checksum-ipv6", false),
                ("tx-checksum-fcoe-crc", false),
                ("tx-checksum-sctp", false),
            ],
            Switch::ReceiveOffloadOn => &[("rx-gro", true)],
            Switch::LargeReceiveOff => &[("rx-lro", false)],
            Switch::HardwareReceiveOff => &[("rx-gro-hw", false)],
            Switch::VlanTagsKept => &[("rx-vlan-hw-parse", false)],
        }
    }

    /// A line of the `[Link]` section of systemd.link(5).
    const fn link_line(self) -> &'static str {
        match self {
            Switch::TransmitChecksumsOff => "TransmitChecksumOffload=no",
            Switch::ReceiveOffloadOn => "GenericReceiveOffload=yes",
            Switch::LargeReceiveOff => "LargeReceiveOffload=no",
            Switch::HardwareReceiveOff => "GenericReceiveOffloadHardware=no",
            Switch::VlanTagsKept => "ReceiveVLANCTAGHardwareAcceleration=no",
        }
    }
}

impl Remedy {
    /// A parameter of one interface, or of `all`.
    pub(super) fn conf(interface: &str, parameter: &str, value: &str) -> Remedy {
        let key = format!("net/ipv4/conf/{interface}/{parameter}");
        Remedy::Sysctl { key, value: value.to_owned() }
    }

    /// The same of IPv6.
    pub(super) fn conf_v6(interface: &str, parameter: &str, value: &str) -> Remedy {
        let key = format!("net/ipv6/conf/{interface}/{parameter}");
        Remedy::Sysctl { key, value: value.to_owned() }
    }

    /// A switch of an interface of this network namespace.
    pub(super) fn switch(interface: &str, switch: Switch) -> Remedy {
        Remedy::Switch { interface: interface.to_owned(), namespace: None, switch }
    }

    /// The command that does the same.
    pub(super) fn command(&self) -> String {
        match self {
            Remedy::Sysctl { key, value } => format!("sysctl -w {}={value}", dotted(key)),
            Remedy::Switch { interface, namespace: None, switch } => {
                format!("ethtool -K {interface} {}", switch.words())
            }
            Remedy::Switch { interface, namespace: Some(path), switch } => {
                let enter = format!("nsenter --net={}", path.display());
                format!("{enter} ethtool -K {interface} {}", switch.words())
            }
        }
    }

    /// Does it.
    pub(super) fn apply(&self) -> io::Result<()> {
        match self {
            Remedy::Sysctl { key, value } => sysctl::write(key, value),
            Remedy::Switch { interface, namespace, switch } => {
                let change = || Ethtool::open()?.set_features(interface, switch.features());
                match namespace {
                    None => change(),
                    Some(path) => NetworkNamespace::open(path)?.enter(change)?,
                }
            }
        }
    }
}

/// sysctl(8)'s way of writing a key. Its slashes stay where an interface's name has dots.
pub(super) fn dotted(key: &str) -> String {
    if key.contains('.') { key.to_owned() } else { key.replace('/', ".") }
}

/// How to keep these after a restart: the content of files, with their names.
pub(super) fn permanent(done: &[Remedy]) -> Vec<(String, String)> {
    let mut sysctls = String::new();
    let mut links: BTreeMap<&str, String> = BTreeMap::new();
    for remedy in done {
        match remedy {
            Remedy::Sysctl { key, value } => {
                sysctls.push_str(&format!("{} = {value}\n", dotted(key)));
            }
            Remedy::Switch { interface, namespace: None, switch } => {
                let head = || format!("[Match]\nOriginalName={interface}\n\n[Link]\n");
                let lines = links.entry(interface).or_insert_with(head);
                lines.push_str(switch.link_line());
                lines.push('\n');
            }
            // Whoever makes the other end sets it.
            Remedy::Switch { namespace: Some(_), .. } => {}
        }
    }
    let mut files = Vec::new();
    if !sysctls.is_empty() {
        files.push(("/etc/sysctl.d/60-evenkeel.conf".to_owned(), sysctls));
    }
    let link_files = links.into_iter().map(|(interface, lines)| {
        (format!("/etc/systemd/network/10-evenkeel-{interface}.link"), lines)
    });
    files.extend(link_files);
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_those_that_an_administrator_would_type() {
        let forward = Remedy::Sysctl { key: "net/ipv4/ip_forward".into(), value: "1".into() };
        assert_eq!(forward.command(), "sysctl -w net.ipv4.ip_forward=1");
        let vlan = Remedy::conf("eth0.5", "rp_filter", "2");
        assert_eq!(vlan.command(), "sysctl -w net/ipv4/conf/eth0.5/rp_filter=2");
        let here = Remedy::switch("eth0", Switch::LargeReceiveOff);
        assert_eq!(here.command(), "ethtool -K eth0 lro off");
        let there = Remedy::Switch {
            interface: "port0".into(),
            namespace: Some("/run/netns/switch".into()),
            switch: Switch::TransmitChecksumsOff,
        };
        let command = "nsenter --net=/run/netns/switch ethtool -K port0 tx off";
        assert_eq!(there.command(), command);
    }

    #[test]
    fn what_was_done_here_can_be_kept() {
        let done = [
            Remedy::conf("all", "rp_filter", "2"),
            Remedy::switch("eth0", Switch::LargeReceiveOff),
            Remedy::switch("eth0", Switch::VlanTagsKept),
        ];
        let files = permanent(&done);
        assert_eq!(files[0].1, "net.ipv4.conf.all.rp_filter = 2\n");
        assert_eq!(files[1].0, "/etc/systemd/network/10-evenkeel-eth0.link");
        assert!(files[1].1.starts_with("[Match]\nOriginalName=eth0\n\n[Link]\n"));
        assert!(files[1].1.ends_with("ReceiveVLANCTAGHardwareAcceleration=no\n"));
        assert_eq!(permanent(&[]), []);
    }
}
