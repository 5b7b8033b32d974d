//! The connections and counters, for listings.

use std::collections::HashMap;
use std::net::Ipv4Addr;

use model::Time;
use model::layer4::{Endpoint, ServiceKey};
use model::status::ConnectionStatus;
use zerocopy::{FromBytes, IntoBytes};

use super::layout::{KIND_REVERSE, KIND_TEMPLATE, RawConn, RawConnKey, SECOND, protocol_of};
use super::object::{Maps, Object};
use super::tables::TableState;
use crate::EngineError;

const SLICE: usize = 1024;

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

/// Every connection and template. The answers of a NAT connection keep it alive too.
pub(crate) fn connections(
    maps: &Maps,
    state: &TableState,
    now: Time,
) -> Result<Vec<ConnectionStatus>, EngineError> {
    let (mut forward, mut answers, mut cursor) = (Vec::new(), HashMap::new(), None);
    loop {
        let batch = maps
            .connections
            .lookup_batch(&mut cursor, SLICE)
            .map_err(EngineError::system("read the connections map"))?;
        for (key, value) in batch.iter() {
            let (Ok(key), Ok(conn)) =
                (RawConnKey::read_from_bytes(key), RawConn::read_from_bytes(value))
            else {
                continue;
            };
            if conn.kind == KIND_REVERSE {
                let to = (key.to, key.to_port, conn.peer, conn.peer_port, key.protocol);
                answers.insert(to, conn.last_seen);
            } else {
                forward.push((key, conn));
            }
        }
        if cursor.is_none() {
            break;
        }
    }
    let status = |(key, conn): &(RawConnKey, RawConn)| {
        let from = (key.from, key.from_port, key.to, key.to_port, key.protocol);
        let seen = answers.get(&from).copied().unwrap_or_default().max(conn.last_seen);
        let left = (seen + conn.timeout_ns()).saturating_sub(now.as_nanos());
        let server = match conn.kind {
            KIND_TEMPLATE => state.destination(conn.destination).map(|slot| slot.raw.endpoint()),
            _ => None,
        };
        ConnectionStatus {
            service: ServiceKey {
                address: Ipv4Addr::from(key.to).into(),
                port: key.to_port.get(),
                protocol: protocol_of(key.protocol),
            },
            client: endpoint(key.from, key.from_port.get()),
            server: server.unwrap_or_else(|| endpoint(conn.peer, conn.peer_port.get())),
            state: conn.state_name().to_owned(),
            expires_seconds: u32::try_from(left / SECOND).unwrap_or(u32::MAX),
        }
    };
    Ok(forward.iter().map(status).collect())
}
