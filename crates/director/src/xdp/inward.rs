//! A real server at ::1 (`sorry_server ::1 80`): a program on the way in hands the loopback what
//! the forwarding program translated for it. The kernel has no switch for that, as IPv4's `route_localnet` is one.

use std::collections::BTreeMap;

use aya::programs::tc::{NlOptions, SchedClassifierLink, TcAttachOptions, TcAttachType};
use aya::programs::{SchedClassifier, tc};
use aya::{Ebpf, EbpfLoader};

use crate::EngineError;

static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/inward.bpf.o"));
const PROGRAM: &str = "evenkeel_inward";
/// Where our filter stands among a device's ingress filters: behind the others of ours, which may
/// be what translates.
const OPTIONS: NlOptions =
    NlOptions { priority: 51, handle: tc::TcHandle::new(0, 1), classid: None };

/// Interfaces and whether they have the program. One that was not looked at may have an earlier
/// director's.
#[derive(Default)]
pub(crate) struct Inward {
    ebpf: Option<Ebpf>,
    interfaces: BTreeMap<String, bool>,
}

fn failed(what: &str, error: &dyn std::error::Error) -> EngineError {
    EngineError::Bpf(format!("{what}: {error}"))
}

impl Inward {
    /// There is such a server, or there is none any more: these interfaces have the program, or
    /// do not. Costs nothing where that is so already.
    pub(crate) fn keep<'a>(
        &mut self,
        wanted: bool,
        interfaces: impl Iterator<Item = &'a str>,
    ) -> Result<(), EngineError> {
        for name in interfaces {
            if self.interfaces.get(name) == Some(&wanted) {
                continue;
            }
            if wanted {
                self.attach(name)?;
            } else {
                // Without a filter there, or without the device, nothing is to be done.
                let _ = tc::qdisc_detach_program(name, TcAttachType::Ingress, PROGRAM);
            }
            self.interfaces.insert(name.to_owned(), wanted);
        }
        Ok(())
    }

    /// An interface is gone: one of its name is another one.
    pub(crate) fn forget(&mut self, name: &str) {
        self.interfaces.remove(name);
    }

    /// Takes it off wherever it is.
    pub(crate) fn close(&mut self) {
        for (name, _) in std::mem::take(&mut self.interfaces).into_iter().filter(|(_, has)| *has) {
            let _ = tc::qdisc_detach_program(&name, TcAttachType::Ingress, PROGRAM);
        }
    }

    /// The loaded program.
    fn program(&mut self) -> Result<&mut SchedClassifier, EngineError> {
        let ebpf = match self.ebpf.take() {
            Some(ebpf) => ebpf,
            None => {
                let mut ebpf = EbpfLoader::new()
                    .load(OBJECT)
                    .map_err(|error| failed("load the object for ::1", &error))?;
                let program = classifier(&mut ebpf);
                program.load().map_err(|error| failed("load the program for ::1", &error))?;
                ebpf
            }
        };
        Ok(classifier(self.ebpf.insert(ebpf)))
    }

    fn attach(&mut self, name: &str) -> Result<(), EngineError> {
        let what = format!("ingress program of {name}");
        let program = self.program()?;
        // Whether the qdisc was there already is all one.
        let _ = tc::qdisc_add_clsact(name);
        let there = SchedClassifierLink::attached(
            name,
            TcAttachType::Ingress,
            OPTIONS.priority,
            OPTIONS.handle,
            OPTIONS.classid,
        );
        // An earlier director's filter gets our program: no packet meets neither.
        let id = match there.ok().and_then(|there| program.attach_to_link(there).ok()) {
            Some(id) => id,
            None => program
                .attach_with_options(name, TcAttachType::Ingress, TcAttachOptions::Netlink(OPTIONS))
                .map_err(|error| failed(&what, &error))?,
        };
        let link = program.take_link(id).map_err(|error| failed(&what, &error))?;
        // Dropping it would remove the filter, which is to outlive this process.
        std::mem::forget(link);
        Ok(())
    }
}

fn classifier(ebpf: &mut Ebpf) -> &mut SchedClassifier {
    let found = ebpf.program_mut(PROGRAM).and_then(|program| program.try_into().ok());
    found.expect("the object was compiled with this program")
}
