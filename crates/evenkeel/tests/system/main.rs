//! Real processes, sockets and packets, in network namespaces of their own.

mod checks;
mod command_line;
mod director;
mod director_role;
mod documentation;
mod helper_and_vrrp;
mod lab;
mod language;
mod mutual;
mod peers;
mod personality;
mod proxy;
mod proxy_hostile;
mod proxy_role;
mod proxy_rules;
mod quiet_reload;
mod role;
mod scripts;
mod site;
mod site_server;
mod vrrp;
mod vrrp_bfd;
mod vrrp_kinds;
mod vrrp_on_time;
mod webserver;
mod whole;
