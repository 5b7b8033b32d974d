//! The connections and counters, for listings.

use std::net::Ipv4Addr;

use model::Time;
use model::layer4::{Endpoint, ServiceKey};
use model::status::ConnectionStatus;
use zerocopy::{FromBytes, IntoBytes};

use super::layout::protocol_of;
use super::object::{Maps, Object};
use super::slots::{Slot, ticks};
use super::tables::TableState;

fn endpoint(address: [u8; 4], port: u16) -> Endpoint {
    Endpoint { address: Ipv4Addr::from(address).into(), port }
}

/// The named counters, summed over the processors.
pub(crate) fn data_plane(maps: &Maps) -> Vec<(String, u64)> {
    let mut bytes = vec![0; maps.counters.value_size()];
    let mut named = Vec::new();
    for (index, name) in Object::counter_names().enumerate() {
        let found = maps.counters.lookup((index as u32).as_bytes(), &mut bytes);
        let sum = match found {
            Ok(true) => {
                bytes.chunks_exact(8).filter_map(|one| u64::read_from_bytes(one).ok()).sum()
            }
            Ok(false) | Err(_) => 0,
        };
        named.push((name.to_owned(), sum));
    }
    named
}

/// Every connection and template.
pub(crate) fn connections(maps: &Maps, state: &TableState, now: Time) -> Vec<ConnectionStatus> {
    let now = ticks(now);
    let status = |slot: Slot| {
        let port = slot.port();
        let server = state.destination(slot.destination()).map(|found| found.raw.endpoint());
        let server = server.unwrap_or_else(|| endpoint([0; 4], 0));
        ConnectionStatus {
            service: ServiceKey::Address {
                address: Ipv4Addr::from(slot.address).into(),
                port,
                protocol: protocol_of(slot.protocol()),
            },
            client: endpoint(slot.client, slot.client_port()),
            server: Endpoint { port: if server.port == 0 { port } else { server.port }, ..server },
            state: slot.state_name().to_owned(),
            expires_seconds: slot.seconds_left(&maps.timeouts, now),
        }
    };
    (0..maps.slots.count()).filter_map(|number| maps.slots.read(number)).map(status).collect()
}
