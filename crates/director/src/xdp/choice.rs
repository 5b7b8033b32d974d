//! Where the forwarding program meets an interface's packets: in the driver (native XDP), in the
//! kernel's generic layer, or at tc. Decided here for all interfaces together, because frames that
//! come in by one go out by another, and native XDP sends them out only where the driver takes them.
//!
//! Besides native XDP comes tc, not generic XDP. Both are for packets that the kernel has wrapped
//! already; generic XDP needs them copied into one piece with room in front, and what receive
//! offloads merged is too large for it to send. tc takes them as they are.

use std::collections::BTreeMap;
use std::fmt;

use edge::netlink::Socket;
use edge::netlink::device::devices;
use edge::netlink::generic::{XdpFeatures, xdp_features};
use model::control::XdpMode;

/// Where the forwarding program runs on an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// XDP in the driver.
    Native,
    /// XDP in the kernel's generic layer.
    Generic,
    /// tc, at the ingress.
    Tc,
}

impl fmt::Display for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Hook::Native => "native",
            Hook::Generic => "generic",
            Hook::Tc => "tc",
        })
    }
}

/// A hook, and why it is not the best one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// Where the program is to run.
    pub hook: Hook,
    /// What is against native XDP; empty when it is native, or was asked for.
    pub reason: String,
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.reason.as_str() {
            "" => write!(f, "{}", self.hook),
            reason => write!(f, "{}: {reason}", self.hook),
        }
    }
}

/// What decides about an interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Candidate {
    /// Its name.
    pub name: String,
    /// What the kernel calls its kind; empty for most hardware.
    pub kind: String,
    /// What its driver says of XDP; absent before Linux 6.3.
    pub features: Option<XdpFeatures>,
    /// Why native XDP was refused when it was tried.
    pub refused: Option<String>,
}

/// Kinds without a driver of their own: frames reach them through the kernel only. For kernels
/// before 6.3, which do not tell.
const STACKED: &[&str] = &["bridge", "vlan", "macvlan", "ipvlan", "team", "vrf", "dummy"];

impl Candidate {
    /// `br0 (a bridge)`, `eth0`
    fn named(&self) -> String {
        match self.kind.as_str() {
            "" => self.name.clone(),
            kind if kind.starts_with(['a', 'e', 'i', 'o', 'u']) => {
                format!("{} (an {kind})", self.name)
            }
            kind => format!("{} (a {kind})", self.name),
        }
    }

    /// Why native XDP cannot run here, as far as is known before it is tried.
    fn against_native(&self) -> Option<String> {
        if let Some(refused) = &self.refused {
            return Some(refused.clone());
        }
        let has_none = || format!("{} has no native XDP", self.named());
        match self.features {
            Some(features) if features.basic && features.redirect => None,
            Some(_) => Some(has_none()),
            None => STACKED.contains(&self.kind.as_str()).then(has_none),
        }
    }

    /// Whether it sends frames that native programs of other interfaces want sent. Many drivers do
    /// once they have a program of their own, as this one will. That of a veth hangs on its other
    /// end: with GRO, or with a program there. Kernel: drivers/net/veth.c, veth_set_xdp_features.
    fn takes_frames(&self) -> bool {
        match self.features {
            Some(features) if self.kind == "veth" => features.transmit,
            Some(features) => features.transmit || self.against_native().is_none(),
            None => self.against_native().is_none(),
        }
    }
}

/// The hook of each interface, by index.
pub fn choose(mode: XdpMode, all: &BTreeMap<u32, Candidate>) -> BTreeMap<u32, Choice> {
    let asked_for = |hook| Choice { hook, reason: String::new() };
    let deaf = all.values().find(|one| !one.takes_frames());
    let automatic = |one: &Candidate| {
        let against_it = one.against_native().or_else(|| {
            deaf.map(|deaf| format!("{} takes no frames from native XDP", deaf.named()))
        });
        match against_it {
            None => asked_for(Hook::Native),
            Some(reason) => Choice { hook: Hook::Tc, reason },
        }
    };
    let choice = |one: &Candidate| match mode {
        XdpMode::Auto => automatic(one),
        XdpMode::Native => asked_for(Hook::Native),
        XdpMode::Generic => asked_for(Hook::Generic),
        XdpMode::Tc => asked_for(Hook::Tc),
    };
    all.iter().map(|(index, one)| (*index, choice(one))).collect()
}

