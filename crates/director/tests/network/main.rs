//! The engine over real cables: a client, a director and two servers in namespaces.

mod hooks;
mod ipv6;
mod next_hops;
mod path_mtu;
mod services;
mod traffic;
mod web;
mod world;
