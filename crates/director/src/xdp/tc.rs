//! The programs at tc. At every interface that takes part: one at the egress, for answers that leave
//! by the kernel, and one at the ingress: the forwarding program, or, where that is in XDP, a small
//! one for what comes back to clients on this machine. And one at the loopback's egress, for the
//! requests of such clients.
//!
//! Filters outlive this process by themselves. One that is there already is replaced in one step:
//! no packet meets neither.

use std::os::fd::{AsFd, AsRawFd};
use std::path::{Path, PathBuf};

use aya::Ebpf;
use aya::programs::tc::{
    NlOptions, SchedClassifierLink, TcAttachOptions, TcError, TcHandle, qdisc_add_clsact,
    qdisc_detach_program,
};
use aya::programs::{ProgramError, SchedClassifier, TcAttachType};
use edge::bpf::Map;
use zerocopy::IntoBytes;

use super::object::{bpf_error, load_patiently, pin_program, program};
use crate::EngineError;

/// Forwards what comes in.
const FORWARD: &str = "evenkeel_tc_in";
/// For clients on this machine, behind a forwarding program in XDP.
const ARRIVE: &str = "evenkeel_arrive";
/// Puts the virtual address into answers that leave by the kernel.
const LEAVE: &str = "evenkeel_tc";
/// Requests of clients on this machine.
const LOCAL: &str = "evenkeel_local";
/// Those that are needed wherever the forwarding program runs.
const ALWAYS: [&str; 3] = [ARRIVE, LEAVE, LOCAL];
/// The programs, by the names of their pins and those the kernel has; in the order of the maps by which
/// those of IPv4 reach IPv6's, and ours those of another layout: `enum place` in bpf/hook.h.
pub(super) const PLACES: [(&str, &str); 4] = [
    ("program_in", FORWARD),
    ("program_arrive", ARRIVE),
    ("program_rewrite", LEAVE),
    ("program_local", LOCAL),
];
/// The loopback has this name in every namespace.
const LOOPBACK: &str = "lo";
/// Where our filters stand among a device's.
const PRIORITY: u16 = 50;
const HANDLE: TcHandle = TcHandle::new(0, 1);

/// What is at an interface's ingress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ingress {
    /// The forwarding program.
    Forward,
    /// The forwarding program is in XDP, before it.
    BehindXdp,
}

/// The programs at tc.
pub(crate) struct Filters {
    /// Where the programs are pinned, for versions of other layouts that take over from them.
    pins: PathBuf,
    four: Ebpf,
    /// IPv6's, to which IPv4's hand over, and the map by which they do.
    six: Option<(Ebpf, Map)>,
    /// The forwarding program is loaded: it takes as long as that of XDP, and few need it.
    forwards: bool,
}

impl Filters {
    /// Loads the programs of IPv4's object and pins them.
    pub(crate) fn load(mut four: Ebpf, pins: &Path) -> Result<Filters, EngineError> {
        ALWAYS.iter().try_for_each(|name| load_program(&mut four, name))?;
        let filters = Filters { pins: pins.to_path_buf(), four, six: None, forwards: false };
        filters.pin()?;
        Ok(filters)
    }

    /// Those that are loaded.
    fn pin(&self) -> Result<(), EngineError> {
        PLACES
            .iter()
            .try_for_each(|(pin, name)| pin_program(&self.four, name, &self.pins.join(pin)))
    }

    /// Loads IPv6's. `places` is the map by which IPv4's reach them.
    pub(crate) fn load_six(&mut self, mut six: Ebpf, places: Map) -> Result<(), EngineError> {
        ALWAYS.iter().try_for_each(|name| load_program(&mut six, name))?;
        if self.forwards {
            load_program(&mut six, FORWARD)?;
        }
        self.six = Some((six, places));
        self.hand_over()
    }

    /// Puts IPv6's programs, as far as they are loaded, where IPv4's find them.
    fn hand_over(&self) -> Result<(), EngineError> {
        let Some((six, places)) = &self.six else { return Ok(()) };
        for (place, (_, name)) in (0u32..).zip(PLACES) {
            let Some(Ok(program)) = six.program(name).map(|program| program.fd()) else { continue };
            let descriptor = program.as_fd().as_raw_fd();
            places
                .update(place.as_bytes(), descriptor.as_bytes())
                .map_err(EngineError::system(format!("hand over to {name}")))?;
        }
        Ok(())
    }

    fn load_forward(&mut self) -> Result<(), EngineError> {
        if self.forwards {
            return Ok(());
        }
        load_program(&mut self.four, FORWARD)?;
        if let Some((six, _)) = &mut self.six {
            load_program(six, FORWARD)?;
        }
        self.forwards = true;
        self.pin()?;
        self.hand_over()
    }

    /// Puts the filters onto an interface, or ours over those of an earlier director.
    pub(crate) fn attach(&mut self, name: &str, ingress: Ingress) -> Result<(), EngineError> {
        let at_ingress = match ingress {
            Ingress::Forward => {
                self.load_forward()?;
                FORWARD
            }
            Ingress::BehindXdp => ARRIVE,
        };
        self.put(name, TcAttachType::Ingress, at_ingress)?;
        self.put(name, TcAttachType::Egress, LEAVE)
    }

    /// Balances what clients on this machine send.
    pub(crate) fn attach_loopback(&mut self) -> Result<(), EngineError> {
        self.put(LOOPBACK, TcAttachType::Egress, LOCAL)
    }

    fn put(&mut self, device: &str, at: TcAttachType, name: &str) -> Result<(), EngineError> {
        // Whether the qdisc was there already is all one.
        let _ = qdisc_add_clsact(device);
        put_filter(program(&mut self.four, name), device, at)
            .map_err(|error| bpf_error(&format!("{name} on {device}"), &error))
    }
}

/// Takes the filters off an interface. One that is gone took them along.
pub(crate) fn detach(name: &str) {
    for program in [FORWARD, ARRIVE] {
        let _ = qdisc_detach_program(name, TcAttachType::Ingress, program);
    }
    let _ = qdisc_detach_program(name, TcAttachType::Egress, LEAVE);
}

/// Takes the filter off the loopback.
pub(crate) fn detach_loopback() {
    let _ = qdisc_detach_program(LOOPBACK, TcAttachType::Egress, LOCAL);
}

fn load_program(object: &mut Ebpf, name: &str) -> Result<(), EngineError> {
    let program: &mut SchedClassifier = program(object, name);
    load_patiently(name, || program.load())
}

fn put_filter(
    program: &mut SchedClassifier,
    device: &str,
    at: TcAttachType,
) -> Result<(), ProgramError> {
    let present = SchedClassifierLink::attached(device, at, PRIORITY, HANDLE, None)
        .map_err(TcError::IoError)?;
    let id = match program.attach_to_link(present) {
        Ok(id) => id,
        // There is none yet.
        Err(_) => {
            let options = NlOptions { priority: PRIORITY, handle: HANDLE, classid: None };
            program.attach_with_options(device, at, TcAttachOptions::Netlink(options))?
        }
    };
    // Dropping it would remove the filter, which is to outlive this process.
    std::mem::forget(program.take_link(id)?);
    Ok(())
}