/// What the kernel knows of these interfaces of the calling thread's network namespace.
pub(crate) fn candidates(wanted: impl Iterator<Item = u32>) -> BTreeMap<u32, Candidate> {
    let features: Option<BTreeMap<u32, XdpFeatures>> =
        xdp_features().ok().map(|all| all.into_iter().collect());
    let devices = Socket::open().and_then(|mut socket| devices(&mut socket)).unwrap_or_default();
    let of = |index: u32| {
        let device = devices.iter().find(|device| device.index == index)?;
        let candidate = Candidate {
            name: device.name.clone(),
            kind: device.kind.clone(),
            features: features.as_ref().map(|all| all.get(&index).copied().unwrap_or_default()),
            refused: None,
        };
        Some((index, candidate))
    };
    wanted.filter_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: XdpFeatures =
        XdpFeatures { basic: true, redirect: true, transmit: true, fragments: false };

    fn of(kind: &str, features: Option<XdpFeatures>) -> Candidate {
        Candidate { name: format!("{kind}0"), kind: kind.into(), features, refused: None }
    }

    fn hooks(mode: XdpMode, all: &[Candidate]) -> Vec<(Hook, String)> {
        let all = (1..).zip(all.iter().cloned()).collect();
        choose(mode, &all).into_values().map(|choice| (choice.hook, choice.reason)).collect()
    }

    #[test]
    fn drivers_with_xdp_get_native_xdp_without_a_reason() {
        let all = [of("veth", Some(ALL)), of("", Some(ALL))];
        assert_eq!(hooks(XdpMode::Auto, &all), vec![(Hook::Native, String::new()); 2]);
    }

    #[test]
    fn one_interface_that_takes_no_frames_brings_every_interface_to_tc() {
        for features in [Some(XdpFeatures::default()), None] {
            let all = [of("veth", features.map(|_| ALL)), of("bridge", features)];
            let found = hooks(XdpMode::Auto, &all);
            let told = |reason: &str| (Hook::Tc, format!("bridge0 (a bridge) {reason}"));
            assert_eq!(
                found,
                [told("takes no frames from native XDP"), told("has no native XDP")],
                "{features:?}"
            );
        }
    }

    #[test]
    fn a_veth_takes_frames_only_if_it_says_so_and_a_card_once_it_has_a_program() {
        let mute = Some(XdpFeatures { transmit: false, ..ALL });
        assert_eq!(hooks(XdpMode::Auto, &[of("veth", mute)])[0].0, Hook::Tc);
        assert_eq!(hooks(XdpMode::Auto, &[of("", mute)])[0].0, Hook::Native);
    }

    #[test]
    fn a_driver_that_refused_when_tried_is_not_tried_again() {
        let mut card = of("", None);
        assert_eq!(hooks(XdpMode::Auto, &[card.clone()])[0].0, Hook::Native);
        card.refused = Some("the MTU is too large".into());
        assert_eq!(hooks(XdpMode::Auto, &[card])[0], (Hook::Tc, "the MTU is too large".into()));
    }

    #[test]
    fn what_is_asked_for_is_not_argued_with() {
        let all = [of("bridge", Some(XdpFeatures::default()))];
        for (mode, hook) in [
            (XdpMode::Native, Hook::Native),
            (XdpMode::Generic, Hook::Generic),
            (XdpMode::Tc, Hook::Tc),
        ] {
            assert_eq!(hooks(mode, &all), [(hook, String::new())]);
        }
    }

    #[test]
    fn the_kernel_is_asked_about_interfaces_by_index() {
        let found = candidates([1, u32::MAX].into_iter());
        assert_eq!(found.values().map(|one| one.name.as_str()).collect::<Vec<_>>(), ["lo"]);
    }
}
