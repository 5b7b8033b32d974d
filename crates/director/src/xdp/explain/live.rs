//! The tables as they are, read without changing anything.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use edge::bpf::Map;
use edge::netlink::Socket;
use edge::netlink::neighbour::{Interface, interfaces};
use edge::netlink::route;
use model::layer4::ServiceKey;
use zerocopy::{FromBytes, IntoBytes};

use super::super::handover::{FoundService, Source};
use super::super::layout::{
    INTERFACES_LOW, LAYOUT, NamesService, RawDestination, RawInterface, RawLoad, RawMember,
    RawService, RawServiceKey4, RawServiceKey6,
};
use crate::EngineError;

/// The maps that the program uses, and the interface that a packet is to come in by.
pub(super) struct Live {
    directory: PathBuf,
    pub(super) source: Source,
    services: Vec<FoundService>,
    raw: HashMap<ServiceKey, RawService>,
    interfaces: Vec<Interface>,
    pub(super) interface: u32,
    /// What the program knows of it.
    pub(super) entry: RawInterface,
}

/// The map that has an interface.
pub(super) fn interfaces_map(interface: u32) -> &'static str {
    if interface < INTERFACES_LOW { "low_interfaces" } else { "interfaces" }
}

impl Live {
    /// Opens the maps pinned below `pins`. `on` names the interface; otherwise it is the one that
    /// leads to where the packet comes from.
    pub(super) fn open(
        pins: &Path,
        from: SocketAddr,
        on: Option<&str>,
    ) -> Result<Live, EngineError> {
        let directory = pins.join(LAYOUT);
        if !directory.join("destinations").exists() {
            return Err(EngineError::Bpf(format!(
                "no data plane of this version is pinned in {}: is evenkeel running, and with \
                 another --pin-dir?",
                pins.display()
            )));
        }
        let source = Source::open(&directory, LAYOUT).map_err(EngineError::Bpf)?;
        let services = source.services().map_err(EngineError::Bpf)?;
        let mut socket = Socket::open().map_err(EngineError::system("open netlink"))?;
        let interfaces =
            interfaces(&mut socket).map_err(EngineError::system("list the interfaces"))?;
        let interface = match on {
            Some(name) => interfaces
                .iter()
                .find(|one| one.name == name)
                .map(|one| one.index)
                .ok_or_else(|| EngineError::Bpf(format!("there is no interface {name}")))?,
            None => {
                route::lookup(&mut socket, from.ip())
                    .map_err(EngineError::system(format!("no way leads to {}", from.ip())))?
                    .interface
            }
        };
        let entry = RawInterface { mac: [0; 6], takes_part: 0 };
        let raw = HashMap::new();
        let mut live = Live { directory, source, services, raw, interfaces, interface, entry };
        live.read_entry().map_err(EngineError::system("read the map interfaces"))?;
        live.read_services().map_err(EngineError::system("read the map services"))?;
        Ok(live)
    }

    fn read_entry(&mut self) -> io::Result<()> {
        let map = Map::open(&self.directory.join(interfaces_map(self.interface)))?;
        map.lookup(self.interface.as_bytes(), self.entry.as_mut_bytes()).map(drop)
    }

    fn read_services(&mut self) -> io::Result<()> {
        for name in ["services", "services6"] {
            let path = self.directory.join(name);
            if !path.exists() {
                continue;
            }
            let map = Map::open(&path)?;
            let mut cursor = None;
            loop {
                let batch = map.lookup_batch(&mut cursor, 512)?;
                for (key, value) in batch.iter() {
                    let key = match RawServiceKey4::read_from_bytes(key) {
                        Ok(key) => Some(key.service()),
                        Err(_) => {
                            RawServiceKey6::read_from_bytes(key).ok().map(|key| key.service())
                        }
                    };
                    if let (Some(key), Ok(raw)) = (key, RawService::read_from_bytes(value)) {
                        self.raw.insert(key, raw);
                    }
                }
                if cursor.is_none() {
                    break;
                }
            }
        }
        Ok(())
    }

    pub(super) fn map(&self, name: &str) -> Result<Map, EngineError> {
        Map::open(&self.directory.join(name)).map_err(EngineError::system(format!("map {name}")))
    }

    /// The number of a service in the program's maps.
    pub(super) fn service_number(&self, key: ServiceKey) -> Option<u32> {
        self.raw.get(&key).map(|raw| raw.index)
    }

    /// The service with a number.
    pub(super) fn service(&self, number: u32) -> Option<&FoundService> {
        let key = self.raw.iter().find(|(_, raw)| raw.index == number)?.0;
        self.service_named(*key)
    }

    /// The service of a key.
    pub(super) fn service_named(&self, key: ServiceKey) -> Option<&FoundService> {
        self.services.iter().find(|service| service.key == key)
    }

    pub(super) fn destination(&self, number: u32) -> Option<RawDestination> {
        let mut raw = RawDestination::EMPTY;
        let map = self.map("destinations").ok()?;
        map.lookup(number.as_bytes(), raw.as_mut_bytes()).ok().filter(|there| *there)?;
        Some(raw)
    }

    /// The members of a service, with the weights that they have for its scheduler.
    pub(super) fn members(&self, key: ServiceKey) -> Vec<RawMember> {
        let Some(raw) = self.raw.get(&key) else { return Vec::new() };
        let Ok(map) = self.map("members") else { return Vec::new() };
        let mut bytes = vec![0; map.value_size()];
        if map.lookup(raw.row.as_bytes(), &mut bytes).is_err() {
            return Vec::new();
        }
        let members = bytes.chunks_exact(size_of::<RawMember>());
        let members = members.filter_map(|member| RawMember::read_from_bytes(member).ok());
        members.take(raw.count as usize).collect()
    }

    pub(super) fn load(&self, number: u32) -> RawLoad {
        let mut load = RawLoad::default();
        if let Ok(map) = self.map("loads") {
            // Without it a listing says zero; the decision is the program's.
            let _ = map.lookup(number.as_bytes(), load.as_mut_bytes());
        }
        load
    }

    pub(super) fn interface_name(&self, index: u32) -> String {
        let found = self.interfaces.iter().find(|interface| interface.index == index);
        found.map_or_else(|| format!("interface {index}"), |found| found.name.clone())
    }
}
