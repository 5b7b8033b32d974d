//! The connections and counters, for listings.

use std::net::{IpAddr, Ipv4Addr};

use model::Time;
use model::layer4::{Endpoint, ServiceKey};
use model::status::ConnectionStatus;
use model::vrrp::Family;
use zerocopy::{FromBytes, IntoBytes};

use super::layout::{MARKED, protocol_of};
use super::object::{Maps, Object};
use super::slots::{Slot, Slots, ticks};
use super::tables::TableState;

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

/// What a connection or template is of: a template may be a firewall mark's.
fn service_of(address: IpAddr, port: u16, protocol: u8) -> ServiceKey {
    match (protocol, address) {
        (MARKED, IpAddr::V4(mark)) => {
            ServiceKey::Mark { mark: mark.to_bits(), family: Family::Ipv4 }
        }
        (MARKED, IpAddr::V6(mark)) => {
            ServiceKey::Mark { mark: mark.to_bits() as u32, family: Family::Ipv6 }
        }
        (_, _) => ServiceKey::Address { address, port, protocol: protocol_of(protocol) },
    }
}

/// Every connection and template.
pub(crate) fn connections(maps: &Maps, state: &TableState, now: Time) -> Vec<ConnectionStatus> {
    let now = ticks(now);
    let status = |slot: Slot| {
        let Slot { head, client, address } = slot;
        let port = head.port();
        let server = state.destination(head.destination()).map(|found| found.raw.endpoint());
        let nobody = Endpoint { address: IpAddr::V4(Ipv4Addr::UNSPECIFIED), port: 0 };
        let server = server.unwrap_or(nobody);
        ConnectionStatus {
            service: service_of(address, port, head.protocol()),
            client: Endpoint { address: client, port: head.client_port() },
            server: Endpoint { port: if server.port == 0 { port } else { server.port }, ..server },
            state: head.state_name().to_owned(),
            expires_seconds: head.seconds_left(state.conducts(), now),
        }
    };
    let all = |slots| (0..Slots::count(slots)).filter_map(|number| Slots::read(slots, number));
    maps.tables_of_connections().flat_map(all).map(status).collect()
}
