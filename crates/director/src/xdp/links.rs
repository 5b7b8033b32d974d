//! Our programs on interfaces. The forwarding program is in XDP, by a pinned link, or at tc; the other
//! programs at tc are there in any case. Whoever changes from one to the other puts the new one on
//! before it takes the old one off: no packet meets neither. One that meets both is the first one's,
//! and what that passed means nothing to the second.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use aya::programs::links::{FdLink, PinnedLink};
use aya::programs::{ProgramError, Xdp, XdpMode, xdp};
use edge::netlink::neighbour::Interface;

use super::choice::{Choice, Hook};
use super::layout::LAYOUT;
use super::object::{FORWARD, LINKS, Object, bpf_error, program};
use super::tc::{self, Ingress};
use crate::EngineError;

/// An interface with our programs on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Attached {
    pub(crate) name: String,
    pub(crate) choice: Choice,
}

/// What notes, beside the pins of links, that the forwarding program is at tc: a directory.
const AT_TC: &str = "tc";
/// XDP's modes, with the names of their pins.
const MODES: [(Hook, XdpMode, &str); 2] =
    [(Hook::Native, XdpMode::Driver, "native"), (Hook::Generic, XdpMode::Skb, "generic")];
const EBUSY: i32 = 16;

/// The errno behind an attach that failed.
fn errno(error: &ProgramError) -> Option<i32> {
    match error {
        ProgramError::SyscallError(inner) => inner.io_error.raw_os_error(),
        _ => None,
    }
}

impl Object {
    /// Puts our programs onto an interface, whatever an earlier director or this one put there.
    pub(crate) fn attach(
        &mut self,
        interface: &Interface,
        choice: &Choice,
    ) -> Result<(), EngineError> {
        if self.links.is_empty() {
            self.filters()?.attach_loopback()?;
        }
        let index = interface.index;
        let wanted = MODES.iter().find(|(hook, _, _)| *hook == choice.hook);
        let present = wanted.is_some_and(|(_, _, name)| self.adopt_link(index, name));
        let others: Vec<PathBuf> = MODES
            .iter()
            .filter(|(hook, _, _)| *hook != choice.hook)
            .map(|(_, _, name)| self.link_path(index, name))
            .filter(|path| path.exists())
            .collect();
        // Two modes of XDP cannot be on one interface at once: tc stands in between.
        if wanted.is_none() || (!present && !others.is_empty()) {
            self.filters()?.attach(&interface.name, Ingress::Forward)?;
        }
        for path in others {
            take_off(&path)?;
        }
        let at_tc = self.link_path(index, AT_TC);
        if let Some((_, mode, name)) = wanted {
            if !present {
                self.new_link(interface, *mode, name)?;
            }
            self.filters()?.attach(&interface.name, Ingress::BehindXdp)?;
            let _ = fs::remove_dir(at_tc);
        } else {
            fs::create_dir_all(&at_tc)
                .map_err(EngineError::system(format!("create {}", at_tc.display())))?;
        }
        let attached = Attached { name: interface.name.clone(), choice: choice.clone() };
        self.links.insert(index, attached);
        Ok(())
    }

    /// Whether an interface has what is chosen for it already, for whatever reason.
    pub(crate) fn keeps(&mut self, index: u32, choice: &Choice) -> bool {
        match self.links.get_mut(&index) {
            Some(present) if present.choice.hook == choice.hook => {
                present.choice = choice.clone();
                true
            }
            Some(_) | None => false,
        }
    }

    fn link_path(&self, index: u32, mode: &str) -> PathBuf {
        self.pins.join(LINKS).join(format!("{index}-{mode}"))
    }

    /// Gives an earlier director's link our program in one step. False when there is none, or its
    /// interface is gone.
    fn adopt_link(&mut self, index: u32, mode: &str) -> bool {
        let path = self.link_path(index, mode);
        if !path.exists() {
            return false;
        }
        let updated = self.update_link(&path);
        if updated.is_err() {
            let _ = fs::remove_file(&path);
        }
        updated.is_ok()
    }

