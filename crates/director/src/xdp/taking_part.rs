//! Which interfaces take part: those asked for and those that lead to real servers; and where the
//! forwarding program runs on each.

use std::collections::{BTreeMap, BTreeSet};

use edge::netlink::neighbour::Interface;
use model::control::XdpMode;

use super::choice::{Choice, Hook, candidates, choose};
use super::{NOTICE, XdpEngine};

/// What is known of interfaces besides what is attached.
pub(super) struct TakingPart {
    mode: XdpMode,
    /// Asked for by name.
    pub(super) wanted: BTreeSet<String>,
    /// Could not be attached: tried again only when they change.
    failed: BTreeSet<u32>,
    /// Refused native XDP, and why: likewise.
    refused: BTreeMap<u32, String>,
    /// One changed: another mode may be the best now.
    stale: bool,
    /// Where the program of another layout is, which ours has to be able to ask.
    kept: BTreeMap<u32, Hook>,
}

impl TakingPart {
    pub(super) fn new(mode: XdpMode) -> TakingPart {
        TakingPart {
            mode,
            wanted: BTreeSet::new(),
            failed: BTreeSet::new(),
            refused: BTreeMap::new(),
            stale: false,
            kept: BTreeMap::new(),
        }
    }

    /// These interfaces take part, and in this way, for the time being.
    pub(super) fn keep_hooks(&mut self, kept: BTreeMap<u32, Hook>) {
        self.kept = kept;
    }

    /// That time is over.
    pub(super) fn choose_hooks(&mut self) {
        self.kept.clear();
        self.stale = true;
    }

    /// An interface came, changed or went.
    pub(super) fn changed(&mut self, index: u32) {
        self.failed.remove(&index);
        self.refused.remove(&index);
        self.stale = true;
    }
}

impl XdpEngine {
    /// Attaches to interfaces that are to take part and do not yet.
    pub(super) fn attach_wanted(&mut self) {
        let named = self.part.wanted.iter().filter_map(|name| self.next_hops.interface_named(name));
        let mut all: BTreeSet<u32> = named.map(|interface| interface.index).collect();
        all.extend(self.next_hops.outgoing());
        all.extend(self.part.kept.keys());
        let attached = self.object.attached();
        let is_new = all
            .iter()
            .any(|index| !attached.contains_key(index) && !self.part.failed.contains(index));
        if is_new || self.part.stale {
            self.part.stale = false;
            all.extend(attached.keys());
            // Each round but the last one finds that one more refuses.
            for _ in 0..=all.len() {
                if self.attach_all(&all) {
                    break;
                }
            }
        }
        self.keep_loopback();
    }

    /// False when a driver refused native XDP: that changes the choice for all.
    fn attach_all(&mut self, all: &BTreeSet<u32>) -> bool {
        let failed = &self.part.failed;
        let mut all = candidates(all.iter().copied().filter(|index| !failed.contains(index)));
        for (index, candidate) in &mut all {
            candidate.refused = self.part.refused.get(index).cloned();
        }
        let mut settled = true;
        for (index, mut choice) in choose(self.part.mode, &all) {
            if let Some(hook) = self.part.kept.get(&index) {
                choice = Choice { hook: *hook, reason: String::new() };
            }
            if self.object.keeps(index, &choice) {
                continue;
            }
            if let Some(interface) = self.next_hops.interface(index).cloned() {
                settled &= self.attach(&interface, &choice);
            }
        }
        settled
    }

    /// False when another choice is to be made.
    fn attach(&mut self, interface: &Interface, choice: &Choice) -> bool {
        let Some(mac) = interface.mac else { return true };
        let (index, name) = (interface.index, &interface.name);
        if let Err(error) = self.test_interface(index, mac) {
            self.part.failed.insert(index);
            self.warn(format!("interface {name}: {error}"));
            return true;
        }
        match self.object.attach(interface, choice) {
            Ok(()) => {
                let how = match choice.hook {
                    Hook::Native | Hook::Generic => format!("{choice} XDP"),
                    Hook::Tc => choice.to_string(),
                };
                self.log.push_back((NOTICE, format!("forwarding on {name} ({how})")));
                true
            }
            Err(error) if self.part.mode == XdpMode::Auto && choice.hook == Hook::Native => {
                self.part.refused.insert(index, error.to_string());
                false
            }
            Err(error) => {
                self.part.failed.insert(index);
                self.warn(error.to_string());
                true
            }
        }
    }

    /// Loopback addresses are reached from the interfaces while a server has one; answers to clients
    /// on this machine by the loopback.
    fn keep_loopback(&mut self) {
        let names = self.object.attached().values().map(|one| one.name.as_str());
        let done = self.loopback.keep(names, self.state.has_loopback());
        if let Err(error) = done {
            self.warn(format!("a setting of the loopback cannot be switched on: {error}"));
        }
        let names = self.object.attached().values().map(|one| one.name.as_str());
        if let Err(error) = self.inward.keep(self.state.has_loopback6(), names) {
            self.warn(format!("a server at ::1 cannot be reached: {error}"));
        }
    }
}
