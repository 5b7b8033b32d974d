//! Real processes, sockets and packets, in network namespaces of their own.

mod alerts;
#[path = "../../benches/shared/capture.rs"]
#[allow(dead_code, reason = "the benches use the rest")]
mod capture;
mod checkers;
mod command_line;
mod completeness;
mod director;
mod director_role;
mod doctor;
mod documentation;
mod duties;
mod events;
mod genhash;
mod helper_and_vrrp;
mod ipv6;
mod ipvsadm;
mod lab;
mod language;
mod limits;
mod mails;
mod marks;
mod mutual;
mod peers;
mod personality;
mod processes;
mod proxy;
mod proxy_hostile;
mod proxy_role;
mod proxy_rules;
mod quiet_reload;
mod role;
mod scripts;
mod security;
mod server_commands;
mod server_pipes;
mod site;
mod site_server;
mod soak;
#[path = "../../../director/tests/layouts/stream.rs"]
mod stream;
mod uninterrupted;
mod vrrp;
mod vrrp_bfd;
mod vrrp_hardships;
mod vrrp_killed;
mod vrrp_kinds;
mod vrrp_on_time;
mod vrrp_robbed;
mod webserver;
mod whole;
#[path = "../../../director/tests/network/world.rs"]
#[allow(dead_code, reason = "the tests of the network use the rest")]
mod world;