    fn update_link(&mut self, path: &Path) -> Result<(), String> {
        let pinned = PinnedLink::from_pin(path).map_err(|error| error.to_string())?;
        let link = xdp::XdpLink::try_from(FdLink::from(pinned)).map_err(|e| e.to_string())?;
        let program: &mut Xdp = program(&mut self.ebpf, FORWARD);
        let id = program.attach_to_link(link).map_err(|error| error.to_string())?;
        // The pin holds it: the program is not to, so that it can be taken off.
        let link = program.take_link(id).map_err(|error| error.to_string())?;
        FdLink::try_from(link).map(drop).map_err(|error| error.to_string())
    }

    fn new_link(
        &mut self,
        interface: &Interface,
        mode: XdpMode,
        name: &str,
    ) -> Result<(), EngineError> {
        let what = format!("attach to {}", interface.name);
        let path = self.link_path(interface.index, name);
        let program: &mut Xdp = program(&mut self.ebpf, FORWARD);
        let id = match program.attach_to_if_index(interface.index, mode) {
            Ok(id) => id,
            Err(error) if errno(&error) == Some(EBUSY) => {
                return Err(EngineError::Bpf(format!(
                    "{what}: another XDP program is attached there"
                )));
            }
            Err(error) => return Err(bpf_error(&what, &error)),
        };
        let link = program.take_link(id).map_err(|error| bpf_error(&what, &error))?;
        let link = FdLink::try_from(link).map_err(|error| bpf_error(&what, &error))?;
        link.pin(path).map(drop).map_err(|error| bpf_error(&what, &error))
    }

    /// The interface is gone from the system.
    pub(crate) fn forget(&mut self, index: u32) {
        if self.links.remove(&index).is_some() {
            for (_, _, mode) in MODES {
                let _ = fs::remove_file(self.link_path(index, mode));
            }
            let _ = fs::remove_dir(self.link_path(index, AT_TC));
        }
    }

    /// Interfaces with our programs, by index.
    pub(crate) fn attached(&self) -> &HashMap<u32, Attached> {
        &self.links
    }

    /// Where the forwarding program is on which interfaces, perhaps that of an earlier director.
    pub(crate) fn linked(&self) -> BTreeMap<u32, Hook> {
        let Ok(entries) = fs::read_dir(self.pins.join(LINKS)) else { return BTreeMap::new() };
        let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
        let linked = |name: String| {
            let (index, mode) = name.split_once('-')?;
            let xdp = MODES.iter().find(|(_, _, name)| *name == mode).map(|(hook, _, _)| *hook);
            let hook = xdp.or_else(|| (mode == AT_TC).then_some(Hook::Tc))?;
            Some((index.parse().ok()?, hook))
        };
        names.filter_map(linked).collect()
    }

    /// Detaches from every interface, this director's and leftovers, and unpins the maps. The
    /// gate stays: it is not ours.
    pub(crate) fn detach_all(&mut self) -> io::Result<()> {
        for attached in self.links.values() {
            tc::detach(&attached.name);
        }
        tc::detach_loopback();
        self.links.clear();
        for link in fs::read_dir(self.pins.join(LINKS))?.flatten() {
            // One whose interface is gone has nothing to be taken off.
            let _ = edge::bpf::detach_link(&link.path());
        }
        fs::remove_dir_all(self.pins.join(LINKS))?;
        fs::remove_dir_all(self.pins.join(LAYOUT))?;
        let program: &mut Xdp = program(&mut self.ebpf, FORWARD);
        program.unload().map_err(io::Error::other)
    }
}

/// Takes a program off its interface, at once, and its pin away.
fn take_off(path: &Path) -> Result<(), EngineError> {
    // One whose interface is gone has nothing to be taken off.
    let _ = edge::bpf::detach_link(path);
    fs::remove_file(path).map_err(EngineError::system(format!("unpin {}", path.display())))
}
