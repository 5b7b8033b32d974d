//! The drivers of the roles: each runs in a process of its own and talks to the supervisor over
//! the channel it inherited.

mod director;
mod helper;
mod proxy;
mod vrrp;

use std::process::ExitCode;

use edge::ipc::Channel;

use crate::cli::Role;
pub(crate) use vrrp::{sweep, withdraw};

/// Descriptor of the channel to the supervisor in a role's process.
pub(crate) const CHANNEL_DESCRIPTOR: i32 = 3;

/// Runs a role until its supervisor says stop or goes away.
pub(crate) fn run(role: Role) -> ExitCode {
    let channel = match edge::process::inherited(CHANNEL_DESCRIPTOR).and_then(Channel::from_socket)
    {
        Ok(channel) => channel,
        Err(error) => {
            eprintln!("evenkeel: a role is started by its supervisor, not by hand: {error}");
            return ExitCode::from(2);
        }
    };
    edge::process::set_name(match role {
        Role::Helper => "evenkeel-helper",
        Role::Vrrp => "evenkeel-vrrp",
        Role::Director => "evenkeel-l4",
        // A vrrp_script that asks `killall -0 haproxy` must find it.
        Role::Proxy => "haproxy",
    });
    // Every session, silent server and running program holds some.
    edge::privileges::raise_descriptors();
    let done = match role {
        Role::Helper => helper::run(channel),
        Role::Vrrp => vrrp::run(channel),
        Role::Director => director::run(channel),
        Role::Proxy => proxy::run(channel),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("evenkeel: {role:?} role: {error}");
            ExitCode::FAILURE
        }
    }
}
