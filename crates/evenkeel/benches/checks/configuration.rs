//! Configurations of many real servers, and small changes of them.

use std::fmt::Write;
use std::net::Ipv4Addr;

/// Real servers of one virtual server.
pub(crate) const PER_SERVICE: u32 = 100;
/// Seconds between two checks of a server.
pub(crate) const DELAY_LOOP: u32 = 6;
/// Everything under this address is a real server.
pub(crate) const SERVERS: &str = "10.16.0.0/12";
/// Address of the director on the cable.
pub(crate) const DIRECTOR: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 1);
/// Address of the virtual router.
pub(crate) const ROUTER: &str = "10.9.0.100";

/// What is different from the plain configuration.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Change {
    /// Weight of one server in the middle.
    pub(crate) weight: u32,
    /// The last virtual server has one server more.
    pub(crate) one_more: bool,
    /// The first virtual server lacks one.
    pub(crate) one_less: bool,
}

/// The address of a real server: by number of its virtual server, and its own number in it.
fn address(service: u32, server: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(0x0a10_0001 + service * 0x100 + server)
}

/// keepalived.conf with a virtual router that sends an advert every 10 ms, and so many real
/// servers, each with a TCP_CHECK.
pub(crate) fn text(servers: u32, change: Change) -> String {
    let mut text = format!(
        "vrrp_instance VI_1 {{\n    state BACKUP\n    interface eth0\n    version 3\n    \
         virtual_router_id 1\n    priority 250\n    advert_int 0.01\n    \
         virtual_ipaddress {{\n        {ROUTER}/32\n    }}\n}}\n\n"
    );
    let services = servers / PER_SERVICE;
    for service in 0..services {
        let (high, low) = (service >> 8, service & 255);
        // Writing to a string does not fail.
        let _ = write!(
            text,
            "virtual_server 10.{}.{low}.1 80 {{\n    delay_loop {DELAY_LOOP}\n    lb_algo wrr\n    \
             lb_kind NAT\n    protocol TCP\n\n",
            200 + high
        );
        let last = PER_SERVICE + u32::from(change.one_more && service + 1 == services);
        for server in 0..last {
            if change.one_less && (service, server) == (0, 7) {
                continue;
            }
            let weight = if (service, server) == (services / 2, 50) { change.weight } else { 0 };
            let _ = write!(
                text,
                "    real_server {} 80 {{\n        weight {}\n        TCP_CHECK {{\n            \
                 connect_timeout 3\n        }}\n    }}\n",
                address(service, server),
                1 + weight
            );
        }
        text += "}\n\n";
    }
    text
}
